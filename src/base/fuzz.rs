//! How many mutated inputs the property tests of a reader try: a few in every run of the tests, or
//! `EFFICIENTLLM_FUZZ_CASES` in all, shared among the tests of one reader.
//!
//! ```sh
//! EFFICIENTLLM_FUZZ_CASES=1000000 TMPDIR=/dev/shm cargo test --release --lib fuzz
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

/// What disks, crashes and editors do to a file.
#[derive(Clone, Debug)]
pub(crate) enum Mutation {
    Overwrite(proptest::sample::Index, Vec<u8>),
    Flip(proptest::sample::Index, u8),
    Insert(proptest::sample::Index, Vec<u8>),
    /// What lies between the two places is gone.
    Remove(proptest::sample::Index, proptest::sample::Index),
    Cut(proptest::sample::Index),
    /// A block that was never written reads as zeros.
    Zeros(proptest::sample::Index),
    /// A part of the file stands where another part was.
    Repeat(proptest::sample::Index, proptest::sample::Index),
}

/// Any mutation.
pub(crate) fn mutation() -> impl proptest::strategy::Strategy<Value = Mutation> {
    use proptest::prelude::*;
    let at = any::<prop::sample::Index>;
    let bytes = || {
        prop::collection::vec(
            prop_oneof![any::<u8>(), prop::sample::select(&b"\"{}[],:\n0123456789eE.-"[..])],
            1..9,
        )
    };
    prop_oneof![
        (at(), bytes()).prop_map(|(at, bytes)| Mutation::Overwrite(at, bytes)),
        (at(), 0u8..8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        (at(), bytes()).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        (at(), at()).prop_map(|(from, to)| Mutation::Remove(from, to)),
        at().prop_map(Mutation::Cut),
        at().prop_map(Mutation::Zeros),
        (at(), at()).prop_map(|(from, to)| Mutation::Repeat(from, to)),
    ]
}

impl Mutation {
    /// `bytes`, of which there are some, as they are after it.
    pub(crate) fn of(&self, bytes: &[u8]) -> Vec<u8> {
        const BLOCK: usize = 64;
        let mut mutated = bytes.to_vec();
        let place = |at: &proptest::sample::Index| at.index(bytes.len());
        let block = |at: usize| at..(at + BLOCK).min(bytes.len());
        match self {
            Mutation::Overwrite(at, values) => {
                mutated.iter_mut().skip(place(at)).zip(values).for_each(|(byte, value)| *byte = *value);
            }
            Mutation::Flip(at, bit) => mutated[place(at)] ^= 1 << bit,
            Mutation::Insert(at, values) => {
                drop(mutated.splice(place(at)..place(at), values.iter().copied()))
            }
            Mutation::Remove(from, to) => {
                drop(mutated.drain(place(from).min(place(to))..place(from).max(place(to))));
            }
            Mutation::Cut(at) => mutated.truncate(place(at)),
            Mutation::Zeros(at) => mutated[block(place(at))].fill(0),
            Mutation::Repeat(from, to) => {
                drop(mutated.splice(block(place(to)), bytes[block(place(from))].iter().copied()));
            }
        }
        mutated
    }
}
