//! Kernels by name: compiled at first use, kept on disk between processes and loaded once per process.
use super::failed;
use super::waits::between_captures;
use crate::base::files::write_atomic;
use crate::tensor::cuda::compile;
use crate::tensor::cuda::device::{DeviceError, Launch};
use crate::tensor::cuda::kernels::source;
use cudarc::driver::{result, sys};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Dynamic shared memory that a kernel may have without asking.
const PLAIN_SHARED_BYTES: u32 = 48 << 10;

/// A kernel file with its macros.
type Unit = (&'static str, Vec<(&'static str, u32)>);
/// Identity of a kernel within the program.
type Key = (&'static str, Vec<(&'static str, u32)>, String);

struct Function {
    handle: sys::CUfunction,
    /// Dynamic shared memory that it may have.
    shared_bytes: u32,
}
// SAFETY: a handle of a module that stays loaded as long as the context.
unsafe impl Send for Function {}

struct Module(sys::CUmodule);
// SAFETY: as above.
unsafe impl Send for Module {}

impl Drop for Module {
    fn drop(&mut self) {
        // Runs that follow one another on a device that others keep open would else pile them up.
        // SAFETY: loaded once, unloaded once; `CudaDevice`'s drop has waited for its kernels.
        let _ = between_captures(|| unsafe { result::module::unload(self.0) });
    }
}

#[derive(Default)]
struct Loaded {
    modules: HashMap<Unit, Module>,
    functions: HashMap<Key, Function>,
}

/// The modules of one context; they go with it.
pub struct Modules {
    architecture: String,
    loaded: Mutex<Loaded>,
}

impl Modules {
    pub fn new(architecture: String) -> Self {
        Modules { architecture, loaded: Mutex::default() }
    }

    /// The kernel that `launch` names, allowed as much shared memory as it asks for. The context is current.
    ///
    /// # Errors
    /// Where it does not compile or load.
    pub fn function(&self, launch: &Launch) -> Result<sys::CUfunction, DeviceError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let Loaded { modules, functions } = &mut *loaded;
        let key = (launch.file, launch.defines.to_vec(), launch.kernel.to_string());
        if !functions.contains_key(&key) {
            let unit = (launch.file, launch.defines.to_vec());
            if !modules.contains_key(&unit) {
                let module = self.load(launch.file, launch.defines)?;
                modules.insert(unit.clone(), module);
            }
            let name = CString::new(launch.kernel).expect("names of kernels hold no zero");
            // SAFETY: the module was loaded in this context and stays.
            let handle = unsafe { result::module::get_function(modules[&unit].0, name) }
                .map_err(|error| failed(&format!("cuModuleGetFunction of {}", launch.kernel), error))?;
            functions.insert(key.clone(), Function { handle, shared_bytes: PLAIN_SHARED_BYTES });
        }
        let function = functions.get_mut(&key).expect("inserted above");
        if launch.shared_bytes > function.shared_bytes {
            use sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES as MOST;
            let bytes = i32::try_from(launch.shared_bytes).expect("shared memory below 2 GiB");
            // SAFETY: the function's handle is live.
            unsafe { result::function::set_function_attribute(function.handle, MOST, bytes) }
                .map_err(|error| failed(&format!("shared memory of {}", launch.kernel), error))?;
            function.shared_bytes = launch.shared_bytes;
        }
        Ok(function.handle)
    }

    fn load(&self, file: &str, defines: &[(&'static str, u32)]) -> Result<Module, DeviceError> {
        let text = source(file, defines);
        let path = self.cache_path(file, &text);
        let kept = path.as_ref().and_then(|path| std::fs::read(path).ok());
        // A damaged file in the cache is compiled again.
        if let Some(module) = kept.and_then(|cubin| load_cubin(&cubin).ok()) {
            return Ok(module);
        }
        let compiled = compile::to_cubin(file, &text, &self.architecture, false)?;
        if let Some(path) = path
            && let Some(folder) = path.parent()
            && let Err(error) =
                std::fs::create_dir_all(folder).and_then(|()| write_atomic(&path, &compiled.cubin))
        {
            tracing::debug!("{}: {error}; kernels are compiled again next time", path.display());
        }
        load_cubin(&compiled.cubin).map_err(|error| failed(&format!("cuModuleLoadData of {file}"), error))
    }

    /// Where the unit's machine code is kept: under a hash of all that it depends on. None without a home folder.
    fn cache_path(&self, file: &str, text: &str) -> Option<PathBuf> {
        let folder = std::env::var_os("XDG_CACHE_HOME")
            .filter(|folder| !folder.is_empty())
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))?;
        let mut hash = Sha256::new();
        for part in [text, &self.architecture, &compile::version()] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let name: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Some(folder.join("efficientllm").join("kernels").join(format!("{file}-{name}.cubin")))
    }
}

fn load_cubin(cubin: &[u8]) -> Result<Module, cudarc::driver::DriverError> {
    // SAFETY: the driver reads the image's own header for its size, which is that of the slice for what NVRTC made; the
    // cache holds only files that were written whole.
    unsafe { result::module::load_data(cubin.as_ptr().cast::<c_void>()) }.map(Module)
}
