//! The levels of a factor from the best to the worst: their means with intervals, and which are told from the best.
use super::axes::Scale;
use super::canvas::{Anchor, GREY, INK, LIGHT, WIDTH, colour, figure, fitted};
use crate::report::grid::Ranking;
use crate::report::metric::Metric;
use crate::report::{Result, format};

/// Height of one row in CSS pixels.
const PITCH: f64 = 26.0;

/// Draws the rankings of one arm, a panel for each factor; `None` where there are none.
pub fn levels_figure(name: &str, metric: Metric, rankings: &[Ranking]) -> Result<Option<String>> {
    if rankings.is_empty() {
        return Ok(None);
    }
    let scale = if metric.is_share() { 100.0 } else { 1.0 };
    let ends = rankings.iter().flat_map(|r| &r.levels).flat_map(|level| {
        let value = level.mean.value.unwrap_or(0.0);
        let (low, high) = level.mean.interval.map_or((value, value), |i| (i.low, i.high));
        [scale * low, scale * high]
    });
    let (low, high) = ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    let room = 0.04 * (high - low).max(1e-9);
    let (left, right, top) = (300.0, WIDTH - 235.0, 30.0);
    let x = Scale::linear(low - room, high + room, left, right);
    let rows: usize = rankings.iter().map(|r| r.levels.len()).sum();
    let bottom = top + 34.0 * rankings.len() as f64 + PITCH * rows as f64;
    let draw = figure(name, bottom + 52.0, |canvas| {
        canvas.text("less the best (simultaneous 95 %)", (right + 14.0, 14.0), 12.0, GREY, Anchor::Left)?;
        for (value, label) in x.ticks(6) {
            let px = x.pixel(value);
            canvas.line(&[(px, top), (px, bottom)], LIGHT, 1.0, 1.0)?;
            canvas.text(&label, (px, bottom + 14.0), 12.0, GREY, Anchor::Centre)?;
        }
        let mut y = top;
        for ranking in rankings {
            y += 22.0;
            canvas.text(&fitted(&ranking.factor.name, 46), (left - 14.0, y), 12.5, GREY, Anchor::Right)?;
            y += 12.0;
            for (place, level) in ranking.levels.iter().enumerate() {
                let middle = y + 0.5 * PITCH;
                // Blue: the best and what is not told from it; grey: what is.
                let tint = if level.told_from_best { GREY } else { colour(0) };
                canvas.text(&fitted(&level.name, 40), (left - 14.0, middle), 12.5, INK, Anchor::Right)?;
                if let Some(i) = level.mean.interval {
                    let ends = [(x.pixel(scale * i.low), middle), (x.pixel(scale * i.high), middle)];
                    canvas.line(&ends, tint, 2.2, 1.0)?;
                }
                if let Some(value) = level.mean.value {
                    canvas.dot((x.pixel(scale * value), middle), 5.0, tint)?;
                }
                let text = match (place, level.against_best.value, level.against_best.interval) {
                    (0, ..) => "best".to_string(),
                    (_, Some(d), Some(i)) => {
                        let show = |x: f64| format::difference(metric, x);
                        format!("{} ({} to {})", show(d), show(i.low), show(i.high))
                    }
                    (_, d, _) => d.map_or(String::new(), |d| format::difference(metric, d)),
                };
                canvas.text(&text, (right + 14.0, middle), 12.0, INK, Anchor::Left)?;
                y += PITCH;
            }
        }
        canvas.line(&[(left, bottom), (right, bottom)], INK, 1.0, 1.0)?;
        let unit = if metric.is_share() { "%" } else { metric.unit() };
        let title = format!("{} ({unit}), mean and 95 % interval", metric.name());
        canvas.text(&title, (0.5 * (left + right), bottom + 36.0), 13.0, INK, Anchor::Centre)
    });
    draw.map(Some)
}
