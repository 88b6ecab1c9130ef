//! The curves of method §5 item 9: size, pruned share, candidate saliency and loss against tokens, loss against FLOPs.
use super::{Context, chart_figure};
use crate::record::Results;
use crate::report::Result;
use crate::report::document::Block;
use crate::report::figures::chart::Drawing;
use crate::report::figures::curves::{Curve, CurveScale, curve_figure};
use crate::report::figures::prune_curves::{PruneCurve, prune_figure};
use crate::report::groups::{Group, by_run};

const TOKENS: &str = "tokens trained on by the run";
const TRAINING_LOSS: &str = "training loss (nats per token)";
const LINES: &str = "Thin lines: seeds; thick: their mean.";
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
    loss(results, groups, &curve, &format!("Training loss so far against tokens. {LINES} {SMOOTHED}"))
}

/// A loss, whose caption says which parts of the runs are drawn.
fn loss(results: &Results, groups: &[Group], curve: &Curve, caption: &str) -> Result<Option<Block>> {
    let drawing = curve_figure(results, groups, curve);
    let has_end = |drawing: &Drawing| drawing.chart.panels.iter().any(|panel| panel.axis.is_some());
    let parts = match &drawing {
        Some(drawing) if has_end(drawing) => {
            "The second panel enlarges the last quarter of each run, by its share of the run."
        }
        _ => "Panels show the second half of each run.",
    };
    chart_figure(curve.name, &format!("{caption} {parts}"), drawing)
}

/// Whether a run changes its size on the way: level lines would be a picture of nothing.
fn shrinks(results: &Results) -> bool {
    let runs = by_run(&results.curves);
    runs.values().any(|points| points.windows(2).any(|pair| pair[0].params != pair[1].params))
}

impl Context<'_> {
    pub(super) fn curve_section(&self) -> Result<Vec<Block>> {
        let curve = |curve: &Curve, caption: &str| {
            chart_figure(curve.name, caption, curve_figure(self.results, &self.groups, curve))
        };
        let of_loss = |curve: &Curve, caption: &str| loss(self.results, &self.groups, curve, caption);
        let prune = |curve: &PruneCurve, caption: &str| {
            chart_figure(curve.name, caption, prune_figure(self.results, &self.groups, curve))
        };
        let size = match shrinks(self.results) {
            true => curve(
                &SIZE,
                &format!(
                    "Parameters of the model against tokens; the curves of models of equal size coincide. {LINES}"
                ),
            )?,
            false => None,
        };
        let figures = [
            size,
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
            of_loss(&LOSS_TOKENS, &format!("Training loss against tokens. {LINES} {SMOOTHED}"))?,
            of_loss(&LOSS_FLOPS, &format!("Training loss against FLOPs. {LINES} {SMOOTHED}"))?,
            of_loss(&HELD_OUT, &format!("Loss on held-out text against tokens. {LINES}"))?,
        ];
        let mut blocks = vec![Block::Heading("Curves".into())];
        blocks.extend(figures.into_iter().flatten());
        if blocks.len() == 1 {
            blocks.push(Block::Text("No curve was recorded.".into()));
        }
        Ok(blocks)
    }
}
