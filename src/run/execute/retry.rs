//! Going on with less where a device has no memory.
use super::super::executor::StageFailure;
use crate::model::Engine;
use crate::tensor::DeviceError;

/// Does `attempt` with whole micro-batches and then, each time the device is out of memory, with half as many sequences in
/// one pass, where `may_halve`. An attempt goes on from the checkpoint of the one before it.
///
/// # Errors
/// Whatever else goes wrong, and no memory for a single sequence.
pub(super) fn with_less_at_once<T>(
    mut engine: Engine,
    may_halve: bool,
    attempt: impl Fn(&Engine) -> Result<T, DeviceError>,
) -> Result<T, StageFailure> {
    loop {
        match attempt(&engine) {
            Ok(done) => return Ok(done),
            Err(error @ DeviceError::OutOfMemory { .. }) if may_halve && engine.at_once > 1 => {
                engine.at_once = engine.at_once.div_ceil(2);
                let what = error.to_string();
                let what = what.lines().next().unwrap_or_default();
                let sequences = if engine.at_once == 1 { "sequence" } else { "sequences" };
                tracing::warn!("{what}; going on with {} {sequences} in one pass", engine.at_once);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Batches;
    use crate::model::network::ExplicitNetwork;
    use crate::model::{Biases, LayerShape, ModelConfig, Rank, init};
    use crate::spec::{EngineKind, Precision, ScheduleKind, TrainSpec};
    use crate::tensor::cuda::emulated::EmulatedDevice;
    use crate::tensor::cuda::{self, CudaBackend};
    use crate::tensor::unwind::caught;
    use crate::tensor::{Alone, Backend};
    use crate::train::pretrain::Silent;
    use crate::train::{Part, TrainPlan, pretrain};
    use std::cell::RefCell;

    /// What a device that holds `holds` sequences is asked for, and how it ends.
    fn asked(micro_batch: usize, holds: usize, may_halve: bool) -> (Vec<usize>, Result<usize, StageFailure>) {
        let engine = Engine { at_once: micro_batch, ..Engine::alone(EngineKind::Cpu, Precision::F32, 0) };
        let asked = RefCell::new(Vec::new());
        let ended = with_less_at_once(engine, may_halve, |engine| {
            asked.borrow_mut().push(engine.at_once);
            let fits = engine.at_once <= holds;
            fits.then_some(engine.at_once).ok_or(DeviceError::OutOfMemory { asked: 4096, free: 512 })
        });
        (asked.into_inner(), ended)
    }

    #[test]
    fn sequences_at_once_are_halved_until_they_fit() {
        assert_eq!(asked(12, 12, true), (vec![12], Ok(12)));
        assert_eq!(asked(12, 4, true), (vec![12, 6, 3], Ok(3)));
        assert_eq!(asked(5, 1, true), (vec![5, 3, 2, 1], Ok(1)));
    }

    #[test]
    fn what_does_not_fit_at_all_or_must_not_be_halved_is_a_failure_with_its_remedy() {
        for (may_halve, attempts) in [(true, vec![2, 1]), (false, vec![2])] {
            let (tried, ended) = asked(2, 0, may_halve);
            assert_eq!(tried, attempts);
            let Err(StageFailure::Failed(reason)) = ended else { panic!("{ended:?}") };
            assert!(
                reason.starts_with("out of device memory: asked for 4096 bytes with 512 bytes free\nhint: ")
            );
        }
    }

    #[test]
    fn other_failures_are_not_tried_again() {
        let tried = RefCell::new(0);
        let engine = Engine { at_once: 8, ..Engine::alone(EngineKind::Cpu, Precision::F32, 0) };
        let ended = with_less_at_once(engine, true, |_| -> Result<(), _> {
            *tried.borrow_mut() += 1;
            Err(DeviceError::NoSuchDevice { index: 3, count: 2, nearest: "1".into() })
        });
        assert_eq!(*tried.borrow(), 1);
        assert!(
            matches!(ended, Err(StageFailure::Failed(reason)) if reason.contains("nearest valid device: 1"))
        );
    }

    /// Two steps of a small model on an emulated device, and the bytes that it took.
    fn train_on(device: EmulatedDevice, at_once: usize) -> Result<(Vec<f32>, usize), DeviceError> {
        caught(|| {
            let config = ModelConfig {
                vocab_size: 40,
                hidden_size: 16,
                head_dim: 8,
                tie_word_embeddings: true,
                biases: Biases::NONE,
                rope_theta: 1e4,
                rms_norm_eps: 1e-5,
                max_position_embeddings: 16,
                layers: vec![LayerShape::new(2, 1, 24)],
            };
            let spec = TrainSpec {
                batch_tokens: 8 * 16,
                micro_batch: 8,
                learning_rate: 1e-3,
                min_learning_rate_ratio: 0.1,
                schedule: ScheduleKind::Cosine,
                warmup_tokens: 0,
                decay_fraction: 0.2,
                average_fraction: 0.0,
                weight_decay: 0.1,
                beta1: 0.9,
                beta2: 0.95,
                epsilon: 1e-8,
                clip_norm: 1.0,
            };
            let plan = TrainPlan {
                spec: &spec,
                context_length: 16,
                tokens: 2 * spec.batch_tokens as u64,
                first_sequence: 0,
                part: Part::Train,
                prune: None,
                seed: 1,
                resume: None,
            };
            let tokens: Vec<u32> = (0..1000).map(|i| i * i % 40).collect();
            let batches = Batches::new(tokens.into(), 16, 1).expect("enough tokens");
            let backend = CudaBackend::over(device, cuda::Precision::F32);
            let mut network = ExplicitNetwork::new(&backend);
            let mut rank = Rank { backend: &backend, network: &mut network, communicator: &Alone, at_once };
            let weights = init::random_weights(&backend, &config, 1);
            let state =
                pretrain(&mut rank, &batches, &plan, config, weights, &mut Silent).expect("it trains");
            (backend.to_host(&state.weights.embed), backend.device().allocated_bytes())
        })
    }

    /// A device that holds half a micro-batch and not a whole one: the first attempt runs out of memory in the middle of a
    /// step, the second ends where a large device does, up to the order of sums.
    #[test]
    fn training_goes_on_in_halves_on_a_device_with_little_memory() {
        let (Some(large), Some(other)) = (EmulatedDevice::new(), EmulatedDevice::new()) else { return };
        let (whole, most) = train_on(large, 8).expect("memory without end");
        let (_, less) = train_on(other, 4).expect("memory without end");
        assert!(less < most, "{less} bytes for halves, {most} for the whole");
        let asked = RefCell::new(Vec::new());
        let engine = Engine { at_once: 8, ..Engine::alone(EngineKind::Cuda, Precision::F32, 0) };
        let (halves, _) = with_less_at_once(engine, true, |engine| {
            asked.borrow_mut().push(engine.at_once);
            train_on(EmulatedDevice::with_memory(less).expect("a compiler, as above"), engine.at_once)
        })
        .expect("halves fit");
        assert_eq!(asked.into_inner(), [8, 4]);
        // Two steps of AdamW move a weight by at most 2e-3; g/√v magnifies rounding where g is tiny.
        for (a, b) in whole.iter().zip(&halves) {
            assert!((a - b).abs() <= 2e-4, "{a} at once, {b} in halves");
        }
    }
}
