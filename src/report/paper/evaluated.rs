//! A model that `efficientllm eval` scored, as a row: from its `results.json`.
use super::{Row, TASKS, average};
use crate::record::harness::RESULTS_FILE;
use crate::record::scores::USUALLY_NORMALISED;
use crate::report::{ReportError, Result};
use serde_json::Value;
use std::path::Path;

/// The row of the evaluation in `folder`.
///
/// # Errors
/// The file cannot be read or is none of `eval`.
pub fn read(folder: &Path) -> Result<Row> {
    let path = folder.join(RESULTS_FILE);
    let text =
        std::fs::read_to_string(&path).map_err(|source| ReportError::Io { path: path.clone(), source })?;
    let fault = |message: String| ReportError::Plan { path: path.clone(), message };
    let all: Value = serde_json::from_str(&text).map_err(|error| fault(error.to_string()))?;
    if !all["results"].is_object() {
        return Err(fault("it has no `results`, so it is not of `efficientllm eval`".into()));
    }
    let mut row =
        Row { params: all["config"]["model_num_parameters"].as_u64().map(|x| x as f64), ..Row::default() };
    let model = all["config"]["model"].as_str().unwrap_or_default();
    // No table shows where a machine keeps its files.
    row.model = model.trim_end_matches('/').rsplit('/').next().unwrap_or(model).to_string();
    for task in TASKS {
        // The paper's MMLU is the cloze form.
        let name = if task == "mmlu" { "mmlu_continuation" } else { task };
        let metric = if USUALLY_NORMALISED.contains(&task) { "acc_norm,none" } else { "acc,none" };
        if let Some(value) = all["results"][name][metric].as_f64() {
            row.scores.insert(task.to_string(), 100.0 * value);
        }
    }
    if row.scores.is_empty() {
        return Err(fault(format!("it has no score of {}", TASKS.join(", "))));
    }
    row.average = average(&row.scores);
    Ok(row)
}
