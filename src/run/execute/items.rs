//! What models will be scored on, looked at before the first of them is made: what cannot be scored shows while nothing is spent.
//!
//! A tokenizer that the experiment trains exists once its corpus is prepared, so its items cannot be looked at by `plan`.
use super::super::executor::{StageFailure, Task};
use crate::data::Prepared;
use crate::eval::{EncodedTask, encoded_items};
use crate::plan::{Plan, StageKind};
use crate::spec::{EvalSpec, RunSpec};
use std::sync::{Mutex, PoisonError};

/// Sets of items, on one corpus each, with what was found.
#[derive(Default)]
pub(super) struct LookedAt(Mutex<Vec<(Set, Result<(), StageFailure>)>>);

/// All that a set of items in tokens depends on, within one plan.
#[derive(Clone, PartialEq)]
struct Set {
    corpus: Option<usize>,
    eval: EvalSpec,
    context_length: usize,
}

impl LookedAt {
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
        let set = Set { corpus, eval: spec.eval.clone(), context_length: spec.data.context_length };
        // Held while it looks: whoever comes meanwhile waits for what is found.
        let mut looked_at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, found)) = looked_at.iter().find(|(known, _)| *known == set) {
            return found.clone();
        }
        let encoded = encoded_items(&spec.eval, &spec.data.corpus, &data.tokenizer, spec.data.context_length);
        let found = match encoded {
            Ok(tasks) => {
                // A task without a score costs no answer of the others.
                let none =
                    tasks.iter().filter_map(EncodedTask::nothing_to_score).map(|fault| fault.to_string());
                tasks.iter().flat_map(EncodedTask::notes).chain(none).for_each(tell);
                Ok(())
            }
            Err(error) => Err(error.into()),
        };
        looked_at.push((set, found.clone()));
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
    evaluations.map(|(stage, _)| (stage.inputs.corpus, &stage.spec)).collect()
}
