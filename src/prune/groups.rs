//! Mini-groups: the smallest sets of coupled parameters whose removal leaves a valid Llama-family model (method §1).
//!
//! | type | group `i` is | parameters |
//! |---|---|---|
//! | `ffn` | channels i·k … i·k + k − 1 of a layer, k = `block` | 3·k·d |
//! | `head`, `kv_group` | key-value head i of a layer with its H/K query heads | (2·H/K + 2)·h·d, biases (H/K + 2)·h |
//! | `head`, `query_per_group` | query head i of every key-value head of a layer | 2·K·h·d, biases K·h |
//! | `stem` | hidden channels i·k … i·k + k − 1 of the model | k·(V·(1 + untied) + 1 + Σ_ℓ (2 + 2·H·h + 2·K·h + 3·f)) |
//!
//! Blocks are cut once, in the source, so a group keeps its number (its *original index*) while others
//! disappear, and `block` must divide the width. Floors (`min_ffn`, `min_heads`, `min_stem`) count groups.
//! With `scope = "uniform"` an event takes one `ffn` or `head` group in every layer.
use super::error::PruneError;
use super::survivors::Survivors;
use crate::model::{Biases, LayerShape, ModelConfig};
use crate::spec::{GroupType, HeadUnit, PruneSpec};

/// All types in the order that breaks ties; `kind as usize` is the place in it.
pub const TYPES: [GroupType; 3] = [GroupType::Ffn, GroupType::Head, GroupType::Stem];

/// How models of one source are cut into groups. `config` arguments are shapes reached from that source.
#[derive(Clone, Debug, PartialEq)]
pub struct Groups {
    block: usize,
    head_unit: HeadUnit,
    allowed: [bool; 3],
    floors: [usize; 3],
    /// H/K of each layer of the source.
    ratios: Vec<usize>,
}

impl Groups {
    /// # Errors
    /// [`PruneError::Indivisible`], [`PruneError::HeadLayout`] and [`PruneError::FloorAboveModel`].
    pub fn new(spec: &PruneSpec, source: &ModelConfig) -> Result<Self, PruneError> {
        for (layer, shape) in source.layers.iter().enumerate() {
            let LayerShape { num_heads, num_kv_heads, .. } = *shape;
            if num_kv_heads == 0 || num_heads == 0 || !num_heads.is_multiple_of(num_kv_heads) {
                let nearest = num_heads.next_multiple_of(num_kv_heads.max(1)).max(1);
                return Err(PruneError::HeadLayout { layer, num_heads, num_kv_heads, nearest });
            }
        }
        let groups = Groups {
            block: spec.block,
            head_unit: spec.head_unit,
            allowed: TYPES.map(|kind| spec.types.contains(&kind)),
            floors: [spec.min_ffn, spec.min_heads, spec.min_stem].map(|floor| floor.max(1)),
            ratios: source.layers.iter().map(|shape| shape.num_heads / shape.num_kv_heads).collect(),
        };
        let ffn = source.layers.iter().map(|shape| ("intermediate_size", shape.intermediate_size));
        let stem = [("hidden_size", source.hidden_size)];
        for (kind, widths) in [(GroupType::Ffn, ffn.collect()), (GroupType::Stem, stem.to_vec())] {
            for (width_name, width) in widths {
                if groups.allows(kind) && (spec.block == 0 || width % spec.block != 0) {
                    let nearest = nearest_divisors(spec.block, width);
                    return Err(PruneError::Indivisible { block: spec.block, width_name, width, nearest });
                }
            }
        }
        for (kind, key) in TYPES.into_iter().zip(["prune.min_ffn", "prune.min_heads", "prune.min_stem"]) {
            let (floor, most) = (groups.floor(kind), groups.fewest(kind, source));
            if groups.allows(kind) && floor > most {
                return Err(PruneError::FloorAboveModel { key, floor, most });
            }
        }
        Ok(groups)
    }

    /// Whether `prune.types` names this type.
    pub fn allows(&self, kind: GroupType) -> bool {
        self.allowed[kind as usize]
    }

    /// Least groups that stay, per layer or in the model.
    pub fn floor(&self, kind: GroupType) -> usize {
        self.floors[kind as usize]
    }

    /// Channels of one `ffn` or `stem` group.
    pub fn block(&self) -> usize {
        self.block
    }

    pub fn head_unit(&self) -> HeadUnit {
        self.head_unit
    }

    /// Places in each of which an event of this type takes one group: the layers, or the model (`stem`).
    pub fn places(&self, kind: GroupType, config: &ModelConfig) -> usize {
        if kind == GroupType::Stem { 1 } else { config.layers.len() }
    }

    /// Groups of this type at `place` (a layer; 0 for `stem`).
    pub fn count(&self, kind: GroupType, config: &ModelConfig, place: usize) -> usize {
        match (kind, self.head_unit) {
            (GroupType::Stem, _) => config.hidden_size / self.block.max(1),
            (GroupType::Ffn, _) => config.layers[place].intermediate_size / self.block.max(1),
            (GroupType::Head, HeadUnit::KvGroup) => config.layers[place].num_kv_heads,
            (GroupType::Head, HeadUnit::QueryPerGroup) => {
                config.layers[place].num_heads / config.layers[place].num_kv_heads
            }
        }
    }

    fn fewest(&self, kind: GroupType, config: &ModelConfig) -> usize {
        (0..self.places(kind, config)).map(|place| self.count(kind, config, place)).min().unwrap_or(0)
    }

    /// Events of this type that the floors still permit; 0 for a type that `prune.types` does not name.
    pub fn events_left(&self, kind: GroupType, config: &ModelConfig) -> usize {
        if self.allows(kind) { self.fewest(kind, config).saturating_sub(self.floor(kind)) } else { 0 }
    }

    /// Parameters of one group of this type at `place`.
    pub fn group_params(&self, kind: GroupType, config: &ModelConfig, place: usize) -> u64 {
        let [k, d, h] = [self.block, config.hidden_size, config.head_dim].map(|n| n as u64);
        match kind {
            GroupType::Ffn => 3 * k * d,
            GroupType::Head => {
                self.head_group_rows(&config.layers[place]) * h * d + self.head_group_biases(config, place)
            }
            GroupType::Stem => k * stem_channel_params(config),
        }
    }

    /// Heads' worth of rows and columns (of q, k, v, o together) that one `head` group has.
    pub(super) fn head_group_rows(&self, layer: &LayerShape) -> u64 {
        match self.head_unit {
            HeadUnit::KvGroup => 2 * (layer.num_heads / layer.num_kv_heads) as u64 + 2,
            HeadUnit::QueryPerGroup => 2 * layer.num_kv_heads as u64,
        }
    }

    /// Biases that one `head` group of layer `place` has.
    pub(super) fn head_group_biases(&self, config: &ModelConfig, place: usize) -> u64 {
        let layer = &config.layers[place];
        let heads = match self.head_unit {
            HeadUnit::KvGroup => layer.num_heads / layer.num_kv_heads + 2,
            HeadUnit::QueryPerGroup => layer.num_kv_heads,
        };
        if config.biases == Biases::QKV { (heads * config.head_dim) as u64 } else { 0 }
    }

    /// The group's number in the source, of the group now at `position`.
    pub fn original(&self, kind: GroupType, survivors: &Survivors, place: usize, position: usize) -> usize {
        match (kind, self.head_unit) {
            (GroupType::Stem, _) => survivors.stem[position * self.block] / self.block,
            (GroupType::Ffn, _) => survivors.layers[place].ffn[position * self.block] / self.block,
            (GroupType::Head, HeadUnit::KvGroup) => survivors.layers[place].kv_heads[position],
            (GroupType::Head, HeadUnit::QueryPerGroup) => {
                survivors.layers[place].query_heads[position] % self.ratios[place]
            }
        }
    }

    /// What an event keeps: everything but the group at `positions[place]` of every place.
    pub fn without(&self, kind: GroupType, config: &ModelConfig, positions: &[usize]) -> Survivors {
        let mut kept = Survivors::all(config);
        let block = self.block;
        match kind {
            GroupType::Stem => kept.stem.retain(|c| c / block != positions[0]),
            GroupType::Ffn => {
                for (layer, &position) in kept.layers.iter_mut().zip(positions) {
                    layer.ffn.retain(|c| c / block != position);
                }
            }
            GroupType::Head => {
                for ((layer, shape), &position) in kept.layers.iter_mut().zip(&config.layers).zip(positions) {
                    let ratio = shape.num_heads / shape.num_kv_heads;
                    match self.head_unit {
                        HeadUnit::KvGroup => {
                            layer.kv_heads.retain(|&j| j != position);
                            layer.query_heads.retain(|q| q / ratio != position);
                        }
                        HeadUnit::QueryPerGroup => layer.query_heads.retain(|q| q % ratio != position),
                    }
                }
            }
        }
        kept
    }
}

/// Parameters of one hidden channel: the model's count is `hidden_size` times this, and the biases.
pub(super) fn stem_channel_params(config: &ModelConfig) -> u64 {
    let (v, h) = (config.vocab_size as u64, config.head_dim as u64);
    let embeddings = if config.tie_word_embeddings { v } else { 2 * v };
    let layer = |layer: &LayerShape| {
        2 + 2 * (layer.num_heads + layer.num_kv_heads) as u64 * h + 3 * layer.intermediate_size as u64
    };
    embeddings + 1 + config.layers.iter().map(layer).sum::<u64>()
}

fn nearest_divisors(block: usize, width: usize) -> Vec<usize> {
    let below = (1..=block.min(width)).rev().find(|n| width.is_multiple_of(*n));
    let above = (block.max(1)..=width).find(|n| width.is_multiple_of(*n));
    let mut nearest: Vec<usize> = below.into_iter().chain(above).collect();
    nearest.dedup();
    nearest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prune::testing::{small_config, small_spec};

    #[test]
    fn group_params_are_what_removal_takes() {
        for head_unit in [HeadUnit::KvGroup, HeadUnit::QueryPerGroup] {
            for (tied, qkv_bias) in [(true, false), (false, false), (true, true)] {
                let source = ModelConfig {
                    biases: if qkv_bias { Biases::QKV } else { Biases::NONE },
                    ..small_config(tied)
                };
                let groups =
                    Groups::new(&PruneSpec { head_unit, block: 2, ..small_spec() }, &source).unwrap();
                for kind in TYPES {
                    let places = groups.places(kind, &source);
                    let kept = groups.without(kind, &source, &vec![1; places]);
                    assert_eq!(kept.check(&source), Ok(()));
                    let taken: u64 = (0..places).map(|p| groups.group_params(kind, &source, p)).sum();
                    let left = kept.shape(&source).num_params();
                    assert_eq!(source.num_params() - left, taken, "{kind:?} {head_unit:?}");
                    // Group 1 is gone: what follows group 0 is group 2, where there is one.
                    assert_eq!(groups.original(kind, &kept, 0, 0), 0);
                    if groups.count(kind, &source, 0) > 2 {
                        assert_eq!(groups.original(kind, &kept, 0, 1), 2);
                    }
                }
            }
        }
    }

    #[test]
    fn impossible_groups_are_refused_with_the_nearest_valid_value() {
        let source = small_config(true);
        let refuse = |spec: PruneSpec| Groups::new(&spec, &source).unwrap_err().to_string();
        assert_eq!(
            refuse(PruneSpec { block: 5, ..small_spec() }),
            "prune.block: 5 does not divide intermediate_size = 8; nearest valid block: 4, 8"
        );
        assert_eq!(
            refuse(PruneSpec { block: 8, ..small_spec() }),
            "prune.block: 8 does not divide hidden_size = 12; nearest valid block: 6, 12"
        );
        assert_eq!(
            refuse(PruneSpec { min_heads: 4, ..small_spec() }),
            "prune.min_heads: 4 is more than the 3 groups that the model has; nearest valid: 3"
        );
        let mut odd = source.clone();
        odd.layers[1].num_heads = 5;
        assert_eq!(
            Groups::new(&small_spec(), &odd).unwrap_err().to_string(),
            "layer 1: 5 query heads are not a positive multiple of 3 key-value heads; nearest valid num_heads: 6"
        );
        assert!(Groups::new(&PruneSpec { block: 0, ..small_spec() }, &source).is_err());
        // A block that no pruned type uses is not looked at.
        let heads_only = PruneSpec { block: 5, types: vec![GroupType::Head], ..small_spec() };
        assert!(Groups::new(&heads_only, &source).is_ok());
    }
}
