//! The pruner of one run: decides when groups go, which, and carries it out.
//!
//! ```text
//! while the schedule permits fewer parameters than the model has:
//!     score all groups of the model as it is now            saliency/
//!     take the weakest groups of the weakest type           select
//!       – or, where that would overshoot, the completion    target
//!     update what stays, remove, record                     update/, survivors
//! ```
//!
//! Scores are computed anew after every event from the sliced weights, gradients and Fisher diagonal.
use super::error::PruneError;
use super::groups::{Groups, TYPES};
use super::saliency::{SaliencyContext, normalised_scores};
use super::schedule::{Allowance, allowance};
use super::statistics::{Needs, Statistics};
use super::survivors::{Survivors, remove};
use super::target::Goal;
use super::update::UpdateContext;
use super::{cost, select, target, update};
use crate::model::bias::add_biases;
use crate::model::{ModelConfig, Weights};
use crate::rules::saliency::Statistic;
use crate::spec::{GroupType, PruneSchedule, PruneSpec};
use crate::tensor::Backend;
use serde::{Deserialize, Serialize};

/// Everything that is sliced when groups go.
pub struct Trees<'a, T> {
    pub weights: &'a mut Weights<T>,
    /// Gradients that saliency reads: of this step, their moving average, or of the calibration set.
    pub grads: Option<&'a mut Weights<T>>,
    /// The Fisher diagonal.
    pub fisher: Option<&'a mut Weights<T>>,
    /// m and v of the optimiser.
    pub moments: Option<[&'a mut Weights<T>; 2]>,
    /// Whatever else has the model's shape. Sliced, never read.
    pub companions: Vec<&'a mut Weights<T>>,
}

/// What a resumed run needs to go on as if it had not stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrunerState {
    /// Original indices of what is left.
    pub survivors: Survivors,
    /// Events carried out.
    pub events: u64,
    /// Once the target is within one event: how many events of each type (`ffn`, `head`, `stem`) are still to come.
    pub completion: Option<[u64; 3]>,
}

/// One pruning event, as recorded in `prune.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventRecord {
    /// From 1.
    pub event: u64,
    pub step: u64,
    pub tokens_seen: u64,
    pub group_type: GroupType,
    /// Original group numbers, one per layer (`ffn`, `head`) or one (`stem`); with `block = k`, group i is channels
    /// i·k … i·k + k − 1.
    pub indices: Vec<usize>,
    /// Normalised saliency of what was taken.
    pub saliency: f64,
    /// Normalised saliency of the weakest group of each type before the event; `None`: not allowed, or at its floor.
    pub candidates: [Option<f64>; 3],
    /// Share of each type's groups in the source that are gone after the event.
    pub pruned_share: [f64; 3],
    /// Parameters after the event.
    pub params: u64,
    /// Whether the event's type was settled by the completion of the target rather than by saliency.
    pub completion: bool,
    /// Optimiser steps between the weights that G's text passed through and this event; `None` where nothing reads G.
    pub gram_age_steps: Option<u64>,
    /// Pruning events between them.
    #[serde(default)]
    pub gram_age_events: Option<u64>,
    /// Tokens of G.
    #[serde(default)]
    pub gram_tokens: Option<u64>,
    /// λ as used: the most that any layer needed; `None` where nothing was factored.
    #[serde(default)]
    pub damping: Option<f64>,
    /// Units that squared gradients were taken of; `None` where none were.
    #[serde(default)]
    pub fisher_units: Option<u64>,
    pub saliency_flops: u64,
    pub update_flops: u64,
}

/// The pruner of one run.
#[derive(Clone, Debug)]
pub struct Pruner {
    spec: PruneSpec,
    groups: Groups,
    source: ModelConfig,
    /// Shape of the model now.
    config: ModelConfig,
    goal: Goal,
    seed: u64,
    state: PrunerState,
}

impl Pruner {
    /// A pruner of a model of shape `source` from which nothing is gone yet. `seed` is that of the `random` saliency.
    ///
    /// # Errors
    /// Groups that the model cannot have and targets that cannot be met; see [`Groups::new`] and
    /// [`target::checked_goal`].
    pub fn new(spec: &PruneSpec, source: &ModelConfig, seed: u64) -> Result<Self, PruneError> {
        if !(spec.damping.is_finite() && spec.damping >= 0.0) {
            return Err(PruneError::Damping { damping: spec.damping });
        }
        if spec.schedule == (PruneSchedule::Interval { steps: 0 }) {
            return Err(PruneError::ZeroInterval);
        }
        let groups = Groups::new(spec, source)?;
        let goal = target::checked_goal(spec, &groups, source)?;
        let state = PrunerState { survivors: Survivors::all(source), events: 0, completion: None };
        Ok(Pruner {
            spec: spec.clone(),
            groups,
            source: source.clone(),
            config: source.clone(),
            goal,
            seed,
            state,
        })
    }

    /// The pruner that [`Pruner::state`] was taken from.
    ///
    /// # Errors
    /// As [`Pruner::new`], and [`PruneError::StateMismatch`] where `state` is of another model.
    pub fn resume(
        spec: &PruneSpec,
        source: &ModelConfig,
        seed: u64,
        state: PrunerState,
    ) -> Result<Self, PruneError> {
        let mut pruner = Pruner::new(spec, source, seed)?;
        state.survivors.check(source).map_err(|what| PruneError::StateMismatch { what })?;
        pruner.config = state.survivors.shape(source);
        if spec.update.makes_bias && state.events > 0 {
            let made = update::biased_projections(&spec.types);
            pruner.config.biases = pruner.config.biases.union(made);
        }
        pruner.state = state;
        Ok(pruner)
    }

    pub fn state(&self) -> &PrunerState {
        &self.state
    }

    /// Shape of the model now.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Shape of the model before the first event.
    pub fn source(&self) -> &ModelConfig {
        &self.source
    }

    /// What the target counts, and the most of it that the pruned model may have.
    pub fn goal(&self) -> Goal {
        self.goal
    }

    /// Whether the target is met: nothing will be pruned any more.
    pub fn is_done(&self) -> bool {
        self.goal.count(&self.config) <= self.goal.limit
    }

    /// What [`Pruner::step`] must be handed after a step that events follow (`due`); of one that none follow, what a running
    /// mean takes in.
    pub fn needs(&self, due: bool) -> Needs {
        let averages = self.spec.gradient_ema > 0.0;
        let saliency = (due || averages).then_some(self.spec.saliency);
        Needs::of(&self.spec, saliency, if due { self.spec.update.needs } else { &[] })
    }

    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// Whether [`Pruner::step`] with these arguments would prune: ask before spending on statistics.
    pub fn is_due(&self, tokens_seen: u64, step: u64) -> bool {
        let allowed = self.allowance(tokens_seen, step);
        allowed.events > 0 && self.goal.count(&self.config) > allowed.params
    }

    fn allowance(&self, tokens_seen: u64, step: u64) -> Allowance {
        allowance(self.spec.schedule, self.goal.count(&self.source), self.goal.limit, tokens_seen, step)
    }

    /// Carries out the events that the schedule asks for after optimiser step `step` (from 1), with `tokens_seen` tokens
    /// trained on, that step's batch included. Slices `config`, all `trees` and `statistics`.
    ///
    /// # Errors
    /// Missing or misshapen inputs, before anything is changed; a score that is not finite or a G that is not
    /// positive definite, after which the model must not be used.
    pub fn step<B: Backend>(
        &mut self,
        backend: &B,
        config: &mut ModelConfig,
        trees: Trees<'_, B::Tensor>,
        statistics: Option<&mut Statistics>,
        tokens_seen: u64,
        step: u64,
    ) -> Result<Vec<EventRecord>, PruneError> {
        let allowed = self.allowance(tokens_seen, step);
        self.prune(backend, config, trees, statistics, allowed, (tokens_seen, step))
    }

    /// Carries out all events down to the target at once, whatever the schedule: the one-shot arms.
    ///
    /// # Errors
    /// As [`Pruner::step`].
    pub fn prune_to_target<B: Backend>(
        &mut self,
        backend: &B,
        config: &mut ModelConfig,
        trees: Trees<'_, B::Tensor>,
        statistics: Option<&mut Statistics>,
        tokens_seen: u64,
        step: u64,
    ) -> Result<Vec<EventRecord>, PruneError> {
        let allowed = Allowance { params: self.goal.limit, events: u64::MAX };
        self.prune(backend, config, trees, statistics, allowed, (tokens_seen, step))
    }

    fn prune<B: Backend>(
        &mut self,
        backend: &B,
        config: &mut ModelConfig,
        mut trees: Trees<'_, B::Tensor>,
        mut statistics: Option<&mut Statistics>,
        allowed: Allowance,
        when: (u64, u64),
    ) -> Result<Vec<EventRecord>, PruneError> {
        if *config != self.config {
            let (expected, found) = (self.config.num_params(), config.num_params());
            return Err(PruneError::ModelMismatch { expected, found });
        }
        let mut records = Vec::new();
        while (records.len() as u64) < allowed.events && self.goal.count(&self.config) > allowed.params {
            records.push(self.event(backend, &mut trees, statistics.as_deref_mut(), when)?);
            config.clone_from(&self.config);
        }
        Ok(records)
    }

    /// One event.
    fn event<B: Backend>(
        &mut self,
        backend: &B,
        trees: &mut Trees<'_, B::Tensor>,
        mut statistics: Option<&mut Statistics>,
        (tokens_seen, step): (u64, u64),
    ) -> Result<EventRecord, PruneError> {
        let (saliency, update) = (self.spec.saliency, self.spec.update);
        if update.makes_bias {
            self.make_biases(backend, trees);
        }
        let reads_gram = saliency.needs(Statistic::Gram) || update.needs.contains(&Statistic::Gram);
        if let Some(grams) = statistics.as_deref_mut().and_then(|statistics| statistics.grams.as_mut()) {
            grams.check(&self.config)?;
            if saliency.needs(Statistic::Gram) {
                grams.invert(self.spec.damping)?;
            }
        }
        let context = SaliencyContext {
            backend,
            config: &self.config,
            groups: &self.groups,
            survivors: &self.state.survivors,
            source: &self.source,
            weights: trees.weights,
            grads: trees.grads.as_deref(),
            fisher: trees.fisher.as_deref(),
            moments: trees.moments.as_ref().map(|[m, v]| [&**m, &**v]),
            statistics: statistics.as_deref(),
            seed: self.seed,
        };
        let scores = normalised_scores(saliency, self.spec.reduction, self.spec.normaliser, &context)?;
        let saliency_flops = cost::saliency_flops(saliency, &self.groups, &self.config);
        let candidates = select::candidates(&self.groups, &self.config, &scores);
        let chosen = self.choose(&candidates)?;
        let (kind, positions) = (chosen.kind, &chosen.positions);

        let indices = positions
            .iter()
            .enumerate()
            .map(|(place, &at)| self.groups.original(kind, &self.state.survivors, place, at))
            .collect();
        let kept = self.groups.without(kind, &self.config, positions);
        let context = UpdateContext {
            backend,
            config: &self.config,
            kind,
            kept: &kept,
            damping: self.spec.damping,
            statistics: statistics.as_deref(),
        };
        let by_update = update::apply(update, &context, trees.weights)?;
        let update_flops = cost::update_flops(update, &self.config, kind, &kept);
        let used = statistics.as_deref().filter(|_| reads_gram);
        let by_saliency = used.and_then(|used| used.grams.as_ref()?.damping);
        let (gram_age_steps, gram_age_events, gram_tokens) = (
            used.map(|used| step.saturating_sub(used.step)),
            used.map(|used| self.state.events - used.events.min(self.state.events)),
            used.map(|used| used.num_tokens),
        );
        let squares = saliency.needs(Statistic::Fisher) || saliency.needs(Statistic::SquaredEffect);
        let fisher_units = statistics.as_deref().filter(|_| squares).map(|statistics| statistics.units);

        let mut all: Vec<&mut Weights<B::Tensor>> = vec![&mut *trees.weights];
        all.extend(trees.grads.as_deref_mut());
        all.extend(trees.fisher.as_deref_mut());
        all.extend(trees.moments.iter_mut().flatten().map(|tree| &mut **tree));
        all.extend(trees.companions.iter_mut().map(|tree| &mut **tree));
        if let Some(statistics) = statistics {
            statistics.keep(&self.groups, &self.config, &kept);
        }
        remove(backend, &mut self.config, &mut all, &kept);
        self.state.survivors.compose(&kept);
        self.state.events += 1;
        if let Some(left) = &mut self.state.completion {
            left[kind as usize] -= 1;
        }
        Ok(EventRecord {
            event: self.state.events,
            step,
            tokens_seen,
            group_type: kind,
            indices,
            saliency: chosen.saliency,
            candidates: candidates.each_ref().map(|c| c.as_ref().map(|c| c.saliency)),
            pruned_share: self.pruned_share(),
            params: self.config.num_params(),
            completion: self.state.completion.is_some(),
            gram_age_steps,
            gram_age_events,
            gram_tokens,
            damping: by_update.into_iter().chain(by_saliency).max_by(f64::total_cmp),
            fisher_units,
            saliency_flops,
            update_flops,
        })
    }

    /// Gives the model the biases that its update writes to, and whatever is sliced with it the same, all zero.
    fn make_biases<B: Backend>(&mut self, backend: &B, trees: &mut Trees<'_, B::Tensor>) {
        let biases = self.config.biases.union(update::biased_projections(&self.spec.types));
        if biases == self.config.biases {
            return;
        }
        let Trees { weights, grads, fisher, moments, companions } = trees;
        let mut all: Vec<&mut Weights<B::Tensor>> = vec![&mut **weights];
        all.extend(grads.as_deref_mut());
        all.extend(fisher.as_deref_mut());
        all.extend(moments.iter_mut().flatten().map(|tree| &mut **tree));
        all.extend(companions.iter_mut().map(|tree| &mut **tree));
        for tree in all {
            add_biases(backend, &self.config, tree, biases);
        }
        self.config.biases = biases;
    }

    /// The weakest candidate, or the weakest that the completion of the target still has events for.
    fn choose<'c>(
        &mut self,
        candidates: &'c [Option<select::Candidate>; 3],
    ) -> Result<&'c select::Candidate, PruneError> {
        // The target was checked against the floors, so there is a candidate as long as it is not met.
        let least = self.goal.count(&self.config);
        let stuck = PruneError::TargetBelowFloor { target: self.goal.limit, least };
        if self.state.completion.is_none() {
            let next = select::choose(candidates, |_| true).ok_or_else(|| stuck.clone())?;
            let mut events = [0; 3];
            events[next.kind as usize] = 1;
            if self.goal.count_after(&self.groups, &self.config, events) >= self.goal.limit {
                return Ok(next);
            }
            self.state.completion = target::completion(&self.groups, &self.config, self.goal);
        }
        let left = self.state.completion.unwrap_or_default();
        select::choose(candidates, |kind| left[kind as usize] > 0).ok_or(stuck)
    }

    fn pruned_share(&self) -> [f64; 3] {
        TYPES.map(|kind| {
            let groups = |config: &ModelConfig| match kind {
                GroupType::Ffn => config.layers.iter().map(|layer| layer.intermediate_size).sum(),
                GroupType::Head => config.layers.iter().map(|layer| layer.num_heads).sum(),
                GroupType::Stem => config.hidden_size,
            };
            let source: usize = groups(&self.source);
            (source - groups(&self.config)) as f64 / source as f64
        })
    }
}
