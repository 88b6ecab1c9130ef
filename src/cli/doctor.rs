//! `efficientllm doctor`: what this machine has, and what to do about what is missing.
use super::engine;
use crate::base::files::free_bytes;
use crate::base::output::write_out;
use crate::base::units::si;
use crate::spec::{CpuBf16, EngineKind};
use crate::tensor::cpu::blocked::{Kernel, Kind, detect};
use crate::tensor::cuda::probe::{CudaProbe, free_memory};
use anyhow::Result;
use std::fmt::Write;
use std::path::Path;

/// Free space below which results may not fit.
const LITTLE_DISK: u64 = 1_000_000_000;

pub(super) fn main(results: &Path) -> Result<u8> {
    write_out(&Machine::look(results).describe());
    Ok(0)
}

/// What there is to tell.
struct Machine {
    cpuinfo: String,
    meminfo: String,
    cores: usize,
    /// The instructions that products in f32 take, of those that give the same bits.
    f32: Option<Kind>,
    /// The instruction that bf16 products take.
    bf16: Option<CpuBf16>,
    /// Free bytes where results are or would be, or why they are not known.
    disk: Result<u64, String>,
    results: String,
    /// First line of the NVIDIA driver's own account of itself.
    nvidia: Option<String>,
    cuda: CudaProbe,
    /// Free memory of each device.
    free: Vec<Option<u64>>,
}

impl Machine {
    fn look(results: &Path) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).ok();
        let cuda = CudaProbe::new();
        let devices = cuda.devices.as_ref().map_or(0, Vec::len);
        Machine {
            cpuinfo: read("/proc/cpuinfo").unwrap_or_default(),
            meminfo: read("/proc/meminfo").unwrap_or_default(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            f32: Kernel::f32().map(|kernel| kernel.kind),
            bf16: detect::best(),
            disk: free_bytes(results).map_err(|error| error.to_string()),
            results: results.display().to_string(),
            nvidia: read("/proc/driver/nvidia/version")
                .and_then(|text| Some(text.lines().next()?.to_string())),
            free: (0..devices).map(free_memory).collect(),
            cuda,
        }
    }

    fn describe(&self) -> String {
        let mut text = String::new();
        let mut tell = |name: &str, what: String| {
            let _ = writeln!(text, "{name:<13} {what}");
        };
        let Machine { cuda, cores, .. } = self;
        let name = field(&self.cpuinfo, "model name").unwrap_or_else(|| std::env::consts::ARCH.to_string());
        tell("efficientllm", env!("CARGO_PKG_VERSION").to_string());
        tell("processor", format!("{name}, {cores} cores to use"));
        tell("instructions", self.instructions());
        tell(
            "f32 products",
            match self.f32 {
                Some(kind) => format!("by {}", kind.name()),
                None => {
                    "by the instructions that there are: last bits differ from those of processors with AVX2"
                        .to_string()
                }
            },
        );
        tell(
            "bf16 products",
            match self.bf16 {
                Some(kind) => format!("by {}: `precision = \"bf16\"` under [engine]", kind.name()),
                None => "none: a processor without AMX and AVX-512 BF16 computes in f32".to_string(),
            },
        );
        tell("memory", self.memory());
        tell(
            "disk",
            match &self.disk {
                Ok(free) => format!("{} free for `{}`", si(*free as f64, "B"), self.results),
                Err(error) => format!("unknown for `{}`: {error}", self.results),
            },
        );
        if let Some(driver) = &self.nvidia {
            tell("NVIDIA", driver.strip_prefix("NVRM version: ").unwrap_or(driver).trim().to_string());
        }
        let library = |version: &Option<String>| match version {
            Some(version) => format!("found, {version}"),
            None => "not found".to_string(),
        };
        tell(
            "CUDA driver",
            cuda.driver.as_ref().map_or("not found".into(), |v| format!("found, for CUDA {v}")),
        );
        tell("NVRTC", library(&cuda.nvrtc));
        tell("cuBLASLt", library(&cuda.cublaslt));
        tell("NCCL", library(&cuda.nccl));
        match &cuda.devices {
            Err(why) => tell("CUDA devices", format!("unknown: {why}")),
            Ok(devices) if devices.is_empty() => tell("CUDA devices", "none".to_string()),
            Ok(devices) => {
                for (index, device) in devices.iter().enumerate() {
                    let (major, minor) = device.compute_capability;
                    let free = self.free.get(index).copied().flatten();
                    let free = free.map_or(String::new(), |free| format!(", {} free", si(free as f64, "B")));
                    let memory = si(device.memory_bytes as f64, "B");
                    let name = &device.name;
                    tell(
                        &format!("CUDA device {index}"),
                        format!("{name}, compute capability {major}.{minor}, {memory}{free}"),
                    );
                }
            }
        }
        tell(
            "engines",
            match cuda.why_not() {
                None => format!("cuda; cpu ({cores} threads); reference (dfdx) for small checks"),
                Some(why) => {
                    format!("cpu ({cores} threads); reference (dfdx) for small checks; not cuda: {why}")
                }
            },
        );
        let auto = if engine::automatic(cuda) == EngineKind::Cuda { "cuda" } else { "cpu" };
        tell("auto is", auto.to_string());
        for hint in self.hints() {
            let _ = writeln!(text, "hint: {hint}");
        }
        text
    }

    fn has(&self, flag: &str) -> bool {
        let flags = field(&self.cpuinfo, "flags").unwrap_or_default();
        flags.split_whitespace().any(|f| f == flag)
    }

    fn instructions(&self) -> String {
        let known = [
            ("avx2", "AVX2"),
            ("avx512f", "AVX-512"),
            ("avx512_bf16", "AVX-512 bf16"),
            ("amx_bf16", "AMX bf16"),
        ];
        let present: Vec<&str> =
            known.iter().filter(|(flag, _)| self.has(flag)).map(|(_, name)| *name).collect();
        if present.is_empty() { "no vector extensions known".into() } else { present.join(", ") }
    }

    fn memory(&self) -> String {
        let bytes = |key| {
            let value = field(&self.meminfo, key)?;
            Some(value.split_whitespace().next()?.parse::<f64>().ok()? * 1024.0)
        };
        match (bytes("MemTotal"), bytes("MemAvailable")) {
            (Some(total), Some(free)) => format!("{}, {} free", si(total, "B"), si(free, "B")),
            _ => "unknown".to_string(),
        }
    }

    /// What to install or to change, each where it would help.
    fn hints(&self) -> Vec<String> {
        let cuda = &self.cuda;
        let mut hints = Vec::new();
        let mut hint = |missing: bool, what: String| hints.extend(missing.then_some(what));
        hint(
            field(&self.cpuinfo, "flags").is_some() && !self.has("avx512f"),
            "without AVX-512 training runs at about half the speed; nothing can be installed for it".into(),
        );
        hint(
            self.disk.as_ref().is_ok_and(|free| *free < LITTLE_DISK),
            format!(
                "little room for results: name another folder than `{}` with `--results DIR`",
                self.results
            ),
        );
        hint(
            cuda.driver.is_none(),
            "for CUDA, install the NVIDIA driver (580 or later), which brings libcuda".into(),
        );
        let is_bare = cuda.devices.as_ref().is_ok_and(Vec::is_empty);
        hint(
            is_bare,
            "the driver sees no device: `nvidia-smi` lists them, and CUDA_VISIBLE_DEVICES may hide them"
                .into(),
        );
        let put = "and put its `nvidia/cu13/lib` on LD_LIBRARY_PATH";
        hint(
            cuda.nvrtc.is_none(),
            format!("for CUDA kernels, `pip install nvidia-cuda-nvrtc==13.0.88` {put}"),
        );
        hint(
            cuda.cublaslt.is_none(),
            format!("for CUDA matrix products, `pip install nvidia-cublas` of CUDA 13 {put}"),
        );
        let several = cuda.devices.as_ref().is_ok_and(|devices| devices.len() > 1);
        hint(
            cuda.nccl.is_none() && several,
            "for one run on several devices, `pip install nvidia-nccl-cu13` and put its `nvidia/nccl/lib` on LD_LIBRARY_PATH; without it gradients go through host memory".into(),
        );
        hints
    }
}

/// The value of `key` in a file of `key : value` lines.
fn field(text: &str, key: &str) -> Option<String> {
    let line = text.lines().find(|line| line.split(':').next().is_some_and(|name| name.trim() == key))?;
    line.split_once(':').map(|(_, value)| value.trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::cuda::probe::DeviceInfo;

    fn bare() -> Machine {
        Machine {
            cpuinfo: "processor\t: 0\nmodel name\t: A Processor\nflags\t\t: fpu avx2\n".into(),
            meminfo: "MemTotal:       16000000 kB\nMemAvailable:    8000000 kB\n".into(),
            cores: 4,
            f32: Some(Kind::F32),
            bf16: None,
            disk: Ok(500_000_000),
            results: "results".into(),
            nvidia: None,
            cuda: CudaProbe {
                driver: None,
                nvrtc: None,
                cublaslt: None,
                nccl: None,
                devices: Err("libcuda cannot be loaded".into()),
            },
            free: vec![],
        }
    }

    #[test]
    fn a_machine_without_a_gpu_is_told_what_it_could_have() {
        insta::assert_snapshot!("bare_machine", bare().describe());
    }

    #[test]
    fn a_machine_with_two_gpus() {
        let device = DeviceInfo {
            name: "NVIDIA H100 80GB HBM3".into(),
            compute_capability: (9, 0),
            memory_bytes: 85_000_000_000,
        };
        let found = |version: &str| Some(version.to_string());
        let machine = Machine {
            cpuinfo: "model name : A Processor\nflags : avx2 avx512f avx512_bf16 amx_bf16\n".into(),
            f32: Some(Kind::F32Wide),
            bf16: Some(CpuBf16::AmxBf16),
            disk: Ok(2_000_000_000_000),
            nvidia: Some("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06".into()),
            cuda: CudaProbe {
                driver: found("13.0"),
                nvrtc: found("13.0"),
                cublaslt: found("13.0.2"),
                nccl: None,
                devices: Ok(vec![device.clone(), device]),
            },
            free: vec![Some(84_000_000_000), None],
            ..bare()
        };
        insta::assert_snapshot!("two_gpus", machine.describe());
    }

    #[test]
    fn a_driver_without_devices() {
        let cuda = CudaProbe { driver: Some("13.0".into()), devices: Ok(vec![]), ..bare().cuda };
        let text = Machine { cuda, ..bare() }.describe();
        assert!(
            text.contains("CUDA devices  none\n") && text.contains("hint: the driver sees no device"),
            "{text}"
        );
    }
}
