//! `[[rankings]]` and `[[effects]]`: what is asked of the axes of an arm, declared before the run.
//!
//! ```toml
//! [[rankings]]                                       # which value of the axis is best, and which cannot be told from it
//! axis = "prune.saliency"
//! arm = "pruning_aware"
//! metric = "gold_probability"
//!
//! [[effects]]                                        # the same of each factor, and whether each two of them interact
//! factors = ["prune.saliency", "prune.update"]
//! arm = "pruning_aware"
//! metric = "gold_probability"
//! ```
use super::names::METRICS;
use super::reader::Table;
use super::types::{Axis, AxisQuestion};
use crate::base::suggest::nearest;

/// Both tables of the file, as single questions in the order of the file, each once.
pub(super) fn read(root: &Table<'_>, arms: &[&str], axes: &[Axis]) -> Vec<AxisQuestion> {
    let mut questions = Vec::new();
    let mut add = |question: AxisQuestion| {
        if !questions.contains(&question) {
            questions.push(question);
        }
    };
    for t in root.tables("rankings") {
        let axis = t.text("axis").required();
        let known = is_axis(&t, "axis", &axis, axes);
        let (arm, metric) = of(&t, arms);
        t.finish();
        if known {
            add(AxisQuestion { arm, axes: vec![axis], metric });
        }
    }
    for t in root.tables("effects") {
        let factors = t.texts("factors").required();
        let mut known = factors.iter().all(|factor| is_axis(&t, "factors", factor, axes));
        if let Some(repeated) = factors.iter().enumerate().find(|(i, factor)| factors[..*i].contains(factor))
        {
            let message = format!("`{}` is named twice", repeated.1);
            t.findings().add(t.path_of("factors"), t.line_of("factors"), message, None);
            known = false;
        }
        let (arm, metric) = of(&t, arms);
        t.finish();
        if !known {
            continue;
        }
        for factor in &factors {
            add(AxisQuestion { arm: arm.clone(), axes: vec![factor.clone()], metric: metric.clone() });
        }
        for (place, first) in factors.iter().enumerate() {
            for second in &factors[place + 1..] {
                let axes = vec![first.clone(), second.clone()];
                add(AxisQuestion { arm: arm.clone(), axes, metric: metric.clone() });
            }
        }
    }
    questions
}

/// Arm and metric of a question.
fn of(t: &Table<'_>, arms: &[&str]) -> (String, String) {
    let arms: Vec<(&str, &str)> = arms.iter().map(|arm| (*arm, *arm)).collect();
    let arm = match arms.is_empty() {
        // Where no arm could be read, the question would only be blamed for it.
        true => t.text("arm").required(),
        false => t.name("arm", &arms).required().to_string(),
    };
    let metrics = METRICS.map(|metric| (metric, metric));
    (arm, t.name("metric", &metrics).required().to_string())
}

/// Whether the experiment varies `axis` over at least two values; a fault where it does not.
fn is_axis(t: &Table<'_>, key: &'static str, axis: &str, axes: &[Axis]) -> bool {
    if !t.findings().sound(&[&t.path_of(key)]) {
        return false;
    }
    let (message, hint) = match axes.iter().find(|known| known.key == axis) {
        Some(found) if found.values.len() > 1 => return true,
        Some(_) => (format!("the axis `{axis}` has a single value, so there is nothing to compare"), None),
        None => {
            let keys: Vec<&str> = axes.iter().map(|axis| axis.key.as_str()).collect();
            let hint = nearest(axis, keys.iter().copied()).map(|near| format!("did you mean `{near}`?"));
            let names = if keys.is_empty() { "none".to_string() } else { keys.join(", ") };
            (format!("`{axis}` is no axis of this experiment; its axes: {names}"), hint)
        }
    };
    t.findings().add(t.path_of(key), t.line_of(key), message, hint);
    false
}

#[cfg(test)]
mod tests {
    use super::super::reader::Findings;
    use super::super::tree::parse;
    use super::*;

    fn axes() -> Vec<Axis> {
        let axis = |key: &str, values: &[&str]| Axis {
            key: key.into(),
            values: values.iter().map(|value| value.to_string()).collect(),
        };
        vec![
            axis("prune.saliency", &["random", "taylor1"]),
            axis("prune.update", &["none"]),
            axis("budget.tokens", &["1", "2"]),
        ]
    }

    fn read_from(text: &str) -> (Vec<AxisQuestion>, Vec<String>) {
        let root = parse(text).unwrap();
        let findings = Findings::default();
        let questions = read(&Table::root(&root, &findings), &["pruning_aware", "one_shot"], &axes());
        let faults = findings.into_faults().into_iter();
        (
            questions,
            faults
                .map(|fault| format!("{}: {} {}", fault.key, fault.message, fault.hint.unwrap_or_default()))
                .collect(),
        )
    }

    #[test]
    fn effects_ask_for_each_factor_and_each_two_of_them() {
        let text = "[[rankings]]\naxis = \"prune.saliency\"\narm = \"pruning_aware\"\nmetric = \"acc\"\n\
                    [[effects]]\nfactors = [\"prune.saliency\", \"budget.tokens\"]\narm = \"pruning_aware\"\nmetric = \"acc\"\n";
        let (questions, faults) = read_from(text);
        assert_eq!(faults, Vec::<String>::new());
        let asked: Vec<String> = questions.iter().map(|q| q.axes.join(" x ")).collect();
        assert_eq!(asked, ["prune.saliency", "budget.tokens", "prune.saliency x budget.tokens"]);
    }

    #[test]
    fn faults_name_the_nearest_axis_arm_and_metric() {
        let text = "[[rankings]]\naxis = \"prune.salency\"\narm = \"pruning_awar\"\nmetric = \"accuracy\"\n\
                    [[rankings]]\naxis = \"prune.update\"\narm = \"one_shot\"\nmetric = \"acc\"\n\
                    [[effects]]\nfactors = [\"prune.saliency\", \"prune.saliency\"]\narm = \"one_shot\"\nmetric = \"acc\"\n";
        let (questions, faults) = read_from(text);
        assert_eq!(questions, []);
        let told = faults.join("\n");
        for expected in [
            "`prune.salency` is no axis of this experiment; its axes: prune.saliency, prune.update, budget.tokens did you mean `prune.saliency`?",
            "rankings[0].arm: unknown value `pruning_awar`",
            "rankings[0].metric: unknown value `accuracy`",
            "the axis `prune.update` has a single value",
            "effects[0].factors: `prune.saliency` is named twice",
        ] {
            assert!(told.contains(expected), "{expected}\n{told}");
        }
    }
}
