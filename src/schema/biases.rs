//! Which linear layers of the decoder layers have a bias.
use super::params::Projection;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A set of projections; the same in every layer.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Biases(u8);

impl Biases {
    pub const NONE: Biases = Biases(0);
    /// q, k and v: Qwen2.
    pub const QKV: Biases = Biases::NONE.with(Projection::Q).with(Projection::K).with(Projection::V);
    /// q, k, v and o: `attention_bias` of a Llama in `transformers`.
    pub const ATTENTION: Biases = Biases::QKV.with(Projection::O);
    /// gate, up and down: `mlp_bias` of a Llama in `transformers`.
    pub const MLP: Biases = Biases::NONE.with(Projection::Gate).with(Projection::Up).with(Projection::Down);

    /// This set and `projection`.
    pub const fn with(self, projection: Projection) -> Biases {
        Biases(self.0 | 1 << projection as u8)
    }

    pub fn union(self, other: Biases) -> Biases {
        Biases(self.0 | other.0)
    }

    /// Those of `self` that are in `other`, too.
    pub fn intersection(self, other: Biases) -> Biases {
        Biases(self.0 & other.0)
    }

    pub fn contains(self, projection: Projection) -> bool {
        self.0 >> projection as u8 & 1 == 1
    }

    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// Whether every bias of `self` is in `other`.
    pub fn is_subset(self, other: Biases) -> bool {
        self.intersection(other) == self
    }

    /// In the order of [`Projection::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Projection> {
        Projection::ALL.into_iter().filter(move |projection| self.contains(*projection))
    }
}

impl FromIterator<Projection> for Biases {
    fn from_iter<I: IntoIterator<Item = Projection>>(projections: I) -> Self {
        projections.into_iter().fold(Biases::NONE, Biases::with)
    }
}

impl fmt::Debug for Biases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// `true` for q, k and v, as files have it that know no others; else the list of names.
impl Serialize for Biases {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Biases::NONE => serializer.serialize_bool(false),
            Biases::QKV => serializer.serialize_bool(true),
            _ => serializer.collect_seq(self.iter().map(Projection::name)),
        }
    }
}

impl<'de> Deserialize<'de> for Biases {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = Biases;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true (q, k and v), false, or a list of q, k, v, o, gate, up, down")
            }

            fn visit_bool<E: Error>(self, qkv: bool) -> Result<Biases, E> {
                Ok(if qkv { Biases::QKV } else { Biases::NONE })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Biases, A::Error> {
                let mut biases = Biases::NONE;
                while let Some(name) = names.next_element::<String>()? {
                    let known = Projection::ALL.into_iter().find(|projection| projection.name() == name);
                    biases = biases.with(known.ok_or_else(|| {
                        A::Error::unknown_variant(&name, &["q", "k", "v", "o", "gate", "up", "down"])
                    })?);
                }
                Ok(biases)
            }
        }

        deserializer.deserialize_any(Names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_reads_back_and_old_files_say_true() {
        for (biases, text) in [
            (Biases::NONE, "false"),
            (Biases::QKV, "true"),
            (Biases::ATTENTION, r#"["q","k","v","o"]"#),
            (Biases::NONE.with(Projection::Down), r#"["down"]"#),
        ] {
            assert_eq!(serde_json::to_string(&biases).unwrap(), text);
            assert_eq!(serde_json::from_str::<Biases>(text).unwrap(), biases);
        }
        let error = serde_json::from_str::<Biases>(r#"["dwn"]"#).unwrap_err().to_string();
        assert!(error.contains("unknown variant `dwn`"), "{error}");
        assert!(Biases::QKV.is_subset(Biases::ATTENTION) && !Biases::MLP.is_subset(Biases::ATTENTION));
    }
}
