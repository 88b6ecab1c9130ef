//! Which engine an experiment gets on this machine.
use crate::plan::Plan;
use crate::run::memory::available_memory_bytes;
use crate::spec::EngineKind;
use crate::tensor::cuda::probe::CudaProbe;
use anyhow::{Result, bail};

/// Share of the free memory that runs may take together.
const MEMORY_SHARE: f64 = 0.9;

/// `auto` resolved; an engine that cannot run here is an error that names the remedy.
pub(super) fn resolve(kind: EngineKind) -> Result<EngineKind> {
    match kind {
        EngineKind::Auto | EngineKind::Cpu => Ok(EngineKind::Cpu),
        EngineKind::Reference => Ok(EngineKind::Reference),
        EngineKind::Cuda => {
            let probe = CudaProbe::new();
            let what = match &probe.devices {
                Ok(devices) if probe.is_usable() => {
                    format!("this version has no CUDA engine yet ({devices} CUDA devices are here)")
                }
                Ok(0) => "there is no CUDA device here".to_string(),
                Ok(_) => "NVRTC or cuBLASLt cannot be loaded".to_string(),
                Err(why) => format!("there is no CUDA here: {why}"),
            };
            bail!(
                "engine.kind = \"cuda\" cannot run: {what}\n\
                 hint: set `kind = \"auto\"` or `kind = \"cpu\"` under [engine]; `efficientllm doctor` tells what is missing"
            )
        }
    }
}

/// Runs at once: as asked, or as many as the cores can give their threads to and as fit into memory.
pub(super) fn workers(asked: usize, threads_per_worker: usize, plan: &Plan) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if asked > 0 {
        return asked;
    }
    let fit = match available_memory_bytes() {
        Some(free) => (MEMORY_SHARE * free as f64 / memory_of_worker(plan).max(1) as f64) as usize,
        None => usize::MAX,
    };
    (cores / threads_per_worker.max(1)).min(fit).max(1)
}

/// Estimated bytes that the largest stage of `plan` takes.
pub(super) fn memory_of_worker(plan: &Plan) -> u64 {
    plan.stages.iter().map(|stage| stage.cost.memory_bytes).max().unwrap_or(0)
}
