//! Cores: one run on all of them, or several side by side. What finishes a plan sooner is measured.
use super::engine;
use crate::base::units;
use crate::model::{Engine, ModelConfig, OnRank, Rank, flops, init};
use crate::plan::{Plan, StageKind, makespan};
use crate::run::{Arrangement, StageState};
use crate::spec::{EngineKind, TrainSpec, vocabulary::vocab_size};
use crate::tensor::Backend;
use crate::train::optimizer;
use std::fmt::Write;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// Time that the measurement of one arrangement takes, its first step aside.
const MEASURE: Duration = Duration::from_millis(600);
/// FLOPs below which a plan is over before a measurement would have paid.
const LITTLE: f64 = 2e12;
/// FLOPs of a measured step, at most; a larger model is measured with fewer layers and sequences.
const MOST_STEP: f64 = 1e11;

/// How many runs at once, with how many threads: as asked; else as many runs as fit, or whatever a measurement of the
/// largest model shows to be faster. Tells what was measured.
pub(super) fn choose(
    plan: &Plan,
    states: &[StageState],
    groups: &[Vec<usize>],
    asked: usize,
    threads: usize,
) -> (Arrangement, Option<String>) {
    let workers = engine::workers(asked, plan.engine, groups, threads, plan);
    let given = Arrangement { workers, threads };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let ranks = groups.first().map_or(1, Vec::len);
    let left: f64 = plan
        .stages
        .iter()
        .zip(states)
        .filter(|(_, state)| **state == StageState::Waiting)
        .map(|(stage, _)| stage.cost.flops)
        .sum();
    // A latency is that of the threads which the file names.
    let names_threads = threads != 1 || plan.runs.iter().any(|run| run.latency.is_some());
    let has_choice = asked == 0 && plan.engine == EngineKind::Cpu && ranks == 1 && !names_threads;
    if !has_choice || cores < 2 || left < LITTLE {
        return (given, None);
    }
    let Some(sample) = Sample::of(plan, states) else { return (given, None) };
    let mut timed: Vec<(Arrangement, f64)> = Vec::new();
    for arrangement in candidates(workers, cores) {
        let rate = sample.rate(plan, arrangement);
        if rate > 0.0 {
            timed.push((arrangement, seconds(plan, states, arrangement, rate)));
        }
    }
    let best = timed.iter().min_by(|a, b| a.1.total_cmp(&b.1)).map_or(given, |(best, _)| *best);
    let text =
        timed.iter().fold(String::from("cores:"), |mut text, (Arrangement { workers, threads }, seconds)| {
            let all = if text.ends_with(':') { "" } else { ";" };
            let runs = if *workers == 1 { "one run".into() } else { format!("{workers} runs at once") };
            let threads = match (*workers, *threads) {
                (1, 1) => "one thread".into(),
                (_, 1) => "one thread each".into(),
                (1, threads) => format!("{threads} threads"),
                (_, threads) => format!("{threads} threads each"),
            };
            let _ = write!(text, "{all} {runs} on {threads}, about {}", units::seconds(*seconds));
            text
        });
    (best, Some(format!("{text} (measured); {} at once", best.workers)))
}

/// From as many runs side by side as fit to one on all cores, halving.
fn candidates(workers: usize, cores: usize) -> Vec<Arrangement> {
    let mut all = Vec::new();
    let mut side_by_side = workers.clamp(1, cores);
    loop {
        all.push(Arrangement { workers: side_by_side, threads: (cores / side_by_side).max(1) });
        if side_by_side == 1 {
            return all;
        }
        side_by_side = side_by_side.div_ceil(2);
    }
}

/// Seconds that the rest of the plan takes where each run reaches `rate` FLOP/s.
fn seconds(plan: &Plan, states: &[StageState], arrangement: Arrangement, rate: f64) -> f64 {
    let done: Vec<bool> = states.iter().map(|state| *state != StageState::Waiting).collect();
    let each: Vec<f64> = plan.stages.iter().map(|stage| stage.cost.flops / rate).collect();
    makespan(plan, &done, arrangement.workers, &each)
}

/// Training steps of a model like the largest that is left to make.
struct Sample {
    config: ModelConfig,
    train: TrainSpec,
    context_length: usize,
    sequences: usize,
}

impl Sample {
    fn of(plan: &Plan, states: &[StageState]) -> Option<Self> {
        let left = plan.stages.iter().zip(states).filter(|(stage, state)| {
            matches!(stage.kind, StageKind::Model(_)) && **state == StageState::Waiting
        });
        let (stage, _) = left.max_by(|(a, _), (b, _)| a.cost.flops.total_cmp(&b.cost.flops))?;
        let spec = &stage.spec;
        let context_length = spec.data.context_length;
        let vocab_size = vocab_size(&spec.data.tokenizer).ok()?;
        let mut config = spec.model.config(vocab_size, context_length);
        let flops = |config: &ModelConfig, sequences: usize| {
            flops::training_flops_per_token(config, context_length) * (sequences * context_length) as f64
        };
        let mut sequences = spec.train.micro_batch;
        while config.layers.len() > 2 && flops(&config, sequences) > MOST_STEP {
            config.layers.pop();
        }
        while sequences > 1 && flops(&config, sequences) > MOST_STEP {
            sequences -= 1;
        }
        Some(Sample { config, train: spec.train.clone(), context_length, sequences })
    }

    /// FLOP/s that each of the runs of `arrangement` reaches while all go on; 0 where they cannot be had.
    fn rate(&self, plan: &Plan, arrangement: Arrangement) -> f64 {
        let Arrangement { workers, threads } = arrangement;
        let engine = Engine::of(&plan.experiment.engine, plan.engine, vec![0], usize::MAX);
        let pools = (0..workers).map(|_| rayon::ThreadPoolBuilder::new().num_threads(threads).build());
        let Ok(pools) = pools.collect::<Result<Vec<_>, _>>() else { return 0.0 };
        let barrier = Barrier::new(workers);
        let rates: Vec<f64> = std::thread::scope(|scope| {
            let running: Vec<_> = pools
                .iter()
                .map(|pool| {
                    let (engine, steps) = (&engine, Steps { sample: self, barrier: &barrier });
                    scope.spawn(move || pool.install(|| engine.run(steps)).unwrap_or(0.0))
                })
                .collect();
            running.into_iter().filter_map(|thread| thread.join().ok()).collect()
        });
        rates.iter().sum::<f64>() / workers as f64
    }
}

struct Steps<'a> {
    sample: &'a Sample,
    barrier: &'a Barrier,
}

impl OnRank for Steps<'_> {
    type Output = f64;

    fn on<B: Backend>(self, rank: Rank<'_, B>) -> f64 {
        let Sample { config, train, context_length, sequences } = self.sample;
        let (backend, network) = (rank.backend, rank.network);
        let mut weights = init::random_weights(backend, config, 0);
        let mut grads = optimizer::zeros_like(backend, &weights);
        let mut moments = optimizer::Moments::new(backend, &weights);
        let tokens = sequences * context_length;
        let ids = |factor: usize| -> Vec<u32> {
            (0..tokens).map(|i| (i * factor % config.vocab_size) as u32).collect()
        };
        let (inputs, targets) = (ids(7919), ids(104_729));
        let mut step = || {
            for grad in grads.leaves_mut() {
                backend.fill_zero(grad);
            }
            let scale = 1.0 / tokens as f64;
            network
                .loss_and_gradients(config, &weights, &inputs, &targets, *sequences, scale, &mut grads, None);
            optimizer::step(backend, train, train.learning_rate, &mut weights, &grads, &mut moments);
        };
        step();
        self.barrier.wait();
        let started = Instant::now();
        let mut steps = 0u32;
        while started.elapsed() < MEASURE {
            step();
            steps += 1;
        }
        let flops = flops::training_flops_per_token(config, *context_length) * tokens as f64;
        f64::from(steps) * flops / started.elapsed().as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan;
    use crate::run::{Need, Store, keys, stage_states};
    use crate::spec::{self, no_model};
    use std::path::Path;

    fn planned() -> Plan {
        let text = include_str!("../../tests/fixtures/example.toml");
        let experiment = spec::parse(text, "test", Path::new("/nowhere"), &no_model).unwrap();
        plan::plan(&experiment, EngineKind::Cpu).unwrap()
    }

    #[test]
    fn arrangements_share_the_cores() {
        let of = |workers, cores| -> Vec<(usize, usize)> {
            candidates(workers, cores).iter().map(|a| (a.workers, a.threads)).collect()
        };
        assert_eq!(of(2, 2), [(2, 1), (1, 2)]);
        assert_eq!(of(8, 8), [(8, 1), (4, 2), (2, 4), (1, 8)]);
        assert_eq!(of(3, 8), [(3, 2), (2, 4), (1, 8)]);
        assert_eq!(of(1, 4), [(1, 4)]);
    }

    /// What is asked for is done; what would be over at once is not measured.
    #[test]
    fn what_the_user_says_is_not_measured() {
        let plan = planned();
        let states = vec![StageState::Done; plan.stages.len()];
        let groups = vec![vec![0]];
        let told = |asked, threads| choose(&plan, &states, &groups, asked, threads);
        assert_eq!(told(3, 1), (Arrangement { workers: 3, threads: 1 }, None));
        assert_eq!(told(2, 4), (Arrangement { workers: 2, threads: 4 }, None));
        assert_eq!(told(0, 1).1, None);
    }

    #[test]
    fn a_rate_is_measured_with_every_run_at_work_and_a_plan_takes_longer_on_fewer() {
        let plan = planned();
        let folder = tempfile::tempdir().unwrap();
        let states =
            stage_states(&plan, &keys(&plan), &Store::at(folder.path()), &Need::Results.of_all(&plan));
        let mut sample = Sample::of(&plan, &states).expect("a model is left to make");
        sample.sequences = 1;
        sample.config.layers.truncate(1);
        let side_by_side = Arrangement { workers: 2, threads: 1 };
        assert!(sample.rate(&plan, side_by_side) > 0.0);
        let one = Arrangement { workers: 1, threads: 2 };
        assert!(seconds(&plan, &states, one, 1e9) > seconds(&plan, &states, side_by_side, 1e9));
    }
}
