//! `layerwise`: Optimal Brain Surgeon within each linear layer that loses input columns (EfficientLLM-B; Xing et al. 2025,
//! arXiv:2502.06663).
//!
//! ```text
//! W ← W − W_S (G⁻¹_SS)⁻¹ G⁻¹_S:        S: the input columns that the event removes
//! ```
use super::{Moments, UpdateRule};
use crate::rules::saliency::Statistic;

pub const RULE: UpdateRule = UpdateRule {
    name: "layerwise",
    summary: "OBS within each linear layer",
    source: "EfficientLLM-B: the paper; OBC: Frantar & Alistarh 2022, arXiv:2208.11580",
    needs: &[Statistic::Gram],
    moments: Moments::Plain,
    makes_bias: false,
    compensate: |lost, weight| {
        if let Some(factored) = lost.factored {
            factored.eliminate(weight, lost.columns)?;
        }
        Ok(None)
    },
};
