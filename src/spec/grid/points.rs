//! `[[points]]`: single points with a name, beside those of the axes.
use super::super::reader::Findings;
use super::super::tree::{Node, Value};
use super::assignment::{Assignment, settings};
use super::{check_section, join, tables};

pub(super) fn read(file: &Node, findings: &Findings) -> Vec<Assignment> {
    let mut points: Vec<Assignment> = Vec::new();
    for (index, table) in tables(file, "points", "", findings).into_iter().enumerate() {
        let place = format!("points[{index}]");
        let name = match table.get("name").map(|node| (node.line, &node.value)) {
            Some((_, Value::String(name))) if !name.trim().is_empty() => name.clone(),
            Some((line, other)) => {
                let message = format!("expected a name in quotes, found {}", other.describe());
                findings.add(join(&place, "name"), line, message, None);
                continue;
            }
            None => {
                findings.add(join(&place, "name"), table.line, "missing", None);
                continue;
            }
        };
        if points.iter().any(|point| point.name.as_ref() == Some(&name)) {
            findings.add(join(&place, "name"), table.line, format!("duplicate point `{name}`"), None);
        }
        let settings = settings(table, &place, &["name"]);
        for setting in &settings {
            check_section(&setting.key, &join(&place, &setting.key), setting.line, findings);
        }
        points.push(Assignment { settings, name: Some(name) });
    }
    points
}
