//! The sweep: workers take ready stages in plan order until nothing is left to do.
//!
//! A stage is taken once all of its inputs are in the store and nobody else is at work on it (`store::claims`), and begins
//! once the files of its inputs are found to be what was written; a damaged input is set aside and made again. A stage that
//! fails takes its dependants with it, each with the reason; all other runs go on. Whenever a run is decided, done or failed,
//! here or by another process, the listener hears of it.
//!
//! Latencies are measured when nothing else is left that could run, one after another, and while nobody else is at work on
//! this machine: a measurement beside other work would be of both.
use super::error::RunError;
use super::executor::{Executor, InputFolders, Progress, StageFailure, Task};
use super::graph::Graph;
use super::memory::peak_memory_bytes;
use super::store::{Claim, Claims, Failure, StageKey, StageRecord, Store};
use crate::plan::{Plan, Run, Stage};
use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often is looked whether others have finished what is waited for.
const POLL: Duration = Duration::from_millis(300);

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
    running: usize,
    /// Runs whose decision the listener has heard of.
    decided: Vec<bool>,
    outcome: Outcome,
    stop: bool,
    error: Option<RunError>,
}

/// Which stages have to be carried out: those that a wanted run without results needs and that are not in the store. A stage whose
/// header is damaged is not in the store.
pub fn stage_states(plan: &Plan, keys: &[StageKey], store: &Store, wanted: &[bool]) -> Vec<StageState> {
    let mut states = vec![StageState::NotNeeded; plan.stages.len()];
    for (run, _) in plan.runs.iter().zip(wanted).filter(|(_, wanted)| **wanted) {
        states[run.evaluation] = StageState::Waiting;
        run.latency.into_iter().for_each(|latency| states[latency] = StageState::Waiting);
    }
    for place in (0..plan.stages.len()).rev() {
        if states[place] != StageState::Waiting {
            continue;
        }
        if store.is_done(&keys[place]) {
            states[place] = StageState::Done;
        } else {
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

/// What is swept, and how.
pub struct Job<'a> {
    pub plan: &'a Plan,
    /// Of the plan's stages.
    pub keys: &'a [StageKey],
    pub store: &'a Store,
    pub claims: &'a Claims,
    /// For every run of the plan, whether it is to be carried out.
    pub wanted: &'a [bool],
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
    let Job { plan, keys, store, claims, wanted, workers, threads, .. } = *job;
    let stages = stage_states(plan, keys, store, wanted);
    let is_kept = |(run, wanted): (&Run, &bool)| *wanted && is_done(run, &stages);
    let kept = plan.runs.iter().zip(wanted).filter(|(run, wanted)| is_kept((run, wanted))).count();
    // What is not wanted is nothing to wait for.
    let decided: Vec<bool> =
        plan.runs.iter().zip(wanted).map(|(run, wanted)| !wanted || is_kept((run, wanted))).collect();
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
        running: 0,
        decided,
        outcome: Outcome { kept, ..Outcome::default() },
        stop: false,
        error: None,
    };
    (0..plan.stages.len()).for_each(|place| state.settle(plan, place));
    let graph = Graph::new(plan);
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

/// What came of an attempt at a stage.
enum Attempt {
    Ended(Result<(), StageFailure>),
    /// Another process holds it.
    Elsewhere,
    /// Another process has finished it, or has failed at it.
    Decided(Result<(), StageFailure>),
    /// The store cannot be written to.
    Stopped(RunError),
    /// The input at this place is not what was written; nothing was begun.
    DamagedInput(usize, RunError),
}

/// One worker: takes stages until none is left or the sweep stops. Whatever panics, the stage is let go.
fn work_off(
    shared: &Shared<'_>,
    worker: usize,
    pool: &rayon::ThreadPool,
    executor: &dyn Executor,
    listener: &dyn Listener,
) {
    while let Some(place) = shared.take(listener) {
        let stage = &shared.plan.stages[place];
        let started = Instant::now();
        let attempt = catch_unwind(AssertUnwindSafe(|| {
            let claim = match shared.claim(place) {
                Ok(claim) => claim,
                Err(attempt) => return attempt,
            };
            let progress = listener.stage_started(worker, stage);
            let attempt =
                carry_out(shared, place, &claim, (worker, pool), executor, progress.as_ref(), started);
            drop(progress);
            if let Attempt::Ended(result) = &attempt {
                listener.stage_finished(worker, stage, result, started.elapsed().as_secs_f64());
            }
            attempt
        }));
        match attempt {
            Ok(Attempt::Ended(result)) => shared.finish(place, result, true, listener),
            Ok(Attempt::Decided(result)) => {
                if result.is_ok() {
                    listener.stage_done_elsewhere(stage);
                }
                shared.finish(place, result, false, listener);
            }
            Ok(Attempt::Elsewhere) => shared.leave(place),
            Ok(Attempt::Stopped(error)) => shared.stop(place, error),
            Ok(Attempt::DamagedInput(input, damage)) => shared.make_again(place, input, &damage, listener),
            Err(payload) => {
                shared.finish(place, Err(StageFailure::Failed(panicked(&payload))), true, listener);
            }
        }
    }
}

fn carry_out(
    shared: &Shared<'_>,
    place: usize,
    claim: &Claim<'_>,
    (worker, pool): (usize, &rayon::ThreadPool),
    executor: &dyn Executor,
    progress: &dyn Progress,
    started: Instant,
) -> Attempt {
    let stage = &shared.plan.stages[place];
    let mut folders = HashMap::new();
    for input in stage.inputs.iter() {
        match shared.checked_folder(input) {
            Ok(folder) => drop(folders.insert(input, folder)),
            Err(error @ RunError::Damaged { .. }) => return Attempt::DamagedInput(input, error),
            Err(error) => return Attempt::Ended(Err(error.into())),
        }
    }
    let made = || -> Result<bool, StageFailure> {
        let key = &shared.keys[place];
        let of = |place: Option<usize>| place.and_then(|place| folders.get(&place).cloned());
        let inputs = InputFolders {
            corpus: of(stage.inputs.corpus),
            source: of(stage.inputs.source),
            teacher: of(stage.inputs.teacher),
            other: of(stage.inputs.other),
            model: of(stage.inputs.model),
            source_evaluation: of(stage.inputs.source_evaluation),
        };
        let (folder, partial) = (shared.store.begin(shared.claims)?, shared.store.partial(key, claim)?);
        let task = Task {
            plan: shared.plan,
            stage,
            identity: &key.identity_sha256,
            worker,
            inputs,
            folder: folder.path(),
            partial: &partial,
        };
        // A defect in one stage must not take the other runs with it.
        let name = key.long_name();
        let told = Told { progress, claims: shared.claims, name: &name };
        catch_unwind(AssertUnwindSafe(|| pool.install(|| executor.execute(&task, &told))))
            .unwrap_or_else(|payload| Err(StageFailure::Failed(panicked(&payload))))?;
        let record = StageRecord {
            format: StageRecord::FORMAT,
            id: key.id.clone(),
            identity: stage.identity.clone(),
            identity_sha256: key.identity_sha256.clone(),
            seconds: started.elapsed().as_secs_f64(),
            peak_memory_bytes: peak_memory_bytes(),
            estimated_flops: stage.cost.flops,
            files: Default::default(),
        };
        Ok(shared.store.commit(key, claim, folder, record)?)
    };
    match made() {
        Ok(true) => Attempt::Ended(Ok(())),
        Err(StageFailure::Interrupted) => Attempt::Ended(Err(StageFailure::Interrupted)),
        // Who was taken for dead and followed leaves the stage to its follower: what went wrong may be that.
        Ok(false) => Attempt::Elsewhere,
        Err(_) if !claim.holds() => Attempt::Elsewhere,
        Err(failure) => Attempt::Ended(Err(failure)),
    }
}

/// Passes progress on, and to who looks on from elsewhere.
struct Told<'a> {
    progress: &'a dyn Progress,
    claims: &'a Claims,
    name: &'a str,
}

impl Progress for Told<'_> {
    fn update(&self, done: u64, total: u64, loss: Option<f64>, params: Option<u64>) {
        self.claims.tell(self.name, done, total);
        self.progress.update(done, total, loss, params);
    }

    fn interrupted(&self) -> bool {
        self.progress.interrupted()
    }
}

fn panicked(payload: &Box<dyn std::any::Any + Send>) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| text.to_string());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    format!("panicked: {}", text.unwrap_or_else(|| "no message".into()))
}

/// Calls the listener; its panic is an error like any other that it may tell.
fn heard(call: impl FnOnce() -> Result<(), RunError>) -> Result<(), RunError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| Err(RunError::Panicked(panicked(&payload))))
}

impl State {
    /// Notes whether the stage at `place` can begin.
    fn settle(&mut self, plan: &Plan, place: usize) {
        let done = |input: usize| self.stages[input] == StageState::Done;
        if self.stages[place] == StageState::Waiting && plan.stages[place].inputs.iter().all(done) {
            self.ready.insert(place);
        } else {
            self.ready.remove(&place);
        }
    }

    fn stop_for(&mut self, error: RunError) {
        self.error.get_or_insert(error);
        self.stop = true;
    }
}

impl Shared<'_> {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the stage at `place` for this process, or tells what others have made of it.
    fn claim(&self, place: usize) -> Result<Claim<'_>, Attempt> {
        let key = &self.keys[place];
        let taken = || -> Result<Option<Claim<'_>>, RunError> {
            let beside = self.claims.beside()?;
            let (alone, company) = (self.graph.alone[place], beside.iter().any(|claim| claim.alone));
            if company || alone && !beside.is_empty() {
                return Ok(None);
            }
            self.claims.take(&key.long_name(), alone)
        };
        let decided = || -> Option<Attempt> {
            if self.store.is_done(key) {
                return Some(Attempt::Decided(Ok(())));
            }
            let failure =
                self.store.noted_failure(key).filter(|noted| self.forgiven[place].as_ref() != Some(noted));
            failure.map(|failure| Attempt::Decided(Err(StageFailure::Failed(failure.reason))))
        };
        // Most of what others held has been finished by them: that is seen without a claim, which is a file to be synced.
        if let Some(attempt) = decided() {
            return Err(attempt);
        }
        match taken() {
            Err(error) => Err(Attempt::Stopped(error)),
            Ok(None) => Err(Attempt::Elsewhere),
            // It may have been decided between the last look and now.
            Ok(Some(claim)) => decided().map_or(Ok(claim), Err),
        }
    }

    /// Another process holds the stage at `place`.
    fn leave(&self, place: usize) {
        let mut state = self.lock();
        state.running -= 1;
        state.stages[place] = StageState::Waiting;
        state.elsewhere.insert(place);
        drop(state);
        self.changed.notify_all();
    }

    /// Ends the sweep; the stage at `place` was not begun.
    fn stop(&self, place: usize, error: RunError) {
        let mut state = self.lock();
        state.running -= 1;
        state.stages[place] = StageState::Waiting;
        state.stop_for(error);
        drop(state);
        self.changed.notify_all();
    }

    /// Folder of a finished stage, every file of it checked.
    fn checked_folder(&self, place: usize) -> Result<PathBuf, RunError> {
        let found = self.store.find(&self.keys[place])?;
        let Some(finished) = found else {
            let path = self.store.folder(&self.keys[place].id);
            return Err(RunError::Damaged { path, what: "it is not there any more".into() });
        };
        self.store.verify(&finished)?;
        Ok(finished.folder)
    }

    /// The first stage whose inputs are all there, waiting while other workers may still make one ready.
    fn take(&self, listener: &dyn Listener) -> Option<usize> {
        let mut state = self.lock();
        loop {
            if !state.elsewhere.is_empty() && listener.interrupted() {
                state.stop = true;
            }
            if state.stop {
                self.changed.notify_all();
                return None;
            }
            let beside = state.ready.iter().find(|place| !self.graph.alone[**place]).copied();
            let next = match state.running {
                0 => beside.or_else(|| state.ready.first().copied()),
                _ => beside,
            };
            if let Some(place) = next {
                state.ready.remove(&place);
                state.stages[place] = StageState::Running;
                state.running += 1;
                return Some(place);
            }
            if state.elsewhere.is_empty() {
                if state.running == 0 {
                    return None;
                }
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            } else {
                // What others hold is looked at again after a while, by one worker at a time.
                let waited = self.changed.wait_timeout(state, POLL);
                let timeout;
                (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                if timeout.timed_out() {
                    let again = std::mem::take(&mut state.elsewhere);
                    again.into_iter().for_each(|place| state.settle(self.plan, place));
                }
            }
        }
    }

    /// Notes what became of a stage, carried out by us or by another process, fails its dependants if it failed, and tells of runs that are decided by it.
    fn finish(&self, place: usize, result: Result<(), StageFailure>, by_us: bool, listener: &dyn Listener) {
        let mut state = self.lock();
        state.running -= 1;
        let touched = match result {
            Ok(()) => {
                state.stages[place] = StageState::Done;
                vec![place]
            }
            Err(StageFailure::Interrupted) => {
                state.stages[place] = StageState::Waiting;
                state.stop = true;
                Vec::new()
            }
            Err(failure) => self.fail(&mut state, place, failure.to_string(), by_us),
        };
        for place in &touched {
            for dependent in &self.graph.dependents[*place] {
                state.settle(self.plan, *dependent);
            }
        }
        // The lock is held while the listener writes, so that its calls do not overlap; a stage takes far longer.
        let runs: BTreeSet<usize> =
            touched.iter().flat_map(|place| &self.graph.runs[*place]).copied().collect();
        for index in runs {
            if !state.decided[index] && state.error.is_none() {
                self.decide(&mut state, index, place, listener);
            }
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Tells of a run, where its evaluation or its latency, which just ended at `place`, decides it.
    fn decide(&self, state: &mut State, index: usize, place: usize, listener: &dyn Listener) {
        let run = &self.plan.runs[index];
        let latency = run.latency.map(|place| &state.stages[place]);
        // Without its latency a run still has its scores: its row says so, the outcome says what is missing.
        let (of_row, of_run) = match (&state.stages[run.evaluation], latency) {
            (StageState::Failed { reason, .. }, _) => (Some(reason.clone()), Some(reason.clone())),
            (StageState::Done, Some(StageState::Failed { reason, .. })) => {
                (None, Some(format!("latency: {reason}")))
            }
            (StageState::Done, None | Some(StageState::Done)) => (None, None),
            (StageState::Done, _) if place == run.evaluation => {
                if let Err(error) = heard(|| listener.run_scored(index)) {
                    state.stop_for(error);
                }
                return;
            }
            _ => return,
        };
        state.decided[index] = true;
        if let Err(error) = heard(|| listener.run_decided(index, of_row.as_deref())) {
            state.stop_for(error);
        }
        match of_run {
            None => state.outcome.done += 1,
            Some(reason) => state.outcome.failed.push((index, reason)),
        }
    }

    /// The stage and all that wait for it fail; returns their places.
    fn fail(&self, state: &mut State, place: usize, reason: String, by_us: bool) -> Vec<usize> {
        if by_us {
            // The reason is also told here; only its copy for `status` and the tables is lost where this cannot be written.
            let _ = self.store.note_failure(&self.keys[place], &reason);
        }
        let passed_on = format!("needs {}, which failed: {reason}", self.keys[place].id);
        state.stages[place] = StageState::Failed { reason, cause: place };
        let mut failed = vec![place];
        let mut next = 0;
        while let Some(place) = failed.get(next).copied() {
            next += 1;
            for dependent in &self.graph.dependents[place] {
                if state.stages[*dependent] == StageState::Waiting {
                    let _ = self.store.note_failure(&self.keys[*dependent], &passed_on);
                    state.stages[*dependent] =
                        StageState::Failed { reason: passed_on.clone(), cause: failed[0] };
                    failed.push(*dependent);
                }
            }
        }
        failed.sort_unstable();
        failed
    }

    /// Sets the damaged input of the stage at `place` aside and has it made again, with whatever of its own inputs is not
    /// there any more.
    fn make_again(&self, place: usize, input: usize, damage: &RunError, listener: &dyn Listener) {
        let mut state = self.lock();
        state.running -= 1;
        state.stages[place] = StageState::Waiting;
        // Another worker may have come upon it first, or be at work on it already.
        if state.stages[input] == StageState::Done {
            let told = heard(|| {
                listener.stage_damaged(&self.plan.stages[input], damage);
                Ok(())
            });
            let aside = match damage {
                RunError::Damaged { path, .. } => self.store.set_aside(path),
                _ => Ok(()),
            };
            if let Err(error) = told.and(aside) {
                state.stop_for(error);
            }
            let mut missing = vec![input];
            while let Some(place) = missing.pop() {
                state.stages[place] = StageState::Waiting;
                for input in self.plan.stages[place].inputs.iter() {
                    match self.store.is_done(&self.keys[input]) {
                        true if state.stages[input] == StageState::NotNeeded => {
                            state.stages[input] = StageState::Done;
                        }
                        true => {}
                        false if matches!(state.stages[input], StageState::NotNeeded | StageState::Done) => {
                            missing.push(input);
                        }
                        false => {}
                    }
                }
            }
            (0..self.plan.stages.len()).for_each(|place| state.settle(self.plan, place));
        } else {
            state.settle(self.plan, place);
        }
        drop(state);
        self.changed.notify_all();
    }
}
