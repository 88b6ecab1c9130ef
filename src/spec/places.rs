//! Where the files of an experiment are, and what its source model says of itself.
//!
//! Paths of the file start at the experiment's folder, so that it can be moved with its data; paths of the command line
//! (`--set`) start at the current folder, as whoever types them expects.
use super::reader::Table;
use super::types::ModelSpec;
use std::path::Path;

/// A model on disk, as far as a plan needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelDescription {
    /// Its folder or file; for a name on the hub, where that was fetched to.
    pub path: String,
    /// Every file of it that can change a number.
    pub files: Vec<String>,
    pub model: ModelSpec,
    /// Rows of its embedding.
    pub vocab_size: usize,
}

/// Why a model is no source, in whole, with what to do about it on lines of its own: a fault quotes it and looks for nothing
/// in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoSource(pub String);

/// Looks at the model at a place.
pub type Describe<'a> = &'a dyn Fn(&str) -> Result<ModelDescription, NoSource>;

/// For tests of experiments without a model from disk.
#[cfg(test)]
pub(crate) fn no_model(_: &str) -> Result<ModelDescription, NoSource> {
    Err(NoSource("there is no model".into()))
}

/// What readers need beside the text.
#[derive(Clone, Copy)]
pub(super) struct Places<'a> {
    /// The experiment's.
    pub folder: &'a Path,
    pub describe: Describe<'a>,
}

impl Places<'_> {
    /// The path that `name` at `key` means; what is not there is a fault.
    pub fn path(&self, t: &Table<'_>, key: &str, name: String, there: fn(&Path) -> bool) -> String {
        let line = t.line_of(key.split('[').next().unwrap_or(key));
        let path = if line == 0 { Path::new(&name).to_path_buf() } else { self.folder.join(&name) };
        if !name.is_empty() && !there(&path) {
            t.findings().add(
                t.path_of(key),
                line,
                format!("nothing to read at `{name}`"),
                Some(self.remedy(&path, line)),
            );
        } else if path.to_str().is_none() {
            t.findings().add(
                t.path_of(key),
                line,
                format!("`{}` has a name that is not UTF-8, and paths are kept as text", path.display()),
                Some("rename the folder or the file".into()),
            );
        }
        path.to_string_lossy().into_owned()
    }

    fn remedy(&self, path: &Path, line: usize) -> String {
        if line == 0 {
            return "relative paths of `--set` start at the current folder".into();
        }
        let readme = self.folder.join("README.md");
        match readme.is_file() {
            true => format!(
                "put it at `{}` (`{}` says where it comes from), or name another place with `--set`",
                path.display(),
                readme.display()
            ),
            false => format!("relative paths start at the experiment's folder: `{}`", path.display()),
        }
    }
}
