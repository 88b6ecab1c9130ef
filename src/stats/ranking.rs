//! P(best): how often an arm has the best mean over resamples of seeds and items, the same for all arms.
//!
//! It describes; with few seeds it is too sure of itself, as any percentile bootstrap, and carries no verdict. Which arms can be
//! told from the best is a question for simultaneous comparisons (`report::grid::ranking`).
use super::crossed::check_design;
use super::{Result, StatsError, check_lengths};
use rand::{Rng, RngExt};
use std::collections::BTreeMap;

/// Scores of one arm: `[task][seed][item]`.
pub type ArmScores = Vec<Vec<Vec<f64>>>;

/// P(best) of each arm over `samples` resamples of seeds and items; an arm that is tied has its share.
///
/// # Errors
/// No arm, or arms of different designs.
pub fn probability_of_being_best(
    arms: &[ArmScores],
    lower_is_better: bool,
    samples: usize,
    rng: &mut impl Rng,
) -> Result<Vec<f64>> {
    let Some(first) = arms.first() else {
        return Err(StatsError::TooFew { what: "arms of a ranking", needed: 1, got: 0 });
    };
    let seeds = check_design(first)?;
    for arm in arms {
        check_lengths("seeds of two arms", seeds, check_design(arm)?)?;
        check_lengths("tasks of two arms", first.len(), arm.len())?;
        for (a, b) in first.iter().zip(arm) {
            check_lengths("items of two arms", a[0].len(), b[0].len())?;
        }
    }
    let sign = if lower_is_better { -1.0 } else { 1.0 };
    let mut wins = vec![0.0; arms.len()];
    // With few seeds the same draw of them comes again and again.
    let mut drawn: BTreeMap<Vec<u32>, Vec<Vec<f64>>> = BTreeMap::new();
    let most_draws = MAX_SUMS / (arms.len() * first.iter().map(|task| task[0].len()).sum::<usize>()).max(1);
    for _ in 0..samples {
        let mut times = vec![0; seeds];
        (0..seeds).for_each(|_| times[rng.random_range(0..seeds)] += 1);
        if drawn.len() >= most_draws && !drawn.contains_key(&times) {
            drawn.clear();
        }
        let of_items = drawn.entry(times).or_insert_with_key(|times| summed(arms, times, sign));
        let mut totals = vec![0.0; arms.len()];
        for (task, of_items) in first.iter().zip(of_items) {
            let count = task[0].len();
            for _ in 0..count {
                let item = rng.random_range(0..count);
                let of_item = &of_items[item * arms.len()..(item + 1) * arms.len()];
                totals.iter_mut().zip(of_item).for_each(|(total, x)| *total += x);
            }
        }
        let best = totals.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let tied = totals.iter().filter(|total| **total == best).count() as f64;
        for (win, total) in wins.iter_mut().zip(&totals) {
            *win += if *total == best { 1.0 / tied } else { 0.0 };
        }
    }
    Ok(wins.into_iter().map(|win| win / samples.max(1) as f64).collect())
}

/// Sums that are kept: 32 MB.
const MAX_SUMS: usize = 4_000_000;

/// What each item adds to the mean of each arm where seed s is drawn `times[s]` times: `[task][item × arm]`.
fn summed(arms: &[ArmScores], times: &[u32], sign: f64) -> Vec<Vec<f64>> {
    let of_task = |task: usize| {
        let count = arms[0][task][0].len();
        let mut out = Vec::with_capacity(count * arms.len());
        for item in 0..count {
            out.extend(arms.iter().map(|arm| {
                let of_seed = arm[task].iter().zip(times).map(|(row, times)| f64::from(*times) * row[item]);
                sign * of_seed.sum::<f64>() / (count * times.len()) as f64
            }));
        }
        out
    };
    (0..arms[0].len()).map(of_task).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::stream;
    use crate::stats::assert_close;
    use crate::stats::bootstrap::standard_normal;

    /// Arms with these true means, three seeds, 200 items.
    fn simulated(means: &[f64], rng: &mut impl Rng) -> Vec<ArmScores> {
        let item: Vec<f64> = (0..200).map(|_| standard_normal(rng)).collect();
        let arm = |mean: &f64| -> ArmScores {
            let seed = |shift: f64, rng: &mut _| -> Vec<f64> {
                item.iter().map(|x| mean + shift + x + 0.5 * standard_normal(rng)).collect()
            };
            let shifts: Vec<f64> = (0..3).map(|_| 0.02 * standard_normal(rng)).collect();
            vec![shifts.into_iter().map(|shift| seed(shift, rng)).collect()]
        };
        means.iter().map(arm).collect()
    }

    #[test]
    fn the_best_has_the_largest_share_and_equals_share() {
        let mut rng = stream(5, "ranking");
        let arms = simulated(&[0.0, 1.0, 0.98, -0.5], &mut rng);
        let best = probability_of_being_best(&arms, false, 500, &mut rng).unwrap();
        assert_close(best.iter().sum::<f64>(), 1.0, 1e-12);
        assert!(best[0] == 0.0 && best[3] == 0.0, "{best:?}");
        let worst = probability_of_being_best(&arms, true, 500, &mut rng).unwrap();
        assert!(worst[3] > 0.99, "{worst:?}");
        let twins = [arms[0].clone(), arms[0].clone()];
        assert_eq!(probability_of_being_best(&twins, false, 50, &mut rng).unwrap(), [0.5, 0.5]);
        assert!(probability_of_being_best(&[], false, 50, &mut rng).is_err());
        assert!(probability_of_being_best(&[vec![vec![vec![1.0]]], vec![]], false, 50, &mut rng).is_err());
    }
}
