//! A [`Device`] over the CUDA driver: one primary context, one stream, kernels compiled for this device's architecture.
//!
//! Compiled kernels are kept in the user's cache folder, under a hash of source, architecture and compiler, so that the second
//! process starts at once. Uploads go through a ring of pinned buffers: they never wait for the stream, as a copy from
//! pageable memory would.
mod graph;
mod modules;
mod product;
mod staging;
mod waits;

use super::compile;
use super::device::{Command, Device, DeviceError, Launch, Multiplication};
use cudarc::driver::{DriverError, result, sys};
use graph::CudaGraph;
use modules::Modules;
use product::Products;
use staging::Staging;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, PoisonError};
use waits::between_captures;

/// Remedy of failures that no setting explains.
const REPORT: &str = "run `efficientllm doctor`, and `compute-sanitizer` on the same command to find the first fault; then report both";

/// The context and stream of one device; the last owner destroys them.
struct Context {
    device: sys::CUdevice,
    context: sys::CUcontext,
    stream: sys::CUstream,
}
// SAFETY: handles of the driver, which is thread-safe; every use makes the context current on its own thread first.
unsafe impl Send for Context {}
unsafe impl Sync for Context {}

impl Context {
    /// Makes the context current on this thread.
    fn enter(&self) -> Result<(), DeviceError> {
        // SAFETY: retained in `CudaDevice::open` and released only when dropped.
        unsafe { result::ctx::set_current(self.context) }.map_err(|error| failed("cuCtxSetCurrent", error))
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // Failures while giving things back leave nothing to do.
        // SAFETY: stream and context were made in `CudaDevice::open`; nothing else owns them any more.
        unsafe {
            let _ = result::ctx::set_current(self.context);
            let _ = result::stream::synchronize(self.stream);
            let _ = result::stream::destroy(self.stream);
            let _ = result::primary_ctx::release(self.device);
        }
    }
}

fn failed(call: &str, error: DriverError) -> DeviceError {
    // Contexts, modules and launches need memory as allocations do; how much is not told.
    if error == DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY) {
        return DeviceError::OutOfMemory {
            asked: 0,
            free: result::mem_get_info().map_or(0, |(free, _)| free),
        };
    }
    DeviceError::Failed { call: call.to_string(), what: error.to_string(), remedy: REPORT }
}

/// The device named by an index of the driver (after CUDA_VISIBLE_DEVICES).
pub struct CudaDevice {
    name: String,
    multiprocessors: u32,
    modules: Modules,
    products: Products,
    staging: Mutex<Staging>,
    /// Last, so that what belongs to the context goes before it.
    context: Arc<Context>,
}

impl Drop for CudaDevice {
    fn drop(&mut self) {
        // Modules are unloaded in the current context, when no kernel of theirs runs any more.
        let _ = self.synchronize();
    }
}

/// A block of memory of a device.
pub struct CudaMemory {
    address: sys::CUdeviceptr,
    context: Arc<Context>,
}

impl Drop for CudaMemory {
    fn drop(&mut self) {
        if self.context.enter().is_ok() {
            // SAFETY: allocated by `CudaDevice::allocate`, freed once; the call waits for work that still uses it.
            let _ = between_captures(|| unsafe { result::free_sync(self.address) });
        }
    }
}

impl CudaDevice {
    /// # Errors
    /// A missing library, no such device, or one that is too old.
    pub fn open(index: usize) -> Result<Self, DeviceError> {
        // SAFETY: these functions only try to open shared libraries by their well-known names.
        let (driver, cublaslt) =
            unsafe { (sys::is_culib_present(), cudarc::cublaslt::sys::is_culib_present()) };
        let libraries = [
            (driver, "libcuda", "install the NVIDIA driver (580 or later), or set `engine.kind = \"cpu\"`"),
            (
                compile::is_available(),
                "libnvrtc",
                "`pip install nvidia-cuda-nvrtc==13.0.88` and put its folder on LD_LIBRARY_PATH, or install the CUDA 13 runtime",
            ),
            (
                cublaslt,
                "libcublasLt",
                "`pip install nvidia-cublas` and put its folder on LD_LIBRARY_PATH, or install the CUDA 13 runtime",
            ),
        ];
        if let Some((_, library, remedy)) = libraries.into_iter().find(|(found, ..)| !found) {
            return Err(DeviceError::MissingLibrary { library, remedy });
        }
        result::init().map_err(|error| failed("cuInit", error))?;
        let count = result::device::get_count().map_err(|error| failed("cuDeviceGetCount", error))?;
        let count = usize::try_from(count).unwrap_or(0);
        if index >= count {
            let nearest = count.checked_sub(1).map_or("none".to_string(), |last| last.to_string());
            return Err(DeviceError::NoSuchDevice { index, count, nearest });
        }
        let device = result::device::get(index as i32).map_err(|error| failed("cuDeviceGet", error))?;
        let name = result::device::get_name(device).map_err(|error| failed("cuDeviceGetName", error))?;
        use sys::CUdevice_attribute_enum as Attribute;
        let attribute = |attribute| {
            // SAFETY: `device` is one of the driver's.
            unsafe { result::device::get_attribute(device, attribute) }
                .map_err(|error| failed("cuDeviceGetAttribute", error))
        };
        let major = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        let minor = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
        if major < 8 {
            return Err(DeviceError::TooOld { name, major, minor });
        }
        let multiprocessors = attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
        // SAFETY: as above; released by `Context`.
        let context = unsafe { result::primary_ctx::retain(device) }
            .map_err(|error| failed("cuDevicePrimaryCtxRetain", error))?;
        // SAFETY: just retained.
        unsafe { result::ctx::set_current(context) }.map_err(|error| failed("cuCtxSetCurrent", error))?;
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking)
            .map_err(|error| failed("cuStreamCreate", error))?;
        let context = Arc::new(Context { device, context, stream });
        let modules = Modules::new(format!("sm_{major}{minor}"));
        let products = Products::new(&context)?;
        Ok(CudaDevice {
            name,
            multiprocessors: u32::try_from(multiprocessors).unwrap_or(1).max(1),
            modules,
            products,
            staging: Mutex::default(),
            context,
        })
    }

    /// What `work` returns, done with the device's context current and its stream at hand.
    ///
    /// # Errors
    /// The context cannot be made current.
    pub fn with_stream<T>(&self, work: impl FnOnce(sys::CUstream) -> T) -> Result<T, DeviceError> {
        self.context.enter()?;
        Ok(work(self.context.stream))
    }

    /// Bytes free and in all, on this device, for every process.
    ///
    /// # Errors
    /// What the driver says.
    pub fn memory(&self) -> Result<(usize, usize), DeviceError> {
        self.context.enter()?;
        result::mem_get_info().map_err(|error| failed("cuMemGetInfo", error))
    }
}

/// Device memory, or [`DeviceError::OutOfMemory`] with what is free.
fn allocate(context: &Arc<Context>, bytes: usize) -> Result<CudaMemory, DeviceError> {
    context.enter()?;
    // SAFETY: contents are unspecified, and nobody takes them for more.
    match unsafe { result::malloc_sync(bytes) } {
        Ok(address) => Ok(CudaMemory { address, context: context.clone() }),
        Err(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => {
            let free = result::mem_get_info().map_or(0, |(free, _)| free);
            Err(DeviceError::OutOfMemory { asked: bytes, free })
        }
        Err(error) => Err(failed("cuMemAlloc", error)),
    }
}

impl Device for CudaDevice {
    type Memory = CudaMemory;
    type Graph = CudaGraph;

    fn name(&self) -> String {
        self.name.clone()
    }

    fn multiprocessors(&self) -> u32 {
        self.multiprocessors
    }

    fn allocate(&self, bytes: usize) -> Result<CudaMemory, DeviceError> {
        allocate(&self.context, bytes)
    }

    fn address(&self, memory: &CudaMemory) -> u64 {
        memory.address
    }

    unsafe fn upload(&self, to: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        self.context.enter()?;
        let mut staging = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the caller's contract.
        unsafe { staging.upload(&self.context, to, bytes) }
    }

    unsafe fn download(&self, from: u64, bytes: &mut [u8]) -> Result<(), DeviceError> {
        self.context.enter()?;
        // SAFETY: the caller's contract; the buffer outlives the copy, which ends before this returns.
        unsafe { result::memcpy_dtoh_async(bytes, from, self.context.stream) }
            .map_err(|error| failed("cuMemcpyDtoH", error))?;
        self.synchronize()
    }

    unsafe fn copy(&self, to: u64, from: u64, bytes: usize) -> Result<(), DeviceError> {
        self.context.enter()?;
        // SAFETY: the caller's contract.
        unsafe { result::memcpy_dtod_async(to, from, bytes, self.context.stream) }
            .map_err(|error| failed("cuMemcpyDtoD", error))
    }

    unsafe fn zero(&self, at: u64, bytes: usize) -> Result<(), DeviceError> {
        self.context.enter()?;
        // SAFETY: the caller's contract.
        unsafe { result::memset_d8_async(at, 0, bytes, self.context.stream) }
            .map_err(|error| failed("cuMemsetD8", error))
    }

    unsafe fn launch(&self, launch: &Launch) -> Result<(), DeviceError> {
        self.context.enter()?;
        let function = self.modules.function(launch)?;
        let mut words: Vec<u64> = launch.arguments.iter().map(|argument| argument.word()).collect();
        let mut pointers: Vec<*mut c_void> =
            words.iter_mut().map(|word| std::ptr::from_mut(word).cast()).collect();
        let [x, y, z] = launch.grid;
        // SAFETY: the caller's contract; arguments are copied before the call returns.
        unsafe {
            result::launch_kernel(
                function,
                (x, y, z),
                (launch.block, 1, 1),
                launch.shared_bytes,
                self.context.stream,
                &mut pointers,
            )
        }
        .map_err(|error| failed(&format!("launch of {}", launch.kernel), error))
    }

    unsafe fn multiply(&self, multiplication: &Multiplication) -> Result<(), DeviceError> {
        self.context.enter()?;
        // SAFETY: the caller's contract.
        unsafe { self.products.multiply(&self.context, multiplication) }
    }

    unsafe fn record(&self, commands: &[Command]) -> Result<CudaGraph, DeviceError> {
        self.context.enter()?;
        // Issued before, the commands find their kernels loaded and their plans made.
        CudaGraph::capture(&self.context, || {
            // SAFETY: the caller's contract.
            commands.iter().try_for_each(|command| unsafe { command.issue(self) })
        })
    }

    unsafe fn replay(&self, graph: &CudaGraph) -> Result<(), DeviceError> {
        self.context.enter()?;
        // SAFETY: the caller's contract.
        unsafe { graph.launch() }
    }

    fn synchronize(&self) -> Result<(), DeviceError> {
        self.context.enter()?;
        // SAFETY: the stream lives as long as the context.
        unsafe { result::stream::synchronize(self.context.stream) }
            .map_err(|error| failed("cuStreamSynchronize", error))
    }
}

#[cfg(test)]
mod tests;
