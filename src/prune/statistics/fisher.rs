//! The empirical Fisher diagonal by position, in token units (method §2).
//!
//! ```text
//! linear y = x Wᵀ      F_ij = (1/N) Σ_t δ_ti² x_tj²      δ = ∂L/∂y, L the summed loss; one product of squares
//! bias                 F_i  = (1/N) Σ_t δ_ti²
//! norm y = x̂ ∘ w       F_j  = (1/N) Σ_t (δ_tj x̂_tj)²     x̂ = x / √(mean x² + ε)
//! embedding, head      the same sums; a tied embedding adds up both, position by position of each use
//! ```
//!
//! It does not depend on how a batch is cut into micro-batches, and costs one more gradient of the weights.
use super::TokenStatistic;
use crate::model::taps::{NormSite, Observation};
use crate::model::{ModelConfig, Weights};
use crate::schema::{Linear, Projection};
use crate::tensor::{Accumulation, Backend, Pointwise, Product, Scalar};

/// Σ_t of squared gradients, in the shape of the weights.
pub struct PositionFisher<B: Backend> {
    sums: Weights<B::Tensor>,
    /// Squares of the input that was seen last, and whose it was.
    x_squares: B::Tensor,
    squared: Option<(usize, [bool; 4])>,
    dy_squares: B::Tensor,
    /// Of norms: 1 × d of ones, x̂, 1/√(mean x² + ε).
    ones: B::Tensor,
    normed: B::Tensor,
    inv_rms: B::Tensor,
    epsilon: f64,
}

impl<B: Backend> PositionFisher<B> {
    pub fn new(backend: &B, config: &ModelConfig) -> Self {
        let d = config.hidden_size;
        let activation = || backend.activation(0, 0);
        PositionFisher {
            sums: Weights::shapes(config).map(|&[rows, cols]| backend.zeros(rows, cols)),
            x_squares: activation(),
            squared: None,
            dy_squares: activation(),
            ones: backend.from_host(1, d, &vec![B::Scalar::from_f64(1.0); d]),
            normed: activation(),
            inv_rms: backend.zeros(0, 0),
            epsilon: config.rms_norm_eps,
        }
    }

    /// F, where the loss was scaled by `1 / total_tokens`: gradients of the summed loss are `total_tokens` times what was
    /// seen, and F = (1/N) Σ (N g)² = N Σ g².
    pub fn finish(mut self, backend: &B, total_tokens: usize) -> Weights<B::Tensor> {
        let mut scaled = self.sums.map(|sum| {
            let [rows, cols] = backend.shape(sum);
            backend.zeros(rows, cols)
        });
        let leaves = scaled.leaves_mut().into_iter().zip(self.sums.leaves_mut());
        let mut leaves: Vec<_> = leaves.map(|(sum, x)| Accumulation { x: &*x, sum, squares: None }).collect();
        backend.accumulate(total_tokens as f64, 0.0, &mut leaves);
        drop(leaves);
        scaled
    }
}

/// Which of the four inputs of a layer a linear reads.
fn input_of(projection: Projection) -> [bool; 4] {
    match projection {
        Projection::Q | Projection::K | Projection::V => [true, false, false, false],
        Projection::O => [false, true, false, false],
        Projection::Gate | Projection::Up => [false, false, true, false],
        Projection::Down => [false, false, false, true],
    }
}

impl<B: Backend> TokenStatistic<B> for PositionFisher<B> {
    fn observe(&mut self, backend: &B, seen: &Observation<'_, B::Tensor>) {
        let square = |out: &mut B::Tensor, x: &B::Tensor| {
            let [rows, cols] = backend.shape(x);
            backend.reshape(out, rows, cols);
            backend.pointwise(Pointwise::Square, out, x, None);
        };
        match *seen {
            Observation::Linear { layer, projection, x, dy } => {
                let input = (layer, input_of(projection));
                if self.squared != Some(input) {
                    square(&mut self.x_squares, x);
                    self.squared = Some(input);
                }
                square(&mut self.dy_squares, dy);
                let Linear { weight, bias } = self.sums.layers[layer].linear_mut(projection);
                backend.matmul(Product::TN, weight, true, &self.dy_squares, &self.x_squares);
                if let Some(bias) = bias {
                    backend.add_column_sums(bias, &self.dy_squares);
                }
            }
            Observation::Norm { norm, x, dy } => {
                let [n, d] = backend.shape(x);
                backend.reshape(&mut self.normed, n, d);
                backend.reshape(&mut self.inv_rms, 1, n);
                backend.rmsnorm(&mut self.normed, &mut self.inv_rms, x, &self.ones, self.epsilon);
                backend.reshape(&mut self.dy_squares, n, d);
                backend.pointwise(Pointwise::Product, &mut self.dy_squares, &self.normed, Some(dy));
                square(&mut self.normed, &self.dy_squares);
                let sum = match norm {
                    NormSite::Attn(layer) => &mut self.sums.layers[layer].attn_norm,
                    NormSite::Ffn(layer) => &mut self.sums.layers[layer].ffn_norm,
                    NormSite::Final => &mut self.sums.norm,
                };
                backend.add_column_sums(sum, &self.normed);
            }
            Observation::Head { x, head, targets, scale } => {
                let sum = self.sums.head.as_mut().unwrap_or(&mut self.sums.embed);
                backend.head_squared_gradients(sum, x, head, targets, scale);
                // A pass begins: the same layer's input is another one.
                self.squared = None;
            }
            Observation::Embedding { tokens, dy } => {
                square(&mut self.dy_squares, dy);
                backend.embed_backward(&mut self.sums.embed, &self.dy_squares, tokens);
            }
            Observation::Input { .. } | Observation::InputGradient { .. } => {}
        }
    }

    fn sums(&mut self) -> Vec<&mut B::Tensor> {
        self.sums.leaves_mut()
    }

    fn flops(&self, config: &ModelConfig, tokens: u64) -> u64 {
        // Logits are computed anew, and every weight has a product of squares.
        let head = (config.vocab_size * config.hidden_size) as u64;
        let matrices = config.num_params() - if config.tie_word_embeddings { 0 } else { head };
        2 * tokens * (matrices + head)
    }
}
