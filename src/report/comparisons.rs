//! Comparisons of arms and of points of the grid: paired by seed and item, corrected with all other declared questions.
//!
//! A comparison is a contrast ([`crate::report::grid`]): of items the crossed model's interval and p (a sign flip over items
//! would treat the trained models as given and claim too much; one over three seeds cannot go below p = 0.25), of numbers
//! of runs Student's paired t over seeds. It is made at every point at which both sides stand, or once, of the means over all of
//! them. What a verdict may say:
//!
//! ```text
//! no seed finished both sides       no answer
//! identical models in every seed    said so; not tested
//! one seed                          no verdict; the interval is over items alone
//! corrected p < α                   better or worse
//! corrected p of equivalence < α    equivalent within the margin
//! else                              inconclusive, with what could have been found and the seeds that it takes
//! ```
use super::family::{Corrected, Test};
use super::format;
use super::grid::{ALPHA, Estimate, Grid, POWER, SeedsNeeded, Weights};
use super::groups::Group;
use super::metric::Metric;
use super::request::ReportRequest;
use super::scores::{LEVEL, Scores};
use super::select::{Pairing, pairings};
use crate::base::random;
use crate::questions::{At, Comparison};
use crate::record::Results;
use crate::stats::Interval;
use crate::stats::bootstrap::hierarchical;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Resamples of the hierarchical bootstrap.
const RESAMPLES: usize = 1000;

/// What a comparison came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    NoAnswer,
    Identical,
    OneSeed,
    /// All differences are alike, so that no variance can be estimated.
    NoSpread,
    /// Asked after there were results.
    Exploratory,
    Better,
    Worse,
    Equivalent,
    Inconclusive,
}

impl Outcome {
    /// Name in `comparisons.csv`.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::NoAnswer => "no_answer",
            Outcome::Identical => "identical",
            Outcome::OneSeed => "one_seed",
            Outcome::NoSpread => "no_spread",
            Outcome::Exploratory => "exploratory",
            Outcome::Better => "better",
            Outcome::Worse => "worse",
            Outcome::Equivalent => "equivalent",
            Outcome::Inconclusive => "inconclusive",
        }
    }
}

/// Whether a difference is smaller than a margin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Equivalent {
    /// In the metric's own unit.
    pub margin: f64,
    pub p: Option<f64>,
    pub p_holm: Option<f64>,
}

/// One comparison at one axis point, or of the means over all.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    pub declared: Comparison,
    /// Asked after there were results.
    pub exploratory: bool,
    /// What the two sides are called.
    pub names: [String; 2],
    pub metric: Metric,
    pub point: Vec<String>,
    /// Points that the means are over; 1 at a single point.
    pub points: usize,
    /// Points that lack a finished run of a side and are left out of the means.
    pub left_out: usize,
    pub weights: Weights,
    /// Seeds that both sides finished.
    pub seeds: Vec<u64>,
    /// Items of all tasks together; 0 for a metric of runs.
    pub items: usize,
    /// Variant − baseline, in the metric's own unit.
    pub difference: Option<f64>,
    pub interval: Option<Interval>,
    pub bootstrap: Option<Interval>,
    pub p: Option<f64>,
    pub p_holm: Option<f64>,
    pub equivalence: Option<Equivalent>,
    /// Tests that it is corrected for.
    pub tests: usize,
    /// Smallest true difference that would have been found, at the corrected level.
    pub detectable: Option<f64>,
    pub seeds_needed: Option<SeedsNeeded>,
    pub estimate: Estimate,
    /// Seeds in which the variant is the better one.
    pub seeds_in_favour: usize,
    pub outcome: Outcome,
    pub verdict: String,
}

/// Carries out every comparison of `request`; [`Compared::settle`] corrects them and says what they come to.
pub fn compare(
    results: &Results,
    scores: &Scores,
    groups: &[Group],
    representatives: &[usize],
    request: &ReportRequest,
) -> Vec<Compared> {
    let mut out = Vec::new();
    for declared in &request.comparisons {
        let Some(metric) = Metric::parse(&declared.metric) else { continue };
        let grid = Grid { results, scores, groups, metric };
        let met = pairings(groups, &results.axes, declared);
        let finished = |pairing: &&Pairing| {
            let has_runs = |group: usize| !groups[group].runs.is_empty();
            has_runs(pairing.variant) && pairing.baseline.is_some_and(has_runs)
        };
        let blank = Compared { exploratory: !request.declares(declared), ..blank(declared, metric) };
        match declared.at {
            _ if met.is_empty() => out.push(blank),
            At::Each => out.par_extend(met.par_iter().map(|pairing| {
                let one = Compared { point: pairing.point.clone(), ..blank.clone() };
                match pairing.baseline {
                    Some(baseline) => one_of(&grid, one, vec![(pairing.variant, 1.0), (baseline, -1.0)]),
                    None => one,
                }
            })),
            At::Pooled => {
                let kept: Vec<&Pairing> = met.iter().filter(finished).collect();
                let share = 1.0 / kept.len().max(1) as f64;
                let mut weights: BTreeMap<usize, f64> = BTreeMap::new();
                for pairing in &kept {
                    *weights.entry(pairing.variant).or_default() += share;
                    pairing.baseline.iter().for_each(|b| *weights.entry(*b).or_default() -= share);
                }
                let point = common(&kept, results.axes.len());
                let (points, left_out) = (kept.len(), met.len() - kept.len());
                let one = Compared { point, points, left_out, ..blank };
                out.push(if kept.is_empty() {
                    one
                } else {
                    one_of(&grid, one, weights.into_iter().collect())
                });
            }
        }
    }
    for c in &mut out {
        c.outcome = match (c.difference, &c.estimate) {
            (None, _) => Outcome::NoAnswer,
            _ if are_twins(&c.weights, representatives) => Outcome::Identical,
            (_, estimate) if estimate.seeds < 2 => Outcome::OneSeed,
            (_, estimate) if estimate.p.is_none() => Outcome::NoSpread,
            _ => Outcome::Inconclusive,
        };
    }
    out
}

/// Whether a contrast is one of a model with itself.
fn are_twins(weights: &Weights, representatives: &[usize]) -> bool {
    let mut merged: BTreeMap<usize, f64> = BTreeMap::new();
    weights.iter().for_each(|(group, weight)| *merged.entry(representatives[*group]).or_default() += weight);
    merged.values().all(|weight| weight.abs() < 1e-9)
}

/// The values that all points have in common.
fn common(pairings: &[&Pairing], axes: usize) -> Vec<String> {
    let cell = |axis: usize| {
        let first = pairings.first().map_or("", |p| p.point[axis].as_str());
        let alike = pairings.iter().all(|p| p.point[axis] == first);
        if alike { first.to_string() } else { String::new() }
    };
    (0..axes).map(cell).collect()
}

fn blank(declared: &Comparison, metric: Metric) -> Compared {
    Compared {
        declared: declared.clone(),
        exploratory: false,
        names: declared.names(),
        metric,
        point: vec![],
        points: 1,
        left_out: 0,
        weights: vec![],
        seeds: vec![],
        items: 0,
        difference: None,
        interval: None,
        bootstrap: None,
        p: None,
        p_holm: None,
        equivalence: None,
        tests: 0,
        detectable: None,
        seeds_needed: None,
        estimate: Estimate::default(),
        seeds_in_favour: 0,
        outcome: Outcome::NoAnswer,
        verdict: String::new(),
    }
}

fn one_of(grid: &Grid, mut c: Compared, weights: Weights) -> Compared {
    let differences = grid.differences(&weights);
    c.weights = weights;
    let Some(differences) = differences else { return c };
    let estimate = differences.estimate(LEVEL);
    (c.seeds, c.items) = (differences.seeds.clone(), estimate.items);
    (c.difference, c.interval, c.p) = (estimate.value, estimate.interval, estimate.p);
    if c.metric.is_of_items() && !differences.clusters.is_empty() {
        let name = format!("report {} {} {:?}", c.names[0], c.names[1], c.point);
        c.bootstrap = hierarchical(&differences.values, RESAMPLES, &mut random::stream(0, &name))
            .and_then(|r| r.percentile_interval(LEVEL))
            .ok();
    }
    c.equivalence = c.declared.margin.map(|margin| {
        let margin = if c.metric.is_share() { margin / 100.0 } else { margin };
        let p = estimate.fit.filter(|_| estimate.seeds > 1).and_then(|fit| fit.equivalence(margin));
        Equivalent { margin, p, p_holm: None }
    });
    let better = |d: &&f64| if c.metric.lower_is_better() { **d < 0.0 } else { **d > 0.0 };
    c.seeds_in_favour = differences.per_seed().iter().filter(better).count();
    c.estimate = estimate;
    c
}

impl Compared {
    /// What of it is tested: the difference and, with a margin, equivalence; nothing that is exploratory.
    pub fn tests(&self) -> Vec<Test> {
        if self.exploratory || self.outcome != Outcome::Inconclusive {
            return Vec::new();
        }
        let family = self.declared.family.clone().unwrap_or_default();
        let difference =
            Test { family, metric: self.metric, weights: self.weights.clone(), margin: None, p: self.p };
        let equivalence =
            self.equivalence.map(|e| Test { margin: Some(e.margin), p: e.p, ..difference.clone() });
        std::iter::once(difference).chain(equivalence).collect()
    }

    /// Takes what the correction made of [`Compared::tests`], and says what follows.
    pub fn settle(&mut self, corrected: &[Corrected], axes: &[String]) {
        if let Some(difference) = corrected.first() {
            (self.p_holm, self.tests) = (difference.p, difference.tests);
        }
        if let (Some(equivalence), Some(found)) = (&mut self.equivalence, corrected.get(1)) {
            equivalence.p_holm = found.p;
        }
        let alpha = ALPHA / self.tests.max(1) as f64;
        let holds = |p: Option<f64>| p.is_some_and(|p| p < ALPHA);
        if self.outcome == Outcome::Inconclusive {
            self.detectable = self.estimate.detectable(alpha);
            self.seeds_needed = self.estimate.seeds_needed(alpha);
            let better = self.difference.is_some_and(|d| (d > 0.0) != self.metric.lower_is_better());
            self.outcome = match (self.exploratory, holds(self.p_holm)) {
                (true, _) => Outcome::Exploratory,
                (_, true) if better => Outcome::Better,
                (_, true) => Outcome::Worse,
                _ if self.equivalence.is_some_and(|e| holds(e.p_holm)) => Outcome::Equivalent,
                _ => Outcome::Inconclusive,
            };
        }
        self.verdict = verdict(self, axes);
    }
}

/// What could have been found, and how many seeds would find the observed difference: the end of a sentence that says
/// "inconclusive"; empty where neither is known.
pub fn could_have_found(metric: Metric, estimate: &Estimate, tests: usize) -> String {
    let alpha = ALPHA / tests.max(1) as f64;
    let power = (estimate.detectable(alpha), estimate.seeds_needed(alpha));
    could_find(metric, estimate.seeds, estimate.value, power, tests)
}

/// The same of a smallest difference and a number of seeds that are known.
pub fn could_find(
    metric: Metric,
    seeds: usize,
    observed: Option<f64>,
    (detectable, needed): (Option<f64>, Option<SeedsNeeded>),
    tests: usize,
) -> String {
    let Some(detectable) = detectable else { return String::new() };
    let level = if tests > 1 { format!("{ALPHA}/{tests}") } else { ALPHA.to_string() };
    let observed = observed.map(|x| format::magnitude(metric, x.abs()));
    // One that is 0 to the digits shown has no number.
    let observed = match observed.filter(|text| text.contains(|c: char| ('1'..='9').contains(&c))) {
        Some(text) => format!("{text} {}", metric.unit()),
        None => "difference".to_string(),
    };
    let needed = match needed {
        Some(SeedsNeeded::Seeds(seeds)) => {
            format!("; to find the observed {observed} takes about {seeds} seeds")
        }
        Some(SeedsNeeded::MoreItems) => {
            format!("; to find the observed {observed} takes more items, however many seeds there are")
        }
        None => String::new(),
    };
    if metric.is_share() && detectable > 1.0 {
        return format!(" These {seeds} seeds could hardly find any difference (level {level}){needed}.");
    }
    format!(
        " These {seeds} seeds find a true difference of {} {} with {:.0} % probability (level {level}){needed}.",
        format::magnitude(metric, detectable),
        metric.unit(),
        100.0 * POWER
    )
}

/// A plain sentence, which claims no more than interval and corrected p allow.
fn verdict(c: &Compared, axes: &[String]) -> String {
    let named =
        |key: &String| c.declared.variant_at.contains_key(key) || c.declared.baseline_at.contains_key(key);
    let depends = axes.iter().zip(&c.point).filter(|(key, value)| !value.is_empty() && !named(key));
    let at: String = depends.map(|(key, value)| format!(", `{key}` = {value}")).collect();
    let mean = match (c.declared.at, c.points) {
        (At::Each, _) | (_, ..2) => String::new(),
        (At::Pooled, points) => format!(", mean over {points} points"),
    };
    let pair = format!("`{}` against `{}` on `{}`{at}{mean}", c.names[0], c.names[1], c.declared.metric);
    let left_out = match c.left_out {
        0 => String::new(),
        1 => " 1 point lacks a finished run of a side and is left out.".to_string(),
        n => format!(" {n} points lack a finished run of a side and are left out."),
    };
    let show = |x: f64| format::difference(c.metric, x);
    let Some(difference) = c.difference else {
        return format!("{pair}: no answer, since no seed has a finished and scored run of both.{left_out}");
    };
    let value = format!("{} {}", show(difference), c.metric.unit());
    let interval = |what: &str| {
        c.interval.map_or(String::new(), |i| format!("{what} {} to {}", show(i.low), show(i.high)))
    };
    let p = |name: &str, p: Option<f64>| {
        p.map_or(String::new(), |p| format!(", {name} {}", format::p_equation(p)))
    };
    let within =
        c.equivalence.map(|e| format!("{} {}", format::magnitude(c.metric, e.margin), c.metric.unit()));
    let within = within.unwrap_or_default();
    let numbers = format!("{value} ({}{})", interval("95 % interval"), p("Holm-adjusted", c.p_holm));
    let of_equivalence = c.equivalence.and_then(|e| e.p_holm);
    let sentence = match c.outcome {
        Outcome::NoAnswer => format!("{pair}: no answer."),
        Outcome::Identical => {
            format!("{pair}: no difference, since both are the same models in every seed; nothing is tested.")
        }
        Outcome::OneSeed => {
            let items = interval("; over items alone, the 95 % interval is");
            format!("{pair}: {value}, no verdict: one seed says nothing of another{items}.")
        }
        Outcome::NoSpread => format!("{pair}: {value}, inconclusive: the differences do not vary."),
        Outcome::Exploratory => format!(
            "{pair}: {value} ({}{}). Exploratory: asked after there were results, so there is no verdict.",
            interval("95 % interval"),
            p("uncorrected", c.p)
        ),
        Outcome::Better => format!("{pair}: the variant is better, {numbers}."),
        Outcome::Worse => format!("{pair}: the variant is worse, {numbers}."),
        Outcome::Equivalent => format!(
            "{pair}: equivalent within {within}{}; the difference is {numbers}.",
            p("Holm-adjusted", of_equivalence)
        ),
        Outcome::Inconclusive => {
            let only_before = c.p.is_some_and(|p| p < ALPHA);
            let found = match only_before {
                true => "inconclusive after correction for the number of questions",
                false => "inconclusive",
            };
            let margin = match c.equivalence {
                Some(_) => format!(
                    " Nor is it shown to be smaller than {within}{}.",
                    p("Holm-adjusted", of_equivalence)
                ),
                None => String::new(),
            };
            format!("{pair}: {found}, {numbers}.{}{margin}", could_have_found(c.metric, &c.estimate, c.tests))
        }
    };
    format!("{sentence}{left_out}")
}
