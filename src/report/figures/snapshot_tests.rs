//! Every figure on small made-up numbers: its bytes, and that no label is cut off or lies on another, on both sheets.
use super::accuracy::{TaskRow, accuracy_figure};
use super::chart;
use super::critical_difference::{Ranks, critical_difference_figure};
use super::forest::{Difference, forest_figure};
use super::heat_map::{HeatCell, HeatMap, Shading, heat_map};
use super::interaction::{Crossed, interaction_figure};
use super::pareto::{Cost, pareto_figure};
use super::scaling::{ScalingLine, scaling_figure};
use super::tests::{checked, text_boxes};
use super::width_profile::width_figure;
use crate::record::{Keyed, LayerWidths, Results};
use crate::report::groups::Group;
use crate::report::metric::Metric;
use crate::report::scores::Cell;
use crate::stats::Interval;

fn texts(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

fn groups(arms: &[&str]) -> Vec<Group> {
    let group = |(run, arm): (usize, &&str)| Group {
        arm: arm.to_string(),
        point: vec![],
        label: arm.to_string(),
        runs: vec![run],
    };
    arms.iter().enumerate().map(group).collect()
}

const ARMS: [&str; 4] = ["source", "pruning_aware", "one_shot_recover", "direct_proportional_total_tokens"];

#[test]
fn forest() {
    let difference = |metric, value: f64, half: f64| Difference {
        label: "pruning_aware · taylor_mix · layerwise".into(),
        against: "direct_proportional_total_tokens".into(),
        metric,
        value,
        interval: Some(Interval::around(value, half)),
        exploratory: metric == Metric::GoldProbability,
    };
    let rows = [
        difference(Metric::Acc, 0.031, 0.02),
        difference(Metric::Acc, -0.012, 0.034),
        difference(Metric::GoldProbability, 0.005, 0.004),
        difference(Metric::BitsPerByte, -0.021, 0.01),
    ];
    insta::assert_snapshot!("forest", checked("forest", |sheet| forest_figure(sheet, &rows)));
    let narrow = forest_figure(super::Sheet::NARROW, &rows).unwrap().unwrap();
    assert!(!narrow.contains('…'), "a label is cut short: {narrow}");
    assert_eq!(forest_figure(super::Sheet::WIDE, &[]).unwrap(), None);
}

#[test]
fn accuracy() {
    let cell = |mean: f64| Cell { mean: Some(mean), interval: Some(Interval::around(mean, 0.03)), seeds: 3 };
    let row = |task: &str, chance| TaskRow {
        task: task.into(),
        chance: Some(chance),
        cells: vec![cell(0.7), cell(0.62), Cell::default(), cell(0.97)],
    };
    let rows = [row("average", 0.35), row("arc_challenge", 0.25)];
    let svg = checked("accuracy", |sheet| accuracy_figure(sheet, &groups(&ARMS), &[], &rows));
    // Long names in the same letters as short ones.
    let (_, boxes) = text_boxes(&svg);
    let sizes: Vec<f64> = boxes.iter().filter(|b| ARMS.contains(&b.text.as_str())).map(|b| b.size).collect();
    assert_eq!(sizes, [sizes[0]; ARMS.len()]);
    insta::assert_snapshot!("accuracy", svg);
}

#[test]
fn interaction() {
    let cells = vec![
        vec![Some((41.0, Some((39.0, 43.0)))), Some((44.0, Some((42.0, 46.0))))],
        vec![Some((45.0, None)), None],
        vec![Some((47.0, Some((46.0, 48.0)))), Some((43.0, Some((41.0, 45.0))))],
    ];
    let crossed = Crossed {
        names: ["prune.saliency".into(), "prune.update".into()],
        levels: [texts(&["random", "taylor1", "taylor_mix"]), texts(&["none", "layerwise"])],
        cells,
        title: "acc (%)".into(),
    };
    let draw = |sheet| interaction_figure(sheet, "interaction", &crossed);
    insta::assert_snapshot!("interaction", checked("interaction", draw));
}

#[test]
fn scaling() {
    let line = |label: &str, base: f64| ScalingLine {
        label: label.into(),
        points: [1e5, 4e5, 1.6e6]
            .iter()
            .enumerate()
            .map(|(i, x)| {
                (
                    *x,
                    (base + 3.0 * i as f64, Some((base + 3.0 * i as f64 - 1.0, base + 3.0 * i as f64 + 1.0))),
                )
            })
            .collect(),
    };
    let lines = [line("pruning_aware", 40.0), line("direct_proportional_total_tokens", 38.0)];
    let titles = || ["budget.tokens".to_string(), "acc (%)".to_string()];
    insta::assert_snapshot!(
        "scaling",
        checked("scaling", |sheet| scaling_figure(sheet, "scaling", titles(), &lines))
    );
}

#[test]
fn pareto() {
    let quality =
        [Some((68.0, Some((66.0, 70.0)))), Some((61.0, Some((59.0, 63.0)))), Some((57.0, None)), None];
    let costs = [
        Cost { title: "parameters".into(), values: vec![Some(9.2e5), Some(4.6e5), Some(4.6e5), Some(4.6e5)] },
        Cost { title: "writing: ms per token".into(), values: vec![Some(0.4), Some(0.25), Some(0.3), None] },
        Cost { title: "reading: ms per token".into(), values: vec![None; 4] },
    ];
    let drawing = pareto_figure(&groups(&ARMS), &[], ("average_usual (%)", &quality, false), &costs).unwrap();
    let draw = |sheet| chart::draw(sheet, "pareto", &drawing.chart).map(Some);
    insta::assert_snapshot!("pareto", checked("pareto", draw));
}

#[test]
fn widths() {
    let mut results = Results::default();
    for run in 0..3 {
        for layer in 0..4u64 {
            let row = LayerWidths {
                layer,
                // The same in all layers: a number, not a profile.
                hidden_size: 128 - 8 * run as u64,
                num_heads: 4,
                num_kv_heads: 2,
                intermediate_size: 384 - 40 * run as u64 * (layer + 1) / 2,
                head_dim: Some(32),
            };
            results.widths.push(Keyed { run, row });
        }
    }
    let drawing = width_figure(&results, &groups(&ARMS)).unwrap();
    let titles: Vec<&str> = drawing.chart.panels.iter().map(|panel| panel.title.as_str()).collect();
    assert_eq!(titles, ["feed-forward"]);
    let draw = |sheet| chart::draw(sheet, "width_profile", &drawing.chart).map(Some);
    insta::assert_snapshot!("widths", checked("widths", draw));
}

#[test]
fn critical_difference() {
    let levels =
        [("random", 5.0), ("taylor_mix", 1.4), ("magnitude_l2", 3.1), ("taylor1", 2.0), ("wanda", 3.5)];
    let ranks = Ranks {
        levels: levels.iter().map(|(name, rank)| (name.to_string(), *rank)).collect(),
        critical_difference: 2.3,
        count: 7,
    };
    let draw = |sheet| critical_difference_figure(sheet, "ranks", &ranks);
    insta::assert_snapshot!("critical_difference", checked("critical_difference", draw));
    let two = Ranks { levels: ranks.levels[..2].to_vec(), ..ranks };
    assert_eq!(critical_difference_figure(super::Sheet::WIDE, "ranks", &two).unwrap(), None);
}

#[test]
fn heat() {
    let cell = |value: f64| HeatCell {
        value: Some(value),
        text: format!("{value:.1}"),
        interval: format!("{:.1} to {:.1}", value - 1.0, value + 1.0),
    };
    let map = HeatMap {
        row_name: "prune.saliency".into(),
        column_name: "prune.update_hessian".into(),
        rows: texts(&["random", "taylor_mix"]),
        columns: texts(&["none", "layerwise", "layerwise_bias"]),
        cells: vec![
            vec![cell(41.0), cell(44.5), HeatCell::default()],
            vec![cell(47.0), cell(46.0), cell(48.0)],
        ],
        lower_is_better: false,
        shading: Shading::Better,
    };
    insta::assert_snapshot!("heat_map", checked("heat_map", |sheet| heat_map(sheet, "heat", &map)));
}
