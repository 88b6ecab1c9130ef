//! The mean of a run's weights over its last steps, in place of those of the last step alone.
//!
//! ```text
//! w̄₁ = w₁     w̄ₖ = (1 − 1/k)·w̄ₖ₋₁ + wₖ/k     k-th of the last f·(steps) steps
//! ```
//!
//! Izmailov et al. 2018 (arXiv:1803.05407); for language models Sanyal et al. 2023 (arXiv:2306.03241). The steps see the
//! weights themselves, never their mean: it takes their place when the run is over. A mean over models of two shapes, or from before
//! and after an update of what is left, is none of either, so it begins anew with every pruning event.
use super::optimizer::zeros_like;
use super::state::TrainState;
use crate::model::Weights;
use crate::tensor::{Accumulation, Backend};

/// Takes the weights after step `state.progress.step` of `total_steps` into the mean, where that is one of the last
/// `fraction` of them, rounded to whole steps and at least one; after the last step the mean takes their place.
pub(super) fn after_step<B: Backend>(
    backend: &B,
    fraction: f64,
    total_steps: u64,
    state: &mut TrainState<B>,
) {
    let TrainState { weights, mean_weights, progress, .. } = state;
    let last = ((fraction * total_steps as f64).round() as u64).max(1);
    if fraction == 0.0 || progress.step + last <= total_steps {
        return;
    }
    progress.averaged += 1;
    running_mean(backend, 1.0 - 1.0 / progress.averaged as f64, weights, mean_weights);
    if progress.step == total_steps
        && let Some(mean) = mean_weights.take()
    {
        for (weight, mean) in weights.leaves_mut().into_iter().zip(mean.leaves()) {
            backend.copy(weight, mean);
        }
    }
}

/// Forgets the mean so far: the model is another.
pub(super) fn begin_anew<B: Backend>(state: &mut TrainState<B>) {
    state.mean_weights = None;
    state.progress.averaged = 0;
}

/// `mean ← β·mean + (1 − β)·x`, starting at `x`.
pub(super) fn running_mean<B: Backend>(
    backend: &B,
    decay: f64,
    x: &Weights<B::Tensor>,
    mean: &mut Option<Weights<B::Tensor>>,
) {
    match mean {
        Some(mean) => {
            let with = |(sum, x)| Accumulation { x, sum, squares: None };
            let mut leaves: Vec<_> = mean.leaves_mut().into_iter().zip(x.leaves()).map(with).collect();
            backend.accumulate(1.0 - decay, decay, &mut leaves);
        }
        None => {
            let mut fresh = zeros_like(backend, x);
            for (fresh, x) in fresh.leaves_mut().into_iter().zip(x.leaves()) {
                backend.copy(fresh, x);
            }
            *mean = Some(fresh);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pretrain::Silent;
    use super::super::tests::{StopAt, prune_spec, run, train_spec};
    use super::*;
    use crate::spec::{Saliency, TrainSpec, Update};
    use crate::tensor::CpuBackend;

    /// The rate does not depend on the length of the run, so a shorter run's weights are those on the way of a longer one.
    fn constant() -> TrainSpec {
        TrainSpec { min_learning_rate_ratio: 1.0, warmup_tokens: 0, ..train_spec() }
    }

    fn averaged(fraction: f64) -> TrainSpec {
        TrainSpec { average_fraction: fraction, ..constant() }
    }

    fn values(state: &TrainState<CpuBackend<f32>>) -> Vec<f32> {
        state.weights.leaves().into_iter().flat_map(|leaf| leaf.data.clone()).collect()
    }

    #[test]
    fn the_mean_of_the_last_steps_takes_the_place_of_the_weights() {
        let after =
            |spec: &TrainSpec, steps| values(&run(spec, None, steps, None, &mut Silent).expect("it trains"));
        let [second, third, fourth] = [2, 3, 4].map(|steps| after(&constant(), steps));
        let found = after(&averaged(0.75), 4);
        for (i, found) in found.iter().enumerate() {
            let expected = (f64::from(second[i]) + f64::from(third[i]) + f64::from(fourth[i])) / 3.0;
            assert!(
                (f64::from(*found) - expected).abs() < 1e-6 * expected.abs().max(0.1),
                "{found} {expected}"
            );
        }
        assert_ne!(found, fourth);
        // A share of less than a step is the last step.
        assert_eq!(after(&averaged(0.01), 4), fourth);
    }

    #[test]
    fn it_begins_anew_where_a_group_goes() {
        let prune = prune_spec(Saliency::TAYLOR_MIX, Update::NONE, 0.6);
        let pruned =
            |fraction| run(&averaged(fraction), Some(&prune), 24, None, &mut Silent).expect("it trains");
        let whole = pruned(1.0);
        let last = whole.progress.events.last().expect("events").step;
        assert_eq!(whole.progress.averaged, 24 - last);
        let after = pruned((24 - last) as f64 / 24.0);
        assert_eq!(values(&whole), values(&after));
    }

    #[test]
    fn a_run_that_stops_while_it_averages_goes_on_to_the_same_weights() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state");
        let spec = averaged(0.75);
        let whole = run(&spec, None, 8, None, &mut Silent).expect("it trains");
        let resume = Some((path.as_path(), "run"));
        for tokens in [1, 4, 5].map(|steps| steps * spec.batch_tokens as u64) {
            assert!(run(&spec, None, 8, resume, &mut StopAt(tokens, 0)).is_err(), "it stops");
        }
        let resumed = run(&spec, None, 8, resume, &mut Silent).expect("it goes on");
        assert_eq!(values(&whole), values(&resumed));
        // And once more from a state that has its mean for weights already.
        let again = run(&spec, None, 8, resume, &mut Silent).expect("it is done");
        assert_eq!(values(&whole), values(&again));
    }
}
