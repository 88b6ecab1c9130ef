//! llama2.c's two parsers against damaged files: a model, a tokenizer or an error, never a panic.
use std::fs;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::{Llama2cTokenizer, llama2c};
use crate::base::fuzz;
use crate::tensor::CpuBackend;

/// d = 8, f = 12, L = 2, H = 4, K = 2, V = 9, T = 4, tied; all weights zero.
fn model() -> Vec<u8> {
    let header = [8i32, 12, 2, 4, 2, 9, 4];
    let (d, f, l, kv, v, rope) = (8, 12, 2, 4, 9, 4 * 2);
    let layer = 2 * d + 2 * d * d + 2 * kv * d + 3 * f * d;
    let mut bytes: Vec<u8> = header.iter().flat_map(|x| x.to_le_bytes()).collect();
    bytes.resize(bytes.len() + 4 * (v * d + l * layer + d + rope), 0);
    bytes
}

/// Three specials, the bytes and two pieces.
fn tokenizer() -> Vec<u8> {
    let bytes = (0..256).map(|b| format!("<0x{b:02X}>"));
    let specials = ["<unk>", "<s>", "</s>"].map(str::to_string);
    let pieces = specials.into_iter().chain(bytes).chain(["ab".to_string(), "c".to_string()]);
    let mut file = 8i32.to_le_bytes().to_vec();
    for (id, piece) in pieces.enumerate() {
        file.extend((-(id as f32)).to_le_bytes());
        file.extend((piece.len() as i32).to_le_bytes());
        file.extend(piece.as_bytes());
    }
    file
}

fn read_model(bytes: &[u8]) -> bool {
    let file = fuzz::folder().join("llama2c.bin");
    fs::write(&file, bytes).unwrap();
    llama2c::load(&CpuBackend::<f32>::new(), &file).is_ok()
}

/// Reads it and, where that succeeds, encodes a text: ids must name pieces.
fn read_tokenizer(bytes: &[u8]) -> bool {
    let file = fuzz::folder().join("llama2c.bin");
    fs::write(&file, bytes).unwrap();
    let Ok(tokenizer) = Llama2cTokenizer::load(&file) else { return false };
    let ids = tokenizer.encode("abc, é \u{1F600} ab");
    assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocab_size()));
    true
}

#[test]
fn undamaged_files_are_read() {
    assert!(read_model(&model()) && read_tokenizer(&tokenizer()));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: fuzz::cases(300, 5),
        rng_seed: RngSeed::Fixed(12),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_damaged_header_never_panics(fields in prop::collection::vec((0usize..7, any::<i32>()), 1..4)) {
        let mut bytes = model();
        for (field, value) in fields {
            bytes[4 * field..4 * field + 4].copy_from_slice(&value.to_le_bytes());
        }
        read_model(&bytes);
    }

    /// Small numbers agree with each other more often, and so reach deeper.
    #[test]
    fn a_nudged_header_never_panics(fields in prop::collection::vec((0usize..7, -2i32..40), 1..4)) {
        let mut bytes = model();
        for (field, value) in fields {
            bytes[4 * field..4 * field + 4].copy_from_slice(&value.to_le_bytes());
        }
        read_model(&bytes);
    }

    #[test]
    fn a_model_cut_short_is_an_error(length in 0usize..4_000) {
        let bytes = model();
        prop_assert!(!read_model(&bytes[..length.min(bytes.len() - 1)]));
    }

    #[test]
    fn a_damaged_tokenizer_never_panics(
        at in 0usize..4_500,
        values in prop::collection::vec(any::<u8>(), 1..9),
    ) {
        let mut bytes = tokenizer();
        for (target, value) in bytes.iter_mut().skip(at).zip(values) {
            *target = value;
        }
        read_tokenizer(&bytes);
    }

    #[test]
    fn a_tokenizer_cut_short_is_read_or_refused(length in 0usize..4_500) {
        let bytes = tokenizer();
        read_tokenizer(&bytes[..length.min(bytes.len())]);
    }
}
