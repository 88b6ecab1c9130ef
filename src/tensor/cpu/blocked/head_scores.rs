//! Log-probabilities of targets by a kernel, some rows and some of the vocabulary at a time: logits stay in the second cache and
//! are never held whole.
//!
//! ```text
//! z = x headᵀ    for block b of the vocabulary:  M' = max(M, max_{v in b} z_v)    S ← S exp(M − M') + Σ_{v in b} exp(z_v − M')    M ← M'
//! log p(target) = (z_target − M) − ln S
//! ```
//!
//! (Milakov and Gimelshein 2018, arXiv:1805.02867.) Blocks have 1152 tokens, whatever the rows or the threads, and S is
//! the interleaved sums of `sum_by`, which go on from block to block: a vocabulary of one block has the bits of
//! `softmax_row`, a larger one its error, some 1e-5 of S for 49,152 tokens. Many small terms are lost beside large ones there, as
//! in PyTorch's sum; one sum for each block is nearer to the exact one, and 1e-3 nats from the peer over an item of a hundred tokens.
use super::kernel::Kernel;
use super::memory::Buffer;
use super::pack::Along;
use super::product::{Operand, Target, multiply, own_rows};
use super::reach::Reach;
use super::{VECTOR, held};
use crate::base::team::map_items;
use crate::tensor::cpu::Matrix;
use crate::tensor::cpu::product::Shared;
use crate::tensor::cpu::real::{LANES, Real, kernel, max};
use std::ops::Range;

/// Tokens of one block: a multiple of the columns of every panel, which has one to four vectors.
const COLUMNS: usize = 6 * 12 * VECTOR;
/// Most rows of a task, each of which reads the head once: their logits of a block stay in the second cache.
const ROWS: usize = 256;

/// What the blocks so far say of one row.
#[derive(Clone, Copy)]
struct Running<T> {
    largest: T,
    lanes: [T; LANES],
    /// Of what is left at the end of the last block
    rest: T,
    target: T,
}

impl Running<f32> {
    const NONE: Self =
        Running { largest: f32::NEG_INFINITY, lanes: [0.0; LANES], rest: 0.0, target: f32::NAN };

    fn log_probability(&self) -> f64 {
        let sum = self.lanes.iter().fold(self.rest, |sum, lane| sum + lane);
        f64::from(self.target - self.largest) - f64::from(sum).ln()
    }
}

kernel! {
    fn add_block<'a, T>(running: &'a mut Running<T>, logits: &'a [T]) -> () {
        let before = running.largest;
        let largest = max(logits).larger(before);
        if largest > before {
            let scale = (before - largest).exp();
            running.lanes = running.lanes.map(|lane| lane * scale);
            running.largest = largest;
        }
        let (chunks, rest) = logits.as_chunks::<LANES>();
        let mut lanes = running.lanes;
        for chunk in chunks {
            for (lane, &z) in lanes.iter_mut().zip(chunk) {
                *lane += (z - largest).exp();
            }
        }
        running.lanes = lanes;
        for &z in rest {
            running.rest += (z - largest).exp();
        }
    }
}

/// The natural logarithm of softmax(hidden headᵀ) at the target of each row.
pub fn log_probabilities(
    kernel: Kernel,
    hidden: &Matrix<f32>,
    head: &Matrix<f32>,
    targets: &[u32],
) -> Vec<f64> {
    let n = hidden.rows;
    assert!(n == targets.len() && hidden.cols == head.cols, "{} targets for {n} rows", targets.len());
    let head = held::right(kernel, head, Along::Lines);
    let left = Operand { matrix: hidden, along: Along::Lines }.left(kernel);
    let tasks = n.div_ceil(ROWS).next_multiple_of(rayon::current_num_threads()).max(1);
    let least = own_rows(kernel, Along::Lines).iter().copied().min().unwrap_or(1);
    let each = n.div_ceil(tasks).next_multiple_of(least).max(least);
    let width = head.panel_columns();
    let task = |rows: Range<usize>| {
        let mut buffer = Buffer::new(rows.len() * COLUMNS);
        let logits = buffer.floats_mut(rows.len() * COLUMNS);
        let mut running = vec![Running::NONE; rows.len()];
        for start in (0..head.columns).step_by(COLUMNS) {
            let columns = start..(start + COLUMNS).min(head.columns);
            // SAFETY: the target is these columns alone, and the buffer this task's own.
            unsafe {
                let data = Shared(logits.as_mut_ptr().wrapping_sub(start));
                let target = Target { data, stride: COLUMNS, accumulate: false };
                let panels = start / width..columns.end.div_ceil(width);
                let shape = (left.words, columns.end);
                kernel.with_tiles(|| {
                    multiply(kernel, (&left, rows.clone()), (&head, panels), shape, target, Reach::All);
                });
            }
            let rows = logits.chunks_exact(COLUMNS).zip(&mut running).zip(&targets[rows.clone()]);
            for ((logits, running), &target) in rows {
                let target = target as usize;
                if columns.contains(&target) {
                    running.target = logits[target - start];
                }
                add_block(running, &logits[..columns.len()]);
            }
        }
        running
    };
    let running = map_items((0..n).step_by(each), |start| task(start..(start + each).min(n)));
    running.iter().flatten().map(Running::log_probability).collect()
}

#[cfg(test)]
mod tests {
    use super::super::product::matmul;
    use super::super::tests::ALL;
    use super::*;
    use crate::base::random::stream;
    use crate::tensor::Product;
    use crate::tensor::cpu::cross_entropy::softmax_row;
    use rand::RngExt;

    /// What the logits of the same kernel say, summed as training sums them: to the bit where there is one block, else to rounding. No
    /// row knows of the rows beside it, nor of threads.
    #[test]
    fn scores_are_those_of_whole_rows() {
        let mut rng = stream(9, "head scores");
        let mut random = |rows: usize, cols: usize| {
            let data = (0..rows * cols).map(|_| rng.random_range(-1.0f32..1.0)).collect();
            Matrix { rows, cols, data }
        };
        let (n, d) = (150, 24);
        let hidden = random(n, d);
        for kind in ALL {
            let kernel = Kernel::new(kind);
            for vocab in [37, 1024, COLUMNS, COLUMNS + 1, 2 * COLUMNS + 48, 2 * COLUMNS + 1203] {
                let head = random(vocab, d);
                let place = format!("{kind:?}, {vocab} tokens");
                let mut logits = Matrix { rows: n, cols: vocab, data: vec![0.0; n * vocab] };
                matmul(kernel, Product::NT, &mut logits, false, &hidden, &head);
                let targets: Vec<u32> = (0..n).map(|row| (row * 7919 % vocab) as u32).collect();
                let found = log_probabilities(kernel, &hidden, &head, &targets);
                for ((row, target), found) in logits.data.chunks(vocab).zip(&targets).zip(&found) {
                    let mut row = row.to_vec();
                    let logit = row[*target as usize];
                    let (largest, sum) = softmax_row(&mut row);
                    let whole = f64::from(logit - largest) - f64::from(sum).ln();
                    if vocab <= COLUMNS {
                        assert_eq!(found.to_bits(), whole.to_bits(), "{place}: {found} and {whole}");
                    }
                    assert!((found - whole).abs() < 1e-6, "{place}: {found} and {whole}");
                }
                for (threads, rows) in [(1, n), (3, n), (1, 1), (2, 97), (2, 0)] {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                    let data = hidden.data[..rows * d].to_vec();
                    let some = Matrix { rows, cols: d, data };
                    let part = pool
                        .expect("a pool")
                        .install(|| log_probabilities(kernel, &some, &head, &targets[..rows]));
                    assert!(part == found[..rows], "{place}: {threads} threads, {rows} rows");
                }
            }
        }
    }
}
