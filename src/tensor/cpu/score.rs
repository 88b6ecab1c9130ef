//! Row and column sums of per-parameter saliency scores: one pass over weight and gradients.
use super::Matrix;
use super::real::{Real, sum_by, vectorised};
use crate::tensor::{ElementScore, Margins, ScoreLeaf};

pub fn margins<T: Real>(score: ElementScore, leaf: &ScoreLeaf<Matrix<T>>) -> Margins {
    let magnitude = |x: T| if x < T::ZERO { -x } else { x };
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
    let (half, epsilon) = (T::from_f64(0.5), T::from_f64(ElementScore::EPSILON));
    match score {
        ElementScore::MagnitudeL2 => sum_margins(of, |w, _, _| w * w),
        ElementScore::MagnitudeL1 => sum_margins(of, |w, _, _| magnitude(w)),
        ElementScore::Taylor1 => sum_margins(of, |w, g, _| magnitude(w * g)),
        ElementScore::Taylor2 => sum_margins(of, |w, _, f| w * w * f),
        ElementScore::Signed => sum_margins(of, |w, g, _| w * g),
        ElementScore::TaylorMix => sum_margins(of, |w, g, f| magnitude(w * g - half * (w * w) * f)),
        ElementScore::Adam => sum_margins(of, |w, g, f| magnitude(w * g) / (f.sqrt() + epsilon)),
    }
}

/// Sums of `element` of weight, gradient and Fisher diagonal.
fn sum_margins<T: Real>(of: [&Matrix<T>; 3], element: impl Fn(T, T, T) -> T) -> Margins {
    let [rows, cols] = [of[0].rows, of[0].cols];
    let (mut by_row, mut by_col) = (vec![0.0; rows], vec![0.0; cols]);
    let mut scores = vec![T::ZERO; cols];
    vectorised(|| {
        for (r, row_sum) in by_row.iter_mut().enumerate() {
            let [w, g, f] = of.map(|tensor| &tensor.data[r * cols..(r + 1) * cols]);
            for (((score, &w), &g), &f) in scores.iter_mut().zip(w).zip(g).zip(f) {
                *score = element(w, g, f);
            }
            *row_sum = sum_by(cols, |c| scores[c]).to_f64();
            for (sum, &score) in by_col.iter_mut().zip(&scores) {
                *sum += score.to_f64();
            }
        }
    });
    Margins { rows: by_row, cols: by_col }
}
