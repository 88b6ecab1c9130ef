//! Every small file of the store against damage: what is read back is what was written, or it is told as damaged, or it counts as
//! not there. Never a panic, and never another number. Sealed anew after the damage, as a stranger's program might, no file
//! makes its reader panic.
use super::*;
use crate::base::fuzz::{self, mutation};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::sync::LazyLock;
use std::time::Duration;

fn record() -> StageRecord {
    let sum = FileSum { bytes: 2, sha256: crate::base::hash::sha256_hex(b"ok") };
    StageRecord {
        format: StageRecord::FORMAT,
        id: "source-s1-0011aabb".into(),
        identity: serde_json::json!({ "stage": "source", "seed": 1, "train": { "learning_rate": 0.003 } }),
        identity_sha256: "ab".repeat(32),
        seconds: 1.25,
        peak_memory_bytes: Some(1 << 20),
        estimated_flops: 3e9,
        files: [("training.json".to_string(), sum)].into(),
    }
}

fn key() -> StageKey {
    StageKey { id: record().id, identity_sha256: record().identity_sha256 }
}

const PROCESS: &str = "00000000-7-7";

fn worker() -> WorkerRecord {
    WorkerRecord { process: PROCESS.into(), host: "far".into(), plan: "plan".into(), since: 0, job: None }
}

const AT: Told = Told { first: 0, done: 1, total: 2 };

fn sealed(value: &impl Serialize) -> Vec<u8> {
    seal::seal(value).expect("sealed")
}

static HEADER: LazyLock<Vec<u8>> = LazyLock::new(|| sealed(&record()));
static CLAIM: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let (name, process) = ("stage".into(), PROCESS.into());
    sealed(&ClaimRecord { name, process, number: 3, since: 5, alone: false })
});
static FAILURE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let (stage, reason) = (record().id, "the loss is not finite".into());
    sealed(&Failure { stage, reason, process: PROCESS.into(), nanoseconds: 12 })
});
static WORKER: LazyLock<Vec<u8>> = LazyLock::new(|| sealed(&worker()));
static PROGRESS: LazyLock<Vec<u8>> =
    LazyLock::new(|| sealed(&serde_json::json!({ "progress": { "stage": AT } })));
static CHECK: LazyLock<Vec<u8>> = LazyLock::new(|| sealed(&serde_json::json!({ "found": 7 })));

/// A store in this thread's folder, with the folders that a process at work makes; every case writes its own files anew.
fn store() -> Store {
    let store = Store::at(&fuzz::folder());
    if !store.root.join("checks").exists() {
        store.prepare().expect("made");
    }
    store
}

/// The stage's folder with one file of two bytes.
fn stage(store: &Store, contents: &[u8]) -> PathBuf {
    let stage = store.folder(&record().id);
    if !stage.exists() {
        fs::create_dir(&stage).expect("made");
    }
    fs::write(stage.join("training.json"), contents).expect("written");
    stage
}

fn config(tests: u32) -> ProptestConfig {
    ProptestConfig {
        cases: fuzz::cases(60, tests),
        rng_seed: RngSeed::Fixed(15),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(3))]

    #[test]
    fn headers(first in mutation(), second in prop::option::of(mutation())) {
        let store = store();
        let stage = stage(&store, b"ok");
        let mut bytes = first.of(&HEADER);
        if let Some(second) = second.filter(|_| !bytes.is_empty()) {
            bytes = second.of(&bytes);
        }
        fs::write(stage.join(HEADER_FILE), &bytes).expect("written");
        match store.find(&key()) {
            Ok(Some(found)) => {
                prop_assert_eq!(&bytes, &*HEADER);
                prop_assert_eq!(&found.record, &record());
                prop_assert!(store.verify(&found).is_ok());
            }
            found => {
                prop_assert!(matches!(found, Err(RunError::Damaged { .. })), "{found:?}");
                prop_assert!(!store.is_done(&key()));
                prop_assert!(store.headers().is_empty());
                // It can be taken out of the way, and made again.
                if let Err(RunError::Damaged { path, .. }) = found {
                    store.set_aside(&path).expect("moved");
                }
                prop_assert!(matches!(store.find(&key()), Ok(None)));
                fs::remove_dir_all(store.root.join("damaged")).expect("deleted");
            }
        }
    }

    #[test]
    fn headers_that_strangers_sealed(change in mutation()) {
        let store = store();
        let stage = stage(&store, b"ok");
        fs::write(stage.join(HEADER_FILE), seal::resealed(&HEADER, |text| change.of(text))).expect("written");
        if let Ok(Some(found)) = store.find(&key()) {
            let _ = store.verify(&found);
        }
        let _ = (store.summary(&key()), store.headers(), store.checked(&record().id));
    }

    #[test]
    fn files_of_a_stage(change in mutation()) {
        let store = store();
        let bytes = change.of(b"ok");
        let stage = stage(&store, &bytes);
        fs::write(stage.join(HEADER_FILE), &*HEADER).expect("written");
        let found = store.find(&key()).expect("its header is whole").expect("and there");
        prop_assert_eq!(store.verify(&found).is_ok(), bytes == b"ok");
    }
}

proptest! {
    #![proptest_config(config(2))]

    /// A claim that says nothing holds until it has been silent for a lease, and is followed then.
    #[test]
    fn claims(change in mutation()) {
        let store = store();
        let lease = Lease { beat: Duration::from_secs(1), expiry: Duration::from_nanos(1) };
        let claims = Claims::enter(&store.root, "plan", lease).expect("entered");
        fs::write(store.root.join("claims/stage.3.json"), change.of(&CLAIM)).expect("written");
        let told = held(&store.root).expect("read");
        prop_assert!(told.iter().all(|claim| claim.process == PROCESS && claim.number == 3));
        let first = claims.take("stage", false).expect("read");
        let taken = first.or_else(|| {
            std::thread::sleep(Duration::from_micros(10));
            claims.take("stage", false).expect("read")
        });
        prop_assert_eq!(taken.map(|claim| claim.generation), Some(4));
    }

    #[test]
    fn claims_that_strangers_sealed(change in mutation()) {
        let store = store();
        let lease = Lease { beat: Duration::from_secs(1), expiry: Duration::from_nanos(1) };
        let claims = Claims::enter(&store.root, "plan", lease).expect("entered");
        let bytes = seal::resealed(&CLAIM, |text| change.of(text));
        fs::write(store.root.join("claims/stage.3.json"), bytes).expect("written");
        let _ = (held(&store.root), claims.others(), claims.beside());
        drop(claims.take("stage", false).expect("read"));
        claims.clear_dead();
    }
}

proptest! {
    #![proptest_config(config(2))]

    #[test]
    fn workers_and_their_progress(change in mutation(), other in mutation()) {
        let store = store();
        let folder = store.root.join("workers");
        fs::write(folder.join(format!("{PROCESS}.json")), change.of(&WORKER)).expect("written");
        prop_assert!(workers(&store.root).expect("read").iter().all(|found| *found == worker()));
        fs::write(folder.join(format!("{PROCESS}.progress")), other.of(&PROGRESS)).expect("written");
        let told = progress_of(&store.root, PROCESS);
        prop_assert!(told.is_empty() || told.into_iter().eq([("stage".to_string(), AT)]));
    }

    #[test]
    fn workers_that_strangers_sealed(change in mutation(), other in mutation()) {
        let store = store();
        let folder = store.root.join("workers");
        let bytes = seal::resealed(&WORKER, |text| change.of(text));
        fs::write(folder.join(format!("{PROCESS}.json")), bytes).expect("written");
        let bytes = seal::resealed(&PROGRESS, |text| other.of(text));
        fs::write(folder.join(format!("{PROCESS}.progress")), bytes).expect("written");
        let _ = (workers(&store.root), progress_of(&store.root, PROCESS));
        let _ = crate::run::Activity::of(&store);
    }
}

proptest! {
    #![proptest_config(config(2))]

    /// That a stage failed is known whatever becomes of the reason; what was found of a corpus is found again.
    #[test]
    fn failures_and_checks(change in mutation(), other in mutation()) {
        let store = store();
        fs::write(store.failure_file(&key()), change.of(&FAILURE)).expect("written");
        let reason = store.failure(&key()).expect("it failed");
        prop_assert!(reason == "the loss is not finite" || reason.contains("does not tell any more"), "{reason}");
        fs::write(store.check_file("hash"), other.of(&CHECK)).expect("written");
        let found: Option<serde_json::Value> = store.check("hash");
        prop_assert!(found.is_none_or(|found| found["found"] == 7));
    }

    #[test]
    fn failures_that_strangers_sealed(change in mutation()) {
        let store = store();
        let bytes = seal::resealed(&FAILURE, |text| change.of(text));
        fs::write(store.failure_file(&key()), bytes).expect("written");
        prop_assert!(store.failure(&key()).is_some() && store.noted_failure(&key()).is_some());
    }
}
