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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixtures;
    use crate::model::llama::{self, Workspace};
    use crate::tensor::CpuBackend;

    /// A bias of 0 changes nothing, and one that is there already stays.
    #[test]
    fn added_biases_are_zeros_where_there_were_none() {
        let backend = CpuBackend::<f64>::new();
        let config = fixtures::biased(fixtures::config(9, 6, 4, true, &[(3, 1, 5), (2, 2, 3)]));
        let mut weights = fixtures::weights::<f64>(&config, 1);
        let before = weights.clone();
        let (inputs, targets) = (fixtures::tokens(8, 9, 1), fixtures::tokens(8, 9, 2));
        let mut work = Workspace::new(&backend);
        let expected = llama::log_probabilities(&backend, &config, &weights, &inputs, &targets, 2, &mut work);
        let biases = Biases::QKV.union(Biases::MLP);
        add_biases(&backend, &config, &mut weights, biases);
        assert_eq!(biases_of(&weights), biases);
        assert_eq!(weights.layers[1].q, before.layers[1].q);
        let config = ModelConfig { biases, ..config };
        assert_eq!(weights.map(|leaf| [leaf.rows, leaf.cols]), Weights::shapes(&config));
        let found = llama::log_probabilities(&backend, &config, &weights, &inputs, &targets, 2, &mut work);
        assert_eq!(found, expected);
    }
}
