//! Accuracies over items, and bits per byte over held-out text.
//!
//!   acc:      argmaxᵢ llᵢ = gold                acc_norm: argmaxᵢ llᵢ / len(cᵢ) = gold
//!
//! ll summed natural-log probability of a choice; len its number of characters (Unicode code points) without the
//! space before it. Ties go to the first maximum. The standard error is s / √n with s over n − 1. An item with a
//! log-likelihood that is not finite has no accuracy: no argmax sees one.
use super::companions::Companions;
use super::encode::{EncodedItem, EncodedTask, SetAside};
use super::error::EvalError;
use super::request::{Scorer, TokenRequest, score};
use super::task::Task;
use crate::data::{Tokenizer, ValidationWindows};

/// How one item came out.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemRecord {
    /// Place in the file: what names the item.
    pub place: usize,
    pub id: String,
    /// Place of the first item of its cluster.
    pub cluster: usize,
    /// Larger is harder, where the file tells it.
    pub difficulty: Option<f64>,
    /// Of MMLU.
    pub subject: Option<String>,
    pub gold: usize,
    /// Per choice: summed natural-log probability.
    pub loglikelihoods: Vec<f64>,
    /// Per choice: characters, UTF-8 bytes, and tokens scored.
    pub num_chars: Vec<usize>,
    pub num_bytes: Vec<usize>,
    pub num_tokens: Vec<usize>,
    /// `None` where a log-likelihood is not finite.
    pub acc: Option<bool>,
    /// `None` where the task does not report it, too.
    pub acc_norm: Option<bool>,
    pub companions: Companions,
    /// Tokens at the beginning of the context that did not fit.
    pub lost_context_tokens: usize,
}

/// A share of items with its standard error (`None` for a single item).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accuracy {
    pub value: f64,
    pub stderr: Option<f64>,
}

impl Accuracy {
    /// The share of true ones; `None` of none.
    pub fn of(outcomes: impl IntoIterator<Item = bool>) -> Option<Accuracy> {
        let (mut right, mut n) = (0.0, 0.0);
        for outcome in outcomes {
            right += f64::from(u8::from(outcome));
            n += 1.0;
        }
        if n == 0.0 {
            return None;
        }
        let value = right / n;
        // Σ(x − x̄)² of zeros and ones is n·x̄·(1 − x̄).
        let stderr = (n > 1.0).then(|| (value * (1.0 - value) / (n - 1.0)).sqrt());
        Some(Accuracy { value, stderr })
    }
}

/// Standard error of a group's accuracy over all items, from those of its parts, as the harness pools it:
/// √(Σ (nᵢ − 1) nᵢ seᵢ² / (Σ nᵢ − parts) / Σ nᵢ).
pub fn pooled_stderr(parts: &[(Accuracy, usize)]) -> Option<f64> {
    let total: usize = parts.iter().map(|(_, n)| n).sum();
    let freedom = total.checked_sub(parts.len()).filter(|&freedom| freedom > 0)? as f64;
    let squares = parts.iter().map(|(accuracy, n)| {
        let n = *n as f64;
        (n - 1.0) * n * accuracy.stderr.unwrap_or(0.0).powi(2)
    });
    Some((squares.sum::<f64>() / freedom / total as f64).sqrt())
}

/// How a task came out.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskResult {
    pub task: Task,
    pub acc: Option<Accuracy>,
    pub acc_norm: Option<Accuracy>,
    /// Mean over items of 1 / number of choices; `None` without items.
    pub chance: Option<f64>,
    pub items: Vec<ItemRecord>,
    /// Items that could not be scored.
    pub set_aside: Vec<SetAside>,
    pub context_length: usize,
}

impl TaskResult {
    /// The result over `items`.
    pub fn of(task: Task, items: Vec<ItemRecord>, context_length: usize) -> TaskResult {
        let chance = items.iter().map(|r| 1.0 / r.loglikelihoods.len() as f64).sum::<f64>();
        TaskResult {
            task,
            acc: Accuracy::of(items.iter().filter_map(|r| r.acc)),
            acc_norm: Accuracy::of(items.iter().filter_map(|r| r.acc_norm)),
            chance: (!items.is_empty()).then(|| chance / items.len() as f64),
            items,
            set_aside: Vec::new(),
            context_length,
        }
    }

    /// Items with a log-likelihood that is not finite.
    pub fn not_finite(&self) -> usize {
        self.items.iter().filter(|item| item.acc.is_none()).count()
    }

    /// Items that lost the beginning of their context.
    pub fn truncated(&self) -> usize {
        self.items.iter().filter(|item| item.lost_context_tokens > 0).count()
    }

    /// Means of the companions of accuracy over the items that have them, by name.
    pub fn companions(&self) -> [(&'static str, Option<f64>); 5] {
        let mean = |pick: fn(&Companions) -> Option<f64>| {
            let (mut sum, mut n) = (0.0, 0.0);
            for value in self.items.iter().filter_map(|item| pick(&item.companions)) {
                (sum, n) = (sum + value, n + 1.0);
            }
            (n > 0.0).then(|| sum / n)
        };
        [
            ("gold_probability", mean(|c| c.gold_probability)),
            ("gold_probability_norm", mean(|c| c.gold_probability_norm)),
            ("gold_nll", mean(|c| c.gold_nll)),
            ("margin", mean(|c| c.margin)),
            ("choice_log_loss", mean(|c| c.choice_log_loss)),
        ]
    }
}

/// The fault that log-likelihoods are not finite, with the number of such items of each task; `None` where all are.
pub fn not_finite<'a>(results: impl IntoIterator<Item = &'a TaskResult>) -> Option<EvalError> {
    let parts: Vec<String> = results
        .into_iter()
        .filter_map(|result| {
            let first = result.items.iter().find(|item| item.acc.is_none())?;
            let (count, all) = (result.not_finite(), result.items.len());
            Some(format!(
                "{count} of {all} items of `{}` (the first is item {})",
                result.task.name(),
                first.place
            ))
        })
        .collect();
    (!parts.is_empty()).then(|| EvalError::NotFinite { what: parts.join(", ") })
}

impl EncodedTask {
    /// Scores the items.
    ///
    /// # Errors
    /// The scorer fails.
    pub fn evaluate(&self, scorer: &mut dyn Scorer) -> Result<TaskResult, EvalError> {
        let requests: Vec<Vec<TokenRequest>> = self.items.iter().map(|item| item.requests.clone()).collect();
        let scores = score(scorer, &requests)?;
        let records = self.items.iter().zip(&scores).map(|(item, scores)| record(self.task, item, scores));
        let result = TaskResult::of(self.task, records.collect(), self.context_length);
        Ok(TaskResult { set_aside: self.set_aside.clone(), ..result })
    }
}

fn record(task: Task, encoded: &EncodedItem, scores: &[f64]) -> ItemRecord {
    let item = &encoded.item;
    let num_chars: Vec<usize> = item.choices.iter().map(|c| c.chars().count()).collect();
    let normed: Vec<f64> = scores.iter().zip(&num_chars).map(|(ll, &n)| ll / n as f64).collect();
    let normed = Some(normed).filter(|_| task.has_acc_norm());
    let is_finite = scores.iter().all(|ll| ll.is_finite());
    let right = |values: &[f64]| first_maximum(values).map(|best| best == item.gold).filter(|_| is_finite);
    // Of WinoGrande the continuation is no choice; of the others it is the choice after a space.
    let continuation = item.requests.get(item.gold).map_or("", |request| request.continuation.as_str());
    let gold_bytes = continuation.strip_prefix(' ').unwrap_or(continuation).len();
    ItemRecord {
        place: item.place,
        id: item.id.clone(),
        cluster: item.cluster,
        difficulty: item.difficulty,
        subject: item.subject.clone(),
        gold: item.gold,
        loglikelihoods: scores.to_vec(),
        num_bytes: item.choices.iter().map(String::len).collect(),
        num_tokens: encoded.requests.iter().map(TokenRequest::num_scored).collect(),
        acc: right(scores),
        acc_norm: normed.as_deref().and_then(right),
        companions: Companions::of(scores, normed.as_deref(), item.gold, gold_bytes),
        num_chars,
        lost_context_tokens: encoded.lost,
    }
}

/// Index of the first maximum; `None` where a value is NaN. An empty choice divides by 0 characters: −∞, which never wins.
fn first_maximum(values: &[f64]) -> Option<usize> {
    let mut best = 0;
    for (i, value) in values.iter().enumerate() {
        if value.is_nan() {
            return None;
        }
        if *value > values[best] {
            best = i;
        }
    }
    Some(best)
}

/// Loss on held-out text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeldOut {
    /// Mean −ln p of a token, `<|endoftext|>` included.
    pub nll_per_token: f64,
    /// Σ −ln p / (ln 2 · bytes): comparable between tokenizers.
    pub bits_per_byte: f64,
    pub tokens: u64,
    /// UTF-8 bytes of the text that the tokens predicted stand for.
    pub bytes: f64,
}

/// Loss and bits per byte over validation windows, `sequences` at a time.
///
/// # Errors
/// The scorer fails.
pub fn held_out(
    scorer: &mut dyn Scorer,
    windows: &ValidationWindows,
    tokenizer: &Tokenizer,
    sequences: usize,
) -> Result<HeldOut, EvalError> {
    let (mut nll, mut tokens, mut bytes) = (0.0, 0, 0.0);
    for (batch, batch_bytes) in windows.batches(sequences, tokenizer) {
        nll += scorer.nll_sum(&batch)?;
        tokens += batch.targets.len() as u64;
        bytes += batch_bytes;
    }
    Ok(HeldOut {
        nll_per_token: nll / tokens as f64,
        bits_per_byte: bits_per_byte(nll, bytes),
        tokens,
        bytes,
    })
}

/// KL(source ‖ model) per token (nats) of each held-out window, `sequences` windows at a time.
///
/// # Errors
/// The scorer fails or knows no source.
pub fn divergences(
    scorer: &mut dyn Scorer,
    windows: &ValidationWindows,
    tokenizer: &Tokenizer,
    sequences: usize,
) -> Result<Vec<f64>, EvalError> {
    let mut means = Vec::with_capacity(windows.len());
    for (batch, _) in windows.batches(sequences, tokenizer) {
        let sums = scorer.divergence_sums(&batch)?;
        means.extend(sums.into_iter().map(|sum| sum / batch.context_length as f64));
    }
    Ok(means)
}

/// Bits per byte of a sum of −ln p (nats) over text of `bytes` bytes.
pub fn bits_per_byte(nll_sum: f64, bytes: f64) -> f64 {
    nll_sum / std::f64::consts::LN_2 / bytes
}
