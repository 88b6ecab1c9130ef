//! What a causal mask leaves of a product: tiles of scores beyond the diagonal are not multiplied, and sums over scores leave out
//! the zeros there.
//!
//! ```text
//! S = Q Kᵀ    row r has columns 0 … o + r           ColumnsTo
//! P V, dS K   row r has elements 0 … o + r along k  ElementsTo
//! dSᵀ Q       row r has elements r − o … along k    ElementsFrom
//! ```
//!
//! with o the queries before the block. A zero more or less in a sum changes no value.
use super::kernel::Kernel;
use std::ops::Range;

/// Rows and elements are counted from the first of both, o is `offset`.
#[derive(Clone, Copy, Debug)]
pub enum Reach {
    All,
    /// Tiles beyond are not written.
    ColumnsTo {
        offset: usize,
    },
    /// The left operand has zeros beyond, to the end of its tile's reach.
    ElementsTo {
        offset: usize,
    },
    /// The left operand has zeros before, from where its tile's reach begins.
    ElementsFrom {
        offset: usize,
    },
}

impl Reach {
    /// Columns below which a tile of `rows` has any.
    pub fn columns(self, rows: &Range<usize>) -> usize {
        match self {
            Reach::ColumnsTo { offset } => offset + rows.end,
            _ => usize::MAX,
        }
    }

    /// Those of `words` that the left operand's `rows` have: whole steps of a kernel.
    pub fn words(self, kernel: Kernel, rows: &Range<usize>, words: Range<usize>) -> Range<usize> {
        let (elements, step) = (kernel.kind.elements(), kernel.word_step());
        match self {
            Reach::All | Reach::ColumnsTo { .. } => words,
            Reach::ElementsTo { offset } => {
                let end = (offset + rows.end).div_ceil(elements).next_multiple_of(step);
                words.start..words.end.min(end)
            }
            Reach::ElementsFrom { offset } => {
                let start = rows.start.saturating_sub(offset) / elements / step * step;
                words.start.max(start)..words.end
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::stream;
    use crate::tensor::Matrix;
    use crate::tensor::cpu::blocked::pack::{Along, Left, Source};
    use crate::tensor::cpu::blocked::product::{Operand, Target, multiply};
    use crate::tensor::cpu::blocked::tests::ALL;
    use crate::tensor::cpu::product::Shared;
    use rand::RngExt;

    fn random(rows: usize, cols: usize, name: &str) -> Matrix<f32> {
        let mut rng = stream(9, name);
        Matrix { rows, cols, data: (0..rows * cols).map(|_| rng.random_range(-1.0f32..1.0)).collect() }
    }

    /// A product by `reach`, of rows 0 … of a left operand, over what was in the result before.
    fn product(kernel: Kernel, left: &Left, right: Operand<'_>, adds: bool, reach: Reach) -> Matrix<f32> {
        let right = right.right(kernel);
        let mut c = random(left.rows, right.columns, "c");
        let target = Target { data: Shared(c.data.as_mut_ptr()), stride: c.cols, accumulate: adds };
        let (rows, panels, shape) = (0..left.rows, 0..right.panels(), (left.words, c.cols));
        // SAFETY: the target is the whole of `c`.
        kernel
            .with_tiles(|| unsafe { multiply(kernel, (left, rows), (&right, panels), shape, target, reach) });
        c
    }

    /// Sums that leave out zeros are those that do not, in chains and steps of every kind of product.
    #[test]
    fn zeros_left_out_change_nothing() {
        let kept = |reach: Reach, row: usize, l: usize| match reach {
            Reach::ElementsTo { offset } => l <= offset + row,
            Reach::ElementsFrom { offset } => l + offset >= row,
            _ => true,
        };
        for kind in ALL {
            let kernel = Kernel::new(kind);
            for (m, n, k, offset) in
                [(48, 33, 90, 42), (13, 64, 700, 687), (100, 17, 48, 52), (300, 96, 37, 20)]
            {
                for reach in [Reach::ElementsTo { offset }, Reach::ElementsFrom { offset }] {
                    let mut a = random(m, k, "a");
                    for (place, x) in a.data.iter_mut().enumerate() {
                        *x = if kept(reach, place / k, place % k) { *x } else { 0.0 };
                    }
                    let b = random(k, n, "b");
                    let left = Operand { matrix: &a, along: Along::Lines }.left(kernel);
                    let right = Operand { matrix: &b, along: Along::Columns };
                    for adds in [false, true] {
                        let [ours, all] =
                            [reach, Reach::All].map(|reach| product(kernel, &left, right, adds, reach));
                        assert_eq!(ours.data, all.data, "{kind:?} {m}×{n}×{k} {reach:?} {adds}");
                    }
                }
            }
        }
    }

    /// Columns up to the diagonal are there, and what stands beyond the last tile of a row is untouched.
    #[test]
    fn tiles_beyond_the_diagonal_are_left_alone() {
        for kind in ALL {
            let kernel = Kernel::new(kind);
            let (m, n, k, offset) = (48, 200, 40, 100);
            let (a, b) = (random(m, k, "a"), random(n, k, "b"));
            let left = Operand { matrix: &a, along: Along::Lines }.left(kernel);
            let right = Operand { matrix: &b, along: Along::Lines };
            let [ours, all] = [Reach::ColumnsTo { offset }, Reach::All]
                .map(|reach| product(kernel, &left, right, false, reach));
            for row in 0..m {
                let seen = row * n..row * n + offset + row + 1;
                assert_eq!(ours.data[seen.clone()], all.data[seen], "{kind:?} row {row}");
            }
            let before = random(m, n, "c");
            assert_eq!(ours.data[n - 1], before.data[n - 1], "{kind:?}");
        }
    }

    /// An operand that is read where it stands gives what a packed one does.
    #[test]
    fn in_place_is_as_packed() {
        for kind in ALL {
            let kernel = Kernel::new(kind);
            // Room for what a tile reaches beyond 50 rows and columns.
            let whole = random(64, 64, "a");
            for (along, rows) in [(Along::Lines, 50), (Along::Columns, 45)] {
                let source = Source { data: whole.data.as_ptr(), stride: 64, lines: 50, width: 45 };
                // SAFETY: there are 64 lines and columns.
                let Some(in_place) = (unsafe { Left::in_place(kernel, along, source) }) else {
                    assert_eq!(kind.elements(), 2, "{kind:?}");
                    continue;
                };
                assert_eq!(in_place.rows, rows);
                let b = random(in_place.words, 70, "b");
                let right = Operand { matrix: &b, along: Along::Columns };
                let part: Vec<f32> =
                    whole.data.chunks(64).take(50).flat_map(|row| row[..45].to_vec()).collect();
                let part = Matrix { rows: 50, cols: 45, data: part };
                let packed = Operand { matrix: &part, along }.left(kernel);
                let [ours, expected] =
                    [&in_place, &packed].map(|left| product(kernel, left, right, false, Reach::All));
                assert_eq!(ours.data, expected.data, "{kind:?} {along:?}");
            }
        }
    }
}
