//! `efficientllm gc`: deletes what the experiment does not name any more, after asking.
use super::{Place, Settings, engine};
use crate::base::files::size_of_tree;
use crate::base::output::write_out;
use crate::base::units::si;
use crate::plan::plan;
use crate::run::{Store, keys, plan_hash, refuse_other_plans};
use anyhow::Result;
use clap::Args;
use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;

#[derive(Args)]
pub(super) struct Options {
    /// Delete without asking
    #[arg(long)]
    yes: bool,
}

pub(super) fn main(place: &Place, settings: &Settings, options: &Options) -> Result<u8> {
    let (mut experiment, results) = place.load(settings)?;
    let kind = engine::planned(&mut experiment.engine, &results)?;
    let plan = plan(&experiment, kind)?;
    let store = Store::at(&results);
    let unnamed: Vec<(PathBuf, u64)> = store
        .unnamed(&keys(&plan))?
        .into_iter()
        .map(|path| {
            let size = size_of_tree(&path);
            (path, size)
        })
        .collect();
    if unnamed.is_empty() {
        say!("nothing to delete: the experiment names everything in {}", store.root().display());
        return Ok(0);
    }
    for (path, size) in &unnamed {
        let name = path.strip_prefix(store.root()).unwrap_or(path);
        say!("{:>10}  {}", si(*size as f64, "B"), name.display());
    }
    let total: u64 = unnamed.iter().map(|(_, size)| size).sum();
    say!("{:>10}  in {} folders that the experiment does not name", si(total as f64, "B"), unnamed.len());
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
    for (path, _) in &unnamed {
        store.delete(path)?;
    }
    say!("deleted");
    Ok(0)
}
