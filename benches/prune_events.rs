//! What pruning events cost, beside the passes that their scores come from.
//!
//! ```text
//! cargo bench --bench prune_events                                  one shot: 768 single-channel FFN events on SmolLM2-135M's shape
//! cargo bench --bench prune_events -- --train --shape S             events of one channel along a line, between training steps
//! cargo bench --bench prune_events -- --search layer,head_dim       events layer by layer, and the search for the last ones
//! ```
//!
//! Weights are random: time does not depend on them. One shot prints `events,gradient_seconds,event_seconds,total_seconds`, where
//! the gradients are those of `--tokens` tokens and events hold scoring, selection and removal; training prints
//! `steps,events,step_seconds,pruning_seconds,share`; the search, at random saliency, prints `events,event_seconds,last_events,
//! last_seconds,slowest_seconds,parameters_below_target`, where the last events are those that are chosen so that the target is met. Before anything is printed the achieved count is checked against the target.
#[path = "setup/mod.rs"]
mod setup;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use efficientllm::model::network::{ExplicitNetwork, Network};
use efficientllm::model::{ModelConfig, Weights, init};
use efficientllm::prune::{Pruner, Trees};
use efficientllm::spec::{GroupType, PruneSchedule, PruneSpec, Saliency, Scope, Target, Update};
use efficientllm::tensor::CpuBackend;
use efficientllm::tensor::cpu::Matrix;
use efficientllm::train::optimizer::{self, Moments, zeros_like};
use setup::{Shape, prune_spec, random_tokens, train_spec};

/// Seconds of pruning events.
#[derive(Parser)]
struct Args {
    /// A name in benches/shapes.json.
    #[arg(long, default_value = "SmolLM-135M")]
    shape: String,
    /// Channels per layer that one shot removes, one event each.
    #[arg(long, default_value_t = 768)]
    channels: usize,
    /// Tokens of the gradient, or of a training step.
    #[arg(long, default_value_t = 2048)]
    tokens: usize,
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Prune between training steps to half of the parameters, along a line over `--steps` steps.
    #[arg(long)]
    train: bool,
    #[arg(long, default_value_t = 24)]
    steps: u64,
    /// Prune these types layer by layer to `--ratio` of the parameters.
    #[arg(long, value_delimiter = ',', value_name = "TYPES")]
    search: Vec<String>,
    #[arg(long, default_value_t = 0.5)]
    ratio: f64,
    /// What `cargo bench` passes to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

type Backend = CpuBackend<f32>;
type Tree = Weights<Matrix<f32>>;

fn spec(target: Target, types: Vec<GroupType>, prune_tokens: u64) -> PruneSpec {
    prune_spec(Saliency::TAYLOR1, Update::NONE, types, target, prune_tokens)
}

/// Adds the gradient of `tokens` random tokens to `grads`, a few sequences at a time.
fn add_gradient(
    network: &mut ExplicitNetwork<'_, Backend>,
    config: &ModelConfig,
    weights: &Tree,
    (tokens, length): (usize, usize),
    grads: &mut Tree,
) {
    let length = length.min(tokens).min(256);
    let ids = random_tokens(config.vocab_size, 2 * length);
    let (inputs, targets) = ids.split_at(length);
    for _ in 0..tokens / length {
        network.loss_and_gradients(config, weights, inputs, targets, 1, 1.0 / tokens as f64, grads, None);
    }
}

fn one_shot(args: &Args, shape: &Shape) -> Result<()> {
    let backend = Backend::new();
    let mut config = shape.config();
    let mut weights = init::random_weights(&backend, &config, 1);
    let mut grads = zeros_like(&backend, &weights);
    let started = Instant::now();
    let mut network = ExplicitNetwork::new(&backend);
    add_gradient(&mut network, &config, &weights, (args.tokens, shape.context_length), &mut grads);
    let gradient = started.elapsed();
    let removed = args.channels * 3 * shape.hidden_size * shape.num_layers;
    let target = config.num_params() - removed as u64;
    let spec = spec(Target::Params(target), vec![GroupType::Ffn], 0);
    let started = Instant::now();
    let mut pruner = Pruner::new(&spec, &config, 1)?;
    let trees = Trees {
        weights: &mut weights,
        grads: Some(&mut grads),
        fisher: None,
        lasting: false,
        moments: None,
        companions: vec![],
    };
    let events = pruner.prune_to_target(&backend, &mut config, trees, None, 0, 0)?;
    let pruning = started.elapsed();
    ensure!(config.num_params() == target && events.len() == args.channels, "{} events", events.len());
    println!("events,gradient_seconds,event_seconds,total_seconds");
    println!(
        "{},{:.2},{:.3},{:.2}",
        events.len(),
        gradient.as_secs_f64(),
        pruning.as_secs_f64(),
        (gradient + pruning).as_secs_f64()
    );
    Ok(())
}

fn train(args: &Args, shape: &Shape) -> Result<()> {
    let backend = Backend::new();
    let mut config = shape.config();
    let mut weights = init::random_weights(&backend, &config, 1);
    let mut moments = Moments::new(&backend, &weights);
    let prune_tokens = args.steps * args.tokens as u64;
    let types = vec![GroupType::Ffn, GroupType::Head, GroupType::Stem];
    let spec = spec(Target::Ratio(0.5), types, prune_tokens);
    let train = train_spec(args.tokens, shape.batch);
    let mut pruner = Pruner::new(&spec, &config, 1)?;
    let mut network = ExplicitNetwork::new(&backend);
    let (mut stepping, mut pruning, mut events) = (Duration::ZERO, Duration::ZERO, 0);
    for step in 1..=args.steps {
        let started = Instant::now();
        let mut grads = zeros_like(&backend, &weights);
        add_gradient(&mut network, &config, &weights, (args.tokens, shape.context_length), &mut grads);
        optimizer::step(&backend, &train, train.learning_rate, &mut weights, &grads, &mut moments);
        stepping += started.elapsed();
        let started = Instant::now();
        let trees = Trees {
            weights: &mut weights,
            grads: Some(&mut grads),
            fisher: None,
            lasting: false,
            moments: Some([&mut moments.m, &mut moments.v]),
            companions: vec![],
        };
        events += pruner.step(&backend, &mut config, trees, None, step * args.tokens as u64, step)?.len();
        pruning += started.elapsed();
    }
    ensure!(pruner.is_done(), "the target is not met");
    println!("steps,events,step_seconds,pruning_seconds,share");
    let share = pruning.as_secs_f64() / stepping.as_secs_f64();
    println!("{},{events},{:.2},{:.3},{share:.4}", args.steps, stepping.as_secs_f64(), pruning.as_secs_f64());
    Ok(())
}

fn search(args: &Args, shape: &Shape) -> Result<()> {
    let named = |name: &String| GroupType::ALL.into_iter().find(|kind| kind.name() == name);
    let types: Option<Vec<GroupType>> = args.search.iter().map(named).collect();
    let types = types.context("types are ffn, head, stem, head_dim and layer")?;
    let target = Target::Ratio(args.ratio);
    let spec = PruneSpec {
        saliency: Saliency::RANDOM,
        scope: Scope::PerLayer,
        schedule: PruneSchedule::interval(1),
        ..spec(target, types, 0)
    };
    let backend = Backend::new();
    let mut config = shape.config();
    let mut weights = init::random_weights(&backend, &config, 1);
    let mut pruner = Pruner::new(&spec, &config, 1)?;
    let (mut events, mut last) = (vec![], vec![]);
    for step in 1.. {
        if pruner.is_done() {
            break;
        }
        let trees = Trees {
            weights: &mut weights,
            grads: None,
            fisher: None,
            lasting: false,
            moments: None,
            companions: vec![],
        };
        let started = Instant::now();
        let happened = pruner.step(&backend, &mut config, trees, None, 0, step)?;
        let seconds = started.elapsed().as_secs_f64();
        let list = if happened.iter().any(|event| event.completion) { &mut last } else { &mut events };
        list.push(seconds);
    }
    ensure!(config.num_params() <= pruner.goal().limit, "the target is not met");
    let sum = |seconds: &[f64]| seconds.iter().sum::<f64>();
    println!("events,event_seconds,last_events,last_seconds,slowest_seconds,parameters_below_target");
    println!(
        "{},{:.3},{},{:.3},{:.3},{}",
        events.len(),
        sum(&events),
        last.len(),
        sum(&last),
        last.iter().fold(0.0, |a: f64, b| a.max(*b)),
        pruner.goal().limit - config.num_params()
    );
    Ok(())
}

fn main() -> Result<()> {
    let args = Args::parse();
    let shape = Shape::named(&args.shape)?;
    rayon::ThreadPoolBuilder::new().num_threads(args.threads).build_global()?;
    if !args.search.is_empty() {
        return search(&args, &shape);
    }
    if args.train { train(&args, &shape) } else { one_shot(&args, &shape) }
}
