//! The CPU backend: the readable specification that every other engine is proved against.
//!
//! Work is cut into pieces by shape alone and handed to the threads of a pool ([`crate::base::team`]); every sum has one
//! order. So results do not depend on the number of threads, to the bit. Products in f32 and bf16 are those of [`blocked`], in one
//! order of sums on every processor that has AVX2 or more; those in f64, of few rows, and on other processors, are those of the
//! `gemm` crates.
mod attention;
pub mod blocked;
mod cached_attention;
mod cross_entropy;
mod distillation;
mod elementwise;
mod norm;
mod packed_attention;
mod pointwise;
mod product;
pub mod real;
mod rope;
mod score;
#[cfg(test)]
mod tests;

use super::backend::{
    Accumulation, AdamwLeaf, AdamwStep, AttentionShape, Backend, CachedShape, ElementScore, Held, Margins,
    Norm, PackedShape, Pointwise, Positions, Product, Retained, RopeTable, ScoreLeaf,
};
use super::by_parts;
use super::distillation::{Distillation, TeacherHead};
use crate::base::precision::{CpuBf16, MOST_HELD_IN_F32};
use crate::base::team::{for_each_item, for_each_piece, map_items};
use blocked::Kernel;
use real::Real;
use std::any::{Any, TypeId};

/// A dense row-major matrix in host memory.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Matrix<T> {
    pub rows: usize,
    pub cols: usize,
    /// Row-major, `rows × cols` elements.
    pub data: Vec<T>,
}

impl<T> Matrix<T> {
    fn row(&self, r: usize) -> &[T] {
        &self.data[r * self.cols..(r + 1) * self.cols]
    }
}

/// The CPU engine over scalars `T` (f32 for work, f64 for checks).
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuBackend<T> {
    /// The kernel that was asked for, only where T is f32; without one, the working type's own.
    asked: Option<Kernel>,
    marker: std::marker::PhantomData<T>,
}

impl<T> CpuBackend<T> {
    pub const fn new() -> Self {
        Self { asked: None, marker: std::marker::PhantomData }
    }
}

impl CpuBackend<f32> {
    /// With products in bf16 that sum as `kind` does: by its instruction, or in its emulation with the same bits.
    pub fn in_bf16(kind: CpuBf16) -> Self {
        Self::with_kernel(Kernel::new(kind))
    }

    /// With products by `kernel`.
    pub fn with_kernel(kernel: Kernel) -> Self {
        Self { asked: Some(kernel), marker: std::marker::PhantomData }
    }
}

/// Rows of a product from which on its operands are packed: for fewer it costs less to read a weight where it stands. A step of
/// generation is below it, and scoring pads its passes to it. Products in bf16 are in f32 below it.
const LEAST_ROWS: usize = 16;

/// A matrix of an engine with a kernel, which is one of f32.
fn f32s<T: Real>(matrix: &Matrix<T>) -> &Matrix<f32> {
    let matrix: &dyn Any = matrix;
    matrix.downcast_ref().unwrap_or_else(|| unreachable!("kernels are of f32 alone"))
}

/// As [`f32s`].
fn f32s_mut<T: Real>(matrix: &mut Matrix<T>) -> &mut Matrix<f32> {
    let matrix: &mut dyn Any = matrix;
    matrix.downcast_mut().unwrap_or_else(|| unreachable!("kernels are of f32 alone"))
}

/// As [`f32s`].
fn f32s_of<'a, T: Real>(norm: &'a mut Norm<'_, Matrix<T>>) -> Norm<'a, Matrix<f32>> {
    let (out, inv_rms) = (f32s_mut(norm.out), f32s_mut(norm.inv_rms));
    Norm { out, inv_rms, weight: f32s(norm.weight), epsilon: norm.epsilon }
}

/// A table of f32; `None` where it is of another type.
fn f32_table<T: Real>(table: &RopeTable<Matrix<T>>) -> Option<&RopeTable<Matrix<f32>>> {
    let table: &dyn Any = table;
    table.downcast_ref()
}

/// The kernel of products in the working type, where there is one: for f32 on a processor with AVX2 or more.
fn f32_kernel<T: Real>() -> Option<Kernel> {
    if TypeId::of::<T>() == TypeId::of::<f32>() { Kernel::f32() } else { None }
}

/// A product in the working type.
fn product_in<T: Real>(
    product: Product,
    out: &mut Matrix<T>,
    accumulate: bool,
    a: &Matrix<T>,
    b: &Matrix<T>,
) {
    match f32_kernel::<T>() {
        Some(kernel) if out.rows >= LEAST_ROWS => {
            blocked::product::matmul(kernel, product, f32s_mut(out), accumulate, f32s(a), f32s(b));
        }
        _ => product::matmul(product, out, accumulate, a, b),
    }
}

impl<T: Real> CpuBackend<T> {
    /// The kernel of products, where they are not those of [`product`].
    fn kernel(&self) -> Option<Kernel> {
        self.asked.or_else(f32_kernel::<T>)
    }

    fn product(&self, product: Product, out: &mut Matrix<T>, accumulate: bool, a: &Matrix<T>, b: &Matrix<T>) {
        match self.kernel() {
            Some(kernel) if out.rows >= LEAST_ROWS => {
                blocked::product::matmul(kernel, product, f32s_mut(out), accumulate, f32s(a), f32s(b));
            }
            _ => product::matmul(product, out, accumulate, a, b),
        }
    }
}

impl<T: Real> Backend for CpuBackend<T> {
    type Scalar = T;
    type Tensor = Matrix<T>;
    type Sum = f64;
    type Past = usize;

    fn read_sum(&self, sum: &f64) -> f64 {
        *sum
    }

    fn zeros(&self, rows: usize, cols: usize) -> Matrix<T> {
        Matrix { rows, cols, data: vec![T::ZERO; rows * cols] }
    }

    fn from_host(&self, rows: usize, cols: usize, values: &[T]) -> Matrix<T> {
        assert_eq!(values.len(), rows * cols, "from_host: {rows}×{cols}");
        Matrix { rows, cols, data: values.to_vec() }
    }

    fn hold<'w>(&self, leaves: &[&'w Matrix<T>]) -> Held<'w> {
        let elements: usize = leaves.iter().map(|leaf| leaf.data.len()).sum();
        // In f32 each side that products take a weight from needs its memory once more.
        let in_f32 = || f32_kernel::<T>().filter(|_| elements <= MOST_HELD_IN_F32);
        Held::new(self.asked.or_else(in_f32).map(|kernel| -> Box<dyn Any + Send> {
            let leaves: Vec<&Matrix<f32>> = leaves.iter().map(|leaf| f32s(*leaf)).collect();
            Box::new(blocked::held::hold(kernel, &leaves))
        }))
    }

    fn to_host(&self, tensor: &Matrix<T>) -> Vec<T> {
        tensor.data.clone()
    }

    fn shape(&self, tensor: &Matrix<T>) -> [usize; 2] {
        [tensor.rows, tensor.cols]
    }

    fn reshape(&self, tensor: &mut Matrix<T>, rows: usize, cols: usize) {
        tensor.rows = rows;
        tensor.cols = cols;
        tensor.data.resize(rows * cols, T::ZERO);
    }

    fn fill_zero(&self, tensor: &mut Matrix<T>) {
        elementwise::fill_zero(&mut tensor.data);
    }

    fn copy(&self, out: &mut Matrix<T>, from: &Matrix<T>) {
        elementwise::copy(&mut out.data, &from.data);
    }

    fn accumulate(&self, alpha: f64, beta: f64, leaves: &mut [Accumulation<'_, Matrix<T>>]) {
        let (alpha, beta) = (T::from_f64(alpha), T::from_f64(beta));
        for Accumulation { x, sum, squares } in leaves {
            elementwise::axpby(alpha, &x.data, beta, &mut sum.data);
            if let Some(squares) = squares {
                elementwise::square_axpby(alpha, &x.data, beta, &mut squares.data);
            }
        }
    }

    fn sum_of_squares(&self, tensor: &Matrix<T>) -> f64 {
        elementwise::sum_of_squares(&tensor.data)
    }

    fn select(&self, tensor: &Matrix<T>, rows: Option<&[usize]>, cols: Option<&[usize]>) -> Matrix<T> {
        let all_rows: Vec<usize>;
        let rows = match rows {
            Some(rows) => rows,
            None => {
                all_rows = (0..tensor.rows).collect();
                &all_rows
            }
        };
        let num_cols = cols.map_or(tensor.cols, <[usize]>::len);
        let mut data = Vec::with_capacity(rows.len() * num_cols);
        if let Some(&[col]) = cols {
            data.extend(rows.iter().map(|r| tensor.data[r * tensor.cols + col]));
            return Matrix { rows: rows.len(), cols: 1, data };
        }
        for &r in rows {
            let row = tensor.row(r);
            match cols {
                Some(cols) => data.extend(cols.iter().map(|&c| row[c])),
                None => data.extend_from_slice(row),
            }
        }
        Matrix { rows: rows.len(), cols: num_cols, data }
    }

    fn retain(&self, tensor: &mut Matrix<T>, rows: Option<&[usize]>, cols: Option<&[usize]>) {
        elementwise::retain(tensor, rows, cols);
    }

    fn retain_all(&self, all: &mut [Retained<'_, Matrix<T>>]) {
        for_each_item(all.iter_mut(), |of| elementwise::retain(of.tensor, of.rows, of.cols));
    }

    fn add_row(&self, x: &mut Matrix<T>, row: &Matrix<T>) {
        elementwise::add_row(x, row);
    }

    fn spread_columns(&self, out: &mut Matrix<T>, x: &Matrix<T>, places: &[usize]) {
        elementwise::spread_columns(out, x, places);
    }

    fn gather_columns(&self, out: &mut Matrix<T>, x: &Matrix<T>, places: &[usize]) {
        elementwise::gather_columns(out, x, places);
    }

    fn add_column_sums(&self, out: &mut Matrix<T>, x: &Matrix<T>) {
        elementwise::add_column_sums(out, x);
    }

    fn pointwise(&self, operation: Pointwise, out: &mut Matrix<T>, a: &Matrix<T>, b: Option<&Matrix<T>>) {
        pointwise::pointwise(operation, out, a, b);
    }

    fn fold(&self, out: &mut Matrix<T>, x: &Matrix<T>, rows: usize, cols: usize) {
        pointwise::fold(out, x, rows, cols);
    }

    fn score_margins(&self, score: ElementScore, leaves: &[ScoreLeaf<'_, Matrix<T>>]) -> Vec<Margins> {
        map_items(leaves.iter(), |leaf| score::margins(score, leaf))
    }

    fn matmul(&self, product: Product, out: &mut Matrix<T>, accumulate: bool, a: &Matrix<T>, b: &Matrix<T>) {
        self.product(product, out, accumulate, a, b);
    }

    fn linear(&self, out: &mut Matrix<T>, x: &Matrix<T>, weight: &Matrix<T>, bias: Option<&Matrix<T>>) {
        self.product(Product::NT, out, false, x, weight);
        if let Some(bias) = bias {
            elementwise::add_row(out, bias);
        }
    }

    fn residual_linear(&self, out: &mut Matrix<T>, residual: &Matrix<T>, x: &Matrix<T>, weight: &Matrix<T>) {
        self.copy(out, residual);
        self.product(Product::NT, out, true, x, weight);
    }

    fn independent_rows(&self, rows: usize, cols: usize) -> usize {
        match self.kernel() {
            Some(_) => rows.max(LEAST_ROWS),
            None => product::independent_rows(rows, cols),
        }
    }

    fn embed(&self, out: &mut Matrix<T>, table: &Matrix<T>, tokens: &[u32]) {
        let d = table.cols;
        assert!(out.cols == d && out.rows == tokens.len());
        for (row, &token) in out.data.chunks_exact_mut(d).zip(tokens) {
            row.copy_from_slice(table.row(token as usize));
        }
    }

    fn embed_backward(&self, d_table: &mut Matrix<T>, d_out: &Matrix<T>, tokens: &[u32]) {
        elementwise::embed_backward(d_table, d_out, tokens);
    }

    fn rmsnorm(
        &self,
        out: &mut Matrix<T>,
        inv_rms: &mut Matrix<T>,
        x: &Matrix<T>,
        weight: &Matrix<T>,
        epsilon: f64,
    ) {
        norm::forward(out, inv_rms, x, weight, epsilon);
    }

    fn rmsnorm_backward(
        &self,
        d_x: &mut Matrix<T>,
        d_weight: &mut Matrix<T>,
        d_out: &Matrix<T>,
        x: &Matrix<T>,
        weight: &Matrix<T>,
        inv_rms: &Matrix<T>,
    ) {
        norm::backward(d_x, d_weight, d_out, x, weight, inv_rms);
    }

    fn residual_norm(
        &self,
        out: &mut Matrix<T>,
        residual: Option<&Matrix<T>>,
        x: &Matrix<T>,
        weight: &Matrix<T>,
        mut norm: Norm<'_, Matrix<T>>,
    ) {
        let done = self.kernel().filter(|_| x.rows >= LEAST_ROWS).is_some_and(|kernel| {
            let (out, residual, norm) = (f32s_mut(&mut *out), residual.map(f32s), f32s_of(&mut norm));
            blocked::residual_norm::forward(kernel, out, residual, f32s(x), f32s(weight), norm)
        });
        if !done {
            by_parts::residual_norm_by_parts(self, out, residual, x, weight, norm);
        }
    }

    fn rope_table(&self, context_length: usize, head_dim: usize, theta: f64) -> RopeTable<Matrix<T>> {
        rope::table(context_length, head_dim, theta)
    }

    fn rope(
        &self,
        x: &mut Matrix<T>,
        table: &RopeTable<Matrix<T>>,
        context_length: usize,
        head_dim: usize,
        inverse: bool,
    ) {
        rope::rotate(x, table, context_length, head_dim, inverse);
    }

    fn attention_inputs(
        &self,
        [q, k, v]: [&mut Matrix<T>; 3],
        x: &Matrix<T>,
        weights: [&Matrix<T>; 3],
        positions: Positions<'_, Matrix<T>>,
    ) {
        let table = f32_table(positions.table);
        let done =
            self.kernel().filter(|_| x.rows >= LEAST_ROWS).zip(table).is_some_and(|(kernel, table)| {
                let Positions { context_length, head_dim, .. } = positions;
                let positions = Positions { table, context_length, head_dim };
                let parts = [&mut *q, &mut *k, &mut *v].map(f32s_mut);
                blocked::attention_inputs::forward(kernel, parts, f32s(x), weights.map(f32s), positions)
            });
        if !done {
            by_parts::attention_inputs_by_parts(self, [q, k, v], x, weights, positions);
        }
    }

    fn attention_inputs_backward(
        &self,
        d_x: &mut Matrix<T>,
        [d_q, d_k, d_v]: [&mut Matrix<T>; 3],
        weights: [&Matrix<T>; 3],
        positions: Positions<'_, Matrix<T>>,
    ) {
        let table = f32_table(positions.table);
        let done =
            self.kernel().filter(|_| d_x.rows >= LEAST_ROWS).zip(table).is_some_and(|(kernel, table)| {
                let Positions { context_length, head_dim, .. } = positions;
                let positions = Positions { table, context_length, head_dim };
                let parts = [&mut *d_q, &mut *d_k, &mut *d_v].map(f32s_mut);
                blocked::attention_inputs::backward(
                    kernel,
                    f32s_mut(d_x),
                    parts,
                    weights.map(f32s),
                    positions,
                )
            });
        if !done {
            by_parts::attention_inputs_backward_by_parts(self, d_x, [d_q, d_k, d_v], weights, positions);
        }
    }

    fn attention(
        &self,
        shape: AttentionShape,
        out: &mut Matrix<T>,
        log_sum_exp: &mut Matrix<T>,
        q: &Matrix<T>,
        k: &Matrix<T>,
        v: &Matrix<T>,
    ) {
        match self.kernel() {
            None => attention::forward(shape, out, log_sum_exp, q, k, v),
            Some(kernel) => {
                let (out, log_sum_exp) = (f32s_mut(out), f32s_mut(log_sum_exp));
                blocked::attention::forward(kernel, shape, out, log_sum_exp, f32s(q), f32s(k), f32s(v));
            }
        }
    }

    fn attention_backward(
        &self,
        shape: AttentionShape,
        d_q: &mut Matrix<T>,
        d_k: &mut Matrix<T>,
        d_v: &mut Matrix<T>,
        d_out: &Matrix<T>,
        out: &Matrix<T>,
        log_sum_exp: &Matrix<T>,
        q: &Matrix<T>,
        k: &Matrix<T>,
        v: &Matrix<T>,
    ) {
        match self.kernel() {
            None => {
                let saved = attention::Saved { out, log_sum_exp, q, k, v };
                attention::backward(shape, d_q, d_k, d_v, d_out, saved);
            }
            Some(kernel) => {
                let [out, log_sum_exp, q, k, v] = [out, log_sum_exp, q, k, v].map(f32s);
                let saved = attention::Saved { out, log_sum_exp, q, k, v };
                blocked::attention::backward(
                    kernel,
                    shape,
                    [d_q, d_k, d_v].map(f32s_mut),
                    f32s(d_out),
                    saved,
                );
            }
        }
    }

    fn packed_attention(
        &self,
        shape: PackedShape,
        out: &mut Matrix<T>,
        q: &Matrix<T>,
        k: &Matrix<T>,
        v: &Matrix<T>,
    ) {
        match self.kernel() {
            None => packed_attention::forward(shape, out, q, k, v),
            Some(kernel) => {
                let [q, k, v] = [q, k, v].map(f32s);
                blocked::packed_attention::forward(kernel, shape, f32s_mut(out), q, k, v);
            }
        }
    }

    fn past(&self, tokens: usize) -> usize {
        tokens
    }

    fn extend_cache(
        &self,
        past: &usize,
        table: &RopeTable<Matrix<T>>,
        head_dim: usize,
        q: &mut Matrix<T>,
        [k, v]: [&Matrix<T>; 2],
        [keys, values]: [&mut Matrix<T>; 2],
    ) {
        rope::rotate_from(&mut q.data, q.cols, table, *past, head_dim);
        let [keys, _] = [(keys, k), (values, v)].map(|(cache, rows)| {
            assert!(cache.cols == rows.cols && rows.rows == q.rows, "{} rows, {} queries", rows.rows, q.rows);
            let new = &mut cache.data[past * cache.cols..][..rows.data.len()];
            new.copy_from_slice(&rows.data);
            new
        });
        rope::rotate_from(keys, k.cols, table, *past, head_dim);
    }

    fn cached_attention(
        &self,
        shape: CachedShape,
        past: &usize,
        out: &mut Matrix<T>,
        q: &Matrix<T>,
        keys: &Matrix<T>,
        values: &Matrix<T>,
    ) {
        cached_attention::forward(shape, *past, out, q, keys, values);
    }

    fn feed_forward(
        &self,
        out: &mut Matrix<T>,
        residual: Option<&Matrix<T>>,
        x: &Matrix<T>,
        [gate, up, hidden]: [&mut Matrix<T>; 3],
        weights: [&Matrix<T>; 3],
        mut norm: Option<Norm<'_, Matrix<T>>>,
    ) {
        let done = self.kernel().filter(|_| x.rows >= LEAST_ROWS).is_some_and(|kernel| {
            let between = [&mut *gate, &mut *up, &mut *hidden].map(f32s_mut);
            let (residual, weights) = (residual.map(f32s), weights.map(f32s));
            let (out, norm) = (f32s_mut(&mut *out), norm.as_mut().map(f32s_of));
            blocked::feed_forward::forward(kernel, out, residual, f32s(x), between, weights, norm)
        });
        if !done {
            by_parts::feed_forward_by_parts(self, out, residual, x, [gate, up, hidden], weights, norm);
        }
    }

    fn feed_forward_backward(
        &self,
        d_x: &mut Matrix<T>,
        (d_hidden, is_kept): (&mut Matrix<T>, bool),
        [gate, up]: [&mut Matrix<T>; 2],
        d_out: &Matrix<T>,
        weights: [&Matrix<T>; 3],
    ) {
        let done = self.kernel().filter(|_| d_out.rows >= LEAST_ROWS).is_some_and(|kernel| {
            let [d_x, d_hidden, gate, up] = [&mut *d_x, &mut *d_hidden, &mut *gate, &mut *up].map(f32s_mut);
            let (d_out, weights) = (f32s(d_out), weights.map(f32s));
            blocked::feed_forward::backward(kernel, d_x, (d_hidden, is_kept), [gate, up], d_out, weights)
        });
        if !done {
            by_parts::feed_forward_backward_by_parts(self, d_x, d_hidden, [gate, up], d_out, weights);
        }
    }

    fn swiglu(&self, out: &mut Matrix<T>, gate: &Matrix<T>, up: &Matrix<T>) {
        elementwise::swiglu(&mut out.data, &gate.data, &up.data);
    }

    fn swiglu_backward(&self, gate: &mut Matrix<T>, up: &mut Matrix<T>, d_out: &Matrix<T>) {
        elementwise::swiglu_backward(&mut gate.data, &mut up.data, &d_out.data);
    }

    fn head_cross_entropy(
        &self,
        d_hidden: &mut Matrix<T>,
        d_head: &mut Matrix<T>,
        hidden: &Matrix<T>,
        head: &Matrix<T>,
        targets: &[u32],
        scale: f64,
    ) -> f64 {
        match self.kernel() {
            None => {
                let head = cross_entropy::Plain(head);
                cross_entropy::loss_and_gradients(d_hidden, d_head, hidden, &head, targets, scale)
            }
            Some(kernel) => {
                let head = cross_entropy::Packed::new(kernel, f32s(head), true);
                let (d_hidden, d_head) = (f32s_mut(d_hidden), f32s_mut(d_head));
                cross_entropy::loss_and_gradients(d_hidden, d_head, f32s(hidden), &head, targets, scale)
            }
        }
    }

    fn head_squared_gradients(
        &self,
        out: &mut Matrix<T>,
        hidden: &Matrix<T>,
        head: &Matrix<T>,
        targets: &[u32],
        scale: f64,
    ) {
        match self.kernel() {
            None => {
                let head = cross_entropy::Plain(head);
                cross_entropy::squared_gradients(out, hidden, &head, targets, scale);
            }
            Some(kernel) => {
                let head = cross_entropy::Packed::new(kernel, f32s(head), false);
                cross_entropy::squared_gradients(f32s_mut(out), f32s(hidden), &head, targets, scale);
            }
        }
    }

    fn head_entropy(
        &self,
        d_hidden: &mut Matrix<T>,
        d_head: &mut Matrix<T>,
        hidden: &Matrix<T>,
        head: &Matrix<T>,
        scale: f64,
    ) -> f64 {
        match self.kernel() {
            None => {
                let head = cross_entropy::Plain(head);
                cross_entropy::entropy_and_gradients(d_hidden, d_head, hidden, &head, scale)
            }
            Some(kernel) => {
                let head = cross_entropy::Packed::new(kernel, f32s(head), true);
                let (d_hidden, d_head) = (f32s_mut(d_hidden), f32s_mut(d_head));
                cross_entropy::entropy_and_gradients(d_hidden, d_head, f32s(hidden), &head, scale)
            }
        }
    }

    fn head_distillation(
        &self,
        d_hidden: &mut Matrix<T>,
        d_head: &mut Matrix<T>,
        hidden: &Matrix<T>,
        head: &Matrix<T>,
        teacher: TeacherHead<'_, Matrix<T>>,
        targets: &[u32],
        scale: f64,
        of: Distillation,
    ) -> f64 {
        distillation::loss_and_gradients(d_hidden, d_head, hidden, head, teacher, targets, scale, of)
    }

    fn head_log_probabilities(&self, hidden: &Matrix<T>, head: &Matrix<T>, targets: &[u32]) -> Vec<f64> {
        match self.kernel() {
            None => cross_entropy::log_probabilities(hidden, &cross_entropy::Plain(head), targets),
            Some(kernel) => {
                blocked::head_scores::log_probabilities(kernel, f32s(hidden), f32s(head), targets)
            }
        }
    }

    fn adamw(
        &self,
        step: AdamwStep,
        weight: &mut Matrix<T>,
        grad: &Matrix<T>,
        m: &mut Matrix<T>,
        v: &mut Matrix<T>,
    ) {
        elementwise::adamw(step, &mut weight.data, &grad.data, &mut m.data, &mut v.data);
    }

    fn clipped_adamw(&self, step: AdamwStep, clip_norm: f64, leaves: &mut [AdamwLeaf<'_, Matrix<T>>]) -> f64 {
        let squared = leaves.iter().map(|leaf| self.sum_of_squares(leaf.grad)).sum::<f64>();
        let norm = squared.sqrt();
        let clip = if clip_norm > 0.0 && norm > clip_norm { clip_norm / norm } else { 1.0 };
        let step = AdamwStep { gradient_scale: step.gradient_scale * clip, ..step };
        for AdamwLeaf { weight, grad, m, v, decays } in leaves {
            let weight_decay = if *decays { step.weight_decay } else { 0.0 };
            self.adamw(AdamwStep { weight_decay, ..step }, weight, grad, m, v);
        }
        squared
    }
}
