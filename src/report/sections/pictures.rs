//! Quality against what it costs, against numeric axes, and what the models look like.
use super::grid_figures::measured;
use super::{Context, chart_figure, figure};
use crate::record::LatencyPhase;
use crate::report::Result;
use crate::report::comparisons::Compared;
use crate::report::document::Block;
use crate::report::figures::canvas::NUM_COLOURS;
use crate::report::figures::forest::Difference;
use crate::report::figures::pareto::{Cost, pareto_figure};
use crate::report::figures::scaling::{ScalingLine, scaling_figure};
use crate::report::figures::width_profile::width_figure;
use crate::report::grid::{Factor, Grid, factors};
use crate::report::groups::{mean_over, named};
use crate::report::metric::Metric;

/// Values of a numeric axis from which a curve is drawn.
const MIN_POINTS: usize = 3;

impl Context<'_> {
    /// The differences that have an answer, for the forest plot.
    pub(super) fn differences<'c>(
        &self,
        compared: impl IntoIterator<Item = &'c Compared>,
    ) -> Vec<Difference> {
        let (leading, axes) = (self.leading(), &self.results.axes);
        let difference = |c: &Compared| {
            let at = |axis: &usize| named(c.point.get(*axis)?, &axes[*axis]);
            let point = leading.iter().filter_map(at);
            Some(Difference {
                label: std::iter::once(c.names[0].clone()).chain(point).collect::<Vec<_>>().join(" · "),
                against: c.names[1].clone(),
                metric: c.metric,
                value: c.difference?,
                interval: c.interval,
                exploratory: c.exploratory,
            })
        };
        compared.into_iter().filter_map(difference).collect()
    }

    /// Nothing where there is no picture to draw.
    pub(super) fn picture_section(&self) -> Result<Vec<Block>> {
        let mut blocks = Vec::new();
        blocks.extend(self.pareto()?);
        if let Some(metric) = self.quality_metric() {
            blocks.extend(self.scaling(metric)?);
        }
        let caption = "Widths of the final models by layer; those that are the same in all layers of every model are left out, and stand in the table of widths. Thin lines: seeds; thick: their mean.";
        blocks.extend(chart_figure("width_profile", caption, width_figure(self.results, &self.groups))?);
        if !blocks.is_empty() {
            blocks.insert(0, Block::Heading("Quality, cost and shape".into()));
        }
        Ok(blocks)
    }

    /// The average of the paper where its tasks were scored, else accuracy, else bits per byte.
    fn quality_metric(&self) -> Option<Metric> {
        let scored = |metric: &Metric| match metric.is_of_items() {
            true => {
                let with = self.scores.tasks_with(*metric, &self.groups);
                self.scores.tasks_of(*metric, &with).is_some_and(|tasks| !tasks.is_empty())
            }
            false => self.results.runs.iter().any(|run| metric.of_run(&run.totals).is_some()),
        };
        [Metric::AverageUsual, Metric::Acc, Metric::BitsPerByte].into_iter().find(scored)
    }

    fn pareto(&self) -> Result<Option<Block>> {
        let Some(metric) = self.quality_metric() else { return Ok(None) };
        let grid = Grid { results: self.results, scores: &self.scores, groups: &self.groups, metric };
        let quality: Vec<_> =
            (0..self.groups.len()).map(|group| measured(metric, &grid.mean(&[(group, 1.0)]))).collect();
        let of = |title: &str, value: &dyn Fn(usize) -> Option<f64>| Cost {
            title: title.to_string(),
            values: self.groups.iter().map(|group| mean_over(&group.runs, value)).collect(),
        };
        let speed = |phase: LatencyPhase| {
            move |run: usize| {
                let row = self.results.latency.iter().find(|k| k.run == run && k.row.phase == phase)?;
                row.row.seconds.map(|seconds| 1000.0 * seconds / row.row.tokens as f64)
            }
        };
        let costs = [
            of("parameters", &|run| self.totals(run).params.map(|x| x as f64)),
            of("total FLOPs of training", &|run| self.totals(run).total_flops),
            of("reading: ms per token", &speed(LatencyPhase::Prefill)),
            of("writing: ms per token", &speed(LatencyPhase::Decode)),
        ];
        let unit = if metric.is_share() { "%" } else { metric.unit() };
        let title = format!("{} ({unit})", metric.name());
        let caption = format!(
            "`{}` against what a model costs, with 95 % intervals. The dashed line joins the models that no other model beats on both axes; \
             times are measured at batch 1; costs that differ by less than 2 % are left out.{}",
            metric.name(),
            if self.groups.len() > NUM_COLOURS { " Grey: the models of the other panels." } else { "" }
        );
        let quality = (title.as_str(), quality.as_slice(), metric.lower_is_better());
        chart_figure("pareto", &caption, pareto_figure(&self.groups, &self.results.axes, quality, &costs))
    }

    /// A figure for each axis of numbers, a line for each arm that has it.
    fn scaling(&self, metric: Metric) -> Result<Vec<Block>> {
        let grid = Grid { results: self.results, scores: &self.scores, groups: &self.groups, metric };
        let all = factors(&self.groups, &self.results.axes);
        let mut blocks = Vec::new();
        for axis in self.leading() {
            let name = &self.results.axes[axis];
            let lines: Vec<ScalingLine> = all
                .iter()
                .filter(|factor| factor.axis == axis && !factor.blocks.is_empty())
                .filter_map(|factor| line(&grid, factor))
                .collect();
            let unit = if metric.is_share() { "%" } else { metric.unit() };
            let titles = [name.clone(), format!("{} ({unit})", metric.name())];
            let stem = format!("scaling-{name}-{}", metric.name());
            let caption = format!(
                "`{}` along `{name}`{}; bands: 95 % intervals.",
                metric.name(),
                self.other_axes(1, ", averaged over the values of the other axes")
            );
            blocks.extend(figure(&stem, &caption, |sheet| {
                scaling_figure(sheet, &stem, titles.clone(), &lines)
            })?);
        }
        Ok(blocks)
    }
}

/// `None` where the levels are no numbers, or few.
fn line(grid: &Grid, factor: &Factor) -> Option<ScalingLine> {
    let number = |text: &String| text.replace('_', "").parse::<f64>().ok().filter(|x| x.is_finite());
    let levels: Vec<f64> = factor.levels.iter().map(number).collect::<Option<_>>()?;
    if levels.len() < MIN_POINTS {
        return None;
    }
    let estimate = |level: usize| measured(grid.metric, &grid.mean(&factor.level_weights(level, 1.0)));
    let mut points: Vec<_> =
        levels.iter().enumerate().filter_map(|(level, x)| Some((*x, estimate(level)?))).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    (points.len() >= MIN_POINTS).then(|| ScalingLine { label: factor.arm.clone(), points })
}
