//! Continuous companions of accuracy: numbers of an item that see a difference between models long before an argmax does
//! (Heineman et al. 2025, "Signal and Noise", arXiv:2508.13144).
//!
//! ```text
//! gold_probability        p_g,   p_i = exp(ll_i) / Σ_j exp(ll_j)         ll_i summed log-likelihood of choice i, g the right one
//! gold_probability_norm   the same of ll_i / len(c_i), len in characters, where the task reports acc_norm
//! choice_log_loss         −ln p_g                                        nats
//! gold_nll                −ll_g / bytes of the right continuation        nats per byte, the space before it not counted
//! margin                  ll_g − max_{i≠g} ll_i                          nats; above 0 where the item is answered rightly
//! ```
//!
//! None where a log-likelihood is not finite.

/// The numbers of one item.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Companions {
    pub gold_probability: Option<f64>,
    pub gold_probability_norm: Option<f64>,
    pub gold_nll: Option<f64>,
    pub margin: Option<f64>,
    pub choice_log_loss: Option<f64>,
}

impl Companions {
    /// Of log-likelihoods by choice; `normed` holds them by character where the task has such; `gold_bytes` are those of the
    /// right continuation.
    pub fn of(loglikelihoods: &[f64], normed: Option<&[f64]>, gold: usize, gold_bytes: usize) -> Companions {
        if !loglikelihoods.iter().all(|ll| ll.is_finite()) {
            return Companions::default();
        }
        let others = loglikelihoods.iter().enumerate().filter(|(choice, _)| *choice != gold);
        let best_other = others.map(|(_, ll)| *ll).reduce(f64::max);
        let log_p = log_softmax(loglikelihoods, gold);
        let finite = |x: f64| Some(x).filter(|x| x.is_finite());
        Companions {
            gold_probability: finite(log_p.exp()),
            gold_probability_norm: normed.and_then(|normed| finite(log_softmax(normed, gold).exp())),
            gold_nll: finite(-loglikelihoods[gold] / gold_bytes as f64),
            margin: best_other.map(|other| loglikelihoods[gold] - other),
            // −0 is 0.
            choice_log_loss: finite(-log_p + 0.0),
        }
    }
}

/// ln of the softmax of `x` at `place`.
fn log_softmax(x: &[f64], place: usize) -> f64 {
    let highest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = x.iter().map(|value| (value - highest).exp()).sum();
    x[place] - highest - sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // exp(−1) : exp(−2) : exp(−4); right is the second, of 5 bytes.
        let ll = [-1.0, -2.0, -4.0];
        let normed = [-1.0, -0.4, -2.0];
        let c = Companions::of(&ll, Some(&normed), 1, 5);
        let total = (-1f64).exp() + (-2f64).exp() + (-4f64).exp();
        let close = |a: Option<f64>, b: f64| assert!((a.unwrap() - b).abs() < 1e-15, "{a:?} {b}");
        close(c.gold_probability, (-2f64).exp() / total);
        close(c.gold_probability_norm, (-0.4f64).exp() / ((-1f64).exp() + (-0.4f64).exp() + (-2f64).exp()));
        close(c.choice_log_loss, 2.0 + total.ln());
        assert_eq!((c.gold_nll, c.margin), (Some(0.4), Some(-1.0)));
        assert_eq!(Companions::of(&ll, None, 0, 3).gold_probability_norm, None);
        assert_eq!(Companions::of(&ll, None, 0, 3).margin, Some(1.0));
    }

    #[test]
    fn far_apart_and_not_finite() {
        // Far below what exp can hold: the log loss is exact all the same.
        let c = Companions::of(&[-1e4, -1e3], None, 0, 10);
        assert_eq!((c.gold_probability, c.choice_log_loss), (Some(0.0), Some(9000.0)));
        assert_eq!(Companions::of(&[-1e3, -1e4], None, 0, 10).choice_log_loss, Some(0.0));
        for bad in [f64::NAN, f64::NEG_INFINITY] {
            assert_eq!(Companions::of(&[-1.0, bad], None, 0, 10), Companions::default());
        }
        // An empty choice has no bytes to divide by.
        assert_eq!(Companions::of(&[-1.0, -2.0], None, 0, 0).gold_nll, None);
    }
}
