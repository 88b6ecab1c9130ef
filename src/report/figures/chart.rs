//! Lines in panels: what all curves are drawn by.
//!
//! Colour is one factor, panels are others ([`super::encoding`]). A line is named at its end where there is room beside the
//! plot, and in a legend above it otherwise. Every panel has its own axes, and no label leaves the canvas.
use super::axes::{Domain, Frame, NAME_ROW, in_two_rows};
use super::canvas::{Anchor, Canvas, FAINT, GREY, INK, Point, SMALL, Sheet, TEXT, colour, figure};
use super::legend::Legend;
use super::text::{fitted, fitted_apart, width, wrapped};
use crate::report::Result;
use std::collections::BTreeMap;

/// Panels of one figure at most.
pub const MAX_PANELS: usize = 24;
/// Labels at line ends are at least this far apart.
const LABEL_PITCH: f64 = 15.0;
/// Room for the title of a panel's own x axis.
const AXIS_ROW: f64 = 20.0;
/// The share of a panel that names at the ends of its lines may take.
const NAMES_BESIDE: f64 = 0.34;
/// Height of a line of a title.
const TITLE_LINE: f64 = 16.0;
/// Room left of a panel for its tick labels, right of it for the half of the last one, above it for its title.
const MARGIN: (f64, f64, f64) = (52.0, 22.0, 26.0);

/// A line with its replicates.
#[derive(Clone, Debug, Default)]
pub struct Line {
    pub label: String,
    /// Number of its colour.
    pub colour: usize,
    /// Thin lines.
    pub seeds: Vec<Vec<Point>>,
    /// The thick one.
    pub mean: Vec<Point>,
    /// x, low and high of an interval around the mean, as a band and as strokes.
    pub band: Vec<(f64, f64, f64)>,
    pub strokes: Vec<(f64, f64, f64)>,
    /// A dot at every point of the mean.
    pub dots: bool,
    /// Small dots that let each other be seen.
    pub specks: Vec<Point>,
}

#[derive(Clone, Debug)]
pub struct Panel {
    pub title: String,
    /// Title of its own x axis; where a panel has one, every panel has its title below it.
    pub axis: Option<String>,
    pub x: Domain,
    pub y: Domain,
    pub lines: Vec<Line>,
    /// Names of x = 0, 1, …, in the place of numbers.
    pub names: Vec<String>,
    /// A dashed line behind the others.
    pub guide: Vec<Point>,
    /// Small grey dots behind all: what other panels show.
    pub others: Vec<Point>,
}

impl Panel {
    pub fn new(title: impl Into<String>, x: Domain, y: Domain, lines: Vec<Line>) -> Panel {
        let (names, guide, others) = (Vec::new(), Vec::new(), Vec::new());
        Panel { title: title.into(), axis: None, x, y, lines, names, guide, others }
    }
}

/// How lines are told apart in words.
#[derive(Clone, Debug, PartialEq)]
pub enum Labels {
    /// Above the plot, after a title.
    Legend(String),
    /// At the ends of the last panel's lines; above the plot on a narrow sheet.
    AtEnds,
    /// At the ends of the lines of every panel.
    AtEveryEnd,
}

pub struct Chart {
    pub titles: [String; 2],
    pub panels: Vec<Panel>,
    pub labels: Labels,
}

/// A chart of which some panels may have been left out.
pub struct Drawing {
    pub chart: Chart,
    pub omitted: usize,
}

impl Drawing {
    /// Of the first [`MAX_PANELS`] of `panels`; `None` where there are none.
    pub fn new(titles: [String; 2], mut panels: Vec<Panel>, labels: Labels) -> Option<Drawing> {
        if panels.is_empty() {
            return None;
        }
        let omitted = panels.len().saturating_sub(MAX_PANELS);
        panels.truncate(MAX_PANELS);
        Some(Drawing { chart: Chart { titles, panels, labels }, omitted })
    }
}

/// Where panels lie.
struct Layout {
    columns: usize,
    /// Of a panel, its margins included.
    panel: (f64, f64),
    top: f64,
    label_room: f64,
    height: f64,
    /// Lines of the panels' titles.
    title_lines: usize,
    /// Below each panel, for names and numbers, and its title where it has its own.
    below: f64,
    /// Below all, for the title of the x axis that they share.
    foot: f64,
}

/// Draws `chart`.
pub fn draw(sheet: Sheet, name: &str, chart: &Chart) -> Result<String> {
    let mut entries: Vec<(String, usize)> = Vec::new();
    for line in chart.panels.iter().flat_map(|panel| &panel.lines) {
        if !entries.iter().any(|(_, colour)| *colour == line.colour) {
            entries.push((line.label.clone(), line.colour));
        }
    }
    entries.sort_by_key(|(_, colour)| *colour);
    let at_ends = chart.labels == Labels::AtEveryEnd || chart.labels == Labels::AtEnds && !sheet.is_narrow();
    let legend = match &chart.labels {
        _ if at_ends => Legend::new("", &[], sheet.width),
        Labels::Legend(title) => Legend::new(title, &entries, sheet.width - 24.0),
        _ => Legend::new("", &entries, sheet.width - 24.0),
    };
    let layout = layout(sheet, chart, &entries, &legend, at_ends);
    let titles = panel_titles(chart, &layout);
    // The same name in every panel.
    let names: Vec<String> = entries.iter().map(|(label, _)| label.clone()).collect();
    let names = fitted_apart(&names, SMALL, |_| layout.label_room - 28.0);
    let names: BTreeMap<usize, String> = entries.iter().map(|(_, colour)| *colour).zip(names).collect();
    figure(sheet, name, layout.height, |canvas| {
        legend.draw(canvas, (12.0, 6.0))?;
        let last = chart.panels.len().saturating_sub(1);
        for (i, panel) in chart.panels.iter().enumerate() {
            let x0 = 22.0 + layout.panel.0 * (i % layout.columns) as f64;
            let y0 = layout.top + layout.panel.1 * (i / layout.columns) as f64;
            let labelled = at_ends && (chart.labels == Labels::AtEveryEnd || i == last);
            let each = if chart.labels == Labels::AtEveryEnd { layout.label_room } else { 0.0 };
            let right = x0 + layout.panel.0 - MARGIN.1 - each;
            let below = TITLE_LINE * (layout.title_lines - 1) as f64;
            let (left, top) = (x0 + MARGIN.0, y0 + MARGIN.2 + below);
            let bottom = y0 + layout.panel.1 - layout.below;
            let (x, y) = (panel.x.scale(left, right), panel.y.scale(bottom, top));
            let frame = Frame { x, y, names: &panel.names };
            frame.draw(canvas)?;
            for (line, text) in titles[i].iter().enumerate() {
                let y = y0 + 13.0 + TITLE_LINE * line as f64;
                canvas.text(text, (left, y), TEXT, INK, Anchor::Left)?;
            }
            if layout.foot < AXIS_ROW {
                let title = panel.axis.as_ref().unwrap_or(&chart.titles[0]);
                let (centre, room) = (0.5 * (left + right), layout.panel.0 - 8.0);
                let below = (centre, y0 + layout.panel.1 - 10.0);
                canvas.text(&fitted(title, TEXT, room), below, TEXT, INK, Anchor::Centre)?;
            }
            lines(canvas, &frame, panel)?;
            if labelled {
                end_labels(canvas, &frame, panel, (right, top, bottom), &names)?;
            }
        }
        let [x_title, y_title] = &chart.titles;
        let middle = 0.5 * (layout.top + layout.height + 6.0 - layout.foot);
        let title = fitted(y_title, TEXT, layout.height - 24.0);
        canvas.upward(&title, (11.0, middle), TEXT, INK)?;
        if layout.foot < AXIS_ROW {
            return Ok(());
        }
        let centre = 22.0 + 0.5 * layout.columns as f64 * layout.panel.0 + 0.5 * (MARGIN.0 - MARGIN.1);
        let title = fitted(x_title, TEXT, 2.0 * (sheet.width - centre).min(centre));
        canvas.text(&title, (centre, layout.height - 14.0), TEXT, INK, Anchor::Centre)
    })
}

fn layout(
    sheet: Sheet,
    chart: &Chart,
    entries: &[(String, usize)],
    legend: &Legend,
    at_ends: bool,
) -> Layout {
    let each = chart.labels == Labels::AtEveryEnd;
    let count = chart.panels.len().max(1);
    let widest = entries.iter().map(|(label, _)| width(label, TEXT)).fold(0.0, f64::max);
    let beside_each = |columns: usize| NAMES_BESIDE * (sheet.width - 22.0) / columns as f64;
    let columns = match count {
        _ if sheet.is_narrow() => 1,
        1 => 1,
        // Names that are cut may be names of several lines.
        _ if each && widest + 30.0 > beside_each(2) => 1,
        2 | 4 => 2,
        _ if each => 2,
        _ => 3,
    };
    let most = if each { beside_each(columns) } else { 0.3 * sheet.width };
    let label_room = if at_ends { (widest + 30.0).min(most) } else { 0.0 };
    let beside = if each { 0.0 } else { label_room };
    let wide = (sheet.width - 22.0 - beside) / columns as f64;
    let tall = match (columns, sheet.is_narrow()) {
        (_, true) => 250.0,
        (1, _) if count == 1 => 380.0,
        (1, _) => 300.0,
        (2, _) => 300.0,
        _ => 230.0,
    };
    // Labels of one panel stand below each other.
    let most = chart.panels.iter().map(|panel| panel.lines.len()).max().unwrap_or(0) as f64;
    let tall = if at_ends { f64::max(tall, most * LABEL_PITCH + 70.0) } else { tall };
    let room = wide - MARGIN.0 - 4.0;
    let long = chart.panels.iter().any(|panel| width(&panel.title, TEXT) > room);
    let title_lines = if long { 2 } else { 1 };
    let pitch = |panel: &Panel| {
        let inner = wide - MARGIN.0 - MARGIN.1 - if each { label_room } else { 0.0 };
        inner / (panel.x.high - panel.x.low)
    };
    let two_rows = chart.panels.iter().any(|panel| in_two_rows(&panel.names, pitch(panel)));
    let own_axes = chart.panels.iter().any(|panel| panel.axis.is_some());
    let below = 28.0 + if two_rows { NAME_ROW } else { 0.0 } + if own_axes { AXIS_ROW } else { 0.0 };
    let foot = if own_axes { 8.0 } else { 30.0 };
    let tall = tall + TITLE_LINE * (title_lines - 1) as f64 + below - 28.0;
    let top = legend.height + 8.0;
    let height = top + tall * count.div_ceil(columns) as f64 + foot;
    Layout { columns, panel: (wide, tall), top, label_room, height, title_lines, below, foot }
}

/// The titles of the panels in lines, no two alike.
fn panel_titles(chart: &Chart, layout: &Layout) -> Vec<Vec<String>> {
    let room = layout.panel.0 - MARGIN.0 - 4.0;
    let in_lines = |titles: &[String]| -> Vec<Vec<String>> {
        titles.iter().map(|title| wrapped(title, TEXT, room, layout.title_lines)).collect()
    };
    let titles: Vec<String> = chart.panels.iter().map(|panel| panel.title.clone()).collect();
    let plain = in_lines(&titles);
    let number = |titles: &Vec<Vec<String>>| titles.iter().collect::<std::collections::BTreeSet<_>>().len();
    if number(&plain) == titles.iter().collect::<std::collections::BTreeSet<_>>().len() {
        return plain;
    }
    // Broken into lines, some room is lost at their ends.
    let whole = 0.8 * room * layout.title_lines as f64;
    in_lines(&fitted_apart(&titles, TEXT, |_| whole))
}

fn lines(canvas: &Canvas, frame: &Frame, panel: &Panel) -> Result<()> {
    let within = |y: f64| y.clamp(panel.y.low, panel.y.high);
    panel.others.iter().try_for_each(|(x, y)| canvas.dot(frame.point((*x, within(*y))), 2.2, FAINT))?;
    for ends in panel.guide.windows(2) {
        canvas.dashed(frame.point(ends[0]), frame.point(ends[1]), GREY, 1.2, 4.0)?;
    }
    for line in &panel.lines {
        let tint = colour(line.colour);
        if line.band.len() > 1 {
            let upper = line.band.iter().map(|(x, _, high)| frame.point((*x, within(*high))));
            let lower = line.band.iter().rev().map(|(x, low, _)| frame.point((*x, within(*low))));
            canvas.area(&upper.chain(lower).collect::<Vec<_>>(), tint, 0.14)?;
        }
        let speck = |(x, y): &Point| canvas.speck(frame.point((*x, within(*y))), 2.2, tint, 0.45);
        line.specks.iter().try_for_each(speck)?;
        line.seeds.iter().try_for_each(|seed| frame.series(canvas, seed, tint, 1.0, 0.35))?;
    }
    for line in &panel.lines {
        let tint = colour(line.colour);
        for (x, low, high) in &line.strokes {
            let ends = [frame.point((*x, within(*low))), frame.point((*x, within(*high)))];
            canvas.line(&ends, tint, 1.5, 0.8)?;
        }
        frame.series(canvas, &line.mean, tint, 2.4, 1.0)?;
        if line.dots {
            line.mean.iter().try_for_each(|point| canvas.dot(frame.point(*point), 3.6, tint))?;
        }
    }
    Ok(())
}

/// Names beside the ends of the lines, moved apart where those are close, with a thin stroke from end to name.
fn end_labels(
    canvas: &Canvas,
    frame: &Frame,
    panel: &Panel,
    (right, top, bottom): (f64, f64, f64),
    names: &BTreeMap<usize, String>,
) -> Result<()> {
    let mut ends: Vec<(f64, &Line, Point)> = panel
        .lines
        .iter()
        .filter_map(|line| {
            let (x, y) = *line.mean.last()?;
            let end = frame.point((x, y.clamp(panel.y.low, panel.y.high)));
            Some((end.1, line, end))
        })
        .collect();
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    let wanted: Vec<f64> = ends.iter().map(|(y, ..)| *y).collect();
    let places = apart(&wanted, LABEL_PITCH, top + 6.0, bottom - 6.0);
    for ((_, line, end), y) in ends.into_iter().zip(places) {
        let at = right + 20.0;
        canvas.line(&[(end.0 + 2.0, end.1), (right + 6.0, end.1), (at - 3.0, y)], GREY, 0.8, 0.7)?;
        canvas.line(&[(at - 3.0, y), (at + 3.0, y)], colour(line.colour), 3.0, 1.0)?;
        let name = names.get(&line.colour).map_or("", String::as_str);
        canvas.text(name, (at + 7.0, y), SMALL, INK, Anchor::Left)?;
    }
    Ok(())
}

/// Places near `wanted` (ascending), at least `pitch` apart, between `low` and `high` where they fit there.
pub fn apart(wanted: &[f64], pitch: f64, low: f64, high: f64) -> Vec<f64> {
    let mut places = wanted.to_vec();
    let mut floor = low;
    for place in &mut places {
        *place = place.max(floor);
        floor = *place + pitch;
    }
    let mut ceiling = high.max(low + pitch * (wanted.len() as f64 - 1.0));
    for place in places.iter_mut().rev() {
        *place = place.min(ceiling);
        ceiling = *place - pitch;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_their_distance_and_their_order() {
        let places = apart(&[10.0, 11.0, 12.0, 95.0], 15.0, 0.0, 100.0);
        assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= 15.0 - 1e-9), "{places:?}");
        assert!(places[0] >= 0.0 && places[3] <= 100.0);
        assert_eq!(apart(&[50.0], 15.0, 0.0, 100.0), [50.0]);
        assert_eq!(apart(&[99.0, 99.0], 15.0, 0.0, 100.0), [85.0, 100.0]);
    }
}
