//! Kernel sources to machine code for one architecture, by NVRTC.
//!
//! CUBIN rather than PTX: what runs is what was compiled here, whatever PTX version the driver knows.
use super::device::DeviceError;
use cudarc::nvrtc::{result, sys};
use std::ffi::{CStr, CString, c_char};

/// A compiled unit.
pub struct Compiled {
    pub cubin: Vec<u8>,
    /// What the compiler said; with `verbose`, registers and spills of every kernel.
    pub log: String,
}

const REMEDY: &str = "install NVRTC of CUDA 13.0 (`pip install nvidia-cuda-nvrtc==13.0.88`) and put its folder on LD_LIBRARY_PATH; if that is what ran, report this log";

/// Whether NVRTC can be loaded.
pub fn is_available() -> bool {
    // SAFETY: opens a shared library by its well-known names; what runs is its initialisers.
    unsafe { sys::is_culib_present() }
}

/// Version of the loaded NVRTC; it is part of what machine code depends on. Empty where it does not say.
pub fn version() -> String {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: called where the library is loaded; the function writes two integers.
    let told = is_available() && unsafe { sys::nvrtcVersion(&mut major, &mut minor) }.result().is_ok();
    if told { format!("{major}.{minor}") } else { String::new() }
}

/// Compiles the text of kernel file `file` for `architecture` (`sm_80`, `sm_90a`, …).
///
/// # Errors
/// [`DeviceError::MissingLibrary`] without NVRTC, [`DeviceError::Compile`] with its log where the text does not compile.
pub fn to_cubin(file: &str, text: &str, architecture: &str, verbose: bool) -> Result<Compiled, DeviceError> {
    if !is_available() {
        return Err(DeviceError::MissingLibrary {
            library: "libnvrtc",
            remedy: "`pip install nvidia-cuda-nvrtc==13.0.88` and put its folder on LD_LIBRARY_PATH, or install the CUDA 13 runtime",
        });
    }
    let refused = |log: String| DeviceError::Compile {
        file: file.to_string(),
        architecture: architecture.to_string(),
        log,
        remedy: REMEDY,
    };
    let c_string = |text: String| CString::new(text).map_err(|error| refused(error.to_string()));
    let (source, name) = (c_string(text.to_string())?, c_string(format!("{file}.cu"))?);
    let program =
        Program(result::create_program(&source, Some(&name)).map_err(|error| refused(error.to_string()))?);
    let mut options = vec![format!("--gpu-architecture={architecture}"), "--std=c++17".to_string()];
    if verbose {
        options.push("--ptxas-options=-v".to_string());
    }
    // SAFETY: the program is live, and so are the strings that it was made from.
    let outcome = unsafe { result::compile_program(program.0, &options) };
    // SAFETY: as above; the log may be asked for whether or not compilation succeeded.
    let log = unsafe { result::get_program_log(program.0) }.map(|log| text_of(&log)).unwrap_or_default();
    outcome.map_err(|error| refused(if log.is_empty() { error.to_string() } else { log.clone() }))?;
    let mut size = 0;
    // SAFETY: the program compiled; `size` outlives the call.
    unsafe { sys::nvrtcGetCUBINSize(program.0, &mut size) }
        .result()
        .map_err(|error| refused(error.to_string()))?;
    let mut cubin = vec![0u8; size];
    // SAFETY: the buffer has the size that NVRTC named.
    unsafe { sys::nvrtcGetCUBIN(program.0, cubin.as_mut_ptr().cast::<c_char>()) }
        .result()
        .map_err(|error| refused(error.to_string()))?;
    Ok(Compiled { cubin, log })
}

/// Destroys the program when dropped.
struct Program(sys::nvrtcProgram);

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: made by `create_program`, destroyed once; a failure would leave nothing to do.
        let _ = unsafe { result::destroy_program(self.0) };
    }
}

/// The text before the terminating zero.
fn text_of(log: &[c_char]) -> String {
    let bytes: Vec<u8> = log.iter().map(|&c| c as u8).collect();
    match CStr::from_bytes_until_nul(&bytes) {
        Ok(text) => text.to_string_lossy().trim().to_string(),
        Err(_) => String::from_utf8_lossy(&bytes).trim().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::kernels::{UNITS, source};
    use super::*;

    /// Bytes of spill stores and loads, and registers, of every kernel that a verbose log names.
    fn resources(log: &str) -> Vec<(String, u32, u32)> {
        let number_before = |line: &str, what: &str| -> u32 {
            let words = line.split(what).next().unwrap_or("").split_whitespace();
            words.last().and_then(|word| word.parse().ok()).unwrap_or(0)
        };
        let mut kernels: Vec<(String, u32, u32)> = Vec::new();
        for line in log.lines() {
            if let Some((_, name)) = line.split_once("Compiling entry function '") {
                kernels.push((name.split('\'').next().unwrap_or("").to_string(), 0, 0));
            } else if let Some(kernel) = kernels.last_mut() {
                if line.contains("bytes spill stores") {
                    kernel.1 += number_before(line, " bytes spill stores");
                    kernel.1 += number_before(line, " bytes spill loads");
                } else if let Some((_, used)) = line.split_once("Used ") {
                    kernel.2 = number_before(used, " registers");
                }
            }
        }
        kernels
    }

    #[test]
    fn every_unit_compiles_for_every_architecture_within_its_spill_allowance() {
        if !is_available() {
            let how = "libnvrtc cannot be loaded (pip install nvidia-cuda-nvrtc==13.0.88, LD_LIBRARY_PATH)";
            crate::base::requirement::skip("nvrtc", how);
            return;
        }
        for unit in UNITS {
            let text = source(unit.file, unit.defines);
            let names = super::super::kernels::kernel_names(&text).len();
            for architecture in ["sm_80", "sm_90", "sm_100"] {
                let compiled =
                    to_cubin(unit.file, &text, architecture, true).unwrap_or_else(|e| panic!("{e}"));
                assert!(compiled.cubin.starts_with(b"\x7fELF"), "{unit:?}");
                let kernels = resources(&compiled.log);
                assert_eq!(kernels.len(), names, "{}", compiled.log);
                for (kernel, spills, registers) in kernels {
                    eprintln!(
                        "{architecture} {} {:?} {kernel}: {registers} registers, {spills} bytes spilled",
                        unit.file, unit.defines
                    );
                    assert!(registers > 0, "{}", compiled.log);
                    assert!(spills <= unit.spill_allowance, "{kernel} spills {spills} bytes");
                }
            }
        }
    }

    #[test]
    fn a_fault_in_a_kernel_is_told_with_the_compiler_s_log() {
        if !is_available() {
            crate::base::requirement::skip("nvrtc", "libnvrtc cannot be loaded");
            return;
        }
        let text = "#line 7 \"broken.cu\"\nextern \"C\" __global__ void f() { undefined_name(); }";
        let error = to_cubin("broken", text, "sm_80", false).err().expect("a fault").to_string();
        assert!(
            error.starts_with("kernel file `broken` does not compile for sm_80:\nbroken.cu(7)"),
            "{error}"
        );
        assert!(error.contains("undefined_name") && error.contains("\nhint: "), "{error}");
    }
}
