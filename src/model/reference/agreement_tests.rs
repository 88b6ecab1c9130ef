//! The hand-written backward pass against automatic differentiation: every element of every parameter tensor.
use super::ReferenceNetwork;
use crate::model::fixtures::{cases, config, tokens, weights};
use crate::model::llama::Objective;
use crate::model::network::{ExplicitNetwork, Network};
use crate::model::taps::{Observation, Site};
use crate::model::{ModelConfig, Weights};
use crate::tensor::cpu::{Matrix, real::Real};
use crate::tensor::{CpuBackend, Scalar};

type Case = (&'static str, ModelConfig, usize, usize);

/// The small cases, and some that span the blocks in which the engine cuts positions, tokens and vocabulary.
fn all_cases() -> Vec<Case> {
    let mut all = cases();
    all.push(("long_sequences", config(23, 12, 8, true, &[(2, 1, 10)]), 2, 150));
    all.push(("many_tokens", config(19, 10, 4, false, &[(2, 2, 9), (1, 1, 33)]), 40, 8));
    all.push(("large_vocabulary", config(2100, 9, 2, true, &[(2, 1, 5)]), 3, 7));
    all.push(("wide", config(31, 70, 10, true, &[(6, 3, 130), (5, 5, 67)]), 2, 33));
    all
}

/// What one call of an engine leaves.
struct Pass<T> {
    loss: f64,
    grads: Weights<Matrix<T>>,
    entropy: f64,
    entropy_grads: Weights<Matrix<T>>,
    /// Inputs of linear layers in the order of the forward pass.
    taps: Vec<(Site, Matrix<T>)>,
    log_probabilities: Vec<f64>,
}

/// Gradients are added to a start that is not zero, at a scale that is neither 1 nor the mean's.
///
/// Weights and start are f32 numbers, so that both precisions begin with the same ones.
fn pass<T: Real>(network: &mut dyn Network<CpuBackend<T>>, (_, config, b, t): &Case) -> Pass<T> {
    let rounded = weights::<f32>(config, 1);
    let times = |factor: f32| {
        rounded.map(|m| {
            let data = m.data.iter().map(|w| T::from_f64((factor * w).to_f64())).collect();
            Matrix { rows: m.rows, cols: m.cols, data }
        })
    };
    let (weights, mut grads) = (times(1.0), times(0.1));
    let inputs = tokens(b * t, config.vocab_size, 2);
    let targets = tokens(b * t, config.vocab_size, 3);
    let mut taps = Vec::new();
    let mut tap = |seen: Observation<'_, Matrix<T>>| {
        if let Observation::Input { site, x, sequences } = seen {
            assert_eq!(sequences, *b);
            taps.push((site, x.clone()));
        }
    };
    let scale = 0.75 / inputs.len() as f64;
    let loss = network.loss_and_gradients(
        config,
        &weights,
        &inputs,
        &targets,
        *b,
        scale,
        &mut grads,
        Some(&mut tap),
    );
    let mut entropy_grads = times(0.1);
    let entropy = network.differentiate(
        config,
        &weights,
        &inputs,
        Objective::Entropy,
        *b,
        scale,
        &mut entropy_grads,
        None,
    );
    let mut observed = Vec::new();
    network.observe(config, &weights, &inputs, *b, &mut |seen| {
        if let Observation::Input { site, x, .. } = seen {
            observed.push((site, x.clone()));
        }
    });
    assert!(observed == taps, "a forward pass by itself shows what one with a backward pass does");
    let log_probabilities = network.log_probabilities(config, &weights, &inputs, &targets, *b);
    Pass { loss, grads, entropy, entropy_grads, taps, log_probabilities }
}

/// |found − expected| ≤ atol · max|expected of the tensor| + rtol · |expected|, element by element.
fn assert_close<T: Scalar>(what: &str, found: &Matrix<T>, expected: &Matrix<f64>, atol: f64, rtol: f64) {
    assert_eq!([found.rows, found.cols], [expected.rows, expected.cols], "{what}");
    let largest = expected.data.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    for (i, (f, e)) in found.data.iter().zip(&expected.data).enumerate() {
        let error = (f.to_f64() - e).abs();
        assert!(
            error <= atol * largest + rtol * e.abs(),
            "{what}[{i}]: {f:?} against {e}, largest {largest}"
        );
    }
}

/// Same mathematics, other order of summation: a few thousand roundings of 1.1e-16 on values of order 1.
#[test]
fn explicit_gradients_equal_autodiff_in_f64() {
    let (atol, rtol) = (1e-13, 1e-10);
    for case in all_cases() {
        let backend = CpuBackend::<f64>::new();
        let found = pass(&mut ExplicitNetwork::new(&backend), &case);
        let expected = pass::<f64>(&mut ReferenceNetwork, &case);
        let name = case.0;
        let close = |f: f64, e: f64| (f - e).abs() <= rtol * e.abs();
        assert!(close(found.loss, expected.loss), "{name} loss: {} against {}", found.loss, expected.loss);
        for ((tensor, f), e) in found.grads.named().into_iter().zip(expected.grads.leaves()) {
            assert_close(&format!("{name} {tensor}"), f, e, atol, rtol);
        }
        assert!(close(found.entropy, expected.entropy), "{name} entropy: {}", found.entropy);
        for ((tensor, f), e) in found.entropy_grads.named().into_iter().zip(expected.entropy_grads.leaves()) {
            assert_close(&format!("{name} entropy {tensor}"), f, e, atol, rtol);
        }
        assert_eq!(found.taps.len(), expected.taps.len(), "{name}");
        for ((site, f), (expected_site, e)) in found.taps.iter().zip(&expected.taps) {
            assert_eq!(site, expected_site);
            assert_close(&format!("{name} {site:?}"), f, e, atol, rtol);
        }
        for (f, e) in found.log_probabilities.iter().zip(&expected.log_probabilities) {
            assert!(close(*f, *e), "{name}: log-probability {f} against {e}");
        }
    }
}

/// How much f32 loses depends on the conditioning of the model at hand (1e-7 to 1e-5 of a gradient's norm over these
/// cases), so the yardstick is what autodiff loses in f32: per tensor, ‖explicit − exact‖ ≤ 4·‖autodiff − exact‖ +
/// 2e-6·‖exact‖, where exact is autodiff in f64 and 2e-6 are some thirty units of roundoff.
#[test]
fn explicit_gradients_are_as_accurate_as_autodiff_in_f32() {
    let distance = |a: &Matrix<f32>, b: &Matrix<f64>| -> f64 {
        a.data.iter().zip(&b.data).map(|(a, b)| (a.to_f64() - b).powi(2)).sum::<f64>().sqrt()
    };
    for case in all_cases() {
        let backend = CpuBackend::<f32>::new();
        let explicit = pass(&mut ExplicitNetwork::new(&backend), &case);
        let autodiff = pass::<f32>(&mut ReferenceNetwork, &case);
        let exact = pass::<f64>(&mut ReferenceNetwork, &case);
        let name = case.0;
        let error = (explicit.loss - exact.loss).abs();
        let bound = 4.0 * (autodiff.loss - exact.loss).abs() + 2e-6 * exact.loss;
        assert!(error <= bound, "{name} loss: {} against {}", explicit.loss, exact.loss);
        let tensors = explicit.grads.named().into_iter();
        for (((tensor, f), a), e) in tensors.zip(autodiff.grads.leaves()).zip(exact.grads.leaves()) {
            let norm = e.data.iter().map(|x| x * x).sum::<f64>().sqrt();
            let (error, yardstick) = (distance(f, e), distance(a, e));
            let bound = 4.0 * yardstick + 2e-6 * norm;
            assert!(
                error <= bound,
                "{name} {tensor}: error {error:e}, autodiff {yardstick:e}, norm {norm:e}"
            );
        }
    }
}
