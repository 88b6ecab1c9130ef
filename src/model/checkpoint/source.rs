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

use super::{CheckpointError, gguf, licence, llama2c, load};
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

/// Reads the model at `place`: a Hugging Face folder, a GGUF file or a llama2.c file.
///
/// # Errors
/// `place` is none of these, or its reader fails.
pub fn load_any<B: Backend>(backend: &B, place: &str) -> Result<LoadedModel<B::Tensor>, CheckpointError> {
    let path = Path::new(place);
    if path.is_dir() {
        return load_folder(backend, path);
    }
    let io = |source| CheckpointError::Io { action: "read", path: path.to_path_buf(), source };
    let mut magic = Vec::with_capacity(4);
    File::open(path).and_then(|file| file.take(4).read_to_end(&mut magic)).map_err(io)?;
    if magic == gguf::MAGIC {
        let gguf::Parts { config, weights, vocabulary, licence } = gguf::load(backend, path)?;
        let tokenizer = match vocabulary {
            Some(tables) => TokenizerSource::Gguf(Box::new(tables)),
            None => TokenizerSource::Absent { looked_for: path.to_path_buf() },
        };
        return Ok(LoadedModel { config, weights, tokenizer, licence });
    }
    if path.extension().is_some_and(|extension| extension == "bin") {
        let (config, weights) = llama2c::load(backend, path)?;
        let tokenizer = beside(path, config.vocab_size);
        return Ok(LoadedModel { config, weights, tokenizer, licence: None });
    }
    Err(CheckpointError::NoModel { path: path.to_path_buf() })
}

fn load_folder<B: Backend>(backend: &B, folder: &Path) -> Result<LoadedModel<B::Tensor>, CheckpointError> {
    let (config, weights) = load(backend, folder)?;
    let path = folder.join("tokenizer.json");
    let tokenizer = match path.is_file() {
        true => TokenizerSource::TokenizerJson(path),
        false => TokenizerSource::Absent { looked_for: path },
    };
    Ok(LoadedModel { config, weights, tokenizer, licence: licence::of_folder(folder) })
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
