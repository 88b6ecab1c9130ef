//! What is left of a model, and its physical removal from weights and everything that travels with them.
//!
//! A [`Survivors`] lists kept layers, stem channels, FFN channels, heads and RoPE pairs. Relative to the source it is the
//! record of a run (resume, overlap of kept groups); relative to the current model it is one removal. Both are carried out
//! by [`remove`], so a sequence of removals is one removal of the composed lists:
//!
//! ```text
//! remove(remove(W, A), B) = remove(W, A∘B),   (A∘B)[i] = A[B[i]]
//! ```
//!
//! Query heads of key-value head j are the contiguous heads j·(H/K) … (j+1)·(H/K) − 1.
use crate::model::{LayerShape, ModelConfig, Weights};
use crate::schema::{Axis, Dim, Param, ParamId};
use crate::tensor::{Backend, Retained};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Kept indices of one decoder layer that is kept, ascending.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerSurvivors {
    /// The layer that these are of.
    pub layer: usize,
    pub ffn: Vec<usize>,
    pub kv_heads: Vec<usize>,
    pub query_heads: Vec<usize>,
    /// Positions among the pairs that q and k have.
    pub rotary_pairs: Vec<usize>,
}

/// Kept indices of a whole model, ascending.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survivors {
    pub stem: Vec<usize>,
    pub layers: Vec<LayerSurvivors>,
}

impl Survivors {
    /// Everything is kept.
    pub fn all(config: &ModelConfig) -> Self {
        let up_to = |dim: Dim| (0..config.size(dim)).collect();
        let layers = (0..config.layers.len())
            .map(|layer| LayerSurvivors {
                layer,
                ffn: up_to(Dim::Ffn(layer)),
                kv_heads: up_to(Dim::KvHead(layer)),
                query_heads: up_to(Dim::QueryHead(layer)),
                rotary_pairs: (0..config.size(Dim::HeadDim(layer)) / 2).collect(),
            })
            .collect();
        Survivors { stem: up_to(Dim::Hidden), layers }
    }

    /// Keeps of these survivors those at the positions of `kept`.
    pub fn compose(&mut self, kept: &Survivors) {
        let pick = |from: &mut Vec<usize>, at: &[usize]| {
            if at.len() < from.len() {
                *from = at.iter().map(|&i| from[i]).collect();
            }
        };
        pick(&mut self.stem, &kept.stem);
        // Layers come in ascending order, so the one to keep stands at its place or after it.
        let mut place = 0;
        let mut wanted = kept.layers.iter().peekable();
        self.layers.retain_mut(|layer| {
            let here = wanted.next_if(|kept| kept.layer == place);
            place += 1;
            if let Some(kept) = here {
                pick(&mut layer.ffn, &kept.ffn);
                pick(&mut layer.kv_heads, &kept.kv_heads);
                pick(&mut layer.query_heads, &kept.query_heads);
                pick(&mut layer.rotary_pairs, &kept.rotary_pairs);
            }
            here.is_some()
        });
    }

    /// The shape of `config` with only these survivors.
    pub fn shape(&self, config: &ModelConfig) -> ModelConfig {
        let layer = |kept: &LayerSurvivors| {
            let before = &config.layers[kept.layer];
            // With all of them named, a layer would not be the stock one that it still is.
            let rotary_pairs = match &before.rotary_pairs {
                Some(pairs) => Some(kept.rotary_pairs.iter().map(|&at| pairs[at]).collect()),
                None if kept.rotary_pairs.len() < config.head_dim / 2 => Some(kept.rotary_pairs.clone()),
                None => None,
            };
            LayerShape {
                rotary_pairs,
                ..LayerShape::new(kept.query_heads.len(), kept.kv_heads.len(), kept.ffn.len())
            }
        };
        let layers = self.layers.iter().map(layer).collect();
        ModelConfig { hidden_size: self.stem.len(), layers, ..config.clone() }
    }

    /// The kept layer that was layer `layer`.
    fn layer(&self, layer: usize) -> Option<&LayerSurvivors> {
        self.layers.binary_search_by_key(&layer, |kept| kept.layer).ok().map(|at| &self.layers[at])
    }

    /// Indices along `dim` that are kept in a model of shape `config`; `None`: all of them.
    pub fn along_dim(&self, config: &ModelConfig, dim: Dim) -> Option<Vec<usize>> {
        let halves = |pairs: &[usize], half: usize| {
            pairs.iter().copied().chain(pairs.iter().map(|pair| pair + half)).collect::<Vec<_>>()
        };
        // Most dimensions lose nothing: their lists are not copied.
        let some = |kept: &[usize]| (kept.len() < config.size(dim)).then(|| kept.to_vec());
        match dim {
            Dim::Hidden => some(&self.stem),
            Dim::QueryHead(layer) => some(&self.layer(layer)?.query_heads),
            Dim::KvHead(layer) => some(&self.layer(layer)?.kv_heads),
            Dim::Ffn(layer) => some(&self.layer(layer)?.ffn),
            Dim::HeadDim(layer) => {
                let (pairs, half) = (&self.layer(layer)?.rotary_pairs, config.size(dim) / 2);
                (pairs.len() < half).then(|| halves(pairs, half))
            }
            Dim::Layer => {
                let layers: Vec<usize> = self.layers.iter().map(|kept| kept.layer).collect();
                some(&layers)
            }
            Dim::One | Dim::Vocab | Dim::ValueDim => None,
        }
    }

    /// Rows (or columns) along `axis` that are kept in a model of shape `config`; `None`: all of them.
    pub fn along(&self, config: &ModelConfig, axis: Axis) -> Option<Vec<usize>> {
        let (outer, inner) = (self.along_dim(config, axis.outer), self.along_dim(config, axis.inner));
        if outer.is_none() && inner.is_none() {
            return None;
        }
        let all = |dim: Dim| (0..config.size(dim)).collect::<Vec<_>>();
        let (outer, inner) =
            (outer.unwrap_or_else(|| all(axis.outer)), inner.unwrap_or_else(|| all(axis.inner)));
        let width = config.size(axis.inner);
        Some(outer.iter().flat_map(|head| inner.iter().map(move |within| head * width + within)).collect())
    }

    /// Whether these are ascending indices into a model of shape `config`, each key-value head with one and the
    /// same number of its own query heads; the reason where they are not.
    pub fn check(&self, config: &ModelConfig) -> Result<(), String> {
        ascending("stem channels", &self.stem, config.hidden_size)?;
        let layers: Vec<usize> = self.layers.iter().map(|kept| kept.layer).collect();
        ascending("layers", &layers, config.layers.len())?;
        for kept in &self.layers {
            let (i, layer) = (kept.layer, &config.layers[kept.layer]);
            let name = |what: &str| format!("{what} of layer {i}");
            ascending(&name("ffn channels"), &kept.ffn, layer.intermediate_size)?;
            ascending(&name("key-value heads"), &kept.kv_heads, layer.num_kv_heads)?;
            ascending(&name("query heads"), &kept.query_heads, layer.num_heads)?;
            ascending(&name("RoPE pairs"), &kept.rotary_pairs, config.size(Dim::HeadDim(i)) / 2)?;
            let (source, ratio) =
                (layer.num_heads / layer.num_kv_heads, kept.query_heads.len() / kept.kv_heads.len());
            let legal = kept.query_heads.len() == ratio * kept.kv_heads.len()
                && kept.query_heads.iter().enumerate().all(|(at, q)| q / source == kept.kv_heads[at / ratio]);
            if !legal {
                return Err(format!("{} do not belong to its key-value heads", name("query heads")));
            }
        }
        Ok(())
    }
}

fn ascending(what: &str, indices: &[usize], width: usize) -> Result<(), String> {
    if indices.is_empty() {
        return Err(format!("no {what}"));
    }
    match indices.windows(2).find(|pair| pair[0] >= pair[1]) {
        Some(pair) => Err(format!("{what}: {} before {}", pair[0], pair[1])),
        None if indices[indices.len() - 1] >= width => {
            Err(format!("{what}: index {} of {width}", indices[indices.len() - 1]))
        }
        None => Ok(()),
    }
}

/// What is kept along the axes of some parameters, each worked out once.
pub(super) struct KeptAlong(BTreeMap<Axis, Option<Vec<usize>>>);

impl KeptAlong {
    /// Of the parameters `ids` of a model of shape `config`, of whose layers none is gone.
    pub fn new(config: &ModelConfig, kept: &Survivors, ids: impl Iterator<Item = ParamId>) -> Self {
        let mut known = BTreeMap::new();
        for id in ids {
            let Param { rows, cols, .. } = Param::of(id);
            for axis in [rows, cols] {
                known.entry(axis).or_insert_with(|| kept.along(config, axis));
            }
        }
        KeptAlong(known)
    }

    /// As [`Survivors::along`].
    pub fn of(&self, axis: Axis) -> Option<&[usize]> {
        self.0.get(&axis)?.as_deref()
    }
}

/// The parameter in the model that `kept` leaves, where it is left.
pub(super) fn moved(id: ParamId, kept: &Survivors) -> Option<ParamId> {
    match id {
        ParamId::Layer(layer, part) => {
            let place = kept.layers.binary_search_by_key(&layer, |kept| kept.layer).ok()?;
            Some(ParamId::Layer(place, part))
        }
        other => Some(other),
    }
}

/// Indices of `0..width` that are not in the ascending `kept`.
pub fn complement(kept: &[usize], width: usize) -> Vec<usize> {
    let mut kept = kept.iter().copied().peekable();
    (0..width).filter(|&index| kept.next_if_eq(&index).is_none()).collect()
}

/// Rows of the heads `heads`, `head_dim` each.
pub fn head_rows(heads: &[usize], head_dim: usize) -> Vec<usize> {
    heads.iter().flat_map(|head| head * head_dim..(head + 1) * head_dim).collect()
}

/// Removes from every tree what `kept` (positions in the model of shape `config`) does not list, and gives
/// `config` the new shape. `trees` are the weights and whatever is sliced with them: gradients, Fisher diagonal,
/// AdamW moments, moving averages.
///
/// A tensor that loses nothing is left untouched, so keeping everything is a bitwise no-op.
pub fn remove<B: Backend>(
    backend: &B,
    config: &mut ModelConfig,
    trees: &mut [&mut Weights<B::Tensor>],
    kept: &Survivors,
) {
    let stays = |id: &ParamId| moved(*id, kept).is_some();
    let along = {
        let ids = trees.iter().flat_map(|tree| tree.params()).map(|(id, _)| id);
        KeptAlong::new(config, kept, ids.filter(stays))
    };
    let mut changed = Vec::new();
    for (id, tensor) in trees.iter_mut().flat_map(|tree| tree.params_mut()).filter(|(id, _)| stays(id)) {
        let Param { rows, cols, .. } = Param::of(id);
        let [rows, cols] = [rows, cols].map(|axis| along.of(axis));
        if rows.is_some() || cols.is_some() {
            changed.push(Retained { tensor, rows, cols });
        }
    }
    backend.retain_all(&mut changed);
    drop(changed);
    for tree in trees {
        let mut layer = 0;
        tree.layers.retain(|_| {
            layer += 1;
            kept.layer(layer - 1).is_some()
        });
    }
    *config = kept.shape(config);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Biases;
    use crate::prune::testing::{numbered_tree, small_config};
    use crate::schema::Projection;
    use crate::tensor::{CpuBackend, Matrix};

    #[test]
    fn keeping_everything_changes_no_bit_and_slices_match_the_shape() {
        let backend = CpuBackend::<f32>::new();
        for qkv_bias in [false, true] {
            let source = ModelConfig {
                biases: if qkv_bias { Biases::QKV } else { Biases::NONE },
                ..small_config(false)
            };
            let original = numbered_tree(&backend, &source, 0.5);
            let (mut tree, mut config) = (original.clone(), source.clone());
            remove(&backend, &mut config, &mut [&mut tree], &Survivors::all(&source));
            assert_eq!((&tree, &config), (&original, &source));

            let mut kept = Survivors::all(&source);
            kept.stem.retain(|c| c % 3 != 1);
            kept.layers[1].ffn.remove(4);
            // Key-value head 0 of layer 0 goes with its query heads 0 and 1.
            kept.layers[0].kv_heads.remove(0);
            kept.layers[0].query_heads.drain(..2);
            remove(&backend, &mut config, &mut [&mut tree], &kept);
            assert_eq!(config, kept.shape(&source));
            assert_eq!(tree.map(|leaf| backend.shape(leaf)), Weights::shapes(&config));
            // Row 0 of the new q is row 2·h of the old, columns 0, 2, 3, 5, ….
            let (old, new) = (&original.layers[0].q.weight, &tree.layers[0].q.weight);
            assert_eq!(new.data[1], old.data[2 * source.head_dim * old.cols + 2]);
            // Biases follow the heads and do not feel the stem: q from query head 2 on, k from key-value head 1 on.
            for (projection, first) in [(Projection::Q, 2), (Projection::K, 1), (Projection::V, 1)] {
                let bias = |tree: &Weights<Matrix<f32>>, layer: usize| {
                    tree.layers[layer].linear(projection).bias.as_ref().map(|bias| bias.data.clone())
                };
                let kept = bias(&original, 0).map(|old| old[first * source.head_dim..].to_vec());
                assert_eq!((bias(&tree, 0), bias(&tree, 1)), (kept, bias(&original, 1)));
            }
        }
    }

    #[test]
    fn check_names_what_does_not_fit() {
        let source = small_config(true);
        let all = Survivors::all(&source);
        assert_eq!(all.check(&source), Ok(()));
        let broken = |change: fn(&mut Survivors)| {
            let mut kept = all.clone();
            change(&mut kept);
            kept.check(&source).unwrap_err()
        };
        assert_eq!(broken(|s| s.stem.push(99)), "stem channels: index 99 of 12");
        assert_eq!(broken(|s| s.layers[1].ffn.insert(0, 3)), "ffn channels of layer 1: 3 before 0");
        assert_eq!(broken(|s| s.layers[0].kv_heads.clear()), "no key-value heads of layer 0");
        assert_eq!(
            broken(|s| {
                s.layers[0].kv_heads.remove(0);
                s.layers[0].query_heads.drain(2..);
            }),
            "query heads of layer 0 do not belong to its key-value heads"
        );
    }
}
