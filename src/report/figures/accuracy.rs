//! Accuracy of every arm on every task, with intervals, against chance.
use super::axes::Scale;
use super::canvas::{Anchor, GREY, INK, LIGHT, Point, WIDTH, figure, legend};
use super::curves::group_colour;
use crate::report::Result;
use crate::report::groups::Group;
use crate::report::scores::Cell;
use plotters::style::RGBColor;

/// One block of rows: a task, its chance level and a cell per group.
pub struct TaskRow {
    pub task: String,
    pub chance: Option<f64>,
    pub cells: Vec<Cell>,
}

/// Draws the blocks one under the other; `None` where nothing was scored.
pub fn accuracy_figure(groups: &[Group], rows: &[TaskRow]) -> Result<Option<String>> {
    let values: Vec<f64> = rows
        .iter()
        .flat_map(|r| {
            r.cells
                .iter()
                .flat_map(|c| [c.mean, c.interval.map(|i| i.low), c.interval.map(|i| i.high)])
                .chain([r.chance])
        })
        .flatten()
        .collect();
    if !rows.iter().any(|r| r.cells.iter().any(|c| c.mean.is_some())) {
        return Ok(None);
    }
    let pitch = if groups.len() > 8 { 18.0 } else { 11.0 };
    let block = pitch * groups.len() as f64 + 14.0;
    let height = (block * rows.len() as f64 + 80.0).max(60.0 + 20.0 * groups.len() as f64);
    let (left, right, top, bottom) = (125.0, WIDTH - 275.0, 15.0, 15.0 + block * rows.len() as f64);
    let low = (100.0 * values.iter().copied().fold(1.0, f64::min) - 3.0).max(0.0);
    let high = (100.0 * values.iter().copied().fold(0.0, f64::max) + 3.0).min(100.0);
    let x = Scale::linear(low, high, left, right);
    figure("accuracy", height, |canvas| {
        for (i, row) in rows.iter().enumerate() {
            let y = top + block * i as f64;
            if i % 2 == 0 {
                canvas.band((left, y), (right, y + block), RGBColor(246, 246, 246))?;
            }
            canvas.text(&row.task, (left - 10.0, y + 0.5 * block), 12.5, INK, Anchor::Right)?;
        }
        for (value, label) in x.ticks(8) {
            let px = x.pixel(value);
            canvas.line(&[(px, top), (px, bottom)], LIGHT, 1.0, 1.0)?;
            canvas.text(&label, (px, bottom + 14.0), 12.0, GREY, Anchor::Centre)?;
        }
        for (i, row) in rows.iter().enumerate() {
            let y = top + block * i as f64;
            if let Some(chance) = row.chance {
                let px = x.pixel(100.0 * chance);
                canvas.dashed((px, y + 1.0), (px, y + block - 1.0), INK, 1.3, 3.0)?;
            }
            for (g, cell) in row.cells.iter().enumerate() {
                let Some(mean) = cell.mean else { continue };
                let (colour, py) = (group_colour(groups, g), y + 7.0 + pitch * (g as f64 + 0.5));
                if let Some(i) = cell.interval {
                    let ends: [Point; 2] =
                        [(x.pixel((100.0 * i.low).max(low)), py), (x.pixel((100.0 * i.high).min(high)), py)];
                    canvas.line(&ends, colour, 1.8, 1.0)?;
                }
                canvas.dot((x.pixel(100.0 * mean), py), 3.6, colour)?;
            }
        }
        canvas.line(&[(left, bottom), (right, bottom)], INK, 1.0, 1.0)?;
        canvas.text("accuracy (%)", (0.5 * (left + right), bottom + 36.0), 13.0, INK, Anchor::Centre)?;
        let mut entries: Vec<(String, RGBColor)> = Vec::new();
        for (i, g) in groups.iter().enumerate() {
            let entry =
                (if groups.len() <= 8 { g.label.clone() } else { g.arm.clone() }, group_colour(groups, i));
            if !entries.contains(&entry) {
                entries.push(entry);
            }
        }
        legend(canvas, (right + 22.0, top + 8.0), &entries)?;
        let y = top + 8.0 + 20.0 * entries.len() as f64;
        canvas.dashed((right + 22.0, y), (right + 40.0, y), INK, 1.3, 3.0)?;
        canvas.text("chance", (right + 47.0, y), 12.5, INK, Anchor::Left)
    })
    .map(Some)
}
