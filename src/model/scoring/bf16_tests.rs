//! Packed scoring in bf16 against what rounding alone leaves.
//!
//! How far bf16 may be from exact numbers depends on the model: every rounding is relative, of at most u = 2⁻⁸, and what it does to a
//! log-probability is that times the value and its gradient. So the bound is made for each model by the model itself: a naive pass in
//! f64 rounds to bf16 where the device does, and nowhere else,
//!
//! ```text
//! weights and biases of linear layers · embedding · norms · q, k, v · q, k after RoPE · P (relative to its maximum) · outputs of heads
//! residual stream after o, after down, and after their biases · gate, up · silu(gate)·up
//! ```
//!
//! and its distance from the same pass without rounding is what rounding does. The device adds in another order, takes P relative to the
//! largest score so far, and so may round any value the other way: its errors are drawn anew, of the same size.
use super::tests::{as_item, draw_items};
use super::*;
use crate::base::random::stream;
use crate::model::fixtures;
use crate::model::llama::{self, Workspace};
use crate::model::weights::Linear;
use crate::tensor::cuda::emulated::EmulatedDevice;
use crate::tensor::cuda::{CudaBackend, Precision};
use crate::tensor::{CpuBackend, Matrix};

type Rows = Vec<Vec<f64>>;

fn to_bf16(x: f64) -> f64 {
    half::bf16::from_f64(x).to_f64()
}

/// A pass over one sequence; `round` is what happens to every value that the device holds in bf16.
struct Naive<'a> {
    config: &'a ModelConfig,
    weights: &'a Weights<Matrix<f32>>,
    round: fn(f64) -> f64,
}

impl Naive<'_> {
    fn row(&self, matrix: &Matrix<f32>, row: usize) -> Vec<f64> {
        let values = &matrix.data[row * matrix.cols..(row + 1) * matrix.cols];
        values.iter().map(|&x| (self.round)(f64::from(x))).collect()
    }

    /// The output row of a linear layer, added to what stands in `out`.
    fn linear(&self, out: &mut [f64], x: &[f64], matrix: &Matrix<f32>) {
        for (row, out) in out.iter_mut().enumerate() {
            let weight = self.row(matrix, row);
            *out += weight.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
        }
    }

    fn rounded(&self, mut x: Vec<f64>) -> Vec<f64> {
        x.iter_mut().for_each(|x| *x = (self.round)(*x));
        x
    }

    /// x Wᵀ + b, rounded once.
    fn output(&self, x: &[f64], linear: &Linear<Matrix<f32>>) -> Vec<f64> {
        let mut out = match &linear.bias {
            Some(bias) => self.row(bias, 0),
            None => vec![0.0; linear.weight.rows],
        };
        self.linear(&mut out, x, &linear.weight);
        self.rounded(out)
    }

    /// x Wᵀ on top of the residual stream, rounded, and then its bias.
    fn add_output(&self, stream: &mut Vec<f64>, x: &[f64], linear: &Linear<Matrix<f32>>) {
        self.linear(stream, x, &linear.weight);
        *stream = self.rounded(std::mem::take(stream));
        if let Some(bias) = &linear.bias {
            let with = stream.iter().zip(&bias.data).map(|(x, &b)| (self.round)(x + f64::from(b)));
            *stream = with.collect();
        }
    }

    fn norm(&self, x: &[f64], weight: &Matrix<f32>) -> Vec<f64> {
        let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        let inverse = 1.0 / (mean + self.config.rms_norm_eps).sqrt();
        self.rounded(x.iter().zip(&weight.data).map(|(x, &w)| x * inverse * f64::from(w)).collect())
    }

    /// q or k on whole heads, rotated to `position`.
    fn rotary(
        &self,
        x: &[f64],
        linear: &Linear<Matrix<f32>>,
        places: Option<&[usize]>,
        position: usize,
    ) -> Vec<f64> {
        let h = self.config.head_dim;
        let narrow = self.output(x, linear);
        let mut out = narrow.clone();
        if let Some(places) = places {
            out = vec![0.0; places.last().map_or(0, |last| last / h * h + h)];
            places.iter().zip(narrow).for_each(|(&place, x)| out[place] = x);
        }
        for head in out.chunks_exact_mut(h) {
            for pair in 0..h / 2 {
                let angle = position as f64 * self.config.rope_theta.powf(-2.0 * pair as f64 / h as f64);
                let (a, b) = (head[pair], head[pair + h / 2]);
                head[pair] = a * angle.cos() - b * angle.sin();
                head[pair + h / 2] = b * angle.cos() + a * angle.sin();
            }
        }
        self.rounded(out)
    }

    fn attend(&self, shape: (usize, usize), q: &Rows, k: &Rows, v: &Rows) -> Rows {
        let ((heads, kv_heads), h) = (shape, self.config.head_dim);
        let of_row = |i: usize| -> Vec<f64> {
            let mut out = vec![0.0; heads * h];
            for head in 0..heads {
                let kv = head * kv_heads / heads * h;
                let score = |j: usize| {
                    let product = (0..h).map(|c| q[i][head * h + c] * k[j][kv + c]).sum::<f64>();
                    product / (h as f64).sqrt()
                };
                let scores: Vec<f64> = (0..=i).map(score).collect();
                let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let total: f64 = scores.iter().map(|s| (s - most).exp()).sum();
                for (j, s) in scores.iter().enumerate() {
                    let p = (self.round)((s - most).exp()) / total;
                    (0..h).for_each(|c| out[head * h + c] += p * v[j][kv + c]);
                }
            }
            self.rounded(out)
        };
        (0..q.len()).map(of_row).collect()
    }

    /// Log-probabilities of all tokens after each position.
    fn log_probabilities(&self, tokens: &[u32]) -> Rows {
        let Naive { config, weights, .. } = *self;
        let mut x: Rows = tokens.iter().map(|&token| self.row(&weights.embed, token as usize)).collect();
        for (index, (w, shape)) in weights.layers.iter().zip(&config.layers).enumerate() {
            let n: Rows = x.iter().map(|x| self.norm(x, &w.attn_norm)).collect();
            let rotary = |linear: &Linear<Matrix<f32>>, heads| -> Rows {
                let places = rotary_places(config, heads, index);
                let turned = |(t, n): (usize, &Vec<f64>)| self.rotary(n, linear, places.as_deref(), t);
                n.iter().enumerate().map(turned).collect()
            };
            let (q, k) = (rotary(&w.q, Dim::QueryHead(index)), rotary(&w.k, Dim::KvHead(index)));
            let v: Rows = n.iter().map(|n| self.output(n, &w.v)).collect();
            let attended = self.attend((shape.num_heads, shape.num_kv_heads), &q, &k, &v);
            for (x, attended) in x.iter_mut().zip(&attended) {
                self.add_output(x, attended, &w.o);
                let n = self.norm(x, &w.ffn_norm);
                let (gate, up) = (self.output(&n, &w.gate), self.output(&n, &w.up));
                let silu = |z: f64| z / (1.0 + (-z).exp());
                let activated = gate.iter().zip(&up).map(|(&gate, up)| silu(gate) * up).collect();
                self.add_output(x, &self.rounded(activated), &w.down);
            }
        }
        let head = weights.head.as_ref().unwrap_or(&weights.embed);
        let of_row = |x: &Vec<f64>| {
            let mut logits = vec![0.0; config.vocab_size];
            self.linear(&mut logits, &self.norm(x, &weights.norm), head);
            let total = logits.iter().map(|z| z.exp()).sum::<f64>().ln();
            logits.iter().map(|z| z - total).collect()
        };
        x.iter().map(of_row).collect()
    }
}

fn root_mean_square(errors: &[f64]) -> f64 {
    (errors.iter().map(|x| x * x).sum::<f64>() / errors.len() as f64).sqrt()
}

/// In `biased_gqa` the largest error is 0.2 nats, of the device and of rounding alone: its logits are differences of large numbers.
#[test]
fn packed_differs_from_exact_by_what_rounding_does() {
    let Some(device) = EmulatedDevice::new() else { return };
    let backend = CudaBackend::over(device, Precision::Bf16);
    let cpu = CpuBackend::<f64>::new();
    let mut rng = stream(11, "packed items");
    let (mut work, mut exact_work) = (ScoringWorkspace::new(&backend), Workspace::new(&cpu));
    for (index, (name, config, ..)) in fixtures::cases().into_iter().enumerate() {
        let weights = fixtures::weights::<f32>(&config, index as u64);
        let there = weights.map(|leaf| backend.from_host(leaf.rows, leaf.cols, &leaf.data));
        let here = weights.map(|leaf| Matrix {
            rows: leaf.rows,
            cols: leaf.cols,
            data: leaf.data.iter().map(|&x| f64::from(x)).collect(),
        });
        let drawn = draw_items(10, index, config.vocab_size, &mut rng);
        let items: Vec<_> = drawn.iter().map(as_item).collect();
        let scores = score_items(&backend, &config, &there, &items, &mut work);
        let rounding = Naive { config: &config, weights: &weights, round: to_bf16 };
        let plain = Naive { round: |x| x, ..rounding };
        let (mut ours, mut theirs, mut apart) = (Vec::new(), Vec::new(), Vec::new());
        for (item, scores) in items.iter().zip(&scores.log_probabilities) {
            for (sequence, found) in item.iter().zip(scores).filter(|(s, _)| !s.inputs().is_empty()) {
                let (inputs, targets) = (sequence.inputs(), &sequence.tokens[1..]);
                let exact =
                    llama::log_probabilities(&cpu, &config, &here, inputs, targets, 1, &mut exact_work);
                let (rounded, naive) = (rounding.log_probabilities(inputs), plain.log_probabilities(inputs));
                for (at, found) in (sequence.scored_from - 1..).zip(found) {
                    let target = targets[at] as usize;
                    // The naive pass is the model's.
                    assert!((naive[at][target] - exact[at]).abs() < 1e-9, "{name}");
                    ours.push(found - exact[at]);
                    theirs.push(rounded[at][target] - exact[at]);
                    apart.push(found - rounded[at][target]);
                }
            }
        }
        let [ours, theirs, apart] = [&ours, &theirs, &apart].map(|errors| root_mean_square(errors));
        // Draws of one size: their roots of the mean square are alike within a half, and two of them that have nothing in common
        // would be √2 times as far apart.
        assert!(ours <= 1.5 * theirs, "{name}: off by {ours}, and rounding alone by {theirs}");
        assert!(
            apart <= 2f64.sqrt() * theirs,
            "{name}: {apart} apart, and rounding alone is off by {theirs}"
        );
    }
}
