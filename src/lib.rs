//! **efficientllm**: a research harness for pruning-aware pretraining of small language models
//! (Xing et al. 2025, arXiv:2502.06663).
//!
//! The tree reads as the data flow:
//!
//! ```text
//! experiment.toml ─spec→ Experiment ─plan→ stages + run ids ─run→ source → train ⇄ prune → eval
//!                                                              │ one row appended after each run
//!                                    runs.csv evals.csv curves.csv … ─stats→ estimates ─report→ report.md, report.html
//! ```
//!
//! Two wings share the ground floors (and a model's shape and FLOPs, which `plan` counts with) and meet in `run` and `cli`: the
//! *paper wing* (`plan`, `record`, `stats`, `report`) knows no tensor, the *engine wing* (`tensor`, `model`, `data`, `prune`,
//! `eval`, `train`) knows no CSV. Models from disk come in by `model::checkpoint`, for `cli`'s `eval` and `export` too.
//! Rooms import only downward; `tests/it/rooms.rs` holds the table of allowed imports and fails on any other.
#[macro_use]
pub mod base;
pub mod cli;
pub mod data;
pub mod eval;
pub mod model;
pub mod plan;
pub mod prune;
pub mod record;
pub mod report;
pub mod rules;
pub mod run;
pub mod schema;
pub mod spec;
pub mod stats;
pub mod tensor;
pub mod train;
