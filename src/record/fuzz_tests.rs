//! Result tables, their list and the files beside them against damage: read as they were written, or refused. What vouches for them
//! is `SHA256SUMS`; without it a reader takes what a person may have edited, and must not panic. What the store keeps of a run is
//! vouched for by its header; the readers alone must not panic.
use super::provenance::{ENVIRONMENT_FILE, Provenance};
use super::read::TABLES;
use super::rows::{LATENCY_FILE, LatencyRow, RECORD_FILE};
use super::snapshot::SUMS_FILE;
use super::tests::small;
use super::{Results, RunRecord, Snapshot, Tables};
use crate::base::fuzz::{self, Mutation, mutation};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

const PLAN: &[u8] = b"{\"experiment\": \"a\"}\n";

/// Names and contents.
type Files = Vec<(String, Vec<u8>)>;

/// Every file of a results folder, and what its tables are read as.
static WHOLE: LazyLock<(Files, String)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let record = small();
    let axes = record.axes.iter().map(|(key, _)| key.clone()).collect();
    let mut tables = Tables::begin(folder.path(), axes).expect("begun");
    tables.add(&record).expect("added");
    tables.commit(&[("plan.json", PLAN)]).expect("committed");
    let entries = fs::read_dir(folder.path()).expect("a folder").flatten();
    let mut files: Files = entries
        .map(|e| (e.file_name().to_string_lossy().into_owned(), fs::read(e.path()).expect("read")))
        .collect();
    files.sort();
    (files, format!("{:?}", Results::read(folder.path()).expect("whole")))
});

/// A results folder of this thread's with one file damaged, which is whole again when this is dropped.
struct Damaged {
    folder: PathBuf,
    name: &'static str,
    before: &'static [u8],
}

impl Damaged {
    fn new(is_listed: bool, which: prop::sample::Index, change: &Mutation) -> Self {
        let folder = fuzz::folder().join(if is_listed { "listed" } else { "unlisted" });
        let is_there = |file: &&(String, Vec<u8>)| is_listed || file.0 != SUMS_FILE;
        let files: Vec<&'static (String, Vec<u8>)> = WHOLE.0.iter().filter(is_there).collect();
        if !folder.exists() {
            fs::create_dir(&folder).expect("made");
            files.iter().for_each(|(name, bytes)| fs::write(folder.join(name), bytes).expect("written"));
        }
        let (name, before) = files[which.index(files.len())];
        fs::write(folder.join(name), change.of(before)).expect("written");
        Damaged { folder, name, before }
    }
}

impl Drop for Damaged {
    fn drop(&mut self) {
        fs::write(self.folder.join(self.name), self.before).expect("written");
    }
}

/// A file of this thread's with damaged contents, and its folder.
fn damaged(name: &str, whole: &[u8], change: &Mutation) -> PathBuf {
    let folder = fuzz::folder();
    fs::write(folder.join(name), change.of(whole)).expect("written");
    folder
}

fn config(tests: u32) -> ProptestConfig {
    ProptestConfig {
        cases: fuzz::cases(70, tests),
        rng_seed: RngSeed::Fixed(16),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

static RECORD: LazyLock<Vec<u8>> = LazyLock::new(|| serde_json::to_vec(&small()).expect("JSON"));
static LATENCY: LazyLock<Vec<u8>> = LazyLock::new(|| serde_json::to_vec(&small().latency).expect("JSON"));
static ENVIRONMENT: LazyLock<Vec<u8>> =
    LazyLock::new(|| Provenance::gather(&std::env::temp_dir(), "cpu", 2).to_json().expect("JSON"));

proptest! {
    #![proptest_config(config(2))]

    #[test]
    fn tables_are_what_was_written_or_refused(which: prop::sample::Index, change in mutation()) {
        let damaged = Damaged::new(true, which, &change);
        // Nobody else writes: what is not what the list says will not be a moment later.
        let read = Snapshot::look(&damaged.folder, &TABLES, 1).and_then(|files| Results::of(&files, &damaged.folder));
        let plan = Snapshot::look(&damaged.folder, &["plan.json"], 1);
        let name = damaged.name;
        drop(damaged);
        if let Ok(read) = read {
            prop_assert_eq!(&format!("{:?}", read), &WHOLE.1, "{}", name);
        }
        if let Ok(read) = plan {
            prop_assert_eq!(read.get("plan.json"), Some(PLAN), "{}", name);
        }
    }

    #[test]
    fn tables_that_nothing_vouches_for_never_panic(which: prop::sample::Index, change in mutation()) {
        let damaged = Damaged::new(false, which, &change);
        let _ = Results::read(&damaged.folder);
    }
}

proptest! {
    #![proptest_config(config(1))]

    #[test]
    fn records_never_panic(change in mutation()) {
        let _ = RunRecord::read(&damaged(RECORD_FILE, &RECORD, &change));
    }
}

proptest! {
    #![proptest_config(config(1))]

    #[test]
    fn latencies_never_panic(change in mutation()) {
        let _ = LatencyRow::read(&damaged(LATENCY_FILE, &LATENCY, &change));
    }
}

proptest! {
    #![proptest_config(config(1))]

    #[test]
    fn provenance_never_panics(change in mutation()) {
        let _ = Provenance::read(&damaged(ENVIRONMENT_FILE, &ENVIRONMENT, &change));
    }
}
