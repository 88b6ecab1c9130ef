//! The tasks: which file, which split, how an item becomes requests, which metric is reported.
//!
//! As EleutherAI's lm-evaluation-harness (commit 4e7e0d47f33bc71070c1d38394bafbb52b117163) scores them; generated items
//! have the same fields and take the same path. `mmlu` scores the letters of the choices,
//! `mmlu_continuation` their texts, after the question alone (the harness puts one more sentence before that question,
//! "The following are questions (with answers) about …": ours is without).
use super::error::EvalError;
use super::fields::Fields;
use super::mmlu;
use super::text::{capitalize, clean_hellaswag, python_strip};
use crate::base::suggest::nearest;
use crate::data::task;

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
    pub(super) fn generated(self) -> Option<task::Task> {
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
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Place in the file, from 0: what names the item.
    pub place: usize,
    /// The item's own id, else its place; several items of a file may have one.
    pub id: String,
    /// Place of the first item of its cluster.
    pub cluster: usize,
    /// Larger is harder, where the file tells it.
    pub difficulty: Option<f64>,
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
    /// The item at `place`, without requests yet.
    pub(super) fn named(id: String, place: usize) -> Item {
        Item {
            place,
            id,
            cluster: place,
            difficulty: None,
            subject: None,
            description: String::new(),
            requests: Vec::new(),
            choices: Vec::new(),
            gold: 0,
        }
    }
}

/// An item from its fields; it is the one at place `index` of its file.
pub(super) fn parse(task: Task, fields: &Fields, index: usize) -> Result<Item, EvalError> {
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
        Task::WinoGrande => return winogrande(fields, index),
        Task::Mmlu | Task::MmluContinuation => return mmlu::item(task == Task::Mmlu, fields, index),
    };
    let requests = choices
        .iter()
        .map(|choice| TextRequest { context: contexts[0].clone(), continuation: format!(" {choice}") })
        .collect();
    Ok(Item { requests, choices, gold, ..Item::named(fields.id(index), index) })
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
    Ok(Item { requests, choices, gold, ..Item::named(fields.id(index), index) })
}
