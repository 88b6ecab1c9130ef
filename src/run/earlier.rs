//! Results without the store that they came from: copied without it, or taken from a repository.
//!
//! Tables are merged from the store alone, so the first merge of a new store would take the place of every row. What lies there is
//! kept in `<results>/earlier` first, and a second time in `earlier.2`; the same tables are not kept twice.
use super::error::RunError;
use super::store::{Claims, Store};
use super::tables::TABLES_CLAIM;
use crate::base::files::{Durability, commit_folder, temporary_folder};
use crate::base::input;
use crate::record::dictionary::RUNS;
use crate::record::snapshot::SUMS_FILE;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Name of the folder.
const EARLIER: &str = "earlier";
/// Column of the table of runs, and its value for one that has scores.
const STATUS: &str = "status";
const FINISHED: &str = "ok";
/// What of a results folder is copied with its files.
const FIGURES: &str = "figures";

/// Keeps the results of `results` if runs have finished there and `store` has nothing that their rows could be merged from. Returns
/// where.
///
/// # Errors
/// They cannot be copied; nothing has changed then.
pub(super) fn keep(results: &Path, store: &Store, claims: &Claims) -> Result<Option<PathBuf>, RunError> {
    // Whoever writes the tables has been here before.
    let Some(_claim) = claims.take(TABLES_CLAIM, false)? else { return Ok(None) };
    if store.has_evaluations() || !has_finished(&results.join(RUNS)) {
        return Ok(None);
    }
    let sums = fs::read(results.join(SUMS_FILE)).ok();
    let mut to = results.join(EARLIER);
    let mut number = 1;
    while to.exists() {
        if sums.is_some() && fs::read(to.join(SUMS_FILE)).ok() == sums {
            return Ok(None);
        }
        number += 1;
        to = results.join(format!("{EARLIER}.{number}"));
    }
    let copied = || -> io::Result<()> {
        let folder = temporary_folder(results)?;
        copy_files(results, folder.path())?;
        if results.join(FIGURES).is_dir() {
            fs::create_dir(folder.path().join(FIGURES))?;
            copy_files(&results.join(FIGURES), &folder.path().join(FIGURES))?;
        }
        commit_folder(folder, &to, Durability::Synced)
    };
    copied().map_err(|source| RunError::Write { path: to.clone(), source })?;
    Ok(Some(to))
}

/// Whether a run of the table has finished; one that cannot be read is told of by who reads it.
fn has_finished(table: &Path) -> bool {
    let Ok(text) = input::read_text(table, u64::MAX) else { return false };
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let at = reader.headers().ok().and_then(|names| names.iter().position(|name| name == STATUS));
    at.is_some_and(|at| reader.records().flatten().any(|row| row.get(at) == Some(FINISHED)))
}

/// Copies the files of `from` that are no hidden ones.
fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        if entry.file_type()?.is_file() && !is_hidden {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_without_their_store_are_kept_once() {
        let folder = tempfile::tempdir().unwrap();
        let results = folder.path();
        let store = Store::at(results);
        store.prepare().unwrap();
        let claims = store.enter("plan").unwrap();
        let kept = || keep(results, &store, &claims).unwrap();
        assert_eq!(kept(), None);
        let write = |name: &str, text: &str| fs::write(results.join(name), text).unwrap();
        write(RUNS, "run,arm,status\n");
        assert_eq!(kept(), None, "it has no rows");
        write(RUNS, "run,arm,status\nsource-s1-0,source,failed\n");
        assert_eq!(kept(), None, "nothing has finished");
        write(RUNS, "run,arm,status\nsource-s1-0,source,failed\nsource-s2-0,source,ok\n");
        write(SUMS_FILE, "one");
        fs::create_dir(results.join(FIGURES)).unwrap();
        write("figures/pareto.svg", "figure");
        let earlier = results.join("earlier");
        assert_eq!(kept(), Some(earlier.clone()));
        for name in [RUNS, SUMS_FILE, "figures/pareto.svg"] {
            assert_eq!(fs::read(earlier.join(name)).unwrap(), fs::read(results.join(name)).unwrap());
        }
        assert!(!earlier.join("store").exists() && results.join(RUNS).exists());
        assert_eq!(kept(), None, "the same is there");
        write(SUMS_FILE, "two");
        assert_eq!(kept(), Some(results.join("earlier.2")));
        write(SUMS_FILE, "three");
        fs::create_dir(store.folder("eval-source-s1-0")).unwrap();
        assert_eq!(kept(), None, "they can be merged again");
    }
}
