//! Matrix products by blocks: operands in f32 or bf16, sums in f32.
//!
//! Operands are packed in words as the instructions take them ([`pack`]): an f32, or a pair of neighbours along k rounded to
//! bf16. A kernel multiplies a few rows by a few columns (`kernel`); [`product`] puts the pieces together. There are three
//! orders of summation, each what one instruction does; a processor without it computes the same bits in plain f32 fused
//! multiply-adds (`emulated`). For words p, in bf16 pairs of the elements 2p and 2p + 1, z = ±0 where a sum would be subnormal:
//!
//! ```text
//! VFMADD231PS s ← s + aₚ bₚ                                                       for p = 0, 1, …
//! VDPBF16PS   s ← z(s + a₂ₚ₊₁ b₂ₚ₊₁);  s ← z(s + a₂ₚ b₂ₚ)                         for p = 0, 1, …
//! TDPBF16PS   e ← z(e + a₂ₚ b₂ₚ), o ← z(o + a₂ₚ₊₁ b₂ₚ₊₁) for 16 pairs from e = o = 0;  s ← z(s + z(e + o))
//! ```
//!
//! (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.) A chain starts anew every [`Kernel::chain_words`]
//! words, and chains are added in order, in f32. So an element of a product depends on its row, its column and k alone: not on the
//! number of threads, nor on the rows and columns beside it.
pub mod attention;
pub mod attention_inputs;
mod by_rows;
pub mod detect;
mod emulated;
pub mod feed_forward;
pub mod head_scores;
pub mod held;
mod kernel;
mod layout;
mod memory;
pub mod pack;
pub mod packed_attention;
pub mod product;
mod reach;
pub mod residual_norm;
mod round;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(test)]
mod tests;
#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
mod traps;

pub use kernel::{Kernel, Kind};

/// Columns of a vector of f32, in units of which panels are wide.
const VECTOR: usize = 16;
