//! From a folder of benchmark files, the hub or a generated corpus to items.
//!
//! An item is its place in the file. Items whose keys are equal (see `cluster_key`) are a cluster, named by the place of its
//! first item in the file, whether that one is scored or not.
use super::error::EvalError;
use super::few_shot::Examples;
use super::fields::Fields;
use super::files::Files;
use super::sample::Limit;
use super::task::{Item, Task, parse};
use crate::data::synthetic::Synthetic;
use crate::data::tables::{Row, read_rows};
use crate::data::task;
use crate::data::world::World;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Generated items that stand for "all".
const GENERATED_ITEMS: usize = 500;

/// Items of a file, by subject.
pub type Counts = BTreeMap<Option<String>, usize>;

/// Where items come from.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    World(&'a World),
    Synthetic(&'a Synthetic),
    /// A folder with `<task>/<split>.jsonl`, `.jsonl.zst`, `.parquet` or `.arrow`.
    Folder(&'a Path),
}

/// Items of a task, of each subject in MMLU, as `limit` asks; of a generated corpus's, which are drawn one after the other, the
/// first so many (500 for all). Each stands after the first `num_fewshot` examples of the folder's train split (MMLU: of
/// its subject in the dev split).
///
/// # Errors
/// No such file, a broken line or field, a task or number of items that a generated corpus cannot give, too few examples.
pub fn load(task: Task, source: Source, limit: Limit, num_fewshot: usize) -> Result<Vec<Item>, EvalError> {
    match source {
        Source::World(world) => {
            let object = |value: Value| if let Value::Object(object) = value { object } else { Map::new() };
            let of = |kind, n| world.benchmark(kind, n).into_iter().map(|item| object(item.json)).collect();
            generated(task, limit, of)
        }
        Source::Synthetic(corpus) => generated(task, limit, |kind, n| {
            corpus.benchmark(kind, n).into_iter().map(|item| item.json).collect()
        }),
        Source::Folder(folder) => Ok(load_files(task, Files::Folder(folder), limit, num_fewshot)?.0),
    }
}

/// The first items that are asked for, all: [`GENERATED_ITEMS`], of what `generate` makes of a task and their number.
fn generated(
    task: Task,
    limit: Limit,
    generate: impl FnOnce(task::Task, usize) -> Vec<Map<String, Value>>,
) -> Result<Vec<Item>, EvalError> {
    let kind = task.generated().ok_or(EvalError::NotGenerated { task: task.name() })?;
    let asked = limit.items().unwrap_or(GENERATED_ITEMS);
    let items = generate(kind, asked);
    if items.len() < asked {
        return Err(EvalError::ItemsExhausted { task: task.name(), found: items.len(), asked });
    }
    let places: Vec<String> =
        (0..items.len()).map(|i| format!("generated item {i} of {}", task.name())).collect();
    items_of(task, places.iter().map(String::as_str).zip(&items))
}

/// [`load`] from files, and how many items the file of the scored split holds, by subject.
///
/// # Errors
/// As [`load`].
pub fn load_files(
    task: Task,
    files: Files,
    limit: Limit,
    num_fewshot: usize,
) -> Result<(Vec<Item>, Counts), EvalError> {
    let mut items = load_split(task, files, task.split())?;
    let mut by_subject: BTreeMap<Option<String>, Vec<usize>> = BTreeMap::new();
    for item in &items {
        by_subject.entry(item.subject.clone()).or_default().push(item.place);
    }
    let mut scored = vec![false; items.len()];
    for (subject, places) in &by_subject {
        let name =
            subject.as_ref().map_or(task.name().into(), |subject| format!("{}/{subject}", task.name()));
        limit.places(places.len(), &name).into_iter().for_each(|i| scored[places[i]] = true);
    }
    items.retain(|item| scored[item.place]);
    if num_fewshot > 0 {
        let examples = load_split(task, files, task.example_split())?;
        let examples = Examples::new(task, &examples, num_fewshot);
        items.iter_mut().try_for_each(|item| examples.put_before(item))?;
    }
    let counts = by_subject.into_iter().map(|(subject, places)| (subject, places.len())).collect();
    Ok((items, counts))
}

fn load_split(task: Task, files: Files, split: &'static str) -> Result<Vec<Item>, EvalError> {
    let path = files.find(task, split)?;
    let rows = read_rows(&path)?;
    if rows.is_empty() {
        return Err(EvalError::NoItems { path });
    }
    items_of(task, rows.iter().map(|Row { place, object }| (place.as_str(), object)))
}

/// The items of a file's rows, each with where it stands for messages.
fn items_of<'a>(
    task: Task,
    rows: impl Iterator<Item = (&'a str, &'a Map<String, Value>)>,
) -> Result<Vec<Item>, EvalError> {
    let mut first: HashMap<String, usize> = HashMap::new();
    rows.enumerate()
        .map(|(index, (place, object))| {
            let fields = Fields { object, place };
            let mut item = parse(task, &fields, index)?;
            item.cluster = *first.entry(cluster_key(task, &fields)).or_insert(index);
            item.difficulty = object.get("difficulty").and_then(Value::as_f64);
            Ok(item)
        })
        .collect()
}

/// What items of one cluster have in common: they go right or wrong together.
///
/// WinoGrande: the two options, in either order (twins, and sentences on one pair of names); HellaSwag: the video or page;
/// BoolQ: the passage; Social IQa: the context; PIQA: the goal; the others: the question. A file may name the cluster itself, in
/// the field `cluster`, as generated items do.
fn cluster_key(task: Task, fields: &Fields) -> String {
    let text = |name: &str| fields.text(name).unwrap_or_default();
    if let Ok(named) = fields.text("cluster") {
        return named;
    }
    match task {
        Task::WinoGrande => {
            let mut options = [text("option1"), text("option2")];
            options.sort();
            options.join("\u{0}")
        }
        // Files without the source of an item have its beginning.
        Task::HellaSwag => fields.text("source_id").unwrap_or_else(|_| text("ctx_a")),
        Task::BoolQ => text("passage"),
        Task::SocialIqa => text("context"),
        Task::Piqa => text("goal"),
        Task::OpenBookQa => text("question_stem"),
        Task::ArcEasy | Task::ArcChallenge => text("question"),
        Task::Mmlu | Task::MmluContinuation => text("subject") + "\u{0}" + &text("question"),
    }
}
