//! What `eval --tasks` can name: multiple-choice tasks and the two perplexities of WikiText-2.
use super::encode::{EncodedTask, encode};
use super::error::EvalError;
use super::files::Files;
use super::load::{Counts, load_files};
use super::metrics::TaskResult;
use super::request::{Scorer, TokenRequest};
use super::sample::Limit;
use super::task::Task;
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
    /// Items of each task (of each subject in MMLU, documents or windows in WikiText).
    pub limit: Limit,
    /// Examples before each item.
    pub num_fewshot: usize,
}

/// A benchmark read from its files.
pub enum Loaded {
    Choice { encoded: EncodedTask, counts: Counts },
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

    /// Reads the benchmark and encodes what is scored: whatever cannot be scored shows before anything is.
    ///
    /// # Errors
    /// Missing or damaged files, too few examples, a text shorter than one window, a task of which no item can be scored.
    pub fn load(self, files: Files, setting: Setting) -> Result<Loaded, EvalError> {
        match self {
            Benchmark::Choice(task) => {
                let (items, counts) = load_files(task, files, setting.limit, setting.num_fewshot)?;
                let encoded = encode(task, items, setting.tokenizer, setting.context_length)?;
                match encoded.nothing_to_score() {
                    Some(fault) => Err(fault),
                    None => Ok(Loaded::Choice { encoded, counts }),
                }
            }
            Benchmark::WikiText => {
                let all = wikitext::documents(&wikitext::read(files)?);
                let count = all.len();
                let documents = picked(all, setting.limit.places(count, self.name()));
                let requests = documents
                    .iter()
                    .map(|d| wikitext::document_requests(d, setting.tokenizer, setting.context_length))
                    .collect::<Result<_, _>>()?;
                Ok(Loaded::Documents { documents, requests, count })
            }
            Benchmark::WikiTextWindows => {
                let length = setting.context_length.min(LONGEST_WINDOW);
                let all = wikitext::text_windows(&wikitext::read(files)?, setting.tokenizer, length)?;
                let count = all.len();
                let windows = picked(all, setting.limit.places(count, self.name()));
                Ok(Loaded::Windows { windows, count })
            }
        }
    }
}

/// Those of `all` that stand at `places`.
fn picked<T>(all: Vec<T>, places: Vec<usize>) -> Vec<T> {
    let mut all: Vec<Option<T>> = all.into_iter().map(Some).collect();
    places.into_iter().filter_map(|place| all[place].take()).collect()
}

impl Loaded {
    /// What a reader of the scores must know of how they came about.
    pub fn notes(&self) -> Vec<String> {
        match self {
            Loaded::Choice { encoded, .. } => encoded.notes(),
            _ => Vec::new(),
        }
    }

    /// Work of each call of the scorer, in about characters: for progress only.
    pub fn work(&self) -> Vec<u64> {
        let of_tokens = |request: &TokenRequest| 4 * request.tokens.len() as u64;
        match self {
            Loaded::Choice { encoded, .. } => encoded
                .items
                .iter()
                .map(|encoded| {
                    let item = &encoded.item;
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
    /// The scorer fails.
    pub fn evaluate(self, scorer: &mut dyn Scorer) -> Result<Outcome, EvalError> {
        match self {
            Loaded::Choice { encoded, counts } => {
                Ok(Outcome::Choice { result: encoded.evaluate(scorer)?, counts })
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
