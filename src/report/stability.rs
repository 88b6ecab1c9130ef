//! Do seeds prune the same groups? Jaccard index of the kept groups against chance, and the spread of widths.
//!
//! Groups are numbered as in the source model. Seeds that share one source can agree; where every seed has a source
//! of its own, the numbering carries no meaning from one to the other, and chance is what to expect.
use super::figures::prune_curves::group_types;
use super::groups::Group;
use crate::record::{LayerWidths, Results};
use crate::stats::descriptive::{mean, standard_deviation};
use crate::stats::overlap::{jaccard, jaccard_by_chance};
use std::collections::{BTreeMap, BTreeSet};

/// Agreement of the kept groups of one type, averaged over layers and pairs of seeds.
#[derive(Clone, Debug, PartialEq)]
pub struct Agreement {
    pub group_type: String,
    pub jaccard: f64,
    pub chance: f64,
    pub seeds: usize,
}

/// Agreement of two runs on the groups of one type in one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Overlap {
    pub layer: String,
    /// Groups that the layer of the source has.
    pub total: u64,
    /// Groups that either run kept of them.
    pub kept: [u64; 2],
    pub jaccard: f64,
    /// Its expectation for two sets of these sizes drawn blindly.
    pub chance: f64,
}

/// Removed groups by layer, and the number of groups that a layer of the source has.
#[derive(Default)]
struct Removed {
    layers: BTreeMap<String, BTreeSet<u64>>,
    total: Option<u64>,
}

fn removed(results: &Results, run: usize, group_type: &str) -> Removed {
    let mut out = Removed::default();
    for event in results.prune.iter().filter(|k| k.run == run && k.row.group_type == group_type) {
        for (position, index) in event.row.index.split(';').enumerate() {
            if let Ok(index) = index.trim().parse() {
                let layer =
                    if event.row.layer == "all" { position.to_string() } else { event.row.layer.clone() };
                out.layers.entry(layer).or_default().insert(index);
            }
        }
    }
    let mut shares = results.candidates.iter().filter(|k| k.run == run && k.row.group_type == group_type);
    let last_share = shares.next_back().and_then(|k| k.row.pruned_share);
    // The share is removed / total; layers of a non-uniform model differ in what they lost, so the sum counts. A layer
    // that lost nothing has no events, but its groups are in the total; the stem is one layer.
    let count: usize = out.layers.values().map(BTreeSet::len).sum();
    let recorded = if ["stem", "layer"].contains(&group_type) {
        1
    } else {
        results.widths.iter().filter(|k| k.run == run).count()
    };
    let layers = out.layers.len().max(recorded);
    out.total = last_share
        .filter(|s| *s > 0.0 && count > 0)
        .map(|s| (count as f64 / s / layers as f64).round() as u64);
    out
}

/// True where `run` removed groups of `group_type`.
pub fn pruned(results: &Results, run: usize, group_type: &str) -> bool {
    results.prune.iter().any(|k| k.run == run && k.row.group_type == group_type)
}

/// Overlap of the kept groups of two runs in every layer that either of them pruned, in the order of the layers.
pub fn overlaps(results: &Results, a: usize, b: usize, group_type: &str) -> Vec<Overlap> {
    between(&removed(results, a, group_type), &removed(results, b, group_type))
}

fn between(a: &Removed, b: &Removed) -> Vec<Overlap> {
    let Some(total) = a.total.or(b.total) else { return vec![] };
    let mut layers: Vec<&String> = a.layers.keys().chain(b.layers.keys()).collect();
    layers.sort_by_key(|layer| (layer.len(), *layer));
    layers.dedup();
    let of = |layer: &String| {
        let kept = |r: &Removed| -> BTreeSet<u64> {
            let gone = r.layers.get(layer);
            (0..total).filter(|g| gone.is_none_or(|s| !s.contains(g))).collect()
        };
        let (x, y) = (kept(a), kept(b));
        let kept = [x.len() as u64, y.len() as u64];
        let chance = jaccard_by_chance(kept[0], kept[1], total).ok()?;
        Some(Overlap { layer: layer.clone(), total, kept, jaccard: jaccard(&x, &y), chance })
    };
    layers.into_iter().filter_map(of).collect()
}

/// Agreement of the seeds of `group`, for each type it pruned; empty with fewer than two seeds.
pub fn agreements(results: &Results, group: &Group) -> Vec<Agreement> {
    let mut out = Vec::new();
    for group_type in group_types(results) {
        let per_run: Vec<Removed> = group.runs.iter().map(|r| removed(results, *r, group_type)).collect();
        let mut found = vec![];
        for i in 0..per_run.len() {
            for j in 0..i {
                found.extend(between(&per_run[i], &per_run[j]));
            }
        }
        let over = |value: fn(&Overlap) -> f64| mean(&found.iter().map(value).collect::<Vec<_>>());
        if let (Ok(jaccard), Ok(chance)) = (over(|o| o.jaccard), over(|o| o.chance)) {
            out.push(Agreement { group_type: group_type.into(), jaccard, chance, seeds: per_run.len() });
        }
    }
    out
}

/// Mean of a width over layers and seeds, and its standard deviation over seeds (of the mean over layers).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub mean: f64,
    /// `None` with one seed.
    pub deviation: Option<f64>,
}

/// Spread of `width` over the seeds of `group`; `None` where no widths were recorded.
pub fn spread(results: &Results, group: &Group, width: fn(&LayerWidths) -> u64) -> Option<Spread> {
    let per_seed: Vec<f64> = group
        .runs
        .iter()
        .filter_map(|r| {
            let rows = results.widths.iter().filter(|k| k.run == *r);
            mean(&rows.map(|k| width(&k.row) as f64).collect::<Vec<_>>()).ok()
        })
        .collect();
    Some(Spread { mean: mean(&per_seed).ok()?, deviation: standard_deviation(&per_seed).ok() })
}
