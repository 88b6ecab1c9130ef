//! A device for tests: the kernel sources compiled as C++ by the host's compiler and run on fibers (`emulation.h`), products
//! by three loops with f32 sums, operands and results rounded as on the device.
//!
//! Fresh memory holds NaNs and stands before a red zone, so that a kernel that reads what nobody wrote, or writes beyond an
//! end, fails a test. The amount of memory can be set, to test what happens without enough.
pub mod libraries;

use super::device::{self, Addend, Device, DeviceError, Element, Launch, Multiplication, Operand};
use super::kernels::{kernel_names, source};
use super::queue::Queue;
use crate::tensor::{Matrix, Product};
use sha2::{Digest, Sha256};
use std::alloc::Layout;
use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_void};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock};

const ALIGNMENT: usize = 256;
const RED_ZONE: usize = 256;
const RED: u8 = 0xa5;

/// Counts of what a device was asked, shared with its memory.
#[derive(Default)]
struct Usage {
    allocated_bytes: AtomicUsize,
    allocations: AtomicUsize,
    uploads: AtomicUsize,
    downloads: AtomicUsize,
    launches: AtomicUsize,
}

pub struct EmulatedDevice {
    capacity: usize,
    usage: Arc<Usage>,
}

pub struct EmulatedMemory {
    start: *mut u8,
    bytes: usize,
    usage: Arc<Usage>,
}
// SAFETY: plain memory; who may touch it when is the contract of `Device`.
unsafe impl Send for EmulatedMemory {}
unsafe impl Sync for EmulatedMemory {}

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes + RED_ZONE, ALIGNMENT).expect("a size that fits in memory")
}

impl Drop for EmulatedMemory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout; the red zone follows the `bytes` in use.
        let intact = unsafe {
            let red = std::slice::from_raw_parts(self.start.add(self.bytes), RED_ZONE);
            let intact = red.iter().all(|&byte| byte == RED);
            std::alloc::dealloc(self.start, layout(self.bytes));
            intact
        };
        self.usage.allocated_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        assert!(intact || std::thread::panicking(), "{} bytes were written beyond their end", self.bytes);
    }
}

impl EmulatedDevice {
    /// None, with the reason printed, where there is no C++ compiler.
    pub fn new() -> Option<Self> {
        Self::with_memory(usize::MAX)
    }

    /// As [`EmulatedDevice::new`], with `capacity` bytes of memory.
    pub fn with_memory(capacity: usize) -> Option<Self> {
        static COMPILER: OnceLock<bool> = OnceLock::new();
        let found = *COMPILER.get_or_init(|| Command::new("c++").arg("--version").output().is_ok());
        if !found {
            crate::base::requirement::skip("cxx", "there is no C++ compiler (`c++`) to emulate kernels with");
        }
        found.then(|| EmulatedDevice { capacity, usage: Arc::default() })
    }

    /// Bytes in use now, what a pool keeps included.
    pub fn allocated_bytes(&self) -> usize {
        self.usage.allocated_bytes.load(Ordering::Relaxed)
    }

    /// Allocations made so far.
    pub fn allocations(&self) -> usize {
        self.usage.allocations.load(Ordering::Relaxed)
    }

    pub fn uploads(&self) -> usize {
        self.usage.uploads.load(Ordering::Relaxed)
    }

    /// Times that the host has waited for a result.
    pub fn downloads(&self) -> usize {
        self.usage.downloads.load(Ordering::Relaxed)
    }

    pub fn launches(&self) -> usize {
        self.usage.launches.load(Ordering::Relaxed)
    }
}

/// What the device was asked, once all that waits for it has been given to it.
impl Queue<EmulatedDevice> {
    fn flushed(&self) -> &EmulatedDevice {
        self.flush().expect("a device that works");
        self.inner()
    }

    pub fn allocated_bytes(&self) -> usize {
        self.flushed().allocated_bytes()
    }

    pub fn allocations(&self) -> usize {
        self.flushed().allocations()
    }

    pub fn uploads(&self) -> usize {
        self.flushed().uploads()
    }

    pub fn downloads(&self) -> usize {
        self.flushed().downloads()
    }

    pub fn launches(&self) -> usize {
        self.flushed().launches()
    }
}

impl Device for EmulatedDevice {
    type Memory = EmulatedMemory;
    type Graph = Vec<device::Command>;

    fn name(&self) -> String {
        "host emulation".to_string()
    }

    fn multiprocessors(&self) -> u32 {
        2
    }

    fn allocate(&self, bytes: usize) -> Result<EmulatedMemory, DeviceError> {
        let used = self.usage.allocated_bytes.load(Ordering::Relaxed);
        let free = self.capacity - used;
        if bytes > free {
            return Err(DeviceError::OutOfMemory { asked: bytes, free });
        }
        // SAFETY: the layout's size is not zero; all of it is written before anyone reads it.
        let start = unsafe {
            let start = std::alloc::alloc(layout(bytes));
            assert!(!start.is_null(), "the host has no {bytes} bytes");
            start.write_bytes(0xff, bytes);
            start.add(bytes).write_bytes(RED, RED_ZONE);
            start
        };
        self.usage.allocated_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.usage.allocations.fetch_add(1, Ordering::Relaxed);
        Ok(EmulatedMemory { start, bytes, usage: self.usage.clone() })
    }

    fn address(&self, memory: &EmulatedMemory) -> u64 {
        memory.start as u64
    }

    unsafe fn upload(&self, to: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        self.usage.uploads.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's contract; addresses are those of host memory.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to as *mut u8, bytes.len()) };
        Ok(())
    }

    unsafe fn download(&self, from: u64, bytes: &mut [u8]) -> Result<(), DeviceError> {
        self.usage.downloads.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { std::ptr::copy_nonoverlapping(from as *const u8, bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    unsafe fn copy(&self, to: u64, from: u64, bytes: usize) -> Result<(), DeviceError> {
        // SAFETY: as above.
        unsafe { std::ptr::copy_nonoverlapping(from as *const u8, to as *mut u8, bytes) };
        Ok(())
    }

    unsafe fn zero(&self, at: u64, bytes: usize) -> Result<(), DeviceError> {
        // SAFETY: as above.
        unsafe { (at as *mut u8).write_bytes(0, bytes) };
        Ok(())
    }

    unsafe fn launch(&self, launch: &Launch) -> Result<(), DeviceError> {
        type Entry = unsafe extern "C" fn(*const u32, u32, u32, *mut *mut c_void) -> *const c_char;
        self.usage.launches.fetch_add(1, Ordering::Relaxed);
        assert!(launch.block <= 1024 && launch.grid.iter().all(|&size| size > 0), "{launch:?}");
        assert!(launch.grid[1] < 65536 && launch.grid[2] < 65536, "{launch:?}");
        let library = library(launch.file, launch.defines)?;
        let mut words: Vec<u64> = launch.arguments.iter().map(|argument| argument.word()).collect();
        let mut pointers: Vec<*mut c_void> =
            words.iter_mut().map(|word| std::ptr::from_mut(word).cast()).collect();
        let name = format!("emulate_{}", launch.kernel);
        // SAFETY: `library` generated an entry of this type for every kernel of the file; the arguments are the
        // caller's contract.
        let fault = unsafe {
            let entry = library.get::<Entry>(name.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
            let fault = entry(launch.grid.as_ptr(), launch.block, launch.shared_bytes, pointers.as_mut_ptr());
            (!fault.is_null()).then(|| CStr::from_ptr(fault).to_string_lossy().into_owned())
        };
        match fault {
            None => Ok(()),
            Some(what) => {
                Err(DeviceError::Failed { call: launch.kernel.to_string(), what, remedy: "mend the kernel" })
            }
        }
    }

    unsafe fn multiply(&self, multiplication: &Multiplication) -> Result<(), DeviceError> {
        let Multiplication { product, addend, out, a, b } = multiplication;
        let added = match *addend {
            Addend::Nothing => None,
            Addend::Out => Some(*out),
            Addend::Matrix(address) => Some(Operand { address, ..*out }),
            Addend::Row(address) => Some(Operand { address, rows: 1, ..*out }),
        };
        for operand in [out, a, b].into_iter().chain(&added) {
            assert!(operand.stride % 8 == 0 && operand.address % 16 == 0, "misaligned: {operand:?}");
        }
        // SAFETY: the caller's contract.
        let (a, b, added) = unsafe { (read(a), read(b), added.map(|added| read(&added))) };
        let (m, n, k) = multiplication.sizes();
        let mut data = Vec::with_capacity(m * n);
        for i in 0..m {
            for j in 0..n {
                let term = |l: usize| match product {
                    Product::NT => a.data[i * a.cols + l] * b.data[j * b.cols + l],
                    Product::NN => a.data[i * a.cols + l] * b.data[l * b.cols + j],
                    Product::TN => a.data[l * a.cols + i] * b.data[l * b.cols + j],
                };
                let sum: f32 = (0..k).map(term).sum();
                data.push(match &added {
                    // A row is every row.
                    Some(added) => added.data[i % added.rows * n + j] + sum,
                    None => sum,
                });
            }
        }
        // SAFETY: as above.
        unsafe { write(out, &Matrix { rows: m, cols: n, data }) };
        Ok(())
    }

    unsafe fn record(&self, commands: &[device::Command]) -> Result<Vec<device::Command>, DeviceError> {
        Ok(commands.to_vec())
    }

    unsafe fn replay(&self, graph: &Vec<device::Command>) -> Result<(), DeviceError> {
        // SAFETY: the caller's contract.
        graph.iter().try_for_each(|command| unsafe { command.issue(self) })
    }

    fn synchronize(&self) -> Result<(), DeviceError> {
        Ok(())
    }
}

/// # Safety
/// The operand lies in live memory.
unsafe fn read(operand: &Operand) -> Matrix<f32> {
    let mut data = Vec::with_capacity(operand.rows * operand.cols);
    for r in 0..operand.rows {
        for at in r * operand.stride..r * operand.stride + operand.cols {
            // SAFETY: within the operand.
            data.push(unsafe {
                match operand.element {
                    Element::F32 => *(operand.address as *const f32).add(at),
                    Element::Bf16 => (*(operand.address as *const half::bf16).add(at)).to_f32(),
                }
            });
        }
    }
    Matrix { rows: operand.rows, cols: operand.cols, data }
}

/// # Safety
/// The operand lies in live memory.
unsafe fn write(operand: &Operand, values: &Matrix<f32>) {
    for (i, &value) in values.data.iter().enumerate() {
        let at = i / operand.cols * operand.stride + i % operand.cols;
        // SAFETY: within the operand.
        unsafe {
            match operand.element {
                Element::F32 => *(operand.address as *mut f32).add(at) = value,
                Element::Bf16 => *(operand.address as *mut half::bf16).add(at) = half::bf16::from_f32(value),
            }
        }
    }
}

/// The unit compiled for this machine, once per process and kept on disk between processes.
fn library(file: &str, defines: &[(&'static str, u32)]) -> Result<&'static libloading::Library, DeviceError> {
    library_of(file, &source(file, defines))
}

/// The kernels of `text`, compiled.
fn library_of(file: &str, text: &str) -> Result<&'static libloading::Library, DeviceError> {
    static LOADED: LazyLock<Mutex<HashMap<String, &'static libloading::Library>>> =
        LazyLock::new(Mutex::default);
    let mut program =
        format!("#define HOST_EMULATION\n{}\n{text}\n#line 1 \"entries\"\n", include_str!("emulation.h"));
    for name in kernel_names(text) {
        // Writing to a String cannot fail.
        let _ = writeln!(
            program,
            "ENTRY const char *emulate_{name}(const unsigned *grid, unsigned block, unsigned shared, void **arguments) {{ \
             return emulation::run({name}, grid, block, shared, arguments); }}"
        );
    }
    let key: String =
        Sha256::digest(program.as_bytes()).iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    let mut loaded = LOADED.lock().expect("no thread panics while it compiles");
    if let Some(library) = loaded.get(&key) {
        return Ok(library);
    }
    let path = compile(file, &program, &key)?;
    // SAFETY: the library was compiled from this crate's sources; its only initialisers are those of the C++ runtime.
    let library = unsafe { libloading::Library::new(&path) }.unwrap_or_else(|error| panic!("{error}"));
    // Kernels are called until the process ends.
    let library: &'static libloading::Library = Box::leak(Box::new(library));
    loaded.insert(key, library);
    Ok(library)
}

fn compile(file: &str, program: &str, key: &str) -> Result<PathBuf, DeviceError> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join("emulated");
    let path = folder.join(format!("{file}-{key}.so"));
    if path.exists() {
        return Ok(path);
    }
    std::fs::create_dir_all(&folder).expect("a folder for compiled kernels");
    let unfinished = tempfile::tempdir_in(&folder).expect("a folder for compiling");
    let (from, to) = (unfinished.path().join("kernels.cpp"), unfinished.path().join("kernels.so"));
    std::fs::write(&from, program).expect("a writable folder");
    let output = Command::new("c++")
        // Kernels read vectors where scalars were written, which CUDA's compiler takes as it is meant.
        .args(["-std=c++17", "-O2", "-fno-strict-aliasing", "-fvisibility=hidden", "-fPIC", "-shared"])
        .args(["-ffp-contract=off", "-Wno-attributes"])
        .arg("-o")
        .args([&to, &from])
        .output()
        .expect("`c++` ran before");
    if !output.status.success() {
        return Err(DeviceError::Compile {
            file: file.to_string(),
            architecture: "this machine".to_string(),
            log: String::from_utf8_lossy(&output.stderr).into_owned(),
            remedy: "mend the kernel",
        });
    }
    // Another process may have finished first; both made the same file.
    std::fs::rename(&to, &path).expect("the compiled kernels stay on one file system");
    Ok(path)
}

#[cfg(test)]
mod tests;
