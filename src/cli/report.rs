//! `efficientllm report`: tables and figures from the result files alone.
use super::{Place, Settings, engine};
use crate::plan::{document, plan};
use crate::record::Snapshot;
use crate::report::PLAN_FILE;
use anyhow::Result;
use serde_json::Value;
use std::path::Path;

pub(super) fn main(place: &Place) -> Result<u8> {
    let results = place.recorded()?;
    for file in crate::report::write(&results)?.files {
        say!("{}", file.display());
    }
    let differing = differing(place, &results).unwrap_or_default();
    if !differing.is_empty() {
        tell!(
            "note: these results were made by `{}`, which differs from the experiment file in: {}\nhint: `efficientllm run {}` carries out what the file says now",
            results.join(PLAN_FILE).display(),
            differing.join(", "),
            place.experiment.display()
        );
    }
    Ok(0)
}

/// What of the experiment file is no longer what the results were made by; `None` where the file is not there any more or
/// cannot be planned, which a report does not need.
fn differing(place: &Place, results: &Path) -> Option<Vec<&'static str>> {
    let (mut experiment, _) = place.load(&Settings { set: Vec::new() }).ok()?;
    let kind = engine::planned(&mut experiment.engine, results).ok()?;
    let now = document(&plan(&experiment, kind).ok()?);
    let files = Snapshot::read(results, &[PLAN_FILE]).ok()?;
    let then: Value = serde_json::from_slice(files.get(PLAN_FILE)?).ok()?;
    let runs = |plan: &Value| -> Vec<Value> {
        let runs = plan["runs"].as_array().cloned().unwrap_or_default();
        runs.iter().map(|run| run["run"].clone()).collect()
    };
    let mut differing: Vec<&'static str> =
        ["title", "question", "comparisons"].into_iter().filter(|key| now[*key] != then[*key]).collect();
    if runs(&now) != runs(&then) {
        differing.push("what is run (other keys, seeds, arms or axes, or `--set`)");
    }
    Some(differing)
}
