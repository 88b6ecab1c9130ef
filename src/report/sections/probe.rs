//! What a probe of the source found, beside the runs.
use super::{chart_figure, figure};
use crate::report::Result;
use crate::report::document::{Block, Table};
use crate::report::figures::predicted::{correlation, correlations_figure, predicted_figure};
use crate::report::format;
use crate::report::probe::{Probe, ProbedRule};

/// Sentence, correlations, the change of loss along each rule's order, and the table.
pub(super) fn section(probe: &Probe) -> Result<Vec<Block>> {
    let mut blocks = vec![Block::Heading("What removing a group does".into())];
    let best: Vec<String> = probe
        .types()
        .iter()
        .filter_map(|group_type| {
            let best = *probe.ranked(group_type).first().filter(|rule| rule.spearman.is_some())?;
            // No test tells rules apart here: those whose intervals reach the best are counted.
            let reaches = |rule: &&ProbedRule| rule.spearman_high >= best.spearman;
            let others = probe.ranked(group_type).into_iter().skip(1).filter(reaches).count();
            Some(format!(
                "Of {} `{group_type}` groups `{}` came out best, ρ = {}; the intervals of {others} other rules reach that.",
                best.groups,
                best.name(),
                correlation(best)
            ))
        })
        .collect();
    blocks.push(Block::Text(format!(
        "`efficientllm probe` removed groups of the source one by one; ρ is the rank correlation of a rule's score with the change of \
         held-out loss. {} Intervals are over groups and calibration sets of this one source: they say nothing of another, and nothing of \
         what many groups do together.",
        best.join(" ")
    )));
    let caption = "Rank correlation (Spearman's ρ) of every rule's score with the true change of held-out loss, mean over layers and \
                   calibration sets, with 95 % intervals over groups and sets.";
    blocks.extend(figure("predictiveness", caption, |sheet| correlations_figure(sheet, probe))?);
    for group_type in probe.types() {
        let name = format!("predicted-{group_type}");
        let caption = format!(
            "True change of held-out loss by removing one `{group_type}` group, along the order in which each rule would remove the groups \
             of a layer (first calibration set). Dots: groups, evenly chosen where there are many; what lies outside is drawn at the edge. A \
             rule that knew the change would rise from left to right; one that knows nothing is flat."
        );
        blocks.extend(chart_figure(&name, &caption, predicted_figure(probe, group_type))?);
    }
    blocks.push(Block::Table(table(probe)));
    Ok(blocks)
}

fn table(probe: &Probe) -> Table {
    let header = ["type", "rule", "ρ (95 %)", "groups", "sets", "lowest quarter", "oracle"].map(String::from);
    let row = |rule: &ProbedRule| {
        vec![
            rule.group_type.clone(),
            format!("`{}`", rule.name()),
            correlation(rule),
            rule.groups.to_string(),
            rule.calibrations.to_string(),
            format::fixed(rule.lowest_quarter_delta, 4),
            format::fixed(rule.oracle_quarter_delta, 4),
        ]
    };
    let rows = probe.types().into_iter().flat_map(|of| probe.ranked(of)).map(row).collect();
    let caption = "Every rule on every type of groups, the best predictor first. `lowest quarter`: summed change of loss (nats per token) \
                   of the quarter of each layer's groups that the rule would remove first, mean over calibration sets; `oracle`: the same of a \
                   rule that knows the change.";
    Table::new("probe", caption, 2, header.to_vec(), rows)
}
