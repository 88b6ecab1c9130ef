//! What the grid says, arm by arm: the best value of every axis, what is not told from it, and whether two axes interact.
use super::Context;
use crate::questions::AxisQuestion;
use crate::report::Result;
use crate::report::answers::{Answers, ArmAnswers};
use crate::report::comparisons::{could_find, could_have_found};
use crate::report::document::Block;
use crate::report::format;
use crate::report::grid::{ALPHA, Estimate, Factor, Interaction, Ranking, Slope};
use crate::report::metric::Metric;

impl Context<'_> {
    /// Nothing where no arm has an axis of two values.
    pub(super) fn grid_section(&self, answers: &Answers, asked: &[AxisQuestion]) -> Result<Vec<Block>> {
        let mut blocks = Vec::new();
        for arm in answers.arms.iter().filter(|arm| !arm.rankings.is_empty()) {
            blocks.extend(self.arm_blocks(arm, asked)?);
        }
        if !blocks.is_empty() {
            let first = match asked.is_empty() {
                true => vec![],
                false => vec![Block::Text("What was asked of the axes is answered above; this is the rest, and the numbers behind both.".into())],
            };
            blocks.splice(0..0, std::iter::once(Block::Heading("What the grid says".into())).chain(first));
        }
        Ok(blocks)
    }

    /// The answer to a question about axes, in a sentence.
    pub(super) fn question_sentence(&self, question: &AxisQuestion, answers: &Answers) -> String {
        let axes: Vec<&str> = question.axes.iter().map(String::as_str).collect();
        let metric = Metric::parse(&question.metric);
        let arm = metric.and_then(|metric| answers.arm(&question.arm, metric));
        let is_of =
            |factors: &[&str]| factors.len() == axes.len() && factors.iter().all(|f| axes.contains(f));
        let found = arm.and_then(|answers| match question.slope {
            true => {
                let slope = answers.slopes.iter().find(|s| is_of(&[&s.factor.name]))?;
                Some(slope_sentence(answers.metric, slope))
            }
            false => {
                let ranking = answers.rankings.iter().find(|r| is_of(&[&r.factor.name]));
                let interaction = answers.interactions.iter().find(|i| is_of(&i.axes()));
                ranking
                    .map(|ranking| {
                        ranking_sentence(answers.metric, ranking, &self.identical_levels(&ranking.factor))
                    })
                    .or_else(|| Some(interaction_sentence(answers.metric, interaction?)))
            }
        });
        found.unwrap_or_else(|| {
            let quoted: Vec<String> = axes.iter().map(|axis| format!("`{axis}`")).collect();
            format!(
                "`{}`, {} on `{}`: no answer, since no seed has finished and scored runs at every value.",
                question.arm,
                quoted.join(" × "),
                question.metric
            )
        })
    }

    fn arm_blocks(&self, answers: &ArmAnswers, asked: &[AxisQuestion]) -> Result<Vec<Block>> {
        let ArmAnswers { arm, metric, rankings, interactions, .. } = answers;
        // What is asked stands among the answers; slopes are found only where they are asked for.
        let open = |axes: &[&str]| !asked.iter().any(|q| !q.slope && q.is_about(arm, metric.name(), axes));
        let mut sentences = Vec::new();
        for ranking in rankings.iter().filter(|ranking| open(&[&ranking.factor.name])) {
            sentences.push(ranking_sentence(*metric, ranking, &self.identical_levels(&ranking.factor)));
        }
        let interacting = interactions.iter().filter(|interaction| open(&interaction.axes()));
        sentences.extend(interacting.map(|interaction| interaction_sentence(*metric, interaction)));
        let mut blocks = if sentences.is_empty() { vec![] } else { vec![Block::List(sentences)] };
        blocks.extend(self.ranking_figures(arm, *metric, rankings)?);
        for interaction in interactions {
            blocks.extend(self.cell_figures(arm, *metric, &interaction.factors)?);
        }
        blocks.push(Block::Table(self.level_table(arm, *metric, rankings)));
        Ok(blocks)
    }

    /// Levels that ended in the models of an earlier level, at every setting of the other axes: `(level, earlier level)`.
    fn identical_levels<'f>(&self, factor: &'f Factor) -> Vec<(&'f str, &'f str)> {
        let same = |a: usize, b: usize| {
            factor.blocks.iter().all(|block| self.representatives[block[a]] == self.representatives[block[b]])
        };
        let earlier = |level: usize| (0..level).find(|other| same(level, *other));
        let name = |level: usize| factor.levels[level].as_str();
        (1..factor.levels.len()).filter_map(|level| Some((name(level), name(earlier(level)?)))).collect()
    }
}

/// What was not asked before the run gets no verdict.
const EXPLORATORY: &str = " Exploratory: not declared before the run, so there is no verdict.";

/// What kind of interval the differences between the levels of an axis have.
fn interval_of(ranking: &Ranking) -> &'static str {
    match ranking.is_simultaneous() {
        true => "simultaneous 95 % interval",
        false => "95 % interval of this pair alone",
    }
}

/// `interval`: what kind of interval the estimate has.
fn numbers(metric: Metric, estimate: &Estimate, p_holm: Option<f64>, interval: &str) -> String {
    let show = |x: f64| format::difference(metric, x);
    let value = estimate.value.map_or(String::new(), show);
    match (estimate.interval, p_holm) {
        (Some(i), Some(p)) => format!(
            "{value} {} ({interval} {} to {}, adjusted {})",
            metric.unit(),
            show(i.low),
            show(i.high),
            format::p_equation(p)
        ),
        _ => format!("{value} {}", metric.unit()),
    }
}

/// Marks an interval over items alone.
pub(super) fn dagger(estimate: &Estimate) -> &'static str {
    if estimate.seeds == 1 && estimate.interval.is_some() { " †" } else { "" }
}

fn quoted(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// `identical`: levels with the earlier level whose models they have.
fn ranking_sentence(metric: Metric, ranking: &Ranking, identical: &[(&str, &str)]) -> String {
    let Ranking { factor, levels, seeds, .. } = ranking;
    let (best, worst) = (ranking.best(), &levels[levels.len() - 1]);
    let value = best.mean.value.map_or(String::new(), |v| format::value(metric, v));
    let percent = if metric.is_share() { " %" } else { "" };
    let moving: Vec<&str> = factor.moving.iter().map(String::as_str).collect();
    let moving =
        if moving.is_empty() { String::new() } else { format!(" (together with {})", quoted(&moving)) };
    let head = format!("`{}`, `{}`{moving} on `{}`", factor.arm, factor.name, metric.name());
    let left_out = match factor.incomplete {
        0 => String::new(),
        1 => " 1 setting of the other axes lacks a finished run of some value and is left out.".to_string(),
        n => format!(" {n} settings of the other axes lack a finished run of some value and are left out."),
    };
    let seeds_left_out = match ranking.seeds_left_out {
        0 => String::new(),
        1 => " 1 seed that some value lacks is left out of all.".to_string(),
        n => format!(" {n} seeds that some values lack are left out of all."),
    };
    let identical: String =
        identical.iter().map(|(a, b)| format!(" `{a}` made the very models of `{b}`.")).collect();
    let tail =
        format!("{identical}{left_out}{seeds_left_out}{}", if ranking.declared { "" } else { EXPLORATORY });
    if *seeds < 2 {
        return format!(
            "{head}: `{}` came out best ({value}{percent}) with one seed, which says nothing of another: no verdict.{tail}",
            best.name
        );
    }
    if !ranking.declared {
        return format!(
            "{head}: `{}` came out best ({value}{percent}); the last, `{}`, is at {}.{tail}",
            best.name,
            worst.name,
            numbers(metric, &worst.against_best, worst.p_holm, interval_of(ranking))
        );
    }
    let alike = ranking.not_told_from_best();
    let worse: Vec<&str> = levels[1..].iter().filter(|l| l.told_from_best).map(|l| l.name.as_str()).collect();
    let against = numbers(metric, &worst.against_best, worst.p_holm, interval_of(ranking));
    // Of those that are not told from the best, the last: what it would take to tell it.
    let untold = levels[1..].iter().rfind(|level| !level.told_from_best).map(|level| &level.against_best);
    let could = untold.map_or(String::new(), |estimate| {
        let power = ranking.detectable(estimate, ranking.tests);
        could_find(metric, *seeds, estimate.value, power, ranking.tests)
    });
    let body = match (alike.is_empty(), worse.is_empty()) {
        (true, _) => format!(
            "`{}` is the best ({value}{percent}); the next, `{}`, is at {}",
            best.name,
            levels[1].name,
            numbers(metric, &levels[1].against_best, levels[1].p_holm, interval_of(ranking))
        ),
        (false, true) => format!(
            "no value is significantly worse than the best; `{}` came out best ({value}{percent}), the last, `{}`, is at {against}",
            best.name, worst.name
        ),
        (false, false) => format!(
            "`{}` came out best ({value}{percent}); not significantly worse: {}; worse: {}, the last at {against}",
            best.name,
            quoted(&alike),
            quoted(&worse)
        ),
    };
    format!("{head}: {body}.{could}{tail}")
}

fn interaction_sentence(metric: Metric, interaction: &Interaction) -> String {
    let [a, b] = &interaction.factors;
    let found = interaction.found();
    let largest = found.unwrap_or(&interaction.tetrads[0]);
    let [[row, row_0], [column, column_0]] = interaction.names(largest);
    let (verdict, could) = match (found, largest.estimate.seeds) {
        (_, ..2) => ("one seed gives no verdict on whether they interact; the", String::new()),
        _ if !interaction.declared => ("the", String::new()),
        (Some(_), _) => ("they interact; the", String::new()),
        (None, _) => {
            ("no interaction was found; the", could_have_found(metric, &largest.estimate, interaction.tests))
        }
    };
    format!(
        "`{}`, `{}` × `{}` on `{}`: {verdict} gain of `{row}` over `{row_0}` differs between `{column}` and `{column_0}` by \
         {}.{could}{}",
        a.arm,
        a.name,
        b.name,
        metric.name(),
        numbers(metric, &largest.estimate, largest.p_holm, "95 % interval"),
        if interaction.declared { "" } else { EXPLORATORY }
    )
}

fn slope_sentence(metric: Metric, slope: &Slope) -> String {
    let rises = slope.estimate.value.is_some_and(|value| value > 0.0);
    let holds = slope.p_holm.is_some_and(|p| p < ALPHA);
    let (verdict, could) = match (slope.estimate.seeds, slope.declared, holds) {
        (..2, ..) => ("one seed gives no verdict", String::new()),
        (_, false, _) => ("", String::new()),
        (.., true) if rises => ("it rises with every doubling", String::new()),
        (.., true) => ("it falls with every doubling", String::new()),
        _ => ("inconclusive", could_have_found(metric, &slope.estimate, slope.tests)),
    };
    let verdict = if verdict.is_empty() { String::new() } else { format!("{verdict}, ") };
    format!(
        "`{}`, slope of `{}` over doublings of `{}`: {verdict}{} per doubling.{could}{}",
        slope.factor.arm,
        metric.name(),
        slope.factor.name,
        numbers(metric, &slope.estimate, slope.p_holm, "95 % interval"),
        if slope.declared { "" } else { EXPLORATORY }
    )
}
