//! `plan.json`: the plan for readers and programs; identities are told in full.
//!
//! Serialised stage by stage: a copy of ten thousand runs in memory would be larger than the plan itself. Keys are sorted at
//! every depth, as they are in any `serde_json::Value`.
use super::{ENGINE_REVISION, Plan, Run, Stage, StageKind};
use crate::base::hash::sha256_hex;
use serde::ser::{Serialize, Serializer};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The plan as JSON: serialise it.
pub fn document(plan: &Plan) -> Document<'_> {
    Document { plan, declared: None }
}

/// The plan with the questions that were asked before the first result ([`declared`]).
pub fn document_with(plan: &Plan, declared: Value) -> Document<'_> {
    Document { plan, declared: Some(declared) }
}

/// A plan that is serialised as `plan.json` tells it.
pub struct Document<'a> {
    plan: &'a Plan,
    declared: Option<Value>,
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Document { plan, declared } = self;
        let experiment = &plan.experiment;
        let mut base = json!(experiment.base);
        tell_portably(&mut base);
        let arms: Vec<String> = experiment.arms.iter().map(|arm| arm.label()).collect();
        let mut parts: BTreeMap<&str, Part<'_>> = BTreeMap::from([
            ("schema_version", Part::Value(json!(1))),
            ("experiment", Part::Value(json!(experiment.name))),
            ("title", Part::Value(json!(experiment.title))),
            ("question", Part::Value(json!(experiment.question))),
            ("seeds", Part::Value(json!(experiment.seeds))),
            ("engine", Part::Value(json!(plan.engine))),
            ("engine_revision", Part::Value(json!(ENGINE_REVISION))),
            ("arms", Part::Value(json!(arms))),
            ("axes", Part::Value(json!(experiment.axes))),
            ("comparisons", Part::Value(json!(experiment.comparisons))),
            ("questions", Part::Value(json!(experiment.questions))),
            ("base", Part::Value(base)),
            ("stages", Part::Stages(plan)),
            ("runs", Part::Runs(plan)),
        ]);
        if !experiment.labels.is_empty() {
            parts.insert("labels", Part::Value(json!(experiment.labels)));
        }
        if !experiment.removed.is_empty() {
            parts.insert("removed", Part::Value(json!(experiment.removed)));
        }
        if let Some(declared) = declared {
            parts.insert("declared", Part::Value(declared.clone()));
        }
        serializer.collect_map(parts)
    }
}

/// A value of the document.
enum Part<'a> {
    Value(Value),
    Stages(&'a Plan),
    Runs(&'a Plan),
}

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Part::Value(value) => value.serialize(serializer),
            Part::Stages(plan) => {
                serializer.collect_seq(plan.stages.iter().map(|stage| StageEntry::new(plan, stage)))
            }
            Part::Runs(plan) => serializer.collect_seq(plan.runs.iter().map(|run| run_entry(plan, run))),
        }
    }
}

/// A stage, its fields in the order of their names.
#[derive(serde::Serialize)]
struct StageEntry<'a> {
    estimate: Value,
    id: &'a str,
    identity: &'a Value,
    inputs: Vec<&'a str>,
    kind: String,
    reads: &'a BTreeSet<&'static str>,
    seed: Option<u64>,
}

impl<'a> StageEntry<'a> {
    fn new(plan: &'a Plan, stage: &'a Stage) -> Self {
        let kind = match &stage.kind {
            StageKind::Corpus => "corpus".to_string(),
            StageKind::Model(arm) => arm.kind(),
            StageKind::Evaluation(_) => "evaluation".to_string(),
            StageKind::Latency(_) => "latency".to_string(),
        };
        StageEntry {
            estimate: json!(stage.cost),
            id: &stage.id,
            identity: &stage.identity,
            inputs: stage.inputs.iter().map(|input| plan.stages[input].id.as_str()).collect(),
            kind,
            reads: &stage.reads,
            seed: stage.seed,
        }
    }
}

fn run_entry(plan: &Plan, run: &Run) -> Value {
    let axes = plan.experiment.axes.iter().zip(&run.axes);
    let axes: serde_json::Map<String, Value> =
        axes.map(|(axis, value)| (axis.key.clone(), json!(value))).collect();
    let mut entry = json!({
        "run": run.id, "arm": run.arm.label(), "seed": run.seed, "axes": axes,
        "model": plan.stages[run.model].id, "evaluation": plan.stages[run.evaluation].id,
    });
    if let Some(latency) = run.latency {
        entry["latency"] = json!(plan.stages[latency].id);
    }
    entry
}

/// The questions of the experiment as they are frozen in `plan.json` before the first run, with the SHA-256 of their text.
pub fn declared(plan: &Plan) -> Value {
    freeze(&json!(plan.experiment.comparisons), &json!(plan.experiment.questions))
}

/// These comparisons and questions with the SHA-256 of the two as compact JSON with sorted keys.
pub fn freeze(comparisons: &Value, questions: &Value) -> Value {
    let asked = json!({ "comparisons": comparisons, "questions": questions });
    let sum = sha256_hex(asked.to_string().as_bytes());
    json!({ "sha256": sum, "asked": asked })
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
    use crate::plan::plan;
    use crate::spec::{self, EngineKind, no_model};

    #[test]
    fn keys_are_sorted_and_nothing_is_left_out() {
        let text = include_str!("../../tests/fixtures/example.toml");
        let text = format!(
            "{text}\n[axes]\n\"prune.update\" = [\"none\", \"layerwise\"]\n\n[labels.arms]\nsource = \"Source\"\n"
        );
        let experiment = spec::parse(&text, "test", Path::new("/nowhere"), &no_model).unwrap();
        let plan = plan(&experiment, EngineKind::Cpu).unwrap();
        let written = serde_json::to_string_pretty(&document(&plan)).unwrap();
        let value: Value = serde_json::from_str(&written).unwrap();
        assert_eq!(serde_json::to_string_pretty(&value).unwrap(), written);
        assert_eq!(value["stages"].as_array().unwrap().len(), plan.stages.len());
        assert_eq!(value["stages"][1]["identity"], plan.stages[1].identity);
        assert_eq!(value["runs"].as_array().unwrap().len(), plan.runs.len());
        assert_eq!(value["labels"]["arms"]["source"], "Source");
    }

    #[test]
    fn places_on_this_machine_are_not_told() {
        let mut base =
            json!({ "path": "/home/me/data/gpt2/tokenizer.json", "files": ["/data/a.txt", "b/c.txt"] });
        tell_portably(&mut base);
        assert_eq!(base, json!({ "path": "gpt2/tokenizer.json", "files": ["data/a.txt", "b/c.txt"] }));
    }
}
