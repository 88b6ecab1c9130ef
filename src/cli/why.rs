//! `efficientllm why`: what of a run would be computed again, and which of its inputs changed.
use super::{Place, Settings, engine};
use crate::plan::{Plan, Run, plan};
use crate::run::{RunError, StageKey, StageRecord, Store, keys};
use anyhow::{Result, bail};
use serde_json::Value;

pub(super) fn main(place: &Place, settings: &Settings, name: &str) -> Result<u8> {
    let (mut experiment, results) = place.load(settings)?;
    let kind = engine::planned(&mut experiment.engine, &results)?;
    let plan = plan(&experiment, kind)?;
    let store = Store::at(&results);
    let keys = keys(&plan);
    let records = store.headers();
    for run in find(&plan, name)? {
        say!("{}", run.id);
        for (place, _) in plan.needed_by(run).into_iter().enumerate().filter(|(_, needed)| *needed) {
            say!("  {}  {}", keys[place].id, told(&plan, place, &keys, &store, &records));
        }
    }
    Ok(0)
}

/// The runs that `name` names: a run, an arm with its seed, or an arm.
fn find<'p>(plan: &'p Plan, name: &str) -> Result<Vec<&'p Run>> {
    let fits = |run: &&Run| {
        run.id == name || run.arm.label() == name || format!("{}/{}", run.arm.label(), run.seed) == name
    };
    let found: Vec<&Run> = plan.runs.iter().filter(fits).collect();
    if found.is_empty() {
        let ids: Vec<&str> = plan.runs.iter().map(|run| run.id.as_str()).collect();
        let hint = match crate::base::suggest::nearest(name, ids.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("runs: {}", ids.iter().take(6).copied().collect::<Vec<_>>().join(", ")),
        };
        bail!("the plan has no run `{name}`\nhint: {hint}");
    }
    Ok(found)
}

fn told(plan: &Plan, place: usize, keys: &[StageKey], store: &Store, records: &[StageRecord]) -> String {
    let key = &keys[place];
    match store.find(key) {
        Ok(Some(finished)) => match store.verify(&finished) {
            Ok(()) => return "is done".to_string(),
            Err(error) => return format!("is made again: {error}"),
        },
        Err(error @ RunError::Damaged { .. }) => return format!("is made again: {error}"),
        Err(error) => return error.to_string(),
        Ok(None) => {}
    }
    let users =
        || plan.stages.iter().zip(keys).filter(|(stage, _)| stage.inputs.iter().any(|input| input == place));
    if users().next().is_some() && users().all(|(_, user)| store.is_done(user)) {
        return "was deleted, and is not needed: what was made from it is done".to_string();
    }
    if let Some(reason) = store.failure(key) {
        return format!("failed: {}", reason.replace('\n', "; "));
    }
    if store.is_partial(key) {
        return "goes on from its checkpoint".to_string();
    }
    let identity = &plan.stages[place].identity;
    let slug = |id: &str| id.rsplit_once('-').map(|(slug, _)| slug.to_string());
    let of_kind = records.iter().filter(|record| slug(&record.id) == slug(&key.id));
    let nearest = of_kind.map(|record| (differences(&record.identity, identity), record));
    match nearest.min_by_key(|(differences, _)| differences.len()) {
        None => "is not there yet".to_string(),
        Some((differences, record)) => {
            format!("differs from {}, which is there, in\n      {}", record.id, differences.join("\n      "))
        }
    }
}

/// Keys in which two identities differ, with both values.
fn differences(then: &Value, now: &Value) -> Vec<String> {
    fn walk(path: &str, then: &Value, now: &Value, out: &mut Vec<String>) {
        if let (Value::Object(a), Value::Object(b)) = (then, now) {
            let mut names: Vec<&String> = a.keys().chain(b.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                walk(&path, a.get(name).unwrap_or(&Value::Null), b.get(name).unwrap_or(&Value::Null), out);
            }
        } else if then != now {
            out.push(format!("{path}: {then} → {now}"));
        }
    }
    let mut out = Vec::new();
    walk("", then, now, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn differing_keys_are_named_with_both_values() {
        let then = json!({ "train": { "rate": 0.1, "steps": 3 }, "tokens": 5 });
        let now = json!({ "train": { "rate": 0.2, "steps": 3 }, "shuffle": "documents", "tokens": 5 });
        assert_eq!(differences(&then, &now), ["shuffle: null → \"documents\"", "train.rate: 0.1 → 0.2"]);
        assert!(differences(&now, &now).is_empty());
    }
}
