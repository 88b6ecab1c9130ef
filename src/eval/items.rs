//! What an experiment scores its models on: the items of its tasks, and these in tokens.
use super::encode::{EncodedTask, encode};
use super::error::EvalError;
use super::load::{Source, load};
use super::sample::Limit;
use super::task::{Item, Task};
use crate::data::Tokenizer;
use crate::data::synthetic::Synthetic;
use crate::data::world::World;
use crate::spec::{CorpusSpec, EvalSpec};
use std::path::Path;

/// The items of each task of `eval`, in order: those of its folder; without one those of the generated corpus that is the
/// training text, or, for text from files, of the embedded world with seed 0.
///
/// # Errors
/// As [`load`].
pub fn items_for(eval: &EvalSpec, corpus: &CorpusSpec) -> Result<Vec<(Task, Vec<Item>)>, EvalError> {
    let (world, synthetic);
    let source = match (&eval.folder, corpus) {
        (Some(folder), _) => Source::Folder(Path::new(folder)),
        (None, CorpusSpec::Synthetic { seed, size, .. }) => {
            synthetic = Synthetic::new(*seed, *size);
            Source::Synthetic(&synthetic)
        }
        (None, corpus) => {
            world = World::new(match corpus {
                CorpusSpec::World { seed, .. } => *seed,
                _ => 0,
            });
            Source::World(&world)
        }
    };
    let load = |name: &String| {
        let task = Task::from_name(name)?;
        Ok((task, load(task, source, Limit::of(eval), 0)?))
    };
    eval.tasks.iter().map(load).collect()
}

/// The items of [`items_for`] in tokens, cut to `context_length`.
///
/// # Errors
/// As [`load`] and [`encode`].
pub fn encoded_items(
    eval: &EvalSpec,
    corpus: &CorpusSpec,
    tokenizer: &Tokenizer,
    context_length: usize,
) -> Result<Vec<EncodedTask>, EvalError> {
    let encode = |(task, items)| Ok(encode(task, items, tokenizer, context_length)?);
    items_for(eval, corpus)?.into_iter().map(encode).collect()
}
