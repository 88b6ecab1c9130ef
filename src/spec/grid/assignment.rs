//! Values of keys at one point of the grid, and where they are looked up.
use super::super::tree::{Node, Value};
use serde_json::Value as Json;

/// A key, its value at a point, and where the file says so.
#[derive(Clone, Debug)]
pub(in crate::spec) struct Setting {
    /// Below the run specification, such as `prune.saliency`.
    pub key: String,
    pub node: Node,
    /// What faults of the value are told under, before the key: `axes`, `zip[0]`, `grid[1].axes`, `points[0]`.
    pub place: String,
    pub line: usize,
}

/// What a point puts in the place of the file's values.
#[derive(Clone, Debug, Default)]
pub(super) struct Assignment {
    pub settings: Vec<Setting>,
    /// Of a named point.
    pub name: Option<String>,
}

impl Assignment {
    /// Itself with `more` settings.
    pub fn with(&self, more: &[Setting]) -> Self {
        let mut with = self.clone();
        with.settings.extend(more.iter().cloned());
        with
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        self.settings.iter().find(|setting| setting.key == key).map(|setting| &setting.node)
    }
}

/// The file, and what keys are that it leaves out.
pub(super) struct Base<'a> {
    pub file: &'a Node,
    /// The specification that the file makes, defaults filled in.
    pub spec: Json,
}

impl Base<'_> {
    /// The value of `key` at a point, as tables show it; `None` where nobody says.
    pub fn label(&self, point: &Assignment, key: &str) -> Option<String> {
        if let Some(node) = point.get(key) {
            return Some(node.value.label());
        }
        // A point may hold a table around the key, or keys within it.
        let around = point.settings.iter().find_map(|setting| {
            let rest = key.strip_prefix(&setting.key)?.strip_prefix('.')?;
            within(&setting.node, rest)
        });
        around
            .or_else(|| within(self.file, key))
            .map(|node| node.value.label())
            .or_else(|| key.split('.').try_fold(&self.spec, |at, part| at.get(part)).and_then(json_label_of))
    }
}

fn within<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    key.split('.').try_fold(node, |node, part| node.get(part))
}

/// Nothing where the key has no value of its own.
fn json_label_of(value: &Json) -> Option<String> {
    (!value.is_null()).then(|| json_label(value))
}

/// As [`Value::label`], of a default.
fn json_label(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Array(items) => items.iter().map(json_label).collect::<Vec<_>>().join("+"),
        Json::Object(map) => {
            let parts: Vec<String> =
                map.iter().map(|(key, value)| format!("{key}={}", json_label(value))).collect();
            parts.join(",")
        }
        other => other.to_string(),
    }
}

/// Whether two labels are one value: as text, or as a number.
pub(in crate::spec) fn same(one: &str, other: &str) -> bool {
    let number = |text: &str| text.parse::<f64>().ok();
    one == other || matches!((number(one), number(other)), (Some(a), Some(b)) if a == b)
}

/// The settings of a table of keys: a table under a section's name holds keys of that section.
pub(in crate::spec) fn settings(node: &Node, place: &str, leave_out: &[&str]) -> Vec<Setting> {
    let Value::Table(entries) = &node.value else { return Vec::new() };
    let mut settings = Vec::new();
    let mut add = |key: String, line: usize, node: &Node| {
        settings.push(Setting { key, node: node.clone(), place: place.to_string(), line });
    };
    for entry in entries.iter().filter(|entry| !leave_out.contains(&entry.key.as_str())) {
        match &entry.node.value {
            Value::Table(inner) if !entry.key.contains('.') => {
                inner
                    .iter()
                    .for_each(|inner| add(format!("{}.{}", entry.key, inner.key), inner.line, &inner.node));
            }
            _ => add(entry.key.clone(), entry.line, &entry.node),
        }
    }
    settings
}
