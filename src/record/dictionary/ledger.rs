//! Columns of `ledger.csv`.
use super::{ARM, Column, LEDGER, NEVER, RUN, SEED, column};

pub(super) const COLUMNS: &[Column] = &[
    column(LEDGER, "run", "", RUN, NEVER),
    column(LEDGER, "arm", "", ARM, NEVER),
    column(LEDGER, "seed", "", SEED, NEVER),
    column(
        LEDGER,
        "part",
        "source, saliency, hessian, update, train, evaluation, teacher",
        "what was paid for",
        NEVER,
    ),
    column(LEDGER, "tokens", "tokens", "tokens processed for it", "the part processes none"),
    column(LEDGER, "flops", "FLOP", "floating-point operations spent on it", "not counted"),
    column(LEDGER, "seconds", "s", "wall time; differs from run to run", "not timed"),
];
