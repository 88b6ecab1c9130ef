//! Fits a table into a line of 345 points (the standard classes' at 10 points, so into any wider one): smaller letters first,
//! then text columns that break into lines, then parts that repeat the first columns. Nothing is scaled.
use super::width::{SIZES, Size};
use crate::report::document::{Align, Table, spans};

/// Points of a line, less a little for what the widths do not know.
const LINE: f64 = 338.0;
/// Points between two columns; those of tables that fit in no other way.
const GAP: f64 = 7.0;
const TIGHT_GAPS: [f64; 2] = [3.6, 2.8];
/// A text column is not made narrower than this, nor than its longest piece that does not break.
const MIN_TEXT: f64 = 48.0;
/// Characters of a name after which it may break anyway.
pub const MAX_RUN: usize = 10;

/// How a column is set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Column {
    Left,
    Right,
    /// Text in lines of so many points.
    Lines(f64),
}

/// A part of a table that fits a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    pub size: Size,
    /// Points between two columns.
    pub gap: f64,
    pub columns: Vec<Column>,
    /// Places of its columns in the table.
    pub places: Vec<usize>,
}

/// Widths of the columns at `size`: of the cells, and of the longest word of the header.
fn natural(t: &Table, size: Size) -> Vec<f64> {
    let header = |text: &str| {
        if text.contains('`') {
            size.width(text)
        } else {
            header_lines(text).iter().map(|line| size.width(line)).fold(0.0, f64::max)
        }
    };
    (0..t.header.len())
        .map(|at| plain_rows(t).map(|row| size.width(&row[at])).fold(header(&t.header[at]), f64::max))
        .collect()
}

/// A header in lines: a word each, broken after hyphens; `95 %` is one word.
pub fn header_lines(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut from = 0;
    for (at, _) in text.match_indices(' ').filter(|(at, _)| !text[at + 1..].starts_with('%')) {
        words.push(&text[from..at]);
        from = at + 1;
    }
    words.push(&text[from..]);
    words.into_iter().flat_map(|word| word.split_inclusive('-')).collect()
}

/// The rows that are no titles, which go across all columns.
fn plain_rows(t: &Table) -> impl Iterator<Item = &Vec<String>> {
    t.rows.iter().enumerate().filter(|(place, _)| !t.titles.contains(place)).map(|(_, row)| row)
}

/// The points of a line for a title that is longer; `None` where it fits one.
pub fn title(text: &str, size: Size) -> Option<f64> {
    (size.width(text) > LINE).then_some(LINE)
}

/// The least width of each column as lines of text: that of its longest piece without a place to break.
fn least(t: &Table, size: Size) -> Vec<f64> {
    let pieces = |text: &str| -> f64 {
        let mut longest: f64 = 0.0;
        for (code, part) in spans(text) {
            let breaks = |c: char| if code { "_.-/=, ".contains(c) } else { "_- ".contains(c) };
            for piece in part.split_inclusive(breaks) {
                let wide = match code {
                    true => size.width(&format!("`{}`", "x".repeat(piece.chars().count().min(MAX_RUN + 1)))),
                    false => size.width(piece),
                };
                longest = longest.max(wide);
            }
        }
        longest
    };
    let of = |at: usize| plain_rows(t).map(|row| pieces(&row[at])).fold(pieces(&t.header[at]), f64::max);
    (0..t.header.len()).map(|at| of(at).max(MIN_TEXT)).collect()
}

fn plain(t: &Table, places: &[usize]) -> Vec<Column> {
    places.iter().map(|at| if t.align[*at] == Align::Left { Column::Left } else { Column::Right }).collect()
}

fn total(widths: impl Iterator<Item = f64>, gap: f64) -> f64 {
    let widths: Vec<f64> = widths.collect();
    widths.iter().sum::<f64>() + gap * (widths.len() as f64 - 1.0)
}

/// The table as one part at `size`, its first columns of text in lines where they must; `None` where that does not fit.
fn whole(t: &Table, size: Size, gap: f64) -> Option<Part> {
    let (widths, places) = (natural(t, size), (0..t.header.len()).collect::<Vec<_>>());
    let mut columns = plain(t, &places);
    if total(widths.iter().copied(), gap) <= LINE {
        return Some(Part { size, gap, columns, places });
    }
    let keys = t.align.iter().take_while(|align| **align == Align::Left).count();
    if keys == 0 || keys == places.len() {
        return None;
    }
    let room = LINE - gap - total(widths[keys..].iter().copied(), gap);
    let shares = shared(&widths[..keys], &least(t, size)[..keys], room, gap);
    if total(shares.iter().copied(), gap) > room + 0.1 {
        return None;
    }
    for ((column, share), wide) in columns.iter_mut().zip(&shares).zip(&widths) {
        if share < wide {
            *column = Column::Lines(*share);
        }
    }
    Some(Part { size, gap, columns, places })
}

/// The parts of `t`, at least one.
pub fn parts(t: &Table) -> Vec<Part> {
    let tries = SIZES.map(|size| (size, GAP)).into_iter().chain(TIGHT_GAPS.map(|gap| (SIZES[2], gap)));
    if let Some(part) = tries.into_iter().find_map(|(size, gap)| whole(t, size, gap)) {
        return vec![part];
    }
    let all: Vec<usize> = (0..t.header.len()).collect();
    let size = SIZES[1];
    let widths = natural(t, size);
    let most = ((0.5 * LINE + GAP) / (MIN_TEXT + GAP)) as usize;
    let keys: Vec<usize> =
        all.iter().copied().take_while(|at| t.align[*at] == Align::Left).take(most).collect();
    let values: Vec<usize> = all.iter().copied().skip(keys.len()).collect();
    let widest = values.iter().map(|at| widths[*at]).fold(0.0, f64::max);
    // Columns of text break into lines; half of the line is theirs, more where the others need less.
    let others = total(values.iter().map(|at| widths[*at]), GAP);
    let room = (LINE - others - GAP).max(0.5 * LINE).min(LINE - widest - GAP);
    let of_keys = shared(&widths[..keys.len()], &least(t, size)[..keys.len()], room, GAP);
    let key_columns: Vec<Column> = keys
        .iter()
        .zip(&of_keys)
        .map(|(at, wide)| if *wide < widths[*at] { Column::Lines(*wide) } else { Column::Left })
        .collect();
    let used = total(of_keys.iter().copied(), GAP).max(0.0);
    let mut parts: Vec<Vec<usize>> = vec![Vec::new()];
    let mut left = LINE - used;
    for at in values {
        let wide = (widths[at] + GAP).min(LINE - used);
        if wide > left && parts.last().is_some_and(|part| !part.is_empty()) {
            parts.push(Vec::new());
            left = LINE - used;
        }
        left -= wide;
        if let Some(part) = parts.last_mut() {
            part.push(at);
        }
    }
    let part = |values: Vec<usize>| {
        let places: Vec<usize> = keys.iter().copied().chain(values.iter().copied()).collect();
        let value = |at: &usize| match widths[*at] > LINE - used - GAP {
            true => Column::Lines(LINE - used - GAP),
            false if t.align[*at] == Align::Left => Column::Left,
            false => Column::Right,
        };
        let columns = key_columns.iter().copied().chain(values.iter().map(value)).collect();
        Part { size, gap: GAP, columns, places }
    };
    parts.into_iter().map(part).collect()
}

/// Shares `room` out among columns of these widths: narrow ones keep theirs, the others get equal parts of what is
/// left, and at least `least`.
fn shared(widths: &[f64], least: &[f64], room: f64, gap: f64) -> Vec<f64> {
    let gaps = gap * (widths.len() as f64 - 1.0).max(0.0);
    let mut out = widths.to_vec();
    let mut open: Vec<usize> = (0..widths.len()).collect();
    let mut left = room - gaps;
    while !open.is_empty() {
        let share = left / open.len() as f64;
        let fits: Vec<usize> = open.iter().copied().filter(|at| widths[*at] <= share).collect();
        if fits.is_empty() {
            open.iter().for_each(|at| out[*at] = share.max(least[*at]));
            break;
        }
        left -= fits.iter().map(|at| widths[*at]).sum::<f64>();
        open.retain(|at| !fits.contains(at));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: usize, cell: &str) -> Table {
        let row = |text: &str| -> Vec<String> {
            std::iter::once("`direct_proportional_total_tokens`".to_string())
                .chain((1..columns).map(|_| text.to_string()))
                .collect()
        };
        Table::new("t", "c", 1, row("arc_challenge"), vec![row(cell)])
    }

    #[test]
    fn small_tables_stay_whole_and_wide_ones_become_parts_with_the_same_keys() {
        let one = parts(&table(3, "45.2"));
        assert_eq!((one.len(), one[0].size.command, one[0].places.len()), (1, "small", 3));
        let several = parts(&table(14, "45.2±2.1"));
        assert!(several.len() > 1 && several.iter().all(|part| part.places[0] == 0), "{several:?}");
        let values: Vec<usize> = several.iter().flat_map(|part| part.places[1..].to_vec()).collect();
        assert_eq!(values, (1..14).collect::<Vec<_>>());
    }

    #[test]
    fn narrow_columns_keep_their_width() {
        assert_eq!(shared(&[20.0, 300.0, 300.0], &[48.0; 3], 234.0, GAP), [20.0, 100.0, 100.0]);
        assert_eq!(shared(&[20.0, 300.0, 300.0], &[48.0, 130.0, 48.0], 234.0, GAP), [20.0, 130.0, 100.0]);
        assert_eq!(shared(&[20.0, 30.0], &[48.0; 2], 234.0, GAP), [20.0, 30.0]);
    }
}
