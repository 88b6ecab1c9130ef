//! Faults of evaluation: benchmark files, tasks, and the model behind the scorer.
use crate::data::DataError;
use std::path::PathBuf;

/// Why a task cannot be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error("unknown task `{name}`; known: {known}{}", nearest.as_ref().map_or_else(String::new, |n| format!("\nhint: did you mean `{n}`?")))]
    UnknownTask { name: String, known: String, nearest: Option<String> },
    #[error(
        "no {split} file for task `{task}`; looked for {looked_for}\nhint: it is split `{split}` of the data set `{dataset}` (configuration `{config}`) on the Hugging Face hub; `eval --data hf:` fetches it"
    )]
    NoFile {
        task: &'static str,
        split: &'static str,
        looked_for: String,
        dataset: &'static str,
        config: &'static str,
    },
    #[error(
        "{asked} examples asked for task `{task}`, but its {split} split has {found}{of}; `--num-fewshot` can be at most that"
    )]
    TooFewExamples { task: &'static str, split: &'static str, of: String, found: usize, asked: usize },
    #[error("`{}` holds no items", path.display())]
    NoItems { path: PathBuf },
    #[error("items for task `{task}` are not generated; name a folder of benchmark files in `eval.folder`")]
    NotGenerated { task: &'static str },
    #[error(
        "the corpus yields {found} different items for task `{task}`, {asked} asked; set `eval.items` to at most {found}"
    )]
    ItemsExhausted { task: &'static str, found: usize, asked: usize },
    #[error("{place}: field `{field}` is {found}, not {expected}")]
    Field { place: String, field: String, found: String, expected: String },
    #[error(
        "none of the {items} items of task `{task}` can be scored: {reason}: {text:?}\nhint: leave the task out, or let the model see more tokens where they are too few"
    )]
    AllSetAside { task: &'static str, items: usize, reason: String, text: String },
    #[error(
        "log-likelihoods are not finite: {what}\nhint: weights or activations of the model hold NaN or infinities; `eval.allow_non_finite = true` in an experiment, `--allow-non-finite` of `eval`, leave such items without an answer and score the others"
    )]
    NotFinite { what: String },
    #[error("the text has {found} tokens, fewer than one window of {length}")]
    NoWindow { found: usize, length: usize },
    #[error("journal `{}`: {source}", path.display())]
    Journal { path: PathBuf, source: std::io::Error },
    #[error(
        "`{}` holds scores of another model, engine or version\nhint: name another folder with `--out`, or delete that file",
        path.display()
    )]
    OtherJournal { path: PathBuf },
    #[error("interrupted")]
    Interrupted,
    #[error("scorer: {reason}")]
    Scorer { reason: String },
}
