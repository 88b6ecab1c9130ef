//! `tidy.csv`: every number that was measured as a row of its own, with all that a table or a plot needs beside it.
//!
//! What differs from one run of a plan to the next (times, memory, latency) is not here, so that the file is the same to the byte.
use super::dictionary::{EVALS, RUNS, unit};
use super::rows::RunRecord;
use super::scores::EvalScore;
use serde::Serialize;

/// A row after run, arm, seed and axes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct TidyRow<'a> {
    task: &'a str,
    metric: &'static str,
    value: f64,
    unit: &'static str,
    low: Option<f64>,
    high: Option<f64>,
    items: Option<u64>,
    params: Option<u64>,
    tokens: Option<u64>,
    total_tokens: Option<u64>,
    flops: Option<f64>,
    total_flops: Option<f64>,
}

/// Name of a metric, its value, and the ends of its interval.
type Measured = (&'static str, Option<f64>, Option<f64>, Option<f64>);

/// The rows of a run: tasks first, each with its metrics in the order of `evals.csv`.
pub(super) fn rows(record: &RunRecord) -> Vec<TidyRow<'_>> {
    let totals = &record.totals;
    let row = |file, task, items, (metric, value, low, high): Measured| {
        let value = value.filter(|value| value.is_finite())?;
        Some(TidyRow {
            task,
            metric,
            value,
            unit: unit(file, metric),
            low,
            high,
            items,
            params: totals.params,
            tokens: totals.tokens,
            total_tokens: totals.total_tokens,
            flops: totals.flops,
            total_flops: totals.total_flops,
        })
    };
    let of_task = |score: &EvalScore| -> [Measured; 8] {
        [
            ("acc", score.acc, score.acc_low, score.acc_high),
            ("acc_norm", score.acc_norm, score.acc_norm_low, score.acc_norm_high),
            (
                "gold_probability",
                score.gold_probability,
                score.gold_probability_low,
                score.gold_probability_high,
            ),
            (
                "gold_probability_norm",
                score.gold_probability_norm,
                score.gold_probability_norm_low,
                score.gold_probability_norm_high,
            ),
            ("gold_nll", score.gold_nll, score.gold_nll_low, score.gold_nll_high),
            ("margin", score.margin, score.margin_low, score.margin_high),
            ("choice_log_loss", score.choice_log_loss, score.choice_log_loss_low, score.choice_log_loss_high),
            ("agreement", score.agreement, score.agreement_low, score.agreement_high),
        ]
    };
    let of_run: [Measured; 6] = [
        ("train_loss", totals.train_loss, None, None),
        ("valid_loss", totals.valid_loss, None, None),
        ("bits_per_byte", totals.bits_per_byte, None, None),
        ("kl_to_source", totals.kl_to_source, totals.kl_to_source_low, totals.kl_to_source_high),
        ("average_acc", totals.average_acc, None, None),
        ("average_usual", totals.average_usual, None, None),
    ];
    let tasks = record.evals.iter().flat_map(|score| {
        of_task(score).into_iter().map(move |measured| (score.task.as_str(), Some(score.num_items), measured))
    });
    let mut found: Vec<TidyRow<'_>> =
        tasks.filter_map(|(task, items, measured)| row(EVALS, task, items, measured)).collect();
    found.extend(of_run.into_iter().filter_map(|measured| row(RUNS, "", None, measured)));
    found
}
