//! `[[exclude]]`: points of the grid that are left out, by the values that they have; named points are never left out.
use super::super::reader::Findings;
use super::super::tree::Node;
use super::super::types::Removed;
use super::assignment::{Assignment, Base};
use super::tables;
use super::when::Condition;

/// Takes the excluded points out of `points` and tells how many each exclusion took.
pub(super) fn apply(
    file: &Node,
    base: &Base<'_>,
    points: &mut Vec<Assignment>,
    findings: &Findings,
) -> Vec<Removed> {
    let mut removed = Vec::new();
    for (index, table) in tables(file, "exclude", "", findings).into_iter().enumerate() {
        let place = format!("exclude[{index}]");
        let Some(condition) = Condition::of(table, &place, &[], findings) else { continue };
        let before = points.len();
        points.retain(|point| point.name.is_some() || !condition.holds(point, base));
        if points.len() == before {
            let message = format!("no point of the grid has {condition}");
            findings.add(place, table.line, message, Some("leave it out, or name values of an axis".into()));
        }
        removed.push(Removed { by: format!("exclude: {condition}"), points: before - points.len() });
    }
    removed
}
