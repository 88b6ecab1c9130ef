//! A model wherever it lies, by the one name that a user gives.
//!
//! | place | read by | tokenizer |
//! |---|---|---|
//! | a folder with `config.json` | [`load`] | its `tokenizer.json` |
//! | a file that begins with `GGUF` | [`gguf`] | the tables inside the file |
//! | any other file that ends in `.bin` | [`llama2c`] | `tokenizer.bin`, `tok<V>.bin` or `tok<V/1000>k.bin` beside it |
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::base::vocabulary::VocabularyTables;

use super::{CheckpointError, gguf, licence, llama2c, load, load_config};
use crate::model::{ModelConfig, Weights};
use crate::tensor::Backend;

/// Which tokenizer belongs to a model; making it is another room's work.
#[derive(Clone, Debug, PartialEq)]
pub enum TokenizerSource {
    /// A `tokenizer.json` of the `tokenizers` library.
    TokenizerJson(PathBuf),
    /// The vocabulary inside the model's GGUF file.
    Gguf(Box<VocabularyTables>),
    /// A llama2.c tokenizer file.
    Llama2c(PathBuf),
    /// The model brings none.
    Absent { looked_for: PathBuf },
}

/// A model in memory with what its tokenizer is to be made from.
pub struct LoadedModel<T> {
    pub config: ModelConfig,
    pub weights: Weights<T>,
    pub tokenizer: TokenizerSource,
    /// The licence that the model names.
    pub licence: Option<String>,
}

/// What a model's files say without its weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    pub config: ModelConfig,
    pub tokenizer: TokenizerSource,
    /// Every file that can change a number: in a folder all JSON and safetensors files, else the model and its
    /// tokenizer.
    pub files: Vec<PathBuf>,
}

/// Describes the model at `place`, which is whatever [`load_any`] reads.
///
/// # Errors
/// `place` is no model, or its header or config is damaged.
pub fn describe(place: &str) -> Result<Description, CheckpointError> {
    let path = Path::new(place);
    let (config, tokenizer) = match kind(path)? {
        Kind::Folder => (load_config(path)?, of_folder(path)),
        Kind::Gguf => {
            let (config, tables) = gguf::describe(path)?;
            (config, of_gguf(path, tables))
        }
        Kind::Llama2c => {
            let config = llama2c::describe(path)?;
            let tokenizer = beside(path, config.vocab_size);
            (config, tokenizer)
        }
    };
    let files = files_of(path, &tokenizer).map_err(|source| CheckpointError::Io {
        action: "list",
        path: path.to_path_buf(),
        source,
    })?;
    Ok(Description { config, tokenizer, files })
}

/// Every file of the model at `path` that can change a number, see [`Description::files`].
///
/// # Errors
/// A folder that cannot be listed.
pub fn files_of(path: &Path, tokenizer: &TokenizerSource) -> std::io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        let beside = match tokenizer {
            TokenizerSource::Llama2c(path) => Some(path.clone()),
            _ => None,
        };
        return Ok([Some(path.to_path_buf()), beside].into_iter().flatten().collect());
    }
    let counts = |path: &PathBuf| path.extension().is_some_and(|e| e == "json" || e == "safetensors");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(path)?.flatten().map(|entry| entry.path()).filter(counts).collect();
    files.sort();
    Ok(files)
}

enum Kind {
    Folder,
    Gguf,
    Llama2c,
}

fn kind(path: &Path) -> Result<Kind, CheckpointError> {
    if path.is_dir() {
        return Ok(Kind::Folder);
    }
    let io = |source| CheckpointError::Io { action: "read", path: path.to_path_buf(), source };
    let mut magic = Vec::with_capacity(4);
    File::open(path).and_then(|file| file.take(4).read_to_end(&mut magic)).map_err(io)?;
    match magic == gguf::MAGIC {
        true => Ok(Kind::Gguf),
        false if path.extension().is_some_and(|extension| extension == "bin") => Ok(Kind::Llama2c),
        false => Err(CheckpointError::NoModel { path: path.to_path_buf() }),
    }
}

/// Reads the model at `place`: a Hugging Face folder, a GGUF file or a llama2.c file.
///
/// # Errors
/// `place` is none of these, or its reader fails.
pub fn load_any<B: Backend>(backend: &B, place: &str) -> Result<LoadedModel<B::Tensor>, CheckpointError> {
    let path = Path::new(place);
    let (config, weights, tokenizer, licence) = match kind(path)? {
        Kind::Folder => {
            let (config, weights) = load(backend, path)?;
            (config, weights, of_folder(path), licence::of_folder(path))
        }
        Kind::Gguf => {
            let gguf::Parts { config, weights, vocabulary, licence } = gguf::load(backend, path)?;
            (config, weights, of_gguf(path, vocabulary), licence)
        }
        Kind::Llama2c => {
            let (config, weights) = llama2c::load(backend, path)?;
            let tokenizer = beside(path, config.vocab_size);
            (config, weights, tokenizer, None)
        }
    };
    Ok(LoadedModel { config, weights, tokenizer, licence })
}

fn of_folder(folder: &Path) -> TokenizerSource {
    let path = folder.join("tokenizer.json");
    match path.is_file() {
        true => TokenizerSource::TokenizerJson(path),
        false => TokenizerSource::Absent { looked_for: path },
    }
}

fn of_gguf(path: &Path, tables: Option<VocabularyTables>) -> TokenizerSource {
    match tables {
        Some(tables) => TokenizerSource::Gguf(Box::new(tables)),
        None => TokenizerSource::Absent { looked_for: path.to_path_buf() },
    }
}

/// The tokenizer file beside a llama2.c model of `vocab_size`.
fn beside(model: &Path, vocab_size: usize) -> TokenizerSource {
    let names =
        ["tokenizer.bin".into(), format!("tok{vocab_size}.bin"), format!("tok{}k.bin", vocab_size / 1000)];
    let found = names.map(|name| model.with_file_name(name)).into_iter().find(|path| path.is_file());
    match found {
        Some(path) => TokenizerSource::Llama2c(path),
        None => TokenizerSource::Absent { looked_for: model.with_file_name("tokenizer.bin") },
    }
}
