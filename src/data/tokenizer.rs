//! Byte-level BPE by the `tokenizers` crate, trained on the corpus or loaded from a `tokenizer.json`.
//!
//! Byte-level: every byte has a token, so any UTF-8 text is encoded and decoded without loss. Training is
//! deterministic: the crate counts words in hash maps and in parallel, but sums do not depend on the order, the
//! alphabet is sorted, and equal pair counts are decided by the pair; a test compares repeated trainings.
use super::corpus::SEPARATOR;
use super::error::DataError;
use super::guard::guarded;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, DecoderWrapper, ModelWrapper, PostProcessorWrapper, TokenizerBuilder};

/// Tokens that begin or end documents, by the names in use; the first found counts.
const END_OF_TEXT: [&str; 4] = [SEPARATOR, "</s>", "<|end_of_text|>", "<eos>"];
const BEGIN_OF_TEXT: [&str; 3] = ["<s>", "<|begin_of_text|>", "<bos>"];

/// Ids without a token that a vocabulary may have: real ones leave out some hundreds.
const MOST_GAPS: usize = 1 << 20;

/// A tokenizer with its end-of-document token.
#[derive(Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    json: String,
    eos_id: u32,
    bos_id: Option<u32>,
    /// UTF-8 bytes that each token stands for; 0 for special tokens.
    bytes: Vec<u32>,
}

impl Tokenizer {
    /// Trains byte-level BPE on `documents`; `<|endoftext|>` gets id 0.
    ///
    /// The vocabulary is smaller than `vocab_size` where the corpus has no more pairs to merge.
    ///
    /// # Errors
    /// `vocab_size` cannot hold the 256 bytes and the special token.
    pub fn train(documents: &[String], vocab_size: usize) -> Result<Self, DataError> {
        Self::train_on(documents.iter(), vocab_size)
    }

    /// As [`Self::train`], of documents that need not be in memory at once; their order does not matter.
    ///
    /// # Errors
    /// As [`Self::train`].
    pub fn train_on<T: AsRef<str> + Send>(
        documents: impl Iterator<Item = T> + Send,
        vocab_size: usize,
    ) -> Result<Self, DataError> {
        let minimum = 257;
        if vocab_size < minimum {
            return Err(DataError::VocabularyTooSmall { vocab_size, minimum });
        }
        let fault = |e: tokenizers::Error| DataError::Tokenize { reason: e.to_string() };
        let mut trainer = BpeTrainer::builder()
            .vocab_size(vocab_size)
            .min_frequency(2)
            .show_progress(false)
            .special_tokens(vec![AddedToken::from(SEPARATOR, true)])
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        let byte_level = ByteLevel::default().add_prefix_space(false);
        let mut inner = TokenizerBuilder::<
            BPE,
            tokenizers::NormalizerWrapper,
            ByteLevel,
            PostProcessorWrapper,
            DecoderWrapper,
        >::default()
        .with_model(BPE::default())
        .with_normalizer(None)
        .with_pre_tokenizer(Some(byte_level))
        .with_post_processor(None)
        .with_decoder(Some(DecoderWrapper::ByteLevel(byte_level)))
        .build()
        .map_err(fault)?;
        inner.train(&mut trainer, documents).map_err(fault)?;
        let json = inner.to_string(false).map_err(fault)?;
        Self::from_json(&json)
    }

    /// The tokenizer that a `tokenizer.json` describes.
    ///
    /// # Errors
    /// The text describes none, or it knows no end-of-document token.
    pub fn from_json(json: &str) -> Result<Self, DataError> {
        Self::from_json_with_ends(json, None, None)
    }

    /// As [`Self::from_json`]; `eos_id` and `bos_id` count where no token has one of the names in use.
    pub(super) fn from_json_with_ends(
        json: &str,
        eos_id: Option<u32>,
        bos_id: Option<u32>,
    ) -> Result<Self, DataError> {
        let parse = || json.parse().map_err(|e: tokenizers::Error| e.to_string());
        let mut inner: tokenizers::Tokenizer =
            guarded(parse).flatten().map_err(|reason| DataError::Tokenize { reason })?;
        // Whole texts are asked for, whatever the file's last user cut or padded them to.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| DataError::Tokenize { reason: e.to_string() })?;
        let first = |names: &[&str]| names.iter().find_map(|name| inner.token_to_id(name));
        let eos_id = first(&END_OF_TEXT).or(eos_id).ok_or_else(|| DataError::Tokenize {
            reason: format!("no end-of-document token; one of {} is needed", END_OF_TEXT.join(", ")),
        })?;
        // With a known end, a token that only the file calls the beginning is a chat's, not a document's.
        let bos_id = first(&BEGIN_OF_TEXT).or(bos_id.filter(|_| first(&END_OF_TEXT).is_none()));
        let bytes = byte_lengths(&inner)?;
        Ok(Tokenizer { inner, json: json.to_string(), eos_id, bos_id, bytes })
    }

    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// The file cannot be read or describes no usable tokenizer.
    pub fn from_file(path: &Path) -> Result<Self, DataError> {
        let json = std::fs::read_to_string(path)
            .map_err(|source| DataError::Read { path: path.to_path_buf(), source })?;
        Self::from_json(&json).map_err(|e| match e {
            DataError::Tokenize { reason } => DataError::Tokenizer { path: PathBuf::from(path), reason },
            other => other,
        })
    }

    /// Token ids of `text`, nothing added.
    ///
    /// # Errors
    /// The tokenizer's model fails (an unknown character without a token for it; never in byte-level BPE).
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, DataError> {
        self.ids(text, false)
    }

    /// Token ids of `text` with what the tokenizer itself adds by default (a beginning token, for some).
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_with_defaults(&self, text: &str) -> Result<Vec<u32>, DataError> {
        self.ids(text, true)
    }

    fn ids(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>, DataError> {
        let encode = || self.inner.encode_fast(text, add_special_tokens).map_err(|e| e.to_string());
        match guarded(encode).flatten() {
            Ok(encoding) => Ok(encoding.get_ids().to_vec()),
            Err(reason) => Err(DataError::Tokenize { reason }),
        }
    }

    /// The text of `ids`, special tokens written out.
    ///
    /// # Errors
    /// The decoder fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String, DataError> {
        self.inner.decode(ids, false).map_err(|e| DataError::Tokenize { reason: e.to_string() })
    }

    /// Ids are below this number.
    pub fn vocab_size(&self) -> usize {
        self.bytes.len()
    }

    /// The token between documents.
    pub fn eos_id(&self) -> u32 {
        self.eos_id
    }

    /// What stands before a request without context: the beginning token, or the end token where there is none.
    pub fn prefix_id(&self) -> u32 {
        self.bos_id.unwrap_or(self.eos_id)
    }

    /// UTF-8 bytes that a token stands for; 0 for special tokens and ids out of range.
    pub fn num_bytes(&self, id: u32) -> u32 {
        self.bytes.get(id as usize).copied().unwrap_or(0)
    }

    /// The same with `token` before requests without context; `None` where it knows no such token.
    pub fn with_prefix(mut self, token: &str) -> Option<Self> {
        self.bos_id = Some(self.inner.token_to_id(token)?);
        Some(self)
    }

    /// The `tokenizer.json`.
    pub fn to_json(&self) -> &str {
        &self.json
    }
}

/// Bytes of each token: a byte-level token has one character per byte; SentencePiece-like vocabularies write a space
/// as `▁` and single bytes as `<0xNN>`.
fn byte_lengths(inner: &tokenizers::Tokenizer) -> Result<Vec<u32>, DataError> {
    let byte_level = match inner.get_decoder() {
        Some(DecoderWrapper::ByteLevel(_)) => true,
        Some(_) | None => matches!(inner.get_model(), ModelWrapper::BPE(b) if !b.byte_fallback),
    };
    let vocab: HashMap<String, u32> = inner.get_vocab(true);
    let size = vocab.values().max().map_or(0, |&id| id as usize + 1);
    if size > MOST_GAPS + vocab.len() {
        let reason = format!("an id of {} for {} tokens", size - 1, vocab.len());
        return Err(DataError::Tokenize { reason });
    }
    let mut lengths = vec![0; size];
    for (token, id) in vocab {
        let is_byte = token.len() == 6 && token.starts_with("<0x") && token.ends_with('>');
        lengths[id as usize] = match () {
            () if byte_level => token.chars().count() as u32,
            () if is_byte => 1,
            () => token.replace('▁', " ").len() as u32,
        };
    }
    for (id, token) in inner.get_added_tokens_decoder() {
        if let Some(length) = lengths.get_mut(id as usize) {
            *length = if token.special { 0 } else { token.content.len() as u32 };
        }
    }
    Ok(lengths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::world::{Split, World};
    use proptest::prelude::*;
    use std::sync::OnceLock;

    fn corpus(n: usize) -> Vec<String> {
        World::new(0).documents(n, Split::Train).map(|d| d.text).collect()
    }

    fn small() -> &'static Tokenizer {
        static TOKENIZER: OnceLock<Tokenizer> = OnceLock::new();
        TOKENIZER.get_or_init(|| Tokenizer::train(&corpus(2000), 512).expect("a tokenizer"))
    }

    #[test]
    fn repeated_trainings_give_the_same_bytes() {
        let documents = corpus(3000);
        let reference = Tokenizer::train(&documents, 1024).expect("a tokenizer");
        assert_eq!(reference.vocab_size(), 1024);
        for threads in [1, 2, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            let again = pool.install(|| Tokenizer::train(&documents, 1024)).expect("a tokenizer");
            assert_eq!(reference.to_json(), again.to_json(), "{threads} threads");
        }
        let mut reversed = documents;
        reversed.reverse();
        assert_eq!(reference.to_json(), Tokenizer::train(&reversed, 1024).expect("a tokenizer").to_json());
    }

    #[test]
    fn special_token_is_zero_and_has_no_bytes() {
        let t = small();
        assert_eq!((t.eos_id(), t.prefix_id(), t.num_bytes(0)), (0, 0, 0));
        assert_eq!(t.encode("a<|endoftext|>").expect("ids")[1..], [0]);
        assert!(matches!(Tokenizer::train(&[], 100), Err(DataError::VocabularyTooSmall { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, rng_seed: proptest::test_runner::RngSeed::Fixed(7), ..ProptestConfig::default() })]
        #[test]
        fn decoding_is_lossless_and_bytes_add_up(text in "\\PC{0,40}|[a-z \n\t]{0,40}|(\u{e9}|\u{4e2d}|\u{1f600}| ){0,12}") {
            let t = small();
            let ids = t.encode(&text).expect("ids");
            prop_assert_eq!(t.decode(&ids).expect("text"), text.clone());
            prop_assert_eq!(ids.iter().map(|&id| t.num_bytes(id) as usize).sum::<usize>(), text.len());
        }
    }

    /// A file that was saved while texts were cut and padded for training.
    #[test]
    fn truncation_and_padding_of_the_file_are_not_ours() {
        let mut json: serde_json::Value = serde_json::from_str(small().to_json()).expect("JSON");
        json["truncation"] = serde_json::json!({
            "direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0
        });
        json["padding"] = serde_json::json!({
            "strategy": { "Fixed": 64 }, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "<|endoftext|>"
        });
        let ours = Tokenizer::from_json(&json.to_string()).expect("a tokenizer");
        let text = "The cat sat on the mat and looked at the moon.";
        assert_eq!(ours.encode_with_defaults(text).expect("ids"), small().encode(text).expect("ids"));
    }

    #[test]
    fn broken_files_are_named() {
        let error = Tokenizer::from_json("{\"model\": 1}").err().expect("a fault").to_string();
        assert!(error.starts_with("tokenizer: "), "{error}");
        let error =
            Tokenizer::from_file(Path::new("no/such/tokenizer.json")).err().expect("a fault").to_string();
        assert!(error.contains("no/such/tokenizer.json"), "{error}");
    }
}
