//! `plan.json`: the plan for readers and programs; identities are told in full.
use super::{ENGINE_REVISION, Plan, StageKind};
use serde_json::{Value, json};

/// The plan as JSON.
pub fn document(plan: &Plan) -> Value {
    let experiment = &plan.experiment;
    let stages: Vec<Value> = plan
        .stages
        .iter()
        .map(|stage| {
            let kind = match stage.kind {
                StageKind::Corpus => "corpus".to_string(),
                StageKind::Model(arm) => arm.label(),
                StageKind::Evaluation(_) => "evaluation".to_string(),
            };
            let inputs: Vec<&str> = stage.inputs.iter().map(|i| plan.stages[i].id.as_str()).collect();
            json!({
                "id": stage.id, "kind": kind, "seed": stage.seed, "inputs": inputs,
                "estimate": stage.cost, "identity": stage.identity,
            })
        })
        .collect();
    let runs: Vec<Value> = plan
        .runs
        .iter()
        .map(|run| {
            let axes: serde_json::Map<String, Value> = experiment
                .axes
                .iter()
                .zip(&run.axes)
                .map(|(axis, value)| (axis.key.clone(), json!(value)))
                .collect();
            json!({
                "run": run.id, "arm": run.arm.label(), "seed": run.seed, "axes": axes,
                "model": plan.stages[run.model].id, "evaluation": plan.stages[run.evaluation].id,
            })
        })
        .collect();
    json!({
        "schema_version": 1,
        "experiment": experiment.name,
        "title": experiment.title,
        "question": experiment.question,
        "seeds": experiment.seeds,
        "engine": plan.engine,
        "engine_revision": ENGINE_REVISION,
        "arms": experiment.arms.iter().map(|arm| arm.label()).collect::<Vec<_>>(),
        "axes": experiment.axes,
        "comparisons": experiment.comparisons,
        "base": experiment.base,
        "stages": stages,
        "runs": runs,
    })
}
