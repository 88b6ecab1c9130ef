//! A metric against a numeric axis, with its interval as a band: how things go on as the axis grows.
use super::axes::Domain;
use super::canvas::{NUM_COLOURS, Sheet};
use super::chart::{Chart, Labels, Line, Panel, draw};
use super::interaction::Measured;
use crate::report::Result;

/// A line: its label and its points, x ascending.
pub struct ScalingLine {
    pub label: String,
    pub points: Vec<(f64, Measured)>,
}

/// Draws `lines`; `None` where there are none or more than colours. Axes whose values span a factor of four are logarithmic.
pub fn scaling_figure(
    sheet: Sheet,
    name: &str,
    titles: [String; 2],
    lines: &[ScalingLine],
) -> Result<Option<String>> {
    if lines.is_empty() || lines.len() > NUM_COLOURS {
        return Ok(None);
    }
    let line = |(colour, line): (usize, &ScalingLine)| Line {
        label: line.label.clone(),
        colour,
        mean: line.points.iter().map(|(x, (value, _))| (*x, *value)).collect(),
        band: line.points.iter().filter_map(|(x, (_, i))| i.map(|(low, high)| (*x, low, high))).collect(),
        dots: true,
        ..Line::default()
    };
    let drawn: Vec<Line> = lines.iter().enumerate().map(line).collect();
    let xs = Domain::of(drawn.iter().flat_map(|line| line.mean.iter().map(|p| p.0)), 0.0);
    let x = match xs.low > 0.0 && xs.high / xs.low >= 4.0 {
        true => Domain { low: xs.low / 1.06, high: xs.high * 1.06, log: true },
        false => {
            let room = 0.03 * (xs.high - xs.low);
            Domain { low: xs.low - room, high: xs.high + room, log: false }
        }
    };
    let values = drawn.iter().flat_map(|line| {
        line.mean.iter().map(|p| p.1).chain(line.band.iter().flat_map(|(_, low, high)| [*low, *high]))
    });
    let y = Domain::of(values, 0.05);
    let chart = Chart { titles, panels: vec![Panel::new("", x, y, drawn)], labels: Labels::AtEnds };
    draw(sheet, name, &chart).map(Some)
}
