//! Curves against tokens and FLOPs: thin lines are seeds, the thick one is their mean.
use super::axes::Domain;
use super::canvas::{NUM_COLOURS, Point};
use super::chart::{Drawing, Labels, Line, MAX_PANELS, Panel};
use super::encoding::{Encoding, encode};
use super::series::{mean_by_step, smoothed};
use crate::record::{CurvePoint, Results};
use crate::report::groups::{Group, by_run};
use crate::stats::descriptive::quantile;
use std::collections::BTreeMap;

/// What of `curves.csv` is drawn, and how.
pub struct Curve {
    pub name: &'static str,
    pub titles: [&'static str; 2],
    pub scale: CurveScale,
    pub point: fn(&CurvePoint) -> Option<Point>,
}

/// The scale of a curve's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CurveScale {
    /// From 0.
    FromZero,
    /// A loss that changes from batch to batch: smoothed, and drawn so that the ends can be told apart.
    NoisyLoss,
    /// A loss on one and the same text.
    Loss,
}

/// `curve` of all groups; `None` where no run has one.
pub fn curve_figure(results: &Results, groups: &[Group], curve: &Curve) -> Option<Drawing> {
    // Of all groups, so that a configuration has one colour in all figures.
    let encoding = encode(&groups.iter().collect::<Vec<_>>(), &results.axes);
    let mut panels: Vec<(String, Vec<Line>)> =
        encoding.panels.iter().map(|title| (title.clone(), Vec::new())).collect();
    let points = by_run(&results.curves);
    for (group, (colour, panel)) in groups.iter().zip(&encoding.places) {
        if let Some(mut line) = line_of(&points, group, curve) {
            line.label.clone_from(&encoding.colours[*colour]);
            line.colour = *colour;
            panels[*panel].1.push(line);
        }
    }
    panels.retain(|(_, lines)| !lines.is_empty());
    if panels.is_empty() {
        return None;
    }
    let all = panels.len();
    panels.truncate(MAX_PANELS);
    let omitted = all - panels.len();
    let alone = all == 1;
    let panels =
        if curve.scale == CurveScale::FromZero { from_zero(panels) } else { losses(panels, curve.scale) };
    let labels = labels(&encoding, alone);
    let drawing = Drawing::new(curve.titles.map(String::from), panels, labels)?;
    Some(Drawing { omitted, ..drawing })
}

/// How the lines of `encoding` are named; `alone`: in one panel, or in one with an enlarged end beside it.
pub fn labels(encoding: &Encoding, alone: bool) -> Labels {
    match alone {
        _ if encoding.colours.len() > NUM_COLOURS => Labels::AtEveryEnd,
        true => Labels::AtEnds,
        false => Labels::Legend(encoding.factor.clone()),
    }
}

fn line_of(points: &BTreeMap<usize, Vec<&CurvePoint>>, group: &Group, curve: &Curve) -> Option<Line> {
    let of_run = |run: &usize| {
        let rows = points.get(run).into_iter().flatten();
        rows.filter_map(|row| Some((row.step, (curve.point)(row)?))).collect::<Vec<_>>()
    };
    let seeds: Vec<Vec<(u64, Point)>> = group.runs.iter().map(of_run).filter(|c| c.len() > 1).collect();
    if seeds.is_empty() {
        return None;
    }
    let shape = |x: Vec<Point>| if curve.scale == CurveScale::NoisyLoss { smoothed(&x) } else { x };
    let mean = shape(mean_by_step(&seeds));
    let plain = seeds.into_iter().map(|s| shape(s.into_iter().map(|(_, p)| p).collect()));
    Some(Line { seeds: plain.collect(), mean, ..Line::default() })
}

fn points(panels: &[(String, Vec<Line>)]) -> impl Iterator<Item = Point> {
    panels.iter().flat_map(|(_, lines)| lines.iter().flat_map(|line| line.seeds.iter().flatten().copied()))
}

fn from_zero(panels: Vec<(String, Vec<Line>)>) -> Vec<Panel> {
    let x = Domain::of(points(&panels).map(|p| p.0).chain([0.0]), 0.0);
    let high = 1.05 * points(&panels).map(|p| p.1).fold(0.0, f64::max);
    let y = Domain { low: 0.0, high: high.max(1e-3), log: false };
    panels.into_iter().map(|(title, lines)| Panel::new(title, x, y, lines)).collect()
}

/// One panel becomes two, the whole run and the last quarter of each line's own; of several each shows the second half of
/// each run. All on scales of their own, on which the ends can be told apart.
fn losses(panels: Vec<(String, Vec<Line>)>, scale: CurveScale) -> Vec<Panel> {
    if panels.len() > 1 {
        return panels.into_iter().map(|(title, lines)| second_half(title, &lines)).collect();
    }
    let last = points(&panels).map(|p| p.0).fold(0.0, f64::max);
    let values: Vec<f64> = points(&panels).map(|p| p.1).collect();
    let lines = panels.into_iter().next().map(|(_, lines)| lines).unwrap_or_default();
    let late: Vec<Line> = lines.iter().map(last_quarter).collect();
    // The first steps of training are far above all others: cut, so that the rest can be told apart.
    let share = if scale == CurveScale::NoisyLoss { 0.93 } else { 1.0 };
    let high = quantile(&values, share).unwrap_or(1.0);
    let y = Domain::of(values.iter().map(|v| v.min(high)), 0.04);
    let whole = Panel::new("the whole run", Domain { low: 0.0, high: last, log: false }, y, lines);
    let x = Domain { low: 75.0, high: 100.0, log: false };
    let end = Panel::new("the last quarter of each run", x, late_values(&late), late);
    vec![whole, Panel { axis: Some("% of the run".to_string()), ..end }]
}

/// A scale of the values of `lines`; a single diverged seed must not flatten all others.
fn late_values(lines: &[Line]) -> Domain {
    let values: Vec<f64> = lines.iter().flat_map(|line| line.seeds.iter().flatten().map(|p| p.1)).collect();
    let high = quantile(&values, 0.99).unwrap_or(1.0);
    Domain::of(values.into_iter().map(|v| v.min(high)), 0.05)
}

/// Its last quarter, x in per cent of its own length.
fn last_quarter(line: &Line) -> Line {
    let end = line.seeds.iter().flatten().map(|p| p.0).fold(0.0, f64::max);
    let late = |points: &Vec<Point>| -> Vec<Point> {
        points.iter().map(|p| (100.0 * p.0 / end, p.1)).filter(|p| p.0 >= 75.0).collect()
    };
    Line { seeds: line.seeds.iter().map(late).collect(), mean: late(&line.mean), ..line.clone() }
}

/// How many times as long as the shortest run of a panel the longest may be on a plain axis.
const LENGTHS: f64 = 4.0;
/// How many times as high as the lowest value of a panel the highest may be on a plain axis.
const SPREAD: f64 = 2.0;

fn second_half(title: String, lines: &[Line]) -> Panel {
    let end = |line: &Line| line.mean.last().map_or(0.0, |p| p.0);
    let late = |points: &Vec<Point>, since: f64| -> Vec<Point> {
        points.iter().copied().filter(|p| p.0 >= since).collect()
    };
    let cut = |line: &Line| {
        let since = 0.5 * end(line);
        let seeds = line.seeds.iter().map(|seed| late(seed, since)).collect();
        Line { seeds, mean: late(&line.mean, since), ..line.clone() }
    };
    let ends = || lines.iter().map(end);
    let (shortest, longest) = (ends().fold(f64::INFINITY, f64::min), ends().fold(0.0, f64::max));
    let lines: Vec<Line> = lines.iter().map(cut).collect();
    let x = Domain::of(lines.iter().flat_map(|line| line.seeds.iter().flatten().map(|p| p.0)), 0.0);
    // Halves of short runs beside those of long ones would be a stroke at the edge.
    let x = if longest > LENGTHS * shortest { x.logarithmic() } else { x };
    let y = late_values(&lines);
    // A run that begins anew stands far above those that go on: on a plain axis it would press them into one stroke.
    let y = if y.high > SPREAD * y.low { y.logarithmic() } else { y };
    Panel::new(title, x, y, lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::figures::canvas::Sheet;
    use crate::report::figures::chart::{Chart, draw};

    /// Of several panels each shows the second half of every run; short runs beside long ones keep a part of the axis.
    #[test]
    fn short_runs_beside_long_ones_can_be_seen() {
        let line = |end: f64| {
            let points: Vec<Point> = (0..=100).map(|i| (end * f64::from(i) / 100.0, 1.0)).collect();
            Line { seeds: vec![points.clone()], mean: points, ..Line::default() }
        };
        let panel = second_half(String::new(), &[line(50.0), line(1000.0)]);
        let begins = |line: &Line| (line.mean[0].0, line.seeds[0][0].0);
        assert_eq!(panel.lines.iter().map(begins).collect::<Vec<_>>(), [(25.0, 25.0), (500.0, 500.0)]);
        let scale = panel.x.scale(0.0, 1.0);
        assert!(scale.pixel(50.0) - scale.pixel(25.0) > 0.15, "{}", scale.pixel(50.0));
        assert!(!second_half(String::new(), &[line(500.0), line(1000.0)]).x.log);
    }

    #[test]
    fn a_run_far_above_the_others_does_not_flatten_them() {
        let line = |level: f64| {
            let points: Vec<Point> = (0..=100).map(|i| (f64::from(i), level)).collect();
            Line { seeds: vec![points.clone()], mean: points, ..Line::default() }
        };
        let panel = second_half(String::new(), &[line(1.0), line(1.1), line(4.0)]);
        let scale = panel.y.scale(0.0, 1.0);
        assert!(panel.y.log && scale.pixel(1.1) - scale.pixel(1.0) > 0.06, "{:?}", panel.y);
        assert!(!second_half(String::new(), &[line(1.0), line(1.1)]).y.log);
    }

    /// Ends that lie on one another beside the whole run are far apart in the panel of the ends, however long the runs are.
    #[test]
    fn the_ends_of_losses_can_be_told_apart() {
        let line = |end: f64, last: f64| {
            let points: Vec<Point> = (0..=100)
                .map(|i| (end * f64::from(i) / 100.0, last + 5.0 * (-0.1 * f64::from(i)).exp()))
                .collect();
            Line { seeds: vec![points.clone()], mean: points, ..Line::default() }
        };
        let panels =
            losses(vec![(String::new(), vec![line(100.0, 1.0), line(400.0, 1.02)])], CurveScale::NoisyLoss);
        let apart = |panel: &Panel| {
            let ends: Vec<Point> = panel.lines.iter().map(|line| *line.mean.last().unwrap()).collect();
            (ends[1].1 - ends[0].1) / (panel.y.high - panel.y.low)
        };
        assert_eq!(panels.len(), 2);
        let titles = ["tokens", "loss"].map(String::from);
        let chart = Chart { titles, panels: panels.clone(), labels: Labels::AtEnds };
        for sheet in [Sheet::WIDE, Sheet::NARROW] {
            let svg = draw(sheet, "x", &chart).unwrap();
            let place = |text: &str| -> (f64, f64) {
                let (before, _) = svg.split_once(&format!("\n{text}\n")).unwrap();
                let element = &before[before.rfind("<text").unwrap()..];
                let of = |key: &str| {
                    let value = element.split(&format!(" {key}=\"")).nth(1).unwrap();
                    value.split('"').next().unwrap().parse().unwrap()
                };
                (of("x"), of("y"))
            };
            // Each panel says what its own axis is, below it.
            let ([whole, tokens], [end, share]) = (
                ["the whole run", "tokens"].map(place),
                ["the last quarter of each run", "% of the run"].map(place),
            );
            assert!(tokens.0 > whole.0 && share.0 > end.0 && tokens.1 > whole.1 && share.1 > end.1);
            assert!(
                if sheet.is_narrow() { tokens.1 < end.1 } else { tokens.0 < end.0 },
                "{tokens:?} {end:?}"
            );
        }
        assert!(panels[1].lines.iter().all(|line| line.mean.last().unwrap().0 == 100.0));
        assert!(
            apart(&panels[0]) < 0.05 && apart(&panels[1]) > 0.3,
            "{} {}",
            apart(&panels[0]),
            apart(&panels[1])
        );
    }
}
