//! Row and column sums of per-parameter saliency scores: one pass over weight and gradients.
use super::Matrix;
use super::real::{Real, sum_by, vectorised};
use crate::tensor::ElementScore;

pub fn margins<T: Real>(
    score: ElementScore,
    weight: &Matrix<T>,
    grad: &Matrix<T>,
    fisher: Option<&Matrix<T>>,
) -> (Vec<f64>, Vec<f64>) {
    let half = T::from_f64(0.5);
    let magnitude = |x: T| if x < T::ZERO { -x } else { x };
    match score {
        ElementScore::MagnitudeL2 => sum_margins(weight, |i| weight.data[i] * weight.data[i]),
        ElementScore::Taylor1 => {
            assert_eq!(grad.data.len(), weight.data.len());
            sum_margins(weight, |i| magnitude(weight.data[i] * grad.data[i]))
        }
        ElementScore::TaylorMix => {
            let fisher = fisher.expect("taylor_mix needs the Fisher diagonal");
            assert!(grad.data.len() == weight.data.len() && fisher.data.len() == weight.data.len());
            sum_margins(weight, |i| {
                let w = weight.data[i];
                magnitude(w * grad.data[i] - half * (w * w) * fisher.data[i])
            })
        }
    }
}

fn sum_margins<T: Real>(weight: &Matrix<T>, element: impl Fn(usize) -> T) -> (Vec<f64>, Vec<f64>) {
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
    (by_row, by_col)
}
