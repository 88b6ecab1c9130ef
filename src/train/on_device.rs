//! Whole training runs on a CUDA engine against the CPU engine's, arm by arm: emulated everywhere, and on a real device
//! where there is one (`scripts/gpu-check`).
use super::pretrain::{Silent, TrainPlan, pretrain};
use super::tests::{CONTEXT, batches, config, prune_spec, train_spec};
use super::{Part, TrainState, calibrate};
use crate::model::network::ExplicitNetwork;
use crate::model::{ModelConfig, Rank, Weights, init};
use crate::spec::{PruneSchedule, PruneSpec, Saliency, Update};
use crate::tensor::cuda::emulated::EmulatedDevice;
use crate::tensor::cuda::{CudaBackend, Precision, on_device};
use crate::tensor::{Alone, Backend, CpuBackend};

/// What an arm did: nats per token of every step, and the widths that it ended with.
#[derive(Debug, PartialEq)]
struct Trajectory {
    arm: &'static str,
    losses: Vec<f64>,
    config: ModelConfig,
}

/// Every arm with `steps` optimiser steps each, from one source model.
fn every_arm<B: Backend<Scalar = f32>>(backend: &B, steps: u64) -> Vec<Trajectory> {
    let spec = train_spec();
    let prune = PruneSpec {
        schedule: PruneSchedule::line(steps / 2 * spec.batch_tokens as u64),
        ..prune_spec(Saliency::TAYLOR_MIX, Update::LAYERWISE, 0.6)
    };
    let mut network = ExplicitNetwork::new(backend);
    let rank = &mut Rank { backend, network: &mut network, communicator: &Alone, at_once: usize::MAX };
    let train = |rank: &mut Rank<B>, config: ModelConfig, weights, after, prune| -> TrainState<B> {
        let plan = TrainPlan {
            spec: &spec,
            context_length: CONTEXT,
            tokens: steps * spec.batch_tokens as u64,
            first_sequence: after,
            part: Part::Train,
            prune,
            seed: 2,
            resume: None,
        };
        pretrain(rank, &batches(), &plan, config, weights, &mut Silent).expect("it trains")
    };
    let copied = |weights: &Weights<B::Tensor>| weights.map(|leaf| backend.select(leaf, None, None));
    let sequences = steps * (spec.batch_tokens / CONTEXT) as u64;

    let source = train(rank, config(), init::random_weights(backend, &config(), 2), 0, None);
    let aware = train(rank, config(), copied(&source.weights), sequences, Some(&prune));
    let pruned = calibrate::one_shot(
        rank,
        &batches(),
        &prune,
        CONTEXT,
        spec.micro_batch,
        sequences,
        2,
        config(),
        copied(&source.weights),
    )
    .expect("it prunes");
    let one_shot = pruned.config.clone();
    // The first loss of the recovery is that of `one_shot` itself.
    let recovered = train(rank, pruned.config, pruned.weights, sequences, None);
    let weights = init::random_weights(backend, &aware.config, 2);
    let direct = train(rank, aware.config.clone(), weights, 0, None);
    let trajectory = |arm, state: &TrainState<B>| Trajectory {
        arm,
        losses: state.progress.curve.iter().map(|point| point.loss).collect(),
        config: state.config.clone(),
    };
    assert_eq!(one_shot, recovered.config);
    vec![
        trajectory("source", &source),
        trajectory("pruning_aware", &aware),
        trajectory("one_shot and one_shot_recover", &recovered),
        trajectory("direct", &direct),
    ]
}

/// Losses within `tolerance` nats of the CPU engine's at every step, and models of the same size.
fn agree(ours: &[Trajectory], cpu: &[Trajectory], tolerance: f64) {
    for (ours, cpu) in ours.iter().zip(cpu) {
        assert_eq!(ours.config.num_params(), cpu.config.num_params(), "{}", ours.arm);
        let parted = ours.losses.iter().zip(&cpu.losses).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        println!("{}: {} steps, largest distance {parted:.2e} nats", ours.arm, ours.losses.len());
        assert!(parted <= tolerance, "{}: {:?} against {:?}", ours.arm, ours.losses, cpu.losses);
    }
}

/// f32 sums in another order part over 50 steps of AdamW by less than 1e-2 nats (2e-3 over 12); rounding activations to bf16
/// (2⁻⁹ each) may also prune another group of nearly the same score, which costs less than 0.1 nats here.
fn tolerance(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 1e-2,
        Precision::Bf16 => 0.1,
    }
}

#[test]
fn emulated_trajectories() {
    let cpu = every_arm(&CpuBackend::<f32>::new(), 12);
    for precision in [Precision::F32, Precision::Bf16] {
        let Some(device) = EmulatedDevice::new() else { return };
        let ours = every_arm(&CudaBackend::over(device, precision), 12);
        agree(&ours, &cpu, tolerance(precision));
    }
}

/// Some steps of every arm on a device, most of them by graphs.
#[test]
fn first_steps() {
    let Some(backend) = on_device::backend(Precision::F32) else { return };
    let ours = every_arm(&backend, 12);
    let counts = backend.device().counts();
    assert!(counts.replayed > counts.recorded && counts.recorded > 0, "{counts:?}");
    agree(&ours, &every_arm(&CpuBackend::<f32>::new(), 12), tolerance(Precision::F32));
}

/// Fifty steps of every arm, each twice with equal bits, most of them by graphs.
#[test]
fn trajectories() {
    for precision in [Precision::F32, Precision::Bf16] {
        let Some(backend) = on_device::backend(precision) else { return };
        let ours = every_arm(&backend, 50);
        assert_eq!(ours, every_arm(&backend, 50), "two runs differ");
        let counts = backend.device().counts();
        println!("{counts:?}");
        assert!(counts.replayed > 4 * counts.recorded && counts.recorded > 0, "{counts:?}");
        agree(&ours, &every_arm(&CpuBackend::<f32>::new(), 50), tolerance(precision));
    }
}
