//! Models on the Hugging Face hub, by the name `hf:<organisation>/<name>[@<revision>]`, and splits of data sets.
//!
//! Files go into the cache that the hub's own libraries use (`HF_HUB_CACHE`, else `HF_HOME/hub`, else
//! `~/.cache/huggingface/hub`), so that what one of them has fetched none fetches again, and a revision that is there
//! is not asked for again: a name stands for the same weights until the cache is emptied. An interrupted download
//! goes on where it stopped; of several processes that want the same model one fetches it and the others wait. Large files are stored under their SHA-256, which is checked at every use; the small
//! ones (JSON) are stored under a Git hash, and their readers check them.
use super::error::DataError;
use super::guard::guarded;
use crate::base::hash::sha256_file;
use crate::base::lock;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a hub's name begins with.
pub const PREFIX: &str = "hf:";
const CONFIG: &str = "config.json";
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Fetched where they exist.
const COMPANIONS: [&str; 2] = ["tokenizer.json", "tokenizer_config.json"];
/// The branch on which the hub keeps each data set as Parquet, whatever its authors wrote.
const CONVERTED: &str = "refs/convert/parquet";
/// Tries of one file after the first.
const RETRIES: usize = 3;
/// Before the second try; doubled before each later one.
const PAUSE: Duration = Duration::from_millis(300);

/// A hub and the cache of what came from it.
#[derive(Clone, Debug)]
pub struct Hub {
    pub endpoint: String,
    pub cache: PathBuf,
    /// Shows a bar for each file.
    pub progress: bool,
}

/// A name at a revision: a branch, a tag or a commit.
#[derive(Clone, Debug)]
struct Name {
    kind: RepoType,
    id: String,
    revision: String,
}

/// A split of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatasetSplit {
    /// `<organisation>/<name>`
    pub dataset: &'static str,
    /// Which of the data set's tables; `default` where it has one.
    pub config: &'static str,
    pub split: &'static str,
}

impl Hub {
    /// The hub that the environment names: `HF_ENDPOINT`, and the cache as above.
    ///
    /// # Errors
    /// There is no home folder to hold the cache.
    pub fn from_env() -> Result<Hub, DataError> {
        let named = |key: &str| std::env::var_os(key).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = named("HF_HUB_CACHE")
            .or_else(|| Some(named("HF_HOME")?.join("hub")))
            .or_else(|| Some(std::env::home_dir()?.join(".cache/huggingface/hub")))
            .ok_or(DataError::NoHubCache)?;
        let endpoint = std::env::var("HF_ENDPOINT").unwrap_or_else(|_| "https://huggingface.co".to_string());
        Ok(Hub { endpoint, cache, progress: true })
    }

    /// The folder of the model `place`, with its config, weights and tokenizer; fetched if they are not there.
    ///
    /// # Errors
    /// `place` is no such name, the hub is out of reach or lacks the model, or a file is not what its hash says.
    pub fn folder(&self, place: &str) -> Result<PathBuf, DataError> {
        let name = Name::parse(place)?;
        let folder = match self.cached(&name, is_complete) {
            Some(folder) => folder,
            None => self.fetch_alone(&name, is_complete, wanted).map_err(|reason| DataError::Hub {
                place: place.to_string(),
                reason,
                folder: self.snapshot(&name, &name.revision),
            })?,
        };
        check(&folder)?;
        Ok(folder)
    }

    /// The Parquet file of a split; fetched if it is not there.
    ///
    /// # Errors
    /// The hub is out of reach or lacks the file, or it is not what its hash says.
    pub fn split_file(&self, split: DatasetSplit) -> Result<PathBuf, DataError> {
        let (id, revision) = (split.dataset.to_string(), CONVERTED.to_string());
        let name = Name { kind: RepoType::Dataset, id, revision };
        let file = format!("{}/{}/0000.parquet", split.config, split.split);
        let has_file = |folder: &Path| folder.join(&file).is_file();
        let folder = match self.cached(&name, has_file) {
            Some(folder) => folder,
            None => {
                let fetched = self.fetch_alone(&name, has_file, |files| only(files, &file));
                fetched.map_err(|reason| DataError::HubSplit {
                    split,
                    reason,
                    file: self.snapshot(&name, &name.revision).join(&file),
                })?
            }
        };
        let path = folder.join(file);
        path.parent().map_or(Ok(()), check)?;
        Ok(path)
    }

    /// A folder of that name that is complete: of the commit that the revision stands for, or filled by hand under the
    /// revision's own name.
    fn cached(&self, name: &Name, is_complete: impl Fn(&Path) -> bool) -> Option<PathBuf> {
        let refs = self.cache.join(name.repo(&name.revision).folder_name()).join("refs");
        let commit = fs::read_to_string(refs.join(&name.revision)).ok();
        let folders = [commit.as_deref().map(str::trim), Some(name.revision.as_str())];
        folders.into_iter().flatten().map(|c| self.snapshot(name, c)).find(|folder| is_complete(folder))
    }

    fn snapshot(&self, name: &Name, commit: &str) -> PathBuf {
        self.cache.join(name.repo(commit).folder_name()).join("snapshots").join(commit)
    }

    /// Fetches under the lock of the name's folder: nothing that another process is writing is taken for a leftover.
    fn fetch_alone(
        &self,
        name: &Name,
        is_complete: impl Fn(&Path) -> bool,
        choose: impl for<'a> Fn(&[&'a str]) -> Result<Vec<&'a str>, String>,
    ) -> Result<PathBuf, String> {
        let home = self.cache.join(name.repo(&name.revision).folder_name());
        let unwritable = |e| format!("cannot write to the cache: {e}");
        fs::create_dir_all(&home).map_err(unwritable)?;
        let lock = match lock::try_lock(&home).map_err(unwritable)? {
            Some(lock) => lock,
            None => {
                if self.progress {
                    tell!("another process is fetching `{}`: waiting for it", name.id);
                }
                lock::wait_lock(&home).map_err(unwritable)?
            }
        };
        // Who held the lock may have fetched it.
        let folder = match self.cached(name, is_complete) {
            Some(folder) => folder,
            None => self.fetch(name, choose)?,
        };
        drop(lock);
        Ok(folder)
    }

    /// Asks for the commit first, so that all files are of one; `choose` says which of its files are wanted.
    fn fetch(
        &self,
        name: &Name,
        choose: impl for<'a> Fn(&[&'a str]) -> Result<Vec<&'a str>, String>,
    ) -> Result<PathBuf, String> {
        let api = self.api()?;
        let repo = api.repo(name.repo(&name.revision));
        let told = guarded(|| repo.info())?.map_err(|e| explain(&e))?;
        if !is_plain(&told.sha) {
            return Err(format!("it names the commit `{}`", told.sha));
        }
        let files: Vec<&str> = told.siblings.iter().map(|s| s.rfilename.as_str()).collect();
        let repo = api.repo(name.repo(&told.sha));
        for file in choose(&files)? {
            self.get(&repo, name, file)?;
        }
        let cache = Cache::new(self.cache.clone()).repo(name.repo(&name.revision));
        cache.create_ref(&told.sha).map_err(|e| format!("cannot write to the cache: {e}"))?;
        Ok(self.snapshot(name, &told.sha))
    }

    fn api(&self) -> Result<Api, String> {
        let token = std::env::var("HF_TOKEN").ok();
        let builder = ApiBuilder::from_cache(Cache::new(self.cache.clone()))
            .with_endpoint(self.endpoint.clone())
            .with_progress(self.progress);
        let builder = if token.is_some() { builder.with_token(token) } else { builder };
        builder.build().map_err(|e| e.to_string())
    }

    /// One file, with a few tries. The library's own retries would append a whole body to a part that an earlier
    /// process left; asking anew goes on from the part's length.
    fn get(&self, repo: &ApiRepo, name: &Name, file: &str) -> Result<(), String> {
        let mut tries_left = RETRIES;
        loop {
            let Err(error) = guarded(|| repo.get(file))? else { return Ok(()) };
            // A download that was cut between its last byte and its new name asks for nothing more, which servers
            // refuse (416): it is begun again.
            let is_stale_part = status(&error) == Some(416) || matches!(error, ApiError::InvalidResume);
            if is_stale_part {
                self.forget_parts(name).map_err(|e| format!("`{file}`: {e}"))?;
            }
            let is_refused = matches!(status(&error), Some(400..=499)) && !is_stale_part;
            if is_refused || tries_left == 0 {
                return Err(format!("`{file}`: {}", explain(&error)));
            }
            std::thread::sleep(PAUSE * 2u32.pow((RETRIES - tries_left) as u32));
            tries_left -= 1;
        }
    }

    fn forget_parts(&self, name: &Name) -> std::io::Result<()> {
        let blobs = self.cache.join(name.repo(&name.revision).folder_name()).join("blobs");
        for part in fs::read_dir(blobs)?.flatten() {
            if part.path().extension().is_some_and(|e| e == "part") {
                fs::remove_file(part.path())?;
            }
        }
        Ok(())
    }
}

impl Name {
    fn parse(place: &str) -> Result<Name, DataError> {
        let rest = place.strip_prefix(PREFIX).unwrap_or(place);
        let (id, revision) = rest.split_once('@').unwrap_or((rest, "main"));
        let parts: Vec<&str> = id.split('/').collect();
        if parts.len() > 2 || !parts.into_iter().chain(revision.split('/')).all(is_plain) {
            return Err(DataError::HubName { place: place.to_string() });
        }
        Ok(Name { kind: RepoType::Model, id: id.to_string(), revision: revision.to_string() })
    }

    fn repo(&self, revision: &str) -> Repo {
        Repo::with_revision(self.id.clone(), self.kind, revision.to_string())
    }
}

/// Letters, digits, `-`, `_` and `.`, not beginning with a dot: no way out of the cache.
fn is_plain(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !part.is_empty() && !part.starts_with('.') && part.chars().all(plain)
}

/// The files of a model among those that the hub lists.
fn wanted<'a>(files: &[&'a str]) -> Result<Vec<&'a str>, String> {
    let shard = |file: &str| file.starts_with("model-") && file.ends_with(".safetensors") && is_plain(file);
    let is_weight = |file: &str| file == SINGLE || file == INDEX || shard(file);
    if !files.contains(&CONFIG) || !files.iter().any(|file| is_weight(file)) {
        return Err(format!(
            "it has no `{CONFIG}` with `{SINGLE}` or its shards; its files: {}",
            files.join(", ")
        ));
    }
    // Shards beside the whole are the same weights twice.
    let whole = files.contains(&SINGLE);
    let wanted = |file: &&str| {
        *file == CONFIG || COMPANIONS.contains(file) || if whole { *file == SINGLE } else { is_weight(file) }
    };
    let mut wanted: Vec<&str> = files.iter().copied().filter(wanted).collect();
    // Weights last: a folder that has them has the rest.
    wanted.sort_by_key(|file| file.ends_with(".safetensors"));
    Ok(wanted)
}

/// That file, if it is among those that the hub lists.
fn only<'a>(files: &[&'a str], file: &str) -> Result<Vec<&'a str>, String> {
    match files.iter().copied().find(|listed| *listed == file) {
        Some(file) => Ok(vec![file]),
        None => Err(format!("it has no `{file}`; its files: {}", files.join(", "))),
    }
}

/// Whether a folder has a config and all its weights.
fn is_complete(folder: &Path) -> bool {
    let has = |file: &str| folder.join(file).is_file();
    has(CONFIG) && (has(SINGLE) || shards(folder).is_some_and(|shards| shards.iter().all(|file| has(file))))
}

/// The shards that the index names.
fn shards(folder: &Path) -> Option<BTreeSet<String>> {
    let index: Value = serde_json::from_slice(&fs::read(folder.join(INDEX)).ok()?).ok()?;
    let map = index.get("weight_map")?.as_object()?;
    Some(map.values().filter_map(Value::as_str).map(str::to_string).collect())
}

/// The SHA-256 of a file in a folder that [`Hub::folder`] answered, where it has been checked there.
pub fn checked_sha256(file: &Path) -> Option<String> {
    let blob = fs::canonicalize(file).ok().filter(|_| file.is_symlink())?;
    let name = blob.file_name()?.to_str()?;
    (name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit())).then(|| name.to_string())
}

/// Holds every file that is a link to a blob named by its SHA-256 against that name; what differs is removed.
fn check(folder: &Path) -> Result<(), DataError> {
    let read = |source| DataError::Read { path: folder.to_path_buf(), source };
    for entry in fs::read_dir(folder).map_err(read)?.flatten() {
        let path = entry.path();
        let Some(expected) = checked_sha256(&path) else { continue };
        let Ok(blob) = fs::canonicalize(&path) else { continue };
        let found = sha256_file(&blob).map_err(|source| DataError::Read { path: path.clone(), source })?;
        if found != expected {
            // The link first: a link without a blob would read as a missing file for ever.
            for stale in [&path, &blob] {
                fs::remove_file(stale).map_err(|source| DataError::Read { path: stale.clone(), source })?;
            }
            return Err(DataError::Checksum { path, expected, found });
        }
    }
    Ok(())
}

/// What a server answered, where it answered at all.
fn status(error: &ApiError) -> Option<u16> {
    match error {
        ApiError::RequestError(error) => match **error {
            ureq::Error::StatusCode(code) => Some(code),
            _ => None,
        },
        ApiError::TooManyRetries(error) => status(error),
        _ => None,
    }
}

/// The commonest refusals, in words.
fn explain(error: &ApiError) -> String {
    let why = match status(error) {
        Some(401 | 403) => ": nothing of that name, or something that wants a token (set `HF_TOKEN`)",
        Some(404) => ": nothing of that name or revision",
        _ => "",
    };
    format!("{error}{why}")
}
