//! Curves against tokens and FLOPs: thin lines are seeds, the thick one is their mean.
use super::axes::{Frame, Scale};
use super::canvas::{Anchor, Canvas, INK, Point, WIDTH, colour, figure, legend};
use crate::record::{CandidateRow, CurvePoint, Keyed, Results};
use crate::report::Result;
use crate::report::groups::Group;
use crate::stats::descriptive::quantile;
use plotters::style::RGBColor;
use std::collections::BTreeMap;

/// Panels of one small-multiples figure at most.
pub const MOST_PANELS: usize = 6;
/// Steps of a smoothed line.
const SMOOTHED_POINTS: usize = 80;
/// Types of groups that every figure of them names.
pub const TYPES: [&str; 3] = ["ffn", "head", "stem"];
/// And those that a figure names where a run prunes them.
pub const OTHER_TYPES: [&str; 2] = ["head_dim", "layer"];

/// The types that figures and tables of `results` tell apart.
pub fn group_types(results: &Results) -> Vec<&'static str> {
    let pruned = |name: &&str| results.candidates.iter().any(|k| k.row.group_type == **name);
    TYPES.into_iter().chain(OTHER_TYPES.into_iter().filter(pruned)).collect()
}

/// One labelled line with its replicates.
struct Series {
    label: String,
    colour: RGBColor,
    seeds: Vec<Vec<Point>>,
    mean: Vec<Point>,
}

/// Colour of each group: its own where eight suffice, else its arm's.
pub fn group_colour(groups: &[Group], index: usize) -> RGBColor {
    if groups.len() <= 8 {
        return colour(index);
    }
    let mut arms: Vec<&str> = Vec::new();
    for g in groups {
        if !arms.contains(&g.arm.as_str()) {
            arms.push(&g.arm);
        }
    }
    colour(arms.iter().position(|a| *a == groups[index].arm).unwrap_or(0))
}

/// A figure of one value of `curves.csv` for all groups; `None` where no run has a curve of it.
pub fn curve_figure(
    results: &Results,
    groups: &[Group],
    name: &str,
    titles: (&str, &str),
    smooth: bool,
    point: fn(&CurvePoint) -> Option<Point>,
) -> Result<Option<String>> {
    let mut all = Vec::new();
    for (i, group) in groups.iter().enumerate() {
        let seeds: Vec<Vec<(u64, Point)>> = group
            .runs
            .iter()
            .map(|run| {
                let rows = results.curves.iter().filter(|k| k.run == *run);
                rows.filter_map(|k| Some((k.row.step, point(&k.row)?))).collect::<Vec<_>>()
            })
            .filter(|c| c.len() > 1)
            .collect();
        if seeds.is_empty() {
            continue;
        }
        let mean = mean_by_step(&seeds);
        let plain = seeds.into_iter().map(|s| s.into_iter().map(|(_, p)| p).collect::<Vec<_>>());
        let shape = |x: Vec<Point>| if smooth { smoothed(&x) } else { x };
        all.push(Series {
            label: group.label.clone(),
            colour: group_colour(groups, i),
            seeds: plain.map(shape).collect(),
            mean: shape(mean),
        });
    }
    if all.is_empty() {
        return Ok(None);
    }
    let points: Vec<Point> = all.iter().flat_map(|s| s.seeds.iter().flatten().copied()).collect();
    let height = 400f64.max(60.0 + 20.0 * all.len() as f64);
    figure(name, height, |canvas| {
        let (left, right, top, bottom) = (75.0, WIDTH - 275.0, 18.0, height - 55.0);
        let x = Scale::linear(0.0, largest(&points, |p| p.0), left, right);
        let values: Vec<f64> = points.iter().map(|p| p.1).collect();
        let y = if smooth {
            // The first steps of training are far above all others: cut, so that the rest can be told apart.
            let (low, high) = (
                values.iter().copied().fold(f64::INFINITY, f64::min),
                quantile(&values, 0.93).unwrap_or(1.0),
            );
            let room = 0.04 * (high - low);
            Scale::linear(low - room, high + room, bottom, top)
        } else {
            Scale::linear(0.0, 1.05 * largest(&points, |p| p.1), bottom, top)
        };
        let frame = Frame { x, y };
        frame.draw(canvas, titles.0, titles.1)?;
        draw_series(canvas, &frame, &all)?;
        let entries: Vec<(String, RGBColor)> = all.iter().map(|s| (s.label.clone(), s.colour)).collect();
        legend(canvas, (right + 22.0, top + 8.0), &entries)
    })
    .map(Some)
}

fn draw_series(canvas: &Canvas, frame: &Frame, all: &[Series]) -> Result<()> {
    for s in all {
        s.seeds.iter().try_for_each(|seed| frame.series(canvas, seed, s.colour, 1.0, 0.35))?;
    }
    all.iter().try_for_each(|s| frame.series(canvas, &s.mean, s.colour, 2.4, 1.0))
}

/// A figure of one value per group type of `candidates.csv`, a panel for each group that prunes step by step.
///
/// Returns the SVG and how many groups had no panel left; `None` where nothing was pruned in steps.
pub fn prune_figure(
    results: &Results,
    groups: &[Group],
    name: &str,
    y_title: &str,
    log: bool,
    value: fn(&CandidateRow) -> Option<f64>,
) -> Result<Option<(String, usize)>> {
    let types = group_types(results);
    let tokens: BTreeMap<(usize, u64), u64> =
        results.prune.iter().map(|k| ((k.run, k.row.event), k.row.tokens_seen)).collect();
    let mut panels: Vec<(&str, Vec<Series>)> = Vec::new();
    for group in groups {
        let mut lines = Vec::new();
        for (i, group_type) in types.iter().enumerate() {
            let seeds: Vec<Vec<Point>> = group
                .runs
                .iter()
                .map(|run| {
                    let of_run = |k: &&Keyed<CandidateRow>| k.run == *run && k.row.group_type == *group_type;
                    let rows = results.candidates.iter().filter(of_run);
                    let at = |e: &CandidateRow| Some((*tokens.get(&(*run, e.event))? as f64, value(e)?));
                    last_per_token(rows.filter_map(|k| at(&k.row)).filter(|p| !log || p.1 > 0.0))
                })
                .filter(|c| c.len() > 1)
                .collect();
            if !seeds.is_empty() {
                let mean = mean_of_steps(&seeds);
                // A share stands still between events; a saliency is only sampled at them.
                let shape = |x: Vec<Point>| if log { x } else { stairs(&x) };
                let (seeds, mean) = (seeds.into_iter().map(shape).collect(), shape(mean));
                lines.push(Series { label: group_type.to_string(), colour: colour(i), seeds, mean });
            }
        }
        if !lines.is_empty() {
            panels.push((&group.label, lines));
        }
    }
    if panels.is_empty() {
        return Ok(None);
    }
    let left_out = panels.len().saturating_sub(MOST_PANELS);
    panels.truncate(MOST_PANELS);
    let points: Vec<Point> =
        panels.iter().flat_map(|(_, l)| l.iter().flat_map(|s| s.seeds.iter().flatten().copied())).collect();
    let columns = panels.len().min(2);
    let rows = panels.len().div_ceil(columns);
    let (panel_height, legend_room) = (if columns == 1 { 360.0 } else { 280.0 }, 90.0);
    let panel_width = (WIDTH - legend_room) / columns as f64;
    let svg = figure(name, panel_height * rows as f64, |canvas| {
        for (i, (label, lines)) in panels.iter().enumerate() {
            let (x0, y0) = (panel_width * (i % columns) as f64, panel_height * (i / columns) as f64);
            let (left, right, top, bottom) =
                (x0 + 78.0, x0 + panel_width - 12.0, y0 + 34.0, y0 + panel_height - 52.0);
            let (low, high) =
                (points.iter().map(|p| p.1).fold(f64::INFINITY, f64::min), largest(&points, |p| p.1));
            let frame = Frame {
                x: Scale::linear(0.0, largest(&points, |p| p.0), left, right),
                y: if log {
                    Scale::logarithmic(low, high, bottom, top)
                } else {
                    Scale::linear(0.0, (1.05 * high).max(1e-3), bottom, top)
                },
            };
            frame.draw(canvas, "tokens trained on by the run", y_title)?;
            canvas.text(label, (left, y0 + 16.0), 13.0, INK, Anchor::Left)?;
            draw_series(canvas, &frame, lines)?;
        }
        let entries: Vec<(String, RGBColor)> =
            types.iter().enumerate().map(|(i, t)| (t.to_string(), colour(i))).collect();
        legend(canvas, (WIDTH - legend_room + 8.0, 42.0), &entries)
    })?;
    Ok(Some((svg, left_out)))
}

fn largest(points: &[Point], pick: fn(&Point) -> f64) -> f64 {
    points.iter().map(pick).fold(0.0, f64::max)
}

/// Mean over seeds at the steps that all of them have.
fn mean_by_step(seeds: &[Vec<(u64, Point)>]) -> Vec<Point> {
    let mut sums: std::collections::BTreeMap<u64, (usize, f64, f64)> = Default::default();
    for (step, (x, y)) in seeds.iter().flatten() {
        let sum = sums.entry(*step).or_default();
        *sum = (sum.0 + 1, sum.1 + x, sum.2 + y);
    }
    let n = seeds.len() as f64;
    sums.values().filter(|s| s.0 == seeds.len()).map(|s| (s.1 / n, s.2 / n)).collect()
}

/// The last value of each x: several events of one step are one point.
fn last_per_token(points: impl Iterator<Item = Point>) -> Vec<Point> {
    let mut out: Vec<Point> = Vec::new();
    for p in points {
        match out.last_mut() {
            Some(last) if last.0 == p.0 => *last = p,
            _ => out.push(p),
        }
    }
    out
}

/// Mean over seeds of what each last had, at every x that any has, between the latest start and the earliest end.
fn mean_of_steps(seeds: &[Vec<Point>]) -> Vec<Point> {
    let start = seeds.iter().filter_map(|s| s.first()).map(|p| p.0).fold(0.0, f64::max);
    let end = seeds.iter().filter_map(|s| s.last()).map(|p| p.0).fold(f64::INFINITY, f64::min);
    let mut xs: Vec<f64> =
        seeds.iter().flatten().map(|p| p.0).filter(|x| (start..=end).contains(x)).collect();
    xs.sort_by(f64::total_cmp);
    xs.dedup();
    let at = |seed: &Vec<Point>, x: f64| seed[seed.partition_point(|p| p.0 <= x).max(1) - 1].1;
    xs.into_iter().map(|x| (x, seeds.iter().map(|s| at(s, x)).sum::<f64>() / seeds.len() as f64)).collect()
}

/// The same values as a staircase: each holds until the next.
fn stairs(points: &[Point]) -> Vec<Point> {
    let mut out: Vec<Point> = Vec::with_capacity(2 * points.len());
    for &(x, y) in points {
        if let Some(&(_, before)) = out.last() {
            out.push((x, before));
        }
        out.push((x, y));
    }
    out
}

/// Means of equal runs of points.
fn smoothed(points: &[Point]) -> Vec<Point> {
    let size = points.len().div_ceil(SMOOTHED_POINTS).max(1);
    let mean = |c: &[Point]| {
        let n = c.len() as f64;
        (c.iter().map(|p| p.0).sum::<f64>() / n, c.iter().map(|p| p.1).sum::<f64>() / n)
    };
    points.chunks(size).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_carry_the_last_value_forward() {
        let a = vec![(0.0, 0.0), (2.0, 1.0), (4.0, 1.0)];
        let b = vec![(0.0, 1.0), (3.0, 3.0), (4.0, 3.0)];
        assert_eq!(mean_of_steps(&[a, b]), vec![(0.0, 0.5), (2.0, 1.0), (3.0, 2.0), (4.0, 2.0)]);
        assert_eq!(
            last_per_token([(1.0, 1.0), (1.0, 2.0), (2.0, 3.0)].into_iter()),
            vec![(1.0, 2.0), (2.0, 3.0)]
        );
    }
}
