//! What a plan can find: the smallest detectable difference of every declared question, from the spread in a pilot's results.
//!
//! ```text
//! SE² = s²_seed/S + s²_items          s² of the pilot's paired differences, S the seeds that are planned
//! detectable difference               by t at level 0.05/m, m the questions of the family as planned (`stats::power`, `stats::tukey`)
//! ```
//!
//! Where a question has several contrasts (points, pairs of values, tetrads) the one with the largest detectable difference
//! speaks for it. The pilot may lack axes and points of the plan; it needs two seeds of what is compared.
use super::answers::Answers;
use super::format;
use super::grid::{ALPHA, Estimate, POWER, Pair, Ranking, SeedsNeeded, factors};
use super::groups::{Group, groups};
use super::metric::Metric;
use super::request::{PlannedRun, ReportRequest};
use super::scores::Scores;
use super::select::pairings;
use crate::questions::{At, Comparison};
use crate::record::Results;
use std::collections::{BTreeMap, BTreeSet};

/// One line for each question of `request`, the plan's, from the results of a pilot.
pub fn expectations(pilot: &Results, request: &ReportRequest) -> Vec<String> {
    let seeds = request.runs.iter().map(|run| run.seed).collect::<BTreeSet<u64>>().len();
    let tests = planned_tests(request);
    // Everything that the plan asks counts as asked before there are results.
    let request = &ReportRequest { declared: None, ..request.clone() };
    let answers = Answers::of(pilot, &Scores::new(pilot), &groups(pilot), request);
    let mut lines = Vec::new();
    for comparison in &request.comparisons {
        let [variant, baseline] = comparison.names();
        let head = format!("`{variant}` against `{baseline}` on `{}`", comparison.metric);
        let Some(metric) = Metric::parse(&comparison.metric) else { continue };
        let ask = Ask { seeds, tests: tests.get(&comparison.family).copied().unwrap_or(1) };
        let found = answers.compared.iter().filter(|c| c.declared == *comparison);
        lines.push(line(&head, metric, &ask, found.filter_map(|c| ask.of(&c.estimate)).collect()));
    }
    for question in &request.questions {
        let axes: Vec<&str> = question.axes.iter().map(String::as_str).collect();
        let Some(metric) = Metric::parse(&question.metric) else { continue };
        let ask = Ask { seeds, tests: tests.get(&question.family).copied().unwrap_or(1) };
        let mut found: Vec<Found> = Vec::new();
        if let Some(arm) = answers.arm(&question.arm, metric) {
            let is_of =
                |names: &[&str]| names.len() == axes.len() && names.iter().all(|name| axes.contains(name));
            if question.slope {
                let slopes = arm.slopes.iter().filter(|s| is_of(&[&s.factor.name]));
                found.extend(slopes.filter_map(|slope| ask.of(&slope.estimate)));
            } else {
                let rankings = arm.rankings.iter().filter(|r| is_of(&[&r.factor.name]));
                found.extend(rankings.flat_map(|ranking| ask.of_ranking(ranking)));
                let tetrads = arm.interactions.iter().filter(|i| is_of(&i.axes())).flat_map(|i| &i.tetrads);
                found.extend(tetrads.filter_map(|tetrad| ask.of(&tetrad.estimate)));
            }
        }
        let what = if question.slope { "slope over " } else { "" };
        let head = format!("`{}`, {what}`{}` on `{}`", question.arm, axes.join("` × `"), question.metric);
        lines.push(line(&head, metric, &ask, found));
    }
    lines
}

/// How many seeds are planned, and how many questions its family has.
struct Ask {
    seeds: usize,
    tests: usize,
}

/// What can be found of one contrast.
struct Found {
    detectable: f64,
    /// Standard deviation of the difference of one seed.
    deviation: f64,
    observed: f64,
    needed: Option<SeedsNeeded>,
}

impl Ask {
    fn alpha(&self) -> f64 {
        ALPHA / self.tests.max(1) as f64
    }

    fn of(&self, estimate: &Estimate) -> Option<Found> {
        let fit = estimate.fit.filter(|_| estimate.seeds > 1)?.with_seeds(self.seeds);
        Some(Found {
            detectable: fit.detectable(self.alpha())?,
            deviation: fit.variances().0.sqrt(),
            observed: estimate.value?,
            needed: estimate.seeds_needed(self.alpha()),
        })
    }

    /// Of the pairs of a ranking; three and more values have one error, and the largest difference speaks for them.
    fn of_ranking(&self, ranking: &Ranking) -> Vec<Found> {
        let Some(error) = &ranking.error else {
            return ranking.pairs.iter().filter_map(|pair| self.of(&pair.difference)).collect();
        };
        let size = |pair: &&Pair| pair.difference.value.unwrap_or(0.0).abs();
        let Some(pair) = ranking.pairs.iter().max_by(|a, b| size(a).total_cmp(&size(b))) else {
            return Vec::new();
        };
        let detectable = error.with_seeds(self.seeds).detectable(POWER, self.alpha()).ok();
        let found = detectable.map(|detectable| Found {
            detectable,
            deviation: error.variance_of_seed().sqrt(),
            observed: pair.difference.value.unwrap_or(0.0),
            needed: ranking.detectable(&pair.difference, self.tests).1,
        });
        found.into_iter().collect()
    }
}

/// What is found of the contrast that is hardest to find.
fn line(head: &str, metric: Metric, ask: &Ask, found: Vec<Found>) -> String {
    let Some(hardest) = found.into_iter().max_by(|a, b| a.detectable.total_cmp(&b.detectable)) else {
        return format!(
            "{head}: nothing to go by, since the pilot has no two finished seeds of what it compares"
        );
    };
    let show = |x: f64| format!("{} {}", format::magnitude(metric, x), metric.unit());
    let needed = match hardest.needed {
        Some(SeedsNeeded::Seeds(n)) => format!("about {n} seeds"),
        Some(SeedsNeeded::MoreItems) => "more items, however many seeds there are".to_string(),
        None => "no number of seeds".to_string(),
    };
    let level = if ask.tests > 1 { format!("{ALPHA}/{}", ask.tests) } else { ALPHA.to_string() };
    format!(
        "{head}: {} with {:.0} % probability (level {level}); seed standard deviation {}; the pilot's {} {} takes {needed}",
        show(hardest.detectable),
        100.0 * POWER,
        show(hardest.deviation),
        format::difference(metric, hardest.observed),
        metric.unit(),
    )
}

/// How many tests each family has, as it is planned.
fn planned_tests(request: &ReportRequest) -> BTreeMap<Option<String>, usize> {
    let axes: Vec<String> = request
        .runs
        .iter()
        .flat_map(|run| run.axes.keys().cloned())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let groups = planned_groups(&request.runs, &axes);
    let mut tests: BTreeMap<Option<String>, usize> = BTreeMap::new();
    for comparison in &request.comparisons {
        let Comparison { at, margin, family, .. } = comparison;
        let met = pairings(&groups, &axes, comparison).iter().filter(|p| p.baseline.is_some()).count();
        let count = if *at == At::Pooled { met.min(1) } else { met };
        *tests.entry(family.clone()).or_default() += count * if margin.is_some() { 2 } else { 1 };
    }
    let factors = factors(&groups, &axes);
    for question in &request.questions {
        let levels = |axis: &String| {
            let of = factors.iter().find(|factor| factor.arm == question.arm && factor.name == *axis);
            of.map_or(0, |factor| factor.levels.len())
        };
        let count = match (question.slope, question.axes.as_slice()) {
            (true, _) => 1,
            // Three and more values are adjusted for each other, and count as one question.
            (_, [axis]) => usize::from(levels(axis) > 1),
            (_, axes) => axes.iter().map(|axis| levels(axis).saturating_sub(1)).product(),
        };
        *tests.entry(question.family.clone()).or_default() += count;
    }
    tests
}

/// Arms at points, with the places of their runs in the plan.
fn planned_groups(runs: &[PlannedRun], axes: &[String]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (place, run) in runs.iter().enumerate() {
        let cell = |axis: &String| run.axes.get(axis).cloned().flatten().unwrap_or_default();
        let point: Vec<String> = axes.iter().map(cell).collect();
        match groups.iter_mut().find(|group| group.arm == run.arm && group.point == point) {
            Some(group) => group.runs.push(place),
            None => {
                let label = run.arm.clone();
                groups.push(Group { arm: run.arm.clone(), label, point, runs: vec![place] });
            }
        }
    }
    groups
}
