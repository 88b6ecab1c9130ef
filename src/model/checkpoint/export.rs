//! A model for others: a folder that stock `transformers` loads, with tokenizer and model card.
use std::path::Path;

use super::pad::{pad_layers, widest};
use super::{CheckpointError, EndTokens, Licence, config_json, save_with, tensors};
use crate::model::bias::add_biases;
use crate::model::{Biases, ModelConfig, Weights};
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
/// of different widths, missing RoPE pairs and biases are padded with zeros, which leaves the logits as they were. Biases of o
/// or of the feed-forward block are held by a Llama alone (`attention_bias`, `mlp_bias`). `ends` stand in its config.
///
/// # Errors
/// As [`super::save`], and [`CheckpointError::NoStockClass`].
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
    if config_json::is_stock(config) {
        return save_with(backend, folder, config, weights, Some(ends), &others);
    }
    let (config, weights) = stocked(backend, folder, config, weights)?;
    save_with(backend, folder, &config, &weights, Some(ends), &others)
}

/// The same function as a model that a stock class of `transformers` holds: zeros for missing widths, RoPE pairs and biases,
/// and, for a Llama with biases, heads of zeros until their number divides the hidden width.
fn stocked<B: Backend>(
    backend: &B,
    folder: &Path,
    config: &ModelConfig,
    weights: &Weights<B::Tensor>,
) -> Result<(ModelConfig, Weights<B::Tensor>), CheckpointError> {
    let biases = config_json::stock_biases(config.biases);
    let mut layer = widest(config);
    if !biases.is_subset(Biases::QKV) {
        // Such biases only a Llama has, whose heads must divide the hidden width.
        let (d, group) = (config.hidden_size, layer.num_heads / layer.num_kv_heads);
        let fits = |heads: &usize| heads.is_multiple_of(group) && d.is_multiple_of(*heads);
        let heads = (layer.num_heads..=d).find(fits).ok_or_else(|| CheckpointError::NoStockClass {
            path: folder.to_path_buf(),
            problem: format!(
                "biases of o or of the feed-forward block need a Llama, whose heads ({} in groups of {group}) must divide the hidden width {d}",
                layer.num_heads
            ),
        })?;
        (layer.num_heads, layer.num_kv_heads) = (heads, heads / group);
    }
    let mut weights = weights.map(|leaf| backend.select(leaf, None, None));
    add_biases(backend, config, &mut weights, biases);
    let config = ModelConfig { biases, ..config.clone() };
    Ok(pad_layers(backend, &config, &weights, layer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::checkpoint::{TokenizerSource, load_any, pad_to_uniform};
    use crate::model::fixtures;
    use crate::model::fixtures::{all_biased, tokens, with_pairs};
    use crate::model::reference;
    use crate::schema::Projection;
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

    /// What pruning and its updates leave, as others read it: logits do not change.
    #[test]
    fn stock_classes_hold_every_model_or_it_is_refused() {
        let backend = CpuBackend::<f64>::new();
        let uneven = fixtures::config(11, 12, 6, false, &[(4, 2, 6), (2, 1, 5), (3, 3, 1)]);
        let with = |biases, config: ModelConfig| ModelConfig { biases, ..config };
        let down = Biases::NONE.with(Projection::Down);
        for (name, config, model_type) in [
            ("pairs", with_pairs(uneven.clone(), &[&[0, 2], &[1]]), "llama"),
            ("q alone", with(Biases::NONE.with(Projection::Q), uneven.clone()), "qwen2"),
            ("down", with(down, fixtures::config(11, 12, 4, true, &[(4, 2, 6), (2, 1, 5)])), "llama"),
            (
                "o and pairs",
                with_pairs(with(Biases::ATTENTION, fixtures::config(9, 12, 4, true, &[(5, 5, 3)])), &[&[1]]),
                "llama",
            ),
            ("all", all_biased(fixtures::config(11, 12, 4, true, &[(4, 2, 6), (2, 1, 5)])), "llama"),
        ] {
            let weights = fixtures::weights::<f64>(&config, 1);
            let (stock, padded) = stocked(&backend, Path::new("x"), &config, &weights).unwrap();
            assert!(config_json::is_stock(&stock), "{name}");
            let text = config_json::to_text(&stock, &EndTokens::default(), Path::new("config.json")).unwrap();
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(json["model_type"], model_type, "{name}");
            let ids = tokens(10, config.vocab_size, 3);
            let (expected, found) =
                (reference::logits(&config, &weights, &ids, 2), reference::logits(&stock, &padded, &ids, 2));
            for (found, expected) in found.data.iter().zip(&expected.data) {
                // Zeros may change the order of sums: rounding of f64.
                assert!((found - expected).abs() <= 1e-12 * (1.0 + expected.abs()), "{name}");
            }
        }
        let config = with(down, fixtures::config(11, 7, 4, true, &[(5, 1, 6)]));
        let weights = fixtures::weights::<f64>(&config, 1);
        let error = stocked(&backend, Path::new("x"), &config, &weights).unwrap_err().to_string();
        assert!(error.contains("heads (5 in groups of 5) must divide the hidden width 7"), "{error}");
    }
}
