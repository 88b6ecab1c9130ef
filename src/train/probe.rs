//! How well saliency predicts: groups are removed one by one, the true change of held-out loss is measured, and every rule
//! scores the same groups (method §5, question 9).
//!
//! ```text
//! Δ_g = loss(model without g) − loss(model)          nats per held-out token; g gone from one layer alone
//! s_rg = score of g by rule r on calibration set c   neither normalised nor compared between types
//! ```
use super::calibrate::CalibrationSet;
use super::pretrain::TrainError;
use crate::base::random::stream;
use crate::data::{Batch, Batches};
use crate::model::{ModelConfig, Rank, Weights};
use crate::prune::groups::{GroupId, Groups};
use crate::prune::saliency::{SaliencyContext, normalised_scores};
use crate::prune::{Needs, Survivors, remove};
use crate::rules::saliency::{Saliency, Statistic};
use crate::spec::{Fisher, FisherScale, FisherUnit, GroupType, Normaliser, PruneSpec};
use crate::tensor::Backend;
use rand::seq::SliceRandom;

/// Types of which groups are probed: those that linear layers read, so that every rule has evidence on them.
pub const PROBED: &[GroupType] = &[GroupType::Ffn, GroupType::Head, GroupType::Stem];

/// What is probed, and on what.
pub struct ProbePlan<'a> {
    pub prune: &'a PruneSpec,
    /// T
    pub context_length: usize,
    /// Sequences of one pass.
    pub micro_batch: usize,
    /// Where in the stream of sequences calibration sets begin.
    pub first_sequence: u64,
    /// Groups of each type in each layer, at most; 0: all.
    pub groups_per_layer: usize,
    /// Of the sample of groups.
    pub seed: u64,
}

/// A group that was removed by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProbedGroup {
    pub kind: GroupType,
    /// 0 for `stem`.
    pub layer: usize,
    pub index: usize,
    /// Change of held-out loss, nats per token.
    pub delta: f64,
}

/// Scores of one rule on one calibration set.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleScores {
    pub rule: Saliency,
    /// Of rules that read squared gradients.
    pub fisher_unit: Option<FisherUnit>,
    /// Which calibration set, from 0.
    pub calibration: usize,
    /// In the order of [`Probe::groups`].
    pub scores: Vec<f64>,
}

/// What was measured.
pub struct Probe {
    /// Held-out loss of the whole model, nats per token.
    pub loss: f64,
    pub groups: Vec<ProbedGroup>,
    pub scores: Vec<RuleScores>,
}

/// How far a probe is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Rules score all groups in one of the passes over calibration sets, from 1.
    Scoring { pass: usize, of: usize },
    /// So many groups are to be removed, one by one.
    Removing { groups: usize },
    /// One more of them was.
    Removed,
}

/// Probes `weights` on the `held_out` batches, with a calibration set of `plan.prune.calibration_tokens` tokens from each of
/// `calibrations`. `progress` is told each step and says whether to go on.
///
/// # Errors
/// Groups that the model cannot have, statistics that a rule cannot use, or [`TrainError::Interrupted`].
pub fn probe<B: Backend>(
    rank: &mut Rank<'_, B>,
    calibrations: &[Batches],
    held_out: &[Batch],
    plan: &ProbePlan<'_>,
    config: &ModelConfig,
    weights: &Weights<B::Tensor>,
    progress: &mut dyn FnMut(Step) -> bool,
) -> Result<Probe, TrainError> {
    let types = PROBED.iter().copied().filter(|kind| plan.prune.types.contains(kind)).collect();
    // The end of pruning is none of a probe's business.
    let prune = PruneSpec { types, fixed_shape: None, ..plan.prune.clone() };
    let groups = Groups::new(&prune, config)?;
    let sample = sample(plan, config, &groups);
    let mut scores = Vec::new();
    let mut go_on = |step| match progress(step) {
        true => Ok(()),
        false => Err(TrainError::Interrupted { tokens_seen: 0 }),
    };
    let units = [FisherUnit::Position, FisherUnit::Sequence];
    for (calibration, batches) in calibrations.iter().enumerate() {
        for (number, unit) in units.into_iter().enumerate() {
            let pass = calibration * units.len() + number + 1;
            go_on(Step::Scoring { pass, of: calibrations.len() * units.len() })?;
            let fisher = Fisher { unit, scale: FisherScale::Tokens };
            scores.extend(score(rank, batches, plan, config, weights, &groups, calibration, fisher)?);
        }
    }
    let loss = loss(rank, held_out, config, weights);
    let mut probed = Vec::with_capacity(sample.len());
    go_on(Step::Removing { groups: sample.len() })?;
    for &(kind, layer, index) in &sample {
        let (smaller, weights) = without(rank.backend, &groups, config, weights, (kind, layer, index));
        let delta = self::loss(rank, held_out, &smaller, &weights) - loss;
        probed.push(ProbedGroup { kind, layer, index, delta });
        go_on(Step::Removed)?;
    }
    let of_sample = |(rule, fisher_unit, calibration, all): ScoredRule| RuleScores {
        rule,
        fisher_unit,
        calibration,
        scores: sample.iter().map(|&(kind, layer, index)| all.of(kind)[layer][index]).collect(),
    };
    Ok(Probe { loss, groups: probed, scores: scores.into_iter().map(of_sample).collect() })
}

type ScoredRule = (Saliency, Option<FisherUnit>, usize, crate::prune::saliency::GroupScores);

/// Scores of every rule that needs no optimiser; the second unit of F has those alone that read it.
#[allow(clippy::too_many_arguments)]
fn score<B: Backend>(
    rank: &mut Rank<'_, B>,
    batches: &Batches,
    plan: &ProbePlan<'_>,
    config: &ModelConfig,
    weights: &Weights<B::Tensor>,
    groups: &Groups,
    calibration: usize,
    fisher: Fisher,
) -> Result<Vec<ScoredRule>, TrainError> {
    let reads_fisher =
        |rule: &Saliency| rule.needs(Statistic::Fisher) || rule.needs(Statistic::SquaredEffect);
    let mut rules = Saliency::all();
    rules.retain(|rule| !rule.needs(Statistic::Moments));
    if fisher.unit != FisherUnit::Position {
        rules.retain(reads_fisher);
    }
    let needs = Needs::of_rules(&rules, fisher);
    let set = CalibrationSet {
        context_length: plan.context_length,
        micro_batch: plan.micro_batch,
        first_sequence: plan.first_sequence,
        tokens: plan.prune.calibration_tokens,
    };
    let mut gradient = set.collect(rank, batches, config, weights, &needs, groups)?;
    let mut statistics = gradient.statistics(rank.backend, set.sequences() * plan.context_length, (0, 0));
    if let Some(grams) = statistics.as_mut().and_then(|statistics| statistics.grams.as_mut()) {
        grams.invert(plan.prune.damping)?;
    }
    let survivors = Survivors::all(config);
    let mut scored = Vec::with_capacity(rules.len());
    for rule in rules {
        let entropy = rule.needs(Statistic::EntropyGradient);
        let context = SaliencyContext {
            backend: rank.backend,
            config,
            groups,
            survivors: &survivors,
            source: config,
            weights,
            grads: if entropy { gradient.entropy.as_ref() } else { Some(&gradient.mean) },
            fisher: gradient.fisher.as_ref(),
            moments: None,
            statistics: statistics.as_ref(),
            seed: calibration as u64,
        };
        let scores = normalised_scores(rule, plan.prune.reduction, Normaliser::None, &context)?;
        scored.push((rule, reads_fisher(&rule).then_some(fisher.unit), calibration, scores));
    }
    Ok(scored)
}

/// Groups of every allowed type, drawn by the seed in each layer.
fn sample(plan: &ProbePlan<'_>, config: &ModelConfig, groups: &Groups) -> Vec<(GroupType, usize, usize)> {
    let mut all = Vec::new();
    for (number, kind) in PROBED.iter().copied().enumerate().filter(|(_, kind)| groups.allows(*kind)) {
        for layer in 0..groups.places(kind, config) {
            let count = groups.count(kind, config, layer);
            // A model keeps at least one.
            if count < 2 {
                continue;
            }
            let mut indices: Vec<usize> = (0..count).collect();
            indices.shuffle(&mut stream(plan.seed, &format!("probe/{number}/{layer}")));
            let wanted = if plan.groups_per_layer == 0 { count } else { plan.groups_per_layer.min(count) };
            indices.truncate(wanted);
            indices.sort_unstable();
            all.extend(indices.into_iter().map(|index| (kind, layer, index)));
        }
    }
    all
}

/// The model without one group of one layer.
fn without<B: Backend>(
    backend: &B,
    groups: &Groups,
    config: &ModelConfig,
    weights: &Weights<B::Tensor>,
    (kind, layer, index): (GroupType, usize, usize),
) -> (ModelConfig, Weights<B::Tensor>) {
    let kept = groups.without(config, &[GroupId { kind, place: layer, position: index }]);
    let mut copy = weights.map(|leaf| backend.select(leaf, None, None));
    let mut smaller = config.clone();
    remove(backend, &mut smaller, &mut [&mut copy], &kept);
    (smaller, copy)
}

/// Mean nats per held-out token.
fn loss<B: Backend>(
    rank: &mut Rank<'_, B>,
    held_out: &[Batch],
    config: &ModelConfig,
    weights: &Weights<B::Tensor>,
) -> f64 {
    let (mut sum, mut tokens) = (0.0, 0usize);
    for batch in held_out {
        let logs =
            rank.network.log_probabilities(config, weights, &batch.inputs, &batch.targets, batch.sequences);
        sum -= logs.iter().sum::<f64>();
        tokens += batch.targets.len();
    }
    sum / tokens.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::super::tests::{BACKEND, CONTEXT, alone, batches, config, prune_spec};
    use super::*;
    use crate::model::init;
    use crate::model::network::ExplicitNetwork;
    use crate::rules::saliency::RULES;
    use crate::spec::Update;
    use std::collections::BTreeSet;

    /// Every rule that needs no optimiser scores what is probed, by both units of F where it reads one, whatever else is pruned.
    #[test]
    fn every_rule_is_held_against_the_change_of_loss() {
        let prune =
            PruneSpec { types: GroupType::ALL.to_vec(), ..prune_spec(Saliency::TAYLOR1, Update::NONE, 0.5) };
        let plan = ProbePlan {
            prune: &prune,
            context_length: CONTEXT,
            micro_batch: 4,
            first_sequence: 0,
            groups_per_layer: 2,
            seed: 1,
        };
        let (config, weights) = (config(), init::random_weights(&BACKEND, &config(), 2));
        let mut network = ExplicitNetwork::new(&BACKEND);
        let (sets, held_out) = ([batches()], [batches().batch(40, 4)]);
        let rank = &mut alone(&mut network);
        let mut steps = Vec::new();
        let mut told = |step| {
            steps.push(step);
            true
        };
        let probe = probe(rank, &sets, &held_out, &plan, &config, &weights, &mut told).expect("it probes");
        let scoring = [1, 2].map(|pass| Step::Scoring { pass, of: 2 });
        assert_eq!(steps[..3], [scoring[0], scoring[1], Step::Removing { groups: 10 }]);
        assert_eq!(steps[3..], [Step::Removed; 10]);
        // Two of each type and layer, and of the stem.
        assert_eq!(probe.groups.len(), 2 * 2 + 2 * 2 + 2);
        let finite = |scores: &RuleScores| scores.scores.iter().all(|score| score.is_finite());
        assert!(probe.scores.iter().all(finite) && probe.groups.iter().all(|group| group.delta.is_finite()));
        let found: BTreeSet<(&str, Option<&str>)> =
            probe.scores.iter().map(|of| (of.rule.name, of.fisher_unit.map(FisherUnit::name))).collect();
        let expected = RULES.iter().filter(|rule| !rule.needs(Statistic::Moments)).flat_map(|rule| {
            let squares = rule.needs(Statistic::Fisher) || rule.needs(Statistic::SquaredEffect);
            let units = if squares { vec![Some("position"), Some("sequence")] } else { vec![None] };
            units.into_iter().map(|unit| (rule.name, unit))
        });
        // Tests of other files may have registered rules.
        assert!(expected.into_iter().all(|rule| found.contains(&rule)), "{found:?}");
    }
}
