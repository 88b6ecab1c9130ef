//! The columns of `runs.csv` side by side.
use super::Sides;
use crate::base::units;
use crate::record::{Results, dictionary};
use crate::report::ReportError;
use serde_json::{Map, Value};

/// A column of `runs.csv` on both sides, as it is shown; empty where it was empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    pub name: String,
    pub values: [String; 2],
    /// `b / a` of a measured number.
    pub ratio: Option<f64>,
    pub equal: bool,
}

/// Says nothing beside the names of the sides.
const OF_A_RUN: [&str; 1] = ["run"];
/// What pairs the runs of two arms, or is one run's own.
const OF_AN_ARM: [&str; 6] = ["run", "arm", "seed", "status", "reason", "stage"];

/// Every column that can tell the sides apart, axes included, in the order of the file.
pub fn columns(results: &Results, sides: &Sides) -> Result<Vec<Column>, ReportError> {
    let skipped: &[&str] = if sides.arms { &OF_AN_ARM } else { &OF_A_RUN };
    let rows = |side: usize| -> Result<Vec<Map<String, Value>>, ReportError> {
        sides.runs(side).into_iter().map(|run| row(results, run)).collect()
    };
    let rows = [rows(0)?, rows(1)?];
    let names = dictionary::header(dictionary::RUNS, &results.axes);
    let column = |name: String| {
        let cells = rows.each_ref().map(|rows| {
            rows.iter().map(|row| row.get(&name).cloned().unwrap_or(Value::Null)).collect::<Vec<_>>()
        });
        let means = cells.each_ref().map(|cells| mean(cells));
        let ratio = match means {
            [Some(a), Some(b)] if a != 0.0 && name != "seed" => Some(b / a),
            _ => None,
        };
        let equal = cells[0] == cells[1];
        Column { values: cells.map(|cells| show(&cells)), name, ratio, equal }
    };
    Ok(names.into_iter().filter(|name| !skipped.contains(&name.as_str())).map(column).collect())
}

/// The row of one run by column name; the values of axes are text.
fn row(results: &Results, run: usize) -> Result<Map<String, Value>, ReportError> {
    let entry = &results.runs[run];
    let mut out = Map::new();
    let parts = [serde_json::to_value(&entry.identity), serde_json::to_value(&entry.totals)];
    for part in parts {
        match part {
            Ok(Value::Object(fields)) => out.extend(fields),
            other => {
                let message = format!("its row is no object: {other:?}");
                return Err(ReportError::Row { run: entry.identity.run.clone(), message });
            }
        }
    }
    out.extend(entry.axes.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))));
    Ok(out)
}

/// Mean of the cells that hold a number; `None` where none does.
fn mean(cells: &[Value]) -> Option<f64> {
    let numbers: Vec<f64> = cells.iter().filter_map(Value::as_f64).collect();
    crate::stats::descriptive::mean(&numbers).ok()
}

/// One value where all are alike, else the mean of numbers or every text once.
fn show(cells: &[Value]) -> String {
    let alike = cells.windows(2).all(|pair| pair[0] == pair[1]);
    match (cells, mean(cells)) {
        ([one, ..], _) if alike => single(one),
        (_, Some(mean)) => number(mean),
        _ => {
            let mut texts: Vec<String> = cells.iter().map(single).filter(|text| !text.is_empty()).collect();
            texts.dedup();
            texts.join(", ")
        }
    }
}

fn single(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Number(n) => match (n.as_u64(), n.as_f64()) {
            (Some(count), _) => units::grouped(count),
            (None, Some(value)) => number(value),
            _ => n.to_string(),
        },
        other => other.to_string(),
    }
}

fn number(value: f64) -> String {
    if value.abs() >= 1000.0 { units::si(value, "") } else { format!("{value:.4}") }
}
