//! Which level of a factor is best, and which cannot be told from it.
//!
//! All k(k − 1)/2 pairs of levels are compared at once, so the statement about the level that happens to come out best is not
//! spoilt by having looked for it: with probability 95 % no pair is called different that is not. Three and more levels share one
//! error, that of randomised blocks, and Tukey's studentized range ([`crate::stats::tukey`]); two levels are a paired difference.
//! A level is *not told from the best* where its adjusted comparison with the best is not significant. Means and pairs are over the
//! seeds that every level finished, so that all levels are held against each other on the same ones.
use super::contrast::{Estimate, Fit, POWER, SeedsNeeded, Weights};
use super::factor::Factor;
use super::{ALPHA, Grid};
use crate::base::random;
use crate::stats::Interval;
use crate::stats::ranking::probability_of_being_best;
use crate::stats::tukey::AllPairs;
use rayon::prelude::*;
use std::collections::BTreeSet;

/// Resamples behind the probability of being best.
const RESAMPLES: usize = 1000;
/// More seeds than this are not looked for.
const MOST_SEEDS: usize = 1000;

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
    /// Share of resamples of seeds and items in which it has the best mean: it describes and carries no verdict.
    pub best_probability: Option<f64>,
}

/// Two levels of a factor.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// Places in [`Factor::levels`].
    pub levels: [usize; 2],
    pub weights: Weights,
    /// The first less the second.
    pub difference: Estimate,
    /// Adjusted for all pairs of the axis; for two levels its own.
    pub p_all_pairs: Option<f64>,
    /// The same, corrected for the other questions of a declared family.
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
    /// Seeds that some level lacks, which are left out of all.
    pub seeds_left_out: usize,
    /// Whether it was asked before there were results.
    pub declared: bool,
    /// Questions of its family, of which it is one; 1 where it was not declared.
    pub tests: usize,
    /// The error that three and more levels share; `None` with two levels, or where nothing varies.
    pub error: Option<AllPairs>,
    /// Places of the levels in [`Factor::levels`], the best first.
    order: Vec<usize>,
}

/// Ranks the levels of `factor`; `None` where no block is complete or nothing was measured.
pub fn ranking(grid: &Grid, factor: &Factor) -> Option<Ranking> {
    if factor.blocks.is_empty() {
        return None;
    }
    let cells: Weights = factor.blocks.iter().flatten().map(|group| (*group, 1.0)).collect();
    let seeds = grid.shared_seeds(&cells);
    let of_all = grid.groups_of_seeds(&seeds);
    // With fewer than two there is no error to share, and pairs have the seeds that both finished.
    let is_shared = seeds.len() > 1;
    let any: BTreeSet<u64> = cells.iter().flat_map(|cell| grid.shared_seeds(&[*cell])).collect();
    let seeds_left_out = if is_shared { any.len() - seeds.len() } else { 0 };
    let grid = &Grid { groups: if is_shared { &of_all } else { grid.groups }, ..*grid };
    let count = factor.levels.len();
    let of_level = |level: usize| grid.differences(&factor.level_weights(level, 1.0));
    let scores: Vec<_> = (0..count).into_par_iter().map(of_level).collect::<Option<_>>()?;
    let means: Vec<Estimate> = scores.par_iter().map(|scores| scores.mean(grid.metric)).collect();
    let lower = grid.metric.lower_is_better();
    let goodness = |level: usize| means[level].value.map(|value| if lower { -value } else { value });
    let mut order: Vec<(f64, usize)> =
        (0..count).map(|level| Some((goodness(level)?, level))).collect::<Option<_>>()?;
    // Equal means keep the order of the plan.
    order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let order: Vec<usize> = order.into_iter().map(|(_, level)| level).collect();
    let values: Vec<_> = scores.into_iter().map(|scores| scores.values).collect();
    let name = format!("best of {} {} {}", factor.arm, factor.name, grid.metric.name());
    let best = probability_of_being_best(&values, lower, RESAMPLES, &mut random::stream(0, &name)).ok();
    let pair = |levels: [usize; 2]| {
        let weights = factor.difference_weights(levels[0], levels[1]);
        let difference = grid.estimate(&weights);
        Pair { levels, p_all_pairs: difference.p, difference, weights, p_holm: None }
    };
    let all: Vec<[usize; 2]> = (0..count).flat_map(|a| (a + 1..count).map(move |b| [a, b])).collect();
    let mut pairs: Vec<Pair> = all.into_par_iter().map(pair).collect();
    let error = shared_error(&pairs, count);
    if let Some(error) = &error {
        let half = error.half_width(ALPHA);
        pairs.par_iter_mut().filter(|pair| pair.difference.fit.is_some()).for_each(|pair| {
            let value = pair.difference.value.unwrap_or(0.0);
            pair.difference.interval = Some(Interval::around(value, half));
            pair.p_all_pairs = Some(error.p(value));
        });
    }
    let level = |&level: &usize| Level {
        name: factor.levels[level].clone(),
        mean: means[level].clone(),
        against_best: Estimate::default(),
        p_holm: None,
        told_from_best: false,
        best_probability: best.as_ref().map(|best| best[level]),
    };
    let levels = order.iter().map(level).collect();
    let seeds = pairs.iter().map(|pair| pair.difference.seeds).min().unwrap_or(0);
    let corrected: Vec<Option<f64>> = pairs.iter().map(|pair| pair.p_all_pairs).collect();
    let mut ranking = Ranking {
        factor: factor.clone(),
        levels,
        pairs,
        seeds,
        seeds_left_out,
        declared: false,
        tests: 1,
        error,
        order,
    };
    ranking.settle(&corrected);
    Some(ranking)
}

fn seeds_or_items(seeds: Option<usize>) -> SeedsNeeded {
    seeds.map_or(SeedsNeeded::MoreItems, |seeds| SeedsNeeded::Seeds(seeds as u64))
}

/// The error that all pairs of three and more levels share. Levels with the same models are one level.
fn shared_error(pairs: &[Pair], count: usize) -> Option<AllPairs> {
    let is_twin = |pair: &Pair| pair.difference.fit.is_none() && pair.difference.value == Some(0.0);
    let twins: Vec<usize> = pairs.iter().filter(|pair| is_twin(pair)).map(|pair| pair.levels[1]).collect();
    let distinct: Vec<&Pair> =
        pairs.iter().filter(|pair| !pair.levels.iter().any(|level| twins.contains(level))).collect();
    let levels = (0..count).filter(|level| !twins.contains(level)).count();
    let seeds = distinct.first()?.difference.seeds;
    // One error takes one design.
    if levels < 3 || seeds < 2 || distinct.iter().any(|pair| pair.difference.seeds != seeds) {
        return None;
    }
    let parts = |pair: &Pair| match pair.difference.fit {
        Some(Fit::Crossed(fit)) => [fit.seed_variance, fit.error_variance, fit.item_variance],
        Some(Fit::Paired(fit)) => [fit.standard_error * fit.standard_error, 0.0, 0.0],
        None => [0.0; 3],
    };
    let mut variances = [0.0; 3];
    for pair in &distinct {
        let share = 1.0 / distinct.len() as f64;
        variances.iter_mut().zip(parts(pair)).for_each(|(sum, part)| *sum += share * part);
    }
    let of_items = distinct.iter().filter_map(|pair| match pair.difference.fit {
        Some(Fit::Crossed(fit)) => Some(fit.item_freedom as f64),
        _ => None,
    });
    AllPairs::new(levels, seeds, variances, of_items.reduce(f64::min)).ok()
}

impl Ranking {
    /// [`Ranking::detectable`] of every pair.
    pub fn detectable_of_pairs(&self) -> Vec<(Option<f64>, Option<SeedsNeeded>)> {
        let alpha = ALPHA / self.tests.max(1) as f64;
        let Some(error) = &self.error else {
            return self.pairs.par_iter().map(|pair| self.detectable(&pair.difference, self.tests)).collect();
        };
        let of_all = error.detectable(POWER, alpha).ok();
        let mut by_seeds = error.detectable_by_seeds(POWER, alpha);
        let of_pair = |pair: &Pair| match (pair.difference.fit, pair.difference.value) {
            (Some(_), value) => {
                let value = value.filter(|value| *value != 0.0);
                (of_all, value.map(|value| seeds_or_items(by_seeds.needed(value, MOST_SEEDS))))
            }
            _ => self.detectable(&pair.difference, self.tests),
        };
        self.pairs.iter().map(of_pair).collect()
    }

    /// Smallest true difference of two levels that is found, and the seeds that find one of `observed`, at level α/`tests`.
    pub fn detectable(&self, pair: &Estimate, tests: usize) -> (Option<f64>, Option<SeedsNeeded>) {
        let alpha = ALPHA / tests.max(1) as f64;
        match &self.error {
            Some(error) if pair.fit.is_some() => {
                let value = pair.value.filter(|value| *value != 0.0);
                let needed =
                    value.map(|value| seeds_or_items(error.seeds_needed(value, POWER, alpha, MOST_SEEDS)));
                (error.detectable(POWER, alpha).ok(), needed)
            }
            _ => (pair.detectable(alpha), pair.seeds_needed(alpha)),
        }
    }

    /// Takes the corrected p of every pair, and tells which levels are told from the best by them.
    pub fn settle(&mut self, corrected: &[Option<f64>]) {
        self.pairs.iter_mut().zip(corrected).for_each(|(pair, p)| pair.p_holm = *p);
        let best = self.order[0];
        for (level, place) in self.levels.iter_mut().zip(&self.order).skip(1) {
            let is_it = |pair: &&Pair| pair.levels.contains(&best) && pair.levels.contains(place);
            let Some(pair) = self.pairs.iter().find(is_it) else { continue };
            level.against_best =
                if pair.levels[0] == *place { pair.difference.clone() } else { pair.difference.negated() };
            level.p_holm = pair.p_holm;
            level.told_from_best = pair.p_holm.is_some_and(|p| p < ALPHA);
        }
    }

    /// Whether the intervals of its pairs hold for all of them at once.
    pub fn is_simultaneous(&self) -> bool {
        self.error.is_some() || self.pairs.len() == 1
    }

    pub fn best(&self) -> &Level {
        &self.levels[0]
    }

    /// The other levels that are not told from the best.
    pub fn not_told_from_best(&self) -> Vec<&str> {
        self.levels[1..].iter().filter(|l| !l.told_from_best).map(|l| l.name.as_str()).collect()
    }
}
