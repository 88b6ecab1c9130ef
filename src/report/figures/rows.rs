//! Values with intervals in rows, one below the other: what forest plots, rankings and accuracies are drawn by.
//!
//! Rows stand in blocks; each block has its own scale, or shares that of the next. A label is left of its row, on a narrow
//! sheet above it; a note says the same in figures, right of the row, or above it where there is room beside the label, else below.
use super::axes::{Domain, Scale};
use super::canvas::{Anchor, Canvas, GREY, INK, LIGHT, SHADE, SMALL, Sheet, TEXT, colour, figure};
use super::legend::Legend;
use super::text::{fitted, fitted_apart, width};
use crate::report::Result;
use plotters::style::RGBColor;

/// Distance of marks within a row, and of rows.
const MARK_PITCH: f64 = 11.0;
const ROW_PITCH: f64 = 26.0;
/// Height of a line of text.
const LINE: f64 = 18.0;

/// A value with its interval.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    pub value: f64,
    pub interval: Option<(f64, f64)>,
    pub colour: RGBColor,
}

#[derive(Clone, Debug, Default)]
pub struct Row {
    pub label: String,
    /// A second line below the label.
    pub detail: String,
    pub note: String,
    pub marks: Vec<Mark>,
    /// A dashed line across the row.
    pub reference: Option<f64>,
}

#[derive(Clone, Debug)]
pub struct RowBlock {
    /// Above its rows.
    pub heading: String,
    pub rows: Vec<Row>,
    pub domain: Domain,
    /// Title of its axis; `None`: the axis of the next block is its own, too.
    pub axis: Option<String>,
    /// A line at 0, and what lies left and right of it in a few words.
    pub zero: Option<[&'static str; 2]>,
}

pub struct RowPlot {
    pub blocks: Vec<RowBlock>,
    pub note_title: String,
    /// Labels with the numbers of their colours.
    pub legend: Vec<(String, usize)>,
    /// What the dashed lines are.
    pub reference: &'static str,
}

/// Where the plot lies between labels and notes.
struct Columns {
    left: f64,
    right: f64,
    narrow: bool,
    label_room: f64,
    note_room: f64,
}

impl Columns {
    fn of(sheet: Sheet, plot: &RowPlot) -> Columns {
        let rows = || plot.blocks.iter().flat_map(|block| &block.rows);
        let most = |texts: &mut dyn Iterator<Item = (&str, f64)>| {
            texts.map(|(text, size)| width(text, size)).fold(0.0, f64::max)
        };
        if sheet.is_narrow() {
            let room = sheet.width - 24.0;
            return Columns {
                left: 20.0,
                right: sheet.width - 20.0,
                narrow: true,
                label_room: room,
                note_room: room,
            };
        }
        let labels = rows().flat_map(|row| [(row.label.as_str(), TEXT), (row.detail.as_str(), SMALL)]);
        let headings = plot.blocks.iter().map(|block| (block.heading.as_str(), TEXT));
        let label_room = most(&mut labels.chain(headings)).min(0.38 * sheet.width);
        let notes = rows().map(|row| (row.note.as_str(), SMALL));
        let note_room = most(&mut notes.chain([(plot.note_title.as_str(), SMALL)])).min(0.3 * sheet.width);
        let right = sheet.width - if note_room > 0.0 { note_room + 26.0 } else { 20.0 };
        Columns { left: label_room + 26.0, right, narrow: false, label_room, note_room }
    }

    /// On a narrow sheet: the line above the marks in which the note has room to the right of what else is in it.
    fn note_line(&self, row: &Row) -> usize {
        let free =
            |text: &str, size: f64| width(text, size) + 12.0 + width(&row.note, SMALL) <= self.label_room;
        match (free(&row.label, TEXT), free(&row.detail, SMALL)) {
            _ if row.note.is_empty() => 0,
            (true, _) => 0,
            (_, true) => 1,
            _ => 2,
        }
    }

    /// Height of a row, and of the text above its marks.
    fn heights(&self, row: &Row) -> (f64, f64) {
        let lines = (1 + usize::from(!row.detail.is_empty())).max(1 + self.note_line(row));
        let above = if self.narrow { LINE * lines as f64 + 4.0 } else { 0.0 };
        let marks = MARK_PITCH * row.marks.len() as f64 + 7.0;
        let least = match (self.narrow, row.detail.is_empty()) {
            (true, _) => 16.0,
            (false, true) => ROW_PITCH,
            (false, false) => ROW_PITCH + LINE,
        };
        (above + marks.max(least), above)
    }
}

const AXIS_HEIGHT: f64 = 54.0;
const HEADING: f64 = 26.0;

/// Draws `plot`; `None` where it has no row.
pub fn draw(sheet: Sheet, name: &str, plot: &RowPlot) -> Result<Option<String>> {
    if plot.blocks.iter().all(|block| block.rows.is_empty()) {
        return Ok(None);
    }
    let columns = Columns::of(sheet, plot);
    let legend = Legend::new("", &plot.legend, sheet.width - 24.0);
    let dashed = if plot.reference.is_empty() { 0.0 } else { LINE };
    let title = if plot.note_title.is_empty() { 0.0 } else { LINE };
    let head = legend.height + dashed + title + 8.0;
    let block_height = |block: &RowBlock| {
        let rows: f64 = block.rows.iter().map(|row| columns.heights(row).0).sum();
        let zero = if block.zero.is_some() { LINE } else { 0.0 };
        let heading = if block.heading.is_empty() { 0.0 } else { HEADING };
        rows + zero + heading + if block.axis.is_some() { AXIS_HEIGHT } else { 0.0 }
    };
    let height = head + plot.blocks.iter().map(block_height).sum::<f64>();
    let svg = figure(sheet, name, height, |canvas| {
        legend.draw(canvas, (12.0, 4.0))?;
        if dashed > 0.0 {
            let y = 4.0 + legend.height + 0.5 * LINE;
            canvas.dashed((12.0, y), (30.0, y), INK, 1.3, 3.0)?;
            canvas.text(plot.reference, (37.0, y), TEXT, INK, Anchor::Left)?;
        }
        if title > 0.0 {
            let note = fitted(&plot.note_title, SMALL, columns.note_room);
            let y = head - 0.5 * LINE - 4.0;
            let x = if columns.narrow { sheet.width - 12.0 } else { columns.right + 14.0 };
            let anchor = if columns.narrow { Anchor::Right } else { Anchor::Left };
            canvas.text(&note, (x, y), SMALL, GREY, anchor)?;
        }
        let mut top = head;
        for block in &plot.blocks {
            let bottom = top + block_height(block);
            draw_block(canvas, &columns, block, (top, bottom))?;
            top = bottom;
        }
        Ok(())
    });
    svg.map(Some)
}

fn draw_block(canvas: &Canvas, columns: &Columns, block: &RowBlock, (top, end): (f64, f64)) -> Result<()> {
    let (left, right) = (columns.left, columns.right);
    let x = block.domain.scale(left, right);
    let mut y = top;
    if !block.heading.is_empty() {
        let (at, anchor) = if columns.narrow { (12.0, Anchor::Left) } else { (left - 14.0, Anchor::Right) };
        let heading = fitted(&block.heading, TEXT, columns.label_room);
        canvas.text(&heading, (at, y + 0.5 * HEADING), TEXT, GREY, anchor)?;
        y += HEADING;
    }
    if let Some([below, above]) = block.zero {
        canvas.text(below, (left, y + 7.0), SMALL, GREY, Anchor::Left)?;
        canvas.text(above, (right, y + 7.0), SMALL, GREY, Anchor::Right)?;
        y += LINE;
    }
    let rows_top = y;
    let bottom = if block.axis.is_some() { end - AXIS_HEIGHT } else { end };
    for (i, row) in block.rows.iter().enumerate() {
        let tall = columns.heights(row).0;
        if i % 2 == 0 && row.marks.len() > 1 {
            canvas.band((left, y), (right, y + tall), SHADE)?;
        }
        y += tall;
    }
    let ticks = ticks(&x, right - left);
    // On a narrow sheet texts stand above the marks of their row: lines leave them room.
    let mut stretches = vec![(rows_top, bottom)];
    if columns.narrow {
        let mut below = rows_top;
        stretches = block
            .rows
            .iter()
            .map(|row| {
                let (tall, above) = columns.heights(row);
                below += tall;
                (below - tall + above, below)
            })
            .collect();
    }
    for (from, to) in stretches {
        for (value, _) in &ticks {
            canvas.line(&[(x.pixel(*value), from), (x.pixel(*value), to)], LIGHT, 1.0, 1.0)?;
        }
        if block.zero.is_some() {
            canvas.line(&[(x.pixel(0.0), from), (x.pixel(0.0), to)], INK, 1.3, 1.0)?;
        }
    }
    let texts = |pick: fn(&Row) -> &String, size: f64| -> Vec<String> {
        let all: Vec<String> = block.rows.iter().map(|row| pick(row).clone()).collect();
        fitted_apart(&all, size, |_| columns.label_room)
    };
    let (labels, details) = (texts(|row| &row.label, TEXT), texts(|row| &row.detail, SMALL));
    let mut y = rows_top;
    for (row, texts) in block.rows.iter().zip(labels.iter().zip(&details)) {
        draw_row(canvas, columns, (row, texts), (&x, block.domain), y)?;
        y += columns.heights(row).0;
    }
    if let Some(title) = &block.axis {
        canvas.line(&[(left, bottom), (right, bottom)], INK, 1.0, 1.0)?;
        for (value, label) in &ticks {
            canvas.text(label, (x.pixel(*value), bottom + 14.0), SMALL, GREY, Anchor::Centre)?;
        }
        // Wide labels leave the title more room to its left than to its right.
        let whole = canvas.width();
        let centre = (0.5 * (left + right)).min(whole - 0.5 * width(title, TEXT).min(whole - 16.0) - 8.0);
        let title = fitted(title, TEXT, whole - 16.0);
        canvas.text(&title, (centre, bottom + 34.0), TEXT, INK, Anchor::Centre)?;
    }
    Ok(())
}

/// As many ticks as fit without touching.
fn ticks(x: &Scale, wide: f64) -> Vec<(f64, String)> {
    let ticks = x.ticks((wide / 70.0).max(2.0) as usize);
    let step = if ticks.len() > 1 { x.pixel(ticks[1].0) - x.pixel(ticks[0].0) } else { wide };
    let widest = ticks.iter().map(|(_, label)| width(label, SMALL)).fold(0.0, f64::max);
    let every = ((widest + 8.0) / step).ceil().max(1.0) as usize;
    ticks.into_iter().step_by(every).collect()
}

fn draw_row(
    canvas: &Canvas,
    columns: &Columns,
    (row, (label, detail)): (&Row, (&String, &String)),
    (x, domain): (&Scale, Domain),
    top: f64,
) -> Result<()> {
    let (tall, above) = columns.heights(row);
    let middle = top + above + 0.5 * (tall - above);
    if columns.narrow {
        canvas.text(label, (12.0, top + 0.5 * LINE + 3.0), TEXT, INK, Anchor::Left)?;
        let note = fitted(&row.note, SMALL, columns.note_room);
        let line = columns.note_line(row) as f64;
        let note_at = (columns.right + 8.0, top + (line + 0.5) * LINE + 3.0 - 2.0 * line.min(1.0));
        canvas.text(&note, note_at, SMALL, INK, Anchor::Right)?;
        canvas.text(detail, (12.0, top + 1.5 * LINE + 1.0), SMALL, GREY, Anchor::Left)?;
    } else {
        let off = if row.detail.is_empty() { 0.0 } else { 0.5 * LINE };
        canvas.text(label, (columns.left - 14.0, middle - off), TEXT, INK, Anchor::Right)?;
        canvas.text(detail, (columns.left - 14.0, middle + off), SMALL, GREY, Anchor::Right)?;
        let note = fitted(&row.note, SMALL, columns.note_room);
        canvas.text(&note, (columns.right + 14.0, middle), SMALL, INK, Anchor::Left)?;
    }
    if let Some(reference) = row.reference {
        let px = x.pixel(reference);
        canvas.dashed((px, top + above + 1.0), (px, top + tall - 1.0), INK, 1.3, 3.0)?;
    }
    let first = middle - 0.5 * MARK_PITCH * (row.marks.len() as f64 - 1.0);
    for (i, mark) in row.marks.iter().enumerate() {
        let y = first + MARK_PITCH * i as f64;
        let pixel = |value: f64| x.pixel(value.clamp(domain.low, domain.high));
        if let Some((low, high)) = mark.interval {
            canvas.line(&[(pixel(low), y), (pixel(high), y)], mark.colour, 2.0, 1.0)?;
        }
        canvas.dot((pixel(mark.value), y), if row.marks.len() > 1 { 3.6 } else { 4.6 }, mark.colour)?;
    }
    Ok(())
}

impl Mark {
    pub fn new(value: f64, interval: Option<(f64, f64)>, index: usize) -> Mark {
        Mark { value, interval, colour: colour(index) }
    }

    /// The value and the ends of its interval.
    pub fn ends(&self) -> impl Iterator<Item = f64> + use<> {
        let (low, high) = self.interval.unwrap_or((self.value, self.value));
        [low, self.value, high].into_iter()
    }
}
