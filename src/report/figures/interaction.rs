//! What one axis does at each value of another: parallel lines where the two add up.
use super::axes::Domain;
use super::canvas::{NUM_COLOURS, Sheet};
use super::chart::{Chart, Labels, Line, Panel, draw};
use crate::report::Result;

/// A value with its interval, as drawn.
pub type Measured = (f64, Option<(f64, f64)>);

/// Two factors and their cells.
pub struct Crossed {
    /// Along the axis, and as lines.
    pub names: [String; 2],
    pub levels: [Vec<String>; 2],
    /// `[level of the first][level of the second]`
    pub cells: Vec<Vec<Option<Measured>>>,
    /// Title of the axis of values.
    pub title: String,
}

/// Draws `crossed`; `None` where it has more lines than colours, or nothing is measured.
pub fn interaction_figure(sheet: Sheet, name: &str, crossed: &Crossed) -> Result<Option<String>> {
    let [along, lines] = &crossed.levels;
    if lines.len() > NUM_COLOURS || along.len() > 2 * NUM_COLOURS {
        return Ok(None);
    }
    let line = |(colour, label): (usize, &String)| {
        // A little beside each other, so that intervals do not hide one another.
        let shift = 0.05 * (colour as f64 - 0.5 * (lines.len() as f64 - 1.0));
        let cells = crossed.cells.iter().enumerate();
        let of = cells.filter_map(|(at, row)| Some((at as f64 + shift, row.get(colour).copied()??)));
        let mut out = Line { label: label.clone(), colour, dots: true, ..Line::default() };
        for (x, (value, interval)) in of {
            out.mean.push((x, value));
            out.strokes.extend(interval.map(|(low, high)| (x, low, high)));
        }
        out
    };
    let lines: Vec<Line> = lines.iter().enumerate().map(line).filter(|line| !line.mean.is_empty()).collect();
    if lines.is_empty() {
        return Ok(None);
    }
    let values = lines.iter().flat_map(|line| {
        line.mean.iter().map(|p| p.1).chain(line.strokes.iter().flat_map(|(_, low, high)| [*low, *high]))
    });
    let x = Domain { low: -0.5, high: along.len() as f64 - 0.5, log: false };
    let mut panel = Panel::new("", x, Domain::of(values, 0.05), lines);
    panel.names = along.clone();
    let titles = [crossed.names[0].clone(), crossed.title.clone()];
    let labels = Labels::Legend(crossed.names[1].clone());
    draw(sheet, name, &Chart { titles, panels: vec![panel], labels }).map(Some)
}
