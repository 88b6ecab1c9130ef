//! How fast models read and write at batch 1, and how much faster than their source.
use super::Context;
use crate::record::{LatencyPhase, LatencyRow};
use crate::report::document::{Block, Table};
use crate::report::format;
use crate::report::groups::{Group, mean_over};

/// Speed of one group in one phase.
struct Speed {
    /// Mean over seeds of the tokens per second of the median measurement.
    mean: f64,
    /// Of the slowest and the fastest measurement of all seeds.
    slowest: Option<f64>,
    fastest: Option<f64>,
}

impl Context<'_> {
    /// Nothing where no latency was measured.
    pub(super) fn latency_section(&self) -> Vec<Block> {
        let Some(first) = self.results.latency.first() else { return Vec::new() };
        let mut rows = Vec::new();
        for group in &self.groups {
            let source = self.groups.iter().find(|other| other.arm == self.source && reaches(other, group));
            let mut row = self.key(group);
            for phase in [LatencyPhase::Prefill, LatencyPhase::Decode] {
                let speed = self.speed(group, phase);
                let of_source = source.and_then(|source| self.speed(source, phase));
                row.push(speed.as_ref().map_or(String::new(), shown));
                row.push(match (&speed, of_source) {
                    (Some(speed), Some(source)) => format::fixed(Some(speed.mean / source.mean), 2),
                    _ => String::new(),
                });
            }
            rows.push(row);
        }
        let mut header = self.key_header();
        header.extend(["prefill (tokens/s)", "× source", "decode (tokens/s)", "× source"].map(String::from));
        let of_phase = |phase| self.results.latency.iter().map(|k| &k.row).find(|row| row.phase == phase);
        let tokens = |phase| of_phase(phase).map_or(0, |row| row.tokens);
        let caption = format!(
            "Speed at batch 1 on {}: a prompt of {} tokens read in one pass, then {} tokens generated one by one. Tokens per second of the median of {} measurements, mean over seeds; in brackets those of the slowest and the fastest measurement.",
            plural(first.row.threads, "thread"),
            tokens(LatencyPhase::Prefill),
            tokens(LatencyPhase::Decode),
            first.row.repeats
        );
        let table = Table::new("latency", &caption, self.key_header().len(), header, rows);
        vec![Block::Heading("Latency".into()), Block::Table(table)]
    }

    fn speed(&self, group: &Group, phase: LatencyPhase) -> Option<Speed> {
        let row = |run: usize| -> Option<&LatencyRow> {
            self.results.latency.iter().find(|k| k.run == run && k.row.phase == phase).map(|k| &k.row)
        };
        let extreme = |seconds: fn(&LatencyRow) -> Option<f64>, pick: fn(f64, f64) -> f64| {
            let speeds = group.runs.iter().filter_map(|run| {
                let row = row(*run)?;
                Some(row.tokens as f64 / seconds(row)?)
            });
            speeds.reduce(pick)
        };
        Some(Speed {
            mean: mean_over(&group.runs, |run| row(run)?.tokens_per_second)?,
            slowest: extreme(|row| row.seconds_max, f64::min),
            fastest: extreme(|row| row.seconds_min, f64::max),
        })
    }
}

/// Whether the source at `source`'s point is that of `group`: a cell that it does not depend on is empty.
fn reaches(source: &Group, group: &Group) -> bool {
    source.point.iter().zip(&group.point).all(|(own, other)| own.is_empty() || own == other)
}

fn shown(speed: &Speed) -> String {
    let mean = format::si(Some(speed.mean));
    match (speed.slowest, speed.fastest) {
        (Some(slowest), Some(fastest)) => {
            format!("{mean} ({} to {})", format::si(Some(slowest)), format::si(Some(fastest)))
        }
        _ => mean,
    }
}

fn plural(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
