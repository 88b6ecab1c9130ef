//! [`Evidence`] for rules, from device tensors and collected statistics.
use super::SaliencyContext;
use super::coupled::{by_group, by_tensor, channels_of, readers};
use crate::base::random::stream;
use crate::prune::sums::{Scored, SumStore, TensorSums};
use crate::rules::obs::error_by_inverse;
use crate::rules::saliency::{Evidence, Statistic, TensorScores};
use crate::spec::GroupType;
use crate::tensor::{Backend, ElementScore, Scalar};
use nalgebra::DMatrix;
use rand::RngExt;
use std::rc::Rc;

/// Row and column sums of elementwise scores, each made once, of what is left: see [`SumStore`].
pub(super) struct ElementSums<'a, 'c, B: Backend> {
    context: &'a SaliencyContext<'c, B>,
    store: &'a SumStore,
}

impl<'a, 'c, B: Backend> ElementSums<'a, 'c, B> {
    pub fn new(context: &'a SaliencyContext<'c, B>, store: &'a SumStore) -> Self {
        ElementSums { context, store }
    }

    fn of(&self, score: ElementScore) -> Rc<TensorSums> {
        let SaliencyContext { backend, groups, config, weights, grads, fisher, moments, .. } = *self.context;
        let trees = Scored { weights, grads, fisher, moments };
        self.store.of(backend, groups, config, score, &trees)
    }
}

/// Evidence on the groups of one type in one place.
pub(super) struct GroupEvidence<'a, 'c, B: Backend> {
    context: &'a SaliencyContext<'c, B>,
    sums: &'a ElementSums<'a, 'c, B>,
    kind: GroupType,
    place: usize,
}

impl<'a, 'c, B: Backend> GroupEvidence<'a, 'c, B> {
    pub fn new(
        context: &'a SaliencyContext<'c, B>,
        sums: &'a ElementSums<'a, 'c, B>,
        kind: GroupType,
        place: usize,
    ) -> Self {
        GroupEvidence { context, sums, kind, place }
    }

    fn by_group(&self, channels: &[f64], by_head: bool) -> Vec<f64> {
        let SaliencyContext { groups, config, .. } = *self.context;
        by_group(groups, config, self.kind, self.place, channels, by_head)
    }
}

// What a rule asks for without declaring that it needs it is a defect of the rule; it then gets no scores, or NaN.
impl<B: Backend> Evidence for GroupEvidence<'_, '_, B> {
    fn elements(&self, score: ElementScore) -> TensorScores {
        let SaliencyContext { groups, config, .. } = *self.context;
        by_tensor(groups, config, self.kind, self.place, &self.sums.of(score))
    }

    fn columns(&self, score: ElementScore, statistic: Statistic) -> TensorScores {
        let sums = self.sums.of(score);
        let channels = self.context.statistics.and_then(|statistics| statistics.channels(statistic));
        let readers = readers(self.context.config, self.kind, self.place).into_iter();
        readers
            .map(|(site, id)| {
                let values = channels.and_then(|channels| channels.of(site)).unwrap_or_default();
                let columns = sums.0.get(&id).map_or(&[][..], |sums| &sums.cols);
                let products: Vec<f64> = columns.iter().zip(values).map(|(s, x)| s * x).collect();
                self.by_group(&products, false)
            })
            .collect()
    }

    fn channels(&self, statistic: Statistic) -> TensorScores {
        let channels = self.context.statistics.and_then(|statistics| statistics.channels(statistic));
        let mut sites: Vec<_> =
            readers(self.context.config, self.kind, self.place).into_iter().map(|(site, _)| site).collect();
        sites.dedup();
        let of = |site| channels.and_then(|channels| Some((channels.of(site)?, channels.by_head)));
        sites.into_iter().filter_map(of).map(|(values, by_head)| self.by_group(values, by_head)).collect()
    }

    fn groups(&self, statistic: Statistic) -> TensorScores {
        let effects = self.context.statistics.and_then(|statistics| statistics.effects.get(&statistic));
        effects.and_then(|scores| scores.of(self.kind).get(self.place)).into_iter().cloned().collect()
    }

    fn layerwise_errors(&self) -> TensorScores {
        let SaliencyContext { backend, groups, config, weights, statistics, .. } = *self.context;
        let grams = statistics.and_then(|statistics| statistics.grams.as_ref());
        let groups = channels_of(groups, config, self.kind, self.place);
        let (kind, place) = (self.kind, self.place);
        let error = |site, id| -> Option<Vec<f64>> {
            let weight = weights.get(id)?;
            let (gram, inverse) = (grams?.of(site)?, grams?.inverse(site)?);
            let [rows, cols] = backend.shape(weight);
            let host = backend.to_host(weight);
            // A dead input adds nothing, whatever its weights.
            let at = |i: usize, j: usize| if gram[(j, j)] == 0.0 { 0.0 } else { host[i * cols + j].to_f64() };
            let of_group = |columns: &Vec<usize>| {
                let pruned = DMatrix::from_fn(rows, columns.len(), |i, s| at(i, columns[s]));
                error_by_inverse(inverse.select_rows(columns).select_columns(columns), &pruned)
            };
            Some(groups.iter().map(of_group).collect())
        };
        readers(config, kind, place).into_iter().filter_map(|(site, id)| error(site, id)).collect()
    }

    fn draws(&self) -> TensorScores {
        let SaliencyContext { config, groups, survivors, source, seed, .. } = *self.context;
        let (kind, place) = (self.kind, self.place);
        let in_source = groups.source_place(kind, survivors, place);
        let mut generator = stream(seed, &format!("prune/random/{}/{in_source}", kind.name()));
        let draws: Vec<f64> =
            (0..groups.count(kind, source, in_source)).map(|_| generator.random()).collect();
        let sizes = &groups.group_params(kind, config)[place];
        let of = |position| {
            draws[groups.original_in(kind, survivors, config, place, position)] * sizes[position] as f64
        };
        vec![(0..groups.count(kind, config, place)).map(of).collect()]
    }
}
