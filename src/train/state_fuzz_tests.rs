//! Checkpoints of training against damage: what is read back is the state that was written, or the file is refused. Never a panic,
//! and never another number.
use super::optimizer::Moments;
use super::state::Progress;
use super::{Ledger, Part, TrainState, progress_in};
use crate::base::fuzz::{self, mutation};
use crate::base::hash::sha256_with_zeros;
use crate::model::{Biases, LayerShape, ModelConfig, Weights, init};
use crate::tensor::CpuBackend;
use crate::tensor::cpu::Matrix;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::fs;
use std::sync::LazyLock;

type State = TrainState<CpuBackend<f32>>;

fn state() -> State {
    let backend = CpuBackend::<f32>::new();
    let config = ModelConfig {
        vocab_size: 6,
        hidden_size: 4,
        head_dim: 2,
        tie_word_embeddings: true,
        biases: Biases::NONE,
        rope_theta: 1e4,
        rms_norm_eps: 1e-5,
        max_position_embeddings: 8,
        layers: vec![LayerShape::new(1, 1, 3)],
    };
    let weights = |seed| init::random_weights(&backend, &config, seed);
    let mut ledger = Ledger::default();
    ledger.add(Part::Train, 512, 1e6, 0.25);
    let progress =
        Progress { step: 2, tokens_seen: 512, ledger, loss_sum: 1.5, loss_steps: 2, ..Progress::default() };
    TrainState {
        weights: weights(1),
        moments: Moments { m: weights(2), v: weights(3), steps: 2 },
        mean_gradient: Some(weights(4)),
        mean_fisher: None,
        mean_weights: None,
        mean_statistics: None,
        config: config.clone(),
        progress,
    }
}

/// A checkpoint as it is on disk.
static WHOLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state");
    state().save(&CpuBackend::new(), &path, "run").expect("saved");
    fs::read(path).expect("read")
});

proptest! {
    #![proptest_config(ProptestConfig {
        cases: fuzz::cases(300, 2),
        rng_seed: RngSeed::Fixed(17),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_damaged_checkpoint_is_refused(changes in prop::collection::vec(mutation(), 1..3)) {
        let path = fuzz::folder().join("state");
        let bytes = changes.iter().fold(WHOLE.clone(), |bytes, change| {
            if bytes.is_empty() { bytes } else { change.of(&bytes) }
        });
        fs::write(&path, &bytes).expect("written");
        match State::load(&CpuBackend::new(), &path, "run") {
            Ok(read) => {
                prop_assert_eq!(&bytes, &*WHOLE);
                let (read, whole) = (read.expect("of this run"), state());
                prop_assert_eq!(&read.progress, &whole.progress);
                prop_assert_eq!(&read.config, &whole.config);
                prop_assert_eq!(read.moments.steps, whole.moments.steps);
                let host = |tree: &Weights<Matrix<f32>>| -> Vec<f32> {
                    tree.named().iter().flat_map(|(_, leaf)| leaf.data.clone()).collect()
                };
                prop_assert_eq!(host(&read.weights), host(&whole.weights));
                prop_assert_eq!(host(&read.moments.m), host(&whole.moments.m));
                prop_assert_eq!(host(&read.moments.v), host(&whole.moments.v));
                let mean = |state: &State| state.mean_gradient.as_ref().map(host);
                prop_assert_eq!(mean(&read), mean(&whole));
            }
            Err(error) => prop_assert!(error.to_string().contains("state"), "{error}"),
        }
    }

    /// A checkpoint whose SHA-256 is right and whose contents are not: another version's, or a stranger's.
    #[test]
    fn a_strange_checkpoint_never_panics(change in mutation()) {
        let path = fuzz::folder().join("state");
        let mut bytes = change.of(&WHOLE);
        let key = b"\"sha256\":\"";
        if let Some(at) = bytes.windows(key.len()).position(|window| window == key) {
            let digits = at + key.len()..at + key.len() + 64;
            if digits.end <= bytes.len() {
                let sum = sha256_with_zeros(&bytes, digits.clone());
                bytes[digits].copy_from_slice(sum.as_bytes());
            }
        }
        fs::write(&path, &bytes).expect("written");
        let _ = State::load(&CpuBackend::new(), &path, "run");
        let _ = progress_in(&path);
    }
}
