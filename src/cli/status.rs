//! `efficientllm status`: which runs are done, running, failed or missing, right while others run.
use super::{Place, SOME_FAILED, Settings, engine, slurm};
use crate::base::units;
use crate::plan::{Plan, Run, plan};
use crate::run::{Activity, StageKey, Store, keys};
use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

#[derive(Args)]
pub(super) struct Options {
    /// Show failed runs alone, with their reasons in full
    #[arg(long)]
    failed: bool,
    /// Show the counts alone
    #[arg(long)]
    summary: bool,
    /// Write JSON, for programs
    #[arg(long)]
    json: bool,
}

#[derive(Debug, PartialEq)]
pub(super) enum State {
    Done {
        seconds: f64,
    },
    Failed {
        reason: String,
    },
    /// Somebody is at work on the stage.
    Running {
        stage: String,
        who: String,
        seconds: Option<f64>,
        progress: Option<(u64, u64)>,
    },
    /// A checkpoint is kept.
    Begun,
    Missing,
}

impl State {
    pub(super) fn name(&self) -> &'static str {
        match self {
            State::Done { .. } => "done",
            State::Failed { .. } => "failed",
            State::Running { .. } => "running",
            State::Begun => "begun",
            State::Missing => "missing",
        }
    }
}

pub(super) fn main(place: &Place, settings: &Settings, options: &Options) -> Result<u8> {
    let (mut experiment, results) = place.load(settings)?;
    let kind = engine::planned(&mut experiment.engine, &results)?;
    let plan = plan(&experiment, kind)?;
    let store = Store::at(&results);
    let activity = Activity::of(&store)?;
    let keys = keys(&plan);
    let states: Vec<State> = plan.runs.iter().map(|run| state(&keys, run, &store, &activity)).collect();
    let count = |name: &str| states.iter().filter(|state| state.name() == name).count();
    let names = ["done", "running", "failed", "begun", "missing"];
    let jobs = slurm::jobs(&results);
    if options.json {
        let runs: Vec<Value> =
            plan.runs.iter().zip(&states).map(|(run, state)| entry(&plan, run, state)).collect();
        let counts: Value = names.iter().map(|name| (name.to_string(), json!(count(name)))).collect();
        let page = json!({
            "experiment": experiment.name, "title": experiment.title, "results": results.display().to_string(),
            "counts": counts, "runs": runs, "workers": activity.workers, "jobs": jobs,
        });
        say!("{page:#}");
        return Ok(if count("failed") > 0 { SOME_FAILED } else { 0 });
    }
    let counts: Vec<String> = names.iter().map(|name| format!("{} {name}", count(name))).collect();
    say!("{}: {} runs in {}: {}", experiment.title, plan.runs.len(), results.display(), counts.join(", "));
    for worker in &activity.workers {
        say!("  {}", worker.line());
    }
    jobs.iter().for_each(|job| say!("  {}", job.line()));
    if !options.summary {
        let width = plan.runs.iter().map(|run| run.id.len()).max().unwrap_or(0);
        let shown = |state: &State| !options.failed || state.name() == "failed";
        for (run, state) in plan.runs.iter().zip(&states).filter(|(_, state)| shown(state)) {
            let axes: Vec<String> = axes(&plan, run).map(|(key, value)| format!("{key}={value}")).collect();
            let told = match state {
                State::Done { seconds } => format!("done     {:>12}", units::seconds(*seconds)),
                State::Failed { reason } if options.failed => {
                    format!("failed   {}", reason.replace('\n', "\n    "))
                }
                State::Failed { reason } => format!("failed   {}", reason.replace('\n', "; ")),
                State::Running { stage, who, seconds, progress } => {
                    let mut text = format!("running  {stage} by {who}");
                    if let Some(seconds) = seconds {
                        text.push_str(&format!(", for {}", units::seconds(*seconds)));
                    }
                    if let Some((done, total)) = progress.filter(|(_, total)| *total > 0) {
                        let share = done as f64 / total as f64;
                        text.push_str(&format!(", {:.0} %", 100.0 * share));
                        if let Some(seconds) = seconds.filter(|_| share > 0.01) {
                            let left = seconds * (1.0 / share - 1.0);
                            text.push_str(&format!(", about {} left", units::seconds(left)));
                        }
                    }
                    text
                }
                State::Begun => "begun    what it has so far is kept".to_string(),
                State::Missing => "missing".to_string(),
            };
            say!("{}", format!("  {:width$}  {told}  {}", run.id, axes.join("  ")).trim_end());
        }
    }
    let waiting = count("missing") + count("begun");
    // What somebody is at work on needs no hint to begin it.
    if waiting > 0 && activity.workers.is_empty() {
        say!("hint: `efficientllm run {}` does what is not done", place.experiment.display());
    }
    if count("failed") > 0 {
        say!("hint: `efficientllm retry {}` tries again what failed", place.experiment.display());
    }
    Ok(if count("failed") > 0 { SOME_FAILED } else { 0 })
}

/// Axes that a run depends on, with its values.
fn axes<'p>(plan: &'p Plan, run: &'p Run) -> impl Iterator<Item = (&'p str, &'p str)> {
    let axes = plan.experiment.axes.iter().zip(&run.axes);
    axes.filter_map(|(axis, value)| value.as_deref().map(|value| (axis.key.as_str(), value)))
}

fn entry(plan: &Plan, run: &Run, state: &State) -> Value {
    let axes: Value = axes(plan, run).map(|(key, value)| (key.to_string(), json!(value))).collect();
    let mut entry = json!({
        "run": run.id, "arm": run.arm.label(), "seed": run.seed, "axes": axes, "state": state.name(),
    });
    match state {
        State::Done { seconds } => entry["seconds"] = json!(seconds),
        State::Failed { reason } => entry["reason"] = json!(reason),
        State::Running { stage, who, seconds, progress } => {
            entry["stage"] = json!(stage);
            entry["by"] = json!(who);
            entry["seconds"] = json!(seconds);
            entry["progress"] = json!(progress.map(|(done, total)| done as f64 / total.max(1) as f64));
        }
        State::Begun | State::Missing => {}
    }
    entry
}

/// Where a run stands; seconds are those of its own model and evaluation, shared inputs not counted.
pub(super) fn state(keys: &[StageKey], run: &Run, store: &Store, activity: &Activity) -> State {
    let [model, evaluation] = [run.model, run.evaluation].map(|place| &keys[place]);
    let latency = run.latency.map(|place| &keys[place]);
    let scored = store.find(evaluation).ok().flatten();
    if let Some(scored) = &scored
        && latency.is_none_or(|key| store.is_done(key))
    {
        let made = store.find(model).ok().flatten().map_or(0.0, |stage| stage.record.seconds);
        return State::Done { seconds: made + scored.record.seconds };
    }
    for key in [Some(evaluation), latency, Some(model)].into_iter().flatten() {
        if let Some(at_work) = activity.on(&key.long_name()) {
            return State::Running {
                stage: key.id.clone(),
                who: at_work.who.clone(),
                seconds: at_work.seconds,
                progress: at_work.progress,
            };
        }
    }
    if let Some(reason) = latency.and_then(|key| store.failure(key)) {
        return State::Failed { reason: format!("latency: {reason}") };
    }
    match store.failure(evaluation).or_else(|| store.failure(model)) {
        Some(reason) => State::Failed { reason },
        None if store.is_done(model) || store.is_partial(model) || store.is_partial(evaluation) => {
            State::Begun
        }
        None => State::Missing,
    }
}
