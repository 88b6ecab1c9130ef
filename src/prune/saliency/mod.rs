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
use crate::model::{LayerWeights, ModelConfig, QkvBias, Weights};
use crate::spec::{GroupType, HeadUnit, Normaliser, Saliency};
use crate::tensor::{Backend, ElementScore};

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

/// Reduction `sum` of an elementwise score: row and column sums of every tensor, gathered by group.
fn sum_over_groups<B: Backend>(context: &SaliencyContext<'_, B>, score: ElementScore) -> GroupScores {
    let SaliencyContext { backend, config, groups, weights, grads, fisher, .. } = *context;
    let [ffn, head, stem] = TYPES.map(|kind| groups.allows(kind));
    let (d, h) = (config.hidden_size, config.head_dim);
    // A score that ignores the gradient is given the weight in its place.
    let margins = |w: &B::Tensor, g: Option<&B::Tensor>, f: Option<&B::Tensor>| {
        backend.score_margins(score, w, g.unwrap_or(w), f)
    };
    let whole = |leaf: fn(&Weights<B::Tensor>) -> &B::Tensor| {
        margins(leaf(weights), grads.map(leaf), fisher.map(leaf))
    };
    let mut channels = vec![0.0; if stem { d } else { 0 }];
    let (mut ffn_scores, mut head_scores) = (Vec::new(), Vec::new());
    if stem {
        add(&mut channels, &whole(|tree| &tree.embed).1);
    }
    for (i, shape) in config.layers.iter().enumerate() {
        let of = |leaf: fn(&LayerWeights<B::Tensor>) -> &B::Tensor| {
            margins(
                leaf(&weights.layers[i]),
                grads.map(|tree| leaf(&tree.layers[i])),
                fisher.map(|tree| leaf(&tree.layers[i])),
            )
        };
        if head || stem {
            let (q, k, v, o) = (of(|l| &l.q), of(|l| &l.k), of(|l| &l.v), of(|l| &l.o));
            if stem {
                for part in [&of(|l| &l.attn_norm).1, &q.1, &k.1, &v.1, &o.0] {
                    add(&mut channels, part);
                }
            }
            if head {
                let (mut query, mut kv) = (q.0, k.0);
                add(&mut query, &o.1);
                add(&mut kv, &v.0);
                // Biases stand in one row: their scores are its columns.
                let bias = |leaf: fn(&QkvBias<B::Tensor>) -> &B::Tensor| {
                    let of = |tree| bias_of(tree, i, leaf);
                    of(weights).map_or(Vec::new(), |w| margins(w, grads.and_then(of), fisher.and_then(of)).1)
                };
                add(&mut query, &bias(|b| &b.q));
                add(&mut kv, &bias(|b| &b.k));
                add(&mut kv, &bias(|b| &b.v));
                let ratio = shape.num_heads / shape.num_kv_heads;
                head_scores.push(by_head_group(
                    groups.head_unit(),
                    ratio,
                    &by_block(&query, h),
                    &by_block(&kv, h),
                ));
            }
        }
        if ffn || stem {
            let (gate, up, down) = (of(|l| &l.gate), of(|l| &l.up), of(|l| &l.down));
            if stem {
                for part in [&of(|l| &l.ffn_norm).1, &gate.1, &up.1, &down.0] {
                    add(&mut channels, part);
                }
            }
            if ffn {
                let mut sums = gate.0;
                add(&mut sums, &up.0);
                add(&mut sums, &down.1);
                ffn_scores.push(by_block(&sums, groups.block()));
            }
        }
    }
    let mut scores = GroupScores::default();
    if stem {
        add(&mut channels, &whole(|tree| &tree.norm).1);
        if let Some(head) = &weights.head {
            let sums = margins(
                head,
                grads.and_then(|tree| tree.head.as_ref()),
                fisher.and_then(|tree| tree.head.as_ref()),
            );
            add(&mut channels, &sums.1);
        }
        scores.set(GroupType::Stem, vec![by_block(&channels, groups.block())]);
    }
    scores.set(GroupType::Ffn, ffn_scores);
    scores.set(GroupType::Head, head_scores);
    scores
}

fn bias_of<T>(tree: &Weights<T>, layer: usize, leaf: fn(&QkvBias<T>) -> &T) -> Option<&T> {
    tree.layers[layer].bias.as_ref().map(leaf)
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
