//! A factor of the grid: alternatives of which a point takes one, and their product.
use super::assignment::{Assignment, Base, Setting};
use super::when::Condition;

/// One axis, or keys that move together.
#[derive(Clone, Debug)]
pub(super) struct Factor {
    /// What it is called in what `plan` tells: `axes.prune.fisher_unit`, `zip[0]`.
    pub name: String,
    pub line: usize,
    /// Each the settings of one alternative, all of the same keys.
    pub alternatives: Vec<Vec<Setting>>,
    /// Where it applies; where it does not, its keys keep the values that they have in the file.
    pub when: Option<Condition>,
}

impl Factor {
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.alternatives.first().into_iter().flatten().map(|setting| setting.key.as_str())
    }
}

/// Every combination, later factors varying faster; those with a condition come last, in order, so that a condition can
/// ask for the values of all others before it. `removed` hears how many points each condition left out.
pub(super) fn product(
    factors: &[Factor],
    base: &Base<'_>,
    most: usize,
    removed: &mut dyn FnMut(&Factor, usize),
) -> Option<Vec<Assignment>> {
    let mut points = vec![Assignment::default()];
    let plain = factors.iter().filter(|factor| factor.when.is_none());
    for factor in plain.chain(factors.iter().filter(|factor| factor.when.is_some())) {
        let mut next = Vec::new();
        let mut left_out = 0;
        for point in &points {
            if factor.when.as_ref().is_none_or(|when| when.holds(point, base)) {
                next.extend(factor.alternatives.iter().map(|settings| point.with(settings)));
            } else {
                left_out += factor.alternatives.len().saturating_sub(1);
                next.push(point.clone());
            }
            if next.len() > most {
                return None;
            }
        }
        if factor.when.is_some() {
            removed(factor, left_out);
        }
        points = next;
    }
    Some(points)
}
