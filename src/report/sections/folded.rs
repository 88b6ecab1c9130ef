//! A comparison at each of several points: where there are many answers one sentence sums its points up, and those of the points
//! stand folded below; of many points a map of all differences stands for them. The table of comparisons has a row for every
//! point.
use super::{Context, figure};
use crate::questions::At;
use crate::report::Result;
use crate::report::comparisons::{Compared, Outcome};
use crate::report::document::Block;
use crate::report::figures::heat_map::{HeatCell, HeatMap, STAR, Shading, heat_map};
use crate::report::format;
use crate::report::grid::ALPHA;

/// Points of one comparison up to which each has a row in the figure of differences.
const MAX_ROWS: usize = 8;
/// Answers up to which each has its sentence on the first screen.
const MAX_SENTENCES: usize = 8;

/// A comparison as it is told, at one point or at several.
pub(super) struct Told<'c> {
    pub points: &'c [Compared],
    /// Whether a map of the points stands for their rows.
    pub is_mapped: bool,
}

impl Told<'_> {
    /// Whether one sentence stands for several points.
    pub fn is_summed_up(&self) -> bool {
        self.points.len() > 1
    }
}

/// Comparisons as they are told beside `others` more answers: each point by itself, unless there are many.
pub(super) fn told(compared: &[Compared], others: usize) -> Vec<Told<'_>> {
    let is_mapped = |points: &[Compared]| points[0].declared.at == At::Each && points.len() > MAX_ROWS;
    let by_question = || compared.chunk_by(|a, b| a.declared == b.declared);
    let sentences: usize = by_question().map(|points| if is_mapped(points) { 1 } else { points.len() }).sum();
    let are_many = sentences + others > MAX_SENTENCES;
    let mut out = Vec::new();
    for points in by_question() {
        match is_mapped(points) {
            true => out.push(Told { points, is_mapped: true }),
            false if are_many && points[0].declared.at == At::Each => {
                out.push(Told { points, is_mapped: false });
            }
            false => out.extend(points.chunks(1).map(|points| Told { points, is_mapped: false })),
        }
    }
    out
}

/// Which of `axes` differ between the points.
fn varying(points: &[Compared], axes: &[usize]) -> Vec<usize> {
    let axes = axes.iter().copied();
    axes.filter(|axis| points.iter().any(|c| c.point[*axis] != points[0].point[*axis])).collect()
}

/// How many points came to what, the largest decided differences, and what could have been found elsewhere.
fn sentence(points: &[Compared], leading: &[usize], axes: &[String]) -> String {
    let first = &points[0];
    let number = |outcome: Outcome| points.iter().filter(|c| c.outcome == outcome).count();
    let unit = first.metric.unit();
    let equivalent = match points.iter().find_map(|c| c.equivalence) {
        Some(e) => format!("equivalent within {} {unit}", format::magnitude(first.metric, e.margin)),
        None => "equivalent".to_string(),
    };
    let named = [
        (Outcome::Better, "the variant is better", ""),
        (Outcome::Worse, "the variant is worse", ""),
        (Outcome::Equivalent, equivalent.as_str(), ""),
        (Outcome::Inconclusive, "inconclusive", ""),
        (Outcome::Exploratory, "exploratory, without a verdict,", " (asked after there were results)"),
        (Outcome::OneSeed, "no verdict", " (one seed says nothing of another)"),
        (Outcome::NoSpread, "inconclusive", " (the differences do not vary)"),
        (Outcome::Identical, "the same models", ""),
        (Outcome::NoAnswer, "no answer", " (no seed has a finished and scored run of both)"),
    ];
    let counts: Vec<String> = named
        .iter()
        .map(|(outcome, name, note)| (number(*outcome), name, note))
        .filter(|(count, ..)| *count > 0)
        .map(|(count, name, note)| match count == points.len() {
            true => format!("{}{note}", name.trim_end_matches(',')),
            false => format!("{name} at {count}{note}"),
        })
        .collect();
    let tests = points.iter().map(|c| c.tests).max().unwrap_or(0);
    let corrected = if tests > 1 { format!(" (corrected for {tests} tests)") } else { String::new() };
    let show = |x: f64| format::difference(first.metric, x);
    let at = |c: &Compared| -> String {
        let of = |axis: &usize| format!("`{}` = {}", axes[*axis], c.point[*axis]);
        varying(points, leading).iter().map(of).collect::<Vec<_>>().join(", ")
    };
    let value = |c: &Compared| {
        let interval = c
            .interval
            .map_or(String::new(), |i| format!("95 % interval {} to {}", show(i.low), show(i.high)));
        let p = c.p_holm.map_or(String::new(), |p| format!(", Holm-adjusted {}", format::p_equation(p)));
        format!("{} {unit} ({interval}{p}) at {}", c.difference.map_or(String::new(), show), at(c))
    };
    let size = |c: &&Compared| c.difference.map_or(0.0, f64::abs);
    let largest = |outcome: Outcome| {
        points.iter().filter(|c| c.outcome == outcome).max_by(|a, b| size(a).total_cmp(&size(b)))
    };
    let decided: Vec<String> =
        [Outcome::Better, Outcome::Worse].into_iter().filter_map(largest).map(value).collect();
    let strongest = match decided.as_slice() {
        [] => {
            let ends = points.iter().filter_map(|c| c.difference);
            let ends = ends.fold(None, |ends: Option<(f64, f64)>, d| match ends {
                None => Some((d, d)),
                Some((low, high)) => Some((low.min(d), high.max(d))),
            });
            ends.map_or(String::new(), |(low, high)| {
                format!(" Differences are {} {unit}.", range(show(low), show(high)))
            })
        }
        [only] => format!(" The largest significant difference: {only}."),
        each_way => format!(" The largest significant differences, one each way: {}.", each_way.join("; ")),
    };
    let found = points.iter().filter(|c| c.outcome == Outcome::Inconclusive).filter_map(|c| c.detectable);
    let found: Vec<f64> = found.collect();
    let size = |x: f64| match first.metric.is_share() && x > 1.0 {
        // No two shares are further apart.
        true => "more than 100".to_string(),
        false => format::magnitude(first.metric, x),
    };
    let could = match (found.iter().copied().reduce(f64::min), found.iter().copied().reduce(f64::max)) {
        (Some(low), Some(high)) => format!(
            " Where it is inconclusive, these seeds find a true difference of {} {unit} with 80 % probability (level \
             {ALPHA}/{tests}).",
            range(size(low), size(high))
        ),
        _ => String::new(),
    };
    format!(
        "{} at each of {} points: {}{corrected}.{strongest}{could}",
        asked(points),
        points.len(),
        counts.join(", ")
    )
}

/// From one number to another, or the one that both are.
fn range(low: String, high: String) -> String {
    if low == high { low } else { format!("{low} to {high}") }
}

/// Which comparison it is.
fn asked(points: &[Compared]) -> String {
    let first = &points[0];
    format!("`{}` against `{}` on `{}`", first.names[0], first.names[1], first.declared.metric)
}

/// The sentence of each point, to be unfolded.
pub(super) fn sentences(points: &[Compared], preliminary: &str) -> Block {
    let sentence = |c: &Compared| format!("{preliminary}{}", c.verdict);
    Block::Folded(format!("{}, point by point", asked(points)), points.iter().map(sentence).collect())
}

impl Context<'_> {
    pub(super) fn summed_up(&self, points: &[Compared]) -> String {
        sentence(points, &self.leading(), &self.results.axes)
    }

    /// The differences at many points as a map: the axis with most values down, the others across; `None` where that cannot be read.
    pub(super) fn map_of_points(&self, number: usize, points: &[Compared]) -> Result<Option<Block>> {
        let varying = varying(points, &self.leading());
        let values = |axis: usize| -> Vec<&str> {
            let mut values: Vec<&str> = Vec::new();
            for c in points {
                if !values.contains(&c.point[axis].as_str()) {
                    values.push(&c.point[axis]);
                }
            }
            values
        };
        let Some(&down) = varying.iter().rev().max_by_key(|axis| values(**axis).len()) else {
            return Ok(None);
        };
        let across: Vec<usize> = varying.iter().copied().filter(|axis| *axis != down).collect();
        let column = |c: &Compared| -> String {
            across.iter().map(|axis| c.point[*axis].as_str()).collect::<Vec<_>>().join(" · ")
        };
        let mut columns: Vec<String> = Vec::new();
        for c in points {
            if !columns.contains(&column(c)) {
                columns.push(column(c));
            }
        }
        let first = &points[0];
        let show = |x: f64| format::difference(first.metric, x);
        let cell = |row: &&str, name: &String| -> HeatCell {
            let found = points.iter().find(|c| c.point[down] == **row && column(c) == *name);
            let Some(c) = found else { return HeatCell::default() };
            let decided = matches!(c.outcome, Outcome::Better | Outcome::Worse);
            HeatCell {
                value: c.difference,
                text: c
                    .difference
                    .map_or(String::new(), |d| format!("{}{}", if decided { STAR } else { "" }, show(d))),
                interval: c
                    .interval
                    .map_or(String::new(), |i| format!("{} to {}", show(i.low), show(i.high))),
            }
        };
        let rows = values(down);
        let map = HeatMap {
            row_name: self.results.axes[down].clone(),
            column_name: across
                .iter()
                .map(|axis| self.results.axes[*axis].as_str())
                .collect::<Vec<_>>()
                .join(" · "),
            rows: rows.iter().map(|row| row.to_string()).collect(),
            cells: rows.iter().map(|row| columns.iter().map(|name| cell(row, name)).collect()).collect(),
            columns,
            lower_is_better: first.metric.lower_is_better(),
            shading: Shading::AroundZero,
        };
        let caption = format!(
            "`{}` minus `{}` on `{}` ({}) at every point, with 95 % intervals. Blue: the variant is better, orange: the baseline; ★: \
             significant after correction.",
            first.names[0],
            first.names[1],
            first.metric.name(),
            first.metric.unit()
        );
        let name = format!("differences-{number}");
        figure(&name, &caption, |sheet| heat_map(sheet, &name, &map))
    }
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn a_range_of_one_number_is_that_number() {
        assert_eq!(range("0.471".into(), "0.471".into()), "0.471");
        assert_eq!(range("1.3".into(), "6.2".into()), "1.3 to 6.2");
    }
}
