//! `[eval]` and `[latency]`: what models are measured on.
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvalSpec {
    pub tasks: Vec<String>,
    /// Items of each task, a sample of a folder's; 0: all that a folder holds.
    pub items: usize,
    /// Seed of that sample, the same for every arm and seed.
    #[serde(default)]
    pub sample_seed: u64,
    /// Folder of benchmark files `<task>/<split>.jsonl[.zst]`, `.parquet` or `.arrow`; `None`: items of the generated corpus.
    pub folder: Option<String>,
    /// Held-out tokens for bits per byte.
    pub validation_tokens: u64,
    /// Leave items whose log-likelihoods are not finite without an answer, where they would fail the run.
    #[serde(default)]
    pub allow_non_finite: bool,
    /// Points along a run at which the held-out loss is taken, at most; 0: none.
    #[serde(default = "curve_points", skip_serializing_if = "is_curve_points")]
    pub curve_points: u64,
    /// Held-out tokens of each of them: the first of `validation_tokens`.
    #[serde(default = "curve_tokens", skip_serializing_if = "is_curve_tokens")]
    pub curve_tokens: u64,
}

/// Defaults, which specifications written before there were these keys have, too.
pub(crate) const CURVE_POINTS: u64 = 10;
pub(crate) const CURVE_TOKENS: u64 = 4096;

fn curve_points() -> u64 {
    CURVE_POINTS
}

fn curve_tokens() -> u64 {
    CURVE_TOKENS
}

impl EvalSpec {
    /// Whether held-out loss is taken along runs as it is unless told.
    pub fn follows_default(&self) -> bool {
        (self.curve_points, self.curve_tokens) == (CURVE_POINTS, CURVE_TOKENS)
    }
}

fn is_curve_points(points: &u64) -> bool {
    *points == CURVE_POINTS
}

fn is_curve_tokens(tokens: &u64) -> bool {
    *tokens == CURVE_TOKENS
}

/// Latency at batch 1: a prompt is read, then tokens are generated one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencySpec {
    pub prompt_tokens: usize,
    pub decode_tokens: usize,
    /// Measured so many times, after one that does not count.
    pub repeats: usize,
}
