//! What the grid says, arm by arm: the best value of every axis, what is not told from it, and whether two axes interact.
use super::Context;
use crate::report::Result;
use crate::report::document::{Block, Table};
use crate::report::format;
use crate::report::grid::{Estimate, Factor, Grid, Interaction, Ranking, factors, interaction, ranking};
use crate::report::metric::Metric;
use crate::report::request::ReportRequest;

/// The answers of one arm on one metric.
struct ArmAnswers {
    arm: String,
    metric: Metric,
    rankings: Vec<Ranking>,
    interactions: Vec<Interaction>,
}

impl Context<'_> {
    /// Nothing where no arm has an axis of two values.
    pub(super) fn grid_section(&self, request: &ReportRequest) -> Result<Vec<Block>> {
        let all = factors(&self.groups, &self.results.axes);
        let mut arms: Vec<&str> = Vec::new();
        for factor in &all {
            if !arms.contains(&factor.arm.as_str()) {
                arms.push(&factor.arm);
            }
        }
        let mut blocks = Vec::new();
        for arm in arms {
            let of_arm: Vec<&Factor> = all.iter().filter(|factor| factor.arm == arm).collect();
            for metric in self.grid_metrics(request, arm) {
                let answers = self.arm_answers(arm, &of_arm, metric);
                if !answers.rankings.is_empty() {
                    blocks.extend(self.arm_blocks(request, &answers)?);
                }
            }
        }
        if !blocks.is_empty() {
            blocks.insert(0, Block::Heading("What the grid says".into()));
        }
        Ok(blocks)
    }

    /// The metrics that questions about this arm name; else that of the first declared comparison, or accuracy.
    pub(super) fn grid_metrics(&self, request: &ReportRequest, arm: &str) -> Vec<Metric> {
        let named = request.questions.iter().filter(|q| q.arm == arm).map(|q| q.metric.as_str());
        let mut metrics: Vec<Metric> = Vec::new();
        for metric in named.filter_map(Metric::parse) {
            if !metrics.contains(&metric) {
                metrics.push(metric);
            }
        }
        if metrics.is_empty() {
            let first = request.comparisons.first().and_then(|c| Metric::parse(&c.metric));
            metrics.push(first.unwrap_or(Metric::Acc));
        }
        metrics
    }

    fn arm_answers(&self, arm: &str, factors: &[&Factor], metric: Metric) -> ArmAnswers {
        let grid = Grid { results: self.results, scores: &self.scores, groups: &self.groups, metric };
        let rankings = factors.iter().filter_map(|factor| ranking(&grid, factor)).collect();
        let pairs = (0..factors.len()).flat_map(|a| (a + 1..factors.len()).map(move |b| (a, b)));
        let interactions = pairs.filter_map(|(a, b)| interaction(&grid, factors[a], factors[b])).collect();
        ArmAnswers { arm: arm.to_string(), metric, rankings, interactions }
    }

    fn arm_blocks(&self, request: &ReportRequest, answers: &ArmAnswers) -> Result<Vec<Block>> {
        let ArmAnswers { arm, metric, rankings, interactions } = answers;
        let declared = |axes: &[&str]| request.questions.iter().any(|q| q.asks(arm, *metric, axes));
        let mut sentences = Vec::new();
        for ranking in rankings {
            sentences.push(ranking_sentence(*metric, ranking, declared(&[&ranking.factor.name])));
        }
        for interaction in interactions {
            let axes = [interaction.factors[0].name.as_str(), interaction.factors[1].name.as_str()];
            sentences.push(interaction_sentence(*metric, interaction, declared(&axes)));
        }
        let mut blocks = vec![Block::List(sentences)];
        blocks.extend(self.ranking_figures(arm, *metric, rankings)?);
        for interaction in interactions {
            blocks.extend(self.cell_figures(arm, *metric, &interaction.factors)?);
        }
        blocks.push(Block::Table(level_table(arm, *metric, rankings)));
        Ok(blocks)
    }
}

/// What was not asked before the run gets no verdict.
const EXPLORATORY: &str = " Exploratory: not declared before the run.";

/// Intervals of differences between the levels of an axis hold for all of its pairs at once.
const SIMULTANEOUS: &str = "simultaneous 95 % interval";

/// `interval`: what kind of interval the estimate has.
fn numbers(metric: Metric, estimate: &Estimate, p_holm: Option<f64>, interval: &str) -> String {
    let show = |x: f64| format::difference(metric, x);
    let value = estimate.value.map_or(String::new(), show);
    match (estimate.interval, p_holm) {
        (Some(i), Some(p)) => format!(
            "{value} {} ({interval} {} to {}, Holm-adjusted {})",
            metric.unit(),
            show(i.low),
            show(i.high),
            format::p_equation(p)
        ),
        _ => format!("{value} {}", metric.unit()),
    }
}

fn quoted(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

fn ranking_sentence(metric: Metric, ranking: &Ranking, declared: bool) -> String {
    let Ranking { factor, levels, seeds, .. } = ranking;
    let (best, worst) = (ranking.best(), &levels[levels.len() - 1]);
    let value = best.mean.value.map_or(String::new(), |v| format::value(metric, v));
    let percent = if metric.is_share() { " %" } else { "" };
    let head = format!("`{}`, `{}` on `{}`", factor.arm, factor.name, metric.name());
    let left_out = match factor.incomplete {
        0 => String::new(),
        n => format!(" {n} settings of the other axes lack a finished run of some value and are left out."),
    };
    let tail = format!("{left_out}{}", if declared { "" } else { EXPLORATORY });
    if *seeds < 2 {
        return format!(
            "{head}: `{}` came out best ({value}{percent}) with one seed, which says nothing of another: no verdict.{tail}",
            best.name
        );
    }
    let alike = ranking.not_told_from_best();
    let worse: Vec<&str> = levels[1..].iter().filter(|l| l.told_from_best).map(|l| l.name.as_str()).collect();
    let against = numbers(metric, &worst.against_best, worst.p_holm, SIMULTANEOUS);
    let body = match (alike.is_empty(), worse.is_empty()) {
        (true, _) => format!(
            "`{}` is the best ({value}{percent}); the next, `{}`, is at {}",
            best.name,
            levels[1].name,
            numbers(metric, &levels[1].against_best, levels[1].p_holm, SIMULTANEOUS)
        ),
        (false, true) => format!(
            "no value is told from another; `{}` came out best ({value}{percent}), the last, `{}`, is at {against}",
            best.name, worst.name
        ),
        (false, false) => format!(
            "`{}` came out best ({value}{percent}); not told from it: {}; worse: {}, the last at {against}",
            best.name,
            quoted(&alike),
            quoted(&worse)
        ),
    };
    format!("{head}: {body}.{tail}")
}

fn interaction_sentence(metric: Metric, interaction: &Interaction, declared: bool) -> String {
    let [a, b] = &interaction.factors;
    let found = interaction.found();
    let largest = found.unwrap_or(&interaction.tetrads[0]);
    let [[row, row_0], [column, column_0]] = interaction.names(largest);
    let verdict = match (found, largest.estimate.seeds) {
        (_, ..2) => "one seed gives no verdict on whether they interact",
        (Some(_), _) => "they interact",
        (None, _) => "no interaction was found",
    };
    format!(
        "`{}`, `{}` × `{}` on `{}`: {verdict}; the gain of `{row}` over `{row_0}` differs between `{column}` and `{column_0}` by \
         {}.{}",
        a.arm,
        a.name,
        b.name,
        metric.name(),
        numbers(metric, &largest.estimate, largest.p_holm, "95 % interval"),
        if declared { "" } else { EXPLORATORY }
    )
}

fn level_table(arm: &str, metric: Metric, rankings: &[Ranking]) -> Table {
    let header = [
        "axis",
        "value",
        metric.name(),
        "95 % interval",
        "less the best",
        "95 % interval",
        "p (Holm)",
        "told from the best",
    ];
    let mut rows = Vec::new();
    for ranking in rankings {
        for (place, level) in ranking.levels.iter().enumerate() {
            let range = |estimate: &Estimate, show: &dyn Fn(f64) -> String| {
                estimate.interval.map_or(String::new(), |i| format!("{} to {}", show(i.low), show(i.high)))
            };
            let (own, difference) =
                (|x: f64| format::value(metric, x), |x: f64| format::difference(metric, x));
            let told = match (place, level.told_from_best) {
                (0, _) => "",
                (_, true) => "yes",
                (_, false) => "no",
            };
            rows.push(vec![
                format!("`{}`", ranking.factor.name),
                format!("`{}`", level.name),
                level.mean.value.map_or(String::new(), own),
                range(&level.mean, &own),
                level.against_best.value.map_or(String::new(), difference),
                range(&level.against_best, &difference),
                format::p_value(level.p_holm),
                told.to_string(),
            ]);
        }
    }
    let caption = format!(
        "`{arm}`: every value of every axis on `{}`, averaged over the values of the other axes; differences from the best are \
         paired by seed and item, their intervals hold together for all pairs of an axis, and p is corrected for them (Holm).",
        metric.name()
    );
    Table::new(
        &format!("levels-{arm}-{}", metric.name()),
        &caption,
        2,
        header.map(String::from).to_vec(),
        rows,
    )
}
