//! How long it will take: stages dealt out to workers as `run` deals them out.
use super::Plan;

/// Seconds until `workers` have carried out all stages that are not `done`, each stage starting as soon as its inputs
/// are there and a worker is free, in plan order; stage i takes `seconds[i]`.
pub fn makespan(plan: &Plan, done: &[bool], workers: usize, seconds: &[f64]) -> f64 {
    let mut finished: Vec<f64> = done.iter().map(|done| if *done { 0.0 } else { f64::INFINITY }).collect();
    let mut free = vec![0.0f64; workers.max(1)];
    let mut waiting: Vec<usize> = (0..plan.stages.len()).filter(|i| !done[*i]).collect();
    while !waiting.is_empty() {
        let ready = |stage: usize| plan.stages[stage].inputs.iter().map(|i| finished[i]).fold(0.0, f64::max);
        let worker = (0..free.len()).min_by(|a, b| free[*a].total_cmp(&free[*b])).unwrap_or(0);
        // The first stage that is ready by then; if none is, the one that is ready soonest.
        let now = free[worker];
        let place = waiting.iter().position(|stage| ready(*stage) <= now).unwrap_or_else(|| {
            let soonest = |a: &usize, b: &usize| ready(waiting[*a]).total_cmp(&ready(waiting[*b]));
            (0..waiting.len()).min_by(soonest).unwrap_or(0)
        });
        let stage = waiting.remove(place);
        let end = now.max(ready(stage)) + seconds[stage];
        finished[stage] = end;
        free[worker] = end;
    }
    finished.iter().copied().fold(0.0, f64::max)
}

/// Share of the speed of the measured matrix products that training reaches, when nothing better is known. Models of
/// the quickstart's size reached 0.98 of it on two cores with AVX-512; the estimate leaves a little room.
const TRAINING_EFFICIENCY: f64 = 0.9;

/// FLOP/s that a run is expected to reach: what finished stages reached (`(flops, seconds)` of each), or a share of the
/// machine's `gemm_rate`.
pub fn training_rate(finished: &[(f64, f64)], gemm_rate: f64) -> f64 {
    let (flops, seconds) = finished.iter().fold((0.0, 0.0), |sum, stage| (sum.0 + stage.0, sum.1 + stage.1));
    if flops > 0.0 && seconds > 0.0 { flops / seconds } else { TRAINING_EFFICIENCY * gemm_rate }
}
