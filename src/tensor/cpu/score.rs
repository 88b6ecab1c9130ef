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
    let (w, g, f) =
        (&weight.data, leaf.grad.map_or(&[][..], |g| &g.data), leaf.fisher.map_or(&[][..], |f| &f.data));
    let (half, epsilon) = (T::from_f64(0.5), T::from_f64(ElementScore::EPSILON));
    match score {
        ElementScore::MagnitudeL2 => sum_margins(weight, |i| w[i] * w[i]),
        ElementScore::MagnitudeL1 => sum_margins(weight, |i| magnitude(w[i])),
        ElementScore::Taylor1 => sum_margins(weight, |i| magnitude(w[i] * g[i])),
        ElementScore::Taylor2 => sum_margins(weight, |i| w[i] * w[i] * f[i]),
        ElementScore::Signed => sum_margins(weight, |i| w[i] * g[i]),
        ElementScore::TaylorMix => {
            sum_margins(weight, |i| magnitude(w[i] * g[i] - half * (w[i] * w[i]) * f[i]))
        }
        ElementScore::Adam => sum_margins(weight, |i| magnitude(w[i] * g[i]) / (f[i].sqrt() + epsilon)),
    }
}

fn sum_margins<T: Real>(weight: &Matrix<T>, element: impl Fn(usize) -> T) -> Margins {
    let (rows, cols) = (weight.rows, weight.cols);
    let (mut by_row, mut by_col) = (vec![0.0; rows], vec![0.0; cols]);
    let mut scores = vec![T::ZERO; cols];
    vectorised(|| {
        for (r, row_sum) in by_row.iter_mut().enumerate() {
            for (c, score) in scores.iter_mut().enumerate() {
                *score = element(r * cols + c);
            }
            *row_sum = sum_by(cols, |c| scores[c]).to_f64();
            for (sum, &score) in by_col.iter_mut().zip(&scores) {
                *sum += score.to_f64();
            }
        }
    });
    Margins { rows: by_row, cols: by_col }
}
