//! The CUDA engine: kernels compiled at first use by NVRTC, products by cuBLASLt, everything loaded at run time.
//!
//! One [`CudaBackend`] over anything that is a [`Device`]: the CUDA driver's, or in tests the host emulation of it, so that
//! what runs on a GPU is what tests execute without one. The driver's side is executed there too, on stand-ins for the
//! libraries that it calls (`emulated::libraries`).
//!
//! | precision | parameters, gradients, moments | activations | products |
//! |---|---|---|---|
//! | `F32` | f32 | f32 | f32 |
//! | `Bf16` | f32 (weights with a bf16 shadow) | bf16 | bf16 operands, f32 accumulation |
//!
//! A residual stream and the biases of a linear layer are added by the product that they belong to, before it is rounded.
//!
//! Commands wait in a [`queue`] and reach the device as CUDA graphs where a list of them returns with the same addresses: in
//! training every step but the first three after a change of shape. Only what is new in each step is issued by itself.
//!
//! Sums are of one fixed order everywhere and no kernel adds by atomics: the same run gives the same bits. Operations cannot
//! fail by type; what the device refuses (memory, a kernel that does not compile) unwinds with a [`DeviceError`], which
//! [`caught`](crate::tensor::unwind::caught) turns into a value again.
mod attend;
pub mod attention;
mod backend;
pub mod compile;
pub mod device;
mod distillation;
mod driver;
#[cfg(test)]
pub mod emulated;
mod head;
pub mod kernels;
pub mod nccl;
mod norm;
#[cfg(test)]
pub mod on_device;
mod optimizer;
pub mod pool;
pub mod probe;
pub mod queue;
mod rows;
mod scores;
pub mod tensor;
#[cfg(test)]
mod tests;

pub use crate::base::precision::Precision;
pub use device::{Device, DeviceError, Element};
pub use driver::CudaDevice;
pub use tensor::CudaTensor;

use crate::tensor::unwind::raise;
use device::{Addend, Argument, Launch, Multiplication, Operand};
use pool::{Buffer, Pool};
use queue::Queue;
use std::sync::{Arc, Mutex, PoisonError};
use tensor::Shadow;

/// The backend over device `D`.
pub struct CudaBackend<D: Device> {
    pool: Arc<Pool<D>>,
    precision: Precision,
    /// The one that was uploaded last.
    table: Mutex<Option<Table<D>>>,
}

/// A table, here and in device memory.
struct Table<D: Device> {
    bytes: Vec<u8>,
    on_device: Arc<Buffer<D>>,
}

/// A sum in device memory.
pub struct DeviceSum<D: Device>(Buffer<D>);

/// The number of tokens in a cache, here and in device memory.
pub struct DevicePast<D: Device> {
    tokens: usize,
    on_device: Buffer<D>,
}

impl<D: Device> DevicePast<D> {
    fn argument(&self) -> Argument {
        Argument::Address(self.on_device.address())
    }
}

/// Threads of a block of the element-wise kernels.
const BLOCK: u32 = 256;

/// The value, or an unwinding with the error.
fn must<T>(outcome: Result<T, DeviceError>) -> T {
    outcome.unwrap_or_else(|error| raise(error))
}

impl CudaBackend<CudaDevice> {
    /// Opens CUDA device `index`.
    ///
    /// # Errors
    /// A missing library, no such device, or one that is too old; each names its remedy.
    pub fn open(index: usize, precision: Precision) -> Result<Self, DeviceError> {
        Ok(Self::over(CudaDevice::open(index)?, precision))
    }
}

impl<D: Device> CudaBackend<D> {
    /// The backend over an opened device.
    pub fn over(device: D, precision: Precision) -> Self {
        Self::through(Queue::new(device), precision)
    }

    /// The backend over an opened device, behind a queue of its own.
    pub fn through(device: Queue<D>, precision: Precision) -> Self {
        CudaBackend { pool: Arc::new(Pool::new(device)), precision, table: Mutex::new(None) }
    }

    /// The device, behind the queue that puts its commands in order.
    pub fn device(&self) -> &Queue<D> {
        self.pool.device()
    }

    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The most bytes of device memory that were in use at once.
    pub fn peak_bytes(&self) -> usize {
        self.pool.peak_bytes()
    }

    /// Gives memory that is in nobody's use back to the device, for other processes or after running out of it.
    pub fn release_memory(&self) {
        self.pool.release();
    }

    fn buffer(&self, bytes: usize) -> Buffer<D> {
        must(self.pool.take(bytes))
    }

    /// Memory for one number.
    fn number(&self) -> Buffer<D> {
        must(self.pool.take_number())
    }

    /// What activations are held as.
    fn activation_element(&self) -> Element {
        match self.precision {
            Precision::F32 => Element::F32,
            Precision::Bf16 => Element::Bf16,
        }
    }

    /// A matrix of zeros.
    fn zeroed(&self, rows: usize, cols: usize, element: Element) -> CudaTensor<D> {
        let tensor = self.unset(rows, cols, element);
        self.zero(&tensor.buffer, 0, tensor.bytes());
        tensor
    }

    /// A matrix that the caller is about to write whole, padding rows and columns included.
    fn unset(&self, rows: usize, cols: usize, element: Element) -> CudaTensor<D> {
        let bytes = tensor::padded(rows) * tensor::padded(cols) * element.bytes();
        CudaTensor::new(rows, cols, element, self.buffer(bytes))
    }

    fn zero(&self, buffer: &Buffer<D>, from: usize, bytes: usize) {
        assert!(from + bytes <= buffer.size());
        if bytes > 0 {
            // SAFETY: within the live buffer, as asserted.
            must(unsafe { self.device().zero(buffer.address() + from as u64, bytes) });
        }
    }

    /// Host values in device memory.
    fn uploaded<T: bytemuck::NoUninit>(&self, values: &[T]) -> Buffer<D> {
        let bytes = bytemuck::cast_slice(values);
        let buffer = self.buffer(bytes.len());
        // SAFETY: the buffer holds at least as many bytes.
        must(unsafe { self.device().upload(buffer.address(), bytes) });
        buffer
    }

    /// A table in device memory. All layers of a pass bring the same one, and only the first uploads it.
    fn table(&self, bytes: &[u8]) -> Arc<Buffer<D>> {
        let mut last = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(last) if last.bytes == bytes => last.on_device.clone(),
            _ => {
                let on_device = Arc::new(self.uploaded(bytes));
                *last = Some(Table { bytes: bytes.to_vec(), on_device: on_device.clone() });
                on_device
            }
        }
    }

    /// The first `count` values of a buffer, once everything before has been done.
    fn downloaded<T: bytemuck::Pod>(&self, buffer: &Buffer<D>, count: usize) -> Vec<T> {
        let mut values = vec![T::zeroed(); count];
        let bytes = bytemuck::cast_slice_mut::<T, u8>(&mut values);
        assert!(bytes.len() <= buffer.size());
        if !bytes.is_empty() {
            // SAFETY: within the live buffer, as asserted.
            must(unsafe { self.device().download(buffer.address(), bytes) });
        }
        values
    }

    /// Launches `kernel` of `file`. Every call stands where the shapes of its operands are asserted.
    fn launch(&self, file: &'static str, kernel: &str, grid: [usize; 3], block: u32, arguments: &[Argument]) {
        let grid = grid.map(|size| u32::try_from(size).expect("a grid below 2³² blocks"));
        if grid.contains(&0) {
            return;
        }
        let launch = Launch { file, defines: &[], kernel, grid, block, shared_bytes: 0, arguments };
        // SAFETY: the arguments are in number and type those of the kernel, over buffers that are alive and, by the
        // asserted shapes, as large as it reads and writes; tests run every kernel with red zones around them.
        must(unsafe { self.device().launch(&launch) });
    }

    /// Blocks for `items` items by grid-stride loops.
    fn blocks_for(&self, items: usize) -> usize {
        items.div_ceil(BLOCK as usize).min(self.device().multiprocessors() as usize * 16)
    }

    /// Launches a kernel that takes its number of eights last, over the logical rows of a matrix.
    fn each(&self, kernel: &str, elements: usize, arguments: &[Argument]) {
        let eights = elements / 8;
        let mut all = arguments.to_vec();
        all.push(Argument::U64(eights as u64));
        self.launch("elementwise", kernel, [self.blocks_for(eights), 1, 1], BLOCK, &all);
    }

    fn multiply(&self, multiplication: Multiplication) {
        let (m, n, k) = multiplication.sizes();
        let Multiplication { addend, out, .. } = &multiplication;
        assert!(out.rows == m && out.cols == n, "{multiplication:?}");
        if m == 0 || n == 0 {
            return;
        }
        if k == 0 {
            match *addend {
                Addend::Out => {}
                // SAFETY: laid out as the output, which is borrowed mutably and so another.
                Addend::Matrix(from) => must(unsafe {
                    self.device().copy(out.address, from, m * out.stride * out.element.bytes())
                }),
                Addend::Nothing | Addend::Row(_) => panic!("an empty sum into a matrix: {multiplication:?}"),
            }
            return;
        }
        // SAFETY: operands are windows of live tensors, and outputs are borrowed mutably by the operation.
        must(unsafe { self.device().multiply(&multiplication) });
    }

    /// A matrix as an operand of a product: itself, or the shadow of a parameter where products are bf16.
    fn multiplicand(&self, tensor: &CudaTensor<D>, rows: usize, cols: usize) -> Operand {
        let operand = tensor.operand(rows, cols);
        if tensor.element == self.activation_element() {
            return operand;
        }
        let mut shadow = tensor.shadow.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = tensor.bytes() / 2;
        let shadow = match &mut *shadow {
            Some(shadow) if shadow.buffer.size() >= bytes => shadow,
            missing => missing.insert(Shadow { buffer: self.buffer(bytes), fresh: false }),
        };
        if !shadow.fresh {
            let (to, from) = (shadow.buffer.address(), tensor.address());
            self.each("convert_bf16_f32", bytes / 2, &[Argument::Address(to), Argument::Address(from)]);
            shadow.fresh = true;
        }
        Operand { address: shadow.buffer.address(), element: Element::Bf16, ..operand }
    }
}
