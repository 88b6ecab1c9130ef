//! A task in tokens, before anything is scored: which items can be scored, which cannot and why, what is cut.
//!
//! An item is set aside where one of its choices has no token of its own (a token goes across context and continuation) or
//! more tokens than the model sees: its score would be none, or that of a part. Contexts that are too long lose their
//! beginning, as in lm-evaluation-harness, and are counted.
use super::error::EvalError;
use super::request::{Misfit, TokenRequest, encode_pair};
use super::task::{Item, Task, TextRequest};
use crate::data::{DataError, Tokenizer};

/// Characters of a context that are shown with an item that was set aside.
const SHOWN: usize = 60;

/// A task ready to be scored.
pub struct EncodedTask {
    pub task: Task,
    /// Items that can be scored, in the order of the file.
    pub items: Vec<EncodedItem>,
    pub set_aside: Vec<SetAside>,
    /// Tokens that the model sees at most.
    pub context_length: usize,
}

/// An item with its requests, one per choice.
pub struct EncodedItem {
    pub item: Item,
    pub requests: Vec<TokenRequest>,
    /// Tokens at the beginning of the context that did not fit, the most of its choices.
    pub lost: usize,
    /// Whether a choice changes the tokens of the context before it.
    pub changes_context: bool,
}

/// An item that cannot be scored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    pub place: usize,
    pub id: String,
    pub choice: usize,
    pub why: Misfit,
    /// End of the context and the continuation.
    pub text: String,
}

impl SetAside {
    /// Why, in words.
    pub fn reason(&self) -> String {
        let choice = self.choice;
        match self.why {
            Misfit::NothingToScore => format!(
                "choice {choice} has no tokens to score: a token goes across the end of the context and the choice"
            ),
            Misfit::TooLong { tokens, context_length } => {
                format!(
                    "choice {choice} has {tokens} tokens, more than the context length of {context_length}"
                )
            }
        }
    }
}

/// `items` of `task` in tokens, cut to `context_length`.
///
/// # Errors
/// The tokenizer fails.
pub fn encode(
    task: Task,
    items: Vec<Item>,
    tokenizer: &Tokenizer,
    context_length: usize,
) -> Result<EncodedTask, DataError> {
    let mut encoded = EncodedTask { task, items: Vec::new(), set_aside: Vec::new(), context_length };
    for item in items {
        match encode_item(&item, tokenizer, context_length)? {
            Ok((requests, lost, changes_context)) => {
                encoded.items.push(EncodedItem { item, requests, lost, changes_context });
            }
            Err((choice, why)) => {
                let text = shown(&item.requests[choice]);
                encoded.set_aside.push(SetAside { place: item.place, id: item.id, choice, why, text });
            }
        }
    }
    Ok(encoded)
}

/// Requests, lost tokens and whether the context's tokens change; or the choice that cannot be scored, and why.
type Encoded = Result<(Vec<TokenRequest>, usize, bool), (usize, Misfit)>;

fn encode_item(item: &Item, tokenizer: &Tokenizer, context_length: usize) -> Result<Encoded, DataError> {
    let (mut requests, mut lost, mut changes_context) = (Vec::with_capacity(item.requests.len()), 0, false);
    for (choice, request) in item.requests.iter().enumerate() {
        let pair = encode_pair(tokenizer, request)?;
        changes_context |= pair.changes_context;
        match pair.fit(context_length) {
            Ok(fitted) => {
                lost = lost.max(fitted.lost);
                requests.push(fitted.request);
            }
            Err(why) => return Ok(Err((choice, why))),
        }
    }
    Ok(Ok((requests, lost, changes_context)))
}

/// The end of the context, and the continuation.
fn shown(request: &TextRequest) -> String {
    let skipped = request.context.chars().count().saturating_sub(SHOWN);
    let end: String = request.context.chars().skip(skipped).collect();
    let dots = if skipped > 0 { "…" } else { "" };
    format!("{dots}{end}{}", request.continuation)
}

impl EncodedTask {
    /// The fault that no item can be scored, where that is so.
    pub fn nothing_to_score(&self) -> Option<EvalError> {
        let first = self.set_aside.first().filter(|_| self.items.is_empty())?;
        Some(EvalError::AllSetAside {
            task: self.task.name(),
            items: self.set_aside.len(),
            reason: first.reason(),
            text: first.text.clone(),
        })
    }

    /// Items that lost the beginning of their context.
    pub fn truncated(&self) -> usize {
        self.items.iter().filter(|item| item.lost > 0).count()
    }

    /// What a reader of the scores must know of how they came about, a sentence each; empty where nothing is unusual.
    pub fn notes(&self) -> Vec<String> {
        let (name, all) = (self.task.name(), self.items.len() + self.set_aside.len());
        let mut notes = Vec::new();
        if self.truncated() > 0 {
            notes.push(format!(
                "{name}: {} of {all} items lost the beginning of their context, which has more than {} tokens",
                self.truncated(),
                self.context_length
            ));
        }
        let changed = self.items.iter().filter(|item| item.changes_context).count();
        if changed > 0 {
            notes.push(format!(
                "{name}: in {changed} of {all} items a choice changes the tokens of the context before it; they are split by \
                 number, as lm-evaluation-harness does"
            ));
        }
        for set_aside in &self.set_aside {
            notes.push(format!(
                "{name}: item {} set aside, {}: {:?}",
                set_aside.place,
                set_aside.reason(),
                set_aside.text
            ));
        }
        notes
    }
}
