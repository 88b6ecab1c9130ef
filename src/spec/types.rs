//! The resolved experiment: plain values, every default filled in, every rule checked.
//!
//! Everything that can change a number is here and is hashed into stage identities; what cannot (threads,
//! workers, log interval) lives in [`EngineSpec`] beside the engine kind and stays out of them.
mod data;
mod engine;
mod eval;
mod grid;
mod model;
mod prune;
mod train;

use super::arm::ArmSpec;
pub use crate::base::precision::{CpuBf16, Precision};
pub use crate::questions::{At, AxisQuestion, Comparison, Labels, METRICS};
pub use crate::rules::saliency::Saliency;
pub use crate::rules::update::Update;
pub use crate::schema::groups::{GroupType, HeadUnit};
pub use data::{BadRows, CorpusSpec, DataSpec, Packing, Shuffle, SyntheticSize, TokenizerSpec};
pub use engine::{EngineKind, EngineSpec};
pub(super) use eval::{CURVE_POINTS, CURVE_TOKENS};
pub use eval::{EvalSpec, LatencySpec};
pub use grid::{Axis, DirectBudget, DirectShape, Point};
pub use model::{ModelSpec, SourceModel, SourceSpec};
pub use prune::{
    Fisher, FisherScale, FisherUnit, FixedShape, Normaliser, PruneSchedule, PruneSpec, Reduction, Scope,
    Target,
};
use serde::{Deserialize, Serialize};
pub use train::{BudgetSpec, DistilSpec, RecoverySchedule, RecoverySpec, ScheduleKind, TrainSpec};

/// `experiments/<name>/experiment.toml`, read and checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    /// Name of the folder, and of the folder of results.
    pub name: String,
    /// Heading of the report; the name where the file gives none.
    pub title: String,
    /// One sentence: what the experiment asks.
    pub question: String,
    /// Replicates: every arm and point of the grid is run once per seed.
    pub seeds: Vec<u64>,
    pub engine: EngineSpec,
    /// The configuration at the first point of the grid.
    pub base: RunSpec,
    pub arms: Vec<ArmSpec>,
    pub axes: Vec<Axis>,
    /// Every point of the grid, the last axis varying fastest; one point without values where there are no axes.
    pub points: Vec<Point>,
    /// Declared before the run; with `questions`, corrected for multiplicity family by family.
    pub comparisons: Vec<Comparison>,
    /// What is asked of the axes of an arm.
    #[serde(default)]
    pub questions: Vec<AxisQuestion>,
    /// Names that people print.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Points that conditions left out of the product of all axes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<Removed>,
}

/// What a condition of the grid left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Removed {
    /// The condition, as the file has it.
    pub by: String,
    pub points: usize,
}

/// Everything that one run depends on, arm and seed aside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    pub data: DataSpec,
    pub model: ModelSpec,
    pub source: SourceSpec,
    pub train: TrainSpec,
    pub prune: PruneSpec,
    pub budget: BudgetSpec,
    /// Of arms that go on with a trained model.
    #[serde(default, skip_serializing_if = "RecoverySpec::is_default")]
    pub recovery: RecoverySpec,
    /// Of arms that learn from the source's predictions.
    #[serde(default, skip_serializing_if = "DistilSpec::is_default")]
    pub distil: DistilSpec,
    pub eval: EvalSpec,
    /// How long prompts and generated tokens take; `None`: not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencySpec>,
}
