//! `none`: the weights that stay are left as they are (EfficientLLM-A).
//!
//! ```text
//! W ← W
//! ```
use super::{Moments, UpdateRule};

pub const RULE: UpdateRule = UpdateRule {
    name: "none",
    summary: "the rest stays as it is",
    source: "EfficientLLM-A: the paper",
    needs: &[],
    moments: Moments::None,
    makes_bias: false,
    compensate: |_, _| Ok(None),
};
