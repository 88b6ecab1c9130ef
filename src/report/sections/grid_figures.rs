//! The pictures of a grid, with its ablation tables: levels from the best to the worst, mean ranks, cells of two axes as a heat
//! map and as lines.
use super::{Context, figure};
use crate::report::Result;
use crate::report::document::Block;
use crate::report::figures::critical_difference::{Ranks, critical_difference_figure};
use crate::report::figures::heat_map::{HeatCell, HeatMap, Shading, heat_map};
use crate::report::figures::interaction::{Crossed, Measured, interaction_figure};
use crate::report::figures::levels::levels_figure;
use crate::report::format;
use crate::report::grid::{ALPHA, Estimate, Factor, Grid, Ranking};
use crate::report::metric::Metric;
use crate::stats::nemenyi::critical_difference;

/// Tasks below which ranks say too little.
const MIN_TASKS: usize = 5;

impl Context<'_> {
    pub(super) fn ranking_figures(
        &self,
        arm: &str,
        metric: Metric,
        rankings: &[Ranking],
    ) -> Result<Vec<Block>> {
        let name = format!("levels-{arm}-{}", metric.name());
        let is_grey = rankings
            .iter()
            .any(|ranking| ranking.declared && ranking.levels.iter().any(|l| l.told_from_best));
        let caption = format!(
            "`{arm}`: `{}` at every value of {}{}{}.{}",
            metric.name(),
            if rankings.len() > 1 { "every axis" } else { "the axis" },
            self.other_axes(1, ", averaged over the values of the other axes"),
            self.with_interval(metric, "95 % intervals"),
            match is_grey {
                true =>
                    " Grey: significantly worse than the best after correction, on an axis that was declared.",
                false => "",
            }
        );
        let levels = figure(&name, &caption, |sheet| levels_figure(sheet, &name, metric, rankings))?;
        let mut blocks: Vec<Block> = levels.into_iter().collect();
        for ranking in rankings {
            let Some(ranks) = self.ranks(metric, &ranking.factor) else { continue };
            let name = format!("ranks-{arm}-{}-{}", ranking.factor.name, metric.name());
            let caption = format!(
                "`{arm}`: mean rank of every value of `{}` on `{}` over {} tasks, means over seeds{}; 1 is best. \
                 A bar joins values whose ranks differ by less than Nemenyi's critical difference at 5 %. Tasks are the sample \
                 here, so this says nothing about seeds.",
                ranking.factor.name,
                metric.name(),
                ranks.count,
                self.other_axes(1, " and the other axes")
            );
            let draw = |sheet| critical_difference_figure(sheet, &name, &ranks);
            blocks.extend(figure(&name, &caption, draw)?);
        }
        blocks.extend(rankings.iter().filter_map(|ranking| self.ablation_table(metric, &ranking.factor)));
        Ok(blocks)
    }

    /// Mean ranks of the levels of `factor` over tasks; `None` with few levels or tasks, or of a metric of runs.
    fn ranks(&self, metric: Metric, factor: &Factor) -> Option<Ranks> {
        let tasks = self.scores.tasks_of(metric, &self.scores.tasks_with(metric, &self.groups))?;
        if !metric.is_of_items() || factor.levels.len() < 3 || tasks.len() < MIN_TASKS {
            return None;
        }
        let mean = |task: &str, level: usize| -> Option<f64> {
            let cells = factor.blocks.iter().map(|block| &self.groups[block[level]]);
            let values: Option<Vec<f64>> = cells.map(|group| self.scores.mean(group, task, metric)).collect();
            crate::stats::descriptive::mean(&values?).ok()
        };
        let mut sums = vec![0.0; factor.levels.len()];
        let mut count = 0;
        for task in tasks {
            let values: Option<Vec<f64>> = (0..factor.levels.len()).map(|level| mean(task, level)).collect();
            let Some(values) = values else { continue };
            count += 1;
            sums.iter_mut()
                .zip(ranks_of(&values, metric.lower_is_better()))
                .for_each(|(sum, rank)| *sum += rank);
        }
        let critical_difference = critical_difference(ALPHA, factor.levels.len(), count).ok()?;
        let levels = factor.levels.iter().cloned().zip(sums.iter().map(|sum| sum / count as f64));
        (count >= MIN_TASKS).then(|| Ranks { levels: levels.collect(), critical_difference, count })
    }

    /// The cells of two factors, averaged over the other axes, as a heat map and as lines.
    pub(super) fn cell_figures(
        &self,
        arm: &str,
        metric: Metric,
        factors: &[Factor; 2],
    ) -> Result<Vec<Block>> {
        let [a, b] = factors;
        let cells: Vec<Vec<Estimate>> = a
            .levels
            .iter()
            .map(|row| {
                b.levels.iter().map(|column| self.cell_estimate(arm, metric, (a, row), (b, column))).collect()
            })
            .collect();
        let show = |x: f64| format::value(metric, x);
        let heat = |estimate: &Estimate| HeatCell {
            value: estimate.value,
            text: estimate.value.map_or(String::new(), show),
            interval: estimate.interval.map_or(String::new(), |i| {
                let end = |x: f64| show(if metric.is_share() { x.clamp(0.0, 1.0) } else { x });
                format!("{} to {}", end(i.low), end(i.high))
            }),
        };
        let map = HeatMap {
            row_name: a.name.clone(),
            column_name: b.name.clone(),
            rows: a.levels.clone(),
            columns: b.levels.clone(),
            cells: cells.iter().map(|row| row.iter().map(heat).collect()).collect(),
            lower_is_better: metric.lower_is_better(),
            shading: Shading::Better,
        };
        let between = format!("{arm}-{}-{}-{}", a.name, b.name, metric.name());
        let better = if metric.lower_is_better() { "lower is better" } else { "higher is better" };
        let caption = format!(
            "`{arm}`: `{}` ({better}, darker) by `{}` and `{}` with its 95 % interval, means over seeds{}; ★: the \
             best cell.",
            metric.name(),
            a.name,
            b.name,
            self.other_axes(2, " and the other axes")
        );
        let name = format!("cells-{between}");
        let mut blocks: Vec<Block> =
            figure(&name, &caption, |sheet| heat_map(sheet, &name, &map))?.into_iter().collect();
        // The axis with more values goes along, so that lines are few.
        let swap = b.levels.len() > a.levels.len();
        let (along, lines) = if swap { (b, a) } else { (a, b) };
        let at = |i: usize, j: usize| measured(metric, if swap { &cells[j][i] } else { &cells[i][j] });
        let crossed = Crossed {
            names: [along.name.clone(), lines.name.clone()],
            levels: [along.levels.clone(), lines.levels.clone()],
            cells: (0..along.levels.len())
                .map(|i| (0..lines.levels.len()).map(|j| at(i, j)).collect())
                .collect(),
            title: format!("{} ({})", metric.name(), if metric.is_share() { "%" } else { metric.unit() }),
        };
        let caption = format!(
            "`{arm}`: `{}` along `{}`, a line for each value of `{}`, with 95 % intervals; where the two add up, the lines are \
             parallel.",
            metric.name(),
            along.name,
            lines.name
        );
        let name = format!("interaction-{between}");
        blocks.extend(figure(&name, &caption, |sheet| interaction_figure(sheet, &name, &crossed))?);
        Ok(blocks)
    }

    /// Mean of `arm` at a value of each of two factors, over the other axes.
    fn cell_estimate(
        &self,
        arm: &str,
        metric: Metric,
        (a, row): (&Factor, &str),
        (b, column): (&Factor, &str),
    ) -> Estimate {
        let grid = Grid { results: self.results, scores: &self.scores, groups: &self.groups, metric };
        let at = |group: &usize| {
            let group = &self.groups[*group];
            group.arm == *arm && group.point[a.axis] == *row && group.point[b.axis] == *column
        };
        let groups: Vec<usize> = (0..self.groups.len()).filter(at).collect();
        let share = 1.0 / groups.len().max(1) as f64;
        grid.mean(&groups.into_iter().map(|group| (group, share)).collect::<Vec<_>>())
    }
}

/// A mean as it is drawn: shares in per cent, their intervals within 0 and 100.
pub(super) fn measured(metric: Metric, estimate: &Estimate) -> Option<Measured> {
    let ends = estimate.interval.map(|i| match metric.is_share() {
        true => (100.0 * i.low.max(0.0), 100.0 * i.high.min(1.0)),
        false => (i.low, i.high),
    });
    let scale = if metric.is_share() { 100.0 } else { 1.0 };
    Some((scale * estimate.value?, ends))
}

/// Ranks from 1, the best; equal values share the mean of theirs.
fn ranks_of(values: &[f64], lower_is_better: bool) -> Vec<f64> {
    let better = |x: f64, y: f64| if lower_is_better { x < y } else { x > y };
    let rank = |value: &f64| {
        let above = values.iter().filter(|other| better(**other, *value)).count() as f64;
        let equal = values.iter().filter(|other| *other == value).count() as f64;
        above + 0.5 * (equal + 1.0)
    };
    values.iter().map(rank).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn equal_values_share_their_ranks() {
        assert_eq!(super::ranks_of(&[0.5, 0.7, 0.5, 0.1], false), [2.5, 1.0, 2.5, 4.0]);
        assert_eq!(super::ranks_of(&[0.5, 0.7, 0.5, 0.1], true), [2.5, 4.0, 2.5, 1.0]);
    }
}
