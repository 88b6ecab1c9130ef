//! A model for others: a folder that stock `transformers` loads, with tokenizer and model card.
use std::path::Path;

use super::{CheckpointError, EndTokens, Licence, pad_to_uniform, save_with, tensors};
use crate::model::{ModelConfig, Weights};
use crate::tensor::Backend;

/// What the model card says; empty fields are left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelCard {
    pub name: String,
    /// The model that this one was made from.
    pub source: String,
    /// Licence of the source, which passes on to what is made from it.
    pub licence: Option<Licence>,
    /// How it was made: `pruning_aware`, `one_shot`, …
    pub arm: String,
    /// What else is known of where it comes from, by name: run, seed, tokens, commit, …
    pub facts: Vec<(String, String)>,
    pub scores: Vec<Score>,
    /// Everything that its numbers depend on, as JSON.
    pub spec: String,
}

/// A line of the table of scores.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    pub task: String,
    pub metric: String,
    pub value: f64,
    /// 95 %
    pub interval: Option<(f64, f64)>,
    /// Items that the interval is over.
    pub num_items: u64,
}

impl ModelCard {
    /// The card as `README.md`, with the front matter that the hub reads.
    pub fn to_markdown(&self, config: &ModelConfig) -> String {
        let mut text = String::from("---\nlibrary_name: transformers\npipeline_tag: text-generation\n");
        if let Some(licence) = &self.licence {
            // A JSON string is a YAML string: nothing in it can end the front matter.
            text += &format!("license: {}\n", serde_json::Value::from(licence.identifier()));
        }
        text += &format!("---\n# {}\n\n", if self.name.is_empty() { "Model" } else { &self.name });
        let mut rows = vec![("parameters", config.num_params().to_string())];
        let licence = self.licence.as_ref().map(Licence::to_string).unwrap_or_default();
        let named =
            [("source", self.source.clone()), ("licence of the source", licence), ("arm", self.arm.clone())];
        rows.extend(named.into_iter().filter(|(_, value)| !value.is_empty()));
        rows.extend(self.facts.iter().map(|(name, value)| (name.as_str(), value.clone())));
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
            text +=
                "\n## Scores\n\n| task | metric | value | 95 % interval | items |\n|---|---|---|---|---|\n";
            for Score { task, metric, value, interval, num_items } in &self.scores {
                let interval = interval.map_or(String::new(), |(low, high)| format!("{low:.4} to {high:.4}"));
                text += &format!(
                    "| {} | {} | {value:.4} | {interval} | {num_items} |\n",
                    cell(task),
                    cell(metric)
                );
            }
        }
        if !self.spec.is_empty() {
            // A fence longer than any in the text.
            let longest = self.spec.split(|c| c != '`').map(str::len).max().unwrap_or(0);
            let fence = "`".repeat(longest.max(2) + 1);
            text += &format!(
                "\n## Specification\n\nEverything that the numbers of this model depend on.\n\n{fence}json\n{}\n{fence}\n",
                self.spec.trim_end()
            );
        }
        text
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// Writes the model to `folder`, which must not exist or be empty, as a plain Llama (or Qwen2 where q, k and v have
/// biases, or Mistral where the heads do not divide the hidden width), with `tokenizer_files` by name and contents: layers
/// of different widths are padded with zeros, which leaves the logits as they were. `ends` stand in its config.
///
/// # Errors
/// As [`super::save`].
pub fn export_hf<B: Backend>(
    backend: &B,
    folder: &Path,
    config: &ModelConfig,
    weights: &Weights<B::Tensor>,
    ends: &EndTokens,
    tokenizer_files: &[(&str, &str)],
    card: &ModelCard,
) -> Result<(), CheckpointError> {
    tensors::check_shapes(backend, folder, config, weights)?;
    let readme = card.to_markdown(config);
    let mut others = vec![("README.md", readme.as_str())];
    others.extend(tokenizer_files);
    if config.is_uniform() {
        return save_with(backend, folder, config, weights, Some(ends), &others);
    }
    let (config, weights) = pad_to_uniform(backend, config, weights);
    save_with(backend, folder, &config, &weights, Some(ends), &others)
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
            licence: Some(Licence::Unknown("it says | nothing".into())),
            arm: "one_shot".into(),
            facts: vec![("tokens".into(), "12".into())],
            scores: vec![Score {
                task: "piqa".into(),
                metric: "acc".into(),
                value: 0.5,
                interval: Some((0.25, 0.75)),
                num_items: 4,
            }],
            spec: "{\"name\": \"```\"}\n".into(),
        };
        let ends = EndTokens { bos_id: Some(3), eos_ids: vec![0, 5], pad_id: None };
        export_hf(&backend, &folder, &config, &weights, &ends, &[("tokenizer.json", "{}")], &card).unwrap();
        let json: serde_json::Value =
            serde_json::from_slice(&fs::read(folder.join("config.json")).unwrap()).unwrap();
        assert_eq!((&json["model_type"], &json["num_attention_heads"]), (&"llama".into(), &2.into()));
        assert_eq!((&json["bos_token_id"], &json["eos_token_id"]), (&3.into(), &serde_json::json!([0, 5])));
        let model = load_any(&backend, &folder).unwrap();
        assert_eq!(model.tokenizer, TokenizerSource::TokenizerJson(folder.join("tokenizer.json")));
        assert_eq!((model.config, model.weights), pad_to_uniform(&backend, &config, &weights));
        let readme = fs::read_to_string(folder.join("README.md")).unwrap();
        for part in [
            "license: \"unknown\"",
            "| licence of the source | unknown: it says \\| nothing |",
            "# tiny",
            "| source | a \\| b |",
            "| tokens | 12 |",
            "| 1 | 1 | 1 | 5 |",
            "| piqa | acc | 0.5000 | 0.2500 to 0.7500 | 4 |",
            "````json\n{\"name\": \"```\"}\n````\n",
        ] {
            assert!(readme.contains(part), "{part} in\n{readme}");
        }
    }
}
