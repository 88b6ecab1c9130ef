//! Biases that a model gets after it was made: an update may move what a removed channel added on average into one.
use super::{Biases, Linear, ModelConfig, Weights};
use crate::schema::Projection;
use crate::tensor::Backend;

/// Gives every layer of `tree`, whose shape is `config`, biases of 0 where `biases` has some and the layer has none: of
/// weights, and of whatever has their shape. The function of the model stays as it is. `config.biases` is the caller's to set.
pub fn add_biases<B: Backend>(
    backend: &B,
    config: &ModelConfig,
    tree: &mut Weights<B::Tensor>,
    biases: Biases,
) {
    for (i, layer) in tree.layers.iter_mut().enumerate() {
        for projection in biases.iter() {
            let Linear { bias, .. } = layer.linear_mut(projection);
            bias.get_or_insert_with(|| backend.zeros(1, config.length(projection.outputs(i))));
        }
    }
}

/// The linear layers with a bias in any layer of `tree`.
pub fn biases_of<T>(tree: &Weights<T>) -> Biases {
    let has =
        |projection: &Projection| tree.layers.iter().any(|layer| layer.linear(*projection).bias.is_some());
    Projection::ALL.into_iter().filter(has).collect()
}
