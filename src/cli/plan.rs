//! `efficientllm plan`: everything that will be run and spent, before it is.
use super::{Place, Settings, corpora, disk, engine, items, speed};
use crate::base::files::free_bytes;
use crate::base::output::{columns, write_out};
use crate::base::units::{self, grouped, si};
use crate::base::wrap::fitted;
use crate::model::Engine;
use crate::plan::{Cost, Plan, Stage, StageKind, document, makespan, plan, training_rate};
use crate::record::Results;
use crate::record::dictionary::RUNS;
use crate::report::ReportRequest;
use crate::report::pilot::expectations;
use crate::run::{Need, StageKey, StageState, Store, keys, stage_states, write_plan};
use anyhow::{Result, bail};
use clap::Args;
use rayon::prelude::*;
use std::fmt::Write;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(super) struct Options {
    /// Tell what differences the planned seeds can find, from the spread in these results of a pilot
    #[arg(long, value_name = "DIR")]
    pilot: Option<PathBuf>,
    /// Tell the time of a worker of so many TFLOP/s in training, such as a GPU of another machine, in the place of this machine's
    #[arg(long, value_name = "TFLOP/S", value_parser = tflops)]
    tflops: Option<f64>,
}

fn tflops(text: &str) -> Result<f64, String> {
    let speed = text.parse().ok().filter(|speed: &f64| speed.is_finite() && *speed > 0.0);
    speed.ok_or_else(|| "give a number above 0, such as 400 for four hundred TFLOP/s".to_string())
}

pub(super) fn main(place: &Place, settings: &Settings, options: &Options) -> Result<u8> {
    let (mut experiment, results) = place.load(settings)?;
    let kind = engine::resolve_spec(&mut experiment.engine)?;
    let groups = engine::groups(kind, &experiment.engine)?;
    let plan = plan(&experiment, kind)?;
    let store = Store::at(&results);
    let keys = keys(&plan);
    let states = stage_states(&plan, &keys, &store, &Need::Results.of_all(&plan));
    let engine = &experiment.engine;
    let workers = engine::workers(engine.workers, kind, &groups, engine.threads_per_worker, &plan);
    write_out(&fitted(&describe(&plan, &states, columns())));
    write_out(&fitted(&corpora::describe(&plan, &store)?));
    write_out(&fitted(&items::describe(&plan, &store)?));
    let left = spending(&plan, &keys, &states, &store, &groups, workers, options.tflops);
    say!("{}", fitted(&left));
    if let Some(pilot) = &options.pilot {
        say!("{}", fitted(&expected(&plan, pilot)?));
    }
    let path = results.join("plan.json");
    if write_plan(&results, &plan)? {
        say!("{}", fitted(&format!("\nplan written to {}", path.display())));
    } else {
        let why = "is that of the results beside it; `run` replaces both";
        say!("{}", fitted(&format!("\nplan not written: {} {why}", path.display())));
    }
    Ok(0)
}

/// What differences can be found, by the results in the folder `pilot`.
fn expected(plan: &Plan, pilot: &Path) -> Result<String> {
    if !pilot.join(RUNS).exists() {
        bail!(
            "no results in `{}`\nhint: `--pilot` takes a folder of results, such as results/quickstart",
            pilot.display()
        );
    }
    let request: ReportRequest = serde_json::from_value(serde_json::to_value(document(plan))?)?;
    let lines = expectations(&Results::read(pilot)?, &request);
    if lines.is_empty() {
        return Ok("\nno question is declared, so there is nothing to find".to_string());
    }
    let seeds = plan.experiment.seeds.len();
    let plural = if seeds == 1 { "seed" } else { "seeds" };
    let mut text = format!(
        "\nsmallest true differences that {seeds} {plural} can find, by the spread in {}",
        pilot.display()
    );
    if seeds < 2 {
        text.push_str("\n  none: one seed gives no verdict");
        return Ok(text);
    }
    lines.iter().for_each(|line| {
        let _ = write!(text, "\n  {line}");
    });
    Ok(text)
}

/// Arms, runs and shared stages, for a terminal of `columns`.
fn describe(plan: &Plan, states: &[StageState], columns: Option<usize>) -> String {
    let experiment = &plan.experiment;
    let mut text = format!("{}: {}\n\n", experiment.title, experiment.question);
    let done = plan.runs.iter().filter(|run| states[run.evaluation] == StageState::Done).count();
    let grid = match experiment.points.len() {
        1 => String::new(),
        points => format!(" × {points} points of the grid"),
    };
    let _ = writeln!(
        text,
        "{} runs ({} arms × {} seeds{grid}; identical runs once), {done} done",
        plan.runs.len(),
        experiment.arms.len(),
        experiment.seeds.len()
    );
    for removed in &experiment.removed {
        let points = if removed.points == 1 { "point" } else { "points" };
        let _ = writeln!(text, "  {} left out {} {points}", removed.by, removed.points);
    }
    if plan.coincide > 0 {
        let _ = writeln!(text, "  {} more coincide: they read none of the keys that differ", plan.coincide);
    }
    let mut rows = vec![["arm", "runs", "done", "params", "tokens", "FLOPs"].map(String::from)];
    for arm in &experiment.arms {
        let runs: Vec<_> = plan.runs.iter().filter(|run| run.arm == *arm).collect();
        let done = runs.iter().filter(|run| states[run.evaluation] == StageState::Done).count();
        let costs: Vec<Cost> = runs.iter().map(|run| plan.stages[run.model].cost).collect();
        let params = range(costs.iter().map(|cost| cost.params as f64), |x| si(x, ""));
        let tokens = range(costs.iter().map(|cost| cost.tokens as f64), |x| grouped(x as u64));
        let flops = range(costs.iter().map(|cost| cost.flops), |x| si(x, ""));
        rows.push([arm.label(), runs.len().to_string(), done.to_string(), params, tokens, flops]);
    }
    // As wide as what is in them, so that a terminal of 80 columns has room for all.
    let widest = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let [width, counts, dones, params, tokens, flops] = [0, 1, 2, 3, 4, 5].map(widest);
    let wide = 2 + [width, counts, dones, params, tokens, flops].iter().sum::<usize>() + 5 * 2;
    let is_narrow = columns.is_some_and(|columns| columns < wide);
    for (place, [label, count, done, of_params, of_tokens, of_flops]) in rows.iter().enumerate() {
        let _ = match (is_narrow, place) {
            (false, _) => writeln!(
                text,
                "  {label:width$}  {count:>counts$}  {done:>dones$}  {of_params:>params$}  {of_tokens:>tokens$}  {of_flops:>flops$}"
            ),
            (true, 0) => Ok(()),
            // Columns that no longer stand below each other need their names beside them.
            (true, _) => writeln!(
                text,
                "  {label}: {count} runs, {done} done; {of_params} parameters, {of_tokens} tokens, {of_flops} FLOPs"
            ),
        };
    }
    text.push_str("  (of one run, without its inputs)\n");
    let uses = plan.uses();
    let shared = |name: &str, is: &dyn Fn(&Stage) -> bool| {
        let places: Vec<usize> =
            (0..plan.stages.len()).filter(|i| is(&plan.stages[*i]) && uses[*i] > 1).collect();
        let done = places.iter().filter(|i| states[**i] != StageState::Waiting).count();
        let each = range(places.iter().map(|i| uses[*i] as f64), |x| format!("{x}"));
        match places.len() {
            0 => String::new(),
            count if is_narrow => format!("  {name}: {count}, {done} done, each for {each} runs\n"),
            count => format!("  {name:width$}  {count:>counts$}  {done:>dones$}  each for {each} runs\n"),
        }
    };
    text.push_str("\nshared stages, computed once\n");
    let of = |kind: &str| {
        let kind = kind.to_string();
        move |stage: &Stage| matches!(&stage.kind, StageKind::Model(arm) if arm.kind() == kind)
    };
    text.push_str(&shared("corpus", &|stage| stage.kind == StageKind::Corpus));
    for kind in ["source_stable", "source", "pruning_aware"] {
        text.push_str(&shared(kind, &of(kind)));
    }
    text
}

/// What is left to spend.
fn spending(
    plan: &Plan,
    keys: &[StageKey],
    states: &[StageState],
    store: &Store,
    groups: &[Vec<usize>],
    workers: usize,
    tflops: Option<f64>,
) -> String {
    let threads = plan.experiment.engine.threads_per_worker;
    let left: Vec<&Stage> = plan
        .stages
        .iter()
        .zip(states)
        .filter(|(_, state)| **state == StageState::Waiting)
        .map(|(stage, _)| stage)
        .collect();
    if left.is_empty() {
        return "\nnothing is left to do".to_string();
    }
    let (rate, basis) = match tflops {
        Some(tflops) => (tflops * 1e12, format!("as asked, {} per worker", si(tflops * 1e12, "FLOP/s"))),
        None => rate(plan, keys, store, groups, workers),
    };
    let seconds: Vec<f64> = plan.stages.iter().map(|stage| stage.cost.flops / rate).collect();
    let done: Vec<bool> = states.iter().map(|state| *state != StageState::Waiting).collect();
    let time = makespan(plan, &done, workers, &seconds);
    let tokens: u64 = left.iter().map(|stage| stage.cost.tokens).sum();
    let flops: f64 = left.iter().map(|stage| stage.cost.flops).sum();
    // Every rank of a run holds the whole model.
    let ranks = workers * groups.first().map_or(1, Vec::len);
    let memory = ranks as u64 * left.iter().map(|stage| stage.cost.memory_bytes).max().unwrap_or(0);
    let disk = disk::Disk::of(plan, states, keys, store, workers).describe(free_bytes(store.root()).ok());
    format!(
        "\nleft to spend, in {} stages\n  tokens  {}\n  FLOPs   {}\n  time    about {} with {}, {basis}\n  memory  about {}\n  disk    {}",
        left.len(),
        si(tokens as f64, ""),
        si(flops, ""),
        units::seconds(time),
        workers_of(workers, threads),
        si(memory as f64, "B"),
        disk,
    )
}

/// `2 workers of 1 thread`.
fn workers_of(workers: usize, threads: usize) -> String {
    let plural = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    format!("{} of {}", plural(workers, "worker"), plural(threads, "thread"))
}

/// FLOP/s of a worker on this machine, and where they are from.
fn rate(
    plan: &Plan,
    keys: &[StageKey],
    store: &Store,
    groups: &[Vec<usize>],
    workers: usize,
) -> (f64, String) {
    let names = store.names();
    let finished: Vec<(f64, f64)> = plan
        .stages
        .par_iter()
        .zip(keys)
        .filter(|(stage, key)| matches!(stage.kind, StageKind::Model(_)) && names.may_have(key))
        .filter_map(|(_, key)| store.summary(key).ok().flatten())
        .map(|stage| (stage.estimated_flops, stage.seconds))
        .collect();
    if !finished.is_empty() {
        let rate = training_rate(&finished, 0.0);
        return (
            rate,
            format!("from {} finished stages at {} per worker", finished.len(), si(rate, "FLOP/s")),
        );
    }
    let engine = Engine::of(&plan.experiment.engine, plan.engine, vec![0], usize::MAX);
    let measured = speed::gemm_rate(&engine, groups, workers, plan.experiment.engine.threads_per_worker);
    let basis = format!("a guess from {} of matrix products per worker", si(measured, "FLOP/s"));
    (training_rate(&[], measured), basis)
}

/// One number where all are alike, else the least and the greatest.
fn range(values: impl Iterator<Item = f64>, show: impl Fn(f64) -> String) -> String {
    let values: Vec<f64> = values.collect();
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match (values.is_empty(), show(least) == show(most)) {
        (true, _) => String::new(),
        (false, true) => show(most),
        (false, false) => format!("{}–{}", show(least), show(most)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::wrap::hanging;
    use crate::spec::{self, EngineKind, no_model};

    /// In a terminal of 40 columns no line is broken by the terminal, and no number stands without its name.
    #[test]
    fn a_plan_is_read_in_a_narrow_terminal() {
        let text = include_str!("../../tests/fixtures/example.toml");
        let experiment = spec::parse(text, "test", Path::new("/nowhere"), &no_model).unwrap();
        let plan = plan(&experiment, EngineKind::Cpu).unwrap();
        let states = vec![StageState::Waiting; plan.stages.len()];
        let page = hanging(&describe(&plan, &states, Some(40)), 40);
        assert!(page.lines().all(|line| line.chars().count() <= 40), "{page}");
        assert!(page.contains("  source: ") && page.contains(" runs, 0 done;"), "{page}");
        assert!(page.contains("  corpus: 1, 0 done, each for "), "{page}");
        assert!(
            !page.contains("FLOPs\n  source") && describe(&plan, &states, Some(100)).contains("tokens"),
            "{page}"
        );
    }
}
