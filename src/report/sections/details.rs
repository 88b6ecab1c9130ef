//! Seed by seed, cost by part, stability over seeds.
use super::Context;
use crate::record::LayerWidths;
use crate::report::costs;
use crate::report::document::{Block, Table};
use crate::report::format;
use crate::report::groups::Group;
use crate::report::metric::Metric;
use crate::report::stability::{Removals, spread};

/// A width of a layer.
type Width = fn(&LayerWidths) -> u64;

impl Context<'_> {
    pub(super) fn seed_section(&self) -> Vec<Block> {
        let all = self.scores.tasks_with(Metric::Acc, &self.groups);
        let mut header = self.key_header();
        header.extend(
            ["seed", "parameters", "training loss", "validation loss", "bits per byte", "average acc (%)"]
                .map(String::from),
        );
        let mut rows = Vec::new();
        for group in &self.groups {
            for &run in &group.runs {
                let alone = Group { runs: vec![run], ..group.clone() };
                let t = self.totals(run);
                let mut row = self.key(group);
                row.extend([
                    self.results.runs[run].identity.seed.to_string(),
                    t.params.map_or(String::new(), |p| p.to_string()),
                    format::fixed(t.train_loss, 3),
                    format::fixed(t.valid_loss, 3),
                    format::fixed(t.bits_per_byte, 3),
                    format::percent_with_interval(self.scores.cell(&alone, &all, Metric::Acc).mean, None),
                ]);
                rows.push(row);
            }
        }
        let table = Table::new(
            "seeds",
            "Every finished run. Losses in nats per token.",
            self.key_header().len(),
            header,
            rows,
        );
        vec![Block::Heading("Seed by seed".into()), Block::Table(table)]
    }

    pub(super) fn cost_section(&self) -> Vec<Block> {
        let mut header = self.key_header();
        header.extend(["part", "tokens", "FLOPs", "share of FLOPs (%)", "seconds"].map(String::from));
        let mut rows = Vec::new();
        for group in &self.groups {
            let parts = costs::parts(self.results, group);
            let sum: f64 = parts.iter().filter_map(|p| p.flops).sum();
            for p in parts {
                let mut row = self.key(group);
                row.extend([
                    p.part.name().to_string(),
                    format::si(p.tokens),
                    format::si(p.flops),
                    p.flops.filter(|_| sum > 0.0).map_or(String::new(), |f| format::percent(f / sum)),
                    format::fixed(p.seconds, 1),
                ]);
                rows.push(row);
            }
        }
        let heading = Block::Heading("Cost by part".into());
        if rows.is_empty() {
            return vec![heading, Block::Text("No ledger was recorded.".into())];
        }
        let caption = "What tokens, FLOPs and time went into: means over seeds.";
        vec![heading, Block::Table(Table::new("costs", caption, 1 + self.key_header().len(), header, rows))]
    }

    pub(super) fn stability_section(&self) -> Vec<Block> {
        let mut blocks = vec![Block::Heading("Stability over seeds".into())];
        let mut header = self.key_header();
        header.extend(["type", "Jaccard", "chance", "seeds"].map(String::from));
        let mut rows = Vec::new();
        let removals = Removals::of(self.results);
        for group in &self.groups {
            for a in removals.agreements(group) {
                let mut row = self.key(group);
                row.extend([
                    a.group_type,
                    format!("{:.3}", a.jaccard),
                    format!("{:.3}", a.chance),
                    a.seeds.to_string(),
                ]);
                rows.push(row);
            }
        }
        if rows.is_empty() {
            blocks.push(Block::Text(
                "Agreement of kept groups needs two finished seeds of an arm that prunes.".into(),
            ));
        } else {
            let caption = "Jaccard index of the groups kept by two seeds, mean over layers and pairs of seeds, against random choices of the same sizes. Groups are numbered as in the source: where each seed has a source of its own, chance is what to expect.";
            blocks.push(Block::Table(Table::new(
                "stability",
                caption,
                1 + self.key_header().len(),
                header,
                rows,
            )));
        }
        let widths: [(&str, Width); 4] = [
            ("hidden", |w| w.hidden_size),
            ("heads", |w| w.num_heads),
            ("KV heads", |w| w.num_kv_heads),
            ("ffn", |w| w.intermediate_size),
        ];
        if !self.results.widths.is_empty() {
            let columns = widths.iter().map(|(name, _)| name.to_string()).collect();
            let caption =
                "Widths of the final models, mean over layers and seeds ± standard deviation over seeds.";
            blocks.push(Block::Table(self.keyed_table("widths", caption, columns, |g| {
                let show = |width| match spread(self.results, g, width) {
                    None => String::new(),
                    Some(s) => match s.deviation {
                        Some(d) => format!("{:.1} ± {d:.1}", s.mean),
                        None => format!("{:.1}", s.mean),
                    },
                };
                widths.iter().map(|(_, width)| show(*width)).collect()
            })));
        }
        blocks
    }
}
