//! `[[grid]]`: blocks of axes of their own, each multiplied with what stands outside of them; their points are united.
use super::super::reader::Findings;
use super::super::tree::{Node, Value};
use super::factor::Factor;
use super::{axes, join, tables, zip};
use crate::base::suggest::nearest;

/// The factors of every block, those outside first; the ones outside alone where there is no block.
pub(super) fn read(file: &Node, findings: &Findings) -> Vec<Vec<Factor>> {
    let outside = factors(file, "", Vec::new(), findings);
    let blocks = tables(file, "grid", "", findings);
    if blocks.is_empty() {
        return vec![outside];
    }
    let block = |(index, block): (usize, &Node)| {
        let place = format!("grid[{index}]");
        if let Value::Table(entries) = &block.value {
            for entry in entries.iter().filter(|entry| !["axes", "zip"].contains(&entry.key.as_str())) {
                let hint = match nearest(&entry.key, ["axes", "zip"]) {
                    Some(name) => format!("did you mean `{name}`?"),
                    None => "a block has `axes` and `zip`".to_string(),
                };
                findings.add(join(&place, &entry.key), entry.line, "unknown key", Some(hint));
            }
        }
        factors(block, &place, outside.clone(), findings)
    };
    blocks.into_iter().enumerate().map(block).collect()
}

fn factors(node: &Node, place: &str, mut factors: Vec<Factor>, findings: &Findings) -> Vec<Factor> {
    if let Some(table) = node.get("axes") {
        for axis in axes::read(table, &join(place, "axes"), findings) {
            axes::add(axis, &mut factors, findings);
        }
    }
    zip::read(node, place, findings, &mut factors);
    factors
}
