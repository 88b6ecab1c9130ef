//! What can be wrong with an experiment file, and how it is said.
use std::fmt;
use std::path::PathBuf;

/// One fault: where, what, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Key path, such as `train.batch_tokens` or `arms[2].shape`.
    pub key: String,
    /// Line of the file, from 1; 0 where the fault has none (a section that is missing).
    pub line: usize,
    /// The offending value and the rule that it breaks.
    pub message: String,
    /// The nearest valid value, or the names to choose from.
    pub hint: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.key, self.message),
            line => write!(f, "{} (line {line}): {}", self.key, self.message),
        }
    }
}

/// Why there is no experiment to plan.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// There is no such file; `nearest` is a folder beside it that is an experiment and has a similar name.
    #[error("no experiment at `{}`{}", .path.display(), hint_line(.nearest))]
    Missing { path: PathBuf, nearest: Option<String> },
    #[error("cannot read `{}`: {source}", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    /// Every fault of the file, in the order of its lines.
    #[error("{}", list_faults(.path, .faults))]
    Invalid { path: PathBuf, faults: Vec<Fault> },
}

fn hint_line(nearest: &Option<String>) -> String {
    match nearest {
        Some(nearest) => format!("\nhint: did you mean `{nearest}`?"),
        None => "\nhint: name a folder that holds an `experiment.toml`, or the file itself".to_string(),
    }
}

fn list_faults(path: &std::path::Path, faults: &[Fault]) -> String {
    let mut text = format!("invalid experiment `{}`", path.display());
    for fault in faults {
        text.push_str(&format!("\n  {fault}"));
    }
    let mut hints: Vec<&str> = Vec::new();
    for hint in faults.iter().filter_map(|fault| fault.hint.as_deref()) {
        if !hints.contains(&hint) {
            hints.push(hint);
        }
    }
    for hint in hints {
        text.push_str(&format!("\nhint: {hint}"));
    }
    text
}
