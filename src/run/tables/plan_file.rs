//! `plan.json` beside the tables: the plan, and the questions as they were asked before the first result.
use super::super::error::RunError;
use super::super::store::Store;
use crate::base::json::lines;
use crate::plan::{Document, Plan, declared, document, document_with, freeze};
use crate::record::{RecordError, Snapshot};
use serde_json::{Value, json};
use std::io::{self, Read};
use std::path::Path;

/// Name of the plan beside the tables.
pub(in crate::run) const PLAN_FILE: &str = "plan.json";

/// The plan as text, without what is frozen beside it: what a process carries out.
pub(in crate::run) fn plan_text(plan: &Plan) -> Result<Vec<u8>, RunError> {
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
pub(super) fn contents(results: &Path, plan: &Plan, has_results: bool) -> Result<Vec<u8>, RunError> {
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

/// What a `plan.json` tells of what it is; of ten thousand runs the rest is tens of megabytes.
#[derive(serde::Deserialize)]
struct Told {
    experiment: Option<String>,
    declared: Option<Value>,
    comparisons: Option<Value>,
    questions: Option<Value>,
}

impl Told {
    /// What the plan in this folder says; `None` where there is none.
    ///
    /// # Errors
    /// Why it cannot be told: it is not what was written.
    fn read(results: &Path) -> Result<Option<Self>, String> {
        let files = Snapshot::read(results, &[PLAN_FILE]).map_err(|error| error.to_string())?;
        let Some(text) = files.get(PLAN_FILE) else { return Ok(None) };
        serde_json::from_slice(text).map(Some).map_err(|error| malformed_in(results, &error.to_string()))
    }

    /// The questions; a plan of an earlier version froze nothing, and all it asked counts.
    fn asked(self, results: &Path) -> Result<Value, String> {
        let none = || json!([]);
        let of_earlier = || Some(freeze(&self.comparisons?, &self.questions.unwrap_or_else(none)));
        self.declared.or_else(of_earlier).ok_or_else(|| malformed_in(results, "it asks nothing"))
    }

    /// Refuses a folder whose plan is that of another experiment.
    fn is_of(&self, results: &Path, experiment: &str) -> Result<(), RunError> {
        match &self.experiment {
            Some(found) if found != experiment => Err(RunError::OtherExperiment {
                path: results.to_path_buf(),
                found: found.clone(),
                asked: experiment.to_string(),
            }),
            _ => Ok(()),
        }
    }
}

fn malformed_in(results: &Path, what: &str) -> String {
    format!("`{}` is not what was written: {what}", results.join(PLAN_FILE).display())
}

/// What the plan in this folder declared.
///
/// # Errors
/// Why that cannot be told: there is no plan, or it is not what was written.
pub(in crate::run) fn declared_in(results: &Path) -> Result<Value, String> {
    let missing = || format!("`{}` is missing", results.join(PLAN_FILE).display());
    Told::read(results)?.ok_or_else(missing)?.asked(results)
}

/// Writes `plan.json` beside no results, or where it is there already. Returns false where the folder has results of
/// another plan of the same experiment, or of none that can be read: those keep theirs until `run` makes the new ones.
///
/// # Errors
/// The folder cannot be created or written to, or holds another experiment's results.
pub fn write_plan(results: &Path, plan: &Plan) -> Result<bool, RunError> {
    let told = Told::read(results);
    // A plan that cannot be read any more says nothing.
    if let Ok(Some(told)) = &told {
        told.is_of(results, &plan.experiment.name)?;
    }
    let path = results.join(PLAN_FILE);
    let unwritable = |source| RunError::Unwritable { path: results.to_path_buf(), source };
    let is_there = |text: &[u8]| holds(&path, text);
    // Tables may have been deleted, and be merged again from what was scored.
    if results.join(crate::record::dictionary::RUNS).exists() || Store::at(results).has_evaluations() {
        let Some(Ok(asked)) = told.ok().flatten().map(|told| told.asked(results)) else { return Ok(false) };
        let document = document_with(plan, asked);
        return Ok(is_there(&text_of(&document)?) || is_there(&old_text_of(&document)?));
    }
    let text = contents(results, plan, false)?;
    if is_there(&text) {
        return Ok(true);
    }
    std::fs::create_dir_all(results).map_err(unwritable)?;
    crate::base::files::write_atomic(&path, &text).map_err(unwritable)?;
    Ok(true)
}

/// Whether the file at `path` has these contents, read piece by piece.
fn holds(path: &Path, contents: &[u8]) -> bool {
    let compare = || -> io::Result<bool> {
        let mut file = crate::base::input::open(path)?;
        if file.metadata()?.len() != contents.len() as u64 {
            return Ok(false);
        }
        let mut piece = vec![0; 1 << 16];
        for expected in contents.chunks(piece.len()) {
            let piece = &mut piece[..expected.len()];
            file.read_exact(piece)?;
            if piece != expected {
                return Ok(false);
            }
        }
        Ok(true)
    };
    compare().unwrap_or(false)
}

/// Refuses a folder whose plan is that of another experiment.
///
/// # Errors
/// [`RunError::OtherExperiment`].
pub(in crate::run) fn belongs_to(results: &Path, experiment: &str) -> Result<(), RunError> {
    // A plan that cannot be read any more says nothing; it is written anew.
    Told::read(results).ok().flatten().map_or(Ok(()), |told| told.is_of(results, experiment))
}
