//! Results of an evaluation in the files that readers of lm-evaluation-harness know: `results.json` with its keys, and
//! `items.csv` with a row per choice.
use super::scores::{ItemChoice, SetAside};
use super::{RecordError, Result};
use crate::base::files::write_atomic;
use crate::stats::Interval;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// Names of the files.
pub const RESULTS_FILE: &str = "results.json";
pub const ITEMS_FILE: &str = "items.csv";
/// Written only where an item could not be scored.
pub const SET_ASIDE_FILE: &str = "set_aside.csv";

/// One number of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct HarnessMetric {
    pub name: &'static str,
    pub value: f64,
    /// `None` is written `"N/A"`, as the harness does.
    pub stderr: Option<f64>,
    /// 95 % interval, for people: the harness has no key for it.
    pub interval: Option<Interval>,
    pub higher_is_better: bool,
}

/// One task, or one group of tasks.
#[derive(Clone, Debug, PartialEq)]
pub struct HarnessTask {
    pub name: String,
    pub alias: String,
    pub metrics: Vec<HarnessMetric>,
    /// `num_fewshot`; `None` for a group.
    pub num_fewshot: Option<usize>,
    /// Version of the task's definition in the harness.
    pub version: f64,
    /// Items in the file, and items scored.
    pub original: usize,
    pub effective: usize,
    /// Names of the parts, for a group.
    pub parts: Vec<String>,
    /// Anything that tells how the task was done.
    pub config: Value,
}

/// The object of `results.json`; `config` tells what was evaluated and how.
pub fn results(tasks: &[HarnessTask], config: Value) -> Value {
    let numbers = |task: &HarnessTask| {
        let mut object = Map::new();
        object.insert("alias".into(), json!(task.alias));
        for metric in &task.metrics {
            let stderr = metric.stderr.map_or(json!("N/A"), |value| json!(value));
            object.insert(format!("{},none", metric.name), json!(metric.value));
            object.insert(format!("{}_stderr,none", metric.name), stderr);
        }
        Value::Object(object)
    };
    let table = |of: &dyn Fn(&HarnessTask) -> Option<Value>| -> Value {
        tasks.iter().filter_map(|task| of(task).map(|value| (task.name.clone(), value))).collect()
    };
    let group = |task: &HarnessTask| !task.parts.is_empty();
    let better = |task: &HarnessTask| -> Value {
        task.metrics.iter().map(|m| (m.name.to_string(), json!(m.higher_is_better))).collect()
    };
    json!({
        "results": table(&|task| Some(numbers(task))),
        "groups": table(&|task| group(task).then(|| numbers(task))),
        "group_subtasks": table(&|task| Some(json!(task.parts))),
        "configs": table(&|task| (!group(task)).then(|| task.config.clone())),
        "versions": table(&|task| Some(json!(task.version))),
        "n-shot": table(&|task| task.num_fewshot.map(|n| json!(n))),
        "higher_is_better": table(&|task| Some(better(task))),
        "n-samples": table(&|task| {
            (!group(task)).then(|| json!({ "original": task.original, "effective": task.effective }))
        }),
        "config": config,
    })
}

/// Writes `results.json`, `items.csv` and, where there are such items, `set_aside.csv` to `folder`, each all or nothing, the
/// results last.
///
/// # Errors
/// Any failure of the file system.
pub fn write(folder: &Path, results: &Value, items: &[ItemChoice], set_aside: &[SetAside]) -> Result<()> {
    let io = |path: &PathBuf| {
        let path = path.clone();
        move |source| RecordError::Io { path, source }
    };
    let path = folder.join(ITEMS_FILE);
    write_atomic(&path, &table(items).map_err(io(&path))?).map_err(io(&path))?;
    let path = folder.join(SET_ASIDE_FILE);
    if set_aside.is_empty() {
        // Of an earlier evaluation, which these results are not of.
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(&path)(error)),
            _ => {}
        }
    } else {
        write_atomic(&path, &table(set_aside).map_err(io(&path))?).map_err(io(&path))?;
    }
    let path = folder.join(RESULTS_FILE);
    write_atomic(&path, format!("{results:#}\n").as_bytes()).map_err(io(&path))
}

/// Rows as CSV with a header.
fn table(rows: &[impl serde::Serialize]) -> std::io::Result<Vec<u8>> {
    let mut table = csv::Writer::from_writer(Vec::new());
    rows.iter().try_for_each(|row| table.serialize(row)).map_err(super::error::io_of)?;
    table.into_inner().map_err(|e| e.into_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_harness() {
        let task = HarnessTask {
            name: "arc_easy".into(),
            alias: "arc_easy".into(),
            metrics: vec![HarnessMetric {
                name: "acc",
                value: 0.5,
                stderr: Some(0.1),
                interval: None,
                higher_is_better: true,
            }],
            num_fewshot: Some(0),
            version: 1.0,
            original: 2376,
            effective: 100,
            parts: vec![],
            config: json!({ "task": "arc_easy" }),
        };
        let group = HarnessTask {
            name: "mmlu".into(),
            alias: "mmlu".into(),
            num_fewshot: None,
            parts: vec!["mmlu_virology".into()],
            ..task.clone()
        };
        let results = results(&[task, group], json!({ "model": "m" }));
        assert_eq!(results["results"]["arc_easy"]["acc,none"], 0.5);
        assert_eq!(results["results"]["arc_easy"]["acc_stderr,none"], 0.1);
        assert_eq!(results["n-samples"]["arc_easy"], json!({ "original": 2376, "effective": 100 }));
        assert_eq!(results["n-shot"], json!({ "arc_easy": 0 }));
        assert_eq!(results["groups"]["mmlu"]["acc,none"], 0.5);
        assert_eq!(results["group_subtasks"], json!({ "arc_easy": [], "mmlu": ["mmlu_virology"] }));
    }
}
