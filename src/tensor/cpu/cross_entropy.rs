//! Output head and cross-entropy in chunks of rows: the N × V logits are never held whole.
//!
//! ```text
//! z = hidden headᵀ      loss = Σ_n (log Σ_v exp z_nv − z_n,target)
//! dz = scale · (softmax(z) − onehot(target))      d_hidden = dz head      d_head += dzᵀ hidden
//! ```
//!
//! The products are those of [`HeadProducts`]; everything else is in the working type.
use super::Matrix;
use super::blocked::pack::{Along, Right};
use super::blocked::product::{Operand, multiply_operand};
use super::blocked::{Kernel, held};
use super::real::{Real, kernel, max, sum_by, vectorised};
use super::{product, product_in};
use crate::base::team::map_items;
use crate::tensor::Product;
use std::sync::Arc;

/// Elements of the logits held at once, in training and in scoring: there nothing else needs the caches, and a chunk of
/// more rows packs the head less often.
pub(super) const LOGITS: usize = 1 << 21;
const SCORED_LOGITS: usize = 1 << 24;
/// Rows of one softmax task.
const ROWS: usize = 16;

pub(super) fn chunk_rows(logits: usize, vocab_size: usize) -> usize {
    (logits / vocab_size).max(64)
}

pub(super) fn rows_of<T: Real>(matrix: &Matrix<T>, start: usize, end: usize) -> Matrix<T> {
    Matrix {
        rows: end - start,
        cols: matrix.cols,
        data: matrix.data[start * matrix.cols..end * matrix.cols].to_vec(),
    }
}

/// The three products of an output head, of some rows of `hidden` each.
pub trait HeadProducts<T>: Sync {
    /// V
    fn vocab_size(&self) -> usize;
    /// d
    fn width(&self) -> usize;
    /// `z ← rows headᵀ`
    fn logits(&self, z: &mut Matrix<T>, rows: &Matrix<T>);
    /// `d_rows ← dz head`, `d_head ← d_head + dzᵀ rows`
    fn gradients(&self, d_rows: &mut Matrix<T>, d_head: &mut Matrix<T>, dz: &Matrix<T>, rows: &Matrix<T>);
}

/// In the working type, where it has no kernel.
pub struct Plain<'a, T>(pub &'a Matrix<T>);

impl<T: Real> HeadProducts<T> for Plain<'_, T> {
    fn vocab_size(&self) -> usize {
        self.0.rows
    }
    fn width(&self) -> usize {
        self.0.cols
    }
    fn logits(&self, z: &mut Matrix<T>, rows: &Matrix<T>) {
        product::matmul(Product::NT, z, false, rows, self.0);
    }
    fn gradients(&self, d_rows: &mut Matrix<T>, d_head: &mut Matrix<T>, dz: &Matrix<T>, rows: &Matrix<T>) {
        product::matmul(Product::NN, d_rows, false, dz, self.0);
        product::matmul(Product::TN, d_head, true, dz, rows);
    }
}

/// By a kernel, the head packed once for all rows.
pub struct Packed {
    kernel: Kernel,
    head: Arc<Right>,
    /// The head as the operand of `dz head`; absent where gradients are not asked for
    below: Option<Arc<Right>>,
    width: usize,
}

impl Packed {
    pub fn new(kernel: Kernel, head: &Matrix<f32>, with_gradients: bool) -> Self {
        let packed = |along| held::right(kernel, head, along);
        let below = with_gradients.then(|| packed(Along::Columns));
        Packed { kernel, head: packed(Along::Lines), below, width: head.cols }
    }
}

impl HeadProducts<f32> for Packed {
    fn vocab_size(&self) -> usize {
        self.head.columns
    }
    fn width(&self) -> usize {
        self.width
    }
    fn logits(&self, z: &mut Matrix<f32>, rows: &Matrix<f32>) {
        let rows = Operand { matrix: rows, along: Along::Lines };
        multiply_operand(self.kernel, z, false, rows, &self.head);
    }
    fn gradients(
        &self,
        d_rows: &mut Matrix<f32>,
        d_head: &mut Matrix<f32>,
        dz: &Matrix<f32>,
        rows: &Matrix<f32>,
    ) {
        if let Some(below) = &self.below {
            let left = Operand { matrix: dz, along: Along::Lines };
            multiply_operand(self.kernel, d_rows, false, left, below);
        }
        let left = Operand { matrix: dz, along: Along::Columns };
        let right = Operand { matrix: rows, along: Along::Columns }.right(self.kernel);
        multiply_operand(self.kernel, d_head, true, left, &right);
    }
}

/// `(largest logit, log Σ exp)` of one row, and the exponentials left in it.
#[inline(always)]
pub(super) fn softmax_row<T: Real>(row: &mut [T]) -> (T, T) {
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
    head: &impl HeadProducts<T>,
    targets: &[u32],
    scale: f64,
) -> f64 {
    assert!(hidden.rows == targets.len() && d_hidden.data.len() == hidden.data.len());
    let (scale, vocab, mut loss) = (T::from_f64(scale), head.vocab_size(), 0.0);
    let mut d_rows = Matrix { rows: 0, cols: head.width(), data: Vec::new() };
    for_each_chunk(hidden, head, |start, chunk, logits| {
        let targets = &targets[start..start + chunk.rows];
        loss += by_rows(logits, |at, rows| loss_rows(rows, &targets[at..], vocab, scale));
        add_gradients(start, chunk, logits, head, &mut d_rows, d_hidden, d_head);
    });
    loss
}

/// Σ of entropies, with the gradients of their sum times `scale`.
pub fn entropy_and_gradients<T: Real>(
    d_hidden: &mut Matrix<T>,
    d_head: &mut Matrix<T>,
    hidden: &Matrix<T>,
    head: &impl HeadProducts<T>,
    scale: f64,
) -> f64 {
    assert!(d_hidden.data.len() == hidden.data.len());
    let (scale, vocab, mut sum) = (T::from_f64(scale), head.vocab_size(), 0.0);
    let mut d_rows = Matrix { rows: 0, cols: head.width(), data: Vec::new() };
    for_each_chunk(hidden, head, |start, chunk, logits| {
        sum += by_rows(logits, |_, rows| entropy_rows(rows, vocab, scale));
        add_gradients(start, chunk, logits, head, &mut d_rows, d_hidden, d_head);
    });
    sum
}

/// `out += Σ_n (dz_nv · x_nc)²`: a product of squares.
pub fn squared_gradients<T: Real>(
    out: &mut Matrix<T>,
    hidden: &Matrix<T>,
    head: &impl HeadProducts<T>,
    targets: &[u32],
    scale: f64,
) {
    assert!(hidden.rows == targets.len() && (out.rows, out.cols) == (head.vocab_size(), head.width()));
    let (scale, vocab) = (T::from_f64(scale), head.vocab_size());
    let square = |matrix: &mut Matrix<T>| {
        vectorised(|| matrix.data.iter_mut().for_each(|x| *x = *x * *x));
    };
    for_each_chunk(hidden, head, |start, chunk, logits| {
        let targets = &targets[start..start + chunk.rows];
        by_rows(logits, |at, rows| loss_rows(rows, &targets[at..], vocab, scale));
        square(logits);
        square(chunk);
        product_in(Product::TN, out, true, logits, chunk);
    });
}

/// Hands on each chunk of rows: its first row, the rows, and their logits.
fn for_each_chunk<T: Real>(
    hidden: &Matrix<T>,
    head: &impl HeadProducts<T>,
    mut work: impl FnMut(usize, &mut Matrix<T>, &mut Matrix<T>),
) {
    let vocab = head.vocab_size();
    assert_eq!(hidden.cols, head.width());
    let mut logits = Matrix { rows: 0, cols: vocab, data: Vec::new() };
    for start in (0..hidden.rows).step_by(chunk_rows(LOGITS, vocab)) {
        let end = (start + chunk_rows(LOGITS, vocab)).min(hidden.rows);
        let mut chunk = rows_of(hidden, start, end);
        logits.rows = end - start;
        logits.data.resize((end - start) * vocab, T::ZERO);
        head.logits(&mut logits, &chunk);
        work(start, &mut chunk, &mut logits);
    }
}

/// Σ of what `task` makes of a few rows at a time, from row `at` of the chunk on.
fn by_rows<T: Real>(logits: &mut Matrix<T>, task: impl Fn(usize, &mut [T]) -> f64 + Sync) -> f64 {
    let pieces = logits.data.chunks_mut(ROWS * logits.cols).enumerate();
    map_items(pieces, |(i, rows)| task(i * ROWS, rows)).iter().sum()
}

/// `d_hidden = dz head`, `d_head += dzᵀ x` of one chunk.
fn add_gradients<T: Real>(
    start: usize,
    chunk: &Matrix<T>,
    d_logits: &Matrix<T>,
    head: &impl HeadProducts<T>,
    d_rows: &mut Matrix<T>,
    d_hidden: &mut Matrix<T>,
    d_head: &mut Matrix<T>,
) {
    let d = head.width();
    d_rows.rows = chunk.rows;
    d_rows.data.resize(chunk.rows * d, T::ZERO);
    head.gradients(d_rows, d_head, d_logits, chunk);
    d_hidden.data[start * d..][..chunk.rows * d].copy_from_slice(&d_rows.data);
}

kernel! {
    /// Turns the logits of a few rows into gradients; returns their summed loss.
    fn loss_rows<'a, T>(
        rows: &'a mut [T], targets: &'a [u32], vocab: usize, scale: T) -> f64 {
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
    /// Turns the logits of a few rows into gradients of their entropies; returns the sum of these. With e = z − max and
    /// p = exp(e)/s: log p = e − ln s, H = ln s − Σ p e, ∂H/∂z = −p (log p + H) = −p (e − Σ p e).
    fn entropy_rows<'a, T>(
        rows: &'a mut [T], vocab: usize, scale: T) -> f64 {
        let mut entropy = 0.0;
        let mut shifted = vec![T::ZERO; vocab];
        for row in rows.chunks_exact_mut(vocab) {
            shifted.copy_from_slice(row);
            let (largest, sum) = softmax_row(row);
            for e in shifted.iter_mut() {
                *e = *e - largest;
            }
            let mean = sum_by(vocab, |i| row[i] * shifted[i]) / sum;
            entropy += sum.to_f64().ln() - mean.to_f64();
            let factor = -scale / sum;
            for (p, &e) in row.iter_mut().zip(&shifted) {
                *p = *p * factor * (e - mean);
            }
        }
        entropy
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

/// Where there is a kernel: `super::blocked::head_scores`.
pub fn log_probabilities<T: Real>(hidden: &Matrix<T>, head: &Plain<'_, T>, targets: &[u32]) -> Vec<f64> {
    let vocab = head.vocab_size();
    assert!(hidden.rows == targets.len() && hidden.cols == head.width());
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
        head.logits(&mut logits, &chunk);
        let rows = logits.data.chunks_mut(vocab).zip(&targets[start..end]);
        all.extend(map_items(rows, |(row, &target)| log_probability(row, target)));
    }
    all
}
