//! `[prune]`: which groups go, by which rule, when, and down to what.
use super::{GroupType, HeadUnit, Saliency, Update};
use crate::rules::saliency::Pass;
use crate::schema::groups::Cut;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// One event removes one group in every layer: all layers keep one shape.
    Uniform,
    /// One event removes one group in one layer.
    PerLayer,
}

/// How the scores of a group's coupled tensors are joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduction {
    #[default]
    Sum,
    Mean,
    Max,
    Prod,
    /// That of the first tensor alone: gate (`ffn`), q (`head`), embedding (`stem`).
    First,
}

impl Reduction {
    /// As files before there was the key have it.
    pub(crate) fn is_sum(&self) -> bool {
        *self == Reduction::Sum
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normaliser {
    None,
    PerParameter,
    /// By the mean over the groups of its type in its layer.
    LayerMean,
    /// Less that mean, by their standard deviation.
    LayerZscore,
}

/// What the gradients are of that are squared for F.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FisherUnit {
    /// One position of a linear layer's input and output.
    Position,
    /// One sequence.
    Sequence,
    /// One micro-batch.
    MicroBatch,
}

impl FisherUnit {
    /// Name in experiment files and tables.
    pub fn name(self) -> &'static str {
        match self {
            FisherUnit::Position => "position",
            FisherUnit::Sequence => "sequence",
            FisherUnit::MicroBatch => "micro_batch",
        }
    }
}

/// Whether F is that of one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FisherScale {
    /// Times the tokens of a unit, the scale of the curvature of a mean over tokens.
    Tokens,
    /// Squares of mean gradients, as LLM-Pruner has them.
    None,
}

/// The unit and the scale of squared gradients; by default as before there were these keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fisher {
    pub unit: FisherUnit,
    pub scale: FisherScale,
}

impl Fisher {
    /// By position, in token units.
    pub const BY_POSITION: Fisher = Fisher { unit: FisherUnit::Position, scale: FisherScale::Tokens };

    /// Squares of the mean gradients of whole micro-batches.
    pub(crate) fn is_whole_batches(&self) -> bool {
        *self == Fisher::default()
    }
}

impl Default for Fisher {
    fn default() -> Self {
        Fisher { unit: FisherUnit::MicroBatch, scale: FisherScale::None }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PruneSchedule {
    /// Parameters follow a straight line in tokens from source to target over `prune_tokens`, after `start_tokens`.
    Line {
        prune_tokens: u64,
        #[serde(default, skip_serializing_if = "is_zero")]
        start_tokens: u64,
    },
    /// One event every `steps` optimiser steps, after `start_tokens`.
    Interval {
        steps: u64,
        #[serde(default, skip_serializing_if = "is_zero")]
        start_tokens: u64,
    },
}

impl PruneSchedule {
    /// A line from the first step on.
    pub const fn line(prune_tokens: u64) -> PruneSchedule {
        PruneSchedule::Line { prune_tokens, start_tokens: 0 }
    }

    /// Events from the first step on.
    pub const fn interval(steps: u64) -> PruneSchedule {
        PruneSchedule::Interval { steps, start_tokens: 0 }
    }

    /// Tokens that are trained on before the first event.
    pub const fn start_tokens(&self) -> u64 {
        match self {
            PruneSchedule::Line { start_tokens, .. } | PruneSchedule::Interval { start_tokens, .. } => {
                *start_tokens
            }
        }
    }
}

fn is_zero(tokens: &u64) -> bool {
    *tokens == 0
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Parameters of the pruned model.
    Params(u64),
    /// Share of the source's parameters.
    Ratio(f64),
    /// Share of the source's parameters outside embedding and head.
    NonEmbeddingRatio(f64),
    /// Those of the widths in `fixed_shape`.
    FixedShape,
}

/// The widths with which pruning ends: one number for all layers, or one for each; what is empty stays as in the source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixedShape {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden_size: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_layers: Option<usize>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub num_heads: Vec<usize>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub num_kv_heads: Vec<usize>,
    /// Channels of one head of q and k: two for each RoPE pair.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub head_dim: Vec<usize>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub intermediate_size: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PruneSpec {
    pub target: Target,
    pub types: Vec<GroupType>,
    pub scope: Scope,
    /// Channels of one `ffn` or `stem` group.
    pub block: usize,
    pub head_unit: HeadUnit,
    pub saliency: Saliency,
    /// Left out of identities where it is `sum`, as before there was the key.
    #[serde(default, skip_serializing_if = "Reduction::is_sum")]
    pub reduction: Reduction,
    pub normaliser: Normaliser,
    /// Of rules that read squared gradients; others have the default, which identities leave out.
    #[serde(default, skip_serializing_if = "Fisher::is_whole_batches")]
    pub fisher: Fisher,
    pub update: Update,
    /// Damping of G relative to its mean diagonal (λ).
    pub damping: f64,
    /// Exponential moving average of training gradients for saliency; 0: the current step alone.
    pub gradient_ema: f64,
    pub schedule: PruneSchedule,
    /// Calibration set of the one-shot arms.
    pub calibration_tokens: u64,
    /// Least groups left per layer (`ffn`, `head`, `head_dim`) or in the model (`stem`, `layer`): at least 1.
    pub min_ffn: usize,
    pub min_heads: usize,
    pub min_stem: usize,
    /// RoPE pairs of a layer, and layers. Left out where they are 1, so that identities stay as they were.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub min_head_dim: usize,
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub min_layers: usize,
    /// The widths that pruning ends with, in the place of a target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed_shape: Option<FixedShape>,
}

fn one() -> usize {
    1
}

fn is_one(floor: &usize) -> bool {
    *floor == 1
}

impl PruneSpec {
    /// The key and the value of a type's floor.
    pub fn floor(&self, kind: GroupType) -> (&'static str, usize) {
        match kind {
            GroupType::Ffn => ("prune.min_ffn", self.min_ffn),
            GroupType::Head => ("prune.min_heads", self.min_heads),
            GroupType::Stem => ("prune.min_stem", self.min_stem),
            GroupType::HeadDim => ("prune.min_head_dim", self.min_head_dim),
            GroupType::Layer => ("prune.min_layers", self.min_layers),
        }
    }

    /// How models are cut into groups.
    pub fn cut(&self) -> Cut {
        Cut { block: self.block, head_unit: self.head_unit }
    }
}

impl PruneSpec {
    /// What rules read of a calibration set: nothing, its activations, or gradients.
    pub fn calibration_pass(&self) -> Pass {
        let needs = self.saliency.needs.iter().chain(self.update.needs);
        needs.map(|statistic| statistic.pass()).max().unwrap_or(Pass::Nothing)
    }

    /// Tokens that they read of it.
    pub fn calibration_read(&self) -> u64 {
        if self.calibration_pass() == Pass::Nothing { 0 } else { self.calibration_tokens }
    }
}
