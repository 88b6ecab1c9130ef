//! Widths of the final models over depth: thin lines are seeds, the thick one is their mean.
use super::axes::Domain;
use super::canvas::Point;
use super::chart::{Drawing, Line, Panel};
use super::curves::labels;
use super::encoding::encode;
use crate::record::{LayerWidths, Results};
use crate::report::groups::{Group, by_run};

/// A width of a layer; `None` where it is not recorded.
type Width = fn(&LayerWidths) -> Option<u64>;

const WIDTHS: [(&str, Width); 5] = [
    ("feed-forward", |w| Some(w.intermediate_size)),
    ("heads", |w| Some(w.num_heads)),
    ("key-value heads", |w| Some(w.num_kv_heads)),
    ("head channels", |w| w.head_dim),
    ("hidden channels", |w| Some(w.hidden_size)),
];

/// The widths that differ between the layers of any model; `None` where none does. One that is the same in all layers is a
/// number, which the table of widths has.
pub fn width_figure(results: &Results, groups: &[Group]) -> Option<Drawing> {
    let widths = by_run(&results.widths);
    let of_run = |run: &usize, width: Width| -> Vec<Point> {
        let rows = widths.get(run).into_iter().flatten();
        rows.filter_map(|row| Some((row.layer as f64, width(row)? as f64))).collect()
    };
    // Of all groups, so that a configuration has one colour in all figures.
    let encoding = encode(&groups.iter().collect::<Vec<_>>(), &results.axes);
    let mut panels: Vec<Panel> = Vec::new();
    for (name, width) in WIDTHS {
        let mut parts: Vec<Vec<Line>> = vec![Vec::new(); encoding.panels.len()];
        for (group, (colour, panel)) in groups.iter().zip(&encoding.places) {
            let seeds: Vec<Vec<Point>> =
                group.runs.iter().map(|run| of_run(run, width)).filter(|s| !s.is_empty()).collect();
            if seeds.is_empty() {
                continue;
            }
            let label = encoding.colours[*colour].clone();
            let mean = mean_by_layer(&seeds);
            parts[*panel].push(Line { label, colour: *colour, seeds, mean, dots: true, ..Line::default() });
        }
        let points = || parts.iter().flatten().flat_map(|line| line.seeds.iter().flatten().copied());
        let y = Domain::of(points().map(|p| p.1), 0.08);
        let seeds = || parts.iter().flatten().flat_map(|line| &line.seeds);
        if seeds().all(|layers| layers.windows(2).all(|pair| pair[0].1 == pair[1].1)) {
            continue;
        }
        let x = Domain::of(points().map(|p| p.0), 0.02);
        let last = points().map(|p| p.0 as usize).max().unwrap_or(0);
        let layers: Vec<String> = (0..=last).map(|layer| layer.to_string()).collect();
        for (title, lines) in encoding.panels.iter().zip(parts).filter(|(_, lines)| !lines.is_empty()) {
            let title = if title.is_empty() { name.to_string() } else { format!("{name} · {title}") };
            let mut panel = Panel::new(title, x, y, lines);
            panel.names.clone_from(&layers);
            panels.push(panel);
        }
    }
    let labels = labels(&encoding, panels.len() == 1);
    Drawing::new(["layer".to_string(), "width of the final model".to_string()], panels, labels)
}

/// Mean over the seeds that have a layer, which all have unless whole layers were pruned.
fn mean_by_layer(seeds: &[Vec<Point>]) -> Vec<Point> {
    let last = seeds.iter().flatten().map(|p| p.0).fold(0.0, f64::max) as u64;
    let mean = |layer: u64| {
        let at: Vec<f64> = seeds.iter().flatten().filter(|p| p.0 == layer as f64).map(|p| p.1).collect();
        (!at.is_empty()).then(|| (layer as f64, at.iter().sum::<f64>() / at.len() as f64))
    };
    (0..=last).filter_map(mean).collect()
}
