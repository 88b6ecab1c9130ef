//! Output head and cross-entropy in chunks of rows: the N × V logits are never held whole.
//!
//! ```text
//! z = hidden headᵀ      loss = Σ_n (log Σ_v exp z_nv − z_n,target)
//! dz = scale · (softmax(z) − onehot(target))      d_hidden = dz head      d_head += dzᵀ hidden
//! ```
use super::Matrix;
use super::product;
use super::real::{Real, kernel, max, sum_by};
use crate::tensor::Product;
use rayon::prelude::*;

/// Elements of the logits held at once, in training and in scoring: there nothing else needs the caches, and a chunk of
/// more rows packs the head less often.
const LOGITS: usize = 1 << 21;
const SCORED_LOGITS: usize = 1 << 24;
/// Rows of one softmax task.
const ROWS: usize = 16;

fn chunk_rows(logits: usize, vocab_size: usize) -> usize {
    (logits / vocab_size).max(64)
}

fn rows_of<T: Real>(matrix: &Matrix<T>, start: usize, end: usize) -> Matrix<T> {
    Matrix {
        rows: end - start,
        cols: matrix.cols,
        data: matrix.data[start * matrix.cols..end * matrix.cols].to_vec(),
    }
}

/// `(largest logit, log Σ exp)` of one row, and the exponentials left in it.
#[inline(always)]
fn softmax_row<T: Real>(row: &mut [T]) -> (T, T) {
    let largest = max(row);
    for z in row.iter_mut() {
        *z = (*z - largest).exp();
    }
    (largest, sum_by(row.len(), |i| row[i]))
}

pub fn loss_and_gradients<T: Real>(
    d_hidden: &mut Matrix<T>,
    d_head: &mut Matrix<T>,
    hidden: &Matrix<T>,
    head: &Matrix<T>,
    targets: &[u32],
    scale: f64,
) -> f64 {
    let (vocab, d) = (head.rows, head.cols);
    assert!(hidden.rows == targets.len() && hidden.cols == d && d_hidden.data.len() == hidden.data.len());
    let scale = T::from_f64(scale);
    let mut loss = 0.0;
    let mut logits = Matrix { rows: 0, cols: vocab, data: Vec::new() };
    let mut d_rows = Matrix { rows: 0, cols: d, data: Vec::new() };
    for start in (0..hidden.rows).step_by(chunk_rows(LOGITS, vocab)) {
        let end = (start + chunk_rows(LOGITS, vocab)).min(hidden.rows);
        let chunk = rows_of(hidden, start, end);
        for (buffer, cols) in [(&mut logits, vocab), (&mut d_rows, d)] {
            buffer.rows = end - start;
            buffer.data.resize((end - start) * cols, T::ZERO);
        }
        product::matmul(Product::NT, &mut logits, false, &chunk, head);
        let losses: Vec<f64> = logits
            .data
            .par_chunks_mut(ROWS * vocab)
            .zip(targets[start..end].par_chunks(ROWS))
            .map(|(rows, targets)| loss_rows(rows, targets, scale))
            .collect();
        loss += losses.iter().sum::<f64>();
        product::matmul(Product::NN, &mut d_rows, false, &logits, head);
        d_hidden.data[start * d..end * d].copy_from_slice(&d_rows.data);
        product::matmul(Product::TN, d_head, true, &logits, &chunk);
    }
    loss
}

kernel! {
    /// Turns the logits of a few rows into gradients; returns their summed loss.
    fn loss_rows<'a, T>(
        rows: &'a mut [T], targets: &'a [u32], scale: T) -> f64 {
        let vocab = rows.len() / targets.len();
        let mut loss = 0.0;
        for (row, &target) in rows.chunks_exact_mut(vocab).zip(targets) {
            let target = target as usize;
            let target_logit = row[target];
            let (largest, sum) = softmax_row(row);
            loss += sum.to_f64().ln() + (largest - target_logit).to_f64();
            let factor = scale / sum;
            for p in row.iter_mut() {
                *p = *p * factor;
            }
            row[target] = row[target] - scale;
        }
        loss
    }
}

kernel! {
    fn log_probability<'a, T>(
        row: &'a mut [T], target: u32) -> f64 {
        let target_logit = row[target as usize];
        let (largest, sum) = softmax_row(row);
        (target_logit - largest).to_f64() - sum.to_f64().ln()
    }
}

pub fn log_probabilities<T: Real>(hidden: &Matrix<T>, head: &Matrix<T>, targets: &[u32]) -> Vec<f64> {
    let vocab = head.rows;
    assert!(hidden.rows == targets.len() && hidden.cols == head.cols);
    let mut all = Vec::with_capacity(targets.len());
    let mut logits = Matrix { rows: 0, cols: vocab, data: Vec::new() };
    for start in (0..hidden.rows).step_by(chunk_rows(SCORED_LOGITS, vocab)) {
        let end = (start + chunk_rows(SCORED_LOGITS, vocab)).min(hidden.rows);
        let mut chunk = rows_of(hidden, start, end);
        // A last chunk of few rows gets rows of zeros, so that no result depends on how many there are.
        chunk.rows = product::independent_rows(chunk.rows, vocab);
        chunk.data.resize(chunk.rows * chunk.cols, T::ZERO);
        logits.rows = chunk.rows;
        logits.data.resize(chunk.rows * vocab, T::ZERO);
        product::matmul(Product::NT, &mut logits, false, &chunk, head);
        let rows = logits.data.par_chunks_mut(vocab).zip(&targets[start..end]);
        all.par_extend(rows.map(|(row, &target)| log_probability(row, target)));
    }
    all
}
