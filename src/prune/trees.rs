//! The trees that groups are removed from, and what is decided about them and not yet carried out.
use super::sums::{Scored, SumStore};
use super::survivors::{Survivors, remove};
use crate::model::{ModelConfig, Weights};
use crate::tensor::Backend;

/// Everything that is sliced when groups go.
pub struct Trees<'a, T> {
    pub weights: &'a mut Weights<T>,
    /// Gradients that saliency reads: of this step, their moving average, or of the calibration set.
    pub grads: Option<&'a mut Weights<T>>,
    /// The Fisher diagonal.
    pub fisher: Option<&'a mut Weights<T>>,
    /// Whether gradients and Fisher diagonal are read again after this call, as running means are. Others are left as they are once
    /// nothing is scored any more, too wide for the model, and must be dropped or overwritten: slicing them costs as much as
    /// slicing the weights.
    pub lasting: bool,
    /// m and v of the optimiser.
    pub moments: Option<[&'a mut Weights<T>; 2]>,
    /// Whatever else has the model's shape. Sliced, never read.
    pub companions: Vec<&'a mut Weights<T>>,
}

impl<T> Trees<'_, T> {
    pub(super) fn scored(&self) -> Scored<'_, T> {
        Scored {
            weights: self.weights,
            grads: self.grads.as_deref(),
            fisher: self.fisher.as_deref(),
            moments: self.moments.as_ref().map(|[m, v]| [&**m, &**v]),
        }
    }

    pub(super) fn all(&mut self) -> Vec<&mut Weights<T>> {
        self.sliced(true)
    }

    /// All, or all but gradients and Fisher diagonal.
    fn sliced(&mut self, scored: bool) -> Vec<&mut Weights<T>> {
        let mut all: Vec<&mut Weights<T>> = vec![&mut *self.weights];
        if scored {
            all.extend(self.grads.as_deref_mut());
            all.extend(self.fisher.as_deref_mut());
        }
        all.extend(self.moments.iter_mut().flatten().map(|tree| &mut **tree));
        all.extend(self.companions.iter_mut().map(|tree| &mut **tree));
        all
    }
}

/// What one call of the pruner carries from event to event.
pub(super) struct Work {
    /// The shape of the trees.
    pub stored: ModelConfig,
    /// What of them is left.
    pub left: Survivors,
    pub sums: SumStore,
    /// The event before which sums are taken whole.
    pub from_event: u64,
}

impl Work {
    /// Nothing of `stored` is gone yet, and no sums are taken.
    pub fn new(stored: &ModelConfig, from_event: u64) -> Self {
        Work { stored: stored.clone(), left: Survivors::all(stored), sums: SumStore::default(), from_event }
    }

    /// Removes from the trees what is not left any more.
    pub fn slice<B: Backend>(&mut self, backend: &B, trees: &mut Trees<'_, B::Tensor>) {
        self.remove(backend, &mut trees.all());
    }

    /// As [`Work::slice`], after the last event.
    pub fn finish<B: Backend>(&mut self, backend: &B, trees: &mut Trees<'_, B::Tensor>) {
        self.remove(backend, &mut trees.sliced(trees.lasting));
    }

    fn remove<B: Backend>(&mut self, backend: &B, trees: &mut [&mut Weights<B::Tensor>]) {
        remove(backend, &mut self.stored, trees, &self.left);
        self.left = Survivors::all(&self.stored);
        self.sums.set_behind(false);
    }
}
