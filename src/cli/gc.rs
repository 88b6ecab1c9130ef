//! `efficientllm gc`: deletes what the experiment does not name any more, or models that were scored, after asking.
use super::{Place, Settings, engine};
use crate::base::files::size_of_tree;
use crate::base::output::write_out;
use crate::base::units::si;
use crate::plan::plan;
use crate::run::{FinalModels, Store, keys, plan_hash, refuse_other_plans};
use anyhow::Result;
use clap::Args;
use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;

#[derive(Args)]
pub(super) struct Options {
    /// Delete models, too, that were scored and that no other stage needs; what needs them later makes them again
    #[arg(long)]
    models: bool,
    /// Delete without asking
    #[arg(long)]
    yes: bool,
}

pub(super) fn main(place: &Place, settings: &Settings, options: &Options) -> Result<u8> {
    let (mut experiment, results) = place.load(settings)?;
    let kind = engine::planned(&mut experiment.engine, &results)?;
    let plan = plan(&experiment, kind)?;
    let store = Store::at(&results);
    let keys = keys(&plan);
    let unnamed = store.unnamed(&keys)?;
    let models =
        if options.models { FinalModels::of(&plan, &keys, &store).discardable() } else { Vec::new() };
    if unnamed.is_empty() && models.is_empty() {
        let why = match options.models {
            true => "the experiment needs everything",
            false => "the experiment names everything",
        };
        say!("nothing to delete: {why} in {}", store.root().display());
        return Ok(0);
    }
    list(&store, &unnamed, "that the experiment does not name");
    list(&store, &models, "of models that were scored and that no other stage needs");
    if !options.yes {
        if !std::io::stdin().is_terminal() {
            say!("nothing is deleted\nhint: `--yes` deletes without asking");
            return Ok(0);
        }
        write_out("delete them? [y/N] ");
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer)?;
        if !matches!(answer.trim(), "y" | "Y" | "yes") {
            say!("nothing is deleted");
            return Ok(0);
        }
    }
    // Whoever is at work carries out this very plan, and nothing of that is deleted.
    let hash = plan_hash(&plan)?;
    let claims = store.enter(&hash)?;
    refuse_other_plans(&claims, &results, &hash)?;
    for path in unnamed.iter().chain(&models) {
        store.delete(path)?;
    }
    say!("deleted");
    Ok(0)
}

/// Folders with their sizes, and the sum; nothing where there are none.
fn list(store: &Store, folders: &[PathBuf], what: &str) {
    if folders.is_empty() {
        return;
    }
    let mut total = 0;
    for path in folders {
        let size = size_of_tree(path);
        total += size;
        say!("{:>10}  {}", si(size as f64, "B"), path.strip_prefix(store.root()).unwrap_or(path).display());
    }
    let count = folders.len();
    let noun = if count == 1 { "folder" } else { "folders" };
    say!("{:>10}  in {count} {noun} {what}", si(total as f64, "B"));
}
