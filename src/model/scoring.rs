//! Log-probabilities of several sequences that begin alike, in one forward pass that computes the beginning once.
//!
//! ```text
//! a b c d e f        positions  0 1 2 3 | 4 5 | 4 5 6 | 4
//! a b c d g h i      packed     a b c d | e f | g h i | j
//! a b c d j                     prefix    tails; a tail's tokens see the prefix and their own tail
//! ```
//!
//! Nothing is padded and nothing is kept for a backward pass. The output head is computed for scored positions only.
//! A pass holds the sequences of one item of a benchmark and no others: the order of summation of a matrix product
//! may depend on its number of rows, so only then is a result independent, to the bit, of what is scored beside it.
use super::config::ModelConfig;
use super::weights::Weights;
use crate::tensor::{Backend, PackedShape, Product, RopeTable};

/// A sequence of which `tokens[scored_from..]` are scored, each given all tokens before it; `scored_from` ≥ 1.
#[derive(Clone, Copy, Debug)]
pub struct ScoredSequence<'a> {
    pub tokens: &'a [u32],
    pub scored_from: usize,
}

impl<'a> ScoredSequence<'a> {
    /// What the model sees: all tokens but the last.
    pub fn inputs(&self) -> &'a [u32] {
        &self.tokens[..self.tokens.len().saturating_sub(1)]
    }
}

/// What a pass found, and what it cost.
#[derive(Clone, Debug, PartialEq)]
pub struct SequenceScores {
    /// Per sequence: the natural-log probability of each scored token.
    pub log_probabilities: Vec<Vec<f64>>,
    /// Tokens that passed through the model.
    pub tokens: usize,
}

/// Sequences as one packed sequence.
struct Packing {
    prefix: usize,
    tails: Vec<usize>,
    tokens: Vec<u32>,
    /// Place of each token in its own sequence.
    positions: Vec<u32>,
    /// Row of the packed sequence after which each scored token stands, and that token; sequence by sequence.
    rows: Vec<u32>,
    targets: Vec<u32>,
}

impl Packing {
    fn new(sequences: &[ScoredSequence]) -> Packing {
        let prefix = common_prefix(sequences);
        let first = sequences.first().map_or(&[][..], |s| &s.inputs()[..prefix]);
        let mut packing = Packing {
            prefix,
            tails: Vec::new(),
            tokens: first.to_vec(),
            positions: (0..prefix as u32).collect(),
            rows: Vec::new(),
            targets: Vec::new(),
        };
        for sequence in sequences {
            let start = packing.tokens.len();
            let inputs = sequence.inputs();
            packing.tails.push(inputs.len() - prefix);
            packing.tokens.extend_from_slice(&inputs[prefix..]);
            packing.positions.extend(prefix as u32..inputs.len() as u32);
            for place in sequence.scored_from.max(1)..sequence.tokens.len() {
                let before = place - 1;
                packing.rows.push(if before < prefix { before } else { start + before - prefix } as u32);
                packing.targets.push(sequence.tokens[place]);
            }
        }
        packing
    }
}

/// Length of the longest beginning that all inputs share.
fn common_prefix(sequences: &[ScoredSequence]) -> usize {
    let Some((first, rest)) = sequences.split_first() else { return 0 };
    let first = first.inputs();
    let shared = |s: &ScoredSequence| first.iter().zip(s.inputs()).take_while(|(a, b)| a == b).count();
    rest.iter().map(shared).min().unwrap_or(first.len())
}

/// Reusable buffers of [`score_sequences`].
pub struct ScoringWorkspace<B: Backend> {
    x: B::Tensor,
    normed: B::Tensor,
    inv_rms: B::Tensor,
    q: B::Tensor,
    k: B::Tensor,
    v: B::Tensor,
    attended: B::Tensor,
    gate: B::Tensor,
    up: B::Tensor,
    activated: B::Tensor,
    scored: B::Tensor,
    /// Angles of all positions, with the length, head dim and θ that they are for.
    angles: Option<(usize, usize, f64, RopeTable<B::Tensor>)>,
    /// Angles of the packed positions.
    packed_angles: RopeTable<B::Tensor>,
}

impl<B: Backend> ScoringWorkspace<B> {
    pub fn new(backend: &B) -> Self {
        let empty = || backend.activation(0, 0);
        ScoringWorkspace {
            x: empty(),
            normed: empty(),
            inv_rms: backend.zeros(0, 0),
            q: empty(),
            k: empty(),
            v: empty(),
            attended: empty(),
            gate: empty(),
            up: empty(),
            activated: empty(),
            scored: empty(),
            angles: None,
            packed_angles: RopeTable { cos: backend.zeros(0, 0), sin: backend.zeros(0, 0) },
        }
    }

    /// Gathers the angles of `positions`; a table for longer contexts serves shorter ones.
    fn turn_to(&mut self, backend: &B, config: &ModelConfig, positions: &[u32]) {
        let (head_dim, theta) = (config.head_dim, config.rope_theta);
        let length = positions.iter().max().map_or(0, |&last| last as usize + 1);
        let serves = |(t, h, th, _): &(usize, usize, f64, _)| *t >= length && (*h, *th) == (head_dim, theta);
        if !self.angles.as_ref().is_some_and(serves) {
            let length = length.next_power_of_two();
            self.angles = Some((length, head_dim, theta, backend.rope_table(length, head_dim, theta)));
        }
        if let Some((.., table)) = &self.angles {
            for (packed, all) in
                [(&mut self.packed_angles.cos, &table.cos), (&mut self.packed_angles.sin, &table.sin)]
            {
                backend.reshape(packed, positions.len(), head_dim / 2);
                backend.embed(packed, all, positions);
            }
        }
    }
}

/// Scores `sequences` in one pass.
pub fn score_sequences<B: Backend>(
    backend: &B,
    config: &ModelConfig,
    weights: &Weights<B::Tensor>,
    sequences: &[ScoredSequence],
    work: &mut ScoringWorkspace<B>,
) -> SequenceScores {
    let packing = Packing::new(sequences);
    let log_probabilities = if packing.targets.is_empty() {
        Vec::new()
    } else {
        forward(backend, config, weights, &packing, work);
        let head = weights.head.as_ref().unwrap_or(&weights.embed);
        backend.head_log_probabilities(&work.scored, head, &packing.targets)
    };
    let mut rest = log_probabilities.as_slice();
    let mut take = |sequence: &ScoredSequence| {
        let (own, later) = rest.split_at(sequence.tokens.len().saturating_sub(sequence.scored_from.max(1)));
        rest = later;
        own.to_vec()
    };
    SequenceScores {
        log_probabilities: sequences.iter().map(&mut take).collect(),
        tokens: packing.tokens.len(),
    }
}

/// Runs the model; the final norm's output at the scored rows stands in `work.scored`.
fn forward<B: Backend>(
    backend: &B,
    config: &ModelConfig,
    weights: &Weights<B::Tensor>,
    packing: &Packing,
    work: &mut ScoringWorkspace<B>,
) {
    let (n, d, h, eps) = (packing.tokens.len(), config.hidden_size, config.head_dim, config.rms_norm_eps);
    work.turn_to(backend, config, &packing.positions);
    let ScoringWorkspace {
        x,
        normed,
        inv_rms,
        q,
        k,
        v,
        attended,
        gate,
        up,
        activated,
        scored,
        angles: _,
        packed_angles,
    } = work;
    backend.reshape(x, n, d);
    backend.reshape(normed, n, d);
    backend.reshape(inv_rms, 1, n);
    backend.embed(x, &weights.embed, &packing.tokens);
    for (w, shape) in weights.layers.iter().zip(&config.layers) {
        for (buffer, width) in [
            (&mut *q, shape.num_heads * h),
            (&mut *attended, shape.num_heads * h),
            (&mut *k, shape.num_kv_heads * h),
            (&mut *v, shape.num_kv_heads * h),
            (&mut *gate, shape.intermediate_size),
            (&mut *up, shape.intermediate_size),
            (&mut *activated, shape.intermediate_size),
        ] {
            backend.reshape(buffer, n, width);
        }
        backend.rmsnorm(normed, inv_rms, x, &w.attn_norm, eps);
        backend.matmul(Product::NT, q, false, normed, &w.q);
        backend.matmul(Product::NT, k, false, normed, &w.k);
        backend.matmul(Product::NT, v, false, normed, &w.v);
        if let Some(bias) = &w.bias {
            backend.add_row(q, &bias.q);
            backend.add_row(k, &bias.k);
            backend.add_row(v, &bias.v);
        }
        // The table's row n holds the angle of packed token n: one sequence of n tokens to the backend.
        backend.rope(q, packed_angles, n, h, false);
        backend.rope(k, packed_angles, n, h, false);
        let packed = PackedShape {
            prefix: packing.prefix,
            tails: &packing.tails,
            num_heads: shape.num_heads,
            num_kv_heads: shape.num_kv_heads,
            head_dim: h,
        };
        backend.packed_attention(packed, attended, q, k, v);
        backend.matmul(Product::NT, x, true, attended, &w.o);

        backend.rmsnorm(normed, inv_rms, x, &w.ffn_norm, eps);
        backend.matmul(Product::NT, gate, false, normed, &w.gate);
        backend.matmul(Product::NT, up, false, normed, &w.up);
        backend.swiglu(activated, gate, up);
        backend.matmul(Product::NT, x, true, activated, &w.down);
    }
    backend.rmsnorm(normed, inv_rms, x, &weights.norm, eps);
    backend.reshape(scored, packing.rows.len(), d);
    backend.embed(scored, normed, &packing.rows);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::stream;
    use crate::model::fixtures;
    use crate::model::llama::{self, Workspace};
    use crate::tensor::CpuBackend;
    use crate::tensor::cpu::real::Real;
    use rand::RngExt;

    /// Packed against one plain pass per sequence, over random models and items with shared beginnings; some tails
    /// are empty, some sequences share nothing, some are equal.
    fn agrees<T: Real>(tolerance: f64) {
        let backend = CpuBackend::<T>::new();
        let mut rng = stream(11, "packed items");
        let mut work = ScoringWorkspace::new(&backend);
        for (index, (name, config, ..)) in fixtures::cases().into_iter().enumerate() {
            let weights = fixtures::weights::<T>(&config, index as u64);
            let mut plain_work = Workspace::new(&backend);
            for _ in 0..20 {
                let mut draw = |count: usize| -> Vec<u32> {
                    (0..count).map(|_| rng.random_range(0..config.vocab_size as u32)).collect()
                };
                let shared = draw(index * 3 % 8);
                let sequences: Vec<Vec<u32>> = (0..4)
                    .map(|i| {
                        let own = draw(1 + (i * 5 + index) % 4);
                        [shared.clone(), own].concat()
                    })
                    .collect();
                let scored: Vec<ScoredSequence> = sequences
                    .iter()
                    .map(|tokens| ScoredSequence { tokens, scored_from: shared.len().max(1) })
                    .collect();
                let scores = score_sequences(&backend, &config, &weights, &scored, &mut work);
                for (sequence, ours) in scored.iter().zip(&scores.log_probabilities) {
                    let (inputs, targets) = (sequence.inputs(), &sequence.tokens[1..]);
                    assert_eq!(ours.len(), sequence.tokens.len() - sequence.scored_from, "{name}");
                    if inputs.is_empty() {
                        continue;
                    }
                    let plain = llama::log_probabilities(
                        &backend,
                        &config,
                        &weights,
                        inputs,
                        targets,
                        1,
                        &mut plain_work,
                    );
                    for (a, b) in ours.iter().zip(&plain[sequence.scored_from - 1..]) {
                        assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "{name}: {a} against {b}");
                    }
                }
            }
        }
    }

    #[test]
    fn packed_equals_plain_in_f64() {
        agrees::<f64>(1e-10);
    }

    #[test]
    fn packed_equals_plain_in_f32() {
        agrees::<f32>(1e-5);
    }

    #[test]
    fn the_shared_beginning_is_computed_once() {
        let config = fixtures::config(11, 8, 4, true, &[(2, 1, 6)]);
        let (backend, weights) = (CpuBackend::<f32>::new(), fixtures::weights::<f32>(&config, 1));
        let mut work = ScoringWorkspace::new(&backend);
        let mut tokens = |sequences: &[&[u32]]| {
            let scored: Vec<ScoredSequence> =
                sequences.iter().map(|tokens| ScoredSequence { tokens, scored_from: 3 }).collect();
            score_sequences(&backend, &config, &weights, &scored, &mut work).tokens
        };
        // The prefix, and tails of one token, none and one.
        assert_eq!(tokens(&[&[1, 2, 3, 4, 5], &[1, 2, 3, 6], &[1, 2, 3, 4, 7]]), 3 + 2);
        // Choices of one token each share everything that the model sees.
        assert_eq!(tokens(&[&[1, 2, 3, 4], &[1, 2, 3, 5]]), 3);
    }
}
