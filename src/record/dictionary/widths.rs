//! Columns of `widths.csv`.
use super::{ARM, Column, NEVER, RUN, SEED, WIDTHS, column};

pub(super) const COLUMNS: &[Column] = &[
    column(WIDTHS, "run", "", RUN, NEVER),
    column(WIDTHS, "arm", "", ARM, NEVER),
    column(WIDTHS, "seed", "", SEED, NEVER),
    column(WIDTHS, "layer", "index", "layer, counted from 0", NEVER),
    column(WIDTHS, "hidden_size", "channels", "width of the stem", NEVER),
    column(WIDTHS, "num_heads", "heads", "query heads", NEVER),
    column(WIDTHS, "num_kv_heads", "heads", "key-value heads", NEVER),
    column(WIDTHS, "intermediate_size", "channels", "width of the feed-forward layer", NEVER),
    column(
        WIDTHS,
        "head_dim",
        "channels",
        "channels of one head of q and k, two for each RoPE pair",
        "results of a version that did not record it",
    ),
];
