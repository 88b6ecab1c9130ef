//! Columns of `latency.csv`.
use super::{ARM, Column, LATENCY, NEVER, RUN, SEED, column};

pub(super) const COLUMNS: &[Column] = &[
    column(LATENCY, "run", "", RUN, NEVER),
    column(LATENCY, "arm", "", ARM, NEVER),
    column(LATENCY, "seed", "", SEED, NEVER),
    column(
        LATENCY,
        "phase",
        "prefill, decode",
        "reading a prompt in one pass, or generating tokens one by one, greedily",
        NEVER,
    ),
    column(LATENCY, "tokens", "tokens", "tokens read or generated in one measurement", NEVER),
    column(LATENCY, "threads", "threads", "threads that computed it", NEVER),
    column(LATENCY, "repeats", "count", "measurements, after one that does not count", NEVER),
    column(
        LATENCY,
        "seconds",
        "s",
        "median wall time of a measurement; differs from run to run",
        "not measured",
    ),
    column(LATENCY, "seconds_min", "s", "the shortest", "not measured"),
    column(LATENCY, "seconds_max", "s", "the longest", "not measured"),
    column(LATENCY, "tokens_per_second", "tokens per second", "tokens / seconds", "not measured"),
];
