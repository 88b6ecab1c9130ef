//! What a run leaves behind: typed rows, their data dictionary, provenance, and the CSV files made from them.
//!
//! Each finished run has one [`RunRecord`] (`record.json` in its folder of the store). [`collect()`] rewrites all CSV
//! files of `results/<experiment>/` from the records of the runs finished so far, in plan order, each file
//! atomically; so results grow as runs finish, and resuming ends in the same bytes. [`Results::read`] reads them
//! back and names file, line and column of any fault. The [`dictionary`] holds every column with unit and meaning;
//! headers come from it, so no file has a column that is not explained.
//!
//! Empty cell: not measured. A failed run keeps its row. Only `seconds`, `peak_memory_bytes`, `devices` and what is in
//! `latency.csv` differ between two runs of the same plan.
pub mod collect;
pub mod derived;
pub mod dictionary;
mod error;
#[cfg(test)]
mod fuzz_tests;
pub mod harness;
pub mod provenance;
pub mod read;
pub mod rows;
pub mod scores;
pub mod snapshot;
mod sources;
#[cfg(test)]
mod tests;
mod tidy;

pub use collect::{RunRows, Tables, collect};
pub use error::RecordError;
pub use provenance::Provenance;
pub use read::{Keyed, Results, RunEntry};
pub use rows::{
    CandidateRow, CurvePoint, LatencyPhase, LatencyRow, LayerWidths, LedgerEntry, LedgerPart, PruneEvent,
    RunIdentity, RunRecord, RunTotals, Status,
};
pub use scores::{EvalScore, ItemChoice, SetAside};
pub use snapshot::Snapshot;

/// Version of the files' columns; raised by any change that a reader of old files would notice.
pub const SCHEMA_VERSION: u32 = 1;

pub type Result<T> = std::result::Result<T, RecordError>;
