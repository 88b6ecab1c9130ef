//! `model.safetensors`: every parameter under its Hugging Face name, `(d_out, d_in)` row-major, norms as vectors.
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::Path;

use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError, SafeTensors, View};

use super::{CheckpointError, read_file};
use crate::model::{ModelConfig, Weights};
use crate::tensor::{Backend, Scalar};

/// One parameter on its way to the file: copied from the device only when its turn comes.
struct Leaf<'a, B: Backend> {
    backend: &'a B,
    tensor: &'a B::Tensor,
    shape: Vec<usize>,
}

impl<B: Backend> View for Leaf<'_, B> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let values = self.backend.to_host(self.tensor);
        values.iter().flat_map(|v| (v.to_f64() as f32).to_le_bytes()).collect::<Vec<u8>>().into()
    }

    fn data_len(&self) -> usize {
        4 * self.shape.iter().product::<usize>()
    }
}

/// Shape in the file: norms, which are 1 × d here, are vectors there.
fn stored_shape(name: &str, [rows, cols]: [usize; 2]) -> Vec<usize> {
    if name.ends_with("norm.weight") { vec![cols] } else { vec![rows, cols] }
}

/// Writes the parameters to `path`; messages name `final_path`.
pub(super) fn write<B: Backend>(
    backend: &B,
    path: &Path,
    final_path: &Path,
    config: &ModelConfig,
    weights: &Weights<B::Tensor>,
) -> Result<(), CheckpointError> {
    let shapes = Weights::shapes(config);
    let expected: HashMap<String, [usize; 2]> =
        shapes.named().into_iter().map(|(name, shape)| (name, *shape)).collect();
    let mut leaves = Vec::with_capacity(expected.len());
    for (name, tensor) in weights.named() {
        let found = backend.shape(tensor);
        let shape = stored_shape(&name, found);
        match expected.get(&name) {
            Some(&wanted) if wanted == found => leaves.push((name, Leaf { backend, tensor, shape })),
            Some(&wanted) => {
                let expected = stored_shape(&name, wanted);
                let path = final_path.to_path_buf();
                return Err(CheckpointError::TensorShape { path, tensor: name, found: shape, expected });
            }
            None => {
                let path = final_path.to_path_buf();
                return Err(CheckpointError::UnexpectedTensor { path, tensor: name, found: shape });
            }
        }
    }
    // As many leaves as shapes, since names are distinct: only the head can be missing.
    if leaves.len() < expected.len() {
        let expected = vec![config.vocab_size, config.hidden_size];
        let path = final_path.to_path_buf();
        return Err(CheckpointError::MissingTensor { path, tensor: "lm_head.weight".into(), expected });
    }
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    safetensors::serialize_to_file(leaves, Some(metadata), path).map_err(|error| match error {
        SafeTensorError::IoError(source) => {
            CheckpointError::Io { action: "write", path: final_path.to_path_buf(), source }
        }
        source => CheckpointError::Container { path: final_path.to_path_buf(), bytes: 0, source },
    })
}

/// Reads the parameters of a model of shape `config`: all of them and nothing else.
pub(super) fn read<B: Backend>(
    backend: &B,
    path: &Path,
    config: &ModelConfig,
) -> Result<Weights<B::Tensor>, CheckpointError> {
    let bytes = read_file(path)?;
    let file = SafeTensors::deserialize(&bytes).map_err(|source| CheckpointError::Container {
        path: path.to_path_buf(),
        bytes: bytes.len() as u64,
        source,
    })?;
    let shapes = Weights::shapes(config);
    let known: HashSet<String> = shapes.named().into_iter().map(|(name, _)| name).collect();
    let mut unexpected: Vec<&str> = file.names().into_iter().filter(|name| !known.contains(*name)).collect();
    unexpected.sort_unstable();
    if let Some(&tensor) = unexpected.first() {
        let found = file.tensor(tensor).map_or_else(|_| Vec::new(), |view| view.shape().to_vec());
        return Err(CheckpointError::UnexpectedTensor {
            path: path.to_path_buf(),
            tensor: tensor.into(),
            found,
        });
    }
    let mut names = shapes.named().into_iter().map(|(name, _)| name);
    shapes.try_map(|&[rows, cols]| {
        let tensor = names.next().unwrap_or_default();
        let expected = stored_shape(&tensor, [rows, cols]);
        let path = path.to_path_buf();
        let Ok(view) = file.tensor(&tensor) else {
            return Err(CheckpointError::MissingTensor { path, tensor, expected });
        };
        if view.shape() != expected {
            let found = view.shape().to_vec();
            return Err(CheckpointError::TensorShape { path, tensor, found, expected });
        }
        let Some(values) = decode::<B::Scalar>(&view) else {
            let found = format!("{:?}", view.dtype());
            return Err(CheckpointError::TensorType { path, tensor, found });
        };
        Ok(backend.from_host(rows, cols, &values))
    })
}

/// The elements, where the element type is one that is read.
fn decode<T: Scalar>(view: &TensorView) -> Option<Vec<T>> {
    let bytes = view.data();
    match view.dtype() {
        Dtype::F32 => Some(decode_as::<T, 4>(bytes, |b| f32::from_le_bytes(b).into())),
        Dtype::F16 => Some(decode_as::<T, 2>(bytes, |b| f16::from_le_bytes(b).into())),
        Dtype::BF16 => Some(decode_as::<T, 2>(bytes, |b| bf16::from_le_bytes(b).into())),
        _ => None,
    }
}

fn decode_as<T: Scalar, const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f64) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| T::from_f64(value(*chunk))).collect()
}
