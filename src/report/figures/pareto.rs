//! Quality against what it costs: parameters, FLOPs, time to read and to write. The dashed line joins the models that no
//! other model beats on both axes.
use super::axes::Domain;
use super::canvas::{Point, Sheet};
use super::chart::{Chart, Labels, Line, Panel, draw};
use super::encoding::encode;
use super::interaction::Measured;
use crate::report::Result;
use crate::report::groups::Group;

/// One cost of every model; `None` where it was not measured.
pub struct Cost {
    pub title: String,
    pub values: Vec<Option<f64>>,
}

/// Draws a panel for each of `costs` that differs between models; `None` where none does. Less of a cost is better.
pub fn pareto_figure(
    sheet: Sheet,
    groups: &[Group],
    axes: &[String],
    (title, quality, lower_is_better): (&str, &[Option<Measured>], bool),
    costs: &[Cost],
) -> Result<Option<String>> {
    let encoding = encode(&groups.iter().collect::<Vec<_>>(), axes);
    let y = Domain::of(
        quality.iter().flatten().flat_map(|(value, i)| {
            let (low, high) = i.unwrap_or((*value, *value));
            [*value, low, high]
        }),
        0.06,
    );
    let panel = |cost: &Cost| -> Option<Panel> {
        let mut lines = Vec::new();
        for (i, (value, interval)) in quality.iter().enumerate().filter_map(|(i, q)| Some((i, (*q)?))) {
            let Some(x) = cost.values[i].filter(|x| x.is_finite() && *x > 0.0) else { continue };
            let colour = encoding.places[i].0;
            lines.push(Line {
                label: encoding.colours[colour].clone(),
                colour,
                mean: vec![(x, value)],
                strokes: interval.map(|(low, high)| (x, low, high)).into_iter().collect(),
                dots: true,
                ..Line::default()
            });
        }
        let points: Vec<Point> = lines.iter().map(|line| line.mean[0]).collect();
        let ends = Domain::of(points.iter().map(|p| p.0), 0.0);
        if points.len() < 2 || points.iter().all(|p| p.0 == points[0].0) {
            return None;
        }
        let x = Domain { low: ends.low / 1.12, high: ends.high * 1.12, log: true };
        let mut panel = Panel::new(cost.title.clone(), x, y, lines);
        panel.guide = frontier(&points, lower_is_better);
        Some(panel)
    };
    let panels: Vec<Panel> = costs.iter().filter_map(panel).collect();
    if panels.is_empty() {
        return Ok(None);
    }
    let titles = ["cost (logarithmic)".to_string(), title.to_string()];
    let labels = Labels::Legend(encoding.factor);
    draw(sheet, "pareto", &Chart { titles, panels, labels }).map(Some)
}

/// The points that no other one beats on both axes, joined by steps.
fn frontier(points: &[Point], lower_is_better: bool) -> Vec<Point> {
    let goodness = |p: &Point| if lower_is_better { -p.1 } else { p.1 };
    let mut order = points.to_vec();
    order.sort_by(|a, b| a.0.total_cmp(&b.0).then(goodness(b).total_cmp(&goodness(a))));
    let mut steps: Vec<Point> = Vec::new();
    for point in order {
        match steps.last() {
            Some(last) if goodness(last) >= goodness(&point) => {}
            Some(&(_, y)) => steps.extend([(point.0, y), point]),
            None => steps.push(point),
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frontier_leaves_out_what_is_beaten_in_both() {
        let points = [(1.0, 40.0), (2.0, 35.0), (3.0, 50.0), (3.0, 45.0)];
        assert_eq!(frontier(&points, false), [(1.0, 40.0), (3.0, 40.0), (3.0, 50.0)]);
        assert_eq!(frontier(&points, true), [(1.0, 40.0), (2.0, 40.0), (2.0, 35.0)]);
    }
}
