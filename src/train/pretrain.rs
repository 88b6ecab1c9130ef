//! The training loop: optimiser steps, with pruning events between them while a pruner has work to do.
//!
//! ```text
//! repeat until the budget is spent:
//!   g ← mean over micro-batches of ∂(mean loss)/∂w        and what the rules in force need beside it
//!   AdamW step with g, learning rate by the schedule over this run's own tokens
//!   pruning events that are due, scored from this step's g and statistics, or from their running means
//!   the mean of the weights over the last steps, where it is asked for (`averaging`)
//! ```
//!
//! No pass over data is made for pruning (but for the gradient of the entropy): saliency is read from the training gradients,
//! statistics from the same passes, in steps that events follow and, for running means, in all. Removed parameters leave
//! weights, moments, running means and gradients at once, so later steps are cheaper.
//!
//! Several ranks deal the micro-batches out among themselves and sum g and statistics; from there on all of them
//! do the same, rank 0 alone tells of it and writes checkpoints.
use super::Part;
use super::averaging::{self, running_mean};
use super::calibrate::{self, Calibration};
use super::gradient::{Lesson, StepGradient, Work, agree_on};
use super::held_out::HeldOut;
use super::optimizer::{self, Moments};
use super::schedule::Rate;
use super::state::{Progress, TrainState};
use crate::data::Batches;
use crate::model::flops::{forward_flops_per_token, training_flops_per_token};
use crate::model::{ModelConfig, Rank, Weights};
use crate::prune::{PruneError, Pruner, Statistics, Trees};
use crate::rules::saliency::Statistic;
use crate::spec::{FisherUnit, PruneSpec, TrainSpec};
use crate::tensor::{Backend, RankError};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Why a run of training stopped early.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error(
        "loss is {loss} at step {step} ({tokens_seen} tokens): training diverged\nhint: lower `train.learning_rate` (now {learning_rate}) or raise `train.warmup_tokens`"
    )]
    Diverged { loss: f64, step: u64, tokens_seen: u64, learning_rate: f64 },
    #[error(
        "the gradient's norm is {grad_norm} at step {step} ({tokens_seen} tokens, loss {loss:.3}): training diverged\nhint: lower `train.learning_rate` (now {learning_rate}) or raise `train.warmup_tokens`"
    )]
    GradientOverflow { grad_norm: f64, loss: f64, step: u64, tokens_seen: u64, learning_rate: f64 },
    /// It is not what was written.
    #[error("checkpoint `{}`: {what}", path.display())]
    Checkpoint { path: PathBuf, what: String },
    /// It cannot be written, or read at all.
    #[error("checkpoint `{}`: {source}", path.display())]
    CheckpointFile { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Prune(#[from] PruneError),
    #[error(transparent)]
    Rank(#[from] RankError),
    #[error(
        "no proportional model has as few as {target} parameters\nhint: raise `prune.target`; the narrowest model has {least}"
    )]
    NoProportionalModel { target: u64, least: u64 },
    #[error(
        "{events} pruning events left {params} parameters, more than the target's {target}, when the budget was spent\nhint: {}", way_out(*steps)
    )]
    /// `steps`: between events that would do, to judge by those that there were; 0 where one after every step would not.
    TargetMissed { events: u64, params: u64, target: u64, steps: u64 },
    #[error("there is no {0} to begin with: the plan is broken")]
    NoInput(&'static str),
    #[error("interrupted at {tokens_seen} tokens; run again to go on from there")]
    Interrupted { tokens_seen: u64 },
}

fn way_out(steps: u64) -> String {
    match steps {
        0 => "one event after every step is too few: raise `budget.tokens` or `prune.block`, or let `prune.schedule` be a `line`".into(),
        _ => format!("nearest valid `prune.schedule.steps`: about {steps}; or raise `budget.tokens` or `prune.block`"),
    }
}

impl TrainError {
    pub(super) fn checkpoint_file(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |source| TrainError::CheckpointFile { path: path.to_path_buf(), source }
    }
}

/// One point of the training curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    pub step: u64,
    pub tokens_seen: u64,
    pub params: u64,
    /// Mean nats per token over the steps since the last point.
    pub loss: f64,
    /// Global gradient norm of this step, before clipping.
    pub grad_norm: f64,
    pub learning_rate: f64,
    /// FLOPs of this run so far.
    pub flops: f64,
    /// Mean nats per token of held-out text after this step, where it was scored.
    #[serde(default)]
    pub held_out_loss: Option<f64>,
}

/// What a run reports as it goes.
#[derive(Clone, Copy, Debug)]
pub struct StepReport {
    pub tokens_seen: u64,
    pub total_tokens: u64,
    pub params: u64,
    /// Nats per token of this step.
    pub loss: f64,
}

/// Looks on while a run trains.
pub trait Observer {
    fn on_step(&mut self, report: StepReport);
    /// True when the run should save its state and stop.
    fn interrupted(&self) -> bool {
        false
    }
}

/// Observer that neither shows nor stops anything.
pub struct Silent;

impl Observer for Silent {
    fn on_step(&mut self, _: StepReport) {}
}

/// One run of training.
pub struct TrainPlan<'a> {
    pub spec: &'a TrainSpec,
    /// T
    pub context_length: usize,
    /// Tokens of this run; a multiple of `spec.batch_tokens`.
    pub tokens: u64,
    /// Where in the stream of sequences this run begins.
    pub first_sequence: u64,
    /// The part of the ledger that optimiser steps go to.
    pub part: Part,
    pub prune: Option<&'a PruneSpec>,
    pub seed: u64,
    /// Where and under which identity to keep a checkpoint for resuming.
    pub resume: Option<(&'a Path, &'a str)>,
}

/// What a run begins with and, unless told, does without.
pub struct Beginning<B: Backend> {
    pub config: ModelConfig,
    pub weights: Weights<B::Tensor>,
    /// Moments to go on with; `None`: zeros.
    pub moments: Option<Moments<B::Tensor>>,
    /// `None`: a schedule of its own.
    pub rate: Option<Rate>,
    /// In place of pruning between optimiser steps: so many stages, each from a calibration set of the sequences that
    /// come next, training shared out between them; 0: none.
    pub stages: u64,
    /// Whether training goes on after the sequences of a calibration set rather than on them.
    pub skips_calibration: bool,
    /// What is scored along the run.
    pub held_out: HeldOut,
    /// Whom the model learns from; `None`: the text alone.
    pub lesson: Option<Lesson<B>>,
}

impl<B: Backend> Beginning<B> {
    pub fn new(config: ModelConfig, weights: Weights<B::Tensor>) -> Self {
        Beginning {
            config,
            weights,
            moments: None,
            rate: None,
            stages: 0,
            skips_calibration: false,
            held_out: HeldOut::default(),
            lesson: None,
        }
    }
}

/// Between two checkpoints of a running job, at least.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(20);
/// And so many times as long as the last checkpoint took: large models spend at most a twentieth of their time on them.
const CHECKPOINT_PACE: u32 = 20;
/// Points of a training curve, at most.
const CURVE_POINTS: u64 = 200;

/// Trains `weights` by `plan`: [`train`] with a schedule of its own, and pruning between steps where the plan has any.
pub fn pretrain<B: Backend>(
    rank: &mut Rank<'_, B>,
    batches: &Batches,
    plan: &TrainPlan,
    config: ModelConfig,
    weights: Weights<B::Tensor>,
    observer: &mut dyn Observer,
) -> Result<TrainState<B>, TrainError> {
    train(rank, batches, plan, Beginning::new(config, weights), observer)
}

/// Trains by `plan` from `beginning`; the finished state holds the model, its curve, its events and its ledger, and is the
/// same on all ranks.
pub fn train<B: Backend>(
    rank: &mut Rank<'_, B>,
    batches: &Batches,
    plan: &TrainPlan,
    beginning: Beginning<B>,
    observer: &mut dyn Observer,
) -> Result<TrainState<B>, TrainError> {
    let spec = plan.spec;
    let (backend, communicator) = (rank.backend, rank.communicator);
    let mut beginning = beginning;
    let lesson = beginning.lesson.take();
    let teaching = lesson.as_ref().map_or(0.0, |of| forward_flops_per_token(&of.config, plan.context_length));
    let source = beginning.config.clone();
    let rate = beginning.rate.clone().unwrap_or_else(|| Rate::own(spec, plan.tokens));
    let (stages, skips) = (beginning.stages, beginning.skips_calibration);
    let held_out = beginning.held_out.clone();
    let prune = plan.prune.map(|prune| match stages {
        0 => prune.clone(),
        _ => calibrate::in_stages(prune, stages),
    });
    let resumed = match plan.resume {
        Some((path, key)) => TrainState::load(backend, path, key).unwrap_or_else(|error| {
            tracing::warn!("{error}; this run starts again from its beginning");
            None
        }),
        None => None,
    };
    let mut state = match resumed {
        Some(state) => state,
        None => begin(rank, batches, plan, prune.as_ref(), beginning)?,
    };
    // A checkpoint that one rank cannot read would part them.
    communicator.agree("checkpoint", &[state.progress.step as f64])?;
    let mut pruner = match (&prune, &state.progress.pruner) {
        (Some(prune), Some(saved)) => Some(Pruner::resume(prune, &source, plan.seed, saved.clone())?),
        (Some(prune), None) => Some(Pruner::new(prune, &source, plan.seed)?),
        (None, _) => None,
    };
    let total_steps = plan.tokens / spec.batch_tokens as u64;
    let curve_interval = total_steps.div_ceil(CURVE_POINTS).max(1);
    // A run of no steps has no use for it.
    if plan.tokens == 0 {
        return Ok(state);
    }
    let mut gradient = StepGradient::new(backend, &state.weights);
    gradient.lesson = lesson;
    let mut saved = Instant::now();
    let mut interval = CHECKPOINT_INTERVAL;
    while state.progress.tokens_seen < plan.tokens {
        if let (Some(prune), Some(pruner)) = (&prune, &mut pruner) {
            // Stage i begins after the share (i − 1)/k of the steps.
            while state.progress.stages < stages
                && state.progress.step * stages >= state.progress.stages * total_steps
            {
                let TrainState { config, weights, moments, progress, .. } = &mut state;
                let companions = vec![&mut moments.m, &mut moments.v];
                one_stage(rank, batches, plan, prune, pruner, config, weights, companions, progress, skips)?;
                averaging::begin_anew(&mut state);
            }
        }
        let started = Instant::now();
        let pruning = pruner.as_ref().filter(|pruner| stages == 0 && !pruner.is_done());
        let tokens_after = state.progress.tokens_seen + spec.batch_tokens as u64;
        let due = pruning.is_some_and(|pruner| pruner.is_due(tokens_after, state.progress.step + 1));
        let needs = pruning.map(|pruner| (pruner.needs(due), pruner.groups()));
        let needs =
            needs.as_ref().map(|(needs, groups)| (needs, *groups)).filter(|(needs, _)| !needs.is_empty());
        let work =
            Work { trains: true, total_tokens: spec.batch_tokens, groups: needs.map(|(_, groups)| groups) };

        let first = next_sequence(plan, &state.progress, skips);
        let sequences = spec.batch_tokens / plan.context_length;
        gradient.reset(backend, &state.config, &state.weights, needs);
        let micro_batches = sequences.div_ceil(spec.micro_batch);
        // Read after the step, so that nothing waits for the device before all of its work is asked for.
        let mut losses = Vec::with_capacity(micro_batches);
        let held = (micro_batches > 1).then(|| backend.hold(&state.weights.leaves()));
        for index in (communicator.rank()..micro_batches).step_by(communicator.count()) {
            let offset = index * spec.micro_batch;
            let batch = batches.batch(first + offset as u64, spec.micro_batch.min(sequences - offset));
            losses.extend(gradient.accumulate(rank, &state.config, &state.weights, &batch, &work));
        }
        drop(held);
        gradient.sum_over_ranks(backend, communicator, true)?;
        let units = match needs.map(|(needs, _)| needs.fisher.unit) {
            Some(FisherUnit::Sequence) => sequences,
            _ => micro_batches,
        };
        let (gram_flops, others) =
            gradient.collection_flops(&state.config, spec.batch_tokens as u64, units as u64);
        let has = |statistic| needs.is_some_and(|(needs, _)| needs.has(statistic));
        let (reads_gram, reads_entropy) = (has(Statistic::Gram), has(Statistic::EntropyGradient));
        // The text went through the weights of the step before.
        let age = (state.progress.step, pruner.as_ref().map_or(0, |pruner| pruner.state().events));
        let statistics = gradient.statistics(backend, spec.batch_tokens, age);
        let rate = rate.at(tokens_after);
        let squared_norm =
            optimizer::step(backend, spec, rate, &mut state.weights, &gradient.mean, &mut state.moments);
        let loss = losses.iter().map(|sum| backend.read_sum(sum)).sum::<f64>();
        let loss = communicator.sum(loss)? / spec.batch_tokens as f64;
        let grad_norm = backend.read_sum(&squared_norm).sqrt();
        let progress = &mut state.progress;
        let (step, tokens_seen) = (progress.step + 1, tokens_after);
        if !loss.is_finite() {
            return Err(TrainError::Diverged { loss, step, tokens_seen, learning_rate: rate });
        }
        // The step is scaled by it: none of the weights would mean anything after this one.
        if !grad_norm.is_finite() {
            return Err(TrainError::GradientOverflow {
                grad_norm,
                loss,
                step,
                tokens_seen,
                learning_rate: rate,
            });
        }
        progress.step += 1;
        progress.tokens_seen = tokens_after;
        progress.loss_sum += loss;
        progress.loss_steps += 1;
        let flops = training_flops_per_token(&state.config, plan.context_length) * spec.batch_tokens as f64;
        progress.ledger.add(plan.part, spec.batch_tokens as u64, flops, started.elapsed().as_secs_f64());
        if teaching > 0.0 {
            let tokens = spec.batch_tokens as u64;
            progress.ledger.add(Part::Teacher, tokens, teaching * tokens as f64, 0.0);
        }
        if reads_gram {
            progress.ledger.add(Part::Hessian, spec.batch_tokens as u64, gram_flops, 0.0);
        }
        let entropy = if reads_entropy { flops } else { 0.0 };
        if others + entropy > 0.0 {
            progress.ledger.add(Part::Saliency, 0, others + entropy, 0.0);
        }
        let events = state.progress.events.len();
        if let Some(pruner) = pruner.as_mut().filter(|pruner| stages == 0 && !pruner.is_done()) {
            prune_after_step(rank, pruner, plan.prune, &mut state, &mut gradient, statistics, due)?;
        }
        match state.progress.events.len() == events {
            true => averaging::after_step(backend, spec.average_fraction, total_steps, &mut state),
            false => averaging::begin_anew(&mut state),
        }
        if record_curve(&mut state, rate, grad_norm, curve_interval, total_steps) {
            score_held_out(rank, &held_out, &mut state, total_steps.div_ceil(curve_interval))?;
        }
        let progress = &state.progress;
        observer.on_step(StepReport {
            tokens_seen: progress.tokens_seen,
            total_tokens: plan.tokens,
            params: state.config.num_params(),
            loss,
        });
        if let Some((path, key)) = plan.resume {
            let stop = communicator.as_rank_0(observer.interrupted())?;
            if communicator.rank() == 0 && (stop || saved.elapsed() > interval) {
                let started = Instant::now();
                state.save(backend, path, key)?;
                saved = Instant::now();
                interval = CHECKPOINT_INTERVAL.max(CHECKPOINT_PACE * (saved - started));
            }
            if stop && state.progress.tokens_seen < plan.tokens {
                return Err(TrainError::Interrupted { tokens_seen: state.progress.tokens_seen });
            }
        }
    }
    match pruner {
        Some(pruner) if plan.tokens > 0 && !pruner.is_done() => Err(target_missed(&pruner, total_steps)),
        _ => Ok(state),
    }
}

/// The state before the first step: a first stage of pruning comes before there are moments to slice.
fn begin<B: Backend>(
    rank: &mut Rank<'_, B>,
    batches: &Batches,
    plan: &TrainPlan,
    prune: Option<&PruneSpec>,
    beginning: Beginning<B>,
) -> Result<TrainState<B>, TrainError> {
    let Beginning { mut config, mut weights, moments, stages, skips_calibration, .. } = beginning;
    let mut progress = Progress::default();
    if let (Some(prune), 1.., None) = (prune, stages, &moments) {
        let pruner = &mut Pruner::new(prune, &config, plan.seed)?;
        let (config, weights) = (&mut config, &mut weights);
        one_stage(
            rank,
            batches,
            plan,
            prune,
            pruner,
            config,
            weights,
            Vec::new(),
            &mut progress,
            skips_calibration,
        )?;
    }
    let moments = moments.unwrap_or_else(|| Moments::new(rank.backend, &weights));
    Ok(TrainState {
        config,
        weights,
        moments,
        mean_gradient: None,
        mean_fisher: None,
        mean_statistics: None,
        mean_weights: None,
        progress,
    })
}

/// The next stage of pruning.
#[allow(clippy::too_many_arguments)]
fn one_stage<B: Backend>(
    rank: &mut Rank<'_, B>,
    batches: &Batches,
    plan: &TrainPlan,
    prune: &PruneSpec,
    pruner: &mut Pruner,
    config: &mut ModelConfig,
    weights: &mut Weights<B::Tensor>,
    companions: Vec<&mut Weights<B::Tensor>>,
    progress: &mut Progress,
    skips: bool,
) -> Result<(), TrainError> {
    let calibration = Calibration {
        tokens: prune.calibration_tokens,
        context_length: plan.context_length,
        micro_batch: plan.spec.micro_batch,
        first_sequence: next_sequence(plan, progress, skips),
        stage: progress.stages + 1,
    };
    let when = (progress.tokens_seen + progress.ledger.entry(Part::Saliency).tokens, progress.step);
    let ledger = &mut progress.ledger;
    let events =
        calibrate::stage(rank, batches, calibration, pruner, config, weights, companions, ledger, when)?;
    progress.events.extend(events);
    progress.stages += 1;
    progress.pruner = Some(pruner.state().clone());
    Ok(())
}

/// Where in the stream the sequences are that come next.
fn next_sequence(plan: &TrainPlan, progress: &Progress, skips_calibration: bool) -> u64 {
    let calibration = if skips_calibration { progress.ledger.entry(Part::Saliency).tokens } else { 0 };
    plan.first_sequence + (progress.tokens_seen + calibration) / plan.context_length as u64
}

/// A model above its target must not enter a comparison at equal sizes. The hint assumes that the events to come take
/// as many parameters as those so far.
fn target_missed(pruner: &Pruner, total_steps: u64) -> TrainError {
    let goal = pruner.goal();
    let (params, target, events) = (goal.count(pruner.config()), goal.limit, pruner.state().events);
    let removed = goal.count(pruner.source()) - params;
    let needed =
        (u128::from(events) * u128::from(removed + params - target)).div_ceil(u128::from(removed.max(1)));
    let steps = (u128::from(total_steps) / needed.max(1)) as u64;
    TrainError::TargetMissed { events, params, target, steps }
}

/// Adds a point to the curve where one is due after this step; whether it did.
fn record_curve<B: Backend>(
    state: &mut TrainState<B>,
    learning_rate: f64,
    grad_norm: f64,
    interval: u64,
    total_steps: u64,
) -> bool {
    let params = state.config.num_params();
    let progress = &mut state.progress;
    let due = progress.step.is_multiple_of(interval) || progress.step == total_steps;
    if due {
        progress.curve.push(CurvePoint {
            step: progress.step,
            // Those of calibration sets included.
            tokens_seen: progress.tokens_seen + progress.ledger.entry(Part::Saliency).tokens,
            params,
            loss: progress.loss_sum / progress.loss_steps as f64,
            grad_norm,
            learning_rate,
            flops: progress.ledger.method_flops(),
            held_out_loss: None,
        });
        (progress.loss_sum, progress.loss_steps) = (0.0, 0);
    }
    due
}

/// Scores the held-out text at the last point of the curve, where that is due; a curve has `of` points.
fn score_held_out<B: Backend>(
    rank: &mut Rank<'_, B>,
    held_out: &HeldOut,
    state: &mut TrainState<B>,
    of: u64,
) -> Result<(), TrainError> {
    let TrainState { config, weights, progress, .. } = state;
    if !held_out.is_due(progress.curve.len() as u64, of) {
        return Ok(());
    }
    let started = Instant::now();
    let loss = held_out.loss(rank, config, weights)?;
    if let Some(point) = progress.curve.last_mut() {
        point.held_out_loss = Some(loss);
    }
    let (tokens, context_length) =
        (held_out.tokens(), held_out.batches.first().map_or(0, |b| b.context_length));
    let flops = forward_flops_per_token(config, context_length) * tokens as f64;
    progress.ledger.add(Part::Evaluation, tokens, flops, started.elapsed().as_secs_f64());
    Ok(())
}

/// Carries out the events that are due after this step.
fn prune_after_step<B: Backend>(
    rank: &Rank<'_, B>,
    pruner: &mut Pruner,
    spec: Option<&PruneSpec>,
    state: &mut TrainState<B>,
    gradient: &mut StepGradient<B>,
    statistics: Option<Statistics>,
    due: bool,
) -> Result<(), TrainError> {
    let backend = rank.backend;
    let decay = spec.map_or(0.0, |spec| spec.gradient_ema);
    if decay > 0.0 {
        let scored = gradient.entropy.as_ref().unwrap_or(&gradient.mean);
        running_mean(backend, decay, scored, &mut state.mean_gradient);
        if let Some(fisher) = &gradient.fisher {
            running_mean(backend, decay, fisher, &mut state.mean_fisher);
        }
    }
    let mut statistics = match (decay > 0.0, statistics, &mut state.mean_statistics) {
        (true, Some(new), Some(mean)) => {
            mean.blend(decay, new);
            None
        }
        (true, new, mean) => {
            *mean = new;
            None
        }
        (false, new, _) => new,
    };
    if due {
        let started = Instant::now();
        let TrainState {
            config,
            weights,
            moments,
            mean_gradient,
            mean_fisher,
            mean_statistics,
            progress,
            ..
        } = state;
        let StepGradient { mean, entropy, fisher, .. } = gradient;
        // With running means, these are what is scored, and the step's own are not needed any more.
        let lasting = mean_gradient.is_some();
        let (scored, fisher) = match mean_gradient {
            Some(mean) => (mean, mean_fisher.as_mut()),
            None => (entropy.as_mut().unwrap_or(mean), fisher.as_mut()),
        };
        let statistics = statistics.as_mut().or(mean_statistics.as_mut());
        let moments = Some([&mut moments.m, &mut moments.v]);
        let grads = Some(scored);
        let trees = Trees { weights, grads, fisher, lasting, moments, companions: Vec::new() };
        let events = pruner.step(backend, config, trees, statistics, progress.tokens_seen, progress.step)?;
        agree_on(rank.communicator, &events)?;
        super::ledger::add_events(&mut progress.ledger, &events, started.elapsed().as_secs_f64());
        progress.events.extend(events);
    }
    if pruner.is_done() {
        (state.mean_gradient, state.mean_fisher, state.mean_statistics) = (None, None, None);
    }
    state.progress.pruner = Some(pruner.state().clone());
    Ok(())
}
