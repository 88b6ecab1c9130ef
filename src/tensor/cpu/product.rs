//! Matrix products by the kernels of the `gemm` crates, split over threads along a fixed grid.
//!
//! `gemm` may choose its blocking, and so its order of summation, by the size of a call. So the output is
//! cut by its shape alone, never by the number of threads, and each piece is a single-threaded call: one
//! thread and many give the same bits.
use super::Matrix;
use super::real::Real;
use crate::tensor::Product;

/// A raw pointer that threads may share; the pieces written through it are disjoint.
#[derive(Clone, Copy)]
pub struct Shared<T>(pub *mut T);
// SAFETY: only used for writes to disjoint elements, by construction of each caller.
unsafe impl<T> Send for Shared<T> {}
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// The pointer; a method, so that closures capture the wrapper and not the bare pointer.
    pub fn get(self) -> *mut T {
        self.0
    }
}

/// A strided view of a matrix for [`small`]: element (i, j) stands at `data + i·rows + j·cols`.
#[derive(Clone, Copy)]
pub struct View<T> {
    pub data: *const T,
    pub row_stride: isize,
    pub col_stride: isize,
}

// SAFETY: a view is only read through, and its matrix outlives the call that takes it.
unsafe impl<T: Sync> Send for View<T> {}
unsafe impl<T: Sync> Sync for View<T> {}

impl<T> View<T> {
    pub fn transposed(self) -> Self {
        View { data: self.data, row_stride: self.col_stride, col_stride: self.row_stride }
    }
}

/// `C (m × n, row stride given) ← A (m × k) B (k × n)`, or `C ← C + A B`, on the calling thread.
///
/// # Safety
/// All elements named by the shapes and strides must be valid, and those of C not otherwise borrowed.
pub unsafe fn small<T: Real>(
    (m, n, k): (usize, usize, usize),
    c: *mut T,
    c_row_stride: isize,
    accumulate: bool,
    a: View<T>,
    b: View<T>,
) {
    if m == 0 || n == 0 {
        return;
    }
    // The kernels write columns, so of a C that is stored by rows they compute Cᵀ = Bᵀ Aᵀ.
    let by_rows = c_row_stride > 1;
    let (m, n, a, b) = if by_rows { (n, m, b.transposed(), a.transposed()) } else { (m, n, a, b) };
    let (col_stride, row_stride) = if by_rows { (c_row_stride, 1) } else { (1, c_row_stride) };
    // SAFETY: the caller's contract.
    unsafe {
        T::gemm()(
            m,
            n,
            k,
            c,
            col_stride,
            row_stride,
            accumulate,
            a.data,
            a.col_stride,
            a.row_stride,
            b.data,
            b.col_stride,
            b.row_stride,
            T::ONE,
            T::ONE,
            false,
            false,
            false,
            gemm_common::Parallelism::None,
        );
    }
}

/// Least number of rows (or columns) of one piece, and largest number of pieces.
const LEAST_PIECE: usize = 128;
const MOST_PIECES: usize = 8;

/// `C ← op(A) op(B)`, or `C ← C + op(A) op(B)`.
pub fn matmul<T: Real>(product: Product, c: &mut Matrix<T>, accumulate: bool, a: &Matrix<T>, b: &Matrix<T>) {
    let view = |m: &Matrix<T>| View { data: m.data.as_ptr(), row_stride: m.cols as isize, col_stride: 1 };
    let (a_view, b_view, m, k, n, k_b) = match product {
        Product::NT => (view(a), view(b).transposed(), a.rows, a.cols, b.rows, b.cols),
        Product::NN => (view(a), view(b), a.rows, a.cols, b.cols, b.rows),
        Product::TN => (view(a).transposed(), view(b), a.cols, a.rows, b.cols, b.rows),
    };
    assert!(
        k == k_b && c.rows == m && c.cols == n,
        "matmul {product:?}: {}×{} and {}×{} into {}×{}",
        a.rows,
        a.cols,
        b.rows,
        b.cols,
        c.rows,
        c.cols
    );
    // Cut along the longer side of C.
    let by_rows = m >= n;
    let side = m.max(n);
    let pieces = (side / LEAST_PIECE).clamp(1, MOST_PIECES);
    let piece = side.div_ceil(pieces);
    let (c_pointer, c_stride) = (Shared(c.data.as_mut_ptr()), c.cols);
    let run = |index: usize| {
        let start = index * piece;
        let end = (start + piece).min(side);
        if start >= end {
            return;
        }
        // SAFETY: pieces are disjoint ranges of rows or columns of C, within the asserted shapes.
        unsafe {
            if by_rows {
                let a_piece = View { data: a_view.data.offset(start as isize * a_view.row_stride), ..a_view };
                let c_piece = c_pointer.get().add(start * c_stride);
                small((end - start, n, k), c_piece, c_stride as isize, accumulate, a_piece, b_view);
            } else {
                let b_piece = View { data: b_view.data.offset(start as isize * b_view.col_stride), ..b_view };
                let c_piece = c_pointer.get().add(start);
                small((m, end - start, k), c_piece, c_stride as isize, accumulate, a_view, b_piece);
            }
        }
    };
    super::for_each_piece(pieces, run);
}

/// As [`crate::tensor::Backend::independent_rows`]: a fact of `gemm` 0.19, not a promise of it, held by a test below.
///
/// Each path of `gemm` sums a row in an order of its own, and chooses by the size of a call: 256 elements or fewer, one
/// row or column, and at most 64 rows and columns are paths apart. Pieces of [`matmul`] are calls: with three columns
/// or more each has 122 rows or columns at least, or is the whole product.
pub fn independent_rows(rows: usize, cols: usize) -> usize {
    let least = match cols {
        0..=2 => 2112,
        3..=64 => 257usize.div_ceil(cols).max(65),
        _ => 257usize.div_ceil(cols).max(3),
    };
    rows.max(least)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::stream;
    use rand::RngExt;

    fn random(rows: usize, cols: usize, name: &str) -> Matrix<f32> {
        let mut rng = stream(3, name);
        Matrix { rows, cols, data: (0..rows * cols).map(|_| rng.random_range(-0.5f32..0.5)).collect() }
    }

    /// From `independent_rows` on, every row of x·Wᵀ is the same to the bit whatever rows stand beside it.
    #[test]
    fn rows_of_padded_products_do_not_depend_on_each_other() {
        const MOST: usize = 2400;
        for (n, k) in [
            (1536, 576),
            (576, 1536),
            (192, 576),
            (512, 64),
            (100, 300),
            (127, 700),
            (65, 51),
            (64, 1536),
            (37, 900),
            (24, 64),
            (3, 1100),
            (2, 40),
            (1, 64),
            (1, 1),
        ] {
            let (weight, inputs) = (random(n, k, "weight"), random(MOST, k, "inputs"));
            let mut whole = random(MOST, n, "out");
            matmul(Product::NT, &mut whole, false, &inputs, &weight);
            let least = independent_rows(1, n);
            for rows in (least..least + 6).chain([64, 65, 127, 128, 129, 255, 256, 257, 650, 1025, 2300]) {
                for start in [0, 13, 50] {
                    let rows = independent_rows(rows, n);
                    let data = inputs.data[start * k..(start + rows) * k].to_vec();
                    let mut out = random(rows, n, "out");
                    matmul(Product::NT, &mut out, false, &Matrix { rows, cols: k, data }, &weight);
                    let same = out.data == whole.data[start * n..(start + rows) * n];
                    assert!(same, "{rows} rows from {start}, {n} × {k}");
                }
            }
        }
    }
}
