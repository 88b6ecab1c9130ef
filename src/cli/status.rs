//! `efficientllm status`: which runs are done, running, failed or missing, right while others run.
use super::slurm::Job;
use super::{Place, SOME_FAILED, Settings, engine, slurm};
use crate::base::units;
use crate::base::wrap::fitted;
use crate::plan::{Plan, Run, plan};
use crate::run::{Activity, StageKey, Store, UnderWay, keys};
use anyhow::Result;
use clap::Args;
use rayon::prelude::*;
use serde_json::{Value, json};
use std::collections::HashSet;

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
        by: UnderWay,
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
    let begun = store.begun();
    let look = |run: &Run| state(&keys, run, &store, &activity, &begun);
    // Thousands of small files: reading them waits more than it computes.
    let states: Vec<State> = plan.runs.par_iter().map(look).collect();
    let count = |name: &str| states.iter().filter(|state| state.name() == name).count();
    let names = ["done", "running", "failed", "begun", "missing"];
    let all_jobs = slurm::jobs(&results);
    if options.json {
        let runs: Vec<Value> =
            plan.runs.iter().zip(&states).map(|(run, state)| entry(&plan, run, state)).collect();
        let counts: Value = names.iter().map(|name| (name.to_string(), json!(count(name)))).collect();
        let page = json!({
            "experiment": experiment.name, "title": experiment.title, "results": results.display().to_string(),
            "counts": counts, "runs": runs, "workers": activity.workers, "jobs": all_jobs,
        });
        say!("{page:#}");
        return Ok(if count("failed") > 0 { SOME_FAILED } else { 0 });
    }
    let counts: Vec<String> = names.iter().map(|name| format!("{} {name}", count(name))).collect();
    let title = &experiment.title;
    show(&format!("{title}: {} runs in {}: {}", plan.runs.len(), results.display(), counts.join(", ")));
    for worker in &activity.workers {
        show(&format!("  {}", worker.line()));
    }
    // How a job ended matters while something is left to do.
    let is_over = count("done") == plan.runs.len();
    let jobs = all_jobs.iter().filter(|job| !(is_over && job.has_failed()));
    Job::lines(jobs).iter().for_each(|line| show(&format!("  {line}")));
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
                State::Running { stage, by } => {
                    let mut text = format!("running  {stage} by {}", by.who);
                    if let Some(seconds) = by.seconds {
                        text.push_str(&format!(", for {}", units::seconds(seconds)));
                    }
                    if let Some(share) = by.share() {
                        text.push_str(&format!(", {:.0} %", 100.0 * share));
                    }
                    if let Some(left) = by.seconds_left() {
                        text.push_str(&format!(", about {} left", units::seconds(left)));
                    }
                    text
                }
                State::Begun => "begun    what it has so far is kept".to_string(),
                State::Missing => "missing".to_string(),
            };
            show(format!("  {:width$}  {told}  {}", run.id, axes.join("  ")).trim_end());
        }
    }
    let waiting = count("missing") + count("begun");
    // What somebody is at work on, or will be when Slurm lets him, needs no hint to begin it.
    if waiting > 0 && activity.workers.is_empty() && all_jobs.iter().all(Job::has_failed) {
        show(&format!("hint: `efficientllm run {}` does what is not done", place.experiment.display()));
    }
    if count("failed") > 0 {
        show(&format!("hint: `efficientllm retry {}` tries again what failed", place.experiment.display()));
    }
    Ok(if count("failed") > 0 { SOME_FAILED } else { 0 })
}

/// A line, in the columns of the terminal.
fn show(line: &str) {
    say!("{}", fitted(line));
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
        State::Running { stage, by } => {
            entry["stage"] = json!(stage);
            entry["by"] = json!(by.who);
            entry["seconds"] = json!(by.seconds);
            entry["progress"] = json!(by.share());
            entry["seconds_left"] = json!(by.seconds_left());
        }
        State::Begun | State::Missing => {}
    }
    entry
}

/// Where a run stands; seconds are those of its own model and evaluation, shared inputs not counted.
pub(super) fn state(
    keys: &[StageKey],
    run: &Run,
    store: &Store,
    activity: &Activity,
    begun: &HashSet<String>,
) -> State {
    let [model, evaluation] = [run.model, run.evaluation].map(|place| &keys[place]);
    let latency = run.latency.map(|place| &keys[place]);
    let made = || store.summary(model).ok().flatten();
    let scored = store.summary(evaluation).ok().flatten();
    if let Some(scored) = &scored
        && latency.is_none_or(|key| store.is_done(key))
    {
        return State::Done { seconds: made().map_or(0.0, |stage| stage.seconds) + scored.seconds };
    }
    for key in [Some(evaluation), latency, Some(model)].into_iter().flatten() {
        if let Some(at_work) = activity.on(&key.long_name()) {
            return State::Running { stage: key.id.clone(), by: at_work.clone() };
        }
    }
    if let Some(reason) = latency.and_then(|key| store.failure(key)) {
        return State::Failed { reason: format!("latency: {reason}") };
    }
    let is_partial = |key: &StageKey| begun.contains(&key.long_name()) && store.is_partial(key);
    match store.failure(evaluation).or_else(|| store.failure(model)) {
        Some(reason) => State::Failed { reason },
        None if made().is_some() || is_partial(model) || is_partial(evaluation) => State::Begun,
        None => State::Missing,
    }
}
