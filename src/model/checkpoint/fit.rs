//! The shape of a model by its tensors, where its `config.json` says otherwise.
//!
//! Tools that prune a model often leave its config as it was, or give only the code that they came with the new widths.
//! What a tensor's shape decides is then taken from the tensors, and told:
//!
//! ```text
//! V, d = rows and columns of the embedding      f of a layer = rows of its gate
//! H·h  = rows of q,  K·h = rows of k            h is the config's: `head_dim`, else hidden_size / num_attention_heads
//! ```
//!
//! The number of layers stays the config's: a layer that is missing is a fault.
use super::CheckpointError;
use super::stored::Stored;
use crate::model::{LayerShape, ModelConfig};

/// Fits `config` to the tensors; returns what was told differently, in words. `knows_ties`: the config says of itself
/// whether the head is tied.
pub(super) fn fit(
    config: &mut ModelConfig,
    stored: &mut Stored,
    has_head_dim: bool,
    knows_ties: bool,
) -> Result<Vec<String>, CheckpointError> {
    let mut notes = Vec::new();
    let mut count = |key: &str, claimed: &mut usize, found: usize| {
        if *claimed != found {
            notes
                .push(format!("`{key}` is {claimed} in config.json and {found} by the tensors, which count"));
            *claimed = found;
        }
    };
    if !has_head_dim && let Some(h) = head_dim(config, stored) {
        count("head_dim", &mut config.head_dim, h);
    }
    if let Some([rows, cols]) = stored.matrix("model.embed_tokens.weight") {
        count("vocab_size", &mut config.vocab_size, rows);
        count("hidden_size", &mut config.hidden_size, cols);
    }
    let claimed = config.layers.clone();
    for (i, layer) in config.layers.iter_mut().enumerate() {
        if let Some(found) = layer_shape(stored, i, config.head_dim) {
            *layer = found;
        }
    }
    if claimed != config.layers {
        notes.push(told(&claimed, &config.layers));
    }
    let has_head = stored.tensors.contains_key("lm_head.weight");
    if !knows_ties && !has_head && !config.tie_word_embeddings {
        config.tie_word_embeddings = true;
        notes.push("there is no `lm_head.weight`, so the head is taken to be tied to the embedding".into());
    }
    if config.tie_word_embeddings && has_head {
        if stored.are_equal("lm_head.weight", "model.embed_tokens.weight")? {
            stored.tensors.remove("lm_head.weight");
            return Ok(notes);
        }
        // As transformers 5 does, which ties only heads that are not stored or are stored alike.
        config.tie_word_embeddings = false;
        notes.push(
            "`tie_word_embeddings` is true in config.json, but `lm_head.weight` is stored and differs from the embedding: it counts, and the head is not tied"
                .into(),
        );
    }
    Ok(notes)
}

/// Width of a head where the config does not name it and the width that it implies does not divide the projections.
fn head_dim(config: &ModelConfig, stored: &Stored) -> Option<usize> {
    let rows = |i: usize, part: &str| {
        stored.matrix(&format!("model.layers.{i}.self_attn.{part}_proj.weight")).map(|shape| shape[0])
    };
    let all: Vec<(usize, usize)> =
        (0..config.layers.len()).map(|i| rows(i, "q").zip(rows(i, "k"))).collect::<Option<_>>()?;
    let divides = |h: usize| h > 0 && all.iter().all(|(q, k)| q % h == 0 && k % h == 0);
    if let Some(h) = stored.rotary_width.filter(|h| divides(*h)) {
        return Some(h);
    }
    if divides(config.head_dim) {
        return None;
    }
    // The hidden width was pruned and the heads were not: their number tells their width.
    let (layer, (q, k)) = (config.layers.first()?, *all.first()?);
    let h = q / layer.num_heads;
    (h > 0 && h % 2 == 0 && h * layer.num_heads == q && h * layer.num_kv_heads == k && divides(h))
        .then_some(h)
}

/// Widths of layer `i` by its tensors, where they describe a layer.
fn layer_shape(stored: &Stored, i: usize, h: usize) -> Option<LayerShape> {
    let rows = |part: &str| stored.matrix(&format!("model.layers.{i}.{part}.weight")).map(|shape| shape[0]);
    let (q, k, f) = (rows("self_attn.q_proj")?, rows("self_attn.k_proj")?, rows("mlp.gate_proj")?);
    let shape = LayerShape::new(q.checked_div(h)?, k.checked_div(h)?, f);
    let is_whole = shape.num_heads * h == q && shape.num_kv_heads * h == k;
    let is_grouped = shape.num_kv_heads > 0 && shape.num_heads.is_multiple_of(shape.num_kv_heads);
    (is_whole && is_grouped && shape.num_heads > 0 && f > 0).then_some(shape)
}

/// How many layers differ, and the first of them.
fn told(claimed: &[LayerShape], found: &[LayerShape]) -> String {
    let differ = claimed.iter().zip(found).filter(|(a, b)| a != b).count();
    let words = |l: &LayerShape| {
        format!("{} heads, {} key-value heads, width {}", l.num_heads, l.num_kv_heads, l.intermediate_size)
    };
    let first = claimed.iter().zip(found).position(|(a, b)| a != b).unwrap_or(0);
    format!(
        "{differ} of {} layers are of another shape than config.json says, and their tensors count (layer {first}: {} by the tensors, {} by the config)",
        found.len(),
        words(&found[first]),
        words(&claimed[first])
    )
}
