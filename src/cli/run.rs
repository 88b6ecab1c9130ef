//! `efficientllm run`: carries out an experiment.
use super::{Place, SOME_FAILED, Settings, WRONG_REQUEST, arrange, engine};
use crate::base::units;
use crate::plan::{Plan, plan};
use crate::report;
use crate::run::{self, Outcome, RunError, StageState, Style, carry_out};
use anyhow::Result;
use clap::Args;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

#[derive(Args)]
pub(super) struct Options {
    /// Runs at once; 0: one per device, on cpu what a measurement shows to be faster [default: engine.workers of the file]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=1024))]
    workers: Option<u16>,
    /// Threads of each run; results do not depend on it [default: engine.threads_per_worker of the file]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Print failures and the summary only
    #[arg(long, short)]
    quiet: bool,
}

pub(super) fn main(place: &Place, settings: &Settings, options: &Options) -> Result<u8> {
    let (mut experiment, results) = place.load(settings)?;
    let kind = engine::resolve_spec(&mut experiment.engine)?;
    let groups = engine::groups(kind, &experiment.engine)?;
    let plan = plan(&experiment, kind)?;
    let threads = options.threads.map_or(experiment.engine.threads_per_worker, usize::from);
    let asked = options.workers.map_or(experiment.engine.workers, usize::from);
    let quiet = options.quiet;
    let arrange = |states: &[StageState]| {
        let (arrangement, told) = arrange::choose(&plan, states, &groups, asked, threads);
        if let Some(told) = told.filter(|_| !quiet) {
            println!("{told}");
        }
        arrangement
    };
    let options = run::Options {
        arrange: &arrange,
        style: Style::detect(options.quiet),
        interrupted: stop_on_signals()?,
    };
    let started = Instant::now();
    let executor = run::execute::EngineExecutor::new(groups.clone());
    let outcome = match carry_out(&plan, &results, &executor, &options) {
        Ok(outcome) => outcome,
        // What was asked for is fine, but its results cannot be kept: whatever was not reached has failed.
        Err(error @ (RunError::Write { .. } | RunError::Collect(_))) => {
            eprintln!("error: {error}");
            return Ok(SOME_FAILED);
        }
        Err(error) => {
            eprintln!("error: {error}");
            return Ok(WRONG_REQUEST);
        }
    };
    summary(&outcome, &plan, &results, started);
    if outcome.done > 0 || !outcome.failed.is_empty() || !results.join("report.md").exists() {
        // Figures of what there is; a report that cannot be made does not undo the runs.
        match report::write(&results) {
            Ok(_) => println!("report in {}", results.join("report.md").display()),
            Err(error) => eprintln!("warning: no report: {error}"),
        }
    }
    if outcome.missing > 0 && options.interrupted.load(Ordering::Relaxed) {
        println!("interrupted; run again to go on");
    }
    Ok(if outcome.failed.is_empty() && outcome.missing == 0 { 0 } else { SOME_FAILED })
}

fn summary(outcome: &Outcome, plan: &Plan, results: &Path, started: Instant) {
    let Outcome { kept, done, failed, missing } = outcome;
    if *done == 0 && failed.is_empty() && *missing == 0 {
        println!("nothing to do: all {kept} runs are done in {}", results.display());
        return;
    }
    let mut parts = vec![format!("{done} runs done in {}", units::duration(started.elapsed()))];
    if *kept > 0 {
        parts.push(format!("{kept} done before"));
    }
    if !failed.is_empty() {
        parts.push(format!("{} failed", failed.len()));
    }
    if *missing > 0 {
        parts.push(format!("{missing} not reached"));
    }
    println!("{}; results in {}", parts.join(", "), results.display());
    // Runs that failed for one reason are told together.
    let mut told: Vec<&str> = Vec::new();
    for (_, reason) in failed {
        if told.contains(&reason.as_str()) {
            continue;
        }
        told.push(reason);
        let of_reason = failed.iter().filter(|(_, other)| other == reason);
        let ids: Vec<&str> = of_reason.map(|(run, _)| plan.runs[*run].id.as_str()).collect();
        let (what, hints) = reason.split_once('\n').unwrap_or((reason, ""));
        println!("  {} failed: {what}\n    {}", ids.len(), ids.join("\n    "));
        if !hints.is_empty() {
            println!("{hints}");
        }
    }
}

/// A flag that Ctrl-C and SIGTERM set; a second signal ends the process at once, which loses no finished stage.
pub(super) fn stop_on_signals() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // Registered first, so that it sees the flag as the signal before left it.
        signal_hook::flag::register_conditional_shutdown(signal, i32::from(SOME_FAILED), flag.clone())?;
        signal_hook::flag::register(signal, flag.clone())?;
    }
    Ok(flag)
}
