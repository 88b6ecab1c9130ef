//! The corpus stage: tokens and tokenizer, prepared once and read by every other stage.
use super::super::executor::StageFailure;
use crate::base::hash::sha256_hex;
use crate::data::{Prepared, Tokenizer, prepare};
use crate::eval::tokenizer_of;
use crate::model::checkpoint::describe;
use crate::plan::Plan;
use crate::spec::{DataSpec, RunSpec, TokenizerSpec};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// What can be wrong with a prepared corpus in the store.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    #[error("cannot read `{}`: {source}\nhint: delete `{}` and run again", .path.display(), folder(.path))]
    Read { path: PathBuf, source: std::io::Error },
    #[error("`{}` is not what was written: {what}\nhint: delete `{}` and run again", .path.display(), folder(.path))]
    Corrupt { path: PathBuf, what: String },
}

fn folder(path: &Path) -> String {
    crate::base::files::folder_of(path).display().to_string()
}

const TRAIN: &str = "train.u32";
const VALIDATION: &str = "validation.u32";
const TOKENIZER: &str = "tokenizer.json";
const HEADER: &str = "corpus.json";

/// What stands beside the tokens; hashes tell a truncated file.
#[derive(Serialize, Deserialize)]
struct Header {
    validation_bytes: u64,
    fingerprint: String,
    train_sha256: String,
    validation_sha256: String,
}

/// Prepares the data of `spec` and writes them to `to`: little-endian u32 tokens, `tokenizer.json`, a header.
pub(super) fn write(plan: &Plan, spec: &RunSpec, to: &Path) -> Result<(), StageFailure> {
    let mut spec = spec.clone();
    if let (TokenizerSpec::Model { .. }, Some(model)) = (&spec.data.tokenizer, &spec.source.model) {
        let tokenizer = tokenizer_of(&describe(&model.path)?.tokenizer)?;
        let path = to.join(TOKENIZER);
        fs::write(&path, tokenizer.to_json())?;
        spec.data.tokenizer = TokenizerSpec::File { path: path.to_string_lossy().into_owned() };
    }
    let spec = spec.data;
    // The corpus is shared by all context lengths of the grid: it must hold at least the shortest.
    let shortest = plan.experiment.points.iter().map(|point| point.spec.data.context_length).min();
    let spec = DataSpec { context_length: shortest.unwrap_or(spec.context_length), ..spec };
    let prepared = prepare(&spec)?;
    let tokens =
        |tokens: &[u32]| -> Vec<u8> { tokens.iter().flat_map(|token| token.to_le_bytes()).collect() };
    let (train, validation) = (tokens(&prepared.train), tokens(&prepared.validation));
    let header = Header {
        validation_bytes: prepared.validation_bytes,
        fingerprint: prepared.fingerprint,
        train_sha256: sha256_hex(&train),
        validation_sha256: sha256_hex(&validation),
    };
    fs::write(to.join(TRAIN), train)?;
    fs::write(to.join(VALIDATION), validation)?;
    fs::write(to.join(TOKENIZER), prepared.tokenizer.to_json())?;
    fs::write(to.join(HEADER), serde_json::to_vec_pretty(&header)?)?;
    Ok(())
}

/// Reads what [`write()`] wrote.
pub(super) fn read(from: &Path) -> Result<Prepared, CorpusError> {
    let bytes = |name: &str| {
        let path = from.join(name);
        fs::read(&path).map_err(|source| CorpusError::Read { path, source })
    };
    let corrupt = |name: &str, what: String| CorpusError::Corrupt { path: from.join(name), what };
    let header: Header =
        serde_json::from_slice(&bytes(HEADER)?).map_err(|error| corrupt(HEADER, error.to_string()))?;
    let tokens = |name: &str, sha256: &str| {
        let bytes = bytes(name)?;
        if sha256_hex(&bytes) != sha256 {
            return Err(corrupt(name, "its hash is another".into()));
        }
        Ok(bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    };
    let json = String::from_utf8(bytes(TOKENIZER)?).map_err(|error| corrupt(TOKENIZER, error.to_string()))?;
    Ok(Prepared {
        train: tokens(TRAIN, &header.train_sha256)?,
        validation: tokens(VALIDATION, &header.validation_sha256)?,
        validation_bytes: header.validation_bytes,
        tokenizer: Tokenizer::from_json(&json).map_err(|error| corrupt(TOKENIZER, error.to_string()))?,
        fingerprint: header.fingerprint,
    })
}
