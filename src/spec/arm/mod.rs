//! An arm: what is compared, as answers to three questions (method §4): **from** what, **pruned** how, **trained** how.
//!
//! ```text
//! from              source · scratch, in a shape
//!   ↓ pruned        while it trains · at once, in one stage or k · to the target or to the widths of another arm
//!   ↓ trained       so many tokens, by the cross-entropy or also by the source's predictions
//! ```
//!
//! Built-in names are answers that somebody gave already (`names.rs`); whatever an arm is called, its answers alone
//! decide what is computed.
mod names;
mod read;

pub(super) use names::built_in;
pub(super) use read::{ArmRead, arms};

use serde::{Deserialize, Serialize};

/// One row of the comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmSpec {
    /// What people call it: unique within an experiment.
    pub name: String,
    pub from: Start,
    pub prune: Option<Pruning>,
    pub train: Option<Training>,
    /// Keys that this arm alone has another value for, and these values as tables show them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<(String, String)>,
}

/// From what an arm starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// The trained source model.
    Source,
    /// Fresh weights.
    Scratch(Shape),
}

/// The shape of a model that starts from scratch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// That of `[model]`.
    Source,
    /// The source's widths scaled by one factor, to the target of `[prune]`.
    Proportional,
    /// The widths that another arm ended with.
    Of(String),
}

/// How an arm is pruned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pruning {
    pub how: How,
    /// The arm at whose widths pruning ends; `None`: the target of `[prune]`.
    pub widths_of: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Events between optimiser steps, by the training gradients.
    WhileTraining,
    /// In so many stages, each from a calibration set, training shared out between them.
    AtOnce { stages: u64 },
}

/// How an arm is trained.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Training {
    pub tokens: Tokens,
    /// Whether the loss holds the divergence from the source's predictions, by `[distil]`.
    pub distils: bool,
}

/// How many tokens an arm trains on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tokens {
    /// `source.tokens`: what makes the source model.
    Source,
    /// Those of the source before its learning rate decays: what a branch starts from.
    SourceStable,
    /// `budget.tokens`.
    Recovery,
    /// Those and a share of the source's.
    Total { source_share: f64 },
    /// As many as the FLOPs of another arm and a share of its source's pay for.
    TotalFlops { source_share: f64 },
}

impl ArmSpec {
    /// Name of the arm in files and tables.
    pub fn label(&self) -> String {
        self.name.clone()
    }

    /// Whether this is the source model itself.
    pub fn is_source(&self) -> bool {
        matches!(self.train, Some(Training { tokens: Tokens::Source, .. }))
    }

    /// Whether its model is what is left of the source: it starts from it, and prunes.
    pub fn is_of_source(&self) -> bool {
        self.from == Start::Source && self.prune.is_some()
    }

    /// Whether it starts from a trained model.
    pub fn continues(&self) -> bool {
        self.from == Start::Source
    }

    pub fn distils(&self) -> bool {
        self.train.is_some_and(|train| train.distils)
    }

    /// Whether events happen between optimiser steps.
    pub fn prunes_in_training(&self) -> bool {
        matches!(self.prune, Some(Pruning { how: How::WhileTraining, .. }))
    }

    /// Stages of pruning from a calibration set; 0 where there is none.
    pub fn stages(&self) -> u64 {
        match self.prune {
            Some(Pruning { how: How::AtOnce { stages }, .. }) => stages,
            _ => 0,
        }
    }

    /// The other arm whose widths, or else whose FLOPs, this one takes.
    pub fn other(&self) -> Option<&str> {
        let widths = match &self.from {
            Start::Scratch(Shape::Of(arm)) => Some(arm.as_str()),
            _ => None,
        };
        let pruned = self.prune.as_ref().and_then(|prune| prune.widths_of.as_deref());
        let flops = match self.train {
            Some(Training { tokens: Tokens::TotalFlops { .. }, .. }) => Some(names::PRUNING_AWARE),
            _ => None,
        };
        widths.or(pruned).or(flops)
    }

    /// Whether its budget holds what the source has cost.
    pub fn pays_for_source(&self) -> bool {
        match self.train.map(|train| train.tokens) {
            Some(Tokens::Total { source_share } | Tokens::TotalFlops { source_share }) => source_share > 0.0,
            _ => false,
        }
    }
}
