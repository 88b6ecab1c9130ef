//! Columns of `probe.csv`.
use super::{CONSTANT, Column, FEW_GROUPS, NEVER, NO_SQUARES, PROBE, RULE, UNIT, column};

pub(super) const COLUMNS: &[Column] = &[
    column(PROBE, "rule", "", RULE, NEVER),
    column(PROBE, "fisher_unit", "position, sequence", UNIT, NO_SQUARES),
    column(PROBE, "type", "", "type of the groups", NEVER),
    column(
        PROBE,
        "layers",
        "layers",
        "layers that had groups to remove; 1 for types of which the model has one set",
        NEVER,
    ),
    column(PROBE, "groups", "groups", "groups that were removed one by one", NEVER),
    column(PROBE, "calibrations", "sets", "calibration sets that the rule scored the groups on", NEVER),
    column(
        PROBE,
        "spearman",
        "",
        "rank correlation of score and change of loss over the groups of a layer, mean over layers and calibration sets",
        CONSTANT,
    ),
    column(
        PROBE,
        "spearman_low",
        "",
        "2.5 % quantile over 1000 resamples of groups within layers and of calibration sets",
        CONSTANT,
    ),
    column(PROBE, "spearman_high", "", "97.5 % quantile of the same", CONSTANT),
    column(
        PROBE,
        "lowest_quarter_delta",
        "nats per token",
        "sum of delta_loss over the quarter of each layer's groups that the rule would remove first, mean over calibration sets",
        FEW_GROUPS,
    ),
    column(
        PROBE,
        "oracle_quarter_delta",
        "nats per token",
        "the same of a rule that knows delta_loss",
        FEW_GROUPS,
    ),
];
