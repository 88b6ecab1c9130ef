//! The stages of a plan with what depends on each: so that a sweep looks at what a change touches, and not at all of it.
use super::sweep::Need;
use crate::plan::{Plan, StageKind};

pub(super) struct Graph {
    /// Stages that each stage is an input of, in plan order.
    pub dependents: Vec<Vec<usize>>,
    /// Runs whose evaluation or latency each stage is, or whose model where that is to be there.
    pub runs: Vec<Vec<usize>>,
    /// Whether each stage measures latency, which takes the machine for itself.
    pub alone: Vec<bool>,
}

impl Graph {
    pub fn new(plan: &Plan, needs: &[Need]) -> Self {
        let dependents = dependents(plan);
        let mut runs = vec![Vec::new(); plan.stages.len()];
        for (index, (run, need)) in plan.runs.iter().zip(needs).enumerate() {
            runs[run.evaluation].push(index);
            run.latency.into_iter().for_each(|latency| runs[latency].push(index));
            if *need == Need::Model {
                runs[run.model].push(index);
            }
        }
        let alone = plan.stages.iter().map(|stage| matches!(stage.kind, StageKind::Latency(_))).collect();
        Graph { dependents, runs, alone }
    }
}

/// Places of the stages that each stage is an input of, in plan order.
pub(super) fn dependents(plan: &Plan) -> Vec<Vec<usize>> {
    let mut dependents = vec![Vec::new(); plan.stages.len()];
    for (place, stage) in plan.stages.iter().enumerate() {
        stage.inputs.iter().for_each(|input| dependents[input].push(place));
    }
    dependents
}
