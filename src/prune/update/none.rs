//! `none`: the weights that stay are left as they are (EfficientLLM-A).
use super::{UpdateContext, UpdateRule};
use crate::model::{ModelConfig, Weights};
use crate::prune::error::PruneError;
use crate::prune::survivors::Survivors;
use crate::spec::GroupType;
use crate::tensor::Backend;

pub struct None;

impl<B: Backend> UpdateRule<B> for None {
    fn name(&self) -> &'static str {
        "none"
    }

    fn flops(&self, _: &ModelConfig, _: GroupType, _: &Survivors) -> u64 {
        0
    }

    fn update(&self, _: &UpdateContext<'_, B>, _: &mut Weights<B::Tensor>) -> Result<(), PruneError> {
        Ok(())
    }
}
