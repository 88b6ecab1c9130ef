//! Every small file of the store against damage: what is read back is what was written, or it is told as damaged, or it counts as
//! not there. Never a panic, and never another number.
use super::*;
use crate::base::fuzz::{self, mutation};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::sync::LazyLock;
use std::time::Duration;

const TESTS: u32 = 5;

/// One folder for all cases of a test: each has files of its own name.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

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

static SEALED: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
    let claim = ClaimRecord {
        name: "stage".into(),
        process: "00000000-7-7".into(),
        number: 3,
        since: 5,
        alone: false,
    };
    let failure = Failure {
        stage: record().id,
        reason: "the loss is not finite".into(),
        process: "00000000-7-7".into(),
        nanoseconds: 12,
    };
    [
        seal::seal(&record()).expect("sealed"),
        seal::seal(&claim).expect("sealed"),
        seal::seal(&failure).expect("sealed"),
    ]
});

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: fuzz::cases(300, TESTS),
        rng_seed: RngSeed::Fixed(15),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn headers(first in mutation(), second in prop::option::of(mutation())) {
        let folder = folder();
        let store = Store::at(folder.path());
        let stage = store.folder(&record().id);
        fs::create_dir_all(&stage).expect("made");
        fs::write(stage.join("training.json"), "ok").expect("written");
        let mut bytes = first.of(&SEALED[0]);
        if let Some(second) = second.filter(|_| !bytes.is_empty()) {
            bytes = second.of(&bytes);
        }
        fs::write(stage.join(HEADER_FILE), &bytes).expect("written");
        match store.find(&key()) {
            Ok(Some(found)) => {
                prop_assert_eq!(&bytes, &SEALED[0]);
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
            }
        }
    }

    #[test]
    fn files_of_a_stage(change in mutation()) {
        let folder = folder();
        let store = Store::at(folder.path());
        let stage = store.folder(&record().id);
        fs::create_dir_all(&stage).expect("made");
        let bytes = change.of(b"ok");
        fs::write(stage.join("training.json"), &bytes).expect("written");
        fs::write(stage.join(HEADER_FILE), &SEALED[0]).expect("written");
        let found = store.find(&key()).expect("its header is whole").expect("and there");
        prop_assert_eq!(store.verify(&found).is_ok(), bytes == b"ok");
    }

    /// A claim that says nothing holds until it has been silent for a lease, and is followed then.
    #[test]
    fn claims(change in mutation()) {
        let folder = folder();
        let lease = Lease { beat: Duration::from_secs(1), expiry: Duration::from_nanos(1) };
        let claims = Claims::enter(folder.path(), "plan", lease).expect("entered");
        let path = folder.path().join("claims/stage.3.json");
        fs::write(&path, change.of(&SEALED[1])).expect("written");
        let told = held(folder.path()).expect("read");
        prop_assert!(told.iter().all(|claim| claim.process == "00000000-7-7" && claim.number == 3));
        let first = claims.take("stage", false).expect("read");
        let taken = first.or_else(|| {
            std::thread::sleep(Duration::from_micros(10));
            claims.take("stage", false).expect("read")
        });
        prop_assert_eq!(taken.map(|claim| claim.generation), Some(4));
    }

    #[test]
    fn workers_and_their_progress(change in mutation(), other in mutation()) {
        let folder = folder();
        fs::create_dir_all(folder.path().join("workers")).expect("made");
        let process = "00000000-7-7".to_string();
        let worker = WorkerRecord { process, host: "far".into(), plan: "plan".into(), since: 0, job: None };
        let whole = seal::seal(&worker).expect("sealed");
        fs::write(folder.path().join("workers/00000000-7-7.json"), change.of(&whole)).expect("written");
        prop_assert!(workers(folder.path()).expect("read").iter().all(|found| *found == worker));
        let at = Told { first: 0, done: 1, total: 2 };
        let progress = seal::seal(&serde_json::json!({ "progress": { "stage": at } })).expect("sealed");
        fs::write(folder.path().join("workers/00000000-7-7.progress"), other.of(&progress)).expect("written");
        let told = progress_of(folder.path(), "00000000-7-7");
        prop_assert!(told.is_empty() || told.into_iter().eq([("stage".to_string(), at)]));
    }

    /// That a stage failed is known whatever becomes of the reason; what was found of a corpus is found again.
    #[test]
    fn failures_and_checks(change in mutation()) {
        let folder = folder();
        let store = Store::at(folder.path());
        store.prepare().expect("made");
        fs::write(store.failure_file(&key()), change.of(&SEALED[2])).expect("written");
        let reason = store.failure(&key()).expect("it failed");
        prop_assert!(reason == "the loss is not finite" || reason.contains("does not tell any more"), "{reason}");
        store.keep_check("hash", &serde_json::json!({ "found": 7 })).expect("kept");
        let path = store.check_file("hash");
        fs::write(&path, change.of(&fs::read(&path).expect("read"))).expect("written");
        let found: Option<serde_json::Value> = store.check("hash");
        prop_assert!(found.is_none_or(|found| found["found"] == 7));
    }
}
