//! What of CUDA this machine has, asked without ever requiring it.
//!
//! The libraries are loaded at run time. `cudarc` panics at its first call where libcuda is missing, so presence is
//! asked first, of each library by itself.

/// Libraries that can be loaded, and devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CudaProbe {
    /// libcuda, part of the NVIDIA driver.
    pub driver: bool,
    /// libnvrtc, which compiles kernels at first use.
    pub nvrtc: bool,
    /// libcublasLt, which multiplies matrices.
    pub cublaslt: bool,
    /// Number of devices, or why the driver does not say.
    pub devices: Result<usize, String>,
}

impl CudaProbe {
    /// Loads what can be loaded and counts devices.
    pub fn new() -> Self {
        // SAFETY: these functions only try to open shared libraries by their well-known names; what runs is those
        // libraries' initialisers, which the process would run in using them at all.
        let (driver, nvrtc, cublaslt) = unsafe {
            (
                cudarc::driver::sys::is_culib_present(),
                cudarc::nvrtc::sys::is_culib_present(),
                cudarc::cublaslt::sys::is_culib_present(),
            )
        };
        let devices = if driver { count_devices() } else { Err("libcuda cannot be loaded".to_string()) };
        CudaProbe { driver, nvrtc, cublaslt, devices }
    }

    /// True where a CUDA engine could run.
    pub fn is_usable(&self) -> bool {
        self.nvrtc && self.cublaslt && self.devices.as_ref().is_ok_and(|devices| *devices > 0)
    }
}

impl Default for CudaProbe {
    fn default() -> Self {
        CudaProbe::new()
    }
}

/// Call it only where libcuda is present.
fn count_devices() -> Result<usize, String> {
    let told = |error: cudarc::driver::DriverError| error.to_string();
    cudarc::driver::result::init().map_err(told)?;
    let devices = cudarc::driver::result::device::get_count().map_err(told)?;
    Ok(usize::try_from(devices).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On any machine, with or without a GPU, the probe answers.
    #[test]
    fn probing_never_panics_and_agrees_with_itself() {
        let probe = CudaProbe::new();
        assert!(probe.driver || probe.devices.is_err());
        assert!(!probe.is_usable() || probe.driver);
    }
}
