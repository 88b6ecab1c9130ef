//! Evaluation stages: benchmarks and held-out text for one model, and with them the record of its run.
//!
//! Scores are kept as they come in a journal beside the stage's checkpoints, so a stage that is stopped at any moment goes on
//! at the item, and costs what it would have cost.
use super::super::executor::StageFailure;
use super::super::memory::peak_memory_bytes;
use super::super::scores;
use super::Evaluate;
use super::model::{self, Summary};
use crate::eval::{self, EvalError, Journal, Journalled, Limit, NetworkScorer, TaskResult};
use crate::model::flops::forward_flops_per_token;
use crate::model::{Engine, ModelConfig, Rank};
use crate::prune::{CandidateRecord, EventRecord, Goal};
use crate::record::scores::{average_acc, average_usual, mean_with_interval};
use crate::record::{
    CandidateRow, CurvePoint, EvalScore, ItemChoice, LayerWidths, LedgerEntry, LedgerPart, PruneEvent,
    RunIdentity, RunRecord, RunTotals, Status,
};
use crate::schema::Dim;
use crate::spec::{ArmSpec, PruneSpec, RunSpec, Shape, Start};
use crate::tensor::Backend;
use crate::train::{Ledger, Part};
use std::time::Instant;

/// Scores of a stage under way.
const JOURNAL: &str = "scores.jsonl";

/// Scores the model of `arm` and writes the run's record to the stage's folder; `tell` is given what a reader of the scores
/// must know of how they came about.
pub(super) fn write<B: Backend>(rank: Rank<'_, B>, asked: &Evaluate<'_>) -> Result<(), StageFailure> {
    let Evaluate { arm, engine, task, data, benchmarks, answers, progress, tell } = *asked;
    let started = Instant::now();
    let Rank { backend, network, at_once, .. } = rank;
    let spec = &task.stage.spec;
    let folder = task.inputs.model.as_deref().unwrap_or(task.folder);
    let (config, weights) = model::load(backend, folder)?;
    let _held = backend.hold(&weights.leaves());
    let mut summary = Summary::read(folder)?;
    let windows = data.validation(&spec.data, spec.eval.validation_tokens)?;
    let sequences = at_once.min(spec.train.micro_batch);

    let Engine { kind, precision, cpu_bf16, .. } = engine;
    let fingerprint = format!("{} {kind:?} {precision:?} {cpu_bf16:?}", task.identity);
    let mut journal = Journal::open_own(&task.partial.join(JOURNAL), &fingerprint)?;
    if journal.damaged() > 0 {
        tell(format!(
            "{}: {} scores of an interrupted evaluation were damaged; they are made again",
            task.stage.id,
            journal.damaged()
        ));
    }
    let source = match &task.inputs.source {
        Some(folder) => Some(model::load(backend, folder)?),
        None => None,
    };
    let _held_source = source.as_ref().map(|(_, weights)| backend.hold(&weights.leaves()));
    let of_source = source.as_ref().map(|(config, weights)| (config, weights));
    let mut scorer = NetworkScorer { source: of_source, ..NetworkScorer::new(network, &config, &weights) };
    let items: usize = benchmarks.iter().map(|benchmark| benchmark.items.len()).sum();
    let batches = windows.len().div_ceil(sequences.max(1)) * (1 + usize::from(source.is_some()));
    let parts = (items + batches) as u64;
    let mut done = 0;
    let mut watch = |_: usize, _: bool| {
        done += 1;
        progress.update(done, parts, None, Some(config.num_params()));
        !progress.interrupted()
    };
    let mut journalled = Journalled { journal: &mut journal, scorer: &mut scorer, watch: &mut watch };
    let results = benchmarks.iter().map(|benchmark| benchmark.evaluate(&mut journalled));
    let results = results.collect::<Result<Vec<TaskResult>, _>>().map_err(stopped)?;
    let held_out = eval::held_out(&mut journalled, &windows, &data.tokenizer, sequences).map_err(stopped)?;
    let divergences = match &source {
        Some(_) => {
            eval::divergences(&mut journalled, &windows, &data.tokenizer, sequences).map_err(stopped)?
        }
        None => Vec::new(),
    };
    if !spec.eval.allow_non_finite {
        if let Some(error) = eval::not_finite(&results) {
            return Err(error.into());
        }
        if !held_out.nll_per_token.is_finite() {
            return Err(EvalError::NotFinite { what: "the loss on held-out text".into() }.into());
        }
    }

    // The sweep gives the row its names: a stage may serve experiments that call the run something else.
    let identity = RunIdentity {
        run: task.stage.id.clone(),
        arm: arm.label(),
        seed: task.stage.seed.unwrap_or_default(),
        status: Status::Ok,
        reason: None,
        stage: None,
    };
    let mut items: Vec<ItemChoice> = results.iter().flat_map(scores::item_rows).collect();
    if let Some(folder) = &task.inputs.source_evaluation {
        scores::note_agreement(&mut items, answers(folder)?.as_ref());
    }
    let kl_to_source = mean_with_interval(&divergences);
    let sampled = spec.eval.folder.as_ref().map(|_| Limit::of(&spec.eval));
    let evals: Vec<EvalScore> = results.iter().map(|result| scores::score(result, &items, sampled)).collect();
    let tokens = scorer.tokens + scorer.known_tokens;
    let rate = |config: &ModelConfig| forward_flops_per_token(config, spec.data.context_length);
    let of_source = source.as_ref().map_or(0.0, |(config, _)| rate(config) * scorer.source_tokens as f64);
    let flops = rate(&config) * tokens as f64 + of_source;
    let tokens = tokens + scorer.source_tokens;
    // Answers are no scores yet: what makes these of them belongs to it.
    summary.ledger.add(Part::Evaluation, tokens, flops, started.elapsed().as_secs_f64());
    let record = RunRecord {
        totals: RunTotals {
            valid_loss: Some(held_out.nll_per_token),
            bits_per_byte: Some(held_out.bits_per_byte),
            kl_to_source: kl_to_source.map(|(mean, _)| mean),
            kl_to_source_low: kl_to_source.and_then(|(_, ends)| Some(ends?.low)),
            kl_to_source_high: kl_to_source.and_then(|(_, ends)| Some(ends?.high)),
            average_acc: average_acc(&evals),
            average_usual: average_usual(&evals),
            ..totals(arm, spec, &config, &summary)?
        },
        evals,
        curve: summary.curve.iter().map(curve_point).collect(),
        prune: summary.events.iter().map(|event| prune_event(event, &spec.prune)).collect(),
        candidates: summary.events.iter().flat_map(candidates).collect(),
        widths: widths(&config),
        ledger: ledger(&summary, spec.source.model.is_some()),
        set_aside: results.iter().flat_map(scores::set_aside_rows).collect(),
        items,
        ..RunRecord::new(identity, Vec::new())
    };
    record.write(task.folder)?;
    Ok(())
}

/// A stop on request is no failure.
fn stopped(error: EvalError) -> StageFailure {
    match error {
        EvalError::Interrupted => StageFailure::Interrupted,
        error => error.into(),
    }
}

/// Sizes and costs of the run; what evaluation found is added by the caller.
fn totals(
    arm: &ArmSpec,
    spec: &RunSpec,
    config: &ModelConfig,
    summary: &Summary,
) -> Result<RunTotals, StageFailure> {
    let (own, source) = (&summary.ledger, summary.source_ledger.as_ref());
    let made = summary.made_on.as_ref();
    let prunes = arm.prune.is_some();
    let (saliency_hessian, update_hessian) = (spec.prune.saliency.hessian.name(), spec.prune.update.name);
    // Whoever ends at the source's shape, or prunes to the widths of another arm, has no target of its own.
    let small = matches!(arm.from, Start::Scratch(Shape::Proportional | Shape::Of(_)));
    let to_target = arm.prune.as_ref().is_some_and(|prune| prune.widths_of.is_none());
    let target = match to_target || small {
        false => None,
        true => Some(Goal::new(&spec.prune, &model::source_config(spec)?).limit),
    };
    // What a source from disk has cost is known only where its tokens were stated.
    let from_source = arm.is_source() || source.is_some();
    let total_known = spec.source.tokens.is_some() || !from_source;
    let own_known = total_known || !arm.is_source();
    Ok(RunTotals {
        params: Some(config.num_params()),
        target_params: target,
        tokens: own_known.then(|| own.method_tokens()),
        total_tokens: total_known.then(|| own.method_tokens() + source.map_or(0, Ledger::method_tokens)),
        flops: own_known.then(|| own.method_flops()),
        total_flops: total_known.then(|| own.method_flops() + source.map_or(0.0, Ledger::method_flops)),
        train_loss: summary.curve.last().map(|point| point.loss),
        seconds: Some(Part::ALL.iter().map(|part| own.entry(*part).seconds).sum()),
        peak_memory_bytes: made.and_then(|made| made.device_peak_bytes).or_else(peak_memory_bytes),
        engine: made.map(|made| made.engine.clone()),
        precision: made.map(|made| made.precision.clone()),
        products: made.and_then(|made| made.products.clone()),
        devices: made.and_then(|made| made.devices.clone()),
        sequences_at_once: made.map(|made| made.sequences_at_once),
        saliency_hessian: prunes.then(|| saliency_hessian.to_string()),
        update_hessian: prunes.then(|| update_hessian.to_string()),
        ..RunTotals::default()
    })
}

fn curve_point(point: &crate::train::CurvePoint) -> CurvePoint {
    CurvePoint {
        step: point.step,
        tokens_seen: point.tokens_seen,
        params: point.params,
        loss: Some(point.loss),
        grad_norm: Some(point.grad_norm),
        learning_rate: Some(point.learning_rate),
        flops: Some(point.flops),
        held_out_loss: point.held_out_loss,
    }
}

/// The event's row; events are counted from 0 there.
fn prune_event(event: &EventRecord, prune: &PruneSpec) -> PruneEvent {
    PruneEvent {
        event: event.event.saturating_sub(1),
        step: event.step,
        tokens_seen: event.tokens_seen,
        group_type: event.group_type.name().to_string(),
        layer: event.layer.map_or("all".to_string(), |layer| layer.to_string()),
        index: indices(event),
        saliency: Some(event.saliency),
        params: event.params,
        gram_age_steps: event.gram_age_steps,
        gram_age_events: event.gram_age_events,
        gram_tokens: event.gram_tokens,
        damping: event.damping,
        fisher_unit: event.fisher_units.map(|_| prune.fisher.unit.name().to_string()),
        fisher_units: event.fisher_units,
        sums_from_event: event.sums_from_event.map(|event| event.saturating_sub(1)),
    }
}

/// Group numbers joined by `;`; where every layer lost one, in the order of the source's layers, with nothing for those that are
/// gone.
fn indices(event: &EventRecord) -> String {
    let mut cells: Vec<String> = event.indices.iter().map(usize::to_string).collect();
    if event.layer.is_none() && event.layers.len() == cells.len() {
        let places = event.layers.last().map_or(0, |last| last + 1);
        let mut all = vec![String::new(); places];
        event.layers.iter().zip(cells).for_each(|(&layer, cell)| all[layer] = cell);
        cells = all;
    }
    cells.join(";")
}

/// The event's rows of candidates, one for every type that the run prunes.
fn candidates(event: &EventRecord) -> Vec<CandidateRow> {
    let row = |candidate: &CandidateRecord| CandidateRow {
        event: event.event.saturating_sub(1),
        group_type: candidate.group_type.name().to_string(),
        saliency: candidate.saliency,
        pruned_share: Some(candidate.pruned_share),
    };
    event.candidates.iter().map(row).collect()
}

fn widths(config: &ModelConfig) -> Vec<LayerWidths> {
    let of_layer = |(layer, shape): (usize, &crate::model::LayerShape)| LayerWidths {
        head_dim: Some(config.size(Dim::HeadDim(layer)) as u64),
        layer: layer as u64,
        hidden_size: config.hidden_size as u64,
        num_heads: shape.num_heads as u64,
        num_kv_heads: shape.num_kv_heads as u64,
        intermediate_size: shape.intermediate_size as u64,
    };
    config.layers.iter().enumerate().map(of_layer).collect()
}

/// Parts that cost anything, the source's among them where the arm starts from it.
fn ledger(summary: &Summary, source_from_disk: bool) -> Vec<LedgerEntry> {
    let mut whole = summary.ledger.clone();
    whole.merge(summary.source_ledger.as_ref().unwrap_or(&Ledger::default()));
    let row = |part: Part| {
        let entry = whole.entry(part);
        let row = ledger_part(part);
        (entry.tokens > 0 || entry.flops > 0.0).then_some(LedgerEntry {
            part: row,
            tokens: Some(entry.tokens),
            flops: Some(entry.flops),
            seconds: (row != LedgerPart::Source || !source_from_disk).then_some(entry.seconds),
        })
    };
    Part::ALL.into_iter().filter_map(row).collect()
}

/// What a part of the ledger is called in the tables: a part without a name there does not compile.
fn ledger_part(part: Part) -> LedgerPart {
    match part {
        Part::Source => LedgerPart::Source,
        Part::Saliency => LedgerPart::Saliency,
        Part::Hessian => LedgerPart::Hessian,
        Part::Update => LedgerPart::Update,
        Part::Train => LedgerPart::Train,
        Part::Evaluation => LedgerPart::Evaluation,
        Part::Teacher => LedgerPart::Teacher,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cost_has_a_row_and_a_name() {
        for part in Part::ALL {
            assert_eq!(part.name(), ledger_part(part).name());
        }
    }
}
