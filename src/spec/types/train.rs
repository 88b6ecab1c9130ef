//! `[train]`, `[budget]`, `[recovery]` and `[distil]`: optimisation, and how arms go on with a trained model.
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleKind {
    /// Linear warm-up, then half a cosine down to `min_learning_rate_ratio`.
    Cosine,
    /// Warm-up, stable, decay: linear down over the last `decay_fraction` of the tokens.
    Wsd,
}

/// Optimisation, the same for every arm; the schedule spans each arm's own tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainSpec {
    /// Tokens of one optimiser step; a multiple of `micro_batch × context_length`.
    pub batch_tokens: usize,
    /// Sequences of one forward pass.
    pub micro_batch: usize,
    pub learning_rate: f64,
    pub min_learning_rate_ratio: f64,
    pub schedule: ScheduleKind,
    pub warmup_tokens: u64,
    pub decay_fraction: f64,
    /// Share of a run's tokens, its last, over which the weights are averaged; 0: the last step's weights.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub average_fraction: f64,
    pub weight_decay: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    /// Largest global gradient norm; 0: no clipping.
    pub clip_norm: f64,
}

/// A key that is off leaves no trace in the identity of a run.
fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BudgetSpec {
    /// Tokens that arms train on after their source, pruning included.
    pub tokens: u64,
}

/// The learning rate of arms that go on with a trained model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecoverySchedule {
    /// A schedule of its own from the warm-up on, and fresh moments.
    #[default]
    Rewarm,
    /// One schedule over source and recovery together; moments are kept.
    Continue,
    /// From the source before its decay, at its rate, decayed at the end; moments are kept.
    Branch,
}

/// How arms go on with a trained model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RecoverySpec {
    pub schedule: RecoverySchedule,
    /// The highest; `None`: that of `[train]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// `None`: those of `[train]` where the rate is warmed up again, none of a branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup_tokens: Option<u64>,
    /// Whether the tokens of the calibration set are taken off those that are trained on.
    pub subtract_calibration: bool,
}

/// The loss of arms that learn from the source: (1 − w)·CE + w·T²·KL(source ‖ model), both at temperature T.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DistilSpec {
    /// w
    pub weight: f64,
    /// T
    pub temperature: f64,
    /// The source's likeliest tokens, which alone are compared; 0: all.
    pub top_k: usize,
}

impl Default for DistilSpec {
    fn default() -> Self {
        DistilSpec { weight: 0.5, temperature: 1.0, top_k: 0 }
    }
}

impl RecoverySpec {
    pub(super) fn is_default(&self) -> bool {
        *self == RecoverySpec::default()
    }
}

impl DistilSpec {
    pub(super) fn is_default(&self) -> bool {
        *self == DistilSpec::default()
    }
}
