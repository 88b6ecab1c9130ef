//! One `run` of an experiment: takes the results folder, sweeps, and leaves result tables that agree with the plan.
use super::discard::FinalModels;
use super::earlier;
use super::error::RunError;
use super::executor::{Executor, Progress, StageFailure};
use super::progress::{Display, Style};
use super::store::{Claims, StageKey, Store, keys};
use super::sweep::{Job, Listener, Need, Outcome, StageState, is_done, stage_states, sweep};
use super::tables::{Merger, belongs_to, make_room, plan_text};
use crate::base::files::remove_leftovers;
use crate::base::hash::sha256_hex;
use crate::plan::{Plan, Run, Stage, StageKind};
use crate::record::provenance::ENVIRONMENT_FILE;
use crate::record::{Provenance, Snapshot};
use rayon::prelude::*;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
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
    pub wanted: Wanted,
    /// Whether what failed in earlier attempts is tried again.
    pub retry: bool,
    /// Whether models are deleted that were scored and that no other stage needs.
    pub discard_models: bool,
    /// Whether models that were discarded are made again.
    pub restore_models: bool,
    /// Set from outside to stop: stages under way save their state.
    pub interrupted: Arc<AtomicBool>,
}

/// Which runs of a plan are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    #[default]
    All,
    /// Only those that failed in an earlier attempt.
    Failed,
    /// One arm, or the run of one arm and seed.
    Only { arm: String, seed: Option<u64> },
    /// One run, by its name.
    Run(String),
}

/// Carries out what `results` does not hold of `plan` yet, beside whoever else is at work on it. What it holds is checked
/// first: what is damaged is set aside, told, and made again.
///
/// # Errors
/// The folder cannot be written to, or holds another experiment's results or an earlier version's store; somebody else
/// carries out another plan in it; result tables cannot be written. Failing runs are no error.
pub fn carry_out(
    plan: &Plan,
    results: &Path,
    executor: &dyn Executor,
    options: &Options<'_>,
) -> Result<Outcome, RunError> {
    let unwritable = |source| RunError::Unwritable { path: results.to_path_buf(), source };
    fs::create_dir_all(results).map_err(unwritable)?;
    belongs_to(results, &plan.experiment.name)?;
    for folder in [results.to_path_buf(), results.join("figures")] {
        remove_leftovers(&folder).map_err(unwritable)?;
    }
    let store = Store::at(results);
    store.prepare()?;
    let (keys, hash) = (keys(plan), plan_hash(plan)?);
    let claims = match store.enter(&hash) {
        Err(error) if error.is_full() && make_room(results) => store.enter(&hash)?,
        entered => entered?,
    };
    refuse_other_plans(&claims, results, &hash)?;

    let begun = store.begun();
    let looked = |key: &StageKey| match store.summary(key) {
        Ok(Some(_)) => {
            if begun.contains(&key.long_name()) {
                store.clear_partial(key);
            }
            None
        }
        found => found.err(),
    };
    let faults: Vec<RunError> = keys.par_iter().filter_map(looked).collect();
    for fault in faults {
        let RunError::Damaged { .. } = fault else { return Err(fault) };
        set_aside(&store, &fault)?;
    }
    let needs = needs(plan, &keys, &store, options);
    let mut merger = Merger::new(plan, &hash, &keys, &store, &claims);
    merger.provenance = known_provenance(results);
    merger.check(&stage_states(plan, &keys, &store, &needs))?.iter().for_each(tell_damage);
    let states = stage_states(plan, &keys, &store, &needs);
    let to_do = || plan.stages.iter().zip(&states).filter(|(_, state)| **state == StageState::Waiting);
    let mut arrangement = Arrangement { workers: 1, threads: 1 };
    let is_work = to_do().next().is_some();
    if is_work {
        arrangement = (options.arrange)(&states);
    }
    // Where models alone are made again, the tables tell of those who made them first.
    let is_measured = |stage: &Stage| matches!(stage.kind, StageKind::Evaluation(_) | StageKind::Latency(_));
    if to_do().any(|(stage, _)| is_measured(stage)) || merger.provenance.is_none() {
        let ranks = plan.experiment.engine.data_parallel;
        let threads = arrangement.workers * arrangement.threads * ranks;
        let engine = serde_json::to_value(plan.engine).ok();
        let engine = engine.as_ref().and_then(|name| name.as_str()).unwrap_or_default();
        let source_tree = Path::new(env!("CARGO_MANIFEST_DIR"));
        let known = merger.provenance.as_deref().and_then(|json| serde_json::from_slice(json).ok());
        let provenance = Provenance::gather(source_tree, engine, threads).or_commit_of(known.as_ref());
        merger.provenance = Some(provenance.to_json()?);
    }
    if let Some(earlier) = earlier::keep(results, &store, &claims)? {
        tell!(
            "note: `{}` holds results and not the store that they came from; they are kept in `{}`",
            results.display(),
            earlier.display()
        );
    }
    merger.merge()?;
    let wanted: Vec<_> = plan.runs.iter().zip(&needs).filter(|(_, need)| **need != Need::Nothing).collect();
    let done = wanted.iter().filter(|(run, need)| is_done(run, **need, &states)).count();
    let stages = to_do().map(|(stage, _)| stage);
    let num_runs = wanted.len();
    let display = Display::new(options.style, stages, num_runs, done, options.interrupted.clone());
    let final_models = options.discard_models.then(|| FinalModels::of(plan, &keys, &store));
    if let Some(models) = &final_models {
        tell_undeleted(models.discard_all());
    }
    let watch = Watch {
        plan,
        final_models,
        display: &display,
        merger: Mutex::new(merger),
        interrupted: &options.interrupted,
        results,
        has_made_room: AtomicBool::new(false),
    };
    let job = Job {
        plan,
        keys: &keys,
        store: &store,
        claims: &claims,
        needs: &needs,
        retry: options.retry,
        workers: arrangement.workers,
        threads: arrangement.threads,
    };
    let outcome = sweep(&job, executor, &watch);
    display.close();
    // Whatever ended the sweep: the tables tell of every run that is decided.
    let merged = watch.merger.into_inner().unwrap_or_else(PoisonError::into_inner).merge();
    let outcome = outcome?;
    merged?;
    claims.clear_dead();
    Ok(outcome)
}

/// SHA-256 of `plan.json`: what a process carries out.
///
/// # Errors
/// None in practice: a plan is texts and numbers.
pub fn plan_hash(plan: &Plan) -> Result<String, RunError> {
    Ok(sha256_hex(&plan_text(plan)?))
}

/// Two plans in one folder would take turns at its tables.
///
/// # Errors
/// [`RunError::Busy`] where somebody else is at work on another plan.
pub fn refuse_other_plans(claims: &Claims, results: &Path, plan: &str) -> Result<(), RunError> {
    match claims.others()?.into_iter().find(|other| other.plan != plan) {
        Some(other) => {
            let number = other.process.split('-').nth(1).unwrap_or_default();
            let who = format!("process {number} on {}", other.host);
            Err(RunError::Busy { path: results.to_path_buf(), who })
        }
        None => Ok(()),
    }
}

fn needs(plan: &Plan, keys: &[StageKey], store: &Store, options: &Options<'_>) -> Vec<Need> {
    let is_wanted = |run: &Run| match &options.wanted {
        Wanted::All => true,
        Wanted::Failed => {
            let stages = [Some(run.evaluation), Some(run.model), run.latency];
            stages.into_iter().flatten().any(|place| store.failure(&keys[place]).is_some())
        }
        Wanted::Only { arm, seed } => run.arm.label() == *arm && seed.is_none_or(|seed| run.seed == seed),
        Wanted::Run(name) => run.id == *name,
    };
    let of = |run: &Run| match (is_wanted(run), options.restore_models) {
        (false, _) => Need::Nothing,
        (true, false) => Need::Results,
        (true, true) => Need::Model,
    };
    plan.runs.iter().map(of).collect()
}

/// `environment.json` as it was written; `None` where there is none or where it was changed since.
fn known_provenance(results: &Path) -> Option<Vec<u8>> {
    match Snapshot::read(results, &[ENVIRONMENT_FILE]) {
        Ok(files) => files.get(ENVIRONMENT_FILE).map(<[u8]>::to_vec),
        Err(error) => {
            tracing::warn!("{error}; it is written anew and tells of this run");
            None
        }
    }
}

fn set_aside(store: &Store, damage: &RunError) -> Result<(), RunError> {
    if let RunError::Damaged { path, .. } = damage {
        store.set_aside(path)?;
    }
    tell_damage(damage);
    Ok(())
}

fn tell_damage(damage: &RunError) {
    tell!("warning: {damage}; the stage is set aside in `store/damaged` and made again where it is needed");
}

/// A model that cannot be deleted takes room and is no reason to stop.
fn tell_undeleted(deleted: std::io::Result<()>) {
    if let Err(error) = deleted {
        tracing::warn!("a model that is not needed any more stays in the store: {error}");
    }
}

/// Shows the sweep and keeps its results.
struct Watch<'a> {
    plan: &'a Plan,
    /// Where they are to be discarded.
    final_models: Option<FinalModels<'a>>,
    display: &'a Display,
    merger: Mutex<Merger<'a>>,
    interrupted: &'a AtomicBool,
    results: &'a Path,
    /// Once: who looks on may write a page again and again.
    has_made_room: AtomicBool,
}

impl Watch<'_> {
    fn merge(&self) -> Result<(), RunError> {
        self.merger.lock().unwrap_or_else(PoisonError::into_inner).merge_in_time()
    }
}

impl Listener for Watch<'_> {
    fn stage_started<'s>(&'s self, worker: usize, stage: &'s Stage) -> Box<dyn Progress + 's> {
        Box::new(self.display.start(worker, stage))
    }

    fn stage_finished(&self, worker: usize, stage: &Stage, result: &Result<(), StageFailure>, seconds: f64) {
        self.display.finish(worker, stage, result, seconds);
    }

    fn stage_done_elsewhere(&self, stage: &Stage) {
        self.display.elsewhere(stage);
    }

    fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    fn make_room(&self) -> bool {
        !self.has_made_room.swap(true, Ordering::Relaxed) && make_room(self.results)
    }

    fn stage_damaged(&self, stage: &Stage, damage: &RunError) {
        self.display.again(stage);
        tell_damage(damage);
    }

    fn run_scored(&self, _: usize) -> Result<(), RunError> {
        self.merge()
    }

    fn run_decided(&self, run: usize, _: Option<&str>) -> Result<(), RunError> {
        if let Some(models) = &self.final_models {
            tell_undeleted(models.discard(self.plan.runs[run].model));
        }
        self.merge()?;
        self.display.decided();
        Ok(())
    }
}
