//! The vocabulary that travels inside a GGUF file, as plain values: `model` reads and writes the file, `data` makes
//! tokenizers of it, and neither knows the other.

/// The values under `tokenizer.ggml.*` of a GGUF file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VocabularyTables {
    /// `model`: `gpt2` for byte-level BPE, `llama` for SentencePiece.
    pub model: String,
    /// `pre`: which rule cuts text into words; empty where the file says none.
    pub pre: String,
    pub tokens: Vec<String>,
    /// `token_type`: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte; empty: all normal.
    pub token_types: Vec<i32>,
    /// Score of each token (SentencePiece); empty for byte-level BPE.
    pub scores: Vec<f32>,
    /// `left right`, earliest first (byte-level BPE).
    pub merges: Vec<String>,
    pub bos_id: Option<u32>,
    pub eos_id: Option<u32>,
    /// `eot_token_id` and `eom_token_id`: tokens beside `eos_id` at which generation ends.
    pub other_end_ids: Vec<u32>,
    pub padding_id: Option<u32>,
    pub unknown_id: Option<u32>,
    /// `add_bos_token`: whether BOS stands before every text; `None`: the default of the tokenizer's model.
    pub add_bos: Option<bool>,
    /// `add_space_prefix`: whether a space is put before the text (SentencePiece); `None`: the default.
    pub add_space_prefix: Option<bool>,
}

impl VocabularyTables {
    /// Leaves out tokens with ids from `num_rows` on, which a model of so many rows does not have.
    pub fn truncate(&mut self, num_rows: usize) {
        self.tokens.truncate(num_rows);
        self.token_types.truncate(num_rows);
        self.scores.truncate(num_rows);
        let is_row = |id: &u32| (*id as usize) < num_rows;
        for id in [&mut self.bos_id, &mut self.eos_id, &mut self.padding_id, &mut self.unknown_id] {
            *id = id.filter(is_row);
        }
        self.other_end_ids.retain(is_row);
    }
}
