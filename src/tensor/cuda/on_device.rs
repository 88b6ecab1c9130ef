//! Every operation on a real device, where there is one; `scripts/gpu-check` runs these.
use super::attention::tests::{check_caches, check_packed_passes, check_sequences, check_sequences_on};
use super::{CudaBackend, CudaDevice, Element, Precision};
use crate::tensor::AttentionShape;
use crate::tensor::conformance::{Tolerance, check_all};

/// The first device. Without one a test is skipped with the reason; it fails where one was promised.
pub fn backend(precision: Precision) -> Option<CudaBackend<CudaDevice>> {
    match CudaBackend::open(0, precision) {
        Ok(backend) => Some(backend),
        Err(error) => {
            crate::base::requirement::skip("device", &error.to_string());
            None
        }
    }
}

/// Tolerances are those of the emulated device (`tests.rs`): the kernels and their order of summation are the same, and
/// cuBLASLt accumulates in f32.
#[test]
fn operations_conform_in_f32() {
    let Some(backend) = backend(Precision::F32) else { return };
    check_all(&backend, Tolerance { atol: 2e-5, rtol: 1e-5 });
}

#[test]
fn operations_conform_in_bf16() {
    let Some(backend) = backend(Precision::Bf16) else { return };
    check_all(&backend, Tolerance { atol: 4.0 / 256.0, rtol: 4.0 / 256.0 });
}

#[test]
fn operations_of_attention_on_many_shapes() {
    let Some(backend) = backend(Precision::Bf16) else { return };
    check_sequences(backend.device(), 80);
    check_packed_passes(backend.device(), 80);
    check_caches(backend.device(), 80);
    for (context_length, num_heads, num_kv_heads, head_dim) in [(2048, 9, 3, 64), (1000, 4, 2, 128)] {
        let shape = AttentionShape { sequences: 2, context_length, num_heads, num_kv_heads, head_dim };
        for element in [Element::F32, Element::Bf16] {
            check_sequences_on(backend.device(), element, shape, 1);
        }
    }
}
