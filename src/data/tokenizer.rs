//! Byte-level BPE by the `tokenizers` crate, trained on the corpus or loaded from a `tokenizer.json`.
//!
//! Byte-level: every byte has a token, so any UTF-8 text is encoded and decoded without loss. Training is
//! deterministic: the crate counts words in hash maps and in parallel, but sums do not depend on the order, the
//! alphabet is sorted, and equal pair counts are decided by the pair; a test compares repeated trainings.
//!
//! The token that ends a document is one of the names in use, else the one that the files beside the tokenizer, or the
//! tables of a GGUF file, name (see [`SpecialTokens`]); what begins a text is what those files name, else a name in use.
use super::corpus::SEPARATOR;
use super::error::DataError;
use super::guard::guarded;
use super::special_tokens::SpecialTokens;
use super::{growth, pieces};
use crate::base::input;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{
    AddedToken, DecoderWrapper, Encoding, ModelWrapper, PostProcessorWrapper, TokenizerBuilder,
};

/// Tokens that begin or end documents, by the names in use; the first found counts.
const END_OF_TEXT: [&str; 4] = [SEPARATOR, "</s>", "<|end_of_text|>", "<eos>"];
const BEGIN_OF_TEXT: [&str; 3] = ["<s>", "<|begin_of_text|>", "<bos>"];

/// Largest `tokenizer.json` that is read: real ones have some tens of megabytes.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// Ids without a token that a vocabulary may have: real ones leave out some hundreds.
const MOST_GAPS: usize = 1 << 20;

/// Characters that are shown before and after the first one that a tokenizer changes.
const SHOWN_BEFORE: usize = 8;
const SHOWN_AFTER: usize = 12;

/// A tokenizer with its end-of-document token.
#[derive(Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    json: String,
    eos_id: u32,
    bos_id: Option<u32>,
    /// UTF-8 bytes that each token stands for; 0 for special tokens.
    bytes: Vec<u32>,
    special: SpecialTokens,
    /// Rows of the embedding of the model that it is used with.
    num_rows: Option<usize>,
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
        let parts = documents.flat_map(|document| {
            pieces::for_training(document.as_ref()).into_iter().map(String::from).collect::<Vec<_>>()
        });
        inner.train(&mut trainer, parts).map_err(fault)?;
        let json = inner.to_string(false).map_err(fault)?;
        Self::from_json(&json)
    }

    /// The tokenizer that a `tokenizer.json` describes.
    ///
    /// # Errors
    /// The text describes none, or it knows no end-of-document token.
    pub fn from_json(json: &str) -> Result<Self, DataError> {
        Self::with_special_tokens(json, |_| Ok(SpecialTokens::default()))
    }

    /// As [`Self::from_json`], with what was kept of its special tokens.
    ///
    /// # Errors
    /// As [`Self::from_json`].
    pub fn from_parts(json: &str, special: SpecialTokens) -> Result<Self, DataError> {
        Self::with_special_tokens(json, |_| Ok(special))
    }

    fn with_special_tokens(
        json: &str,
        special: impl FnOnce(&dyn Fn(&str) -> Option<u32>) -> Result<SpecialTokens, DataError>,
    ) -> Result<Self, DataError> {
        let value: serde_json::Value = serde_json::from_str(json)
            .map_err(|e| DataError::Tokenize { reason: format!("broken JSON: {e}") })?;
        growth::check(&value).map_err(|reason| DataError::Tokenize { reason })?;
        drop(value);
        let parse = || json.parse().map_err(|e: tokenizers::Error| e.to_string());
        let mut inner: tokenizers::Tokenizer =
            guarded(parse).flatten().map_err(|reason| DataError::Tokenize { reason })?;
        // Whole texts are asked for, whatever the file's last user cut or padded them to.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| DataError::Tokenize { reason: e.to_string() })?;
        let bytes = byte_lengths(&inner)?;
        let special = special(&|token| inner.token_to_id(token))?;
        let first = |names: &[&str]| names.iter().find_map(|name| inner.token_to_id(name));
        let known = |id: &u32| (*id as usize) < bytes.len();
        // An id that only the model's config names is the tokenizer's where it is a token with a role there.
        let added = inner.get_added_tokens_decoder();
        let has_role = |id: &u32| added.get(id).is_some_and(|token| token.special);
        let stop = special.stop_ids.iter().copied().find(has_role);
        let eos_id = first(&END_OF_TEXT).or(special.eos_id.filter(known)).or(stop).ok_or_else(|| {
            let reason = format!(
                "no end-of-document token: it has none of {}, and no `eos_token` is named beside it",
                END_OF_TEXT.join(", ")
            );
            DataError::Tokenize { reason }
        })?;
        // A tokenizer whose files name an end and no beginning puts that end before a text.
        let own = special.bos_id.or(special.eos_id).filter(known);
        let by_model = special.model_bos_id.filter(has_role).filter(|_| first(&END_OF_TEXT).is_none());
        let bos_id = own.or(first(&BEGIN_OF_TEXT)).or(by_model);
        Ok(Tokenizer { inner, json: json.to_string(), eos_id, bos_id, bytes, special, num_rows: None })
    }

    /// Reads a `tokenizer.json`, and from the files beside it which tokens begin and end a text.
    ///
    /// # Errors
    /// A file cannot be read, or describes no usable tokenizer.
    pub fn from_file(path: &Path) -> Result<Self, DataError> {
        let json = input::read_text(path, MAX_FILE_BYTES)
            .map_err(|source| DataError::Read { path: path.to_path_buf(), source })?;
        Self::with_special_tokens(&json, |id_of| SpecialTokens::beside(path, id_of)).map_err(|e| match e {
            DataError::Tokenize { reason } => DataError::Tokenizer { path: PathBuf::from(path), reason },
            other => other,
        })
    }

    /// The same for a model whose embedding has `num_rows` rows: a text with a token beyond them is a fault.
    ///
    /// # Errors
    /// So much of the vocabulary is beyond them that the two do not belong together.
    pub fn within(mut self, num_rows: usize) -> Result<Self, DataError> {
        let beyond = self.bytes.len().saturating_sub(num_rows);
        if beyond > (num_rows / 64).max(64) {
            let (tokens, rows) = (self.bytes.len(), num_rows);
            return Err(DataError::OtherVocabulary { tokens, rows });
        }
        self.num_rows = Some(num_rows);
        Ok(self)
    }

    /// Rows of the embedding that it was fitted to by [`Self::within`].
    pub fn num_rows(&self) -> Option<usize> {
        self.num_rows
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
        let fault = |reason| DataError::Tokenize { reason };
        let ids = match pieces::ids(text, &|part| self.encoding(part, false)).map_err(fault)? {
            Some(ids) if add_special_tokens => self.surrounded(ids)?,
            Some(ids) => ids,
            None => {
                let encode = || self.inner.encode_fast(text, add_special_tokens).map_err(|e| e.to_string());
                guarded(encode).flatten().map_err(fault)?.get_ids().to_vec()
            }
        };
        match self.num_rows.and_then(|rows| Some((rows, *ids.iter().find(|id| **id as usize >= rows)?))) {
            Some((rows, id)) => {
                let token = self.inner.id_to_token(id).unwrap_or_default();
                Err(DataError::BeyondModel { token, id, rows })
            }
            None => Ok(ids),
        }
    }

    /// The ids of a text with what the tokenizer adds before and after any text.
    fn surrounded(&self, ids: Vec<u32>) -> Result<Vec<u32>, DataError> {
        let of = |special| self.encoding("a", special).map(|encoding| encoding.get_ids().to_vec());
        let fault = |reason| DataError::Tokenize { reason };
        let (bare, full) = (of(false).map_err(fault)?, of(true).map_err(fault)?);
        let before = full.windows(bare.len().max(1)).position(|part| part == bare).unwrap_or(0);
        let after = full.len().min(before + bare.len());
        Ok([&full[..before], &ids, &full[after..]].concat())
    }

    /// Ids with the bytes that each stands for.
    pub(super) fn encoding(&self, text: &str, add_special_tokens: bool) -> Result<Encoding, String> {
        guarded(|| self.inner.encode(text, add_special_tokens).map_err(|e| e.to_string())).flatten()
    }

    /// The text of `ids`, special tokens written out.
    ///
    /// # Errors
    /// The decoder fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String, DataError> {
        self.inner.decode(ids, false).map_err(|e| DataError::Tokenize { reason: e.to_string() })
    }

    /// Where `text` does not come back from its tokens: a piece of it, and what came back in its place. Tokenizers that
    /// fold case, normalise or know no token for a character change the text that they are given.
    ///
    /// # Errors
    /// As [`Self::encode`] and [`Self::decode`].
    pub fn first_change(&self, text: &str) -> Result<Option<(String, String)>, DataError> {
        let back = self.decode(&self.encode(text)?)?;
        // A space before the first word is put there by some, and is no change.
        if back == text || back.strip_prefix(' ') == Some(text) {
            return Ok(None);
        }
        let before = text.chars().zip(back.chars()).take_while(|(a, b)| a == b).count();
        let piece = |text: &str| -> String {
            text.chars().skip(before.saturating_sub(SHOWN_BEFORE)).take(SHOWN_BEFORE + SHOWN_AFTER).collect()
        };
        Ok(Some((piece(text), piece(&back))))
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

    /// The tokens with a role, as the files that it came with name them.
    pub fn special_tokens(&self) -> &SpecialTokens {
        &self.special
    }

    /// The token with this id, as its files write it.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
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
