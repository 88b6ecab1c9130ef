//! How long it will take: stages dealt out to workers as `run` deals them out.
use super::Plan;
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeSet, BinaryHeap};

/// Seconds until `workers` have carried out all stages that are not `done`, each stage starting as soon as its inputs
/// are there and a worker is free, in plan order; stage i takes `seconds[i]`.
pub fn makespan(plan: &Plan, done: &[bool], workers: usize, seconds: &[f64]) -> f64 {
    // When each stage can begin, as far as that is known, and how many of its inputs are not: the last of them settles it.
    let mut ready_at = vec![0.0f64; plan.stages.len()];
    let mut unknown = vec![0usize; plan.stages.len()];
    let mut dependents = vec![Vec::new(); plan.stages.len()];
    let mut soon = BinaryHeap::new();
    for (place, stage) in plan.stages.iter().enumerate().filter(|(place, _)| !done[*place]) {
        let open = stage.inputs.iter().filter(|input| !done[*input]);
        open.for_each(|input| {
            dependents[input].push(place);
            unknown[place] += 1;
        });
        if unknown[place] == 0 {
            soon.push(Reverse(Ready { at: 0.0, place }));
        }
    }
    let mut free: BinaryHeap<_> =
        (0..workers.max(1)).map(|place| Reverse(Ready { at: 0.0, place })).collect();
    // Stages that could have begun when the next worker is free: the first in plan order is next.
    let mut ready = BTreeSet::new();
    let mut last = 0.0f64;
    while let Some(Reverse(Ready { at: now, place: worker })) = free.pop() {
        while soon.peek().is_some_and(|Reverse(stage)| stage.at <= now) {
            ready.extend(soon.pop().map(|Reverse(stage)| stage.place));
        }
        // If none is, the one that is ready soonest.
        let soonest = |soon: &mut BinaryHeap<Reverse<Ready>>| soon.pop().map(|Reverse(stage)| stage.place);
        let Some(stage) = ready.pop_first().or_else(|| soonest(&mut soon)) else { break };
        let end = now.max(ready_at[stage]) + seconds[stage];
        last = last.max(end);
        free.push(Reverse(Ready { at: end, place: worker }));
        for dependent in std::mem::take(&mut dependents[stage]) {
            ready_at[dependent] = ready_at[dependent].max(end);
            unknown[dependent] -= 1;
            if unknown[dependent] == 0 {
                soon.push(Reverse(Ready { at: ready_at[dependent], place: dependent }));
            }
        }
    }
    last
}

/// A stage that can begin, or a worker that is free, at a time; ordered by it.
#[derive(PartialEq)]
struct Ready {
    at: f64,
    place: usize,
}

impl Eq for Ready {}

impl PartialOrd for Ready {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ready {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.total_cmp(&other.at).then(self.place.cmp(&other.place))
    }
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
