//! `efficientllm doctor`: what this machine has, and what to do about what is missing.
use crate::base::units::si;
use crate::tensor::cuda::probe::CudaProbe;
use anyhow::Result;
use std::path::Path;

/// Free space below which results may not fit.
const LITTLE_DISK: u64 = 1_000_000_000;

pub(super) fn main(results: &Path) -> Result<u8> {
    let mut hints = Vec::new();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = field(&cpuinfo, "model name").unwrap_or_else(|| std::env::consts::ARCH.to_string());
    println!("efficientllm  {}", env!("CARGO_PKG_VERSION"));
    println!("processor     {name}, {cores} cores to use");
    println!("instructions  {}", instructions(&cpuinfo, &mut hints));
    println!("memory        {}", memory());
    println!("disk          {}", disk(results, &mut hints));
    let probe = CudaProbe::new();
    println!("CUDA driver   {}", found(probe.driver));
    println!("NVRTC         {}", found(probe.nvrtc));
    println!("cuBLASLt      {}", found(probe.cublaslt));
    match &probe.devices {
        Ok(devices) => println!("CUDA devices  {devices}"),
        Err(why) => println!("CUDA devices  unknown: {why}"),
    }
    println!("engine        cpu ({} threads); reference (dfdx) for small checks", cores);
    if !probe.driver {
        hints.push("for CUDA, install the NVIDIA driver (580 or later), which brings libcuda".to_string());
    }
    if !probe.nvrtc {
        hints.push("for CUDA kernels, `pip install nvidia-cuda-nvrtc==13.0.88 nvidia-cuda-runtime==13.0.96` and put its `nvidia/cu13/lib` on LD_LIBRARY_PATH".to_string());
    }
    if !probe.cublaslt {
        hints.push("for CUDA matrix products, `pip install nvidia-cublas` of CUDA 13 and put its `nvidia/cu13/lib` on LD_LIBRARY_PATH".to_string());
    }
    println!("CUDA engine   not part of this version; `auto` picks cpu");
    for hint in hints {
        println!("hint: {hint}");
    }
    Ok(0)
}

fn found(present: bool) -> &'static str {
    if present { "found" } else { "not found" }
}

fn instructions(cpuinfo: &str, hints: &mut Vec<String>) -> String {
    let flags = field(cpuinfo, "flags").unwrap_or_default();
    let has = |flag: &str| flags.split_whitespace().any(|f| f == flag);
    let known =
        [("avx2", "AVX2"), ("avx512f", "AVX-512"), ("avx512_bf16", "AVX-512 bf16"), ("amx_bf16", "AMX bf16")];
    let present: Vec<&str> = known.iter().filter(|(flag, _)| has(flag)).map(|(_, name)| *name).collect();
    if !flags.is_empty() && !has("avx512f") {
        hints.push(
            "without AVX-512 training runs at about half the speed; nothing can be installed for it".into(),
        );
    }
    if present.is_empty() { "no vector extensions known".into() } else { present.join(", ") }
}

fn memory() -> String {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let bytes = |key| {
        let value = field(&meminfo, key)?;
        Some(value.split_whitespace().next()?.parse::<f64>().ok()? * 1024.0)
    };
    match (bytes("MemTotal"), bytes("MemAvailable")) {
        (Some(total), Some(free)) => format!("{}, {} free", si(total, "B"), si(free, "B")),
        _ => "unknown".to_string(),
    }
}

/// Free space where `results` is or would be.
fn disk(results: &Path, hints: &mut Vec<String>) -> String {
    let nearest = results.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    let nearest = if nearest.as_os_str().is_empty() { Path::new(".") } else { nearest };
    match rustix::fs::statvfs(nearest) {
        Ok(stat) => {
            let free = stat.f_bavail * stat.f_frsize;
            if free < LITTLE_DISK {
                hints.push(format!(
                    "little room for results: name another folder than `{}` with `--results DIR`",
                    results.display()
                ));
            }
            format!("{} free for `{}`", si(free as f64, "B"), results.display())
        }
        Err(error) => format!("unknown for `{}`: {error}", results.display()),
    }
}

/// The value of `key` in a file of `key : value` lines.
fn field(text: &str, key: &str) -> Option<String> {
    let line = text.lines().find(|line| line.split(':').next().is_some_and(|name| name.trim() == key))?;
    line.split_once(':').map(|(_, value)| value.trim().to_string())
}
