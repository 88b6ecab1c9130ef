//! From a [`DataSpec`] to token streams: documents, tokenizer, packing, fingerprint.
use super::corpus::{read_jsonl, read_parquet, read_text, visit_jsonl, visit_parquet, visit_text};
use super::error::DataError;
use super::tokenizer::Tokenizer;
use super::world::{Split, World};
use crate::spec::types::{CorpusSpec, DataSpec, TokenizerSpec};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Tokens ready for training and validation.
pub struct Prepared {
    pub train: Arc<[u32]>,
    pub validation: Arc<[u32]>,
    /// UTF-8 bytes of the validation documents.
    pub validation_bytes: u64,
    pub tokenizer: Tokenizer,
    /// SHA-256 over the tokenizer and both token streams: equal data, equal fingerprint.
    pub fingerprint: String,
}

/// Reads or generates the corpus, trains or loads the tokenizer, and packs the tokens.
///
/// Relative paths are taken from the current folder. The tokenizer of a source model is not known here: whoever knows the
/// model hands it over as a file. The world's validation part has a twentieth of `documents`, at
/// least 200 and at most 5000.
///
/// # Errors
/// See [`DataError`]: among others, an empty corpus and one shorter than a window.
pub fn prepare(spec: &DataSpec) -> Result<Prepared, DataError> {
    let (train, validation, [train_files, validation_files]) = documents(&spec.corpus)?;
    for (split, documents, files) in
        [("training", &train, train_files), ("validation", &validation, validation_files)]
    {
        if documents.is_empty() {
            return Err(DataError::EmptyCorpus { split, files });
        }
    }
    let tokenizer = match &spec.tokenizer {
        TokenizerSpec::Bpe { vocab_size } => Tokenizer::train(&train, *vocab_size)?,
        TokenizerSpec::File { path } => Tokenizer::from_file(Path::new(path))?,
        TokenizerSpec::Model { .. } => return Err(DataError::ModelTokenizer),
    };
    let validation_bytes = validation.iter().map(|d| d.len() as u64).sum();
    let (train, validation) = (pack(&tokenizer, &train)?, pack(&tokenizer, &validation)?);
    let needed = spec.context_length + 1;
    for (split, tokens) in [("training", &train), ("validation", &validation)] {
        if tokens.len() < needed {
            let (found, context_length) = (tokens.len(), spec.context_length);
            return Err(DataError::TooShort { split, found, needed, context_length });
        }
    }
    let fingerprint = fingerprint(&tokenizer, &[&train, &validation]);
    Ok(Prepared {
        train: train.into(),
        validation: validation.into(),
        validation_bytes,
        tokenizer,
        fingerprint,
    })
}

type Documents = (Vec<String>, Vec<String>, [Vec<PathBuf>; 2]);

fn documents(spec: &CorpusSpec) -> Result<Documents, DataError> {
    let paths = |names: &[String]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
    Ok(match spec {
        CorpusSpec::World { seed, documents } => {
            let world = World::new(*seed);
            let texts = |n, split| world.documents(n, split).map(|d| d.text).collect();
            let held_out = (documents / 20).clamp(200, 5000);
            (texts(*documents, Split::Train), texts(held_out, Split::Validation), [Vec::new(), Vec::new()])
        }
        CorpusSpec::Text { train, validation } => {
            let files = [paths(train), paths(validation)];
            (read_text(&files[0])?, read_text(&files[1])?, files)
        }
        CorpusSpec::Jsonl { train, validation, field } => {
            let files = [paths(train), paths(validation)];
            (read_jsonl(&files[0], field)?, read_jsonl(&files[1], field)?, files)
        }
        CorpusSpec::Parquet { train, validation, column } => {
            let files = [paths(train), paths(validation)];
            (read_parquet(&files[0], column)?, read_parquet(&files[1], column)?, files)
        }
    })
}

/// Shows `visit` the training documents in order, one at a time, without a tokenizer.
///
/// # Errors
/// A file of the corpus cannot be read, is damaged, or has no text where the spec says.
pub fn visit_training(spec: &CorpusSpec, visit: &mut dyn FnMut(&str)) -> Result<(), DataError> {
    match spec {
        CorpusSpec::World { seed, documents } => {
            World::new(*seed).documents(*documents, Split::Train).for_each(|d| visit(&d.text));
            Ok(())
        }
        CorpusSpec::Text { train, .. } => {
            train.iter().try_for_each(|path| visit_text(Path::new(path), visit))
        }
        CorpusSpec::Jsonl { train, field, .. } => {
            train.iter().try_for_each(|path| visit_jsonl(Path::new(path), field, visit))
        }
        CorpusSpec::Parquet { train, column, .. } => {
            train.iter().try_for_each(|path| visit_parquet(Path::new(path), column, visit))
        }
    }
}

/// The documents' tokens, each document followed by the end-of-document token.
fn pack(tokenizer: &Tokenizer, documents: &[String]) -> Result<Vec<u32>, DataError> {
    let encoded: Vec<Vec<u32>> =
        documents.par_iter().map(|d| tokenizer.encode(d)).collect::<Result<_, _>>()?;
    let mut tokens = Vec::with_capacity(encoded.iter().map(|ids| ids.len() + 1).sum());
    for ids in encoded {
        tokens.extend(ids);
        tokens.push(tokenizer.eos_id());
    }
    Ok(tokens)
}

fn fingerprint(tokenizer: &Tokenizer, streams: &[&Vec<u32>]) -> String {
    let mut hasher = Sha256::new();
    hasher.update((tokenizer.to_json().len() as u64).to_le_bytes());
    hasher.update(tokenizer.to_json().as_bytes());
    for tokens in streams {
        hasher.update((tokens.len() as u64).to_le_bytes());
        for token in *tokens {
            hasher.update(token.to_le_bytes());
        }
    }
    hasher.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(documents: usize, context_length: usize) -> DataSpec {
        DataSpec {
            corpus: CorpusSpec::World { seed: 0, documents },
            tokenizer: TokenizerSpec::Bpe { vocab_size: 400 },
            context_length,
        }
    }

    #[test]
    fn the_world_is_prepared_reproducibly() {
        let prepared = prepare(&world(300, 32)).expect("data");
        assert_eq!(prepared.fingerprint, prepare(&world(300, 32)).expect("data").fingerprint);
        assert_ne!(prepared.fingerprint, prepare(&world(301, 32)).expect("data").fingerprint);
        let t = &prepared.tokenizer;
        assert_eq!(prepared.train.iter().filter(|&&id| id == t.eos_id()).count(), 300);
        let bytes: u64 = prepared.validation.iter().map(|&id| u64::from(t.num_bytes(id))).sum();
        assert_eq!(bytes, prepared.validation_bytes);
        let text = t.decode(&prepared.train).expect("text");
        let first = World::new(0).documents(1, Split::Train).next().expect("a document").text;
        assert!(text.starts_with(&format!("{first}<|endoftext|>")));
    }

    #[test]
    fn training_documents_are_those_that_are_prepared() {
        let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables");
        let name = |file: &str| vec![table.join(file).display().to_string()];
        let (train, validation) = (name("rows.jsonl"), name("rows.jsonl"));
        for corpus in [
            CorpusSpec::World { seed: 3, documents: 20 },
            CorpusSpec::Jsonl { train, validation, field: "question".into() },
            CorpusSpec::Parquet {
                train: name("zstd.parquet"),
                validation: name("snappy.parquet"),
                column: "question".into(),
            },
        ] {
            let mut seen = Vec::new();
            visit_training(&corpus, &mut |document| seen.push(document.to_string())).expect("documents");
            assert_eq!(seen, documents(&corpus).expect("documents").0);
        }
    }

    #[test]
    fn short_and_empty_corpora_are_faults() {
        let error = prepare(&world(1, 5000)).err().expect("a fault").to_string();
        assert!(error.starts_with("training corpus too short: "), "{error}");
        let error = prepare(&world(0, 8)).err().expect("a fault").to_string();
        assert_eq!(error, "no training documents");
        let corpus = CorpusSpec::Text { train: vec![], validation: vec![] };
        assert!(prepare(&DataSpec { corpus, ..world(1, 8) }).is_err());
    }

    #[test]
    fn real_corpora_are_read_and_round_trip() {
        let shared = std::env::var("EFFICIENTLLM_SHARED")
            .map_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
        let folder = shared.join("data/corpora/tinystories_sample");
        if !folder.exists() {
            eprintln!("skipped: no {}", folder.display());
            return;
        }
        let name = |file: &str| vec![folder.join(file).display().to_string()];
        let spec = DataSpec {
            corpus: CorpusSpec::Text { train: name("valid.txt"), validation: name("valid.txt") },
            tokenizer: TokenizerSpec::Bpe { vocab_size: 512 },
            context_length: 128,
        };
        let prepared = prepare(&spec).expect("data");
        let text = prepared.tokenizer.decode(&prepared.validation).expect("text");
        let documents = read_text(&[folder.join("valid.txt")]).expect("documents");
        assert_eq!(text, documents.iter().map(|d| format!("{d}<|endoftext|>")).collect::<String>());
        assert!(read_text(&[folder.join("train.txt.zst")]).expect("documents").len() > 1000);
        let smollm2 = shared.join("data/tokenizers/smollm2/tokenizer.json");
        let spec =
            DataSpec { tokenizer: TokenizerSpec::File { path: smollm2.display().to_string() }, ..spec };
        let prepared = prepare(&spec).expect("data");
        let bytes: u64 =
            prepared.validation.iter().map(|&id| u64::from(prepared.tokenizer.num_bytes(id))).sum();
        assert_eq!(bytes, prepared.validation_bytes);
    }
}
