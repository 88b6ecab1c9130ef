//! `[[zip]]`: keys that move together, each with a list of as many values; `when` says where.
use super::super::reader::Findings;
use super::super::tree::{Node, Value};
use super::assignment::{Setting, settings};
use super::factor::Factor;
use super::when::Condition;
use super::{axes, check_section, join, tables};

/// Adds the tables of `[[zip]]` within `node` to `factors`.
pub(super) fn read(node: &Node, place: &str, findings: &Findings, factors: &mut Vec<Factor>) {
    for (index, table) in tables(node, "zip", place, findings).into_iter().enumerate() {
        let place = join(place, &format!("zip[{index}]"));
        let when = table.get("when").map(|when| Condition::read(when, &join(&place, "when"), findings));
        let keys = settings(table, &place, &["when"]);
        let mut columns: Vec<(&Setting, &[Node])> = Vec::new();
        for setting in &keys {
            let shown = join(&place, &setting.key);
            if !check_section(&setting.key, &shown, setting.line, findings) {
                continue;
            }
            match &setting.node.value {
                Value::Array(values) => columns.push((setting, values)),
                other => {
                    let message = format!("expected a list of values, found {}", other.describe());
                    findings.add(shown, setting.line, message, None);
                }
            }
        }
        if columns.len() < 2 {
            if columns.len() == keys.len() {
                let hint = Some("a single key is an axis: `[axes]`".to_string());
                findings.add(place, table.line, "fewer than two keys: nothing moves together", hint);
            }
            continue;
        }
        let (first, values) = columns[0];
        let mut even = !values.is_empty();
        for (setting, other) in &columns {
            if other.len() != values.len() || other.is_empty() {
                let message = format!(
                    "{} values, and `{}` has {}: they move together",
                    other.len(),
                    first.key,
                    values.len()
                );
                findings.add(join(&place, &setting.key), setting.line, message, None);
                even = false;
            }
        }
        if !even {
            continue;
        }
        let at = |index: usize| -> Vec<Setting> {
            let set = |(setting, values): &(&Setting, &[Node])| Setting {
                node: values[index].clone(),
                ..(*setting).clone()
            };
            columns.iter().map(set).collect()
        };
        let alternatives = (0..values.len()).map(at).collect();
        let factor = Factor { name: place, line: table.line, alternatives, when: when.flatten() };
        axes::add(factor, factors, findings);
    }
}
