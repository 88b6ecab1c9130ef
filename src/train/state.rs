//! State of a training run and its checkpoint on disk: everything that the next step reads.
//!
//! One safetensors file holds weights, moments and running means in f32, with the rest as JSON in its
//! metadata. It is replaced atomically, so a run killed at any moment finds either the old or the new state,
//! and goes on to the same numbers as a run that was never interrupted. The metadata also holds the SHA-256 of the
//! file, taken with zeros in the place of its digits: a state that changed on disk is not gone on from.
use super::Ledger;
use super::optimizer::Moments;
use super::pretrain::{CurvePoint, TrainError};
use crate::base::files::write_atomic_with;
use crate::base::hash::{sha256_file, sha256_with_zeros};
use crate::model::checkpoint::Leaf;
use crate::model::{ModelConfig, Weights};
use crate::prune::{EventRecord, PrunerState, Statistics};
use crate::tensor::{Backend, Scalar};
use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// What a run carries from step to step.
pub struct TrainState<B: Backend> {
    pub config: ModelConfig,
    pub weights: Weights<B::Tensor>,
    pub moments: Moments<B::Tensor>,
    /// Running means of g and of F for saliency, where the spec asks for them.
    pub mean_gradient: Option<Weights<B::Tensor>>,
    pub mean_fisher: Option<Weights<B::Tensor>>,
    /// Of statistics of layer inputs and groups.
    pub mean_statistics: Option<Statistics>,
    /// Mean of the weights over the last steps, while it is made.
    pub mean_weights: Option<Weights<B::Tensor>>,
    pub progress: Progress,
}

/// The part of the state that is not tensors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Optimiser steps done.
    pub step: u64,
    pub tokens_seen: u64,
    pub ledger: Ledger,
    pub curve: Vec<CurvePoint>,
    pub events: Vec<EventRecord>,
    pub pruner: Option<PrunerState>,
    /// Stages of pruning done, of an arm that is pruned in stages.
    #[serde(default)]
    pub stages: u64,
    /// Steps that the mean of the weights is over.
    #[serde(default)]
    pub averaged: u64,
    /// Sums since the last point of the curve: loss × steps, steps.
    pub loss_sum: f64,
    pub loss_steps: u64,
}

#[derive(Serialize, Deserialize)]
struct Header {
    /// Identity of the run that wrote the file.
    key: String,
    config: ModelConfig,
    moment_steps: u64,
    progress: Progress,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mean_statistics: Option<Statistics>,
}

/// The progress in the checkpoint at `path`, its tensors not read; `None` where the file is none, or is being replaced. Good
/// enough to show, not to go on from.
pub fn progress_in(path: &Path) -> Option<Progress> {
    let mut file = File::open(path).ok()?;
    let mut size = [0; 8];
    file.read_exact(&mut size).ok()?;
    let size = u64::from_le_bytes(size).min(file.metadata().ok()?.len());
    let mut bytes = Vec::new();
    file.take(size).read_to_end(&mut bytes).ok()?;
    // The library reads the metadata of whole files alone.
    let json: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    let header: Header = serde_json::from_str(json["__metadata__"][STATE].as_str()?).ok()?;
    Some(header.progress)
}

/// Keys of the metadata.
const STATE: &str = "state";
const CHECKSUM: &str = "sha256";
const DIGITS: usize = 64;

impl<B: Backend> TrainState<B> {
    fn trees(&self) -> Vec<(&'static str, &Weights<B::Tensor>)> {
        let mut trees = vec![("weights", &self.weights), ("m", &self.moments.m), ("v", &self.moments.v)];
        trees.extend(self.mean_gradient.as_ref().map(|tree| ("mean_gradient", tree)));
        trees.extend(self.mean_fisher.as_ref().map(|tree| ("mean_fisher", tree)));
        trees.extend(self.mean_weights.as_ref().map(|tree| ("mean_weights", tree)));
        trees
    }

    /// Writes the state to `path`, marked with the run's `key`.
    ///
    /// # Errors
    /// [`TrainError::CheckpointFile`]; what was at `path` before is there still.
    pub fn save(&self, backend: &B, path: &Path, key: &str) -> Result<(), TrainError> {
        let header = Header {
            key: key.to_string(),
            config: self.config.clone(),
            moment_steps: self.moments.steps,
            progress: self.progress.clone(),
            mean_statistics: self.mean_statistics.clone(),
        };
        let fault = TrainError::checkpoint_file(path);
        let json = serde_json::to_string(&header).map_err(|error| fault(error.into()))?;
        let mut leaves = Vec::new();
        for (tree, weights) in self.trees() {
            let named = weights.named().into_iter();
            leaves.extend(named.map(|(name, leaf)| (format!("{tree}/{name}"), Leaf::new(backend, leaf))));
        }
        let metadata = HashMap::from([(STATE.to_string(), json), (CHECKSUM.to_string(), "0".repeat(DIGITS))]);
        // Leaf by leaf: the state of a large model is not copied whole.
        write_atomic_with(path, |path| {
            safetensors::serialize_to_file(leaves, Some(metadata), path).map_err(io_of)?;
            seal(path)
        })
        .map_err(fault)
    }

    /// Reads the state at `path`; `None` where there is no file, or one of another run.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] where it is not what was written, [`TrainError::CheckpointFile`] where it cannot be read.
    pub fn load(backend: &B, path: &Path, key: &str) -> Result<Option<Self>, TrainError> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(TrainError::checkpoint_file(path)(error)),
        };
        let fault = |what: String| TrainError::Checkpoint { path: path.to_path_buf(), what };
        let at = checksum_place(&bytes).ok_or_else(|| fault("it carries no SHA-256".to_string()))?;
        if sha256_with_zeros(&bytes, at..at + DIGITS).as_bytes() != &bytes[at..at + DIGITS] {
            return Err(fault(
                "it is damaged: its SHA-256 is another than the one written in it".to_string(),
            ));
        }
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|error| fault(error.to_string()))?;
        let json = metadata.metadata().as_ref().and_then(|m| m.get(STATE));
        let json = json.ok_or_else(|| fault(format!("has no `{STATE}` in its metadata")))?;
        let header: Header = serde_json::from_str(json).map_err(|error| fault(error.to_string()))?;
        if header.key != key {
            return Ok(None);
        }
        let tensors = SafeTensors::deserialize(&bytes).map_err(|error| fault(error.to_string()))?;
        let shapes = Weights::shapes(&header.config);
        let tree = |prefix: &str| {
            shapes.try_map_params(|id, &[rows, cols]| {
                let name = format!("{prefix}/{}", id.hf_name());
                let view = tensors.tensor(&name).map_err(|error| fault(format!("{name}: {error}")))?;
                if view.dtype() != Dtype::F32 || view.shape() != [rows, cols] {
                    return Err(fault(format!(
                        "{name} is {:?} {:?}, expected F32 [{rows}, {cols}]",
                        view.dtype(),
                        view.shape()
                    )));
                }
                let values: Vec<B::Scalar> = view
                    .data()
                    .chunks_exact(4)
                    .map(|b| B::Scalar::from_f64(f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]]))))
                    .collect();
                Ok(backend.from_host(rows, cols, &values))
            })
        };
        let optional = |prefix: &str| {
            let present = tensors.names().iter().any(|name| name.starts_with(&format!("{prefix}/")));
            if present { tree(prefix).map(Some) } else { Ok(None) }
        };
        Ok(Some(TrainState {
            weights: tree("weights")?,
            moments: Moments { m: tree("m")?, v: tree("v")?, steps: header.moment_steps },
            mean_gradient: optional("mean_gradient")?,
            mean_fisher: optional("mean_fisher")?,
            mean_weights: optional("mean_weights")?,
            config: header.config,
            mean_statistics: header.mean_statistics,
            progress: header.progress,
        }))
    }
}

/// What the file system said, or what the library found wrong in what it was to write.
fn io_of(error: SafeTensorError) -> io::Error {
    match error {
        SafeTensorError::IoError(error) => error,
        other => io::Error::other(other),
    }
}

/// Writes the SHA-256 of the file at `path` into its metadata, where zeros hold its place.
fn seal(path: &Path) -> io::Result<()> {
    let digits = sha256_file(path)?;
    let mut file = File::options().read(true).write(true).open(path)?;
    let mut length = [0; 8];
    file.read_exact(&mut length)?;
    let mut head = vec![0; 8 + u64::from_le_bytes(length) as usize];
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut head)?;
    let at = checksum_place(&head).ok_or_else(|| io::Error::other("no place for its SHA-256"))?;
    file.seek(SeekFrom::Start(at as u64))?;
    file.write_all(digits.as_bytes())
}

/// Where the digits of the checksum stand. In the metadata's other value every quotation mark has a backslash before it.
fn checksum_place(bytes: &[u8]) -> Option<usize> {
    let length = u64::from_le_bytes(*bytes.first_chunk::<8>()?);
    let header = bytes.get(8..8usize.checked_add(usize::try_from(length).ok()?)?)?;
    let key = format!("\"{CHECKSUM}\":\"");
    let at = header.windows(key.len()).position(|window| window == key.as_bytes())? + key.len();
    (header.len() >= at + DIGITS).then_some(8 + at)
}
