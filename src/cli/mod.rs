//! Words to calls: the commands, their exit codes, and what they print.
//!
//! Exit codes: 0 all is well; 1 some runs failed or were not reached; 2 the request is wrong.
mod arrange;
mod compare;
mod contamination;
mod corpora;
mod disk;
mod doctor;
mod engine;
mod eval;
mod export;
#[cfg(test)]
mod fuzz_tests;
mod gc;
mod items;
mod meter;
mod model;
mod plan;
mod probe;
mod report;
mod run;
mod slurm;
mod source;
mod speed;
mod status;
mod why;

use crate::base::output::{lost_output, write_out};
use crate::record::dictionary;
use crate::spec::{self, Experiment};
use anyhow::bail;
use clap::{Args, CommandFactory, Parser, Subcommand};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A research harness for pruning-aware pretraining of small language models.
#[derive(Parser)]
#[command(version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show what an experiment will run and cost, before anything is spent
    Plan {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        options: plan::Options,
    },
    /// Carry out an experiment; what is done already is kept, what failed is tried again
    Run {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        options: run::Options,
    },
    /// Carry out an experiment beside others, until nothing is left; what failed stays failed
    Worker {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        options: run::Options,
    },
    /// Carry out again what failed, and nothing else
    Retry {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        options: run::Options,
    },
    /// Write and submit job scripts of workers
    Submit {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        options: slurm::Options,
    },
    /// Cancel the jobs that were submitted
    Cancel {
        #[command(flatten)]
        place: Place,
    },
    /// Show which runs are done, running, failed or missing
    Status {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        options: status::Options,
    },
    /// Show what of a run would be computed again, and which of its inputs changed
    Why {
        #[command(flatten)]
        place: Place,
        /// Run as `status` names it, arm with its seed as in `source/1`, or arm
        run: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Delete what the experiment does not name any more, or scored models, after asking
    Gc {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        options: gc::Options,
    },
    /// Rebuild the report from the result tables, or a table of several experiments
    Report {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        options: report::Options,
    },
    /// Hold two runs or two arms side by side, from the result tables alone
    Compare {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        options: compare::Options,
    },
    /// Remove groups of the source one by one and hold every saliency rule against the true change of loss
    Probe {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        options: probe::Options,
    },
    /// Score a model from disk on benchmarks, as lm-evaluation-harness does
    Eval {
        #[command(flatten)]
        options: eval::Options,
    },
    /// Write a model for transformers or llama.cpp, with its tokenizer
    Export {
        #[command(flatten)]
        options: export::Options,
    },
    /// Print the JSON Schema of experiment files, for editors
    Schema,
    /// Print a script with which a shell completes this program's words
    Completions {
        /// Shell
        shell: clap_complete::Shell,
    },
    /// Show what this machine has and what is missing
    Doctor {
        /// Folder whose disk is looked at
        #[arg(long, value_name = "DIR", default_value = "results")]
        results: PathBuf,
    },
}

/// The experiment, and where its results are.
#[derive(Args)]
struct Place {
    /// Folder that holds an `experiment.toml`, or the file itself
    experiment: PathBuf,
    /// Folder of the results.
    #[arg(
        long,
        value_name = "DIR",
        help = "Folder of the results [default: results/<name of the experiment>]"
    )]
    results: Option<PathBuf>,
}

/// Values that override those of the file.
#[derive(Args)]
struct Settings {
    /// Override a value of the file
    #[arg(
        long,
        value_name = "KEY=VALUE",
        help = "Override a value of the file, such as `eval.items=40`; relative paths start at the current folder"
    )]
    set: Vec<String>,
}

impl Place {
    fn load(&self, settings: &Settings) -> Result<(Experiment, PathBuf), spec::SpecError> {
        let sources = source::Sources::default();
        let experiment = spec::load(&self.experiment, &settings.set, &|place| sources.describe(place))?;
        let results = self.results(&experiment.name);
        Ok((experiment, results))
    }

    fn results(&self, name: &str) -> PathBuf {
        self.results.clone().unwrap_or_else(|| Path::new("results").join(name))
    }

    /// The command line of `command` for this place.
    fn command(&self, command: &str) -> String {
        let results = self.results.as_ref();
        let results = results.map_or(String::new(), |folder| format!(" --results {}", folder.display()));
        format!("efficientllm {command} {}{results}", self.experiment.display())
    }

    /// The results folder, which holds the tables of at least one attempt. The experiment's own files need not be there.
    fn recorded(&self) -> anyhow::Result<PathBuf> {
        let results = self.results(&spec::name(&self.experiment)?);
        if !results.join(dictionary::RUNS).exists() {
            bail!(
                "no results in `{}`\nhint: `efficientllm run {}` makes them",
                results.display(),
                self.experiment.display()
            );
        }
        Ok(results)
    }
}

/// The script for `shell`.
fn completions(shell: clap_complete::Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), env!("CARGO_PKG_NAME"), &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Some runs failed or were not reached.
pub const SOME_FAILED: u8 = 1;
/// The request is wrong.
pub const WRONG_REQUEST: u8 = 2;

/// Carries out the command line `arguments` (the program's name first) and returns the exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(message) => {
            // Help and version go to standard output and are no error. Nothing can be done about a closed pipe.
            let _ = message.print();
            return if message.use_stderr() { WRONG_REQUEST } else { 0 };
        }
    };
    // A file that may not grow further is an error of `write` then, with its place, and not the end of the process.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
    let result = match cli.command {
        Command::Plan { place, settings, options } => plan::main(&place, &settings, &options),
        Command::Run { place, settings, options } => run::main(&place, &settings, &options, run::Mode::Run),
        Command::Worker { place, settings, options } => {
            run::main(&place, &settings, &options, run::Mode::Worker)
        }
        Command::Retry { place, settings, options } => {
            run::main(&place, &settings, &options, run::Mode::Retry)
        }
        Command::Submit { place, settings, options } => slurm::submit(&place, &settings, &options),
        Command::Cancel { place } => slurm::cancel(&place),
        Command::Status { place, settings, options } => status::main(&place, &settings, &options),
        Command::Why { place, run, settings } => why::main(&place, &settings, &run),
        Command::Gc { place, settings, options } => gc::main(&place, &settings, &options),
        Command::Report { place, options } => report::main(&place, &options),
        Command::Compare { place, options } => compare::main(&place, &options),
        Command::Probe { place, settings, options } => probe::main(&place, &settings, &options),
        Command::Eval { options } => eval::main(&options),
        Command::Export { options } => export::main(&options),
        Command::Schema => {
            say!("{:#}", spec::json_schema());
            Ok(0)
        }
        Command::Completions { shell } => {
            write_out(&completions(shell));
            Ok(0)
        }
        Command::Doctor { results } => doctor::main(&results),
    };
    let code = result.unwrap_or_else(|error| {
        tell!("error: {error}");
        WRONG_REQUEST
    });
    match lost_output() {
        Some(error) => {
            tell!("error: cannot write to standard output: {error}");
            code.max(SOME_FAILED)
        }
        None => code,
    }
}
