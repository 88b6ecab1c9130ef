//! `[[comparisons]]`: an arm, or an arm at values of axes, held against another, declared before the run.
//!
//! ```toml
//! [[comparisons]]                                    # arms, at every point of the grid
//! variant = "pruning_aware"
//! baseline = "one_shot_recover"
//! metric = "acc"
//!
//! [[comparisons]]                                    # two values of an axis, averaged over the other axes
//! variant = { arm = "pruning_aware", "prune.saliency" = "taylor_mix" }
//! baseline = { arm = "pruning_aware", "prune.saliency" = "random" }
//! metric = "gold_probability"
//! at = "pooled"                                      # default: "each", one comparison at every point
//! margin = 1.0                                       # is the difference smaller than one point?
//! ```
use super::grid::{same, settings};
use super::reader::Table;
use super::tree::Value;
use super::types::{At, Axis, Comparison, METRICS};
use crate::base::suggest::nearest;
use std::collections::BTreeMap;

const AT: [(&str, At); 2] = [("each", At::Each), ("pooled", At::Pooled)];

/// The comparisons in the order of the file; `arms` is empty where no arm could be read.
pub(super) fn read(root: &Table<'_>, arms: &[&str], axes: &[Axis]) -> Vec<Comparison> {
    let mut comparisons: Vec<Comparison> = Vec::new();
    for t in root.tables("comparisons") {
        let (variant, variant_at) = side(&t, "variant", arms, axes);
        let (baseline, baseline_at) = side(&t, "baseline", arms, axes);
        let metrics = METRICS.map(|metric| (metric, metric));
        let comparison = Comparison {
            variant,
            variant_at,
            baseline,
            baseline_at,
            metric: t.name("metric", &metrics).required().to_string(),
            at: t.name("at", &AT).or(At::Each),
            margin: t.number("margin", |x| x > 0.0, "more than 0").optional(),
            family: t.text("family").optional(),
        };
        t.finish();
        if !arms.is_empty() && root.findings().sound(&[&t.path_of("variant"), &t.path_of("baseline")]) {
            let Comparison { variant, variant_at, baseline, baseline_at, .. } = &comparison;
            if (variant, variant_at) == (baseline, baseline_at) {
                let message = format!("`{variant}` is compared with itself");
                root.findings().add(t.path_of("baseline"), t.line_of("baseline"), message, None);
            } else if comparisons.contains(&comparison) {
                let message = "duplicate comparison";
                root.findings().add(t.path_of("variant"), t.line_of("variant"), message, None);
            }
        }
        comparisons.push(comparison);
    }
    comparisons
}

/// One side: the name of an arm, or a table with the name and values of axes.
fn side(
    t: &Table<'_>,
    key: &'static str,
    arms: &[&str],
    axes: &[Axis],
) -> (String, BTreeMap<String, String>) {
    let names: Vec<(&str, &str)> = arms.iter().map(|arm| (*arm, *arm)).collect();
    let arm = |t: &Table<'_>, key| match names.is_empty() {
        true => t.text(key).required(),
        false => t.name(key, &names).required().to_string(),
    };
    let Some(node) = t.node(key).filter(|node| matches!(node.value, Value::Table(_))) else {
        return (arm(t, key), BTreeMap::new());
    };
    let inner = t.table(key, true);
    let name = arm(&inner, "arm");
    let mut at = BTreeMap::new();
    for setting in settings(node, "", &["arm"]) {
        let fault = |message: String, hint: Option<String>| {
            t.findings().add(inner.path_of(&setting.key), setting.line, message, hint);
        };
        let did_you_mean = |known: &[&str], text: &str| {
            nearest(text, known.iter().copied()).map(|near| format!("did you mean `{near}`?"))
        };
        let Some(axis) = axes.iter().find(|axis| axis.key == setting.key) else {
            let keys: Vec<&str> = axes.iter().map(|axis| axis.key.as_str()).collect();
            let known = if keys.is_empty() { "none".to_string() } else { keys.join(", ") };
            let message = format!("`{}` is no axis of this experiment; its axes: {known}", setting.key);
            fault(message, did_you_mean(&[&["arm"], keys.as_slice()].concat(), &setting.key));
            continue;
        };
        let written = setting.node.value.label();
        // A value that is a path is called by its last parts.
        let is = |label: &&String| same(label, &written) || written.ends_with(&format!("/{label}"));
        match axis.values.iter().find(is) {
            Some(value) => {
                at.insert(axis.key.clone(), value.clone());
            }
            None => {
                let values: Vec<&str> = axis.values.iter().map(String::as_str).collect();
                let message = format!("the axis has no value `{written}`; its values: {}", values.join(", "));
                fault(message, did_you_mean(&values, &written));
            }
        }
    }
    (name, at)
}

#[cfg(test)]
mod tests {
    use super::super::reader::Findings;
    use super::super::tree::parse;
    use super::*;

    fn read_from(text: &str) -> (Vec<Comparison>, Vec<String>) {
        let axis = |key: &str, values: &[&str]| Axis {
            key: key.into(),
            values: values.iter().map(|value| value.to_string()).collect(),
        };
        let axes = [axis("prune.saliency", &["random", "taylor1"]), axis("budget.tokens", &["1000", "2000"])];
        let root = parse(text).unwrap();
        let findings = Findings::default();
        let comparisons = read(&Table::root(&root, &findings), &["pruning_aware", "one_shot"], &axes);
        let faults = findings.into_faults().into_iter();
        let told = faults.map(|f| format!("{}: {} {}", f.key, f.message, f.hint.unwrap_or_default()));
        (comparisons, told.collect())
    }

    #[test]
    fn a_side_is_an_arm_or_an_arm_at_values_of_axes() {
        let (read, faults) = read_from(
            "[[comparisons]]\nvariant = \"pruning_aware\"\nbaseline = \"one_shot\"\nmetric = \"acc\"\n\
             [[comparisons]]\nvariant = { arm = \"pruning_aware\", \"prune.saliency\" = \"taylor1\", budget.tokens = 2_000 }\n\
             baseline = { arm = \"pruning_aware\", \"prune.saliency\" = \"random\" }\nmetric = \"margin\"\nat = \"pooled\"\n\
             margin = 0.5\nfamily = \"rules\"\n",
        );
        assert_eq!(faults, Vec::<String>::new());
        let at = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
        };
        assert_eq!((read[0].at, &read[0].variant_at, read[0].margin), (At::Each, &at(&[]), None));
        assert_eq!(read[1].variant_at, at(&[("budget.tokens", "2000"), ("prune.saliency", "taylor1")]));
        assert_eq!(read[1].baseline_at, at(&[("prune.saliency", "random")]));
        let rest = (read[1].at, read[1].margin, read[1].family.as_deref());
        assert_eq!(rest, (At::Pooled, Some(0.5), Some("rules")));
        // What no key says is not written: plans of files without these keys stay what they were.
        let plain = serde_json::to_string(&read[0]).unwrap();
        assert_eq!(plain, "{\"variant\":\"pruning_aware\",\"baseline\":\"one_shot\",\"metric\":\"acc\"}");
    }

    #[test]
    fn faults_name_the_nearest_axis_and_value() {
        let (_, faults) = read_from(
            "[[comparisons]]\nvariant = { arm = \"pruning_aware\", \"prune.salency\" = \"taylor1\" }\n\
             baseline = { arm = \"pruning_aware\", \"prune.saliency\" = \"taylr1\" }\nmetric = \"acc\"\nat = \"pool\"\nmargin = 0\n\
             [[comparisons]]\nvariant = { arm = \"one_shot\", \"prune.saliency\" = \"random\" }\n\
             baseline = { arm = \"one_shot\", \"prune.saliency\" = \"random\" }\nmetric = \"acc\"\n",
        );
        let told = faults.join("\n");
        for expected in [
            "comparisons[0].variant.prune.salency: `prune.salency` is no axis of this experiment; its axes: prune.saliency, budget.tokens did you mean `prune.saliency`?",
            "comparisons[0].baseline.prune.saliency: the axis has no value `taylr1`; its values: random, taylor1 did you mean `taylor1`?",
            "comparisons[0].at: unknown value `pool` did you mean `pooled`?",
            "comparisons[0].margin: 0.0 is out of range: more than 0",
            "comparisons[1].baseline: `one_shot` is compared with itself",
        ] {
            assert!(told.contains(expected), "{expected}\n{told}");
        }
    }
}
