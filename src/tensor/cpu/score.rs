//! Row and column sums of per-parameter saliency scores: one pass over weight and gradients.
use super::Matrix;
use super::real::{Real, sum_by, vectorised};
use crate::tensor::{ElementScore, Margins, ScoreLeaf};

pub fn margins<T: Real>(score: ElementScore, leaf: &ScoreLeaf<Matrix<T>>) -> Margins {
    let half = T::from_f64(0.5);
    let magnitude = |x: T| if x < T::ZERO { -x } else { x };
    let weight = leaf.weight;
    match score {
        ElementScore::MagnitudeL2 => sum_margins(weight, |i| weight.data[i] * weight.data[i]),
        ElementScore::Taylor1 => {
            let grad = leaf.grad.expect("taylor1 needs the gradient");
            assert_eq!(grad.data.len(), weight.data.len());
            sum_margins(weight, |i| magnitude(weight.data[i] * grad.data[i]))
        }
        ElementScore::TaylorMix => {
            let grad = leaf.grad.expect("taylor_mix needs the gradient");
            let fisher = leaf.fisher.expect("taylor_mix needs the Fisher diagonal");
            assert!(grad.data.len() == weight.data.len() && fisher.data.len() == weight.data.len());
            sum_margins(weight, |i| {
                let w = weight.data[i];
                magnitude(w * grad.data[i] - half * (w * w) * fisher.data[i])
            })
        }
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
