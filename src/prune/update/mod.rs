//! Applies an update rule ([`crate::rules::update`]) to the linear layers that an event takes input columns of (method §3).
//!
//! | event | linears | their input |
//! |---|---|---|
//! | `ffn` | down | that of down |
//! | `head` | o | that of o |
//! | `stem` | q, k, v; gate, up; an untied head | of attention; of the feed-forward block; of the head |
//!
//! A rule that makes biases moves into those of these linears; the model has them from the first event on. An output head has
//! none: there such a rule does what it does without.
//!
//! Rows that the event removes (of gate and up; q, k and v; embedding, o and down) are deleted without compensation. It runs
//! before the removal, on tensors of full width.
use super::error::PruneError;
use super::statistics::gram::{centred, factor};
use super::statistics::{Statistics, sites};
use super::survivors::{Survivors, complement};
use crate::model::taps::Site;
use crate::model::{LayerWeights, ModelConfig, Weights};
use crate::rules::saliency::Statistic;
use crate::rules::update::{LostColumns, Moments, Update};
use crate::schema::{Biases, Linear, Projection};
use crate::spec::GroupType;
use crate::tensor::{Backend, Scalar};
use nalgebra::DMatrix;
use rayon::prelude::*;

/// One event about to happen.
pub struct UpdateContext<'a, B: Backend> {
    pub backend: &'a B,
    /// Shape before the event.
    pub config: &'a ModelConfig,
    pub kind: GroupType,
    /// What the event keeps: positions in the model before it.
    pub kept: &'a Survivors,
    /// λ
    pub damping: f64,
    /// Fitting `config`; there where the rule needs some.
    pub statistics: Option<&'a Statistics>,
}

/// Changes `weights` in place; returns the most damping that any layer needed, where second moments were factored.
///
/// # Errors
/// [`PruneError::MissingStatistic`] before anything is changed; where the statistics do not permit the update, the weights may
/// be changed in part.
pub fn apply<B: Backend>(
    update: Update,
    context: &UpdateContext<'_, B>,
    weights: &mut Weights<B::Tensor>,
) -> Result<Option<f64>, PruneError> {
    if update.changes_nothing() {
        return Ok(None);
    }
    for statistic in update.needs {
        let there = context.statistics.is_some_and(|statistics| match statistic {
            Statistic::Gram => statistics.grams.is_some(),
            statistic => statistics.channels(*statistic).is_some(),
        });
        if !there {
            return Err(PruneError::MissingStatistic { rule: update.name, what: statistic.words() });
        }
    }
    let Weights { layers, head, .. } = weights;
    // Layers do not read each other; of several faults the first one's is told.
    let mut inputs: Vec<(Site, Vec<Reader<'_, B::Tensor>>)> =
        layers.iter_mut().enumerate().flat_map(|(i, layer)| inputs(context.kind, i, layer)).collect();
    if let (GroupType::Stem, Some(head)) = (context.kind, head) {
        inputs.push((Site::HeadIn, vec![Reader { weight: head, bias: None }]));
    }
    let used: Vec<Result<Option<f64>, PruneError>> =
        inputs.into_par_iter().map(|(site, readers)| update_input(update, context, site, readers)).collect();
    let used = used.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(used.into_iter().flatten().max_by(f64::total_cmp))
}

/// The linear layers that lose columns where an event removes groups of one of `types`, as far as they can have a bias.
pub fn biased_projections(types: &[GroupType]) -> Biases {
    let of = |kind: &GroupType| match kind {
        GroupType::Ffn => vec![Projection::Down],
        GroupType::Head => vec![Projection::O],
        GroupType::Stem => {
            vec![Projection::Q, Projection::K, Projection::V, Projection::Gate, Projection::Up]
        }
        // No linear layer that stays loses inputs.
        GroupType::HeadDim | GroupType::Layer => vec![],
    };
    types.iter().flat_map(of).collect()
}

/// What `update` does to an output head, which has no bias to move anything into.
pub(super) fn of_head(update: Update) -> Option<Update> {
    match (update.makes_bias, update.moments) {
        (true, Moments::None) => None,
        (true, _) => Some(Update::LAYERWISE),
        (false, _) => Some(update),
    }
}

/// A linear layer that loses columns; an output head has no bias.
struct Reader<'a, T> {
    weight: &'a mut T,
    bias: Option<&'a mut T>,
}

impl<'a, T> Reader<'a, T> {
    fn of(Linear { weight, bias }: &'a mut Linear<T>) -> Self {
        Reader { weight, bias: bias.as_mut() }
    }
}

/// The inputs of a layer that lose columns, and the linears that read them.
fn inputs<T>(kind: GroupType, i: usize, layer: &mut LayerWeights<T>) -> Vec<(Site, Vec<Reader<'_, T>>)> {
    let LayerWeights { q, k, v, o, gate, up, down, .. } = layer;
    match kind {
        GroupType::Ffn => vec![(Site::DownIn(i), vec![Reader::of(down)])],
        GroupType::Head => vec![(Site::OIn(i), vec![Reader::of(o)])],
        GroupType::Stem => vec![
            (Site::AttnIn(i), [q, k, v].map(Reader::of).into_iter().collect()),
            (Site::FfnIn(i), [gate, up].map(Reader::of).into_iter().collect()),
        ],
        GroupType::HeadDim | GroupType::Layer => vec![],
    }
}

fn update_input<B: Backend>(
    update: Update,
    context: &UpdateContext<'_, B>,
    site: Site,
    readers: Vec<Reader<'_, B::Tensor>>,
) -> Result<Option<f64>, PruneError> {
    let update = match site {
        Site::HeadIn => of_head(update),
        _ => Some(update),
    };
    let Some(update) = update else { return Ok(None) };
    let UpdateContext { backend, config, kept, damping, .. } = *context;
    let width = sites::width(config, site);
    let columns = complement(&sites::kept_channels(config, kept, site), width);
    // The event is in another layer.
    if columns.is_empty() {
        return Ok(None);
    }
    let statistics = context.statistics;
    let means = statistics.and_then(|statistics| statistics.channels(Statistic::InputMean));
    let mean = means.and_then(|means| means.of(site)).unwrap_or_default();
    let grams = statistics.and_then(|statistics| statistics.grams.as_ref());
    let factored = match (update.moments, grams.and_then(|grams| Some((grams.of(site)?, grams.num_tokens)))) {
        (Moments::Plain, Some((gram, tokens))) => Some(factor(gram, damping, site, tokens)?),
        (Moments::Centred, Some((gram, tokens))) => {
            Some(factor(&centred(gram, mean, tokens), damping, site, tokens)?)
        }
        _ => None,
    };
    let lost = LostColumns { columns: &columns, mean, factored: factored.as_ref() };
    for Reader { weight, bias } in readers {
        let mut host = download(backend, weight);
        let gained = (update.compensate)(&lost, &mut host);
        let gained = gained.map_err(|_| PruneError::NotPositiveDefinite { site, damping })?;
        *weight = upload(backend, &host);
        if let (Some(gained), Some(bias)) = (gained, bias) {
            let before = download(backend, bias);
            *bias = upload(backend, &DMatrix::from_fn(1, gained.len(), |_, i| before[(0, i)] + gained[i]));
        }
    }
    Ok(factored.map(|factored| factored.damping()))
}

fn download<B: Backend>(backend: &B, tensor: &B::Tensor) -> DMatrix<f64> {
    let [rows, cols] = backend.shape(tensor);
    DMatrix::from_row_iterator(rows, cols, backend.to_host(tensor).into_iter().map(Scalar::to_f64))
}

fn upload<B: Backend>(backend: &B, matrix: &DMatrix<f64>) -> B::Tensor {
    // Storage is by columns: the transpose's is by rows.
    let values: Vec<B::Scalar> = matrix.transpose().iter().map(|&x| B::Scalar::from_f64(x)).collect();
    backend.from_host(matrix.nrows(), matrix.ncols(), &values)
}

#[cfg(test)]
mod tests;
