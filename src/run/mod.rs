//! Carries out a plan: stages, store, workers, failures.
//!
//! ```text
//! plan ─sweep→ ready stages, in plan order ─executor→ temporary folder ─sync, rename→ store/<stage id>/
//!                                        └─ after each run: its record, then all result tables anew
//! ```
//!
//! The store is the truth: running a plan again does only what is missing. A process killed at any moment leaves whole
//! stages and checkpoints from which stages under way go on, bit for bit.
pub mod campaign;
pub mod error;
pub mod execute;
pub mod executor;
pub mod memory;
pub mod origin;
pub mod progress;
pub mod store;
pub mod sweep;

pub use campaign::{Arrangement, Options, carry_out, write_plan};
pub use error::RunError;
pub use executor::{Executor, InputFolders, Progress, StageFailure, Task};
pub use origin::Origin;
pub use progress::Style;
pub use store::{StageRecord, Store};
pub use sweep::{Listener, Outcome, StageState, stage_states, sweep};

#[cfg(test)]
mod tests;
