//! `efficientllm run`, `worker` and `retry`: carry out an experiment, alone or beside others.
use super::{Place, SOME_FAILED, Settings, WRONG_REQUEST, arrange, engine};
use crate::base::units;
use crate::plan::{Plan, plan};
use crate::record::derived;
use crate::report;
use crate::run::{self, Outcome, RunError, StageState, Style, Wanted, carry_out, plan_hash};
use anyhow::{Result, bail};
use clap::Args;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[derive(Args)]
pub(super) struct Options {
    /// Runs at once; 0: one per device, on cpu what a measurement shows to be faster [default: engine.workers of the file]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=1024))]
    workers: Option<u16>,
    /// Threads of each run; results do not depend on it [default: engine.threads_per_worker of the file]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Carry out the runs of one arm only, or of one arm and seed, or one run by its name
    #[arg(long, value_name = "ARM[/SEED]|RUN")]
    only: Option<String>,
    /// Stop after so many hours, with the state of what is under way saved
    #[arg(long, value_name = "H")]
    max_hours: Option<f64>,
    /// Delete each model once it is scored and no other stage needs it; what needs it later makes it again
    #[arg(long)]
    discard_models: bool,
    /// Make models again that were deleted, of all runs or of those of `--only`
    #[arg(long, conflicts_with = "discard_models")]
    restore_models: bool,
    /// Refuse to carry out any other plan than the one with this SHA-256
    #[arg(long, value_name = "SHA256", hide = true)]
    expect_plan: Option<String>,
    /// Print failures and the summary only
    #[arg(long, short)]
    quiet: bool,
}

/// What of a plan a command carries out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Everything; what failed is tried again.
    Run,
    /// Everything but what failed: of many workers each would try it again.
    Worker,
    /// What failed alone.
    Retry,
}

pub(super) fn main(place: &Place, settings: &Settings, options: &Options, mode: Mode) -> Result<u8> {
    let (mut experiment, results) = place.load(settings)?;
    let kind = engine::resolve_spec(&mut experiment.engine)?;
    let groups = engine::groups(kind, &experiment.engine)?;
    let plan = plan(&experiment, kind)?;
    if let Some(expected) = &options.expect_plan
        && *expected != plan_hash(&plan)?
    {
        bail!(
            "this is another plan than the one that was submitted\nhint: the experiment, a file that it names or the program has changed; submit again"
        );
    }
    let threads = options.threads.map_or(experiment.engine.threads_per_worker, usize::from);
    let asked = options.workers.map_or(experiment.engine.workers, usize::from);
    let quiet = options.quiet;
    let arrange = |states: &[StageState]| {
        let (arrangement, told) = arrange::choose(&plan, states, &groups, asked, threads);
        if let Some(told) = told.filter(|_| !quiet) {
            say!("{told}");
        }
        arrangement
    };
    let wanted = match (&options.only, mode) {
        (Some(_), Mode::Retry) => bail!("`retry` takes all runs that failed\nhint: leave out `--only`"),
        (None, Mode::Retry) => Wanted::Failed,
        (Some(name), _) => only(&plan, name)?,
        (None, _) => Wanted::All,
    };
    let interrupted = stop_on_signals()?;
    if let Some(hours) = options.max_hours {
        stop_after(hours, interrupted.clone())?;
    }
    let options = run::Options {
        arrange: &arrange,
        style: Style::detect(options.quiet),
        wanted,
        retry: mode != Mode::Worker,
        discard_models: options.discard_models,
        restore_models: options.restore_models,
        interrupted,
    };
    let started = Instant::now();
    let executor = run::execute::EngineExecutor::new(groups.clone());
    let outcome = match carry_out(&plan, &results, &executor, &options) {
        Ok(outcome) => outcome,
        // What was asked for is fine, but its results cannot be kept: whatever was not reached has failed.
        Err(error @ (RunError::Write { .. } | RunError::Tables(_) | RunError::Panicked(_))) => {
            tell!("error: {error}");
            return Ok(SOME_FAILED);
        }
        Err(error) => {
            tell!("error: {error}");
            return Ok(WRONG_REQUEST);
        }
    };
    summary(&outcome, &plan, &results, started);
    // Always: what a killed process left, a title that was edited or a comparison that was added must not stand there.
    match report::write(&results) {
        // Whoever ran something is told, also where its pages came out as they were: times of two runs may be the same.
        Ok(written) if written.changed.is_empty() && outcome.done == 0 => {}
        Ok(_) => say!("report in {}", results.join(derived::REPORT).display()),
        // It does not undo the runs: they are done, and told in the tables.
        Err(error) if error.is_full() => tell!(
            "warning: the report is not whole: {error}\nnote: the tables are, with every number\nhint: make room, then `{}` makes it",
            place.command("report")
        ),
        Err(error) => tell!("warning: no report: {error}\nhint: `{}` makes it", place.command("report")),
    }
    if outcome.missing > 0 && options.interrupted.load(Ordering::Relaxed) {
        say!("interrupted; run again to go on");
    }
    let all_well = outcome.failed.is_empty() && outcome.missing == 0;
    Ok(if all_well { 0 } else { SOME_FAILED })
}

/// The runs that `--only` names.
fn only(plan: &Plan, name: &str) -> Result<Wanted> {
    if plan.runs.iter().any(|run| run.id == name) {
        return Ok(Wanted::Run(name.to_string()));
    }
    let (arm, seed) = match name.rsplit_once('/') {
        Some((arm, seed)) => match seed.parse() {
            Ok(seed) => (arm, Some(seed)),
            Err(_) => bail!(
                "`--only {name}`: `{seed}` is no seed\nhint: name an arm, or an arm and a seed as in `source/1`"
            ),
        },
        None => (name, None),
    };
    let fits = |run: &crate::plan::Run| run.arm.label() == arm && seed.is_none_or(|seed| run.seed == seed);
    if !plan.runs.iter().any(fits) {
        let mut known: Vec<String> =
            plan.runs.iter().map(|run| format!("{}/{}", run.arm.label(), run.seed)).collect();
        known.sort();
        known.dedup();
        let arms = plan.runs.iter().map(|run| run.arm.label()).collect::<Vec<_>>();
        let names = known.iter().map(String::as_str).chain(arms.iter().map(String::as_str));
        let hint = match crate::base::suggest::nearest(name, names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the runs are {}", known.join(", ")),
        };
        bail!("`--only {name}`: the plan has no such run\nhint: {hint}");
    }
    Ok(Wanted::Only { arm: arm.to_string(), seed })
}

fn summary(outcome: &Outcome, plan: &Plan, results: &Path, started: Instant) {
    let Outcome { kept, done, failed, missing } = outcome;
    if *done == 0 && failed.is_empty() && *missing == 0 {
        match kept {
            0 => say!("nothing to do in {}", results.display()),
            _ => say!("nothing to do: all {kept} runs are done in {}", results.display()),
        }
        return;
    }
    let runs = |n: usize| if n == 1 { "1 run".to_string() } else { format!("{n} runs") };
    let mut parts = vec![format!("{} done in {}", runs(*done), units::duration(started.elapsed()))];
    if *kept > 0 {
        parts.push(format!("{kept} done before"));
    }
    if !failed.is_empty() {
        parts.push(format!("{} failed", failed.len()));
    }
    if *missing > 0 {
        parts.push(format!("{missing} not reached"));
    }
    say!("{}; results in {}", parts.join(", "), results.display());
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
        say!("  {} failed: {what}\n    {}", ids.len(), ids.join("\n    "));
        if !hints.is_empty() {
            say!("{hints}");
        }
    }
}

/// A flag that Ctrl-C, SIGTERM and Slurm's SIGUSR1 set; a second Ctrl-C or SIGTERM ends the process at once, which loses no
/// finished stage.
pub(super) fn stop_on_signals() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // Registered first, so that it sees the flag as the signal before left it.
        signal_hook::flag::register_conditional_shutdown(signal, i32::from(SOME_FAILED), flag.clone())?;
        signal_hook::flag::register(signal, flag.clone())?;
    }
    // Told before the wall time ends; SIGTERM follows later and must not cut the saving short.
    #[cfg(unix)]
    signal_hook::flag::register(signal_hook::consts::SIGUSR1, flag.clone())?;
    Ok(flag)
}

/// Sets the flag after so many hours.
fn stop_after(hours: f64, flag: Arc<AtomicBool>) -> Result<()> {
    let Ok(time) = Duration::try_from_secs_f64(hours * 3600.0) else {
        bail!("`--max-hours {hours}` is no time\nhint: give hours as a number, such as 11.5");
    };
    // Left to itself: it ends with the process.
    std::thread::Builder::new().spawn(move || {
        std::thread::sleep(time);
        flag.store(true, Ordering::Relaxed);
    })?;
    Ok(())
}
