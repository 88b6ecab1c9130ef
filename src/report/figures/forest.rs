//! Forest plot: each difference with its interval, against no difference; a block for each metric. What was asked after there were
//! results is grey.
use super::axes::Domain;
use super::canvas::{GREY, Sheet};
use super::rows::{Mark, Row, RowBlock, RowPlot, draw};
use crate::report::metric::Metric;
use crate::report::{Result, format};
use crate::stats::Interval;

/// One difference, in its metric's own unit.
#[derive(Clone, Debug)]
pub struct Difference {
    pub label: String,
    /// What it is compared with.
    pub against: String,
    pub metric: Metric,
    pub value: f64,
    pub interval: Option<Interval>,
    /// Asked after there were results.
    pub exploratory: bool,
}

/// Draws `differences`; `None` where there are none.
pub fn forest_figure(sheet: Sheet, differences: &[Difference]) -> Result<Option<String>> {
    let mut metrics: Vec<Metric> = Vec::new();
    for difference in differences {
        if !metrics.contains(&difference.metric) {
            metrics.push(difference.metric);
        }
    }
    let blocks = metrics.into_iter().map(|metric| block(metric, differences)).collect();
    let note_title = "difference (95 % interval)".to_string();
    draw(sheet, "differences", &RowPlot { blocks, note_title, legend: Vec::new(), reference: "" })
}

fn block(metric: Metric, differences: &[Difference]) -> RowBlock {
    let rows: Vec<Row> = differences.iter().filter(|d| d.metric == metric).map(row).collect();
    let ends = rows.iter().flat_map(|row| row.marks.iter().flat_map(Mark::ends)).chain([0.0]);
    RowBlock {
        heading: String::new(),
        domain: Domain::of(ends, 0.08),
        axis: Some(format!("variant − baseline in {} ({})", metric.name(), metric.unit())),
        zero: Some(match metric.lower_is_better() {
            true => ["← variant better", "baseline better →"],
            false => ["← baseline better", "variant better →"],
        }),
        rows,
    }
}

fn row(d: &Difference) -> Row {
    let scale = if d.metric.is_share() { 100.0 } else { 1.0 };
    let show = |x: f64| format::difference(d.metric, x);
    let note = match d.interval {
        Some(i) => format!("{} ({} to {})", show(d.value), show(i.low), show(i.high)),
        None => show(d.value),
    };
    let interval = d.interval.map(|i| (scale * i.low, scale * i.high));
    let mark = Mark::new(scale * d.value, interval, 0);
    Row {
        label: d.label.clone(),
        detail: format!("− {}", d.against),
        note,
        marks: vec![if d.exploratory { Mark { colour: GREY, ..mark } } else { mark }],
        reference: None,
    }
}
