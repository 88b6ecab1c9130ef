//! A TOML document as a tree whose every node knows its line, owned, so that an axis can put a value in the place of
//! another and the whole be checked again.
use super::error::Fault;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value and the line where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub line: usize,
    pub value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Entries in the order of the file.
    Table(Vec<Entry>),
    Array(Vec<Node>),
    String(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Datetime(String),
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub key: String,
    /// Line of the key.
    pub line: usize,
    pub node: Node,
}

/// Reads a document; syntax errors come back as faults, as many as the parser can tell apart.
pub(super) fn parse(text: &str) -> Result<Node, Vec<Fault>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let lines = Lines::of(text);
    let mut faults: Vec<Fault> = errors
        .iter()
        .map(|error| Fault {
            key: "syntax".into(),
            line: error.span().map_or(0, |span| lines.at(span.start)),
            message: error.message().to_string(),
            hint: None,
        })
        .collect();
    let root = Node { line: 0, value: table_value(table.get_ref(), &lines, "", &mut faults) };
    if faults.is_empty() { Ok(root) } else { Err(faults) }
}

/// `key.path=value` from a command line, as a key and a node that stands in no line (line 0). A value that is no TOML
/// is a string, so that paths and names need no quotes.
pub(super) fn assignment(text: &str) -> Result<(String, Node), Fault> {
    let fault = |message: String| Fault {
        key: text.to_string(),
        line: 0,
        message,
        hint: Some("write `--set key.path=value`, for example `--set eval.items=40`".into()),
    };
    let Some((key, value)) = text.split_once('=') else {
        return Err(fault("expected `key=value`".into()));
    };
    let (key, value) = (key.trim(), value.trim());
    if parts(key).iter().any(|part| part.is_empty()) {
        return Err(fault("the key is empty".into()));
    }
    let mut node = match parse(&format!("value = {value}")) {
        Ok(root) => root.get("value").cloned(),
        Err(_) => None,
    }
    .unwrap_or_else(|| Node { line: 0, value: Value::String(value.to_string()) });
    node.forget_lines();
    Ok((key.to_string(), node))
}

/// Parts of a dotted key; one in quotes may have dots of its own, as the name of an axis has.
fn parts(key: &str) -> Vec<&str> {
    let mut quote = None;
    let ends_part = |c: char| {
        match quote {
            None if c == '"' || c == '\'' => quote = Some(c),
            Some(open) if open == c => quote = None,
            _ => {}
        }
        quote.is_none() && c == '.'
    };
    key.split(ends_part).map(|part| bare(part.trim())).collect()
}

/// `part` without its quotes.
fn bare(part: &str) -> &str {
    let unquoted = |quote| part.strip_prefix(quote)?.strip_suffix(quote);
    unquoted('"').or(unquoted('\'')).unwrap_or(part)
}

impl Node {
    fn forget_lines(&mut self) {
        self.line = 0;
        match &mut self.value {
            Value::Table(entries) => entries.iter_mut().for_each(|entry| {
                entry.line = 0;
                entry.node.forget_lines();
            }),
            Value::Array(items) => items.iter_mut().for_each(Node::forget_lines),
            _ => {}
        }
    }

    /// Puts `node` at the dotted path `key`, making tables on the way; `None` where something on the way is no table.
    pub fn set(&mut self, key: &str, node: Node) -> Option<()> {
        let line = node.line;
        let mut place = self;
        for part in parts(key) {
            let Value::Table(entries) = &mut place.value else { return None };
            let index = entries.iter().position(|entry| entry.key == part).unwrap_or_else(|| {
                let empty = Node { line, value: Value::Table(Vec::new()) };
                entries.push(Entry { key: part.to_string(), line, node: empty });
                entries.len() - 1
            });
            place = &mut entries[index].node;
        }
        *place = node;
        Some(())
    }

    /// The node at the key `name` of this table.
    pub fn get(&self, name: &str) -> Option<&Node> {
        match &self.value {
            Value::Table(entries) => entries.iter().find(|entry| entry.key == name).map(|entry| &entry.node),
            _ => None,
        }
    }
}

impl Value {
    /// What kind of value this is, with an article, for messages.
    pub fn describe(&self) -> String {
        match self {
            Value::Table(_) => "a table".into(),
            Value::Array(_) => "a list".into(),
            Value::String(s) => format!("the string \"{s}\""),
            Value::Integer(i) => format!("the number {i}"),
            Value::Float(x) => format!("the number {x:?}"),
            Value::Boolean(b) => format!("`{b}`"),
            Value::Datetime(d) => format!("the date {d}"),
        }
    }

    /// The value as the file could have it.
    pub fn to_toml(&self) -> String {
        match self {
            Value::String(text) => toml::Value::String(text.clone()).to_string(),
            other => other.label(),
        }
    }

    /// How the value is shown in tables and CSV cells: strings bare, lists joined by `+`, tables as `key=value`
    /// joined by commas.
    pub fn label(&self) -> String {
        match self {
            Value::Table(entries) => {
                let parts: Vec<String> = entries
                    .iter()
                    .map(|entry| format!("{}={}", entry.key, entry.node.value.label()))
                    .collect();
                parts.join(",")
            }
            Value::Array(items) => items.iter().map(|item| item.value.label()).collect::<Vec<_>>().join("+"),
            Value::String(s) | Value::Datetime(s) => s.clone(),
            Value::Integer(i) => i.to_string(),
            Value::Float(x) => format!("{x:?}"),
            Value::Boolean(b) => b.to_string(),
        }
    }
}

fn table_value(table: &DeTable<'_>, lines: &Lines, path: &str, faults: &mut Vec<Fault>) -> Value {
    let mut entries: Vec<(usize, Entry)> = table
        .iter()
        .map(|(key, value)| {
            let name = key.get_ref().to_string();
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let node = node(value, lines, &path, faults);
            (key.span().start, Entry { key: name, line: lines.at(key.span().start), node })
        })
        .collect();
    entries.sort_by_key(|(start, _)| *start);
    Value::Table(entries.into_iter().map(|(_, entry)| entry).collect())
}

fn node(value: &Spanned<DeValue<'_>>, lines: &Lines, path: &str, faults: &mut Vec<Fault>) -> Node {
    let line = lines.at(value.span().start);
    // What the largest valid one is, the reader of the key knows; no key takes numbers of this size.
    let mut beyond = |text: &str| {
        let message = format!("{text} is too large a number");
        faults.push(Fault { key: path.to_string(), line, message, hint: None });
    };
    let value = match value.get_ref() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => {
                beyond(number.as_str());
                Value::Integer(0)
            }
        },
        // A number that the parser took for a float but that is none would be the parser's fault; NaN is then refused
        // by every reader of numbers.
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(flag) => Value::Boolean(*flag),
        DeValue::Datetime(date) => Value::Datetime(date.to_string()),
        DeValue::Array(items) => Value::Array(
            items
                .iter()
                .enumerate()
                .map(|(i, item)| node(item, lines, &format!("{path}[{i}]"), faults))
                .collect(),
        ),
        DeValue::Table(table) => table_value(table, lines, path, faults),
    };
    Node { line, value }
}

/// Byte offsets at which lines begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Lines(std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect())
    }

    fn at(&self, offset: usize) -> usize {
        self.0.partition_point(|start| *start <= offset)
    }
}
