//! Saliency rules: base scores of mini-groups (method §2); lower is pruned first.
//!
//! ```text
//! S[group] = normaliser(reduction over the coupled tensors(base score))
//! ```
//!
//! A rule is one file of this folder: its equation and source on top, and a [`SaliencyRule`] called `RULE` that says what it needs
//! and how it makes base scores from [`Evidence`]. No list has to name it: [`RULES`] holds what the folder holds; [`register`]
//! adds one from elsewhere. Reader, plan, statistics, record and the table in `experiments/README.md` go by what a rule declares.
use crate::base::element_score::ElementScore;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::ops::Deref;
use std::sync::{PoisonError, RwLock};

// `RULES`, and a module for every file of this folder: `src/rules/list.rs` lists them.
include!(concat!(env!("OUT_DIR"), "/saliency.rs"));

/// Which approximation of the loss's Hessian a rule reads (method §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hessian {
    /// First order, or none at all.
    None,
    /// F, the empirical Fisher diagonal of parameters or of groups.
    GlobalDiagonal,
    /// G, second moments of the inputs of each layer, or their diagonal.
    Layerwise,
}

impl Hessian {
    /// Name in experiment files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Hessian::None => "none",
            Hessian::GlobalDiagonal => "global_diagonal",
            Hessian::Layerwise => "layerwise",
        }
    }
}

/// What can be collected while a model reads text, or is at hand anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Statistic {
    /// ∂(mean loss)/∂w.
    Gradient,
    /// ∂(mean entropy of the predictions)/∂w.
    EntropyGradient,
    /// The empirical Fisher diagonal F of every parameter.
    Fisher,
    /// The optimiser's moments m and v.
    Moments,
    /// x̄: mean of each input of each linear layer.
    InputMean,
    /// ‖X_j‖₂ over all tokens, of each input of each linear layer.
    InputNorm,
    /// Var_n(x_j), the sample variance, of each input of each linear layer.
    InputVariance,
    /// √Σ_sequences (mean_t |x_j|)² of each input; of the norm of each head's output.
    Activation,
    /// G = Σ x xᵀ of the inputs of each linear layer.
    Gram,
    /// E_u\[(effect of silencing the group in unit u)²\], units as `prune.fisher_unit` says.
    SquaredEffect,
    /// E_t\[|effect of silencing the group at position t|\].
    AbsoluteEffect,
}

/// What of a pass over text a statistic is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pass {
    /// No text is read.
    Nothing,
    Forward,
    Backward,
}

impl Statistic {
    /// What it is, for messages.
    pub fn words(self) -> &'static str {
        match self {
            Statistic::Gradient => "gradients",
            Statistic::EntropyGradient => "gradients of the entropy",
            Statistic::Fisher => "the Fisher diagonal",
            Statistic::Moments => "the optimiser's moments",
            Statistic::InputMean => "means of layer inputs",
            Statistic::InputNorm => "norms of layer inputs",
            Statistic::InputVariance => "variances of layer inputs",
            Statistic::Activation => "magnitudes of activations",
            Statistic::Gram => "second moments of layer inputs (grams)",
            Statistic::SquaredEffect | Statistic::AbsoluteEffect => "effects of silencing groups",
        }
    }

    pub fn pass(self) -> Pass {
        match self {
            Statistic::Moments => Pass::Nothing,
            Statistic::InputMean
            | Statistic::InputNorm
            | Statistic::InputVariance
            | Statistic::Activation
            | Statistic::Gram => Pass::Forward,
            Statistic::Gradient
            | Statistic::EntropyGradient
            | Statistic::Fisher
            | Statistic::SquaredEffect
            | Statistic::AbsoluteEffect => Pass::Backward,
        }
    }
}

/// Scores of the groups of one type in one place (a layer, or the model), a list of groups for each coupled tensor; the
/// reduction makes one list of them. Rules that score a group as a whole return one list.
pub type TensorScores = Vec<Vec<f64>>;

/// What a rule may look at: one group type in one place, as the model is now.
pub trait Evidence {
    /// Σ over the group's elements of `score`, in every tensor that it owns rows or columns of.
    fn elements(&self, score: ElementScore) -> TensorScores;
    /// Σ over the group's input columns j of `statistic_j · Σ_i score(W_ij)`, for every linear layer that reads the group.
    fn columns(&self, score: ElementScore, statistic: Statistic) -> TensorScores;
    /// Σ over the group's channels of `statistic`, in every place where linear layers read the group.
    fn channels(&self, statistic: Statistic) -> TensorScores;
    /// What was collected of whole groups.
    fn groups(&self, statistic: Statistic) -> TensorScores;
    /// ε_S of the group's input columns S by the layerwise Hessian, for every linear layer that reads the group.
    fn layerwise_errors(&self) -> TensorScores;
    /// A draw of U\[0, 1) that belongs to the group, times its parameters.
    fn draws(&self) -> TensorScores;
}

/// One rule.
pub struct SaliencyRule {
    /// Name in experiment files.
    pub name: &'static str,
    /// What it is, in one line: the table in `experiments/README.md` has it.
    pub summary: &'static str,
    /// Where it is from, for the same table.
    pub source: &'static str,
    pub hessian: Hessian,
    pub needs: &'static [Statistic],
    /// Whether a group is scored as a whole, so that there is nothing for a reduction to join.
    pub whole_groups: bool,
    /// Floating-point operations per scored parameter.
    pub flops_per_parameter: u64,
    /// Base scores, not reduced and not normalised.
    pub score: fn(&dyn Evidence) -> TensorScores,
}

impl SaliencyRule {
    pub fn needs(&self, statistic: Statistic) -> bool {
        self.needs.contains(&statistic)
    }
}

static REGISTERED: RwLock<Vec<&'static SaliencyRule>> = RwLock::new(Vec::new());

/// Makes a rule from outside of this crate known under its name: experiment files read afterwards may use it.
///
/// # Errors
/// The rule that has this name already.
pub fn register(rule: &'static SaliencyRule) -> Result<(), Saliency> {
    match Saliency::named(rule.name) {
        Some(taken) if std::ptr::eq(taken.0, rule) => Ok(()),
        Some(taken) => Err(taken),
        None => {
            REGISTERED.write().unwrap_or_else(PoisonError::into_inner).push(rule);
            Ok(())
        }
    }
}

/// A rule, as specifications hold it; written as its name.
#[derive(Clone, Copy)]
pub struct Saliency(&'static SaliencyRule);

impl Saliency {
    pub const RANDOM: Saliency = Saliency(&random::RULE);
    pub const MAGNITUDE_L2: Saliency = Saliency(&magnitude_l2::RULE);
    pub const TAYLOR1: Saliency = Saliency(&taylor1::RULE);
    pub const TAYLOR_MIX: Saliency = Saliency(&taylor_mix::RULE);

    /// All rules: this crate's, then those that were registered.
    pub fn all() -> Vec<Saliency> {
        let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
        RULES.iter().chain(registered.iter()).map(|rule| Saliency(rule)).collect()
    }

    pub fn named(name: &str) -> Option<Saliency> {
        Saliency::all().into_iter().find(|rule| rule.name == name)
    }

    /// The rule that stands for a Hessian where an experiment names only that: the method's own where it has one.
    pub fn of(hessian: Hessian) -> Saliency {
        Saliency(match hessian {
            Hessian::None => &taylor1::RULE,
            Hessian::GlobalDiagonal => &taylor_mix::RULE,
            Hessian::Layerwise => &obs::RULE,
        })
    }
}

impl From<&'static SaliencyRule> for Saliency {
    fn from(rule: &'static SaliencyRule) -> Self {
        Saliency(rule)
    }
}

impl Deref for Saliency {
    type Target = SaliencyRule;

    fn deref(&self) -> &SaliencyRule {
        self.0
    }
}

impl PartialEq for Saliency {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Saliency {}

impl fmt::Debug for Saliency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Serialize for Saliency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

impl<'de> Deserialize<'de> for Saliency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Saliency::named(&name)
            .ok_or_else(|| serde::de::Error::custom(format!("no saliency rule is called `{name}`")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_have_distinct_names_and_are_written_by_them() {
        let names: std::collections::BTreeSet<&str> = RULES.iter().map(|rule| rule.name).collect();
        assert!(names.len() == RULES.len() && RULES.len() >= 14);
        for rule in Saliency::all() {
            let text = serde_json::to_string(&rule).unwrap();
            assert_eq!(text, format!("{:?}", rule.name));
            assert_eq!(serde_json::from_str::<Saliency>(&text).unwrap(), rule);
        }
        let error = serde_json::from_str::<Saliency>("\"taylr1\"").unwrap_err().to_string();
        assert!(error.starts_with("no saliency rule is called `taylr1`"), "{error}");
        for hessian in [Hessian::None, Hessian::GlobalDiagonal, Hessian::Layerwise] {
            assert_eq!(Saliency::of(hessian).hessian, hessian);
        }
    }

    /// The file of a rule is all there is to it, and short.
    #[test]
    fn every_rule_is_a_short_file_with_its_equation_on_top() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rules/saliency");
        for rule in RULES {
            let text = std::fs::read_to_string(folder.join(format!("{}.rs", rule.name))).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or("");
            assert!(code.lines().count() <= 80, "{}: {} lines", rule.name, code.lines().count());
            assert!(
                code.starts_with(&format!("//! `{}`", rule.name)) && code.contains("//! S["),
                "{}",
                rule.name
            );
        }
    }
}
