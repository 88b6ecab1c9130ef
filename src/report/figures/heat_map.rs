//! A table of cells as a heat map: one factor down, one across, the mean of each cell in colour and in figures.
use super::canvas::{Anchor, GREY, INK, Point, WIDTH, figure, fitted};
use crate::report::Result;
use plotters::style::RGBColor;

/// What is drawn: `values[row][column]`, `None` where a cell was not measured.
pub struct HeatMap {
    pub row_name: String,
    pub column_name: String,
    pub rows: Vec<String>,
    pub columns: Vec<String>,
    pub values: Vec<Vec<Option<f64>>>,
    /// A value as it is written into its cell.
    pub show: fn(f64) -> String,
    pub lower_is_better: bool,
}

/// Light to dark blue, so that darker is better in print without colours, too.
fn shade(t: f64) -> RGBColor {
    let mix = |light: f64, dark: f64| (light + t * (dark - light)).round() as u8;
    RGBColor(mix(239.0, 8.0), mix(245.0, 81.0), mix(252.0, 156.0))
}

/// The most rows and columns that stay readable.
const MOST: usize = 24;

/// Draws `map`; `None` where it has nothing measured or more rows or columns than can be read.
pub fn heat_map(name: &str, map: &HeatMap) -> Result<Option<String>> {
    let (rows, columns) = (map.rows.len(), map.columns.len());
    let measured: Vec<f64> = map.values.iter().flatten().flatten().copied().collect();
    if measured.is_empty() || rows > MOST || columns > MOST {
        return Ok(None);
    }
    let (low, high) =
        measured.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
    let best = if map.lower_is_better { low } else { high };
    let (left, right, top) = (230.0, WIDTH - 20.0, 62.0);
    let (wide, tall) = (((right - left) / columns as f64).min(150.0), 34.0);
    let bottom = top + tall * rows as f64;
    figure(name, bottom + 16.0, |canvas| {
        canvas.text(&fitted(&map.row_name, 36), (left - 14.0, top - 14.0), 12.5, GREY, Anchor::Right)?;
        let middle = left + 0.5 * wide * columns as f64;
        canvas.text(&fitted(&map.column_name, 60), (middle, 14.0), 12.5, GREY, Anchor::Centre)?;
        let characters = (wide / 7.0) as usize;
        for (column, label) in map.columns.iter().enumerate() {
            let at: Point = (left + wide * (column as f64 + 0.5), top - 14.0);
            canvas.text(&fitted(label, characters), at, 12.0, INK, Anchor::Centre)?;
        }
        for (row, label) in map.rows.iter().enumerate() {
            let y = top + tall * row as f64;
            canvas.text(&fitted(label, 32), (left - 14.0, y + 0.5 * tall), 12.5, INK, Anchor::Right)?;
            for column in 0..columns {
                let x = left + wide * column as f64;
                let centre = (x + 0.5 * wide, y + 0.5 * tall);
                let Some(value) = map.values[row][column] else {
                    canvas.text("not measured", centre, 10.0, GREY, Anchor::Centre)?;
                    continue;
                };
                let span = high - low;
                let t = if span > 0.0 { (value - low) / span } else { 0.5 };
                let t = if map.lower_is_better { 1.0 - t } else { t };
                canvas.band((x + 1.0, y + 1.0), (x + wide - 1.0, y + tall - 1.0), shade(t))?;
                let ink = if t > 0.55 { RGBColor(255, 255, 255) } else { INK };
                let mark = if value == best { "★ " } else { "" };
                canvas.text(&format!("{mark}{}", (map.show)(value)), centre, 12.5, ink, Anchor::Centre)?;
            }
        }
        Ok(())
    })
    .map(Some)
}
