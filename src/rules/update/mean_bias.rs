//! `mean_bias`: what the removed inputs added on average moves into the bias (FLAP; An et al. 2024, arXiv:2312.11983).
//!
//! ```text
//! b ← b + W_:S x̄_S        S: the input columns that the event removes
//! ```
use super::{Moments, UpdateRule};
use crate::rules::saliency::Statistic;
use nalgebra::DVector;

pub const RULE: UpdateRule = UpdateRule {
    name: "mean_bias",
    summary: "b += W_:S x̄_S: the mean of what is gone stays",
    source: "FLAP: An et al. 2024, arXiv:2312.11983",
    needs: &[Statistic::InputMean],
    moments: Moments::None,
    makes_bias: true,
    compensate: |lost, weight| {
        let mean = DVector::from_iterator(lost.columns.len(), lost.columns.iter().map(|&j| lost.mean[j]));
        Ok(Some(weight.select_columns(lost.columns) * mean))
    },
};
