//! `model.safetensors`: every parameter under its Hugging Face name, `(d_out, d_in)` row-major, norms and biases as
//! vectors.
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError, SafeTensors, View};

use super::{CheckpointError, read_file};
use crate::model::{ModelConfig, Weights};
use crate::schema::ParamId;
use crate::tensor::{Backend, Scalar};

/// One parameter on its way to the file: copied from the device only when its turn comes.
pub struct Leaf<'a, B: Backend> {
    backend: &'a B,
    tensor: &'a B::Tensor,
    shape: Vec<usize>,
}

impl<'a, B: Backend> Leaf<'a, B> {
    /// The matrix `tensor` as it is.
    pub fn new(backend: &'a B, tensor: &'a B::Tensor) -> Self {
        Leaf { backend, tensor, shape: backend.shape(tensor).to_vec() }
    }
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

/// Shape in the file: norms and biases, which are 1 × n here, are vectors there.
fn stored_shape(id: ParamId, [rows, cols]: [usize; 2]) -> Vec<usize> {
    if id.is_vector() { vec![cols] } else { vec![rows, cols] }
}

/// Errors unless `weights` have the shapes of `config`; messages name `path`.
pub(super) fn check_shapes<B: Backend>(
    backend: &B,
    path: &Path,
    config: &ModelConfig,
    weights: &Weights<B::Tensor>,
) -> Result<(), CheckpointError> {
    let path = path.to_path_buf();
    let shapes = Weights::shapes(config);
    for (id, leaf) in weights.params() {
        let (tensor, found) = (id.hf_name(), backend.shape(leaf));
        let shape = stored_shape(id, found);
        match shapes.get(id) {
            Some(&wanted) if wanted == found => {}
            Some(&wanted) => {
                let expected = stored_shape(id, wanted);
                return Err(CheckpointError::TensorShape { path, tensor, found: shape, expected });
            }
            None => return Err(CheckpointError::UnexpectedTensor { path, tensor, found: shape }),
        }
    }
    match shapes.params().into_iter().find(|(id, _)| weights.get(*id).is_none()) {
        Some((id, shape)) => {
            let expected = stored_shape(id, *shape);
            Err(CheckpointError::MissingTensor { path, tensor: id.hf_name(), expected })
        }
        None => Ok(()),
    }
}

/// Writes the parameters to `path`; messages name `final_path`.
pub(super) fn write<B: Backend>(
    backend: &B,
    path: &Path,
    final_path: &Path,
    config: &ModelConfig,
    weights: &Weights<B::Tensor>,
) -> Result<(), CheckpointError> {
    check_shapes(backend, final_path, config, weights)?;
    let leaves: Vec<(String, Leaf<B>)> = weights
        .params()
        .into_iter()
        .map(|(id, tensor)| {
            let shape = stored_shape(id, backend.shape(tensor));
            (id.hf_name(), Leaf { backend, tensor, shape })
        })
        .collect();
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    safetensors::serialize_to_file(leaves, Some(metadata), path).map_err(|error| match error {
        SafeTensorError::IoError(source) => {
            CheckpointError::Io { action: "write", path: final_path.to_path_buf(), source }
        }
        source => CheckpointError::Container { path: final_path.to_path_buf(), bytes: 0, source },
    })
}

/// Reads the parameters of a model of shape `config` from the files that hold them, one after another: all
/// parameters and nothing else. `whole` is the file that a missing parameter is reported of.
pub(super) fn read<B: Backend>(
    backend: &B,
    files: &[PathBuf],
    whole: &Path,
    config: &ModelConfig,
) -> Result<Weights<B::Tensor>, CheckpointError> {
    let shapes = Weights::shapes(config);
    let known: HashMap<String, (ParamId, [usize; 2])> =
        shapes.params().into_iter().map(|(id, shape)| (id.hf_name(), (id, *shape))).collect();
    let mut tensors: HashMap<String, B::Tensor> = HashMap::with_capacity(known.len());
    for path in files {
        read_file_of(backend, path, &known, &mut tensors)?;
    }
    shapes.try_map_params(|id, &shape| {
        let tensor = id.hf_name();
        tensors.remove(&tensor).ok_or_else(|| {
            let expected = stored_shape(id, shape);
            CheckpointError::MissingTensor { path: whole.to_path_buf(), tensor, expected }
        })
    })
}

/// Adds the parameters in one safetensors file to `tensors`.
fn read_file_of<B: Backend>(
    backend: &B,
    path: &Path,
    known: &HashMap<String, (ParamId, [usize; 2])>,
    tensors: &mut HashMap<String, B::Tensor>,
) -> Result<(), CheckpointError> {
    let bytes = read_file(path)?;
    let file = SafeTensors::deserialize(&bytes).map_err(|source| CheckpointError::Container {
        path: path.to_path_buf(),
        bytes: bytes.len() as u64,
        source,
    })?;
    let mut views = file.tensors();
    // Angles that old versions of transformers stored although they follow from the config.
    views.retain(|(name, _)| !name.ends_with("rotary_emb.inv_freq"));
    views.sort_by(|a, b| a.0.cmp(&b.0));
    if let Some((tensor, view)) = views.iter().find(|(name, _)| !known.contains_key(name)) {
        let (path, tensor, found) = (path.to_path_buf(), tensor.clone(), view.shape().to_vec());
        return Err(CheckpointError::UnexpectedTensor { path, tensor, found });
    }
    for (tensor, view) in views {
        let path = path.to_path_buf();
        let (id, [rows, cols]) = known[&tensor];
        let (expected, found) = (stored_shape(id, [rows, cols]), view.shape().to_vec());
        if found != expected {
            return Err(CheckpointError::TensorShape { path, tensor, found, expected });
        }
        let Some(values) = decode::<B::Scalar>(&view) else {
            let found = format!("{:?}", view.dtype());
            return Err(CheckpointError::TensorType { path, tensor, found });
        };
        if tensors.insert(tensor.clone(), backend.from_host(rows, cols, &values)).is_some() {
            return Err(CheckpointError::RepeatedTensor { path, tensor });
        }
    }
    Ok(())
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
