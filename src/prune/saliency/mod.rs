//! Saliency of the groups of a model: base scores of a rule ([`crate::rules::saliency`]), reduced over the coupled tensors and
//! normalised (method §2); lower is pruned first.
//!
//! | reduction over the coupled tensors | | normaliser | |
//! |---|---|---|---|
//! | `sum` `mean` `max` `prod` | of their scores | `none` | |
//! | `first` | that of gate (`ffn`), q (`head`, `head_dim`), embedding (`stem`), first norm (`layer`) | `per_parameter` | by the parameters of the group |
//! | | | `layer_mean` | by the mean over the groups of its type in its layer |
//! | | | `layer_zscore` | less that mean, by their standard deviation |
mod coupled;
mod evidence;
mod scores;

pub use scores::GroupScores;

use super::error::PruneError;
use super::groups::Groups;
use super::statistics::Statistics;
use super::sums::SumStore;
use super::survivors::Survivors;
use crate::model::{ModelConfig, Weights};
use crate::rules::obs::error_flops;
use crate::rules::saliency::{Saliency, Statistic, TensorScores};
use crate::schema::Param;
use crate::spec::{GroupType, Normaliser, Reduction};
use crate::tensor::{Backend, ElementScore};
use evidence::{ElementSums, GroupEvidence};

/// What a rule's evidence is made of: the model as it is now and what was sliced along with it.
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
    /// ∂L/∂w (or ∂H/∂w of the entropy) of the training or calibration batch, or its moving average.
    pub grads: Option<&'a Weights<B::Tensor>>,
    /// The Fisher diagonal.
    pub fisher: Option<&'a Weights<B::Tensor>>,
    /// m and v of the optimiser.
    pub moments: Option<[&'a Weights<B::Tensor>; 2]>,
    pub statistics: Option<&'a Statistics>,
    pub seed: u64,
}

impl<B: Backend> SaliencyContext<'_, B> {
    fn has(&self, statistic: Statistic) -> bool {
        let collected =
            |has: fn(&Statistics, Statistic) -> bool| self.statistics.is_some_and(|s| has(s, statistic));
        match statistic {
            Statistic::Gradient | Statistic::EntropyGradient => self.grads.is_some(),
            Statistic::Fisher => self.fisher.is_some(),
            Statistic::Moments => self.moments.is_some(),
            Statistic::Gram => collected(|s, _| s.grams.is_some()),
            Statistic::SquaredEffect | Statistic::AbsoluteEffect => {
                collected(|s, statistic| s.effects.contains_key(&statistic))
            }
            _ => collected(|s, statistic| s.channels(statistic).is_some()),
        }
    }
}

/// Scores of all groups of the allowed types under a rule.
///
/// # Errors
/// [`PruneError::MissingInput`] where the rule needs what is not there; [`PruneError::NotFinite`] where a score is no finite
/// number; [`PruneError::ProductRange`].
pub fn normalised_scores<B: Backend>(
    saliency: Saliency,
    reduction: Reduction,
    normaliser: Normaliser,
    context: &SaliencyContext<'_, B>,
) -> Result<GroupScores, PruneError> {
    scores_from(saliency, reduction, normaliser, context, &SumStore::default())
}

/// As [`normalised_scores`], with sums of single parameters' scores that are kept from event to event.
///
/// # Errors
/// As [`normalised_scores`].
pub fn scores_from<B: Backend>(
    saliency: Saliency,
    reduction: Reduction,
    normaliser: Normaliser,
    context: &SaliencyContext<'_, B>,
    store: &SumStore,
) -> Result<GroupScores, PruneError> {
    if let Some(missing) = saliency.needs.iter().find(|statistic| !context.has(**statistic)) {
        return Err(PruneError::MissingInput { rule: saliency.name, what: missing.words() });
    }
    let SaliencyContext { config, groups, survivors, .. } = *context;
    let sums = ElementSums::new(context, store);
    let mut scores = GroupScores::default();
    for &kind in groups.types() {
        let sizes = groups.group_params(kind, config);
        let of_place = |place| {
            let base = (saliency.score)(&GroupEvidence::new(context, &sums, kind, place));
            let named = |position| {
                let layer = groups.source_place(kind, survivors, place);
                (layer, groups.original(kind, survivors, place, position))
            };
            let mut scores = reduced(base, reduction).map_err(|position| {
                let (layer, index) = named(position);
                PruneError::ProductRange { group_type: kind, layer, index }
            })?;
            // A rule without evidence on groups of this type is refused when planning.
            scores.resize(groups.count(kind, config, place), f64::NAN);
            normalise(&mut scores, normaliser, &sizes[place]);
            match scores.iter().position(|score| !score.is_finite()) {
                None => Ok(scores),
                Some(position) => {
                    let (layer, index) = named(position);
                    let value = scores[position];
                    Err(PruneError::NotFinite { group_type: kind, layer, index, value })
                }
            }
        };
        let places = 0..groups.places(kind, config);
        scores.set(kind, places.map(of_place).collect::<Result<_, _>>()?);
    }
    Ok(scores)
}

/// FLOPs of the layerwise errors of all groups of the allowed types, once.
pub(super) fn layerwise_error_flops(groups: &Groups, config: &ModelConfig) -> u64 {
    let of_place = |kind: GroupType, place: usize| {
        let outputs = coupled::readers(config, kind, place)
            .into_iter()
            .map(|(_, id)| config.length(Param::of(id).rows) as u64);
        let columns = coupled::channels_of(groups, config, kind, place);
        let of_linear =
            |outputs| columns.iter().map(|own| error_flops([own.len() as u64, outputs])).sum::<u64>();
        outputs.map(of_linear).sum::<u64>()
    };
    let places = |&kind: &GroupType| (0..groups.places(kind, config)).map(move |place| (kind, place));
    groups.types().iter().flat_map(places).map(|(kind, place)| of_place(kind, place)).sum()
}

/// Joins the lists of the coupled tensors; the position of a group whose product no number can hold.
fn reduced(tensors: TensorScores, reduction: Reduction) -> Result<Vec<f64>, usize> {
    let count = tensors.len().max(1) as f64;
    let mut lists = tensors.into_iter();
    let Some(mut joined) = lists.next() else { return Ok(Vec::new()) };
    for list in lists {
        for (position, (to, from)) in joined.iter_mut().zip(list).enumerate() {
            *to = match reduction {
                Reduction::Sum | Reduction::Mean => *to + from,
                Reduction::Max => to.max(from),
                Reduction::First => *to,
                Reduction::Prod => {
                    let product = *to * from;
                    let vanished = product == 0.0 && *to != 0.0 && from != 0.0;
                    if vanished || product.is_infinite() && to.is_finite() && from.is_finite() {
                        return Err(position);
                    }
                    product
                }
            };
        }
    }
    if reduction == Reduction::Mean {
        joined.iter_mut().for_each(|score| *score /= count);
    }
    Ok(joined)
}

fn normalise(scores: &mut [f64], normaliser: Normaliser, params: &[u64]) {
    if normaliser == Normaliser::PerParameter {
        return scores.iter_mut().zip(params).for_each(|(score, params)| *score /= *params as f64);
    }
    let n = scores.len().max(1) as f64;
    let mean = scores.iter().sum::<f64>() / n;
    let (shift, scale) = match normaliser {
        Normaliser::None | Normaliser::PerParameter => (0.0, 1.0),
        Normaliser::LayerMean => (0.0, mean),
        Normaliser::LayerZscore => {
            (mean, (scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / n).sqrt())
        }
    };
    // Scores that are all alike are all 0: no group of them is weaker than another.
    let alike = scale == 0.0;
    scores.iter_mut().for_each(|score| *score = if alike { *score - mean } else { (*score - shift) / scale });
}

/// Σ over each group, in all of its tensors, of `score` of weights and these gradients.
pub(super) fn sums_over_groups<B: Backend>(
    backend: &B,
    config: &ModelConfig,
    groups: &Groups,
    score: ElementScore,
    weights: &Weights<B::Tensor>,
    grads: &Weights<B::Tensor>,
) -> GroupScores {
    let survivors = &Survivors::all(config);
    let context = SaliencyContext {
        backend,
        config,
        groups,
        survivors,
        source: config,
        weights,
        grads: Some(grads),
        fisher: None,
        moments: None,
        statistics: None,
        seed: 0,
    };
    let store = SumStore::default();
    let elements = ElementSums::new(&context, &store);
    let mut scores = GroupScores::default();
    for &kind in groups.types() {
        let of_place = |place| {
            use crate::rules::saliency::Evidence;
            let parts = GroupEvidence::new(&context, &elements, kind, place).elements(score);
            // A sum always has a number.
            reduced(parts, Reduction::Sum).unwrap_or_default()
        };
        scores.set(kind, (0..groups.places(kind, config)).map(of_place).collect());
    }
    scores
}

#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod tests;
