//! Columns of `probe_groups.csv`.
use super::{Column, NEVER, NO_SQUARES, PROBE_GROUPS, RULE, UNIT, column};

pub(super) const COLUMNS: &[Column] = &[
    column(PROBE_GROUPS, "rule", "", RULE, NEVER),
    column(PROBE_GROUPS, "fisher_unit", "position, sequence", UNIT, NO_SQUARES),
    column(PROBE_GROUPS, "calibration", "index", "calibration set, counted from 0", NEVER),
    column(PROBE_GROUPS, "type", "", "type of the group", NEVER),
    column(PROBE_GROUPS, "layer", "index", "its layer; 0 for types of which the model has one set", NEVER),
    column(PROBE_GROUPS, "index", "index", "its number among the groups of the layer", NEVER),
    column(PROBE_GROUPS, "score", "", "saliency, summed over the group and not normalised", NEVER),
    column(
        PROBE_GROUPS,
        "delta_loss",
        "nats per token",
        "held-out loss without the group less that of the whole model",
        NEVER,
    ),
];
