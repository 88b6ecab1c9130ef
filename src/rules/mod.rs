//! Pruning rules as the rest of the crate knows them: names, what each needs, equations.
//!
//! ```text
//! saliency/   what a group is worth: one file per rule, its equation and source on top   (method §2)
//! update/     what happens to the weights that stay (§3)
//! obs         Optimal Brain Surgeon within one linear layer, which both use
//! ```
//!
//! A rule is data: a name, the statistics that it needs, and a function from these to scores. It knows neither tensors nor
//! models, so the reader of experiment files, the plan, the training loop and the record all go by one table.
pub mod obs;
pub mod saliency;
pub mod update;
