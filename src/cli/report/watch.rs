//! `efficientllm report --watch`: the page of a sweep in progress, rewritten at an interval, with what is running and the curves
//! so far. The page reloads itself, so whoever looks at it needs nothing but the file.
use super::super::run::stop_on_signals;
use super::super::status::{self, State};
use super::{Options, Place, Settings, engine};
use crate::base::units;
use crate::plan::{Plan, Run, plan};
use crate::record::CurvePoint;
use crate::report::{self, Live, LiveCurve};
use crate::run::{Activity, StageKey, Store, keys, write_plan};
use crate::train::progress_in;
use anyhow::Result;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

pub(super) fn main(place: &Place, options: &Options, seconds: u64) -> Result<u8> {
    let (mut experiment, results) = place.load(&Settings { set: options.set.clone() })?;
    let kind = engine::planned(&mut experiment.engine, &results)?;
    let plan = plan(&experiment, kind)?;
    std::fs::create_dir_all(&results)?;
    // Before the first run there is no plan to report on.
    write_plan(&results, &plan)?;
    let stop = stop_on_signals()?;
    let page = results.join(report::PAGE_FILE);
    say!(
        "{} is rewritten every {seconds} s until the sweep ends; Ctrl-C stops that, not the sweep",
        page.display()
    );
    loop {
        let (live, goes_on) = look(&plan, &results, seconds)?;
        if !goes_on {
            report::write(&results)?;
            say!("all runs are done or have failed; {} is the final page", page.display());
            return Ok(0);
        }
        report::write_live(&results, &live)?;
        let until = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < until {
            if stop.load(Ordering::Relaxed) {
                // The page that stays does not reload itself.
                report::write_live(&results, &Live { refresh: None, ..live })?;
                return Ok(0);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// What there is now, and whether any run is not decided.
fn look(plan: &Plan, results: &Path, seconds: u64) -> Result<(Live, bool)> {
    let store = Store::at(results);
    let activity = Activity::of(&store)?;
    let (keys, begun) = (keys(plan), store.begun());
    let states: Vec<State> =
        plan.runs.iter().map(|run| status::state(&keys, run, &store, &activity, &begun)).collect();
    let count = |name: &str| states.iter().filter(|state| state.name() == name).count();
    let counts =
        ["done", "running", "failed", "begun", "missing"].map(|name| format!("{} {name}", count(name)));
    let mut lines = vec![format!("{} runs: {}.", plan.runs.len(), counts.join(", "))];
    lines.extend(activity.workers.iter().map(|worker| format!("{}.", worker.line())));
    let mut curves = Vec::new();
    for (run, state) in plan.runs.iter().zip(&states) {
        if let State::Running { stage, by } = state {
            let mut line = format!("Run `{}` is at stage `{stage}`", run.id);
            if let Some(seconds) = by.seconds {
                line += &format!(", for {}", units::seconds(seconds));
            }
            if let Some(share) = by.share() {
                line += &format!(", {:.0} %", 100.0 * share);
            }
            if let Some(left) = by.seconds_left() {
                line += &format!(", about {} left", units::seconds(left));
            }
            lines.push(line + ".");
        }
        if !matches!(state, State::Done { .. } | State::Failed { .. }) {
            curves.extend(curve_so_far(&keys[run.model], run, &store));
        }
    }
    let axes = plan.experiment.axes.iter().map(|axis| axis.key.clone()).collect();
    let goes_on = count("running") + count("begun") + count("missing") > 0;
    let decided = count("done") + count("failed");
    Ok((
        Live { axes, time: time_of_day(SystemTime::now()), lines, decided, curves, refresh: Some(seconds) },
        goes_on,
    ))
}

/// `15:04:05 UTC`.
fn time_of_day(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs() % 86_400);
    format!("{:02}:{:02}:{:02} UTC", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// The curve in the newest checkpoint of a run's model.
fn curve_so_far(key: &StageKey, run: &Run, store: &Store) -> Option<LiveCurve> {
    let folder = store.newest_partial(key)?;
    let files = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let progress = files.filter_map(|file| progress_in(&file)).max_by_key(|progress| progress.step)?;
    let point = |p: &crate::train::CurvePoint| CurvePoint {
        step: p.step,
        tokens_seen: p.tokens_seen,
        params: p.params,
        loss: Some(p.loss),
        grad_norm: None,
        learning_rate: None,
        flops: Some(p.flops),
        held_out_loss: p.held_out_loss,
    };
    Some(LiveCurve {
        arm: run.arm.label(),
        axes: run.axes.iter().map(|value| value.clone().unwrap_or_default()).collect(),
        seed: run.seed,
        points: progress.curve.iter().map(point).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_day_is_that_of_greenwich() {
        let at = |seconds| time_of_day(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "00:00:00 UTC");
        assert_eq!(at(10 * 86_400 + 15 * 3600 + 4 * 60 + 5), "15:04:05 UTC");
    }
}
