//! How many mutated inputs the property tests of a reader try: a few in every run of the tests, or
//! `EFFICIENTLLM_FUZZ_CASES` in all, shared among the tests of one reader.
//!
//! ```sh
//! EFFICIENTLLM_FUZZ_CASES=1000000 TMPDIR=/dev/shm cargo test --lib fuzz -- --test-threads 1
//! ```

use std::path::PathBuf;

/// Name of the variable that asks for a long run.
const CASES: &str = "EFFICIENTLLM_FUZZ_CASES";

/// Cases of one of `tests` tests of a reader, `normal` of them unless a long run is asked for.
pub(crate) fn cases(normal: u32, tests: u32) -> u32 {
    let asked = std::env::var(CASES).ok().and_then(|text| text.parse::<u32>().ok());
    asked.map_or(normal, |all| all.div_ceil(tests))
}

/// A folder of this thread's, for files that are written and read again and again: making one for each costs more than most readers.
pub(crate) fn folder() -> PathBuf {
    thread_local! {
        static FOLDER: tempfile::TempDir = tempfile::tempdir().expect("a temporary folder");
    }
    FOLDER.with(|folder| folder.path().to_path_buf())
}
