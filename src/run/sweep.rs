//! The sweep: workers take ready stages in plan order until nothing is left to do.
//!
//! A stage is taken once all of its inputs are in the store. A stage that fails takes its dependants with it, each
//! with the reason; all other runs go on. Whenever a run is decided, done or failed, the listener hears of it, so that
//! result tables are complete at every moment.
//!
//! Latencies are measured when nothing else is left that could run, one after another: a measurement beside other work
//! would be of both.
use super::error::RunError;
use super::executor::{Executor, InputFolders, Progress, StageFailure, Task};
use super::memory::peak_memory_bytes;
use super::store::{StageRecord, Store};
use crate::plan::{Plan, Run, Stage, StageKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Where a stage stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StageState {
    /// No run that is still to be done needs it.
    NotNeeded,
    Waiting,
    Running,
    Done,
    Failed(String),
}

/// Hears what the sweep does; called from the workers' threads.
pub trait Listener: Sync {
    /// `worker` begins a stage; what is returned shows its progress.
    fn stage_started<'s>(&'s self, worker: usize, stage: &'s Stage) -> Box<dyn Progress + 's>;
    /// `worker` is done with a stage after so many seconds.
    fn stage_finished(&self, worker: usize, stage: &Stage, result: &Result<(), StageFailure>, seconds: f64);
    /// The run at this place of the plan is scored, and its latency is still to be measured. Calls do not overlap.
    ///
    /// # Errors
    /// Results cannot be written: the sweep stops.
    fn run_scored(&self, run: usize) -> Result<(), RunError>;
    /// The run is decided: done, or failed with a reason. Calls do not overlap.
    ///
    /// # Errors
    /// As [`Listener::run_scored`].
    fn run_decided(&self, run: usize, failure: Option<&str>) -> Result<(), RunError>;
}

/// What became of the runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Runs that were done before.
    pub kept: usize,
    /// Runs done now.
    pub done: usize,
    /// Places in the plan of runs that failed, with reasons; one that is scored may still lack its latency.
    pub failed: Vec<(usize, String)>,
    /// Runs that were not reached because the sweep was interrupted.
    pub missing: usize,
}

struct Shared<'a> {
    plan: &'a Plan,
    store: &'a Store,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    stages: Vec<StageState>,
    /// Runs whose decision the listener has heard of.
    decided: Vec<bool>,
    outcome: Outcome,
    stop: bool,
    error: Option<RunError>,
}

/// Which stages have to be carried out: those that a run without results needs and that are not in the store.
pub fn stage_states(plan: &Plan, store: &Store) -> Vec<StageState> {
    let mut states = vec![StageState::NotNeeded; plan.stages.len()];
    for place in (0..plan.stages.len()).rev() {
        let of_run = |run: &Run| run.evaluation == place || run.latency == Some(place);
        let wanted = plan.runs.iter().any(of_run) || states[place] == StageState::Waiting;
        if !wanted {
            continue;
        }
        if store.is_done(&plan.stages[place].id) {
            states[place] = StageState::Done;
        } else {
            states[place] = StageState::Waiting;
            plan.stages[place].inputs.iter().for_each(|input| states[input] = StageState::Waiting);
        }
    }
    states
}

/// Whether nothing of `run` is left to do.
pub fn is_done(run: &Run, states: &[StageState]) -> bool {
    let done = |place: usize| states[place] == StageState::Done;
    done(run.evaluation) && run.latency.is_none_or(done)
}

/// Carries out all runs of `plan` that `store` does not hold yet, with `workers` threads of which each gives
/// `threads` to its stage.
///
/// # Errors
/// Results cannot be written, or threads not be made. Failing runs are no error: see [`Outcome::failed`].
pub fn sweep(
    plan: &Plan,
    store: &Store,
    executor: &dyn Executor,
    listener: &dyn Listener,
    workers: usize,
    threads: usize,
) -> Result<Outcome, RunError> {
    let stages = stage_states(plan, store);
    let decided: Vec<bool> = plan.runs.iter().map(|run| is_done(run, &stages)).collect();
    let kept = decided.iter().filter(|decided| **decided).count();
    let outcome = Outcome { kept, ..Outcome::default() };
    let work = stages.iter().filter(|state| **state == StageState::Waiting).count();
    let state = State { stages, decided, outcome, stop: false, error: None };
    let shared = Shared { plan, store, state: Mutex::new(state), changed: Condvar::new() };
    let pools: Vec<rayon::ThreadPool> = (0..workers.clamp(1, work.max(1)))
        .map(|_| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .map_err(|error| RunError::Threads { threads, reason: error.to_string() })
        })
        .collect::<Result<_, _>>()?;
    std::thread::scope(|scope| {
        for (worker, pool) in pools.iter().enumerate() {
            let shared = &shared;
            scope.spawn(move || work_off(shared, worker, pool, executor, listener));
        }
    });
    let state = shared.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    match state.error {
        Some(error) => Err(error),
        None => {
            let missing = state.decided.iter().filter(|decided| !**decided).count();
            Ok(Outcome { missing, ..state.outcome })
        }
    }
}

/// One worker: takes stages until none is left or the sweep stops.
fn work_off(
    shared: &Shared<'_>,
    worker: usize,
    pool: &rayon::ThreadPool,
    executor: &dyn Executor,
    listener: &dyn Listener,
) {
    while let Some(place) = shared.take() {
        let stage = &shared.plan.stages[place];
        let started = Instant::now();
        let progress = listener.stage_started(worker, stage);
        let result = carry_out(shared, stage, (worker, pool), executor, progress.as_ref(), started);
        drop(progress);
        listener.stage_finished(worker, stage, &result, started.elapsed().as_secs_f64());
        shared.finish(place, result, listener);
    }
}

fn carry_out(
    shared: &Shared<'_>,
    stage: &Stage,
    (worker, pool): (usize, &rayon::ThreadPool),
    executor: &dyn Executor,
    progress: &dyn Progress,
    started: Instant,
) -> Result<(), StageFailure> {
    let store = shared.store;
    let folder = store.begin()?;
    let partial = store.partial(&stage.id)?;
    let of = |place: Option<usize>| place.map(|place| store.folder(&shared.plan.stages[place].id));
    let inputs = InputFolders {
        corpus: of(stage.inputs.corpus),
        source: of(stage.inputs.source),
        pruning_aware: of(stage.inputs.pruning_aware),
        model: of(stage.inputs.model),
    };
    let task = Task { plan: shared.plan, stage, worker, inputs, folder: folder.path(), partial: &partial };
    // A defect in one stage must not take the other runs with it.
    let result = catch_unwind(AssertUnwindSafe(|| pool.install(|| executor.execute(&task, progress))));
    result.unwrap_or_else(|payload| {
        Err(StageFailure::Failed(format!("panicked: {}", panic_message(&payload))))
    })?;
    let record = StageRecord {
        id: stage.id.clone(),
        identity: stage.identity.clone(),
        seconds: started.elapsed().as_secs_f64(),
        peak_memory_bytes: peak_memory_bytes(),
        estimated_flops: stage.cost.flops,
    };
    store.commit(stage, folder, &record)?;
    Ok(())
}

fn panic_message(payload: &Box<dyn std::any::Any + Send>) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| text.to_string());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

impl Shared<'_> {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first stage whose inputs are all there, waiting while other workers may still make one ready.
    fn take(&self) -> Option<usize> {
        let mut state = self.lock();
        loop {
            if state.stop {
                return None;
            }
            let ready = |place: &usize| {
                state.stages[*place] == StageState::Waiting
                    && self.plan.stages[*place]
                        .inputs
                        .iter()
                        .all(|input| state.stages[input] == StageState::Done)
            };
            let alone = |place: &usize| matches!(self.plan.stages[*place].kind, StageKind::Latency(_));
            let quiet = !state.stages.contains(&StageState::Running);
            let mut places = 0..state.stages.len();
            let next = places.clone().find(|place| ready(place) && !alone(place));
            let next = next.or_else(|| places.find(|place| quiet && ready(place)));
            if let Some(place) = next {
                state.stages[place] = StageState::Running;
                return Some(place);
            }
            if quiet {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Notes what became of a stage, fails its dependants if it failed, and tells of runs that are decided by it.
    fn finish(&self, place: usize, result: Result<(), StageFailure>, listener: &dyn Listener) {
        let mut state = self.lock();
        match result {
            Ok(()) => state.stages[place] = StageState::Done,
            Err(StageFailure::Interrupted) => {
                state.stages[place] = StageState::Waiting;
                state.stop = true;
            }
            Err(StageFailure::Failed(reason)) => self.fail(&mut state, place, reason),
        }
        // The lock is held while the listener writes, so that its calls do not overlap; a stage takes far longer.
        for (index, run) in self.plan.runs.iter().enumerate() {
            if state.decided[index] || state.error.is_some() {
                continue;
            }
            let latency = run.latency.map(|place| &state.stages[place]);
            // Without its latency a run still has its scores: its row says so, the outcome says what is missing.
            let (of_row, of_run) = match (&state.stages[run.evaluation], latency) {
                (StageState::Failed(reason), _) => (Some(reason.clone()), Some(reason.clone())),
                (StageState::Done, Some(StageState::Failed(reason))) => {
                    (None, Some(format!("latency: {reason}")))
                }
                (StageState::Done, None | Some(StageState::Done)) => (None, None),
                (StageState::Done, _) if place == run.evaluation => {
                    if let Err(error) = listener.run_scored(index) {
                        state.error = Some(error);
                        state.stop = true;
                    }
                    continue;
                }
                _ => continue,
            };
            state.decided[index] = true;
            if let Err(error) = listener.run_decided(index, of_row.as_deref()) {
                state.error = Some(error);
                state.stop = true;
            }
            match of_run {
                None => state.outcome.done += 1,
                Some(reason) => state.outcome.failed.push((index, reason)),
            }
        }
        drop(state);
        self.changed.notify_all();
    }

    fn fail(&self, state: &mut State, place: usize, reason: String) {
        let id = &self.plan.stages[place].id;
        // The reason is also in the run's row; only its copy for `status` is lost where this cannot be written.
        let _ = self.store.note_failure(id, &reason);
        let passed_on = format!("needs {id}, which failed: {reason}");
        state.stages[place] = StageState::Failed(reason);
        for later in place + 1..self.plan.stages.len() {
            let stage = &self.plan.stages[later];
            let hit = stage.inputs.iter().any(|input| {
                input == place || matches!(&state.stages[input], StageState::Failed(r) if *r == passed_on)
            });
            if hit && state.stages[later] == StageState::Waiting {
                state.stages[later] = StageState::Failed(passed_on.clone());
                let _ = self.store.note_failure(&stage.id, &passed_on);
            }
        }
    }
}
