//! The loop as a whole: resume, accumulation, threads, pruning nothing, pruning to the target.
use super::optimizer::zeros_like;
use super::pretrain::{Observer, Silent, StepReport, TrainError, TrainPlan, pretrain};
use super::{Part, TrainState, calibrate};
use crate::base::team::with_team;
use crate::data::Batches;
use crate::model::network::{ExplicitNetwork, Network};
use crate::model::{Biases, LayerShape, ModelConfig, Rank, init};
use crate::rules::saliency::Statistic;
use crate::spec::{
    Fisher, GroupType, HeadUnit, Normaliser, PruneSchedule, PruneSpec, Reduction, Saliency, ScheduleKind,
    Scope, Target, TrainSpec, Update,
};
use crate::tensor::{Alone, CpuBackend, CpuBf16};
use std::path::Path;

pub(super) const CONTEXT: usize = 16;
pub(super) const BACKEND: CpuBackend<f32> = CpuBackend::new();

pub(super) fn config() -> ModelConfig {
    ModelConfig {
        vocab_size: 40,
        hidden_size: 24,
        head_dim: 6,
        tie_word_embeddings: true,
        biases: Biases::NONE,
        rope_theta: 1e4,
        rms_norm_eps: 1e-5,
        max_position_embeddings: CONTEXT,
        layers: vec![LayerShape::new(4, 2, 40); 2],
    }
}

pub(super) fn train_spec() -> TrainSpec {
    TrainSpec {
        batch_tokens: 8 * CONTEXT,
        micro_batch: 8,
        learning_rate: 1e-2,
        min_learning_rate_ratio: 0.1,
        schedule: ScheduleKind::Cosine,
        warmup_tokens: 4 * 8 * CONTEXT as u64,
        decay_fraction: 0.2,
        average_fraction: 0.0,
        weight_decay: 0.1,
        beta1: 0.9,
        beta2: 0.95,
        epsilon: 1e-8,
        clip_norm: 1.0,
    }
}

/// The rule of this name.
pub(super) fn named(name: &str) -> Saliency {
    Saliency::named(name).expect("a rule of this name")
}

pub(super) fn prune_spec(saliency: Saliency, update: Update, ratio: f64) -> PruneSpec {
    PruneSpec {
        target: Target::Ratio(ratio),
        types: vec![GroupType::Ffn, GroupType::Head, GroupType::Stem],
        scope: Scope::Uniform,
        block: 1,
        head_unit: HeadUnit::KvGroup,
        saliency,
        reduction: Reduction::Sum,
        normaliser: Normaliser::PerParameter,
        fisher: Fisher::BY_POSITION,
        update,
        damping: 0.01,
        gradient_ema: 0.0,
        schedule: PruneSchedule::line(12 * 8 * CONTEXT as u64),
        calibration_tokens: 4 * CONTEXT as u64,
        min_ffn: 1,
        min_heads: 1,
        min_stem: 1,
        min_head_dim: 1,
        min_layers: 1,
        fixed_shape: None,
    }
}

/// Text in which the next token follows from the last: v ↦ 7v + 3, restarted now and then.
pub(super) fn batches() -> Batches {
    let mut token = 1u32;
    let tokens: Vec<u32> = (0..20_000u32)
        .map(|i| {
            token = if i % 37 == 0 { i % 40 } else { (7 * token + 3) % 40 };
            token
        })
        .collect();
    Batches::new(tokens.into(), CONTEXT, 5).expect("a long enough corpus")
}

pub(super) fn alone<'a>(network: &'a mut dyn Network<CpuBackend<f32>>) -> Rank<'a, CpuBackend<f32>> {
    alone_on(&BACKEND, network)
}

fn alone_on<'a>(
    backend: &'a CpuBackend<f32>,
    network: &'a mut dyn Network<CpuBackend<f32>>,
) -> Rank<'a, CpuBackend<f32>> {
    Rank { backend, network, communicator: &Alone, at_once: usize::MAX }
}

pub(super) struct StopAt(pub u64, pub u64);

impl Observer for StopAt {
    fn on_step(&mut self, report: StepReport) {
        self.1 = report.tokens_seen;
    }
    fn interrupted(&self) -> bool {
        self.1 >= self.0
    }
}

pub(super) fn run(
    spec: &TrainSpec,
    prune: Option<&PruneSpec>,
    steps: u64,
    resume: Option<(&Path, &str)>,
    observer: &mut dyn Observer,
) -> Result<TrainState<CpuBackend<f32>>, TrainError> {
    run_on(&BACKEND, spec, prune, steps, resume, observer)
}

fn run_on(
    backend: &CpuBackend<f32>,
    spec: &TrainSpec,
    prune: Option<&PruneSpec>,
    steps: u64,
    resume: Option<(&Path, &str)>,
    observer: &mut dyn Observer,
) -> Result<TrainState<CpuBackend<f32>>, TrainError> {
    let config = config();
    let weights = init::random_weights(backend, &config, 2);
    let tokens = steps * spec.batch_tokens as u64;
    let plan = TrainPlan {
        spec,
        context_length: CONTEXT,
        tokens,
        first_sequence: 0,
        part: Part::Train,
        prune,
        seed: 2,
        resume,
    };
    let mut network = ExplicitNetwork::new(backend);
    pretrain(&mut alone_on(backend, &mut network), &batches(), &plan, config, weights, observer)
}

pub(super) fn assert_same(a: &TrainState<CpuBackend<f32>>, b: &TrainState<CpuBackend<f32>>) {
    assert_eq!(a.config, b.config);
    assert!(a.weights == b.weights, "weights differ");
    assert!(a.moments.m == b.moments.m && a.moments.v == b.moments.v, "moments differ");
    assert_eq!(a.progress.curve, b.progress.curve);
    assert_eq!(a.progress.events, b.progress.events);
    assert_eq!(a.progress.ledger.method_flops(), b.progress.ledger.method_flops());
}

#[test]
fn loss_falls() {
    let state = run(&train_spec(), None, 60, None, &mut Silent).expect("it trains");
    let (first, last) = (&state.progress.curve[0], &state.progress.curve[59]);
    assert!(first.loss > 3.5 && last.loss < 1.5, "{} to {}", first.loss, last.loss);
    assert_eq!(state.progress.ledger.entry(Part::Train).tokens, 60 * 8 * CONTEXT as u64);
}

/// Every saliency and update, stopped in the middle of pruning and gone on with from the checkpoint.
#[test]
fn resumed_equals_uninterrupted() {
    let folder = tempfile::tempdir().expect("a folder");
    for (i, (saliency, update, ema)) in [
        (Saliency::TAYLOR_MIX, Update::NONE, 0.9),
        (Saliency::TAYLOR_MIX, Update::LAYERWISE, 0.0),
        (Saliency::RANDOM, Update::NONE, 0.0),
        (Saliency::MAGNITUDE_L2, Update::NONE, 0.0),
        (Saliency::TAYLOR1, Update::NONE, 0.5),
        (named("fisher_group"), Update::LAYERWISE_BIAS, 0.5),
        (named("flap"), Update::MEAN_BIAS, 0.5),
        (named("entropy_taylor"), Update::NONE, 0.5),
        (named("adam"), Update::NONE, 0.0),
        (named("obs"), Update::LAYERWISE, 0.0),
    ]
    .into_iter()
    .enumerate()
    {
        let prune = PruneSpec { gradient_ema: ema, ..prune_spec(saliency, update, 0.5) };
        let whole = run(&train_spec(), Some(&prune), 20, None, &mut Silent).expect("it trains");
        let path = folder.path().join(format!("{i}.safetensors"));
        for stop in [3, 7] {
            let stop = stop * train_spec().batch_tokens as u64;
            let stopped = run(&train_spec(), Some(&prune), 20, Some((&path, "key")), &mut StopAt(stop, 0));
            assert!(matches!(stopped, Err(TrainError::Interrupted { tokens_seen }) if tokens_seen == stop));
        }
        let resumed =
            run(&train_spec(), Some(&prune), 20, Some((&path, "key")), &mut Silent).expect("it resumes");
        assert_same(&whole, &resumed);
        // The checkpoint of another run is left alone.
        assert!(TrainState::load(&BACKEND, &path, "another").expect("a readable file").is_none());
        // A truncated one is an error, never a panic.
        let bytes = std::fs::read(&path).expect("the checkpoint");
        std::fs::write(&path, &bytes[..bytes.len() / 2]).expect("a smaller file");
        let error = TrainState::load(&BACKEND, &path, "key").err().expect("an error");
        assert!(error.to_string().contains(".safetensors"), "{error}");
    }
}

/// What the file system said of a checkpoint is there to be decided by, and not in words alone.
#[test]
fn a_checkpoint_that_cannot_be_written_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("moved away/state.safetensors");
    let stop = 3 * train_spec().batch_tokens as u64;
    let stopped = run(&train_spec(), None, 20, Some((&path, "key")), &mut StopAt(stop, 0));
    let Err(TrainError::CheckpointFile { path: told, source }) = stopped else { panic!("it is written") };
    assert_eq!((told, source.kind()), (path, std::io::ErrorKind::NotFound));
}

/// What a page of a sweep in progress shows: the curve so far, from the file's header alone.
#[test]
fn progress_is_read_from_a_checkpoint_without_its_tensors() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.safetensors");
    assert_eq!(super::progress_in(&path), None);
    let stop = 3 * train_spec().batch_tokens as u64;
    let stopped = run(&train_spec(), None, 20, Some((&path, "key")), &mut StopAt(stop, 0));
    assert!(matches!(stopped, Err(TrainError::Interrupted { .. })));
    let progress = super::progress_in(&path).expect("progress");
    assert_eq!((progress.step, progress.tokens_seen), (3, stop));
    assert_eq!(progress.curve.last().map(|point| point.tokens_seen), Some(stop));
    let bytes = std::fs::read(&path).expect("the checkpoint");
    std::fs::write(&path, &bytes[..40]).expect("a smaller file");
    assert_eq!(super::progress_in(&path), None);
}

#[test]
fn threads_do_not_change_a_bit() {
    let prune = prune_spec(Saliency::TAYLOR_MIX, Update::LAYERWISE, 0.5);
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| {
            with_team(|| run(&train_spec(), Some(&prune), 14, None, &mut Silent).expect("it trains"))
        })
    };
    assert_same(&with(1), &with(2));
}

/// In bf16 as in f32: threads and interruptions change no bit; the loss is that of f32 but for rounding, and not the same.
#[test]
fn bf16_is_as_repeatable_as_f32_and_trains_as_well() {
    let folder = tempfile::tempdir().expect("a folder");
    let prune = prune_spec(Saliency::TAYLOR_MIX, Update::LAYERWISE, 0.5);
    for kind in [CpuBf16::Avx512Bf16, CpuBf16::AmxBf16] {
        let backend = CpuBackend::in_bf16(kind);
        let with = |threads, resume, stop| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            let run = || run_on(&backend, &train_spec(), Some(&prune), 14, resume, &mut StopAt(stop, 0));
            pool.install(|| with_team(run))
        };
        let whole = with(1, None, u64::MAX).expect("it trains");
        assert_same(&whole, &with(3, None, u64::MAX).expect("it trains"));
        let path = folder.path().join(format!("{}.safetensors", kind.name()));
        let stop = 3 * train_spec().batch_tokens as u64;
        assert!(matches!(with(1, Some((&path, "key")), stop), Err(TrainError::Interrupted { .. })));
        assert_same(&whole, &with(2, Some((&path, "key")), u64::MAX).expect("it resumes"));

        let loss = |backend: &CpuBackend<f32>| {
            let state = run_on(backend, &train_spec(), None, 20, None, &mut Silent).expect("it trains");
            state.progress.curve[19].loss
        };
        let (ours, plain) = (loss(&backend), loss(&BACKEND));
        assert!(ours != plain && (ours - plain).abs() < 0.05 * plain, "{kind:?}: {ours} against {plain}");
    }
}

/// Micro-batches of 4, 3 and 1 sequences (the last one short) sum to the batch of 8, AdamW included. Sums of f32
/// in another order differ by about 1e-7 of a gradient; AdamW's g/√v turns that into 1e-4 of a step where g is tiny.
#[test]
fn accumulation_equals_the_large_batch() {
    let whole = run(&train_spec(), None, 5, None, &mut Silent).expect("it trains");
    for micro_batch in [4, 3, 1] {
        let spec = TrainSpec { micro_batch, ..train_spec() };
        let parts = run(&spec, None, 5, None, &mut Silent).expect("it trains");
        for ((name, a), b) in whole.weights.named().into_iter().zip(parts.weights.leaves()) {
            for (i, (a, b)) in a.data.iter().zip(&b.data).enumerate() {
                assert!((a - b).abs() <= 2e-5 + 1e-4 * a.abs(), "{name}[{i}]: {a} against {b}");
            }
        }
    }
}

/// A target of the whole model removes nothing and changes no bit of training.
#[test]
fn pruning_nothing_is_a_bitwise_no_op() {
    let prune = prune_spec(Saliency::TAYLOR_MIX, Update::LAYERWISE, 1.0);
    let plain = run(&train_spec(), None, 15, None, &mut Silent).expect("it trains");
    let pruned = run(&train_spec(), Some(&prune), 15, None, &mut Silent).expect("it trains");
    assert!(plain.weights == pruned.weights && plain.moments.v == pruned.moments.v);
    assert!(pruned.progress.events.is_empty());
}

#[test]
fn pruning_reaches_the_target_along_the_line() {
    for (saliency, update) in Saliency::all().into_iter().zip(Update::all().into_iter().cycle()) {
        let prune = prune_spec(saliency, update, 0.5);
        let state = run(&train_spec(), Some(&prune), 14, None, &mut Silent).expect("it trains");
        // What is read was collected through the weights of the step before.
        let reads_gram = saliency.needs(Statistic::Gram) || update.needs.contains(&Statistic::Gram);
        for event in &state.progress.events {
            let age = reads_gram.then_some(1);
            assert_eq!((event.gram_age_steps, event.gram_tokens), (age, age.map(|_| 8 * CONTEXT as u64)));
        }
        assert!(!reads_gram || state.progress.events.iter().any(|event| event.gram_age_events > Some(0)));
        let (source, params) = (config().num_params(), state.config.num_params());
        assert!(params <= source / 2 && params > source / 2 - 200, "{params} of {source}");
        assert_eq!(
            crate::model::Weights::shapes(&state.config)
                .leaves()
                .iter()
                .map(|[r, c]| (r * c) as u64)
                .sum::<u64>(),
            params
        );
        // Half-way down the line at half the tokens of the line.
        let half = state.progress.curve.iter().find(|point| point.step == 6).expect("a point");
        assert!(half.params <= source * 3 / 4, "{} at half-way", half.params);
        assert!(state.progress.events.windows(2).all(|pair| pair[1].params < pair[0].params));
    }
}

/// Running means go on in every step; what updates read is collected in those alone that events follow.
#[test]
fn updates_find_their_statistics_beside_running_means() {
    for update in [Update::MEAN_BIAS, Update::LAYERWISE_BIAS] {
        let prune = PruneSpec {
            gradient_ema: 0.5,
            schedule: PruneSchedule::interval(2),
            types: vec![GroupType::Ffn],
            ..prune_spec(named("flap"), update, 0.97)
        };
        let state = run(&train_spec(), Some(&prune), 20, None, &mut Silent).expect("it prunes");
        assert!(state.progress.events.iter().all(|event| event.step % 2 == 0));
        let plain = PruneSpec { saliency: Saliency::TAYLOR1, ..prune };
        let state = run(&train_spec(), Some(&plain), 20, None, &mut Silent).expect("it prunes");
        assert!(!state.progress.events.is_empty() && !state.config.biases.is_empty());
    }
}

/// A schedule that is too slow for the budget fails, and says which one would do.
#[test]
fn a_missed_target_is_an_error_with_a_faster_schedule() {
    let every = |steps| PruneSpec {
        schedule: PruneSchedule::interval(steps),
        ..prune_spec(Saliency::MAGNITUDE_L2, Update::NONE, 0.9)
    };
    let error = run(&train_spec(), Some(&every(10)), 20, None, &mut Silent).err().expect("too slow");
    assert!(matches!(error, TrainError::TargetMissed { events: 2, .. }), "{error}");
    let TrainError::TargetMissed { steps, .. } = error else { return };
    assert!((1..10).contains(&steps), "{steps}");
    let state = run(&train_spec(), Some(&every(steps)), 20, None, &mut Silent).expect("fast enough");
    assert!(state.config.num_params() <= config().num_params() * 9 / 10);

    let error = run(&train_spec(), Some(&every(1)), 2, None, &mut Silent).err().expect("too few steps");
    assert!(matches!(error, TrainError::TargetMissed { steps: 0, .. }), "{error}");
    assert!(!error.to_string().contains("schedule.steps"), "{error}");
}

/// Pruning to half and updating the rest must hurt the loss on the calibration text less than not updating.
#[test]
fn one_shot_reaches_the_target_and_the_update_helps() {
    let state = run(&train_spec(), None, 60, None, &mut Silent).expect("it trains");
    let loss = |update: Update| {
        let prune = PruneSpec {
            types: vec![GroupType::Ffn],
            calibration_tokens: 64 * CONTEXT as u64,
            ..prune_spec(Saliency::TAYLOR1, update, 0.75)
        };
        let mut network = ExplicitNetwork::new(&BACKEND);
        let (config, weights) = (state.config.clone(), state.weights.clone());
        let pruned = calibrate::one_shot(
            &mut alone(&mut network),
            &batches(),
            &prune,
            CONTEXT,
            8,
            500,
            2,
            config,
            weights,
        )
        .expect("it prunes");
        assert!(pruned.config.num_params() <= state.config.num_params() * 3 / 4);
        let bias = pruned.weights.layers[0].down.bias.as_ref();
        assert_eq!(bias.is_some_and(|bias| bias.data.iter().any(|b| *b != 0.0)), update.makes_bias);
        let batch = batches().batch(500, 64);
        let mut grads = zeros_like(&BACKEND, &pruned.weights);
        network.loss_and_gradients(
            &pruned.config,
            &pruned.weights,
            &batch.inputs,
            &batch.targets,
            64,
            0.0,
            &mut grads,
            None,
        ) / batch.inputs.len() as f64
    };
    let [kept, mean, updated, free] =
        [Update::NONE, Update::MEAN_BIAS, Update::LAYERWISE, Update::LAYERWISE_BIAS].map(loss);
    assert!(updated < kept && mean < kept, "{updated} and {mean} with an update, {kept} without");
    assert!(free < updated * 1.02, "{free} with a free bias, {updated} without");
}

/// What post-training pruning books is what its rules read: nothing, a forward pass, or a pass with gradients.
#[test]
fn one_shot_books_the_passes_that_happened() {
    let (config, tokens) = (config(), 4 * CONTEXT as u64);
    let forward = crate::model::flops::forward_flops_per_token(&config, CONTEXT) * tokens as f64;
    for (saliency, update, expected) in [
        (Saliency::RANDOM, Update::NONE, 0.0),
        (Saliency::MAGNITUDE_L2, Update::NONE, 0.0),
        (Saliency::MAGNITUDE_L2, Update::LAYERWISE, forward),
        (named("wanda"), Update::NONE, forward),
        (Saliency::TAYLOR1, Update::NONE, 3.0 * forward),
        (named("entropy_taylor"), Update::NONE, 3.0 * forward),
        (named("entropy_taylor"), Update::MEAN_BIAS, 4.0 * forward),
    ] {
        let prune = PruneSpec { types: vec![GroupType::Ffn], ..prune_spec(saliency, update, 0.9) };
        let mut network = ExplicitNetwork::new(&BACKEND);
        let weights = init::random_weights(&BACKEND, &config, 2);
        let mut rank = alone(&mut network);
        let pruned =
            calibrate::one_shot(&mut rank, &batches(), &prune, CONTEXT, 2, 0, 2, config.clone(), weights);
        let ledger = pruned.expect("it prunes").ledger;
        let own = crate::prune::cost::saliency_flops(saliency, config.num_params());
        let found = ledger.entry(Part::Saliency);
        assert_eq!(found.tokens, if expected > 0.0 { tokens } else { 0 }, "{saliency:?}");
        // Scores after each event and sums over tokens come on top, little beside a pass.
        let slack = 0.2 * forward + 40.0 * own as f64;
        assert!(found.flops >= expected && found.flops <= expected + slack, "{saliency:?}: {}", found.flops);
    }
}

#[test]
fn divergence_is_an_error_with_a_hint() {
    let spec = TrainSpec { learning_rate: 1e30, clip_norm: 0.0, ..train_spec() };
    let error = run(&spec, None, 20, None, &mut Silent).err().expect("it diverges");
    assert!(error.to_string().contains("train.learning_rate"), "{error}");
}
