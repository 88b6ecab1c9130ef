//! Kernels in instructions of x86.
//!
//! Those by instructions for bf16 are assembly: AMX has no intrinsics in stable Rust, registers stay where they are put, and the tests run
//! the same instructions on a processor without them (`super::traps`).
pub mod amx;
pub mod avx2;
pub mod avx512;
pub mod convert;
pub mod fma;
pub mod turn;
