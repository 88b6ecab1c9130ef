//! Settings that ended in the same models: what they differ in changed nothing, so there is nothing to compare.
//!
//! Two runs have one model where they name one stage of the store, or where parameters, held-out loss and the log-likelihood
//! of every item are equal to the bit. Two groups are identical where the runs of every seed are.
use super::groups::Group;
use super::scores::Scores;
use crate::record::Results;

/// For every group the first group that has the same models, itself where none before it has.
pub fn representatives(results: &Results, scores: &Scores, groups: &[Group]) -> Vec<usize> {
    let mut found: Vec<usize> = Vec::with_capacity(groups.len());
    for (place, group) in groups.iter().enumerate() {
        let is_twin =
            |other: &usize| found[*other] == *other && identical(results, scores, group, &groups[*other]);
        let first = (0..place).find(is_twin).unwrap_or(place);
        found.push(first);
    }
    found
}

fn identical(results: &Results, scores: &Scores, a: &Group, b: &Group) -> bool {
    let seed = |run: usize| results.runs[run].identity.seed;
    // Runs of a group are ordered by seed.
    !a.runs.is_empty()
        && a.runs.len() == b.runs.len()
        && a.runs
            .iter()
            .zip(&b.runs)
            .all(|(x, y)| seed(*x) == seed(*y) && same_model(results, scores, *x, *y))
}

fn same_model(results: &Results, scores: &Scores, a: usize, b: usize) -> bool {
    let (x, y) = (&results.runs[a], &results.runs[b]);
    if x.identity.stage.is_some() && x.identity.stage == y.identity.stage {
        return true;
    }
    let (s, t) = (&x.totals, &y.totals);
    // A loss to the bit is no coincidence; without one there is nothing to go by.
    s.params == t.params
        && s.valid_loss.is_some()
        && s.valid_loss == t.valid_loss
        && s.bits_per_byte == t.bits_per_byte
        && scores.same_answers(a, b)
}
