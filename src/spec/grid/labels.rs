//! `[labels]`: names that people print for arms, axes and values; and short ones for values that are places.
use super::super::reader::{Findings, Table};
use super::super::tree::{Node, Value};
use super::super::types::{Axis, Labels};
use super::join;
use crate::base::suggest::nearest;
use std::collections::BTreeMap;
use std::path::Path;

/// `[labels]` of the file, each name checked against those that there are.
pub(super) fn read(root: &Table<'_>, arms: &[&str], axes: &[Axis]) -> Labels {
    let t = root.table("labels", false);
    let findings = root.findings();
    let keys: Vec<&str> = axes.iter().map(|axis| axis.key.as_str()).collect();
    let labels = Labels {
        arms: names(t.node("arms"), "labels.arms", "arm", arms, findings),
        axes: names(t.node("axes"), "labels.axes", "axis", &keys, findings),
        values: values(t.node("values"), axes, findings),
    };
    t.finish();
    labels
}

fn values(
    node: Option<&Node>,
    axes: &[Axis],
    findings: &Findings,
) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    for (key, line, node) in entries(node, "labels.values", findings) {
        let place = format!("labels.values.{key}");
        let Some(axis) = axes.iter().find(|axis| axis.key == key) else {
            let keys: Vec<&str> = axes.iter().map(|axis| axis.key.as_str()).collect();
            unknown(&place, line, "axis", &key, &keys, findings);
            continue;
        };
        let of: Vec<&str> = axis.values.iter().map(String::as_str).collect();
        labels.insert(key, names(Some(node), &place, "value", &of, findings));
    }
    labels
}

fn names(
    node: Option<&Node>,
    place: &str,
    what: &str,
    known: &[&str],
    findings: &Findings,
) -> BTreeMap<String, String> {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let entries = entries(node, place, findings);
    let labelled = |name: &str| entries.iter().any(|(key, ..)| key == name);
    let is_another = |key: &str, label: &str| label != key && known.contains(&label) && !labelled(label);
    for (key, line, node) in entries.iter().map(|(key, line, node)| (key.clone(), *line, *node)) {
        let shown = join(place, &key);
        if !known.contains(&key.as_str()) {
            unknown(&shown, line, what, &key, known, findings);
            continue;
        }
        match &node.value {
            // Two that are called alike could not be told apart.
            Value::String(label) if names.values().any(|other| other == label) || is_another(&key, label) => {
                findings.add(shown, node.line, format!("another {what} is called `{label}`, too"), None);
            }
            Value::String(label) if !label.trim().is_empty() => {
                names.insert(key, label.clone());
            }
            other => {
                let message = format!("expected a name in quotes, found {}", other.describe());
                findings.add(shown, node.line, message, None);
            }
        }
    }
    names
}

fn unknown(place: &str, line: usize, what: &str, key: &str, known: &[&str], findings: &Findings) {
    let hint = match nearest(key, known.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None if known.is_empty() => "the grid has no axes".to_string(),
        None => format!("one of {}", known.join(", ")),
    };
    findings.add(place, line, format!("there is no {what} `{key}`"), Some(hint));
}

/// Keys of a table with their lines; `prune.saliency = …` in the place of `"prune.saliency" = …` is one key.
fn entries<'n>(node: Option<&'n Node>, place: &str, findings: &Findings) -> Vec<(String, usize, &'n Node)> {
    match node.map(|node| (node.line, &node.value)) {
        None => Vec::new(),
        Some((_, Value::Table(entries))) => {
            entries.iter().map(|entry| (entry.key.clone(), entry.line, &entry.node)).collect()
        }
        Some((line, other)) => {
            let message = format!("expected a table, found {}", other.describe());
            findings.add(place, line, message, Some(format!("write `[{place}]` and keys in quotes")));
            Vec::new()
        }
    }
}

/// Names for values that are places: as many of the last parts of each path as it takes to tell them apart. No table shows
/// where this machine keeps its files.
pub(super) fn short(labels: &mut [String]) {
    let whole = labels.to_vec();
    let is_place = |label: &String| Path::new(label).is_absolute() || label.contains('/');
    for (label, path) in labels.iter_mut().zip(&whole).filter(|(label, _)| is_place(label)) {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let last = |path: &str, count: usize| {
            let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
            parts[parts.len().saturating_sub(count)..].join("/")
        };
        let others: Vec<&String> = whole.iter().filter(|other| *other != path).collect();
        let told = |count: &usize| others.iter().all(|other| last(other, *count) != last(path, *count));
        let count = (1..=parts.len()).find(told).unwrap_or(parts.len());
        *label = last(path, count);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn places_are_called_by_what_tells_them_apart() {
        let mut labels =
            ["/data/a/model.gguf", "/data/b/model.gguf", "hf:org/name", "../other.gguf", "taylor1"]
                .map(String::from);
        super::short(&mut labels);
        assert_eq!(labels, ["a/model.gguf", "b/model.gguf", "name", "other.gguf", "taylor1"]);
    }
}
