//! Matrix products by cuBLASLt, the algorithm chosen once per shape.
//!
//! cuBLASLt thinks by columns: a row-major matrix with a stride is, to it, its transpose with that leading dimension. So
//! C = op(A) op(B) is asked for as Cᵀ = op(B)ᵀ op(A)ᵀ, with the operands in that order.
//!
//! f32 products are of full f32 precision (no TF32), bf16 products accumulate in f32. Split sums are reduced through the
//! workspace in a fixed order: the in-place scheme, which adds in whatever order blocks finish, is not admitted.
use super::{Context, CudaMemory, REPORT, allocate};
use crate::tensor::Product;
use crate::tensor::cuda::device::{DeviceError, Element, Multiplication, Operand};
use cudarc::cublaslt::result::{self, CublasError};
use cudarc::cublaslt::sys;
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, PoisonError};

/// What cuBLASLt recommends for its fastest kernels on Hopper; enough everywhere.
const WORKSPACE_BYTES: usize = 32 << 20;
/// Shapes kept; a model has about twenty.
const MOST_PLANS: usize = 1024;
/// `CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE`: through the workspace, in the type of accumulation.
const REDUCTION_SCHEMES: u32 = 2;

/// `CUBLAS_OP_N` and `CUBLAS_OP_T` of cuBLAS's header, which cuBLASLt's attributes are given in.
const OPERATION_PLAIN: i32 = 0;
const OPERATION_TRANSPOSED: i32 = 1;

fn failed(call: &str, error: CublasError) -> DeviceError {
    DeviceError::Failed { call: call.to_string(), what: error.to_string(), remedy: REPORT }
}

/// Everything that an algorithm is chosen by.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    product: Product,
    /// Element, rows, columns, stride and alignment of out, a and b.
    operands: [(Element, usize, usize, usize, u32); 3],
}

/// Descriptors and the algorithm of one shape.
struct Plan {
    descriptor: sys::cublasLtMatmulDesc_t,
    /// Of b, a and out: the order in which cuBLASLt takes them.
    layouts: [sys::cublasLtMatrixLayout_t; 3],
    algorithm: sys::cublasLtMatmulAlgo_t,
}
// SAFETY: descriptions that nobody changes after they are made.
unsafe impl Send for Plan {}

impl Drop for Plan {
    fn drop(&mut self) {
        // SAFETY: made in `Plan::new`, destroyed once.
        unsafe {
            let _ = result::destroy_matmul_desc(self.descriptor);
            for layout in self.layouts {
                let _ = result::destroy_matrix_layout(layout);
            }
        }
    }
}

/// The handle, the workspace, and a plan for every shape seen.
pub struct Products {
    handle: sys::cublasLtHandle_t,
    workspace: CudaMemory,
    plans: Mutex<HashMap<Key, Plan>>,
}
// SAFETY: the handle is thread-safe by cuBLASLt's documentation; plans stand behind a lock.
unsafe impl Send for Products {}
unsafe impl Sync for Products {}

impl Drop for Products {
    fn drop(&mut self) {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner).clear();
        // SAFETY: made in `Products::new`, destroyed once.
        let _ = unsafe { result::destroy_handle(self.handle) };
    }
}

impl Products {
    /// The context is current.
    pub fn new(context: &Arc<Context>) -> Result<Self, DeviceError> {
        let workspace = allocate(context, WORKSPACE_BYTES)?;
        let handle = result::create_handle().map_err(|error| failed("cublasLtCreate", error))?;
        Ok(Products { handle, workspace, plans: Mutex::default() })
    }

    /// # Safety
    /// As [`crate::tensor::cuda::device::Device::multiply`], with the context current.
    pub unsafe fn multiply(&self, context: &Context, m: &Multiplication) -> Result<(), DeviceError> {
        // The widest power of two that divides the address, as far as it matters.
        let described = |o: &Operand| {
            let alignment = 1 << o.address.trailing_zeros().min(8);
            (o.element, o.rows, o.cols, o.stride, alignment)
        };
        let key = Key { product: m.product, operands: [&m.out, &m.a, &m.b].map(described) };
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if !plans.contains_key(&key) {
            // Pruning makes new shapes at every event, and old ones do not come back.
            if plans.len() >= MOST_PLANS {
                plans.clear();
            }
            let plan = Plan::new(self.handle, &key)?;
            plans.insert(key, plan);
        }
        let plan = &plans[&key];
        let (alpha, beta) = (1f32, if m.accumulate { 1f32 } else { 0f32 });
        let [first, second, out] = plan.layouts;
        let at = |o: &Operand| o.address as *mut c_void;
        // SAFETY: the operands are the caller's contract, described as the plan's layouts; scalars are read in the call.
        unsafe {
            result::matmul(
                self.handle,
                plan.descriptor,
                (&raw const alpha).cast(),
                (&raw const beta).cast(),
                at(&m.b),
                first,
                at(&m.a),
                second,
                at(&m.out),
                out,
                at(&m.out),
                out,
                &plan.algorithm,
                self.workspace.address as *mut c_void,
                WORKSPACE_BYTES,
                context.stream.cast(),
            )
        }
        .map_err(|error| failed(&format!("cublasLtMatmul of {:?} {:?}", m.product, m.sizes()), error))
    }
}

impl Plan {
    fn new(handle: sys::cublasLtHandle_t, key: &Key) -> Result<Self, DeviceError> {
        use sys::cublasLtMatmulDescAttributes_t as Described;
        use sys::cublasLtMatmulPreferenceAttributes_t as Preferred;
        let told = |call: &'static str| move |error: CublasError| failed(call, error);
        let kind = |element| match element {
            Element::F32 => sys::cudaDataType::CUDA_R_32F,
            Element::Bf16 => sys::cudaDataType::CUDA_R_16BF,
        };
        let descriptor = result::create_matmul_desc(
            sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
            sys::cudaDataType::CUDA_R_32F,
        )
        .map_err(told("cublasLtMatmulDescCreate"))?;
        let [out, a, b] = key.operands;
        let layout = |(element, rows, cols, stride, _): (Element, usize, usize, usize, u32)| {
            result::create_matrix_layout(kind(element), cols as u64, rows as u64, stride as i64)
                .map_err(told("cublasLtMatrixLayoutCreate"))
        };
        let layouts = [layout(b)?, layout(a)?, layout(out)?];
        let (plain, transposed) = (OPERATION_PLAIN, OPERATION_TRANSPOSED);
        let (of_b, of_a) = match key.product {
            Product::NT => (transposed, plain),
            Product::NN => (plain, plain),
            Product::TN => (plain, transposed),
        };
        let preference = result::create_matmul_pref().map_err(told("cublasLtMatmulPreferenceCreate"))?;
        let prefer = |attribute, value: *const c_void, bytes| {
            // SAFETY: the preference is live, and the value has the attribute's size.
            unsafe { result::set_matmul_pref_attribute(preference, attribute, value, bytes) }
                .map_err(told("cublasLtMatmulPreferenceSetAttribute"))
        };
        let choose = || {
            for (attribute, operation) in [
                (Described::CUBLASLT_MATMUL_DESC_TRANSA, of_b),
                (Described::CUBLASLT_MATMUL_DESC_TRANSB, of_a),
            ] {
                // SAFETY: the descriptor is live, and the value has the attribute's size.
                unsafe {
                    result::set_matmul_desc_attribute(
                        descriptor,
                        attribute,
                        (&raw const operation).cast(),
                        size_of_val(&operation),
                    )
                }
                .map_err(told("cublasLtMatmulDescSetAttribute"))?;
            }
            let workspace = WORKSPACE_BYTES;
            prefer(
                Preferred::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                (&raw const workspace).cast(),
                size_of_val(&workspace),
            )?;
            let schemes = REDUCTION_SCHEMES;
            prefer(
                Preferred::CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                (&raw const schemes).cast(),
                size_of_val(&schemes),
            )?;
            for (attribute, operand) in [
                (Preferred::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &b),
                (Preferred::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &a),
                (Preferred::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &out),
                (Preferred::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &out),
            ] {
                prefer(attribute, (&raw const operand.4).cast(), size_of_val(&operand.4))?;
            }
            let [first, second, out] = layouts;
            // SAFETY: all descriptions are live.
            unsafe {
                result::get_matmul_algo_heuristic(handle, descriptor, first, second, out, out, preference)
            }
            .map_err(told("cublasLtMatmulAlgoGetHeuristic"))
        };
        let chosen = choose();
        // SAFETY: made above, destroyed once.
        let _ = unsafe { result::destroy_matmul_pref(preference) };
        // Destroyed by the drop of the plan, or here where there is no algorithm.
        match chosen {
            Ok(heuristic) => Ok(Plan { descriptor, layouts, algorithm: heuristic.algo }),
            Err(error) => {
                // SAFETY: as above.
                unsafe {
                    let _ = result::destroy_matmul_desc(descriptor);
                    for layout in layouts {
                        let _ = result::destroy_matrix_layout(layout);
                    }
                }
                Err(error)
            }
        }
    }
}
