//! Why an experiment cannot be planned.
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A file whose contents are part of a stage's identity.
    #[error("cannot read `{}`: {source}", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    /// The tokenizer's vocabulary cannot be counted.
    #[error("{0}")]
    Vocabulary(String),
    /// An arm takes its widths or its budget from one that there is not.
    #[error("no arm is called `{name}`")]
    NoArm { name: String },
    /// Two different stages hash to one id: a chance of one in four thousand million.
    #[error("two different stages have the id `{id}`; change a seed")]
    Collision { id: String },
}
