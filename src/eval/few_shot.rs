//! Examples before an item: the first n of a split, each as its context with the right choice, joined by blank lines.
//!
//! The harness takes MMLU's examples so too (the first n of the subject's `dev` split); for other tasks it draws them
//! from `train` anew for every item with a seed of its own, which no other program can follow: here they are the first
//! n of `train` for every item.
use super::error::EvalError;
use super::task::{Item, Task};
use std::collections::HashMap;

/// Texts to put before items, by subject.
pub(super) struct Examples {
    task: Task,
    wanted: usize,
    texts: HashMap<Option<String>, Vec<String>>,
}

impl Examples {
    pub(super) fn new(task: Task, items: &[Item], wanted: usize) -> Examples {
        let mut texts: HashMap<Option<String>, Vec<String>> = HashMap::new();
        for item in items {
            let texts = texts.entry(item.subject.clone()).or_default();
            if let (Some(right), true) = (item.requests.get(item.gold), texts.len() < wanted) {
                let context = &right.context[item.description.len()..];
                texts.push(format!("{context}{}", right.continuation));
            }
        }
        Examples { task, wanted, texts }
    }

    /// Puts the examples between the description and the context of every request.
    ///
    /// # Errors
    /// There are fewer examples than wanted.
    pub(super) fn put_before(&self, item: &mut Item) -> Result<(), EvalError> {
        let texts = self.texts.get(&item.subject).map_or(&[][..], Vec::as_slice);
        if texts.len() < self.wanted {
            return Err(EvalError::TooFewExamples {
                task: self.task.name(),
                split: self.task.example_split(),
                of: item.subject.as_ref().map_or_else(String::new, |subject| format!(" of `{subject}`")),
                found: texts.len(),
                asked: self.wanted,
            });
        }
        let examples: String = texts.iter().map(|text| format!("{text}\n\n")).collect();
        for request in &mut item.requests {
            request.context.insert_str(item.description.len(), &examples);
        }
        Ok(())
    }
}
