//! The sweep: workers take ready stages in plan order until nothing is left to do.
//!
//! A stage is taken once all of its inputs are in the store and nobody else is at work on it (`store::claims`), and begins
//! once the files of its inputs are found to be what was written; a damaged input is set aside and made again. A stage that
//! fails takes its dependants with it, each with the reason; all other runs go on. Whenever a run is decided, done or failed,
//! here or by another process, the listener hears of it.
//!
//! Latencies are measured when nothing else is left that could run, one after another, and while nobody else is at work on
//! this machine: a measurement beside other work would be of both.
mod shared;
mod work;

use self::work::work_off;
use super::error::RunError;
use super::executor::{Executor, Progress, StageFailure};
use super::graph::Graph;
use super::store::{Claims, Failure, StageKey, Store};
use crate::plan::{Plan, Run, Stage};
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Where a stage stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StageState {
    /// No run that is still to be done needs it.
    NotNeeded,
    Waiting,
    Running,
    Done,
    Failed {
        reason: String,
        /// Place of the stage that failed first: itself, or one that it needs.
        cause: usize,
    },
}

/// Hears what the sweep does; called from the workers' threads.
pub trait Listener: Sync {
    /// `worker` begins a stage; what is returned shows its progress.
    fn stage_started<'s>(&'s self, worker: usize, stage: &'s Stage) -> Box<dyn Progress + 's>;
    /// `worker` is done with a stage after so many seconds.
    fn stage_finished(&self, worker: usize, stage: &Stage, result: &Result<(), StageFailure>, seconds: f64);
    /// Another process has carried out a stage that this sweep would have.
    fn stage_done_elsewhere(&self, _stage: &Stage) {}
    /// True when the sweep should stop; a stage under way hears it from its own progress.
    fn interrupted(&self) -> bool {
        false
    }
    /// The disk is full. True where something that can be made again was deleted, so that it is worth another attempt.
    fn make_room(&self) -> bool {
        false
    }
    /// A finished stage was found to be damaged, and is made again.
    fn stage_damaged(&self, stage: &Stage, damage: &RunError);
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
    keys: &'a [StageKey],
    store: &'a Store,
    claims: &'a Claims,
    /// Failures of earlier attempts that are to be tried again; any other is one of now.
    forgiven: Vec<Option<Failure>>,
    graph: Graph,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    stages: Vec<StageState>,
    /// Places of stages that wait with all of their inputs done.
    ready: BTreeSet<usize>,
    /// Those of them that others hold, to be looked at again.
    elsewhere: BTreeSet<usize>,
    /// How long until then.
    poll: Duration,
    running: usize,
    /// Runs whose decision the listener has heard of.
    decided: Vec<bool>,
    outcome: Outcome,
    stop: bool,
    error: Option<RunError>,
}

/// What is to be there of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Nothing,
    /// Its scores and its latency: a model that was discarded once it was scored is not missed.
    Results,
    /// Its model as well.
    Model,
}

impl Need {
    /// The same of every run of `plan`.
    pub fn of_all(self, plan: &Plan) -> Vec<Need> {
        vec![self; plan.runs.len()]
    }

    /// Places of the stages of `run` that are to be there.
    fn stages(self, run: &Run) -> impl Iterator<Item = usize> {
        let results = (self != Need::Nothing).then_some(run.evaluation);
        let latency = run.latency.filter(|_| self != Need::Nothing);
        let model = (self == Need::Model).then_some(run.model);
        [model, results, latency].into_iter().flatten()
    }
}

/// Which stages have to be carried out: those that a run needs for what is to be there of it (`needs`, one for each run) and that are
/// not in the store. A stage whose header is damaged is not in the store.
pub fn stage_states(plan: &Plan, keys: &[StageKey], store: &Store, needs: &[Need]) -> Vec<StageState> {
    let mut states = vec![StageState::NotNeeded; plan.stages.len()];
    let mut looked_at: Vec<usize> = Vec::new();
    let need = |place: usize, states: &mut [StageState], next: &mut Vec<usize>| {
        if states[place] == StageState::NotNeeded {
            states[place] = StageState::Waiting;
            next.push(place);
        }
    };
    for (run, of_run) in plan.runs.iter().zip(needs) {
        of_run.stages(run).for_each(|place| need(place, &mut states, &mut looked_at));
    }
    let names = store.names();
    // Of what is not there its inputs are looked at next. Thousands of small files: reading them waits more than it computes.
    while !looked_at.is_empty() {
        let is_done = |key: &StageKey| names.may_have(key) && store.is_done(key);
        let done: Vec<bool> = looked_at.par_iter().map(|place| is_done(&keys[*place])).collect();
        let mut next = Vec::new();
        for (place, is_done) in looked_at.into_iter().zip(done) {
            match is_done {
                true => states[place] = StageState::Done,
                false => {
                    plan.stages[place].inputs.iter().for_each(|input| need(input, &mut states, &mut next))
                }
            }
        }
        looked_at = next;
    }
    states
}

/// Whether all is there of `run` that is to be there.
pub fn is_done(run: &Run, need: Need, states: &[StageState]) -> bool {
    need.stages(run).all(|place| states[place] == StageState::Done)
}

/// What is swept, and how.
pub struct Job<'a> {
    pub plan: &'a Plan,
    /// Of the plan's stages.
    pub keys: &'a [StageKey],
    pub store: &'a Store,
    pub claims: &'a Claims,
    /// Of every run of the plan.
    pub needs: &'a [Need],
    /// Whether what failed in earlier attempts is tried again.
    pub retry: bool,
    pub workers: usize,
    /// Of each worker.
    pub threads: usize,
}

/// Carries out all wanted runs that the store does not hold yet.
///
/// # Errors
/// Results cannot be written, or threads not be made. Failing runs are no error: see [`Outcome::failed`].
pub fn sweep(job: &Job<'_>, executor: &dyn Executor, listener: &dyn Listener) -> Result<Outcome, RunError> {
    let Job { plan, keys, store, claims, needs, workers, threads, .. } = *job;
    let stages = stage_states(plan, keys, store, needs);
    // What nothing is needed of is nothing to wait for.
    let decided: Vec<bool> =
        plan.runs.iter().zip(needs).map(|(run, need)| is_done(run, *need, &stages)).collect();
    let kept = decided.iter().zip(needs).filter(|(done, need)| **done && **need != Need::Nothing).count();
    let noted = |place: usize| match stages[place] {
        StageState::Waiting if job.retry => store.noted_failure(&keys[place]),
        _ => None,
    };
    let forgiven = (0..plan.stages.len()).map(noted).collect();
    let work = stages.iter().filter(|state| **state == StageState::Waiting).count();
    let mut state = State {
        stages,
        ready: BTreeSet::new(),
        elsewhere: BTreeSet::new(),
        poll: shared::FIRST_POLL,
        running: 0,
        decided,
        outcome: Outcome { kept, ..Outcome::default() },
        stop: false,
        error: None,
    };
    (0..plan.stages.len()).for_each(|place| state.settle(plan, place));
    let graph = Graph::new(plan, needs);
    let (state, changed) = (Mutex::new(state), Condvar::new());
    let shared = Shared { plan, keys, store, claims, forgiven, graph, state, changed };
    let failed_threads = |error: String| RunError::Threads { threads, reason: error };
    std::thread::scope(|scope| {
        for worker in 0..workers.clamp(1, work.max(1)) {
            let shared = &shared;
            let work = move || match rayon::ThreadPoolBuilder::new().num_threads(threads).build() {
                Ok(pool) => work_off(shared, worker, &pool, executor, listener),
                Err(error) => shared.lock().stop_for(failed_threads(error.to_string())),
            };
            if let Err(error) = std::thread::Builder::new().spawn_scoped(scope, work) {
                shared.lock().stop_for(failed_threads(error.to_string()));
            }
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
