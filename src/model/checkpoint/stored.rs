//! Which tensors the safetensors files of a folder hold, from their headers alone.
//!
//! One file `model.safetensors`, or several that an index names (see `shards`). Where the index and a file disagree, the
//! index counts: a tensor is read from the file that `weight_map` names, whatever older copies stand in others.
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};

use super::{CheckpointError, TENSORS_FILE, shards};
use crate::base::input;

/// Angles of RoPE that old versions of transformers stored although they follow from the config.
const ROTARY: &str = "rotary_emb.";

/// One tensor as a header lists it.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub file: PathBuf,
    /// In the file: a model that was saved without its head has no `model.` before its names.
    pub name_in_file: String,
    pub shape: Vec<usize>,
    pub dtype: Dtype,
}

/// All tensors of a model by their Hugging Face names.
#[derive(Debug)]
pub(super) struct Stored {
    pub tensors: BTreeMap<String, Listed>,
    /// The file that a missing tensor is reported of: the index, where there is one.
    pub whole: PathBuf,
    /// Twice the length of a stored table of RoPE's frequencies.
    pub rotary_width: Option<usize>,
}

impl Stored {
    /// The tensors of the model in `folder`.
    ///
    /// # Errors
    /// Files that are missing or damaged, and an index that names what is not there.
    pub fn of(folder: &Path) -> Result<Self, CheckpointError> {
        let (whole, index) = (folder.join(TENSORS_FILE), folder.join(shards::INDEX_FILE));
        if whole.exists() || !index.exists() {
            other_weights(folder, &whole)?;
            return Stored::list(BTreeMap::new(), BTreeSet::from([whole.clone()]), whole);
        }
        let map = shards::weight_map(&index)?;
        let files = map.values().cloned().collect();
        Stored::list(map, files, index)
    }

    fn list(
        map: BTreeMap<String, PathBuf>,
        files: BTreeSet<PathBuf>,
        whole: PathBuf,
    ) -> Result<Self, CheckpointError> {
        let mut stored = Stored { tensors: BTreeMap::new(), whole, rotary_width: None };
        for file in &files {
            stored.add(file, &map)?;
        }
        if let Some((tensor, file)) = map.iter().find(|(tensor, file)| {
            !tensor.contains(ROTARY) && stored.tensors.get(*tensor).is_none_or(|listed| listed.file != **file)
        }) {
            let file = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            return Err(CheckpointError::NotInShard { path: stored.whole, tensor: tensor.clone(), file });
        }
        stored.complete_names();
        Ok(stored)
    }

    /// Adds the tensors of one file, those left out that `map` says are in another.
    fn add(&mut self, path: &Path, map: &BTreeMap<String, PathBuf>) -> Result<(), CheckpointError> {
        let bytes = Mapped::open(path)?;
        let file = parse(&bytes, path)?;
        for (name, view) in file.iter() {
            if name.contains(ROTARY) {
                if name.ends_with("inv_freq") {
                    self.rotary_width = view.shape().first().map(|pairs| pairs.saturating_mul(2));
                }
                continue;
            }
            if map.get(name).is_some_and(|file| file != path) {
                continue;
            }
            let listed = Listed {
                file: path.to_path_buf(),
                name_in_file: name.to_string(),
                shape: view.shape().to_vec(),
                dtype: view.dtype(),
            };
            if self.tensors.insert(name.to_string(), listed).is_some() {
                let (path, tensor) = (path.to_path_buf(), name.to_string());
                return Err(CheckpointError::RepeatedTensor { path, tensor });
            }
        }
        Ok(())
    }

    /// A model that was saved without its head: `layers.0.…` for `model.layers.0.…`, as transformers reads it, too.
    fn complete_names(&mut self) {
        let is_bare = self.tensors.contains_key("embed_tokens.weight")
            && !self.tensors.keys().any(|name| name.starts_with("model."));
        if is_bare {
            let whole = |name: String| if name == "lm_head.weight" { name } else { format!("model.{name}") };
            self.tensors =
                std::mem::take(&mut self.tensors).into_iter().map(|(n, listed)| (whole(n), listed)).collect();
        }
    }

    /// Files in the order of their names, each with the tensors that are read from it.
    pub fn by_file(&self) -> BTreeMap<&Path, Vec<(&str, &Listed)>> {
        let mut files: BTreeMap<&Path, Vec<(&str, &Listed)>> = BTreeMap::new();
        for (name, listed) in &self.tensors {
            files.entry(&listed.file).or_default().push((name, listed));
        }
        files
    }

    /// Shape of the tensor `name`, where it is a matrix.
    pub fn matrix(&self, name: &str) -> Option<[usize; 2]> {
        match self.tensors.get(name)?.shape.as_slice() {
            &[rows, cols] => Some([rows, cols]),
            _ => None,
        }
    }

    /// Whether two tensors hold the same bytes of one type.
    pub fn are_equal(&self, one: &str, other: &str) -> Result<bool, CheckpointError> {
        let (Some(one), Some(other)) = (self.tensors.get(one), self.tensors.get(other)) else {
            return Ok(false);
        };
        if (one.dtype, &one.shape) != (other.dtype, &other.shape) {
            return Ok(false);
        }
        let (first, second) = (Mapped::open(&one.file)?, Mapped::open(&other.file)?);
        let (a, b) = (parse(&first, &one.file)?, parse(&second, &other.file)?);
        let fault = |path: &Path, bytes: &[u8]| {
            let (path, bytes) = (path.to_path_buf(), bytes.len() as u64);
            move |source| CheckpointError::Container { path, bytes, source }
        };
        let a = a.tensor(&one.name_in_file).map_err(fault(&one.file, &first))?;
        let b = b.tensor(&other.name_in_file).map_err(fault(&other.file, &second))?;
        Ok(a.data() == b.data())
    }
}

pub(super) fn parse<'a>(bytes: &'a [u8], path: &Path) -> Result<SafeTensors<'a>, CheckpointError> {
    let (path, length) = (path.to_path_buf(), bytes.len() as u64);
    SafeTensors::deserialize(bytes).map_err(|source| CheckpointError::Container {
        path,
        bytes: length,
        source,
    })
}

/// Weights of another kind in the place of `whole`, which is not there.
fn other_weights(folder: &Path, whole: &Path) -> Result<(), CheckpointError> {
    if whole.exists() {
        return Ok(());
    }
    let names = super::names_in(folder);
    let found = |ends: &[&str]| names.iter().find(|name| ends.iter().any(|end| name.ends_with(end))).cloned();
    let (found, remedy) = match () {
        () if names
            .iter()
            .any(|name| name == "adapter_config.json" || name == "adapter_model.safetensors") =>
        {
            (
                "an adapter (LoRA), which is a part of a model".to_string(),
                "merge it into its base model (`merge_and_unload` of peft) and save that".to_string(),
            )
        }
        () => match (found(&[".safetensors"]), found(&[".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack"])) {
            (Some(name), _) => (
                format!("`{name}`"),
                format!("rename it to `{TENSORS_FILE}`, or add `{}`", shards::INDEX_FILE),
            ),
            (None, Some(name)) => (
                format!("`{name}`, which is not read"),
                "save the model as safetensors (`save_pretrained` of transformers)".to_string(),
            ),
            (None, None) => return Ok(()),
        },
    };
    Err(CheckpointError::OtherWeights { path: whole.to_path_buf(), found, remedy })
}

/// A file mapped into memory; an empty one is not.
pub(super) struct Mapped(Option<Mmap>);

impl Mapped {
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let io = |source| CheckpointError::Io { action: "read", path: path.to_path_buf(), source };
        let file = input::open_real(path, false).map_err(io)?;
        if file.metadata().map_err(io)?.len() == 0 {
            return Ok(Mapped(None));
        }
        // SAFETY: the mapping is read-only. Whoever cuts the file from outside while it is mapped ends the program, as
        // with any mapped file; weights themselves are read into memory instead.
        unsafe { Mmap::map(&file) }.map(|map| Mapped(Some(map))).map_err(io)
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}
