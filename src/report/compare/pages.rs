//! A comparison as blocks. Texts claim no more than the numbers allow.
use super::{Comparison, Difference, Flip, TypeOverlap};
use crate::report::document::{Block, Document, Table};
use crate::report::format::{difference, fixed, p_value, signed_fixed, value};
use crate::report::metric::Metric;
use crate::stats::Interval;
use crate::stats::descriptive::mean;
use std::collections::BTreeSet;

pub fn document(c: &Comparison, flips: usize) -> Document {
    let [a, b] = &c.sides.names;
    let mut blocks =
        vec![Block::List(vec![format!("a: `{a}`"), format!("b: `{b}`")]), Block::Text(paired(c))];
    blocks.extend(configuration(c));
    blocks.extend(scores(c));
    blocks.extend(flipped(c, flips));
    blocks.extend(bits_per_byte(c));
    blocks.extend(widths(c));
    blocks.extend(overlap(c));
    Document { title: format!("{b} against {a}"), blocks }
}

fn heading(text: &str) -> Block {
    Block::Heading(text.into())
}

fn header(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

/// How the numbers come about, and what they cannot say.
fn paired(c: &Comparison) -> String {
    let seeds: Vec<String> = c.seeds.iter().map(|[seed, _]| seed.to_string()).collect();
    match (c.sides.arms, c.sides.pairs.len()) {
        (false, _) => {
            "Differences are b − a. This is one pair of runs: intervals and p-values are over items \
                       and take the models as given; what another seed would give they do not tell."
                .into()
        }
        (true, 1) => format!(
            "Differences are b − a. Only seed {} finished both arms: intervals and p-values are over items, and \
             no seed interval exists.",
            seeds[0]
        ),
        (true, n) => format!(
            "Differences are b − a, paired by item and by seed; {n} seeds finished both arms: {}. Intervals hold \
             for new seeds and new items.",
            seeds.join(", ")
        ),
    }
}

fn configuration(c: &Comparison) -> Vec<Block> {
    let (equal, different): (Vec<_>, Vec<_>) = c.columns.iter().partition(|column| column.equal);
    let mut blocks = vec![heading("Configuration and cost")];
    let row = |column: &&super::Column| {
        let [a, b] = column.values.clone();
        vec![column.name.clone(), a, b, fixed(column.ratio, 3)]
    };
    let rows: Vec<Vec<String>> = different.iter().map(row).collect();
    let means = if c.sides.pairs.len() > 1 { ", means over seeds" } else { "" };
    if rows.is_empty() {
        blocks.push(Block::Text("No column of `runs.csv` differs.".into()));
    } else {
        let caption = format!("Columns of `runs.csv` that differ{means}.");
        let header = header(&["column", "a", "b", "b / a"]);
        blocks.push(Block::Table(Table::new("configuration", &caption, 1, header, rows)));
    }
    let known: Vec<String> = equal
        .iter()
        .filter(|column| !column.values[0].is_empty())
        .map(|column| format!("{} = {}", column.name, column.values[0]))
        .collect();
    if !known.is_empty() {
        blocks.push(Block::Text(format!("Equal: {}.", known.join(", "))));
    }
    blocks
}

/// `low to high` as `show` shows them.
fn range(interval: Option<Interval>, show: impl Fn(f64) -> String) -> String {
    interval.map_or(String::new(), |i| format!("{} to {}", show(i.low), show(i.high)))
}

fn scores(c: &Comparison) -> Vec<Block> {
    let mut blocks = vec![heading("Scores")];
    if c.tasks.is_empty() {
        blocks.push(Block::Text("No task was scored on the same items on both sides.".into()));
        return blocks;
    }
    let cells = |metric: Metric, [a, b]: [f64; 2], d: &Difference, holm: Option<f64>| {
        let show = |x: f64| difference(metric, x);
        let numbers = [value(metric, a), value(metric, b), show(d.mean), range(d.interval, show)];
        numbers.into_iter().chain([p_value(d.p), p_value(holm)]).collect::<Vec<String>>()
    };
    let named = |names: [String; 3], numbers: Vec<String>| names.into_iter().chain(numbers).collect();
    let mut rows: Vec<Vec<String>> = c
        .tasks
        .iter()
        .map(|t| {
            let names = [t.task.clone(), t.metric.name().into(), t.items.to_string()];
            named(names, cells(t.metric, t.scores, &t.difference, t.p_holm))
        })
        .collect();
    rows.extend(c.means.iter().map(|mean| {
        let first = c.tasks.first().map_or(Metric::Acc, |task| task.metric);
        // acc here and acc_norm there: the rows above tell it task by task.
        let metric = mean.metric.map_or("as above", Metric::name);
        let names = [format!("mean of {} tasks", mean.tasks), metric.into(), mean.items.to_string()];
        named(names, cells(mean.metric.unwrap_or(first), mean.scores, &mean.difference, None))
    }));
    let binary = c.tasks.iter().all(|t| t.metric.is_binary());
    let test = if c.sides.pairs.len() == 1 && binary {
        "p of a task is McNemar's exact test"
    } else {
        "p is that of the interval"
    };
    let unit = c.tasks.first().map_or("points", |t| t.metric.unit());
    let (unit, of) = match unit {
        "points" => (" (%)".to_string(), " in points"),
        unit => (format!(" ({unit})"), ""),
    };
    let caption = format!(
        "Scores{unit}, their difference{of} with its 95 % interval; {test}; Holm's correction is over the \
         tasks. A blank was not measured, or the differences do not vary."
    );
    let header = header(&["task", "metric", "items", "a", "b", "b − a", "interval", "p", "p (Holm)"]);
    blocks.push(Block::Table(Table::new("scores", &caption, 2, header, rows)));
    let [a, b] = &c.context_lengths;
    if a != b {
        let lengths = |side: &BTreeSet<u64>| {
            if side.is_empty() {
                return "an unknown number of".into();
            }
            side.iter().map(u64::to_string).collect::<Vec<_>>().join(" or ")
        };
        blocks.push(Block::Text(format!(
            "Scored at different context lengths: a saw at most {} tokens at once, b {}. Part of a difference may come from that.",
            lengths(a),
            lengths(b)
        )));
    }
    blocks
}

fn flipped(c: &Comparison, flips: usize) -> Vec<Block> {
    // Only what is right or wrong can flip.
    if c.tasks.is_empty() || c.tasks.iter().any(|t| !t.metric.is_binary()) {
        return vec![];
    }
    let counts = |t: &super::TaskScore| {
        let counts = [t.both_right, t.lost.len(), t.gained.len(), t.both_wrong];
        std::iter::once(t.task.clone()).chain(counts.map(|n| n.to_string())).collect()
    };
    let of = if c.sides.pairs.len() > 1 { "Answers to items, those of all seeds together" } else { "Items" };
    let caption = format!("{of}, by whether a and b have them right.");
    let header = header(&["task", "both right", "right → wrong", "wrong → right", "both wrong"]);
    let table = Table::new("flips", &caption, 1, header, c.tasks.iter().map(counts).collect());
    let mut blocks = vec![heading("Flipped items"), Block::Table(table)];
    let mut lists = Vec::new();
    for t in c.tasks.iter().filter(|_| flips > 0) {
        for (way, items) in [("right → wrong", &t.lost), ("wrong → right", &t.gained)] {
            if items.is_empty() {
                continue;
            }
            let name = |flip: &Flip| match c.sides.pairs.len() {
                1 => flip.item.clone(),
                _ => format!("{} (seed {})", flip.item, flip.seed),
            };
            let named: Vec<String> = items.iter().take(flips).map(name).collect();
            let more = match items.len().saturating_sub(flips) {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            lists.push(format!("{}, {way}: {}{more}", t.task, named.join(", ")));
        }
    }
    if !lists.is_empty() {
        blocks.push(Block::List(lists));
    }
    blocks
}

fn bits_per_byte(c: &Comparison) -> Vec<Block> {
    let Some(([a, b], d)) = &c.bits_per_byte else { return vec![] };
    let show = |x: f64| signed_fixed(x, 4);
    let mut row = vec![fixed(Some(*a), 4), fixed(Some(*b), 4), show(d.mean), range(d.interval, show)];
    row.push(p_value(d.p));
    let caption = match d.interval {
        Some(_) => "Held-out text, lower is better; interval and p are Student's paired t over seeds.",
        None => "Held-out text, lower is better; one pair of models gives no interval over seeds.",
    };
    let header = header(&["a", "b", "b − a", "interval", "p"]);
    vec![heading("Bits per byte"), Block::Table(Table::new("bits_per_byte", caption, 0, header, vec![row]))]
}

/// A whole number as it is, a mean with one digit.
fn width(value: Option<f64>) -> String {
    fixed(value, if value.is_some_and(|v| v.fract() != 0.0) { 1 } else { 0 })
}

fn widths(c: &Comparison) -> Vec<Block> {
    if c.widths.is_empty() {
        return vec![];
    }
    let row = |l: &super::LayerShape| {
        let pairs = [l.hidden_size, l.num_heads, l.num_kv_heads, l.intermediate_size];
        std::iter::once(l.layer.to_string()).chain(pairs.into_iter().flatten().map(width)).collect()
    };
    let names =
        ["layer", "stem a", "stem b", "heads a", "heads b", "kv heads a", "kv heads b", "ffn a", "ffn b"];
    let means = if c.sides.pairs.len() > 1 { ", means over seeds" } else { "" };
    let caption = format!("Widths of the final models{means}.");
    let table = Table::new("widths", &caption, 1, header(&names), c.widths.iter().map(row).collect());
    vec![heading("Widths"), Block::Table(table)]
}

fn overlap(c: &Comparison) -> Vec<Block> {
    let (mut rows, mut notes) = (vec![], vec![]);
    for of_type in &c.overlap {
        match of_type {
            TypeOverlap::OneSide { group_type, side } => {
                notes.push(format!("Only {} removed {group_type} groups.", ["a", "b"][*side]));
            }
            TypeOverlap::Both { group_type, layers } => {
                let cells = |layer: &str, [total, a, b]: [Option<f64>; 3], found: f64, chance: f64| {
                    let sizes = [width(total), width(a), width(b)];
                    let agreement = [fixed(Some(found), 3), fixed(Some(chance), 3)];
                    [group_type.to_string(), layer.to_string()]
                        .into_iter()
                        .chain(sizes)
                        .chain(agreement)
                        .collect::<Vec<_>>()
                };
                for l in layers {
                    let name = if group_type == "stem" { "" } else { l.layer.as_str() };
                    let sizes = [Some(l.total), Some(l.kept[0]), Some(l.kept[1])];
                    rows.push(cells(name, sizes, l.jaccard, l.chance));
                }
                let [found, chance] = [
                    mean(&layers.iter().map(|l| l.jaccard).collect::<Vec<_>>()),
                    mean(&layers.iter().map(|l| l.chance).collect::<Vec<_>>()),
                ];
                if let (true, Ok(found), Ok(chance)) = (layers.len() > 1, found, chance) {
                    rows.push(cells("mean", [None; 3], found, chance));
                }
            }
        }
    }
    if rows.is_empty() && notes.is_empty() {
        return vec![];
    }
    let mut blocks = vec![heading("Kept groups")];
    if !rows.is_empty() {
        let caption = "Overlap of the groups of the source that a and b kept (Jaccard index) and what chance gives for \
                       sets of these sizes, in the layers that either pruned. Groups are numbered as in the source: \
                       where a and b have sources of their own, chance is what to expect.";
        let header = header(&["type", "layer", "groups", "kept by a", "kept by b", "Jaccard", "chance"]);
        blocks.push(Block::Table(Table::new("kept", caption, 1, header, rows)));
    }
    if !notes.is_empty() {
        blocks.push(Block::Text(notes.join(" ")));
    }
    blocks
}
