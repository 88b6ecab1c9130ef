//! Models that were scored and that no other stage needs.
//!
//! ```text
//! final model      no other model starts from it, learns from it or takes its widths
//! discardable      a final model in the store, where all that was made from it (evaluations, latencies) is there, too
//! ```
//!
//! Result tables come from evaluations, so they do not change when such a model is deleted. What needs it later (`export`, another
//! task, an evaluation that is found to be damaged) makes it again, to the same bytes, at the cost of its training.
use super::graph::dependents;
use super::store::{StageKey, Store};
use crate::plan::{Plan, Stage, StageKind};
use std::io;
use std::path::PathBuf;

/// The final models of a plan, and what is made from each.
pub struct FinalModels<'a> {
    keys: &'a [StageKey],
    store: &'a Store,
    /// Places of a model and of all that is made from it, in plan order.
    models: Vec<(usize, Vec<usize>)>,
}

impl<'a> FinalModels<'a> {
    /// Those of `plan`, whose stages `keys` names in `store`.
    pub fn of(plan: &Plan, keys: &'a [StageKey], store: &'a Store) -> Self {
        let is_model = |stage: &Stage| matches!(stage.kind, StageKind::Model(_));
        let mut models = Vec::new();
        for (place, made) in dependents(plan).into_iter().enumerate() {
            let scores = |user: &usize| {
                let inputs = &plan.stages[*user].inputs;
                inputs.model == Some(place) && inputs.iter().filter(|input| *input == place).count() == 1
            };
            if is_model(&plan.stages[place]) && made.iter().all(scores) {
                models.push((place, made));
            }
        }
        FinalModels { keys, store, models }
    }

    /// Their places in the plan.
    pub fn places(&self) -> impl Iterator<Item = usize> {
        self.models.iter().map(|(place, _)| *place)
    }

    /// Folders of those that can be discarded.
    pub fn discardable(&self) -> Vec<PathBuf> {
        self.models.iter().filter_map(|model| self.folder(model)).collect()
    }

    /// Deletes the model at `place` if it can be discarded.
    ///
    /// # Errors
    /// Any failure of the file system; the model may then be there in part, which is found by its checksums.
    pub fn discard(&self, place: usize) -> io::Result<()> {
        let at = self.models.binary_search_by_key(&place, |(place, _)| *place);
        match at.ok().and_then(|at| self.folder(&self.models[at])) {
            Some(folder) => self.store.delete(&folder),
            None => Ok(()),
        }
    }

    /// Deletes all that can be discarded.
    ///
    /// # Errors
    /// As [`FinalModels::discard`].
    pub fn discard_all(&self) -> io::Result<()> {
        self.discardable().iter().try_for_each(|folder| self.store.delete(folder))
    }

    fn folder(&self, (place, made): &(usize, Vec<usize>)) -> Option<PathBuf> {
        let stage = self.store.files(&self.keys[*place]).ok().flatten()?;
        let is_scored = !made.is_empty() && made.iter().all(|place| self.store.is_done(&self.keys[*place]));
        is_scored.then_some(stage.folder)
    }
}
