//! Tables against damaged files: rows or an error, never a panic.
use super::corpus::visit_parquet;
use super::tables::read_rows;
use crate::base::fuzz;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::path::Path;
use std::sync::OnceLock;

const FILES: [&str; 5] = ["snappy.parquet", "zstd.parquet", "file.arrow", "stream.arrow", "rows.jsonl"];

/// By `scripts/make-table-fixtures.py`, with pyarrow.
fn fixture(name: &str) -> Vec<u8> {
    static ALL: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let read = |name: &&str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables").join(name);
        std::fs::read(path).expect("a fixture")
    };
    let place = FILES.iter().position(|file| *file == name).expect("a fixture's name");
    ALL.get_or_init(|| FILES.iter().map(read).collect())[place].clone()
}

/// Reads the bytes as the rows of a benchmark and, if they are Parquet, as a corpus.
fn read(name: &str, bytes: &[u8]) {
    let path = fuzz::folder().join(name);
    std::fs::write(&path, bytes).expect("written");
    let _ = read_rows(&path);
    if name.ends_with(".parquet") {
        let _ = visit_parquet(&path, "question", &mut |_| Ok(()), &mut |_, _| Ok(()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: fuzz::cases(2000, 3),
        rng_seed: RngSeed::Fixed(13),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn overwritten_bytes_never_panic(
        name in prop::sample::select(FILES.as_slice()),
        at in any::<prop::sample::Index>(),
        values in prop::collection::vec(any::<u8>(), 1..9),
    ) {
        let mut bytes = fixture(name);
        let at = at.index(bytes.len());
        for (target, value) in bytes.iter_mut().skip(at).zip(values) {
            *target = value;
        }
        read(name, &bytes);
    }

    /// What says where everything is stands at the end of Parquet and Arrow files.
    #[test]
    fn nudged_bytes_near_the_end_never_panic(
        name in prop::sample::select(FILES.as_slice()),
        back in 1usize..600,
        change in 1u8..255,
    ) {
        let mut bytes = fixture(name);
        let at = bytes.len().saturating_sub(back);
        bytes[at] = bytes[at].wrapping_add(change);
        read(name, &bytes);
    }

    #[test]
    fn cut_files_never_panic(
        name in prop::sample::select(FILES.as_slice()),
        at in any::<prop::sample::Index>(),
    ) {
        let bytes = fixture(name);
        read(name, &bytes[..at.index(bytes.len())]);
    }
}

/// A page header with a field of more than a thousand million elements, which nothing follows.
#[test]
fn a_count_beyond_the_end_of_the_file_is_an_error_at_once() {
    let mut bytes = fixture("zstd.parquet");
    bytes[85..93].copy_from_slice(&[0xdc, 0x83, 0xbf, 0xf7, 0x0c, 0x32, 0xb9, 0xf7]);
    let (done, ends) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        read("zstd.parquet", &bytes);
        done.send(()).expect("somebody waits");
    });
    ends.recv_timeout(std::time::Duration::from_secs(60)).expect("it is read on and on");
}
