//! Source models from disk or hub, as an experiment's spec needs to know them.
use super::model::{resolve, tell, tokenizer_for};
use crate::model::ModelConfig;
use crate::model::checkpoint;
use crate::spec::{ModelDescription, ModelSpec, NoSource};
use anyhow::{Result, bail};
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;

/// Models looked at so far: a grid asks for the same one at every point.
#[derive(Default)]
pub(super) struct Sources(RefCell<HashMap<String, Result<ModelDescription, NoSource>>>);

impl Sources {
    /// The model at `place`, if experiments can start from it.
    pub(super) fn describe(&self, place: &str) -> Result<ModelDescription, NoSource> {
        let known = self.0.borrow().get(place).cloned();
        known.unwrap_or_else(|| {
            let found = describe(place).map_err(|error| NoSource(error.to_string()));
            self.0.borrow_mut().insert(place.to_string(), found.clone());
            found
        })
    }
}

fn describe(place: &str) -> Result<ModelDescription> {
    let path = resolve(place)?;
    let description = checkpoint::describe(&path)?;
    tell(place, &description.notes);
    // Read here, so that a model without a usable tokenizer is refused before anything is run.
    tokenizer_for(&description.tokenizer, &description.config, place)?;
    let told = |path: &Path| path.to_string_lossy().into_owned();
    Ok(ModelDescription {
        path: told(&path),
        files: description.files.iter().map(|file| told(file)).collect(),
        vocab_size: description.config.vocab_size,
        model: model_spec(&description.config)?,
    })
}

/// The shape of a model as a spec has it.
fn model_spec(config: &ModelConfig) -> Result<ModelSpec> {
    let Some(layer) = config.layers.first() else { bail!("the model has no layers") };
    let spec = ModelSpec {
        hidden_size: config.hidden_size,
        num_layers: config.layers.len(),
        num_heads: layer.num_heads,
        num_kv_heads: layer.num_kv_heads,
        head_dim: config.head_dim,
        intermediate_size: layer.intermediate_size,
        tie_word_embeddings: config.tie_word_embeddings,
        rope_theta: config.rope_theta,
        rms_norm_eps: config.rms_norm_eps,
        biases: config.biases,
    };
    if spec.config(config.vocab_size, config.max_position_embeddings) != *config {
        bail!("layers of different widths cannot be a source\nhint: name a model whose layers are alike");
    }
    Ok(spec)
}
