//! Several ranks against one: the same training, and the same groups gone, on every rank alike.
use super::pretrain::{Observer, Silent, TrainError, TrainPlan, pretrain};
use super::tests::{
    BACKEND, CONTEXT, StopAt, alone, assert_same, batches, config, named, prune_spec, train_spec,
};
use super::{Part, TrainState, calibrate};
use crate::model::llama::Objective;
use crate::model::network::{ExplicitNetwork, Network};
use crate::model::taps::Tap;
use crate::model::{ModelConfig, Rank, Weights, init};
use crate::prune::EventRecord;
use crate::spec::{Fisher, FisherScale, FisherUnit, PruneSpec, Saliency, TrainSpec, Update};
use crate::tensor::cuda::emulated::EmulatedDevice;
use crate::tensor::cuda::{CudaBackend, Precision};
use crate::tensor::ranks::ThreadRanks;
use crate::tensor::{Alone, Backend, CpuBackend, Matrix, RankError};
use std::path::Path;

/// 8 sequences of a step in 4 micro-batches: 4 + 0, 2 + 2, 2 + 1 + 1 on one, two and three ranks.
fn spec() -> TrainSpec {
    TrainSpec { micro_batch: 2, ..train_spec() }
}

/// What each of `count` ranks returns, in rank order.
fn on_ranks<T: Send>(count: usize, work: impl Fn(&mut Rank<'_, CpuBackend<f32>>) -> T + Sync) -> Vec<T> {
    on_devices(&vec![BACKEND; count], work)
}

/// As [`on_ranks`], a rank on each of `backends`.
fn on_devices<B: Backend, T: Send>(backends: &[B], work: impl Fn(&mut Rank<'_, B>) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let members = ThreadRanks::<B::Scalar>::group(backends.len());
        let threads: Vec<_> = members
            .into_iter()
            .zip(backends)
            .map(|(member, backend)| {
                let work = &work;
                scope.spawn(move || {
                    let mut network = ExplicitNetwork::new(backend);
                    let (network, communicator) = (&mut network, &member);
                    work(&mut Rank { backend, network, communicator, at_once: usize::MAX })
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    })
}

fn train<B: Backend>(
    rank: &mut Rank<'_, B>,
    prune: Option<&PruneSpec>,
    resume: Option<(&Path, &str)>,
    observer: &mut dyn Observer,
) -> Result<TrainState<B>, TrainError> {
    let (spec, config) = (spec(), config());
    let weights = init::random_weights(rank.backend, &config, 2);
    let plan = TrainPlan {
        spec: &spec,
        context_length: CONTEXT,
        tokens: 20 * spec.batch_tokens as u64,
        first_sequence: 0,
        part: Part::Train,
        prune,
        seed: 2,
        resume,
    };
    pretrain(rank, &batches(), &plan, config, weights, observer)
}

/// Which groups went, in which order.
fn gone(events: &[EventRecord]) -> Vec<(u64, crate::spec::GroupType, Vec<usize>)> {
    events.iter().map(|event| (event.step, event.group_type, event.indices.clone())).collect()
}

/// f32 sums in another order differ by 1e-7 of a gradient; over 20 steps of AdamW, whose g/√v magnifies that where g is
/// tiny, weights of size 1 part by less than 2e-3.
fn assert_close(one: &Weights<Matrix<f32>>, many: &Weights<Matrix<f32>>) {
    for ((name, a), b) in one.named().into_iter().zip(many.leaves()) {
        for (i, (a, b)) in a.data.iter().zip(&b.data).enumerate() {
            assert!((a - b).abs() <= 2e-3, "{name}[{i}]: {a} on one rank, {b} on several");
        }
    }
}

#[test]
fn several_ranks_train_and_prune_as_one() {
    let sequence = Fisher { unit: FisherUnit::Sequence, scale: FisherScale::Tokens };
    for (saliency, update, gradient_ema, fisher) in [
        (named("fisher_group"), Update::MEAN_BIAS, 0.5, Fisher::BY_POSITION),
        (named("fisher_group"), Update::NONE, 0.0, sequence),
        (Saliency::TAYLOR_MIX, Update::NONE, 0.0, sequence),
        (Saliency::TAYLOR_MIX, Update::NONE, 0.9, Fisher::BY_POSITION),
        (Saliency::TAYLOR_MIX, Update::LAYERWISE, 0.0, Fisher::BY_POSITION),
        (Saliency::TAYLOR1, Update::NONE, 0.0, Fisher::BY_POSITION),
        (Saliency::MAGNITUDE_L2, Update::NONE, 0.0, Fisher::BY_POSITION),
        (Saliency::RANDOM, Update::NONE, 0.0, Fisher::BY_POSITION),
    ] {
        let prune = PruneSpec { gradient_ema, fisher, ..prune_spec(saliency, update, 0.6) };
        let mut network = ExplicitNetwork::new(&BACKEND);
        let one = train(&mut alone(&mut network), Some(&prune), None, &mut Silent).expect("one rank");
        for count in [2, 3] {
            let many = on_ranks(count, |rank| train(rank, Some(&prune), None, &mut Silent).expect("a rank"));
            for other in &many[1..] {
                assert_same(&many[0], other);
            }
            assert_eq!(many[0].config, one.config, "{saliency:?} on {count} ranks");
            assert_eq!(gone(&many[0].progress.events), gone(&one.progress.events), "{saliency:?}");
            assert_eq!(many[0].progress.ledger.method_flops(), one.progress.ledger.method_flops());
            assert_close(&one.weights, &many[0].weights);
        }
    }
}

/// Two ranks on a CUDA device each, whose tensors meet in host memory.
#[test]
fn ranks_on_cuda_devices_train_and_prune_as_one() {
    type Cuda = CudaBackend<EmulatedDevice>;
    let cuda = |device| CudaBackend::over(device, Precision::F32);
    let Some(devices) =
        [(); 3].map(|()| EmulatedDevice::new().map(cuda)).into_iter().collect::<Option<Vec<_>>>()
    else {
        return;
    };
    let prune = prune_spec(Saliency::TAYLOR_MIX, Update::LAYERWISE, 0.6);
    let on_host = |backend: &Cuda, state: &TrainState<Cuda>| {
        state.weights.map(|leaf| {
            let [rows, cols] = backend.shape(leaf);
            Matrix { rows, cols, data: backend.to_host(leaf) }
        })
    };
    let trained = |rank: &mut Rank<'_, Cuda>| {
        let state = train(rank, Some(&prune), None, &mut Silent).expect("it trains");
        (on_host(rank.backend, &state), state)
    };
    let backend = &devices[2];
    let mut network = ExplicitNetwork::new(backend);
    let rank = &mut Rank { backend, network: &mut network, communicator: &Alone, at_once: usize::MAX };
    let (one_weights, one) = trained(rank);
    let many = on_devices(&devices[..2], trained);
    for (weights, state) in &many {
        assert_eq!(state.config, one.config);
        assert_eq!(gone(&state.progress.events), gone(&one.progress.events));
        assert_close(&one_weights, weights);
        for ((name, a), b) in many[0].0.named().into_iter().zip(weights.leaves()) {
            assert_eq!(a.data, b.data, "{name} is not the same on both ranks");
        }
    }
}

#[test]
fn one_shot_on_several_ranks_removes_the_same_groups() {
    let prune = PruneSpec {
        calibration_tokens: 16 * CONTEXT as u64,
        ..prune_spec(Saliency::TAYLOR_MIX, Update::LAYERWISE, 0.6)
    };
    let prune_with = |rank: &mut Rank<'_, CpuBackend<f32>>| {
        let weights = init::random_weights(&BACKEND, &config(), 2);
        calibrate::one_shot(rank, &batches(), &prune, CONTEXT, 3, 100, 2, config(), weights)
            .expect("it prunes")
    };
    let mut network = ExplicitNetwork::new(&BACKEND);
    let one = prune_with(&mut alone(&mut network));
    for many in on_ranks(3, prune_with) {
        assert_eq!(gone(&many.events), gone(&one.events));
        assert_close(&one.weights, &many.weights);
    }
}

/// Of three ranks one has a micro-batch of the calibration set; scores are those of one rank, to the bit, and all agree on them.
#[test]
fn ranks_without_a_micro_batch_score_as_the_others() {
    for rule in ["activation", "flap", "fisher_group", "obs"] {
        let prune = prune_spec(named(rule), Update::NONE, 0.8);
        let prune_with = |rank: &mut Rank<'_, CpuBackend<f32>>| {
            let weights = init::random_weights(&BACKEND, &config(), 2);
            calibrate::one_shot(rank, &batches(), &prune, CONTEXT, 8, 100, 2, config(), weights)
                .unwrap_or_else(|error| panic!("{rule}: {error}"))
        };
        let mut network = ExplicitNetwork::new(&BACKEND);
        let one = prune_with(&mut alone(&mut network));
        for many in on_ranks(3, prune_with) {
            assert_eq!(many.events, one.events, "{rule}");
        }
    }
}

/// Stopped on all ranks at once by what rank 0 sees, and gone on with from the one checkpoint that it wrote.
#[test]
fn resumed_ranks_equal_uninterrupted_ones() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.safetensors");
    let prune = PruneSpec { gradient_ema: 0.5, ..prune_spec(Saliency::TAYLOR_MIX, Update::NONE, 0.6) };
    let whole = on_ranks(2, |rank| train(rank, Some(&prune), None, &mut Silent).expect("a rank"));
    let stop = 7 * spec().batch_tokens as u64;
    let stopped = on_ranks(2, |rank| {
        let seen_by = if rank.communicator.rank() == 0 { stop } else { u64::MAX };
        train(rank, Some(&prune), Some((&path, "key")), &mut StopAt(seen_by, 0)).err()
    });
    for error in stopped {
        assert!(matches!(error, Some(TrainError::Interrupted { tokens_seen }) if tokens_seen == stop));
    }
    let resumed =
        on_ranks(2, |rank| train(rank, Some(&prune), Some((&path, "key")), &mut Silent).expect("a rank"));
    assert_same(&whole[0], &resumed[0]);
    assert_same(&whole[0], &resumed[1]);
}

/// A network that fails on its third pass, as a device without memory does.
struct Failing<'a>(ExplicitNetwork<'a, CpuBackend<f32>>, u32);

impl Network<CpuBackend<f32>> for Failing<'_> {
    fn differentiate(
        &mut self,
        config: &ModelConfig,
        weights: &Weights<Matrix<f32>>,
        inputs: &[u32],
        objective: Objective<'_, Matrix<f32>>,
        sequences: usize,
        scale: f64,
        grads: &mut Weights<Matrix<f32>>,
        tap: Option<Tap<Matrix<f32>>>,
    ) -> f64 {
        self.1 += 1;
        if self.1 == 3 {
            crate::tensor::unwind::raise(RankError::Left);
        }
        self.0.differentiate(config, weights, inputs, objective, sequences, scale, grads, tap)
    }

    fn observe(
        &mut self,
        config: &ModelConfig,
        weights: &Weights<Matrix<f32>>,
        inputs: &[u32],
        sequences: usize,
        tap: Tap<Matrix<f32>>,
    ) {
        self.0.observe(config, weights, inputs, sequences, tap);
    }

    fn divergences(
        &mut self,
        p: crate::model::divergence::Side<'_, Matrix<f32>>,
        q: crate::model::divergence::Side<'_, Matrix<f32>>,
        inputs: &[u32],
        sequences: usize,
    ) -> Vec<f64> {
        self.0.divergences(p, q, inputs, sequences)
    }

    fn log_probabilities(
        &mut self,
        config: &ModelConfig,
        weights: &Weights<Matrix<f32>>,
        inputs: &[u32],
        targets: &[u32],
        sequences: usize,
    ) -> Vec<f64> {
        self.0.log_probabilities(config, weights, inputs, targets, sequences)
    }
}

#[test]
fn a_rank_that_fails_ends_the_others() {
    let mut members = ThreadRanks::<f32>::group(2).into_iter();
    let (sound, failing) = (members.next().expect("rank 0"), members.next().expect("rank 1"));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let sound = sound;
            let mut network = ExplicitNetwork::new(&BACKEND);
            let mut rank = Rank { communicator: &sound, ..alone(&mut network) };
            train(&mut rank, None, None, &mut Silent).err().map(|error| error.to_string())
        });
        let failed = crate::tensor::unwind::caught::<RankError, _>(|| {
            let failing = failing;
            let mut network = Failing(ExplicitNetwork::new(&BACKEND), 0);
            let mut rank = Rank { communicator: &failing, ..alone(&mut network) };
            train(&mut rank, None, None, &mut Silent).is_ok()
        });
        assert_eq!(failed, Err(RankError::Left));
        let told = waiting.join().expect("no panic");
        assert_eq!(told, Some("another rank of this run stopped".to_string()));
    });
}

/// A micro-batch in pieces is the same micro-batch: F keeps its sample unit.
#[test]
fn pieces_of_a_micro_batch_change_the_order_of_sums_alone() {
    let prune = prune_spec(Saliency::TAYLOR_MIX, Update::LAYERWISE, 0.6);
    let with = |at_once: usize| {
        let mut network = ExplicitNetwork::new(&BACKEND);
        let mut rank = Rank { at_once, ..alone(&mut network) };
        train(&mut rank, Some(&prune), None, &mut Silent).expect("it trains")
    };
    let (whole, pieces) = (with(usize::MAX), with(1));
    assert_same(&whole, &with(2));
    assert_eq!(gone(&whole.progress.events), gone(&pieces.progress.events));
    assert_close(&whole.weights, &pieces.weights);
}
