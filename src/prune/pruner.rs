//! The pruner of one run: decides when groups go, which, and carries it out.
//!
//! ```text
//! sums of all groups, once                                              sums
//! while the schedule permits fewer parameters than the model has:
//!     take the weakest groups of the weakest type                       select
//!       – or, where that would overshoot, the completion                target
//!     update what stays, correct the sums, record                       update/, sums, survivors
//! remove what was taken                                                 survivors
//! ```
//!
//! Sums of per-parameter scores are kept and corrected by what goes; statistics are sliced event by event. Tensors are sliced
//! once, after the last event: before that, `Work` says which rows, columns and layers of them are left. Only updates of
//! weights, and rules that read weights as matrices, need the model sliced after each event.
use super::error::PruneError;
use super::event::{CandidateRecord, EventRecord};
use super::groups::{GroupId, Groups};
use super::saliency::{GroupScores, SaliencyContext, layerwise_error_flops, scores_from};
use super::schedule::{Allowance, allowance};
use super::statistics::{Grams, Needs, Statistics};
use super::sums::{Stored, SumStore, TensorSums};
use super::survivors::{Survivors, moved};
use super::target::{Events, Goal};
use super::trees::{Trees, Work};
use super::uneven::End;
use super::update::UpdateContext;
use super::{cost, select, target, uneven, update};
use crate::model::bias::add_biases;
use crate::model::{Biases, ModelConfig};
use crate::rules::saliency::Statistic;
use crate::schema::ParamId;
use crate::schema::groups::GroupType;
use crate::spec::{PruneSchedule, PruneSpec, Scope};
use crate::tensor::Backend;
use serde::{Deserialize, Serialize};

/// What a resumed run needs to go on as if it had not stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrunerState {
    /// Original indices of what is left.
    pub survivors: Survivors,
    /// Events carried out.
    pub events: u64,
    /// Once the target is within one event: how many events of each type are still to come.
    pub completion: Option<Events>,
    /// From then on, where groups of one type differ in size: where pruning ends, and in how many events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
    /// Linear layers that got a bias.
    #[serde(default, skip_serializing_if = "Biases::is_empty")]
    pub biases: Biases,
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
        if matches!(spec.schedule, PruneSchedule::Interval { steps: 0, .. }) {
            return Err(PruneError::ZeroInterval);
        }
        let groups = Groups::new(spec, source)?;
        let biases = source.biases.union(created_biases(spec));
        let goal = target::checked_goal(spec, &groups, &ModelConfig { biases, ..source.clone() }, source)?;
        Ok(Pruner::with(spec, groups, goal, source, seed))
    }

    fn with(spec: &PruneSpec, groups: Groups, goal: Goal, source: &ModelConfig, seed: u64) -> Self {
        let state = PrunerState {
            survivors: Survivors::all(source),
            events: 0,
            completion: None,
            end: None,
            biases: Biases::NONE,
        };
        Pruner {
            spec: spec.clone(),
            groups,
            source: source.clone(),
            config: source.clone(),
            goal,
            seed,
            state,
        }
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
        pruner.config.biases = source.biases.union(state.biases);
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
        (tokens_seen, step): (u64, u64),
    ) -> Result<Vec<EventRecord>, PruneError> {
        if *config != self.config {
            let (expected, found) = (self.config.num_params(), config.num_params());
            return Err(PruneError::ModelMismatch { expected, found });
        }
        let mut work = Work::new(config, self.state.events + 1);
        let mut records = Vec::new();
        if allowed.events > 0 && self.goal.count(&self.config) > allowed.params {
            self.take_in_biases(backend, &mut work, &mut trees, created_biases(&self.spec));
            config.clone_from(&self.config);
        }
        while (records.len() as u64) < allowed.events && self.goal.count(&self.config) > allowed.params {
            let record =
                self.event(backend, &mut work, &mut trees, statistics.as_deref_mut(), (tokens_seen, step))?;
            records.push(record);
            config.clone_from(&self.config);
        }
        work.finish(backend, &mut trees);
        Ok(records)
    }

    /// One event.
    fn event<B: Backend>(
        &mut self,
        backend: &B,
        work: &mut Work,
        trees: &mut Trees<'_, B::Tensor>,
        mut statistics: Option<&mut Statistics>,
        (tokens_seen, step): (u64, u64),
    ) -> Result<EventRecord, PruneError> {
        let (saliency, update) = (self.spec.saliency, self.spec.update);
        let reads_gram = saliency.needs(Statistic::Gram) || update.needs.contains(&Statistic::Gram);
        if let Some(grams) = statistics.as_deref_mut().and_then(|statistics| statistics.grams.as_mut()) {
            grams.check(&self.config)?;
            if saliency.needs(Statistic::Gram) {
                grams.invert(self.spec.damping)?;
                // Layerwise errors are read off whole matrices.
                work.slice(backend, trees);
            }
        }
        let mut layerwise_flops = match saliency.needs(Statistic::Gram) {
            true => layerwise_error_flops(&self.groups, &self.config),
            false => 0,
        };
        let scores = self.scores(backend, work, trees, statistics.as_deref())?;
        let candidates = select::candidates(&self.groups, &self.config, &scores);
        let chosen = self.choose(&candidates, &scores)?;
        let kind = chosen.kind;
        let kept = self.groups.without(&self.config, &chosen.groups);
        let (indices, layers) = (self.original_indices(&chosen.groups), self.source_layers(&chosen.groups));
        let layer = layers.first().copied().filter(|_| self.groups.scope() == Scope::PerLayer);

        let changed = self.changed_by_update(&kept, trees);
        let mut by_update = None;
        if !changed.is_empty() {
            // It reads and writes tensors of the model as it is now.
            work.slice(backend, trees);
            let context = UpdateContext {
                backend,
                config: &self.config,
                kind,
                kept: &kept,
                damping: self.spec.damping,
                statistics: statistics.as_deref(),
            };
            by_update = update::apply(update, &context, trees.weights)?;
        }
        let update_flops = cost::update_flops(update, &self.config, &kept);
        let used = statistics.as_deref().filter(|_| reads_gram);
        let by_saliency = used.and_then(|used| used.grams.as_ref()?.damping);
        let (gram_age_steps, gram_age_events, gram_tokens) = (
            used.map(|used| step.saturating_sub(used.step)),
            used.map(|used| self.state.events - used.events.min(self.state.events)),
            used.map(|used| used.num_tokens),
        );
        let squares = saliency.needs(Statistic::Fisher) || saliency.needs(Statistic::SquaredEffect);
        let fisher_units = statistics.as_deref().filter(|_| squares).map(|statistics| statistics.units);

        let stored = Stored { config: &work.stored, left: &work.left };
        work.sums.correct(backend, &self.groups, &trees.scored(), stored, &self.config, &kept);
        work.left.compose(&kept);
        work.sums.set_behind(true);
        if let Some(statistics) = statistics {
            statistics.keep(&self.groups, &self.config, &kept);
            layerwise_flops += statistics.grams.as_mut().map_or(0, Grams::take_flops);
        }
        self.config = kept.shape(&self.config);
        if !changed.is_empty() {
            work.slice(backend, trees);
            let changed: Vec<ParamId> = changed.into_iter().filter_map(|id| moved(id, &kept)).collect();
            work.sums.retake(backend, &self.groups, &self.config, &trees.scored(), &changed);
        }
        self.state.survivors.compose(&kept);
        self.state.events += 1;
        self.count_down(kind);
        Ok(EventRecord {
            event: self.state.events,
            step,
            tokens_seen,
            group_type: kind,
            layer,
            layers,
            indices,
            saliency: chosen.saliency,
            candidates: self.records_of(&candidates),
            params: self.config.num_params(),
            completion: self.state.completion.is_some(),
            gram_age_steps,
            gram_age_events,
            gram_tokens,
            damping: by_update.into_iter().chain(by_saliency).max_by(f64::total_cmp),
            fisher_units,
            sums_from_event: (!work.sums.is_empty()).then_some(work.from_event),
            saliency_flops: cost::saliency_flops(saliency, self.scored(work)) + layerwise_flops,
            update_flops,
        })
    }

    /// Parameters scored for the event that is just done.
    fn scored(&self, work: &Work) -> u64 {
        match work.sums.is_empty() {
            false => work.sums.take_scored(),
            // A rule that sums up no scores of parameters looks at all that groups own.
            true => self.config.count(|id| TensorSums::is_indexed(&self.groups, &self.config, id)),
        }
    }

    /// Normalised scores of all groups of the model as it is now.
    fn scores<B: Backend>(
        &self,
        backend: &B,
        work: &mut Work,
        trees: &mut Trees<'_, B::Tensor>,
        statistics: Option<&Statistics>,
    ) -> Result<GroupScores, PruneError> {
        let PruneSpec { saliency, reduction, normaliser, .. } = self.spec;
        let score = |sums: &SumStore, trees: &Trees<'_, B::Tensor>| {
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
                statistics,
                seed: self.seed,
            };
            scores_from(saliency, reduction, normaliser, &context, sums)
        };
        let scores = score(&work.sums, trees);
        if !work.sums.take_missed() {
            return scores;
        }
        // A rule asks for sums that it did not ask for before: the model must be as it is now.
        work.slice(backend, trees);
        score(&work.sums, trees)
    }

    /// Linear layers that lose inputs, and their biases: what an update changes.
    fn changed_by_update<T>(&self, kept: &Survivors, trees: &Trees<'_, T>) -> Vec<ParamId> {
        if self.spec.update.changes_nothing() {
            return Vec::new();
        }
        let loses_stem = kept.stem.len() < self.config.hidden_size;
        let changes = |id: &ParamId| match (id.layer(), id.projection()) {
            (Some(layer), Some(projection)) => kept.along(&self.config, projection.inputs(layer)).is_some(),
            _ => loses_stem && *id == ParamId::Head,
        };
        trees.weights.params().into_iter().map(|(id, _)| id).filter(changes).collect()
    }

    /// The linear layers of `biases` get some of 0, in all trees, where they have none.
    fn take_in_biases<B: Backend>(
        &mut self,
        backend: &B,
        work: &mut Work,
        trees: &mut Trees<'_, B::Tensor>,
        biases: Biases,
    ) {
        if biases.is_subset(self.config.biases) {
            return;
        }
        for tree in trees.all() {
            add_biases(backend, &work.stored, tree, biases);
        }
        for config in [&mut self.config, &mut work.stored] {
            config.biases = config.biases.union(biases);
        }
        self.state.biases = self.state.biases.union(biases);
    }

    fn original_indices(&self, taken: &[GroupId]) -> Vec<usize> {
        let original = |id: &GroupId| {
            let survivors = &self.state.survivors;
            self.groups.original_in(id.kind, survivors, &self.config, id.place, id.position)
        };
        taken.iter().map(original).collect()
    }

    fn source_layers(&self, taken: &[GroupId]) -> Vec<usize> {
        let of_layer = |id: &&GroupId| id.kind.is_per_layer();
        let layer = |id: &GroupId| self.groups.source_place(id.kind, &self.state.survivors, id.place);
        taken.iter().filter(of_layer).map(layer).collect()
    }

    /// One event of the completion is done.
    fn count_down(&mut self, kind: GroupType) {
        if let Some(end) = &mut self.state.end {
            end.events = end.events.saturating_sub(1);
            return;
        }
        match (&mut self.state.completion, self.groups.scope()) {
            (Some(_), Scope::PerLayer) => {
                self.state.completion = target::completion(&self.groups, &self.config, self.goal);
            }
            (Some(left), Scope::Uniform) => {
                for (_, left) in left.iter_mut().filter(|(other, _)| *other == kind) {
                    *left = left.saturating_sub(1);
                }
            }
            (None, _) => {}
        }
    }

    /// The weakest candidate, or the weakest with which the completion of the target still ends where it is to end.
    fn choose(
        &mut self,
        candidates: &[(GroupType, Option<select::Candidate>)],
        scores: &GroupScores,
    ) -> Result<select::Candidate, PruneError> {
        // The target was checked against the floors, so there is a candidate as long as it is not met.
        let least = self.goal.count(&self.config);
        let stuck = PruneError::TargetBelowFloor { target: self.goal.limit, least };
        let mut steps = uneven::MOST_STEPS;
        if self.state.completion.is_none() {
            let next = select::choose(candidates, |_| true).ok_or_else(|| stuck.clone())?;
            let after = self.goal.count(&self.after(next));
            if after >= self.goal.limit {
                return Ok(next.clone());
            }
            self.complete(after, &mut steps);
        }
        if let Some(end) = self.state.end {
            let in_order = select::in_order(&self.groups, &self.config, scores);
            for candidate in in_order {
                match self.leads_to(end, &candidate, &mut steps) {
                    Ok(true) => return Ok(candidate),
                    Ok(false) => {}
                    Err(uneven::TooLarge) => break,
                }
            }
            // Too large a search leaves the numbers of events by type, which are worked out again after each.
            self.state.end = None;
            self.state.completion = target::completion(&self.groups, &self.config, self.goal);
        }
        let left = self.state.completion.as_deref().unwrap_or_default();
        let has_events = |kind| left.iter().any(|(other, left)| *other == kind && *left > 0);
        select::choose(candidates, has_events).cloned().ok_or(stuck)
    }

    /// The shape that an event leaves.
    fn after(&self, candidate: &select::Candidate) -> ModelConfig {
        self.groups.without(&self.config, &candidate.groups).shape(&self.config)
    }

    /// Works out the last events; one event alone could leave `reachable` parameters, which is too few.
    fn complete(&mut self, reachable: u64, steps: &mut u64) {
        if uneven::sizes_differ(&self.groups, &self.config) {
            let end = uneven::best_end(&self.groups, &self.config, self.goal, reachable, steps);
            self.state.end = end.ok().flatten();
        }
        self.state.completion = match self.state.end {
            Some(_) => Some(Vec::new()),
            None => target::completion(&self.groups, &self.config, self.goal),
        };
    }

    /// Whether `end` is reached in as many events as it says with this one as the next.
    fn leads_to(
        &self,
        end: End,
        candidate: &select::Candidate,
        steps: &mut u64,
    ) -> Result<bool, uneven::TooLarge> {
        let after = self.after(candidate);
        let goal = Goal { limit: end.params, ..self.goal };
        let rest = uneven::best_end(&self.groups, &after, goal, end.params, steps)?;
        Ok(rest.is_some_and(|rest| rest.events + 1 == end.events))
    }

    fn records_of(&self, candidates: &[(GroupType, Option<select::Candidate>)]) -> Vec<CandidateRecord> {
        let record = |(kind, candidate): &(GroupType, Option<select::Candidate>)| {
            let groups = |config: &ModelConfig| self.groups.count_all(*kind, config);
            let whole = groups(&self.source);
            CandidateRecord {
                group_type: *kind,
                saliency: candidate.as_ref().map(|candidate| candidate.saliency),
                pruned_share: (whole - groups(&self.config)) as f64 / whole as f64,
            }
        };
        candidates.iter().map(record).collect()
    }
}

/// Biases that the update of a run gives to linear layers which have none: from the first event on, so that they count towards
/// the target.
fn created_biases(spec: &PruneSpec) -> Biases {
    if spec.update.makes_bias { update::biased_projections(&spec.types) } else { Biases::NONE }
}
