//! Accuracies over items, and bits per byte over held-out text.
//!
//!   acc:      argmaxᵢ llᵢ = gold                acc_norm: argmaxᵢ llᵢ / len(cᵢ) = gold
//!
//! ll summed natural-log probability of a choice; len its number of characters (Unicode code points) without the
//! space before it. Ties go to the first maximum. The standard error is s / √n with s over n − 1.
use super::error::EvalError;
use super::request::{Scorer, TokenRequest, encode_pair, score};
use super::task::{Item, Task};
use crate::data::{Tokenizer, ValidationWindows};

/// How one item came out.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemRecord {
    pub id: String,
    /// Of MMLU.
    pub subject: Option<String>,
    pub gold: usize,
    /// Per choice: summed natural-log probability.
    pub loglikelihoods: Vec<f64>,
    /// Per choice: characters, UTF-8 bytes, and tokens scored.
    pub num_chars: Vec<usize>,
    pub num_bytes: Vec<usize>,
    pub num_tokens: Vec<usize>,
    pub acc: bool,
    /// `None` where the task does not report it.
    pub acc_norm: Option<bool>,
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
    /// Mean over items of 1 / number of choices.
    pub chance: f64,
    pub items: Vec<ItemRecord>,
}

impl TaskResult {
    /// The result over `items`.
    pub fn of(task: Task, items: Vec<ItemRecord>) -> TaskResult {
        let chance = items.iter().map(|r| 1.0 / r.loglikelihoods.len() as f64).sum::<f64>();
        TaskResult {
            task,
            acc: Accuracy::of(items.iter().map(|r| r.acc)),
            acc_norm: Accuracy::of(items.iter().filter_map(|r| r.acc_norm)),
            chance: chance / items.len() as f64,
            items,
        }
    }
}

/// Scores the items of a task; requests are cut to `context_length`.
///
/// # Errors
/// The tokenizer or the scorer fails, or a choice has no tokens of its own.
pub fn evaluate(
    task: Task,
    items: &[Item],
    tokenizer: &Tokenizer,
    context_length: usize,
    scorer: &mut dyn Scorer,
) -> Result<TaskResult, EvalError> {
    let mut requests = Vec::with_capacity(items.len());
    for item in items {
        let mut own: Vec<TokenRequest> = Vec::with_capacity(item.requests.len());
        for (choice, request) in item.requests.iter().enumerate() {
            let request = encode_pair(tokenizer, request, context_length)?;
            if request.num_scored() == 0 {
                let place = format!("{} item {}", task.name(), item.id);
                return Err(EvalError::NothingToScore { place, choice });
            }
            own.push(request);
        }
        requests.push(own);
    }
    let scores = score(scorer, &requests)?;
    let scored = items.iter().zip(&scores).zip(&requests);
    let records = scored.map(|((item, scores), requests)| record(task, item, scores, requests)).collect();
    Ok(TaskResult::of(task, records))
}

fn record(task: Task, item: &Item, scores: &[f64], requests: &[TokenRequest]) -> ItemRecord {
    let num_chars: Vec<usize> = item.choices.iter().map(|c| c.chars().count()).collect();
    let normed: Vec<f64> = scores.iter().zip(&num_chars).map(|(ll, &n)| ll / n as f64).collect();
    ItemRecord {
        id: item.id.clone(),
        subject: item.subject.clone(),
        gold: item.gold,
        loglikelihoods: scores.to_vec(),
        num_bytes: item.choices.iter().map(String::len).collect(),
        num_tokens: requests.iter().map(TokenRequest::num_scored).collect(),
        acc: first_maximum(scores) == item.gold,
        acc_norm: task.has_acc_norm().then(|| first_maximum(&normed) == item.gold),
        num_chars,
    }
}

/// Index of the first maximum, as NumPy's `argmax`: the first NaN, if any, wins.
fn first_maximum(values: &[f64]) -> usize {
    let mut best = 0;
    for (i, value) in values.iter().enumerate() {
        if value.is_nan() {
            return i;
        }
        if *value > values[best] {
            best = i;
        }
    }
    best
}

/// Loss on held-out text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeldOut {
    /// Mean −ln p of a token, `<|endoftext|>` included.
    pub nll_per_token: f64,
    /// Σ −ln p / (ln 2 · bytes): comparable between tokenizers.
    pub bits_per_byte: f64,
    pub tokens: u64,
    /// UTF-8 bytes of the tokens predicted.
    pub bytes: u64,
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
    let (mut nll, mut tokens, mut bytes) = (0.0, 0, 0);
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

/// Bits per byte of a sum of −ln p (nats) over text of `bytes` bytes.
pub fn bits_per_byte(nll_sum: f64, bytes: u64) -> f64 {
    nll_sum / std::f64::consts::LN_2 / bytes as f64
}
