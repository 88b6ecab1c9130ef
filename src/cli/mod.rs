//! Words to calls: the commands, their exit codes, and what they print.
//!
//! Exit codes: 0 all is well; 1 some runs failed or were not reached; 2 the request is wrong.
mod arrange;
mod compare;
mod contamination;
mod corpora;
mod doctor;
mod engine;
mod eval;
mod export;
mod model;
mod plan;
mod probe;
mod report;
mod run;
mod source;
mod speed;
mod status;

use crate::record::dictionary;
use crate::spec::{self, Experiment};
use anyhow::bail;
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

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
    /// Show which runs are done, missing or failed
    Status {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        settings: Settings,
    },
    /// Make the report anew from the result tables
    Report {
        #[command(flatten)]
        place: Place,
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

/// What stands in the place of the file's own values.
#[derive(Args)]
struct Settings {
    /// Value in the place of the file's
    #[arg(
        long,
        value_name = "KEY=VALUE",
        help = "Value in the place of the file's, such as `eval.items=40`; relative paths start at the current folder"
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
    let result = match cli.command {
        Command::Plan { place, settings } => plan::main(&place, &settings),
        Command::Run { place, settings, options } => run::main(&place, &settings, &options),
        Command::Status { place, settings } => status::main(&place, &settings),
        Command::Report { place } => report::main(&place),
        Command::Compare { place, options } => compare::main(&place, &options),
        Command::Probe { place, settings, options } => probe::main(&place, &settings, &options),
        Command::Eval { options } => eval::main(&options),
        Command::Export { options } => export::main(&options),
        Command::Doctor { results } => doctor::main(&results),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        WRONG_REQUEST
    })
}
