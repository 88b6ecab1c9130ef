//! What models will be scored on, looked at before the first of them is made: what cannot be scored shows while nothing is spent.
//!
//! A tokenizer that the experiment trains exists once its corpus is prepared, so its items cannot be looked at by `plan`. Runs of one
//! grid are scored on the same items: they are put in tokens once for a process.
use super::super::executor::{StageFailure, Task};
use crate::data::Prepared;
use crate::eval::{EncodedTask, encoded_items};
use crate::plan::{Plan, StageKind};
use crate::spec::{EvalSpec, RunSpec};
use std::sync::{Arc, Mutex, PoisonError};

/// Sets of items in tokens that are kept; of all tasks in full each is some tens of megabytes.
const KEPT: usize = 2;

/// Items in tokens, task by task.
pub(super) type Encoded = Arc<Vec<EncodedTask>>;

/// Sets of items, on one corpus each.
#[derive(Default)]
pub(super) struct Items(Mutex<Sets>);

#[derive(Default)]
struct Sets {
    /// What was found when a set was looked at.
    found: Vec<(Set, Result<(), StageFailure>)>,
    /// Those that were asked for last, the last of them last.
    encoded: Vec<(Set, Encoded)>,
}

/// All that a set of items in tokens depends on, within one plan.
#[derive(Clone, PartialEq)]
struct Set {
    corpus: Option<usize>,
    eval: EvalSpec,
    context_length: usize,
}

impl Set {
    fn of(corpus: Option<usize>, spec: &RunSpec) -> Set {
        Set { corpus, eval: spec.eval.clone(), context_length: spec.data.context_length }
    }
}

impl Sets {
    fn encoded(&mut self, set: &Set, spec: &RunSpec, data: &Prepared) -> Result<Encoded, StageFailure> {
        let encoded = match self.encoded.iter().position(|(known, _)| known == set) {
            Some(place) => self.encoded.remove(place).1,
            None => {
                let (eval, corpus) = (&spec.eval, &spec.data.corpus);
                Arc::new(encoded_items(eval, corpus, &data.tokenizer, spec.data.context_length)?)
            }
        };
        self.encoded.push((set.clone(), encoded.clone()));
        let too_many = self.encoded.len().saturating_sub(KEPT);
        self.encoded.drain(..too_many);
        Ok(encoded)
    }
}

impl Items {
    /// The items that the evaluation of `task` is to score, in tokens.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn of(&self, task: &Task<'_>, data: &Prepared) -> Result<Encoded, StageFailure> {
        let spec = &task.stage.spec;
        // Held while they are read: whoever comes meanwhile waits for them.
        let mut sets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sets.encoded(&Set::of(task.stage.inputs.corpus, spec), spec, data)
    }

    /// Looks at the items that the model of `task`, and those made from it, are scored on; each set once. `tell` is given what a
    /// reader of the scores must know.
    ///
    /// # Errors
    /// The items of none of these models can be read: the fault of the first.
    pub fn before(
        &self,
        task: &Task<'_>,
        data: &Prepared,
        tell: &dyn Fn(String),
    ) -> Result<(), StageFailure> {
        let mut first = None;
        let mut sound = false;
        for (corpus, spec) in evaluations_after(task) {
            match self.look(corpus, spec, data, tell) {
                Ok(()) => sound = true,
                Err(failure) => first = first.or(Some(failure)),
            }
        }
        first.filter(|_| !sound).map_or(Ok(()), Err)
    }

    fn look(
        &self,
        corpus: Option<usize>,
        spec: &RunSpec,
        data: &Prepared,
        tell: &dyn Fn(String),
    ) -> Result<(), StageFailure> {
        let set = Set::of(corpus, spec);
        let mut sets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, found)) = sets.found.iter().find(|(known, _)| *known == set) {
            return found.clone();
        }
        let found = match sets.encoded(&set, spec, data) {
            Ok(tasks) => {
                // A task without a score costs no answer of the others.
                let none =
                    tasks.iter().filter_map(EncodedTask::nothing_to_score).map(|fault| fault.to_string());
                tasks.iter().flat_map(EncodedTask::notes).chain(none).for_each(tell);
                Ok(())
            }
            Err(failure) => Err(failure),
        };
        sets.found.push((set, found.clone()));
        found
    }
}

/// Corpus and configuration of the evaluations that need the stage of `task`, directly or by what is made from it.
fn evaluations_after<'t>(task: &Task<'t>) -> Vec<(Option<usize>, &'t RunSpec)> {
    let plan: &Plan = task.plan;
    let mut after: Vec<bool> = plan.stages.iter().map(|stage| stage.id == task.stage.id).collect();
    // Inputs stand before what needs them.
    for (place, stage) in plan.stages.iter().enumerate() {
        after[place] |= stage.inputs.iter().any(|input| after[input]);
    }
    let evaluations = plan
        .stages
        .iter()
        .zip(&after)
        .filter(|(stage, after)| **after && matches!(stage.kind, StageKind::Evaluation(_)));
    evaluations.map(|(stage, _)| (stage.inputs.corpus, &*stage.spec)).collect()
}
