//! A model that reads text from left to right and keeps what it has read: prompts and generation, token by token.
//!
//! ```text
//! advance(t₁ … t_Q) after P tokens:   q, k, v of the Q new tokens;  k, v → rows P … P + Q − 1 of the cache
//!                                     attention of the new queries over all P + Q keys;  logits of the last token
//! ```
//!
//! Advancing by one token after another gives what one pass over all of them gives, up to rounding.
use super::config::{LayerShape, ModelConfig};
use super::project::{add_linear, feed_forward, linear, rotary_linear, rotary_places};
use super::weights::Weights;
use crate::schema::Dim;
use crate::tensor::{Backend, CachedShape, RopeTable};

/// Activations of one layer in a pass.
struct Buffers<T> {
    q: T,
    k: T,
    v: T,
    /// q, and then k, of a layer that has lost RoPE pairs.
    narrow: T,
    attended: T,
    gate: T,
    up: T,
    activated: T,
}

impl<T> Buffers<T> {
    fn new<B: Backend<Tensor = T>>(backend: &B) -> Self {
        let empty = || backend.activation(0, 0);
        Buffers {
            q: empty(),
            k: empty(),
            v: empty(),
            narrow: empty(),
            attended: empty(),
            gate: empty(),
            up: empty(),
            activated: empty(),
        }
    }

    /// Gives every buffer the shape that `tokens` tokens in a layer of this shape ask for.
    fn fit<B: Backend<Tensor = T>>(
        &mut self,
        backend: &B,
        tokens: usize,
        shape: &LayerShape,
        head_dim: usize,
    ) {
        let (wide, narrow) = (shape.num_heads * head_dim, shape.num_kv_heads * head_dim);
        for (buffer, width) in [
            (&mut self.q, wide),
            (&mut self.attended, wide),
            (&mut self.k, narrow),
            (&mut self.v, narrow),
            (&mut self.gate, shape.intermediate_size),
            (&mut self.up, shape.intermediate_size),
            (&mut self.activated, shape.intermediate_size),
        ] {
            backend.reshape(buffer, tokens, width);
        }
    }
}

/// What one layer keeps of a text.
struct LayerCache<T> {
    /// capacity × K·h
    keys: T,
    values: T,
    /// Buffers of passes over one token: of the layer itself, since a reshape from one layer's widths to the next one's is up
    /// to two commands a buffer, together as many as the layer's own.
    one_token: Buffers<T>,
    /// Of q and k, see [`rotary_places`].
    places: [Option<Vec<usize>>; 2],
}

/// The cache of one text and the buffers of a pass.
pub struct Decoder<B: Backend> {
    layers: Vec<LayerCache<B::Tensor>>,
    capacity: usize,
    /// P: tokens read so far.
    past: usize,
    /// Angles of all positions.
    angles: RopeTable<B::Tensor>,
    x: B::Tensor,
    normed: B::Tensor,
    inv_rms: B::Tensor,
    /// Those of all layers in turn, in passes over several tokens.
    several: Buffers<B::Tensor>,
    last: B::Tensor,
    logits: B::Tensor,
}

impl<B: Backend> Decoder<B> {
    /// An empty cache for texts of at most `capacity` tokens of a model of shape `config`.
    pub fn new(backend: &B, config: &ModelConfig, capacity: usize) -> Self {
        let (empty, sums) = (|| backend.activation(0, 0), || backend.zeros(0, 0));
        let cache = |layer: usize| {
            let narrow = config.layers[layer].num_kv_heads * config.head_dim;
            LayerCache {
                keys: backend.activation(capacity, narrow),
                values: backend.activation(capacity, narrow),
                one_token: Buffers::new(backend),
                places: [Dim::QueryHead(layer), Dim::KvHead(layer)]
                    .map(|heads| rotary_places(config, heads, layer)),
            }
        };
        Decoder {
            layers: (0..config.layers.len()).map(cache).collect(),
            capacity,
            past: 0,
            angles: backend.rope_table(capacity, config.head_dim, config.rope_theta),
            x: empty(),
            normed: empty(),
            inv_rms: sums(),
            several: Buffers::new(backend),
            last: empty(),
            logits: sums(),
        }
    }

    /// Forgets the text; the memory stays.
    pub fn clear(&mut self) {
        self.past = 0;
    }

    /// Reads `tokens` (at least one) and returns the logits (V) of what follows the last of them. `config` and `weights`
    /// are those of every call since the cache was empty, and the text fits the capacity.
    pub fn advance(
        &mut self,
        backend: &B,
        config: &ModelConfig,
        weights: &Weights<B::Tensor>,
        tokens: &[u32],
    ) -> Vec<B::Scalar> {
        let (n, d, h, eps) = (tokens.len(), config.hidden_size, config.head_dim, config.rms_norm_eps);
        let past = self.past;
        assert!(n > 0 && past + n <= self.capacity, "{n} tokens after {past} of {}", self.capacity);
        // What a pass tells the device stands at its start; what follows is the same for every pass of as many tokens.
        let past = backend.past(past);
        backend.reshape(&mut self.x, n, d);
        backend.reshape(&mut self.normed, n, d);
        backend.reshape(&mut self.inv_rms, 1, n);
        backend.embed(&mut self.x, &weights.embed, tokens);
        for ((w, shape), cache) in weights.layers.iter().zip(&config.layers).zip(&mut self.layers) {
            let LayerCache { keys, values, one_token, places } = cache;
            let of_layer = if n == 1 { one_token } else { &mut self.several };
            of_layer.fit(backend, n, shape, h);
            let Buffers { q, k, v, narrow, attended, gate, up, activated } = of_layer;
            backend.rmsnorm(&mut self.normed, &mut self.inv_rms, &self.x, &w.attn_norm, eps);
            let [query, key] = &*places;
            rotary_linear(backend, q, narrow, &self.normed, &w.q, query.as_deref());
            rotary_linear(backend, k, narrow, &self.normed, &w.k, key.as_deref());
            linear(backend, v, &self.normed, &w.v);
            backend.extend_cache(&past, &self.angles, h, q, [k, v], [keys, values]);
            let cached = CachedShape {
                queries: n,
                num_heads: shape.num_heads,
                num_kv_heads: shape.num_kv_heads,
                head_dim: h,
            };
            backend.cached_attention(cached, &past, attended, q, keys, values);
            add_linear(backend, &mut self.x, attended, &w.o);

            backend.rmsnorm(&mut self.normed, &mut self.inv_rms, &self.x, &w.ffn_norm, eps);
            let weights = [&w.gate, &w.up, &w.down];
            feed_forward(backend, &mut self.x, None, &self.normed, [gate, up, activated], weights, None);
        }
        self.past += n;
        backend.rmsnorm(&mut self.normed, &mut self.inv_rms, &self.x, &weights.norm, eps);
        let last = if n == 1 {
            &self.normed
        } else {
            backend.reshape(&mut self.last, 1, d);
            backend.embed(&mut self.last, &self.normed, &[n as u32 - 1]);
            &self.last
        };
        backend.reshape(&mut self.logits, 1, config.vocab_size);
        let head = weights.head.as_ref().unwrap_or(&weights.embed);
        backend.linear(&mut self.logits, last, head, None);
        backend.to_host(&self.logits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixtures;
    use crate::model::llama::{self, Workspace};
    use crate::tensor::cpu::real::Real;
    use crate::tensor::cuda::emulated::EmulatedDevice;
    use crate::tensor::cuda::queue::Counts;
    use crate::tensor::cuda::{CudaBackend, Precision};
    use crate::tensor::{CpuBackend, Scalar};

    /// ln softmax(logits)[target]
    fn log_probability<T: Scalar>(logits: &[T], target: u32) -> f64 {
        let total: f64 = logits.iter().map(|z| z.to_f64().exp()).sum();
        logits[target as usize].to_f64() - total.ln()
    }

    /// A prompt in one pass and then token by token, against one full forward pass of `llama`; a second text in the
    /// same cache sees nothing of the first.
    fn agrees<T: Real, B: Backend<Scalar = T>>(backend: &B, tolerance: f64) {
        let cpu = CpuBackend::<T>::new();
        for (index, (name, config, ..)) in fixtures::cases().into_iter().enumerate() {
            let weights = fixtures::weights::<T>(&config, index as u64);
            let on_device = weights.map(|leaf| backend.from_host(leaf.rows, leaf.cols, &leaf.data));
            let mut decoder = Decoder::new(backend, &config, 12);
            for prompt in [1, 2, 5, 9] {
                let text = fixtures::tokens(10, config.vocab_size, prompt as u64);
                let mut work = Workspace::new(&cpu);
                let full =
                    llama::log_probabilities(&cpu, &config, &weights, &text[..9], &text[1..], 1, &mut work);
                decoder.clear();
                for read in prompt..10 {
                    let new = if read == prompt { &text[..prompt] } else { &text[read - 1..read] };
                    let logits = decoder.advance(backend, &config, &on_device, new);
                    let (ours, expected) = (log_probability(&logits, text[read]), full[read - 1]);
                    assert!(
                        (ours - expected).abs() <= tolerance * (1.0 + expected.abs()),
                        "{name}: {ours} against {expected} after {read} tokens"
                    );
                }
            }
        }
    }

    #[test]
    fn token_by_token_equals_one_pass_in_f64() {
        agrees(&CpuBackend::<f64>::new(), 1e-10);
    }

    #[test]
    fn token_by_token_equals_one_pass_in_f32() {
        agrees(&CpuBackend::<f32>::new(), 1e-5);
    }

    /// bf16 rounds at 2⁻⁸, logits of order one by a few hundredths.
    const CUDA: [(Precision, f64); 2] = [(Precision::F32, 1e-5), (Precision::Bf16, 0.05)];

    #[test]
    fn token_by_token_equals_one_pass_on_cuda() {
        for (precision, tolerance) in CUDA {
            let Some(device) = EmulatedDevice::new() else { return };
            agrees(&CudaBackend::over(device, precision), tolerance);
        }
    }

    /// On a real device, where there is one; `scripts/gpu-check` runs it with the operations.
    mod on_device {
        use super::*;

        #[test]
        fn operations_of_generation() {
            for (precision, tolerance) in CUDA {
                let Some(backend) = crate::tensor::cuda::on_device::backend(precision) else { return };
                agrees(&backend, tolerance);
            }
        }
    }

    /// Layers of different widths, as pruning leaves them, cost a device no command more than equal ones.
    #[test]
    fn a_token_takes_as_many_commands_whatever_the_widths() {
        let commands = |layers: &[(usize, usize, usize)]| {
            let config = fixtures::config(11, 8, 4, true, layers);
            let backend = CudaBackend::over(EmulatedDevice::new()?, Precision::Bf16);
            let weights = fixtures::weights::<f32>(&config, 0)
                .map(|leaf| backend.from_host(leaf.rows, leaf.cols, &leaf.data));
            let mut decoder = Decoder::new(&backend, &config, 4);
            decoder.advance(&backend, &config, &weights, &[1]);
            let before = backend.device().counts();
            decoder.advance(&backend, &config, &weights, &[2]);
            Some(backend.device().counts().since(before).issued)
        };
        assert_eq!(commands(&[(3, 1, 5), (2, 2, 11), (1, 1, 7)]), commands(&[(2, 2, 8); 3]));
    }

    /// What is told of a token, which it is and how many came before, lies in memory: from the third token on all of a pass
    /// is one graph, and it is another one only where the keys are cut into more pieces.
    #[test]
    fn a_token_is_a_replay_of_the_one_before_it() {
        let (_, config, ..) = fixtures::cases().swap_remove(0);
        let Some(device) = EmulatedDevice::new() else { return };
        let backend = CudaBackend::over(device, Precision::Bf16);
        let weights = fixtures::weights::<f32>(&config, 0)
            .map(|leaf| backend.from_host(leaf.rows, leaf.cols, &leaf.data));
        let mut decoder = Decoder::new(&backend, &config, 270);
        let mut before = backend.device().counts();
        for (read, &token) in fixtures::tokens(270, config.vocab_size, 1).iter().enumerate() {
            decoder.advance(&backend, &config, &weights, &[token]);
            let now = backend.device().counts();
            let did = now.since(before);
            match read {
                // The first pass rounds the weights, too. Beyond 128 and 256 keys there are more pieces.
                0 | 1 | 128 | 256 => assert!(did.issued > 0 && did.replayed == 0, "token {read}: {did:?}"),
                2 | 129 | 257 => assert_eq!((did.issued, did.recorded), (0, 1), "token {read}"),
                _ => assert_eq!(did, Counts { replayed: 1, ..Counts::default() }, "token {read}"),
            }
            before = now;
        }
    }
}
