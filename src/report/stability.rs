//! Do seeds prune the same groups? Jaccard index of the kept groups against chance, and the spread of widths.
//!
//! Groups are numbered as in the source model. Seeds that share one source can agree; where every seed has a source
//! of its own, the numbering carries no meaning from one to the other, and chance is what to expect.
use super::figures::prune_curves::group_types;
use super::groups::Group;
use crate::record::{LayerWidths, Results};
use crate::stats::descriptive::{mean, standard_deviation};
use crate::stats::overlap::{jaccard, jaccard_by_chance};
use std::borrow::Cow;
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
struct Removed<'a> {
    layers: BTreeMap<Cow<'a, str>, BTreeSet<u64>>,
    total: Option<u64>,
}

/// What every run removed of every type.
pub struct Removals<'a> {
    types: Vec<&'a str>,
    of: BTreeMap<(usize, &'a str), Removed<'a>>,
}

impl<'a> Removals<'a> {
    pub fn of(results: &'a Results) -> Removals<'a> {
        let mut of: BTreeMap<(usize, &str), Removed> = BTreeMap::new();
        for event in &results.prune {
            let removed = of.entry((event.run, &event.row.group_type)).or_default();
            for (position, index) in event.row.index.split(';').enumerate() {
                if let Ok(index) = index.trim().parse() {
                    let layer = match event.row.layer.as_str() {
                        "all" => Cow::Owned(position.to_string()),
                        layer => Cow::Borrowed(layer),
                    };
                    removed.layers.entry(layer).or_default().insert(index);
                }
            }
        }
        let mut last_share: BTreeMap<(usize, &str), Option<f64>> = BTreeMap::new();
        for k in &results.candidates {
            last_share.insert((k.run, &k.row.group_type), k.row.pruned_share);
        }
        let mut recorded: BTreeMap<usize, usize> = BTreeMap::new();
        results.widths.iter().for_each(|k| *recorded.entry(k.run).or_default() += 1);
        for (key, removed) in &mut of {
            // The share is removed / total; layers of a non-uniform model differ in what they lost, so the sum counts. A layer
            // that lost nothing has no events, but its groups are in the total; the stem is one layer.
            let count: usize = removed.layers.values().map(BTreeSet::len).sum();
            let recorded = match key.1 {
                "stem" | "layer" => 1,
                _ => recorded.get(&key.0).copied().unwrap_or(0),
            };
            let layers = removed.layers.len().max(recorded);
            let share = last_share.get(key).copied().flatten();
            removed.total = share
                .filter(|s| *s > 0.0 && count > 0)
                .map(|s| (count as f64 / s / layers as f64).round() as u64);
        }
        Removals { types: group_types(results), of }
    }

    /// Types of groups that the results tell of.
    pub fn types(&self) -> &[&'a str] {
        &self.types
    }

    /// True where `run` removed groups of `group_type`.
    pub fn pruned(&self, run: usize, group_type: &str) -> bool {
        self.of.contains_key(&(run, group_type))
    }

    /// Overlap of the kept groups of two runs in every layer that either of them pruned, in the order of the layers.
    pub fn overlaps(&self, a: usize, b: usize, group_type: &str) -> Vec<Overlap> {
        let none = Removed::default();
        let of = |run: usize| self.of.get(&(run, group_type)).unwrap_or(&none);
        between(of(a), of(b))
    }

    /// Agreement of the seeds of `group`, for each type it pruned; empty with fewer than two seeds.
    pub fn agreements(&self, group: &Group) -> Vec<Agreement> {
        let mut out = Vec::new();
        for group_type in &self.types {
            let mut found = vec![];
            for (i, run) in group.runs.iter().enumerate() {
                group.runs[..i]
                    .iter()
                    .for_each(|other| found.extend(self.overlaps(*run, *other, group_type)));
            }
            let over = |value: fn(&Overlap) -> f64| mean(&found.iter().map(value).collect::<Vec<_>>());
            if let (Ok(jaccard), Ok(chance)) = (over(|o| o.jaccard), over(|o| o.chance)) {
                let seeds = group.runs.len();
                out.push(Agreement { group_type: group_type.to_string(), jaccard, chance, seeds });
            }
        }
        out
    }
}

fn between(a: &Removed<'_>, b: &Removed<'_>) -> Vec<Overlap> {
    let Some(total) = a.total.or(b.total) else { return vec![] };
    let mut layers: Vec<&Cow<str>> = a.layers.keys().chain(b.layers.keys()).collect();
    layers.sort_by_key(|layer| (layer.len(), *layer));
    layers.dedup();
    let of = |layer: &Cow<str>| {
        let kept = |r: &Removed| -> BTreeSet<u64> {
            let gone = r.layers.get(layer);
            (0..total).filter(|g| gone.is_none_or(|s| !s.contains(g))).collect()
        };
        let (x, y) = (kept(a), kept(b));
        let kept = [x.len() as u64, y.len() as u64];
        let chance = jaccard_by_chance(kept[0], kept[1], total).ok()?;
        Some(Overlap { layer: layer.to_string(), total, kept, jaccard: jaccard(&x, &y), chance })
    };
    layers.into_iter().filter_map(of).collect()
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
