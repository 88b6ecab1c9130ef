//! Quality against what it costs: parameters, FLOPs, time to read and to write. The dashed line joins the models that no
//! other model beats on both axes.
use super::axes::Domain;
use super::canvas::{NUM_COLOURS, Point};
use super::chart::{Drawing, Labels, Line, Panel};
use super::encoding::encode;
use super::interaction::Measured;
use crate::report::groups::Group;

/// Panels up to which there is one for another cost.
const COSTS_PANELS: usize = 12;

/// A cost of which the largest is not this many times the smallest is one and the same on every axis.
const LEAST_RATIO: f64 = 1.02;

/// One cost of every model; `None` where it was not measured.
pub struct Cost {
    pub title: String,
    pub values: Vec<Option<f64>>,
}

/// A panel for each of `costs` that differs between models by 2 % or more, and where colours are fewer than configurations one for each
/// cost and panel of the encoding, in which all other models are grey; `None` where no cost differs. Less of a cost is better.
///
/// Costs whose panels would be more than [`COSTS_PANELS`] together are left out from the last on, but for the first; their panels count as omitted.
pub fn pareto_figure(
    groups: &[Group],
    axes: &[String],
    (title, quality, lower_is_better): (&str, &[Option<Measured>], bool),
    costs: &[Cost],
) -> Option<Drawing> {
    let encoding = encode(&groups.iter().collect::<Vec<_>>(), axes);
    let y = Domain::of(
        quality.iter().flatten().flat_map(|(value, i)| {
            let (low, high) = i.unwrap_or((*value, *value));
            [*value, low, high]
        }),
        0.06,
    );
    let panels = |cost: &Cost| -> Option<Vec<Panel>> {
        let mut parts: Vec<Vec<Line>> = vec![Vec::new(); encoding.panels.len()];
        for (i, (value, interval)) in quality.iter().enumerate().filter_map(|(i, q)| Some((i, (*q)?))) {
            let Some(x) = cost.values[i].filter(|x| x.is_finite() && *x > 0.0) else { continue };
            let (colour, panel) = encoding.places[i];
            parts[panel].push(Line {
                label: encoding.colours[colour].clone(),
                colour,
                mean: vec![(x, value)],
                strokes: interval.map(|(low, high)| (x, low, high)).into_iter().collect(),
                dots: true,
                ..Line::default()
            });
        }
        let points: Vec<Point> = parts.iter().flatten().map(|line| line.mean[0]).collect();
        let ends = Domain::of(points.iter().map(|p| p.0), 0.0);
        if points.len() < 2 || ends.high < LEAST_RATIO * ends.low {
            return None;
        }
        let x = Domain { low: ends.low / 1.12, high: ends.high * 1.12, log: true };
        let guide = frontier(&points, lower_is_better);
        let alone = parts.len() == 1;
        let panel = |(name, lines): (&String, Vec<Line>)| {
            let title =
                if name.is_empty() { cost.title.clone() } else { format!("{} · {name}", cost.title) };
            let others = if alone { Vec::new() } else { points.clone() };
            Panel { guide: guide.clone(), others, ..Panel::new(title, x, y, lines) }
        };
        let parts = encoding.panels.iter().zip(parts).filter(|(_, lines)| !lines.is_empty());
        Some(parts.map(panel).collect())
    };
    let mut panels: Vec<Vec<Panel>> = costs.iter().filter_map(panels).collect();
    let all: usize = panels.iter().map(Vec::len).sum();
    while panels.len() > 1 && panels.iter().map(Vec::len).sum::<usize>() > COSTS_PANELS {
        panels.pop();
    }
    let titles = ["cost (logarithmic)".to_string(), title.to_string()];
    // Colours that stand for several configurations need their names beside the dots.
    let labels = match encoding.colours.len() > NUM_COLOURS {
        true => Labels::AtEveryEnd,
        false => Labels::Legend(encoding.factor),
    };
    let drawing = Drawing::new(titles, panels.concat(), labels)?;
    Some(Drawing { omitted: all - drawing.chart.panels.len(), ..drawing })
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
    use super::super::chart::draw;
    use super::super::tests::checked;
    use super::*;
    use std::collections::BTreeSet;

    /// Models of one size but for rounding: a panel of them would be a vertical line.
    #[test]
    fn a_cost_that_is_the_same_for_all_is_left_out() {
        let group = |run: usize| Group {
            arm: run.to_string(),
            point: vec![],
            label: run.to_string(),
            runs: vec![run],
        };
        let groups: Vec<Group> = (0..3).map(group).collect();
        let quality = [Some((40.0, None)), Some((45.0, None)), Some((50.0, None))];
        let of = |values: [f64; 3]| {
            let costs = [Cost { title: "parameters".into(), values: values.map(Some).to_vec() }];
            pareto_figure(&groups, &[], ("acc (%)", &quality, false), &costs)
        };
        assert!(of([228_928.0, 229_451.0, 230_100.0]).is_none());
        assert!(of([228_928.0, 229_451.0, 240_000.0]).is_some());
    }

    /// Colour is one factor, panels are another: of 24 configurations each is a dot of a colour of its own in a panel, and the
    /// others are there in grey.
    #[test]
    fn no_two_configurations_of_a_panel_have_one_colour() {
        let values = |of: &str, count: usize| (0..count).map(|i| format!("{of}{i}")).collect::<Vec<_>>();
        let mut groups = Vec::new();
        for rule in values("rule", 12) {
            for update in values("update", 2) {
                let (label, point) = (format!("arm · {rule} · {update}"), vec![rule.clone(), update]);
                groups.push(Group { arm: "arm".into(), point, label, runs: vec![groups.len()] });
            }
        }
        let quality: Vec<_> = (0..24).map(|i| Some((50.0 + i as f64, Some((49.0, 75.0))))).collect();
        let cost = |title: &str| Cost {
            title: title.into(),
            values: (0..24).map(|i| Some(1000.0 + 7.0 * f64::from(i))).collect(),
        };
        let costs = ["parameters", "FLOPs", "reading", "writing"].map(cost);
        let axes = ["rule".to_string(), "update".to_string()];
        for (costs, omitted) in [(&costs[..], 4), (&costs[..1], 0)] {
            let of = ("acc (%)", quality.as_slice(), false);
            let drawing = pareto_figure(&groups, &axes, of, costs).unwrap();
            assert_eq!(drawing.omitted, omitted);
            let svg = checked("pareto-24", |sheet| draw(sheet, "pareto", &drawing.chart).map(Some));
            // A dot of each model in colour, and all of them in grey once in every panel.
            let dots: Vec<&str> =
                svg.split("<circle").skip(1).map(|dot| dot.split("/>").next().unwrap()).collect();
            let fill =
                |dot: &str| dot.split("fill=\"").nth(1).unwrap().split('"').next().unwrap().to_string();
            let coloured: Vec<&&str> = dots.iter().filter(|dot| fill(dot) != "#C8C8C8").collect();
            let drawn = costs.len().min(3);
            assert_eq!(coloured.len(), 24 * drawn);
            assert_eq!(dots.len() - coloured.len(), 24 * 4 * drawn);
            let colours: BTreeSet<String> = coloured.iter().map(|dot| fill(dot)).collect();
            assert_eq!(colours.len(), 8);
        }
    }

    #[test]
    fn the_frontier_leaves_out_what_is_beaten_in_both() {
        let points = [(1.0, 40.0), (2.0, 35.0), (3.0, 50.0), (3.0, 45.0)];
        assert_eq!(frontier(&points, false), [(1.0, 40.0), (3.0, 40.0), (3.0, 50.0)]);
        assert_eq!(frontier(&points, true), [(1.0, 40.0), (2.0, 40.0), (2.0, 35.0)]);
    }
}
