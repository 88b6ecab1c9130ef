//! One `run` of an experiment: takes the results folder, sweeps, and keeps the result tables whole at every moment.
use super::error::RunError;
use super::executor::{Executor, Progress, StageFailure};
use super::progress::{Display, Style};
use super::store::Store;
use super::sweep::{Listener, Outcome, StageState, is_done, stage_states, sweep};
use crate::base::files::{remove_leftovers, write_atomic};
use crate::base::lock::try_lock;
use crate::plan::{Plan, Stage, document};
use crate::record::rows::{LATENCY_FILE, RECORD_FILE};
use crate::record::{LatencyRow, Provenance, RecordError, RunIdentity, RunRecord, Status, collect};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

/// Runs at once, and threads of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrangement {
    pub workers: usize,
    pub threads: usize,
}

/// How a plan is to be carried out; nothing here changes a number.
pub struct Options<'a> {
    /// Asked once it is sure that there is work and that its results can be kept.
    pub arrange: &'a dyn Fn(&[StageState]) -> Arrangement,
    pub style: Style,
    /// Set from outside to stop: stages under way save their state.
    pub interrupted: Arc<AtomicBool>,
}

/// Carries out what `results` does not hold of `plan` yet.
///
/// # Errors
/// The folder cannot be written to or is in use; result tables cannot be written. Failing runs are no error.
pub fn carry_out(
    plan: &Plan,
    results: &Path,
    executor: &dyn Executor,
    options: &Options<'_>,
) -> Result<Outcome, RunError> {
    let unwritable = |source| RunError::Unwritable { path: results.to_path_buf(), source };
    fs::create_dir_all(results).map_err(unwritable)?;
    let Some(_lock) = try_lock(results).map_err(unwritable)? else {
        return Err(RunError::Busy { path: results.to_path_buf() });
    };
    remove_leftovers(results).map_err(unwritable)?;
    let store = Store::at(results);
    store.prepare()?;
    write_plan(results, &document(plan))?;

    let states = stage_states(plan, &store);
    let to_do = || plan.stages.iter().zip(&states).filter(|(_, state)| **state == StageState::Waiting);
    let records = Records { plan, store: &store, results, rows: Mutex::default() };
    records.gather(&states)?;
    let mut arrangement = Arrangement { workers: 1, threads: 1 };
    if to_do().next().is_some() {
        arrangement = (options.arrange)(&states);
        let ranks = plan.experiment.engine.data_parallel;
        let threads = arrangement.workers * arrangement.threads * ranks;
        let engine = serde_json::to_value(plan.engine).ok();
        let engine = engine.as_ref().and_then(|name| name.as_str()).unwrap_or_default();
        let source_tree = Path::new(env!("CARGO_MANIFEST_DIR"));
        Provenance::gather(source_tree, engine, threads).write(results).map_err(collected)?;
    }
    let done = plan.runs.iter().filter(|run| is_done(run, &states)).count();
    let stages = to_do().map(|(stage, _)| stage);
    let display = Display::new(options.style, stages, plan.runs.len(), done, options.interrupted.clone());
    let watch = Watch { display: &display, records: &records };
    let outcome = sweep(plan, &store, executor, &watch, arrangement.workers, arrangement.threads);
    display.close();
    outcome
}

/// Writes `plan.json` where it is not there already.
///
/// # Errors
/// The folder cannot be created or written to.
pub fn write_plan(results: &Path, document: &serde_json::Value) -> Result<(), RunError> {
    let path = results.join("plan.json");
    let unwritable = |source| RunError::Unwritable { path: results.to_path_buf(), source };
    let mut text = serde_json::to_vec_pretty(document).map_err(std::io::Error::from).map_err(unwritable)?;
    text.push(b'\n');
    if fs::read(&path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::create_dir_all(results).map_err(unwritable)?;
    write_atomic(&path, &text).map_err(unwritable)
}

fn collected(error: RecordError) -> RunError {
    RunError::Collect(error.to_string())
}

/// The rows known so far, by the run's place in the plan.
struct Records<'a> {
    plan: &'a Plan,
    store: &'a Store,
    results: &'a Path,
    rows: Mutex<BTreeMap<usize, RunRecord>>,
}

impl Records<'_> {
    /// Reads the rows of all runs that the store holds, and of those that failed the last time.
    fn gather(&self, states: &[StageState]) -> Result<(), RunError> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        for (place, run) in self.plan.runs.iter().enumerate() {
            let id = &self.plan.stages[run.evaluation].id;
            if states[run.evaluation] == StageState::Done {
                rows.insert(place, self.row(place, None)?);
            } else if let Some(reason) = self.store.failure(id) {
                rows.insert(place, self.row(place, Some(&reason))?);
            }
        }
        self.write(&rows)
    }

    fn decide(&self, place: usize, failure: Option<&str>) -> Result<(), RunError> {
        let row = self.row(place, failure)?;
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.insert(place, row);
        self.write(&rows)
    }

    /// What the run's evaluation measured, and its latency where that is known, under the run's name; a failed run has a
    /// name and a reason.
    fn row(&self, place: usize, failure: Option<&str>) -> Result<RunRecord, RunError> {
        let run = &self.plan.runs[place];
        let model = &self.plan.stages[run.model].id;
        let identity = RunIdentity {
            run: run.id.clone(),
            arm: run.arm.label(),
            seed: run.seed,
            status: if failure.is_some() { Status::Failed } else { Status::Ok },
            reason: failure.map(|reason| reason.replace('\n', "; ")),
            stage: (failure.is_none() || self.store.is_done(model)).then(|| model.clone()),
        };
        let axes = self.plan.experiment.axes.iter().zip(&run.axes);
        let axes = axes.map(|(axis, value)| (axis.key.clone(), value.clone().unwrap_or_default())).collect();
        if failure.is_some() {
            return Ok(RunRecord::new(identity, axes));
        }
        let corrupt = |path: PathBuf, what: String| RunError::Corrupt { path, what };
        let folder = self.store.folder(&self.plan.stages[run.evaluation].id);
        let measured =
            RunRecord::read(&folder).map_err(|error| corrupt(folder.join(RECORD_FILE), error.to_string()))?;
        let latency = run.latency.map(|place| self.plan.stages[place].id.as_str());
        let latency = match latency.filter(|id| self.store.is_done(id)) {
            Some(id) => LatencyRow::read(&self.store.folder(id))
                .map_err(|error| corrupt(self.store.folder(id).join(LATENCY_FILE), error.to_string()))?,
            None => Vec::new(),
        };
        Ok(RunRecord { identity, axes, latency, ..measured })
    }

    fn write(&self, rows: &BTreeMap<usize, RunRecord>) -> Result<(), RunError> {
        let rows: Vec<RunRecord> = rows.values().cloned().collect();
        collect(self.results, &rows).map_err(collected)
    }
}

/// Shows the sweep and keeps its results.
struct Watch<'a> {
    display: &'a Display,
    records: &'a Records<'a>,
}

impl Listener for Watch<'_> {
    fn stage_started<'s>(&'s self, worker: usize, stage: &'s Stage) -> Box<dyn Progress + 's> {
        Box::new(self.display.start(worker, stage))
    }

    fn stage_finished(&self, worker: usize, stage: &Stage, result: &Result<(), StageFailure>, seconds: f64) {
        self.display.finish(worker, stage, result, seconds);
    }

    fn run_scored(&self, run: usize) -> Result<(), RunError> {
        self.records.decide(run, None)
    }

    fn run_decided(&self, run: usize, failure: Option<&str>) -> Result<(), RunError> {
        self.records.decide(run, failure)?;
        self.display.decided();
        Ok(())
    }
}
