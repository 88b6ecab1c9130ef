//! How fast this machine multiplies matrices, for estimates.
use crate::tensor::{Backend, CpuBackend, Product};
use std::time::{Duration, Instant};

/// Time that a measurement takes.
const MEASURE: Duration = Duration::from_millis(300);
/// Rows and columns: the widths of small models, a batch of some hundred tokens.
const SHAPE: (usize, usize, usize) = (512, 384, 128);

/// FLOP/s of f32 products that each of `workers` reaches while all work at once, with `threads` threads each.
pub(super) fn gemm_rate(workers: usize, threads: usize) -> f64 {
    let rates: Vec<f64> = std::thread::scope(|scope| {
        let measuring: Vec<_> =
            (0..workers.max(1)).map(|_| scope.spawn(move || one_worker(threads))).collect();
        measuring.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    rates.iter().sum::<f64>() / rates.len().max(1) as f64
}

fn one_worker(threads: usize) -> f64 {
    let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(threads).build() else { return 0.0 };
    pool.install(|| {
        let backend = CpuBackend::<f32>::new();
        let (rows, cols, inner) = SHAPE;
        let (a, b) = (backend.zeros(rows, inner), backend.zeros(cols, inner));
        let mut c = backend.zeros(rows, cols);
        let started = Instant::now();
        let mut products = 0u32;
        while started.elapsed() < MEASURE {
            backend.matmul(Product::NT, &mut c, false, &a, &b);
            products += 1;
        }
        f64::from(products) * 2.0 * (rows * cols * inner) as f64 / started.elapsed().as_secs_f64()
    })
}
