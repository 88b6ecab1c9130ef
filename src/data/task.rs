//! The seven benchmarks that generated items imitate, and the fields of their files.
use serde_json::{Map, Value, json};

/// The seven kinds of items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Task {
    ArcEasy,
    ArcChallenge,
    BoolQ,
    HellaSwag,
    OpenBookQa,
    Piqa,
    WinoGrande,
}

impl Task {
    /// All tasks, in the order of the paper's tables.
    pub const ALL: [Task; 7] = [
        Task::ArcEasy,
        Task::ArcChallenge,
        Task::BoolQ,
        Task::HellaSwag,
        Task::OpenBookQa,
        Task::Piqa,
        Task::WinoGrande,
    ];

    /// Name as in experiment files and folders.
    pub fn name(self) -> &'static str {
        match self {
            Task::ArcEasy => "arc_easy",
            Task::ArcChallenge => "arc_challenge",
            Task::BoolQ => "boolq",
            Task::HellaSwag => "hellaswag",
            Task::OpenBookQa => "openbookqa",
            Task::Piqa => "piqa",
            Task::WinoGrande => "winogrande",
        }
    }

    /// The task of that name.
    pub fn from_name(name: &str) -> Option<Task> {
        Task::ALL.into_iter().find(|task| task.name() == name)
    }

    /// Choices of each item.
    pub fn num_choices(self) -> usize {
        match self {
            Task::BoolQ | Task::Piqa | Task::WinoGrande => 2,
            _ => 4,
        }
    }
}

/// A generated item before it gets its benchmark's fields.
pub struct Asked<'a> {
    /// What is asked, in the main text field of the benchmark.
    pub prompt: &'a str,
    /// Passage, or first part of the context, where the benchmark has one.
    pub passage: &'a str,
    /// Title or label, where the benchmark has one.
    pub title: &'a str,
    /// The choices, the right one at `gold`; none in BoolQ.
    pub choices: &'a [String],
    pub gold: usize,
}

/// The fields of the original files; items are named after their `source` and number.
pub fn fields(task: Task, asked: &Asked, source: &str, index: usize) -> Map<String, Value> {
    const LABELS: [&str; 4] = ["A", "B", "C", "D"];
    let Asked { prompt, passage, title, choices, gold } = *asked;
    let id = format!("{source}_{index}");
    let labelled = json!({ "text": choices, "label": LABELS[..choices.len()] });
    let value = match task {
        Task::ArcEasy | Task::ArcChallenge => {
            json!({ "id": id, "question": prompt, "choices": labelled, "answerKey": LABELS[gold] })
        }
        Task::OpenBookQa => {
            json!({ "id": id, "question_stem": prompt, "choices": labelled, "answerKey": LABELS[gold] })
        }
        Task::Piqa => json!({ "goal": prompt, "sol1": choices[0], "sol2": choices[1], "label": gold }),
        Task::BoolQ => json!({ "question": prompt, "passage": passage, "idx": index, "label": gold }),
        Task::HellaSwag => json!({
            "ind": index, "activity_label": title, "ctx_a": passage, "ctx_b": prompt,
            "ctx": format!("{passage} {prompt}"), "endings": choices, "source_id": id, "split": "val",
            "split_type": "zeroshot", "label": gold.to_string(),
        }),
        Task::WinoGrande => json!({
            "sentence": prompt, "option1": choices[0], "option2": choices[1], "answer": (gold + 1).to_string(),
        }),
    };
    if let Value::Object(object) = value { object } else { Map::new() }
}

/// The words of an item's texts, sorted: items of the same words are the same item, with their choices, or the two entities of a
/// sentence, in another order.
pub(super) fn bag_of_words(texts: &[&str]) -> Vec<String> {
    let trim = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric() && c != '_').to_string();
    let mut words: Vec<String> = texts.iter().flat_map(|text| text.split_whitespace()).map(trim).collect();
    words.sort_unstable();
    words
}
