//! How far one model's next-token distributions are from another's, token by token.
//!
//! ```text
//! KL(p ‖ q)[n] = Σ_v p_v (ln p_v − ln q_v)     p = softmax(logits of the one), q = softmax(logits of the other), nats
//! ```
//!
//! Logits of a chunk of rows are multiplied on the device and read back; the sum over the vocabulary is in f64 on the host.
//! The vocabulary is the same on both sides, as it is for a model and the source that it was pruned from.
use super::config::ModelConfig;
use super::weights::Weights;
use crate::tensor::{Backend, Product, Scalar};
use rayon::prelude::*;

/// A model to be compared.
pub type Side<'a, T> = (&'a ModelConfig, &'a Weights<T>);

/// Logits that are held at once, of each model.
const LOGITS: usize = 1 << 22;

/// KL(p ‖ q) in nats of two rows of logits; NaN where a logit is not finite.
pub fn kl_divergence<T: Scalar>(p: &[T], q: &[T]) -> f64 {
    let log_sum_exp = |x: &[T]| {
        let highest = x.iter().map(|v| v.to_f64()).fold(f64::NEG_INFINITY, f64::max);
        highest + x.iter().map(|v| (v.to_f64() - highest).exp()).sum::<f64>().ln()
    };
    let (of_p, of_q) = (log_sum_exp(p), log_sum_exp(q));
    let term = |(a, b): (&T, &T)| {
        let log_p = a.to_f64() - of_p;
        log_p.exp() * (log_p - (b.to_f64() - of_q))
    };
    let sum: f64 = p.iter().zip(q).map(term).sum();
    // Rounding may carry equal distributions a hair below 0.
    if sum < 0.0 { 0.0 } else { sum }
}

/// KL(p ‖ q) of each row, from the final norm's outputs (N × d each) and the heads (V × d) of the two models.
pub(super) fn of_hidden<B: Backend>(
    backend: &B,
    hidden: [&B::Tensor; 2],
    heads: [&B::Tensor; 2],
) -> Vec<f64> {
    let [n, _] = backend.shape(hidden[0]);
    let [vocab, _] = backend.shape(heads[0]);
    assert_eq!(backend.shape(heads[1])[0], vocab, "two vocabularies");
    let chunk = (LOGITS / vocab.max(1)).clamp(1, n.max(1));
    let mut divergences = Vec::with_capacity(n);
    let (mut rows, mut logits) = (backend.activation(0, 0), backend.zeros(0, 0));
    for start in (0..n).step_by(chunk) {
        let places: Vec<u32> = (start..n.min(start + chunk)).map(|row| row as u32).collect();
        let mut of = |side: usize| {
            let [_, width] = backend.shape(hidden[side]);
            backend.reshape(&mut rows, places.len(), width);
            backend.embed(&mut rows, hidden[side], &places);
            backend.reshape(&mut logits, places.len(), vocab);
            backend.matmul(Product::NT, &mut logits, false, &rows, heads[side]);
            backend.to_host(&logits)
        };
        let (p, q) = (of(0), of(1));
        let both = p.par_chunks(vocab).zip(q.par_chunks(vocab));
        divergences.par_extend(both.map(|(p, q)| kl_divergence(p, q)));
    }
    divergences
}

/// KL(p ‖ q) of each row of two matrices of logits, N × V, on the host.
pub(super) fn of_logits<T: Scalar>(p: &[T], q: &[T], vocab: usize) -> Vec<f64> {
    p.par_chunks(vocab).zip(q.par_chunks(vocab)).map(|(p, q)| kl_divergence(p, q)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::stream;
    use crate::model::fixtures;
    use crate::model::network::{ExplicitNetwork, Network};
    use crate::model::reference::ReferenceNetwork;
    use crate::tensor::CpuBackend;
    use rand::RngExt;

    #[test]
    fn by_hand() {
        // p = (½, ½), q = (¼, ¾): ½ ln 2 + ½ ln ⅔.
        let p = [0.0, 0.0];
        let q = [0.0, 3f64.ln()];
        let expected = 0.5 * 2f64.ln() + 0.5 * (2.0f64 / 3.0).ln();
        assert!((kl_divergence(&p, &q) - expected).abs() < 1e-15);
        // The same distributions at another level of the logits, far from 0.
        assert!(kl_divergence(&p, &[1e4, 1e4]) < 1e-11);
        assert!(kl_divergence(&p, &[f64::NAN, 0.0]).is_nan());
    }

    /// Two models of different widths: from the packed logits, from log-probabilities of every token of the vocabulary, and by
    /// the reference engine, which shares no code with either.
    #[test]
    fn engines_agree_with_log_probabilities_token_by_token() {
        let source = fixtures::config(29, 12, 4, true, &[(2, 1, 20), (2, 2, 9)]);
        let pruned = fixtures::config(29, 10, 4, false, &[(1, 1, 11), (2, 2, 7)]);
        let backend = CpuBackend::<f64>::new();
        let (p, q) = (fixtures::weights::<f64>(&source, 1), fixtures::weights::<f64>(&pruned, 2));
        let mut rng = stream(3, "divergence");
        let inputs: Vec<u32> = (0..14).map(|_| rng.random_range(0..29)).collect();
        let mut network = ExplicitNetwork::new(&backend);
        let found = network.divergences((&source, &p), (&pruned, &q), &inputs, 2);
        let reference = ReferenceNetwork.divergences((&source, &p), (&pruned, &q), &inputs, 2);
        let mut expected = vec![0.0; inputs.len()];
        for token in 0..29 {
            let targets = vec![token; inputs.len()];
            let logs = |network: &mut ExplicitNetwork<_>, config, weights| {
                network.log_probabilities(config, weights, &inputs, &targets, 2)
            };
            let (a, b) = (logs(&mut network, &source, &p), logs(&mut network, &pruned, &q));
            for (sum, (a, b)) in expected.iter_mut().zip(a.iter().zip(&b)) {
                *sum += a.exp() * (a - b);
            }
        }
        for ((found, reference), expected) in found.iter().zip(&reference).zip(&expected) {
            assert!(*expected > 1e-3 && (found - expected).abs() < 1e-12, "{found} {expected}");
            assert!((reference - expected).abs() < 1e-10, "{reference} {expected}");
        }
        let same = network.divergences((&source, &p), (&source, &p), &inputs, 2);
        assert!(same.iter().all(|kl| *kl < 1e-15), "{same:?}");
    }
}
