//! Reading one table of the tree: every getter notes the key that it asked for and every fault it finds, and always
//! returns a value to go on with, so that one reading finds all faults.
use super::error::Fault;
use super::tree::{Entry, Node, Value};
use crate::base::suggest::nearest;
use std::cell::RefCell;
use std::collections::HashSet;
use std::ops::RangeInclusive;

/// Unknown keys of one table that are told one by one.
const MAX_UNKNOWN: usize = 20;

/// The faults found so far, and the key paths that exist.
#[derive(Default)]
pub(super) struct Findings {
    faults: RefCell<Vec<Fault>>,
    known: RefCell<Vec<String>>,
    /// Everything asked for, where that is to be recorded.
    asked: Option<RefCell<Vec<Asked>>>,
}

/// What a key takes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    Whole {
        low: u64,
        high: u64,
    },
    /// A number, and in words which.
    Number(String),
    Flag,
    Text,
    /// One of some names.
    Name(Vec<String>),
    List(Box<Shape>),
    Table,
    Tables,
    /// Read by something that knows its own shape.
    Any,
}

/// A key that a reader asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    pub path: String,
    pub shape: Shape,
    pub required: bool,
}

impl Findings {
    /// Findings that keep what was asked for.
    pub fn recording() -> Findings {
        Findings { asked: Some(RefCell::default()), ..Findings::default() }
    }

    /// Every key that was asked for, in order, each as often as it was.
    pub fn asked(self) -> Vec<Asked> {
        self.asked.map(RefCell::into_inner).unwrap_or_default()
    }

    fn note(&self, path: &dyn Fn() -> String, shape: impl FnOnce() -> Shape, required: bool) {
        if let Some(asked) = &self.asked {
            asked.borrow_mut().push(Asked { path: path(), shape: shape(), required });
        }
    }

    fn note_required(&self, path: &dyn Fn() -> String) {
        if let Some(asked) = &self.asked {
            let path = path();
            asked
                .borrow_mut()
                .iter_mut()
                .rev()
                .filter(|asked| asked.path == path)
                .take(1)
                .for_each(|a| a.required = true);
        }
    }

    pub fn add(&self, key: impl Into<String>, line: usize, message: impl Into<String>, hint: Option<String>) {
        self.faults.borrow_mut().push(Fault { key: key.into(), line, message: message.into(), hint });
    }

    /// True when none of `keys`, nor a table around one, nor anything within one, has a fault: only then is a rule
    /// that relates them worth checking.
    pub fn sound(&self, keys: &[&str]) -> bool {
        let faults = self.faults.borrow();
        let within = |inner: &str, outer: &str| {
            inner == outer || inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with(['.', '[']))
        };
        keys.iter().all(|key| faults.iter().all(|f| !within(&f.key, key) && !within(key, &f.key)))
    }

    pub fn into_faults(self) -> Vec<Fault> {
        self.faults.into_inner()
    }

    /// Every key path that a reader asked for, whether the file has it or not.
    pub fn known(&self) -> Vec<String> {
        self.known.borrow().clone()
    }
}

impl Shape {
    fn whole(range: &RangeInclusive<u64>) -> Shape {
        Shape::Whole { low: *range.start(), high: *range.end() }
    }

    fn name<T>(names: &[(&str, T)]) -> Shape {
        Shape::Name(names.iter().map(|(name, _)| name.to_string()).collect())
    }
}

/// One table being read.
pub(super) struct Table<'a> {
    path: String,
    line: usize,
    entries: &'a [Entry],
    asked: RefCell<Vec<&'static str>>,
    findings: &'a Findings,
    /// A required section that is absent has been reported as such: its keys are not reported one by one.
    silent: bool,
}

/// What a getter found under a key; `T` is a value to go on with even where it is faulty.
pub(super) struct Got<'t, 'a, T> {
    table: &'t Table<'a>,
    key: &'static str,
    /// `None`: the key is absent.
    value: Option<T>,
    fallback: T,
}

impl<T> Got<'_, '_, T> {
    /// The value; its absence is a fault.
    pub fn required(self) -> T {
        self.table.findings.note_required(&|| self.table.path_of(self.key));
        if self.value.is_none() && !self.table.silent {
            self.table.findings.add(self.table.path_of(self.key), self.table.line, "missing", None);
        }
        self.value.unwrap_or(self.fallback)
    }

    pub fn or(self, default: T) -> T {
        self.value.unwrap_or(default)
    }

    pub fn optional(self) -> Option<T> {
        self.value
    }
}

impl<'a> Table<'a> {
    pub fn root(node: &'a Node, findings: &'a Findings) -> Self {
        Table::of(String::new(), node, findings)
    }

    fn of(path: String, node: &'a Node, findings: &'a Findings) -> Self {
        let entries: &[Entry] = match &node.value {
            Value::Table(entries) => entries,
            other => {
                findings.add(&path, node.line, format!("expected a table, found {}", other.describe()), None);
                return Table::absent(path, node.line, findings);
            }
        };
        let asked = RefCell::default();
        Table { path, line: node.line, entries, asked, findings, silent: false }
    }

    fn absent(path: String, line: usize, findings: &'a Findings) -> Self {
        Table { path, line, entries: &[], asked: RefCell::default(), findings, silent: true }
    }

    pub fn findings(&self) -> &'a Findings {
        self.findings
    }

    /// Where this table stands.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether the file has the key.
    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_string() } else { format!("{}.{key}", self.path) }
    }

    /// Line of the key's value, or of the table where the key is absent.
    pub fn line_of(&self, key: &str) -> usize {
        self.entries.iter().find(|entry| entry.key == key).map_or(self.line, |entry| entry.node.line)
    }

    /// Line of the deepest node on the way to the dotted path `key`.
    pub fn line_of_path(&self, key: &str) -> usize {
        let mut line = self.line;
        let mut entries = self.entries;
        for part in key.split('.') {
            let Some(entry) = entries.iter().find(|entry| entry.key == part) else { break };
            line = entry.node.line;
            entries = match &entry.node.value {
                Value::Table(entries) => entries,
                _ => &[],
            };
        }
        line
    }

    /// Notes `keys` as known: something else reads them.
    pub fn ask(&self, keys: &[&'static str]) {
        self.asked.borrow_mut().extend(keys);
    }

    fn note(&self, key: &str, shape: impl FnOnce() -> Shape, required: bool) {
        self.findings.note(&|| self.path_of(key), shape, required);
    }

    /// The node at `key`, noted as known.
    pub fn node(&self, key: &'static str) -> Option<&'a Node> {
        self.note(key, || Shape::Any, false);
        if !self.asked.borrow().contains(&key) {
            self.asked.borrow_mut().push(key);
            self.findings.known.borrow_mut().push(self.path_of(key));
        }
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// The table at `key`; a missing one is a fault where it is required, and reads as empty.
    pub fn table(&self, key: &'static str, required: bool) -> Table<'a> {
        let path = self.path_of(key);
        self.note(key, || Shape::Table, required);
        match self.node(key) {
            Some(node) => Table::of(path, node, self.findings),
            None => {
                if required && !self.silent {
                    self.findings.add(&path, self.line, "missing", None);
                }
                Table::absent(path, self.line, self.findings)
            }
        }
    }

    /// The tables of the list at `key` (`[[arms]]`).
    pub fn tables(&self, key: &'static str) -> Vec<Table<'a>> {
        let path = self.path_of(key);
        self.note(key, || Shape::Tables, false);
        match self.node(key).map(|node| (node.line, &node.value)) {
            None => Vec::new(),
            Some((_, Value::Array(items))) => items
                .iter()
                .enumerate()
                .map(|(i, item)| Table::of(format!("{path}[{i}]"), item, self.findings))
                .collect(),
            Some((line, other)) => {
                let message = format!("expected a list of tables, found {}", other.describe());
                self.findings.add(&path, line, message, Some(format!("write each as `[[{key}]]`")));
                Vec::new()
            }
        }
    }

    /// A whole number within `range`.
    pub fn whole(&self, key: &'static str, range: RangeInclusive<u64>) -> Got<'_, 'a, u64> {
        let fallback = *range.start();
        self.note(key, || Shape::whole(&range), false);
        let value = self.node(key).map(|node| whole(self.findings, &self.path_of(key), node, &range));
        Got { table: self, key, value, fallback }
    }

    /// As [`Table::whole`], a count of things in memory.
    pub fn count(&self, key: &'static str, range: RangeInclusive<u64>) -> Got<'_, 'a, usize> {
        let got = self.whole(key, range);
        let value = got.value.map(|value| value as usize);
        Got { table: self, key, value, fallback: got.fallback as usize }
    }

    /// A finite number that `rule` accepts; `words` tell the rule.
    pub fn number(&self, key: &'static str, rule: fn(f64) -> bool, words: &str) -> Got<'_, 'a, f64> {
        self.note(key, || Shape::Number(words.to_string()), false);
        let value = self.node(key).map(|node| number(self.findings, &self.path_of(key), node, rule, words));
        Got { table: self, key, value, fallback: 1.0 }
    }

    pub fn flag(&self, key: &'static str) -> Got<'_, 'a, bool> {
        self.note(key, || Shape::Flag, false);
        let value = self.node(key).map(|node| match node.value {
            Value::Boolean(flag) => flag,
            ref other => {
                let message = format!("expected `true` or `false`, found {}", other.describe());
                self.findings.add(self.path_of(key), node.line, message, None);
                false
            }
        });
        Got { table: self, key, value, fallback: false }
    }

    pub fn text(&self, key: &'static str) -> Got<'_, 'a, String> {
        self.note(key, || Shape::Text, false);
        let value = self.node(key).map(|node| text(self.findings, &self.path_of(key), node));
        Got { table: self, key, value, fallback: String::new() }
    }

    pub fn texts(&self, key: &'static str) -> Got<'_, 'a, Vec<String>> {
        self.note(key, || Shape::List(Box::new(Shape::Text)), false);
        let value = self
            .items(key)
            .map(|items| items.into_iter().map(|(path, node)| text(self.findings, &path, node)).collect());
        Got { table: self, key, value, fallback: Vec::new() }
    }

    /// One of the `names`, as the value that stands beside it.
    pub fn name<T: Copy>(&self, key: &'static str, names: &[(&str, T)]) -> Got<'_, 'a, T> {
        self.note(key, || Shape::name(names), false);
        let value = self.node(key).map(|node| name(self.findings, &self.path_of(key), node, names));
        Got { table: self, key, value, fallback: names[0].1 }
    }

    /// A list of distinct `names`, at least one.
    pub fn names<T: Copy>(&self, key: &'static str, names: &[(&str, T)]) -> Got<'_, 'a, Vec<T>> {
        self.note(key, || Shape::List(Box::new(Shape::name(names))), false);
        let value = self.items(key).map(|items| {
            self.distinct(key, &items);
            items.into_iter().map(|(path, node)| name(self.findings, &path, node, names)).collect()
        });
        Got { table: self, key, value, fallback: Vec::new() }
    }

    /// A list of distinct whole numbers, at least one.
    pub fn wholes(&self, key: &'static str, range: RangeInclusive<u64>) -> Got<'_, 'a, Vec<u64>> {
        self.note(key, || Shape::List(Box::new(Shape::whole(&range))), false);
        let value = self.items(key).map(|items| {
            self.distinct(key, &items);
            items.into_iter().map(|(path, node)| whole(self.findings, &path, node, &range)).collect()
        });
        Got { table: self, key, value, fallback: Vec::new() }
    }

    /// A list of finite numbers that `rule` accepts, at least one.
    pub fn numbers(&self, key: &'static str, rule: fn(f64) -> bool, words: &str) -> Got<'_, 'a, Vec<f64>> {
        self.note(key, || Shape::List(Box::new(Shape::Number(words.to_string()))), false);
        let value = self.items(key).map(|items| {
            items.into_iter().map(|(path, node)| number(self.findings, &path, node, rule, words)).collect()
        });
        Got { table: self, key, value, fallback: Vec::new() }
    }

    fn items(&self, key: &'static str) -> Option<Vec<(String, &'a Node)>> {
        let path = self.path_of(key);
        let node = self.node(key)?;
        match &node.value {
            Value::Array(items) if items.is_empty() => {
                self.findings.add(path, node.line, "the list is empty: at least one is needed", None);
                Some(Vec::new())
            }
            Value::Array(items) => {
                Some(items.iter().enumerate().map(|(i, item)| (format!("{path}[{i}]"), item)).collect())
            }
            other => {
                self.findings.add(
                    path,
                    node.line,
                    format!("expected a list, found {}", other.describe()),
                    Some(format!("write `{key} = [{}]`", other.to_toml())),
                );
                Some(Vec::new())
            }
        }
    }

    fn distinct(&self, key: &'static str, items: &[(String, &Node)]) {
        let mut seen = HashSet::new();
        for (_, node) in items {
            let label = node.value.label();
            if !seen.insert(label.clone()) {
                self.findings.add(self.path_of(key), node.line, format!("duplicate value `{label}`"), None);
            }
        }
    }

    /// Reports every key that no getter asked for.
    pub fn finish(&self) {
        let asked = self.asked.borrow();
        let known: HashSet<&str> = asked.iter().copied().collect();
        let unknown: Vec<&Entry> =
            self.entries.iter().filter(|entry| !known.contains(entry.key.as_str())).collect();
        if let Some(entry) = unknown.get(MAX_UNKNOWN) {
            let message = format!("{} more unknown keys from here on", unknown.len() - MAX_UNKNOWN);
            self.findings.add(self.path_of(&entry.key), entry.line, message, None);
        }
        for entry in unknown.into_iter().take(MAX_UNKNOWN) {
            let hint = match nearest(&entry.key, asked.iter().copied()) {
                Some(name) => format!("did you mean `{name}`?"),
                None if self.path.is_empty() => format!("keys of the file: {}", asked.join(", ")),
                None => format!("keys of {}: {}", self.path, asked.join(", ")),
            };
            self.findings.add(self.path_of(&entry.key), entry.line, "unknown key", Some(hint));
        }
    }
}

fn whole(findings: &Findings, path: &str, node: &Node, range: &RangeInclusive<u64>) -> u64 {
    let Value::Integer(number) = node.value else {
        let mut message = format!("expected a whole number, found {}", node.value.describe());
        let mut hint = None;
        if let Value::Float(x) = node.value
            && x.is_finite()
        {
            message = format!("expected a whole number, found {x:?}");
            hint = Some(format!(
                "nearest whole number: {}",
                (x.round() as u64).clamp(*range.start(), *range.end())
            ));
        }
        findings.add(path, node.line, message, hint);
        return *range.start();
    };
    match u64::try_from(number) {
        Ok(number) if range.contains(&number) => number,
        _ => {
            let end = *range.end();
            let nearest = if number < *range.start() as i64 { *range.start() } else { end };
            let words = if end >= i64::MAX as u64 {
                format!("{} or more", range.start())
            } else {
                format!("{} to {end}", range.start())
            };
            let message = format!("{number} is out of range: {words}");
            findings.add(path, node.line, message, Some(format!("nearest valid {}: {nearest}", last(path))));
            nearest
        }
    }
}

fn number(findings: &Findings, path: &str, node: &Node, rule: fn(f64) -> bool, words: &str) -> f64 {
    let number = match node.value {
        Value::Float(number) => number,
        Value::Integer(number) => number as f64,
        ref other => {
            findings.add(path, node.line, format!("expected a number, found {}", other.describe()), None);
            return 1.0;
        }
    };
    if !(number.is_finite() && rule(number)) {
        findings.add(path, node.line, format!("{number:?} is out of range: {words}"), None);
    }
    number
}

fn text(findings: &Findings, path: &str, node: &Node) -> String {
    match &node.value {
        Value::String(text) if text.trim().is_empty() => {
            findings.add(path, node.line, "the string is empty", None);
            String::new()
        }
        Value::String(text) => text.clone(),
        other => {
            findings.add(path, node.line, format!("expected a string, found {}", other.describe()), None);
            String::new()
        }
    }
}

fn name<T: Copy>(findings: &Findings, path: &str, node: &Node, names: &[(&str, T)]) -> T {
    let all = || names.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let Value::String(text) = &node.value else {
        let message = format!("expected a name in quotes, found {}", node.value.describe());
        findings.add(path, node.line, message, Some(format!("{} is one of {}", last(path), all())));
        return names[0].1;
    };
    match names.iter().find(|(name, _)| name == text) {
        Some((_, value)) => *value,
        None => {
            let hint = match nearest(text, names.iter().map(|(name, _)| *name)) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("{} is one of {}", last(path), all()),
            };
            findings.add(path, node.line, format!("unknown value `{text}`"), Some(hint));
            names[0].1
        }
    }
}

/// The last key of a path, without a list index.
fn last(path: &str) -> &str {
    let key = path.rsplit('.').next().unwrap_or(path);
    key.split('[').next().unwrap_or(key)
}
