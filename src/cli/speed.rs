//! How fast this machine multiplies matrices, for estimates.
use crate::model::{Engine, OnRank, Rank};
use crate::spec::EngineKind;
use crate::tensor::{Backend, Product};
use std::time::{Duration, Instant};

/// Time that a measurement takes: some dozens of products, and the plan of a large grid is waited for.
const MEASURE: Duration = Duration::from_millis(100);
/// Rows and columns: the widths of small models, a batch of some hundred tokens.
const SHAPE: (usize, usize, usize) = (512, 384, 128);
/// The same on a GPU, which smaller products do not fill.
const GPU_SHAPE: (usize, usize, usize) = (8192, 2048, 1024);
/// Products between two looks at the clock, for which a device has to finish what it was asked.
const PRODUCTS: u32 = 8;

/// FLOP/s that each of `workers` reaches on its engine while all work at once, with `threads` threads each; 0 where an
/// engine cannot be had.
pub(super) fn gemm_rate(engine: &Engine, groups: &[Vec<usize>], workers: usize, threads: usize) -> f64 {
    let one = |worker: usize| {
        let devices = groups[worker % groups.len()][..1].to_vec();
        let engine = Engine { devices, ..engine.clone() };
        let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(threads).build() else { return 0.0 };
        pool.install(|| engine.run(Measure(engine.kind))).unwrap_or(0.0)
    };
    let rates: Vec<f64> = std::thread::scope(|scope| {
        let one = &one;
        let measuring: Vec<_> = (0..workers.max(1)).map(|worker| scope.spawn(move || one(worker))).collect();
        measuring.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    rates.iter().sum::<f64>() / rates.len().max(1) as f64
}

struct Measure(EngineKind);

impl OnRank for Measure {
    type Output = f64;

    fn on<B: Backend>(self, rank: Rank<'_, B>) -> f64 {
        let backend = rank.backend;
        let (rows, cols, inner) = if self.0 == EngineKind::Cuda { GPU_SHAPE } else { SHAPE };
        let (a, b) = (backend.zeros(rows, inner), backend.zeros(cols, inner));
        let mut c = backend.zeros(rows, cols);
        let last = backend.zeros(1, 1);
        let mut round = || {
            for _ in 0..PRODUCTS {
                backend.matmul(Product::NT, &mut c, false, &a, &b);
            }
            // Whatever is read comes after everything that was asked before it.
            backend.to_host(&last);
        };
        // The first touches memory and wakes threads.
        round();
        let started = Instant::now();
        let mut rounds = 0u32;
        while started.elapsed() < MEASURE {
            round();
            rounds += 1;
        }
        f64::from(rounds * PRODUCTS) * 2.0 * (rows * cols * inner) as f64 / started.elapsed().as_secs_f64()
    }
}
