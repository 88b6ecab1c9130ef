//! Saliency = base score × reduction over the coupled tensors × normaliser (method §2); lower is pruned first.
//!
//! ```text
//! S[group] = Σ_{tensors of the group} Σ_{its elements there} score(w, g, F)        reduction `sum`
//! normaliser `per_parameter`:  S[group] / (parameters of the group)
//! ```
//!
//! A rule is one file that implements [`SaliencyRule`] and one line of [`rule`].
mod magnitude_l2;
mod random;
mod taylor1;
mod taylor_mix;

use super::error::PruneError;
use super::groups::{Groups, TYPES};
use super::survivors::Survivors;
use crate::model::{LayerWeights, ModelConfig, Weights};
use crate::schema::{Dim, Param, ParamId, Projection};
use crate::spec::{GroupType, HeadUnit, Normaliser, Saliency};
use crate::tensor::{Backend, ElementScore, Margins, ScoreLeaf};

/// What a rule may look at: the model as it is now and the statistics that were sliced along with it.
pub struct SaliencyContext<'a, B: Backend> {
    pub backend: &'a B,
    /// Shape now.
    pub config: &'a ModelConfig,
    pub groups: &'a Groups,
    /// Original indices of what is left.
    pub survivors: &'a Survivors,
    /// Groups per type and place in the source.
    pub source: &'a ModelConfig,
    pub weights: &'a Weights<B::Tensor>,
    /// ∂L/∂w of the training or calibration batch, or its moving average.
    pub grads: Option<&'a Weights<B::Tensor>>,
    /// E\[g²\] over micro-batches.
    pub fisher: Option<&'a Weights<B::Tensor>>,
    pub seed: u64,
}

/// Scores by type, place (layer; one place for `stem`) and position of the group in the model now. Types that
/// `prune.types` does not name have no places.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupScores {
    by_type: [Vec<Vec<f64>>; 3],
}

impl GroupScores {
    /// `[place][position]`
    pub fn of(&self, kind: GroupType) -> &[Vec<f64>] {
        &self.by_type[kind as usize]
    }

    pub fn set(&mut self, kind: GroupType, scores: Vec<Vec<f64>>) {
        self.by_type[kind as usize] = scores;
    }
}

/// A base score summed over each group.
pub trait SaliencyRule<B: Backend>: Sync {
    /// Name in experiment files.
    fn name(&self) -> &'static str;
    /// Whether [`SaliencyContext::grads`] must be there.
    fn needs_gradients(&self) -> bool {
        false
    }
    /// Whether [`SaliencyContext::fisher`] must be there.
    fn needs_fisher(&self) -> bool {
        false
    }
    /// Floating-point operations per scored parameter, the two sums (row and column) included.
    fn flops_per_parameter(&self) -> u64;
    /// Scores of all groups of the allowed types, not normalised.
    fn scores(&self, context: &SaliencyContext<'_, B>) -> GroupScores;
}

/// The rule of this name.
pub fn rule<B: Backend>(saliency: Saliency) -> &'static dyn SaliencyRule<B> {
    match saliency {
        Saliency::Random => &random::Random,
        Saliency::MagnitudeL2 => &magnitude_l2::MagnitudeL2,
        Saliency::Taylor1 => &taylor1::Taylor1,
        Saliency::TaylorMix => &taylor_mix::TaylorMix,
    }
}

/// Normalised scores under a rule.
///
/// # Errors
/// [`PruneError::MissingInput`] where the rule needs gradients or Fisher diagonal that are not there;
/// [`PruneError::NotFinite`] where a score is no finite number.
pub fn normalised_scores<B: Backend>(
    saliency: Saliency,
    normaliser: Normaliser,
    context: &SaliencyContext<'_, B>,
) -> Result<GroupScores, PruneError> {
    let rule = rule::<B>(saliency);
    for (needed, given, what) in [
        (rule.needs_gradients(), context.grads.is_some(), "gradients"),
        (rule.needs_fisher(), context.fisher.is_some(), "the Fisher diagonal"),
    ] {
        if needed && !given {
            return Err(PruneError::MissingInput { rule: rule.name(), what });
        }
    }
    let mut scores = rule.scores(context);
    for kind in TYPES {
        for (place, scores) in scores.by_type[kind as usize].iter_mut().enumerate() {
            let divisor = match normaliser {
                Normaliser::None => 1.0,
                Normaliser::PerParameter => context.groups.group_params(kind, context.config, place) as f64,
            };
            for (position, score) in scores.iter_mut().enumerate() {
                *score /= divisor;
                if !score.is_finite() {
                    let index = context.groups.original(kind, context.survivors, place, position);
                    return Err(PruneError::NotFinite {
                        group_type: kind,
                        layer: place,
                        index,
                        value: *score,
                    });
                }
            }
        }
    }
    Ok(scores)
}

/// Row and column sums of an elementwise score over every tensor of which an allowed type owns rows or columns, all in one
/// call; nothing of the others.
fn margins_of<B: Backend>(context: &SaliencyContext<'_, B>, score: ElementScore) -> Weights<Margins> {
    let SaliencyContext { backend, groups, weights, .. } = *context;
    let [ffn, head, stem] = TYPES.map(|kind| groups.allows(kind));
    // A tensor is read where its rows or its columns run along a dimension that an allowed type indexes.
    let owned = |id: ParamId| {
        let Param { rows, cols, .. } = Param::of(id);
        [rows, cols].iter().any(|axis| match axis.outer {
            Dim::Hidden => stem,
            Dim::QueryHead(_) | Dim::KvHead(_) => head,
            Dim::Ffn(_) => ffn,
            _ => false,
        })
    };
    let [grads, fisher] = [context.grads, context.fisher].map(|tree| tree.map(Weights::leaves));
    let named = weights.params();
    let leaf = |i: usize| ScoreLeaf {
        weight: named[i].1,
        grad: grads.as_ref().map(|leaves| leaves[i]),
        fisher: fisher.as_ref().map(|leaves| leaves[i]),
    };
    let wanted: Vec<bool> = named.iter().map(|(id, _)| owned(*id)).collect();
    let leaves: Vec<_> = (0..named.len()).filter(|&i| wanted[i]).map(leaf).collect();
    let (mut margins, mut wanted) = (backend.score_margins(score, &leaves).into_iter(), wanted.into_iter());
    let mut next = || margins.next().expect("one for every leaf asked for");
    weights.map(|_| if wanted.next() == Some(true) { next() } else { Margins::default() })
}

/// Reduction `sum` of an elementwise score: row and column sums of every tensor, gathered by group.
fn sum_over_groups<B: Backend>(context: &SaliencyContext<'_, B>, score: ElementScore) -> GroupScores {
    let SaliencyContext { config, groups, .. } = *context;
    let [ffn, head, stem] = TYPES.map(|kind| groups.allows(kind));
    let (d, h) = (config.hidden_size, config.head_dim);
    let margins = margins_of(context, score);
    // None, and so nothing is added to them, where they are not scored.
    let mut channels = vec![0.0; if stem { d } else { 0 }];
    let (mut ffn_scores, mut head_scores) = (Vec::new(), Vec::new());
    add(&mut channels, &margins.embed.cols);
    for (shape, layer) in config.layers.iter().zip(&margins.layers) {
        let LayerWeights { attn_norm, ffn_norm, .. } = layer;
        let [q, k, v, o, gate, up, down] = layer.linears().map(|linear| &linear.weight);
        let bias = |projection| layer.linear(projection).bias.as_ref();
        let none = Margins::default();
        for part in [&attn_norm.cols, &q.cols, &k.cols, &v.cols, &o.rows] {
            add(&mut channels, part);
        }
        if head {
            let (mut query, mut kv) = (q.rows.clone(), k.rows.clone());
            add(&mut query, &o.cols);
            add(&mut kv, &v.rows);
            // Biases stand in one row: their scores are its columns.
            add(&mut query, &bias(Projection::Q).unwrap_or(&none).cols);
            add(&mut kv, &bias(Projection::K).unwrap_or(&none).cols);
            add(&mut kv, &bias(Projection::V).unwrap_or(&none).cols);
            let ratio = shape.num_heads / shape.num_kv_heads;
            let (query, kv) = (by_block(&query, h), by_block(&kv, h));
            head_scores.push(by_head_group(groups.head_unit(), ratio, &query, &kv));
        }
        for part in [&ffn_norm.cols, &gate.cols, &up.cols, &down.rows] {
            add(&mut channels, part);
        }
        if ffn {
            let mut sums = gate.rows.clone();
            add(&mut sums, &up.rows);
            add(&mut sums, &down.cols);
            ffn_scores.push(by_block(&sums, groups.block()));
        }
    }
    let mut scores = GroupScores::default();
    if stem {
        add(&mut channels, &margins.norm.cols);
        if let Some(head) = &margins.head {
            add(&mut channels, &head.cols);
        }
        scores.set(GroupType::Stem, vec![by_block(&channels, groups.block())]);
    }
    scores.set(GroupType::Ffn, ffn_scores);
    scores.set(GroupType::Head, head_scores);
    scores
}

fn add(to: &mut [f64], from: &[f64]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
}

fn by_block(values: &[f64], block: usize) -> Vec<f64> {
    values.chunks(block).map(|chunk| chunk.iter().sum()).collect()
}

/// Sums of query heads (q rows, o columns) and key-value heads (k and v rows) by `head` group.
fn by_head_group(unit: HeadUnit, ratio: usize, query: &[f64], kv: &[f64]) -> Vec<f64> {
    match unit {
        HeadUnit::KvGroup => {
            query.chunks(ratio).zip(kv).map(|(heads, kv)| heads.iter().sum::<f64>() + kv).collect()
        }
        HeadUnit::QueryPerGroup => {
            (0..ratio).map(|i| query.iter().skip(i).step_by(ratio).sum::<f64>()).collect()
        }
    }
}

#[cfg(test)]
mod tests;
