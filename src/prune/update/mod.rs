//! What happens to the weights that stay (method §3, `update_hessian`).
//!
//! A rule is one file that implements [`UpdateRule`] and one line of [`rule`]. It runs before the removal, on tensors of
//! full width; whatever it writes into removed columns is deleted right after.
mod layerwise;
mod none;

use super::error::PruneError;
use super::grams::Grams;
use super::survivors::Survivors;
use crate::model::{ModelConfig, Weights};
use crate::spec::{GroupType, Update};
use crate::tensor::Backend;

/// One event about to happen.
pub struct UpdateContext<'a, B: Backend> {
    pub backend: &'a B,
    /// Shape before the event.
    pub config: &'a ModelConfig,
    pub kind: GroupType,
    /// What the event keeps: positions in the model before it.
    pub kept: &'a Survivors,
    /// λ
    pub damping: f64,
    /// Fitting `config`; there where [`UpdateRule::needs_grams`].
    pub grams: Option<&'a Grams>,
}

/// A compensation for removed groups by the weights that stay.
pub trait UpdateRule<B: Backend>: Sync {
    /// Name in experiment files.
    fn name(&self) -> &'static str;
    /// Whether [`UpdateContext::grams`] must be there.
    fn needs_grams(&self) -> bool {
        false
    }
    /// Floating-point operations of one event that keeps `kept` of a model of shape `config`.
    fn flops(&self, config: &ModelConfig, kind: GroupType, kept: &Survivors) -> u64;
    /// Changes `weights` in place.
    ///
    /// # Errors
    /// Where the statistics do not permit it; the weights may then be changed in part.
    fn update(
        &self,
        context: &UpdateContext<'_, B>,
        weights: &mut Weights<B::Tensor>,
    ) -> Result<(), PruneError>;
}

/// The rule of this name.
pub fn rule<B: Backend>(update: Update) -> &'static dyn UpdateRule<B> {
    match update {
        Update::None => &none::None,
        Update::Layerwise => &layerwise::Layerwise,
    }
}
