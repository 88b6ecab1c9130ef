//! The grid: points, each put into the file in the place of what stands there and read and checked as if it had been
//! written so.
//!
//! ```text
//! [axes] product ─┐
//! [[zip]] together ├─ × ─→ [[grid]] blocks united ─→ [[exclude]] ─→ + [[points]] named ─→ points
//! when = { … } ────┘
//! ```
//!
//! Each of them is a file, from tables to assignments of values to keys.
mod assignment;
mod axes;
mod blocks;
mod exclude;
mod factor;
mod labels;
mod points;
mod when;
mod zip;

use super::arm::{ArmRead, ArmSpec};
use super::check;
use super::comparisons;
use super::error::Fault;
use super::places::{ModelDescription, NoSource, Places};
use super::questions;
use super::read;
use super::reader::{Findings, Table};
use super::tree::{Node, Value};
use super::types::*;
use super::widths::{self, WidthFault};
use crate::base::suggest::nearest;
use crate::questions::POINT;
use assignment::{Assignment, Base};
pub(super) use assignment::{same, settings};
use factor::Factor;
use std::cell::RefCell;
use std::collections::HashMap;

/// More points than anyone means to run.
const MAX_POINTS: usize = 4096;
/// Tables that make the grid, beside `axes`, name its parts and ask about them.
const TABLES: [&str; 8] =
    ["zip", "grid", "exclude", "points", "labels", "comparisons", "rankings", "effects"];

pub(super) fn experiment(file: &Node, name: &str, places: &Places<'_>) -> Result<Experiment, Vec<Fault>> {
    // A model is looked at once, however many points start from it.
    let known: RefCell<HashMap<String, Result<ModelDescription, NoSource>>> = RefCell::default();
    let describe = |place: &str| {
        let mut known = known.borrow_mut();
        known.entry(place.to_string()).or_insert_with(|| (places.describe)(place)).clone()
    };
    let places = &Places { folder: places.folder, describe: &describe };
    let findings = read::findings();
    let header = {
        let root = Table::root(file, &findings);
        let header = read::header(&root);
        root.ask(&["axes"]);
        root.ask(&TABLES);
        root.ask(&read::RUN_SECTIONS);
        root.finish();
        header
    };
    let blocks = blocks::read(file, &findings);
    let named = points::read(file, &findings);

    // The file itself is read first, with the first values of axes whose keys it leaves out, so that faults which no
    // axis touches carry their own key; rules between keys hold at the points of the grid.
    let first = with_missing(file, &blocks, &named);
    let reading = read::findings();
    let base_spec = read::run_spec(&Table::root(&first, &reading), places);
    let keys = all_keys(&blocks, &named);
    let of_axis = |fault: &Fault| keys.iter().any(|key| !has(file, key) && reaches(key, &fault.key));
    let of_file: Vec<Fault> = reading.into_faults().into_iter().filter(|fault| !of_axis(fault)).collect();
    // What a key is at a point that does not set it: where the file is whole without any point, what it makes of itself.
    let alone = read::findings();
    let file_spec = read::run_spec(&Table::root(file, &alone), places);
    let base_spec = if alone.into_faults().is_empty() { file_spec } else { base_spec };
    let base = Base { file, spec: serde_json::to_value(&base_spec).unwrap_or_default() };

    let mut removed = Vec::new();
    let (mut chosen, block_of) = united(&blocks, &base, &named, &mut removed, &findings);
    removed.extend(exclude::apply(file, &base, &mut chosen, &findings));
    chosen.extend(named);
    let mut faults = findings.into_faults();
    faults.extend(of_file);

    let axes = axis_labels(&keys, &chosen, &base);
    let mut own_faults = Vec::new();
    let mut specs = Vec::with_capacity(chosen.len());
    for assignment in &chosen {
        specs.push(point(file, assignment, &header, places, &axes, &mut faults, &mut own_faults));
    }
    // What is wrong with a point is not told again of every arm at it.
    own_faults.retain(|fault: &Fault| faults.iter().all(|other| other.message != fault.message));
    faults.extend(own_faults);
    unite(&mut specs, &chosen, &block_of, &mut removed, &mut faults);

    let axes: Vec<Axis> = axes.into_iter().map(|axis| axis.axis).collect();
    let last = read::findings();
    let arms: Vec<ArmSpec> = header.arms.into_iter().map(|read| read.arm).collect();
    let names: Vec<&str> = arms.iter().map(|arm| arm.name.as_str()).collect();
    // Where an arm could not be read, every question about it would be blamed as well.
    let unread = |fault: &Fault| fault.key == "arms" || fault.key.starts_with("arms[");
    let arms_are_known = !names.is_empty() && !faults.iter().any(unread);
    let labels = labels::read(&Table::root(file, &last), &names, &axes);
    let asked = if arms_are_known { names.as_slice() } else { &[] };
    let comparisons = comparisons::read(&Table::root(file, &last), asked, &axes);
    let questions = questions::read(&Table::root(file, &last), asked, &axes);
    faults.extend(last.into_faults());

    faults.sort_by_key(|fault| fault.line);
    let mut distinct: Vec<Fault> = Vec::new();
    for fault in faults {
        if !distinct.contains(&fault) {
            distinct.push(fault);
        }
    }
    if distinct.is_empty() {
        distinct = unreachable_widths(file, &arms, &specs);
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
        arms,
        axes,
        points: specs,
        comparisons,
        questions,
        labels,
        removed,
    })
}

/// The points of all blocks; with each the block that it is of. Where there are named points and no axes, those alone.
fn united(
    blocks: &[Vec<Factor>],
    base: &Base<'_>,
    named: &[Assignment],
    removed: &mut Vec<Removed>,
    findings: &Findings,
) -> (Vec<Assignment>, HashMap<usize, usize>) {
    let (mut points, mut block_of) = (Vec::new(), HashMap::new());
    if !named.is_empty() && blocks.iter().all(Vec::is_empty) {
        return (points, block_of);
    }
    for (index, factors) in blocks.iter().enumerate() {
        let mut hear = |factor: &Factor, points: usize| {
            let when = factor.when.as_ref().map(ToString::to_string).unwrap_or_default();
            removed.push(Removed { by: format!("{} when {when}", factor.name), points });
        };
        let product = factor::product(factors, base, MAX_POINTS, &mut hear);
        let Some(product) = product.filter(|product| points.len() + product.len() <= MAX_POINTS) else {
            let line = factors.first().map_or(0, |factor| factor.line);
            let message = format!("the grid has more than {MAX_POINTS} points");
            findings.add("axes", line, message, Some("leave out values or axes".into()));
            return (Vec::new(), block_of);
        };
        for factor in factors {
            let Some(when) = &factor.when else { continue };
            if !product.iter().any(|point| when.holds(point, base)) {
                let message = format!("no point of the grid has {when}");
                findings.add(format!("{}.when", factor.name), factor.line, message, None);
            }
        }
        block_of.extend((points.len()..points.len() + product.len()).map(|point| (point, index)));
        points.extend(product);
    }
    (points, block_of)
}

/// Reads and checks the file with `assignment` in it.
fn point(
    file: &Node,
    assignment: &Assignment,
    header: &read::Header,
    places: &Places<'_>,
    axes: &[LabelledAxis],
    faults: &mut Vec<Fault>,
    own_faults: &mut Vec<Fault>,
) -> Point {
    let findings = read::findings();
    let mut tree = file.clone();
    for setting in &assignment.settings {
        if tree.set(&setting.key, setting.node.clone()).is_none() {
            findings.add(&setting.key, setting.line, "leads through a key that is not a table", None);
        }
    }
    let spec = read::run_spec(&Table::root(&tree, &findings), places);
    let shared: Vec<&ArmSpec> =
        header.arms.iter().filter(|read| read.set.is_empty()).map(|read| &read.arm).collect();
    check::rules(&spec, &shared, &header.engine, &Table::root(&tree, &findings), &findings);
    let own = header.arms.iter().enumerate().map(|(place, read)| {
        (!read.set.is_empty()).then(|| own_spec(&tree, read, place, &header.engine, places, own_faults))
    });
    let own = own.collect();
    for mut fault in findings.into_faults() {
        let setting = assignment.settings.iter().find(|setting| reaches(&setting.key, &fault.key));
        if let Some(setting) = setting {
            fault.key = join(&setting.place, &fault.key);
            fault.line = if fault.line == 0 { setting.line } else { fault.line };
        }
        faults.push(fault);
    }
    Point {
        values: axes.iter().map(|axis| axis.label(assignment)).collect(),
        name: assignment.name.clone(),
        keys: assignment.settings.iter().map(|setting| setting.key.clone()).collect(),
        spec,
        own,
    }
}

/// What the `set` of an arm makes of the file at a point of the grid.
fn own_spec(
    tree: &Node,
    read: &ArmRead,
    place: usize,
    engine: &EngineSpec,
    places: &Places<'_>,
    faults: &mut Vec<Fault>,
) -> RunSpec {
    let findings = read::findings();
    let mut tree = tree.clone();
    let at = |key: &str| format!("arms[{place}].set.{key}");
    for (key, node) in &read.set {
        if tree.set(key, node.clone()).is_none() {
            findings.add(key, node.line, "leads through a key that is not a table", None);
        }
    }
    let root = Table::root(&tree, &findings);
    let spec = read::run_spec(&root, places);
    check::rules(&spec, &[&read.arm], engine, &root, &findings);
    for mut fault in findings.into_faults() {
        // A rule may fail at a key that the arm does not set.
        let of = read.set.iter().find(|(key, _)| reaches(key, &fault.key)).or(read.set.first());
        if let Some((_, node)) = of {
            fault.line = if fault.line == 0 { node.line } else { fault.line };
        }
        faults.push(Fault { key: at(&fault.key), ..fault });
    }
    spec
}

/// Arms that prune to the widths of another, where their groups do not lead there.
fn unreachable_widths(file: &Node, arms: &[ArmSpec], points: &[Point]) -> Vec<Fault> {
    let findings = read::findings();
    let tables = Table::root(file, &findings).tables("arms");
    for point in points {
        let find = |name: &str| match arms.iter().position(|arm| arm.name == name) {
            Some(place) => Some((arms[place].clone(), point.of_arm(place))),
            None => ArmSpec::built_in(name).map(|arm| (arm, &point.spec)),
        };
        for (place, (arm, table)) in arms.iter().zip(&tables).enumerate() {
            let Some(WidthFault { message, hint }) = widths::unreachable(arm, point.of_arm(place), &find)
            else {
                continue;
            };
            let key = if table.has("of") { "of" } else { "widths_of" };
            findings.add(table.path_of(key), table.line_of(key), message, hint);
        }
    }
    let mut faults: Vec<Fault> = Vec::new();
    for fault in findings.into_faults() {
        if !faults.contains(&fault) {
            faults.push(fault);
        }
    }
    faults
}

/// An axis, and the label of each point's value by what stands in the file.
struct LabelledAxis {
    axis: Axis,
    /// Labels of values as they are written, and as tables show them.
    shown: HashMap<String, String>,
    default: String,
}

impl LabelledAxis {
    fn label(&self, point: &Assignment) -> String {
        if self.axis.key == POINT {
            return point.name.clone().unwrap_or_default();
        }
        let written = point.get(&self.axis.key).map(|node| node.value.label());
        let written = written.unwrap_or_else(|| self.default.clone());
        self.shown.get(&written).cloned().unwrap_or(written)
    }
}

/// Every key that differs between points, with its values in the order in which points take them.
fn axis_labels(keys: &[String], points: &[Assignment], base: &Base<'_>) -> Vec<LabelledAxis> {
    let axis = |key: &String| {
        let default = base.label(&Assignment::default(), key).unwrap_or_default();
        let mut written: Vec<String> = Vec::new();
        for point in points {
            let label = point.get(key).map_or_else(|| default.clone(), |node| node.value.label());
            if !written.contains(&label) {
                written.push(label);
            }
        }
        let mut values = written.clone();
        labels::short(&mut values);
        let shown = written.into_iter().zip(values.iter().cloned()).collect();
        LabelledAxis { axis: Axis { key: key.clone(), values }, shown, default }
    };
    let mut axes: Vec<LabelledAxis> = keys.iter().map(axis).collect();
    let names: Vec<String> = points.iter().filter_map(|point| point.name.clone()).collect();
    if !names.is_empty() {
        let axis = Axis { key: POINT.to_string(), values: names };
        axes.push(LabelledAxis { axis, shown: HashMap::new(), default: String::new() });
    }
    axes
}

fn all_keys(blocks: &[Vec<Factor>], named: &[Assignment]) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    let of_factors = blocks.iter().flatten().flat_map(|factor| factor.keys().map(str::to_string));
    let of_points = named.iter().flat_map(|point| point.settings.iter().map(|setting| setting.key.clone()));
    for key in of_factors.chain(of_points) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

/// Two values of an axis that mean the same would be one run under two names: a fault. Points of different blocks that
/// are the same are one.
fn unite(
    specs: &mut Vec<Point>,
    chosen: &[Assignment],
    block_of: &HashMap<usize, usize>,
    removed: &mut Vec<Removed>,
    faults: &mut Vec<Fault>,
) {
    if !faults.is_empty() {
        return;
    }
    let mut seen: HashMap<String, usize> = HashMap::new();
    let (mut kept, mut coincide) = (Vec::new(), 0);
    for (place, point) in specs.drain(..).enumerate() {
        let same = serde_json::to_string(&(&point.spec, &point.own)).unwrap_or_default();
        let earlier = seen.get(&same).copied();
        match earlier {
            _ if point.name.is_some() => kept.push(point),
            None => {
                seen.insert(same, place);
                kept.push(point);
            }
            Some(earlier) if block_of.get(&earlier) != block_of.get(&place) => coincide += 1,
            Some(earlier) => {
                let one = &chosen[place].settings;
                let differs = one.iter().find(|setting| {
                    let other = chosen[earlier].get(&setting.key).map(|node| node.value.label());
                    other.as_ref() != Some(&setting.node.value.label())
                });
                if let Some(setting) = differs.or(one.first()) {
                    let value = setting.node.value.label();
                    faults.push(Fault {
                        key: join(&setting.place, &setting.key),
                        line: setting.line,
                        message: format!("duplicate value `{value}`, or one that means the same as another"),
                        hint: None,
                    });
                }
            }
        }
    }
    if coincide > 0 {
        removed.push(Removed { by: "the same point of an earlier block".into(), points: coincide });
    }
    *specs = kept;
}

fn with_missing(file: &Node, blocks: &[Vec<Factor>], named: &[Assignment]) -> Node {
    let mut tree = file.clone();
    let of_factors = blocks.iter().flatten().filter_map(|factor| factor.alternatives.first()).flatten();
    for setting in of_factors.chain(named.iter().flat_map(|point| &point.settings)) {
        if !has(file, &setting.key) {
            // A path through something that is no table is reported at the grid's points.
            let _ = tree.set(&setting.key, setting.node.clone());
        }
    }
    tree
}

fn has(file: &Node, key: &str) -> bool {
    key.split('.').try_fold(file, |node, part| node.get(part)).is_some()
}

/// Whether `key` begins with a section that the grid may reach into; a fault at `shown` where not.
fn check_section(key: &str, shown: &str, line: usize, findings: &Findings) -> bool {
    let section = key.split('.').next().unwrap_or(key);
    if read::RUN_SECTIONS.contains(&section) {
        return true;
    }
    let reach = || format!("axes reach into {}", read::RUN_SECTIONS.join(", "));
    let (message, hint) = if read::HEADER_KEYS.contains(&section) {
        let hint = match section {
            "seeds" => "seeds are replicates: give them as `seeds = […]` at the top".to_string(),
            _ => reach(),
        };
        (format!("`{section}` cannot be an axis"), hint)
    } else {
        let hint = match nearest(section, read::RUN_SECTIONS) {
            Some(name) => format!("did you mean `{name}`?"),
            None => reach(),
        };
        ("unknown key".to_string(), hint)
    };
    findings.add(shown, line, message, Some(hint));
    false
}

/// The tables of the list at `key` of `node`; anything else there is a fault.
fn tables<'n>(node: &'n Node, key: &str, place: &str, findings: &Findings) -> Vec<&'n Node> {
    let shown = join(place, key);
    let fault = |line: usize, value: &Value| {
        let message = format!("expected a list of tables, found {}", value.describe());
        findings.add(&shown, line, message, Some(format!("write each as `[[{shown}]]`")));
    };
    match node.get(key).map(|node| (node.line, &node.value)) {
        None => Vec::new(),
        Some((_, Value::Array(items))) => {
            let is_table = |item: &&Node| {
                let table = matches!(item.value, Value::Table(_));
                if !table {
                    fault(item.line, &item.value);
                }
                table
            };
            items.iter().filter(is_table).collect()
        }
        Some((line, other)) => {
            fault(line, other);
            Vec::new()
        }
    }
}

fn join(place: &str, key: &str) -> String {
    if place.is_empty() { key.to_string() } else { format!("{place}.{key}") }
}

/// True where `key` is `axis` or lies within it.
fn reaches(axis: &str, key: &str) -> bool {
    key == axis || key.strip_prefix(axis).is_some_and(|rest| rest.starts_with(['.', '[']))
}

#[cfg(test)]
mod tests;
