//! Columns of `prune.csv`.
use super::{Column, NEVER, PRUNE, RUN, column};

pub(super) const COLUMNS: &[Column] = &[
    column(PRUNE, "run", "", RUN, NEVER),
    column(PRUNE, "event", "count", "number of the event, counted from 0", NEVER),
    column(PRUNE, "step", "steps", "optimiser steps of this run before the event", NEVER),
    column(PRUNE, "tokens_seen", "tokens", "tokens this run itself had trained on", NEVER),
    column(PRUNE, "type", "ffn, head, stem, head_dim, layer", "type of the group removed", NEVER),
    column(
        PRUNE,
        "layer",
        "index",
        "layer of the group in the source; `all` where one group leaves every layer, or the stem or a layer is pruned",
        NEVER,
    ),
    column(
        PRUNE,
        "index",
        "index",
        "number of the group in the source model; joined by `;`, one per layer of the source, where layer is `all` (nothing for a layer that is gone)",
        NEVER,
    ),
    column(
        PRUNE,
        "saliency",
        "normalised",
        "saliency of the group removed (mean over layers where layer is `all`)",
        "not finite",
    ),
    column(PRUNE, "params", "parameters", "parameters left after the event", NEVER),
    column(
        PRUNE,
        "gram_age_steps",
        "steps",
        "optimiser steps between the weights that the text of G passed through and the event",
        "no layerwise Hessian was used",
    ),
    column(
        PRUNE,
        "gram_age_events",
        "events",
        "pruning events between the weights that the text of G passed through and this one",
        "no layerwise Hessian was used",
    ),
    column(PRUNE, "gram_tokens", "tokens", "tokens summed over in G", "no layerwise Hessian was used"),
    column(
        PRUNE,
        "damping",
        "",
        "damping of G as used, relative to its mean diagonal: the most that any layer needed",
        "no second moments were factored",
    ),
    column(
        PRUNE,
        "fisher_unit",
        "",
        "what squared gradients were taken of: position, sequence or micro_batch",
        "the saliency reads no squared gradients",
    ),
    column(PRUNE, "fisher_units", "units", "number of such units", "the saliency reads no squared gradients"),
    column(
        PRUNE,
        "sums_from_event",
        "count",
        "event, counted from 0, before which the sums of scores were last taken whole; later ones correct them by what they remove",
        "the rule keeps no sums",
    ),
];
