//! What a probe found: how well each rule ranks groups (one row each), and the true change of loss along each rule's order (a
//! panel each).
use super::axes::Domain;
use super::canvas::{Point, Sheet};
use super::chart::{Drawing, Labels, Line, Panel};
use super::rows::{Mark, Row, RowBlock, RowPlot, draw};
use crate::report::Result;
use crate::report::format;
use crate::report::probe::{Probe, ProbedRule};
use crate::stats::descriptive::{mean, quantile};

/// Dots of one panel at most: some hundred show a cloud as well as thousands.
const MAX_DOTS: usize = 120;
/// Parts of a rule's order whose means are joined.
const PARTS: usize = 10;

/// Rank correlations with their intervals, a block for each type of groups; `None` where there is none.
pub fn correlations_figure(sheet: Sheet, probe: &Probe) -> Result<Option<String>> {
    let types = probe.types();
    let row = |rule: &ProbedRule| -> Option<Row> {
        let value = rule.spearman?;
        let interval = rule.spearman_low.zip(rule.spearman_high);
        Some(Row {
            label: rule.name(),
            note: correlation(rule),
            marks: vec![Mark::new(value, interval, 0)],
            ..Row::default()
        })
    };
    let blocks: Vec<(&str, Vec<Row>)> = types
        .iter()
        .map(|group_type| (*group_type, probe.ranked(group_type).into_iter().filter_map(row).collect()))
        .collect();
    let ends = blocks.iter().flat_map(|(_, rows)| rows).flat_map(|row| row.marks.iter().flat_map(Mark::ends));
    let domain = Domain::of(ends.chain([0.0]), 0.04);
    let last = blocks.len();
    let block = |(i, (group_type, rows)): (usize, (&str, Vec<Row>))| RowBlock {
        heading: group_type.to_string(),
        rows,
        domain,
        axis: (i + 1 == last).then(|| "Spearman's ρ of score and change of loss".to_string()),
        zero: Some(["← wrong way round", "right way round →"]),
    };
    let blocks = blocks.into_iter().enumerate().map(block).collect();
    let note_title = "ρ (95 % interval)".to_string();
    draw(sheet, "predictiveness", &RowPlot { blocks, note_title, legend: Vec::new(), reference: "" })
}

/// `0.40 (0.33 to 0.45)`.
pub fn correlation(rule: &ProbedRule) -> String {
    let show = |x: f64| format::fixed(Some(x), 2);
    match (rule.spearman, rule.spearman_low, rule.spearman_high) {
        (Some(rho), Some(low), Some(high)) => format!("{} ({} to {})", show(rho), show(low), show(high)),
        (rho, ..) => rho.map_or(String::new(), show),
    }
}

/// A panel for each rule on groups of `group_type`, the best predictor first; `None` where no group is recorded.
pub fn predicted_figure(probe: &Probe, group_type: &str) -> Option<Drawing> {
    let of_rules: Vec<(&ProbedRule, Vec<Point>)> = probe
        .ranked(group_type)
        .into_iter()
        .map(|rule| (rule, probe.predicted(rule)))
        .filter(|(_, points)| !points.is_empty())
        .collect();
    let changes: Vec<f64> = of_rules.first()?.1.iter().map(|p| p.1).collect();
    let means: Vec<Vec<Point>> = of_rules.iter().map(|(_, points)| means_of_parts(points)).collect();
    // A few groups matter more than all others together: they are drawn at the edge.
    let ends = [0.02, 0.96].map(|share| quantile(&changes, share).unwrap_or(0.0));
    let y = Domain::of(means.iter().flatten().map(|p| p.1).chain(ends), 0.05);
    let x = Domain { low: 0.0, high: 100.0, log: false };
    let panels = of_rules.iter().zip(means).map(|((rule, points), mean)| {
        let every = points.len().div_ceil(MAX_DOTS);
        let specks = points.iter().copied().step_by(every).collect();
        let label = "mean of each tenth of the order".to_string();
        let line = Line { label, mean, specks, ..Line::default() };
        let rho =
            rule.spearman.map_or(String::new(), |rho| format!(" · ρ = {}", format::fixed(Some(rho), 2)));
        Panel::new(format!("{}{rho}", rule.name()), x, y, vec![line])
    });
    let titles = ["place in the rule's order (%; 0: removed first)", "change of loss (nats per token)"];
    Drawing::new(titles.map(String::from), panels.collect(), Labels::Legend(String::new()))
}

/// Mean place and mean change in equal parts of the order, along which `points` ascend; groups that share a place are not parted.
fn means_of_parts(points: &[Point]) -> Vec<Point> {
    let part = |point: &Point| (point.0 / 100.0 * PARTS as f64) as usize;
    let parts = points.chunk_by(|a, b| part(a) == part(b));
    let of = |part: &[Point], pick: fn(&Point) -> f64| mean(&part.iter().map(pick).collect::<Vec<_>>()).ok();
    parts.filter_map(|part| Some((of(part, |p| p.0)?, of(part, |p| p.1)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::chart;
    use super::super::tests::checked;
    use super::*;
    use crate::report::probe::tests::write;

    /// The heads of five layers of four stand at four places: the line does not go up and down at one of them.
    #[test]
    fn groups_at_one_place_have_one_mean() {
        let points: Vec<Point> = (0..20).map(|i| (12.5 + 25.0 * f64::from(i / 5), f64::from(i))).collect();
        assert_eq!(means_of_parts(&points), [(12.5, 2.0), (37.5, 7.0), (62.5, 12.0), (87.5, 17.0)]);
        let many: Vec<Point> = (0..100).map(|i| (f64::from(i) + 0.5, 1.0)).collect();
        assert_eq!(means_of_parts(&many).len(), PARTS);
    }

    #[test]
    fn each_rule_has_its_row_and_its_panel() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path());
        let probe = Probe::read(folder.path()).unwrap().unwrap();
        checked("predictiveness", |sheet| correlations_figure(sheet, &probe));
        let drawing = predicted_figure(&probe, "ffn").unwrap();
        let titles: Vec<&str> = drawing.chart.panels.iter().map(|panel| panel.title.as_str()).collect();
        let named = ["fisher_group (position) · ρ = 1.00", "magnitude_l2 · ρ = −1.00"];
        assert_eq!(titles, named);
        let rising = |panel: &Panel| panel.lines[0].mean.windows(2).all(|pair| pair[0].1 < pair[1].1);
        assert!(rising(&drawing.chart.panels[0]) && !rising(&drawing.chart.panels[1]));
        assert_eq!(drawing.chart.panels[0].lines[0].specks.len(), 40);
        checked("predicted-ffn", |sheet| chart::draw(sheet, "predicted-ffn", &drawing.chart).map(Some));
        assert!(predicted_figure(&probe, "head").is_none());
    }
}
