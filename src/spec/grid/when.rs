//! Conditions: `{ "prune.saliency" = ["taylor2", "taylor_mix"], "prune.block" = 8 }` holds at a point where every key has
//! the value, or one of the values; a key that no axis changes has the file's value, or its default.
use super::super::reader::Findings;
use super::super::tree::{Node, Value};
use super::assignment::{Assignment, Base, same, settings};
use super::check_section;

#[derive(Clone, Debug)]
pub(super) struct Condition {
    /// Each key with the values that it may have, as labels.
    any_of: Vec<(String, Vec<String>)>,
}

impl Condition {
    /// Reads the condition that `node` is; its faults are told under `place`.
    pub fn read(node: &Node, place: &str, findings: &Findings) -> Option<Self> {
        if !matches!(node.value, Value::Table(_)) {
            let message = format!("expected a table of keys and values, found {}", node.value.describe());
            let hint = Some("write `when = { \"prune.saliency\" = \"taylor_mix\" }`".into());
            findings.add(place, node.line, message, hint);
            return None;
        }
        Self::of(node, place, &[], findings)
    }

    /// As [`Self::read`], of the keys of `node` but those of `leave_out`.
    pub fn of(node: &Node, place: &str, leave_out: &[&str], findings: &Findings) -> Option<Self> {
        let mut any_of = Vec::new();
        for setting in settings(node, place, leave_out) {
            if !check_section(&setting.key, &format!("{place}.{}", setting.key), setting.line, findings) {
                return None;
            }
            let values = match &setting.node.value {
                // A list of values; a list that is itself a value stands in a list.
                Value::Array(items) => items.iter().map(|item| item.value.label()).collect(),
                value => vec![value.label()],
            };
            any_of.push((setting.key, values));
        }
        if any_of.is_empty() {
            findings.add(place, node.line, "no key: it would hold everywhere", None);
            return None;
        }
        Some(Condition { any_of })
    }

    pub fn holds(&self, point: &Assignment, base: &Base<'_>) -> bool {
        self.any_of.iter().all(|(key, values)| {
            base.label(point, key).is_some_and(|label| values.iter().any(|value| same(value, &label)))
        })
    }
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts: Vec<String> =
            self.any_of.iter().map(|(key, values)| format!("{key} = {}", values.join(" or "))).collect();
        write!(f, "{}", parts.join(", "))
    }
}
