//! Everything that a report answers, with one correction for each declared family.
//!
//! ```text
//! comparisons ─┐
//! rankings     ├─ declared: tests of a family, corrected together ─→ verdicts
//! interactions │
//! slopes      ─┘  not declared: rankings and interactions corrected for their own pairs, called exploratory
//! ```
use super::comparisons::{Compared, compare};
use super::family::{Corrected, Test, correct};
use super::grid::{Factor, Grid, Interaction, Pair, Ranking, Slope, factors, interaction, ranking, slope};
use super::groups::{Group, leading_axes};
use super::metric::Metric;
use super::request::ReportRequest;
use super::scores::Scores;
use super::twins::representatives;
use crate::questions::AxisQuestion;
use crate::record::Results;
use std::collections::BTreeMap;

/// The answers of one arm on one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct ArmAnswers {
    pub arm: String,
    pub metric: Metric,
    pub rankings: Vec<Ranking>,
    pub interactions: Vec<Interaction>,
    /// Of those that are asked for.
    pub slopes: Vec<Slope>,
}

/// All answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Answers {
    pub compared: Vec<Compared>,
    pub arms: Vec<ArmAnswers>,
    /// For every group the first that has the same models.
    pub representatives: Vec<usize>,
}

impl Answers {
    pub fn of(results: &Results, scores: &Scores, groups: &[Group], request: &ReportRequest) -> Answers {
        let representatives = representatives(results, scores, groups);
        let compared = compare(results, scores, groups, &representatives, request);
        let all = factors(groups, &results.axes);
        let leading = leading_axes(&groups.iter().collect::<Vec<_>>(), &results.axes);
        let mut names: Vec<&str> = Vec::new();
        for factor in &all {
            if !names.contains(&factor.arm.as_str()) {
                names.push(&factor.arm);
            }
        }
        let mut arms = Vec::new();
        for arm in names {
            // An axis that moves with another is asked about, or told with it.
            let is_told = |factor: &&Factor| {
                let is_asked = |q: &AxisQuestion| q.arm == arm && q.axes.contains(&factor.name);
                factor.arm == arm
                    && (leading.contains(&factor.axis) || request.questions.iter().any(is_asked))
            };
            let of_arm: Vec<&Factor> = all.iter().filter(is_told).collect();
            for metric in metrics(request, arm) {
                let grid = Grid { results, scores, groups, metric };
                arms.push(arm_answers(&grid, request, arm, &of_arm));
            }
        }
        let mut answers = Answers { compared, arms, representatives };
        answers.settle(request, &results.axes);
        answers
    }

    /// Corrects every family and hands each answer what it became.
    fn settle(&mut self, request: &ReportRequest, axes: &[String]) {
        let representatives = std::mem::take(&mut self.representatives);
        let mut tests: Vec<Test> = self.compared.iter().flat_map(Compared::tests).collect();
        for arm in &self.arms {
            tests.extend(arm.tests(request));
        }
        let mut rankings: BTreeMap<String, usize> = BTreeMap::new();
        for arm in &self.arms {
            for ranking in arm.rankings.iter().filter(|ranking| ranking.error.is_some()) {
                if let Some(q) = declared(request, (&arm.arm, arm.metric), &[&ranking.factor.name], false) {
                    *rankings.entry(q.family.clone().unwrap_or_default()).or_default() += 1;
                }
            }
        }
        let (corrected, questions) = correct(&tests, &rankings, &representatives);
        let mut rest = corrected.as_slice();
        let mut next = |count: usize| -> &[Corrected] {
            let (first, others) = rest.split_at(count);
            rest = others;
            first
        };
        for c in &mut self.compared {
            let corrected = next(c.tests().len());
            c.settle(corrected, axes);
        }
        for arm in &mut self.arms {
            let corrected = next(arm.tests(request).len());
            arm.settle(request, corrected, &questions);
        }
        self.representatives = representatives;
    }

    /// The answers of an arm on a metric.
    pub fn arm(&self, arm: &str, metric: Metric) -> Option<&ArmAnswers> {
        self.arms.iter().find(|answers| answers.arm == arm && answers.metric == metric)
    }
}

/// The metrics that questions about this arm name; else that of the first declared comparison, or accuracy.
fn metrics(request: &ReportRequest, arm: &str) -> Vec<Metric> {
    let named = request.questions.iter().filter(|q| q.arm == arm).map(|q| q.metric.as_str());
    let mut metrics: Vec<Metric> = Vec::new();
    for metric in named.filter_map(Metric::parse) {
        if !metrics.contains(&metric) {
            metrics.push(metric);
        }
    }
    if metrics.is_empty() {
        let first = request.comparisons.first().and_then(|c| Metric::parse(&c.metric));
        metrics.push(first.unwrap_or(Metric::Acc));
    }
    metrics
}

fn arm_answers(grid: &Grid, request: &ReportRequest, arm: &str, factors: &[&Factor]) -> ArmAnswers {
    let pairs = (0..factors.len()).flat_map(|a| (a + 1..factors.len()).map(move |b| (a, b)));
    let slope_of = |factor: &&&Factor| {
        let asked = |q: &&AxisQuestion| q.slope && q.is_about(arm, grid.metric.name(), &[&factor.name]);
        request.questions.iter().find(asked)?;
        let number = |level: &String| request.labels.original(&factor.name, level).parse().ok();
        slope(grid, factor, &factor.levels.iter().map(number).collect::<Option<Vec<f64>>>()?)
    };
    ArmAnswers {
        arm: arm.to_string(),
        metric: grid.metric,
        rankings: factors.iter().filter_map(|factor| ranking(grid, factor)).collect(),
        interactions: pairs.filter_map(|(a, b)| interaction(grid, factors[a], factors[b])).collect(),
        slopes: factors.iter().filter_map(|factor| slope_of(&factor)).collect(),
    }
}

/// The declared question about these axes, if there is one.
fn declared<'r>(
    request: &'r ReportRequest,
    answers: (&str, Metric),
    axes: &[&str],
    slope: bool,
) -> Option<&'r AxisQuestion> {
    let (arm, metric) = answers;
    let is_it = |q: &&AxisQuestion| {
        q.slope == slope && q.is_about(arm, metric.name(), axes) && request.declares_question(q)
    };
    request.questions.iter().find(is_it)
}

impl ArmAnswers {
    /// The tests of all declared questions about this arm and metric: rankings, interactions, slopes.
    fn tests(&self, request: &ReportRequest) -> Vec<Test> {
        let of = (self.arm.as_str(), self.metric);
        let test = |question: &AxisQuestion, weights: &[(usize, f64)], p: Option<f64>| Test {
            family: question.family.clone().unwrap_or_default(),
            metric: self.metric,
            weights: weights.to_vec(),
            margin: None,
            p,
        };
        let mut tests = Vec::new();
        for ranking in &self.rankings {
            let Some(q) = declared(request, of, &[&ranking.factor.name], false) else { continue };
            // Three and more values are adjusted for each other.
            if ranking.error.is_none() {
                tests.extend(ranking.pairs.iter().map(|pair| test(q, &pair.weights, pair.difference.p)));
            }
        }
        for interaction in &self.interactions {
            let Some(q) = declared(request, of, &interaction.axes(), false) else { continue };
            tests.extend(interaction.tetrads.iter().map(|t| test(q, &t.weights, t.estimate.p)));
        }
        for slope in &self.slopes {
            let Some(q) = declared(request, of, &[&slope.factor.name], true) else { continue };
            tests.push(test(q, &slope.weights, slope.estimate.p));
        }
        tests
    }

    /// Takes what the correction made of [`ArmAnswers::tests`].
    fn settle(
        &mut self,
        request: &ReportRequest,
        corrected: &[Corrected],
        questions: &BTreeMap<String, usize>,
    ) {
        let arm = self.arm.clone();
        let of = (arm.as_str(), self.metric);
        let mut rest = corrected;
        let mut next = |count: usize| -> (Vec<Option<f64>>, usize) {
            let (first, others) = rest.split_at(count);
            rest = others;
            (first.iter().map(|c| c.p).collect(), first.first().map_or(0, |c| c.tests))
        };
        for ranking in &mut self.rankings {
            let Some(q) = declared(request, of, &[&ranking.factor.name], false) else { continue };
            let (p, tests) = match ranking.error {
                Some(_) => {
                    let tests = questions.get(q.family.as_deref().unwrap_or_default()).copied().unwrap_or(1);
                    let adjusted = |pair: &Pair| pair.p_all_pairs.map(|p| (p * tests as f64).min(1.0));
                    (ranking.pairs.iter().map(adjusted).collect(), tests)
                }
                None => next(ranking.pairs.len()),
            };
            ranking.settle(&p);
            (ranking.declared, ranking.tests) = (true, tests);
        }
        for interaction in &mut self.interactions {
            if declared(request, of, &interaction.axes(), false).is_some() {
                let (p, tests) = next(interaction.tetrads.len());
                interaction.tetrads.iter_mut().zip(p).for_each(|(tetrad, p)| tetrad.p_holm = p);
                (interaction.declared, interaction.tests) = (true, tests);
            }
        }
        for slope in &mut self.slopes {
            if declared(request, of, &[&slope.factor.name], true).is_some() {
                let (p, tests) = next(1);
                slope.p_holm = p[0];
                (slope.declared, slope.tests) = (true, tests);
            }
        }
    }
}
