//! Which sums of which tensors belong to a group: the rows and columns that it owns, tensor by tensor.
//!
//! | type | rows | columns |
//! |---|---|---|
//! | `ffn` | gate, up | down; biases of gate and up |
//! | `head` | q, k, v | o; biases of q, k and v |
//! | `stem` | o, down | embedding, norms, q, k, v, gate, up, head; biases of o and down |
//! | `head_dim` | q, k | biases of q and k |
//! | `layer` | all of a layer | |
use crate::model::ModelConfig;
use crate::model::taps::Site;
use crate::prune::groups::Groups;
use crate::prune::sums::TensorSums;
use crate::schema::groups::Pattern;
use crate::schema::{Axis, Dim, Param, ParamId, Part, Projection};
use crate::spec::GroupType;

/// Sums by group of each coupled tensor, for the groups of one type in one place, in the order of [`ParamId`].
pub(super) fn by_tensor(
    groups: &Groups,
    config: &ModelConfig,
    kind: GroupType,
    place: usize,
    sums: &TensorSums,
) -> Vec<Vec<f64>> {
    if let Some(pattern) = kind.pattern(groups.cut(), config, Dim::Layer) {
        return of_layers(config, pattern, sums);
    }
    let (first, last) = match kind.is_per_layer() {
        true => (ParamId::Layer(place, Part::AttnNorm), ParamId::Layer(place, Part::Bias(Projection::Down))),
        false => (ParamId::Embed, ParamId::Head),
    };
    let mut all = Vec::new();
    for (&id, sums) in sums.0.range(first..=last) {
        let Param { rows, cols, .. } = Param::of(id);
        for (axis, values) in [(rows, &sums.rows), (cols, &sums.cols)] {
            all.extend(by_owner(groups, config, kind, axis, values));
        }
    }
    all
}

/// Each part of a layer, summed whole, layer by layer.
fn of_layers(config: &ModelConfig, pattern: Pattern, sums: &TensorSums) -> Vec<Vec<f64>> {
    let mut parts: std::collections::BTreeMap<Part, Vec<f64>> = Default::default();
    for (&id, sums) in &sums.0 {
        if let ParamId::Layer(layer, part) = id {
            let groups = pattern.groups(config.layers.len());
            parts.entry(part).or_insert_with(|| vec![0.0; groups])[pattern.group(layer)] +=
                sums.rows.iter().sum::<f64>();
        }
    }
    parts.into_values().collect()
}

/// Sums of `values`, which run along `axis`, over the groups of a type; `None` where it has none there.
fn by_owner(
    groups: &Groups,
    config: &ModelConfig,
    kind: GroupType,
    axis: Axis,
    values: &[f64],
) -> Option<Vec<f64>> {
    let inner = config.size(axis.inner);
    let pattern = |dim| kind.pattern(groups.cut(), config, dim);
    let (dim, pattern, width) = match (pattern(axis.outer), pattern(axis.inner)) {
        (Some(pattern), _) => (axis.outer, pattern, inner),
        (None, Some(pattern)) => (axis.inner, pattern, 1),
        (None, None) => return None,
    };
    Some(by_pattern(pattern, config.size(dim), width, values))
}

/// Sums of runs of `width` values, which belong to the indices of a dimension of `size` in turn, over the groups of these.
fn by_pattern(pattern: Pattern, size: usize, width: usize, values: &[f64]) -> Vec<f64> {
    if pattern == Pattern::Blocks(1) && width == 1 {
        return values.to_vec();
    }
    let mut own = vec![0.0; pattern.groups(size)];
    match pattern {
        Pattern::Blocks(block) => {
            for (own, values) in own.iter_mut().zip(values.chunks_exact(block * width)) {
                *own = values.iter().sum();
            }
        }
        Pattern::Strided(_) => {
            // Of channels within heads, the same of all heads.
            for (i, values) in values.chunks_exact(width).enumerate() {
                own[pattern.group(i % size)] += values.iter().sum::<f64>();
            }
        }
    }
    own
}

/// The linear layers that read the groups of one type in one place, and where; a tied embedding is one of them.
pub(super) fn readers(config: &ModelConfig, kind: GroupType, place: usize) -> Vec<(Site, ParamId)> {
    let weight = |layer, projection| ParamId::Layer(layer, Part::Weight(projection));
    match kind {
        GroupType::Ffn => vec![(Site::DownIn(place), weight(place, Projection::Down))],
        GroupType::Head => vec![(Site::OIn(place), weight(place, Projection::O))],
        GroupType::Stem => {
            let mut all = Vec::with_capacity(5 * config.layers.len() + 1);
            for i in 0..config.layers.len() {
                let [q, k, v] = [Projection::Q, Projection::K, Projection::V];
                all.extend([q, k, v].map(|projection| (Site::AttnIn(i), weight(i, projection))));
                let [gate, up] = [Projection::Gate, Projection::Up];
                all.extend([gate, up].map(|projection| (Site::FfnIn(i), weight(i, projection))));
            }
            let head = if config.tie_word_embeddings { ParamId::Embed } else { ParamId::Head };
            all.push((Site::HeadIn, head));
            all
        }
        // No linear layer reads them: q kᵀ does, and the residual stream.
        GroupType::HeadDim | GroupType::Layer => vec![],
    }
}

/// Sums over the input channels of each group (of query heads where `by_head`); `channels` run along the dimension that counts
/// the groups, with all channels of a head.
pub(super) fn by_group(
    groups: &Groups,
    config: &ModelConfig,
    kind: GroupType,
    place: usize,
    channels: &[f64],
    by_head: bool,
) -> Vec<f64> {
    let dim = kind.dim(place);
    let width = if kind == GroupType::Head && !by_head { config.head_dim } else { 1 };
    let pattern = kind.pattern(groups.cut(), config, dim);
    pattern.map_or(vec![], |pattern| by_pattern(pattern, config.size(dim), width, channels))
}

/// Input channels of each group, ascending.
pub(super) fn channels_of(
    groups: &Groups,
    config: &ModelConfig,
    kind: GroupType,
    place: usize,
) -> Vec<Vec<usize>> {
    let dim = kind.dim(place);
    let Some(pattern) = kind.pattern(groups.cut(), config, dim) else { return vec![] };
    let mut own = vec![Vec::new(); pattern.groups(config.size(dim))];
    let width = if kind == GroupType::Head { config.head_dim } else { 1 };
    for index in 0..config.size(dim) {
        own[pattern.group(index)].extend(index * width..(index + 1) * width);
    }
    own
}
