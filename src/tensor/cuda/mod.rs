//! The CUDA engine: kernels compiled at first use by NVRTC, products by cuBLASLt, everything loaded at run time.
pub mod attention;
pub mod compile;
pub mod device;
#[cfg(test)]
pub mod emulated;
pub mod kernels;
pub mod nccl;
pub mod probe;
