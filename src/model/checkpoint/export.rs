//! A model for others: a folder that stock `transformers` loads, with tokenizer and model card.
use std::path::Path;

use super::{CheckpointError, pad_to_uniform, save_with, tensors};
use crate::model::{ModelConfig, Weights};
use crate::tensor::Backend;

/// What the model card says; empty fields are left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelCard {
    pub name: String,
    /// The model that this one was made from.
    pub source: String,
    /// Licence of the source, as an SPDX identifier in lower case, which passes on to what is made from it.
    pub source_licence: String,
    /// How it was made: `pruning_aware`, `one_shot`, …
    pub arm: String,
    /// The experiment file.
    pub spec: String,
    pub tokens_seen: Option<u64>,
    /// Task, metric, value.
    pub scores: Vec<(String, String, f64)>,
}

impl ModelCard {
    /// The card as `README.md`, with the front matter that the hub reads.
    pub fn to_markdown(&self, config: &ModelConfig) -> String {
        let mut text = String::from("---\nlibrary_name: transformers\npipeline_tag: text-generation\n");
        if !self.source_licence.is_empty() {
            // A JSON string is a YAML string: nothing in it can end the front matter.
            text += &format!("license: {}\n", serde_json::Value::from(self.source_licence.as_str()));
        }
        text += &format!("---\n# {}\n\n", if self.name.is_empty() { "Model" } else { &self.name });
        let mut rows = vec![("parameters", config.num_params().to_string())];
        let named =
            [("source", &self.source), ("licence of the source", &self.source_licence), ("arm", &self.arm)];
        rows.extend(named.into_iter().filter(|(_, value)| !value.is_empty()).map(|(k, v)| (k, v.clone())));
        rows.extend(self.tokens_seen.map(|tokens| ("tokens seen", tokens.to_string())));
        text += "| | |\n|---|---|\n";
        for (key, value) in rows {
            text += &format!("| {key} | {} |\n", cell(&value));
        }
        if !config.is_uniform() {
            text += "\nThe layers of this model differ in width. For stock software they are padded with zeros to the \
                     widest, which changes no output; `parameters` counts the model without them.\n\n\
                     | layer | heads | key-value heads | feed-forward width |\n|---|---|---|---|\n";
            for (i, l) in config.layers.iter().enumerate() {
                text +=
                    &format!("| {i} | {} | {} | {} |\n", l.num_heads, l.num_kv_heads, l.intermediate_size);
            }
        }
        if !self.scores.is_empty() {
            text += "\n## Scores\n\n| task | metric | value |\n|---|---|---|\n";
            for (task, metric, value) in &self.scores {
                text += &format!("| {} | {} | {value:.4} |\n", cell(task), cell(metric));
            }
        }
        if !self.spec.is_empty() {
            // A fence longer than any in the text.
            let longest = self.spec.split(|c| c != '`').map(str::len).max().unwrap_or(0);
            let fence = "`".repeat(longest.max(2) + 1);
            text += &format!("\n## Experiment\n\n{fence}toml\n{}\n{fence}\n", self.spec.trim_end());
        }
        text
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// Writes the model to `folder`, which must not exist or be empty, as a plain Llama (or Qwen2 where q, k and v have
/// biases, or Mistral where the heads do not divide the hidden width), with `tokenizer_files` by name and contents: layers
/// of different widths are padded with zeros, which leaves the logits as they were.
///
/// # Errors
/// As [`super::save`].
pub fn export_hf<B: Backend>(
    backend: &B,
    folder: &Path,
    config: &ModelConfig,
    weights: &Weights<B::Tensor>,
    tokenizer_files: &[(&str, &str)],
    card: &ModelCard,
) -> Result<(), CheckpointError> {
    tensors::check_shapes(backend, folder, config, weights)?;
    let readme = card.to_markdown(config);
    let mut others = vec![("README.md", readme.as_str())];
    others.extend(tokenizer_files);
    if config.is_uniform() {
        return save_with(backend, folder, config, weights, &others);
    }
    let (config, weights) = pad_to_uniform(backend, config, weights);
    save_with(backend, folder, &config, &weights, &others)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::checkpoint::{TokenizerSource, load_any};
    use crate::model::fixtures;
    use crate::tensor::CpuBackend;
    use std::fs;

    #[test]
    fn a_folder_for_others_is_a_plain_llama_with_card_and_tokenizer() {
        let backend = CpuBackend::<f32>::new();
        let config = fixtures::config(11, 8, 4, true, &[(2, 1, 6), (1, 1, 5)]);
        let weights = fixtures::weights::<f32>(&config, 1);
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("model");
        let card = ModelCard {
            name: "tiny".into(),
            source: "a | b".into(),
            source_licence: "apache-2.0".into(),
            arm: "one_shot".into(),
            spec: "# ```\nname = \"x\"\n".into(),
            tokens_seen: Some(12),
            scores: vec![("piqa".into(), "acc".into(), 0.5)],
        };
        export_hf(&backend, &folder, &config, &weights, &[("tokenizer.json", "{}")], &card).unwrap();
        let json: serde_json::Value =
            serde_json::from_slice(&fs::read(folder.join("config.json")).unwrap()).unwrap();
        assert_eq!((&json["model_type"], &json["num_attention_heads"]), (&"llama".into(), &2.into()));
        let model = load_any(&backend, &folder.to_string_lossy()).unwrap();
        assert_eq!(model.tokenizer, TokenizerSource::TokenizerJson(folder.join("tokenizer.json")));
        assert_eq!((model.config, model.weights), pad_to_uniform(&backend, &config, &weights));
        let readme = fs::read_to_string(folder.join("README.md")).unwrap();
        for part in [
            "license: \"apache-2.0\"",
            "# tiny",
            "| source | a \\| b |",
            "| tokens seen | 12 |",
            "| 1 | 1 | 1 | 5 |",
            "| piqa | acc | 0.5000 |",
            "````toml\n# ```\nname = \"x\"\n````\n",
        ] {
            assert!(readme.contains(part), "{part} in\n{readme}");
        }
    }
}
