//! What can be wrong with a checkpoint: every message names the file, the place in it, what was found and what
//! was expected.
use std::io;
use std::path::PathBuf;

/// A checkpoint that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("`{path}`: cannot {action}: {source}")]
    Io {
        /// "read", "write", …
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("`{path}` exists already: a checkpoint is written to a folder of its own")]
    Exists { path: PathBuf },
    /// Not JSON at all; the source names line and column.
    #[error("`{path}` is not valid JSON: {source}")]
    Json { path: PathBuf, source: serde_json::Error },
    /// A value of `config.json` that is missing, of a wrong type, out of range or not supported.
    #[error("`{path}`: `{key}` is {found}, expected {expected}")]
    Config { path: PathBuf, key: String, found: String, expected: String },
    /// A safetensors file that is truncated, too long, or whose header is wrong.
    #[error("`{path}` ({bytes} bytes) is not a sound safetensors file: {source}")]
    Container { path: PathBuf, bytes: u64, source: safetensors::SafeTensorError },
    #[error("`{path}` has no tensor `{tensor}`, expected one of shape {expected:?}")]
    MissingTensor { path: PathBuf, tensor: String, expected: Vec<usize> },
    #[error("`{path}` has a tensor `{tensor}` of shape {found:?}, which the model of its config has not")]
    UnexpectedTensor { path: PathBuf, tensor: String, found: Vec<usize> },
    /// An index that names a file for a tensor which is not in it.
    #[error("`{path}`: `weight_map` says that tensor `{tensor}` is in `{file}`, which does not have it")]
    NotInShard { path: PathBuf, tensor: String, file: String },
    /// Weights, but not as safetensors under the name that is read.
    #[error("`{path}` is not there; beside its place is {found}\nhint: {remedy}")]
    OtherWeights { path: PathBuf, found: String, remedy: String },
    /// Values that no model can compute with.
    #[error("`{path}`: {}", not_finite(tensor, *count, *first))]
    NotFinite { path: PathBuf, tensor: String, count: usize, first: usize },
    /// The same tensor in two files of one model.
    #[error("`{path}` has a tensor `{tensor}` that an earlier file of the model has too")]
    RepeatedTensor { path: PathBuf, tensor: String },
    #[error("`{path}`: tensor `{tensor}` has shape {found:?}, expected {expected:?}")]
    TensorShape { path: PathBuf, tensor: String, found: Vec<usize>, expected: Vec<usize> },
    #[error("`{path}`: tensor `{tensor}` has element type {found}, expected F32, F16 or BF16")]
    TensorType { path: PathBuf, tensor: String, found: String },
    /// A binary file whose length does not follow from its header.
    #[error("`{path}` has {found} bytes, expected {expected}: it is {}", if found < expected { "truncated" } else { "too long" })]
    Length { path: PathBuf, found: u64, expected: u64 },
    /// A number in the header of a binary file.
    #[error("`{path}`: header field `{field}` is {found}, expected {expected}")]
    Header { path: PathBuf, field: &'static str, found: i64, expected: String },
    /// A piece of a llama2.c tokenizer.
    #[error("`{path}`: token {token} at byte {offset}: {problem}")]
    Token { path: PathBuf, token: usize, offset: usize, problem: String },
    /// Anything wrong in a GGUF file.
    #[error("`{path}` at byte {offset}: {problem}")]
    Gguf { path: PathBuf, offset: u64, problem: String },
    #[error(
        "`{path}` is no model: expected a folder with `config.json`, a GGUF file or a llama2.c file `*.bin`{}",
        hint.as_ref().map_or_else(String::new, |hint| format!("\nhint: {hint}"))
    )]
    NoModel { path: PathBuf, hint: Option<String> },
    /// A file whose sum is another than the list beside it says.
    #[error(
        "`{path}` is not what it was when `{list}` was written: its SHA-256 is another\nhint: fetch or export it again; where it was changed on purpose, delete the list"
    )]
    Sum { path: PathBuf, list: PathBuf },
    /// A format that is known and not read.
    #[error("`{path}`: {found}, which is not read\nhint: {remedy}")]
    NotRead { path: PathBuf, found: String, remedy: String },
    /// A model that no class of stock `transformers` computes, whatever zeros are added.
    #[error("`{path}`: {problem}\nhint: export a GGUF file, which holds it, or keep the folder of the run")]
    NoStockClass { path: PathBuf, problem: String },
    #[error("`{path}`: {tokens} tokens for a model of {rows}: this is not its tokenizer")]
    Vocabulary { path: PathBuf, tokens: usize, rows: usize },
}

/// That some values of `tensor` are not finite; `first` counts its elements row by row.
pub(super) fn not_finite(tensor: &str, count: usize, first: usize) -> String {
    let values = if count == 1 { "value that is" } else { "values that are" };
    format!(
        "tensor `{tensor}` holds {count} {values} not finite (NaN or infinite), the first at element {first}: the file is damaged, or the model had diverged when it was written"
    )
}
