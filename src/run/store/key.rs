//! Names of a stage in the store.
//!
//! An id has eight hexadecimal digits, so among 10,000 runs two different stages share one with a probability of 1 %. And
//! an identity names its inputs by their ids. So what is compared is the hash of the identity in full: that in which the id
//! of every input is replaced by the hash of *its* identity in full.
use crate::base::hash::sha256_hex;
use crate::plan::Plan;
use serde::ser::{Serialize, Serializer};
use serde_json::Value;
use std::collections::HashMap;

/// Hexadecimal digits of the longer name.
const LONG_DIGITS: usize = 16;

/// What a stage is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageKey {
    /// `<slug>-<8 hex>`, the name of its folder unless another stage has that id.
    pub id: String,
    /// SHA-256 of its identity in full, 64 hexadecimal digits.
    pub identity_sha256: String,
}

impl StageKey {
    /// `<slug>-<16 hex>`: name of its checkpoints, of its failure, and of its folder where the id is another stage's.
    pub fn long_name(&self) -> String {
        let slug = self.id.rsplit_once('-').map_or(self.id.as_str(), |(slug, _)| slug);
        format!("{slug}-{}", &self.identity_sha256[..LONG_DIGITS])
    }
}

/// The keys of all stages of `plan`, in their order.
pub fn keys(plan: &Plan) -> Vec<StageKey> {
    let mut keys: Vec<StageKey> = Vec::with_capacity(plan.stages.len());
    for stage in &plan.stages {
        let inputs: HashMap<&str, &str> = stage
            .inputs
            .iter()
            .map(|place| (keys[place].id.as_str(), keys[place].identity_sha256.as_str()))
            .collect();
        // A `Value` is always serialisable, and sorted: its keys are strings.
        let canonical = serde_json::to_vec(&InFull { value: &stage.identity, inputs: &inputs });
        let identity_sha256 = sha256_hex(&canonical.unwrap_or_default());
        keys.push(StageKey { id: stage.id.clone(), identity_sha256 });
    }
    keys
}

/// A value in which the id of every input stands for that input's hash.
struct InFull<'a> {
    value: &'a Value,
    inputs: &'a HashMap<&'a str, &'a str>,
}

impl Serialize for InFull<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let inner = |value| InFull { value, inputs: self.inputs };
        match self.value {
            Value::String(text) => {
                serializer.serialize_str(self.inputs.get(text.as_str()).unwrap_or(&text.as_str()))
            }
            Value::Array(items) => serializer.collect_seq(items.iter().map(inner)),
            Value::Object(map) => serializer.collect_map(map.iter().map(|(key, value)| (key, inner(value)))),
            other => other.serialize(serializer),
        }
    }
}
