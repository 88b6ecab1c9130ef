//! The first-order effect of silencing a group at a position (Molchanov et al. 2017, arXiv:1611.06440; squared, the Fisher
//! information of the group's mask: Liu et al. 2021, arXiv:2108.00708). Method §2.
//!
//! ```text
//! c_tg = Σ_{j∈g} a_tj · ∂L/∂a_tj        L the summed loss
//! E_t[c²]   E_t[|c|]
//! ```
//!
//! a is the input of down (`ffn`), of o over the channels of a group's heads (`head`), and of everything that reads the
//! residual stream, added up (`stem`). Both factors exist in a backward pass; no gradient of a parameter is needed, and the
//! cost is a few operations for each token and channel.
use super::TokenStatistic;
use crate::model::ModelConfig;
use crate::model::taps::{Observation, Site};
use crate::prune::groups::Groups;
use crate::prune::saliency::GroupScores;
use crate::rules::saliency::Statistic;
use crate::spec::{GroupType, HeadUnit};
use crate::tensor::Pointwise;
use crate::tensor::{Accumulation, Backend, Product, Scalar};
use std::collections::BTreeMap;

/// Σ_t c² and Σ_t |c| of the groups of one type and place, where wanted.
struct Sums<T> {
    squared: Option<T>,
    absolute: Option<T>,
}

/// Sums for every group of the allowed types.
pub struct GroupEffects<B: Backend> {
    ffn: Vec<Sums<B::Tensor>>,
    head: Vec<Sums<B::Tensor>>,
    stem: Option<Sums<B::Tensor>>,
    /// Σ over its readers so far of a·∂L/∂a: N × d.
    stem_effect: B::Tensor,
    scratch: [B::Tensor; 3],
    block: usize,
    head_dim: usize,
    head_unit: HeadUnit,
    /// Key-value heads of each layer.
    kv_heads: Vec<usize>,
}

impl<B: Backend> GroupEffects<B> {
    pub fn new(backend: &B, config: &ModelConfig, groups: &Groups, squared: bool, absolute: bool) -> Self {
        let sums = |kind, place| {
            let row = || backend.zeros(1, groups.count(kind, config, place));
            Sums { squared: squared.then(row), absolute: absolute.then(row) }
        };
        let places = |kind| -> Vec<Sums<B::Tensor>> {
            let places = if groups.allows(kind) { groups.places(kind, config) } else { 0 };
            (0..places).map(|place| sums(kind, place)).collect()
        };
        GroupEffects {
            ffn: places(GroupType::Ffn),
            head: places(GroupType::Head),
            stem: places(GroupType::Stem).pop(),
            stem_effect: backend.zeros(0, 0),
            scratch: [(); 3].map(|()| backend.zeros(0, 0)),
            block: groups.block(),
            head_dim: config.head_dim,
            head_unit: groups.cut().head_unit,
            kv_heads: config.layers.iter().map(|layer| layer.num_kv_heads).collect(),
        }
    }

    /// E_t, where the loss was scaled by `1 / total_tokens`: ∂L/∂a is `total_tokens` times what was seen.
    pub fn finish(self, backend: &B, total_tokens: usize) -> BTreeMap<Statistic, GroupScores> {
        let host = |row: &B::Tensor, factor: f64| -> Vec<f64> {
            backend.to_host(row).into_iter().map(|sum| sum.to_f64() * factor).collect()
        };
        let n = total_tokens as f64;
        let mut effects = BTreeMap::new();
        // E_t[(N·c)²] = N·Σ c², E_t[|N·c|] = Σ |c|.
        for (kind, places) in [
            (GroupType::Ffn, self.ffn),
            (GroupType::Head, self.head),
            (GroupType::Stem, self.stem.into_iter().collect()),
        ] {
            let mut put = |statistic, scores: Option<Vec<Vec<f64>>>| {
                if let Some(scores) = scores.filter(|scores| !scores.is_empty()) {
                    effects.entry(statistic).or_insert_with(GroupScores::default).set(kind, scores);
                }
            };
            let all = |of: fn(&Sums<B::Tensor>) -> &Option<B::Tensor>, factor| -> Option<Vec<Vec<f64>>> {
                places.iter().map(|sums| of(sums).as_ref().map(|row| host(row, factor))).collect()
            };
            put(Statistic::SquaredEffect, all(|sums| &sums.squared, n));
            put(Statistic::AbsoluteEffect, all(|sums| &sums.absolute, 1.0));
        }
        effects
    }
}

/// Adds the effects of each position (N × groups).
fn add<B: Backend>(backend: &B, sums: &mut Sums<B::Tensor>, effects: &B::Tensor, scratch: &mut B::Tensor) {
    let [n, groups] = backend.shape(effects);
    backend.reshape(scratch, n, groups);
    for (operation, sum) in
        [(Pointwise::Square, &mut sums.squared), (Pointwise::Magnitude, &mut sums.absolute)]
    {
        if let Some(sum) = sum {
            backend.pointwise(operation, scratch, effects, None);
            backend.add_column_sums(sum, scratch);
        }
    }
}

impl<B: Backend> TokenStatistic<B> for GroupEffects<B> {
    fn observe(&mut self, backend: &B, seen: &Observation<'_, B::Tensor>) {
        let [effect, folded, scratch] = &mut self.scratch;
        match *seen {
            Observation::InputGradient { site: Site::DownIn(layer), x, dx } if !self.ffn.is_empty() => {
                let [n, f] = backend.shape(x);
                backend.reshape(effect, n, f);
                backend.pointwise(Pointwise::Product, effect, x, Some(dx));
                let by_group = match self.block {
                    1 => &*effect,
                    block => {
                        backend.reshape(folded, n, f / block);
                        backend.fold(folded, effect, 1, block);
                        folded
                    }
                };
                add(backend, &mut self.ffn[layer], by_group, scratch);
            }
            Observation::InputGradient { site: Site::OIn(layer), x, dx } if !self.head.is_empty() => {
                let [n, wide] = backend.shape(x);
                let (heads, kv) = (wide / self.head_dim, self.kv_heads[layer]);
                backend.reshape(effect, n, wide);
                backend.pointwise(Pointwise::Product, effect, x, Some(dx));
                match self.head_unit {
                    HeadUnit::KvGroup => {
                        backend.reshape(folded, n, kv);
                        backend.fold(folded, effect, 1, wide / kv);
                        add(backend, &mut self.head[layer], folded, scratch);
                    }
                    HeadUnit::QueryPerGroup => {
                        backend.reshape(folded, n, heads);
                        backend.fold(folded, effect, 1, self.head_dim);
                        // Query heads i, i + ratio, i + 2·ratio, … are one group.
                        let ratio = heads / kv;
                        let one = |at: usize| if at / ratio % ratio == at % ratio { 1.0 } else { 0.0 };
                        let selection: Vec<B::Scalar> =
                            (0..heads * ratio).map(|at| B::Scalar::from_f64(one(at))).collect();
                        let selection = backend.from_host(heads, ratio, &selection);
                        backend.reshape(effect, n, ratio);
                        backend.matmul(Product::NN, effect, false, folded, &selection);
                        add(backend, &mut self.head[layer], effect, scratch);
                    }
                }
            }
            Observation::InputGradient { site: Site::HeadIn, x, dx } if self.stem.is_some() => {
                let [n, d] = backend.shape(x);
                backend.reshape(&mut self.stem_effect, n, d);
                backend.pointwise(Pointwise::Product, &mut self.stem_effect, x, Some(dx));
            }
            Observation::InputGradient { site: Site::AttnIn(_) | Site::FfnIn(_), x, dx }
                if self.stem.is_some() =>
            {
                let [n, d] = backend.shape(x);
                backend.reshape(effect, n, d);
                backend.pointwise(Pointwise::Product, effect, x, Some(dx));
                let leaf = Accumulation { x: effect, sum: &mut self.stem_effect, squares: None };
                backend.accumulate(1.0, 1.0, &mut [leaf]);
            }
            // The last of a pass: everything that reads the stream has been seen.
            Observation::Embedding { .. } => {
                let Some(sums) = &mut self.stem else { return };
                let [n, d] = backend.shape(&self.stem_effect);
                let by_group = match self.block {
                    1 => &self.stem_effect,
                    block => {
                        backend.reshape(folded, n, d / block);
                        backend.fold(folded, &self.stem_effect, 1, block);
                        folded
                    }
                };
                add(backend, sums, by_group, scratch);
            }
            _ => {}
        }
    }

    fn sums(&mut self) -> Vec<&mut B::Tensor> {
        let all = self.ffn.iter_mut().chain(&mut self.head).chain(&mut self.stem);
        all.flat_map(|sums| [&mut sums.squared, &mut sums.absolute]).flatten().collect()
    }

    fn flops(&self, config: &ModelConfig, tokens: u64) -> u64 {
        let d = if self.stem.is_some() { 2 * config.layers.len() + 1 } else { 0 } * config.hidden_size;
        let layers = config.layers.iter().map(|layer| {
            let ffn = if self.ffn.is_empty() { 0 } else { layer.intermediate_size };
            let head = if self.head.is_empty() { 0 } else { layer.num_heads * config.head_dim };
            ffn + head
        });
        4 * tokens * (d + layers.sum::<usize>()) as u64
    }
}
