//! The resolved experiment: plain values, every default filled in, every rule checked.
//!
//! Everything that can change a number is here and is hashed into stage identities; what cannot (threads,
//! workers, log interval) lives in [`EngineSpec`] beside the engine kind and stays out of them.
use super::arm::ArmSpec;
pub use crate::base::precision::{CpuBf16, Precision};
use crate::rules::saliency::Pass;
pub use crate::rules::saliency::Saliency;
pub use crate::rules::update::Update;
use crate::schema::groups::Cut;
pub use crate::schema::groups::{GroupType, HeadUnit};
use crate::schema::{Biases, LayerShape, ModelConfig};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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

/// `[labels]`: what tables and figures call arms, axes and values; what is not there is called by its name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Labels {
    pub arms: BTreeMap<String, String>,
    /// By key path.
    pub axes: BTreeMap<String, String>,
    /// By key path and value.
    pub values: BTreeMap<String, BTreeMap<String, String>>,
}

impl Labels {
    pub fn is_empty(&self) -> bool {
        *self == Labels::default()
    }
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineKind {
    Auto,
    Cpu,
    Cuda,
    /// The same model through dfdx's reverse-mode autodiff.
    Reference,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EngineSpec {
    pub kind: EngineKind,
    /// Of products, on CUDA of activations too; `None`: bf16 on CUDA, f32 elsewhere. The reference computes in f32.
    pub precision: Option<Precision>,
    /// The order of sums of the processor's bf16 products; `None`: that of the fastest instruction that it has.
    pub cpu_bf16: Option<CpuBf16>,
    /// Runs carried out at once; 0: one per device, or as many as the cores can give threads to, or fewer with more threads each.
    pub workers: usize,
    /// Threads of one rank of a run; results do not depend on it.
    pub threads_per_worker: usize,
    /// CUDA devices to use, by number; none named: all.
    pub devices: Vec<usize>,
    /// Devices that train one model together, each with a share of every batch.
    pub data_parallel: usize,
    /// Whether a run that finds no memory is tried again with half the sequences in one pass.
    pub halve_micro_batch: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataSpec {
    pub corpus: CorpusSpec,
    pub tokenizer: TokenizerSpec,
    /// T: tokens of one training sequence.
    pub context_length: usize,
    pub shuffle: Shuffle,
    pub packing: Packing,
}

/// How documents are laid into sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Packing {
    /// End to end, cut every context_length tokens.
    Crossing,
    /// Whole, as many as fit; only those longer than a sequence are cut.
    Separate,
}

/// What is put into a new order in each epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shuffle {
    /// Windows of context_length tokens, cut from documents in the order of the files.
    Windows,
    /// Documents, and then the windows that are cut from them.
    Documents,
}

/// How much the synthetic corpus holds to be learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyntheticSize {
    /// Things that facts are about; a multiple of 8.
    pub entities: usize,
    /// Facts about each that follow from nothing.
    pub facts: usize,
    /// Ways to word a statement.
    pub forms: usize,
}

/// What becomes of a row of a corpus that gives no text: a broken line, a field or cell that is missing or null.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BadRows {
    /// The first one is a fault of the corpus.
    #[default]
    Refuse,
    /// They are left out and counted.
    Skip,
}

impl BadRows {
    fn are_refused(&self) -> bool {
        *self == BadRows::Refuse
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CorpusSpec {
    /// The embedded world: `documents` documents generated from `seed`.
    World { seed: u64, documents: usize },
    /// The synthetic corpus: `documents` documents generated from `seed`.
    Synthetic { seed: u64, documents: usize, size: SyntheticSize },
    /// Plain-text files (`.txt`, `.txt.gz`, `.txt.zst`), documents separated by `<|endoftext|>`.
    Text { train: Vec<String>, validation: Vec<String> },
    /// JSON Lines (`.jsonl`, `.jsonl.gz`, `.jsonl.zst`), one document in `field` of each line.
    Jsonl {
        train: Vec<String>,
        validation: Vec<String>,
        field: String,
        #[serde(default, skip_serializing_if = "BadRows::are_refused")]
        bad_rows: BadRows,
    },
    /// Parquet, one document in the text `column` of each row.
    Parquet {
        train: Vec<String>,
        validation: Vec<String>,
        column: String,
        #[serde(default, skip_serializing_if = "BadRows::are_refused")]
        bad_rows: BadRows,
    },
    /// Corpora from files, each with its share of the training sequences: `weights`, of any sum.
    Mixture { sources: Vec<CorpusSpec>, weights: Vec<f64> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TokenizerSpec {
    /// Byte-level BPE trained on the corpus.
    Bpe { vocab_size: usize },
    /// A Hugging Face `tokenizer.json`.
    File { path: String },
    /// That of the source model, which comes from disk and embeds `vocab_size` tokens.
    Model { vocab_size: usize },
}

/// Shape of the source model; all layers alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelSpec {
    pub hidden_size: usize,
    pub num_layers: usize,
    pub num_heads: usize,
    pub num_kv_heads: usize,
    pub head_dim: usize,
    pub intermediate_size: usize,
    pub tie_word_embeddings: bool,
    pub rope_theta: f64,
    pub rms_norm_eps: f64,
    /// Linear layers with a bias: those of a model from disk; models that are trained here have none.
    #[serde(rename = "qkv_bias", default, skip_serializing_if = "Biases::is_empty")]
    pub biases: Biases,
}

impl ModelSpec {
    /// The shape of the source model over a vocabulary of `vocab_size`.
    pub fn config(&self, vocab_size: usize, context_length: usize) -> ModelConfig {
        let layer = LayerShape::new(self.num_heads, self.num_kv_heads, self.intermediate_size);
        ModelConfig {
            vocab_size,
            hidden_size: self.hidden_size,
            head_dim: self.head_dim,
            tie_word_embeddings: self.tie_word_embeddings,
            biases: self.biases,
            rope_theta: self.rope_theta,
            rms_norm_eps: self.rms_norm_eps,
            max_position_embeddings: context_length,
            layers: vec![layer; self.num_layers],
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceSpec {
    /// Pretraining tokens of the source model; `None` for one from disk of which nobody says how many it has seen.
    pub tokens: Option<u64>,
    /// Train a source per seed (true) or share the first seed's among all replicates (false).
    pub per_seed: bool,
    /// A model that exists already, in the place of one that is pretrained here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<SourceModel>,
}

/// A source model from disk; what it is, is told by the contents of its files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceModel {
    /// Folder or file.
    pub path: String,
    /// Every file of it that can change a number.
    pub files: Vec<String>,
}

impl SourceSpec {
    /// Tokens of the training stream that the source was made from: none of a model from disk.
    pub fn stream_tokens(&self) -> u64 {
        if self.model.is_some() { 0 } else { self.tokens.unwrap_or_default() }
    }

    /// What a budget counts of all that the source was trained on, a model from disk elsewhere.
    pub fn counted_tokens(&self, share: f64) -> u64 {
        let tokens = self.tokens.unwrap_or_default();
        if share == 1.0 { tokens } else { (tokens as f64 * share).floor() as u64 }
    }

    /// Those of whole steps before a WSD schedule decays: what a branch starts from.
    pub fn stable_tokens(&self, train: &TrainSpec) -> u64 {
        let (tokens, batch) = (self.stream_tokens(), train.batch_tokens.max(1) as u64);
        (tokens as f64 * (1.0 - train.decay_fraction)) as u64 / batch * batch
    }
}

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
    pub weight_decay: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    /// Largest global gradient norm; 0: no clipping.
    pub clip_norm: f64,
}

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
    fn is_default(&self) -> bool {
        *self == RecoverySpec::default()
    }
}

impl DistilSpec {
    fn is_default(&self) -> bool {
        *self == DistilSpec::default()
    }
}

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
pub(super) const CURVE_POINTS: u64 = 10;
pub(super) const CURVE_TOKENS: u64 = 4096;

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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DirectShape {
    /// The widths that another arm found, `pruning_aware` unless told.
    Searched,
    /// The source's widths scaled by one factor.
    Proportional,
    /// The source's own.
    Source,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DirectBudget {
    /// As many tokens as `pruning_aware` trained on.
    RecoveryTokens,
    /// Those and the source's.
    TotalTokens,
    /// As many tokens as the FLOPs of source and `pruning_aware` together pay for.
    TotalFlops,
}

/// One axis of the grid: a key path below the run specification and the values it takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Axis {
    /// For example `prune.saliency`.
    pub key: String,
    /// The values in file order, as tables show them: strings bare, lists joined by `+`, tables as `key=value`.
    pub values: Vec<String>,
}

/// One point of the grid: a value of every axis and the configuration that they make.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// As in [`Axis::values`], one for each of [`Experiment::axes`].
    pub values: Vec<String>,
    /// Of a named point.
    pub name: Option<String>,
    /// Keys that the point puts another value for.
    pub keys: Vec<String>,
    pub spec: RunSpec,
    /// For each of [`Experiment::arms`] the configuration that its `set` makes of `spec`, where it has one.
    pub own: Vec<Option<RunSpec>>,
}

impl Point {
    /// The configuration of the arm at this place of [`Experiment::arms`].
    pub fn of_arm(&self, place: usize) -> &RunSpec {
        self.own.get(place).and_then(Option::as_ref).unwrap_or(&self.spec)
    }
}

/// A question about the axes of one arm, declared before the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AxisQuestion {
    /// Name of an arm.
    pub arm: String,
    /// One axis: which of its values is best. Two: whether they interact.
    pub axes: Vec<String>,
    pub metric: String,
    /// Asks, of one numeric axis, what the metric gains per doubling of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub slope: bool,
    /// Questions of one family are corrected for multiplicity together; those without a name are one family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
}

/// At which points of the grid a comparison is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum At {
    /// One comparison at each point.
    #[default]
    Each,
    /// One comparison of means over all points.
    Pooled,
}

impl At {
    fn is_each(&self) -> bool {
        *self == At::Each
    }
}

/// A comparison declared before the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Name of an arm.
    pub variant: String,
    /// Values of axes at which the variant is taken, by key path; elsewhere both sides stand at the same value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variant_at: BTreeMap<String, String>,
    pub baseline: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub baseline_at: BTreeMap<String, String>,
    /// One of [`METRICS`](super::METRICS).
    pub metric: String,
    #[serde(default, skip_serializing_if = "At::is_each")]
    pub at: At,
    /// Asks whether the difference is smaller than this, too: percentage points of a share, else the metric's unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
    /// As of an [`AxisQuestion`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
}
