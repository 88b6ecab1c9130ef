//! Critical-difference diagram (Demšar 2006): mean ranks on a line, the best left; a bar joins those that Nemenyi's test at
//! 5 % does not tell apart.
use super::axes::Scale;
use super::canvas::{Anchor, GREY, INK, LIGHT, SMALL, Sheet, TEXT, figure};
use super::text::{fitted, fitted_apart, width};
use crate::report::Result;

/// Ranks of the levels of a factor.
pub struct Ranks {
    /// Name and mean rank (1 is best).
    pub levels: Vec<(String, f64)>,
    /// Mean ranks at least this far apart are told apart.
    pub critical_difference: f64,
    /// Data sets that the ranks are means over.
    pub count: usize,
}

/// Pitch of names, and of bars.
const NAME_PITCH: f64 = 24.0;
const BAR_PITCH: f64 = 9.0;
/// Share of the sheet that the names of either side take at most; where some are cut at that, all are cut to the smaller share,
/// for the ranks between them are what the figure is about.
const MAX_ROOM: f64 = 0.36;
const ROOM_OF_CUT_NAMES: f64 = 0.29;

/// Pixels for names, of which the widest takes `widest`.
fn room(sheet: Sheet, widest: f64) -> f64 {
    match widest > MAX_ROOM * sheet.width {
        true => ROOM_OF_CUT_NAMES * sheet.width,
        false => widest,
    }
}

/// Draws `ranks`; `None` with fewer than three levels, where a rank says no more than a difference.
pub fn critical_difference_figure(sheet: Sheet, name: &str, ranks: &Ranks) -> Result<Option<String>> {
    if ranks.levels.len() < 3 {
        return Ok(None);
    }
    let mut levels = ranks.levels.clone();
    levels.sort_by(|a, b| a.1.total_cmp(&b.1));
    let places: Vec<f64> = levels.iter().map(|(_, rank)| *rank).collect();
    let bars = bars(&places, ranks.critical_difference);
    let widest = levels
        .iter()
        .map(|(label, _)| width(label, TEXT) + if levels.len() > 9 { 52.0 } else { 44.0 })
        .fold(0.0, f64::max);
    let room = room(sheet, widest);
    // On a narrow sheet names stand below the ranks instead of beside them.
    let margin = if sheet.is_narrow() { 20.0 } else { room + 22.0 };
    let (left, right) = (margin, sheet.width - margin);
    let x = Scale::linear(1.0, levels.len() as f64, left, right);
    let line = 74.0;
    let names = line + 14.0 + BAR_PITCH * bars.len() as f64;
    let half = levels.len().div_ceil(2);
    let height = names + NAME_PITCH * half as f64 + 14.0;
    figure(sheet, name, height, |canvas| {
        let wide = (x.pixel(1.0 + ranks.critical_difference) - left).min(right - left);
        canvas.line(&[(left, 30.0), (left + wide, 30.0)], INK, 2.0, 1.0)?;
        for end in [left, left + wide] {
            canvas.line(&[(end, 25.0), (end, 35.0)], INK, 2.0, 1.0)?;
        }
        let told =
            format!("critical difference {:.2} over {} rankings", ranks.critical_difference, ranks.count);
        let told = fitted(&told, SMALL, sheet.width - left - 8.0);
        canvas.text(&told, (left, 13.0), SMALL, GREY, Anchor::Left)?;
        canvas.line(&[(left, line), (right, line)], INK, 1.2, 1.0)?;
        let every = (levels.len() as f64 * 22.0 / (right - left)).ceil().max(1.0) as usize;
        for rank in (1..=levels.len()).step_by(every) {
            let px = x.pixel(rank as f64);
            canvas.line(&[(px, line - 6.0), (px, line)], INK, 1.2, 1.0)?;
            canvas.text(&rank.to_string(), (px, line - 15.0), SMALL, GREY, Anchor::Centre)?;
        }
        for (i, (first, last)) in bars.iter().enumerate() {
            let y = line + 10.0 + BAR_PITCH * i as f64;
            let ends = [(x.pixel(places[*first]) - 4.0, y), (x.pixel(places[*last]) + 4.0, y)];
            canvas.line(&ends, INK, 4.0, 1.0)?;
        }
        // Between a line's end and a name there is the rank.
        let beside = if levels.len() > 9 { 48.0 } else { 40.0 };
        let labels: Vec<String> = levels.iter().map(|(label, _)| label.clone()).collect();
        let column = 0.5 * sheet.width;
        let labels = match sheet.is_narrow() {
            true => fitted_apart(&labels, TEXT, |_| column - left - beside - 4.0),
            false => fitted_apart(&labels, TEXT, |_| room - beside - 2.0),
        };
        for (i, ((_, rank), text)) in levels.iter().zip(&labels).enumerate() {
            let on_left = i < half;
            if sheet.is_narrow() {
                // In the order of the ranks, down the first column and down the second.
                canvas.dot((x.pixel(*rank), line), 3.2, INK)?;
                let y = names + NAME_PITCH * ((i % half) as f64 + 0.5);
                let at = if on_left { left } else { column };
                canvas.text(&format!("{rank:.2}"), (at, y), SMALL, GREY, Anchor::Left)?;
                canvas.text(text, (at + beside, y), TEXT, INK, Anchor::Left)?;
                continue;
            }
            // The outermost names lie highest on the left, and lowest on the right: strokes do not cross.
            let row = if on_left { i } else { levels.len() - 1 - i };
            let y = names + NAME_PITCH * (row as f64 + 0.5);
            let px = x.pixel(*rank);
            let end = if on_left { left - 6.0 } else { right + 6.0 };
            canvas.line(&[(px, line), (px, y), (end, y)], LIGHT, 1.4, 1.0)?;
            canvas.dot((px, line), 3.2, INK)?;
            let (name_at, rank_at, anchor) = match on_left {
                true => (end - beside, end - 4.0, Anchor::Right),
                false => (end + beside, end + 4.0, Anchor::Left),
            };
            canvas.text(text, (name_at, y), TEXT, INK, anchor)?;
            canvas.text(&format!("{rank:.2}"), (rank_at, y), SMALL, GREY, anchor)?;
        }
        Ok(())
    })
    .map(Some)
}

/// First and last of each longest run of ranks (ascending) within the critical difference of each other.
fn bars(ranks: &[f64], critical: f64) -> Vec<(usize, usize)> {
    let mut bars: Vec<(usize, usize)> = Vec::new();
    for first in 0..ranks.len() {
        let last = ranks.iter().rposition(|rank| rank - ranks[first] < critical).unwrap_or(first);
        if last > first && bars.last().is_none_or(|(_, end)| last > *end) {
            bars.push((first, last));
        }
    }
    bars
}

#[cfg(test)]
mod tests {
    use super::{Sheet, room};

    /// Names that fit are whole; long ones leave the ranks two fifths of the width.
    #[test]
    fn names_leave_the_ranks_room() {
        for sheet in [Sheet::WIDE, Sheet::NARROW] {
            assert_eq!(room(sheet, 0.35 * sheet.width), 0.35 * sheet.width);
            assert!(sheet.width - 2.0 * room(sheet, 0.5 * sheet.width) > 0.4 * sheet.width);
        }
    }

    #[test]
    fn bars_join_what_is_not_told_apart_and_none_lies_within_another() {
        assert_eq!(super::bars(&[1.0, 1.5, 2.4, 4.0, 4.2], 1.0), [(0, 1), (1, 2), (3, 4)]);
        assert_eq!(super::bars(&[1.0, 1.1, 1.2], 1.0), [(0, 2)]);
        assert!(super::bars(&[1.0, 3.0, 5.0], 1.0).is_empty());
    }
}
