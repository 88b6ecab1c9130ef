//! Prepared corpora against damage: tokens as they were written, or a fault, and never a panic. The stage's header vouches for
//! `corpus.json`; its reader alone must not panic, whatever it says of the files beside it.
use super::super::documents::Unwatched;
use super::*;
use crate::base::fuzz::{self, mutation};
use crate::spec::Shuffle;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::path::PathBuf;
use std::sync::LazyLock;

static FILES: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let spec = DataSpec {
        corpus: CorpusSpec::World { seed: 0, documents: 12 },
        tokenizer: TokenizerSpec::Bpe { vocab_size: 260 },
        context_length: 16,
        shuffle: Shuffle::Windows,
        packing: Packing::Crossing,
    };
    let folder = tempfile::tempdir().expect("a folder");
    prepare(&spec, None, folder.path(), &Unwatched).expect("prepared");
    let entries = fs::read_dir(folder.path()).expect("a folder").flatten();
    let mut files: Vec<(String, Vec<u8>)> = entries
        .map(|e| (e.file_name().to_string_lossy().into_owned(), fs::read(e.path()).expect("read")))
        .collect();
    // The tokenizer has tests of its own.
    files.retain(|(name, _)| name != TOKENIZER);
    files.sort();
    files
});

/// Every token of what the header tells of; `Err` where a file is not what it says.
fn read(folder: &Path) -> Result<Vec<u32>, DataError> {
    let header = Header::read(folder)?;
    let mut all = Vec::new();
    for stored in header.sources.iter().flat_map(|source| [&source.train, &source.validation]) {
        let tokens = Tokens::open(folder, stored)?;
        tokens.read(0..tokens.len(), &mut all);
        for document in 0..tokens.num_documents() {
            tokens.read(tokens.document(document), &mut all);
        }
    }
    Ok(all)
}

fn folder() -> PathBuf {
    let folder = fuzz::folder().join("corpus");
    if !folder.exists() {
        fs::create_dir(&folder).expect("made");
        FILES.iter().for_each(|(name, bytes)| fs::write(folder.join(name), bytes).expect("written"));
    }
    folder
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: fuzz::cases(200, 1),
        rng_seed: RngSeed::Fixed(26),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn prepared_corpora_never_panic(is_header: bool, which: prop::sample::Index, change in mutation()) {
        let folder = folder();
        let (name, before) = match is_header {
            true => FILES.iter().find(|(name, _)| name == HEADER).expect("a header"),
            false => which.get(FILES.as_slice()),
        };
        let after = change.of(before);
        fs::write(folder.join(name), &after).expect("written");
        let found = read(&folder);
        fs::write(folder.join(name), before).expect("written");
        // Files that the header tells of are theirs to the byte; nothing in a folder vouches for the header itself.
        prop_assert!(name == HEADER || after == *before || found.is_err(), "{name}");
    }
}
