//! Structured pruning of a model in training or after it: mini-groups, saliency, layerwise Hessians, selection, removal.
//!
//! ```text
//! groups     which coupled parameters go together            (method §1)
//! saliency/  what a group is worth, by a rule               (§2)
//! statistics/  what rules read beside weights and gradients
//! sums       scores of parameters added up, kept while groups go
//! select     which type and which groups go next             (§2)
//! schedule   when                                            (§2)
//! target     the last events, so that the target is met      (§4)
//! uneven     the same where groups of one type differ in size
//! update/    what the rest does about it                    (§3)
//! survivors  removal, and the record of original indices
//! cost       floating-point operations, for the ledger
//! trees      what is sliced when groups go
//! event      what is recorded of it
//! pruner     all of this, for the training loop
//! ```
//!
//! Removal is physical: gradients, Fisher diagonal, optimiser moments and averages are sliced with the weights.
pub mod cost;
pub mod error;
pub mod event;
pub mod groups;
pub mod pruner;
pub mod saliency;
pub mod schedule;
pub mod select;
pub mod statistics;
pub mod sums;
pub mod survivors;
pub mod target;
pub mod trees;
pub mod uneven;
pub mod update;

#[cfg(test)]
mod silent_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use error::PruneError;
pub use event::{CandidateRecord, EventRecord};
pub use groups::{GroupId, Groups};
pub use pruner::{Pruner, PrunerState};
pub use statistics::{Collector, Needs, Statistics};
pub use survivors::{LayerSurvivors, Survivors, remove};
pub use target::Goal;
pub use trees::Trees;
