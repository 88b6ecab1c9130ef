//! Speed of one full training step (forward, backward, clipping, AdamW) in f32 on the CPU engine.
//!
//! ```text
//! cargo bench --bench train_step -- --shape S                tokens per second, one line per round
//! cargo bench --bench train_step -- --shape S --serve        the same, one timing per line read from stdin
//! cargo bench --bench train_step -- --shape S --pruned       CSV: cost of a step as the model is pruned
//! ```
//!
//! Shapes are named in `benches/shapes.json`, which the PyTorch side reads too. Before anything is timed the loss must
//! fall on the batch that it is timed on. `--pruned` keeps 100, 75, 50 and 25 % of the parameters with widths scaled
//! by one factor (so they are as odd as pruning leaves them), times all in turns and prints medians:
//! `shape,params,flops_per_step,seconds_per_step,flops_per_second,ratio_to_full`, the ratio being of seconds. Cost
//! follows the FLOPs where `flops_per_second` does not fall.
use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use efficientllm::base::random::stream;
use efficientllm::model::network::{ExplicitNetwork, Network};
use efficientllm::model::{LayerShape, ModelConfig, Weights, flops, init};
use efficientllm::prune::Goal;
use efficientllm::spec::{ScheduleKind, TrainSpec};
use efficientllm::tensor::{Backend, CpuBackend};
use efficientllm::train::optimizer::{self, Moments};
use efficientllm::train::widths::proportional;
use rand::RngExt;
use serde::Deserialize;

type Tensor = <CpuBackend<f32> as Backend>::Tensor;

const SHAPES: &str = include_str!("shapes.json");

/// Tokens per second of one training step.
#[derive(Parser)]
struct Args {
    /// A name in benches/shapes.json.
    #[arg(long, default_value = "S")]
    shape: String,
    /// Steps of one timing.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// Steps before the first timing.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..))]
    warmup: u32,
    /// Timings.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    threads: u16,
    /// One timing per line read from stdin; prints "ready" when it may be asked.
    #[arg(long, conflicts_with = "pruned")]
    serve: bool,
    /// Time the shape at 100, 75, 50 and 25 % of its parameters.
    #[arg(long)]
    pruned: bool,
    /// What `cargo bench` passes to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Deserialize)]
struct Shape {
    vocab_size: usize,
    hidden_size: usize,
    num_layers: usize,
    num_heads: usize,
    num_kv_heads: usize,
    head_dim: usize,
    intermediate_size: usize,
    context_length: usize,
    batch: usize,
}

impl Shape {
    fn config(&self) -> ModelConfig {
        let layer = LayerShape {
            num_heads: self.num_heads,
            num_kv_heads: self.num_kv_heads,
            intermediate_size: self.intermediate_size,
        };
        ModelConfig {
            vocab_size: self.vocab_size,
            hidden_size: self.hidden_size,
            head_dim: self.head_dim,
            tie_word_embeddings: true,
            qkv_bias: false,
            rope_theta: 10000.0,
            rms_norm_eps: 1e-5,
            max_position_embeddings: self.context_length,
            layers: vec![layer; self.num_layers],
        }
    }
}

/// A model in training on one fixed batch.
struct Training<'a> {
    backend: &'a CpuBackend<f32>,
    network: ExplicitNetwork<'a, CpuBackend<f32>>,
    config: ModelConfig,
    spec: TrainSpec,
    weights: Weights<Tensor>,
    grads: Weights<Tensor>,
    moments: Moments<Tensor>,
    inputs: Vec<u32>,
    targets: Vec<u32>,
}

impl<'a> Training<'a> {
    /// Initial weights and `warmup` steps, over which the loss must fall.
    fn new(backend: &'a CpuBackend<f32>, config: ModelConfig, shape: &Shape, warmup: u32) -> Result<Self> {
        let tokens = shape.batch * shape.context_length;
        let spec = TrainSpec {
            batch_tokens: tokens,
            micro_batch: shape.batch,
            learning_rate: 1e-4,
            min_learning_rate_ratio: 1.0,
            schedule: ScheduleKind::Cosine,
            warmup_tokens: 0,
            decay_fraction: 0.0,
            weight_decay: 0.1,
            beta1: 0.9,
            beta2: 0.95,
            epsilon: 1e-8,
            clip_norm: 1.0,
        };
        let mut rng = stream(0, "bench tokens");
        let mut ids = || (0..tokens).map(|_| rng.random_range(0..config.vocab_size as u32)).collect();
        let (inputs, targets) = (ids(), ids());
        let weights = init::random_weights(backend, &config, 0);
        let mut training = Training {
            backend,
            network: ExplicitNetwork::new(backend),
            grads: optimizer::zeros_like(backend, &weights),
            moments: Moments::new(backend, &weights),
            config,
            spec,
            weights,
            inputs,
            targets,
        };
        let losses: Vec<f64> = (0..warmup).map(|_| training.step()).collect();
        ensure!(losses.last() < losses.first(), "the loss does not fall: {losses:?}");
        Ok(training)
    }

    /// One step; its loss in nats per token.
    fn step(&mut self) -> f64 {
        let count = self.inputs.len() as f64;
        for grad in self.grads.leaves_mut() {
            self.backend.fill_zero(grad);
        }
        let loss = self.network.loss_and_gradients(
            &self.config,
            &self.weights,
            &self.inputs,
            &self.targets,
            self.spec.micro_batch,
            1.0 / count,
            &mut self.grads,
            None,
        );
        optimizer::step(
            self.backend,
            &self.spec,
            self.spec.learning_rate,
            &mut self.weights,
            &self.grads,
            &mut self.moments,
        );
        loss / count
    }

    fn seconds_per_step(&mut self, steps: u32) -> f64 {
        let start = Instant::now();
        for _ in 0..steps {
            self.step();
        }
        start.elapsed().as_secs_f64() / f64::from(steps)
    }

    fn tokens_per_second(&mut self, steps: u32) -> f64 {
        self.inputs.len() as f64 / self.seconds_per_step(steps)
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    rayon::ThreadPoolBuilder::new().num_threads(args.threads.into()).build_global()?;
    let shapes: BTreeMap<String, Shape> = serde_json::from_str(SHAPES).context("benches/shapes.json")?;
    let Some(shape) = shapes.get(&args.shape) else {
        let names: Vec<&str> = shapes.keys().map(String::as_str).collect();
        bail!("no shape `{}` in benches/shapes.json, expected one of {}", args.shape, names.join(", "));
    };
    if args.pruned {
        return pruned(&args, shape);
    }
    let backend = CpuBackend::new();
    let mut training = Training::new(&backend, shape.config(), shape, args.warmup)?;
    let mut stdout = std::io::stdout();
    if args.serve {
        writeln!(stdout, "ready")?;
        stdout.flush()?;
        for line in std::io::stdin().lock().lines() {
            line?;
            writeln!(stdout, "{:.1}", training.tokens_per_second(args.steps))?;
            stdout.flush()?;
        }
    } else {
        for _ in 0..args.rounds {
            writeln!(stdout, "{:.1}", training.tokens_per_second(args.steps))?;
        }
    }
    Ok(())
}

fn pruned(args: &Args, shape: &Shape) -> Result<()> {
    let backend = CpuBackend::new();
    let full = shape.config();
    let mut trainings = Vec::new();
    for percent in [100, 75, 50, 25] {
        let target = full.num_params() * percent / 100;
        let config = proportional(&full, Goal { limit: target, counts_embedding: true })
            .with_context(|| format!("shape {} cannot be cut to {target} parameters", args.shape))?;
        trainings.push(Training::new(&backend, config, shape, args.warmup)?);
    }
    let mut seconds = vec![Vec::new(); trainings.len()];
    for _ in 0..args.rounds {
        for (training, seconds) in trainings.iter_mut().zip(&mut seconds) {
            seconds.push(training.seconds_per_step(args.steps));
        }
    }
    println!("shape,params,flops_per_step,seconds_per_step,flops_per_second,ratio_to_full");
    let medians: Vec<f64> = seconds.iter_mut().map(|all| median(all)).collect();
    for (training, median) in trainings.iter().zip(&medians) {
        let per_token = flops::training_flops_per_token(&training.config, shape.context_length);
        let flops = per_token * training.inputs.len() as f64;
        println!(
            "{},{},{flops:.4e},{median:.5},{:.4e},{:.3}",
            args.shape,
            training.config.num_params(),
            flops / median,
            median / medians[0],
        );
    }
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0
}
