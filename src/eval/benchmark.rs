//! What `eval --tasks` can name: multiple-choice tasks and the two perplexities of WikiText-2.
use super::error::EvalError;
use super::files::Files;
use super::metrics::{TaskResult, evaluate};
use super::request::{Scorer, TokenRequest};
use super::task::{Counts, Item, Task, load_files};
use super::wikitext::{self, Document, DocumentPerplexity, WindowPerplexity};
use crate::base::suggest::nearest;
use crate::data::Tokenizer;

/// Windows of `wikitext_windows` are as long as the context, and at most this.
const LONGEST_WINDOW: usize = 2048;

/// A benchmark by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Benchmark {
    Choice(Task),
    /// As lm-evaluation-harness.
    WikiText,
    /// As pruning papers.
    WikiTextWindows,
}

/// How benchmarks are scored.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    pub tokenizer: &'a Tokenizer,
    /// Tokens that the model sees at most.
    pub context_length: usize,
    /// Items of each task (of each subject in MMLU, documents or windows in WikiText); 0: all.
    pub limit: usize,
    /// Examples before each item.
    pub num_fewshot: usize,
}

/// A benchmark read from its files.
pub enum Loaded {
    Choice { task: Task, items: Vec<Item>, counts: Counts },
    Documents { documents: Vec<Document>, requests: Vec<Vec<TokenRequest>>, count: usize },
    Windows { windows: Vec<TokenRequest>, count: usize },
}

/// How a benchmark came out; `count` items are in its file.
pub enum Outcome {
    Choice { result: TaskResult, counts: Counts },
    Documents { perplexity: DocumentPerplexity, count: usize },
    Windows { perplexity: WindowPerplexity, count: usize },
}

impl Benchmark {
    /// Name in the command line and in results.
    pub fn name(self) -> &'static str {
        match self {
            Benchmark::Choice(task) => task.name(),
            Benchmark::WikiText => "wikitext",
            Benchmark::WikiTextWindows => "wikitext_windows",
        }
    }

    /// The benchmark of that name; `siqa` is `social_iqa`.
    ///
    /// # Errors
    /// There is none.
    pub fn from_name(name: &str) -> Result<Benchmark, EvalError> {
        let perplexities = [Benchmark::WikiText, Benchmark::WikiTextWindows];
        let all: Vec<Benchmark> = Task::ALL.into_iter().map(Benchmark::Choice).chain(perplexities).collect();
        let wanted = if name == "siqa" { "social_iqa" } else { name };
        all.iter().copied().find(|b| b.name() == wanted).ok_or_else(|| {
            let known: Vec<&str> = all.iter().map(|b| b.name()).collect();
            EvalError::UnknownTask {
                name: name.to_string(),
                known: known.join(", "),
                nearest: nearest(name, known).map(str::to_string),
            }
        })
    }

    /// Reads the benchmark.
    ///
    /// # Errors
    /// Missing or damaged files, too few examples, a text shorter than one window.
    pub fn load(self, files: Files, setting: Setting) -> Result<Loaded, EvalError> {
        let limited = |count: usize| if setting.limit == 0 { count } else { count.min(setting.limit) };
        match self {
            Benchmark::Choice(task) => {
                let (items, counts) = load_files(task, files, setting.limit, setting.num_fewshot)?;
                Ok(Loaded::Choice { task, items, counts })
            }
            Benchmark::WikiText => {
                let mut documents = wikitext::documents(&wikitext::read(files)?);
                let count = documents.len();
                documents.truncate(limited(count));
                let requests = documents
                    .iter()
                    .map(|d| wikitext::document_requests(d, setting.tokenizer, setting.context_length))
                    .collect::<Result<_, _>>()?;
                Ok(Loaded::Documents { documents, requests, count })
            }
            Benchmark::WikiTextWindows => {
                let length = setting.context_length.min(LONGEST_WINDOW);
                let mut windows = wikitext::text_windows(&wikitext::read(files)?, setting.tokenizer, length)?;
                let count = windows.len();
                windows.truncate(limited(count));
                Ok(Loaded::Windows { windows, count })
            }
        }
    }
}

impl Loaded {
    /// Work of each call of the scorer, in about characters: for progress only.
    pub fn work(&self) -> Vec<u64> {
        let of_tokens = |request: &TokenRequest| 4 * request.tokens.len() as u64;
        match self {
            Loaded::Choice { items, .. } => items
                .iter()
                .map(|item| {
                    let context = item.requests.first().map_or(0, |request| request.context.len());
                    let choices: usize = item.requests.iter().map(|request| request.continuation.len()).sum();
                    (context + choices) as u64
                })
                .collect(),
            Loaded::Documents { requests, .. } => requests.iter().flatten().map(of_tokens).collect(),
            Loaded::Windows { windows, .. } => windows.iter().map(of_tokens).collect(),
        }
    }

    /// Scores the benchmark.
    ///
    /// # Errors
    /// The tokenizer or the scorer fails, or a choice has no tokens of its own.
    pub fn evaluate(self, setting: Setting, scorer: &mut dyn Scorer) -> Result<Outcome, EvalError> {
        match self {
            Loaded::Choice { task, items, counts } => {
                let result = evaluate(task, &items, setting.tokenizer, setting.context_length, scorer)?;
                Ok(Outcome::Choice { result, counts })
            }
            Loaded::Documents { documents, requests, count } => {
                let perplexity = wikitext::document_perplexity(&documents, &requests, scorer)?;
                Ok(Outcome::Documents { perplexity, count })
            }
            Loaded::Windows { windows, count } => {
                let perplexity = wikitext::window_perplexity(&windows, scorer)?;
                Ok(Outcome::Windows { perplexity, count })
            }
        }
    }
}
