//! Named parameters: one tree, generic in what stands at its leaves (device tensors, shapes, host vectors),
//! so that weights, gradients, optimiser moments and Fisher diagonals are all the same structure.
use super::config::ModelConfig;

/// Leaves of one decoder layer. Shapes for weights: norms 1 × d, `q` H·h × d, `k` and `v` K·h × d,
/// `o` d × H·h, `gate` and `up` f × d, `down` d × f; biases where the family has them.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerWeights<T> {
    pub attn_norm: T,
    pub q: T,
    pub k: T,
    pub v: T,
    pub o: T,
    pub ffn_norm: T,
    pub gate: T,
    pub up: T,
    pub down: T,
    pub bias: Option<QkvBias<T>>,
}

/// Biases of one layer's projections into heads: `q` 1 × H·h, `k` and `v` 1 × K·h.
#[derive(Clone, Debug, PartialEq)]
pub struct QkvBias<T> {
    pub q: T,
    pub k: T,
    pub v: T,
}

/// Leaves of a whole model. `embed` V × d, `norm` 1 × d, `head` V × d, absent when tied to `embed`.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights<T> {
    pub embed: T,
    pub layers: Vec<LayerWeights<T>>,
    pub norm: T,
    pub head: Option<T>,
}

/// Whether the parameter of this Hugging Face name is a vector there, a norm's weight or a bias; such do not decay.
pub fn is_vector(name: &str) -> bool {
    name.ends_with("norm.weight") || name.ends_with(".bias")
}

impl<T> LayerWeights<T> {
    /// Leaves with their Hugging Face names below `model.layers.{i}.`, in canonical order.
    pub fn named(&self) -> Vec<(&'static str, &T)> {
        let mut all = vec![
            ("input_layernorm.weight", &self.attn_norm),
            ("self_attn.q_proj.weight", &self.q),
            ("self_attn.k_proj.weight", &self.k),
            ("self_attn.v_proj.weight", &self.v),
            ("self_attn.o_proj.weight", &self.o),
            ("post_attention_layernorm.weight", &self.ffn_norm),
            ("mlp.gate_proj.weight", &self.gate),
            ("mlp.up_proj.weight", &self.up),
            ("mlp.down_proj.weight", &self.down),
        ];
        if let Some(QkvBias { q, k, v }) = &self.bias {
            all.extend([
                ("self_attn.q_proj.bias", q),
                ("self_attn.k_proj.bias", k),
                ("self_attn.v_proj.bias", v),
            ]);
        }
        all
    }

    fn leaves_mut(&mut self) -> Vec<&mut T> {
        let mut all = vec![
            &mut self.attn_norm,
            &mut self.q,
            &mut self.k,
            &mut self.v,
            &mut self.o,
            &mut self.ffn_norm,
            &mut self.gate,
            &mut self.up,
            &mut self.down,
        ];
        if let Some(QkvBias { q, k, v }) = &mut self.bias {
            all.extend([q, k, v]);
        }
        all
    }
}

impl<T> Weights<T> {
    /// All leaves with their Hugging Face names, in canonical order: embedding, layers, final norm, head.
    pub fn named(&self) -> Vec<(String, &T)> {
        let mut all = vec![("model.embed_tokens.weight".to_string(), &self.embed)];
        for (i, layer) in self.layers.iter().enumerate() {
            all.extend(
                layer.named().into_iter().map(|(name, leaf)| (format!("model.layers.{i}.{name}"), leaf)),
            );
        }
        all.push(("model.norm.weight".to_string(), &self.norm));
        all.extend(self.head.as_ref().map(|head| ("lm_head.weight".to_string(), head)));
        all
    }

    /// All leaves in canonical order.
    pub fn leaves(&self) -> Vec<&T> {
        self.named().into_iter().map(|(_, leaf)| leaf).collect()
    }

    /// All leaves in canonical order, mutable.
    pub fn leaves_mut(&mut self) -> Vec<&mut T> {
        let mut all = vec![&mut self.embed];
        for layer in &mut self.layers {
            all.extend(layer.leaves_mut());
        }
        all.push(&mut self.norm);
        all.extend(self.head.as_mut());
        all
    }

    /// The tree with `f` applied to every leaf, in canonical order.
    pub fn map<U>(&self, mut f: impl FnMut(&T) -> U) -> Weights<U> {
        let embed = f(&self.embed);
        let layers = self
            .layers
            .iter()
            .map(|l| LayerWeights {
                attn_norm: f(&l.attn_norm),
                q: f(&l.q),
                k: f(&l.k),
                v: f(&l.v),
                o: f(&l.o),
                ffn_norm: f(&l.ffn_norm),
                gate: f(&l.gate),
                up: f(&l.up),
                down: f(&l.down),
                bias: l.bias.as_ref().map(|b| QkvBias { q: f(&b.q), k: f(&b.k), v: f(&b.v) }),
            })
            .collect();
        Weights { embed, layers, norm: f(&self.norm), head: self.head.as_ref().map(f) }
    }

    /// As [`Weights::map`], stopping at the first error.
    pub fn try_map<U, E>(&self, mut f: impl FnMut(&T) -> Result<U, E>) -> Result<Weights<U>, E> {
        let mut failure = None;
        let mapped = self.map(|leaf| match f(leaf) {
            Ok(value) if failure.is_none() => Some(value),
            Ok(_) => None,
            Err(error) => {
                failure.get_or_insert(error);
                None
            }
        });
        match failure {
            Some(error) => Err(error),
            None => Ok(mapped.map_into(|leaf| leaf.expect("no failure was recorded"))),
        }
    }

    /// As [`Weights::map`], consuming the tree.
    pub fn map_into<U>(self, mut f: impl FnMut(T) -> U) -> Weights<U> {
        Weights {
            embed: f(self.embed),
            layers: self
                .layers
                .into_iter()
                .map(|l| LayerWeights {
                    attn_norm: f(l.attn_norm),
                    q: f(l.q),
                    k: f(l.k),
                    v: f(l.v),
                    o: f(l.o),
                    ffn_norm: f(l.ffn_norm),
                    gate: f(l.gate),
                    up: f(l.up),
                    down: f(l.down),
                    bias: l.bias.map(|b| QkvBias { q: f(b.q), k: f(b.k), v: f(b.v) }),
                })
                .collect(),
            norm: f(self.norm),
            head: self.head.map(f),
        }
    }
}

impl Weights<[usize; 2]> {
    /// The `[rows, cols]` of every parameter of a model of shape `config`.
    pub fn shapes(config: &ModelConfig) -> Self {
        let (d, h) = (config.hidden_size, config.head_dim);
        let layers = config
            .layers
            .iter()
            .map(|l| LayerWeights {
                attn_norm: [1, d],
                q: [l.num_heads * h, d],
                k: [l.num_kv_heads * h, d],
                v: [l.num_kv_heads * h, d],
                o: [d, l.num_heads * h],
                ffn_norm: [1, d],
                gate: [l.intermediate_size, d],
                up: [l.intermediate_size, d],
                down: [d, l.intermediate_size],
                bias: config.qkv_bias.then_some(QkvBias {
                    q: [1, l.num_heads * h],
                    k: [1, l.num_kv_heads * h],
                    v: [1, l.num_kv_heads * h],
                }),
            })
            .collect();
        let head = (!config.tie_word_embeddings).then_some([config.vocab_size, d]);
        Weights { embed: [config.vocab_size, d], layers, norm: [1, d], head }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::LayerShape;

    #[test]
    fn shapes_add_up_to_the_parameter_count() {
        for (tie_word_embeddings, qkv_bias) in [(true, false), (false, false), (true, true), (false, true)] {
            let config = ModelConfig {
                vocab_size: 50,
                hidden_size: 12,
                head_dim: 4,
                tie_word_embeddings,
                qkv_bias,
                rope_theta: 10000.0,
                rms_norm_eps: 1e-5,
                max_position_embeddings: 32,
                layers: vec![
                    LayerShape { num_heads: 4, num_kv_heads: 2, intermediate_size: 20 },
                    LayerShape { num_heads: 3, num_kv_heads: 1, intermediate_size: 7 },
                ],
            };
            let total: usize = Weights::shapes(&config).leaves().iter().map(|[r, c]| r * c).sum();
            assert_eq!(total as u64, config.num_params());
            let biases = if qkv_bias { (4 + 2 * 2 + 3 + 2) * 4 } else { 0 };
            let without = ModelConfig { qkv_bias: false, ..config.clone() };
            assert_eq!(config.num_params() - without.num_params(), biases);
        }
    }
}
