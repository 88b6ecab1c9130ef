//! The tasks: which file, which split, how an item becomes requests, which metric is reported.
//!
//! As EleutherAI's lm-evaluation-harness (commit 4e7e0d47f33bc71070c1d38394bafbb52b117163) scores them; generated items
//! have the same fields and take the same path. `mmlu` scores the letters of the choices,
//! `mmlu_continuation` their texts, after the question alone (the harness puts one more sentence before that question,
//! "The following are questions (with answers) about …": ours is without).
use super::error::EvalError;
use super::few_shot::Examples;
use super::fields::Fields;
use super::files::Files;
use super::mmlu;
use super::text::{capitalize, clean_hellaswag, python_strip};
use crate::base::suggest::nearest;
use crate::data::synthetic::Synthetic;
use crate::data::tables::{Row, read_rows};
use crate::data::task;
use crate::data::world::World;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

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
    /// Letters of the choices as continuations.
    Mmlu,
    /// Texts of the choices as continuations.
    MmluContinuation,
}

/// Generated items that stand for "all".
const GENERATED_ITEMS: usize = 500;

impl Task {
    /// All tasks.
    pub const ALL: [Task; 10] = [
        Task::ArcEasy,
        Task::ArcChallenge,
        Task::BoolQ,
        Task::HellaSwag,
        Task::OpenBookQa,
        Task::Piqa,
        Task::SocialIqa,
        Task::WinoGrande,
        Task::Mmlu,
        Task::MmluContinuation,
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
            Task::Mmlu => "mmlu",
            Task::MmluContinuation => "mmlu_continuation",
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
            Task::ArcEasy | Task::ArcChallenge | Task::OpenBookQa | Task::Mmlu | Task::MmluContinuation => {
                "test"
            }
            _ => "validation",
        }
    }

    /// The split that examples come from, whose first ones are taken.
    pub fn example_split(self) -> &'static str {
        if self.is_mmlu() { "dev" } else { "train" }
    }

    /// Whether items belong to subjects, each with its own examples.
    pub fn is_mmlu(self) -> bool {
        matches!(self, Task::Mmlu | Task::MmluContinuation)
    }

    /// Folders that the task's files may stand in.
    pub(super) fn folders(self) -> &'static [&'static str] {
        match self {
            Task::SocialIqa => &["social_iqa", "siqa"],
            Task::Mmlu | Task::MmluContinuation => &["mmlu"],
            Task::ArcEasy => &["arc_easy"],
            Task::ArcChallenge => &["arc_challenge"],
            Task::BoolQ => &["boolq"],
            Task::HellaSwag => &["hellaswag"],
            Task::OpenBookQa => &["openbookqa"],
            Task::Piqa => &["piqa"],
            Task::WinoGrande => &["winogrande"],
        }
    }

    /// Whether `acc_norm` is reported beside `acc`.
    pub fn has_acc_norm(self) -> bool {
        !matches!(self, Task::BoolQ | Task::SocialIqa | Task::WinoGrande | Task::Mmlu)
    }

    /// The task among those that items are generated for.
    fn generated(self) -> Option<task::Task> {
        task::Task::from_name(self.name())
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
    /// Of MMLU.
    pub subject: Option<String>,
    /// What stands before the examples and the item's own context: in its requests already.
    pub(super) description: String,
    pub requests: Vec<TextRequest>,
    /// The choices without the space before them: their lengths normalise `acc_norm`.
    pub choices: Vec<String>,
    pub gold: usize,
}

impl Item {
    /// An item without requests yet.
    pub(super) fn named(id: String) -> Item {
        Item {
            id,
            subject: None,
            description: String::new(),
            requests: Vec::new(),
            choices: Vec::new(),
            gold: 0,
        }
    }
}

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

/// The first `limit` items of a task, of each subject in MMLU; 0: all of a folder's, 500 of a generated corpus's. Each stands
/// after the first `num_fewshot` examples of the folder's train split (MMLU: of its subject in the dev split).
///
/// # Errors
/// No such file, a broken line or field, a task or number of items that a generated corpus cannot give, too few examples.
pub fn load(task: Task, source: Source, limit: usize, num_fewshot: usize) -> Result<Vec<Item>, EvalError> {
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

/// The first `limit` items, 0: [`GENERATED_ITEMS`], of what `generate` makes of a task and their number.
fn generated(
    task: Task,
    limit: usize,
    generate: impl FnOnce(task::Task, usize) -> Vec<Map<String, Value>>,
) -> Result<Vec<Item>, EvalError> {
    let kind = task.generated().ok_or(EvalError::NotGenerated { task: task.name() })?;
    let asked = if limit == 0 { GENERATED_ITEMS } else { limit };
    let items = generate(kind, asked);
    if items.len() < asked {
        return Err(EvalError::ItemsExhausted { task: task.name(), found: items.len(), asked });
    }
    let place = |i| format!("generated item {i} of {}", task.name());
    items.iter().enumerate().map(|(i, object)| parse(task, object, i, &place(i))).collect()
}

/// [`load`] from files, and how many items the file of the scored split holds, by subject.
///
/// # Errors
/// As [`load`].
pub fn load_files(
    task: Task,
    files: Files,
    limit: usize,
    num_fewshot: usize,
) -> Result<(Vec<Item>, Counts), EvalError> {
    let mut items = load_split(task, files, task.split())?;
    let mut counts = Counts::new();
    items.retain(|item| {
        let count = counts.entry(item.subject.clone()).or_default();
        *count += 1;
        limit == 0 || *count <= limit
    });
    if num_fewshot > 0 {
        let examples = load_split(task, files, task.example_split())?;
        let examples = Examples::new(task, &examples, num_fewshot);
        items.iter_mut().try_for_each(|item| examples.put_before(item))?;
    }
    Ok((items, counts))
}

fn load_split(task: Task, files: Files, split: &'static str) -> Result<Vec<Item>, EvalError> {
    let path = files.find(task, split)?;
    let rows = read_rows(&path)?;
    if rows.is_empty() {
        return Err(EvalError::NoItems { path });
    }
    rows.iter().enumerate().map(|(i, Row { place, object })| parse(task, object, i, place)).collect()
}

/// An item from its fields; `place` names it in messages.
fn parse(task: Task, object: &Map<String, Value>, index: usize, place: &str) -> Result<Item, EvalError> {
    let fields = Fields { object, place };
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
        Task::Mmlu | Task::MmluContinuation => return mmlu::item(task == Task::Mmlu, &fields, index),
    };
    let requests = choices
        .iter()
        .map(|choice| TextRequest { context: contexts[0].clone(), continuation: format!(" {choice}") })
        .collect();
    Ok(Item { requests, choices, gold, ..Item::named(fields.id(index)) })
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
    let gold = fields.index("answer", 1, 2)?;
    Ok(Item { requests, choices, gold, ..Item::named(fields.id(index)) })
}
