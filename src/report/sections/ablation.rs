//! Ablation tables: one row for each value of an axis, with its difference from the reference, the axis's first value.
use super::grid::dagger;
use super::{Context, stem};
use crate::report::document::{Block, Table};
use crate::report::format;
use crate::report::grid::{Estimate, Factor, Grid};
use crate::report::metric::Metric;
use crate::stats::multiplicity::holm;

impl Context<'_> {
    /// One table for `factor` on `metric`.
    pub(super) fn ablation_table(&self, metric: Metric, factor: &Factor) -> Option<Block> {
        let grid = Grid { results: self.results, scores: &self.scores, groups: &self.groups, metric };
        if factor.blocks.is_empty() {
            return None;
        }
        let levels = 0..factor.levels.len();
        let means: Vec<Estimate> =
            levels.clone().map(|level| grid.mean(&factor.level_weights(level, 1.0))).collect();
        let against: Vec<Estimate> =
            levels.clone().skip(1).map(|level| grid.estimate(&factor.difference_weights(level, 0))).collect();
        let p: Vec<f64> = against.iter().filter_map(|estimate| estimate.p).collect();
        let mut adjusted = holm(&p).unwrap_or_default().into_iter();
        let own = |x: f64| format::value(metric, x);
        let difference = |x: f64| format::difference(metric, x);
        let mut rows = Vec::new();
        for level in levels {
            let (shown, p) = match level.checked_sub(1).map(|at| &against[at]) {
                None => ("reference".to_string(), None),
                Some(estimate) => {
                    (with_interval(estimate, &difference), estimate.p.and_then(|_| adjusted.next()))
                }
            };
            rows.push(vec![
                format!("`{}`", factor.levels[level]),
                with_interval(&means[level], &own),
                shown,
                format::p_value(p),
                means[level].seeds.to_string(),
            ]);
        }
        let shown = || means.iter().chain(&against);
        let has_one_seed = shown().any(|estimate| !dagger(estimate).is_empty())
            && shown().any(|estimate| dagger(estimate).is_empty());
        let name = stem(&format!("ablation-{}-{}-{}", factor.arm, factor.name, metric.name()));
        let unit = if metric.is_share() { "%, differences in points" } else { metric.unit() };
        let better = if metric.lower_is_better() { "lower is better" } else { "higher is better" };
        let caption = format!(
            "Ablation of `{}` of `{}`: `{}` ({unit}; {better}), mean over seeds{}{}{}. Differences from the \
             reference, the first value of the axis, are {}; p is corrected for their number (Holm), not for the questions above.",
            factor.name,
            factor.arm,
            metric.name(),
            self.other_axes(1, " and the values of the other axes"),
            self.with_interval(metric, "95 % intervals"),
            if has_one_seed { " (†: one seed, over items alone)" } else { "" },
            self.paired_by(metric)
        );
        let header = [&factor.name, metric.name(), "difference", "p (Holm, this table)", "seeds"]
            .map(String::from)
            .to_vec();
        Some(Block::Table(Table::new(&name, &caption, 1, header, rows)))
    }
}

fn with_interval(estimate: &Estimate, show: &dyn Fn(f64) -> String) -> String {
    match (estimate.value, estimate.interval) {
        (Some(value), Some(i)) => {
            let mark = dagger(estimate).trim_start();
            format!("{}{mark} ({} to {})", show(value), show(i.low), show(i.high))
        }
        (value, _) => value.map_or(String::new(), show),
    }
}
