//! CUDA, as far as there is any: today a probe of what is installed; the engine itself comes later.
pub mod probe;
