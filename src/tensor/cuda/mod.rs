//! CUDA, as far as there is any: a probe of what is installed, and sums over devices; the engine itself comes later.
pub mod nccl;
pub mod probe;
