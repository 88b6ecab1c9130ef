//! The configurations of an experiment as rows: usual metrics, means over seeds.
use super::{Row, TASKS};
use crate::record::Results;
use crate::record::scores::COMMON_SENSE;
use crate::report::answers::Answers;
use crate::report::comparisons::Outcome;
use crate::report::format;
use crate::report::groups::{Group, groups, mean_over};
use crate::report::metric::Metric;
use crate::report::request::ReportRequest;
use crate::report::scores::Scores;

/// The rows of `results` (names as they are printed) and, for those with a mark, what it says.
pub fn rows(results: &Results, request: &ReportRequest) -> (Vec<Row>, Vec<String>) {
    let (scores, groups) = (Scores::new(results), groups(results));
    let mut notes = Vec::new();
    let mut better: Vec<(String, Vec<String>)> = Vec::new();
    for c in Answers::of(results, &scores, &groups, request).compared {
        let (Some(difference), Some(p)) = (c.difference, c.p_holm) else { continue };
        if c.outcome == Outcome::Better {
            let point: Vec<&str> = c.point.iter().map(String::as_str).filter(|v| !v.is_empty()).collect();
            let at = if point.is_empty() { String::new() } else { format!(" ({})", point.join(" · ")) };
            notes.push(format!(
                "`{}`{at} is better than `{}` on `{}` by {} {}, Holm-adjusted {}.",
                c.names[0],
                c.names[1],
                c.metric.name(),
                format::difference(c.metric, difference.abs()).trim_start_matches('+'),
                c.metric.unit(),
                format::p_equation(p)
            ));
            better.push((c.declared.variant.clone(), c.point.clone()));
        }
    }
    let rows = groups.iter().filter(|group| !group.runs.is_empty()).filter_map(|group| {
        let marked = better.iter().any(|(arm, point)| *arm == group.arm && reaches(&group.point, point));
        row(results, &scores, (group, name(group, request)), marked)
    });
    (rows.collect(), notes)
}

/// Whether a group at `own` is what was compared at `point`: a cell that it does not depend on is empty.
fn reaches(own: &[String], point: &[String]) -> bool {
    own.iter().zip(point).all(|(own, other)| own.is_empty() || own == other)
}

/// What a reader calls the group: its label, and where the experiment names none, the arm in words instead of a key.
fn name(group: &Group, request: &ReportRequest) -> String {
    let is_label = request.labels.arms.values().any(|label| *label == group.arm);
    let arm = if is_label { group.arm.clone() } else { group.arm.replace('_', " ") };
    let values = group.point.iter().filter(|value| !value.is_empty()).cloned();
    std::iter::once(arm).chain(values).collect::<Vec<_>>().join(" · ")
}

/// `None` where none of the tasks was scored.
fn row(results: &Results, scores: &Scores, (group, model): (&Group, String), marked: bool) -> Option<Row> {
    let of = |run: usize| &results.runs[run].totals;
    let mut row = Row {
        model,
        params: mean_over(&group.runs, |run| of(run).params.map(|x| x as f64)),
        tokens: mean_over(&group.runs, |run| of(run).total_tokens.map(|x| x as f64)),
        seeds: group.runs.len(),
        marked,
        ..Row::default()
    };
    for task in TASKS {
        let (name, metric) = match task {
            "mmlu" => ("mmlu_continuation", Metric::Acc),
            task => (task, Metric::AverageUsual),
        };
        if let Some(mean) = scores.mean(group, name, metric) {
            row.scores.insert(task.to_string(), 100.0 * mean);
        }
    }
    let average = scores.cell(group, &COMMON_SENSE, Metric::AverageUsual);
    row.average = average.mean.map(|mean| 100.0 * mean);
    row.interval = average.interval.map(|i| (100.0 * i.low, 100.0 * i.high));
    (!row.scores.is_empty()).then_some(row)
}
