//! In which order the sequences of a mixture come from its sources: exact to the weights at every moment.
//!
//! ```text
//! w_s = weight_s / Σ weights        x_s(n) = sequences of source s among the first n
//! δ = 1 / (2S − 2)                  d_s = w_s·(n + 1) − x_s(n)
//! sequence n comes from the source with the least (1 − δ − d_s) / w_s among those with d_s ≥ δ
//! ```
//!
//! Then |x_s(n) − w_s·n| ≤ 1 − δ for all n and s (Tijdeman 1980, *The chairman assignment problem*, Discrete
//! Mathematics 32), which no order improves: every batch, every prefix, and every epoch has its shares, to less than
//! one sequence. A draw at random would be off by √n. The order is a function of the index alone; nothing is stored.
use std::sync::{Mutex, PoisonError};

/// Counts are kept at every multiple of this many sequences, so that any index is near a known one.
const STRIDE: u64 = 4096;

/// The order of a mixture.
pub(super) struct Shares {
    /// w_s
    weights: Vec<f64>,
    known: Mutex<Known>,
}

struct Known {
    /// x(k·STRIDE) for k = 0, 1, …
    marks: Vec<Vec<u64>>,
    /// Where the last question left off: n and x(n).
    at: u64,
    taken: Vec<u64>,
}

impl Shares {
    /// The order of sources with these weights, all positive; their sum does not matter.
    pub fn new(weights: &[f64]) -> Self {
        let sum: f64 = weights.iter().sum();
        let zeros = vec![0; weights.len()];
        let known = Known { marks: vec![zeros.clone()], at: 0, taken: zeros };
        Shares { weights: weights.iter().map(|w| w / sum).collect(), known: Mutex::new(known) }
    }

    /// The source of sequence `index`, and how many sequences of that source come before it.
    pub fn place(&self, index: u64) -> (usize, u64) {
        if self.weights.len() == 1 {
            return (0, index);
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        self.go_to(&mut known, index);
        let source = self.next(&known.taken, index);
        (source, known.taken[source])
    }

    fn go_to(&self, known: &mut Known, index: u64) {
        if index < known.at || index - known.at > STRIDE {
            let mark = (index / STRIDE).min(known.marks.len() as u64 - 1);
            (known.at, known.taken) = (mark * STRIDE, known.marks[mark as usize].clone());
        }
        while known.at < index {
            let source = self.next(&known.taken, known.at);
            known.taken[source] += 1;
            known.at += 1;
            if known.at == known.marks.len() as u64 * STRIDE {
                known.marks.push(known.taken.clone());
            }
        }
    }

    /// The source of sequence `index`, of those before which `taken` came from each.
    fn next(&self, taken: &[u64], index: u64) -> usize {
        let slack = 1.0 / (2.0 * self.weights.len() as f64 - 2.0);
        let due = |s: usize| self.weights[s] * (index + 1) as f64 - taken[s] as f64;
        let urgency = |s: &usize| (1.0 - slack - due(*s)) / self.weights[*s];
        // The most overdue has d ≥ 1/S ≥ δ, so some source is eligible but for rounding.
        (0..self.weights.len())
            .filter(|s| due(*s) >= slack)
            .min_by(|a, b| urgency(a).total_cmp(&urgency(b)))
            .or_else(|| (0..self.weights.len()).max_by(|a, b| due(*a).total_cmp(&due(*b))))
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small_mixtures_by_hand() {
        let sources = |weights: &[f64]| -> Vec<usize> {
            let shares = Shares::new(weights);
            (0..8).map(|n| shares.place(n).0).collect()
        };
        assert_eq!(sources(&[1.0]), [0; 8]);
        assert_eq!(sources(&[1.0, 1.0]), [0, 1, 0, 1, 0, 1, 0, 1]);
        assert_eq!(sources(&[3.0, 1.0]), [0, 0, 1, 0, 0, 0, 1, 0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, rng_seed: proptest::test_runner::RngSeed::Fixed(7), ..ProptestConfig::default() })]
        #[test]
        fn shares_are_exact_to_less_than_a_sequence(weights in proptest::collection::vec(0.01f64..10.0, 1..7)) {
            let shares = Shares::new(&weights);
            let sum: f64 = weights.iter().sum();
            let mut taken = vec![0u64; weights.len()];
            for n in 0..3000 {
                let (source, before) = shares.place(n);
                prop_assert_eq!(before, taken[source]);
                taken[source] += 1;
                for (s, weight) in weights.iter().enumerate() {
                    let owed = weight / sum * (n + 1) as f64;
                    prop_assert!((taken[s] as f64 - owed).abs() < 1.0, "{s}: {} of {owed}", taken[s]);
                }
            }
        }

        #[test]
        fn the_place_of_a_sequence_does_not_depend_on_what_was_asked_before(
            weights in proptest::collection::vec(0.1f64..10.0, 2..5),
            indices in proptest::collection::vec(0u64..20_000, 1..20),
        ) {
            let (asked, forward) = (Shares::new(&weights), Shares::new(&weights));
            let in_order: Vec<(usize, u64)> = (0..20_000).map(|n| forward.place(n)).collect();
            for index in indices {
                prop_assert_eq!(asked.place(index), in_order[index as usize]);
            }
        }
    }
}
