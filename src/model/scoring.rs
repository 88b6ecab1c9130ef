//! Log-probabilities of the sequences of several items in one forward pass; sequences of an item may begin alike, and
//! the beginning is computed once.
//!
//! ```text
//! a b c d e f        positions  0 1 2 3 | 4 5 | 4 5 6 | 4
//! a b c d g h i      packed     a b c d | e f | g h i | j
//! a b c d j                     prefix    tails; a tail's tokens see the prefix and their own tail
//! ```
//!
//! Items stand one after the other. Nothing is padded but a pass of very few tokens, nothing is kept for a backward
//! pass, and what follows the last layer's attention is computed for scored positions only. The order of summation of a
//! small matrix product may depend on its number of rows: such a pass is filled up to
//! [`Backend::independent_rows`], so that no item's result depends, to the bit, on what is scored beside it.
use super::config::ModelConfig;
use super::project::{attention_inputs, feed_forward, residual_norm, rotary_places};
use super::weights::Weights;
use crate::schema::{Dim, Projection};
use crate::tensor::{Backend, Norm, PackedSegment, PackedShape, Positions, RopeTable};
use std::mem::swap;
use std::ops::Range;

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

    fn num_scored(&self) -> usize {
        self.tokens.len().saturating_sub(self.scored_from.max(1))
    }
}

/// What a pass found, and what it cost.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemScores {
    /// Per item and sequence: the natural-log probability of each scored token.
    pub log_probabilities: Vec<Vec<Vec<f64>>>,
    /// Tokens that passed through the model for the items.
    pub tokens: usize,
}

/// Tokens that pass through the model for an item: the beginning that its sequences share, and their tails.
pub fn packed_tokens(item: &[ScoredSequence]) -> usize {
    let prefix = common_prefix(item);
    prefix + item.iter().map(|sequence| sequence.inputs().len() - prefix).sum::<usize>()
}

/// Items as one packed batch.
#[derive(Default)]
struct Packing {
    segments: Vec<PackedSegment>,
    tokens: Vec<u32>,
    /// Place of each token in its own sequence.
    positions: Vec<u32>,
    /// Row of the batch after which each scored token stands, and that token; sequence by sequence.
    rows: Vec<u32>,
    targets: Vec<u32>,
}

impl Packing {
    fn new(items: &[Vec<ScoredSequence>]) -> Packing {
        let mut packing = Packing::default();
        for item in items {
            packing.add(item);
        }
        packing
    }

    fn add(&mut self, item: &[ScoredSequence]) {
        let prefix = common_prefix(item);
        let beginning = item.first().map_or(&[][..], |s| &s.inputs()[..prefix]);
        let seen = self.add_segment(beginning, 0, 0..0);
        for sequence in item {
            let inputs = sequence.inputs();
            let tail = self.add_segment(&inputs[prefix..], prefix, seen.clone());
            for place in sequence.scored_from.max(1)..sequence.tokens.len() {
                let before = place - 1;
                let row = if before < prefix { seen.start + before } else { tail.start + before - prefix };
                self.rows.push(row as u32);
                self.targets.push(sequence.tokens[place]);
            }
        }
    }

    /// Rows of the new segment; one without tokens is left out.
    fn add_segment(&mut self, tokens: &[u32], position: usize, seen: Range<usize>) -> Range<usize> {
        let rows = self.tokens.len()..self.tokens.len() + tokens.len();
        if !rows.is_empty() {
            self.tokens.extend_from_slice(tokens);
            self.positions.extend((position..position + tokens.len()).map(|place| place as u32));
            self.segments.push(PackedSegment { rows: rows.clone(), seen });
        }
        rows
    }

    /// Fills the batch up to `rows` tokens, each a sequence of its own of which nothing is asked.
    fn fill_up(&mut self, rows: usize) {
        while self.tokens.len() < rows {
            self.add_segment(&[0], 0, 0..0);
        }
    }
}

/// Length of the longest beginning that all inputs share.
fn common_prefix(sequences: &[ScoredSequence]) -> usize {
    let Some((first, rest)) = sequences.split_first() else { return 0 };
    let first = first.inputs();
    let shared = |s: &ScoredSequence| first.iter().zip(s.inputs()).take_while(|(a, b)| a == b).count();
    rest.iter().map(shared).min().unwrap_or(first.len())
}

/// Columns of the narrowest product of a pass.
fn narrowest_product(config: &ModelConfig) -> usize {
    let outputs =
        |layer| [Projection::K, Projection::V, Projection::Gate].map(|p| config.length(p.outputs(layer)));
    (0..config.layers.len()).flat_map(outputs).fold(config.hidden_size, usize::min)
}

/// Reusable buffers of [`score_items`].
pub struct ScoringWorkspace<B: Backend> {
    x: B::Tensor,
    normed: B::Tensor,
    inv_rms: B::Tensor,
    /// And, after attention, what the feed-forward block reads: a buffer of its own would be memory that a device may lack.
    q: B::Tensor,
    k: B::Tensor,
    v: B::Tensor,
    /// q, and then k, of a layer that has lost RoPE pairs.
    rotary: B::Tensor,
    attended: B::Tensor,
    gate: B::Tensor,
    up: B::Tensor,
    activated: B::Tensor,
    /// What is left of a buffer when its scored rows are gathered.
    gathered: B::Tensor,
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
            rotary: empty(),
            attended: empty(),
            gate: empty(),
            up: empty(),
            activated: empty(),
            gathered: empty(),
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

/// Scores `items` in one pass.
pub fn score_items<B: Backend>(
    backend: &B,
    config: &ModelConfig,
    weights: &Weights<B::Tensor>,
    items: &[Vec<ScoredSequence>],
    work: &mut ScoringWorkspace<B>,
) -> ItemScores {
    let mut packing = Packing::new(items);
    let tokens = packing.tokens.len();
    let log_probabilities = if packing.targets.is_empty() {
        Vec::new()
    } else {
        packing.fill_up(backend.independent_rows(tokens, narrowest_product(config)));
        forward(backend, config, weights, &packing, work);
        let kept: Vec<u32> = (0..packing.targets.len() as u32).collect();
        gather(backend, &mut work.normed, &mut work.gathered, &kept);
        let head = weights.head.as_ref().unwrap_or(&weights.embed);
        backend.head_log_probabilities(&work.normed, head, &packing.targets)
    };
    let mut rest = log_probabilities.as_slice();
    let mut take = |sequence: &ScoredSequence| {
        let (own, later) = rest.split_at(sequence.num_scored());
        rest = later;
        own.to_vec()
    };
    let mut take_item = |item: &Vec<ScoredSequence>| item.iter().map(&mut take).collect();
    ItemScores { log_probabilities: items.iter().map(&mut take_item).collect(), tokens }
}

/// `tensor ← tensor[rows]`
fn gather<B: Backend>(backend: &B, tensor: &mut B::Tensor, spare: &mut B::Tensor, rows: &[u32]) {
    let [_, cols] = backend.shape(tensor);
    backend.reshape(spare, rows.len(), cols);
    backend.embed(spare, tensor, rows);
    swap(tensor, spare);
}

/// Runs the model; the final norm's output of the scored rows, and below them of filling, stands in `work.normed`.
fn forward<B: Backend>(
    backend: &B,
    config: &ModelConfig,
    weights: &Weights<B::Tensor>,
    packing: &Packing,
    work: &mut ScoringWorkspace<B>,
) {
    let (d, h, eps) = (config.hidden_size, config.head_dim, config.rms_norm_eps);
    work.turn_to(backend, config, &packing.positions);
    let ScoringWorkspace {
        x,
        normed,
        inv_rms,
        q,
        k,
        v,
        rotary,
        attended,
        gate,
        up,
        activated,
        gathered,
        angles: _,
        packed_angles,
    } = work;
    let mut scored = packing.rows.clone();
    scored.resize(backend.independent_rows(scored.len(), narrowest_product(config)), 0);
    let mut n = packing.tokens.len();
    backend.reshape(x, n, d);
    backend.embed(x, &weights.embed, &packing.tokens);
    for (index, (w, shape)) in weights.layers.iter().zip(&config.layers).enumerate() {
        let (wide, narrow) = (shape.num_heads * h, shape.num_kv_heads * h);
        for (buffer, width) in
            [(&mut *normed, d), (&mut *q, wide), (&mut *attended, wide), (&mut *k, narrow), (&mut *v, narrow)]
        {
            backend.reshape(buffer, n, width);
        }
        backend.reshape(inv_rms, 1, n);
        // Those of later layers are made with the stream that they read.
        if index == 0 {
            backend.rmsnorm(normed, inv_rms, x, &w.attn_norm, eps);
        }
        let places = [Dim::QueryHead(index), Dim::KvHead(index)].map(|dim| rotary_places(config, dim, index));
        let places = places.each_ref().map(Option::as_deref);
        // The table's row n holds the angle of packed token n: one sequence of n tokens to the backend.
        let positions = Positions { table: packed_angles, context_length: n, head_dim: h };
        attention_inputs(
            backend,
            [&mut *q, &mut *k, &mut *v],
            rotary,
            normed,
            [&w.q, &w.k, &w.v],
            places,
            positions,
        );
        let packed = PackedShape {
            segments: &packing.segments,
            num_heads: shape.num_heads,
            num_kv_heads: shape.num_kv_heads,
            head_dim: h,
        };
        backend.packed_attention(packed, attended, q, k, v);
        if index + 1 == weights.layers.len() {
            // From here on no row reads another.
            n = scored.len();
            gather(backend, x, gathered, &scored);
            gather(backend, attended, gathered, &scored);
        }
        let ffn_in = &mut *q;
        backend.reshape(ffn_in, n, d);
        backend.reshape(inv_rms, 1, n);
        let norm = Norm { out: &mut *ffn_in, inv_rms: &mut *inv_rms, weight: &w.ffn_norm, epsilon: eps };
        residual_norm(backend, x, None, attended, &w.o, norm);

        backend.reshape(normed, n, d);
        for buffer in [&mut *gate, &mut *up, &mut *activated] {
            backend.reshape(buffer, n, shape.intermediate_size);
        }
        let weight = weights.layers.get(index + 1).map_or(&weights.norm, |next| &next.attn_norm);
        let norm = Some(Norm { out: &mut *normed, inv_rms: &mut *inv_rms, weight, epsilon: eps });
        feed_forward(backend, x, None, ffn_in, [gate, up, activated], [&w.gate, &w.up, &w.down], norm);
    }
    if weights.layers.is_empty() {
        n = scored.len();
        gather(backend, x, gathered, &scored);
        backend.reshape(normed, n, d);
        backend.reshape(inv_rms, 1, n);
        backend.rmsnorm(normed, inv_rms, x, &weights.norm, eps);
    }
}

#[cfg(test)]
mod bf16_tests;
#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::stream;
    use crate::model::fixtures;
    use crate::model::llama::{self, Workspace};
    use crate::tensor::cpu::real::Real;
    use crate::tensor::cuda::emulated::EmulatedDevice;
    use crate::tensor::cuda::{CudaBackend, Precision};
    use crate::tensor::{CpuBackend, CpuBf16};
    use rand::{Rng, RngExt};

    /// An item: its sequences, and from where they are scored.
    pub(super) type Drawn = (Vec<Vec<u32>>, usize);

    pub(super) fn as_item((sequences, scored_from): &Drawn) -> Vec<ScoredSequence<'_>> {
        sequences.iter().map(|tokens| ScoredSequence { tokens, scored_from: *scored_from }).collect()
    }

    /// Items of four sequences with shared beginnings; some tails are empty, some sequences share nothing, some are equal.
    pub(super) fn draw_items(
        count: usize,
        index: usize,
        vocab_size: usize,
        rng: &mut impl Rng,
    ) -> Vec<Drawn> {
        let mut draw = |count: usize| -> Vec<u32> {
            (0..count).map(|_| rng.random_range(0..vocab_size as u32)).collect()
        };
        let mut item = |_| {
            let shared = draw(index * 3 % 8);
            let sequences =
                (0..4).map(|i| [shared.clone(), draw(1 + (i * 5 + index) % 4)].concat()).collect();
            (sequences, shared.len().max(1))
        };
        (0..count).map(&mut item).collect()
    }

    /// Packed against one plain pass per sequence on the processor, over random models (layers of different widths among them)
    /// and items.
    fn agrees<T: Real, B: Backend<Scalar = T>>(backend: &B, tolerance: f64) {
        let cpu = CpuBackend::<T>::new();
        let mut rng = stream(11, "packed items");
        let mut work = ScoringWorkspace::new(backend);
        let mut plain_work = Workspace::new(&cpu);
        for (index, (name, config, ..)) in fixtures::cases().into_iter().enumerate() {
            let weights = fixtures::weights::<T>(&config, index as u64);
            let drawn = draw_items(20, index, config.vocab_size, &mut rng);
            let items: Vec<_> = drawn.iter().map(as_item).collect();
            let there = weights.map(|leaf| backend.from_host(leaf.rows, leaf.cols, &leaf.data));
            let scores = score_items(backend, &config, &there, &items, &mut work);
            for (item, scores) in items.iter().zip(&scores.log_probabilities) {
                for (sequence, ours) in item.iter().zip(scores) {
                    let (inputs, targets) = (sequence.inputs(), &sequence.tokens[1..]);
                    assert_eq!(ours.len(), sequence.tokens.len() - sequence.scored_from, "{name}");
                    if inputs.is_empty() {
                        continue;
                    }
                    let work = &mut plain_work;
                    let plain = llama::log_probabilities(&cpu, &config, &weights, inputs, targets, 1, work);
                    for (a, b) in ours.iter().zip(&plain[sequence.scored_from - 1..]) {
                        assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "{name}: {a} against {b}");
                    }
                }
            }
        }
    }

    /// To the bit, an item scores alike alone, among others and in any order.
    #[test]
    fn company_does_not_change_a_bit() {
        let bf16 = [CpuBf16::Avx512Bf16, CpuBf16::AmxBf16].map(CpuBackend::in_bf16);
        for backend in [CpuBackend::new()].iter().chain(&bf16) {
            company_changes_nothing(backend);
        }
    }

    fn company_changes_nothing(backend: &CpuBackend<f32>) {
        let mut rng = stream(12, "packed items");
        let wide = fixtures::config(300, 96, 8, true, &[(4, 2, 130), (2, 1, 3), (1, 1, 2)]);
        let cases = fixtures::cases().into_iter().map(|(name, config, ..)| (name, config));
        for (index, (name, config)) in cases.chain([("wide", wide)]).enumerate() {
            let weights = fixtures::weights::<f32>(&config, index as u64);
            let mut work = ScoringWorkspace::new(backend);
            let mut bits = |items: &[Vec<ScoredSequence>]| -> Vec<Vec<u64>> {
                let scores = score_items(backend, &config, &weights, items, &mut work);
                let of_item = |logs: &Vec<Vec<f64>>| logs.iter().flatten().map(|x| x.to_bits()).collect();
                scores.log_probabilities.iter().map(of_item).collect()
            };
            let drawn = draw_items(70, index, config.vocab_size, &mut rng);
            let mut items: Vec<_> = drawn.iter().map(as_item).collect();
            let together = bits(&items);
            for (item, expected) in items.iter().zip(&together).step_by(9) {
                assert_eq!(&bits(std::slice::from_ref(item))[0], expected, "{name}: alone");
            }
            assert_eq!(bits(&items[..7]), together[..7], "{name}: a few");
            items.reverse();
            let mut reversed = bits(&items);
            reversed.reverse();
            assert_eq!(reversed, together, "{name}: reversed");
        }
    }

    #[test]
    fn packed_equals_plain_in_f64() {
        agrees(&CpuBackend::<f64>::new(), 1e-10);
    }

    #[test]
    fn packed_equals_plain_in_f32() {
        agrees(&CpuBackend::<f32>::new(), 1e-5);
    }

    /// On the emulated device; in bf16: `bf16_tests`.
    #[test]
    fn packed_equals_plain_on_cuda() {
        let Some(device) = EmulatedDevice::new() else { return };
        agrees(&CudaBackend::over(device, Precision::F32), 1e-5);
    }

    #[test]
    fn the_shared_beginning_is_computed_once() {
        let config = fixtures::config(11, 8, 4, true, &[(2, 1, 6)]);
        let (backend, weights) = (CpuBackend::<f32>::new(), fixtures::weights::<f32>(&config, 1));
        let mut work = ScoringWorkspace::new(&backend);
        let mut tokens = |sequences: &[&[u32]]| {
            let item: Vec<ScoredSequence> =
                sequences.iter().map(|tokens| ScoredSequence { tokens, scored_from: 3 }).collect();
            let count = packed_tokens(&item);
            assert_eq!(score_items(&backend, &config, &weights, &[item], &mut work).tokens, count);
            count
        };
        // The prefix, and tails of one token, none and one.
        assert_eq!(tokens(&[&[1, 2, 3, 4, 5], &[1, 2, 3, 6], &[1, 2, 3, 4, 7]]), 3 + 2);
        // Choices of one token each share everything that the model sees.
        assert_eq!(tokens(&[&[1, 2, 3, 4], &[1, 2, 3, 5]]), 3);
    }
}
