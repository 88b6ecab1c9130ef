//! The tasks: which file, which split, how an item becomes requests, which metric is reported.
//!
//! As EleutherAI's lm-evaluation-harness (commit 4e7e0d47f33bc71070c1d38394bafbb52b117163) scores them zero-shot;
//! items of the embedded world have the same fields and take the same path.
use super::error::EvalError;
use super::fields::Fields;
use super::text::{capitalize, clean_hellaswag, python_strip};
use crate::base::suggest::nearest;
use crate::data::corpus::read_objects;
use crate::data::world::{self, World};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// A multiple-choice task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Task {
    ArcEasy,
    ArcChallenge,
    BoolQ,
    HellaSwag,
    OpenBookQa,
    Piqa,
    SocialIqa,
    WinoGrande,
}

/// Items of the world that stand for "all".
const WORLD_ITEMS: usize = 500;

impl Task {
    /// All tasks.
    pub const ALL: [Task; 8] = [
        Task::ArcEasy,
        Task::ArcChallenge,
        Task::BoolQ,
        Task::HellaSwag,
        Task::OpenBookQa,
        Task::Piqa,
        Task::SocialIqa,
        Task::WinoGrande,
    ];

    /// Name in experiment files and results.
    pub fn name(self) -> &'static str {
        match self {
            Task::ArcEasy => "arc_easy",
            Task::ArcChallenge => "arc_challenge",
            Task::BoolQ => "boolq",
            Task::HellaSwag => "hellaswag",
            Task::OpenBookQa => "openbookqa",
            Task::Piqa => "piqa",
            Task::SocialIqa => "social_iqa",
            Task::WinoGrande => "winogrande",
        }
    }

    /// The task of that name; `siqa` is `social_iqa`.
    ///
    /// # Errors
    /// There is none.
    pub fn from_name(name: &str) -> Result<Task, EvalError> {
        let known = Task::ALL.map(Task::name);
        Task::ALL
            .into_iter()
            .find(|t| t.name() == name || (*t == Task::SocialIqa && name == "siqa"))
            .ok_or_else(|| EvalError::UnknownTask {
                name: name.to_string(),
                known: known.join(", "),
                nearest: nearest(name, known).map(str::to_string),
            })
    }

    /// The split that is scored.
    pub fn split(self) -> &'static str {
        match self {
            Task::ArcEasy | Task::ArcChallenge | Task::OpenBookQa => "test",
            _ => "validation",
        }
    }

    /// Whether `acc_norm` is reported beside `acc`.
    pub fn has_acc_norm(self) -> bool {
        !matches!(self, Task::BoolQ | Task::SocialIqa | Task::WinoGrande)
    }

    fn in_world(self) -> Option<world::Task> {
        world::Task::from_name(self.name())
    }
}

/// One request as text: the log-probability of `continuation` after `context`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextRequest {
    pub context: String,
    pub continuation: String,
}

/// One item: its requests, one per choice, and what the metrics need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The item's own id, else its number in the file, from 0.
    pub id: String,
    pub requests: Vec<TextRequest>,
    /// The choices without the space before them: their lengths normalise `acc_norm`.
    pub choices: Vec<String>,
    pub gold: usize,
}

/// Where items come from.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    World(&'a World),
    /// A folder with `<task>/<split>.jsonl` or `.jsonl.zst`.
    Folder(&'a Path),
}

/// The first `limit` items of a task; 0: all of a folder's, 500 of the world's.
///
/// # Errors
/// No such file, a broken line or field, or a task or number of items that the world cannot give.
pub fn load(task: Task, source: Source, limit: usize) -> Result<Vec<Item>, EvalError> {
    match source {
        Source::World(world) => {
            let kind = task.in_world().ok_or(EvalError::NotInWorld { task: task.name() })?;
            let asked = if limit == 0 { WORLD_ITEMS } else { limit };
            let items = world.benchmark(kind, asked);
            if items.len() < asked {
                return Err(EvalError::WorldExhausted { task: task.name(), found: items.len(), asked });
            }
            let object = |value: Value| if let Value::Object(object) = value { object } else { Map::new() };
            items
                .into_iter()
                .enumerate()
                .map(|(i, item)| {
                    parse(task, object(item.json), i, &format!("world item {i} of {}", task.name()))
                })
                .collect()
        }
        Source::Folder(folder) => {
            let path = find_file(task, folder)?;
            let lines = read_objects(&path)?;
            if lines.is_empty() {
                return Err(EvalError::NoItems { path });
            }
            let wanted = if limit == 0 { lines.len() } else { limit };
            lines
                .into_iter()
                .take(wanted)
                .enumerate()
                .map(|(i, (line, object))| {
                    parse(task, object, i, &format!("`{}` line {line}", path.display()))
                })
                .collect()
        }
    }
}

fn find_file(task: Task, folder: &Path) -> Result<PathBuf, EvalError> {
    let names = if task == Task::SocialIqa { vec!["social_iqa", "siqa"] } else { vec![task.name()] };
    let mut tried = Vec::new();
    for name in names {
        for end in ["jsonl", "jsonl.zst"] {
            let path = folder.join(name).join(format!("{}.{end}", task.split()));
            if path.is_file() {
                return Ok(path);
            }
            tried.push(format!("`{}`", path.display()));
        }
    }
    Err(EvalError::NoFile { task: task.name(), looked_for: tried.join(", ") })
}

/// An item from its fields; `place` names it in messages.
fn parse(task: Task, object: Map<String, Value>, index: usize, place: &str) -> Result<Item, EvalError> {
    let fields = Fields { object: &object, place };
    let text = |name: &str| fields.text(name);
    let (contexts, choices, gold) = match task {
        Task::ArcEasy | Task::ArcChallenge => {
            let (choices, gold) = fields.labelled_choices(false)?;
            (vec![format!("Question: {}\nAnswer:", text("question")?)], choices, gold)
        }
        Task::OpenBookQa => {
            let (choices, gold) = fields.labelled_choices(true)?;
            (vec![text("question_stem")?], choices, gold)
        }
        Task::Piqa => {
            let choices = vec![text("sol1")?, text("sol2")?];
            (vec![format!("Question: {}\nAnswer:", text("goal")?)], choices, fields.index("label", 0, 2)?)
        }
        Task::BoolQ => {
            let context = format!("{}\nQuestion: {}?\nAnswer:", text("passage")?, text("question")?);
            (vec![context], vec!["no".into(), "yes".into()], fields.index("label", 0, 2)?)
        }
        Task::SocialIqa => {
            let choices = vec![text("answerA")?, text("answerB")?, text("answerC")?];
            let context = format!("Q: {} {}\nA:", text("context")?, text("question")?);
            (vec![context], choices, fields.index("label", 1, 3)?)
        }
        Task::HellaSwag => {
            let ctx = format!("{} {}", text("ctx_a")?, capitalize(&text("ctx_b")?));
            let context = clean_hellaswag(&format!("{}: {ctx}", text("activity_label")?));
            let endings: Vec<String> = fields.texts("endings")?.iter().map(|e| clean_hellaswag(e)).collect();
            let gold = fields.index("label", 0, endings.len())?;
            (vec![context], endings, gold)
        }
        Task::WinoGrande => return winogrande(&fields, index),
    };
    let requests = choices
        .iter()
        .map(|choice| TextRequest { context: contexts[0].clone(), continuation: format!(" {choice}") })
        .collect();
    Ok(Item { id: fields.id(index), requests, choices, gold })
}

/// Partial scoring: the text after the blank is scored after each option in its place.
fn winogrande(fields: &Fields, index: usize) -> Result<Item, EvalError> {
    let sentence = fields.text("sentence")?;
    let Some((before, after)) = sentence.split_once('_') else {
        return Err(fields.fault("sentence", "text without a blank", "text with a blank `_`"));
    };
    let continuation = format!(" {}", python_strip(after));
    let choices = vec![fields.text("option1")?, fields.text("option2")?];
    let requests = choices
        .iter()
        .map(|option| TextRequest {
            context: format!("{before}{option}"),
            continuation: continuation.clone(),
        })
        .collect();
    Ok(Item { id: fields.id(index), requests, choices, gold: fields.index("answer", 1, 2)? })
}
