//! Forest plot: each declared difference in accuracy with its interval, against no difference.
use super::axes::Scale;
use super::canvas::{Anchor, GREY, INK, LIGHT, WIDTH, colour, figure};
use crate::report::comparisons::Compared;
use crate::report::{Result, format};

/// Draws the comparisons of shares (accuracies and the like) that have an answer; `None` where there are none.
pub fn forest_figure(compared: &[Compared]) -> Result<Option<String>> {
    let rows: Vec<(&Compared, f64)> = compared
        .iter()
        .filter(|c| c.metric.is_share())
        .filter_map(|c| Some((c, 100.0 * c.difference?)))
        .collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let ends = rows.iter().flat_map(|(c, d)| {
        [*d, c.interval.map_or(*d, |i| 100.0 * i.low), c.interval.map_or(*d, |i| 100.0 * i.high), 0.0]
    });
    let (low, high) = ends.fold((0f64, 0f64), |(l, h), v| (l.min(v), h.max(v)));
    let room = 0.08 * (high - low).max(1.0);
    let (left, right, top, pitch) = (300.0, WIDTH - 175.0, 34.0, 50.0);
    let bottom = top + pitch * rows.len() as f64;
    let x = Scale::linear(low - room, high + room, left, right);
    figure("differences", bottom + 55.0, |canvas| {
        canvas.text("difference (95 % interval)", (right + 14.0, 18.0), 12.0, GREY, Anchor::Left)?;
        canvas.text("← baseline better", (x.pixel(0.0) - 8.0, 18.0), 12.0, GREY, Anchor::Right)?;
        canvas.text("variant better →", (x.pixel(0.0) + 8.0, 18.0), 12.0, GREY, Anchor::Left)?;
        for (value, label) in x.ticks(6) {
            let px = x.pixel(value);
            canvas.line(&[(px, top), (px, bottom)], LIGHT, 1.0, 1.0)?;
            canvas.text(&label, (px, bottom + 14.0), 12.0, GREY, Anchor::Centre)?;
        }
        canvas.line(&[(x.pixel(0.0), top), (x.pixel(0.0), bottom)], INK, 1.3, 1.0)?;
        canvas.line(&[(left, bottom), (right, bottom)], INK, 1.0, 1.0)?;
        for (i, (c, difference)) in rows.iter().enumerate() {
            let y = top + pitch * (i as f64 + 0.5);
            let names = std::iter::once(c.declared.variant.clone()).chain(c.point.iter().cloned());
            canvas.text(
                &names.collect::<Vec<_>>().join(" · "),
                (left - 14.0, y - 9.0),
                12.5,
                INK,
                Anchor::Right,
            )?;
            let against = format!("− {} ({})", c.declared.baseline, c.declared.metric);
            canvas.text(&against, (left - 14.0, y + 9.0), 12.0, GREY, Anchor::Right)?;
            let mut text = format::points(difference / 100.0);
            if let Some(interval) = c.interval {
                let ends = [(x.pixel(100.0 * interval.low), y), (x.pixel(100.0 * interval.high), y)];
                canvas.line(&ends, colour(0), 2.2, 1.0)?;
                text += &format!(" ({} to {})", format::points(interval.low), format::points(interval.high));
            }
            canvas.dot((x.pixel(*difference), y), 5.0, colour(0))?;
            canvas.text(&text, (right + 14.0, y), 12.0, INK, Anchor::Left)?;
        }
        canvas.text(
            "difference in accuracy, variant − baseline (percentage points)",
            (0.5 * (left + right), bottom + 36.0),
            13.0,
            INK,
            Anchor::Centre,
        )
    })
    .map(Some)
}
