//! A model wherever it lies, by the one name that a user gives.
//!
//! | place | read by | tokenizer |
//! |---|---|---|
//! | a folder with `config.json` | `load` | its `tokenizer.json`, else its `tokenizer.model` |
//! | a file that begins with `GGUF` | [`gguf`] | the tables inside the file |
//! | any other file that ends in `.bin` | [`llama2c`] | `tokenizer.bin`, `tok<V>.bin` or `tok<V/1000>k.bin` beside it |
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::base::input;
use crate::base::vocabulary::VocabularyTables;

use super::{CheckpointError, FromFolder, gguf, licence, llama2c, load_with_notes, names_in, open, tensors};
use crate::model::{ModelConfig, Weights};
use crate::tensor::Backend;

/// Which tokenizer belongs to a model; making it is another room's work.
#[derive(Clone, Debug, PartialEq)]
pub enum TokenizerSource {
    /// A `tokenizer.json` of the `tokenizers` library.
    TokenizerJson(PathBuf),
    /// A SentencePiece model.
    SentencePiece(PathBuf),
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
    /// What was read otherwise than the model's own files say, in words.
    pub notes: Vec<String>,
}

/// What a model's files say without its weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    pub config: ModelConfig,
    pub tokenizer: TokenizerSource,
    /// Every file that can change a number: in a folder all JSON and safetensors files, else the model and its
    /// tokenizer.
    pub files: Vec<PathBuf>,
    /// As [`LoadedModel::notes`].
    pub notes: Vec<String>,
}

/// Describes the model at `place`, which is whatever [`load_any`] reads.
///
/// # Errors
/// `place` is no model, or its header or config is damaged, or its tensors are not those of its config.
pub fn describe(place: impl AsRef<Path>) -> Result<Description, CheckpointError> {
    let path = place.as_ref();
    let (config, tokenizer, notes) = match kind(path)? {
        Kind::Folder => {
            let (config, stored, notes) = open(path)?;
            tensors::check_stored(&stored, &config)?;
            (config, of_folder(path), notes)
        }
        Kind::Gguf => {
            let (config, tables) = gguf::describe(path)?;
            (config, of_gguf(path, tables), Vec::new())
        }
        Kind::Llama2c => {
            let config = llama2c::describe(path)?;
            let tokenizer = beside(path, config.vocab_size);
            (config, tokenizer, Vec::new())
        }
    };
    let files = files_of(path, &tokenizer).map_err(|source| CheckpointError::Io {
        action: "list",
        path: path.to_path_buf(),
        source,
    })?;
    Ok(Description { config, tokenizer, files, notes })
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
    if let TokenizerSource::SentencePiece(path) = tokenizer {
        files.push(path.clone());
    }
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
        return match path.join(super::CONFIG_FILE).exists() {
            true => Ok(Kind::Folder),
            false => Err(CheckpointError::NoModel { path: path.to_path_buf(), hint: model_within(path) }),
        };
    }
    let io = |source| CheckpointError::Io { action: "read", path: path.to_path_buf(), source };
    let mut head = Vec::with_capacity(8);
    let file = input::open_real(path, false).map_err(io)?;
    file.take(8).read_to_end(&mut head).map_err(io)?;
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    match () {
        () if head.starts_with(&gguf::MAGIC) => Ok(Kind::Gguf),
        // A zip archive or a pickle: what PyTorch saves.
        () if head.starts_with(b"PK\x03\x04") || head.starts_with(b"\x80\x02") => {
            Err(CheckpointError::NotRead {
                path: path.to_path_buf(),
                found: "it is a file of PyTorch's own format".into(),
                remedy: "save the model as safetensors (`save_pretrained` of transformers)".into(),
            })
        }
        () if extension == "bin" => Ok(Kind::Llama2c),
        () => {
            let hint = matches!(extension.as_str(), "safetensors" | "json").then(|| {
                let folder = crate::base::files::folder_of(path);
                format!("name the folder: `{}`", folder.display())
            });
            Err(CheckpointError::NoModel { path: path.to_path_buf(), hint })
        }
    }
}

/// What to name in the place of a folder that has no `config.json`.
fn model_within(folder: &Path) -> Option<String> {
    let names = names_in(folder);
    let is_model = |name: &&String| {
        let is_tokenizer = name.starts_with("tok") || name.starts_with("pytorch_model");
        name.ends_with(".gguf") || name.ends_with(".bin") && !is_tokenizer
    };
    if let Some(name) = names.iter().find(is_model) {
        let kind = if name.ends_with(".gguf") { "a GGUF file" } else { "a llama2.c file" };
        return Some(format!("the folder holds {kind}: name `{}`", folder.join(name).display()));
    }
    let inner = names.iter().find(|name| folder.join(name).join(super::CONFIG_FILE).exists())?;
    Some(format!("did you mean `{}`?", folder.join(inner).display()))
}

/// Reads the model at `place`: a Hugging Face folder, a GGUF file or a llama2.c file.
///
/// # Errors
/// `place` is none of these, or its reader fails.
pub fn load_any<B: Backend>(
    backend: &B,
    place: impl AsRef<Path>,
) -> Result<LoadedModel<B::Tensor>, CheckpointError> {
    let path = place.as_ref();
    Ok(match kind(path)? {
        Kind::Folder => {
            let FromFolder { config, weights, notes } = load_with_notes(backend, path)?;
            let (tokenizer, licence) = (of_folder(path), licence::of_folder(path));
            LoadedModel { config, weights, tokenizer, licence, notes }
        }
        Kind::Gguf => {
            let gguf::Parts { config, weights, vocabulary, licence } = gguf::load(backend, path)?;
            let tokenizer = of_gguf(path, vocabulary);
            LoadedModel { config, weights, tokenizer, licence, notes: Vec::new() }
        }
        Kind::Llama2c => {
            let (config, weights) = llama2c::load(backend, path)?;
            let tokenizer = beside(path, config.vocab_size);
            LoadedModel { config, weights, tokenizer, licence: None, notes: Vec::new() }
        }
    })
}

fn of_folder(folder: &Path) -> TokenizerSource {
    let (path, pieces) = (folder.join("tokenizer.json"), folder.join("tokenizer.model"));
    match () {
        () if path.exists() => TokenizerSource::TokenizerJson(path),
        () if pieces.exists() => TokenizerSource::SentencePiece(pieces),
        () => TokenizerSource::Absent { looked_for: path },
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
