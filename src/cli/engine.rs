//! Which engine an experiment gets on this machine, and which devices.
use crate::plan::Plan;
use crate::record::Snapshot;
use crate::report::PLAN_FILE;
use crate::run::memory::available_memory_bytes;
use crate::spec::{CpuBf16, EngineKind, EngineSpec, Precision};
use crate::tensor::cpu::blocked::detect;
use crate::tensor::cuda::probe::CudaProbe;
use anyhow::{Result, bail};
use std::path::Path;

/// Workers for each core or group of devices, at most.
const MOST_PER_CORE: usize = 8;
/// Share of the free memory that runs may take together.
const MEMORY_SHARE: f64 = 0.9;

/// What `auto` is on a machine like this.
pub(super) fn automatic(probe: &CudaProbe) -> EngineKind {
    if probe.is_usable() { EngineKind::Cuda } else { EngineKind::Cpu }
}

/// `auto` resolved; an engine that cannot run here is an error that names the remedy.
pub(super) fn resolve(kind: EngineKind) -> Result<EngineKind> {
    match kind {
        EngineKind::Auto => Ok(automatic(&CudaProbe::new())),
        EngineKind::Cpu | EngineKind::Reference => Ok(kind),
        EngineKind::Cuda => match CudaProbe::new().why_not() {
            None => Ok(EngineKind::Cuda),
            Some(why) => bail!(
                "engine.kind = \"cuda\" cannot run: {why}\n\
                 hint: set `kind = \"auto\"` or `kind = \"cpu\"` under [engine]; `efficientllm doctor` tells what is missing"
            ),
        },
    }
}

/// As [`resolve`], and with it what its numbers depend on: precision, and the order of sums of bf16 products on the
/// processor. Says where something else is computed than was asked for.
pub(super) fn resolve_spec(spec: &mut EngineSpec) -> Result<EngineKind> {
    let kind = resolve(spec.kind)?;
    if let Some(note) = settle(spec, kind, detect::best(), |kind| detect::has(kind.into())) {
        tell!("{note}");
    }
    Ok(kind)
}

/// Settles `spec` for `kind` on a processor whose best bf16 instruction is `best` and that `has` some.
fn settle(
    spec: &mut EngineSpec,
    kind: EngineKind,
    best: Option<CpuBf16>,
    has: impl Fn(CpuBf16) -> bool,
) -> Option<String> {
    let unasked = if kind == EngineKind::Cuda { Precision::Bf16 } else { Precision::F32 };
    let precision = spec.precision.unwrap_or(unasked);
    let (precision, products, note) = match (kind, precision) {
        (EngineKind::Cpu, Precision::Bf16) => match (spec.cpu_bf16, best) {
            (Some(asked), _) if has(asked) => (precision, Some(asked), None),
            (Some(asked), _) => (
                precision,
                Some(asked),
                Some(format!(
                    "note: this processor has no {0}; its products are emulated, with the same bits and slower than in f32",
                    asked.name()
                )),
            ),
            (None, Some(best)) => (precision, Some(best), None),
            (None, None) => (Precision::F32, None, Some(NO_BF16.to_string())),
        },
        (EngineKind::Cuda, precision) => (precision, None, None),
        (_, Precision::F32) => (Precision::F32, None, None),
        // The reference, whose arithmetic is dfdx's.
        (_, Precision::Bf16) => {
            (Precision::F32, None, Some("note: engine.kind = \"reference\" computes in f32 alone".into()))
        }
    };
    (spec.precision, spec.cpu_bf16) = (Some(precision), products);
    note
}

/// What a processor without bf16 is told to say.
pub(super) const NO_BF16: &str = "note: this processor has neither AMX nor AVX-512 BF16, so products are computed in f32\n\
    hint: `cpu_bf16 = \"avx512_bf16\"` (or \"amx_bf16\") under [engine] computes the bits of one that has, slower than f32";

/// The engine that a plan is made for which is only looked at: `auto` is what the results were planned on, where there are
/// any, so that a machine without devices tells of the same stages as one that has them.
pub(super) fn planned(spec: &mut EngineSpec, results: &Path) -> Result<EngineKind> {
    let kind = if spec.kind == EngineKind::Auto { recorded(results) } else { Some(spec.kind) };
    match kind {
        Some(kind) => {
            // What is computed otherwise than asked for is told by whoever computes it.
            settle(spec, kind, detect::best(), |kind| detect::has(kind.into()));
            Ok(kind)
        }
        None => resolve_spec(spec),
    }
}

/// The engine that the results at hand were planned on.
fn recorded(results: &Path) -> Option<EngineKind> {
    let files = Snapshot::read(results, &[PLAN_FILE]).ok()?;
    #[derive(serde::Deserialize)]
    struct Planned {
        engine: EngineKind,
    }
    serde_json::from_slice::<Planned>(files.get(PLAN_FILE)?).ok().map(|plan| plan.engine)
}

/// The devices of each run that goes on at the same time: a group for every `data_parallel` devices. On engines without
/// devices there is one group, whose numbers mean nothing.
pub(super) fn groups(kind: EngineKind, spec: &EngineSpec) -> Result<Vec<Vec<usize>>> {
    match kind {
        EngineKind::Cuda => {
            let found = CudaProbe::new().devices.unwrap_or_default();
            let able = (0..found.len()).filter(|device| found[*device].is_able()).collect();
            // Where the file names none: all that the kernels can run on.
            let devices = if spec.devices.is_empty() { able } else { spec.devices.clone() };
            grouped(&EngineSpec { devices, ..spec.clone() }, found.len())
        }
        _ => Ok(vec![vec![0; spec.data_parallel]]),
    }
}

fn grouped(spec: &EngineSpec, found: usize) -> Result<Vec<Vec<usize>>> {
    if let Some(missing) = spec.devices.iter().find(|device| **device >= found) {
        bail!(
            "engine.devices names CUDA device {missing}, and this machine has {found}\n\
             hint: nearest valid device: {}; `efficientllm doctor` lists them",
            found.saturating_sub(1)
        );
    }
    let devices = if spec.devices.is_empty() { (0..found).collect() } else { spec.devices.clone() };
    if devices.len() < spec.data_parallel {
        bail!(
            "engine.data_parallel = {} is more than the {} CUDA devices to use\n\
             hint: nearest valid data_parallel: {}",
            spec.data_parallel,
            devices.len(),
            devices.len().max(1)
        );
    }
    // What is left over of all devices of the machine stays idle; devices that the file names make whole groups.
    Ok(devices.chunks_exact(spec.data_parallel).map(<[usize]>::to_vec).collect())
}

/// Runs at once: as asked, or one for each group of devices, or as many as the cores can give their threads to and as fit
/// into memory.
pub(super) fn workers(
    asked: usize,
    kind: EngineKind,
    groups: &[Vec<usize>],
    threads: usize,
    plan: &Plan,
) -> usize {
    match (asked, kind) {
        (0, EngineKind::Cuda) => groups.len(),
        (0, _) => {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            let ranks = groups.first().map_or(1, Vec::len);
            let run =
                ranks as u64 * plan.stages.iter().map(|stage| stage.cost.memory_bytes).max().unwrap_or(0);
            (cores / (threads * ranks).max(1)).min(fitting(available_memory_bytes(), run)).max(1)
        }
        (asked, _) => {
            // More than that stand in each other's way: threads, memory, files.
            let most = MOST_PER_CORE * std::thread::available_parallelism().map_or(1, usize::from);
            let most = most.max(MOST_PER_CORE * groups.len());
            if asked > most {
                tell!("note: {asked} workers were asked for, {most} at once is the most on this machine");
            }
            asked.min(most)
        }
    }
}

/// How many runs of `run` bytes each fit into `free` bytes of memory, where that is known.
fn fitting(free: Option<u64>, run: u64) -> usize {
    free.map_or(usize::MAX, |free| (MEMORY_SHARE * free as f64 / run.max(1) as f64) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan;
    use crate::spec::{self, no_model};
    use std::path::Path;

    fn spec(devices: &[usize], data_parallel: usize) -> EngineSpec {
        EngineSpec {
            kind: EngineKind::Cuda,
            precision: Some(Precision::Bf16),
            cpu_bf16: None,
            workers: 0,
            threads_per_worker: 1,
            devices: devices.to_vec(),
            data_parallel,
            halve_micro_batch: true,
        }
    }

    #[test]
    fn devices_are_grouped_by_ranks() {
        let groups = |devices: &[usize], data_parallel, found| {
            grouped(&spec(devices, data_parallel), found).map_err(|error| error.to_string())
        };
        assert_eq!(groups(&[], 1, 3), Ok(vec![vec![0], vec![1], vec![2]]));
        assert_eq!(groups(&[], 2, 5), Ok(vec![vec![0, 1], vec![2, 3]]));
        assert_eq!(groups(&[3, 1], 1, 4), Ok(vec![vec![3], vec![1]]));
        assert_eq!(groups(&[3, 1], 2, 4), Ok(vec![vec![3, 1]]));
        let fault = groups(&[0, 2], 1, 2).unwrap_err();
        assert!(fault.contains("CUDA device 2") && fault.contains("nearest valid device: 1"), "{fault}");
        let fault = groups(&[], 4, 2).unwrap_err();
        assert!(fault.contains("hint: nearest valid data_parallel: 2"), "{fault}");
    }

    #[test]
    fn what_was_asked_for_is_settled_by_what_the_processor_has() {
        let (avx, amx) = (CpuBf16::Avx512Bf16, CpuBf16::AmxBf16);
        let settled = |precision, cpu_bf16, kind, has: &[CpuBf16]| {
            let mut spec = EngineSpec { precision, cpu_bf16, ..spec(&[], 1) };
            let note = settle(&mut spec, kind, has.first().copied(), |kind| has.contains(&kind));
            (spec.precision.unwrap(), spec.cpu_bf16, note.unwrap_or_default())
        };
        let (f32, bf16) = (Precision::F32, Precision::Bf16);
        let quiet = String::new;
        assert_eq!(settled(None, None, EngineKind::Cpu, &[amx, avx]), (f32, None, quiet()));
        assert_eq!(settled(None, Some(avx), EngineKind::Cpu, &[amx, avx]), (f32, None, quiet()));
        assert_eq!(settled(Some(bf16), None, EngineKind::Cpu, &[amx, avx]), (bf16, Some(amx), quiet()));
        assert_eq!(settled(Some(bf16), None, EngineKind::Cpu, &[avx]), (bf16, Some(avx), quiet()));
        assert_eq!(settled(Some(bf16), Some(avx), EngineKind::Cpu, &[amx, avx]), (bf16, Some(avx), quiet()));
        assert_eq!(settled(None, None, EngineKind::Cuda, &[avx]), (bf16, None, quiet()));
        let (precision, products, note) = settled(Some(bf16), None, EngineKind::Cpu, &[]);
        assert_eq!((precision, products), (f32, None));
        assert!(note.contains("neither AMX nor AVX-512 BF16") && note.contains("hint: `cpu_bf16"), "{note}");
        let (precision, products, note) = settled(Some(bf16), Some(amx), EngineKind::Cpu, &[avx]);
        assert_eq!((precision, products), (bf16, Some(amx)));
        assert!(note.contains("no amx_bf16") && note.contains("emulated"), "{note}");
        let (precision, products, note) = settled(Some(bf16), None, EngineKind::Reference, &[avx]);
        assert!((precision, products) == (f32, None) && note.contains("f32 alone"), "{note}");
    }

    #[test]
    fn every_group_gets_a_worker_unless_told_otherwise() {
        let text = include_str!("../../tests/fixtures/example.toml");
        let experiment = spec::parse(text, "test", Path::new("/nowhere"), &no_model).unwrap();
        let plan = plan::plan(&experiment, EngineKind::Cpu).unwrap();
        let groups = vec![vec![0, 1], vec![2, 3]];
        assert_eq!(workers(0, EngineKind::Cuda, &groups, 1, &plan), 2);
        assert_eq!(workers(6, EngineKind::Cuda, &groups, 1, &plan), 6);
        assert_eq!(workers(5, EngineKind::Cpu, &[vec![0]], 1, &plan), 5);
        assert_eq!(workers(0, EngineKind::Cpu, &[vec![0]], usize::MAX / 2, &plan), 1);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        assert_eq!(workers(1000, EngineKind::Cpu, &[vec![0]], 1, &plan), 1000.min(MOST_PER_CORE * cores));
    }

    #[test]
    fn runs_that_do_not_fit_into_memory_wait() {
        assert_eq!(fitting(Some(10_000), 3_000), 3);
        assert_eq!(fitting(Some(1_000), 3_000), 0);
        assert_eq!(fitting(None, 3_000), usize::MAX);
    }
}
