//! Carries out a plan: stages, store, workers, failures.
//!
//! ```text
//! plan ─sweep→ ready stages, in plan order ─executor→ temporary folder ─rename→ store/<stage id>/
//!                                        └─ records of finished runs ─tables→ runs.csv, evals.csv, …
//! ```
//!
//! The store is the truth: running a plan again does only what is missing, and what is found to be damaged. A process killed at any moment leaves whole
//! stages and checkpoints from which stages under way go on, bit for bit.
pub mod activity;
pub mod campaign;
pub mod discard;
mod earlier;
pub mod error;
pub mod execute;
pub mod executor;
mod graph;
pub mod memory;
pub mod origin;
pub mod progress;
mod remaining;
pub mod scores;
pub mod store;
pub mod sweep;
mod tables;

pub use activity::{Activity, AtWork, UnderWay};
pub use campaign::{Arrangement, Options, Wanted, carry_out, plan_hash, refuse_other_plans};
pub use discard::FinalModels;
pub use error::RunError;
pub use executor::{Executor, InputFolders, Progress, StageFailure, Task};
pub use origin::Origin;
pub use progress::Style;
pub use store::{Claims, Finished, StageKey, StageRecord, Store, keys};
pub use sweep::{Job, Listener, Need, Outcome, StageState, stage_states, sweep};
pub use tables::write_plan;

#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod tests;
