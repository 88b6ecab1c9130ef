//! Final widths layer by layer, and which groups of the source both sides kept.
use super::Sides;
use crate::record::{LayerWidths, Results};
use crate::report::groups::mean_over;
use crate::report::stability::Removals;
use crate::stats::descriptive::mean;

/// Widths of one layer, means over the runs of either side; `None` where the side has no such layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerShape {
    pub layer: u64,
    pub hidden_size: [Option<f64>; 2],
    pub num_heads: [Option<f64>; 2],
    pub num_kv_heads: [Option<f64>; 2],
    pub intermediate_size: [Option<f64>; 2],
}

/// Every layer that either side has.
pub fn shapes(results: &Results, sides: &Sides) -> Vec<LayerShape> {
    let runs = [sides.runs(0), sides.runs(1)];
    let all = runs.concat();
    let mut layers: Vec<u64> =
        results.widths.iter().filter(|k| all.contains(&k.run)).map(|k| k.row.layer).collect();
    layers.sort_unstable();
    layers.dedup();
    let shape = |layer: u64| {
        let of = |width: fn(&LayerWidths) -> u64| {
            runs.each_ref().map(|runs| {
                mean_over(runs, |run| {
                    let row = results.widths.iter().find(|k| k.run == run && k.row.layer == layer);
                    row.map(|k| width(&k.row) as f64)
                })
            })
        };
        LayerShape {
            layer,
            hidden_size: of(|w| w.hidden_size),
            num_heads: of(|w| w.num_heads),
            num_kv_heads: of(|w| w.num_kv_heads),
            intermediate_size: of(|w| w.intermediate_size),
        }
    };
    layers.into_iter().map(shape).collect()
}

/// Overlap of the kept groups of one type.
#[derive(Clone, Debug, PartialEq)]
pub enum TypeOverlap {
    /// Only one side (0 or 1) removed groups of this type.
    OneSide {
        group_type: String,
        side: usize,
    },
    Both {
        group_type: String,
        layers: Vec<LayerOverlap>,
    },
}

/// Means over the pairs in one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerOverlap {
    pub layer: String,
    pub total: f64,
    pub kept: [f64; 2],
    pub jaccard: f64,
    pub chance: f64,
}

/// Overlap of every type that a side pruned.
pub fn overlap(results: &Results, sides: &Sides) -> Vec<TypeOverlap> {
    let removals = Removals::of(results);
    let of = |group_type: &&str| {
        let group_type = *group_type;
        let some = |side: usize| sides.runs(side).into_iter().any(|run| removals.pruned(run, group_type));
        match (some(0), some(1)) {
            (false, false) => None,
            (true, true) => {
                let layers = layers(&removals, sides, group_type);
                Some(TypeOverlap::Both { group_type: group_type.into(), layers })
            }
            (first, _) => {
                Some(TypeOverlap::OneSide { group_type: group_type.into(), side: usize::from(!first) })
            }
        }
    };
    removals.types().iter().filter_map(of).collect()
}

fn layers(removals: &Removals<'_>, sides: &Sides, group_type: &str) -> Vec<LayerOverlap> {
    let found: Vec<_> = sides.pairs.iter().flat_map(|(a, b)| removals.overlaps(*a, *b, group_type)).collect();
    let mut names: Vec<&String> = found.iter().map(|o| &o.layer).collect();
    names.sort_by_key(|name| (name.len(), *name));
    names.dedup();
    let one = |name: &String| {
        let here: Vec<_> = found.iter().filter(|o| o.layer == *name).collect();
        let over = |value: &dyn Fn(&crate::report::stability::Overlap) -> f64| {
            mean(&here.iter().map(|o| value(o)).collect::<Vec<_>>()).unwrap_or_default()
        };
        LayerOverlap {
            layer: name.clone(),
            total: over(&|o| o.total as f64),
            kept: [over(&|o| o.kept[0] as f64), over(&|o| o.kept[1] as f64)],
            jaccard: over(&|o| o.jaccard),
            chance: over(&|o| o.chance),
        }
    };
    names.into_iter().map(one).collect()
}
