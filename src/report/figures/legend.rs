//! A legend in rows above a plot, as many as its entries need.
use super::canvas::{Anchor, Canvas, INK, Point, TEXT, colour};
use super::text::{fitted, fitted_apart, width};
use crate::report::Result;

/// Height of one row.
const ROW: f64 = 20.0;
/// Stroke before a label, and the gap after it.
const STROKE: f64 = 25.0;
const GAP: f64 = 22.0;

/// Labels with their places, laid out.
pub struct Legend {
    entries: Vec<(Point, String, usize)>,
    pub height: f64,
}

impl Legend {
    /// Of labels with the number of their colour, in rows of at most `room` pixels; `title` stands before them.
    pub fn new(title: &str, labels: &[(String, usize)], room: f64) -> Legend {
        let (mut x, mut y) = (0.0, 0.0);
        let mut entries = Vec::new();
        if !title.is_empty() {
            let title = fitted(title, TEXT, room);
            x = width(&title, TEXT) + GAP;
            entries.push(((0.0, y), title, usize::MAX));
        }
        let names: Vec<String> = labels.iter().map(|(label, _)| label.clone()).collect();
        let names = fitted_apart(&names, TEXT, |_| room - STROKE);
        for (label, (_, colour)) in names.into_iter().zip(labels) {
            let wide = STROKE + width(&label, TEXT);
            if x > 0.0 && x + wide > room {
                (x, y) = (0.0, y + ROW);
            }
            entries.push(((x, y), label, *colour));
            x += wide + GAP;
        }
        let height = if entries.is_empty() { 0.0 } else { y + ROW };
        Legend { entries, height }
    }

    /// Draws it with its first row's middle at `top + 10`.
    pub fn draw(&self, canvas: &Canvas, (left, top): Point) -> Result<()> {
        for ((x, y), label, index) in &self.entries {
            let (x, y) = (left + x, top + y + 0.5 * ROW);
            if *index == usize::MAX {
                canvas.text(label, (x, y), TEXT, super::canvas::GREY, Anchor::Left)?;
                continue;
            }
            canvas.line(&[(x, y), (x + 18.0, y)], colour(*index), 3.0, 1.0)?;
            canvas.text(label, (x + STROKE, y), TEXT, INK, Anchor::Left)?;
        }
        Ok(())
    }
}
