//! Optimiser, schedules, the loop, the ledger, resume; the arms that are compared.
//!
//! One training run is [`pretrain()`]: optimiser steps, and pruning events between them while a pruner has
//! work to do. Pruning after training, or in stages of it, is [`calibrate::stage`]. [`arms`] puts both together under equal
//! budgets.
//! All write to one [`Ledger`], so that every arm's tokens and FLOPs are counted by the same code.
pub mod arms;
mod averaging;
pub mod calibrate;
#[cfg(test)]
mod cuda_tests;
mod gradient;
pub mod held_out;
pub mod ledger;
#[cfg(test)]
mod on_device;
pub mod optimizer;
pub mod pretrain;
pub mod probe;
#[cfg(test)]
mod ranks_tests;
pub mod schedule;
#[cfg(test)]
mod stages_tests;
pub mod state;
#[cfg(test)]
mod state_fuzz_tests;
#[cfg(test)]
mod tests;
pub mod widths;

pub use gradient::Lesson;
pub use held_out::HeldOut;
pub use ledger::{Ledger, Part};
pub use pretrain::{CurvePoint, Observer, TrainError, TrainPlan, pretrain};
pub use state::{TrainState, progress_in};
