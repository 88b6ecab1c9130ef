//! `efficientllm submit` and `cancel`: workers as jobs of an existing Slurm.
//!
//! A job is an array of workers on one results folder; the store decides what is done, Slurm only starts workers. Slurm tells
//! a worker 120 s before its time ends; it saves its state and leaves, and the script has itself put back into the queue.
mod jobs;

pub(super) use jobs::{Job, jobs};

use super::{Place, Settings, engine};
use crate::base::files::write_atomic;
use crate::plan::{Plan, plan};
use crate::run::{Need, StageState, Store, keys, plan_hash, stage_states, write_plan};
use crate::spec::EngineKind;
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::Command;

/// Seconds before the end of its time at which a worker is told.
const NOTICE: u32 = 120;
/// Slurm's own limit where it does not tell.
const MAX_ARRAY_SIZE: usize = 1001;

#[derive(Args)]
pub(super) struct Options {
    /// Submit to Slurm
    #[arg(long, required = true)]
    slurm: bool,
    /// Workers [default: as many as runs can go on at once, 16 at most]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    workers: Option<u32>,
    /// Workers that may run at the same time [default: all]
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    at_once: Option<u32>,
    /// Options of `sbatch`, such as `--time=12:00:00`; may be given several times
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    slurm_args: Vec<String>,
    /// Engine of the workers, where the file leaves it to the machine
    #[arg(long, value_enum)]
    engine: Option<Engine>,
    /// Have the workers delete each model once it is scored and no other stage needs it
    #[arg(long)]
    discard_models: bool,
    /// Print the scripts and submit nothing
    #[arg(long)]
    dry_run: bool,
}

/// Engines that a script can name.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Engine {
    Cpu,
    Cuda,
}

/// Jobs that were submitted for a results folder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Submitted {
    jobs: Vec<String>,
}

pub(super) fn submit(place: &Place, settings: &Settings, options: &Options) -> Result<u8> {
    let mut settings = Settings { set: settings.set.clone() };
    match options.engine {
        Some(Engine::Cpu) => settings.set.push("engine.kind=\"cpu\"".into()),
        Some(Engine::Cuda) => settings.set.push("engine.kind=\"cuda\"".into()),
        None => {}
    }
    let (mut experiment, results) = place.load(&settings)?;
    // Not asked of this machine: a login node has no device.
    if experiment.engine.kind == EngineKind::Auto {
        bail!(
            "engine.kind = \"auto\" would be decided by each node\nhint: give `--engine cuda` or `--engine cpu`"
        );
    }
    let kind = engine::planned(&mut experiment.engine, &results)?;
    let plan = plan(&experiment, kind)?;
    let store = Store::at(&results);
    let states = stage_states(&plan, &keys(&plan), &store, &Need::Results.of_all(&plan));
    if !states.contains(&StageState::Waiting) {
        say!("nothing to do: all {} runs are done in {}", plan.runs.len(), results.display());
        return Ok(0);
    }
    let workers = options.workers.map_or_else(|| at_once(&plan, &states).min(16), |n| n as usize);
    let most = max_array_size();
    let results = std::path::absolute(&results)?;
    let folder = results.join("slurm");
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    let command = [
        vec![told(&program), "worker".into(), told(&std::path::absolute(&place.experiment)?)],
        vec!["--results".into(), told(&results), "--quiet".into()],
        vec!["--expect-plan".into(), plan_hash(&plan)?],
        options.discard_models.then(|| "--discard-models".to_string()).into_iter().collect(),
        settings.set.iter().flat_map(|set| ["--set".to_string(), set.clone()]).collect(),
    ]
    .concat();
    let arrays = split(workers, most);
    let scripts: Vec<String> = arrays
        .iter()
        .map(|size| script(&experiment.name, *size, options, &plan, &folder, &command))
        .collect::<Result<_>>()?;
    if options.dry_run {
        scripts.iter().for_each(|script| crate::base::output::write_out(script));
        return Ok(0);
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot write to `{}`", folder.display()))?;
    write_plan(&results, &plan)?;
    let mut submitted = read(&results);
    for (number, script) in scripts.iter().enumerate() {
        let path = folder.join(format!("job-{number}.sh"));
        write_atomic(&path, script.as_bytes())?;
        let output = Command::new("sbatch").arg("--parsable").arg(&path).output().context(
            "cannot start `sbatch`\nhint: submit where Slurm is, or print the scripts with `--dry-run`",
        )?;
        if !output.status.success() {
            bail!("sbatch refused `{}`: {}", path.display(), String::from_utf8_lossy(&output.stderr).trim());
        }
        let told = String::from_utf8_lossy(&output.stdout);
        let job = told.trim().split(';').next().unwrap_or_default().to_string();
        say!("Slurm job {job}: {} workers, logs in {}", arrays[number], folder.display());
        submitted.jobs.push(job);
        write_atomic(&folder.join("jobs.json"), &serde_json::to_vec_pretty(&submitted)?)?;
    }
    Ok(0)
}

pub(super) fn cancel(place: &Place) -> Result<u8> {
    let results = place.results(&crate::spec::name(&place.experiment)?);
    let submitted = read(&results);
    if submitted.jobs.is_empty() {
        say!("no job was submitted for {}", results.display());
        return Ok(0);
    }
    let output = Command::new("scancel").args(&submitted.jobs).output().context("cannot start `scancel`")?;
    if !output.status.success() {
        bail!("scancel: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    say!("cancelled {}; finished stages and checkpoints are kept", submitted.jobs.join(", "));
    Ok(0)
}

fn read(results: &Path) -> Submitted {
    let bytes = std::fs::read(results.join("slurm").join("jobs.json")).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// Runs that can go on at once: those of different seeds and arms whose models are still to be made.
fn at_once(plan: &Plan, states: &[StageState]) -> usize {
    let waiting = |run: &&crate::plan::Run| states[run.evaluation] == StageState::Waiting;
    plan.runs.iter().filter(waiting).count().max(1)
}

/// Sizes of arrays for so many workers.
fn split(workers: usize, most: usize) -> Vec<usize> {
    let mut sizes = vec![most; workers / most];
    sizes.extend(Some(workers % most).filter(|rest| *rest > 0));
    sizes
}

fn max_array_size() -> usize {
    let output = Command::new("scontrol").args(["show", "config"]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let line = text.lines().find(|line| line.trim_start().starts_with("MaxArraySize"));
    let size = line.and_then(|line| line.split('=').nth(1)?.trim().parse().ok());
    // Indices are below that number, and count from 0.
    size.filter(|size| *size > 0).unwrap_or(MAX_ARRAY_SIZE)
}

fn script(
    name: &str,
    size: usize,
    options: &Options,
    plan: &Plan,
    folder: &Path,
    command: &[String],
) -> Result<String> {
    let mut lines = vec!["#!/bin/sh".to_string()];
    let mut option = |text: String| lines.push(format!("#SBATCH {text}"));
    let log = folder.join("%A_%a.log");
    if told(&log).contains(char::is_whitespace) {
        bail!(
            "`{}` holds a space, which `sbatch` does not take\nhint: name another folder with `--results DIR`",
            folder.display()
        );
    }
    let limit = options.at_once.map_or(String::new(), |most| format!("%{most}"));
    option(format!("--job-name=efficientllm-{name}"));
    option(format!("--array=0-{}{limit}", size - 1));
    option(format!("--output={}", told(&log)));
    option("--open-mode=append".to_string());
    option(format!("--signal=B:USR1@{NOTICE}"));
    option("--requeue".to_string());
    if plan.engine == EngineKind::Cuda {
        option(format!("--gpus-per-node={}", plan.experiment.engine.data_parallel));
    } else {
        let threads = plan.experiment.engine.threads_per_worker;
        option(format!("--cpus-per-task={}", threads * plan.experiment.engine.data_parallel));
    }
    options.slurm_args.iter().for_each(|args| option(args.clone()));
    let command: Vec<String> = command.iter().map(|word| quoted(word)).collect();
    let here = std::env::current_dir().context("cannot tell the current folder")?;
    lines.push(format!(
        r#"cd {here} || exit 2
{command} --workers 1 &
worker=$!
told=
trap 'told=yes; kill -USR1 $worker' USR1
trap 'kill -TERM $worker' TERM
# `wait` returns when a signal comes; the worker is waited for until it has left.
code=129
while [ "$code" -gt 128 ] && kill -0 $worker 2>/dev/null; do wait $worker; code=$?; done
if [ -n "$told" ] && [ "$code" -ne 0 ]; then
    scontrol requeue "${{SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}}${{SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}}"
fi
exit "$code"
"#,
        here = quoted(&told(&here)),
        command = command.join(" "),
    ));
    Ok(lines.join("\n"))
}

fn told(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// A word of a shell's command line.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_string()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_as_large_as_slurm_takes() {
        assert_eq!(split(5, 1001), [5]);
        assert_eq!(split(1001, 1001), [1001]);
        assert_eq!(split(2500, 1001), [1001, 1001, 498]);
    }

    #[test]
    fn words_of_a_shell_are_quoted_where_they_must_be() {
        assert_eq!(quoted("a/b-1.toml"), "a/b-1.toml");
        assert_eq!(quoted("train.rate=\"x y\""), "'train.rate=\"x y\"'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
