//! Keys of `[prune]` that name rules: saliency, update, and the Hessians that they stand for (method §3).
//!
//! `saliency_hessian` and `update_hessian` are the axes of Hessian decoupling. The first says which approximation the saliency
//! reads, and chooses the method's own rule of that kind where no rule is named; the second is another name of `update`.
use super::arm::ArmSpec;
use super::names::{FISHER_SCALES, FISHER_UNITS, HESSIANS};
use super::reader::Table;
use super::types::{
    EngineKind, Fisher, FisherScale, FisherUnit, GroupType, Reduction, RunSpec, Saliency, Update,
};
use crate::rules::saliency::{Hessian, Pass, Statistic};

/// `saliency` and `saliency_hessian`, which must not contradict each other.
pub(super) fn saliency(t: &Table<'_>) -> Saliency {
    let all = Saliency::all();
    let names: Vec<(&str, Saliency)> = all.iter().map(|rule| (rule.name, *rule)).collect();
    let named = t.name("saliency", &names).optional();
    let hessian: Option<Hessian> = t.name("saliency_hessian", &HESSIANS).optional();
    let keys = ["saliency", "saliency_hessian"].map(|key| t.path_of(key));
    match (named, hessian) {
        (Some(rule), Some(hessian))
            if rule.hessian != hessian && t.findings().sound(&keys.each_ref().map(String::as_str)) =>
        {
            let message = format!(
                "`{}` contradicts prune.saliency = \"{}\", whose Hessian is `{}`",
                hessian.name(),
                rule.name,
                rule.hessian.name()
            );
            let of_kind =
                all.iter().filter(|rule| rule.hessian == hessian).map(|rule| format!("`{}`", rule.name));
            let of_kind = of_kind.collect::<Vec<_>>().join(", ");
            let hint = format!("rules with `{}`: {of_kind}; or leave one of the keys out", hessian.name());
            t.findings().add(
                t.path_of("saliency_hessian"),
                t.line_of("saliency_hessian"),
                message,
                Some(hint),
            );
            rule
        }
        (Some(rule), _) => rule,
        (None, hessian) => Saliency::of(hessian.unwrap_or(Hessian::GlobalDiagonal)),
    }
}

/// `update`, or `update_hessian`, which is the same.
pub(super) fn update(t: &Table<'_>) -> Update {
    let all = Update::all();
    let names: Vec<(&str, Update)> = all.iter().map(|rule| (rule.name, *rule)).collect();
    let (update, hessian) =
        (t.name("update", &names).optional(), t.name("update_hessian", &names).optional());
    if let (Some(update), Some(hessian)) = (update, hessian)
        && update != hessian
    {
        let message = format!("`{}` contradicts prune.update = \"{}\"", hessian.name, update.name);
        let hint = Some("both keys name the same: give one of them".into());
        t.findings().add(t.path_of("update_hessian"), t.line_of("update_hessian"), message, hint);
    }
    update.or(hessian).unwrap_or(Update::NONE)
}

/// The unit of squared gradients; rules that read none leave the keys without meaning, and so out of identities.
pub(super) fn fisher(t: &Table<'_>, saliency: Saliency) -> Fisher {
    let unit = t.name("fisher_unit", &FISHER_UNITS).or(FisherUnit::Position);
    let scale = t.name("fisher_scale", &FISHER_SCALES).or(FisherScale::Tokens);
    if !(saliency.needs(Statistic::Fisher) || saliency.needs(Statistic::SquaredEffect)) {
        return Fisher::default();
    }
    // A position is one token: there is nothing to scale.
    if unit == FisherUnit::Position { Fisher::BY_POSITION } else { Fisher { unit, scale } }
}

/// A rule that cannot work as it is to be used: the key, why, and what could be done.
pub(super) struct RuleFault {
    pub key: &'static str,
    pub message: String,
    pub hint: String,
}

/// Fewest units of which a mean of squares is more than the square of a mean.
const MIN_MICRO_BATCHES: usize = 4;

/// Everything in `[prune]` that has nothing to read, where `arms` use it on an engine of this `kind`.
pub(super) fn faults(spec: &RunSpec, kind: EngineKind, arms: &[&ArmSpec]) -> Vec<RuleFault> {
    let (prune, saliency) = (&spec.prune, spec.prune.saliency);
    let trains = arms.iter().any(|arm| arm.prunes_in_training());
    let calibrated = arms.iter().find(|arm| arm.stages() > 0);
    let reads = |statistic| saliency.needs(statistic);
    let mut faults = Vec::new();
    let mut fault =
        |key, message: String, hint: &str| faults.push(RuleFault { key, message, hint: hint.into() });
    if let (true, Some(arm)) = (reads(Statistic::Moments), calibrated) {
        let message =
            format!("`{}` reads the optimiser's moments, which `{}` has not", saliency.name, arm.label());
        fault("prune.saliency", message, "use it with `pruning_aware` alone, or `taylor1` for both");
    }
    if saliency.whole_groups && prune.reduction != Reduction::Sum {
        let message = format!("`{}` scores whole groups: there are no tensors to join", saliency.name);
        fault("prune.reduction", message, "nearest valid reduction: `sum`");
    }
    let read_by_none =
        [GroupType::HeadDim, GroupType::Layer].into_iter().find(|kind| prune.types.contains(kind));
    let by_input = |statistic: &&Statistic| {
        statistic.pass() == Pass::Forward
            || **statistic == Statistic::AbsoluteEffect
            || **statistic == Statistic::SquaredEffect && prune.fisher.unit == FisherUnit::Position
    };
    if let (Some(kind), Some(statistic)) = (read_by_none, saliency.needs.iter().find(by_input)) {
        let message = format!(
            "`{}` scores by {}, and no linear layer reads groups of type `{}`",
            saliency.name,
            statistic.words(),
            kind.name()
        );
        let hint = "rules that sum up scores of parameters have them: magnitudes, taylor1, taylor2, taylor_mix; or leave the type out";
        fault("prune.types", message, hint);
    }
    let squares = reads(Statistic::Fisher) || reads(Statistic::SquaredEffect);
    let by_position =
        reads(Statistic::AbsoluteEffect) || squares && prune.fisher.unit == FisherUnit::Position;
    if by_position && kind == EngineKind::Reference {
        let message = format!(
            "`{}` reads gradients of activations, and the reference engine shows none",
            saliency.name
        );
        fault(
            "prune.saliency",
            message,
            "engine.kind = \"cpu\", or prune.fisher_unit = \"sequence\" where F is read",
        );
    }
    let sequences = |tokens: usize| tokens.div_ceil(spec.data.context_length);
    if squares && prune.fisher == (Fisher { unit: FisherUnit::MicroBatch, scale: FisherScale::Tokens }) {
        let step = trains.then(|| ("a step", sequences(spec.train.batch_tokens)));
        let set = calibrated.map(|_| ("the calibration set", sequences(prune.calibration_tokens as usize)));
        for (what, sequences) in step.into_iter().chain(set) {
            let units = sequences.div_ceil(spec.train.micro_batch);
            if units < MIN_MICRO_BATCHES {
                let message = format!(
                    "{what} has {units} micro-batches, of which at least {MIN_MICRO_BATCHES} are needed: the mean of so few \
                     squares is the square of the mean"
                );
                fault("prune.fisher_unit", message, "nearest valid fisher_unit: `sequence`");
            }
        }
    }
    let reads_gram = reads(Statistic::Gram) || prune.update.needs.contains(&Statistic::Gram);
    if reads_gram && prune.damping == 0.0 {
        let model = &spec.model;
        let width = |kind: &GroupType| match kind {
            GroupType::Ffn => model.intermediate_size,
            GroupType::Head => model.num_heads * model.head_dim,
            GroupType::Stem => model.hidden_size,
            GroupType::HeadDim | GroupType::Layer => 0,
        };
        let widest = prune.types.iter().map(width).max().unwrap_or(0) as u64;
        let step = trains.then_some(("train.batch_tokens", spec.train.batch_tokens as u64));
        let set = calibrated.map(|_| ("prune.calibration_tokens", prune.calibration_tokens));
        for (key, tokens) in step.into_iter().chain(set).filter(|(_, tokens)| *tokens < widest) {
            let message = format!(
                "0 leaves second moments of {key} = {tokens} tokens singular: a layer has {widest} inputs"
            );
            fault("prune.damping", message, "nearest usual damping: 0.01");
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use crate::spec::{Fisher, FisherScale, FisherUnit, no_model, parse};
    use std::path::Path;

    const EXAMPLE: &str = include_str!("../../tests/fixtures/example.toml");

    /// The example with other lines in `[prune]`.
    fn read(lines: &str) -> Result<crate::spec::PruneSpec, Vec<String>> {
        let rest = EXAMPLE.replace("saliency = \"taylor_mix\"\n", "").replace("update = \"none\"\n", "");
        // Wider than a step has tokens.
        let wide =
            if lines.contains("damping") { "intermediate_size = 20_000" } else { "intermediate_size = 384" };
        let rest = rest.replace("intermediate_size = 384", wide);
        let text = rest.replace("[prune]\n", &format!("[prune]\n{lines}\n"));
        match parse(&text, "test", Path::new("/nowhere"), &no_model) {
            Ok(experiment) => Ok(experiment.base.prune),
            Err(faults) => Err(faults
                .into_iter()
                .map(|fault| format!("{}: {} | {}", fault.key, fault.message, fault.hint.unwrap_or_default()))
                .collect()),
        }
    }

    fn refused(lines: &str) -> String {
        read(lines).unwrap_err().join(" & ")
    }

    #[test]
    fn hessians_choose_rules_and_contradictions_are_refused() {
        for (lines, saliency, update) in [
            ("", "taylor_mix", "none"),
            ("saliency_hessian = \"none\"", "taylor1", "none"),
            ("saliency_hessian = \"global_diagonal\"", "taylor_mix", "none"),
            ("saliency_hessian = \"layerwise\"\nupdate_hessian = \"layerwise\"", "obs", "layerwise"),
            ("saliency = \"wanda\"\nsaliency_hessian = \"layerwise\"", "wanda", "none"),
            ("update = \"layerwise\"\nupdate_hessian = \"layerwise\"", "taylor_mix", "layerwise"),
        ] {
            let prune = read(lines).unwrap();
            assert_eq!((prune.saliency.name, prune.update.name), (saliency, update), "{lines}");
        }
        let error = refused("saliency = \"taylor1\"\nsaliency_hessian = \"layerwise\"");
        assert!(error.starts_with("prune.saliency_hessian: `layerwise` contradicts prune.saliency = \"taylor1\", whose Hessian is `none` | rules with `layerwise`: `flap`, "), "{error}");
        let error = refused("update = \"none\"\nupdate_hessian = \"layerwise\"");
        assert!(
            error.starts_with("prune.update_hessian: `layerwise` contradicts prune.update = \"none\""),
            "{error}"
        );
    }

    /// What a rule does not read is no part of an identity, and what old files had is written as they had it.
    #[test]
    fn the_unit_of_squared_gradients_belongs_to_rules_that_read_them() {
        let fisher = |lines: &str| read(lines).unwrap().fisher;
        let old = "fisher_unit = \"micro_batch\"\nfisher_scale = \"none\"";
        assert_eq!(fisher(""), Fisher::BY_POSITION);
        assert_eq!(fisher("fisher_scale = \"none\""), Fisher::BY_POSITION);
        assert_eq!(fisher("saliency = \"taylor1\""), Fisher::default());
        assert_eq!(fisher(old), Fisher::default());
        let by_sequence = fisher("saliency = \"fisher_group\"\nfisher_unit = \"sequence\"");
        assert_eq!(by_sequence, Fisher { unit: FisherUnit::Sequence, scale: FisherScale::Tokens });
        let json = |lines: &str| serde_json::to_value(read(lines).unwrap()).unwrap();
        assert!(json(old).get("fisher").is_none() && json(old).get("reduction").is_none());
        assert_eq!(json("")["fisher"]["unit"], "position");
        let back = serde_json::from_value::<crate::spec::PruneSpec>(json(old)).unwrap();
        assert_eq!(back, read(old).unwrap());
    }

    #[test]
    fn combinations_with_nothing_to_read_are_refused_with_the_reason() {
        for (lines, expected) in [
            (
                "saliency = \"adam\"",
                "prune.saliency: `adam` reads the optimiser's moments, which `one_shot` has not | ",
            ),
            (
                "saliency = \"fisher_group\"\nreduction = \"max\"",
                "prune.reduction: `fisher_group` scores whole groups: there are no tensors to join | ",
            ),
            (
                "saliency = \"taylor2\"\nfisher_unit = \"micro_batch\"",
                "prune.fisher_unit: a step has 1 micro-batches, of which at least 4 are needed",
            ),
            (
                "saliency = \"obs\"\ndamping = 0",
                "prune.damping: 0 leaves second moments of train.batch_tokens = 4096 tokens singular: a layer has 20000",
            ),
        ] {
            let error = refused(lines);
            assert!(error.contains(expected), "{error}");
        }
    }
}
