//! Reading `[[arms]]`: a built-in name with what it needs, or the three answers one by one.
use super::super::names::{DIRECT_BUDGETS, SHAPES};
use super::super::read::RUN_SECTIONS;
use super::super::reader::Table;
use super::super::tree::{Node, Value};
use super::super::types::{DirectBudget, DirectShape};
use super::{ArmSpec, How, Pruning, Shape, Start, Tokens, Training, built_in, names::PRUNING_AWARE};
use crate::base::suggest::nearest;

/// An arm with what its `set` puts in the place of other values.
pub(in crate::spec) struct ArmRead {
    pub arm: ArmSpec,
    pub set: Vec<(String, Node)>,
}

/// Names of `arm = "…"`.
const BUILT_IN: [(&str, &str); 9] = [
    ("source", "source"),
    ("source_continued", "source_continued"),
    (PRUNING_AWARE, PRUNING_AWARE),
    ("one_shot", "one_shot"),
    ("one_shot_recover", "one_shot_recover"),
    ("iterative", "iterative"),
    ("direct", "direct"),
    ("distil", "distil"),
    ("at_widths_of", "at_widths_of"),
];

/// Sections that `set` may reach into; what is left is shared, so that arms stay comparable.
const SET_SECTIONS: [&str; 7] = ["model", "source", "train", "prune", "budget", "recovery", "distil"];

pub(in crate::spec) fn arms(root: &Table<'_>) -> Vec<ArmRead> {
    let mut arms: Vec<ArmRead> = Vec::new();
    for t in root.tables("arms") {
        let read = arm(&t);
        t.finish();
        if !root.findings().sound(&[t.path()]) {
            continue;
        }
        let Some(read) = read else { continue };
        if let Some(twin) = arms.iter().find(|other| other.arm.name == read.arm.name) {
            let message = format!("duplicate arm `{}`", read.arm.name);
            let hint = (twin.arm != read.arm).then(|| "give one of them another `name`".to_string());
            root.findings().add(t.path_of("arm"), t.line_of("arm"), message, hint);
        }
        arms.push(read);
    }
    if root.findings().sound(&["arms"]) {
        if arms.is_empty() {
            let hint = Some("add `[[arms]]` and `arm = …`".into());
            root.findings().add("arms", 0, "missing: there is nothing to run", hint);
        }
        references(root, &arms);
    }
    arms
}

/// One arm; `None` where it has faults.
fn arm(t: &Table<'_>) -> Option<ArmRead> {
    let name = t.text("name").optional();
    let set = set(t);
    let distils = t.flag("distil").or(false);
    let own_answers = ["from", "prune", "train"].iter().any(|key| t.has(key));
    let mut arm = if own_answers && !t.has("arm") {
        answers(t)
    } else {
        let kind = t.name("arm", &BUILT_IN).required();
        expanded(t, kind)
    };
    match &mut arm.train {
        Some(train) => train.distils |= distils,
        None if distils => {
            let message = "a loss needs training, and this arm does none";
            t.findings().add(t.path_of("distil"), t.line_of("distil"), message, None);
        }
        None => {}
    }
    if arm.is_source() && arm.distils() {
        let message = "the source cannot learn from itself";
        t.findings().add(t.path_of("distil"), t.line_of("distil"), message, None);
    }
    arm.set = set.iter().map(|(key, node)| (key.clone(), node.value.label())).collect();
    arm.name = match name {
        Some(name) => {
            let fits = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
            if !name.chars().all(fits) {
                let message = format!("`{name}` is part of file names: letters, digits, `_`, `-` and `.`");
                let nearest: String = name.chars().map(|c| if fits(c) { c } else { '_' }).collect();
                let hint = format!("nearest valid name: {nearest}; [labels] gives it any other in tables");
                t.findings().add(t.path_of("name"), t.line_of("name"), message, Some(hint));
            }
            name
        }
        None => arm.kind(),
    };
    t.findings().sound(&[t.path()]).then_some(ArmRead { arm, set })
}

/// A built-in arm with the keys that it needs.
fn expanded(t: &Table<'_>, kind: &str) -> ArmSpec {
    let of = |from, prune| {
        let train = Some(Training { tokens: Tokens::Recovery, distils: kind == "distil" });
        ArmSpec { name: String::new(), from, prune, train, set: Vec::new() }
    };
    match kind {
        "direct" | "distil" => {
            let shape = match t.name("shape", &SHAPES).required() {
                DirectShape::Searched => Shape::Of(t.text("of").optional().unwrap_or(PRUNING_AWARE.into())),
                DirectShape::Proportional => Shape::Proportional,
                DirectShape::Source => Shape::Source,
            };
            let mut arm = of(Start::Scratch(shape), None);
            let tokens = tokens(t, t.name("budget", &DIRECT_BUDGETS).required());
            arm.train = Some(Training { tokens, distils: kind == "distil" });
            arm
        }
        "iterative" => {
            let stages = t.whole("stages", 1..=1000).required();
            of(Start::Source, Some(Pruning { how: How::AtOnce { stages }, widths_of: None }))
        }
        "at_widths_of" => {
            let widths_of = Some(t.text("of").required());
            of(Start::Source, Some(Pruning { how: How::AtOnce { stages: 1 }, widths_of }))
        }
        plain => built_in(plain).unwrap_or_else(|| of(Start::Source, None)),
    }
}

/// The three answers, one by one.
fn answers(t: &Table<'_>) -> ArmSpec {
    #[derive(Clone, Copy, PartialEq)]
    enum Prune {
        No,
        WhileTraining,
        AtOnce,
        InStages,
    }
    const FROM: [(&str, bool); 2] = [("source", true), ("scratch", false)];
    const PRUNE: [(&str, Prune); 4] = [
        ("none", Prune::No),
        ("while_training", Prune::WhileTraining),
        ("at_once", Prune::AtOnce),
        ("in_stages", Prune::InStages),
    ];
    const TRAIN: [(&str, Option<DirectBudget>); 4] = [
        ("none", None),
        ("recovery_tokens", Some(DirectBudget::RecoveryTokens)),
        ("total_tokens", Some(DirectBudget::TotalTokens)),
        ("total_flops", Some(DirectBudget::TotalFlops)),
    ];
    let from = match t.name("from", &FROM).required() {
        true => Start::Source,
        false => Start::Scratch(match t.name("shape", &SHAPES).required() {
            DirectShape::Searched => Shape::Of(t.text("of").optional().unwrap_or(PRUNING_AWARE.into())),
            DirectShape::Proportional => Shape::Proportional,
            DirectShape::Source => Shape::Source,
        }),
    };
    let how = match t.name("prune", &PRUNE).or(Prune::No) {
        Prune::No => None,
        Prune::WhileTraining => Some(How::WhileTraining),
        Prune::AtOnce => Some(How::AtOnce { stages: 1 }),
        Prune::InStages => Some(How::AtOnce { stages: t.whole("stages", 1..=1000).required() }),
    };
    let prune = how.map(|how| Pruning { how, widths_of: t.text("widths_of").optional() });
    let budget = t.name("train", &TRAIN).or(None);
    let train = budget.map(|budget| Training { tokens: tokens(t, budget), distils: false });
    let fault = |key: &str, message: &str, hint: &str| {
        if t.findings().sound(&[t.path()]) {
            t.findings().add(t.path_of(key), t.line_of(key), message, Some(hint.into()));
        }
    };
    match (&from, &prune, &train) {
        (Start::Source, None, None) => {
            fault("from", "nothing is done: this is the source", "write `arm = \"source\"`")
        }
        (Start::Scratch(_), _, None) => {
            fault("from", "its weights would stay random", "add `train = \"recovery_tokens\"`")
        }
        (_, Some(Pruning { how: How::WhileTraining, .. }), None) => {
            fault(
                "prune",
                "there is no training to prune in",
                "add `train = \"recovery_tokens\"`, or `prune = \"at_once\"`",
            );
        }
        (_, Some(Pruning { how: How::AtOnce { stages: 2.. }, .. }), None) => {
            fault(
                "prune",
                "there is no training between its stages",
                "add `train = \"recovery_tokens\"`, or `prune = \"at_once\"`",
            );
        }
        _ => {}
    }
    ArmSpec { name: String::new(), from, prune, train, set: Vec::new() }
}

fn tokens(t: &Table<'_>, budget: DirectBudget) -> Tokens {
    let share = || t.number("source_share", |x| (0.0..=1.0).contains(&x), "0 to 1").or(1.0);
    match budget {
        DirectBudget::RecoveryTokens => Tokens::Recovery,
        DirectBudget::TotalTokens => Tokens::Total { source_share: share() },
        DirectBudget::TotalFlops => Tokens::TotalFlops { source_share: share() },
    }
}

/// `set`: key path → value; a table under a section's name holds keys of that section.
fn set(t: &Table<'_>) -> Vec<(String, Node)> {
    let Some(node) = t.node("set") else { return Vec::new() };
    let Value::Table(entries) = &node.value else {
        let message = format!("expected a table of keys, found {}", node.value.describe());
        let hint = Some("write `set = { \"prune.saliency\" = \"random\" }`".into());
        t.findings().add(t.path_of("set"), node.line, message, hint);
        return Vec::new();
    };
    let mut set = Vec::new();
    for entry in entries {
        match &entry.node.value {
            Value::Table(inner) if !entry.key.contains('.') => {
                set.extend(inner.iter().map(|inner| {
                    (format!("{}.{}", entry.key, inner.key), Node { line: inner.line, ..inner.node.clone() })
                }));
            }
            _ => set.push((entry.key.clone(), Node { line: entry.line, ..entry.node.clone() })),
        }
    }
    for (key, node) in &set {
        let section = key.split('.').next().unwrap_or(key);
        let at = format!("{}.{key}", t.path_of("set"));
        if SET_SECTIONS.contains(&section) && key.contains('.') {
            continue;
        }
        let hint = match nearest(section, SET_SECTIONS) {
            Some(name) if name != section => format!("did you mean `{name}`?"),
            _ => format!("an arm has keys of its own in {}", SET_SECTIONS.join(", ")),
        };
        let message = match RUN_SECTIONS.contains(&section) {
            true if key.contains('.') => {
                format!("`{section}` is the same for all arms, or they could not be compared")
            }
            true => "names a whole section".to_string(),
            false => "unknown key".to_string(),
        };
        t.findings().add(at, node.line, message, Some(hint));
    }
    set
}

/// Arms that others take widths from exist, and none takes them from itself.
fn references(root: &Table<'_>, arms: &[ArmRead]) {
    let tables = root.tables("arms");
    let find = |name: &str| {
        arms.iter().map(|read| &read.arm).find(|arm| arm.name == name).cloned().or_else(|| built_in(name))
    };
    for (read, t) in arms.iter().zip(&tables) {
        let Some(other) = read.arm.other() else { continue };
        let key = ["of", "widths_of", "shape", "budget", "train"]
            .into_iter()
            .find(|key| t.has(key))
            .unwrap_or("arm");
        let fault = |message: String, hint: Option<String>| {
            root.findings().add(t.path_of(key), t.line_of(key), message, hint);
        };
        let Some(found) = find(other) else {
            let names = arms.iter().map(|read| read.arm.name.as_str());
            let hint = match nearest(other, names.clone()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("arms: {}", names.collect::<Vec<_>>().join(", ")),
            };
            fault(format!("no arm is called `{other}`"), Some(hint));
            continue;
        };
        // Follow the chain; one longer than there are arms goes round.
        let mut next = Some(found);
        for _ in 0..=arms.len() {
            next = next.and_then(|arm| arm.other().map(str::to_string)).and_then(|name| find(&name));
        }
        if next.is_some() {
            fault(format!("`{}` takes its widths, through others, from itself", read.arm.name), None);
        }
    }
}
