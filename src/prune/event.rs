//! What is recorded of a pruning event.
use crate::schema::groups::GroupType;
use serde::{Deserialize, Serialize};

/// One type before an event, as recorded in `candidates.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CandidateRecord {
    pub group_type: GroupType,
    /// Normalised saliency of the weakest group (its mean over layers with `uniform`); `None`: the type is at its floor.
    pub saliency: Option<f64>,
    /// Share of the type's groups in the source that are gone after the event.
    pub pruned_share: f64,
}

/// One pruning event, as recorded in `prune.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventRecord {
    /// From 1.
    pub event: u64,
    pub step: u64,
    pub tokens_seen: u64,
    pub group_type: GroupType,
    /// The layer of the source that lost the group, where only one did.
    pub layer: Option<usize>,
    /// The layers of the source that lost one each (`uniform`); none where the model has one set of groups.
    pub layers: Vec<usize>,
    /// Original group numbers: one per layer that is left (`uniform`), or one; with `block = k`, group i is channels
    /// i·k … i·k + k − 1.
    pub indices: Vec<usize>,
    /// Normalised saliency of what was taken.
    pub saliency: f64,
    /// Every type of `prune.types`, in the order that breaks ties.
    pub candidates: Vec<CandidateRecord>,
    /// Parameters after the event.
    pub params: u64,
    /// Whether the event's type was settled by the completion of the target rather than by saliency.
    pub completion: bool,
    /// Optimiser steps between the weights that G's text passed through and this event; `None` where nothing reads G.
    pub gram_age_steps: Option<u64>,
    /// Pruning events between them.
    #[serde(default)]
    pub gram_age_events: Option<u64>,
    /// Tokens of G.
    #[serde(default)]
    pub gram_tokens: Option<u64>,
    /// λ as used: the most that any layer needed; `None` where nothing was factored.
    #[serde(default)]
    pub damping: Option<f64>,
    /// Units that squared gradients were taken of; `None` where none were.
    #[serde(default)]
    pub fisher_units: Option<u64>,
    /// The event before which the sums of scores were last taken whole; later ones correct them. `None`: this rule keeps none.
    #[serde(default)]
    pub sums_from_event: Option<u64>,
    pub saliency_flops: u64,
    pub update_flops: u64,
}
