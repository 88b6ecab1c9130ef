//! The comparisons declared before the run: paired by seed and item, corrected together.
//!
//! Accuracy: differences per seed and item, mean over tasks with equal weight, interval and p of
//! [`crate::stats::crossed`] (a sign flip over items would treat the trained models as given and claim too much; one
//! over three seeds cannot go below p = 0.25); so for every metric of items. Bits per byte and the divergence from the source,
//! which are numbers of a run: Student's paired t over seeds. At several axis points a
//! comparison is made at each, and all of them are one family for Holm's correction.
use super::format;
use super::groups::Group;
use super::metric::Metric;
use super::request::DeclaredComparison;
use super::scores::{LEVEL, Scores};
use crate::base::random;
use crate::record::Results;
use crate::record::scores::COMMON_SENSE;
use crate::stats::bootstrap::{crossed_differences, hierarchical};
use crate::stats::crossed::crossed_mean_in_clusters;
use crate::stats::multiplicity::holm;
use crate::stats::paired::{differences, paired_t};
use crate::stats::{Interval, descriptive};

/// Resamples of the hierarchical bootstrap.
const RESAMPLES: usize = 1000;
/// Significance level of the verdicts.
const ALPHA: f64 = 0.05;

/// One comparison at one axis point.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    pub declared: DeclaredComparison,
    pub metric: Metric,
    pub point: Vec<String>,
    /// Seeds that both arms finished.
    pub seeds: Vec<u64>,
    /// Items of all tasks together; 0 for a metric of runs.
    pub items: usize,
    /// Variant − baseline, in the metric's own unit.
    pub difference: Option<f64>,
    pub interval: Option<Interval>,
    pub bootstrap: Option<Interval>,
    pub p: Option<f64>,
    pub p_holm: Option<f64>,
    /// Seeds in which the variant is the better one.
    pub seeds_in_favour: usize,
    pub verdict: String,
}

/// Carries out all declared comparisons at every axis point that has both arms.
pub fn compare(
    results: &Results,
    scores: &Scores,
    groups: &[Group],
    declared: &[DeclaredComparison],
) -> Vec<Compared> {
    let mut out = Vec::new();
    for d in declared {
        let Some(metric) = Metric::parse(&d.metric) else { continue };
        let variants: Vec<&Group> = groups.iter().filter(|g| g.arm == d.variant).collect();
        let baselines: Vec<&Group> = groups.iter().filter(|g| g.arm == d.baseline).collect();
        if variants.is_empty() || baselines.is_empty() {
            out.push(blank(d, metric, vec![]));
        }
        for variant in variants {
            let same = baselines.iter().find(|b| b.point == variant.point);
            // An arm that an axis does not touch stands at every point of it.
            let pairs: Vec<(&Group, Vec<String>)> = match same {
                Some(baseline) => vec![(baseline, variant.point.clone())],
                None => {
                    baselines.iter().filter_map(|b| Some((*b, joined(&variant.point, &b.point)?))).collect()
                }
            };
            if pairs.is_empty() && !baselines.is_empty() {
                out.push(blank(d, metric, variant.point.clone()));
            }
            for (baseline, point) in pairs {
                out.push(one(results, scores, d, metric, point, variant, baseline));
            }
        }
    }
    let with_p: Vec<usize> = (0..out.len()).filter(|i| out[*i].p.is_some()).collect();
    let p: Vec<f64> = with_p.iter().filter_map(|i| out[*i].p).collect();
    if let Ok(adjusted) = holm(&p) {
        with_p.iter().zip(adjusted).for_each(|(i, p)| out[*i].p_holm = Some(p));
    }
    for c in &mut out {
        c.verdict = verdict(c, &results.axes);
    }
    out
}

/// The point of two points that differ in no axis that both depend on.
fn joined(a: &[String], b: &[String]) -> Option<Vec<String>> {
    let cell = |(a, b): (&String, &String)| match (a.as_str(), b.as_str()) {
        (a, "") => Some(a.to_string()),
        ("", b) => Some(b.to_string()),
        (a, b) => (a == b).then(|| a.to_string()),
    };
    a.iter().zip(b).map(cell).collect()
}

fn blank(declared: &DeclaredComparison, metric: Metric, point: Vec<String>) -> Compared {
    Compared {
        declared: declared.clone(),
        metric,
        point,
        seeds: vec![],
        items: 0,
        difference: None,
        interval: None,
        bootstrap: None,
        p: None,
        p_holm: None,
        seeds_in_favour: 0,
        verdict: String::new(),
    }
}

fn one(
    results: &Results,
    scores: &Scores,
    declared: &DeclaredComparison,
    metric: Metric,
    point: Vec<String>,
    variant: &Group,
    baseline: &Group,
) -> Compared {
    let seed = |run: usize| results.runs[run].identity.seed;
    let pairs: Vec<(usize, usize)> = variant
        .runs
        .iter()
        .filter_map(|v| baseline.runs.iter().find(|b| seed(**b) == seed(*v)).map(|b| (*v, *b)))
        .collect();
    let mut c = blank(declared, metric, point);
    c.seeds = pairs.iter().map(|(v, _)| seed(*v)).collect();
    if pairs.is_empty() {
        return c;
    }
    let per_seed = if metric.is_of_items() {
        compare_items(scores, &pairs, &mut c)
    } else {
        compare_runs(results, &pairs, &mut c)
    };
    let better = |d: &&f64| if metric.lower_is_better() { **d < 0.0 } else { **d > 0.0 };
    c.seeds_in_favour = per_seed.iter().filter(better).count();
    c
}

fn compare_runs(results: &Results, pairs: &[(usize, usize)], c: &mut Compared) -> Vec<f64> {
    let of = |run: usize| c.metric.of_run(&results.runs[run].totals);
    let measured: Vec<(f64, f64)> = pairs.iter().filter_map(|(v, b)| Some((of(*v)?, of(*b)?))).collect();
    let (v, b): (Vec<f64>, Vec<f64>) = measured.into_iter().unzip();
    let d = differences(&v, &b).unwrap_or_default();
    c.difference = descriptive::mean(&d).ok();
    if let Ok(t) = paired_t(&d, LEVEL) {
        (c.interval, c.p) = (Some(t.interval), Some(t.p));
    }
    d
}

fn compare_items(scores: &Scores, pairs: &[(usize, usize)], c: &mut Compared) -> Vec<f64> {
    let (variants, baselines): (Vec<usize>, Vec<usize>) = pairs.iter().copied().unzip();
    let both: Vec<usize> = variants.iter().chain(&baselines).copied().collect();
    let (mut a, mut b, mut clusters) = (vec![], vec![], vec![]);
    for task in scores.tasks_of(c.metric, &scores.tasks).unwrap_or_default() {
        // One table for both arms, so that both are scored on the very same items.
        if let Some(mut shared) = scores.shared(&both, task, c.metric) {
            let second = shared.values.split_off(variants.len());
            a.push(shared.values);
            b.push(second);
            clusters.push(shared.clusters);
        }
    }
    if c.metric == Metric::AverageUsual && a.len() < COMMON_SENSE.len() {
        return vec![];
    }
    let Ok(d) = crossed_differences(&a, &b) else { return vec![] };
    if d.is_empty() {
        return vec![];
    }
    let mean = |x: &Vec<f64>| x.iter().sum::<f64>() / x.len() as f64;
    let per_seed: Vec<f64> =
        (0..pairs.len()).map(|s| d.iter().map(|task| mean(&task[s])).sum::<f64>() / d.len() as f64).collect();
    c.items = d.iter().map(|task| task[0].len()).sum();
    c.difference = descriptive::mean(&per_seed).ok();
    if let Ok(m) = crossed_mean_in_clusters(&d, &clusters, LEVEL) {
        (c.interval, c.p) = (Some(m.interval), Some(m.p()));
    }
    let name = format!("report {} {} {:?}", c.declared.variant, c.declared.baseline, c.point);
    c.bootstrap = hierarchical(&d, RESAMPLES, &mut random::stream(0, &name))
        .and_then(|r| r.percentile_interval(LEVEL))
        .ok();
    per_seed
}

/// A plain sentence, which claims no more than interval and corrected p allow.
fn verdict(c: &Compared, axes: &[String]) -> String {
    let depends = axes.iter().zip(&c.point).filter(|(_, value)| !value.is_empty());
    let at: String = depends.map(|(key, value)| format!(", `{key}` = {value}")).collect();
    let pair =
        format!("`{}` against `{}` on `{}`{at}", c.declared.variant, c.declared.baseline, c.declared.metric);
    let Some(difference) = c.difference else {
        return format!("{pair}: no answer, since no seed has a finished and scored run of both.");
    };
    let show = |x: f64| format::difference(c.metric, x);
    let unit = c.metric.unit();
    let (Some(interval), Some(p)) = (c.interval, c.p_holm) else {
        let why =
            if c.seeds.len() < 2 { "one seed gives no interval" } else { "the differences do not vary" };
        return format!("{pair}: {} {unit}, inconclusive: {why}.", show(difference));
    };
    let numbers = format!(
        "{} {unit} (95 % interval {} to {}, Holm-adjusted {})",
        show(difference),
        show(interval.low),
        show(interval.high),
        format::p_equation(p)
    );
    let one_seed = if c.seeds.len() < 2 {
        " This is one pair of models: the interval is over items, and no seed interval exists."
    } else {
        ""
    };
    let found = if p >= ALPHA && c.p.is_some_and(|p| p < ALPHA) {
        "inconclusive after correction for the number of comparisons"
    } else if p >= ALPHA {
        "inconclusive"
    } else if (difference > 0.0) != c.metric.lower_is_better() {
        "the variant is better"
    } else {
        "the variant is worse"
    };
    format!("{pair}: {found}, {numbers}.{one_seed}")
}
