//! What of CUDA this machine has, asked without ever requiring it.
//!
//! The libraries are loaded at run time. `cudarc` panics at its first call where libcuda is missing, so presence is
//! asked first, of each library by itself.
use cudarc::driver::{DriverError, result, sys};

/// Libraries with their versions where they can be loaded, and devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CudaProbe {
    /// libcuda, part of the NVIDIA driver: the CUDA version that it supports.
    pub driver: Option<String>,
    /// libnvrtc, which compiles kernels at first use.
    pub nvrtc: Option<String>,
    /// libcublasLt, which multiplies matrices.
    pub cublaslt: Option<String>,
    /// libnccl, which sums gradients between devices.
    pub nccl: Option<String>,
    /// Every device, or why the driver does not say.
    pub devices: Result<Vec<DeviceInfo>, String>,
}

/// One CUDA device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    pub name: String,
    /// Major and minor.
    pub compute_capability: (i32, i32),
    pub memory_bytes: u64,
}

impl DeviceInfo {
    /// Whether the kernels can run on it.
    pub fn is_able(&self) -> bool {
        self.compute_capability >= (8, 0)
    }
}

impl CudaProbe {
    /// Loads what can be loaded and asks every device its name.
    pub fn new() -> Self {
        // SAFETY: these functions only try to open shared libraries by their well-known names; what runs is those
        // libraries' initialisers, which the process would run in using them at all.
        let (driver, nvrtc, cublaslt, nccl) = unsafe {
            (
                sys::is_culib_present(),
                cudarc::nvrtc::sys::is_culib_present(),
                cudarc::cublaslt::sys::is_culib_present(),
                cudarc::nccl::sys::is_culib_present(),
            )
        };
        let devices = if driver { devices() } else { Err("libcuda cannot be loaded".to_string()) };
        CudaProbe {
            driver: driver.then(driver_version),
            nvrtc: nvrtc.then(nvrtc_version),
            cublaslt: cublaslt.then(cublaslt_version),
            nccl: nccl.then(nccl_version),
            devices,
        }
    }

    /// True where a CUDA engine could run.
    pub fn is_usable(&self) -> bool {
        self.why_not().is_none()
    }

    /// What keeps a CUDA engine from running.
    pub fn why_not(&self) -> Option<String> {
        match &self.devices {
            Err(why) => Some(why.clone()),
            Ok(devices) if devices.is_empty() => Some("there is no CUDA device".to_string()),
            Ok(devices) if !devices.iter().any(DeviceInfo::is_able) => {
                Some("the kernels need a device of compute capability 8.0".to_string())
            }
            Ok(_) if self.nvrtc.is_none() => Some("libnvrtc cannot be loaded".to_string()),
            Ok(_) if self.cublaslt.is_none() => Some("libcublasLt cannot be loaded".to_string()),
            Ok(_) => None,
        }
    }
}

impl Default for CudaProbe {
    fn default() -> Self {
        CudaProbe::new()
    }
}

const UNKNOWN: &str = "of unknown version";

/// `1000 · major + 10 · minor`, as CUDA counts versions.
fn cuda_version(number: usize) -> String {
    format!("{}.{}", number / 1000, number % 1000 / 10)
}

/// Call it only where libcuda is present.
fn driver_version() -> String {
    let mut version = 0;
    // SAFETY: libcuda is loaded; the function writes one integer, and needs no initialisation before it.
    let told = unsafe { sys::cuDriverGetVersion(&mut version) }.result();
    told.map_or(UNKNOWN.to_string(), |()| cuda_version(usize::try_from(version).unwrap_or(0)))
}

/// Call it only where libnvrtc is present.
fn nvrtc_version() -> String {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: libnvrtc is loaded; the function writes two integers.
    let told = unsafe { cudarc::nvrtc::sys::nvrtcVersion(&mut major, &mut minor) }.result();
    told.map_or(UNKNOWN.to_string(), |()| format!("{major}.{minor}"))
}

/// Call it only where libcublasLt is present.
fn cublaslt_version() -> String {
    // SAFETY: libcublasLt is loaded; the function takes nothing and returns a number.
    let number = unsafe { cudarc::cublaslt::sys::cublasLtGetVersion() };
    format!("{}.{}.{}", number / 10_000, number % 10_000 / 100, number % 100)
}

/// Call it only where libnccl is present.
fn nccl_version() -> String {
    match cudarc::nccl::result::get_nccl_version().map(usize::try_from) {
        Ok(Ok(number)) => format!("{}.{}.{}", number / 10_000, number % 10_000 / 100, number % 100),
        _ => UNKNOWN.to_string(),
    }
}

/// Call it only where libcuda is present.
fn devices() -> Result<Vec<DeviceInfo>, String> {
    result::init().map_err(told)?;
    let count = result::device::get_count().map_err(told)?;
    (0..count).map(|index| device(index).map_err(told)).collect()
}

fn told(error: DriverError) -> String {
    format!("the driver says {error}")
}

fn device(index: i32) -> Result<DeviceInfo, DriverError> {
    use sys::CUdevice_attribute_enum::{
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
    };
    let device = result::device::get(index)?;
    // SAFETY: the handle was just given out by the driver, which is initialised.
    let (major, minor, memory) = unsafe {
        (
            result::device::get_attribute(device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            result::device::get_attribute(device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
            result::device::total_mem(device)?,
        )
    };
    let name = result::device::get_name(device)?;
    Ok(DeviceInfo { name, compute_capability: (major, minor), memory_bytes: memory as u64 })
}

/// Bytes of memory that device `index` has free now; `None` where it does not say. Takes a moment: the device is woken.
pub fn free_memory(index: usize) -> Option<u64> {
    let context = cudarc::driver::CudaContext::new(index).ok()?;
    context.bind_to_thread().ok()?;
    result::mem_get_info().ok().map(|(free, _)| free as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On any machine, with or without a GPU, the probe answers.
    #[test]
    fn probing_never_panics_and_agrees_with_itself() {
        let probe = CudaProbe::new();
        assert!(probe.driver.is_some() || probe.devices.is_err());
        assert!(!probe.is_usable() || probe.driver.is_some());
        assert_eq!(probe.is_usable(), probe.why_not().is_none());
    }

    #[test]
    fn versions_are_told_as_people_write_them() {
        assert_eq!(cuda_version(13_000), "13.0");
        assert_eq!(cuda_version(12_040), "12.4");
    }
}
