//! `comparisons.csv`: every comparison, pair of a ranking, tetrad of an interaction, and slope, with all that a verdict rests on.
//!
//! Names are those of the experiment file, not labels, and numbers are in the metric's own unit: shares, not points.
use super::answers::{Answers, ArmAnswers};
use super::comparisons::{Compared, Outcome};
use super::grid::{ALPHA, Estimate, Pair, Ranking, SeedsNeeded};
use super::metric::Metric;
use super::request::ReportRequest;
use super::scores::LEVEL;
use crate::questions::{AxisQuestion, Labels};
use crate::record::dictionary::{self, COMPARISONS};
use crate::stats::tukey::AllPairs;
use rayon::prelude::*;
use serde::Serialize;

/// A row; the columns are explained in the dictionary.
#[derive(Clone, Debug, Default, Serialize)]
struct Row {
    question: &'static str,
    asked: &'static str,
    family: String,
    variant: String,
    baseline: String,
    point: String,
    metric: &'static str,
    unit: &'static str,
    estimate: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    level: Option<f64>,
    p: Option<f64>,
    p_corrected: Option<f64>,
    tests: Option<usize>,
    standard_error: Option<f64>,
    freedom: Option<f64>,
    seeds: usize,
    items: Option<usize>,
    detectable: Option<f64>,
    seeds_needed: Option<u64>,
    margin: Option<f64>,
    p_equivalence: Option<f64>,
    p_equivalence_corrected: Option<f64>,
    outcome: &'static str,
}

/// The file; `request` is as it is labelled.
pub fn comparisons_csv(answers: &Answers, axes: &[String], request: &ReportRequest) -> String {
    let labels = &request.labels;
    let mut rows: Vec<Row> = answers.compared.par_iter().map(|c| comparison(c, axes, labels)).collect();
    rows.extend(answers.arms.iter().flat_map(|arm| of_arm(arm, request)));
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    // Writing to memory does not fail, and every row has the columns of the header.
    let written = writer
        .write_record(dictionary::columns(COMPARISONS))
        .and_then(|()| rows.iter().try_for_each(|row| writer.serialize(row)));
    debug_assert!(written.is_ok(), "{written:?}");
    writer.into_inner().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// What an estimate rests on, and what it could have found.
struct Power {
    standard_error: Option<f64>,
    freedom: Option<f64>,
    detectable: Option<f64>,
    needed: Option<SeedsNeeded>,
}

impl Power {
    /// Of an estimate with an error of its own, corrected for `tests`.
    fn of(estimate: &Estimate, tests: usize) -> Power {
        let alpha = ALPHA / tests.max(1) as f64;
        let fit = estimate.fit.as_ref();
        Power {
            standard_error: fit.map(|fit| fit.standard_error()),
            freedom: fit.filter(|_| estimate.p.is_some()).map(|fit| fit.freedom(ALPHA)),
            detectable: estimate.detectable(alpha),
            needed: estimate.seeds_needed(alpha),
        }
    }

    /// Of a pair of a ranking, whose error may be that of all pairs.
    fn of_pair(ranking: &Ranking, pair: &Pair, found: (Option<f64>, Option<SeedsNeeded>)) -> Power {
        let (error, fit) = (ranking.error.as_ref(), pair.difference.fit);
        Power {
            standard_error: error.map(AllPairs::standard_error).or(fit.map(|fit| fit.standard_error())),
            freedom: error.map(AllPairs::freedom).or_else(|| fit.map(|fit| fit.freedom(ALPHA))),
            detectable: found.0,
            needed: found.1,
        }
    }
}

/// What every row has of an estimate that is corrected for `tests`.
fn row(metric: Metric, estimate: &Estimate, level: f64, tests: usize, power: Power) -> Row {
    let is_tested = estimate.p.is_some();
    Row {
        metric: metric.name(),
        unit: if metric.is_share() { "share" } else { metric.unit() },
        estimate: estimate.value,
        low: estimate.interval.map(|i| i.low),
        high: estimate.interval.map(|i| i.high),
        level: estimate.interval.map(|_| level),
        p: estimate.p,
        tests: is_tested.then_some(tests),
        standard_error: power.standard_error,
        freedom: power.freedom,
        seeds: estimate.seeds,
        items: (estimate.items > 0).then_some(estimate.items),
        detectable: power.detectable,
        seeds_needed: seeds(power.needed),
        ..Row::default()
    }
}

fn seeds(needed: Option<SeedsNeeded>) -> Option<u64> {
    match needed? {
        SeedsNeeded::Seeds(seeds) => Some(seeds),
        SeedsNeeded::MoreItems => None,
    }
}

fn asked(declared: bool) -> &'static str {
    if declared { "declared" } else { "exploratory" }
}

fn comparison(c: &Compared, axes: &[String], labels: &Labels) -> Row {
    let side = |arm: &str, at: &std::collections::BTreeMap<String, String>| {
        let values = at.iter().map(|(axis, value)| labels.original(axis, value).to_string());
        std::iter::once(labels.original_arm(arm).to_string()).chain(values).collect::<Vec<_>>().join(" · ")
    };
    let cells = axes.iter().zip(&c.point).filter(|(_, value)| !value.is_empty());
    let point: Vec<String> = cells
        .map(|(axis, value)| format!("{} = {}", labels.original_axis(axis), labels.original(axis, value)))
        .collect();
    let equivalence = c.equivalence;
    Row {
        question: "comparison",
        asked: asked(!c.exploratory),
        family: c.declared.family.clone().unwrap_or_default(),
        variant: side(&c.declared.variant, &c.declared.variant_at),
        baseline: side(&c.declared.baseline, &c.declared.baseline_at),
        point: point.join("; "),
        p_corrected: c.p_holm,
        tests: (c.tests > 0).then_some(c.tests),
        margin: equivalence.map(|e| e.margin),
        p_equivalence: equivalence.and_then(|e| e.p),
        p_equivalence_corrected: equivalence.and_then(|e| e.p_holm),
        outcome: c.outcome.name(),
        ..row(c.metric, &c.estimate, LEVEL, c.tests, Power::of(&c.estimate, c.tests))
    }
}

/// What may be said of a contrast of a grid.
fn outcome(metric: Metric, estimate: &Estimate, p: Option<f64>, declared: bool) -> Outcome {
    let value = estimate.value.unwrap_or(0.0);
    match (estimate.value, estimate.seeds, estimate.p) {
        (None, ..) => Outcome::NoAnswer,
        (_, ..2, _) => Outcome::OneSeed,
        (.., None) if value == 0.0 => Outcome::Identical,
        (.., None) => Outcome::NoSpread,
        _ if !declared => Outcome::Exploratory,
        _ if p.is_none_or(|p| p >= ALPHA) => Outcome::Inconclusive,
        _ if (value > 0.0) != metric.lower_is_better() => Outcome::Better,
        _ => Outcome::Worse,
    }
}

fn of_arm(answers: &ArmAnswers, request: &ReportRequest) -> Vec<Row> {
    let (labels, metric) = (&request.labels, answers.metric);
    let arm = labels.original_arm(&answers.arm);
    let family = |axes: &[&str], slope: bool| -> String {
        let is_it = |q: &&AxisQuestion| q.slope == slope && q.is_about(&answers.arm, metric.name(), axes);
        request.questions.iter().find(is_it).and_then(|q| q.family.clone()).unwrap_or_default()
    };
    let mut rows = Vec::new();
    for ranking in &answers.rankings {
        let axis = ranking.factor.name.as_str();
        let name = |level: usize| format!("{arm} · {}", labels.original(axis, &ranking.factor.levels[level]));
        rows.extend(ranking.pairs.iter().zip(ranking.detectable_of_pairs()).map(|(pair, found)| {
            let power = Power::of_pair(ranking, pair, found);
            Row {
                question: "ranking",
                asked: asked(ranking.declared),
                family: family(&[axis], false),
                variant: name(pair.levels[0]),
                baseline: name(pair.levels[1]),
                p_corrected: pair.p_holm,
                outcome: outcome(metric, &pair.difference, pair.p_holm, ranking.declared).name(),
                ..row(metric, &pair.difference, LEVEL, ranking.tests, power)
            }
        }));
    }
    for interaction in &answers.interactions {
        let axes = interaction.axes();
        let of_tetrads = interaction.tetrads.par_iter().map(|tetrad| {
            let [[a, a_0], [b, b_0]] = interaction.names(tetrad);
            let name =
                |a, b| format!("{arm} · {} × {}", labels.original(axes[0], a), labels.original(axes[1], b));
            Row {
                question: "interaction",
                asked: asked(interaction.declared),
                family: family(&axes, false),
                variant: name(a, b),
                baseline: name(a_0, b_0),
                p_corrected: tetrad.p_holm,
                outcome: outcome(metric, &tetrad.estimate, tetrad.p_holm, interaction.declared).name(),
                ..row(
                    metric,
                    &tetrad.estimate,
                    LEVEL,
                    interaction.tests,
                    Power::of(&tetrad.estimate, interaction.tests),
                )
            }
        });
        rows.par_extend(of_tetrads);
    }
    rows.extend(answers.slopes.iter().map(|slope| Row {
        question: "slope",
        asked: asked(slope.declared),
        family: family(&[&slope.factor.name], true),
        variant: format!("{arm} · {}", labels.original_axis(&slope.factor.name)),
        p_corrected: slope.p_holm,
        outcome: outcome(metric, &slope.estimate, slope.p_holm, slope.declared).name(),
        ..row(metric, &slope.estimate, LEVEL, slope.tests, Power::of(&slope.estimate, slope.tests))
    }));
    rows
}
