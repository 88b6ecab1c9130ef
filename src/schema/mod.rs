//! One description of the Llama family: which parameters a model has, and along what their rows and columns run.
//!
//! ```text
//! dims      Hidden, QueryHead(ℓ), KvHead(ℓ), HeadDim(ℓ), Ffn(ℓ), …         what widths there are
//! params    q_proj of layer ℓ: rows QueryHead(ℓ) × HeadDim(ℓ), columns Hidden   every tensor says what it runs along
//! tree      Weights<T>: one leaf per parameter, whatever stands at the leaves
//! config    ModelConfig: the widths; counts are folds over the parameters
//! flops     so are floating-point operations
//! groups    which parameters go together, by type
//! ```
//!
//! Initialisation, removal, padding, sums over groups and names in files are folds over the same description: nothing is
//! decided by a parameter's name.
pub mod biases;
pub mod config;
pub mod dims;
pub mod flops;
pub mod groups;
pub mod params;
pub mod tree;

pub use biases::Biases;
pub use config::{LayerShape, ModelConfig};
pub use dims::{Axis, Dim};
pub use params::{Param, ParamId, ParamKind, Part, Projection};
pub use tree::{LayerWeights, Linear, Weights};
