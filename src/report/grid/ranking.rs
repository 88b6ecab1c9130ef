//! Which level of a factor is best, and which cannot be told from it.
//!
//! All k(k − 1)/2 pairs of levels are compared and corrected together (Holm 1979), so the statement about the level that
//! happens to come out best is not spoilt by having looked for it: with probability 95 % no pair is called different that
//! is not. A level is *not told from the best* where its corrected comparison with the best is not significant.
use super::contrast::Estimate;
use super::factor::Factor;
use super::{ALPHA, Grid};
use crate::stats::multiplicity::holm;

/// One level of a factor.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    pub name: String,
    /// Mean over the blocks, with its own interval (not of a difference).
    pub mean: Estimate,
    /// This level less the best one; blank for the best itself.
    pub against_best: Estimate,
    pub p_holm: Option<f64>,
    /// Whether a corrected comparison tells it from the best.
    pub told_from_best: bool,
}

/// Two levels of a factor.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// Places in [`Factor::levels`].
    pub levels: [usize; 2],
    /// The first less the second.
    pub difference: Estimate,
    pub p_holm: Option<f64>,
}

/// The levels of a factor from the best to the worst.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    pub factor: Factor,
    pub levels: Vec<Level>,
    pub pairs: Vec<Pair>,
    /// Seeds behind the pairs.
    pub seeds: usize,
}

/// Ranks the levels of `factor`; `None` where no block is complete or nothing was measured.
pub fn ranking(grid: &Grid, factor: &Factor) -> Option<Ranking> {
    if factor.blocks.is_empty() {
        return None;
    }
    let count = factor.levels.len();
    let means: Vec<Estimate> =
        (0..count).map(|level| grid.estimate(&factor.level_weights(level, 1.0))).collect();
    let goodness = |level: usize| {
        let value = means[level].value?;
        Some(if grid.metric.lower_is_better() { -value } else { value })
    };
    let mut order: Vec<(f64, usize)> =
        (0..count).map(|level| Some((goodness(level)?, level))).collect::<Option<_>>()?;
    // Equal means keep the order of the plan.
    order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let simultaneous = 1.0 - ALPHA / (count * (count - 1) / 2) as f64;
    let mut pairs: Vec<Pair> = (0..count)
        .flat_map(|a| (a + 1..count).map(move |b| [a, b]))
        .map(|levels| {
            let difference = grid.estimate_at(&factor.difference_weights(levels[0], levels[1]), simultaneous);
            Pair { levels, difference, p_holm: None }
        })
        .collect();
    let measured: Vec<usize> = (0..pairs.len()).filter(|i| pairs[*i].difference.p.is_some()).collect();
    let p: Vec<f64> = measured.iter().filter_map(|i| pairs[*i].difference.p).collect();
    for (i, adjusted) in measured.iter().zip(holm(&p).unwrap_or_default()) {
        pairs[*i].p_holm = Some(adjusted);
    }
    let best = order.first()?.1;
    let level = |&(_, level): &(f64, usize)| {
        let pair = pairs
            .iter()
            .find(|pair| pair.levels.contains(&best) && pair.levels.contains(&level) && level != best);
        let p_holm = pair.and_then(|pair| pair.p_holm);
        Level {
            name: factor.levels[level].clone(),
            mean: means[level].clone(),
            against_best: match pair {
                Some(pair) if pair.levels[0] == level => pair.difference.clone(),
                Some(pair) => pair.difference.negated(),
                None => Estimate::default(),
            },
            p_holm,
            // One seed says nothing of another.
            told_from_best: p_holm.is_some_and(|p| p < ALPHA) && means[level].seeds > 1,
        }
    };
    let levels = order.iter().map(level).collect();
    let seeds = pairs.iter().map(|pair| pair.difference.seeds).min().unwrap_or(0);
    Some(Ranking { factor: factor.clone(), levels, pairs, seeds })
}

impl Ranking {
    pub fn best(&self) -> &Level {
        &self.levels[0]
    }

    /// The other levels that are not told from the best.
    pub fn not_told_from_best(&self) -> Vec<&str> {
        self.levels[1..].iter().filter(|l| !l.told_from_best).map(|l| l.name.as_str()).collect()
    }
}
