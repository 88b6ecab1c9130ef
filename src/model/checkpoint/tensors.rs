//! `model.safetensors`: every parameter under its Hugging Face name, `(d_out, d_in)` row-major, norms and biases as
//! vectors.
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;

use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError, View};

use super::stored::{self, Stored};
use super::{CheckpointError, read_file};
use crate::model::{ModelConfig, Weights};
use crate::schema::ParamId;
use crate::tensor::{Backend, Scalar};

/// One parameter on its way to the file: copied from the device only when its turn comes.
pub struct Leaf<'a, B: Backend> {
    backend: &'a B,
    tensor: &'a B::Tensor,
    shape: Vec<usize>,
    /// Where it is told that this parameter, by its name, is not finite in f32.
    watch: Option<(String, &'a RefCell<Option<NotFinite>>)>,
}

/// Values of a parameter that are no numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NotFinite {
    tensor: String,
    count: usize,
    /// Place of the first, counting row by row.
    first: usize,
}

impl NotFinite {
    /// Of a tensor's values as f32; `None` where all are finite.
    pub(super) fn among(tensor: &str, values: impl Iterator<Item = f32>) -> Option<Self> {
        let (mut count, mut first) = (0, None);
        for (place, _) in values.enumerate().filter(|(_, value)| !value.is_finite()) {
            count += 1;
            first.get_or_insert(place);
        }
        first.map(|first| NotFinite { tensor: tensor.to_string(), count, first })
    }

    /// As the fault of the file at `path`.
    pub(super) fn at(self, path: &Path) -> CheckpointError {
        let NotFinite { tensor, count, first } = self;
        CheckpointError::NotFinite { path: path.to_path_buf(), tensor, count, first }
    }

    /// In words, for readers whose faults name a byte.
    pub(super) fn words(&self) -> String {
        super::error::not_finite(&self.tensor, self.count, self.first)
    }
}

impl<'a, B: Backend> Leaf<'a, B> {
    /// The matrix `tensor` as it is.
    pub fn new(backend: &'a B, tensor: &'a B::Tensor) -> Self {
        Leaf { backend, tensor, shape: backend.shape(tensor).to_vec(), watch: None }
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
        let values = values.iter().map(|v| v.to_f64() as f32);
        if let Some((name, found)) = &self.watch
            && let Some(fault) = NotFinite::among(name, values.clone())
        {
            found.borrow_mut().get_or_insert(fault);
        }
        values.flat_map(f32::to_le_bytes).collect::<Vec<u8>>().into()
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
    let not_finite = RefCell::new(None);
    let leaves: Vec<(String, Leaf<B>)> = weights
        .params()
        .into_iter()
        .map(|(id, tensor)| {
            let (name, shape) = (id.hf_name(), stored_shape(id, backend.shape(tensor)));
            let watch = Some((name.clone(), &not_finite));
            (name, Leaf { backend, tensor, shape, watch })
        })
        .collect();
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    safetensors::serialize_to_file(leaves, Some(metadata), path).map_err(|error| match error {
        SafeTensorError::IoError(source) => {
            CheckpointError::Io { action: "write", path: final_path.to_path_buf(), source }
        }
        source => CheckpointError::Container { path: final_path.to_path_buf(), bytes: 0, source },
    })?;
    not_finite.into_inner().map_or(Ok(()), |fault| Err(fault.at(final_path)))
}

/// Errors unless the stored tensors are exactly those of a model of shape `config`, each of its shape and of a type that
/// is read.
pub(super) fn check_stored(stored: &Stored, config: &ModelConfig) -> Result<(), CheckpointError> {
    let shapes = Weights::shapes(config);
    let known: HashMap<String, Vec<usize>> =
        shapes.params().into_iter().map(|(id, shape)| (id.hf_name(), stored_shape(id, *shape))).collect();
    for files in stored.by_file().values() {
        if let Some((tensor, listed)) = files.iter().find(|(name, _)| !known.contains_key(*name)) {
            let (path, tensor, found) = (listed.file.clone(), tensor.to_string(), listed.shape.clone());
            return Err(CheckpointError::UnexpectedTensor { path, tensor, found });
        }
        for (tensor, listed) in files {
            let (path, tensor, found) = (listed.file.clone(), tensor.to_string(), listed.shape.clone());
            let expected = known[&tensor].clone();
            if found != expected {
                return Err(CheckpointError::TensorShape { path, tensor, found, expected });
            }
            if !matches!(listed.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16) {
                let found = format!("{:?}", listed.dtype);
                return Err(CheckpointError::TensorType { path, tensor, found });
            }
        }
    }
    let missing = shapes.params().into_iter().map(|(id, _)| id.hf_name());
    match missing.into_iter().find(|name| !stored.tensors.contains_key(name)) {
        Some(tensor) => {
            let expected = known[&tensor].clone();
            Err(CheckpointError::MissingTensor { path: stored.whole.clone(), tensor, expected })
        }
        None => Ok(()),
    }
}

/// Reads the parameters of a model of shape `config` from the files that hold them, one file after another: all
/// parameters and nothing else, and all of them finite.
pub(super) fn read<B: Backend>(
    backend: &B,
    stored: &Stored,
    config: &ModelConfig,
) -> Result<Weights<B::Tensor>, CheckpointError> {
    check_stored(stored, config)?;
    let mut tensors: HashMap<&str, B::Tensor> = HashMap::with_capacity(stored.tensors.len());
    for (path, listed) in stored.by_file() {
        let bytes = read_file(path)?;
        let file = stored::parse(&bytes, path)?;
        for (name, listed) in listed {
            let view = file.tensor(&listed.name_in_file).map_err(|source| CheckpointError::Container {
                path: path.to_path_buf(),
                bytes: bytes.len() as u64,
                source,
            })?;
            let values = decode(&view).unwrap_or_default();
            // The file may have been written again since its header was read.
            let [rows, cols] = match *view.shape() {
                [cols] => [1, cols],
                [rows, cols] => [rows, cols],
                _ => [0, 0],
            };
            if view.shape() != listed.shape || values.len() != rows * cols {
                let (path, tensor, found) = (path.to_path_buf(), name.to_string(), view.shape().to_vec());
                return Err(CheckpointError::TensorShape {
                    path,
                    tensor,
                    found,
                    expected: listed.shape.clone(),
                });
            }
            if let Some(fault) = NotFinite::among(name, values.iter().copied()) {
                return Err(fault.at(path));
            }
            let values: Vec<B::Scalar> =
                values.into_iter().map(|value| B::Scalar::from_f64(value.into())).collect();
            tensors.insert(name, backend.from_host(rows, cols, &values));
        }
    }
    Weights::shapes(config).try_map_params(|id, &shape| {
        let tensor = id.hf_name();
        tensors.remove(tensor.as_str()).ok_or_else(|| {
            let expected = stored_shape(id, shape);
            CheckpointError::MissingTensor { path: stored.whole.clone(), tensor, expected }
        })
    })
}

/// The elements, where the element type is one that is read.
fn decode(view: &TensorView) -> Option<Vec<f32>> {
    let bytes = view.data();
    match view.dtype() {
        Dtype::F32 => Some(decode_as::<4>(bytes, f32::from_le_bytes)),
        Dtype::F16 => Some(decode_as::<2>(bytes, |b| f16::from_le_bytes(b).into())),
        Dtype::BF16 => Some(decode_as::<2>(bytes, |b| bf16::from_le_bytes(b).into())),
        _ => None,
    }
}

fn decode_as<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| value(*chunk)).collect()
}
