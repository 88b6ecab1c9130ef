//! Columns of `curves.csv`.
use super::{ARM, CURVES, Column, NEVER, RUN, SEED, column};

pub(super) const COLUMNS: &[Column] = &[
    column(CURVES, "run", "", RUN, NEVER),
    column(CURVES, "arm", "", ARM, NEVER),
    column(CURVES, "seed", "", SEED, NEVER),
    column(CURVES, "step", "steps", "optimiser steps of this run so far", NEVER),
    column(CURVES, "tokens_seen", "tokens", "tokens this run itself has trained on so far", NEVER),
    column(CURVES, "params", "parameters", "parameters of the model at this step", NEVER),
    column(CURVES, "loss", "nats per token", "training loss of this step", "not finite"),
    column(CURVES, "grad_norm", "", "global gradient norm before clipping", "not measured"),
    column(CURVES, "learning_rate", "", "learning rate of this step", "not measured"),
    column(CURVES, "flops", "FLOP", "floating-point operations of this run itself so far", "not measured"),
    column(
        CURVES,
        "held_out_loss",
        "nats per token",
        "loss on the first held-out windows after this step",
        "not taken at this step",
    ),
];
