//! What is asked of the results, declared before the run, and what people call arms, axes and values.
//!
//! `spec` reads it from the experiment file, `run` freezes it in `plan.json`, `report` answers it: one definition for all
//! of them.
//!
//! | file | declares |
//! |---|---|
//! | `comparison` | two arms, or arms at values of axes, against each other |
//! | `axis` | the axes of one arm: best value, interaction, slope |
//! | `labels` | the names that tables and figures print |
mod axis;
mod comparison;
mod labels;

pub use axis::AxisQuestion;
pub use comparison::{At, Comparison};
pub use labels::Labels;

/// The axis that holds the names of named points.
pub const POINT: &str = "point";

/// Metrics that can be asked about.
pub const METRICS: [&str; 11] = [
    "acc",
    "acc_norm",
    "average_usual",
    "gold_probability",
    "gold_probability_norm",
    "gold_nll",
    "margin",
    "choice_log_loss",
    "agreement",
    "bits_per_byte",
    "kl_to_source",
];
