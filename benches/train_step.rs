//! Speed of one full training step (forward, backward, clipping, AdamW) on the CPU or a CUDA engine.
//!
//! ```text
//! cargo bench --bench train_step -- --shape S                tokens per second, one line per round
//! cargo bench --bench train_step -- --shape S --serve        the same, one timing per line read from stdin
//! cargo bench --bench train_step -- --shape S --pruned       CSV: cost of a step as the model is pruned
//! cargo bench --bench train_step -- --shape S --rates        CSV: against the machine's products, saliency, memory
//! cargo bench --bench train_step -- --shape S --parts        CSV: the parts of a step, each against the products' rate
//!     … --parts --pruned                                     the same as the model is pruned
//!     … --precision bf16                                     products in bf16
//! cargo bench --bench train_step -- --shape S --rules        CSV: steps that prune, by rule, against plain ones
//!     … --engine cuda --precision bf16 --device 0            on a GPU
//! ```
//!
//! Shapes are named in `benches/shapes.json`, which the PyTorch side reads too. Before anything is timed the loss must
//! fall on the batch that it is timed on. `--pruned` keeps 100, 75, 50 and 25 % of the parameters with widths scaled
//! by one factor (so they are as odd as pruning leaves them), times all in turns and prints medians:
//! `shape,params,flops_per_step,seconds_per_step,flops_per_second,ratio_to_full`, the ratio being of seconds. Cost
//! follows the FLOPs where `flops_per_second` does not fall.
//!
//! `--rates` prints medians of tokens per second and FLOP/s of the model (as the ledger counts them), the FLOP/s of one large
//! square product on the same engine, the ratio of the two, the share of a step that saliency adds (running means of the
//! gradient and of its square over all parameters, timed in turns with plain steps), and the peak of device memory.
//! `--parts` prints the median milliseconds of each part of a step on the processor, its share, the FLOP/s that it reaches
//! and their ratio to those of one large square product, the machine's ceiling: `shape,params,precision,part,ms,share,flops_per_s,
//! of_ceiling`. The row `packing` is that of the layers' operands in bf16, timed by itself; it is part of the products above.
//! What is left over of the step's time is the row `rest`.
//! `--rules` trains by the training loop itself, with an event (one `ffn` channel of every layer) after every step, and prints
//! medians over steps, variants timed in turns: `shape,saliency,update,seconds_per_step,ratio_to_plain`. Statistics, scores,
//! updates and removal are part of a step; the model is smaller by what is gone, which steps do not show yet.
//!
//! `--serve` answers the line `memory` with that peak, empty on the CPU.
#[path = "train_step/parts.rs"]
mod parts;
#[path = "setup/mod.rs"]
mod setup;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, Write};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use efficientllm::base::random::stream;
use efficientllm::base::team::with_team;
use efficientllm::data::Batches;
use efficientllm::model::network::{ExplicitNetwork, Network};
use efficientllm::model::{ModelConfig, Rank, Weights, flops, init};
use efficientllm::prune::Goal;
use efficientllm::spec::{GroupType, PruneSpec, Saliency, Target, TrainSpec, Update};
use efficientllm::tensor::cpu::blocked::pack::Along;
use efficientllm::tensor::cpu::blocked::product::Operand;
use efficientllm::tensor::cpu::blocked::{Kernel, detect};
use efficientllm::tensor::cuda::{CudaBackend, Precision};
use efficientllm::tensor::{Accumulation, Alone, Backend, CpuBackend, CpuBf16, Matrix, Product};
use efficientllm::train::optimizer::{self, Moments};
use efficientllm::train::pretrain::{Observer, StepReport};
use efficientllm::train::widths::proportional;
use efficientllm::train::{Part, TrainPlan, pretrain};
use rand::RngExt;
use setup::{Shape, prune_spec, random_tokens, train_spec};

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
    #[arg(long, default_value = "cpu")]
    engine: Engine,
    /// Of products, on CUDA of activations too.
    #[arg(long, default_value = "f32")]
    precision: Arithmetic,
    /// Emulate the bf16 products of a processor that has this instruction; slow.
    #[arg(long)]
    emulate: Option<Emulated>,
    /// Index of the CUDA device.
    #[arg(long, default_value_t = 0)]
    device: usize,
    /// One timing per line read from stdin; prints "ready" when it may be asked.
    #[arg(long, conflicts_with_all = ["pruned", "rates", "parts"])]
    serve: bool,
    /// Time the shape at 100, 75, 50 and 25 % of its parameters.
    #[arg(long, conflicts_with = "rates")]
    pruned: bool,
    /// Where the time of a step goes, on the processor.
    #[arg(long, conflicts_with = "rates")]
    parts: bool,
    /// Compare with the machine's products; cost of saliency; memory.
    #[arg(long)]
    rates: bool,
    /// Steps of the training loop with an event each, by rule.
    #[arg(long, conflicts_with_all = ["pruned", "rates", "serve"])]
    rules: bool,
    /// What `cargo bench` passes to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Engine {
    Cpu,
    Cuda,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Arithmetic {
    F32,
    Bf16,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Emulated {
    #[value(name = "avx512_bf16")]
    Avx512Bf16,
    #[value(name = "amx_bf16")]
    AmxBf16,
}

/// A model in training on one fixed batch.
struct Training<'a, B: Backend<Scalar = f32>> {
    backend: &'a B,
    network: ExplicitNetwork<'a, B>,
    config: ModelConfig,
    spec: TrainSpec,
    weights: Weights<B::Tensor>,
    grads: Weights<B::Tensor>,
    moments: Moments<B::Tensor>,
    /// Running means of the gradient and of its square, where saliency is part of the step.
    means: Option<[Weights<B::Tensor>; 2]>,
    inputs: Vec<u32>,
    targets: Vec<u32>,
}

impl<'a, B: Backend<Scalar = f32>> Training<'a, B> {
    /// Initial weights and `warmup` steps, over which the loss must fall.
    fn new(backend: &'a B, config: ModelConfig, shape: &Shape, warmup: u32) -> Result<Self> {
        let tokens = shape.batch * shape.context_length;
        let spec = train_spec(tokens, shape.batch);
        let mut inputs = random_tokens(config.vocab_size, 2 * tokens);
        let targets = inputs.split_off(tokens);
        let weights = init::random_weights(backend, &config, 0);
        let mut training = Training {
            backend,
            network: ExplicitNetwork::new(backend),
            grads: optimizer::zeros_like(backend, &weights),
            moments: Moments::new(backend, &weights),
            means: None,
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
        self.backend.read_sum(&loss) / count
    }

    /// What saliency adds to a step: g̅ ← 0.9 g̅ + 0.1 g and F̅ ← 0.9 F̅ + 0.1 g², as a pruner with memory asks.
    fn accumulate_saliency(&mut self) {
        let backend = self.backend;
        let [mean, squares] =
            self.means.get_or_insert_with(|| [(); 2].map(|()| optimizer::zeros_like(backend, &self.weights)));
        let sums = mean.leaves_mut().into_iter().zip(squares.leaves_mut());
        let with = |(x, (sum, squares))| Accumulation { x, sum, squares: Some(squares) };
        let mut leaves: Vec<_> = self.grads.leaves().into_iter().zip(sums).map(with).collect();
        backend.accumulate(0.1, 0.9, &mut leaves);
    }

    /// Waits for everything that was asked of the device.
    fn finish(&self) {
        self.backend.to_host(&self.weights.norm);
    }

    fn seconds_per_step(&mut self, steps: u32, with_saliency: bool) -> f64 {
        self.finish();
        let start = Instant::now();
        for _ in 0..steps {
            self.step();
            if with_saliency {
                self.accumulate_saliency();
            }
        }
        self.finish();
        start.elapsed().as_secs_f64() / f64::from(steps)
    }

    fn tokens_per_second(&mut self, steps: u32) -> f64 {
        self.inputs.len() as f64 / self.seconds_per_step(steps, false)
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    // As a run is: on one of the threads, and not outside of them, from where each product would have to wake them.
    rayon::ThreadPoolBuilder::new()
        .num_threads(args.threads.into())
        .build()?
        .install(|| with_team(|| run(&args)))
}

fn run(args: &Args) -> Result<()> {
    let shape = &Shape::named(&args.shape)?;
    match args.engine {
        Engine::Cpu if args.precision == Arithmetic::Bf16 => {
            let kind = bf16_kind(args)?;
            eprintln!("bf16 products: {}", detect::describe(kind));
            on_cpu(args, shape, CpuBackend::in_bf16(kind))
        }
        Engine::Cpu => on_cpu(args, shape, CpuBackend::<f32>::new()),
        Engine::Cuda if args.parts => {
            bail!("--parts is for the processor: nsys tells the parts of a GPU's step")
        }
        Engine::Cuda => {
            let precision = match args.precision {
                Arithmetic::F32 => Precision::F32,
                Arithmetic::Bf16 => Precision::Bf16,
            };
            let backend = CudaBackend::open(args.device, precision)?;
            bench(args, shape, &backend, &|| Some(backend.peak_bytes()))
        }
    }
}

fn on_cpu(args: &Args, shape: &Shape, backend: CpuBackend<f32>) -> Result<()> {
    if args.parts { parts(args, shape, backend) } else { bench(args, shape, &backend, &|| None) }
}

/// The order of sums of bf16 products on the processor.
fn bf16_kind(args: &Args) -> Result<CpuBf16> {
    let asked = args.emulate.map(|kind| match kind {
        Emulated::Avx512Bf16 => CpuBf16::Avx512Bf16,
        Emulated::AmxBf16 => CpuBf16::AmxBf16,
    });
    ensure!(args.precision == Arithmetic::Bf16, "products in f32");
    asked.or_else(detect::best).context(
        "this processor has neither AMX nor AVX-512 BF16: --precision f32, or --emulate avx512_bf16 | amx_bf16",
    )
}

/// The peak of device memory in bytes, where the engine has memory of its own.
type Peak<'a> = &'a dyn Fn() -> Option<usize>;

fn bench<B: Backend<Scalar = f32>>(args: &Args, shape: &Shape, backend: &B, peak: Peak) -> Result<()> {
    if args.pruned {
        return pruned(args, shape, backend);
    }
    if args.rules {
        return rules(args, shape, backend);
    }
    let mut training = Training::new(backend, shape.config(), shape, args.warmup)?;
    if args.rates {
        rates(args, shape, &mut training, peak);
        return Ok(());
    }
    let mut stdout = std::io::stdout();
    if args.serve {
        writeln!(stdout, "ready")?;
        stdout.flush()?;
        for line in std::io::stdin().lock().lines() {
            if line?.trim() == "memory" {
                writeln!(stdout, "{}", cell(peak()))?;
            } else {
                writeln!(stdout, "{:.1}", training.tokens_per_second(args.steps))?;
            }
            stdout.flush()?;
        }
    } else {
        for _ in 0..args.rounds {
            writeln!(stdout, "{:.1}", training.tokens_per_second(args.steps))?;
        }
    }
    Ok(())
}

/// A cell of a table, empty where there is nothing to say.
fn cell(value: Option<usize>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

fn rates<B: Backend<Scalar = f32>>(args: &Args, shape: &Shape, training: &mut Training<B>, peak: Peak) {
    // That of plain steps: what follows allocates operands of the product and the sums of saliency.
    let plain_peak = peak();
    let product = product_flops_per_second(args, training.backend);
    training.accumulate_saliency();
    let (mut plain, mut salient) = (Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        plain.push(training.seconds_per_step(args.steps, false));
        salient.push(training.seconds_per_step(args.steps, true));
    }
    let (plain, salient) = (median(&mut plain), median(&mut salient));
    let tokens = training.inputs.len() as f64;
    let flops = flops::training_flops_per_token(&training.config, shape.context_length) * tokens / plain;
    println!("shape,tokens_per_s,flops_per_s,product_flops_per_s,utilisation,saliency_share,peak_bytes");
    println!(
        "{},{:.1},{flops:.4e},{product:.4e},{:.3},{:.4},{}",
        args.shape,
        tokens / plain,
        flops / product,
        salient / plain - 1.0,
        cell(plain_peak),
    );
}

/// Where the time of a step goes.
fn parts(args: &Args, shape: &Shape, backend: CpuBackend<f32>) -> Result<()> {
    let ceiling = product_flops_per_second(args, &backend);
    let timed = parts::Timed::new(backend);
    println!("shape,params,precision,part,ms,share,flops_per_s,of_ceiling");
    let configs = if args.pruned { pruned_configs(args, shape)? } else { vec![shape.config()] };
    for config in configs {
        parts_of(args, shape, &timed, config, ceiling)?;
    }
    Ok(())
}

fn parts_of(
    args: &Args,
    shape: &Shape,
    timed: &parts::Timed<CpuBackend<f32>>,
    config: ModelConfig,
    ceiling: f64,
) -> Result<()> {
    let packing = packing_seconds(args, shape, &config);
    let params = config.num_params();
    let mut training = Training::new(timed, config, shape, args.warmup)?;
    timed.take();
    let mut times: BTreeMap<parts::Part, Vec<f64>> = BTreeMap::new();
    let (mut flops, mut steps) = (BTreeMap::new(), Vec::new());
    for _ in 0..args.rounds * args.steps {
        let start = Instant::now();
        training.step();
        steps.push(start.elapsed().as_secs_f64());
        for (part, spent) in timed.take() {
            times.entry(part).or_default().push(spent.time.as_secs_f64());
            flops.insert(part, spent.flops);
        }
    }
    let step = median(&mut steps);
    let precision = if args.precision == Arithmetic::Bf16 { "bf16" } else { "f32" };
    let place = format!("{},{params},{precision}", args.shape);
    let row = |part: &str, seconds: f64, flops: f64| {
        let rate = flops / seconds;
        let rates = if flops > 0.0 { format!("{rate:.4e},{:.3}", rate / ceiling) } else { ",".to_string() };
        println!("{place},{part},{:.3},{:.4},{rates}", 1e3 * seconds, seconds / step);
    };
    let mut told = 0.0;
    for (part, seconds) in &mut times {
        let seconds = median(seconds);
        told += seconds;
        row(&part.name().replace(',', ";"), seconds, flops[part]);
    }
    row("rest", (step - told).max(0.0), 0.0);
    if let Some(seconds) = packing {
        row("packing", seconds, 0.0);
    }
    row("step", step, flops.values().sum());
    println!("{place},ceiling: one product of 1024 × 1024 × 1024,,,{ceiling:.4e},1.000");
    Ok(())
}

/// Time that a step's products in bf16 take to pack their operands, head and attention aside; all layers are as the first.
fn packing_seconds(args: &Args, shape: &Shape, config: &ModelConfig) -> Option<f64> {
    let kind = bf16_kind(args).ok()?;
    let kernel = Kernel::new(kind);
    let layer = config.layers.first()?;
    let (n, d, f) = (shape.batch * shape.context_length, config.hidden_size, layer.intermediate_size);
    let (wide, narrow) = (layer.num_heads * config.head_dim, layer.num_kv_heads * config.head_dim);
    let mut rng = stream(0, "bench packing");
    let mut random = |rows: usize, cols: usize| {
        let data = (0..rows * cols).map(|_| rng.random::<f32>() - 0.5).collect();
        Matrix { rows, cols, data }
    };
    // Inputs and weights (d_out × d_in) of the layers' seven products.
    let pairs = [(d, wide), (d, narrow), (d, narrow), (wide, d), (d, f), (d, f), (f, d)];
    let operands = pairs.map(|(d_in, d_out)| [random(n, d_in), random(d_out, d_in), random(n, d_out)]);
    let mut seconds: Vec<f64> = (0..args.steps + 1)
        .map(|_| {
            let start = Instant::now();
            for [x, w, dy] in &operands {
                let of = |matrix, along| Operand { matrix, along };
                for (left, right) in [
                    (of(x, Along::Lines), of(w, Along::Lines)),
                    (of(dy, Along::Lines), of(w, Along::Columns)),
                    (of(dy, Along::Columns), of(x, Along::Columns)),
                ] {
                    std::hint::black_box((left.left(kernel), right.right(kernel)));
                }
            }
            start.elapsed().as_secs_f64() * config.layers.len() as f64
        })
        .collect();
    Some(median(&mut seconds))
}

/// FLOP/s of one large square product of activations on this engine.
fn product_flops_per_second<B: Backend<Scalar = f32>>(args: &Args, backend: &B) -> f64 {
    let size = if args.engine == Engine::Cuda { 8192 } else { 1024 };
    let [mut a, mut b, mut c] = [(); 3].map(|()| backend.activation(size, size));
    // Random values: products of zeros draw less power, and so run at higher clocks.
    let mut rng = stream(0, "bench product");
    let values: Vec<f32> = (0..size * size).map(|_| rng.random::<f32>() - 0.5).collect();
    let (table, rows) = (backend.from_host(size, size, &values), (0..size as u32).collect::<Vec<_>>());
    backend.embed(&mut a, &table, &rows);
    backend.embed(&mut b, &table, &rows);
    let mut seconds = Vec::new();
    for round in 0..=args.rounds {
        let start = Instant::now();
        for _ in 0..args.steps {
            backend.matmul(Product::NT, &mut c, false, &a, &b);
        }
        backend.to_host(&backend.select(&c, Some(&[0]), None));
        // The first round chooses kernels and allocates.
        if round > 0 {
            seconds.push(start.elapsed().as_secs_f64() / f64::from(args.steps));
        }
    }
    2.0 * (size as f64).powi(3) / median(&mut seconds)
}

/// The shape with 100, 75, 50 and 25 % of its parameters.
fn pruned_configs(args: &Args, shape: &Shape) -> Result<Vec<ModelConfig>> {
    let full = shape.config();
    let cut = |percent: u64| {
        let target = full.num_params() * percent / 100;
        proportional(&full, Goal { limit: target, counts_embedding: true })
            .with_context(|| format!("shape {} cannot be cut to {target} parameters", args.shape))
    };
    [100, 75, 50, 25].into_iter().map(cut).collect()
}

fn pruned<B: Backend<Scalar = f32>>(args: &Args, shape: &Shape, backend: &B) -> Result<()> {
    let train = |config| Training::new(backend, config, shape, args.warmup);
    let mut trainings = pruned_configs(args, shape)?.into_iter().map(train).collect::<Result<Vec<_>>>()?;
    let mut seconds = vec![Vec::new(); trainings.len()];
    for _ in 0..args.rounds {
        for (training, seconds) in trainings.iter_mut().zip(&mut seconds) {
            seconds.push(training.seconds_per_step(args.steps, false));
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

/// Seconds of each step of a run.
struct StepClock(Vec<Instant>);

impl Observer for StepClock {
    fn on_step(&mut self, _: StepReport) {
        self.0.push(Instant::now());
    }
}

/// Saliency and update of the variants; the first is plain training.
const VARIANTS: [Option<(&str, &str)>; 8] = [
    None,
    Some(("taylor1", "none")),
    Some(("taylor_mix", "none")),
    Some(("fisher_group", "none")),
    Some(("wanda", "none")),
    Some(("obs", "none")),
    Some(("taylor1", "layerwise")),
    Some(("taylor1", "layerwise_bias")),
];

fn rules<B: Backend<Scalar = f32>>(args: &Args, shape: &Shape, backend: &B) -> Result<()> {
    let config = shape.config();
    let tokens = shape.batch * shape.context_length;
    let steps = u64::from(args.warmup + args.steps);
    let ids = random_tokens(config.vocab_size, 2 * tokens + 1);
    let batches = Batches::new(ids.into(), shape.context_length, 0)?;
    let spec = train_spec(tokens, shape.batch);
    // One channel of every layer after every step.
    let event = 3 * (config.hidden_size * config.layers.len()) as u64;
    let target = config.num_params() - steps * event;
    let run = |variant: Option<(&str, &str)>| -> Result<f64> {
        let prune = |(saliency, update): (&str, &str)| -> Result<PruneSpec> {
            let saliency = Saliency::named(saliency).with_context(|| format!("no rule `{saliency}`"))?;
            let update = Update::named(update).with_context(|| format!("no update `{update}`"))?;
            let types = vec![GroupType::Ffn];
            Ok(prune_spec(saliency, update, types, Target::Params(target), steps * tokens as u64))
        };
        let prune = variant.map(prune).transpose()?;
        let plan = TrainPlan {
            spec: &spec,
            context_length: shape.context_length,
            tokens: steps * tokens as u64,
            first_sequence: 0,
            part: Part::Train,
            prune: prune.as_ref(),
            seed: 1,
            resume: None,
        };
        let mut network = ExplicitNetwork::new(backend);
        let mut rank = Rank { backend, network: &mut network, communicator: &Alone, at_once: usize::MAX };
        let mut clock = StepClock(Vec::new());
        let weights = init::random_weights(backend, &config, 0);
        let state = pretrain(&mut rank, &batches, &plan, config.clone(), weights, &mut clock)?;
        // One after every step; where an update adds biases, the last step has more to take.
        let with_events: BTreeSet<u64> = state.progress.events.iter().map(|event| event.step).collect();
        ensure!(with_events.len() as u64 == if prune.is_some() { steps } else { 0 });
        let mut seconds: Vec<f64> =
            clock.0.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
        Ok(median(&mut seconds[args.warmup as usize - 1..]))
    };
    let mut seconds = vec![Vec::new(); VARIANTS.len()];
    for _ in 0..args.rounds {
        for (variant, seconds) in VARIANTS.into_iter().zip(&mut seconds) {
            seconds.push(run(variant)?);
        }
    }
    println!("shape,saliency,update,seconds_per_step,ratio_to_plain");
    let medians: Vec<f64> = seconds.iter_mut().map(|all| median(all)).collect();
    for (variant, median) in VARIANTS.into_iter().zip(&medians) {
        let (saliency, update) = variant.unwrap_or_default();
        println!("{},{saliency},{update},{median:.5},{:.3}", args.shape, median / medians[0]);
    }
    Ok(())
}
