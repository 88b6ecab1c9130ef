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
