//! Columns of `candidates.csv`.
use super::{CANDIDATES, Column, NEVER, RUN, column};

pub(super) const COLUMNS: &[Column] = &[
    column(CANDIDATES, "run", "", RUN, NEVER),
    column(CANDIDATES, "event", "count", "number of the event, as in `prune.csv`", NEVER),
    column(CANDIDATES, "type", "ffn, head, stem, head_dim, layer", "a type that the run prunes", NEVER),
    column(
        CANDIDATES,
        "saliency",
        "normalised",
        "saliency of the weakest group of this type before the event (its mean over layers where an event takes one of each)",
        "none is left to prune",
    ),
    column(
        CANDIDATES,
        "pruned_share",
        "share",
        "groups of this type in the source that are gone, this event included",
        NEVER,
    ),
];
