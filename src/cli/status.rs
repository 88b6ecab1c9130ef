//! `efficientllm status`: which runs are done, missing or failed, and how long they took.
use super::{Place, SOME_FAILED, Settings, engine};
use crate::base::units;
use crate::plan::{Plan, Run, plan};
use crate::run::Store;
use anyhow::Result;

enum State {
    Done { seconds: f64 },
    Failed { reason: String },
    Begun,
    Missing,
}

pub(super) fn main(place: &Place, settings: &Settings) -> Result<u8> {
    let (mut experiment, results) = place.load(settings)?;
    let kind = engine::resolve_spec(&mut experiment.engine)?;
    let plan = plan(&experiment, kind)?;
    let store = Store::at(&results);
    let states: Vec<State> = plan.runs.iter().map(|run| state(&plan, run, &store)).collect();
    let count = |is: fn(&State) -> bool| states.iter().filter(|state| is(state)).count();
    let (done, failed) =
        (count(|s| matches!(s, State::Done { .. })), count(|s| matches!(s, State::Failed { .. })));
    let begun = count(|s| matches!(s, State::Begun));
    let missing = plan.runs.len() - done - failed - begun;
    println!(
        "{}: {} runs in {}: {done} done, {failed} failed, {begun} begun, {missing} missing",
        experiment.title,
        plan.runs.len(),
        results.display()
    );
    let width = plan.runs.iter().map(|run| run.id.len()).max().unwrap_or(0);
    for (run, state) in plan.runs.iter().zip(&states) {
        let axes: Vec<String> = experiment
            .axes
            .iter()
            .zip(&run.axes)
            .filter_map(|(axis, value)| value.as_ref().map(|value| format!("{}={value}", axis.key)))
            .collect();
        let state = match state {
            State::Done { seconds } => format!("done     {:>12}", units::seconds(*seconds)),
            State::Failed { reason } => format!("failed   {}", reason.replace('\n', "; ")),
            State::Begun => "begun    what it has so far is kept".to_string(),
            State::Missing => "missing".to_string(),
        };
        println!("{}", format!("  {:width$}  {state}  {}", run.id, axes.join("  ")).trim_end());
    }
    if done < plan.runs.len() {
        println!("hint: `efficientllm run {}` does what is not done", place.experiment.display());
    }
    Ok(if failed > 0 { SOME_FAILED } else { 0 })
}

/// Where a run stands; seconds are those of its own model and evaluation, shared inputs not counted.
fn state(plan: &Plan, run: &Run, store: &Store) -> State {
    let [model, evaluation] = [run.model, run.evaluation].map(|place| plan.stages[place].id.as_str());
    let latency = run.latency.map(|place| plan.stages[place].id.as_str());
    if let Some(reason) = latency.and_then(|id| store.failure(id)) {
        return State::Failed { reason: format!("latency: {reason}") };
    }
    if store.is_done(evaluation) && latency.is_none_or(|id| store.is_done(id)) {
        let seconds = |id| store.record(id).map_or(0.0, |record| record.seconds);
        return State::Done { seconds: seconds(model) + seconds(evaluation) };
    }
    match store.failure(evaluation).or_else(|| store.failure(model)) {
        Some(reason) => State::Failed { reason },
        None if store.is_done(model) || store.is_partial(model) || store.is_partial(evaluation) => {
            State::Begun
        }
        None => State::Missing,
    }
}
