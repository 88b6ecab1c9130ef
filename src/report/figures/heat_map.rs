//! A table of cells as a heat map: one factor down, one across, the mean of each cell in colour and in figures.
use super::canvas::{Anchor, GREY, INK, SMALL, Sheet, TEXT, figure};
use super::text::{fitted, fitted_apart, width};
use crate::report::Result;
use plotters::style::RGBColor;

/// One cell.
#[derive(Clone, Debug, Default)]
pub struct HeatCell {
    /// `None`: not measured.
    pub value: Option<f64>,
    /// The value in figures.
    pub text: String,
    /// Its interval in figures; empty where there is none.
    pub interval: String,
}

/// What is drawn: `cells[row][column]`.
pub struct HeatMap {
    pub row_name: String,
    pub column_name: String,
    pub rows: Vec<String>,
    pub columns: Vec<String>,
    pub cells: Vec<Vec<HeatCell>>,
    pub lower_is_better: bool,
    pub shading: Shading,
}

/// What colours of cells say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shading {
    /// Values: the better, the darker, and a star at the best.
    Better,
    /// Differences: blue on the better side of 0, orange on the other, the stronger the farther.
    AroundZero,
}

/// Light to dark blue, so that darker is better in print without colours, too.
fn shade(t: f64) -> RGBColor {
    let mix = |light: f64, dark: f64| (light + t * (dark - light)).round() as u8;
    RGBColor(mix(239.0, 8.0), mix(245.0, 81.0), mix(252.0, 156.0))
}

/// From nearly white at 0 to dark blue at 1, and to dark orange at −1.
fn shade_around_zero(t: f64) -> RGBColor {
    let mix = |light: f64, dark: f64| (light + t.abs() * (dark - light)).round() as u8;
    match t >= 0.0 {
        true => RGBColor(mix(244.0, 8.0), mix(246.0, 81.0), mix(248.0, 156.0)),
        false => RGBColor(mix(244.0, 166.0), mix(246.0, 54.0), mix(248.0, 3.0)),
    }
}

/// On a light and on a dark cell; cells look the same on a dark page, so these are no colours of the page.
const ON_LIGHT: RGBColor = RGBColor(1, 1, 1);
const ON_DARK: RGBColor = RGBColor(254, 254, 254);

/// What is read better on `shade`.
fn ink_on(shade: RGBColor) -> RGBColor {
    match contrast(ON_DARK, shade) > contrast(ON_LIGHT, shade) {
        true => ON_DARK,
        false => ON_LIGHT,
    }
}

/// Contrast of two colours, 1 to 21 (WCAG 2.2).
pub fn contrast(a: RGBColor, b: RGBColor) -> f64 {
    let linear = |value: u8| match f64::from(value) / 255.0 {
        x if x <= 0.04045 => x / 12.92,
        x => ((x + 0.055) / 1.055).powf(2.4),
    };
    let luminance = |c: RGBColor| 0.2126 * linear(c.0) + 0.7152 * linear(c.1) + 0.0722 * linear(c.2);
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

/// The most rows and columns that stay readable.
const MAX_LEVELS: usize = 24;
const MIN_CELL: f64 = 46.0;
/// Before the figures of a cell: the best, or one that was decided.
pub const STAR: &str = "★ ";

/// Draws `map`; `None` where it has nothing measured or more rows or columns than can be read.
pub fn heat_map(sheet: Sheet, name: &str, map: &HeatMap) -> Result<Option<String>> {
    let (rows, columns) = (map.rows.len(), map.columns.len());
    let measured: Vec<f64> = map.cells.iter().flatten().filter_map(|cell| cell.value).collect();
    if measured.is_empty() || rows > MAX_LEVELS || columns > MAX_LEVELS {
        return Ok(None);
    }
    let (low, high) =
        measured.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
    let best = if map.lower_is_better { low } else { high };
    let farthest = low.abs().max(high.abs());
    let widest = map.rows.iter().chain([&map.row_name]).map(|r| width(r, TEXT)).fold(0.0, f64::max);
    let room = (sheet.width - 20.0 - MIN_CELL * columns as f64).clamp(60.0, 0.4 * sheet.width);
    let label_room = widest.min(room);
    let (left, right) = (label_room + 26.0, sheet.width - 12.0);
    let wide = ((right - left) / columns as f64).min(150.0);
    // Labels of columns stand upright where they do not fit their column.
    let upright = map.columns.iter().any(|label| width(label, SMALL) > wide - 4.0);
    let longest = map.columns.iter().map(|label| width(label, SMALL)).fold(0.0, f64::max).min(160.0);
    let top = 34.0 + if upright { longest + 8.0 } else { 24.0 };
    let with_interval = wide > 76.0 && map.cells.iter().flatten().any(|cell| !cell.interval.is_empty());
    let tall = if with_interval { 42.0 } else { 32.0 };
    let bottom = top + tall * rows as f64;
    figure(sheet, name, bottom + 12.0, |canvas| {
        let row_name = fitted(&map.row_name, TEXT, label_room);
        canvas.text(&row_name, (left - 14.0, top - 14.0), TEXT, GREY, Anchor::Right)?;
        let column_name = fitted(&map.column_name, TEXT, right - left);
        canvas.text(&column_name, (left, 14.0), TEXT, GREY, Anchor::Left)?;
        let names = fitted_apart(&map.columns, SMALL, |_| if upright { longest } else { f64::INFINITY });
        for (column, label) in names.iter().enumerate() {
            let x = left + wide * (column as f64 + 0.5);
            if upright {
                canvas.upward(label, (x, top - 6.0 - 0.5 * longest), SMALL, INK)?;
            } else {
                canvas.text(label, (x, top - 14.0), SMALL, INK, Anchor::Centre)?;
            }
        }
        let names = fitted_apart(&map.rows, TEXT, |_| label_room);
        for (row, label) in names.iter().enumerate() {
            let y = top + tall * row as f64;
            canvas.text(label, (left - 14.0, y + 0.5 * tall), TEXT, INK, Anchor::Right)?;
            for (column, cell) in map.cells[row].iter().enumerate() {
                let x = left + wide * column as f64;
                let centre = (x + 0.5 * wide, y + 0.5 * tall);
                let Some(value) = cell.value else {
                    canvas.text("–", centre, SMALL, GREY, Anchor::Centre)?;
                    continue;
                };
                let shade = match map.shading {
                    Shading::Better => {
                        let span = high - low;
                        let t = if span > 0.0 { (value - low) / span } else { 0.5 };
                        let t = if map.lower_is_better { 1.0 - t } else { t };
                        shade(t)
                    }
                    Shading::AroundZero => {
                        let t = if farthest > 0.0 { value / farthest } else { 0.0 };
                        let t = if map.lower_is_better { -t } else { t };
                        shade_around_zero(t)
                    }
                };
                canvas.band((x + 1.0, y + 1.0), (x + wide - 1.0, y + tall - 1.0), shade)?;
                let ink = ink_on(shade);
                let mark = if map.shading == Shading::Better && value == best { STAR } else { "" };
                let text = format!("{mark}{}", cell.text);
                let off = if with_interval && !cell.interval.is_empty() { 8.0 } else { 0.0 };
                // A star that would cost digits stands above them.
                let (text, down) = match text.strip_prefix(STAR) {
                    Some(figures) if width(&text, SMALL) > wide - 4.0 => {
                        canvas.text(STAR.trim(), (centre.0, y + 8.0), 10.0, ink, Anchor::Centre)?;
                        (figures, 5.0)
                    }
                    _ => (&*text, 0.0),
                };
                let text = fitted(text, SMALL, wide - 4.0);
                canvas.text(&text, (centre.0, centre.1 - off + down), SMALL, ink, Anchor::Centre)?;
                if off > 0.0 {
                    let interval = fitted(&cell.interval, 10.0, wide - 4.0);
                    canvas.text(&interval, (centre.0, centre.1 + off), 10.0, ink, Anchor::Centre)?;
                }
            }
        }
        Ok(())
    })
    .map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fifteen columns leave no room for a star beside the figures.
    #[test]
    fn a_star_costs_no_digits() {
        for columns in [3, 15, 16] {
            let cell = |column: usize| {
                let value = 1.062 + 0.5 * column as f64;
                HeatCell { value: Some(value), text: format!("{value:.3}"), interval: String::new() }
            };
            let map = HeatMap {
                row_name: "prune.target".into(),
                column_name: "prune.saliency".into(),
                rows: vec!["0.9".into()],
                columns: (0..columns).map(|column| format!("rule {column}")).collect(),
                cells: vec![(0..columns).map(cell).collect()],
                lower_is_better: true,
                shading: Shading::Better,
            };
            let drawn = heat_map(Sheet::WIDE, "heat", &map).unwrap().unwrap();
            assert!(
                drawn.contains("1.062") && drawn.contains('★') && !drawn.contains('…'),
                "{columns}: {drawn}"
            );
        }
    }

    /// WCAG 2.2 asks for 4.5 of text.
    #[test]
    fn every_cell_can_be_read() {
        for step in -100..=100 {
            let t = f64::from(step) / 100.0;
            for shade in [shade(t.abs()), shade_around_zero(t)] {
                let found = contrast(ink_on(shade), shade);
                assert!(found >= 4.5, "{found} on {shade:?} at {t}");
            }
        }
    }
}
