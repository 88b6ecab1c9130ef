//! A JSON Schema of the experiment file, made from what its readers ask for: keys, types, ranges and names are those that a
//! file is checked by, and descriptions and defaults those of `experiments/reference.toml`.
//!
//! The readers run over a few files that lead into every branch (kinds of corpora, tokenizers, arms) and note each key that
//! they ask for. A key is required where it is in every branch that asks for its table.
use super::places::{NoSource, Places};
use super::reader::{Asked, Findings, Shape, Table};
use super::{read, tree};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const REFERENCE: &str = include_str!("../../experiments/reference.toml");

/// Files that together lead into every branch of the readers; what is missing in them is of no account here.
const BRANCHES: [&str; 5] = [
    "[data.corpus]\nkind = \"text\"\n[data.tokenizer]\nkind = \"file\"\n[prune.target]\nparams = 1\n[prune.schedule]\nkind = \"interval\"\n",
    "[data.corpus]\nkind = \"jsonl\"\n[data.tokenizer]\nkind = \"model\"\n[source]\nmodel = \"hf:a/b\"\n[prune.fixed_shape]\nhidden_size = 8\n[latency]\n",
    "[data.corpus]\nkind = \"mixture\"\n[[data.corpus.sources]]\nkind = \"text\"\n[[data.corpus.sources]]\nkind = \"jsonl\"\n[[data.corpus.sources]]\nkind = \"parquet\"\n\
     [[arms]]\narm = \"direct\"\nshape = \"searched\"\nbudget = \"total_tokens\"\n[[arms]]\narm = \"iterative\"\n[[arms]]\narm = \"distil\"\n\
     [[arms]]\nfrom = \"scratch\"\nprune = \"none\"\ntrain = \"total_tokens\"\n[[arms]]\nfrom = \"source\"\nprune = \"in_stages\"\ntrain = \"none\"\n",
    "[data.corpus]\nkind = \"synthetic\"\n",
    "[data.corpus]\nkind = \"world\"\n[data.tokenizer]\nkind = \"bpe\"\n",
];

/// The schema.
pub fn json_schema() -> Value {
    let mut keys: BTreeMap<String, Key> = BTreeMap::new();
    let parquet = "[data.corpus]\nkind = \"parquet\"\n";
    for (file, text) in BRANCHES.iter().chain(&[parquet, REFERENCE]).enumerate() {
        for asked in asked(text) {
            let (parent, _) = split(&asked.path);
            let instance = format!("{file}:{parent}");
            let key = keys.entry(without_places(&asked.path)).or_default();
            if asked.required {
                key.required_in.insert(instance.clone());
            }
            // What is asked for in two ways is whatever the more telling one says.
            if key.shape.is_none() || matches!(key.shape, Some(Shape::Any)) {
                key.shape = Some(asked.shape);
            }
            let parent = without_places(parent);
            keys.entry(parent).or_default().instances.insert(instance);
        }
    }
    let documented = documented();
    let mut root = object("", &keys, &documented);
    if let Some(properties) = root["properties"].as_object_mut() {
        for (key, shape) in free() {
            properties.insert(key.to_string(), shape);
        }
    }
    root["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    root["title"] = json!("An experiment of efficientllm");
    root
}

#[derive(Default)]
struct Key {
    shape: Option<Shape>,
    /// Of a table: the places where it was read.
    instances: BTreeSet<String>,
    /// Places of its table in which the key was required.
    required_in: BTreeSet<String>,
}

/// Everything that the readers ask `text` for.
fn asked(text: &str) -> Vec<Asked> {
    let Ok(tree) = tree::parse(text) else { return Vec::new() };
    let findings = Findings::recording();
    let describe = |_: &str| Err(NoSource(String::new()));
    let root = Table::root(&tree, &findings);
    read::header(&root);
    read::run_spec(&root, &Places { folder: Path::new("/"), describe: &describe });
    findings.asked()
}

/// The parent and the last key of a path.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('.').unwrap_or(("", path))
}

/// `arms[3].name` as `arms[].name`.
fn without_places(path: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in path.chars() {
        inside = (inside || c == '[') && c != ']';
        if !inside || c == '[' {
            out.push(c);
        }
    }
    out
}

/// The schema of the table at `path`.
fn object(path: &str, keys: &BTreeMap<String, Key>, documented: &BTreeMap<String, Documented>) -> Value {
    let instances = keys.get(path).map(|key| key.instances.clone()).unwrap_or_default();
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (child, key) in keys {
        let (parent, name) = split(child);
        if parent != path || child.is_empty() || child.ends_with(']') {
            continue;
        }
        if !key.required_in.is_empty() && key.required_in == instances {
            required.push(name.to_string());
        }
        let mut schema = match &key.shape {
            Some(Shape::Table) => object(child, keys, documented),
            Some(Shape::Tables) => {
                json!({ "type": "array", "items": object(&format!("{child}[]"), keys, documented) })
            }
            Some(shape) => of_shape(shape),
            None => json!({}),
        };
        if let Some(told) = documented.get(child) {
            let words = match schema["description"].as_str() {
                Some(words) if !told.words.is_empty() => format!("{} ({words})", told.words),
                Some(words) => words.to_string(),
                None => told.words.clone(),
            };
            if !words.is_empty() {
                schema["description"] = json!(words);
            }
            if let Some(default) = &told.default {
                schema["default"] = default.clone();
            }
        }
        properties.insert(name.to_string(), schema);
    }
    let mut out = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        out["required"] = json!(required);
    }
    out
}

fn of_shape(shape: &Shape) -> Value {
    let list = |items: Value| json!({ "type": "array", "items": items, "minItems": 1 });
    match shape {
        Shape::Whole { low, high } => {
            let mut schema = json!({ "type": "integer", "minimum": low });
            if *high < i64::MAX as u64 {
                schema["maximum"] = json!(high);
            }
            schema
        }
        Shape::Number(words) => json!({ "type": "number", "description": words }),
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::Text => json!({ "type": "string", "minLength": 1 }),
        Shape::Name(names) => json!({ "enum": names }),
        Shape::List(item) => list(of_shape(item)),
        Shape::Table => json!({ "type": "object" }),
        Shape::Tables => json!({ "type": "array", "items": { "type": "object" } }),
        Shape::Any => json!({}),
    }
}

/// Tables whose keys are the experiment's own names: key paths, arms, values. They are completed, and checked by `plan`.
fn free() -> Vec<(&'static str, Value)> {
    let table = |words: &str| json!({ "type": "object", "description": words });
    let tables =
        |words: &str| json!({ "type": "array", "items": { "type": "object" }, "description": words });
    vec![
        ("axes", table("Every combination of these values: key path = list of values, or { values, when }")),
        ("zip", tables("Keys that move together: key path = list of values, all of one length")),
        ("grid", tables("Blocks with `axes` and `zip` of their own, whose points are united")),
        ("exclude", tables("Points that are left out: key path = value")),
        ("points", tables("Single points with a `name`: key path = value")),
        ("labels", table("Names that tables print: `arms`, `axes`, `values`")),
        ("comparisons", tables("`variant` against `baseline` on `metric`, declared before the run")),
        ("rankings", tables("Which value of `axis` of `arm` is best on `metric`")),
        ("effects", tables("What each of `factors` of `arm` does on `metric`, and whether they interact")),
    ]
}

/// What the reference tells of a key.
#[derive(Default)]
struct Documented {
    words: String,
    default: Option<Value>,
}

/// Comments and defaults of the reference by key path.
fn documented() -> BTreeMap<String, Documented> {
    let mut out: BTreeMap<String, Documented> = BTreeMap::new();
    let mut section = String::new();
    let mut last: Option<String> = None;
    for line in REFERENCE.lines() {
        let (code, comment) = match line.split_once(" # ") {
            Some((code, comment)) => (code.trim(), comment.trim()),
            None => (line.trim(), ""),
        };
        let optional = code.strip_prefix("# ").map(str::trim);
        let code = optional.unwrap_or(code);
        if let Some(name) = line.strip_prefix("[[").and_then(|rest| rest.split("]]").next()) {
            section = format!("{name}[].");
            last = None;
        } else if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            section = format!("{name}.");
            last = None;
            out.entry(name.to_string()).or_default().words = comment.to_string();
        } else if let Some((key, value)) = code.split_once('=').filter(|(key, _)| is_key(key.trim())) {
            let path = format!("{section}{}", key.trim());
            let entry = out.entry(path.clone()).or_default();
            if entry.words.is_empty() {
                entry.words = comment.to_string();
            }
            if optional.is_none() && !comment.starts_with("required") {
                entry.default = value_of(value.trim());
            }
            last = Some(path);
        } else if let (Some(path), Some(more)) = (&last, line.trim_start().strip_prefix("# ")) {
            // A comment that goes on, below where it began.
            if line.starts_with("      ") {
                let entry = out.entry(path.clone()).or_default();
                entry.words = format!("{} {}", entry.words, more.trim());
            }
        }
    }
    out
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A value of TOML as JSON.
fn value_of(text: &str) -> Option<Value> {
    fn json_of(value: &tree::Value) -> Option<Value> {
        Some(match value {
            tree::Value::String(text) => json!(text),
            tree::Value::Integer(number) => json!(number),
            tree::Value::Float(number) => json!(number),
            tree::Value::Boolean(flag) => json!(flag),
            tree::Value::Array(items) => {
                Value::Array(items.iter().map(|item| json_of(&item.value)).collect::<Option<_>>()?)
            }
            tree::Value::Table(_) | tree::Value::Datetime(_) => return None,
        })
    }
    let tree = tree::parse(&format!("value = {text}")).ok()?;
    json_of(&tree.get("value")?.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `experiments/schema.json` is what editors read; `UPDATE_SCHEMA=1 cargo test schema` writes it.
    #[test]
    fn the_committed_schema_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/schema.json");
        let now = format!("{:#}\n", json_schema());
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(&path, &now).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == now,
            "experiments/schema.json is not current: UPDATE_SCHEMA=1 cargo test schema"
        );
    }

    #[test]
    fn it_has_every_key_with_its_range_its_names_and_its_words() {
        let schema = json_schema();
        let properties = &schema["properties"];
        for key in read::HEADER_KEYS.iter().chain(&read::RUN_SECTIONS) {
            assert!(properties[*key].is_object(), "{key}");
        }
        let train = &properties["train"]["properties"];
        assert_eq!(train["schedule"]["enum"], json!(["cosine", "wsd"]));
        assert_eq!(train["schedule"]["default"], json!("cosine"));
        assert_eq!(
            (&train["micro_batch"]["type"], &train["micro_batch"]["minimum"]),
            (&json!("integer"), &json!(1))
        );
        assert!(train["weight_decay"]["description"].as_str().unwrap().contains("of matrices"));
        let required = |table: &Value| -> Vec<String> {
            serde_json::from_value(table["required"].clone()).unwrap_or_default()
        };
        assert!(
            required(&schema).contains(&"train".to_string())
                && !required(&schema).contains(&"model".to_string())
        );
        assert!(required(&properties["train"]).contains(&"learning_rate".to_string()));
        let corpus = &properties["data"]["properties"]["corpus"];
        assert_eq!(required(corpus), ["kind"]);
        for key in ["documents", "train", "field", "column", "weights", "sources", "size", "bad_rows"] {
            assert!(corpus["properties"][key].is_object(), "{key} in {corpus:#}");
        }
        let arms = &properties["arms"]["items"]["properties"];
        for key in
            ["arm", "name", "set", "shape", "of", "budget", "stages", "from", "prune", "train", "distil"]
        {
            assert!(arms[key].is_object(), "{key} in {arms:#}");
        }
    }
}
