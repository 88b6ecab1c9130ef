//! The CUDA engine through the whole loop, on the emulated device, against the CPU engine.
use super::gradient::{StepGradient, Work};
use super::optimizer::{self, Moments, zeros_like};
use super::pretrain::{Observer, Silent, StepReport, TrainError, TrainPlan, pretrain};
use super::tests::{CONTEXT, batches, config, prune_spec, train_spec};
use super::{Part, TrainState};
use crate::model::network::{ExplicitNetwork, Network};
use crate::model::taps::Site;
use crate::model::{Biases, ModelConfig, Rank, init};
use crate::prune::Pruner;
use crate::rules::saliency::RULES;
use crate::spec::{GroupType, PruneSchedule, PruneSpec, Saliency, Scope, Target, TrainSpec, Update};
use crate::tensor::cuda::emulated::EmulatedDevice;
use crate::tensor::cuda::queue::{Counts, Queue};
use crate::tensor::cuda::{CudaBackend, Precision};
use crate::tensor::{Alone, Backend, CpuBackend};

fn run<B: Backend>(backend: &B, spec: &TrainSpec, prune: Option<&PruneSpec>, steps: u64) -> TrainState<B> {
    run_model(backend, config(), spec, prune, steps)
}

fn run_model<B: Backend>(
    backend: &B,
    config: ModelConfig,
    spec: &TrainSpec,
    prune: Option<&PruneSpec>,
    steps: u64,
) -> TrainState<B> {
    observed(backend, config, spec, prune, steps, &mut Silent).expect("it trains")
}

fn observed<B: Backend>(
    backend: &B,
    config: ModelConfig,
    spec: &TrainSpec,
    prune: Option<&PruneSpec>,
    steps: u64,
    observer: &mut dyn Observer,
) -> Result<TrainState<B>, TrainError> {
    let weights = init::random_weights(backend, &config, 2);
    let plan = TrainPlan {
        spec,
        context_length: CONTEXT,
        tokens: steps * spec.batch_tokens as u64,
        first_sequence: 0,
        part: Part::Train,
        prune,
        seed: 2,
        resume: None,
    };
    let mut network = ExplicitNetwork::new(backend);
    let rank = &mut Rank { backend, network: &mut network, communicator: &Alone, at_once: usize::MAX };
    pretrain(rank, &batches(), &plan, config, weights, observer)
}

/// Fifty steps in two micro-batches each, pruned on the way to widths that no alignment divides.
fn specs() -> (TrainSpec, PruneSpec) {
    let train = TrainSpec { micro_batch: 5, ..train_spec() };
    let schedule = PruneSchedule::line(30 * 8 * CONTEXT as u64);
    (train, PruneSpec { schedule, ..prune_spec(Saliency::TAYLOR_MIX, Update::LAYERWISE, 0.5) })
}

/// The same decisions at every pruning event, and losses as close as rounding leaves them: f32 differs in the last bits of
/// sums of up to 640 terms, which fifty steps of AdamW amplify by about a thousand.
#[test]
fn f32_trains_and_prunes_as_the_cpu_does() {
    let Some(device) = EmulatedDevice::new() else { return };
    let (train, prune) = specs();
    let ours = run(&CudaBackend::over(device, Precision::F32), &train, Some(&prune), 50);
    let reference = run(&CpuBackend::<f32>::new(), &train, Some(&prune), 50);
    assert_eq!(ours.config, reference.config);
    let (ours, reference) = (&ours.progress, &reference.progress);
    assert!(reference.events.len() > 10);
    let decision = |e: &crate::prune::EventRecord| (e.tokens_seen, e.group_type, e.indices.clone());
    assert!(ours.events.iter().map(decision).eq(reference.events.iter().map(decision)));
    assert_eq!(ours.curve.len(), 50);
    for (ours, reference) in ours.curve.iter().zip(&reference.curve) {
        let bound = 1e-3 * reference.loss;
        assert!((ours.loss - reference.loss).abs() <= bound, "{ours:?}, expected {reference:?}");
        assert!((ours.grad_norm - reference.grad_norm).abs() <= 1e-2 * reference.grad_norm);
    }
}

/// Every rule and every update prunes on a device, by kernels or by operations put together, as on the processor.
#[test]
fn every_rule_and_update_prunes_as_on_the_cpu() {
    let train = train_spec();
    for (rule, update) in RULES.iter().zip(Update::all().into_iter().cycle()) {
        let schedule = PruneSchedule::line(2 * 8 * CONTEXT as u64);
        let prune = PruneSpec { schedule, ..prune_spec(Saliency::from(*rule), update, 0.8) };
        let Some(device) = EmulatedDevice::new() else { return };
        let ours = run(&CudaBackend::over(device, Precision::F32), &train, Some(&prune), 3);
        let reference = run(&CpuBackend::<f32>::new(), &train, Some(&prune), 3);
        let what = format!("{} and {}", rule.name, update.name);
        assert!(ours.config.num_params() <= config().num_params() * 4 / 5, "{what}");
        assert_eq!(ours.config.biases, reference.config.biases, "{what}");
        let (ours, reference) = (ours.progress, reference.progress);
        let (first, expected) = (&ours.events[0], &reference.events[0]);
        assert_eq!((first.group_type, &first.indices), (expected.group_type, &expected.indices), "{what}");
        let parted = (first.saliency - expected.saliency).abs();
        assert!(parted <= 1e-3 * expected.saliency, "{what}: {} and {}", first.saliency, expected.saliency);
        for (ours, reference) in ours.curve.iter().zip(&reference.curve) {
            assert!(
                (ours.loss - reference.loss).abs() <= 1e-2 * reference.loss,
                "{what}: {ours:?}, {reference:?}"
            );
        }
    }
}

/// With biases (Qwen2), which products add and heads take with them: the bounds of the test above.
#[test]
fn biases_train_and_are_pruned_as_on_the_cpu() {
    let Some(device) = EmulatedDevice::new() else { return };
    let (train, prune) = specs();
    let schedule = PruneSchedule::line(10 * 8 * CONTEXT as u64);
    let prune = PruneSpec { schedule, ..prune };
    let biased = ModelConfig { biases: Biases::QKV, ..config() };
    let backend = CudaBackend::over(device, Precision::F32);
    let ours = run_model(&backend, biased.clone(), &train, Some(&prune), 12);
    let reference = run_model(&CpuBackend::<f32>::new(), biased, &train, Some(&prune), 12);
    assert_eq!(ours.config, reference.config);
    for (ours, reference) in ours.progress.curve.iter().zip(&reference.progress.curve) {
        let bound = 1e-3 * reference.loss;
        assert!((ours.loss - reference.loss).abs() <= bound, "{ours:?}, expected {reference:?}");
    }
    // They begin at zero and have been trained.
    let bias = &ours.weights.layers[0].q.bias.as_ref().expect("the model has biases");
    assert!(backend.to_host(bias).iter().all(|&bias| bias != 0.0));
}

/// Layers of different widths, fewer layers and fewer RoPE pairs, biases of all linear layers: the bounds of the tests above.
#[test]
fn every_type_is_pruned_layer_by_layer_as_on_the_cpu() {
    let Some(device) = EmulatedDevice::new() else { return };
    let (train, prune) = specs();
    let prune = PruneSpec {
        schedule: PruneSchedule::line(8 * 8 * CONTEXT as u64),
        types: GroupType::ALL.to_vec(),
        scope: Scope::PerLayer,
        saliency: Saliency::TAYLOR1,
        update: Update::NONE,
        target: Target::Ratio(0.4),
        ..prune
    };
    let mut source = ModelConfig { biases: Biases::ATTENTION.union(Biases::MLP), ..config() };
    source.layers = vec![source.layers[0].clone(); 3];
    let backend = CudaBackend::over(device, Precision::F32);
    let ours = run_model(&backend, source.clone(), &train, Some(&prune), 10);
    let reference = run_model(&CpuBackend::<f32>::new(), source, &train, Some(&prune), 10);
    assert_eq!(ours.config, reference.config);
    assert!(!reference.config.is_uniform());
    for (ours, reference) in ours.progress.curve.iter().zip(&reference.progress.curve) {
        let bound = 1e-3 * reference.loss;
        assert!((ours.loss - reference.loss).abs() <= bound, "{ours:?}, expected {reference:?}");
    }
}

/// bf16 rounds at 2⁻⁸: the losses of fifty steps stay within 3 % and what is learnt is learnt as well.
#[test]
fn bf16_trains_as_well_as_f32_does() {
    let Some(device) = EmulatedDevice::new() else { return };
    let ours = run(&CudaBackend::over(device, Precision::Bf16), &train_spec(), None, 50);
    let reference = run(&CpuBackend::<f32>::new(), &train_spec(), None, 50);
    let first = reference.progress.curve[0].loss;
    let last = |progress: &super::state::Progress| {
        progress.curve[40..].iter().map(|point| point.loss).sum::<f64>() / 10.0
    };
    let (ours, reference) = (last(&ours.progress), last(&reference.progress));
    assert!(reference < 0.6 * first, "{first} to {reference}");
    assert!((ours - reference).abs() < 0.03 * reference, "{ours}, in f32 {reference}");
}

/// The same run gives the same bits, and so it does where no command is put off or recorded.
#[test]
fn two_runs_agree_to_the_bit() {
    let (train, prune) = specs();
    let schedule = PruneSchedule::line(10 * 8 * CONTEXT as u64);
    let prune = PruneSpec { schedule, ..prune };
    let mut runs = Vec::new();
    for queue in [Queue::new, Queue::new, Queue::immediate] {
        let Some(device) = EmulatedDevice::new() else { return };
        let backend = CudaBackend::through(queue(device), Precision::Bf16);
        let state = run(&backend, &train, Some(&prune), 12);
        let weights: Vec<Vec<f32>> =
            state.weights.leaves().into_iter().map(|leaf| backend.to_host(leaf)).collect();
        runs.push((weights, state.progress.curve));
    }
    assert!(runs[0] == runs[1]);
    assert!(runs[0] == runs[2]);
}

/// What the queue did in each step.
struct PerStep<'b> {
    backend: &'b CudaBackend<EmulatedDevice>,
    before: Counts,
    steps: Vec<Counts>,
}

impl Observer for PerStep<'_> {
    fn on_step(&mut self, _: StepReport) {
        let now = self.backend.device().counts();
        self.steps.push(now.since(self.before));
        self.before = now;
    }
}

/// What each of 14 steps had done, on a model of so many layers.
fn counts_of_steps(layers: usize, micro_batch: usize, prune: Option<&PruneSpec>) -> Option<Vec<Counts>> {
    let backend = CudaBackend::over(EmulatedDevice::new()?, Precision::Bf16);
    let mut config = config();
    config.layers = vec![config.layers[0].clone(); layers];
    let spec = TrainSpec { micro_batch, ..train_spec() };
    let before = backend.device().counts();
    let mut observer = PerStep { backend: &backend, before, steps: Vec::new() };
    let ended = observed(&backend, config, &spec, prune, 14, &mut observer);
    assert!(matches!(ended, Ok(_) | Err(TrainError::TargetMissed { .. })));
    Some(observer.steps)
}

/// From the fourth step on all is replayed but what is written elsewhere every time (losses, the norm), has other
/// coefficients (AdamW) or is too little for a graph: in each micro-batch and in each step a few commands, as many for a deep
/// model as for a shallow one. A pruning event begins anew.
#[test]
fn a_steady_step_is_replayed() {
    let schedule = PruneSchedule::interval(7);
    let prune = PruneSpec { schedule, ..prune_spec(Saliency::TAYLOR_MIX, Update::NONE, 0.9) };
    for (micro_batch, prune) in [(8, None), (2, None), (4, Some(&prune))] {
        let Some(shallow) = counts_of_steps(2, micro_batch, prune) else { return };
        let deep = counts_of_steps(4, micro_batch, prune).expect("a compiler, as above");
        let steady = [3, 4, 5].into_iter().chain(if prune.is_some() { 10..13 } else { 6..14 });
        for step in steady {
            let (shallow, deep) = (shallow[step], deep[step]);
            assert!(shallow.recorded == 0 && shallow.replayed > 0, "step {step}: {shallow:?}");
            let most = 8 * (8 / micro_batch) as u64 + 5;
            assert!(shallow.issued <= most, "step {step}: {shallow:?}, at most {most}");
            assert!(
                deep.recorded == 0 && deep.issued == shallow.issued,
                "step {step}: {shallow:?}, {deep:?}"
            );
        }
    }
}

/// Once a step has been made, the next ones allocate nothing, and wait for the device only to read what they return.
#[test]
fn a_steady_step_allocates_nothing_and_waits_only_for_its_results() {
    let Some(device) = EmulatedDevice::new() else { return };
    let backend = CudaBackend::over(device, Precision::Bf16);
    let (config, spec) = (config(), train_spec());
    let mut weights = init::random_weights(&backend, &config, 2);
    let mut grads = zeros_like(&backend, &weights);
    let mut moments = Moments::new(&backend, &weights);
    let mut network = ExplicitNetwork::new(&backend);
    let batch = batches().batch(0, 3);
    let mut step = || {
        grads.leaves_mut().into_iter().for_each(|grad| backend.fill_zero(grad));
        let scale = 1.0 / batch.inputs.len() as f64;
        let loss = network.loss_and_gradients(
            &config,
            &weights,
            &batch.inputs,
            &batch.targets,
            batch.sequences,
            scale,
            &mut grads,
            None,
        );
        let norm = optimizer::step(&backend, &spec, 1e-3, &mut weights, &grads, &mut moments);
        let waited = backend.device().downloads();
        assert!(backend.read_sum(&loss) > 0.0 && backend.read_sum(&norm) > 0.0);
        (waited, backend.device().allocations())
    };
    step();
    let (waited, allocations) = step();
    for _ in 0..3 {
        let (waited_now, allocations_now) = step();
        assert_eq!(allocations_now, allocations);
        // One read of the loss and one of the norm since the step before; none within a step.
        assert!(waited_now > waited);
    }
    assert_eq!(backend.device().downloads(), 2 * 5);
}

/// Fisher diagonal and Gram matrices are part of the step: nothing waits for the device before its results are read.
#[test]
fn statistics_of_a_step_wait_for_nothing() {
    let Some(device) = EmulatedDevice::new() else { return };
    let backend = CudaBackend::over(device, Precision::Bf16);
    let (config, spec) = (config(), train_spec());
    let mut weights = init::random_weights(&backend, &config, 2);
    let mut moments = Moments::new(&backend, &weights);
    let mut network = ExplicitNetwork::new(&backend);
    let rank =
        &mut Rank { backend: &backend, network: &mut network, communicator: &Alone, at_once: usize::MAX };
    let mut gradient = StepGradient::new(&backend, &weights);
    let pruner = Pruner::new(&prune_spec(Saliency::TAYLOR_MIX, Update::LAYERWISE, 0.5), &config, 1);
    let pruner = pruner.expect("a target that can be met");
    let needs = pruner.needs(true);
    gradient.reset(&backend, &config, &weights, Some((&needs, pruner.groups())));
    let work = Work { trains: true, total_tokens: 6 * CONTEXT, groups: Some(pruner.groups()) };
    let mut losses = Vec::new();
    for first in [0, 3] {
        let batch = batches().batch(first, 3);
        losses.extend(gradient.accumulate(rank, &config, &weights, &batch, &work));
    }
    let norm = optimizer::step(&backend, &spec, 1e-3, &mut weights, &gradient.mean, &mut moments);
    assert_eq!(backend.device().downloads(), 0);
    assert!(losses.iter().chain([&norm]).all(|sum| backend.read_sum(sum) > 0.0));
    let statistics = gradient.statistics(&backend, 6 * CONTEXT, (0, 0)).expect("they were asked for");
    let fisher = gradient.fisher.as_ref().expect("it was asked for");
    assert!(backend.sum_of_squares(&fisher.norm) > 0.0);
    let grams = statistics.grams.expect("they were asked for");
    assert_eq!(grams.num_tokens, 6 * CONTEXT as u64);
    assert!((0..2).all(|layer| grams.of(Site::DownIn(layer)).is_some_and(|gram| gram.trace() > 0.0)));
}
