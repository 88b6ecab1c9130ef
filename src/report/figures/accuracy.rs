//! Accuracy of every configuration, with intervals, against chance: by task where colours suffice, else a named row each.
use super::axes::Domain;
use super::canvas::{NUM_COLOURS, Sheet};
use super::rows::{Mark, Row, RowBlock, RowPlot, draw};
use crate::report::Result;
use crate::report::format;
use crate::report::groups::{Group, leading_axes, named_value, short_names};
use crate::report::scores::Cell;

/// A task, its chance level and a cell per group.
pub struct TaskRow {
    pub task: String,
    pub chance: Option<f64>,
    pub cells: Vec<Cell>,
}

fn mark(cell: &Cell, colour: usize) -> Option<Mark> {
    let interval = cell.interval.map(|i| (100.0 * i.low, 100.0 * i.high));
    Some(Mark::new(100.0 * cell.mean?, interval, colour))
}

/// Draws `rows`; of more groups than there are colours the first row alone, in which each group is a row of its own. `None`
/// where nothing was scored.
pub fn accuracy_figure(
    sheet: Sheet,
    groups: &[Group],
    axes: &[String],
    rows: &[TaskRow],
) -> Result<Option<String>> {
    let by_task = groups.len() <= NUM_COLOURS;
    let blocks = if by_task {
        vec![tasks(rows)]
    } else {
        rows.first().map_or(Vec::new(), |row| arms(groups, axes, row))
    };
    if !blocks.iter().flat_map(|(_, rows)| rows).any(|row| !row.marks.is_empty()) {
        return Ok(None);
    }
    let values = blocks
        .iter()
        .flat_map(|(_, rows)| rows)
        .flat_map(|row| row.marks.iter().flat_map(Mark::ends).chain(row.reference));
    let domain = Domain::of(values, 0.03);
    let domain = Domain { low: domain.low.max(0.0), high: domain.high.min(100.0), log: false };
    let count = blocks.len();
    let block = |(i, (heading, rows)): (usize, (String, Vec<Row>))| {
        let axis = (i + 1 == count).then(|| "accuracy (%)".to_string());
        RowBlock { heading, rows, domain, axis, zero: None }
    };
    let blocks = blocks.into_iter().enumerate().map(block).collect();
    let legend = match by_task {
        true => short_names(&groups.iter().collect::<Vec<_>>(), axes).into_iter().zip(0..).collect(),
        false => Vec::new(),
    };
    draw(sheet, "accuracy", &RowPlot { blocks, note_title: String::new(), legend, reference: "chance" })
}

fn tasks(rows: &[TaskRow]) -> (String, Vec<Row>) {
    let row = |row: &TaskRow| Row {
        label: row.task.clone(),
        marks: row.cells.iter().enumerate().filter_map(|(i, cell)| mark(cell, i)).collect(),
        reference: row.chance.map(|chance| 100.0 * chance),
        ..Row::default()
    };
    (String::new(), rows.iter().map(row).collect())
}

/// A block for each arm, with a row for each point of its axes.
fn arms(groups: &[Group], axes: &[String], row: &TaskRow) -> Vec<(String, Vec<Row>)> {
    let leading = leading_axes(&groups.iter().collect::<Vec<_>>(), axes);
    let mut blocks: Vec<(String, Vec<Row>)> = Vec::new();
    for (group, cell) in groups.iter().zip(&row.cells) {
        let place = blocks.iter().position(|(arm, _)| *arm == group.arm).unwrap_or_else(|| {
            blocks.push((group.arm.clone(), Vec::new()));
            blocks.len() - 1
        });
        let colour = place % NUM_COLOURS;
        let point: Vec<String> = leading.iter().filter_map(|axis| named_value(group, *axis, axes)).collect();
        let marks: Vec<Mark> = mark(cell, colour).into_iter().collect();
        let label = if point.is_empty() { group.arm.clone() } else { point.join(" · ") };
        let note = format::percent_with_interval(cell.mean, cell.interval);
        let reference = row.chance.map(|chance| 100.0 * chance);
        blocks[place].1.push(Row { label, note, marks, reference, ..Row::default() });
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points of two arms in turns, as a grid lists them: a block and a colour for each arm.
    #[test]
    fn an_arm_is_one_block() {
        let group = |arm: &str, point: &str| Group {
            arm: arm.into(),
            point: vec![point.into()],
            label: String::new(),
            runs: vec![],
        };
        let groups = [group("a", "l"), group("b", "l"), group("a", "2"), group("b", "2")];
        let cell = || Cell { mean: Some(0.5), interval: None, seeds: 1 };
        let row = TaskRow { task: String::new(), chance: None, cells: (0..4).map(|_| cell()).collect() };
        let blocks = arms(&groups, &["x.update".to_string()], &row);
        let told = |(arm, rows): &(String, Vec<Row>)| {
            let labels: Vec<&str> = rows.iter().map(|row| row.label.as_str()).collect();
            (arm.clone(), labels.join(" "))
        };
        assert_eq!(
            blocks.iter().map(told).collect::<Vec<_>>(),
            [("a".into(), "l update 2".into()), ("b".into(), "l update 2".into())]
        );
    }
}
