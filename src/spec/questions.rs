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
//! slopes = ["budget.tokens"]                         # and what the metric gains per doubling of a numeric axis
//! family = "rules"                                   # corrected together; without a name all of the file are one family
//! ```
use super::reader::Table;
use super::types::{Axis, AxisQuestion, METRICS};
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
        let of = of(&t, arms);
        t.finish();
        if known {
            add(AxisQuestion { axes: vec![axis], ..of });
        }
    }
    for t in root.tables("effects") {
        let slopes = t.texts("slopes").optional().unwrap_or_default();
        let factors = match t.has("slopes") {
            true => t.texts("factors").optional().unwrap_or_default(),
            false => t.texts("factors").required(),
        };
        let mut known = factors.iter().all(|factor| is_axis(&t, "factors", factor, axes));
        known &= slopes.iter().all(|slope| is_scale(&t, slope, axes));
        for (key, named) in [("factors", &factors), ("slopes", &slopes)] {
            if let Some(repeated) = named.iter().enumerate().find(|(i, factor)| named[..*i].contains(factor))
            {
                let message = format!("`{}` is named twice", repeated.1);
                t.findings().add(t.path_of(key), t.line_of(key), message, None);
                known = false;
            }
        }
        let of = of(&t, arms);
        t.finish();
        if !known {
            continue;
        }
        for factor in &factors {
            add(AxisQuestion { axes: vec![factor.clone()], ..of.clone() });
        }
        for (place, first) in factors.iter().enumerate() {
            for second in &factors[place + 1..] {
                add(AxisQuestion { axes: vec![first.clone(), second.clone()], ..of.clone() });
            }
        }
        for slope in slopes {
            add(AxisQuestion { axes: vec![slope], slope: true, ..of.clone() });
        }
    }
    questions
}

/// A question about no axis yet: arm, metric and family.
fn of(t: &Table<'_>, arms: &[&str]) -> AxisQuestion {
    let arms: Vec<(&str, &str)> = arms.iter().map(|arm| (*arm, *arm)).collect();
    let arm = match arms.is_empty() {
        // Where no arm could be read, the question would only be blamed for it.
        true => t.text("arm").required(),
        false => t.name("arm", &arms).required().to_string(),
    };
    let metrics = METRICS.map(|metric| (metric, metric));
    let metric = t.name("metric", &metrics).required().to_string();
    AxisQuestion { arm, metric, family: t.text("family").optional(), ..AxisQuestion::default() }
}

/// Whether `axis` takes numbers above 0 over at least two values; a fault where it does not.
fn is_scale(t: &Table<'_>, axis: &str, axes: &[Axis]) -> bool {
    if !is_axis(t, "slopes", axis, axes) {
        return false;
    }
    let values = axes.iter().filter(|known| known.key == axis).flat_map(|known| &known.values);
    match values.into_iter().find(|value| !value.parse::<f64>().is_ok_and(|x| x.is_finite() && x > 0.0)) {
        None => true,
        Some(value) => {
            let message = format!("a slope is per doubling, and `{value}` of `{axis}` is no number above 0");
            t.findings().add(t.path_of("slopes"), t.line_of("slopes"), message, None);
            false
        }
    }
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
    fn slopes_are_of_numeric_axes() {
        let text = "[[effects]]\nslopes = [\"budget.tokens\"]\narm = \"one_shot\"\nmetric = \"acc\"\nfamily = \"scale\"\n";
        let (questions, faults) = read_from(text);
        assert_eq!(faults, Vec::<String>::new());
        assert_eq!(
            (questions.len(), questions[0].slope, questions[0].family.as_deref()),
            (1, true, Some("scale"))
        );
        let (_, faults) = read_from(&text.replace("budget.tokens", "prune.saliency"));
        assert_eq!(
            faults,
            [
                "effects[0].slopes: a slope is per doubling, and `random` of `prune.saliency` is no number above 0 "
            ]
        );
        let (_, faults) = read_from("[[effects]]\narm = \"one_shot\"\nmetric = \"acc\"\n");
        assert_eq!(faults, ["effects[0].factors: missing "]);
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
