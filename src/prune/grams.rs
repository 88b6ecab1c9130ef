//! Second moments of the inputs of the linear layers, G = Σ x xᵀ over tokens: the layerwise Hessian (method §3).
//!
//! | name | width n | linears that read this input |
//! |---|---|---|
//! | `attn_in` | d | q, k, v |
//! | `o_in` | H·h | o |
//! | `ffn_in` | d | gate, up |
//! | `down_in` | f | down |
//!
//! An event deletes the rows and columns of the inputs that it removes. What remains is G of the network *before* that
//! event: removing stem channels changes every later activation, and so does an updated weight; removed FFN
//! channels and heads leave the layer's own other inputs as they are but change those of later layers. The
//! record of an event says how many steps old its G was; collect anew as often as that matters.
use super::error::PruneError;
use super::survivors::{Survivors, head_rows};
use crate::model::ModelConfig;
use crate::model::llama::LayerInputs;
use crate::tensor::{Backend, Communicator, Product, RankError, Scalar};
use nalgebra::DMatrix;

/// G of the four inputs of one decoder layer, n × n each.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerGrams {
    pub attn_in: DMatrix<f64>,
    pub o_in: DMatrix<f64>,
    pub ffn_in: DMatrix<f64>,
    pub down_in: DMatrix<f64>,
}

/// G of a whole model.
#[derive(Clone, Debug, PartialEq)]
pub struct Grams {
    pub layers: Vec<LayerGrams>,
    /// Tokens summed over.
    pub num_tokens: u64,
    /// Optimiser step whose weights the tokens went through.
    pub step: u64,
}

impl Grams {
    /// # Errors
    /// [`PruneError::GramShape`] where a matrix does not have the width that `config` gives its input.
    pub fn check(&self, config: &ModelConfig) -> Result<(), PruneError> {
        let wrong = |layer, input, found: &DMatrix<f64>, width| PruneError::GramShape {
            layer,
            input,
            rows: found.nrows(),
            cols: found.ncols(),
            width,
        };
        for (i, shape) in config.layers.iter().enumerate() {
            let d = config.hidden_size;
            let Some(grams) = self.layers.get(i) else {
                return Err(wrong(i, "attn_in", &DMatrix::zeros(0, 0), d));
            };
            for (input, gram, width) in [
                ("attn_in", &grams.attn_in, d),
                ("o_in", &grams.o_in, shape.num_heads * config.head_dim),
                ("ffn_in", &grams.ffn_in, d),
                ("down_in", &grams.down_in, shape.intermediate_size),
            ] {
                if gram.shape() != (width, width) {
                    return Err(wrong(i, input, gram, width));
                }
            }
        }
        Ok(())
    }

    /// Deletes the rows and columns of inputs that `kept` (positions now) does not list.
    pub fn keep(&mut self, kept: &Survivors, head_dim: usize) {
        let slice = |gram: &mut DMatrix<f64>, indices: &[usize]| {
            if indices.len() < gram.nrows() {
                *gram = gram.select_rows(indices).select_columns(indices);
            }
        };
        for (grams, layer) in self.layers.iter_mut().zip(&kept.layers) {
            slice(&mut grams.attn_in, &kept.stem);
            slice(&mut grams.ffn_in, &kept.stem);
            slice(&mut grams.o_in, &head_rows(&layer.query_heads, head_dim));
            slice(&mut grams.down_in, &layer.ffn);
        }
    }
}

/// Sums G on the device as forward passes go by: call [`GramAccumulator::add`] from their tap.
pub struct GramAccumulator<B: Backend> {
    /// `attn_in`, `o_in`, `ffn_in`, `down_in` per layer.
    layers: Vec<[B::Tensor; 4]>,
    num_tokens: u64,
}

impl<B: Backend> GramAccumulator<B> {
    /// Nothing summed yet, for a model of shape `config`.
    pub fn new(backend: &B, config: &ModelConfig) -> Self {
        let square = |n| backend.zeros(n, n);
        let d = config.hidden_size;
        let layers = config
            .layers
            .iter()
            .map(|shape| [d, shape.num_heads * config.head_dim, d, shape.intermediate_size].map(square))
            .collect();
        GramAccumulator { layers, num_tokens: 0 }
    }

    /// Adds the inputs of one layer (N × n each). Tokens are counted at layer 0.
    pub fn add(&mut self, backend: &B, layer: usize, inputs: &LayerInputs<'_, B::Tensor>) {
        let parts = [inputs.attn_in, inputs.o_in, inputs.ffn_in, inputs.down_in];
        if layer == 0 {
            self.num_tokens += backend.shape(inputs.attn_in)[0] as u64;
        }
        for (sum, x) in self.layers[layer].iter_mut().zip(parts) {
            backend.matmul(Product::TN, sum, true, x, x);
        }
    }

    /// Makes the sums those of all ranks.
    ///
    /// # Errors
    /// Another rank has stopped.
    pub fn sum_over_ranks(
        &mut self,
        backend: &B,
        communicator: &dyn Communicator<B>,
    ) -> Result<(), RankError> {
        let mut sums: Vec<&mut B::Tensor> = self.layers.iter_mut().flatten().collect();
        communicator.sum_tensors(backend, &mut sums)?;
        self.num_tokens = communicator.sum(self.num_tokens as f64)? as u64;
        Ok(())
    }

    /// The sums on the host, collected through the weights of optimiser step `step`.
    pub fn finish(self, backend: &B, step: u64) -> Grams {
        let host = |tensor: &B::Tensor| {
            let [rows, cols] = backend.shape(tensor);
            DMatrix::from_row_iterator(rows, cols, backend.to_host(tensor).into_iter().map(Scalar::to_f64))
        };
        let layers = self
            .layers
            .iter()
            .map(|[attn_in, o_in, ffn_in, down_in]| LayerGrams {
                attn_in: host(attn_in),
                o_in: host(o_in),
                ffn_in: host(ffn_in),
                down_in: host(down_in),
            })
            .collect();
        Grams { layers, num_tokens: self.num_tokens, step }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prune::testing::small_config;
    use crate::tensor::{CpuBackend, Matrix};

    #[test]
    fn accumulates_over_calls_and_slices_along() {
        let backend = CpuBackend::<f64>::new();
        let config = small_config(true);
        let input = |n: usize, at: usize| Matrix {
            rows: 1,
            cols: n,
            data: (0..n).map(|j| (j + at) as f64).collect(),
        };
        let mut sums = GramAccumulator::new(&backend, &config);
        for layer in 0..2 {
            for at in 0..3 {
                let (attn_in, o_in, ffn_in, down_in) =
                    (input(12, at), input(12, at), input(12, at), input(8, at));
                let inputs =
                    LayerInputs { attn_in: &attn_in, o_in: &o_in, ffn_in: &ffn_in, down_in: &down_in };
                sums.add(&backend, layer, &inputs);
            }
        }
        let mut grams = sums.finish(&backend, 7);
        assert_eq!((grams.num_tokens, grams.step), (3, 7));
        assert_eq!(grams.check(&config), Ok(()));
        // Σ_at (2 + at)(5 + at), at = 0, 1, 2.
        assert_eq!(grams.layers[1].down_in[(2, 5)], (2 * 5 + 3 * 6 + 4 * 7) as f64);

        let mut kept = Survivors::all(&config);
        kept.layers[0].ffn.remove(0);
        kept.layers[0].kv_heads.remove(2);
        kept.layers[0].query_heads.truncate(4);
        let before = grams.clone();
        grams.keep(&kept, config.head_dim);
        assert_eq!(grams.check(&kept.shape(&config)), Ok(()));
        assert_eq!(grams.layers[0].down_in[(1, 4)], before.layers[0].down_in[(2, 5)]);
        assert_eq!(grams.layers[1], before.layers[1]);
        assert_eq!(
            grams.check(&config).unwrap_err().to_string(),
            "grams of layer 0, o_in: 8 × 8, and the model's width is 12"
        );
    }
}
