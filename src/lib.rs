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
//! The modules form two halves, which share the lowest layers (and a model's shape and FLOPs, which `plan` counts with) and meet in
//! `run` and `cli`: `plan`, `record`, `stats` and `report` use no tensors; `tensor`, `model`, `data`, `prune`, `eval` and `train` read and
//! write no CSV files. `questions` is what an experiment asks and a report answers. Models from disk are read by `model::checkpoint`,
//! also for `eval` and `export`. Modules import only downward; `tests/it/modules.rs` has the table of allowed imports and fails on
//! any other.
#[macro_use]
pub mod base;
pub mod cli;
pub mod data;
pub mod eval;
pub mod model;
pub mod plan;
pub mod prune;
pub mod questions;
pub mod record;
pub mod report;
pub mod rules;
pub mod run;
pub mod schema;
pub mod spec;
pub mod stats;
pub mod tensor;
pub mod train;
