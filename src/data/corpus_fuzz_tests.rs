//! Corpora of text and JSON Lines against damage: documents or a fault, never a panic, however compressed.
use super::corpus::{read_objects, visit_jsonl, visit_text};
use crate::base::fuzz;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::io::Write;

const LINES: &str = "\u{feff}{\"text\": \"One \\u00e9 \\ud83d\\ude00.\", \"score\": NaN, \"meta\": {\"a\": [1, -2.5e3, null, true]}}\n\n{\"text\": \"Two\\n\\\"three\\\".\", \"id\": \"\\ud800\"}\n{\"text\": \"<|endoftext|>\"}\n";

fn compressed(bytes: &[u8], kind: usize) -> (&'static str, Vec<u8>) {
    match kind {
        0 => ("", bytes.to_vec()),
        1 => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).expect("compressed");
            (".gz", encoder.finish().expect("compressed"))
        }
        _ => (".zst", zstd::encode_all(bytes, 1).expect("compressed")),
    }
}

fn read(ending: &str, bytes: &[u8]) {
    let folder = fuzz::folder();
    for kind in ["jsonl", "txt"] {
        let path = folder.join(format!("a.{kind}{ending}"));
        std::fs::write(&path, bytes).expect("written");
        if kind == "txt" {
            let _ = visit_text(&path, &mut |_, _| Ok(()));
            continue;
        }
        let _ = visit_jsonl(&path, "text", &mut Err, &mut |_, _| Ok(()));
        let _ = visit_jsonl(&path, "text", &mut |_| Ok(()), &mut |_, _| Ok(()));
        let _ = read_objects(&path);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: fuzz::cases(400, 3),
        rng_seed: RngSeed::Fixed(19),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn overwritten_text_never_panics(
        kind in 0..3usize,
        at in any::<prop::sample::Index>(),
        values in prop::collection::vec(any::<u8>(), 1..6),
    ) {
        let mut bytes = LINES.as_bytes().to_vec();
        let at = at.index(bytes.len());
        for (target, value) in bytes.iter_mut().skip(at).zip(values) {
            *target = value;
        }
        let (ending, bytes) = compressed(&bytes, kind);
        read(ending, &bytes);
    }

    #[test]
    fn overwritten_and_cut_files_never_panic(
        kind in 0..3usize,
        at in any::<prop::sample::Index>(),
        values in prop::collection::vec(any::<u8>(), 1..6),
        cut in any::<bool>(),
    ) {
        let (ending, mut bytes) = compressed(LINES.as_bytes(), kind);
        let at = at.index(bytes.len());
        for (target, value) in bytes.iter_mut().skip(at).zip(values) {
            *target = value;
        }
        if cut {
            bytes.truncate(at);
        }
        read(ending, &bytes);
    }

    /// Pieces of JSON in any order.
    #[test]
    fn any_pieces_of_json_never_panic(pieces in prop::collection::vec(prop::sample::select(vec![
        "{", "}", "[", "]", ":", ",", "\"", "text", "\"text\"", "\\u", "\\ud800", "NaN", "-Infinity", "1e999", "null", "\n", " ", "é", "\\",
    ]), 0..30)) {
        read("", pieces.concat().as_bytes());
    }
}
