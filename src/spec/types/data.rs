//! `[data]`: the corpus, its tokenizer, and how documents become sequences.
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataSpec {
    pub corpus: CorpusSpec,
    pub tokenizer: TokenizerSpec,
    /// T: tokens of one training sequence.
    pub context_length: usize,
    pub shuffle: Shuffle,
    pub packing: Packing,
}

/// How documents are laid into sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Packing {
    /// End to end, cut every context_length tokens.
    Crossing,
    /// Whole, as many as fit; only those longer than a sequence are cut.
    Separate,
}

/// What is put into a new order in each epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shuffle {
    /// Windows of context_length tokens, cut from documents in the order of the files.
    Windows,
    /// Documents, and then the windows that are cut from them.
    Documents,
}

/// How much the synthetic corpus holds to be learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyntheticSize {
    /// Things that facts are about; a multiple of 8.
    pub entities: usize,
    /// Facts about each that follow from nothing.
    pub facts: usize,
    /// Ways to word a statement.
    pub forms: usize,
}

/// What becomes of a row of a corpus that gives no text: a broken line, a field or cell that is missing or null.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BadRows {
    /// The first one is a fault of the corpus.
    #[default]
    Refuse,
    /// They are left out and counted.
    Skip,
}

impl BadRows {
    fn are_refused(&self) -> bool {
        *self == BadRows::Refuse
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CorpusSpec {
    /// The embedded world: `documents` documents generated from `seed`.
    World { seed: u64, documents: usize },
    /// The synthetic corpus: `documents` documents generated from `seed`.
    Synthetic { seed: u64, documents: usize, size: SyntheticSize },
    /// Plain-text files (`.txt`, `.txt.gz`, `.txt.zst`), documents separated by `<|endoftext|>`.
    Text { train: Vec<String>, validation: Vec<String> },
    /// JSON Lines (`.jsonl`, `.jsonl.gz`, `.jsonl.zst`), one document in `field` of each line.
    Jsonl {
        train: Vec<String>,
        validation: Vec<String>,
        field: String,
        #[serde(default, skip_serializing_if = "BadRows::are_refused")]
        bad_rows: BadRows,
    },
    /// Parquet, one document in the text `column` of each row.
    Parquet {
        train: Vec<String>,
        validation: Vec<String>,
        column: String,
        #[serde(default, skip_serializing_if = "BadRows::are_refused")]
        bad_rows: BadRows,
    },
    /// Corpora from files, each with its share of the training sequences: `weights`, of any sum.
    Mixture { sources: Vec<CorpusSpec>, weights: Vec<f64> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TokenizerSpec {
    /// Byte-level BPE trained on the corpus.
    Bpe { vocab_size: usize },
    /// A Hugging Face `tokenizer.json`.
    File { path: String },
    /// That of the source model, which comes from disk and embeds `vocab_size` tokens.
    Model { vocab_size: usize },
}
