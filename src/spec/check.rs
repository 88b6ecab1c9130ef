//! Rules between keys. Each is checked only where all of its operands could be read.
use super::arm::ArmSpec;
use super::names::FOLDER_TASKS;
use super::reader::{Findings, Table};
use super::rules::RuleFault;
use super::size::smallest;
use super::types::*;
use super::vocabulary::vocab_size;
use crate::schema::ModelConfig;
use std::path::{Path, PathBuf};

/// Reports every broken rule of `spec`, which `arms` follow; `root` is asked for the lines.
pub(super) fn rules(
    spec: &RunSpec,
    arms: &[&ArmSpec],
    engine: &EngineSpec,
    root: &Table<'_>,
    findings: &Findings,
) {
    let check = Check { root, findings };
    check.batch(spec);
    check.packing(spec);
    check.ranks(spec, engine);
    check.heads(spec);
    check.tokens(spec, arms);
    check.source(spec, arms);
    check.recovery(spec, arms);
    check.groups(spec);
    check.rules(spec, arms, engine);
    check.target(spec);
    check.eval(spec);
}

struct Check<'a> {
    root: &'a Table<'a>,
    findings: &'a Findings,
}

impl Check<'_> {
    fn fault(&self, key: &str, message: String, hint: Option<String>) {
        self.findings.add(key, self.root.line_of_path(key), message, hint);
    }

    /// `value` at `key` must be a multiple of `unit`, which `words` explain.
    fn multiple(&self, key: &str, value: u64, unit: u64, words: &str) {
        if unit > 0 && !value.is_multiple_of(unit) {
            let (below, above) = (value / unit * unit, value.next_multiple_of(unit));
            let valid = if below == 0 { above.to_string() } else { format!("{below}, {above}") };
            let message = format!("{value} is not a multiple of {unit} ({words})");
            self.fault(key, message, Some(format!("nearest valid {}: {valid}", last(key))));
        }
    }

    fn batch(&self, spec: &RunSpec) {
        if self.findings.sound(&["data.context_length", "train.micro_batch", "train.batch_tokens"]) {
            let unit = (spec.data.context_length * spec.train.micro_batch) as u64;
            let words = "data.context_length × train.micro_batch";
            self.multiple("train.batch_tokens", spec.train.batch_tokens as u64, unit, words);
        }
    }

    fn packing(&self, spec: &RunSpec) {
        let separate = spec.data.packing == Packing::Separate && spec.data.shuffle == Shuffle::Documents;
        if separate && self.findings.sound(&["data.packing", "data.shuffle"]) {
            let message = "`documents` orders what is laid end to end, but data.packing = \"separate\" packs documents by their length";
            let hint = "nearest valid shuffle: `windows`, which then orders the packed sequences".to_string();
            self.fault("data.shuffle", message.into(), Some(hint));
        }
    }

    /// Every rank has a micro-batch of every step.
    fn ranks(&self, spec: &RunSpec, engine: &EngineSpec) {
        let keys = ["data.context_length", "train.micro_batch", "train.batch_tokens", "engine.data_parallel"];
        if !self.findings.sound(&keys) {
            return;
        }
        let sequences = spec.train.batch_tokens / spec.data.context_length;
        let micro_batches = sequences.div_ceil(spec.train.micro_batch);
        if engine.data_parallel > micro_batches {
            let message =
                format!("{} ranks, and a step has {micro_batches} micro-batches", engine.data_parallel);
            let micro_batch = (sequences / engine.data_parallel).max(1);
            let hint =
                format!("nearest valid data_parallel: {micro_batches}, or train.micro_batch = {micro_batch}");
            self.fault("engine.data_parallel", message, Some(hint));
        }
    }

    fn heads(&self, spec: &RunSpec) {
        let model = &spec.model;
        if self.findings.sound(&["model.num_heads", "model.num_kv_heads"])
            && !model.num_heads.is_multiple_of(model.num_kv_heads)
        {
            let message = format!("{} does not divide num_heads = {}", model.num_kv_heads, model.num_heads);
            let hint = nearest_divisors("num_kv_heads", model.num_kv_heads, model.num_heads);
            self.fault("model.num_kv_heads", message, Some(hint));
        }
        if self.findings.sound(&["model.head_dim", "model.hidden_size", "model.num_heads"])
            && !model.head_dim.is_multiple_of(2)
        {
            let message = format!("{} is odd: RoPE rotates pairs of channels", model.head_dim);
            let hint = format!("nearest valid head_dim: {}, {}", model.head_dim - 1, model.head_dim + 1);
            self.fault("model.head_dim", message, Some(hint));
        }
    }

    fn tokens(&self, spec: &RunSpec, arms: &[&ArmSpec]) {
        let batch = spec.train.batch_tokens as u64;
        let subtracts = |arm: &&&ArmSpec| arm.stages() > 0 && arm.train.is_some();
        let recover = arms.iter().find(subtracts).filter(|_| spec.recovery.subtract_calibration);
        // Each stage has a calibration set of its own.
        let calibration = spec.prune.calibration_tokens * recover.map_or(1, |arm| arm.stages());
        if self.findings.sound(&["train.batch_tokens"]) {
            let words = "train.batch_tokens";
            let trained = ("source.tokens", spec.source.stream_tokens());
            for (key, tokens) in [trained, ("budget.tokens", spec.budget.tokens)] {
                if self.findings.sound(&["source.tokens", key]) {
                    self.multiple(key, tokens, batch, words);
                }
            }
            if self.findings.sound(&["prune.schedule"]) {
                let start = spec.prune.schedule.start_tokens();
                if start > 0 {
                    self.multiple("prune.schedule.start_tokens", start, batch, words);
                }
                if let PruneSchedule::Line { prune_tokens, .. } = spec.prune.schedule {
                    self.multiple("prune.schedule.prune_tokens", prune_tokens, batch, words);
                }
            }
            if let Some(arm) = recover
                && self.findings.sound(&["prune.calibration_tokens"])
            {
                let words = format!(
                    "train.batch_tokens, since {} trains on what calibration leaves of the budget",
                    arm.name
                );
                self.multiple("prune.calibration_tokens", spec.prune.calibration_tokens, batch, &words);
            }
        }
        let sequence = spec.data.context_length as u64;
        for (key, tokens) in [
            ("eval.validation_tokens", spec.eval.validation_tokens),
            ("prune.calibration_tokens", spec.prune.calibration_tokens),
        ] {
            if self.findings.sound(&["data.context_length", key]) {
                self.multiple(key, tokens, sequence, "data.context_length");
            }
        }
        let budget = spec.budget.tokens;
        let at_most = |key: &str, tokens: u64, limit_key: &str, limit: u64| {
            if tokens > limit && self.findings.sound(&[key, limit_key]) {
                let message = format!("{tokens} is more than {limit_key} = {limit}");
                self.fault(key, message, Some(format!("nearest valid {}: {limit}", last(key))));
            }
        };
        match spec.prune.schedule {
            PruneSchedule::Line { prune_tokens, start_tokens: 0 } => {
                at_most("prune.schedule.prune_tokens", prune_tokens, "budget.tokens", budget);
            }
            PruneSchedule::Line { prune_tokens, start_tokens } => {
                at_most(
                    "prune.schedule.start_tokens",
                    start_tokens,
                    "budget.tokens less prune_tokens",
                    budget.saturating_sub(prune_tokens),
                );
            }
            PruneSchedule::Interval { start_tokens, .. } => {
                let limit = budget.saturating_sub(batch);
                at_most("prune.schedule.start_tokens", start_tokens, "budget.tokens less one step", limit);
            }
        }
        if let (Some(tokens), None) = (spec.source.tokens, &spec.source.model) {
            at_most("train.warmup_tokens", spec.train.warmup_tokens, "source.tokens", tokens);
        }
        at_most("train.warmup_tokens", spec.train.warmup_tokens, "budget.tokens", budget);
        if let Some(arm) = recover
            && self.findings.sound(&["prune.calibration_tokens", "budget.tokens", "train.batch_tokens"])
        {
            let limit = budget.saturating_sub(batch * arm.stages());
            if calibration > limit {
                let message =
                    format!("{calibration} leaves {} no step of its budget.tokens = {budget}", arm.name);
                let nearest = limit / arm.stages() / batch * batch;
                let hint = (nearest > 0).then(|| format!("nearest valid calibration_tokens: {nearest}"));
                self.fault("prune.calibration_tokens", message, hint);
            }
        }
    }

    /// Budgets that hold the source's tokens need to know them.
    fn source(&self, spec: &RunSpec, arms: &[&ArmSpec]) {
        if spec.source.model.is_none()
            || spec.source.tokens.is_some()
            || !self.findings.sound(&["source", "arms"])
        {
            return;
        }
        for arm in arms.iter().filter(|arm| arm.pays_for_source()) {
            let message = format!("missing: the budget of `{}` holds the tokens of the source", arm.name);
            let hint = "state what source.model has seen as `source.tokens_seen`, or give the arm `budget = \"recovery_tokens\"`";
            self.fault("source.tokens_seen", message, Some(hint.into()));
        }
    }

    /// Schedules that go on with the source's need to know it; stages need steps between them.
    fn recovery(&self, spec: &RunSpec, arms: &[&ArmSpec]) {
        let recovery = &spec.recovery;
        if !self.findings.sound(&["recovery", "train", "source", "arms", "budget"]) {
            return;
        }
        let fault = |key: &str, message: &str, hint: &str| self.fault(key, message.into(), Some(hint.into()));
        if recovery.schedule != RecoverySchedule::Rewarm && spec.source.model.is_some() {
            let message = "the schedule of a source from disk is not known";
            fault("recovery.schedule", message, "nearest valid schedule: `rewarm`");
        }
        if recovery.schedule == RecoverySchedule::Branch && spec.train.schedule != ScheduleKind::Wsd {
            let message = "`branch` starts where a source with `train.schedule = \"wsd\"` begins to decay";
            fault("recovery.schedule", message, "nearest valid schedules: `rewarm`, `continue`");
        }
        if recovery.schedule == RecoverySchedule::Continue {
            for (key, given) in [
                ("recovery.learning_rate", recovery.learning_rate.is_some()),
                ("recovery.warmup_tokens", recovery.warmup_tokens.is_some()),
            ] {
                if given {
                    let message = "`continue` has one schedule, that of [train], over source and recovery";
                    fault(key, message, "leave it out, or write `schedule = \"rewarm\"`");
                }
            }
        }
        if let Some(warmup) = recovery.warmup_tokens
            && warmup > spec.budget.tokens
        {
            let message = format!("{warmup} is more than budget.tokens = {}", spec.budget.tokens);
            let hint = format!("nearest valid warmup_tokens: {}", spec.budget.tokens);
            self.fault("recovery.warmup_tokens", message, Some(hint));
        }
        let stable = spec.source.stable_tokens(&spec.train);
        if recovery.schedule == RecoverySchedule::Branch && spec.source.model.is_none() && stable == 0 {
            let message = "no step of the source comes before its decay";
            fault("train.decay_fraction", message, "lower it, or give the source more tokens");
        }
        let steps = spec.budget.tokens / spec.train.batch_tokens.max(1) as u64;
        for arm in arms.iter().filter(|arm| arm.stages() > steps && arm.train.is_some()) {
            let message =
                format!("{} stages of `{}` share out {steps} optimiser steps", arm.stages(), arm.name);
            let tokens = arm.stages() * spec.train.batch_tokens as u64;
            self.fault("budget.tokens", message, Some(format!("nearest valid tokens: {tokens}")));
        }
    }

    /// A group that does not fit its model cannot be expressed.
    fn groups(&self, spec: &RunSpec) {
        if !self.findings.sound(&["source.model"]) {
            return;
        }
        let (model, prune) = (&spec.model, &spec.prune);
        for (kind, key, width) in [
            (GroupType::Ffn, "model.intermediate_size", model.intermediate_size),
            (GroupType::Stem, "model.hidden_size", model.hidden_size),
        ] {
            if prune.types.contains(&kind)
                && self.findings.sound(&["prune.types", "prune.block", key])
                && !width.is_multiple_of(prune.block)
            {
                let message = format!("{} does not divide {key} = {width}", prune.block);
                self.fault("prune.block", message, Some(nearest_divisors("block", prune.block, width)));
            }
        }
        if !self.findings.sound(&["prune", "model"]) {
            return;
        }
        let config = model.config(1, 1);
        for &kind in &prune.types {
            let what = match (kind, prune.head_unit) {
                (GroupType::Head, HeadUnit::KvGroup) => "key-value heads".to_string(),
                (GroupType::Head, HeadUnit::QueryPerGroup) => "query heads per key-value head".to_string(),
                (GroupType::Layer, _) => "layers".to_string(),
                (GroupType::HeadDim, _) => "RoPE pairs".to_string(),
                _ => format!("{} groups", kind.name()),
            };
            let ((key, least), most) = (prune.floor(kind), kind.count(prune.cut(), &config, 0));
            if least > most {
                let message = format!("{least} is more than the model's {most} {what}");
                self.fault(key, message, Some(format!("nearest valid {}: {most}", last(key))));
            }
        }
        if let Some(Err(what)) = prune.fixed_shape.as_ref().map(|shape| shape.config(&config)) {
            self.fault("prune.fixed_shape", what, None);
        }
    }

    /// Rules that have nothing to read where they are to be used.
    fn rules(&self, spec: &RunSpec, arms: &[&ArmSpec], engine: &EngineSpec) {
        if self.findings.sound(&["prune", "train", "data.context_length", "arms", "engine.kind"]) {
            for RuleFault { key, message, hint } in super::rules::faults(spec, engine.kind, arms) {
                self.fault(key, message, Some(hint));
            }
        }
    }

    fn target(&self, spec: &RunSpec) {
        if !self.findings.sound(&["data.tokenizer", "source.model"]) {
            return;
        }
        let vocab_size = match vocab_size(&spec.data.tokenizer) {
            Ok(vocab_size) => vocab_size,
            Err(message) => return self.fault("data.tokenizer.path", message, None),
        };
        let keys = ["model", "prune.target", "prune.types", "prune.block", "prune.head_unit"];
        if !self.findings.sound(&keys)
            || !self.findings.sound(&["prune.min_ffn", "prune.min_heads", "prune.min_stem"])
            || spec.prune.target == Target::FixedShape
        {
            return;
        }
        let source = spec.model.config(vocab_size, spec.data.context_length.max(1));
        let count = |config: &ModelConfig| {
            spec.prune.target.counted(config.num_params(), config.num_embedding_params())
        };
        let (most, least) = (count(&source), count(&smallest(&source, &spec.prune)));
        let target = spec.prune.target.limit(most);
        let what =
            if spec.prune.target.counts_embedding() { "parameters" } else { "non-embedding parameters" };
        let (key, shown) = match spec.prune.target {
            Target::Params(params) => ("prune.target.params", params.to_string()),
            Target::Ratio(ratio) => ("prune.target.ratio", format!("{ratio:?}, that is {target} {what},")),
            Target::NonEmbeddingRatio(ratio) => {
                ("prune.target.non_embedding_ratio", format!("{ratio:?}, that is {target} {what},"))
            }
            // Held by the floors of its widths.
            Target::FixedShape => return,
        };
        let nearest = |params: u64| match spec.prune.target {
            Target::Params(_) | Target::FixedShape => format!("nearest valid params: {params}"),
            // Rounded up, so that the target is not below the floor again.
            Target::Ratio(_) | Target::NonEmbeddingRatio(_) => {
                let ratio = (params as f64 / most as f64 * 1e4).ceil().min(1e4) / 1e4;
                format!("nearest valid {}: {ratio}", last(key))
            }
        };
        if target > most {
            let message = format!("{shown} is more than the source's {most} {what}");
            self.fault(key, message, Some(nearest(most)));
        } else if target < least {
            let message = format!(
                "{shown} is less than the {least} that remain when every type of prune.types is at its floor"
            );
            self.fault(key, message, Some(nearest(least)));
        }
    }

    fn eval(&self, spec: &RunSpec) {
        if spec.eval.items == 0
            && spec.eval.folder.is_none()
            && self.findings.sound(&["eval.items", "eval.folder"])
        {
            let message = "0 means all items of a folder, but a generated corpus has no fixed number of them";
            self.fault("eval.items", message.into(), Some("nearest valid items: 1".into()));
        }
        if !self.findings.sound(&["eval.folder", "eval.tasks"]) {
            return;
        }
        for task in &spec.eval.tasks {
            match &spec.eval.folder {
                Some(folder) if task_folder(folder, task).is_none() => {
                    self.fault("eval.tasks", format!("no folder `{task}` in `{folder}`"), None);
                }
                None if FOLDER_TASKS.contains(&task.as_str()) => {
                    let message = format!("items of `{task}` are not generated");
                    let hint =
                        format!("name a folder that holds `{task}/` as eval.folder, or leave the task out");
                    self.fault("eval.tasks", message, Some(hint));
                }
                _ => {}
            }
        }
    }
}

/// The folder of a task's files within `folder`, where there is one; `siqa` is another name of `social_iqa`,
/// and both forms of MMLU are made from one.
pub fn task_folder(folder: &str, task: &str) -> Option<PathBuf> {
    let names: &[&str] = match task {
        "social_iqa" => &["social_iqa", "siqa"],
        "mmlu_continuation" => &["mmlu"],
        _ => &[task],
    };
    names.iter().map(|name| Path::new(folder).join(name)).find(|path| path.is_dir())
}

/// The divisors of `whole` next to `value`, below and above.
fn nearest_divisors(name: &str, value: usize, whole: usize) -> String {
    let below = (1..=value.min(whole)).rev().find(|n| whole.is_multiple_of(*n));
    let above = (value..=whole).find(|n| whole.is_multiple_of(*n));
    let mut valid: Vec<String> = below.into_iter().chain(above).map(|n| n.to_string()).collect();
    valid.dedup();
    format!("nearest valid {name}: {}", valid.join(", "))
}

fn last(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}
