//! Row and column sums of per-parameter saliency scores: one pass over weight and gradients.
use super::Matrix;
use super::real::{Real, kernel, sum_by};
use crate::tensor::{ElementScore, Margins, ScoreLeaf};

pub fn margins<T: Real>(score: ElementScore, leaf: &ScoreLeaf<Matrix<T>>) -> Margins {
    let weight = leaf.weight;
    let like = |tensor: Option<&'_ Matrix<T>>| {
        let tensor = tensor.unwrap_or_else(|| panic!("{score:?} needs what it reads"));
        assert_eq!(tensor.data.len(), weight.data.len());
    };
    if score.reads_gradient() {
        like(leaf.grad);
    }
    if score.reads_fisher() {
        like(leaf.fisher);
    }
    // What a score does not read may be anything of the same length.
    let of = [weight, leaf.grad.unwrap_or(weight), leaf.fisher.unwrap_or(weight)];
    let (mut rows, mut cols) = (vec![0.0; weight.rows], vec![0.0; weight.cols]);
    let mut scores = vec![T::ZERO; weight.cols];
    add_margins(score, of, &mut scores, &mut rows, &mut cols);
    Margins { rows, cols }
}

kernel! {
    /// Row sums, and column sums added to what is there; `scores` is a buffer of one row.
    fn add_margins<'a, T>(
        score: ElementScore,
        of: [&'a Matrix<T>; 3],
        scores: &'a mut [T],
        rows: &'a mut [f64],
        cols: &'a mut [f64],
    ) -> () {
        let (half, epsilon) = (T::from_f64(0.5), T::from_f64(ElementScore::EPSILON));
        match score {
            ElementScore::MagnitudeL2 => add(of, scores, rows, cols, |w, _, _| w * w),
            ElementScore::MagnitudeL1 => add(of, scores, rows, cols, |w, _, _| magnitude(w)),
            ElementScore::Taylor1 => add(of, scores, rows, cols, |w, g, _| magnitude(w * g)),
            ElementScore::Taylor2 => add(of, scores, rows, cols, |w, _, f| w * w * f),
            ElementScore::Signed => add(of, scores, rows, cols, |w, g, _| w * g),
            ElementScore::TaylorMix => {
                add(of, scores, rows, cols, |w, g, f| magnitude(w * g - half * (w * w) * f));
            }
            ElementScore::Adam => {
                add(of, scores, rows, cols, |w, g, f| magnitude(w * g) / (f.sqrt() + epsilon));
            }
        }
    }
}

#[inline(always)]
fn magnitude<T: Real>(x: T) -> T {
    if x < T::ZERO { -x } else { x }
}

/// Sums of `element` of weight, gradient and Fisher diagonal. Inlined without fail, or it would be compiled for the baseline.
#[inline(always)]
fn add<T: Real>(
    of: [&Matrix<T>; 3],
    scores: &mut [T],
    rows: &mut [f64],
    cols: &mut [f64],
    element: impl Fn(T, T, T) -> T,
) {
    let width = scores.len();
    if let [col_sum] = cols {
        // One hidden channel of thousands of rows: as below, without the buffer. A sum begins at zero, which −0 shows.
        let [w, g, f] = of.map(|tensor| &tensor.data[..rows.len()]);
        for (((row_sum, &w), &g), &f) in rows.iter_mut().zip(w).zip(g).zip(f) {
            *row_sum = (T::ZERO + element(w, g, f)).to_f64();
        }
        rows.iter().for_each(|score| *col_sum += score);
        return;
    }
    for (r, row_sum) in rows.iter_mut().enumerate() {
        let [w, g, f] = of.map(|tensor| &tensor.data[r * width..(r + 1) * width]);
        for (((score, &w), &g), &f) in scores.iter_mut().zip(w).zip(g).zip(f) {
            *score = element(w, g, f);
        }
        *row_sum = sum_by(width, |c| scores[c]).to_f64();
        for (sum, &score) in cols.iter_mut().zip(scores.iter()) {
            *sum += score.to_f64();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every width by the formula, to the bit: sums of rows in lanes, those of columns from the top.
    #[test]
    fn margins_are_sums_of_the_formula() {
        for (rows, cols) in [(37, 1), (5, 2), (1, 1), (9, 17), (3, 40)] {
            let matrix = |shift: usize| {
                let value = |i: usize| ((i * 7919 + shift) % 1013) as f64 / 500.0 - 1.0;
                Matrix { rows, cols, data: (0..rows * cols).map(value).collect() }
            };
            let (weight, grad, mut fisher) = (matrix(3), matrix(500), matrix(77));
            fisher.data.iter_mut().for_each(|f| *f = f.abs());
            for score in ElementScore::ALL {
                let leaf = ScoreLeaf { weight: &weight, grad: Some(&grad), fisher: Some(&fisher) };
                let found = margins(score, &leaf);
                let of = |r: usize, c: usize| {
                    let at = r * cols + c;
                    score.of(weight.data[at], grad.data[at], fisher.data[at])
                };
                let by_row: Vec<f64> = (0..rows).map(|r| sum_by(cols, |c| of(r, c))).collect();
                let column = |c: usize| (0..rows).fold(0.0, |sum, r| sum + of(r, c));
                let by_col: Vec<f64> = (0..cols).map(column).collect();
                let bits = |sums: &[f64]| sums.iter().map(|sum| sum.to_bits()).collect::<Vec<_>>();
                assert_eq!(
                    (bits(&found.rows), bits(&found.cols)),
                    (bits(&by_row), bits(&by_col)),
                    "{score:?}"
                );
            }
        }
    }
}
