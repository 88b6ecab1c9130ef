//! Grid × arms × seeds → stages, named by what they compute, and runs, in a fixed order, with their cost.
//!
//! ```text
//! corpus ──→ source ──→ pruning_aware ──→ direct (searched widths, or a budget in FLOPs)
//!    │          ├─────→ one_shot
//!    │          └─────→ one_shot_recover            every model ──→ its evaluation = one run
//!    └────────→ direct (proportional)            └──→ its latency, where it is to be measured
//! ```
//!
//! A source model from disk needs no corpus and no seed: all seeds share it. The evaluation of a pruned model needs its source
//! and the source's evaluation as well: for its divergence from the source, and for the items that it answers as the source does.
//!
//! A stage's id is the hash of everything that can change a number and of nothing else (`identity.rs`), so two points
//! of the grid that differ only in what an arm does not use share the arm's stage: that is one run. An identity tells the
//! keys that it holds; where none of a run's stages holds the key of an axis, the run's cell for the axis is empty.
//!
//! The one thing taken from the engine is arithmetic on a model's shape (`ModelConfig`, its FLOPs): a second
//! copy of the formula here would drift from what the ledger counts.
mod cost;
mod document;
mod error;
mod estimate;
mod identity;
mod stages;

pub use cost::Cost;
pub use document::{Document, declared, document, document_with, freeze};
pub use error::PlanError;
pub use estimate::{makespan, training_rate};
pub use identity::{ENGINE_REVISION, EVALUATION_REVISION};
pub use stages::EVALUATION;

use crate::spec::{ArmSpec, EngineKind, Experiment, RunSpec};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a stage computes.
#[derive(Clone, Debug, PartialEq)]
pub enum StageKind {
    /// Tokenizer and tokens.
    Corpus,
    /// A model: the source or any other arm.
    Model(ArmSpec),
    /// The scores of a model.
    Evaluation(ArmSpec),
    /// How long a model takes: measured while nothing else runs.
    Latency(ArmSpec),
}

/// Stages whose results a stage needs, by their place in [`Plan::stages`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    pub corpus: Option<usize>,
    /// The model that an arm starts from.
    pub source: Option<usize>,
    /// The source whose predictions an arm learns from.
    pub teacher: Option<usize>,
    /// The arm whose widths or FLOPs an arm takes.
    pub other: Option<usize>,
    /// The model that an evaluation scores, or whose latency is measured.
    pub model: Option<usize>,
    /// The evaluation of the source that a pruned model's answers are held against.
    pub source_evaluation: Option<usize>,
}

impl Inputs {
    /// All of them, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        [self.corpus, self.source, self.teacher, self.other, self.model, self.source_evaluation]
            .into_iter()
            .flatten()
    }
}

/// One unit of work, carried out once however many runs need it.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// `<slug>-<8 hex>`, name of the stage's folder in the store.
    pub id: String,
    pub kind: StageKind,
    pub inputs: Inputs,
    /// Seed of the random streams; `None` for a corpus or a source from disk, which all seeds share.
    pub seed: Option<u64>,
    /// Configuration to carry out; where points of the grid share the stage, that of the first.
    pub spec: Arc<RunSpec>,
    /// The canonical form whose hash is in the id.
    pub identity: serde_json::Value,
    /// Keys of the experiment that the identity holds, its inputs' among them.
    pub reads: Arc<BTreeSet<&'static str>>,
    /// An estimate.
    pub cost: Cost,
}

/// One row of the results: an arm at a point of the grid with a seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// `<arm>-s<seed>-<8 hex>`, the hash being that of its evaluation.
    pub id: String,
    pub arm: ArmSpec,
    pub seed: u64,
    /// Value of each axis; `None` where nothing of the run reads its key.
    pub axes: Vec<Option<String>>,
    /// Place of the model in [`Plan::stages`].
    pub model: usize,
    /// Place of the evaluation in [`Plan::stages`].
    pub evaluation: usize,
    /// Place of the measurement of latency in [`Plan::stages`], where one is asked for.
    pub latency: Option<usize>,
}

/// All there is to compute, every stage after its inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub experiment: Experiment,
    /// The engine after `auto` is resolved.
    pub engine: EngineKind,
    pub stages: Vec<Stage>,
    /// Seed by seed, point by point, arm by arm: whatever is finished early can be compared.
    pub runs: Vec<Run>,
    /// Arms at points of the grid that are a run which another point has already.
    pub coincide: usize,
}

impl Plan {
    /// How many runs need each stage, directly or through other stages.
    pub fn uses(&self) -> Vec<usize> {
        let mut uses = vec![0; self.stages.len()];
        // The last run that each stage was counted for: of many stages a run needs few.
        let mut counted = vec![usize::MAX; self.stages.len()];
        let mut needed = Vec::new();
        for (index, run) in self.runs.iter().enumerate() {
            needed.extend([Some(run.evaluation), run.latency].into_iter().flatten());
            while let Some(stage) = needed.pop() {
                if counted[stage] != index {
                    counted[stage] = index;
                    uses[stage] += 1;
                    needed.extend(self.stages[stage].inputs.iter());
                }
            }
        }
        uses
    }

    /// For every stage, whether `run` needs it.
    pub fn needed_by(&self, run: &Run) -> Vec<bool> {
        let mut needed = vec![false; self.stages.len()];
        let last = run.latency.into_iter().fold(run.evaluation, usize::max);
        needed[run.evaluation] = true;
        run.latency.into_iter().for_each(|latency| needed[latency] = true);
        for index in (0..=last).rev() {
            if needed[index] {
                self.stages[index].inputs.iter().for_each(|input| needed[input] = true);
            }
        }
        needed
    }
}

/// Plans `experiment` on the resolved `engine`.
///
/// # Errors
/// A corpus, tokenizer or benchmark file that cannot be read, since its contents are part of identities.
pub fn plan(experiment: &Experiment, engine: EngineKind) -> Result<Plan, PlanError> {
    stages::plan(experiment, engine)
}

#[cfg(test)]
mod tests;
