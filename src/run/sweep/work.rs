//! One worker of a sweep: takes stages, carries them out, and tells what came of each.
use super::super::error::RunError;
use super::super::executor::{Executor, InputFolders, Progress, StageFailure, Task};
use super::super::memory::peak_memory_bytes;
use super::super::store::{Claim, Claims, StageRecord};
use super::{Listener, Shared};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// What came of an attempt at a stage.
pub(super) enum Attempt {
    Ended(Result<(), StageFailure>),
    /// Another process holds it, or there is room for it now: it is looked at again after a while.
    Elsewhere,
    /// Another process has finished it, or has failed at it.
    Decided(Result<(), StageFailure>),
    /// The store cannot be written to.
    Stopped(RunError),
    /// The input at this place is not what was written, and nothing came of the stage.
    DamagedInput(usize, RunError),
}

/// One worker: takes stages until none is left or the sweep stops. Whatever panics, the stage is let go.
pub(super) fn work_off(
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
                Err(Attempt::Stopped(error)) if error.is_full() && listener.make_room() => {
                    return Attempt::Elsewhere;
                }
                Err(attempt) => return attempt,
            };
            let progress = listener.stage_started(worker, stage);
            let attempt =
                carry_out(shared, place, &claim, (worker, pool), executor, progress.as_ref(), started);
            drop(progress);
            if matches!(attempt, Attempt::Ended(Err(StageFailure::Full(_)))) && listener.make_room() {
                return Attempt::Elsewhere;
            }
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
        Err(failure) => match damaged_input(shared, place) {
            Some((input, damage)) => Attempt::DamagedInput(input, damage),
            None => Attempt::Ended(Err(failure)),
        },
    }
}

/// An input of the stage at `place` that is not there any more, or not what was written: another stage may have found it damaged and
/// set it aside while this one read it, and this one's failure is then no failure of its run.
fn damaged_input(shared: &Shared<'_>, place: usize) -> Option<(usize, RunError)> {
    shared.plan.stages[place].inputs.iter().find_map(|input| match shared.checked_folder(input) {
        Err(damage @ RunError::Damaged { .. }) => Some((input, damage)),
        _ => None,
    })
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

pub(super) fn panicked(payload: &Box<dyn std::any::Any + Send>) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| text.to_string());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    format!("panicked: {}", text.unwrap_or_else(|| "no message".into()))
}
