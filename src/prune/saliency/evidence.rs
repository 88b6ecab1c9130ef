//! [`Evidence`] for rules, from device tensors and collected statistics.
use super::coupled::{by_group, by_tensor, channels_of, is_owned, readers};
use super::{SaliencyContext, label};
use crate::base::random::stream;
use crate::model::Weights;
use crate::rules::obs::error_by_inverse;
use crate::rules::saliency::{Evidence, Statistic, TensorScores};
use crate::spec::GroupType;
use crate::tensor::{Backend, ElementScore, Margins, Scalar, ScoreLeaf};
use nalgebra::DMatrix;
use rand::RngExt;
use std::cell::RefCell;
use std::rc::Rc;

/// Row and column sums of elementwise scores over every tensor of which an allowed type owns rows or columns, each made
/// once, all tensors in one call; nothing of the others.
pub(super) struct ElementSums<'a, 'c, B: Backend> {
    context: &'a SaliencyContext<'c, B>,
    made: RefCell<Vec<(ElementScore, Rc<Weights<Margins>>)>>,
}

impl<'a, 'c, B: Backend> ElementSums<'a, 'c, B> {
    pub fn new(context: &'a SaliencyContext<'c, B>) -> Self {
        ElementSums { context, made: RefCell::default() }
    }

    fn of(&self, score: ElementScore) -> Rc<Weights<Margins>> {
        let mut made = self.made.borrow_mut();
        if let Some((_, margins)) = made.iter().find(|(of, _)| *of == score) {
            return margins.clone();
        }
        let margins = Rc::new(self.margins(score));
        made.push((score, margins.clone()));
        margins
    }

    fn margins(&self, score: ElementScore) -> Weights<Margins> {
        let SaliencyContext { backend, groups, weights, grads, fisher, moments, .. } = *self.context;
        let (first, second) = match (score, moments) {
            (ElementScore::Adam, Some([m, v])) => (Some(m), Some(v)),
            _ => (grads, fisher),
        };
        let [first, second] = [first, second].map(|tree| tree.map(Weights::leaves));
        let named = weights.params();
        let leaf = |i: usize| ScoreLeaf {
            weight: named[i].1,
            grad: first.as_ref().filter(|_| score.reads_gradient()).map(|leaves| leaves[i]),
            fisher: second.as_ref().filter(|_| score.reads_fisher()).map(|leaves| leaves[i]),
        };
        let wanted: Vec<bool> = named.iter().map(|(id, _)| is_owned(groups, *id)).collect();
        let leaves: Vec<_> = (0..named.len()).filter(|&i| wanted[i]).map(leaf).collect();
        let (mut margins, mut wanted) =
            (backend.score_margins(score, &leaves).into_iter(), wanted.into_iter());
        let mut next = || margins.next().expect("one for every leaf asked for");
        weights.map(|_| if wanted.next() == Some(true) { next() } else { Margins::default() })
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
        let margins = self.sums.of(score);
        let channels = self.context.statistics.and_then(|statistics| statistics.channels(statistic));
        let readers = readers(self.kind, self.place, &margins).into_iter();
        readers
            .map(|(site, margins)| {
                let values = channels.and_then(|channels| channels.of(site)).unwrap_or_default();
                let products: Vec<f64> = margins.cols.iter().zip(values).map(|(s, x)| s * x).collect();
                self.by_group(&products, false)
            })
            .collect()
    }

    fn channels(&self, statistic: Statistic) -> TensorScores {
        let channels = self.context.statistics.and_then(|statistics| statistics.channels(statistic));
        let mut sites: Vec<_> =
            readers(self.kind, self.place, self.context.weights).into_iter().map(|(site, _)| site).collect();
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
        let error = |site, weight: &B::Tensor| -> Option<Vec<f64>> {
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
        let readers = readers(self.kind, self.place, weights).into_iter();
        readers.filter_map(|(site, weight)| error(site, weight)).collect()
    }

    fn draws(&self) -> TensorScores {
        let SaliencyContext { config, groups, survivors, source, seed, .. } = *self.context;
        let (kind, place) = (self.kind, self.place);
        let mut generator = stream(seed, &format!("prune/random/{}/{place}", label(kind)));
        let draws: Vec<f64> = (0..groups.count(kind, source, place)).map(|_| generator.random()).collect();
        let size = groups.group_params(kind, config, place) as f64;
        let of = |position| draws[groups.original(kind, survivors, place, position)] * size;
        vec![(0..groups.count(kind, config, place)).map(of).collect()]
    }
}
