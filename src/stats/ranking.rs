//! Which arm is best, and which cannot be told from it.
//!
//! ```text
//! differences    every pair of arms, paired by seed and item: mean, interval and p of `crossed`
//! intervals      simultaneous: each at level 1 − α/m for the m pairs (Bonferroni), so all hold at once in 1 − α
//! told apart     Holm's adjusted p over the m pairs is below α
//! P(best)        share of resamples of seeds and items, the same for all arms, in which the arm has the best mean
//! ```
//!
//! P(best) describes; with few seeds it is too sure of itself, as any percentile bootstrap, and carries no verdict.
use super::bootstrap::crossed_differences;
use super::cluster::Clusters;
use super::crossed::{check_design, crossed_mean_in_clusters};
use super::multiplicity::holm;
use super::{Interval, Result, StatsError, check_lengths, check_open};
use rand::{Rng, RngExt};

/// Scores of one arm: `[task][seed][item]`.
pub type ArmScores = Vec<Vec<Vec<f64>>>;

/// One pair of arms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// Indices of the arms; the difference is `first − second`.
    pub first: usize,
    pub second: usize,
    pub difference: f64,
    /// Holds together with those of all other pairs; `None` where all differences are alike.
    pub interval: Option<Interval>,
    pub p: Option<f64>,
    /// Holm-adjusted over the pairs that have a p.
    pub p_holm: Option<f64>,
}

/// All arms against each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    /// Means over tasks, seeds and items.
    pub means: Vec<f64>,
    /// Indices of the arms, the best first.
    pub order: Vec<usize>,
    pub pairs: Vec<Pair>,
    /// The best arm and all that are not told from it, in the order of the ranking.
    pub not_told_from_best: Vec<usize>,
}

/// Ranks arms that were scored by the same seeds on the same items.
///
/// # Errors
/// Fewer than two arms, arms of different designs, `alpha` outside 0 to 1.
pub fn rank(arms: &[ArmScores], clusters: &[Clusters], lower_is_better: bool, alpha: f64) -> Result<Ranking> {
    check_open("significance level", alpha, 0.0, 1.0)?;
    if arms.len() < 2 {
        return Err(StatsError::TooFew { what: "arms of a ranking", needed: 2, got: arms.len() });
    }
    let means: Vec<f64> =
        arms.iter().map(|arm| check_design(arm).map(|_| mean(arm))).collect::<Result<_>>()?;
    let mut order: Vec<usize> = (0..arms.len()).collect();
    let sign = if lower_is_better { 1.0 } else { -1.0 };
    order.sort_by(|a, b| (sign * means[*a]).total_cmp(&(sign * means[*b])));
    let num_pairs = arms.len() * (arms.len() - 1) / 2;
    let level = 1.0 - alpha / num_pairs as f64;
    let mut pairs = Vec::with_capacity(num_pairs);
    for first in 0..arms.len() {
        for second in first + 1..arms.len() {
            let d = crossed_differences(&arms[first], &arms[second])?;
            let (interval, p) = match crossed_mean_in_clusters(&d, clusters, level) {
                Ok(m) => (Some(m.interval), Some(m.p())),
                Err(StatsError::NoVariance { .. }) => (None, None),
                Err(error) => return Err(error),
            };
            let difference = means[first] - means[second];
            pairs.push(Pair { first, second, difference, interval, p, p_holm: None });
        }
    }
    let tested: Vec<usize> = (0..pairs.len()).filter(|i| pairs[*i].p.is_some()).collect();
    let p: Vec<f64> = tested.iter().filter_map(|i| pairs[*i].p).collect();
    tested.iter().zip(holm(&p)?).for_each(|(i, p)| pairs[*i].p_holm = Some(p));
    let best = order[0];
    let told = |arm: usize| {
        let of = |pair: &&Pair| [pair.first, pair.second] == [arm.min(best), arm.max(best)];
        // Without variance a difference is what it is; none at all is none to tell.
        pairs.iter().find(of).is_some_and(|pair| pair.p_holm.map_or(pair.difference != 0.0, |p| p < alpha))
    };
    let not_told_from_best = order.iter().copied().filter(|arm| *arm == best || !told(*arm)).collect();
    Ok(Ranking { means, order, pairs, not_told_from_best })
}

fn mean(arm: &ArmScores) -> f64 {
    let task =
        |task: &Vec<Vec<f64>>| task.iter().flatten().sum::<f64>() / (task.len() * task[0].len()) as f64;
    arm.iter().map(task).sum::<f64>() / arm.len() as f64
}

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
    let mut times = vec![0.0; seeds];
    for _ in 0..samples {
        times.fill(0.0);
        (0..seeds).for_each(|_| times[rng.random_range(0..seeds)] += 1.0);
        let mut totals = vec![0.0; arms.len()];
        for task in 0..first.len() {
            let count = first[task][0].len();
            for _ in 0..count {
                let item = rng.random_range(0..count);
                for (total, arm) in totals.iter_mut().zip(arms) {
                    let of_seed = arm[task].iter().zip(&times).map(|(row, times)| times * row[item]);
                    *total += sign * of_seed.sum::<f64>() / (count * seeds) as f64;
                }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::stream;
    use crate::stats::bootstrap::standard_normal;
    use crate::stats::{assert_close, crossed::crossed_mean};

    /// Arms with these true means, three seeds, 200 items in clusters of their own.
    fn simulated(means: &[f64], rng: &mut impl Rng) -> (Vec<ArmScores>, Vec<Clusters>) {
        let item: Vec<f64> = (0..200).map(|_| standard_normal(rng)).collect();
        let arm = |mean: &f64| -> ArmScores {
            let seed = |shift: f64, rng: &mut _| -> Vec<f64> {
                item.iter().map(|x| mean + shift + x + 0.5 * standard_normal(rng)).collect()
            };
            let shifts: Vec<f64> = (0..3).map(|_| 0.02 * standard_normal(rng)).collect();
            vec![shifts.into_iter().map(|shift| seed(shift, rng)).collect()]
        };
        (means.iter().map(arm).collect::<Vec<_>>(), vec![Clusters::independent(200)])
    }

    #[test]
    fn the_best_and_those_not_told_from_it() {
        let mut rng = stream(5, "ranking");
        let (arms, clusters) = simulated(&[0.0, 1.0, 0.98, -0.5], &mut rng);
        let ranking = rank(&arms, &clusters, false, 0.05).unwrap();
        assert_eq!((ranking.order.len(), ranking.pairs.len()), (4, 6));
        let mut near = ranking.not_told_from_best.clone();
        near.sort_unstable();
        assert_eq!(near, [1, 2]);
        // Where low is good the last is best, and alone.
        assert_eq!(rank(&arms, &clusters, true, 0.05).unwrap().not_told_from_best, [3]);
        // The interval of a pair is the crossed one at 1 − 0.05/6.
        let d = crossed_differences(&arms[0], &arms[1]).unwrap();
        let expected = crossed_mean(&d, 1.0 - 0.05 / 6.0).unwrap();
        assert_eq!(ranking.pairs[0].interval, Some(expected.interval));
        assert_close(ranking.pairs[0].difference, expected.mean, 1e-9);
        let best = probability_of_being_best(&arms, false, 500, &mut rng).unwrap();
        assert_close(best.iter().sum::<f64>(), 1.0, 1e-12);
        assert!(best[0] == 0.0 && best[3] == 0.0, "{best:?}");
    }

    #[test]
    fn identical_arms_are_never_told_apart() {
        let mut rng = stream(6, "ranking");
        let (mut arms, clusters) = simulated(&[0.0, 0.0], &mut rng);
        arms[1] = arms[0].clone();
        let ranking = rank(&arms, &clusters, false, 0.05).unwrap();
        assert_eq!((ranking.pairs[0].p, ranking.not_told_from_best.len()), (None, 2));
        assert_eq!(probability_of_being_best(&arms, false, 50, &mut rng).unwrap(), [0.5, 0.5]);
        assert!(rank(&arms[..1], &clusters, false, 0.05).is_err());
    }

    /// 200 rankings of four arms that are the same in truth: all six simultaneous intervals hold 0, and nothing is told apart,
    /// in at least 92 % (95 % less two standard errors).
    #[test]
    fn intervals_hold_together() {
        let mut rng = stream(7, "ranking");
        let (mut hold, mut apart) = (0, 0);
        for _ in 0..200 {
            let (arms, clusters) = simulated(&[0.0; 4], &mut rng);
            let ranking = rank(&arms, &clusters, false, 0.05).unwrap();
            hold += u32::from(ranking.pairs.iter().all(|p| p.interval.is_some_and(|i| i.contains(0.0))));
            apart += u32::from(ranking.not_told_from_best.len() < 4);
        }
        assert!(hold >= 184 && apart <= 16, "{hold} {apart}");
    }
}
