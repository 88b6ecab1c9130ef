//! The stages of a plan with what depends on each: so that a sweep looks at what a change touches, and not at all of it.
use crate::plan::{Plan, StageKind};

pub(super) struct Graph {
    /// Stages that each stage is an input of, in plan order.
    pub dependents: Vec<Vec<usize>>,
    /// Runs whose evaluation or latency each stage is.
    pub runs: Vec<Vec<usize>>,
    /// Whether each stage measures latency, which takes the machine for itself.
    pub alone: Vec<bool>,
}

impl Graph {
    pub fn new(plan: &Plan) -> Self {
        let mut dependents = vec![Vec::new(); plan.stages.len()];
        for (place, stage) in plan.stages.iter().enumerate() {
            stage.inputs.iter().for_each(|input| dependents[input].push(place));
        }
        let mut runs = vec![Vec::new(); plan.stages.len()];
        for (index, run) in plan.runs.iter().enumerate() {
            runs[run.evaluation].push(index);
            run.latency.into_iter().for_each(|latency| runs[latency].push(index));
        }
        let alone = plan.stages.iter().map(|stage| matches!(stage.kind, StageKind::Latency(_))).collect();
        Graph { dependents, runs, alone }
    }
}
