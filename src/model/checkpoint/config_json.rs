//! `config.json`: a [`ModelConfig`] in Hugging Face's keys.
//!
//! Which architecture is written follows from the shape, so that stock `transformers` either loads the model
//! correctly or not at all:
//!
//! | layers | `model_type` | why |
//! |---|---|---|
//! | alike, `num_heads` divides `hidden_size` | `llama` | |
//! | alike, it does not | `mistral`, `sliding_window: null` | the same network; `transformers` ≥ 5 refuses such a `llama`, even with an explicit `head_dim` |
//! | alike, biases of q, k and v | `qwen2`, `use_sliding_window: false` | |
//! | alike, biases of all of attention, of all of the feed-forward block, or both | `llama`, `attention_bias`, `mlp_bias` | where `num_heads` divides `hidden_size` |
//! | anything else | `efficientllm` | no stock class has per-layer widths, missing RoPE pairs or biases of some linear layers; widths stand in `layer_shapes` and not in the stock keys; `qkv_bias` says which biases there are |
//!
//! All of them are read, with the defaults of `transformers` for keys that older files omit. What this crate does not
//! compute (other activations, scaled RoPE, sliding windows) is refused, never ignored.
//!
//! A config that brings code of its own (`auto_map`) is read as a Llama's, whatever it calls itself, and its tensors
//! decide whether it is one (see `fit`): the code is not run. Names of stock families whose tensors look the same and
//! which compute something else are refused.
use std::path::Path;

use serde_json::{Map, Value, json};

use super::CheckpointError;
use crate::model::{Biases, LayerShape, ModelConfig};

/// Largest accepted width or vocabulary: keeps every product of two widths far from overflow.
const MAX_WIDTH: u64 = 1 << 24;
const MAX_LAYERS: u64 = 1 << 12;
/// Llama with biases of q, k and v.
const QWEN2: &str = "qwen2";
/// What no stock class describes.
const OURS: &str = "efficientllm";
const LLAMA: &str = "llama";
const SUPPORTED: [&str; 4] = [LLAMA, "mistral", QWEN2, OURS];

/// Families of `transformers` with the tensors of a Llama, and another function.
const LOOK_ALIKES: [&str; 13] = [
    "arcee", "cohere", "gemma", "gemma2", "glm", "granite", "helium", "minicpm", "nemotron", "olmo", "olmo2",
    "smollm3", "stablelm",
];

/// Keys that change the function, in configs of other families and of custom code, with the values that do not.
const CHANGES: [(&str, &[f64]); 18] = [
    ("alibi", &[0.0]),
    ("attention_multiplier", &[]),
    ("attn_logit_softcapping", &[0.0]),
    ("clip_qkv", &[]),
    ("dim_model_base", &[]),
    ("embedding_multiplier", &[1.0]),
    ("final_logit_softcapping", &[0.0]),
    ("layer_sharing", &[0.0]),
    ("logit_scale", &[1.0]),
    ("logits_scaling", &[1.0]),
    ("n_routed_experts", &[0.0, 1.0]),
    ("num_experts", &[0.0, 1.0]),
    ("num_local_experts", &[0.0, 1.0]),
    ("parallel_residual", &[0.0]),
    ("qk_norm", &[0.0]),
    ("residual_multiplier", &[1.0]),
    ("scale_emb", &[1.0]),
    ("use_qk_norm", &[0.0]),
];

/// What a `config.json` says, before it is held against the tensors.
#[derive(Clone, Debug)]
pub(super) struct Claims {
    pub config: ModelConfig,
    /// Written by this crate: the tensors are then exactly what it says.
    pub is_ours: bool,
    /// It names code of its own, which is not run.
    pub has_code: bool,
    /// It names the width of a head.
    pub has_head_dim: bool,
    /// It says whether the head is tied to the embedding.
    pub knows_ties: bool,
}

/// Tokens of the model's vocabulary at which generation begins and ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndTokens {
    pub bos_id: Option<u32>,
    /// Any of them ends it.
    pub eos_ids: Vec<u32>,
    pub pad_id: Option<u32>,
}

impl EndTokens {
    /// As `config.json` and `generation_config.json` have them: a number, a list, or null. Without these keys
    /// transformers would assume 1 and 2.
    pub fn to_json(&self) -> [(&'static str, Value); 3] {
        let eos = match self.eos_ids.as_slice() {
            [] => Value::Null,
            [one] => json!(one),
            several => json!(several),
        };
        [("bos_token_id", json!(self.bos_id)), ("eos_token_id", eos), ("pad_token_id", json!(self.pad_id))]
    }
}

/// The smallest set of biases that holds these and that a stock class has: those of a Qwen2, or of all of attention, of all of
/// the feed-forward block, or both.
pub(super) fn stock_biases(biases: Biases) -> Biases {
    match biases {
        Biases::NONE => Biases::NONE,
        _ if biases.is_subset(Biases::QKV) => Biases::QKV,
        _ => of_flags([Biases::ATTENTION, Biases::MLP].map(|all| !biases.intersection(all).is_empty())),
    }
}

/// Whether a stock class of `transformers` holds a model of this shape as it is.
pub(super) fn is_stock(config: &ModelConfig) -> bool {
    model_type(config).0 != OURS
}

/// Architecture and class of a model of this shape.
fn model_type(config: &ModelConfig) -> (&'static str, &'static str) {
    let uniform = config.layers.first().filter(|_| config.is_uniform());
    let divides =
        |layer: &LayerShape| layer.num_heads > 0 && config.hidden_size.is_multiple_of(layer.num_heads);
    match uniform {
        Some(_) if config.biases == Biases::QKV => (QWEN2, "Qwen2ForCausalLM"),
        Some(layer) if divides(layer) && llama_flags(config.biases).is_some() => {
            ("llama", "LlamaForCausalLM")
        }
        Some(_) if config.biases.is_empty() => ("mistral", "MistralForCausalLM"),
        _ => (OURS, "EfficientLlmForCausalLM"),
    }
}

/// `attention_bias` and `mlp_bias` of a Llama with exactly these biases; `None` where it cannot have them.
fn llama_flags(biases: Biases) -> Option<[bool; 2]> {
    let flags = [Biases::ATTENTION, Biases::MLP].map(|all| !biases.intersection(all).is_empty());
    (biases == of_flags(flags)).then_some(flags)
}

fn of_flags([attention, mlp]: [bool; 2]) -> Biases {
    let of = |flag, all| if flag { all } else { Biases::NONE };
    of(attention, Biases::ATTENTION).union(of(mlp, Biases::MLP))
}

/// The config as JSON text. `path` is for messages.
pub(super) fn to_text(
    config: &ModelConfig,
    ends: &EndTokens,
    path: &Path,
) -> Result<String, CheckpointError> {
    let mut json = json!({
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "head_dim": config.head_dim,
        "num_hidden_layers": config.layers.len(),
        "max_position_embeddings": config.max_position_embeddings,
        "rms_norm_eps": config.rms_norm_eps,
        "rope_theta": config.rope_theta,
        "tie_word_embeddings": config.tie_word_embeddings,
        "hidden_act": "silu",
        "attention_bias": false,
        "mlp_bias": false,
        "torch_dtype": "float32",
    });
    for (key, value) in ends.to_json() {
        // Files of models without a padding token stay as they were.
        if key != "pad_token_id" || !value.is_null() {
            json[key] = value;
        }
    }
    let (model_type, class) = self::model_type(config);
    let uniform = config.layers.first().filter(|_| model_type != OURS);
    json["model_type"] = model_type.into();
    json["architectures"] = json!([class]);
    match uniform {
        Some(layer) => {
            json["num_attention_heads"] = layer.num_heads.into();
            json["num_key_value_heads"] = layer.num_kv_heads.into();
            json["intermediate_size"] = layer.intermediate_size.into();
        }
        None => {
            let shapes: Vec<Value> = config.layers.iter().map(layer_to_json).collect();
            json["layer_shapes"] = shapes.into();
            if !config.biases.is_empty() {
                json["qkv_bias"] = json!(config.biases);
            }
        }
    }
    if model_type == "llama"
        && let Some([attention, mlp]) = llama_flags(config.biases)
    {
        json["attention_bias"] = attention.into();
        json["mlp_bias"] = mlp.into();
    }
    if model_type == "mistral" {
        json["sliding_window"] = Value::Null;
    }
    if model_type == QWEN2 {
        json["use_sliding_window"] = false.into();
    }
    let text = format!("{json:#}\n");
    // What would not be read back must not be written.
    from_text(text.as_bytes(), path)?;
    Ok(text)
}

/// The config in JSON text. `path` is for messages.
pub(super) fn from_text(text: &[u8], path: &Path) -> Result<ModelConfig, CheckpointError> {
    let root: Value = serde_json::from_slice(text)
        .map_err(|source| CheckpointError::Json { path: path.to_path_buf(), source })?;
    Ok(claims(&root, path)?.config)
}

/// What the config says. `path` is for messages.
pub(super) fn claims(root: &Value, path: &Path) -> Result<Claims, CheckpointError> {
    let Value::Object(map) = root else {
        return Err(fault(path, "(the whole file)", Some(root), "an object"));
    };
    let keys = Keys { path, prefix: String::new(), map };
    let has_code =
        map.get("auto_map").is_some_and(|code| code.as_object().is_some_and(|code| !code.is_empty()));
    let model_type = keys.family(has_code)?;
    keys.refuse_unsupported(model_type)?;
    let is_foreign = has_code && model_type != OURS;

    let hidden_size = keys.count("hidden_size", MAX_WIDTH, None)?;
    let num_layers = keys.count("num_hidden_layers", MAX_LAYERS, None)?;
    let layers = match map.get("layer_shapes") {
        None | Some(Value::Null) => keys.layers(num_layers, is_foreign)?,
        Some(Value::Array(shapes)) if shapes.len() == num_layers => {
            shapes.iter().enumerate().map(|(i, shape)| keys.item(i, shape)).collect::<Result<_, _>>()?
        }
        other => {
            let expected = format!("an array of {num_layers} objects, one per layer (num_hidden_layers)");
            return Err(fault(path, "layer_shapes", other, &expected));
        }
    };
    let head_dim = match map.get("head_dim") {
        None | Some(Value::Null) => hidden_size / layers[0].num_heads,
        Some(_) => keys.count("head_dim", MAX_WIDTH, None)?,
    };
    if head_dim == 0 || head_dim % 2 == 1 {
        return Err(CheckpointError::Config {
            path: path.to_path_buf(),
            key: "head_dim".into(),
            found: head_dim.to_string(),
            expected: format!("an even number, since RoPE rotates pairs (nearest: {})", head_dim + 1),
        });
    }
    let rope = map.get("rope_parameters").and_then(Value::as_object);
    let beyond = |layer: &LayerShape| layer.rotary_pairs.iter().flatten().any(|pair| *pair >= head_dim / 2);
    if let Some(index) = layers.iter().position(beyond) {
        let expected = format!("numbers below {}, half of head_dim", head_dim / 2);
        return Err(fault(
            path,
            &format!("layer_shapes[{index}].rotary_pairs"),
            Some(&json!(layers[index].rotary_pairs)),
            &expected,
        ));
    }
    let outer_theta = keys.positive("rope_theta", 10000.0)?;
    let rope_theta = match rope {
        Some(map) => {
            Keys { path, prefix: "rope_parameters.".into(), map }.positive("rope_theta", outer_theta)?
        }
        None => outer_theta,
    };
    let biases = match model_type {
        QWEN2 => Biases::QKV,
        OURS => keys.biases("qkv_bias")?,
        _ => of_flags([keys.flag("attention_bias", false)?, keys.flag("mlp_bias", false)?]),
    };
    let config = ModelConfig {
        vocab_size: keys.count("vocab_size", MAX_WIDTH, None)?,
        hidden_size,
        head_dim,
        tie_word_embeddings: keys.flag("tie_word_embeddings", false)?,
        biases,
        rope_theta,
        rms_norm_eps: keys.positive("rms_norm_eps", 1e-6)?,
        max_position_embeddings: keys.count("max_position_embeddings", u32::MAX as u64, Some(2048))?,
        layers,
    };
    Ok(Claims {
        config,
        is_ours: model_type == OURS,
        has_code,
        has_head_dim: keys.get("head_dim").is_some(),
        // Code of its own may tie what its config does not speak of.
        knows_ties: !is_foreign || keys.get("tie_word_embeddings").is_some(),
    })
}

fn layer_to_json(layer: &LayerShape) -> Value {
    let mut json = json!({
        "num_attention_heads": layer.num_heads,
        "num_key_value_heads": layer.num_kv_heads,
        "intermediate_size": layer.intermediate_size,
    });
    if let Some(pairs) = &layer.rotary_pairs {
        json["rotary_pairs"] = json!(pairs);
    }
    json
}

/// One layer's widths, in the whole config or in an object of `layer_shapes`.
fn layer_from_json(keys: &Keys) -> Result<LayerShape, CheckpointError> {
    let num_heads = keys.count("num_attention_heads", MAX_WIDTH, None)?;
    let num_kv_heads = keys.count("num_key_value_heads", MAX_WIDTH, Some(num_heads))?;
    if !num_heads.is_multiple_of(num_kv_heads) {
        let key = format!("{}num_attention_heads", keys.prefix);
        let nearest = num_heads.next_multiple_of(num_kv_heads);
        let expected = format!("a multiple of num_key_value_heads = {num_kv_heads} (nearest: {nearest})");
        return Err(fault(keys.path, &key, keys.map.get("num_attention_heads"), &expected));
    }
    let intermediate_size = keys.count("intermediate_size", MAX_WIDTH, None)?;
    let rotary_pairs = keys.pairs("rotary_pairs")?;
    Ok(LayerShape { rotary_pairs, ..LayerShape::new(num_heads, num_kv_heads, intermediate_size) })
}

fn fault(path: &Path, key: &str, found: Option<&Value>, expected: &str) -> CheckpointError {
    let found = match found {
        None => "missing".to_string(),
        Some(Value::Object(_)) => "an object".to_string(),
        Some(Value::Array(items)) => format!("an array of {} items", items.len()),
        Some(Value::String(s)) if s.len() > 80 => "a long string".to_string(),
        Some(value) => value.to_string(),
    };
    CheckpointError::Config { path: path.to_path_buf(), key: key.into(), found, expected: expected.into() }
}

/// Typed access to the keys of one JSON object.
struct Keys<'a> {
    path: &'a Path,
    /// Of the key path in messages.
    prefix: String,
    map: &'a Map<String, Value>,
}

impl Keys<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn fault(&self, key: &str, expected: &str) -> CheckpointError {
        fault(self.path, &format!("{}{key}", self.prefix), self.map.get(key), expected)
    }

    /// An integer from 1 to `max`; `default` when absent or null.
    fn count(&self, key: &str, max: u64, default: Option<usize>) -> Result<usize, CheckpointError> {
        match (self.get(key), default) {
            (None, Some(default)) => Ok(default),
            (Some(value), _) if value.as_u64().is_some_and(|n| (1..=max).contains(&n)) => {
                Ok(value.as_u64().unwrap_or_default() as usize)
            }
            _ => Err(self.fault(key, &format!("an integer from 1 to {max}"))),
        }
    }

    fn positive(&self, key: &str, default: f64) -> Result<f64, CheckpointError> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value
                .as_f64()
                .filter(|x| x.is_finite() && *x > 0.0)
                .ok_or_else(|| self.fault(key, "a finite number above 0")),
        }
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool, CheckpointError> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value.as_bool().ok_or_else(|| self.fault(key, "true or false")),
        }
    }

    fn biases(&self, key: &str) -> Result<Biases, CheckpointError> {
        match self.get(key) {
            None => Ok(Biases::NONE),
            Some(value) => serde_json::from_value(value.clone())
                .map_err(|_| self.fault(key, "true, false, or a list of q, k, v, o, gate, up, down")),
        }
    }

    /// Ascending numbers, at least one; `None` when absent or null.
    fn pairs(&self, key: &str) -> Result<Option<Vec<usize>>, CheckpointError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let number = |value: &Value| value.as_u64().filter(|n| *n < MAX_WIDTH).map(|n| n as usize);
        let pairs: Option<Vec<usize>> = value.as_array().and_then(|items| items.iter().map(number).collect());
        pairs
            .filter(|pairs| !pairs.is_empty() && pairs.windows(2).all(|two| two[0] < two[1]))
            .map(Some)
            .ok_or_else(|| self.fault(key, "a list of ascending numbers of RoPE pairs, at least one"))
    }

    /// The family that the model is computed as.
    fn family(&self, has_code: bool) -> Result<&'static str, CheckpointError> {
        let known = |name: &str| SUPPORTED.into_iter().find(|known| *known == name);
        let named = self.get("model_type").and_then(Value::as_str);
        if let Some(family) = named.and_then(known) {
            return Ok(family);
        }
        // Old configs name the class alone.
        let class = self.get("architectures").and_then(|classes| classes.get(0)).and_then(Value::as_str);
        let by_class = class.and_then(|class| known(&class.strip_suffix("ForCausalLM")?.to_lowercase()));
        match (named, by_class) {
            (None, Some(family)) if !self.map.contains_key("model_type") => Ok(family),
            (named, _) if has_code && named.is_none_or(|name| !LOOK_ALIKES.contains(&name)) => Ok(LLAMA),
            _ => Err(self.fault("model_type", &format!("one of {}", SUPPORTED.join(", ")))),
        }
    }

    /// Widths of every layer: one number for all of them or a list with one per layer. `may_lack_width`: the tensors will
    /// tell the width of the feed-forward blocks.
    fn layers(&self, num_layers: usize, may_lack_width: bool) -> Result<Vec<LayerShape>, CheckpointError> {
        let keys = ["num_attention_heads", "num_key_value_heads", "intermediate_size"];
        let list = |key: &str| self.get(key).and_then(Value::as_array);
        if let Some(key) = keys.into_iter().find(|key| list(key).is_some_and(|all| all.len() != num_layers)) {
            let expected = format!("a number, or a list of {num_layers}, one per layer (num_hidden_layers)");
            return Err(self.fault(key, &expected));
        }
        if keys.iter().all(|key| list(key).is_none()) && (!may_lack_width || self.get(keys[2]).is_some()) {
            return Ok(vec![layer_from_json(self)?; num_layers]);
        }
        let of_layer = |i: usize| {
            let value = |key: &str| list(key).map_or_else(|| self.get(key), |all| all.get(i)).cloned();
            let mut map: Map<String, Value> =
                keys.into_iter().filter_map(|key| Some((key.to_string(), value(key)?))).collect();
            if may_lack_width {
                map.entry(keys[2]).or_insert(1.into());
            }
            let prefix = self.prefix.clone();
            layer_from_json(&Keys { path: self.path, prefix, map: &map })
        };
        (0..num_layers).map(of_layer).collect()
    }

    fn item(&self, index: usize, shape: &Value) -> Result<LayerShape, CheckpointError> {
        let prefix = format!("layer_shapes[{index}].");
        match shape {
            Value::Object(map) => layer_from_json(&Keys { path: self.path, prefix, map }),
            other => Err(fault(self.path, prefix.trim_end_matches('.'), Some(other), "an object")),
        }
    }

    /// The string at `key`, which must be one of `supported`.
    fn unsupported_unless(&self, key: &str, supported: &[&str]) -> Result<String, CheckpointError> {
        match self.get(key).and_then(Value::as_str) {
            Some(found) if supported.contains(&found) => Ok(found.to_string()),
            _ => Err(self.fault(key, &format!("one of {}", supported.join(", ")))),
        }
    }

    /// Errors on every setting that would change the network and that this crate does not compute.
    fn refuse_unsupported(&self, model_type: &str) -> Result<(), CheckpointError> {
        // Mistral and Qwen2 do not read these keys in transformers: what they would say is not what is computed there.
        for key in ["attention_bias", "mlp_bias"] {
            if model_type != "llama" && self.flag(key, false)? {
                return Err(self.fault(key, "false: of the stock classes only `llama` has such biases"));
            }
        }
        // Two names of one function.
        if self.get("hidden_act").is_some_and(|name| name.as_str() != Some("swish")) {
            self.unsupported_unless("hidden_act", &["silu"])?;
        }
        if self.get("quantization_config").is_some() {
            let expected = "null: quantised weights are read from GGUF files alone";
            return Err(self.fault("quantization_config", expected));
        }
        for (key, neutral) in CHANGES {
            let changes = |value: &Value| {
                let number = value.as_f64().or_else(|| value.as_bool().map(|flag| f64::from(u8::from(flag))));
                !number.is_some_and(|number| neutral.contains(&number))
            };
            if self.get(key).is_some_and(changes) {
                return Err(self.fault(key, "null: what it changes is not supported"));
            }
        }
        for key in ["rope_scaling", "rope_parameters"] {
            let kind = |rope: &Value| {
                ["rope_type", "type"]
                    .iter()
                    .all(|k| rope.get(k).is_none_or(|v| v.as_str() == Some("default")))
            };
            if self.get(key).is_some_and(|rope| !rope.is_object() || !kind(rope)) {
                return Err(self.fault(key, "null or of type `default`: scaled RoPE is not supported"));
            }
            let inner = self
                .get(key)
                .and_then(|rope| rope.get("partial_rotary_factor"))
                .filter(|factor| !factor.is_null());
            let partial = inner.or_else(|| self.get("partial_rotary_factor"));
            if partial.is_some_and(|factor| factor.as_f64() != Some(1.0)) {
                let expected = "1: RoPE on a part of each head is not supported";
                return Err(fault(self.path, "partial_rotary_factor", partial, expected));
            }
        }
        // transformers ≥ 4.53 says of each layer whether its attention has a window.
        if let Some(kinds) = self.get("layer_types") {
            let full = |kind: &Value| kind.as_str() == Some("full_attention");
            if !kinds.as_array().is_some_and(|kinds| kinds.iter().all(full)) {
                return Err(self.fault("layer_types", "\"full_attention\" for every layer"));
            }
        }
        // A Qwen2 names a window that counts only where it is switched on. A missing window means 4096 to
        // transformers, where the model is a `mistral` or the window is on.
        let is_on = model_type != QWEN2 || self.flag("use_sliding_window", false)?;
        let window = match self.map.get("sliding_window") {
            _ if !is_on => None,
            None if model_type == "mistral" || model_type == QWEN2 => Some(4096),
            None | Some(Value::Null) => None,
            Some(window) => Some(window.as_u64().unwrap_or(0)),
        };
        // A window that no text reaches changes nothing.
        let longest = self.count("max_position_embeddings", u32::MAX as u64, Some(2048))?;
        if window.is_some_and(|window| window < longest as u64) {
            let expected = format!(
                "null, or at least max_position_embeddings = {longest}: attention windows are not supported"
            );
            return Err(self.fault("sliding_window", &expected));
        }
        Ok(())
    }
}
