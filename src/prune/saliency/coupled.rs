//! Which sums of which tensors belong to a group: the rows and columns that it owns, tensor by tensor in canonical order.
//!
//! | type | rows | columns |
//! |---|---|---|
//! | `ffn` | gate, up | down; biases of gate and up |
//! | `head` | q, k, v | o; biases of q, k and v |
//! | `stem` | o, down | embedding, norms, q, k, v, gate, up, head; biases of o and down |
use crate::model::taps::Site;
use crate::model::{LayerWeights, ModelConfig, Weights};
use crate::prune::groups::Groups;
use crate::schema::{Axis, Dim, Param, ParamId};
use crate::spec::{GroupType, HeadUnit};
use crate::tensor::Margins;

/// The type that owns what runs along `axis`, and the place of the group there.
fn owner(axis: Axis) -> Option<(GroupType, usize)> {
    match axis.outer {
        Dim::Hidden => Some((GroupType::Stem, 0)),
        Dim::QueryHead(layer) | Dim::KvHead(layer) => Some((GroupType::Head, layer)),
        Dim::Ffn(layer) => Some((GroupType::Ffn, layer)),
        _ => None,
    }
}

/// Whether rows or columns of a parameter belong to a group of an allowed type.
pub(super) fn is_owned(groups: &Groups, id: ParamId) -> bool {
    let Param { rows, cols, .. } = Param::of(id);
    [rows, cols].into_iter().filter_map(owner).any(|(kind, _)| groups.allows(kind))
}

/// Sums by group of each coupled tensor, for the groups of one type in one place.
pub(super) fn by_tensor(
    groups: &Groups,
    config: &ModelConfig,
    kind: GroupType,
    place: usize,
    margins: &Weights<Margins>,
) -> Vec<Vec<f64>> {
    let along = |axis: Axis, sums: &Vec<f64>| -> Option<Vec<f64>> {
        if owner(axis) != Some((kind, place)) {
            return None;
        }
        let heads = || by_block(sums, config.size(axis.inner));
        match axis.outer {
            Dim::QueryHead(_) => Some(query_heads(groups, config, place, &heads())),
            // One query head of every key-value head takes none of these.
            Dim::KvHead(_) => (groups.head_unit() == HeadUnit::KvGroup).then(heads),
            _ => Some(by_block(sums, groups.block())),
        }
    };
    let of_tensor = |(id, margins): (ParamId, &Margins)| {
        let Param { rows, cols, .. } = Param::of(id);
        [along(rows, &margins.rows), along(cols, &margins.cols)].into_iter().flatten().collect::<Vec<_>>()
    };
    margins.params().into_iter().flat_map(of_tensor).collect()
}

/// The linear layers that read the groups of one type in one place, and where; a tied embedding is one of them.
pub(super) fn readers<T>(kind: GroupType, place: usize, tree: &Weights<T>) -> Vec<(Site, &T)> {
    match kind {
        GroupType::Ffn => vec![(Site::DownIn(place), &tree.layers[place].down.weight)],
        GroupType::Head => vec![(Site::OIn(place), &tree.layers[place].o.weight)],
        GroupType::Stem => {
            let mut all = Vec::with_capacity(5 * tree.layers.len() + 1);
            for (i, LayerWeights { q, k, v, gate, up, .. }) in tree.layers.iter().enumerate() {
                all.extend([q, k, v].map(|linear| (Site::AttnIn(i), &linear.weight)));
                all.extend([gate, up].map(|linear| (Site::FfnIn(i), &linear.weight)));
            }
            all.push((Site::HeadIn, tree.head.as_ref().unwrap_or(&tree.embed)));
            all
        }
    }
}

/// Sums over the input channels of each group (of query heads where `by_head`).
pub(super) fn by_group(
    groups: &Groups,
    config: &ModelConfig,
    kind: GroupType,
    place: usize,
    channels: &[f64],
    by_head: bool,
) -> Vec<f64> {
    match kind {
        GroupType::Ffn | GroupType::Stem => by_block(channels, groups.block()),
        GroupType::Head if by_head => query_heads(groups, config, place, channels),
        GroupType::Head => query_heads(groups, config, place, &by_block(channels, config.head_dim)),
    }
}

/// Input channels of each group, ascending.
pub(super) fn channels_of(
    groups: &Groups,
    config: &ModelConfig,
    kind: GroupType,
    place: usize,
) -> Vec<Vec<usize>> {
    let count = groups.count(kind, config, place);
    match kind {
        GroupType::Ffn | GroupType::Stem => {
            (0..count).map(|i| (i * groups.block()..(i + 1) * groups.block()).collect()).collect()
        }
        GroupType::Head => {
            let shape = &config.layers[place];
            let ratio = shape.num_heads / shape.num_kv_heads;
            let is_of = |head: usize, group: usize| match groups.head_unit() {
                HeadUnit::KvGroup => head / ratio == group,
                HeadUnit::QueryPerGroup => head % ratio == group,
            };
            let heads =
                |group| (0..shape.num_heads).filter(move |&head| is_of(head, group)).collect::<Vec<_>>();
            (0..count).map(|i| crate::prune::survivors::head_rows(&heads(i), config.head_dim)).collect()
        }
    }
}

fn by_block(values: &[f64], block: usize) -> Vec<f64> {
    values.chunks(block).map(|chunk| chunk.iter().sum()).collect()
}

/// Sums of query heads by `head` group.
fn query_heads(groups: &Groups, config: &ModelConfig, place: usize, query: &[f64]) -> Vec<f64> {
    let shape = &config.layers[place];
    let ratio = shape.num_heads / shape.num_kv_heads;
    match groups.head_unit() {
        HeadUnit::KvGroup => query.chunks(ratio).map(|heads| heads.iter().sum()).collect(),
        HeadUnit::QueryPerGroup => {
            (0..ratio).map(|i| query.iter().skip(i).step_by(ratio).sum::<f64>()).collect()
        }
    }
}
