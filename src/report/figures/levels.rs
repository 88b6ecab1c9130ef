//! The levels of a factor from the best to the worst: their means with intervals, and which are told from the best.
use super::axes::Domain;
use super::canvas::{GREY, Sheet};
use super::rows::{Mark, Row, RowBlock, RowPlot, draw};
use crate::report::grid::Ranking;
use crate::report::metric::Metric;
use crate::report::{Result, format};

/// Draws the rankings of one arm, a block for each factor; `None` where there are none.
pub fn levels_figure(
    sheet: Sheet,
    name: &str,
    metric: Metric,
    rankings: &[Ranking],
) -> Result<Option<String>> {
    let blocks: Vec<(String, Vec<Row>)> =
        rankings.iter().map(|ranking| (ranking.factor.name.clone(), rows(metric, ranking))).collect();
    let marks = || blocks.iter().flat_map(|(_, rows)| rows).flat_map(|row| &row.marks);
    let domain = Domain::of(marks().flat_map(Mark::ends), 0.04);
    let unit = if metric.is_share() { "%" } else { metric.unit() };
    let title = format!("{} ({unit}), mean and 95 % interval", metric.name());
    let count = blocks.len();
    let block = |(i, (heading, rows)): (usize, (String, Vec<Row>))| {
        let axis = (i + 1 == count).then(|| title.clone());
        RowBlock { heading, rows, domain, axis, zero: None }
    };
    let blocks = blocks.into_iter().enumerate().map(block).collect();
    let kind = if rankings.iter().all(Ranking::is_simultaneous) { "simultaneous 95 %" } else { "95 %" };
    let note_title = format!("less the best ({kind})");
    draw(sheet, name, &RowPlot { blocks, note_title, legend: Vec::new(), reference: "" })
}

fn rows(metric: Metric, ranking: &Ranking) -> Vec<Row> {
    let scale = if metric.is_share() { 100.0 } else { 1.0 };
    let row = |(place, level): (usize, &crate::report::grid::Level)| {
        let interval = level.mean.interval.map(|i| (scale * i.low, scale * i.high));
        let mut marks: Vec<Mark> =
            level.mean.value.map(|value| Mark::new(scale * value, interval, 0)).into_iter().collect();
        // Grey is a verdict, which only what was asked before the run gets.
        let is_worse = level.told_from_best && ranking.declared;
        marks.iter_mut().filter(|_| is_worse).for_each(|mark| mark.colour = GREY);
        let show = |x: f64| format::difference(metric, x);
        let note = match (place, level.against_best.value, level.against_best.interval) {
            (0, ..) => "best".to_string(),
            (_, Some(d), Some(i)) => format!("{} ({} to {})", show(d), show(i.low), show(i.high)),
            (_, d, _) => d.map_or(String::new(), show),
        };
        Row { label: level.name.clone(), note, marks, ..Row::default() }
    };
    ranking.levels.iter().enumerate().map(row).collect()
}
