//! Axes: every combination of their values, each put into the file in the place of what stands there and read and
//! checked as if it had been written so.
use super::error::Fault;
use super::places::Places;
use super::read;
use super::reader::{Findings, Table};
use super::tree::{Node, Value};
use super::types::*;
use crate::base::suggest::nearest;

/// More points than anyone means to run.
const MAX_POINTS: usize = 4096;

struct RawAxis {
    key: String,
    line: usize,
    values: Vec<Node>,
}

pub(super) fn experiment(file: &Node, name: &str, places: &Places<'_>) -> Result<Experiment, Vec<Fault>> {
    let findings = read::findings();
    let header = {
        let root = Table::root(file, &findings);
        let header = read::header(&root);
        if let Some(axes) = root.node("axes") {
            check_axes_table(axes, &findings);
        }
        root.ask(&read::RUN_SECTIONS);
        root.finish();
        header
    };
    let axes = file.get("axes").map_or(Vec::new(), |axes| raw_axes(axes, &findings));
    let points = points(&axes, &findings);

    // The file itself is read first, with the first values of axes whose keys it leaves out, so that faults which no
    // axis touches carry their own key; rules between keys hold at the points of the grid.
    let mut faults = findings.into_faults();
    let first = with_missing(file, &axes);
    let reading = read::findings();
    read::run_spec(&Table::root(&first, &reading), places);
    let of_axis =
        |fault: &Fault| axes.iter().any(|axis| !has(file, &axis.key) && reaches(&axis.key, &fault.key));
    faults.extend(reading.into_faults().into_iter().filter(|fault| !of_axis(fault)));

    let mut specs = Vec::with_capacity(points.len());
    for chosen in &points {
        let findings = read::findings();
        let mut tree = file.clone();
        for (axis, index) in axes.iter().zip(chosen) {
            let node = axis.values[*index].clone();
            if tree.set(&axis.key, node).is_none() {
                findings.add(&axis.key, axis.line, "leads through a key that is not a table", None);
            }
        }
        let spec = read::read_and_check(&Table::root(&tree, &findings), places, &header);
        for mut fault in findings.into_faults() {
            if let Some(axis) = axes.iter().find(|axis| reaches(&axis.key, &fault.key)) {
                fault.key = format!("axes.{}", fault.key);
                fault.line = if fault.line == 0 { axis.line } else { fault.line };
            }
            faults.push(fault);
        }
        specs.push(Point { values: labels(&axes, chosen), spec });
    }
    twins(&specs, &axes, &mut faults);

    faults.sort_by_key(|fault| fault.line);
    let mut distinct: Vec<Fault> = Vec::new();
    for fault in faults {
        if !distinct.contains(&fault) {
            distinct.push(fault);
        }
    }
    if !distinct.is_empty() || specs.is_empty() {
        return Err(distinct);
    }
    Ok(Experiment {
        name: name.to_string(),
        title: header.title.unwrap_or_else(|| name.to_string()),
        question: header.question,
        seeds: header.seeds,
        engine: header.engine,
        base: specs[0].spec.clone(),
        arms: header.arms,
        axes: axes
            .iter()
            .map(|axis| Axis {
                key: axis.key.clone(),
                values: axis.values.iter().map(|v| v.value.label()).collect(),
            })
            .collect(),
        points: specs,
        comparisons: header.comparisons,
    })
}

fn check_axes_table(axes: &Node, findings: &Findings) {
    if !matches!(axes.value, Value::Table(_)) {
        findings.add("axes", axes.line, format!("expected a table, found {}", axes.value.describe()), None);
    }
}

/// Axes in file order. `"prune.saliency" = […]` and `prune.saliency = […]` are the same to us.
fn raw_axes(node: &Node, findings: &Findings) -> Vec<RawAxis> {
    let mut axes = Vec::new();
    collect(node, "", findings, &mut axes);
    axes
}

fn collect(node: &Node, prefix: &str, findings: &Findings, axes: &mut Vec<RawAxis>) {
    let Value::Table(entries) = &node.value else { return };
    for entry in entries {
        let key = if prefix.is_empty() { entry.key.clone() } else { format!("{prefix}.{}", entry.key) };
        let shown = format!("axes.{key}");
        let section = key.split('.').next().unwrap_or(&key);
        if read::HEADER_KEYS.contains(&section) {
            let hint = match section {
                "seeds" => "seeds are replicates: give them as `seeds = […]` at the top".to_string(),
                _ => format!("axes reach into {}", read::RUN_SECTIONS.join(", ")),
            };
            findings.add(shown, entry.line, format!("`{section}` cannot be an axis"), Some(hint));
            continue;
        }
        if !read::RUN_SECTIONS.contains(&section) {
            let hint = match nearest(section, read::RUN_SECTIONS) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("axes reach into {}", read::RUN_SECTIONS.join(", ")),
            };
            findings.add(shown, entry.line, "unknown key", Some(hint));
            continue;
        }
        match &entry.node.value {
            Value::Table(_) => collect(&entry.node, &key, findings, axes),
            Value::Array(values) if values.is_empty() => {
                findings.add(shown, entry.line, "the list is empty: at least one is needed", None);
            }
            Value::Array(values) => {
                let reached = |axis: &&RawAxis| reaches(&axis.key, &key) || reaches(&key, &axis.key);
                match axes.iter().find(reached) {
                    Some(other) => {
                        let message =
                            format!("the axis `{}` (line {}) changes the same key", other.key, other.line);
                        findings.add(shown, entry.line, message, None);
                    }
                    None => axes.push(RawAxis { key, line: entry.line, values: values.clone() }),
                }
            }
            other => {
                let message = format!("expected a list of values, found {}", other.describe());
                findings.add(
                    shown,
                    entry.line,
                    message,
                    Some(format!("write `\"{key}\" = [{}]`", values_of(other))),
                );
            }
        }
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

/// Indices into the values of every axis, the last varying fastest.
fn points(axes: &[RawAxis], findings: &Findings) -> Vec<Vec<usize>> {
    let size = axes.iter().try_fold(1usize, |size, axis| size.checked_mul(axis.values.len()));
    if size.is_none_or(|size| size > MAX_POINTS) {
        let message = format!("the grid has more than {MAX_POINTS} points");
        findings.add("axes", axes[0].line, message, Some("leave out values or axes".into()));
        return Vec::new();
    }
    let mut points = vec![Vec::new()];
    for axis in axes {
        points = points
            .iter()
            .flat_map(|point: &Vec<usize>| {
                (0..axis.values.len()).map(move |i| point.iter().copied().chain([i]).collect())
            })
            .collect();
    }
    points
}

fn labels(axes: &[RawAxis], chosen: &[usize]) -> Vec<String> {
    axes.iter().zip(chosen).map(|(axis, index)| axis.values[*index].value.label()).collect()
}

fn with_missing(file: &Node, axes: &[RawAxis]) -> Node {
    let mut tree = file.clone();
    for axis in axes {
        if !has(file, &axis.key) {
            // A path through something that is no table is reported at the grid's points.
            let _ = tree.set(&axis.key, axis.values[0].clone());
        }
    }
    tree
}

fn has(file: &Node, key: &str) -> bool {
    key.split('.').try_fold(file, |node, part| node.get(part)).is_some()
}

/// Two values of an axis that mean the same would be one run under two names.
fn twins(specs: &[Point], axes: &[RawAxis], faults: &mut Vec<Fault>) {
    if !faults.is_empty() {
        return;
    }
    for (i, later) in specs.iter().enumerate() {
        if let Some(earlier) = specs[..i].iter().find(|earlier| earlier.spec == later.spec) {
            let differing =
                axes.iter().zip(earlier.values.iter().zip(&later.values)).find(|(_, (a, b))| a != b);
            let (axis, value) = match differing {
                Some((axis, (_, value))) => (axis, value),
                None => (&axes[0], &later.values[0]),
            };
            faults.push(Fault {
                key: format!("axes.{}", axis.key),
                line: axis.line,
                message: format!("`{value}` stands twice, or means the same as another value"),
                hint: None,
            });
        }
    }
}

/// True where `key` is `axis` or lies within it.
fn reaches(axis: &str, key: &str) -> bool {
    key == axis || key.strip_prefix(axis).is_some_and(|rest| rest.starts_with(['.', '[']))
}
