//! What pruning did: a value per group type of `candidates.csv`, a panel for each configuration that prunes step by step.
use super::axes::Domain;
use super::canvas::Point;
use super::chart::{Drawing, Labels, Line, MAX_PANELS, Panel};
use super::series::{last_per_token, mean_of_steps, stairs};
use crate::record::{CandidateRow, Results};
use crate::report::groups::{Group, by_run, short_names};
use std::collections::{BTreeMap, BTreeSet};

/// Types of groups that every figure of them names, whether a run prunes them or not.
pub const TYPES: [&str; 3] = ["ffn", "head", "stem"];

/// The types that figures and tables of `results` tell apart: [`TYPES`], then every other that a run prunes, by its name.
pub fn group_types(results: &Results) -> Vec<&str> {
    let pruned: BTreeSet<&str> = results.candidates.iter().map(|k| k.row.group_type.as_str()).collect();
    TYPES.into_iter().chain(pruned.into_iter().filter(|name| !TYPES.contains(name))).collect()
}

/// What is drawn.
pub struct PruneCurve {
    pub name: &'static str,
    pub title: &'static str,
    pub log: bool,
    pub value: fn(&CandidateRow) -> Option<f64>,
}

/// `curve` of all groups; `None` where nothing was pruned in steps.
pub fn prune_figure(results: &Results, groups: &[Group], curve: &PruneCurve) -> Option<Drawing> {
    let types = group_types(results);
    let tokens: BTreeMap<(usize, u64), u64> =
        results.prune.iter().map(|k| ((k.run, k.row.event), k.row.tokens_seen)).collect();
    let candidates = by_run(&results.candidates);
    let at = |run: usize, row: &CandidateRow| -> Option<Point> {
        Some((*tokens.get(&(run, row.event))? as f64, (curve.value)(row)?))
    };
    let mut panels: Vec<(String, Vec<Line>)> = Vec::new();
    let mut omitted = 0;
    let names = short_names(&groups.iter().collect::<Vec<_>>(), &results.axes);
    for (group, name) in groups.iter().zip(names) {
        let mut lines = Vec::new();
        for (colour, group_type) in types.iter().enumerate() {
            let of_run = |run: &usize| {
                let rows = candidates.get(run).into_iter().flatten();
                let rows = rows.filter(|row| row.group_type == *group_type);
                last_per_token(rows.filter_map(|row| at(*run, row)).filter(|p| !curve.log || p.1 > 0.0))
            };
            let seeds: Vec<Vec<Point>> = group.runs.iter().map(of_run).filter(|c| c.len() > 1).collect();
            if seeds.is_empty() {
                continue;
            }
            if panels.len() == MAX_PANELS {
                omitted += 1;
                break;
            }
            // A share stands still between events; a saliency is only sampled at them.
            let shape = |x: Vec<Point>| if curve.log { x } else { stairs(&x) };
            let mean = shape(mean_of_steps(&seeds));
            let seeds = seeds.into_iter().map(shape).collect();
            lines.push(Line { label: group_type.to_string(), colour, seeds, mean, ..Line::default() });
        }
        if !lines.is_empty() {
            panels.push((name, lines));
        }
    }
    let points = || panels.iter().flat_map(|(_, l)| l.iter().flat_map(|s| s.seeds.iter().flatten().copied()));
    let x = Domain::of(points().map(|p| p.0).chain([0.0]), 0.0);
    let values = points().map(|p| p.1);
    let y = match curve.log {
        true => Domain::of(values, 0.0).logarithmic(),
        false => Domain { low: 0.0, high: (1.05 * values.fold(0.0, f64::max)).max(1e-3), log: false },
    };
    let labels = if panels.len() == 1 { Labels::AtEnds } else { Labels::Legend(String::new()) };
    let panels = panels.into_iter().map(|(title, lines)| Panel::new(title, x, y, lines)).collect();
    let titles = ["tokens trained on by the run", curve.title].map(String::from);
    let drawing = Drawing::new(titles, panels, labels)?;
    Some(Drawing { omitted, ..drawing })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Keyed;

    /// A type that no figure names of itself keeps its own name; it is no other type's line.
    #[test]
    fn every_type_of_group_is_named_as_the_record_names_it() {
        let candidates = ["stem", "expert", "ffn", "layer", "expert"];
        let row = |name: &&str| CandidateRow {
            event: 0,
            group_type: name.to_string(),
            saliency: None,
            pruned_share: Some(0.5),
        };
        let candidates = candidates.iter().map(|name| Keyed { run: 0, row: row(name) }).collect();
        let results = Results { candidates, ..Results::default() };
        assert_eq!(group_types(&results), ["ffn", "head", "stem", "expert", "layer"]);
        assert_eq!(group_types(&Results::default()), TYPES);
    }
}
