//! Several processes on one results folder, started, killed, suspended and continued at any time: the tables end as those of
//! one undisturbed run, and everything in the store is whole.
#![cfg(unix)]
use crate::cli::Desk;
use crate::damage::Trial;
use crate::interruptions::{TINY, assert_same_tables, assert_whole, run_to_the_end};
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Two seeds, so that there is something to share.
fn experiment(desk: &Desk) {
    desk.experiment("tiny", &TINY.replace("seeds = [1]", "seeds = [1, 2]"));
}

fn worker(desk: &Desk, lease: &str) -> Child {
    desk.command(&["worker", "experiments/tiny", "--results", "r", "--quiet", "--workers", "1"])
        .env("EFFICIENTLLM_LEASE_SECONDS", lease)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn signal(child: &Child, name: &str) {
    Command::new("kill").args([name, &child.id().to_string()]).output().unwrap();
}

/// Waits, but not for ever.
fn ended(child: &mut Child, at_most: Duration) -> Option<i32> {
    let started = Instant::now();
    while started.elapsed() < at_most {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status.code().unwrap_or(-1));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    None
}

/// The invariants of a store, whatever happened to those at work on it: every finished stage has the files that its header
/// tells of, and every table that is listed can be read.
fn assert_sound(desk: &Desk) {
    let results = desk.path().join("r");
    let store = efficientllm::run::Store::at(&results);
    for record in store.headers() {
        let name = &record.id;
        assert!(store.checked(name).unwrap().is_some(), "{name}");
    }
    if results.join("runs.csv").exists() {
        efficientllm::record::Results::read(&results).unwrap();
    }
}

#[test]
fn workers_share_the_runs_and_none_is_done_twice() {
    let desk = Desk::new();
    experiment(&desk);
    run_to_the_end(&desk, "undisturbed");
    let mut workers: Vec<Child> = (0..3).map(|_| worker(&desk, "60")).collect();
    for worker in &mut workers {
        assert_eq!(ended(worker, Duration::from_secs(240)), Some(0));
    }
    assert_same_tables(&desk.path().join("r"), &desk.path().join("undisturbed"));
    assert_whole(&desk.path().join("r"));
    for folder in ["claims", "workers", "work", "damaged"] {
        let left =
            fs::read_dir(desk.path().join("r/store").join(folder)).map_or(0, |entries| entries.count());
        assert_eq!(left, 0, "{folder}");
    }
}

/// `EFFICIENTLLM_KILLS` asks for more of them.
#[test]
fn workers_killed_at_random_end_in_the_same_tables() {
    let kills: u32 = std::env::var("EFFICIENTLLM_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(12);
    let desk = Desk::new();
    experiment(&desk);
    let started = Instant::now();
    run_to_the_end(&desk, "undisturbed");
    let whole = started.elapsed().as_millis() as u64;
    let mut trial = Trial(15);
    let (mut killed, mut rounds) = (0, 0);
    while killed < kills {
        rounds += 1;
        let mut workers = [worker(&desk, "60"), worker(&desk, "60")];
        for worker in &mut workers {
            std::thread::sleep(Duration::from_millis(trial.next() % (whole / 3).max(1)));
            killed += u32::from(worker.try_wait().unwrap().is_none());
            worker.kill().unwrap();
            worker.wait().unwrap();
        }
        assert_sound(&desk);
        let all_done =
            fs::read_to_string(desk.path().join("r/runs.csv")).is_ok_and(|t| t.lines().count() == 13);
        if all_done {
            run_to_the_end(&desk, "r");
            assert_same_tables(&desk.path().join("r"), &desk.path().join("undisturbed"));
            fs::remove_dir_all(desk.path().join("r")).unwrap();
        }
        assert!(rounds < 20 * kills + 100, "nothing is killed");
    }
    run_to_the_end(&desk, "r");
    assert_same_tables(&desk.path().join("r"), &desk.path().join("undisturbed"));
}

/// A worker that stands still for longer than its lease is followed; when it goes on it leaves the follower alone.
#[test]
fn a_suspended_worker_is_followed_and_does_no_harm_when_it_goes_on() {
    let desk = Desk::new();
    experiment(&desk);
    run_to_the_end(&desk, "undisturbed");
    let mut suspended = worker(&desk, "1");
    std::thread::sleep(Duration::from_millis(400));
    signal(&suspended, "-STOP");
    let mut other = worker(&desk, "1");
    assert_eq!(ended(&mut other, Duration::from_secs(240)), Some(0), "it waits for ever");
    signal(&suspended, "-CONT");
    assert_eq!(ended(&mut suspended, Duration::from_secs(240)), Some(0));
    assert_sound(&desk);
    run_to_the_end(&desk, "r");
    assert_same_tables(&desk.path().join("r"), &desk.path().join("undisturbed"));
}

#[test]
fn a_worker_saves_its_state_on_every_signal_and_another_goes_on_from_it() {
    let desk = Desk::new();
    experiment(&desk);
    run_to_the_end(&desk, "undisturbed");
    for name in ["-USR1", "-TERM", "-INT"] {
        let mut child = worker(&desk, "60");
        std::thread::sleep(Duration::from_millis(700));
        signal(&child, name);
        let code = ended(&mut child, Duration::from_secs(60));
        assert!(matches!(code, Some(0 | 1)), "{name}: {code:?}");
        assert_sound(&desk);
    }
    run_to_the_end(&desk, "r");
    assert_same_tables(&desk.path().join("r"), &desk.path().join("undisturbed"));
}

/// More workers than a machine can use are told, and are neither started nor an abort.
#[cfg(target_os = "linux")]
#[test]
fn a_thousand_workers_are_as_many_as_are_of_use() {
    let desk = Desk::new();
    desk.experiment("tiny", &TINY.replace("workers = 2", "workers = 1000"));
    let shown = desk.show(&["plan", "experiments/tiny", "--results", "r"]);
    assert!(shown.contains("exit code 0"), "{shown}");
    let note = "note: 1000 workers were asked for, ";
    let most = shown.split_once(note).unwrap_or_else(|| panic!("{shown}")).1;
    let most: usize = most.split(' ').next().unwrap().parse().unwrap();
    let cores = std::thread::available_parallelism().unwrap().get();
    assert!((cores..200).contains(&most), "{most}");
    let log = fs::File::create(desk.path().join("log")).unwrap();
    let mut child = desk.command(&["run", "experiments/tiny", "--results", "r"]).stderr(log).spawn().unwrap();
    let mut threads = 0;
    while child.try_wait().unwrap().is_none() {
        let tasks = fs::read_dir(format!("/proc/{}/task", child.id()));
        threads = threads.max(tasks.map_or(0, |tasks| tasks.count()));
        std::thread::sleep(Duration::from_millis(5));
    }
    let told = fs::read_to_string(desk.path().join("log")).unwrap();
    assert!(child.wait().unwrap().success() && told.contains(note), "{told}");
    // A worker's own and those that it computes on, and a few for all.
    assert!(threads > 1 && threads < 2 * most + 3 * cores + 20, "{threads} threads for {most} workers");
}

#[test]
fn status_tells_who_is_at_work_and_never_to_begin_what_is_running() {
    let desk = Desk::new();
    experiment(&desk);
    let mut child = worker(&desk, "60");
    let mut seen = false;
    while child.try_wait().unwrap().is_none() {
        let shown = desk.show(&["status", "experiments/tiny", "--results", "r"]);
        if shown.contains(": at work on ") {
            assert!(!shown.contains("hint: "), "{shown}");
            let json =
                desk.command(&["status", "experiments/tiny", "--results", "r", "--json"]).output().unwrap();
            let page: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
            assert_eq!(page["runs"].as_array().unwrap().len(), 12);
            seen = true;
        }
    }
    assert!(seen);
    let shown = desk.show(&["status", "experiments/tiny", "--results", "r", "--summary"]);
    assert!(shown.contains("12 done, 0 running, 0 failed, 0 begun, 0 missing\n---"), "{shown}");
    // Another plan beside a worker is refused.
    let mut child = worker(&desk, "60");
    let why = desk.show(&["why", "experiments/tiny", "source/1", "--results", "r", "--set", "eval.items=2"]);
    assert!(why.contains("items: 3 → 2"), "{why}");
    child.kill().unwrap();
    child.wait().unwrap();
}
