//! Columns of `set_aside.csv`.
use super::{ARM, Column, NEVER, RUN, SEED, SET_ASIDE, column};

pub(super) const COLUMNS: &[Column] = &[
    column(SET_ASIDE, "run", "", RUN, NEVER),
    column(SET_ASIDE, "arm", "", ARM, NEVER),
    column(SET_ASIDE, "seed", "", SEED, NEVER),
    column(SET_ASIDE, "task", "", "benchmark task", NEVER),
    column(SET_ASIDE, "place", "index", "place of the item in its file, counted from 0", NEVER),
    column(SET_ASIDE, "item", "", "the item's own id, else its place", NEVER),
    column(SET_ASIDE, "reason", "", "why it could not be scored", NEVER),
    column(SET_ASIDE, "text", "", "end of the context and the continuation that could not be scored", NEVER),
];
