//! The result tables of a plan, merged from the records in the store.
//!
//! Records are written once, by the stages that measure them. To merge them costs time in proportion to all runs, so while
//! a sweep goes on it is done only so often that it takes a hundredth of the time, and once more at the end.
use super::error::RunError;
use super::store::{Claim, Claims, Finished, StageKey, Store};
use super::sweep::StageState;
use crate::base::hash::{sha256_file, sha256_hex};
use crate::base::json::lines;
use crate::plan::{Document, Plan, declared, document, document_with, freeze};
use crate::record::provenance::ENVIRONMENT_FILE;
use crate::record::rows::{LATENCY_FILE, RECORD_FILE};
use crate::record::{LatencyRow, RecordError, RunIdentity, RunRecord, Snapshot, Status, Tables, derived};
use serde_json::{Value, json};
use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Name of the plan beside the tables.
pub(super) const PLAN_FILE: &str = "plan.json";
/// Claim of whoever writes the tables.
const TABLES_CLAIM: &str = "tables";
/// Between two looks whether another process has written them.
const PAUSE: Duration = Duration::from_millis(50);
/// How often tables are written again because somebody else wrote at the same time.
const MOST_DISTURBED: u32 = 20;
/// Tables are not merged again before so many times the duration of the last time are over, and not before the least.
const PACE: u32 = 100;
const LEAST_PAUSE: Duration = Duration::from_secs(1);

/// Writes the tables of one plan.
pub(super) struct Merger<'a> {
    plan: &'a Plan,
    keys: &'a [StageKey],
    store: &'a Store,
    claims: &'a Claims,
    results: &'a Path,
    /// `environment.json`.
    pub provenance: Option<Vec<u8>>,
    /// `plan.json`, once it was needed.
    plan_text: OnceCell<Vec<u8>>,
    next: Instant,
}

impl<'a> Merger<'a> {
    pub fn new(plan: &'a Plan, keys: &'a [StageKey], store: &'a Store, claims: &'a Claims) -> Self {
        let (results, plan_text) = (store.results(), OnceCell::new());
        Merger { plan, keys, store, claims, results, provenance: None, plan_text, next: Instant::now() }
    }

    /// Merges the records if that is due and nobody else is at it.
    pub fn merge_in_time(&mut self) -> Result<(), RunError> {
        if Instant::now() < self.next {
            return Ok(());
        }
        let Some(claim) = self.claim()? else { return Ok(()) };
        match self.write() {
            // Merged again when that is due, and at the end.
            Err(error) if is_missing(&error) || !claim.holds() => Ok(()),
            written => written,
        }
    }

    /// Merges the records, after whoever is at it. A process that was suspended while it wrote, and followed, goes on with its own
    /// files beside those of its follower, and each may take the other's away: both write again, the last of them alone.
    pub fn merge(&mut self) -> Result<(), RunError> {
        let mut disturbed = 0;
        loop {
            if let Some(claim) = self.claim()? {
                let written = self.write();
                let is_disturbed =
                    !claim.holds() || written.as_ref().is_err_and(is_missing) && self.results.exists();
                if !is_disturbed || disturbed == MOST_DISTURBED {
                    return written;
                }
                disturbed += 1;
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn claim(&self) -> Result<Option<Claim<'a>>, RunError> {
        let take = || self.claims.take(TABLES_CLAIM, false);
        take().or_else(|error| if error.is_full() && make_room(self.results) { take() } else { Err(error) })
    }

    /// Merges all records of finished runs, and the reasons of those that failed, into the tables. A record that is found
    /// to be damaged now is left out: the next start makes it again. Where the disk is full, room is made by what can be made
    /// again, and tables take the place of the old ones one by one.
    fn write(&mut self) -> Result<(), RunError> {
        let started = Instant::now();
        let mut written = self.write_all(Tables::begin);
        if written.as_ref().is_err_and(RunError::is_full) && make_room(self.results) {
            written = self.write_all(Tables::begin);
        }
        if written.as_ref().is_err_and(RunError::is_full) {
            written = self.write_all(Tables::begin_in_memory);
        }
        written?;
        self.next = Instant::now() + LEAST_PAUSE.max(PACE * started.elapsed());
        Ok(())
    }

    fn write_all(
        &self,
        begin: fn(&'a Path, Vec<String>) -> Result<Tables<'a>, RecordError>,
    ) -> Result<(), RunError> {
        let axes = self.plan.experiment.axes.iter().map(|axis| axis.key.clone()).collect();
        let mut tables = begin(self.results, axes)?;
        let mut decided = 0;
        for place in 0..self.plan.runs.len() {
            match self.record(place) {
                Ok(Some(record)) => {
                    tables.add(&record)?;
                    decided += 1;
                }
                Ok(None) => {}
                Err(error @ RunError::Damaged { .. }) => {
                    tracing::warn!("{error}; the run is left out of the tables, run again to make it anew");
                }
                Err(error) => return Err(error),
            }
        }
        // What is asked is frozen before there is an answer: a question that is added later is told as such.
        let unfrozen;
        let plan: &[u8] = match decided {
            0 => {
                unfrozen = plan_file(self.results, self.plan, false)?;
                &unfrozen
            }
            _ => {
                if self.plan_text.get().is_none() {
                    let _ = self.plan_text.set(plan_file(self.results, self.plan, true)?);
                }
                self.plan_text.get().map_or(&[], Vec::as_slice)
            }
        };
        let mut others: Vec<(&str, &[u8])> = vec![(PLAN_FILE, plan)];
        others.extend(self.provenance.as_deref().map(|bytes| (ENVIRONMENT_FILE, bytes)));
        tables.commit(&others)?;
        Ok(())
    }

    /// Checks the records of all runs that are done; those of damaged stages are set aside, so that they are made again.
    /// Returns what was damaged.
    pub fn check(&self, states: &[StageState]) -> Result<Vec<RunError>, RunError> {
        let mut damaged = Vec::new();
        for run in &self.plan.runs {
            for place in std::iter::once(run.evaluation).chain(run.latency) {
                if states[place] != StageState::Done {
                    continue;
                }
                match self.checked(place) {
                    Ok(_) => {}
                    Err(error @ RunError::Damaged { .. }) => {
                        if let RunError::Damaged { path, .. } = &error {
                            self.store.set_aside(path)?;
                        }
                        damaged.push(error);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(damaged)
    }

    /// The finished stage at `place`, its files checked; `None` where it is not done.
    fn checked(&self, place: usize) -> Result<Option<Finished>, RunError> {
        let found = self.store.find(&self.keys[place])?;
        if let Some(finished) = &found {
            self.store.verify(finished)?;
        }
        Ok(found)
    }

    /// What the run's evaluation measured, and its latency where that is known, under the run's name; a failed run has a
    /// name and a reason; `None` for a run that is neither.
    fn record(&self, place: usize) -> Result<Option<RunRecord>, RunError> {
        let run = &self.plan.runs[place];
        let evaluation = self.checked(run.evaluation)?;
        let failure = match &evaluation {
            Some(_) => None,
            None => self.store.failure(&self.keys[run.evaluation]),
        };
        if evaluation.is_none() && failure.is_none() {
            return Ok(None);
        }
        let name =
            |finished: Finished| finished.folder.file_name().map(|name| name.to_string_lossy().into_owned());
        // The model may have been deleted since: its name is known all the same.
        let model = self.store.find(&self.keys[run.model]).ok().flatten().and_then(name);
        let planned = failure.is_none().then(|| self.keys[run.model].id.clone());
        let identity = RunIdentity {
            run: run.id.clone(),
            arm: run.arm.label(),
            seed: run.seed,
            status: if failure.is_some() { Status::Failed } else { Status::Ok },
            reason: failure.as_ref().map(|reason| reason.replace('\n', "; ")),
            stage: model.or(planned),
        };
        let axes = self.plan.experiment.axes.iter().zip(&run.axes);
        let axes = axes.map(|(axis, value)| (axis.key.clone(), value.clone().unwrap_or_default())).collect();
        let Some(evaluation) = evaluation else { return Ok(Some(RunRecord::new(identity, axes))) };
        let damaged =
            |path: PathBuf| move |error: RecordError| RunError::Damaged { path, what: error.to_string() };
        let measured =
            RunRecord::read(&evaluation.folder).map_err(damaged(evaluation.folder.join(RECORD_FILE)))?;
        let latency = match run.latency.map(|place| self.checked(place)).transpose()?.flatten() {
            Some(stage) => {
                LatencyRow::read(&stage.folder).map_err(damaged(stage.folder.join(LATENCY_FILE)))?
            }
            None => Vec::new(),
        };
        Ok(Some(RunRecord { identity, axes, latency, ..measured }))
    }
}

/// A file that was there a moment ago is not.
fn is_missing(error: &RunError) -> bool {
    matches!(error, RunError::Tables(RecordError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound)
}

/// Deletes the report of before, which will not agree with the tables any more, and says so. Returns false where there is none.
pub(super) fn make_room(results: &Path) -> bool {
    let removed = derived::remove(results);
    if removed {
        tell!(
            "warning: the disk is full: the report in `{}` is deleted to make room; it is made again at the end",
            results.display()
        );
    }
    removed
}

/// The plan as text, without what is frozen beside it: what a process carries out.
pub(super) fn plan_text(plan: &Plan) -> Result<Vec<u8>, RunError> {
    text_of(&document(plan))
}

fn text_of(document: &Document<'_>) -> Result<Vec<u8>, RunError> {
    lines(document).map_err(malformed)
}

/// As earlier versions wrote it.
fn old_text_of(document: &Document<'_>) -> Result<Vec<u8>, RunError> {
    let mut text = serde_json::to_vec_pretty(document).map_err(malformed)?;
    text.push(b'\n');
    Ok(text)
}

fn malformed(error: serde_json::Error) -> RunError {
    RecordError::Json { path: PLAN_FILE.into(), message: error.to_string() }.into()
}

/// The contents of `plan.json`: the plan and, under `declared`, the questions that were asked before the first result.
/// Where there are results already, those of the file that is there; without one nobody can tell which they were, and none
/// counts.
fn plan_file(results: &Path, plan: &Plan, has_results: bool) -> Result<Vec<u8>, RunError> {
    let asked = match has_results {
        false => declared(plan),
        true => declared_in(results).unwrap_or_else(|what| {
            tell!(
                "warning: {what}\nwarning: which questions were asked before the first result cannot be told without it: all count as exploratory"
            );
            freeze(&json!([]), &json!([]))
        }),
    };
    text_of(&document_with(plan, asked))
}

/// What the plan in this folder declared; one of an earlier version froze nothing, and all it asked counts.
///
/// # Errors
/// Why that cannot be told: there is no plan, or it is not what was written.
pub(super) fn declared_in(results: &Path) -> Result<Value, String> {
    #[derive(serde::Deserialize)]
    struct Asked {
        declared: Option<Value>,
        comparisons: Option<Value>,
        questions: Option<Value>,
    }
    let path = results.join(PLAN_FILE);
    let files = Snapshot::read(results, &[PLAN_FILE]).map_err(|error| error.to_string())?;
    let missing = || format!("`{}` is missing", path.display());
    let text = files.get(PLAN_FILE).ok_or_else(missing)?;
    let malformed = |what: &str| format!("`{}` is not what was written: {what}", path.display());
    let plan: Asked = serde_json::from_slice(text).map_err(|error| malformed(&error.to_string()))?;
    let none = || json!([]);
    let of_earlier = || Some(freeze(&plan.comparisons?, &plan.questions.unwrap_or_else(none)));
    plan.declared.or_else(of_earlier).ok_or_else(|| malformed("it asks nothing"))
}

/// Writes `plan.json` beside no results, or where it is there already. Returns false where the folder has results of
/// another plan of the same experiment, or of none that can be read: those keep theirs until `run` makes the new ones.
///
/// # Errors
/// The folder cannot be created or written to, or holds another experiment's results.
pub fn write_plan(results: &Path, plan: &Plan) -> Result<bool, RunError> {
    belongs_to(results, &plan.experiment.name)?;
    let path = results.join(PLAN_FILE);
    let unwritable = |source| RunError::Unwritable { path: results.to_path_buf(), source };
    let is_there = |text: &[u8]| sha256_file(&path).is_ok_and(|old| old == sha256_hex(text));
    // Tables may have been deleted, and be merged again from what was scored.
    if results.join(crate::record::dictionary::RUNS).exists() || Store::at(results).has_evaluations() {
        let Ok(asked) = declared_in(results) else { return Ok(false) };
        let document = document_with(plan, asked);
        return Ok(is_there(&text_of(&document)?) || is_there(&old_text_of(&document)?));
    }
    let text = plan_file(results, plan, false)?;
    if is_there(&text) {
        return Ok(true);
    }
    std::fs::create_dir_all(results).map_err(unwritable)?;
    crate::base::files::write_atomic(&path, &text).map_err(unwritable)?;
    Ok(true)
}

/// Refuses a folder whose plan is that of another experiment.
pub(super) fn belongs_to(results: &Path, experiment: &str) -> Result<(), RunError> {
    // A plan that cannot be read any more says nothing; it is written anew.
    let plan = Snapshot::read(results, &[PLAN_FILE]).ok();
    let plan = plan.as_ref().and_then(|files| files.get(PLAN_FILE));
    /// Of ten thousand runs the rest is tens of megabytes.
    #[derive(serde::Deserialize)]
    struct Named {
        experiment: String,
    }
    let plan: Option<Named> = plan.and_then(|bytes| serde_json::from_slice(bytes).ok());
    match plan {
        Some(Named { experiment: found }) if found != experiment => Err(RunError::OtherExperiment {
            path: results.to_path_buf(),
            found,
            asked: experiment.to_string(),
        }),
        _ => Ok(()),
    }
}
