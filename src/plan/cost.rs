//! What a stage will cost, before it is carried out.
//!
//! Training is exact where the shape is known beforehand; a pruning run is integrated along the line that parameters
//! follow in tokens, FLOPs taken in proportion to parameters, and what evaluation reads is a rule of thumb.
use crate::base::precision::MOST_HELD_IN_F32;
use crate::rules::saliency::{Pass, Statistic};
use crate::schema::ModelConfig;
use crate::schema::flops::forward_flops_per_token;
use crate::spec::size::{num_embedding_params, num_params};
use crate::spec::{
    ArmSpec, CorpusSpec, EvalSpec, FisherUnit, GroupType, LatencySpec, ModelSpec, PruneSchedule, PruneSpec,
    RunSpec, Scope, Shape, Start, Tokens,
};
use std::cell::RefCell;
use std::collections::HashMap;

/// Estimated cost of one stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Cost {
    /// Tokens passed through a model.
    pub tokens: u64,
    pub flops: f64,
    /// Parameters of the resulting model; 0 where there is none.
    pub params: u64,
    /// Bytes that stay on disk.
    pub disk_bytes: u64,
    /// Memory at its highest: parameters, what is kept of each, and activations.
    #[serde(skip)]
    pub memory_bytes: u64,
}

/// Gradients of inputs and of weights cost a forward pass each (`model::flops::training_flops_per_token`).
const TRAINING_TO_FORWARD: f64 = 3.0;
/// Bytes of a parameter in a checkpoint, which is in f32.
const BYTES_PER_PARAM: u64 = 4;
/// Tokens that one choice of one item takes, roughly, and choices of an item.
const TOKENS_PER_CHOICE: u64 = 40;
const CHOICES_PER_ITEM: u64 = 4;
/// Bytes that the record of one item takes, roughly.
const BYTES_PER_ITEM: u64 = 400;
/// Bytes of activations that one scored token takes, roughly: a pass keeps one layer's.
const ACTIVATION_BYTES_PER_TOKEN: u64 = 100_000;
/// Tokens of one generated document, at most, and bytes of a stored token.
const TOKENS_PER_DOCUMENT: u64 = 100;
const BYTES_PER_TOKEN: u64 = 2;

pub(super) fn corpus(corpus: &CorpusSpec) -> Cost {
    let bytes_of = |files: &[String]| -> u64 {
        files.iter().filter_map(|file| std::fs::metadata(file).ok()).map(|data| data.len()).sum()
    };
    let disk_bytes = match corpus {
        CorpusSpec::World { documents, .. } | CorpusSpec::Synthetic { documents, .. } => {
            *documents as u64 * TOKENS_PER_DOCUMENT * BYTES_PER_TOKEN
        }
        files => {
            let of =
                |source: &&CorpusSpec| bytes_of(source.train_files()) + bytes_of(source.validation_files());
            files.sources().iter().map(of).sum()
        }
    };
    Cost { disk_bytes, ..Cost::default() }
}

/// Sizes and costs per token that all arms of one configuration share.
#[derive(Clone, Copy)]
struct Rates {
    source_params: u64,
    target_params: u64,
    /// Forward FLOPs per token of source and target.
    source: f64,
    target: f64,
    /// Parameters that one event removes from the source, the mean over the types.
    per_event: f64,
}

/// Rates of what was asked for before, by all that they depend on: the seeds of a grid share them.
#[derive(Default)]
pub(super) struct KnownRates(RefCell<HashMap<String, Rates>>);

impl KnownRates {
    fn of(&self, spec: &RunSpec, vocab_size: usize) -> Rates {
        let RunSpec { model, prune, data, .. } = spec;
        let key = serde_json::to_string(&(model, prune, data.context_length, vocab_size)).unwrap_or_default();
        let compute = || rates(model, prune, data.context_length, vocab_size);
        *self.0.borrow_mut().entry(key).or_insert_with(compute)
    }
}

fn rates(model: &ModelSpec, prune: &PruneSpec, context_length: usize, vocab_size: usize) -> Rates {
    let source_params = num_params(model, vocab_size);
    let embedding = num_embedding_params(model, vocab_size);
    let config = model.config(vocab_size, context_length);
    let (target, limit) = (prune.target, prune.limit(&config));
    // A target that leaves the embedding out is met with most of it: a pruned stem takes some.
    let target_params = if target.counts_embedding() { limit } else { limit + embedding };
    let source = forward_flops_per_token(&config, context_length);
    Rates {
        source_params,
        target_params,
        source,
        target: source * target_params as f64 / source_params as f64,
        per_event: params_per_event(prune, &config),
    }
}

/// Cost of making the model of `arm`, its inputs not counted: a fold over its three answers.
pub(super) fn model(known: &KnownRates, arm: &ArmSpec, spec: &RunSpec, vocab_size: usize) -> Cost {
    let r = known.of(spec, vocab_size);
    // From: a model of the source's size, unless its shape is that of a pruned one.
    let starts_whole = !matches!(arm.from, Start::Scratch(Shape::Proportional | Shape::Of(_)));
    let start = if starts_whole { r.source } else { r.target };
    // Pruned: at a share of the way the size is that share of the way down, and so is the cost of a token.
    let at = |share: f64| if arm.prune.is_some() { start + (r.target - start) * share } else { start };
    let stages = arm.stages();
    let of = |stage: u64| stage as f64 / stages.max(1) as f64;
    let calibration = spec.prune.calibration_read();
    let passes = if spec.prune.calibration_pass() == Pass::Backward { TRAINING_TO_FORWARD } else { 1.0 };
    let calibrating: f64 = (0..stages).map(|stage| passes * at(of(stage)) * calibration as f64).sum();
    // Trained: in equal parts after each stage.
    let trained = match arm.train {
        None => 0,
        Some(_) if arm.is_source() && spec.source.model.is_some() => 0,
        Some(train) => trained_tokens(arm, train.tokens, start, spec, &r),
    };
    let training = match stages {
        0 if arm.prunes_in_training() => pruning_flops(spec, &r),
        0 => TRAINING_TO_FORWARD * start * trained as f64,
        _ => {
            let part = trained as f64 / stages as f64;
            (1..=stages).map(|stage| TRAINING_TO_FORWARD * at(of(stage)) * part).sum()
        }
    };
    let teaching = if arm.distils() { r.source * trained as f64 } else { 0.0 };
    let params = if ends_whole(arm) { r.source_params } else { r.target_params };
    let (tokens, flops) = (trained + stages * calibration, calibrating + training + teaching);
    let memory_bytes = memory(arm, spec, vocab_size, &r);
    Cost { tokens, flops, params, disk_bytes: params * BYTES_PER_PARAM, memory_bytes }
}

/// Whether the model of `arm` is of the source's size.
fn ends_whole(arm: &ArmSpec) -> bool {
    arm.prune.is_none() && !matches!(arm.from, Start::Scratch(Shape::Proportional | Shape::Of(_)))
}

/// Tokens that `arm` trains on; `start`: forward FLOPs per token of the model that it begins with.
fn trained_tokens(arm: &ArmSpec, tokens: Tokens, start: f64, spec: &RunSpec, r: &Rates) -> u64 {
    let budget = spec.budget.tokens;
    match tokens {
        Tokens::Source => spec.source.tokens.unwrap_or_default(),
        Tokens::SourceStable => spec.source.stable_tokens(&spec.train),
        Tokens::Recovery if arm.stages() > 0 && spec.recovery.subtract_calibration => {
            budget.saturating_sub(arm.stages() * spec.prune.calibration_read())
        }
        Tokens::Recovery => budget,
        Tokens::Total { source_share } => spec.source.counted_tokens(source_share) + budget,
        Tokens::TotalFlops { source_share } => {
            let source =
                source_share * TRAINING_TO_FORWARD * r.source * spec.source.tokens.unwrap_or_default() as f64;
            let teaching = if arm.distils() { r.source } else { 0.0 };
            let tokens = (source + pruning_flops(spec, r)) / (TRAINING_TO_FORWARD * start + teaching);
            let batch = spec.train.batch_tokens as f64;
            ((tokens / batch).floor() * batch) as u64
        }
    }
}

/// Bytes of an f32.
const F32: u64 = 4;

/// Parameters once more, as products of the processor read them in f32: all of a model's, or none of a large one's.
fn packed(params: u64) -> u64 {
    if params <= MOST_HELD_IN_F32 as u64 { params } else { 0 }
}

/// Memory of making the model of `arm`: copies of the parameters, activations of a micro-batch, Gram matrices.
fn memory(arm: &ArmSpec, spec: &RunSpec, vocab_size: usize, rates: &Rates) -> u64 {
    let (m, prune) = (&spec.model, &spec.prune);
    // What pruning reads: F with the gradient of one micro-batch, and running means of both.
    let reads = |statistic| prune.saliency.needs(statistic);
    let by_unit = prune.fisher.unit != FisherUnit::Position;
    let fisher = u64::from(reads(Statistic::Fisher));
    let unit = u64::from(by_unit && (reads(Statistic::Fisher) || reads(Statistic::SquaredEffect)));
    let entropy = u64::from(reads(Statistic::EntropyGradient));
    let running = if prune.gradient_ema > 0.0 { 1 + fisher } else { 0 };
    let grams = arm.prune.is_some();
    // Of a pruned model that is not trained: weights and gradient.
    let scored =
        if prune.saliency.needs.iter().any(|statistic| statistic.pass() == Pass::Backward) { 2 } else { 1 };
    // Weights, gradient, two moments.
    let copies = match &arm.prune {
        None if arm.is_source() && spec.source.model.is_some() => 2,
        None => 4,
        Some(_) if arm.prunes_in_training() => 4 + fisher + unit + entropy + running,
        Some(_) if arm.train.is_none() => scored + fisher + unit,
        Some(_) => 4 + fisher + unit,
    };
    let averages = arm.train.is_some() || (arm.is_source() && spec.source.model.is_none());
    let copies = copies + u64::from(averages && spec.train.average_fraction > 0.0);
    let small = matches!(arm.from, Start::Scratch(Shape::Proportional | Shape::Of(_)));
    let params = if small { rates.target_params } else { rates.source_params };
    let teacher = if arm.distils() { rates.source_params } else { 0 };
    let tokens = (spec.train.micro_batch * spec.data.context_length) as u64;
    let [d, wide, narrow, f, layers] = [
        m.hidden_size,
        m.num_heads * m.head_dim,
        m.num_kv_heads * m.head_dim,
        m.intermediate_size,
        m.num_layers,
    ]
    .map(|n| n as u64);
    // What the backward pass reads again of each layer (`model::llama`), and gradients on their way through one.
    let activations =
        tokens * layers * (4 * d + 2 * wide + 2 * narrow + 3 * f) + tokens * (3 * d + 2 * wide + f);
    let reads_gram = reads(Statistic::Gram) || prune.update.needs.contains(&Statistic::Gram);
    let squares = prune.types.iter().map(|kind| match kind {
        GroupType::Ffn => layers * f * f,
        GroupType::Head => layers * wide * wide,
        GroupType::Stem => (2 * layers + 1) * d * d,
        GroupType::HeadDim | GroupType::Layer => 0,
    });
    let gram = if grams && reads_gram { squares.sum() } else { 0 };
    // Weights as products of the pass forwards read them, and those of the one backwards.
    let is_read = !(arm.is_source() && spec.source.model.is_some());
    let held = if is_read { 2 * packed(params) } else { 0 };
    // One tensor at a time is copied where a checkpoint is written.
    F32 * (params * copies + held + teacher + activations + gram + vocab_size as u64 * d)
}

/// FLOPs of pruning-aware pretraining: the mean of source and target while it prunes, the source before and the target after that.
fn pruning_flops(spec: &RunSpec, rates: &Rates) -> f64 {
    let budget = spec.budget.tokens as f64;
    let before = (spec.prune.schedule.start_tokens() as f64).min(budget);
    let pruning = match spec.prune.schedule {
        PruneSchedule::Line { prune_tokens, .. } => prune_tokens as f64,
        PruneSchedule::Interval { steps, .. } => {
            let removed = (rates.source_params - rates.target_params) as f64;
            removed / rates.per_event * (steps * spec.train.batch_tokens as u64) as f64
        }
    }
    .min(budget - before);
    let after = budget - before - pruning;
    let forward =
        before * rates.source + pruning * (rates.source + rates.target) / 2.0 + after * rates.target;
    TRAINING_TO_FORWARD * forward
}

/// Parameters that one event removes from the source, the mean over the types.
fn params_per_event(prune: &PruneSpec, config: &ModelConfig) -> f64 {
    let size = |kind: &GroupType| {
        let places: Vec<u64> =
            kind.params(prune.cut(), config).iter().filter_map(|groups| groups.first().copied()).collect();
        let taken = match prune.scope {
            Scope::Uniform => places.iter().sum::<u64>(),
            Scope::PerLayer => places.first().copied().unwrap_or(0),
        };
        taken as f64
    };
    let sizes: Vec<f64> = prune.types.iter().map(size).collect();
    sizes.iter().sum::<f64>() / sizes.len().max(1) as f64
}

/// Cost of scoring the model of `arm`.
pub(super) fn evaluation(known: &KnownRates, arm: &ArmSpec, spec: &RunSpec, vocab_size: usize) -> Cost {
    let r = known.of(spec, vocab_size);
    let EvalSpec { tasks, items, validation_tokens, .. } = &spec.eval;
    // All items of a folder: benchmarks have some two thousand.
    let items = if *items == 0 { 2000 } else { *items as u64 } * tasks.len() as u64;
    let tokens = items * CHOICES_PER_ITEM * TOKENS_PER_CHOICE + validation_tokens;
    let (params, rate) =
        if ends_whole(arm) { (r.source_params, r.source) } else { (r.target_params, r.target) };
    // A pruned model and its source read the held-out text once more, for the divergence between them.
    let (again, other) = if arm.is_of_source() { (*validation_tokens, r.source_params) } else { (0, 0) };
    Cost {
        tokens: tokens + 2 * again,
        flops: rate * (tokens + again) as f64 + r.source * again as f64,
        params: 0,
        disk_bytes: items * BYTES_PER_ITEM,
        memory_bytes: F32 * (params + other + packed(params) + packed(other))
            + spec.data.context_length as u64 * ACTIVATION_BYTES_PER_TOKEN,
    }
}

/// Cost of measuring the latency of the model of `arm`.
pub(super) fn latency(
    known: &KnownRates,
    arm: &ArmSpec,
    latency: LatencySpec,
    spec: &RunSpec,
    vocab_size: usize,
) -> Cost {
    let r = known.of(spec, vocab_size);
    let (params, rate) =
        if ends_whole(arm) { (r.source_params, r.source) } else { (r.target_params, r.target) };
    // Once more than is counted, to warm up.
    let tokens = ((latency.prompt_tokens + latency.decode_tokens) * (latency.repeats + 1)) as u64;
    Cost { tokens, flops: rate * tokens as f64, params: 0, disk_bytes: 1000, memory_bytes: F32 * params }
}
