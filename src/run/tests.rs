//! The sweep with a mock executor: what is carried out, in which order, and what a failure or a stop does.
use super::*;
use crate::plan::{Plan, Stage, StageKind, plan};
use crate::spec::{self, EngineKind, no_model};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const EXAMPLE: &str = include_str!("../../tests/fixtures/example.toml");

fn small_plan() -> Plan {
    let text = EXAMPLE.replace("seeds = [1, 2, 3]", "seeds = [1, 2]");
    plan(&spec::parse(&text, "test", Path::new("/nowhere"), &no_model).unwrap(), EngineKind::Cpu).unwrap()
}

/// Writes the stage's id and those of its inputs; fails, panics or is interrupted where the test says so.
#[derive(Default)]
struct Mock {
    executed: Mutex<Vec<String>>,
    /// Workers that are at a stage now, and all that ever were.
    busy: Mutex<(BTreeSet<usize>, BTreeSet<usize>)>,
    takes: Duration,
    fails: Option<String>,
    panics: Option<String>,
    interrupts: Option<String>,
    /// Finds a full disk, once.
    finds_no_room: Mutex<Option<String>>,
    /// Finds that its corpus is gone: another stage has set it aside, once.
    finds_no_corpus: Mutex<Option<String>>,
}

impl Executor for Mock {
    fn execute(&self, task: &Task<'_>, progress: &dyn Progress) -> Result<(), StageFailure> {
        let id = task.stage.id.as_str();
        for input in task.stage.inputs.iter() {
            let folder = task.folder.ancestors().nth(3).unwrap().join(&task.plan.stages[input].id);
            assert!(folder.join("result").exists(), "{id} was begun before its input was finished");
            let result = std::fs::read_to_string(folder.join("result")).unwrap();
            assert_eq!(result, task.plan.stages[input].id, "{id} was given a damaged input");
        }
        let at_work = |busy: bool| {
            let mut workers = self.busy.lock().unwrap();
            let changed = if busy { workers.0.insert(task.worker) } else { workers.0.remove(&task.worker) };
            assert!(changed, "worker {} is at two stages at once", task.worker);
            workers.1.insert(task.worker);
        };
        // A measurement of latency has no company, neither when it begins nor when it ends.
        let alone = || {
            let others = self.busy.lock().unwrap().0.len() > 1;
            assert!(!others || !matches!(task.stage.kind, StageKind::Latency(_)), "{id} has company");
        };
        at_work(true);
        alone();
        std::thread::sleep(self.takes);
        alone();
        at_work(false);
        let is = |name: &Option<String>| name.as_deref().is_some_and(|name| id.starts_with(name));
        self.executed.lock().unwrap().push(id.to_string());
        std::fs::write(task.folder.join("result"), id)?;
        if is(&self.fails) {
            return Err(StageFailure::Failed("loss is NaN".into()));
        }
        if self.finds_no_room.lock().unwrap().take_if(|name| id.starts_with(name.as_str())).is_some() {
            return Err(std::io::Error::from(std::io::ErrorKind::StorageFull).into());
        }
        if self.finds_no_corpus.lock().unwrap().take_if(|name| id.starts_with(name.as_str())).is_some() {
            std::fs::remove_dir_all(task.inputs.corpus.as_ref().unwrap())?;
            return Err(StageFailure::Failed("cannot read the corpus".into()));
        }
        if is(&self.panics) {
            panic!("index out of bounds");
        }
        if is(&self.interrupts) {
            std::fs::write(task.partial.join("state"), "half")?;
            return Err(StageFailure::Interrupted);
        }
        progress.update(1, 1, None, None);
        Ok(())
    }
}

/// Runs in the order of their decision, with the reason of those that failed.
type Decided = Vec<(usize, Option<String>)>;

#[derive(Default)]
struct Log<'a> {
    /// To be discarded once they are scored, and the plan that they are of.
    models: Option<(&'a Plan, FinalModels<'a>)>,
    scored: Mutex<Vec<usize>>,
    decided: Mutex<Decided>,
    damaged: Mutex<Vec<String>>,
    full_disk: AtomicBool,
    /// Whether there is something to delete.
    has_old_report: AtomicBool,
}

struct Quiet;

impl Progress for Quiet {
    fn update(&self, _: u64, _: u64, _: Option<f64>, _: Option<u64>) {}
    fn interrupted(&self) -> bool {
        false
    }
}

impl Listener for Log<'_> {
    fn stage_started<'s>(&'s self, _: usize, _: &'s Stage) -> Box<dyn Progress + 's> {
        Box::new(Quiet)
    }
    fn stage_finished(&self, _: usize, _: &Stage, _: &Result<(), StageFailure>, _: f64) {}
    fn make_room(&self) -> bool {
        self.has_old_report.swap(false, Ordering::Relaxed)
    }
    fn stage_damaged(&self, stage: &Stage, _: &RunError) {
        self.damaged.lock().unwrap().push(stage.id.clone());
    }
    fn run_scored(&self, run: usize) -> Result<(), RunError> {
        self.scored.lock().unwrap().push(run);
        Ok(())
    }
    fn run_decided(&self, run: usize, failure: Option<&str>) -> Result<(), RunError> {
        if let Some((plan, models)) = &self.models {
            models.discard(plan.runs[run].model).unwrap();
        }
        self.decided.lock().unwrap().push((run, failure.map(str::to_string)));
        match self.full_disk.load(Ordering::Relaxed) {
            true => Err(RunError::Panicked("no space left on device".into())),
            false => Ok(()),
        }
    }
}

struct Bench {
    plan: Plan,
    keys: Vec<StageKey>,
    store: Store,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        store.prepare().unwrap();
        let plan = small_plan();
        Bench { keys: keys(&plan), plan, store, _folder: folder }
    }

    /// The key of the first stage whose id begins so.
    fn key(&self, prefix: &str) -> &StageKey {
        self.keys.iter().find(|key| key.id.starts_with(prefix)).unwrap()
    }

    fn sweep(&self, mock: &Mock, workers: usize) -> (Result<Outcome, RunError>, Decided) {
        let log = Log::default();
        let outcome = self.swept(mock, &log, workers);
        (outcome, log.decided.into_inner().unwrap())
    }

    fn swept(&self, mock: &Mock, log: &Log<'_>, workers: usize) -> Result<Outcome, RunError> {
        let claims = self.store.enter("plan").unwrap();
        sweep(&self.job(&claims, &Need::Results.of_all(&self.plan), workers), mock, log)
    }

    fn job<'a>(&'a self, claims: &'a Claims, needs: &'a [Need], workers: usize) -> Job<'a> {
        let Bench { plan, keys, store, .. } = self;
        Job { plan, keys, store, claims, needs, retry: true, workers, threads: 1 }
    }
}

fn named(name: &str) -> Option<String> {
    Some(name.to_string())
}

#[test]
fn every_stage_is_carried_out_once_and_a_second_sweep_does_nothing() {
    for workers in [1, 3] {
        let bench = Bench::new();
        let mock = Mock::default();
        let (outcome, decided) = bench.sweep(&mock, workers);
        assert_eq!(outcome.unwrap(), Outcome { done: 12, ..Outcome::default() });
        assert_eq!(decided.len(), 12);
        let mut executed = mock.executed.lock().unwrap().clone();
        assert_eq!(executed.len(), bench.plan.stages.len());
        executed.sort();
        executed.dedup();
        assert_eq!(executed.len(), bench.plan.stages.len());
        let again = Mock::default();
        let (outcome, decided) = bench.sweep(&again, workers);
        assert_eq!(outcome.unwrap(), Outcome { kept: 12, ..Outcome::default() });
        assert!(decided.is_empty() && again.executed.lock().unwrap().is_empty());
    }
}

/// Stages are dealt out to devices by the number of their worker: with as many workers as wanted on each device, no
/// device ever has more than that.
#[test]
fn a_worker_has_its_number_to_itself() {
    let bench = Bench::new();
    let mock = Mock { takes: Duration::from_millis(2), ..Mock::default() };
    bench.sweep(&mock, 4).0.unwrap();
    let (busy, ever) = mock.busy.into_inner().unwrap();
    assert!(busy.is_empty());
    assert!(ever.iter().all(|worker| *worker < 4) && !ever.is_empty(), "{ever:?}");
}

#[test]
fn one_worker_takes_stages_in_plan_order() {
    let bench = Bench::new();
    let mock = Mock::default();
    bench.sweep(&mock, 1).0.unwrap();
    let planned: Vec<String> = bench.plan.stages.iter().map(|stage| stage.id.clone()).collect();
    assert_eq!(*mock.executed.lock().unwrap(), planned);
}

#[test]
fn a_failure_takes_its_dependants_and_nothing_else_and_is_tried_again() {
    let bench = Bench::new();
    let (outcome, decided) = bench.sweep(&Mock { fails: named("pruning_aware-s1"), ..Mock::default() }, 2);
    let outcome = outcome.unwrap();
    // pruning_aware of seed 1 itself, and direct with its widths.
    assert_eq!((outcome.done, outcome.failed.len(), outcome.missing), (10, 2, 0));
    assert_eq!(decided.len(), 12);
    for (run, reason) in &outcome.failed {
        assert_eq!(bench.plan.runs[*run].seed, 1);
        assert!(
            reason.starts_with("needs pruning_aware-s1-") && reason.ends_with("which failed: loss is NaN"),
            "{reason}"
        );
    }
    let failed = bench.key("pruning_aware-s1");
    assert_eq!(bench.store.failure(failed), named("loss is NaN"));
    let mock = Mock::default();
    let (outcome, _) = bench.sweep(&mock, 2);
    assert_eq!(outcome.unwrap(), Outcome { kept: 10, done: 2, ..Outcome::default() });
    // The model, its evaluation, the direct model and its evaluation.
    assert_eq!(mock.executed.lock().unwrap().len(), 4);
    assert_eq!(bench.store.failure(failed), None);
}

/// Beside results a plan is what froze the questions: it is not written anew, and counts in the form of earlier versions, too.
#[test]
fn a_plan_is_written_beside_no_results_alone() {
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path();
    let plan = small_plan();
    let file = results.join("plan.json");
    assert!(write_plan(results, &plan).unwrap() && write_plan(results, &plan).unwrap());
    let written = std::fs::read(&file).unwrap();
    let as_value: serde_json::Value = serde_json::from_slice(&written).unwrap();
    let document = crate::plan::document_with(&plan, crate::plan::declared(&plan));
    assert_eq!(serde_json::to_value(document).unwrap(), as_value);
    std::fs::write(results.join("runs.csv"), "").unwrap();
    assert!(write_plan(results, &plan).unwrap());
    std::fs::write(&file, serde_json::to_string_pretty(&as_value).unwrap() + "\n").unwrap();
    assert!(write_plan(results, &plan).unwrap(), "it is the same plan");
    std::fs::remove_file(&file).unwrap();
    assert!(!write_plan(results, &plan).unwrap() && !file.exists());
    // Nor where tables could be merged from what was scored.
    std::fs::remove_file(results.join("runs.csv")).unwrap();
    std::fs::create_dir_all(results.join("store/eval-source-s1-0011aabb")).unwrap();
    assert!(!write_plan(results, &plan).unwrap() && !file.exists());
}

/// What can be made again makes room for what cannot, once; without it the stage fails like any other.
#[test]
fn a_stage_that_finds_the_disk_full_is_tried_again_where_room_can_be_made() {
    for has_old_report in [true, false] {
        let bench = Bench::new();
        let mock = Mock { finds_no_room: Mutex::new(named("one_shot-s1")), ..Mock::default() };
        let log = Log { has_old_report: AtomicBool::new(has_old_report), ..Log::default() };
        let outcome = bench.swept(&mock, &log, 2).unwrap();
        let failed = if has_old_report { 0 } else { outcome.failed.len() };
        assert_eq!((outcome.done + failed, outcome.failed.is_empty()), (12, has_old_report));
        let id = &bench.key("one_shot-s1").id;
        let tries = mock.executed.lock().unwrap().iter().filter(|executed| *executed == id).count();
        assert_eq!(tries, if has_old_report { 2 } else { 1 });
        assert_eq!(bench.store.failure(bench.key("one_shot-s1")).is_some(), !has_old_report);
    }
}

/// Two workers begin stages of one corpus; one finds it damaged and sets it aside while the other reads it.
#[test]
fn a_stage_whose_input_is_set_aside_while_it_reads_is_carried_out_again() {
    let bench = Bench::new();
    let mock = Mock { finds_no_corpus: Mutex::new(named("one_shot-s1")), ..Mock::default() };
    let log = Log::default();
    let outcome = bench.swept(&mock, &log, 1).unwrap();
    assert_eq!(outcome, Outcome { done: bench.plan.runs.len(), ..Outcome::default() });
    assert_eq!(*log.damaged.lock().unwrap(), [bench.key("corpus").id.clone()]);
    let executed = mock.executed.into_inner().unwrap();
    let times = |prefix: &str| executed.iter().filter(|id| id.starts_with(prefix)).count();
    assert_eq!((times("corpus"), times("one_shot-s1")), (2, 2));
}

#[test]
fn a_panic_is_a_failure_of_its_run_alone() {
    let bench = Bench::new();
    let (outcome, _) = bench.sweep(&Mock { panics: named("eval-one_shot-s2"), ..Mock::default() }, 2);
    let outcome = outcome.unwrap();
    assert_eq!(outcome.done, 11);
    assert_eq!(outcome.failed[0].1, "panicked: index out of bounds");
}

#[test]
fn an_interruption_keeps_what_is_done_and_the_checkpoint() {
    let bench = Bench::new();
    let (outcome, _) = bench.sweep(&Mock { interrupts: named("source-s2"), ..Mock::default() }, 1);
    let outcome = outcome.unwrap();
    assert_eq!((outcome.done, outcome.missing, outcome.failed.len()), (6, 6, 0));
    let source = bench.key("source-s2");
    assert!(bench.store.is_partial(source) && !bench.store.is_done(source));
    bench.store.prepare().unwrap();
    assert!(bench.store.is_partial(source), "checkpoints survive the next start");
    bench.sweep(&Mock::default(), 1).0.unwrap();
    assert!(!bench.store.is_partial(source));
}

#[test]
fn a_deleted_model_is_made_again_only_where_a_run_needs_it() {
    let bench = Bench::new();
    bench.sweep(&Mock::default(), 1).0.unwrap();
    let id = |prefix: &str| bench.key(prefix).id.clone();
    std::fs::remove_dir_all(bench.store.folder(&id("source-s1"))).unwrap();
    let mock = Mock::default();
    bench.sweep(&mock, 1).0.unwrap();
    assert!(mock.executed.lock().unwrap().is_empty(), "all runs have their evaluations");
    std::fs::remove_dir_all(bench.store.folder(&id("eval-one_shot-s1"))).unwrap();
    bench.sweep(&mock, 1).0.unwrap();
    // A pruned model is held against its source, which is made again for that; a model from scratch is not.
    assert_eq!(*mock.executed.lock().unwrap(), [id("source-s1"), id("eval-one_shot-s1")]);
    let from_scratch = "direct_proportional";
    for prefix in ["source-s1", &format!("eval-{from_scratch}")] {
        std::fs::remove_dir_all(bench.store.folder(&id(prefix))).unwrap();
    }
    let mock = Mock::default();
    bench.sweep(&mock, 1).0.unwrap();
    assert_eq!(*mock.executed.lock().unwrap(), [id(&format!("eval-{from_scratch}"))]);
}

fn bench_with_latency() -> Bench {
    let text = EXAMPLE.replace("seeds = [1, 2, 3]", "seeds = [1, 2]") + "\n[latency]\n";
    let experiment = spec::parse(&text, "test", Path::new("/nowhere"), &no_model).unwrap();
    let plan = plan(&experiment, EngineKind::Cpu).unwrap();
    Bench { keys: keys(&plan), plan, ..Bench::new() }
}

#[test]
fn latencies_are_measured_alone_after_everything_else() {
    let bench = bench_with_latency();
    let mock = Mock { takes: Duration::from_millis(2), ..Mock::default() };
    let log = Log::default();
    let outcome = bench.swept(&mock, &log, 3).unwrap();
    assert_eq!(outcome, Outcome { done: 12, ..Outcome::default() });
    let executed = mock.executed.lock().unwrap();
    let first = executed.iter().position(|id| id.starts_with("latency-")).unwrap();
    assert_eq!(executed.len() - first, 12);
    assert!(executed[first..].iter().all(|id| id.starts_with("latency-")));
    // Every run had its row before its latency was known.
    assert_eq!(log.scored.lock().unwrap().len(), 12);
    assert_eq!(log.decided.lock().unwrap().len(), 12);
}

#[test]
fn a_run_keeps_its_scores_where_its_latency_fails_or_is_not_reached() {
    let bench = bench_with_latency();
    let (outcome, _) = bench.sweep(&Mock { interrupts: named("latency-one_shot-s1"), ..Mock::default() }, 1);
    let outcome = outcome.unwrap();
    assert!(outcome.done < 12 && outcome.done + outcome.missing == 12);
    let mock = Mock { fails: named("latency-one_shot-s1"), ..Mock::default() };
    let (again, decided) = bench.sweep(&mock, 1);
    let again = again.unwrap();
    assert_eq!((again.kept, again.done, again.failed.len()), (outcome.done, outcome.missing - 1, 1));
    assert_eq!(again.failed[0].1, "latency: loss is NaN");
    assert!(decided.iter().all(|(_, failure)| failure.is_none()), "no row is a failed one");
    assert!(mock.executed.lock().unwrap().iter().all(|id| id.starts_with("latency-")));
}

#[test]
fn results_that_cannot_be_written_stop_the_sweep() {
    let bench = Bench::new();
    let log = Log { full_disk: AtomicBool::new(true), ..Log::default() };
    let mock = Mock::default();
    assert!(matches!(bench.swept(&mock, &log, 1), Err(RunError::Panicked(_))));
    assert!(mock.executed.lock().unwrap().len() < bench.plan.stages.len());
}

#[test]
fn only_whole_stages_are_in_the_store() {
    let bench = Bench::new();
    bench.sweep(&Mock { fails: named("one_shot-s1"), ..Mock::default() }, 2).0.unwrap();
    for (stage, key) in bench.plan.stages.iter().zip(&bench.keys) {
        let folder = bench.store.folder(&stage.id);
        assert_eq!(folder.join("result").exists(), folder.join("stage.json").exists());
        if folder.exists() {
            let found = bench.store.find(key).unwrap().unwrap();
            bench.store.verify(&found).unwrap();
            assert_eq!(found.record.identity, stage.identity);
        }
    }
    assert!(bench.plan.stages.iter().any(|stage| matches!(stage.kind, StageKind::Evaluation(_))));
    let names = std::fs::read_dir(bench.store.results().join("store")).unwrap();
    assert!(names.flatten().all(|entry| !entry.file_name().to_string_lossy().starts_with(".tmp-")));
}

/// What `gc` shows: stages of other plans, and what processes left that have ended.
#[test]
fn what_nobody_names_or_works_on_is_found_and_deleted() {
    let bench = Bench::new();
    bench.sweep(&Mock::default(), 1).0.unwrap();
    assert!(bench.store.unnamed(&bench.keys).unwrap().is_empty());
    let root = bench.store.root();
    let this = crate::base::process::Process::current();
    let ended = crate::base::process::Process { started: 1, ..this.clone() }.to_string();
    let day = std::time::SystemTime::now() - Duration::from_secs(25 * 60 * 60);
    for (process, beat) in
        [(&*ended, None), (&*this.to_string(), None), ("00000000-7-7", Some(day)), ("00000000-8-8", None)]
    {
        std::fs::create_dir_all(root.join("work").join(process).join("half")).unwrap();
        let file = std::fs::File::create(root.join("workers").join(format!("{process}.json"))).unwrap();
        beat.into_iter().for_each(|beat| file.set_modified(beat).unwrap());
    }
    let (named, other) = bench.keys.split_at(bench.keys.len() - 1);
    let unnamed = bench.store.unnamed(named).unwrap();
    let mut expected =
        vec![root.join(&other[0].id), root.join("work/00000000-7-7"), root.join("work").join(ended)];
    expected.sort();
    assert_eq!(unnamed, expected);
    unnamed.iter().for_each(|folder| bench.store.delete(folder).unwrap());
    bench.store.delete(&unnamed[0]).unwrap();
    assert!(bench.store.unnamed(named).unwrap().is_empty());
    assert!(
        !root.join("workers/00000000-7-7.json").exists() && root.join("workers/00000000-8-8.json").exists()
    );
}

mod discard;
