//! `plan.json`: the plan for readers and programs; identities are told in full.
use super::{ENGINE_REVISION, Plan, StageKind};
use serde_json::{Value, json};
use std::path::Path;

/// The plan as JSON.
pub fn document(plan: &Plan) -> Value {
    let experiment = &plan.experiment;
    let stages: Vec<Value> = plan
        .stages
        .iter()
        .map(|stage| {
            let kind = match &stage.kind {
                StageKind::Corpus => "corpus".to_string(),
                StageKind::Model(arm) => arm.kind(),
                StageKind::Evaluation(_) => "evaluation".to_string(),
                StageKind::Latency(_) => "latency".to_string(),
            };
            let inputs: Vec<&str> = stage.inputs.iter().map(|i| plan.stages[i].id.as_str()).collect();
            json!({
                "id": stage.id, "kind": kind, "seed": stage.seed, "inputs": inputs,
                "estimate": stage.cost, "identity": stage.identity, "reads": stage.reads,
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
            let mut row = json!({
                "run": run.id, "arm": run.arm.label(), "seed": run.seed, "axes": axes,
                "model": plan.stages[run.model].id, "evaluation": plan.stages[run.evaluation].id,
            });
            if let Some(latency) = run.latency {
                row["latency"] = json!(plan.stages[latency].id);
            }
            row
        })
        .collect();
    let mut base = json!(experiment.base);
    tell_portably(&mut base);
    let mut document = json!({
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
        "questions": experiment.questions,
        "base": base,
        "stages": stages,
        "runs": runs,
    });
    if !experiment.labels.is_empty() {
        document["labels"] = json!(experiment.labels);
    }
    if !experiment.removed.is_empty() {
        document["removed"] = json!(experiment.removed);
    }
    document
}

/// Of an absolute path its last two names are told: where this machine keeps its files means nothing to a reader, and
/// what they hold is in the identities.
fn tell_portably(value: &mut Value) {
    match value {
        Value::String(text) if Path::new(text.as_str()).is_absolute() => {
            let names: Vec<String> =
                Path::new(text.as_str()).iter().map(|name| name.to_string_lossy().into_owned()).collect();
            *text = names[names.len().saturating_sub(2)..].join("/");
        }
        Value::Array(items) => items.iter_mut().for_each(tell_portably),
        Value::Object(map) => map.values_mut().for_each(tell_portably),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_on_this_machine_are_not_told() {
        let mut base =
            json!({ "path": "/home/me/data/gpt2/tokenizer.json", "files": ["/data/a.txt", "b/c.txt"] });
        tell_portably(&mut base);
        assert_eq!(base, json!({ "path": "gpt2/tokenizer.json", "files": ["data/a.txt", "b/c.txt"] }));
    }
}
