//! `layerwise`: Optimal Brain Surgeon within each linear layer that loses input columns (EfficientLLM-B; Xing et al. 2025,
//! arXiv:2502.06663).
//!
//! ```text
//! W ← W − W_S (G⁻¹_SS)⁻¹ G⁻¹_S:        S: the input columns that the event removes
//! ```
//!
//! | event | linears | G |
//! |---|---|---|
//! | `ffn` | down | `down_in` |
//! | `head` | o | `o_in` |
//! | `stem` | q, k, v; gate, up | `attn_in`; `ffn_in` |
//!
//! Rows that the event removes (of gate and up; q, k and v; embedding, o and down) are deleted without compensation, and so
//! are the head's columns of a `stem` event.
use super::{UpdateContext, UpdateRule};
use crate::model::{LayerWeights, ModelConfig, Weights};
use crate::prune::cost;
use crate::prune::error::PruneError;
use crate::prune::grams::LayerGrams;
use crate::prune::obs::{FactoredGram, NotPositiveDefinite};
use crate::prune::survivors::{Survivors, complement, head_rows};
use crate::spec::GroupType;
use crate::tensor::{Backend, Scalar};
use nalgebra::DMatrix;
use rayon::prelude::*;

pub struct Layerwise;

/// One input of a layer that loses columns, and the linears that read it.
struct Input<'a, T> {
    name: &'static str,
    gram: &'a DMatrix<f64>,
    columns: Vec<usize>,
    linears: Vec<&'a mut T>,
}

impl<B: Backend> UpdateRule<B> for Layerwise {
    fn name(&self) -> &'static str {
        "layerwise"
    }

    fn needs_grams(&self) -> bool {
        true
    }

    fn flops(&self, config: &ModelConfig, kind: GroupType, kept: &Survivors) -> u64 {
        cost::layerwise_update_flops(config, kind, kept)
    }

    fn update(
        &self,
        context: &UpdateContext<'_, B>,
        weights: &mut Weights<B::Tensor>,
    ) -> Result<(), PruneError> {
        let Some(grams) = context.grams else {
            return Err(PruneError::MissingGrams { rule: "layerwise" });
        };
        // Layers do not read each other; of several faults the first layer's is told.
        let layers = weights.layers.par_iter_mut().zip(&grams.layers).enumerate();
        let outcomes: Vec<_> =
            layers.map(|(i, (layer, grams))| update_layer(context, i, layer, grams)).collect();
        outcomes.into_iter().collect()
    }
}

fn update_layer<B: Backend>(
    context: &UpdateContext<'_, B>,
    i: usize,
    layer: &mut LayerWeights<B::Tensor>,
    grams: &LayerGrams,
) -> Result<(), PruneError> {
    let UpdateContext { backend, config, kind, kept, damping, .. } = *context;
    let (shape, kept_here) = (&config.layers[i], &kept.layers[i]);
    let inputs = match kind {
        GroupType::Ffn => {
            let columns = complement(&kept_here.ffn, shape.intermediate_size);
            vec![Input {
                name: "down_in",
                gram: &grams.down_in,
                columns,
                linears: vec![&mut layer.down.weight],
            }]
        }
        GroupType::Head => {
            let heads = complement(&kept_here.query_heads, shape.num_heads);
            let columns = head_rows(&heads, config.head_dim);
            vec![Input { name: "o_in", gram: &grams.o_in, columns, linears: vec![&mut layer.o.weight] }]
        }
        GroupType::Stem => {
            let columns = complement(&kept.stem, config.hidden_size);
            let attention = vec![&mut layer.q.weight, &mut layer.k.weight, &mut layer.v.weight];
            let ffn = vec![&mut layer.gate.weight, &mut layer.up.weight];
            vec![
                Input { name: "attn_in", gram: &grams.attn_in, columns: columns.clone(), linears: attention },
                Input { name: "ffn_in", gram: &grams.ffn_in, columns, linears: ffn },
            ]
        }
    };
    for Input { name: input, gram, columns, linears } in inputs {
        let refuse = |NotPositiveDefinite| PruneError::NotPositiveDefinite { layer: i, input, damping };
        let factored = FactoredGram::new(gram, damping).map_err(refuse)?;
        for linear in linears {
            let mut host = download(backend, linear);
            factored.eliminate(&mut host, &columns).map_err(refuse)?;
            *linear = upload(backend, &host);
        }
    }
    Ok(())
}

fn download<B: Backend>(backend: &B, tensor: &B::Tensor) -> DMatrix<f64> {
    let [rows, cols] = backend.shape(tensor);
    DMatrix::from_row_iterator(rows, cols, backend.to_host(tensor).into_iter().map(Scalar::to_f64))
}

fn upload<B: Backend>(backend: &B, matrix: &DMatrix<f64>) -> B::Tensor {
    // Storage is by columns: the transpose's is by rows.
    let values: Vec<B::Scalar> = matrix.transpose().iter().map(|&x| B::Scalar::from_f64(x)).collect();
    backend.from_host(matrix.nrows(), matrix.ncols(), &values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prune::grams::{Grams, LayerGrams};
    use crate::prune::groups::{Groups, TYPES};
    use crate::prune::testing::{random_tree, small_config, small_spec};
    use crate::schema::Projection;
    use crate::tensor::{CpuBackend, Matrix};

    /// X (n × 40) and G = X Xᵀ; the same X for every input of width n.
    fn inputs(n: usize) -> DMatrix<f64> {
        let mut generator = crate::base::random::stream(n as u64, "x");
        DMatrix::from_fn(n, 40, |_, _| rand::RngExt::random::<f64>(&mut generator) - 0.5)
    }

    fn gram(n: usize) -> DMatrix<f64> {
        inputs(n) * inputs(n).transpose()
    }

    fn matrix(tensor: &Matrix<f64>) -> DMatrix<f64> {
        DMatrix::from_row_slice(tensor.rows, tensor.cols, &tensor.data)
    }

    #[test]
    fn every_linear_that_loses_columns_becomes_its_least_squares_fit_and_no_other_changes() {
        let backend = CpuBackend::<f64>::new();
        let config = small_config(false);
        let layer = LayerGrams { attn_in: gram(12), o_in: gram(12), ffn_in: gram(12), down_in: gram(8) };
        let grams = Grams { layers: vec![layer; 2], num_tokens: 40, step: 0 };
        let groups = Groups::new(&small_spec(), &config).unwrap();
        for kind in TYPES {
            let kept = groups.without(kind, &config, &[1, 2]);
            let before = random_tree(&backend, &config, 3, (-1.0, 1.0));
            let mut after = before.clone();
            let context = UpdateContext {
                backend: &backend,
                config: &config,
                kind,
                kept: &kept,
                damping: 0.0,
                grams: Some(&grams),
            };
            Layerwise.update(&context, &mut after).unwrap();
            for ((id, old), (_, new)) in before.params().into_iter().zip(after.params()) {
                let (name, place) = (id.hf_name(), id.layer().unwrap_or(0));
                let columns = match (kind, id.projection()) {
                    (GroupType::Ffn, Some(Projection::Down)) => Some(kept.layers[place].ffn.clone()),
                    (GroupType::Head, Some(Projection::O)) => {
                        Some(head_rows(&kept.layers[place].query_heads, 2))
                    }
                    (GroupType::Stem, Some(projection)) if !projection.is_residual() => {
                        Some(kept.stem.clone())
                    }
                    _ => None,
                };
                match columns {
                    None => assert_eq!(old, new, "{name} under {kind:?}"),
                    Some(columns) => {
                        // Normal equations: the residual is orthogonal to every kept input.
                        let x = inputs(old.cols);
                        let residual = (matrix(old) - matrix(new)) * &x;
                        let product = residual * x.select_rows(&columns).transpose();
                        assert!(product.amax() < 1e-12, "{name} under {kind:?}: {}", product.amax());
                        assert_ne!(old, new);
                    }
                }
            }
        }
    }

    #[test]
    fn a_singular_gram_names_its_place() {
        let backend = CpuBackend::<f64>::new();
        let config = small_config(true);
        let ones = |n| DMatrix::from_element(n, n, 1.0);
        let layer = LayerGrams { attn_in: gram(12), o_in: gram(12), ffn_in: gram(12), down_in: gram(8) };
        let broken = LayerGrams { down_in: ones(8), ..layer.clone() };
        let grams = Grams { layers: vec![layer, broken], num_tokens: 1, step: 0 };
        let groups = Groups::new(&small_spec(), &config).unwrap();
        let kept = groups.without(GroupType::Ffn, &config, &[0, 0]);
        let context = UpdateContext {
            backend: &backend,
            config: &config,
            kind: GroupType::Ffn,
            kept: &kept,
            damping: 0.0,
            grams: Some(&grams),
        };
        let mut weights = random_tree(&backend, &config, 3, (-1.0, 1.0));
        let error = Layerwise.update(&context, &mut weights).unwrap_err().to_string();
        assert!(error.starts_with("grams of layer 1, down_in: "), "{error}");
        assert!(error.contains("is not positive definite; hint: collect more tokens"), "{error}");
    }
}
