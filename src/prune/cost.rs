//! What pruning costs, in floating-point operations (a multiply–add counts two), for the ledger.
//!
//! ```text
//! saliency                flops_per_parameter · (parameters that are scored: all once, then what goes)
//! layerwise errors        n³ for each inverse of G, once; 2k²s + 2ks² + s³/3 where an event takes s of its columns and leaves k;
//!                         2(s + 1)·s·d_out + s³/3 for each group of s columns, at every event      (`rules::obs`)
//! squared gradients       3·P per sequence or micro-batch: square, scale, add
//! update, per linear      n³/3 + 2·n²·s + 2·n·s² + 2·d_out·n·s, the factor n³/3 once per input   (second moments)
//!                         2·d_out·s                                                              (biases)
//! ```
//!
//! n inputs of a linear, s of them removed. What statistics cost while text passes is theirs to say
//! ([`statistics`](super::statistics)). Scoring what is small beside it (norms, sums over groups) is left out.
use super::survivors::Survivors;
use super::update::of_head;
use crate::model::ModelConfig;
use crate::schema::Projection;
use crate::spec::{Saliency, Update};

/// Scoring `parameters` parameters: all that groups own, and after that what an event takes from sums of other groups.
pub fn saliency_flops(saliency: Saliency, parameters: u64) -> u64 {
    saliency.flops_per_parameter * parameters
}

/// Adding one sequence's or micro-batch's squared gradients.
pub fn unit_flops(config: &ModelConfig) -> u64 {
    3 * config.num_params()
}

/// The linear layers that read one input, of which there are four in a decoder layer.
const INPUTS: [&[Projection]; 4] = [
    &[Projection::Q, Projection::K, Projection::V],
    &[Projection::O],
    &[Projection::Gate, Projection::Up],
    &[Projection::Down],
];

/// The update of one event that keeps `kept` of a model of shape `config`.
pub fn update_flops(update: Update, config: &ModelConfig, kept: &Survivors) -> u64 {
    if update.changes_nothing() {
        return 0;
    }
    let input = |update: Update, [n, s, linears, outputs]: [usize; 4]| {
        update.flops([n, s, linears, outputs].map(|x| x as u64))
    };
    let of_input = |layer: usize, linears: &[Projection]| {
        let inputs = linears[0].inputs(layer);
        let width = config.length(inputs);
        let Some(left) = kept.along(config, inputs) else { return 0 };
        let outputs = linears.iter().map(|linear| config.length(linear.outputs(layer))).sum();
        input(update, [width, width - left.len(), linears.len(), outputs])
    };
    let layers: u64 =
        kept.layers.iter().flat_map(|kept| INPUTS.map(|linears| of_input(kept.layer, linears))).sum();
    let (d, gone) = (config.hidden_size, config.hidden_size - kept.stem.len());
    let has_head = gone > 0 && !config.tie_word_embeddings;
    let of_head = of_head(update).filter(|_| has_head);
    layers + of_head.map_or(0, |update| input(update, [d, gone, 1, config.vocab_size]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Biases;
    use crate::prune::groups::Groups;
    use crate::prune::testing::{small_config, small_spec, taken_at};
    use crate::spec::GroupType;

    #[test]
    fn counts_by_hand() {
        // V = 10, d = 12, L = 2, H = 6, K = 3, h = 2, f = 8; tied, so P = 1620, of which norms 5·12.
        let config = small_config(true);
        let all = Groups::new(&small_spec(), &config).unwrap();
        assert_eq!(saliency_flops(Saliency::TAYLOR_MIX, 1620), 8 * 1620);
        assert_eq!(unit_flops(&config), 3 * 1620);
        // Biases: (6 + 2·3)·2 per layer.
        let biased = ModelConfig { biases: Biases::QKV, ..config.clone() };
        assert_eq!(unit_flops(&biased), 3 * (1620 + 48));
        let kept = all.without(&config, &taken_at(GroupType::Ffn, &[0, 0]));
        // n = 8, s = 1, d_out = 12: 512/3 + 2·64 + 2·8 + 2·12·8 = 170 + 128 + 16 + 192.
        assert_eq!(update_flops(Update::LAYERWISE, &config, &kept), 2 * 506);
        assert_eq!(update_flops(Update::NONE, &config, &kept), 0);
        // A stem channel: q, k, v of 12 + 6 + 6 rows and gate, up of 8 each in two layers; an untied head of 10 has no bias.
        let kept = all.without(&config, &taken_at(GroupType::Stem, &[3]));
        let untied = small_config(false);
        assert_eq!(update_flops(Update::MEAN_BIAS, &config, &kept), 2 * (2 * 24 + 2 * 16));
        assert_eq!(update_flops(Update::MEAN_BIAS, &untied, &kept), 2 * (2 * 24 + 2 * 16));
        // n = 12, s = 1: the factor and one column of the inverse, and its products with 10 rows.
        let head = 12u64.pow(3) / 3 + 2 * 144 + 2 * 12 + 2 * 10 * 12;
        for update in [Update::LAYERWISE, Update::LAYERWISE_BIAS] {
            let [tied, untied] = [&config, &untied].map(|config| update_flops(update, config, &kept));
            assert_eq!(untied - tied, head);
        }
    }
}
