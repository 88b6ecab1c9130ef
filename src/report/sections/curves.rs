//! The curves of method §5 item 9: size, pruned share, candidate saliency and loss against tokens, loss against FLOPs.
use super::{Context, figure};
use crate::record::CandidateRow;
use crate::report::Result;
use crate::report::document::Block;
use crate::report::figures::curves::{MOST_PANELS, curve_figure, prune_figure};

impl Context<'_> {
    pub(super) fn curve_section(&self) -> Result<Vec<Block>> {
        let mut blocks = vec![Block::Heading("Curves".into())];
        let lines = "Thin lines: seeds; thick: their mean.";
        let tokens = "tokens trained on by the run";
        if let Some(svg) =
            curve_figure(self.results, &self.groups, "params_tokens", (tokens, "parameters"), false, |c| {
                Some((c.tokens_seen as f64, c.params as f64))
            })?
        {
            blocks.push(figure(
                "params_tokens",
                &format!(
                    "Parameters of the model against tokens; models of one size lie on one another. {lines}"
                ),
                svg,
            ));
        }
        let omitted = |n: usize| match n {
            0 => String::new(),
            n => format!(
                " The first {MOST_PANELS} configurations that prune in steps; {n} more are in `prune.csv`."
            ),
        };
        let share = |candidate: &CandidateRow| candidate.pruned_share;
        if let Some((svg, n)) =
            prune_figure(self.results, &self.groups, "pruned_share", "pruned share of groups", false, share)?
        {
            let caption = format!(
                "Share of the source's groups of each type pruned so far, against tokens. {lines}{}",
                omitted(n)
            );
            blocks.push(figure("pruned_share", &caption, svg));
        }
        let candidate = |candidate: &CandidateRow| candidate.saliency;
        if let Some((svg, n)) = prune_figure(
            self.results,
            &self.groups,
            "candidate_saliency",
            "saliency of the weakest group",
            true,
            candidate,
        )? {
            let caption = format!(
                "Normalised saliency of the weakest group of each type at each pruning event, against tokens (logarithmic). {lines}{}",
                omitted(n)
            );
            blocks.push(figure("candidate_saliency", &caption, svg));
        }
        let smooth = "Smoothed by means over equal stretches; first steps above the frame are cut off.";
        if let Some(svg) = curve_figure(
            self.results,
            &self.groups,
            "loss_tokens",
            (tokens, "training loss (nats per token)"),
            true,
            |c| Some((c.tokens_seen as f64, c.loss?)),
        )? {
            blocks.push(figure(
                "loss_tokens",
                &format!("Training loss against tokens. {lines} {smooth}"),
                svg,
            ));
        }
        if let Some(svg) = curve_figure(
            self.results,
            &self.groups,
            "loss_flops",
            ("FLOPs spent by the run", "training loss (nats per token)"),
            true,
            |c| Some((c.flops?, c.loss?)),
        )? {
            blocks.push(figure("loss_flops", &format!("Training loss against FLOPs. {lines} {smooth}"), svg));
        }
        if blocks.len() == 1 {
            blocks.push(Block::Text("No curve was recorded.".into()));
        }
        Ok(blocks)
    }
}
