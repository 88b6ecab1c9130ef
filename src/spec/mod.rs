//! What the user asked for: a typed experiment, every fault of the file reported at once.
//!
//! ```text
//! text ─tree→ nodes with lines ─grid→ one tree per point ─read→ RunSpec ─check→ rules between keys
//!                                                      └─ places: files, and what a source model says of itself
//! ```
pub mod arm;
mod check;
mod comparisons;
mod corpus;
mod error;
mod grid;
mod names;
mod places;
mod questions;
mod read;
mod reader;
mod rules;
mod schema;
pub mod size;
mod tree;
pub mod types;
pub mod vocabulary;
mod widths;

pub use arm::{ArmSpec, How, Pruning, Shape, Start, Tokens, Training};
pub use check::task_folder;
pub use error::{Fault, SpecError};
pub use names::{FOLDER_TASKS, TASKS};
#[cfg(test)]
pub(crate) use places::no_model;
pub use places::{Describe, ModelDescription, NoSource};
pub use schema::json_schema;
pub use types::*;

use crate::base::input;
use crate::base::suggest::nearest;
use places::Places;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Name of the file that makes a folder an experiment.
pub const FILE_NAME: &str = "experiment.toml";

/// Largest experiment file that is read: real ones have some kilobytes.
const MAX_FILE_BYTES: u64 = 1 << 24;

/// Reads and checks the experiment at `path`: a folder that holds an `experiment.toml`, or the file itself.
///
/// Relative paths within the file are taken from the file's folder. `settings` (`key.path=value`) override
/// what the file says; their relative paths are taken from the current folder. `describe` looks at source models.
///
/// # Errors
/// [`SpecError::Missing`] and [`SpecError::Read`] where there is no readable file, [`SpecError::Invalid`] with every
/// fault of the file otherwise.
pub fn load(path: &Path, settings: &[String], describe: Describe<'_>) -> Result<Experiment, SpecError> {
    let file = file_at(path)?;
    let read = |source| SpecError::Read { path: file.clone(), source };
    let text = input::read_text(&file, MAX_FILE_BYTES).map_err(read)?;
    let absolute = file.canonicalize().map_err(read)?;
    let folder = absolute.parent().unwrap_or(Path::new("/"));
    let places = Places { folder, describe };
    set(tree::parse(&text), settings)
        .and_then(|tree| grid::experiment(&tree, &name_of(&absolute), &places))
        .map_err(|faults| SpecError::Invalid { path: file, faults })
}

/// Name of the experiment at `path`, which its results bear too; its file is not read.
///
/// # Errors
/// [`SpecError::Missing`] and [`SpecError::Read`], as [`load`].
pub fn name(path: &Path) -> Result<String, SpecError> {
    let file = file_at(path)?;
    let absolute = file.canonicalize().map_err(|source| SpecError::Read { path: file.clone(), source })?;
    Ok(name_of(&absolute))
}

fn file_at(path: &Path) -> Result<PathBuf, SpecError> {
    let file = if path.is_dir() { path.join(FILE_NAME) } else { path.to_path_buf() };
    if !file.exists() {
        return Err(SpecError::Missing { path: path.to_path_buf(), nearest: nearest_experiment(path) });
    }
    Ok(file)
}

/// The tree with `settings` in it.
fn set(tree: Result<tree::Node, Vec<Fault>>, settings: &[String]) -> Result<tree::Node, Vec<Fault>> {
    let mut tree = tree?;
    let mut faults = Vec::new();
    for setting in settings {
        match tree::assignment(setting) {
            Ok((key, node)) => {
                if tree.set(&key, node).is_none() {
                    let message = "leads through a key that is not a table".into();
                    faults.push(Fault { key, line: 0, message, hint: None });
                }
            }
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(tree) } else { Err(faults) }
}

/// Reads and checks the text of an experiment file called `name` whose relative paths start at `folder`; `describe` looks
/// at source models.
///
/// # Errors
/// Every fault of the text, in the order of lines.
pub fn parse(
    text: &str,
    name: &str,
    folder: &Path,
    describe: Describe<'_>,
) -> Result<Experiment, Vec<Fault>> {
    grid::experiment(&tree::parse(text)?, name, &Places { folder, describe })
}

/// The keys of a section of the file that the reader knows, each with the section's name: of `prune`, `prune.saliency` and so on.
pub fn keys_of(section: &str) -> &'static [&'static str] {
    static KNOWN: OnceLock<BTreeMap<&'static str, Vec<&'static str>>> = OnceLock::new();
    let known = KNOWN.get_or_init(|| {
        let nothing = tree::Node { line: 0, value: tree::Value::Table(Vec::new()) };
        let findings = read::findings();
        let describe = |_: &str| Err(NoSource(String::new()));
        read::run_spec(
            &reader::Table::root(&nothing, &findings),
            &Places { folder: Path::new("/"), describe: &describe },
        );
        let mut sections: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for key in findings.known() {
            // Once for the process: the keys of the format are as static as its code.
            let key: &'static str = key.leak();
            if let Some((section, _)) = key.rsplit_once('.') {
                sections.entry(section).or_default().push(key);
            }
        }
        sections
    });
    known.get(section).map_or(&[], Vec::as_slice)
}

/// Name of the folder for `…/<name>/experiment.toml`, name of the file without extension for any other.
fn name_of(file: &Path) -> String {
    let folder = file.parent().and_then(Path::file_name);
    let name = if file.file_name().is_some_and(|name| name == FILE_NAME) { folder } else { file.file_stem() };
    name.map_or("experiment".to_string(), |name| name.to_string_lossy().into_owned())
}

/// The experiment folder beside `path` whose name is nearest.
fn nearest_experiment(path: &Path) -> Option<String> {
    let parent = crate::base::files::folder_of(path);
    let name = path.file_name()?.to_string_lossy().into_owned();
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(parent).ok()?.flatten().map(|entry| entry.path()).collect();
    folders.retain(|folder| folder.join(FILE_NAME).exists());
    folders.sort();
    let names: Vec<String> = folders
        .iter()
        .filter_map(|folder| Some(folder.file_name()?.to_string_lossy().into_owned()))
        .collect();
    nearest(&name, names.iter().map(String::as_str)).map(|name| parent.join(name).display().to_string())
}

#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod source_tests;
#[cfg(test)]
mod tests;
