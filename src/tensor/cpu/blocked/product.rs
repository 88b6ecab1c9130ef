//! Products of packed operands, and of matrices.
use super::kernel::{Kernel, TILE};
use super::pack::{Along, Left, Right, Source};
use super::reach::Reach;
use super::{VECTOR, held};
use crate::tensor::Product;
use crate::tensor::cpu::product::Shared;
use crate::tensor::cpu::real::vectorised;
use crate::tensor::cpu::{Matrix, for_each_piece};
use std::mem::MaybeUninit;
use std::ops::Range;

/// Rows and (about) columns of one task, whose parts of the operands stay in the second cache: the first that make
/// [`ENOUGH`] tasks, else the last. The rows are multiples of the rows of all tiles but those of AMX.
const TASKS: [(usize, usize); 5] = [(96, 256), (48, 256), (48, 128), (24, 128), (24, 64)];
/// Tasks that two threads and more share evenly.
const ENOUGH: usize = 12;
/// Multiplications below which a product is not worth handing to other threads.
pub(super) const LITTLE: usize = 1 << 19;

/// Where a product goes: rows `stride` elements apart. Some panels alone may have a target that begins with their columns, and whose
/// `data` stands before it by the columns before these.
#[derive(Clone, Copy)]
pub struct Target {
    pub data: Shared<f32>,
    pub stride: usize,
    /// Whether the product is added to what stands there.
    pub accumulate: bool,
}

/// Words of a right operand that stay in the first cache beside the rows of a tile.
const FEW_WORDS: usize = 4096;

/// `C ← A B`, or `C ← C + A B`, for some rows of A and some panels of B, on the calling thread, over the first `words` words
/// and of the last panel up to column `columns`, as far as the mask of `reach` goes; row 0 of the target, and of the mask, is
/// the first of `rows`.
///
/// # Safety
/// Within [`Kernel::with_tiles`]. The target is valid for `rows` and all `columns`, and nobody else uses this part of it;
/// `rows` begins at a multiple of the panel's tile where the left operand stands in panels.
pub unsafe fn multiply(
    kernel: Kernel,
    (left, rows): (&Left, Range<usize>),
    (right, panels): (&Right, Range<usize>),
    (words, columns): (usize, usize),
    target: Target,
    reach: Reach,
) {
    debug_assert!(rows.end <= left.rows && words <= left.words && words <= right.words);
    debug_assert!(columns <= right.padded_columns());
    let mut tile = Tile([const { MaybeUninit::uninit() }; TILE]);
    for first in (0..words).step_by(kernel.chain_words()) {
        let chain = first..words.min(first + kernel.chain_words());
        let mut one = |panel: usize, row: usize| {
            let start = panel * right.panel_columns();
            let vectors = right.panel_vectors(panel);
            let width = vectors * VECTOR;
            let step = kernel.tile_rows(vectors);
            let height = step.min(rows.end - row);
            let place = row - rows.start;
            let own = place..place + height;
            if start >= reach.columns(&own) {
                return;
            }
            let read = reach.words(kernel, &own, chain.clone());
            // A chain of zeros, where nothing stands yet, has to be written.
            let adds = target.accumulate || first > 0;
            if read.is_empty() && adds {
                return;
            }
            let used = width.min(columns.saturating_sub(start));
            // SAFETY: the caller's contract.
            unsafe {
                let out = target.data.get().wrapping_add(place * target.stride + start);
                if read.is_empty() {
                    (0..height).for_each(|r| out.add(r * target.stride).write_bytes(0, used));
                    return;
                }
                let from = left.tile(row, read.start);
                let data = right.panel(panel, first).add((read.start - first) * width);
                // Each tile of the panel asks for its part of the next one.
                let wanted = right
                    .panel(panel, first)
                    .wrapping_add(chain.len() * width + place / step * kernel.words_wanted(read.len()));
                let is_whole = used == width && height == step;
                if is_whole && !adds {
                    kernel.tile(read.len(), from, data, vectors, (out, target.stride), wanted);
                } else if !(is_whole
                    && kernel.added_tile(read.len(), from, data, vectors, (out, target.stride), wanted))
                {
                    let sums = tile.0.as_mut_ptr().cast::<f32>();
                    kernel.tile(read.len(), from, data, vectors, (sums, width), wanted);
                    let sums = std::slice::from_raw_parts(sums, height * width);
                    vectorised(|| {
                        for (r, line) in sums.chunks_exact(width).enumerate() {
                            let out = std::slice::from_raw_parts_mut(out.add(r * target.stride), used);
                            put(out, line, adds);
                        }
                    });
                }
            }
        };
        let rows_of = |panel| kernel.tile_rows(right.panel_vectors(panel));
        let is_small = chain.len() * (panels.len() * right.panel_columns()).min(columns) <= FEW_WORDS;
        // A right operand that stays in the first cache sees the left one go by once, else its panels do one by one.
        if is_small && !panels.is_empty() && rows_of(panels.start) == rows_of(panels.end - 1) {
            for row in rows.clone().step_by(rows_of(panels.start)) {
                panels.clone().for_each(|panel| one(panel, row));
            }
        } else {
            for panel in panels.clone() {
                rows.clone().step_by(rows_of(panel)).for_each(|row| one(panel, row));
            }
        }
    }
    if words == 0 && !target.accumulate {
        for r in 0..rows.len() {
            let start = panels.start * right.panel_columns();
            let len = (panels.end * right.panel_columns()).min(columns).saturating_sub(start);
            // SAFETY: the caller's contract.
            unsafe { target.data.get().wrapping_add(r * target.stride + start).write_bytes(0, len) };
        }
    }
}

#[repr(align(64))]
struct Tile([MaybeUninit<f32>; TILE]);

/// `out ← line`, or `out ← out + line`.
#[inline(always)]
fn put(out: &mut [f32], line: &[f32], adds: bool) {
    if adds {
        for (out, &x) in out.iter_mut().zip(line) {
            *out += x;
        }
    } else {
        for (out, &x) in out.iter_mut().zip(line) {
            *out = x;
        }
    }
}

/// A matrix as an operand, and the side that k runs along.
#[derive(Clone, Copy)]
pub struct Operand<'a> {
    pub matrix: &'a Matrix<f32>,
    pub along: Along,
}

impl Operand<'_> {
    fn source(&self) -> Source {
        let Matrix { rows, cols, data } = self.matrix;
        Source { data: data.as_ptr(), stride: *cols, lines: *rows, width: *cols }
    }

    /// `[rows or columns of the product, k]`
    fn shape(&self) -> [usize; 2] {
        match self.along {
            Along::Lines => [self.matrix.rows, self.matrix.cols],
            Along::Columns => [self.matrix.cols, self.matrix.rows],
        }
    }

    /// The rows or columns `part` of the product.
    fn part(&self, part: Range<usize>) -> Source {
        let source = self.source();
        match self.along {
            Along::Lines => source.lines(part),
            Along::Columns => source.columns(part),
        }
    }

    /// The left operand of products.
    pub fn left(&self, kernel: Kernel) -> Left {
        let mut left = Left::new(kernel, self.along, self.source());
        let target = left.target();
        // SAFETY: every piece is packed once.
        pieces(left.pieces(), self.matrix.data.len(), |piece| unsafe { left.pack(target, piece) });
        left
    }

    /// The right operand of products.
    pub fn right(&self, kernel: Kernel) -> Right {
        let [columns, k] = self.shape();
        let mut right = Right::new(kernel, self.along, columns, k);
        let target = right.target();
        // SAFETY: every piece is packed once.
        pieces(right.pieces(), columns * k, |piece| unsafe { right.pack(target, self.source(), piece) });
        right
    }
}

/// Elements below which packing stays on the calling thread.
pub(super) const LITTLE_PACKING: usize = 1 << 15;

fn pieces(count: usize, elements: usize, pack: impl Fn(usize) + Sync + Send) {
    if elements <= LITTLE_PACKING { (0..count).for_each(pack) } else { for_each_piece(count, pack) }
}

/// `C ← A B`, or `C ← C + A B`, of packed operands, on all threads.
fn multiply_all(kernel: Kernel, c: &mut Matrix<f32>, accumulate: bool, left: &Left, right: &Right) {
    let (m, n, words) = (left.rows, right.columns, left.words);
    assert!(c.rows == m && c.cols == n && words == right.words, "{m}×{n} into {}×{}", c.rows, c.cols);
    let target = Target { data: Shared(c.data.as_mut_ptr()), stride: n, accumulate };
    let cut = TASKS.map(|(rows, columns)| {
        let rows = rows.next_multiple_of(if kernel.reads_panels() { 1 } else { kernel.tile_rows(1) });
        let panels = (columns / right.panel_columns()).max(1);
        (rows, panels, m.div_ceil(rows), right.panels().div_ceil(panels))
    });
    let is_enough = |&(_, _, rows, columns): &(usize, usize, usize, usize)| rows * columns >= ENOUGH;
    let (rows_each, panels_each, row_tasks, column_tasks) =
        cut.into_iter().find(is_enough).unwrap_or(cut[cut.len() - 1]);
    let task = |task: usize| {
        let (row_task, column_task) = (task % row_tasks, task / row_tasks);
        let rows = row_task * rows_each..((row_task + 1) * rows_each).min(m);
        let panels = column_task * panels_each..((column_task + 1) * panels_each).min(right.panels());
        // SAFETY: tasks are disjoint parts of C.
        unsafe {
            let data = Shared(target.data.get().add(rows.start * n));
            let target = Target { data, ..target };
            kernel.with_tiles(|| {
                multiply(kernel, (left, rows), (right, panels), (words, n), target, Reach::All)
            });
        }
    };
    if 2 * m * n * words <= LITTLE {
        (0..row_tasks * column_tasks).for_each(task);
    } else {
        for_each_piece(row_tasks * column_tasks, task);
    }
}

/// Rows of a task that packs its own, the best first: beside them panels of the right operand stay in the second cache. Tiles
/// have 6 or 8 rows, those of AMX 32; where the rows are columns of the source, tasks share no cache line of it.
pub(super) fn own_rows(kernel: Kernel, along: Along) -> &'static [usize] {
    match along {
        _ if !kernel.reads_panels() => &[64, 96, 32],
        Along::Lines => &[72, 64, 48],
        Along::Columns => &[96, 64, 48],
    }
}

/// By how much the thread with the most may have more than its share.
const UNEVEN: f64 = 1.06;
/// Columns of a product per row from which on its right operand, which every task reads whole, is the larger one by too much.
const WIDE: usize = 3;

/// Whether threads have about as much as each other of `all`, handed out by `each`, neighbours to the same thread.
pub(super) fn is_even(all: usize, each: usize) -> bool {
    let threads = rayon::current_num_threads();
    let tasks = all.div_ceil(each);
    let before = |thread: usize| (thread * tasks / threads * each).min(all);
    let most = (0..threads).map(|thread| before(thread + 1) - before(thread)).max().unwrap_or(all);
    (most * threads) as f64 <= UNEVEN * all as f64
}

/// Rows of each task of `rows` in all, if they can be cut evenly.
pub(super) fn even_rows(kernel: Kernel, along: Along, rows: usize) -> Option<usize> {
    own_rows(kernel, along).iter().copied().find(|each| is_even(rows, *each))
}

/// Rows of each task, where tasks that pack their own rows of the left operand are the better cut.
fn rows_each(kernel: Kernel, a: &Operand<'_>, n: usize) -> Option<usize> {
    let m = a.shape()[0];
    let is_read_in_place = kernel.kind.elements() == 1 && a.along == Along::Lines;
    if is_read_in_place || n > WIDE * m { None } else { even_rows(kernel, a.along, m) }
}

/// `C ← A B`, or `C ← C + A B`, on all threads: rows of A are packed by the thread that multiplies them where that is the better
/// cut, so that none has to fetch what another has packed.
pub fn multiply_operand(
    kernel: Kernel,
    c: &mut Matrix<f32>,
    accumulate: bool,
    a: Operand<'_>,
    right: &Right,
) {
    let Some(each) = rows_each(kernel, &a, right.columns) else {
        return multiply_all(kernel, c, accumulate, &a.left(kernel), right);
    };
    let ([m, k], n) = (a.shape(), right.columns);
    assert!(
        c.rows == m && c.cols == n && kernel.padded_words(k) == right.words,
        "{m}×{n} into {}×{}",
        c.rows,
        c.cols
    );
    let data = Shared(c.data.as_mut_ptr());
    let task = |task: usize| {
        let rows = task * each..((task + 1) * each).min(m);
        let left = Left::of(kernel, a.along, a.part(rows.clone()));
        // SAFETY: tasks are disjoint rows of C.
        unsafe {
            let data = Shared(data.get().add(rows.start * n));
            let target = Target { data, stride: n, accumulate };
            let (rows, panels, shape) = (0..rows.len(), 0..right.panels(), (left.words, n));
            kernel.with_tiles(|| multiply(kernel, (&left, rows), (right, panels), shape, target, Reach::All));
        }
    };
    let tasks = m.div_ceil(each);
    if 2 * m * n * right.words <= LITTLE { (0..tasks).for_each(task) } else { for_each_piece(tasks, task) }
}

/// As [`crate::tensor::Backend::matmul`].
pub fn matmul(
    kernel: Kernel,
    product: Product,
    c: &mut Matrix<f32>,
    accumulate: bool,
    a: &Matrix<f32>,
    b: &Matrix<f32>,
) {
    let (along_a, along_b) = match product {
        Product::NT => (Along::Lines, Along::Lines),
        Product::NN => (Along::Lines, Along::Columns),
        Product::TN => (Along::Columns, Along::Columns),
    };
    let (a, b) = (Operand { matrix: a, along: along_a }, Operand { matrix: b, along: along_b });
    assert!(
        a.shape()[1] == b.shape()[1] && c.rows == a.shape()[0] && c.cols == b.shape()[0],
        "matmul {product:?}: {:?} and {:?} into {}×{}",
        a.shape(),
        b.shape(),
        c.rows,
        c.cols
    );
    multiply_operand(kernel, c, accumulate, a, &held::right(kernel, b.matrix, b.along));
}
