//! How many tokens the sides of each comparison took to the same held-out loss.
use super::Context;
use crate::report::answers::Answers;
use crate::report::document::{Block, Table};
use crate::report::format;
use crate::report::grid::Weights;
use crate::report::same_loss::{HeldOut, same_loss};

impl Context<'_> {
    /// Nothing where no held-out loss was taken along the runs of a comparison.
    pub(super) fn same_loss_section(&self, answers: &Answers) -> Vec<Block> {
        let held_out = HeldOut::of(self.results);
        let mut seen: Vec<&Weights> = Vec::new();
        let mut rows = Vec::new();
        // At single points: a mean over points has no one loss to reach.
        for c in answers.compared.iter().filter(|c| c.weights.len() == 2) {
            if seen.contains(&&c.weights) {
                continue;
            }
            seen.push(&c.weights);
            let of =
                |sign: f64| c.weights.iter().find(|(_, weight)| weight * sign > 0.0).map(|(group, _)| *group);
            let (Some(variant), Some(baseline)) = (of(1.0), of(-1.0)) else { continue };
            let (variant, baseline) = (&self.groups[variant], &self.groups[baseline]);
            let Some(found) = same_loss(self.results, &held_out, variant, baseline) else { continue };
            let mut row: Vec<String> = c.names.iter().map(|name| format!("`{name}`")).collect();
            row.extend(c.point.iter().cloned());
            row.extend([
                format::fixed(Some(found.loss), 3),
                format::si(Some(found.tokens[0])),
                format::si(Some(found.tokens[1])),
                format::fixed(Some(found.ratio), 2),
                found.interval.map_or(String::new(), |i| format!("{:.2} to {:.2}", i.low, i.high)),
                found.seeds.to_string(),
            ]);
            rows.push(row);
        }
        if rows.is_empty() {
            return Vec::new();
        }
        let mut header: Vec<String> = ["variant", "baseline"].map(String::from).to_vec();
        header.extend(self.results.axes.iter().map(|axis| format!("`{axis}`")));
        header.extend(
            ["loss", "tokens, variant", "tokens, baseline", "ratio", "95 % interval", "seeds"]
                .map(String::from),
        );
        let caption = "Tokens that either side of a comparison trained on until it reached the lowest held-out loss that both reach \
                       (nats per token; between two measurements the loss is taken to change evenly with tokens). Means over seeds; the \
                       ratio variant ÷ baseline is the geometric mean, its interval Student's over the seeds' logarithms. Measurements \
                       of a model that is still to be pruned do not count, and the source's tokens are not counted.";
        let table = Table::new("same_loss", caption, 2 + self.results.axes.len(), header, rows);
        vec![Block::Heading("Tokens to the same loss".into()), Block::Table(table)]
    }
}
