//! Types of mini-groups, the smallest sets of parameters whose removal leaves a valid model (method §1).
//!
//! | type | a group is | dimensions that it indexes |
//! |---|---|---|
//! | `ffn` | k neighbouring channels of a layer, k = `block` | Ffn(ℓ) in blocks of k |
//! | `head`, `kv_group` | a key-value head of a layer with its H/K query heads | QueryHead(ℓ) in blocks of H/K, KvHead(ℓ) |
//! | `head`, `query_per_group` | one query head of every key-value head of a layer | QueryHead(ℓ), every H/K-th |
//! | `stem` | k neighbouring hidden channels of the model | Hidden in blocks of k |
//! | `head_dim` | a RoPE pair (p, p + n/2) of all heads of q and k of a layer | HeadDim(ℓ), every n/2-th |
//! | `layer` | a whole decoder layer | Layer |
//!
//! A type is what this file says of it: which dimension counts its groups ([`GroupType::dim`]) and how it cuts the dimensions
//! that it indexes ([`GroupType::pattern`]). Which parameters a group owns, how many they are, what is removed with them and
//! what their scores add up to follow from the dimensions along which the parameters run.
use super::config::ModelConfig;
use super::dims::{Axis, Dim};
use super::tree::Weights;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupType {
    Ffn,
    Head,
    Stem,
    HeadDim,
    Layer,
}

/// What one `head` group is under grouped-query attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadUnit {
    /// One key-value head with its H/K query heads.
    KvGroup,
    /// One query head from every key-value group.
    QueryPerGroup,
}

/// How a model is cut into groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Channels of one `ffn` or `stem` group.
    pub block: usize,
    pub head_unit: HeadUnit,
}

/// Which indices along a dimension make a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// So many neighbours: index i is in group ⌊i/n⌋.
    Blocks(usize),
    /// One in so many: index i is in group i mod n.
    Strided(usize),
}

impl Pattern {
    /// The group of an index.
    pub fn group(self, index: usize) -> usize {
        match self {
            Pattern::Blocks(width) => index / width.max(1),
            Pattern::Strided(groups) => index % groups.max(1),
        }
    }

    /// Groups that a dimension of this size is cut into.
    pub fn groups(self, size: usize) -> usize {
        match self {
            Pattern::Blocks(width) => size / width.max(1),
            Pattern::Strided(groups) => groups,
        }
    }

    /// The first index of a group.
    pub fn first(self, group: usize) -> usize {
        match self {
            Pattern::Blocks(width) => group * width,
            Pattern::Strided(_) => group,
        }
    }
}

impl GroupType {
    /// All types in the order that breaks ties.
    pub const ALL: [GroupType; 5] =
        [GroupType::Ffn, GroupType::Head, GroupType::Stem, GroupType::HeadDim, GroupType::Layer];

    /// Name in files.
    pub fn name(self) -> &'static str {
        match self {
            GroupType::Ffn => "ffn",
            GroupType::Head => "head",
            GroupType::Stem => "stem",
            GroupType::HeadDim => "head_dim",
            GroupType::Layer => "layer",
        }
    }

    /// The dimension that counts the groups at `place`: a layer, or 0 for types of which the model has one set.
    pub fn dim(self, place: usize) -> Dim {
        match self {
            GroupType::Ffn => Dim::Ffn(place),
            GroupType::Head => Dim::QueryHead(place),
            GroupType::Stem => Dim::Hidden,
            GroupType::HeadDim => Dim::HeadDim(place),
            GroupType::Layer => Dim::Layer,
        }
    }

    /// How a group indexes `dim`; `None` where it does not.
    pub fn pattern(self, cut: Cut, config: &ModelConfig, dim: Dim) -> Option<Pattern> {
        match (self, dim) {
            (GroupType::Ffn, Dim::Ffn(_)) | (GroupType::Stem, Dim::Hidden) => {
                Some(Pattern::Blocks(cut.block))
            }
            (GroupType::Head, Dim::QueryHead(layer)) => {
                let ratio = config.layers[layer].num_heads / config.layers[layer].num_kv_heads.max(1);
                Some(match cut.head_unit {
                    HeadUnit::KvGroup => Pattern::Blocks(ratio),
                    HeadUnit::QueryPerGroup => Pattern::Strided(ratio),
                })
            }
            (GroupType::Head, Dim::KvHead(_)) if cut.head_unit == HeadUnit::KvGroup => {
                Some(Pattern::Blocks(1))
            }
            (GroupType::HeadDim, Dim::HeadDim(_)) => Some(Pattern::Strided(config.size(dim) / 2)),
            (GroupType::Layer, Dim::Layer) => Some(Pattern::Blocks(1)),
            _ => None,
        }
    }

    /// Whether every layer has groups of its own.
    pub fn is_per_layer(self) -> bool {
        self.dim(0).layer().is_some()
    }

    /// Places that have groups of their own: the layers, or the model.
    pub fn places(self, config: &ModelConfig) -> usize {
        if self.is_per_layer() { config.layers.len() } else { 1 }
    }

    /// Groups at `place`.
    pub fn count(self, cut: Cut, config: &ModelConfig, place: usize) -> usize {
        let dim = self.dim(place);
        self.pattern(cut, config, dim).map_or(0, |pattern| pattern.groups(config.size(dim)))
    }

    /// Group and place of what stands at `index` along `axis`; `None` where no group of this type owns it.
    pub fn owner(self, cut: Cut, config: &ModelConfig, axis: Axis, index: usize) -> Option<(usize, usize)> {
        let inner = config.size(axis.inner);
        let of = |dim: Dim, index: usize| {
            let group = self.pattern(cut, config, dim)?.group(index);
            Some((dim.layer().unwrap_or(0), group))
        };
        of(axis.outer, index / inner).or_else(|| of(axis.inner, index % inner))
    }

    /// The shape of `config` without the last `gone` groups of a place.
    pub fn smaller(self, cut: Cut, config: &ModelConfig, place: usize, gone: usize) -> ModelConfig {
        let mut out = config.clone();
        let left = |dim: Dim| {
            let size = config.size(dim);
            match self.pattern(cut, config, dim).map_or(0, |pattern| pattern.groups(size)) {
                0 => size,
                groups => size / groups * groups.saturating_sub(gone),
            }
        };
        out.hidden_size = left(Dim::Hidden);
        if self.is_per_layer() {
            let layer = &mut out.layers[place];
            layer.intermediate_size = left(Dim::Ffn(place));
            layer.num_heads = left(Dim::QueryHead(place));
            layer.num_kv_heads = left(Dim::KvHead(place));
            let pairs = left(Dim::HeadDim(place)) / 2;
            if pairs < config.size(Dim::HeadDim(place)) / 2 {
                layer.rotary_pairs = Some(match &layer.rotary_pairs {
                    Some(own) => own[..pairs].to_vec(),
                    None => (0..pairs).collect(),
                });
            }
        }
        out.layers.truncate(left(Dim::Layer));
        out
    }

    /// Parameters of every group, `[place][position]`: a fold over the parameters, each of which is owned along its rows, along
    /// its columns, whole or not at all.
    pub fn params(self, cut: Cut, config: &ModelConfig) -> Vec<Vec<u64>> {
        let mut sizes: Vec<Vec<u64>> =
            (0..self.places(config)).map(|place| vec![0; self.count(cut, config, place)]).collect();
        for param in Weights::describe(config).leaves() {
            let elements = config.shape(param).map(|n| n as u64).iter().product::<u64>();
            if let (Some(pattern), Some(layer)) = (self.pattern(cut, config, Dim::Layer), param.id.layer()) {
                sizes[0][pattern.group(layer)] += elements;
            }
            // Of the dimensions of one tensor a type indexes one.
            let dims = [param.rows.outer, param.rows.inner, param.cols.outer, param.cols.inner];
            let indexed = dims.into_iter().find_map(|dim| Some((dim, self.pattern(cut, config, dim)?)));
            if let Some((dim, pattern)) = indexed {
                // All groups of a place are alike.
                let groups = pattern.groups(config.size(dim)) as u64;
                let own = elements / groups.max(1);
                sizes[dim.layer().unwrap_or(0)].iter_mut().for_each(|size| *size += own);
            }
        }
        sizes
    }
}

/// Whether layers that lose groups of these types one by one come to have groups of different sizes: whole layers, once they have lost
/// others, and heads, once they have lost RoPE pairs, and these, once there are fewer heads.
pub fn sizes_come_apart(types: &[GroupType]) -> bool {
    let has = |kind| types.contains(&kind);
    let parts = [GroupType::Ffn, GroupType::Head, GroupType::HeadDim];
    has(GroupType::Layer) && parts.into_iter().any(has) || has(GroupType::Head) && has(GroupType::HeadDim)
}

impl Dim {
    /// The layer that it is a dimension of.
    pub fn layer(self) -> Option<usize> {
        match self {
            Dim::QueryHead(layer) | Dim::KvHead(layer) | Dim::HeadDim(layer) | Dim::Ffn(layer) => Some(layer),
            Dim::One | Dim::Vocab | Dim::Hidden | Dim::ValueDim | Dim::Layer => None,
        }
    }
}
