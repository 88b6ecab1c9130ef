//! What `plan` says of benchmark items that cannot be scored as they stand, wherever the tokenizer exists by then: one that the
//! experiment is given, or one that an earlier run has trained.
use crate::base::hash::{canonical_json, sha256_hex};
use crate::data::Tokenizer;
use crate::data::prepare::Header;
use crate::eval::{EncodedTask, encoded_items, tokenizer_of};
use crate::model::checkpoint;
use crate::plan::{Plan, StageKind};
use crate::run::Store;
use crate::spec::{RunSpec, TokenizerSpec};
use anyhow::Result;
use serde_json::json;
use std::fmt::Write;
use std::path::Path;

/// Notes that are shown.
const SHOWN: usize = 20;
/// Raised with every change of how items are encoded or told.
const REVISION: u32 = 1;

/// What a reader of the scores must know of the items, for all corpora of the plan; empty where nothing is unusual.
///
/// # Errors
/// Items that cannot be read, a task of which none can be scored.
pub(super) fn describe(plan: &Plan, store: &Store) -> Result<String> {
    let mut notes: Vec<String> = Vec::new();
    let mut seen = Vec::new();
    for stage in plan.stages.iter().filter(|stage| matches!(stage.kind, StageKind::Evaluation(_))) {
        let Some(corpus) = stage.inputs.corpus.map(|place| &plan.stages[place]) else { continue };
        let (spec, identity) = (&stage.spec, &stage.identity);
        let keys = ["tasks", "items", "sample_seed", "benchmarks", "world_items", "context_length"];
        let set = canonical_json(&json!([corpus.id, keys.map(|key| &identity[key]), REVISION]))?;
        if seen.contains(&set) {
            continue;
        }
        let hash = &sha256_hex(format!("items {set}").as_bytes())[..16];
        seen.push(set);
        let found: Vec<String> = match store.check(hash) {
            Some(found) => found,
            None => {
                let folder = store.folder(&corpus.id);
                let trained = || Header::read(&folder).ok().and_then(|header| header.tokenizer(&folder).ok());
                let Some(tokenizer) = given_tokenizer(spec)?.or_else(trained) else { continue };
                let length = spec.data.context_length;
                let tasks = encoded_items(&spec.eval, &spec.data.corpus, &tokenizer, length)?;
                if let Some(fault) = tasks.iter().find_map(EncodedTask::nothing_to_score) {
                    return Err(fault.into());
                }
                let found = tasks.iter().flat_map(EncodedTask::notes).collect();
                // What cannot be kept is found again the next time.
                let _ = store.keep_check(hash, &found);
                found
            }
        };
        found.into_iter().for_each(|note| {
            if !notes.contains(&note) {
                notes.push(note);
            }
        });
    }
    let mut text = String::new();
    if !notes.is_empty() {
        text.push_str("\nitems that are not scored as they stand\n");
    }
    for note in notes.iter().take(SHOWN) {
        let _ = writeln!(text, "  {note}");
    }
    if notes.len() > SHOWN {
        let _ = writeln!(
            text,
            "  … and {} more; `set_aside.csv` lists them once they are scored",
            notes.len() - SHOWN
        );
    }
    Ok(text)
}

/// The tokenizer that an experiment is given; `None` where it trains its own.
pub(super) fn given_tokenizer(spec: &RunSpec) -> Result<Option<Tokenizer>> {
    Ok(match (&spec.data.tokenizer, &spec.source.model) {
        (TokenizerSpec::File { path }, _) => Some(Tokenizer::from_file(Path::new(path))?),
        (TokenizerSpec::Model { vocab_size }, Some(model)) => {
            Some(tokenizer_of(&checkpoint::describe(&model.path)?.tokenizer)?.within(*vocab_size)?)
        }
        _ => None,
    })
}
