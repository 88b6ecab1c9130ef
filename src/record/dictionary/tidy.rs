//! Columns of `tidy.csv`.
use super::{ARM, Column, FAILED, NEVER, RUN, SEED, TIDY, UNKNOWN, column};

pub(super) const COLUMNS: &[Column] = &[
    column(TIDY, "run", "", RUN, NEVER),
    column(TIDY, "arm", "", ARM, NEVER),
    column(TIDY, "seed", "", SEED, NEVER),
    column(TIDY, "task", "", "benchmark task", "the number is one of the run"),
    column(TIDY, "metric", "", "name of the number: a column of `evals.csv` or `runs.csv`", NEVER),
    column(TIDY, "value", "as `unit` says", "the number", NEVER),
    column(TIDY, "unit", "", "its unit", NEVER),
    column(TIDY, "low", "as `unit` says", "lower end of its 95 % interval", "no interval was recorded"),
    column(TIDY, "high", "as `unit` says", "upper end of it", "no interval was recorded"),
    column(TIDY, "items", "items", "items that it is a mean of", "the number is one of the run"),
    column(TIDY, "params", "parameters", "as in `runs.csv`", FAILED),
    column(TIDY, "tokens", "tokens", "as in `runs.csv`", UNKNOWN),
    column(TIDY, "total_tokens", "tokens", "as in `runs.csv`", UNKNOWN),
    column(TIDY, "flops", "FLOP", "as in `runs.csv`", UNKNOWN),
    column(TIDY, "total_flops", "FLOP", "as in `runs.csv`", UNKNOWN),
];
