//! Matrix products by cuBLASLt, the algorithm chosen once per shape.
//!
//! cuBLASLt thinks by columns: a row-major matrix with a stride is, to it, its transpose with that leading dimension. So
//! C = op(A) op(B) is asked for as Cᵀ = op(B)ᵀ op(A)ᵀ, with the operands in that order. What the product is added to costs no
//! pass of its own: a matrix is the third operand, which need not be the output, and a row is a bias of the epilogue, whose
//! columns are our rows.
//!
//! f32 products are of full f32 precision (no TF32), bf16 products accumulate in f32. Split sums are reduced through the
//! workspace in a fixed order: the in-place scheme, which adds in whatever order blocks finish, is not admitted.
use super::{Context, CudaMemory, REPORT, allocate};
use crate::tensor::Product;
use crate::tensor::cuda::device::{Addend, DeviceError, Element, Multiplication, Operand};
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

/// The widest power of two that divides an address, as far as it matters.
fn alignment(address: u64) -> u32 {
    1 << address.trailing_zeros().min(8)
}

fn failed(call: &str, error: CublasError) -> DeviceError {
    DeviceError::Failed { call: call.to_string(), what: error.to_string(), remedy: REPORT }
}

/// Everything that an algorithm is chosen by.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    product: Product,
    /// Element, rows, columns, stride and alignment of out, a and b.
    operands: [(Element, usize, usize, usize, u32); 3],
    /// Alignment of the third operand, which is laid out as the output and often is the output.
    third: u32,
    /// Alignment of the row of the epilogue, where there is one.
    row: Option<u32>,
}

/// Descriptors and the algorithm of one shape. The descriptor also holds the address of the row that is added: one call's
/// own, set before the call and read in it.
struct Plan {
    descriptor: sys::cublasLtMatmulDesc_t,
    /// Of b, a and out: the order in which cuBLASLt takes them.
    layouts: [sys::cublasLtMatrixLayout_t; 3],
    algorithm: sys::cublasLtMatmulAlgo_t,
}
// SAFETY: descriptions that are changed and read only by who holds the lock of the plans.
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
        let described = |o: &Operand| (o.element, o.rows, o.cols, o.stride, alignment(o.address));
        let (beta, third, row) = match m.addend {
            Addend::Nothing => (0f32, m.out.address, None),
            Addend::Out => (1f32, m.out.address, None),
            Addend::Matrix(address) => (1f32, address, None),
            Addend::Row(address) => (0f32, m.out.address, Some(address)),
        };
        let key = Key {
            product: m.product,
            operands: [&m.out, &m.a, &m.b].map(described),
            third: alignment(third),
            row: row.map(alignment),
        };
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if !plans.contains_key(&key) {
            // Pruning makes new shapes at every event, and old ones do not come back.
            if plans.len() >= MOST_PLANS {
                plans.clear();
            }
            let plan = Plan::new(self.handle, &key, row)?;
            plans.insert(key, plan);
        }
        let plan = &plans[&key];
        if let Some(row) = row {
            // SAFETY: the descriptor is live, and the plans are locked to the end of the call that reads it.
            unsafe { add_row(plan.descriptor, row) }?;
        }
        let alpha = 1f32;
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
                third as *const c_void,
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

/// # Safety
/// The descriptor is live, and `T` is the type of the attribute.
unsafe fn describe<T>(
    descriptor: sys::cublasLtMatmulDesc_t,
    attribute: sys::cublasLtMatmulDescAttributes_t,
    value: T,
) -> Result<(), DeviceError> {
    // SAFETY: the caller's contract; the value is copied in the call.
    unsafe {
        result::set_matmul_desc_attribute(descriptor, attribute, (&raw const value).cast(), size_of::<T>())
    }
    .map_err(|error| failed("cublasLtMatmulDescSetAttribute", error))
}

/// Names the row that is added, in the type of the output, as is the default.
///
/// # Safety
/// The descriptor is live and in nobody else's hands.
unsafe fn add_row(descriptor: sys::cublasLtMatmulDesc_t, row: u64) -> Result<(), DeviceError> {
    let attribute = sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_BIAS_POINTER;
    // SAFETY: a pointer of the device, as wide as one of the host.
    unsafe { describe(descriptor, attribute, row) }
}

impl Plan {
    /// `row`: any of those that will be added; its alignment counts.
    fn new(handle: sys::cublasLtHandle_t, key: &Key, row: Option<u64>) -> Result<Self, DeviceError> {
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
                // SAFETY: the descriptor is live, and operations are of 32 bits.
                unsafe { describe(descriptor, attribute, operation) }?;
            }
            if let Some(row) = row {
                let epilogue = sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_BIAS as u32;
                // SAFETY: the descriptor is live and new, and epilogues are of 32 bits.
                unsafe {
                    describe(descriptor, Described::CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue)?;
                    add_row(descriptor, row)?;
                }
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
            for (attribute, alignment) in [
                (Preferred::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &b.4),
                (Preferred::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &a.4),
                (Preferred::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &key.third),
                (Preferred::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &out.4),
            ] {
                prefer(attribute, (&raw const *alignment).cast(), size_of_val(alignment))?;
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
