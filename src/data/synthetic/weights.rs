//! How often things occur: Zipf-like weights, drawing by them, and the weights by which items are drawn.
//!
//! ```text
//! zipf(n, a, s)    w_i = (i + a)^−s, i = 0 … n − 1
//! item weights     ½ · 1/N + ½ · (1/r) / H_N, r the rank of a cell by w, from 1: half of the items are uniform over
//!                  cells, half over the logarithm of the rank, so that frequent and rare facts are both asked
//! ```
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha12Rng;

/// Units that the largest weight is rounded to: the last digits of a power or logarithm, which may differ between machines,
/// then change no draw.
const UNITS: f64 = (1u32 << 26) as f64;

/// Indices drawn in proportion to weights.
pub(super) struct Weighted {
    /// Sums of the weights in units, up to and with each index.
    cumulative: Vec<u64>,
    total: f64,
}

impl Weighted {
    /// With at least one weight above 0, or nothing can be drawn.
    pub fn new(weights: impl IntoIterator<Item = f64>) -> Self {
        let weights: Vec<f64> = weights.into_iter().collect();
        let scale = UNITS / weights.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let mut sum = 0;
        let cumulative = weights.iter().map(|weight| {
            sum += (weight * scale).round() as u64;
            sum
        });
        Weighted { cumulative: cumulative.collect(), total: weights.iter().sum() }
    }

    /// Sum of the weights.
    pub fn total(&self) -> f64 {
        self.total
    }

    /// Probability of the index.
    pub fn share(&self, index: usize) -> f64 {
        let before = if index == 0 { 0 } else { self.cumulative[index - 1] };
        (self.cumulative[index] - before) as f64 / self.sum().max(1) as f64
    }

    fn sum(&self) -> u64 {
        self.cumulative.last().copied().unwrap_or(0)
    }

    /// A random index; 0 where nothing has a weight.
    pub fn draw(&self, rng: &mut ChaCha12Rng) -> usize {
        let ticket = rng.random_range(0..self.sum().max(1));
        self.cumulative.partition_point(|&sum| sum <= ticket).min(self.cumulative.len().saturating_sub(1))
    }

    /// `n` different indices, one after another by weight; `None` where so many are not found.
    pub fn draw_distinct(&self, rng: &mut ChaCha12Rng, n: usize) -> Option<Vec<usize>> {
        let mut drawn: Vec<usize> = Vec::with_capacity(n);
        for _ in 0..100 * n {
            let index = self.draw(rng);
            if !drawn.contains(&index) {
                drawn.push(index);
            }
            if drawn.len() == n {
                return Some(drawn);
            }
        }
        None
    }
}

/// `(i + offset)^−exponent` for i below n.
pub(super) fn zipf(n: usize, offset: f64, exponent: f64) -> Vec<f64> {
    (0..n).map(|i| (i as f64 + offset).powf(-exponent)).collect()
}

/// [`zipf`] in random order.
pub(super) fn shuffled_zipf(rng: &mut ChaCha12Rng, n: usize, offset: f64, exponent: f64) -> Vec<f64> {
    let mut weights = zipf(n, offset, exponent);
    weights.shuffle(rng);
    weights
}

/// Weights of cells, in random order.
pub(super) fn cell_weights(rng: &mut ChaCha12Rng, n: usize) -> Vec<f64> {
    shuffled_zipf(rng, n, 3.0, 0.8)
}

/// Weights of the words of a slot, the first the most frequent.
pub(super) fn word_weights(n: usize) -> Weighted {
    Weighted::new(zipf(n, 2.0, 0.8))
}

/// The weight of each cell among items, from its weight in the text.
pub(super) fn item_weights(weights: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]));
    let harmonic: f64 = (1..=weights.len()).map(|rank| 1.0 / rank as f64).sum();
    let mut of_items = vec![0.0; weights.len()];
    for (place, &cell) in order.iter().enumerate() {
        of_items[cell] = 0.5 / weights.len() as f64 + 0.5 / (place as f64 + 1.0) / harmonic;
    }
    of_items
}

/// `items` in random order, the first `n` of them.
pub(super) fn sample(rng: &mut ChaCha12Rng, items: impl IntoIterator<Item = usize>, n: usize) -> Vec<usize> {
    let mut all: Vec<usize> = items.into_iter().collect();
    all.shuffle(rng);
    all.truncate(n);
    all
}

/// A standard normal number (Box and Muller 1958).
pub(super) fn normal(rng: &mut ChaCha12Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

/// True with probability `share`.
pub(super) fn chance(rng: &mut ChaCha12Rng, share: f64) -> bool {
    rng.random::<f64>() < share
}

/// A random index below `n`.
pub(super) fn below(rng: &mut ChaCha12Rng, n: usize) -> usize {
    rng.random_range(0..n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::stream;

    #[test]
    fn indices_come_as_often_as_their_weights_say() {
        let mut rng = stream(1, "weights");
        let weighted = Weighted::new([1.0, 0.0, 3.0]);
        let mut counts = [0.0; 3];
        for _ in 0..40_000 {
            counts[weighted.draw(&mut rng)] += 1.0 / 40_000.0;
        }
        assert_eq!(counts[1], 0.0);
        assert_eq!(weighted.total(), 4.0);
        // Five standard errors of a share of 1/4.
        assert!(
            (counts[0] - weighted.share(0)).abs() < 0.011 && (weighted.share(0) - 0.25).abs() < 1e-8,
            "{counts:?}"
        );
        assert_eq!(weighted.draw_distinct(&mut rng, 3), None);
        let mut both = weighted.draw_distinct(&mut rng, 2).expect("two have a weight");
        both.sort_unstable();
        assert_eq!(both, [0, 2]);
    }

    #[test]
    fn items_are_half_uniform_and_half_uniform_over_log_rank() {
        let weights = item_weights(&[0.1, 5.0, 0.3, 0.2]);
        let harmonic = 1.0 + 1.0 / 2.0 + 1.0 / 3.0 + 1.0 / 4.0;
        let expected = [4.0, 1.0, 2.0, 3.0].map(|rank: f64| 0.125 + 0.5 / rank / harmonic);
        assert!(weights.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{weights:?}");
    }

    #[test]
    fn normal_numbers_have_mean_0_and_variance_1() {
        let mut rng = stream(1, "normal");
        let x: Vec<f64> = (0..40_000).map(|_| normal(&mut rng)).collect();
        let mean = x.iter().sum::<f64>() / 40_000.0;
        let variance = x.iter().map(|x| x * x).sum::<f64>() / 40_000.0;
        // Standard errors 0.005 and 0.0071.
        assert!(mean.abs() < 0.025 && (variance - 1.0).abs() < 0.036, "{mean} {variance}");
    }
}
