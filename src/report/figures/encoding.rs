//! Which colour and which panel a configuration has: colour is one factor, panels are the others, and no two curves of a
//! panel have one colour.
use super::canvas::NUM_COLOURS;
use crate::report::groups::{Group, leading_axes, named_value, short_names};
use std::collections::{BTreeMap, BTreeSet};

/// Where each of some groups is drawn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoding {
    /// What colours tell apart; empty where each configuration has its own.
    pub factor: String,
    /// Labels by number of colour.
    pub colours: Vec<String>,
    /// Colour and panel of each group.
    pub places: Vec<(usize, usize)>,
    /// Labels of the panels; a single one has none.
    pub panels: Vec<String>,
}

/// A value of a group: its arm, or where it stands on an axis.
fn value(group: &Group, factor: usize) -> &str {
    match factor {
        0 => &group.arm,
        axis => group.point.get(axis - 1).map_or("", String::as_str),
    }
}

/// What a value is called; an arm does not depend on every axis.
fn label(value: &str) -> String {
    if value.is_empty() { "does not depend on it".into() } else { value.into() }
}

/// Encodes `groups`, whose axes have the names `axes`.
pub fn encode(groups: &[&Group], axes: &[String]) -> Encoding {
    if groups.len() <= NUM_COLOURS {
        return Encoding {
            factor: String::new(),
            colours: short_names(groups, axes),
            places: (0..groups.len()).map(|i| (i, 0)).collect(),
            panels: vec![String::new()],
        };
    }
    let levels = |factor: usize| -> Vec<&str> {
        let mut levels: Vec<&str> = Vec::new();
        groups.iter().map(|group| value(group, factor)).for_each(|v| {
            if !levels.contains(&v) {
                levels.push(v);
            }
        });
        // What does not depend on the factor comes last.
        levels.sort_by_key(|v| v.is_empty());
        levels
    };
    let factors: Vec<(usize, Vec<&str>)> = std::iter::once(0)
        .chain(leading_axes(groups, axes).into_iter().map(|axis| axis + 1))
        .map(|factor| (factor, levels(factor)))
        .filter(|(_, l)| l.len() > 1)
        .collect();
    // The one with which panels are fewest; more levels than colours are cut into pieces, which comes second to a factor
    // whose colours fit.
    let pieces = |levels: &[&str]| levels.len().div_ceil(NUM_COLOURS);
    let panels = |(factor, levels): &&(usize, Vec<&str>)| {
        let others = |group: &&Group| -> Vec<String> {
            let of = |(other, _): &(usize, Vec<&str>)| value(group, *other).to_string();
            factors.iter().filter(|(other, _)| other != factor).map(of).collect()
        };
        let settings: BTreeSet<Vec<String>> = groups.iter().map(others).collect();
        (settings.len() * pieces(levels), pieces(levels), std::cmp::Reverse(levels.len()))
    };
    let Some((factor, levels)) = factors.iter().min_by_key(panels) else { return Encoding::default() };
    let pieces = pieces(levels);
    let count = levels.iter().filter(|level| !level.is_empty()).count();
    let mut panels: BTreeMap<(Vec<&str>, usize), usize> = BTreeMap::new();
    let mut names = Vec::new();
    let mut places = Vec::new();
    for group in groups {
        let level = levels.iter().position(|l| *l == value(group, *factor)).unwrap_or(0);
        let others = factors.iter().filter(|(other, _)| other != factor);
        let key: Vec<&str> = others.map(|(other, _)| value(group, *other)).collect();
        let piece = level / NUM_COLOURS;
        let next = panels.len();
        let panel = *panels.entry((key.clone(), piece)).or_insert(next);
        if panel == next {
            let named = factors.iter().filter(|(other, _)| other != factor).map(|(other, _)| *other);
            let named = named.filter_map(|other| match other.checked_sub(1) {
                None => Some(group.arm.clone()),
                Some(axis) => named_value(group, axis, axes),
            });
            let mut name = named.collect::<Vec<_>>().join(" · ");
            if pieces > 1 && !levels[level].is_empty() {
                let last = count.min((piece + 1) * NUM_COLOURS);
                let part = format!("{} to {last} of {count}", piece * NUM_COLOURS + 1);
                name = if name.is_empty() { part } else { format!("{name} · {part}") };
            }
            names.push(name);
        }
        // With several pieces a colour stands for one level in each; the legend then is the panel's own labels.
        places.push((level, panel));
    }
    // Beside other panels a title that is empty would look forgotten.
    if names.len() > 1 {
        names
            .iter_mut()
            .filter(|name| name.is_empty())
            .for_each(|name| *name = "does not depend on the axes".to_string());
    }
    let factor = if *factor == 0 { "arm".to_string() } else { axes[*factor - 1].clone() };
    Encoding { factor, colours: levels.iter().map(|l| label(l)).collect(), places, panels: names }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(arms: &[&str], axes: &[usize]) -> Vec<Group> {
        let mut points: Vec<Vec<String>> = vec![vec![]];
        for (axis, count) in axes.iter().enumerate() {
            points = points
                .into_iter()
                .flat_map(|p| (0..*count).map(move |v| [p.clone(), vec![format!("a{axis}v{v}")]].concat()))
                .collect();
        }
        let of = |arm: &&str| {
            let group = |point: &Vec<String>| Group {
                arm: arm.to_string(),
                point: point.clone(),
                label: format!("{arm} · {}", point.join(" · ")),
                runs: vec![],
            };
            points.iter().map(group).collect::<Vec<_>>()
        };
        arms.iter().flat_map(of).collect()
    }

    /// Zero curves of one colour in a panel, for any grid.
    #[test]
    fn no_two_groups_of_a_panel_have_one_colour() {
        for (arms, axes) in [
            (vec!["a"], vec![4, 2, 2]),
            (vec!["a", "b", "c"], vec![4, 4]),
            (vec!["a"], vec![15, 2]),
            (vec!["a"], vec![40]),
            (vec!["a"], vec![]),
            (vec!["a", "b"], vec![10, 10]),
            (vec!["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"], vec![]),
        ] {
            let all = groups(&arms, &axes);
            let names: Vec<String> = (0..axes.len()).map(|i| format!("axis {i}")).collect();
            let encoding = encode(&all.iter().collect::<Vec<_>>(), &names);
            assert_eq!(encoding.places.len(), all.len());
            let told: BTreeSet<(usize, usize)> =
                encoding.places.iter().map(|(c, p)| (c % NUM_COLOURS, *p)).collect();
            assert_eq!(told.len(), all.len(), "{arms:?} {axes:?}");
            assert!(
                encoding
                    .places
                    .iter()
                    .all(|(c, p)| *c < encoding.colours.len() && *p < encoding.panels.len())
            );
        }
    }

    #[test]
    fn numbers_above_panels_say_of_what() {
        let group = |arm: &str, tokens: &str| Group {
            arm: arm.into(),
            point: vec![tokens.into()],
            label: arm.into(),
            runs: vec![],
        };
        let arms = ["a", "b", "c", "d", "e"];
        let all: Vec<Group> =
            ["51200", "102400"].iter().flat_map(|tokens| arms.map(|arm| group(arm, tokens))).collect();
        let encoding = encode(&all.iter().collect::<Vec<_>>(), &["budget.tokens".to_string()]);
        assert_eq!(encoding.panels, ["tokens 51200", "tokens 102400"]);
    }

    #[test]
    fn every_panel_of_several_has_a_title() {
        let plain = |arm: &str| Group {
            arm: arm.into(),
            point: vec![String::new()],
            label: arm.into(),
            runs: vec![],
        };
        let arms = ["a", "b", "c", "d", "e"].map(plain);
        let on_axis = |value: &str| Group { point: vec![value.into()], ..plain("f") };
        let groups: Vec<Group> = arms.into_iter().chain(["x", "y", "z", "w"].map(on_axis)).collect();
        let encoding = encode(&groups.iter().collect::<Vec<_>>(), &["prune.saliency".to_string()]);
        assert!(
            encoding.panels.len() > 1 && encoding.panels.iter().all(|name| !name.is_empty()),
            "{encoding:?}"
        );
    }

    #[test]
    fn sixteen_curves_are_four_panels_of_four_colours() {
        let all = groups(&["pruning_aware"], &[4, 2, 2]);
        let names = ["saliency", "update", "target"].map(String::from);
        let encoding = encode(&all.iter().collect::<Vec<_>>(), &names);
        assert_eq!(
            (encoding.factor.as_str(), encoding.colours.len(), encoding.panels.len()),
            ("saliency", 4, 4)
        );
        assert_eq!(encoding.panels[0], "a1v0 · a2v0");
        // Fifteen rules in two pieces make four panels, two updates would make fifteen.
        let all = groups(&["pruning_aware"], &[15, 2]);
        let encoding = encode(&all.iter().collect::<Vec<_>>(), &names);
        assert_eq!((encoding.factor.as_str(), encoding.panels.len()), ("saliency", 4));
    }
}
