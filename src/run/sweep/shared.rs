//! What the workers of a sweep share: which stages are ready, which others hold, and what becomes of runs when a stage ends.
use super::super::error::RunError;
use super::super::executor::StageFailure;
use super::super::store::Claim;
use super::work::{Attempt, panicked};
use super::{Listener, Shared, StageState, State};
use crate::plan::Plan;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

/// Between two looks whether others have finished what is waited for: at first, and where nothing has ended for long.
pub(super) const FIRST_POLL: Duration = Duration::from_millis(20);
const LAST_POLL: Duration = Duration::from_millis(300);

/// Calls the listener; its panic is an error like any other that it may tell.
fn heard(call: impl FnOnce() -> Result<(), RunError>) -> Result<(), RunError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| Err(RunError::Panicked(panicked(&payload))))
}

impl State {
    /// Notes whether the stage at `place` can begin.
    pub(super) fn settle(&mut self, plan: &Plan, place: usize) {
        let done = |input: usize| self.stages[input] == StageState::Done;
        if self.stages[place] == StageState::Waiting && plan.stages[place].inputs.iter().all(done) {
            self.ready.insert(place);
        } else {
            self.ready.remove(&place);
        }
    }

    pub(super) fn stop_for(&mut self, error: RunError) {
        self.error.get_or_insert(error);
        self.stop = true;
    }
}

impl Shared<'_> {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the stage at `place` for this process, or tells what others have made of it.
    pub(super) fn claim(&self, place: usize) -> Result<Claim<'_>, Attempt> {
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
            if self.store.is_done(key) || self.is_needless(place) {
                return Some(Attempt::Decided(Ok(())));
            }
            let failure =
                self.store.noted_failure(key).filter(|noted| self.forgiven[place].as_ref() != Some(noted));
            failure.map(|failure| Attempt::Decided(Err(StageFailure::Failed(failure.reason))))
        };
        // Most of what others held has been finished by them: that is seen without a claim, which is a file to be written.
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

    /// Whether others have made everything from the stage at `place` already, and may have discarded it since.
    fn is_needless(&self, place: usize) -> bool {
        let made = &self.graph.dependents[place];
        self.graph.runs[place].is_empty()
            && !made.is_empty()
            && made.iter().all(|place| self.store.is_done(&self.keys[*place]))
    }

    /// Another process holds the stage at `place`.
    pub(super) fn leave(&self, place: usize) {
        let mut state = self.lock();
        state.running -= 1;
        state.stages[place] = StageState::Waiting;
        state.elsewhere.insert(place);
        drop(state);
        self.changed.notify_all();
    }

    /// Ends the sweep; the stage at `place` was not begun.
    pub(super) fn stop(&self, place: usize, error: RunError) {
        let mut state = self.lock();
        state.running -= 1;
        state.stages[place] = StageState::Waiting;
        state.stop_for(error);
        drop(state);
        self.changed.notify_all();
    }

    /// Folder of a finished stage, every file of it checked.
    pub(super) fn checked_folder(&self, place: usize) -> Result<PathBuf, RunError> {
        let found = self.store.files(&self.keys[place])?;
        let Some(stage) = found else {
            let path = self.store.folder(&self.keys[place].id);
            return Err(RunError::Damaged { path, what: "it is not there any more".into() });
        };
        stage.verify()?;
        Ok(stage.folder)
    }

    /// The first stage whose inputs are all there, waiting while other workers may still make one ready.
    pub(super) fn take(&self, listener: &dyn Listener) -> Option<usize> {
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
                let poll = state.poll;
                let waited = self.changed.wait_timeout(state, poll);
                let timeout;
                (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                if timeout.timed_out() {
                    state.poll = (2 * poll).min(LAST_POLL);
                    let again = std::mem::take(&mut state.elsewhere);
                    again.into_iter().for_each(|place| state.settle(self.plan, place));
                }
            }
        }
    }

    /// Notes what became of a stage, carried out by us or by another process, fails its dependants if it failed, and tells of runs that are decided by it.
    pub(super) fn finish(
        &self,
        place: usize,
        result: Result<(), StageFailure>,
        by_us: bool,
        listener: &dyn Listener,
    ) {
        let mut state = self.lock();
        state.running -= 1;
        state.poll = FIRST_POLL;
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
        let to_be_there = self.graph.runs[run.model].contains(&index);
        let model = Some(&state.stages[run.model]).filter(|_| to_be_there);
        // Without its latency a run still has its scores: its row says so, the outcome says what is missing.
        let (of_row, of_run) = match (&state.stages[run.evaluation], latency) {
            (StageState::Failed { reason, .. }, _) => (Some(reason.clone()), Some(reason.clone())),
            (StageState::Done, Some(StageState::Failed { reason, .. })) => {
                (None, Some(format!("latency: {reason}")))
            }
            // Its scores are there from before, and its model was to be made again.
            (StageState::Done, _) if let Some(StageState::Failed { reason, .. }) = model => {
                (None, Some(format!("model: {reason}")))
            }
            (StageState::Done, _) if model.is_some_and(|model| *model != StageState::Done) => return,
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
                    // Who failed has noted it, and a note of now would be a new failure to those who try again what failed before.
                    let key = &self.keys[*dependent];
                    if by_us || self.store.noted_failure(key).is_none() {
                        let _ = self.store.note_failure(key, &passed_on);
                    }
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
    pub(super) fn make_again(&self, place: usize, input: usize, damage: &RunError, listener: &dyn Listener) {
        let mut state = self.lock();
        state.running -= 1;
        state.stages[place] = StageState::Waiting;
        // Another worker may have come upon it first, and be at work on it already, or another process may have made it again.
        if state.stages[input] == StageState::Done && self.checked_folder(input).is_err() {
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
