//! `efficientllm eval`: benchmarks for a model from disk.
pub(super) mod against;
mod model;
mod results;

use super::meter::Meter;
use super::{SOME_FAILED, engine, run::stop_on_signals};
use crate::base::output::write_out;
use crate::base::{lock::try_lock, units};
use crate::data::hub::{self, Hub};
use crate::eval::{
    self, Benchmark, EvalError, Files, Journal, Journalled, Limit, Loaded, NetworkScorer, Outcome, Setting,
};
use crate::model::{Engine, OnRank, Rank};
use crate::record::harness::{self, HarnessTask};
use crate::spec::{CpuBf16, EngineKind, EngineSpec, Precision};
use crate::tensor::Backend;
use crate::tensor::cpu::blocked::detect;
use anyhow::{Result, anyhow, bail};
use clap::Args;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Notes that are printed.
const MOST_NOTES: usize = 20;
/// Scores of items as they come.
const JOURNAL: &str = "journal.jsonl";

#[derive(Args)]
pub(super) struct Options {
    /// Where the model is.
    #[arg(
        long,
        value_name = "PLACE",
        help = "Model: a folder with config.json, safetensors and tokenizer.json, a .gguf file, a llama2.c file, or hf:org/name[@revision]"
    )]
    model: String,
    /// Tasks, by commas: arc_easy, arc_challenge, boolq, hellaswag, openbookqa, piqa, social_iqa, winogrande, mmlu,
    /// mmlu_continuation, wikitext, wikitext_windows
    #[arg(long, value_name = "TASKS", value_delimiter = ',', required = true)]
    tasks: Vec<String>,
    /// Where the benchmark files are.
    #[arg(
        long,
        value_name = "PLACE",
        help = "Benchmark files: a folder with <task>/<split>.jsonl, .jsonl.zst, .parquet or .arrow, or hf: for those of the Hugging Face hub"
    )]
    data: PathBuf,
    /// Folder for results.json, items.csv and the journal that an interrupted evaluation goes on from
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Only N items of each task (of each subject in MMLU): a sample spread over the file
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Only the first N items of each task, as lm-evaluation-harness takes them
    #[arg(long, value_name = "N", conflicts_with = "limit", value_parser = clap::value_parser!(u32).range(1..))]
    limit_first: Option<u32>,
    /// Seed of the sample of --limit
    #[arg(long, value_name = "SEED", default_value_t = 0, requires = "limit")]
    sample_seed: u64,
    /// Leave items whose log-likelihoods are not finite without an answer, where they would be a failure
    #[arg(long)]
    allow_non_finite: bool,
    /// Examples before each item: the first N of train, in MMLU of the subject's dev
    #[arg(long, value_name = "N", default_value_t = 0)]
    num_fewshot: u16,
    /// Tokens that the model sees at most [default: what the model was made for]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    context_length: Option<u32>,
    /// Engine
    #[arg(long, value_name = "ENGINE", default_value = "auto", value_parser = ["auto", "cpu", "cuda", "reference"])]
    engine: String,
    /// Precision of products, on CUDA of activations too; a processor without bf16 takes f32, and so does the reference
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = ["f32", "bf16"])]
    precision: String,
    /// Whose order of sums bf16 products on the processor follow; emulated where it has not got the instruction [default:
    /// the fastest that it has]
    #[arg(long, value_name = "NAME", value_parser = ["avx512_bf16", "amx_bf16"])]
    cpu_bf16: Option<String>,
    /// Results of another evaluation of the same items, such as one in f32: how far log-likelihoods and answers are from it
    #[arg(long, value_name = "DIR")]
    against: Option<PathBuf>,
    /// CUDA device
    #[arg(long, value_name = "N", default_value_t = 0)]
    device: u16,
    /// Threads; results do not depend on it [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl Options {
    fn limit(&self) -> Limit {
        match (self.limit, self.limit_first) {
            (Some(items), _) => Limit::Sample { items: items as usize, seed: self.sample_seed },
            (None, Some(items)) => Limit::First(items as usize),
            (None, None) => Limit::All,
        }
    }

    /// The engine that is asked for, of which there is one on one device.
    fn engine(&self) -> EngineSpec {
        EngineSpec {
            kind: match self.engine.as_str() {
                "cpu" => EngineKind::Cpu,
                "cuda" => EngineKind::Cuda,
                "reference" => EngineKind::Reference,
                _ => EngineKind::Auto,
            },
            precision: Some(if self.precision == "bf16" { Precision::Bf16 } else { Precision::F32 }),
            cpu_bf16: self.cpu_bf16.as_deref().map(|name| match name {
                "amx_bf16" => CpuBf16::AmxBf16,
                _ => CpuBf16::Avx512Bf16,
            }),
            workers: 1,
            threads_per_worker: 1,
            devices: Vec::new(),
            data_parallel: 1,
            halve_micro_batch: false,
        }
    }
}

pub(super) fn main(options: &Options) -> Result<u8> {
    let benchmarks = benchmarks(&options.tasks)?;
    let against = options.against.as_deref().map(|folder| against::read(folder).map(|rows| (folder, rows)));
    let against = against.transpose()?;
    let mut spec = options.engine();
    let kind = engine::resolve_spec(&mut spec)?;
    let engine = Engine::of(&spec, kind, vec![usize::from(options.device)], usize::MAX);
    // On one of the threads: whoever is on none of them has to wake them for every product.
    let threads = options.threads.map_or(0, usize::from);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    pool.install(|| engine.run(Scoring { options, benchmarks, engine: &engine, against: against.as_ref() }))?
}

/// What is to be done on whatever engine.
struct Scoring<'a> {
    options: &'a Options,
    benchmarks: Vec<Benchmark>,
    engine: &'a Engine,
    /// Where another evaluation is, and its choices.
    against: Option<&'a (&'a Path, against::Choices)>,
}

impl OnRank for Scoring<'_> {
    type Output = Result<u8>;

    fn on<B: Backend>(self, rank: Rank<'_, B>) -> Result<u8> {
        score(self, rank)
    }
}

fn score<B: Backend>(scoring: Scoring<'_>, rank: Rank<'_, B>) -> Result<u8> {
    let Scoring { options, benchmarks, engine, against } = scoring;
    let Rank { backend, network, .. } = rank;
    let model = model::load(backend, &options.model)?;
    let longest = model.config.max_position_embeddings;
    let context_length = options.context_length.map_or(longest, |length| length as usize);
    if context_length > longest {
        bail!(
            "--context-length {context_length} is more than the {longest} tokens that the model was made for"
        );
    }
    let num_fewshot = usize::from(options.num_fewshot);
    let setting =
        Setting { tokenizer: &model.tokenizer, context_length, limit: options.limit(), num_fewshot };
    // Everything is read and encoded before anything is scored: a fault of the last file shows at once.
    let hub = if options.data == Path::new(hub::PREFIX) { Some(Hub::from_env()?) } else { None };
    let files = hub.as_ref().map_or(Files::Folder(&options.data), Files::Hub);
    let loaded: Vec<Loaded> = benchmarks.iter().map(|b| b.load(files, setting)).collect::<Result<_, _>>()?;

    tell_notes(&loaded.iter().flat_map(Loaded::notes).collect::<Vec<_>>());

    let out = &options.out;
    fs::create_dir_all(out).map_err(|e| anyhow!("cannot make the folder `{}`: {e}", out.display()))?;
    let Some(_lock) = try_lock(out).map_err(|e| anyhow!("cannot write to `{}`: {e}", out.display()))? else {
        bail!(
            "another process is writing to `{}`\nhint: wait for it, or name another folder with `--out`",
            out.display()
        );
    };
    let engine_name = match engine.kind {
        EngineKind::Reference => "reference",
        EngineKind::Cuda => "cuda",
        EngineKind::Auto | EngineKind::Cpu => "cpu",
    };
    let precision = engine.effective_precision().name();
    // Scores in another order of sums are other scores.
    let arithmetic = engine.products().map_or(precision, CpuBf16::name);
    let fingerprint =
        format!("{}-{engine_name}-{arithmetic}-{}", model.fingerprint, crate::plan::EVALUATION_REVISION);
    let mut journal = Journal::open(&out.join(JOURNAL), &fingerprint)?;
    if !journal.is_empty() {
        tell!("{} items are scored already", units::grouped(journal.len() as u64));
    }
    if journal.damaged() > 0 {
        let (damaged, path) = (journal.damaged(), out.join(JOURNAL));
        tell!("warning: {damaged} lines of `{}` were damaged; their items are scored again", path.display());
    }

    let (config, weights) = (&model.config, &model.weights);
    let _held = backend.hold(&weights.leaves());
    let mut scorer = NetworkScorer::new(network, config, weights);
    let interrupted = stop_on_signals()?;
    let started = Instant::now();
    let work: Vec<Vec<u64>> = loaded.iter().map(Loaded::work).collect();
    let mut meter = Meter::new(work.iter().flatten().sum(), "all items");
    let mut outcomes = Vec::new();
    for ((benchmark, loaded), work) in benchmarks.iter().zip(loaded).zip(&work) {
        meter.set_message(benchmark.name());
        let mut watch = |item: usize, known: bool| {
            meter.add(work.get(item).copied().unwrap_or_default());
            if known {
                meter.forget_pace();
            }
            !interrupted.load(Ordering::Relaxed)
        };
        let mut watched = Journalled { journal: &mut journal, scorer: &mut scorer, watch: &mut watch };
        match loaded.evaluate(&mut watched) {
            Ok(outcome) => outcomes.push(outcome),
            Err(EvalError::Interrupted) => {
                meter.close();
                say!("interrupted after {} items; the same command goes on from there", journal.len());
                return Ok(SOME_FAILED);
            }
            Err(error) => return Err(error.into()),
        }
    }
    meter.close();
    if let Some(error) = not_finite(&outcomes).filter(|_| !options.allow_non_finite) {
        tell!("error: {error}");
        return Ok(SOME_FAILED);
    }

    let tasks: Vec<HarnessTask> =
        outcomes.iter().flat_map(|outcome| results::tasks(outcome, num_fewshot)).collect();
    let config = json!({
        "model": options.model,
        "model_num_parameters": model.config.num_params(),
        "model_dtype": if precision == "bf16" { "bfloat16" } else { "float32" },
        "model_fingerprint": model.fingerprint,
        "engine": engine_name,
        "products": engine.products().map(detect::describe),
        "device": backend.device_name(),
        "context_length": context_length,
        "limit": options.limit.or(options.limit_first),
        "sample_seed": options.limit.map(|_| options.sample_seed),
        "num_fewshot": num_fewshot,
        "efficientllm_version": env!("CARGO_PKG_VERSION"),
        "tasks_follow": "lm-evaluation-harness 4e7e0d47f33bc71070c1d38394bafbb52b117163",
    });
    let items: Vec<_> = outcomes.iter().flat_map(results::items).collect();
    let mut written = harness::results(&tasks, config);
    results::add_own(&mut written, &outcomes);
    let set_aside: Vec<_> = outcomes.iter().flat_map(results::set_aside).collect();
    harness::write(out, &written, &items, &set_aside)?;
    write_out(&table(&tasks));
    if let Some((folder, theirs)) = against {
        write_out(&against::describe(&items, theirs, folder));
    }
    say!(
        "the model saw at most {context_length} tokens at once{}",
        if options.context_length.is_some() {
            ""
        } else {
            ", what it was made for; an experiment scores at its data.context_length"
        }
    );
    say!(
        "{} tokens in {}; results in {}",
        units::grouped(scorer.tokens),
        units::duration(started.elapsed()),
        out.display()
    );
    Ok(0)
}

/// What a reader of the scores must know, on standard error.
fn tell_notes(notes: &[String]) {
    for note in notes.iter().take(MOST_NOTES) {
        tell!("warning: {note}");
    }
    if notes.len() > MOST_NOTES {
        tell!("warning: … and {} more, see set_aside.csv", notes.len() - MOST_NOTES);
    }
}

/// The benchmarks named, each once.
fn benchmarks(names: &[String]) -> Result<Vec<Benchmark>, EvalError> {
    let mut benchmarks = Vec::new();
    for name in names {
        let benchmark = Benchmark::from_name(name.trim())?;
        if !benchmarks.contains(&benchmark) {
            benchmarks.push(benchmark);
        }
    }
    Ok(benchmarks)
}

/// The fault that something measured is not finite.
fn not_finite(outcomes: &[Outcome]) -> Option<EvalError> {
    let mut choices = Vec::new();
    for outcome in outcomes {
        let (name, sum) = match outcome {
            Outcome::Choice { result, .. } => {
                choices.push(result);
                continue;
            }
            Outcome::Documents { perplexity, .. } => (Benchmark::WikiText, perplexity.bits_per_byte),
            Outcome::Windows { perplexity, .. } => (Benchmark::WikiTextWindows, perplexity.perplexity),
        };
        if !sum.is_finite() {
            return Some(EvalError::NotFinite { what: format!("the loss on `{}`", name.name()) });
        }
    }
    eval::not_finite(choices)
}

/// Every number with its standard error and, for a share, its 95 % interval; of MMLU, the groups.
fn table(tasks: &[HarnessTask]) -> String {
    let grouped: Vec<&String> = tasks.iter().flat_map(|task| &task.parts).collect();
    let is_subject = |task: &HarnessTask| task.parts.is_empty() && grouped.contains(&&task.name);
    let shown: Vec<&HarnessTask> = tasks.iter().filter(|task| !is_subject(task)).collect();
    let width = shown.iter().map(|task| task.alias.len()).max().unwrap_or(0);
    let mut text = format!(
        "{:width$}  {:>6}  {:15}  {:>8}  {:>7}  95 % interval\n",
        "task", "items", "metric", "value", "stderr"
    );
    for task in &shown {
        for metric in &task.metrics {
            let interval =
                metric.interval.map_or(String::new(), |i| format!("{:.4} to {:.4}", i.low, i.high));
            let stderr = metric.stderr.map_or(String::new(), |stderr| format!("{stderr:.4}"));
            let line = format!(
                "{:width$}  {:>6}  {:15}  {:>8}  {stderr:>7}  {interval}",
                task.alias,
                task.effective,
                metric.name,
                number(metric.value)
            );
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    for task in shown.iter().filter(|task| task.name.starts_with("wikitext")) {
        if let Some(about) = task.config["description"].as_str() {
            text.push_str(&format!("{}: {about}\n", task.name));
        }
    }
    text
}

/// Four decimals; a perplexity without bounds in five significant digits.
fn number(value: f64) -> String {
    if value < 1e5 { format!("{value:.4}") } else { format!("{value:.4e}") }
}
