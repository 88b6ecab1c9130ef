//! The curves of method §5 item 9: size, pruned share, candidate saliency and loss against tokens, loss against FLOPs.
use super::{Context, chart_figure};
use crate::record::Results;
use crate::report::Result;
use crate::report::document::Block;
use crate::report::figures::curves::{Curve, CurveScale, curve_figure};
use crate::report::figures::prune_curves::{PruneCurve, prune_figure};
use crate::report::groups::Group;

const TOKENS: &str = "tokens trained on by the run";
const TRAINING_LOSS: &str = "training loss (nats per token)";
const LINES: &str = "Thin lines: seeds; thick: their mean.";
const ENDS: &str = "Beside the whole run its end is drawn on a scale on which it can be told apart; of several panels each shows the second \
                    half of the run.";
const SMOOTHED: &str = "Smoothed by means over equal stretches; first steps above the frame are cut off.";

const SIZE: Curve = Curve {
    name: "params_tokens",
    titles: [TOKENS, "parameters"],
    scale: CurveScale::FromZero,
    point: |c| Some((c.tokens_seen as f64, c.params as f64)),
};
const LOSS_TOKENS: Curve = Curve {
    name: "loss_tokens",
    titles: [TOKENS, TRAINING_LOSS],
    scale: CurveScale::NoisyLoss,
    point: |c| Some((c.tokens_seen as f64, c.loss?)),
};
const LOSS_FLOPS: Curve = Curve {
    name: "loss_flops",
    titles: ["FLOPs spent by the run", TRAINING_LOSS],
    scale: CurveScale::NoisyLoss,
    point: |c| Some((c.flops?, c.loss?)),
};
const HELD_OUT: Curve = Curve {
    name: "held_out_loss",
    titles: [TOKENS, "held-out loss (nats per token)"],
    scale: CurveScale::Loss,
    point: |c| Some((c.tokens_seen as f64, c.held_out_loss?)),
};
const SHARE: PruneCurve = PruneCurve {
    name: "pruned_share",
    title: "pruned share of groups",
    log: false,
    value: |candidate| candidate.pruned_share,
};
const SALIENCY: PruneCurve = PruneCurve {
    name: "candidate_saliency",
    title: "saliency of the weakest group",
    log: true,
    value: |candidate| candidate.saliency,
};

/// Training loss of all runs, those under way included.
pub(super) fn so_far(results: &Results, groups: &[Group]) -> Result<Option<Block>> {
    let curve = Curve { name: "loss_so_far", ..LOSS_TOKENS };
    let caption = format!("Training loss so far against tokens. {LINES} {SMOOTHED} {ENDS}");
    chart_figure(curve.name, &caption, curve_figure(results, groups, &curve))
}

impl Context<'_> {
    pub(super) fn curve_section(&self) -> Result<Vec<Block>> {
        let curve = |curve: &Curve, caption: &str| {
            chart_figure(curve.name, caption, curve_figure(self.results, &self.groups, curve))
        };
        let prune = |curve: &PruneCurve, caption: &str| {
            chart_figure(curve.name, caption, prune_figure(self.results, &self.groups, curve))
        };
        let figures = [
            curve(
                &SIZE,
                &format!(
                    "Parameters of the model against tokens; the curves of models of equal size coincide. {LINES}"
                ),
            )?,
            prune(
                &SHARE,
                &format!("Share of the source's groups of each type pruned so far, against tokens. {LINES}"),
            )?,
            prune(
                &SALIENCY,
                &format!(
                    "Normalised saliency of the weakest group of each type at each pruning event, against tokens (logarithmic). {LINES}"
                ),
            )?,
            curve(&LOSS_TOKENS, &format!("Training loss against tokens. {LINES} {SMOOTHED} {ENDS}"))?,
            curve(&LOSS_FLOPS, &format!("Training loss against FLOPs. {LINES} {SMOOTHED} {ENDS}"))?,
            curve(&HELD_OUT, &format!("Loss on held-out text against tokens. {LINES} {ENDS}"))?,
        ];
        let mut blocks = vec![Block::Heading("Curves".into())];
        blocks.extend(figures.into_iter().flatten());
        if blocks.len() == 1 {
            blocks.push(Block::Text("No curve was recorded.".into()));
        }
        Ok(blocks)
    }
}
