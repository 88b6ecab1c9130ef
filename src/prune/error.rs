//! What can go wrong when pruning: each message names place, value and the nearest valid value.
use crate::model::taps::Site;
use crate::spec::GroupType;

/// Why a pruner cannot be made or an event cannot be carried out.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PruneError {
    #[error(
        "prune.block: {block} does not divide {width_name} = {width}; nearest valid block: {}",
        listed(.nearest)
    )]
    Indivisible { block: usize, width_name: &'static str, width: usize, nearest: Vec<usize> },
    #[error(
        "layer {layer}: {num_heads} query heads are not a positive multiple of {num_kv_heads} key-value heads; \
         nearest valid num_heads: {nearest}"
    )]
    HeadLayout { layer: usize, num_heads: usize, num_kv_heads: usize, nearest: usize },
    #[error("{key}: {floor} is more than the {most} groups that the model has; nearest valid: {most}")]
    FloorAboveModel { key: &'static str, floor: usize, most: usize },
    #[error("prune.fixed_shape: {what}")]
    FixedShape { what: String },
    #[error(
        "prune.target: {target} parameters are more than the source's {source_params}; nearest valid: {source_params}"
    )]
    TargetAboveSource { target: u64, source_params: u64 },
    #[error(
        "prune.target: {target} parameters are fewer than the {least} that remain when every type of prune.types is \
         at its floor; nearest valid: {least}"
    )]
    TargetBelowFloor { target: u64, least: u64 },
    #[error("prune.schedule.steps: 0 is no interval; nearest valid: 1")]
    ZeroInterval,
    #[error("prune.damping: {damping} is out of range; nearest valid: 0")]
    Damping { damping: f64 },
    #[error("saliency `{rule}` needs {what}, and the training step handed none over")]
    MissingInput { rule: &'static str, what: &'static str },
    #[error("update `{rule}` needs {what}, and none were handed over")]
    MissingStatistic { rule: &'static str, what: &'static str },
    #[error("second moments of {site}: {rows} × {cols}, and the model's width is {width}")]
    GramShape { site: Site, rows: usize, cols: usize, width: usize },
    #[error(
        "second moments of {site} are of {tokens} tokens, fewer than its {columns} columns, and prune.damping = 0 does \
         not make up for it; hint: nearest valid calibration or batch: {columns} tokens, or prune.damping = 0.01"
    )]
    TooFewTokens { site: Site, tokens: u64, columns: usize },
    #[error(
        "second moments of {site}: G + λ·mean(diag G)·I with prune.damping λ = {damping} is not positive definite{}; \
         hint: collect more tokens than the layer is wide, or raise prune.damping (nearest usual value: 0.01)",
        if *.damping > 0.0 { ", nor is it with 10⁴ times as much" } else { "" }
    )]
    NotPositiveDefinite { site: Site, damping: f64 },
    #[error(
        "prune.reduction: the product over the coupled tensors of {group_type:?} group {index} of layer {layer} is out of \
         the range of numbers; nearest valid: `sum`, `mean`, `max` or `first`"
    )]
    ProductRange { group_type: GroupType, layer: usize, index: usize },
    #[error(
        "saliency of {group_type:?} group {index} of layer {layer} is {value}: the training has diverged"
    )]
    NotFinite { group_type: GroupType, layer: usize, index: usize, value: f64 },
    #[error(
        "the model handed over ({found} parameters) is not the one that this pruner has pruned ({expected} parameters)"
    )]
    ModelMismatch { expected: u64, found: u64 },
    #[error("state of the pruner does not fit the source model: {what}")]
    StateMismatch { what: String },
}

fn listed(values: &[usize]) -> String {
    values.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}
