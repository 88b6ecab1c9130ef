//! What a probe comes to: rank correlations of scores with true changes of loss, and the two tables.
//!
//! ```text
//! ρ = mean over calibration sets and layers of Spearman(score, Δloss) over the groups of a layer
//! interval: 95 %, percentiles over 1000 resamples of groups within layers and of calibration sets
//! lowest quarter: Σ Δloss of the quarter of each layer's groups that the rule would remove first, mean over sets
//! ```
use crate::base::files::write_atomic;
use crate::base::random::stream;
use crate::spec::GroupType;
use crate::stats::correlation::spearman;
use crate::train::probe::{Probe, RuleScores};
use anyhow::Result;
use rand::RngExt;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

pub(super) use crate::record::dictionary::{PROBE as RULES, PROBE_GROUPS as GROUPS};

const RESAMPLES: usize = 1000;

/// One rule on one type of groups.
#[derive(Clone, Debug, Serialize)]
pub(super) struct RuleRow {
    pub rule: String,
    pub fisher_unit: Option<String>,
    #[serde(rename = "type")]
    pub group_type: String,
    pub layers: usize,
    pub groups: usize,
    pub calibrations: usize,
    /// Empty where scores or changes of loss are all alike.
    pub spearman: Option<f64>,
    pub spearman_low: Option<f64>,
    pub spearman_high: Option<f64>,
    /// Empty where no layer has four groups.
    pub lowest_quarter_delta: Option<f64>,
    pub oracle_quarter_delta: Option<f64>,
}

#[derive(Serialize)]
struct GroupRow<'a> {
    rule: &'a str,
    fisher_unit: Option<&'a str>,
    calibration: usize,
    #[serde(rename = "type")]
    group_type: &'a str,
    layer: usize,
    index: usize,
    score: f64,
    delta_loss: f64,
}

fn name(kind: GroupType) -> String {
    serde_json::json!(kind).as_str().unwrap_or_default().to_string()
}

/// Writes both tables into `results`.
pub(super) fn write(results: &Path, probe: &Probe) -> Result<Vec<RuleRow>> {
    std::fs::create_dir_all(results)?;
    let mut table = csv::Writer::from_writer(Vec::new());
    for RuleScores { rule, fisher_unit, calibration, scores } in &probe.scores {
        for (group, score) in probe.groups.iter().zip(scores) {
            table.serialize(GroupRow {
                rule: rule.name,
                fisher_unit: fisher_unit.map(|unit| unit.name()),
                calibration: *calibration,
                group_type: &name(group.kind),
                layer: group.layer,
                index: group.index,
                score: *score,
                delta_loss: group.delta,
            })?;
        }
    }
    write_atomic(&results.join(GROUPS), &table.into_inner()?)?;
    let rows = rows(probe);
    let mut table = csv::Writer::from_writer(Vec::new());
    rows.iter().try_for_each(|row| table.serialize(row))?;
    write_atomic(&results.join(RULES), &table.into_inner()?)?;
    Ok(rows)
}

/// Of every rule, in order of mention, on every type.
fn rows(probe: &Probe) -> Vec<RuleRow> {
    let mut kinds: Vec<GroupType> = probe.groups.iter().map(|group| group.kind).collect();
    kinds.dedup();
    let mut labels: Vec<(&str, Option<&str>)> = Vec::new();
    for scores in &probe.scores {
        let label = (scores.rule.name, scores.fisher_unit.map(|unit| unit.name()));
        if !labels.contains(&label) {
            labels.push(label);
        }
    }
    let pairs = labels.into_iter().flat_map(|label| kinds.iter().map(move |kind| (label, *kind)));
    pairs
        .map(|((rule, unit), kind)| {
            let sets: Vec<&[f64]> = probe
                .scores
                .iter()
                .filter(|scores| {
                    (scores.rule.name, scores.fisher_unit.map(|unit| unit.name())) == (rule, unit)
                })
                .map(|scores| scores.scores.as_slice())
                .collect();
            row(probe, (rule, unit), kind, &sets)
        })
        .collect()
}

fn row(probe: &Probe, (rule, unit): (&str, Option<&str>), kind: GroupType, sets: &[&[f64]]) -> RuleRow {
    // Places in the list of groups, by layer.
    let mut layers: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (at, group) in probe.groups.iter().enumerate().filter(|(_, group)| group.kind == kind) {
        layers.entry(group.layer).or_default().push(at);
    }
    let layers: Vec<Vec<usize>> = layers.into_values().collect();
    let delta = |at: &usize| probe.groups[*at].delta;
    let correlation = |sets: &[&[f64]], layers: &[Vec<usize>]| -> Option<f64> {
        let mut all = Vec::new();
        for scores in sets {
            for places in layers {
                let x: Vec<f64> = places.iter().map(|at| scores[*at]).collect();
                let y: Vec<f64> = places.iter().map(delta).collect();
                all.extend(spearman(&x, &y).ok());
            }
        }
        (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
    };
    let mut generator = stream(1, &format!("probe/interval/{rule}/{}", name(kind)));
    let mut resampled: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            let drawn: Vec<&[f64]> =
                sets.iter().map(|_| sets[generator.random_range(0..sets.len())]).collect();
            let layers: Vec<Vec<usize>> = layers
                .iter()
                .map(|places| {
                    places.iter().map(|_| places[generator.random_range(0..places.len())]).collect()
                })
                .collect();
            correlation(&drawn, &layers)
        })
        .collect();
    resampled.sort_by(f64::total_cmp);
    let percentile =
        |share: f64| resampled.get(((resampled.len().max(1) - 1) as f64 * share).round() as usize).copied();
    let quarter = |key: &dyn Fn(usize) -> f64| -> f64 {
        let of_layer = |places: &Vec<usize>| -> f64 {
            let mut order = places.clone();
            order.sort_by(|a, b| key(*a).total_cmp(&key(*b)));
            order[..order.len() / 4].iter().map(delta).sum()
        };
        layers.iter().map(of_layer).sum()
    };
    let has_quarters = layers.iter().any(|places| places.len() >= 4);
    let lowest = sets.iter().map(|scores| quarter(&|at| scores[at])).sum::<f64>() / sets.len().max(1) as f64;
    RuleRow {
        rule: rule.to_string(),
        fisher_unit: unit.map(str::to_string),
        group_type: name(kind),
        layers: layers.len(),
        groups: layers.iter().map(Vec::len).sum(),
        calibrations: sets.len(),
        spearman: correlation(sets, &layers),
        spearman_low: percentile(0.025),
        spearman_high: percentile(0.975),
        lowest_quarter_delta: has_quarters.then_some(lowest),
        oracle_quarter_delta: has_quarters.then(|| quarter(&|at| probe.groups[at].delta)),
    }
}

/// The table that people read, best predictor of each type first.
pub(super) fn text(probe: &Probe, rows: &[RuleRow]) -> String {
    let mut text = format!(
        "held-out loss {:.4} nats per token; {} groups removed one by one\n\n{:<8} {:<18} {:<9} {:>8}  {:<17} {:>15} {:>8}\n",
        probe.loss,
        probe.groups.len(),
        "type",
        "rule",
        "unit of F",
        "Spearman",
        "95 % interval",
        "lowest quarter",
        "oracle"
    );
    let mut rows: Vec<&RuleRow> = rows.iter().collect();
    rows.sort_by(|a, b| {
        let value = |row: &RuleRow| row.spearman.unwrap_or(f64::NEG_INFINITY);
        a.group_type.cmp(&b.group_type).then(value(b).total_cmp(&value(a)))
    });
    for row in rows {
        let number = |x: Option<f64>| x.map_or(String::new(), |x| format!("{x:.3}"));
        let interval = format!("{} to {}", number(row.spearman_low), number(row.spearman_high));
        let _ = writeln!(
            text,
            "{:<8} {:<18} {:<9} {:>8}  {:<17} {:>15} {:>8}",
            row.group_type,
            row.rule,
            row.fisher_unit.as_deref().unwrap_or(""),
            number(row.spearman),
            interval,
            number(row.lowest_quarter_delta),
            number(row.oracle_quarter_delta)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::saliency::Saliency;
    use crate::train::probe::ProbedGroup;

    /// Two layers of four groups: a rule that ranks them as the loss does, and one that ranks them the other way round.
    #[test]
    fn a_perfect_rule_has_one_and_a_reversed_one_minus_one() {
        let deltas = [0.1, 0.4, 0.2, 0.3, 1.0, 4.0, 3.0, 2.0];
        let group = |(i, delta): (usize, &f64)| ProbedGroup {
            kind: GroupType::Ffn,
            layer: i / 4,
            index: i % 4,
            delta: *delta,
        };
        let scores = |rule, factor: f64| RuleScores {
            rule,
            fisher_unit: None,
            calibration: 0,
            scores: deltas.iter().map(|delta| factor * delta).collect(),
        };
        let probe = Probe {
            loss: 2.0,
            groups: deltas.iter().enumerate().map(group).collect(),
            scores: vec![scores(Saliency::TAYLOR1, 2.0), scores(Saliency::MAGNITUDE_L2, -1.0)],
        };
        let folder = tempfile::tempdir().unwrap();
        let rows = write(folder.path(), &probe).unwrap();
        assert_eq!(rows.iter().map(|row| row.spearman).collect::<Vec<_>>(), [Some(1.0), Some(-1.0)]);
        // A quarter of four groups is one: the least change of each layer, and the greatest.
        let deltas: Vec<f64> = rows.iter().filter_map(|row| row.lowest_quarter_delta).collect();
        assert!((deltas[0] - 1.1).abs() < 1e-12 && (deltas[1] - 4.4).abs() < 1e-12, "{deltas:?}");
        assert!(
            rows.iter().all(|row| (row.oracle_quarter_delta.unwrap() - 1.1).abs() < 1e-12 && row.groups == 8)
        );
        // There is no quarter of three groups.
        let few = Probe {
            loss: 2.0,
            groups: probe.groups[..3].to_vec(),
            scores: vec![RuleScores { scores: vec![0.1, 0.4, 0.2], ..scores(Saliency::TAYLOR1, 1.0) }],
        };
        let row = &write(tempfile::tempdir().unwrap().path(), &few).unwrap()[0];
        assert_eq!((row.lowest_quarter_delta, row.oracle_quarter_delta, row.groups), (None, None, 3));
        let table = std::fs::read_to_string(folder.path().join(GROUPS)).unwrap();
        assert!(table.starts_with(
            "rule,fisher_unit,calibration,type,layer,index,score,delta_loss\ntaylor1,,0,ffn,0,0,0.2,0.1\n"
        ));
        assert!(text(&probe, &rows).contains("taylor1"));
        for file in [GROUPS, RULES] {
            let table = std::fs::read_to_string(folder.path().join(file)).unwrap();
            let header: Vec<&str> = table.lines().next().unwrap().split(',').collect();
            assert_eq!(header, crate::record::dictionary::columns(file), "{file} and the data dictionary");
        }
    }
}
