//! Faults of data: each with the place, what was found, and what would do.
use super::hub::DatasetSplit;
use crate::base::files::folder_of;
use std::path::PathBuf;

/// Why a corpus, a tokenizer or a benchmark file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error("cannot read `{}`: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("`{}`: not UTF-8 text (byte {offset})", path.display())]
    NotUtf8 { path: PathBuf, offset: usize },
    #[error(
        "`{}`: damaged or cut short: {kind} gives nothing after byte {offset} of the text: {source}", path.display()
    )]
    Compressed { path: PathBuf, kind: &'static str, offset: usize, source: std::io::Error },
    #[error("`{}`: unknown kind of file; expected a name that ends in {expected}", path.display())]
    Extension { path: PathBuf, expected: &'static str },
    #[error("`{}` line {line}, column {column}: broken JSON: {found}", path.display())]
    BrokenJson { path: PathBuf, line: usize, column: usize, found: String },
    #[error("`{}` line {line}: no field `{field}`; found {found}{}", path.display(), did_you_mean(nearest))]
    MissingField { path: PathBuf, line: usize, field: String, found: String, nearest: Option<String> },
    #[error("`{}` line {line}: field `{field}` is {found}, not {expected}", path.display())]
    FieldType { path: PathBuf, line: usize, field: String, found: String, expected: &'static str },
    #[error("`{}` row {row}: not to be read as {kind}: {reason}", path.display())]
    Table { path: PathBuf, kind: &'static str, row: usize, reason: String },
    #[error("`{}`: no column `{column}`; {valid}{}", path.display(), did_you_mean(nearest))]
    MissingColumn { path: PathBuf, column: String, valid: String, nearest: Option<String> },
    #[error("`{}`: column `{column}` is {found}, not text; {valid}{}", path.display(), did_you_mean(nearest))]
    ColumnType { path: PathBuf, column: String, found: String, valid: String, nearest: Option<String> },
    #[error("`{}` row {row}: column `{column}` is null, not text", path.display())]
    NullCell { path: PathBuf, row: usize, column: String },
    #[error("no {split} documents{}{}", in_files(files), left_out(*bad_rows))]
    EmptyCorpus { split: &'static str, files: Vec<PathBuf>, bad_rows: u64 },
    /// A row that gives no text, in a corpus that is not to leave such rows out.
    #[error("{fault}\nhint: `bad_rows = \"skip\"` in the corpus leaves such rows out and counts them")]
    BadRow { fault: Box<DataError> },
    #[error(
        "{split} corpus too short: {found} tokens found, {needed} needed for one window (context_length {context_length} + 1)"
    )]
    TooShort { split: &'static str, found: u64, needed: u64, context_length: usize },
    #[error("{found} windows or documents are more than the {} that one source may have", u32::MAX)]
    TooLong { found: u64 },
    #[error("source {number} of the mixture: {fault}")]
    OfSource { number: usize, fault: Box<DataError> },
    #[error("cannot write `{}`: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error(
        "`{}` is not what was written: {what}\nhint: delete `{}` and run again; it is then made anew",
        path.display(), folder_of(path).display()
    )]
    Stored { path: PathBuf, what: String },
    #[error("interrupted while the corpus was read; run again to start it anew")]
    Interrupted,
    #[error("context_length must be at least 1")]
    ZeroContext,
    #[error(
        "vocab_size {vocab_size} is too small for byte-level BPE: 256 bytes and `<|endoftext|>` need {minimum}"
    )]
    VocabularyTooSmall { vocab_size: usize, minimum: usize },
    #[error("tokenizer `{}`: {reason}", path.display())]
    Tokenizer { path: PathBuf, reason: String },
    #[error(
        "`{place}` is no name of a model on the hub\nhint: write `hf:<organisation>/<name>` or `hf:<organisation>/<name>@<revision>`"
    )]
    HubName { place: String },
    #[error(
        "cannot fetch `{place}` from the model hub: {reason}\nhint: run again to go on, or put `config.json`, `tokenizer.json` and the `.safetensors` files into `{}`",
        folder.display()
    )]
    Hub { place: String, reason: String, folder: PathBuf },
    #[error(
        "cannot fetch split `{}` of the data set `{}` (configuration `{}`) from the hub: {reason}\nhint: run again to go on, or put that split as Parquet at `{}`",
        split.split, split.dataset, split.config, file.display()
    )]
    HubSplit { split: DatasetSplit, reason: String, file: PathBuf },
    #[error("no home folder for the model hub's cache\nhint: name one in `HF_HOME`")]
    NoHubCache,
    #[error(
        "`{}` is damaged: its SHA-256 is {found}, not {expected}; it was removed\nhint: run again to fetch it anew",
        path.display()
    )]
    Checksum { path: PathBuf, expected: String, found: String },
    #[error("tokenizer: {reason}")]
    Tokenize { reason: String },
    #[error(
        "the text has the token `{token}` (id {id}), which the model does not have: its embedding has {rows} rows"
    )]
    BeyondModel { token: String, id: u32, rows: usize },
    #[error("the tokenizer has {tokens} tokens, the model embeds {rows}: they do not belong together")]
    OtherVocabulary { tokens: usize, rows: usize },
    #[error("tokenizer: that of the source model was asked for, and nobody handed it over")]
    ModelTokenizer,
}

impl DataError {
    /// The same fault of a mixture's source, counted from 0.
    pub(super) fn in_source(self, place: usize) -> Self {
        match self {
            DataError::Interrupted => self,
            fault => DataError::OfSource { number: place + 1, fault: Box::new(fault) },
        }
    }
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |name| format!("\nhint: did you mean `{name}`?"))
}

fn left_out(bad_rows: u64) -> String {
    if bad_rows == 0 { String::new() } else { format!("; {bad_rows} bad rows were left out") }
}

fn in_files(files: &[PathBuf]) -> String {
    match files {
        [] => String::new(),
        files => {
            format!(
                " in {}",
                files.iter().map(|f| format!("`{}`", f.display())).collect::<Vec<_>>().join(", ")
            )
        }
    }
}
