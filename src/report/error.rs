//! Faults of a report.
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error(transparent)]
    Record(#[from] crate::record::RecordError),
    #[error("{}: {source}", .path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{}: {message}", .path.display())]
    Plan { path: PathBuf, message: String },
    /// `line` is 0 where it is the whole file.
    #[error("{}{}: {message}", .path.display(), if *line > 0 { format!(" line {line}") } else { String::new() })]
    Published { path: PathBuf, line: u64, message: String },
    #[error(
        "no program that converts figures is installed: looked for {known}\nhint: install librsvg (`rsvg-convert`), or take the SVG files"
    )]
    NoConverter { known: String },
    #[error("{program} could not write {}: {message}", .path.display())]
    Converter { program: &'static str, path: PathBuf, message: String },
    #[error("figure {figure}: {message}")]
    Figure { figure: String, message: String },
    #[error("no run and no arm is called `{name}`{}", hint(.near.as_deref(), .known))]
    UnknownSide { name: String, near: Option<String>, known: Vec<String> },
    #[error("run `{run}` failed: {reason}\nhint: only runs that finished can be compared")]
    FailedRun { run: String, reason: String },
    #[error("`{run}` is a run and `{arm}` an arm\nhint: compare two runs or two arms")]
    RunAgainstArm { run: String, arm: String },
    #[error("arm `{arm}` stands at several points of the axes\nhint: name one of {}", quoted(.labels))]
    SeveralPoints { arm: String, labels: Vec<String> },
    #[error("no seed has a finished run of both `{a}` and `{b}`")]
    NoSharedSeed { a: String, b: String },
    #[error("`{name}` cannot be compared with itself")]
    WithItself { name: String },
    #[error("run `{run}`: {message}")]
    Row { run: String, message: String },
}

impl ReportError {
    /// Whether a disk without room is the reason.
    pub fn is_full(&self) -> bool {
        crate::base::files::is_full(self)
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn hint(near: Option<&str>, known: &[String]) -> String {
    match near {
        Some(near) => format!("\nhint: did you mean `{near}`?"),
        None if known.is_empty() => "\nhint: no run has finished yet".into(),
        None => format!("\nhint: the arms are {}; the runs are in `runs.csv`", quoted(known)),
    }
}
