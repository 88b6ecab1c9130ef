//! Sums of scores over groups, kept and corrected while groups go.
//!
//! ```text
//! tensor       R[r] = Σ_c s(r, c),  C[c] = Σ_r s(r, c)                       s: a per-parameter score
//! group        S[g] = reduction over the tensors of g of Σ_{r ∈ g} R[r]       (or Σ_{c ∈ g} C[c])
//! rows P go    C[c] ← C[c] − Σ_{r ∈ P} s(r, c),  R without P                 columns likewise
//! ```
//!
//! So an event costs what it removes: only what is removed is scored, and only in tensors that groups of another type share.
//! The result equals scoring what is left anew, to the rounding of f64. Sums begin anew with every call of the pruner, so what
//! rounding does to ties depends on nothing that a checkpoint would have to hold.
use super::groups::Groups;
use super::survivors::{KeptAlong, Survivors, complement, moved};
use crate::model::{ModelConfig, Weights};
use crate::schema::groups::GroupType;
use crate::schema::{Axis, Dim, Param, ParamId};
use crate::tensor::{Backend, ElementScore, Margins, ScoreLeaf};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// What a per-parameter score reads.
#[derive(Clone, Copy)]
pub struct Scored<'a, T> {
    pub weights: &'a Weights<T>,
    pub grads: Option<&'a Weights<T>>,
    pub fisher: Option<&'a Weights<T>>,
    /// m and v of the optimiser.
    pub moments: Option<[&'a Weights<T>; 2]>,
}

impl<'a, T> Scored<'a, T> {
    /// What a score reads beside the weights, in the places of gradient and Fisher diagonal.
    fn read_by(&self, score: ElementScore) -> [Option<&'a Weights<T>>; 2] {
        let (first, second) = match (score, self.moments) {
            (ElementScore::Adam, Some([m, v])) => (Some(m), Some(v)),
            _ => (self.grads, self.fisher),
        };
        [first.filter(|_| score.reads_gradient()), second.filter(|_| score.reads_fisher())]
    }
}

/// Row and column sums of a score, by tensor; of a tensor that says nothing there is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TensorSums(pub BTreeMap<ParamId, Margins>);

/// A model whose removals are decided and not yet carried out: what is stored, and which of it is left.
#[derive(Clone, Copy)]
pub struct Stored<'a> {
    pub config: &'a ModelConfig,
    pub left: &'a Survivors,
}

/// Part of a tensor that goes and whose scores the sums of another group hold.
struct Slice<T> {
    id: ParamId,
    /// Whether rows go: the sums of columns then lose theirs.
    rows: bool,
    weight: T,
    grad: Option<T>,
    fisher: Option<T>,
}

impl TensorSums {
    /// Whether an allowed type owns a part of this tensor.
    pub fn is_indexed(groups: &Groups, config: &ModelConfig, id: ParamId) -> bool {
        let Param { rows, cols, .. } = Param::of(id);
        is_cut(groups, config, rows) || is_cut(groups, config, cols) || in_whole_layer(groups, id)
    }

    /// Takes the sums of the tensors that `wanted` names; returns how many parameters were scored. `trees` have the shape that
    /// the sums are of.
    pub fn take<B: Backend>(
        &mut self,
        backend: &B,
        score: ElementScore,
        trees: &Scored<'_, B::Tensor>,
        wanted: impl Fn(ParamId) -> bool,
    ) -> u64 {
        let (mut leaves, mut ids, mut scored) = (Vec::new(), Vec::new(), 0);
        for (id, weight) in trees.weights.params().into_iter().filter(|(id, _)| wanted(*id)) {
            let [grad, fisher] = trees.read_by(score).map(|tree| tree.and_then(|tree| tree.get(id)));
            leaves.push(ScoreLeaf { weight, grad, fisher });
            ids.push(id);
            scored += backend.shape(weight).map(|n| n as u64).iter().product::<u64>();
        }
        self.0.extend(ids.into_iter().zip(backend.score_margins(score, &leaves)));
        scored
    }

    /// What is left of the sums when `kept` of the model of shape `config` stays; `trees` are as stored. Returns how many
    /// parameters were scored.
    #[allow(clippy::too_many_arguments)]
    pub fn correct<B: Backend>(
        &mut self,
        backend: &B,
        groups: &Groups,
        score: ElementScore,
        trees: &Scored<'_, B::Tensor>,
        stored: Stored<'_>,
        config: &ModelConfig,
        kept: &Survivors,
    ) -> u64 {
        let slices = self.slices(backend, groups, score, trees, stored, config, kept);
        let mut leaves = Vec::with_capacity(slices.len());
        for Slice { weight, grad, fisher, .. } in &slices {
            leaves.push(ScoreLeaf { weight, grad: grad.as_ref(), fisher: fisher.as_ref() });
        }
        let removed = if leaves.is_empty() { Vec::new() } else { backend.score_margins(score, &leaves) };
        let mut scored = 0;
        for (slice, removed) in slices.iter().zip(removed) {
            scored += backend.shape(&slice.weight).map(|n| n as u64).iter().product::<u64>();
            let Some(sums) = self.0.get_mut(&slice.id) else { continue };
            let (from, less) =
                if slice.rows { (&mut sums.cols, removed.cols) } else { (&mut sums.rows, removed.rows) };
            from.iter_mut().zip(less).for_each(|(sum, less)| *sum -= less);
        }
        self.keep(config, kept);
        scored
    }

    /// Drops the rows, columns and layers that `kept` does not list.
    fn keep(&mut self, config: &ModelConfig, kept: &Survivors) {
        let along = KeptAlong::new(config, kept, self.0.keys().copied());
        for (&id, sums) in &mut self.0 {
            let Param { rows, cols, .. } = Param::of(id);
            for (axis, values) in [(rows, &mut sums.rows), (cols, &mut sums.cols)] {
                // A vector that no type reads may not have been taken.
                if let Some(kept) = along.of(axis).filter(|_| !values.is_empty()) {
                    kept.iter().enumerate().for_each(|(to, &from)| values[to] = values[from]);
                    values.truncate(kept.len());
                }
            }
        }
        if kept.layers.len() < config.layers.len() {
            let left = std::mem::take(&mut self.0).into_iter();
            self.0 = left.filter_map(|(id, sums)| Some((moved(id, kept)?, sums))).collect();
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn slices<B: Backend>(
        &self,
        backend: &B,
        groups: &Groups,
        score: ElementScore,
        trees: &Scored<'_, B::Tensor>,
        stored: Stored<'_>,
        config: &ModelConfig,
        kept: &Survivors,
    ) -> Vec<Slice<B::Tensor>> {
        let mut slices = Vec::new();
        let stays = |id: &ParamId| moved(*id, kept).is_some();
        let place = |id: ParamId| stored_id(id, stored.left);
        let along = KeptAlong::new(config, kept, self.0.keys().copied().filter(stays));
        let loses = |id: &ParamId| {
            let Param { rows, cols, .. } = Param::of(*id);
            along.of(rows).is_some() || along.of(cols).is_some()
        };
        let ids: Vec<ParamId> = self.0.keys().copied().filter(stays).filter(loses).collect();
        let places = KeptAlong::new(stored.config, stored.left, ids.iter().copied().map(place));
        for id in ids {
            let (now, there) = (Param::of(id), Param::of(place(id)));
            for rows in [true, false] {
                let (axis, across) = if rows { (now.rows, now.cols) } else { (now.cols, now.rows) };
                let Some(stays) = along.of(axis) else { continue };
                if !(is_cut(groups, config, across) || !rows && in_whole_layer(groups, id)) {
                    continue;
                }
                let gone = complement(stays, config.length(axis));
                let [row_places, col_places] = [there.rows, there.cols].map(|axis| places.of(axis));
                let gone: Vec<usize> = match if rows { row_places } else { col_places } {
                    Some(places) => gone.into_iter().map(|i| places[i]).collect(),
                    None => gone,
                };
                let (row_places, col_places) =
                    if rows { (Some(&gone[..]), col_places) } else { (row_places, Some(&gone[..])) };
                let select = |tree: &Weights<B::Tensor>| {
                    Some(backend.select(tree.get(there.id)?, row_places, col_places))
                };
                let Some(weight) = select(trees.weights) else { continue };
                let [grad, fisher] = trees.read_by(score).map(|tree| tree.and_then(select));
                slices.push(Slice { id, rows, weight, grad, fisher });
            }
        }
        slices
    }
}

/// The parameter as it is stored: layers before it may wait for their removal.
fn stored_id(id: ParamId, left: &Survivors) -> ParamId {
    match id {
        ParamId::Layer(layer, part) => ParamId::Layer(left.layers[layer].layer, part),
        other => other,
    }
}

/// Whether groups of an allowed type cut the indices along `axis`.
fn is_cut(groups: &Groups, config: &ModelConfig, axis: Axis) -> bool {
    let cuts = |kind: &GroupType, dim| kind.pattern(groups.cut(), config, dim).is_some();
    groups.types().iter().any(|kind| cuts(kind, axis.outer) || cuts(kind, axis.inner))
}

/// Whether groups own this tensor whole.
fn in_whole_layer(groups: &Groups, id: ParamId) -> bool {
    id.layer().is_some() && groups.types().iter().any(|kind| kind.dim(0) == Dim::Layer)
}

/// Sums of every score that a rule asks for, from event to event.
#[derive(Default)]
pub struct SumStore {
    sums: RefCell<Vec<(ElementScore, Rc<TensorSums>)>>,
    /// Whether trees hold more than is left: sums cannot be taken from them then.
    behind: Cell<bool>,
    missed: Cell<bool>,
    scored: Cell<u64>,
}

impl SumStore {
    /// The sums of `score`, taken from `trees` where they are not there yet.
    pub fn of<B: Backend>(
        &self,
        backend: &B,
        groups: &Groups,
        config: &ModelConfig,
        score: ElementScore,
        trees: &Scored<'_, B::Tensor>,
    ) -> Rc<TensorSums> {
        let mut all = self.sums.borrow_mut();
        if let Some((_, sums)) = all.iter().find(|(of, _)| *of == score) {
            return sums.clone();
        }
        let mut sums = TensorSums::default();
        if self.behind.get() {
            self.missed.set(true);
            return Rc::new(sums);
        }
        let wanted = |id| TensorSums::is_indexed(groups, config, id);
        self.count(sums.take(backend, score, trees, wanted));
        let sums = Rc::new(sums);
        all.push((score, sums.clone()));
        sums
    }

    fn count(&self, scored: u64) {
        self.scored.set(self.scored.get() + scored);
    }

    /// Parameters scored since the last call.
    pub fn take_scored(&self) -> u64 {
        self.scored.take()
    }

    /// Whether sums were asked for that could not be taken, since the last call.
    pub fn take_missed(&self) -> bool {
        self.missed.take()
    }

    pub fn is_empty(&self) -> bool {
        self.sums.borrow().is_empty()
    }

    /// Says whether trees hold more than is left.
    pub fn set_behind(&self, behind: bool) {
        self.behind.set(behind);
    }

    /// Corrects all sums by what goes; see [`TensorSums::correct`].
    pub fn correct<B: Backend>(
        &mut self,
        backend: &B,
        groups: &Groups,
        trees: &Scored<'_, B::Tensor>,
        stored: Stored<'_>,
        config: &ModelConfig,
        kept: &Survivors,
    ) {
        for (score, sums) in self.sums.get_mut() {
            let sums = Rc::make_mut(sums);
            let scored = sums.correct(backend, groups, *score, trees, stored, config, kept);
            self.scored.set(self.scored.get() + scored);
        }
    }

    /// Takes the sums of `changed` tensors anew from `trees`, which are as the sums are.
    pub fn retake<B: Backend>(
        &mut self,
        backend: &B,
        groups: &Groups,
        config: &ModelConfig,
        trees: &Scored<'_, B::Tensor>,
        changed: &[ParamId],
    ) {
        let wanted = |id| changed.contains(&id) && TensorSums::is_indexed(groups, config, id);
        for (score, sums) in self.sums.get_mut() {
            let scored = Rc::make_mut(sums).take(backend, *score, trees, wanted);
            self.scored.set(self.scored.get() + scored);
        }
    }
}
