//! Named parameters: one tree, generic in what stands at its leaves (device tensors, shapes, host vectors),
//! so that weights, gradients, optimiser moments and Fisher diagonals are all the same structure.
use super::config::ModelConfig;
use super::params::{Param, ParamId, Part, Projection};

/// A linear layer: weight d_out × d_in, bias 1 × d_out.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear<T> {
    pub weight: T,
    pub bias: Option<T>,
}

impl<T> Linear<T> {
    pub fn without_bias(weight: T) -> Self {
        Linear { weight, bias: None }
    }
}

/// Leaves of one decoder layer. Shapes for weights: norms 1 × d, `q` H·n × d, `k` K·n × d, `v` K·h × d,
/// `o` d × H·h, `gate` and `up` f × d, `down` d × f; n = h where no RoPE pair is gone.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerWeights<T> {
    pub attn_norm: T,
    pub q: Linear<T>,
    pub k: Linear<T>,
    pub v: Linear<T>,
    pub o: Linear<T>,
    pub ffn_norm: T,
    pub gate: Linear<T>,
    pub up: Linear<T>,
    pub down: Linear<T>,
}

/// Leaves of a whole model. `embed` V × d, `norm` 1 × d, `head` V × d, absent when tied to `embed`.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights<T> {
    pub embed: T,
    pub layers: Vec<LayerWeights<T>>,
    pub norm: T,
    pub head: Option<T>,
}

impl<T> LayerWeights<T> {
    /// In the order of [`Projection::ALL`].
    pub fn linears(&self) -> [&Linear<T>; 7] {
        [&self.q, &self.k, &self.v, &self.o, &self.gate, &self.up, &self.down]
    }

    pub fn linear(&self, projection: Projection) -> &Linear<T> {
        match projection {
            Projection::Q => &self.q,
            Projection::K => &self.k,
            Projection::V => &self.v,
            Projection::O => &self.o,
            Projection::Gate => &self.gate,
            Projection::Up => &self.up,
            Projection::Down => &self.down,
        }
    }

    pub fn linear_mut(&mut self, projection: Projection) -> &mut Linear<T> {
        match projection {
            Projection::Q => &mut self.q,
            Projection::K => &mut self.k,
            Projection::V => &mut self.v,
            Projection::O => &mut self.o,
            Projection::Gate => &mut self.gate,
            Projection::Up => &mut self.up,
            Projection::Down => &mut self.down,
        }
    }

    /// Leaves in canonical order: norms and weights as the forward pass meets them, then biases.
    pub fn parts(&self) -> Vec<(Part, &T)> {
        let [q, k, v, o, gate, up, down] = self.linears();
        let mut all = vec![
            (Part::AttnNorm, &self.attn_norm),
            (Part::Weight(Projection::Q), &q.weight),
            (Part::Weight(Projection::K), &k.weight),
            (Part::Weight(Projection::V), &v.weight),
            (Part::Weight(Projection::O), &o.weight),
            (Part::FfnNorm, &self.ffn_norm),
            (Part::Weight(Projection::Gate), &gate.weight),
            (Part::Weight(Projection::Up), &up.weight),
            (Part::Weight(Projection::Down), &down.weight),
        ];
        let linears = Projection::ALL.into_iter().zip(self.linears());
        all.extend(
            linears.filter_map(|(projection, linear)| Some((Part::Bias(projection), linear.bias.as_ref()?))),
        );
        all
    }

    /// As [`LayerWeights::parts`], mutable.
    pub fn parts_mut(&mut self) -> Vec<(Part, &mut T)> {
        let LayerWeights { attn_norm, q, k, v, o, ffn_norm, gate, up, down } = self;
        let mut all = vec![
            (Part::AttnNorm, attn_norm),
            (Part::Weight(Projection::Q), &mut q.weight),
            (Part::Weight(Projection::K), &mut k.weight),
            (Part::Weight(Projection::V), &mut v.weight),
            (Part::Weight(Projection::O), &mut o.weight),
            (Part::FfnNorm, ffn_norm),
            (Part::Weight(Projection::Gate), &mut gate.weight),
            (Part::Weight(Projection::Up), &mut up.weight),
            (Part::Weight(Projection::Down), &mut down.weight),
        ];
        let biases = [
            &mut q.bias,
            &mut k.bias,
            &mut v.bias,
            &mut o.bias,
            &mut gate.bias,
            &mut up.bias,
            &mut down.bias,
        ];
        let biases = Projection::ALL.into_iter().zip(biases);
        all.extend(biases.filter_map(|(projection, bias)| Some((Part::Bias(projection), bias.as_mut()?))));
        all
    }

    /// The leaves of [`LayerWeights::parts`] as they are handed over, in the same places.
    fn rebuilt<U>(&self, leaves: &mut impl Iterator<Item = U>) -> LayerWeights<U> {
        let mut next = || leaves.next().expect("one leaf for every part");
        let attn_norm = next();
        let [q, k, v, o] = [(); 4].map(|()| next());
        let ffn_norm = next();
        let [gate, up, down] = [(); 3].map(|()| next());
        let mut weights = [q, k, v, o, gate, up, down].into_iter();
        let [q, k, v, o, gate, up, down] = self.linears().map(|linear| Linear {
            weight: weights.next().expect("seven of each"),
            bias: linear.bias.as_ref().map(|_| next()),
        });
        LayerWeights { attn_norm, q, k, v, o, ffn_norm, gate, up, down }
    }
}

impl<T> Weights<T> {
    /// All leaves with the parameters that they are of, in canonical order: embedding, layers, final norm, head.
    pub fn params(&self) -> Vec<(ParamId, &T)> {
        let mut all = vec![(ParamId::Embed, &self.embed)];
        for (i, layer) in self.layers.iter().enumerate() {
            all.extend(layer.parts().into_iter().map(|(part, leaf)| (ParamId::Layer(i, part), leaf)));
        }
        all.push((ParamId::Norm, &self.norm));
        all.extend(self.head.as_ref().map(|head| (ParamId::Head, head)));
        all
    }

    /// As [`Weights::params`], mutable.
    pub fn params_mut(&mut self) -> Vec<(ParamId, &mut T)> {
        let mut all = vec![(ParamId::Embed, &mut self.embed)];
        for (i, layer) in self.layers.iter_mut().enumerate() {
            all.extend(layer.parts_mut().into_iter().map(|(part, leaf)| (ParamId::Layer(i, part), leaf)));
        }
        all.push((ParamId::Norm, &mut self.norm));
        all.extend(self.head.as_mut().map(|head| (ParamId::Head, head)));
        all
    }

    /// All leaves with their Hugging Face names, in canonical order.
    pub fn named(&self) -> Vec<(String, &T)> {
        self.params().into_iter().map(|(id, leaf)| (id.hf_name(), leaf)).collect()
    }

    /// All leaves in canonical order.
    pub fn leaves(&self) -> Vec<&T> {
        self.params().into_iter().map(|(_, leaf)| leaf).collect()
    }

    /// All leaves in canonical order, mutable.
    pub fn leaves_mut(&mut self) -> Vec<&mut T> {
        self.params_mut().into_iter().map(|(_, leaf)| leaf).collect()
    }

    /// The leaf of a parameter, where the tree has it.
    pub fn get(&self, id: ParamId) -> Option<&T> {
        match id {
            ParamId::Embed => Some(&self.embed),
            ParamId::Norm => Some(&self.norm),
            ParamId::Head => self.head.as_ref(),
            ParamId::Layer(layer, part) => {
                let layer = self.layers.get(layer)?;
                match part {
                    Part::AttnNorm => Some(&layer.attn_norm),
                    Part::FfnNorm => Some(&layer.ffn_norm),
                    Part::Weight(projection) => Some(&layer.linear(projection).weight),
                    Part::Bias(projection) => layer.linear(projection).bias.as_ref(),
                }
            }
        }
    }

    /// The tree with `f` applied to every leaf, in canonical order.
    pub fn map<U>(&self, mut f: impl FnMut(&T) -> U) -> Weights<U> {
        self.map_params(|_, leaf| f(leaf))
    }

    /// As [`Weights::map`], `f` being told which parameter the leaf is of.
    pub fn map_params<U>(&self, mut f: impl FnMut(ParamId, &T) -> U) -> Weights<U> {
        let leaves: Vec<U> = self.params().into_iter().map(|(id, leaf)| f(id, leaf)).collect();
        self.rebuilt(leaves)
    }

    /// As [`Weights::map_params`], stopping at the first error.
    pub fn try_map_params<U, E>(
        &self,
        mut f: impl FnMut(ParamId, &T) -> Result<U, E>,
    ) -> Result<Weights<U>, E> {
        let leaves =
            self.params().into_iter().map(|(id, leaf)| f(id, leaf)).collect::<Result<Vec<U>, E>>()?;
        Ok(self.rebuilt(leaves))
    }

    /// As [`Weights::map`], stopping at the first error.
    pub fn try_map<U, E>(&self, mut f: impl FnMut(&T) -> Result<U, E>) -> Result<Weights<U>, E> {
        self.try_map_params(|_, leaf| f(leaf))
    }

    /// A tree of the structure of this one with `leaves` in canonical order.
    fn rebuilt<U>(&self, leaves: Vec<U>) -> Weights<U> {
        let mut leaves = leaves.into_iter();
        let embed = leaves.next().expect("one leaf for every parameter");
        let layers = self.layers.iter().map(|layer| layer.rebuilt(&mut leaves)).collect();
        let norm = leaves.next().expect("one leaf for every parameter");
        let head = self.head.as_ref().map(|_| leaves.next().expect("one leaf for every parameter"));
        Weights { embed, layers, norm, head }
    }
}

impl Weights<Param> {
    /// The description of every parameter of a model of shape `config`.
    pub fn describe(config: &ModelConfig) -> Self {
        let linear =
            |projection| Linear { weight: (), bias: config.biases.contains(projection).then_some(()) };
        let layer = |_| {
            let [q, k, v, o, gate, up, down] = Projection::ALL.map(linear);
            LayerWeights { attn_norm: (), q, k, v, o, ffn_norm: (), gate, up, down }
        };
        let head = (!config.tie_word_embeddings).then_some(());
        let structure =
            Weights { embed: (), layers: config.layers.iter().map(layer).collect(), norm: (), head };
        structure.map_params(|id, ()| Param::of(id))
    }
}

impl Weights<[usize; 2]> {
    /// The `[rows, cols]` of every parameter of a model of shape `config`.
    pub fn shapes(config: &ModelConfig) -> Self {
        Weights::describe(config).map(|param| config.shape(param))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Biases, LayerShape};

    #[test]
    fn every_leaf_is_found_by_its_parameter_and_keeps_its_place() {
        for biases in [
            Biases::NONE,
            Biases::QKV,
            Biases::NONE.with(Projection::Down),
            Biases::ATTENTION.union(Biases::MLP),
        ] {
            for tie_word_embeddings in [true, false] {
                let config = ModelConfig {
                    vocab_size: 50,
                    hidden_size: 12,
                    head_dim: 4,
                    tie_word_embeddings,
                    biases,
                    rope_theta: 10000.0,
                    rms_norm_eps: 1e-5,
                    max_position_embeddings: 32,
                    layers: vec![LayerShape::new(4, 2, 20), LayerShape::new(3, 1, 7)],
                };
                let mut tree = Weights::describe(&config);
                for (id, param) in tree.params() {
                    assert_eq!((param.id, tree.get(id)), (id, Some(param)));
                }
                let ids: Vec<ParamId> = tree.params().into_iter().map(|(id, _)| id).collect();
                assert_eq!(tree.params_mut().into_iter().map(|(id, _)| id).collect::<Vec<_>>(), ids);
                let names: std::collections::BTreeSet<String> = ids.iter().map(|id| id.hf_name()).collect();
                assert_eq!(names.len(), ids.len());
                let total: usize = Weights::shapes(&config).leaves().iter().map(|[r, c]| r * c).sum();
                assert_eq!(total as u64, config.num_params());
            }
        }
    }

    #[test]
    fn a_failure_stops_the_map() {
        let config = ModelConfig {
            vocab_size: 3,
            hidden_size: 2,
            head_dim: 2,
            tie_word_embeddings: true,
            biases: Biases::NONE,
            rope_theta: 1.0,
            rms_norm_eps: 1e-5,
            max_position_embeddings: 1,
            layers: vec![],
        };
        let mut seen = 0;
        let result = Weights::describe(&config).try_map(|_| {
            seen += 1;
            Err::<(), usize>(seen)
        });
        assert_eq!((result, seen), (Err(1), 1));
    }
}
