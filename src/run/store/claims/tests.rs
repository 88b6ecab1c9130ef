//! Claims: one holder at a time, takeover of the silent, and nothing left behind.
use super::*;

const QUICK: Lease = Lease { beat: Duration::from_millis(20), expiry: Duration::from_millis(200) };

fn enter(folder: &Path) -> Claims {
    Claims::enter(folder, "plan", QUICK).unwrap()
}

/// Leaves a claim as a process of another machine leaves it that lost its power.
fn of_another_machine(folder: &Path, name: &str, generation: u64) -> PathBuf {
    let process = "00000000-7-7".to_string();
    let record =
        ClaimRecord { name: name.into(), process: process.clone(), number: 0, since: 0, alone: false };
    fs::write(claim_file(&folder.join("claims"), name, generation), seal::seal(&record).unwrap()).unwrap();
    let worker = WorkerRecord { process, host: "far".into(), plan: "plan".into(), since: 0, job: None };
    let path = worker_file(folder, &worker.process);
    fs::write(&path, seal::seal(&worker).unwrap()).unwrap();
    path
}

/// What is given back while the folder is somewhere else is still there when it is back, and is nobody's.
#[test]
fn a_claim_that_could_not_be_deleted_is_taken_again() {
    let folder = tempfile::tempdir().unwrap();
    let (root, away) = (folder.path().join("store"), folder.path().join("away"));
    let claims = Claims::enter(&root, "plan", Lease::default()).unwrap();
    let claim = claims.take("stage", false).unwrap().expect("it is free");
    assert!(claims.take("stage", false).unwrap().is_none(), "it is held by this process");
    fs::rename(&root, &away).unwrap();
    drop(claim);
    fs::rename(&away, &root).unwrap();
    assert_eq!(held(&root).unwrap().len(), 1);
    let again = claims.take("stage", false).unwrap().expect("nobody holds it");
    assert!(again.generation == 2 && claims.take("stage", false).unwrap().is_none());
    fs::rename(&root, &away).unwrap();
    drop(again);
    fs::rename(&away, &root).unwrap();
    claims.clear_dead();
    assert!(held(&root).unwrap().is_empty());
}

#[test]
fn of_many_that_try_one_holds_a_name_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let claims = enter(folder.path());
    let (held, taken) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    if let Some(claim) = claims.take("stage", false).unwrap() {
                        assert_eq!(held.fetch_add(1, Ordering::SeqCst), 0);
                        taken.fetch_add(1, Ordering::SeqCst);
                        assert_eq!(held.fetch_sub(1, Ordering::SeqCst), 1);
                        drop(claim);
                    }
                }
            });
        }
    });
    assert!(taken.into_inner() > 0);
    assert!(names(&folder.path().join("claims")).unwrap().is_empty());
    drop(claims);
    assert!(names(&folder.path().join("workers")).unwrap().is_empty());
}

#[test]
fn a_holder_that_is_silent_for_a_lease_is_followed_and_one_that_beats_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let claims = enter(folder.path());
    let beat = of_another_machine(folder.path(), "stage", 3);
    let started = Instant::now();
    let mut beats = 0;
    // It beats for three leases, on a clock that is hours slow and runs backwards, beside a file that a full disk keeps as it is.
    let process = "00000000-7-7";
    fs::write(progress_file(folder.path(), process), "").unwrap();
    while started.elapsed() < 3 * QUICK.expiry {
        let time = SystemTime::now() - Duration::from_secs(7200 + 60 * beats);
        File::options().write(true).open(&beat).unwrap().set_modified(time).unwrap();
        beats += 1;
        assert!(claims.take("stage", false).unwrap().is_none());
        std::thread::sleep(QUICK.beat);
    }
    // And for two more where times cannot be set.
    let started = Instant::now();
    while started.elapsed() < 2 * QUICK.expiry {
        fs::write(progress_file(folder.path(), process), "").unwrap();
        assert!(claims.take("stage", false).unwrap().is_none());
        std::thread::sleep(QUICK.beat);
    }
    let silent = Instant::now();
    let claim = loop {
        if let Some(claim) = claims.take("stage", false).unwrap() {
            break claim;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(silent.elapsed() >= QUICK.expiry - 2 * QUICK.beat, "{:?}", silent.elapsed());
    assert_eq!(claim.generation, 4);
    assert!(claim.holds());
    drop(claim);
    assert!(names(&folder.path().join("claims")).unwrap().is_empty(), "generations before go with it");
}

#[test]
fn who_was_followed_knows_it_and_leaves_the_follower_alone() {
    let folder = tempfile::tempdir().unwrap();
    let claims = enter(folder.path());
    let claim = claims.take("stage", false).unwrap().unwrap();
    of_another_machine(folder.path(), "stage", 2);
    assert!(!claim.holds());
    drop(claim);
    assert_eq!(generations(&folder.path().join("claims"), "stage").unwrap(), [2]);
    assert_eq!(held(folder.path()).unwrap()[0].process, "00000000-7-7");
}

#[test]
fn a_process_of_this_kernel_that_has_ended_is_followed_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let claims = enter(folder.path());
    let ended = Process { started: 1, ..Process::current().clone() }.to_string();
    let record = ClaimRecord { name: "stage".into(), process: ended, number: 0, since: 0, alone: true };
    let path = claim_file(&folder.path().join("claims"), "stage", 1);
    fs::write(&path, seal::seal(&record).unwrap()).unwrap();
    assert!(claims.beside().unwrap().is_empty());
    assert!(claims.take("stage", false).unwrap().is_some());
    claims.clear_dead();
    fs::write(&path, seal::seal(&record).unwrap()).unwrap();
    claims.clear_dead();
    assert!(names(&folder.path().join("claims")).unwrap().is_empty(), "nobody else would delete it");
    let torn = Process { started: 2, ..Process::current().clone() }.to_string();
    fs::create_dir_all(work_folder(folder.path(), &torn).join("half")).unwrap();
    fs::write(worker_file(folder.path(), &torn), "{").unwrap();
    claims.clear_dead();
    assert!(!worker_file(folder.path(), &torn).exists() && !work_folder(folder.path(), &torn).exists());
    assert!(worker_file(folder.path(), claims.process()).exists());
    // A file that was torn is a holder that nobody can ask: it expires.
    fs::write(claim_file(&folder.path().join("claims"), "torn", 1), "{").unwrap();
    assert!(claims.take("torn", false).unwrap().is_none());
    std::thread::sleep(QUICK.expiry);
    assert!(claims.take("torn", false).unwrap().is_some());
}
