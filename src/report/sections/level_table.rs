//! The table of an arm's rankings: every value of every axis, from the best to the worst.
use super::Context;
use super::grid::dagger;
use crate::report::document::Table;
use crate::report::format;
use crate::report::grid::{Estimate, Ranking};
use crate::report::metric::Metric;

impl Context<'_> {
    /// Every level of `rankings`, from the best to the worst; of several axes each below its name.
    pub(super) fn level_table(&self, arm: &str, metric: Metric, rankings: &[Ranking]) -> Table {
        let alone = match rankings {
            [ranking] => Some(ranking.factor.name.as_str()),
            _ => None,
        };
        let header = [
            alone.unwrap_or("value"),
            metric.name(),
            "95 % interval",
            "less the best",
            "95 % interval",
            "p (adjusted)",
            "significantly worse",
            "best in (%)",
        ];
        let mut rows: Vec<Vec<String>> = Vec::new();
        let mut titles = Vec::new();
        for ranking in rankings {
            if alone.is_none() {
                titles.push(rows.len());
                rows.push(vec![String::new(); header.len()]);
                rows[titles[titles.len() - 1]][0] = format!("`{}`", ranking.factor.name);
            }
            rows.extend((0..ranking.levels.len()).map(|place| level_row(metric, ranking, place)));
        }
        let caption = self.level_caption(arm, metric, rankings);
        let name = format!("levels-{arm}-{}", metric.name());
        let table = Table::new(&name, &caption, 1, header.map(String::from).to_vec(), rows);
        Table { titles, ..table }
    }

    fn level_caption(&self, arm: &str, metric: Metric, rankings: &[Ranking]) -> String {
        let is_simultaneous = rankings.iter().all(Ranking::is_simultaneous);
        let together = match is_simultaneous {
            true => "their intervals hold together for all pairs of values",
            false => {
                "where values share an error, intervals hold together for all pairs of them, else for each pair alone"
            }
        };
        let error = |ranking: &Ranking| {
            let of = match rankings.len() {
                1 => String::new(),
                _ => format!("`{}`: ", ranking.factor.name),
            };
            match &ranking.error {
                Some(error) => format!(
                    "{of}the residual of value × seed, {} degrees of freedom (randomised blocks), and Tukey's range",
                    error.freedom()
                ),
                None => format!("{of}that of the pair by itself"),
            }
        };
        let errors: Vec<String> = rankings.iter().map(error).collect();
        let has_blank = rankings.iter().any(|ranking| !ranking.declared || ranking.seeds < 2);
        let blank = match has_blank {
            true => {
                " `significantly worse` is blank where nothing was declared before the run or one seed gives no verdict."
            }
            false => "",
        };
        let resamples = match metric.is_of_items() && self.scores.has_items() {
            true => "seeds and items",
            false => "seeds",
        };
        format!(
            "`{arm}`: `{}`{}, from the best value to the worst. Differences from the best are {}; {together}, and p is adjusted for \
             them, and for the other questions of its family where it was declared. Error of the differences: {}.{blank} `best in`: \
             share of resamples of {resamples} in which the value has the best mean; it decides nothing.",
            metric.name(),
            self.other_axes(1, ", averaged over the values of the other axes"),
            self.paired_by(metric),
            errors.join("; ")
        )
    }
}

fn level_row(metric: Metric, ranking: &Ranking, place: usize) -> Vec<String> {
    let level = &ranking.levels[place];
    let range = |estimate: &Estimate, show: &dyn Fn(f64) -> String| {
        estimate.interval.map_or(String::new(), |i| format!("{} to {}", show(i.low), show(i.high)))
    };
    let (own, difference) = (|x: f64| format::value(metric, x), |x: f64| format::difference(metric, x));
    // A verdict, which only what was asked before the run gets.
    let told = match (place, level.told_from_best) {
        _ if !ranking.declared || ranking.seeds < 2 => "",
        (0, _) => "",
        (_, true) => "yes",
        (_, false) => "no",
    };
    vec![
        format!("`{}`", level.name),
        level.mean.value.map_or(String::new(), own) + dagger(&level.mean),
        range(&level.mean, &own),
        level.against_best.value.map_or(String::new(), difference),
        range(&level.against_best, &difference),
        format::p_value(level.p_holm),
        told.to_string(),
        level.best_probability.map_or(String::new(), format::percent),
    ]
}
