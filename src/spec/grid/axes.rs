//! `[axes]`: key → values, every combination with every other. `"prune.saliency" = […]` and `prune.saliency = […]` are the
//! same to us; `{ values = […], when = { … } }` is an axis where the condition holds.
use super::super::reader::Findings;
use super::super::tree::{Node, Value};
use super::assignment::Setting;
use super::factor::Factor;
use super::when::Condition;
use super::{check_section, join, reaches};

/// The axes of the table `node`, which stands at `place`, in the order of the file.
pub(super) fn read(node: &Node, place: &str, findings: &Findings) -> Vec<Factor> {
    let mut axes = Vec::new();
    if !matches!(node.value, Value::Table(_)) {
        findings.add(place, node.line, format!("expected a table, found {}", node.value.describe()), None);
    }
    collect(node, "", place, findings, &mut axes);
    axes
}

fn collect(node: &Node, prefix: &str, place: &str, findings: &Findings, axes: &mut Vec<Factor>) {
    let Value::Table(entries) = &node.value else { return };
    for entry in entries {
        let key = join(prefix, &entry.key);
        let shown = join(place, &key);
        if !check_section(&key, &shown, entry.line, findings) {
            continue;
        }
        let (values, when) = match &entry.node.value {
            Value::Table(_) if entry.node.get("values").is_some() => {
                let when = entry.node.get("when");
                let unknown =
                    |entry: &&super::super::tree::Entry| !["values", "when"].contains(&entry.key.as_str());
                if let Value::Table(inner) = &entry.node.value {
                    for other in inner.iter().filter(unknown) {
                        let hint = Some("an axis has `values` and `when`".to_string());
                        findings.add(join(&shown, &other.key), other.line, "unknown key", hint);
                    }
                }
                let when = when.map(|when| Condition::read(when, &join(&shown, "when"), findings));
                (entry.node.get("values").map(|values| &values.value), when)
            }
            Value::Table(_) => {
                collect(&entry.node, &key, place, findings, axes);
                continue;
            }
            value => (Some(value), None),
        };
        match values {
            Some(Value::Array(values)) if values.is_empty() => {
                findings.add(shown, entry.line, "the list is empty: at least one is needed", None);
            }
            Some(Value::Array(values)) => {
                let setting = |node: &Node| Setting {
                    key: key.clone(),
                    node: node.clone(),
                    place: place.to_string(),
                    line: entry.line,
                };
                let factor = Factor {
                    name: shown,
                    line: entry.line,
                    alternatives: values.iter().map(|value| vec![setting(value)]).collect(),
                    when: when.flatten(),
                };
                add(factor, axes, findings);
            }
            Some(other) => {
                let message = format!("expected a list of values, found {}", other.describe());
                let hint = Some(format!("write `\"{key}\" = [{}]`", values_of(other)));
                findings.add(shown, entry.line, message, hint);
            }
            None => {}
        }
    }
}

/// A key may be reached by one factor only.
pub(super) fn add(factor: Factor, factors: &mut Vec<Factor>, findings: &Findings) {
    let clash = factors.iter().find(|other| {
        other.keys().any(|one| factor.keys().any(|key| reaches(one, key) || reaches(key, one)))
    });
    match clash {
        Some(other) => {
            let named = other.keys().next().unwrap_or_default();
            let message = format!("the axis `{named}` (line {}) changes the same key", other.line);
            findings.add(factor.name, factor.line, message, None);
        }
        None => factors.push(factor),
    }
}

/// One value as a list could have it; several of them where a string lists them.
fn values_of(value: &Value) -> String {
    match value {
        Value::String(text) if text.contains(',') => {
            let parts = text.split(',').map(|part| Value::String(part.trim().to_string()).to_toml());
            parts.collect::<Vec<_>>().join(", ")
        }
        other => other.to_toml(),
    }
}
