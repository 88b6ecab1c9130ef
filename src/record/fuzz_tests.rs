//! Result tables, their list and the plan beside them against damage: read as they were written, or refused. What vouches for them
//! is `SHA256SUMS`; without it a reader takes what a person may have edited, and must not panic.
use super::tests::small;
use super::{Results, RunRecord, Snapshot, Tables};
use crate::base::fuzz::{self, mutation};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::fs;
use std::path::Path;

const TESTS: u32 = 3;

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder").flatten();
    let mut names: Vec<String> = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn results() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let record = small();
    let axes = record.axes.iter().map(|(key, _)| key.clone()).collect();
    let mut tables = Tables::begin(folder.path(), axes).expect("begun");
    tables.add(&record).expect("added");
    tables.commit(&[("plan.json", b"{\"experiment\": \"a\"}\n")]).expect("committed");
    folder
}

fn damage(folder: &Path, which: prop::sample::Index, change: &fuzz::Mutation) -> String {
    let names = files(folder);
    let name = names[which.index(names.len())].clone();
    let bytes = fs::read(folder.join(&name)).expect("read");
    fs::write(folder.join(&name), change.of(&bytes)).expect("written");
    name
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: fuzz::cases(200, TESTS),
        rng_seed: RngSeed::Fixed(16),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn tables_are_what_was_written_or_refused(which: prop::sample::Index, change in mutation()) {
        let folder = results();
        let whole = format!("{:?}", Results::read(folder.path()).expect("whole"));
        let plan = |folder: &Path| {
            Snapshot::read(folder, &["plan.json"]).map(|files| files.get("plan.json").map(<[u8]>::to_vec))
        };
        let told = plan(folder.path()).expect("whole");
        let name = damage(folder.path(), which, &change);
        if let Ok(read) = Results::read(folder.path()) {
            prop_assert_eq!(format!("{:?}", read), whole, "{}", name);
        }
        if let Ok(read) = plan(folder.path()) {
            prop_assert_eq!(read, told, "{}", name);
        }
    }

    #[test]
    fn tables_that_nothing_vouches_for_never_panic(which: prop::sample::Index, change in mutation()) {
        let folder = results();
        fs::remove_file(folder.path().join(super::snapshot::SUMS_FILE)).expect("deleted");
        damage(folder.path(), which, &change);
        let _ = Results::read(folder.path());
    }

    /// The store vouches for records; their reader alone must not panic.
    #[test]
    fn records_never_panic(change in mutation()) {
        let folder = tempfile::tempdir().expect("a folder");
        small().write(folder.path()).expect("written");
        let path = folder.path().join(super::rows::RECORD_FILE);
        let bytes = change.of(&fs::read(&path).expect("read"));
        fs::write(&path, bytes).expect("written");
        let _ = RunRecord::read(folder.path());
    }
}
