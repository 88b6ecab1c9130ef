//! Which groups a comparison holds against each other.
//!
//! ```text
//! a side           an arm, at the values of axes that it names
//! two sides meet   where they agree in every axis, those aside that both name; an axis that one side names holds for both
//! empty cell       an arm that an axis does not touch stands at every point of it
//! ```
use super::groups::Group;
use crate::questions::Comparison;
use std::collections::BTreeMap;

/// A group of the variant with the group of the baseline that it meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pairing {
    /// Values of the axes, blank where the sides differ or neither depends on it.
    pub point: Vec<String>,
    pub variant: usize,
    /// `None` where no group of the baseline stands at this point.
    pub baseline: Option<usize>,
}

/// Every pairing of the comparison, in the order of the variant's groups.
pub fn pairings(groups: &[Group], axes: &[String], comparison: &Comparison) -> Vec<Pairing> {
    let Comparison { variant, variant_at, baseline, baseline_at, .. } = comparison;
    // What one side names holds for the other as well, where that says nothing of its own.
    let whole = |own: &BTreeMap<String, String>, other: &BTreeMap<String, String>| {
        let mut at = other.clone();
        at.extend(own.clone());
        at
    };
    let variants = of_side(groups, axes, variant, &whole(variant_at, baseline_at));
    let baselines = of_side(groups, axes, baseline, &whole(baseline_at, variant_at));
    let differs = |axis: &String| match (variant_at.get(axis), baseline_at.get(axis)) {
        (Some(a), Some(b)) => a != b,
        _ => false,
    };
    let differing: Vec<bool> = axes.iter().map(differs).collect();
    let mut found = Vec::new();
    for v in variants {
        let met: Vec<(usize, Vec<String>)> = baselines
            .iter()
            .filter_map(|b| Some((*b, joined(&groups[v].point, &groups[*b].point, &differing)?)))
            .collect();
        // The one that stands at the very point, before those that stand at every point.
        let alike = |b: usize| {
            let cells = groups[v].point.iter().zip(&groups[b].point).zip(&differing);
            cells.into_iter().all(|((a, b), differs)| *differs || a == b)
        };
        let exact = met.iter().find(|(b, _)| alike(*b)).cloned();
        let met = exact.map_or(met, |one| vec![one]);
        if met.is_empty() {
            found.push(Pairing { point: groups[v].point.clone(), variant: v, baseline: None });
        }
        let pairing = |(b, point)| Pairing { point, variant: v, baseline: Some(b) };
        found.extend(met.into_iter().map(pairing));
    }
    found
}

/// The groups of an arm at these values of axes.
fn of_side(groups: &[Group], axes: &[String], arm: &str, at: &BTreeMap<String, String>) -> Vec<usize> {
    let stands = |group: &Group| {
        let cells = axes.iter().zip(&group.point);
        group.arm == arm
            && cells
                .into_iter()
                .all(|(axis, cell)| cell.is_empty() || at.get(axis).is_none_or(|value| value == cell))
    };
    (0..groups.len()).filter(|i| stands(&groups[*i])).collect()
}

/// The point of two points that agree in every axis but those that differ on purpose.
fn joined(a: &[String], b: &[String], differing: &[bool]) -> Option<Vec<String>> {
    let cell = |((a, b), differs): ((&String, &String), &bool)| match (a.as_str(), b.as_str()) {
        _ if *differs => Some(String::new()),
        (a, "") => Some(a.to_string()),
        ("", b) => Some(b.to_string()),
        (a, b) => (a == b).then(|| a.to_string()),
    };
    a.iter().zip(b).zip(differing).map(cell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(arm: &str, point: [&str; 2]) -> Group {
        let point: Vec<String> = point.map(String::from).to_vec();
        Group { arm: arm.into(), label: format!("{arm} {point:?}"), point, runs: vec![] }
    }

    fn at(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    /// An arm of two axes, one that depends on the second alone, one that depends on none.
    fn groups() -> Vec<Group> {
        let mut groups = vec![group("source", ["", ""])];
        for budget in ["1", "2"] {
            groups.push(group("recover", ["", budget]));
            groups.extend(["random", "taylor"].map(|rule| group("aware", [rule, budget])));
        }
        groups
    }

    fn met(
        variant: (&str, &[(&str, &str)]),
        baseline: (&str, &[(&str, &str)]),
    ) -> Vec<(String, Option<String>)> {
        let axes = ["rule".to_string(), "budget".to_string()];
        let comparison = Comparison {
            variant: variant.0.into(),
            variant_at: at(variant.1),
            baseline: baseline.0.into(),
            baseline_at: at(baseline.1),
            ..Comparison::default()
        };
        let groups = groups();
        let name = |i: usize| format!("{}{}", groups[i].arm, groups[i].point.join("/"));
        let pairings = pairings(&groups, &axes, &comparison);
        pairings.into_iter().map(|p| (name(p.variant), p.baseline.map(name))).collect()
    }

    fn pair(a: &str, b: &str) -> (String, Option<String>) {
        (a.into(), Some(b.into()))
    }

    #[test]
    fn sides_meet_where_they_agree() {
        let of_arms = met(("aware", &[]), ("recover", &[]));
        assert_eq!(of_arms.len(), 4);
        assert_eq!(of_arms[3], pair("awaretaylor/2", "recover/2"));
        // Two points of one arm, at each value of the other axis.
        let rules = met(("aware", &[("rule", "taylor")]), ("aware", &[("rule", "random")]));
        assert_eq!(rules, [pair("awaretaylor/1", "awarerandom/1"), pair("awaretaylor/2", "awarerandom/2")]);
        // What one side names holds for both.
        let named = met(("aware", &[("rule", "taylor"), ("budget", "2")]), ("recover", &[]));
        assert_eq!(named, [pair("awaretaylor/2", "recover/2")]);
        // Across budgets.
        let across = met(("aware", &[("rule", "taylor"), ("budget", "1")]), ("recover", &[("budget", "2")]));
        assert_eq!(across, [pair("awaretaylor/1", "recover/2")]);
        // An arm that depends on nothing stands everywhere.
        assert_eq!(met(("aware", &[]), ("source", &[])).len(), 4);
        assert_eq!(met(("aware", &[]), ("nobody", &[]))[0], ("awarerandom/1".into(), None));
    }
}
