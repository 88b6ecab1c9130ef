//! Tables of records that nobody measured: when they are merged again, and when what is in place will do.
use super::*;
use crate::plan::plan;
use crate::record::{RunIdentity, RunRecord, Status};
use crate::run::store::{StageRecord, keys};
use crate::spec::{self, EngineKind, no_model};
use std::fs;
use std::path::PathBuf;

const HASH: &str = "of the plan";

struct Bench {
    plan: Plan,
    keys: Vec<StageKey>,
    store: Store,
    claims: Claims,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        store.prepare().unwrap();
        let text = include_str!("../../../tests/fixtures/example.toml");
        let experiment = spec::parse(text, "test", Path::new("/nowhere"), &no_model).unwrap();
        let plan = plan(&experiment, EngineKind::Cpu).unwrap();
        let claims = store.enter(HASH).unwrap();
        Bench { keys: keys(&plan), plan, store, claims, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Commits the evaluation of a run, which found this loss.
    fn score(&self, run: usize, loss: f64) {
        let key = &self.keys[self.plan.runs[run].evaluation];
        let claim = self.claims.take(&key.long_name(), false).unwrap().expect("nobody holds it");
        let folder = self.store.begin(&self.claims).unwrap();
        let identity = RunIdentity {
            run: key.id.clone(),
            arm: "any".into(),
            seed: 0,
            status: Status::Ok,
            reason: None,
            stage: None,
        };
        let mut record = RunRecord::new(identity, Vec::new());
        record.totals.valid_loss = Some(loss);
        record.write(folder.path()).unwrap();
        let record = StageRecord {
            format: StageRecord::FORMAT,
            id: key.id.clone(),
            identity: serde_json::Value::Null,
            identity_sha256: key.identity_sha256.clone(),
            seconds: 0.0,
            peak_memory_bytes: None,
            estimated_flops: 0.0,
            files: Default::default(),
        };
        assert!(self.store.commit(key, &claim, folder, record).unwrap());
    }

    fn merger(&self) -> Merger<'_> {
        let mut merger = Merger::new(&self.plan, HASH, &self.keys, &self.store, &self.claims);
        merger.provenance = Some(b"{}\n".to_vec());
        merger
    }

    /// The tables as text, and when `runs.csv` was put in place.
    fn tables(&self) -> (Vec<String>, std::time::SystemTime) {
        let text = |name: &str| fs::read_to_string(self.file(name)).unwrap();
        let texts = ["SHA256SUMS", "runs.csv", "tidy.csv", "plan.json", "environment.json"].map(text);
        (texts.to_vec(), fs::metadata(self.file("runs.csv")).unwrap().modified().unwrap())
    }
}

#[test]
fn what_another_has_just_merged_is_not_merged_again() {
    let bench = Bench::new();
    assert!(!bench.merger().is_latest(), "there is nothing yet");
    bench.score(0, 1.5);
    bench.score(5, 2.5);
    bench.store.note_failure(&bench.keys[bench.plan.runs[3].evaluation], "the loss is not finite").unwrap();
    bench.merger().merge().unwrap();
    let first = bench.tables();
    assert_eq!(first.0[1].lines().count(), 4, "{}", first.0[1]);
    let is_latest = || bench.merger().is_latest();
    assert!(is_latest());
    bench.merger().merge().unwrap();
    assert_eq!(bench.tables(), first);

    // Whatever the tables come from, and whatever they have become, has them merged anew.
    bench.score(7, 3.5);
    assert!(!is_latest());
    bench.merger().merge().unwrap();
    let second = bench.tables().0;
    assert_eq!(second[1].lines().count(), 5);
    assert!(is_latest());
    for name in ["runs.csv", "plan.json", "SHA256SUMS", "store/checks/tables.json"] {
        let whole = fs::read(bench.file(name)).unwrap();
        let mut damaged = whole.clone();
        damaged[whole.len() / 2] ^= 1;
        fs::write(bench.file(name), damaged).unwrap();
        assert!(!is_latest(), "{name} is damaged");
        fs::remove_file(bench.file(name)).unwrap();
        assert!(!is_latest(), "{name} is missing");
        // The questions that were frozen in the plan cannot be told again.
        if name == "plan.json" {
            fs::write(bench.file(name), &whole).unwrap();
        }
        bench.merger().merge().unwrap();
        assert!(is_latest());
        assert_eq!(bench.tables().0, second, "{name} was missing");
    }
    fs::write(bench.file(".new-runs.csv"), "half").unwrap();
    assert!(!is_latest(), "a killed process left something");
    bench.merger().merge().unwrap();
    assert!(is_latest() && !bench.file(".new-runs.csv").exists());

    let mut other = bench.merger();
    other.provenance = Some(b"{\"threads\":3}\n".to_vec());
    assert!(!other.is_latest(), "on another machine");
    let other = Merger::new(&bench.plan, "of another plan", &bench.keys, &bench.store, &bench.claims);
    assert!(!other.is_latest());
    bench.store.note_failure(&bench.keys[bench.plan.runs[3].evaluation], "out of memory").unwrap();
    assert!(!is_latest(), "another failure");
}

/// A run that is left out for damage is there as soon as its record is.
#[test]
fn tables_without_a_damaged_record_are_not_the_latest() {
    let bench = Bench::new();
    bench.score(0, 1.5);
    bench.score(5, 2.5);
    let record = bench.store.folder(&bench.keys[bench.plan.runs[5].evaluation].id).join("record.json");
    let whole = fs::read(&record).unwrap();
    fs::write(&record, &whole[..whole.len() - 1]).unwrap();
    bench.merger().merge().unwrap();
    assert_eq!(bench.tables().0[1].lines().count(), 2);
    fs::write(&record, whole).unwrap();
    assert!(!bench.merger().is_latest());
    bench.merger().merge().unwrap();
    assert_eq!(bench.tables().0[1].lines().count(), 3);
    assert!(bench.merger().is_latest());
}
