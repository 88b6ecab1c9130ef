//! How the numbers were made, and what their intervals are over: seeds and items, or what there is of them.
use super::Context;
use crate::report::metric::Metric;

const ACCURACY: &str = "`acc`: the likeliest choice is the right one; `acc_norm`: the same with log-likelihoods divided by the number of characters. Averages give every task the same weight.";
const INTERVALS: &str = "Intervals (95 %) hold for new seeds and new items: seeds and items are both samples, crossed with each other. The variance between seeds keeps Student's t quantile for its few degrees of freedom; the variance between items, freed of the noise that seeds already carry, is added with its own. Shares of right answers have Wilson's form of it, as in `evals.csv`, which stays between 0 and 100 %; where all answers are right, or all wrong, it has one end. On simulated experiments with two to eight seeds (`experiments/coverage.md`) such intervals cover in 94.4 to 99.7 %: 95 % where seeds vary most, more where items or the noise of single answers do and seeds are few. Where a row has one seed its interval is over items alone and is marked †; no seed interval exists then.";
const INTERVALS_OF_SEEDS: &str = "Intervals (95 %) of scores are Student's t over seeds, within 0 and 100 % of shares. `items.csv`, which holds every answer, is not among the tables: the intervals hold for new seeds and these items.";
const PAIRED: &str = "Comparisons are paired by seed and by item; p-values are two-sided and belong to the interval beside them.";
const PAIRED_BY_SEED: &str = "Comparisons are paired by seed; p-values are two-sided, by Student's t, and belong to the interval beside them.";
const FAMILY: &str = "All questions that were declared before the first result are one family for Holm's correction, unless the file names families; the same contrast of the same models counts once, and what was asked later is exploratory and gets no verdict. One seed gives no verdict. A difference that could have been found is by the noncentral t distribution, with the degrees of freedom at hand and the level divided by the number of tests.";
const BOOTSTRAP: &str = "The hierarchical bootstrap (seeds, then items, the same resample for both arms) is shown as a check; with few seeds its intervals are too short, so it decides nothing.";
const RUNS: &str = "Bits per byte and `kl_to_source` are compared with Student's paired t over seeds.";
const COSTS: &str = "Tokens and FLOPs of a run are its own; `total` adds those of its source model. An empty cell was not measured.";
const MEANS: &str = "A mean over seeds is over the finished runs; failed runs are listed and left out.";

impl Context<'_> {
    pub(super) fn methods(&self) -> Vec<String> {
        let (intervals, paired) = match self.scores.has_items() {
            true => (INTERVALS, format!("{PAIRED} {FAMILY} {BOOTSTRAP}")),
            false => (INTERVALS_OF_SEEDS, format!("{PAIRED_BY_SEED} {FAMILY}")),
        };
        [ACCURACY, intervals, &paired, RUNS, COSTS, MEANS].map(String::from).to_vec()
    }

    /// ` with … over seeds and items`: what intervals of `metric` are over, of the numbers at hand; nothing where there is none.
    pub(super) fn with_interval(&self, metric: Metric, words: &str) -> String {
        let several = self.groups.iter().any(|group| group.runs.len() > 1);
        let over = match (metric.is_of_items() && self.scores.has_items(), several) {
            (true, true) => "over seeds and items",
            (true, false) => "over items alone",
            (false, true) => "over seeds",
            (false, false) => return String::new(),
        };
        format!(" with {words} {over}")
    }

    /// How differences on `metric` are paired.
    pub(super) fn paired_by(&self, metric: Metric) -> &'static str {
        match metric.is_of_items() && self.scores.has_items() {
            true => "paired by seed and item",
            false => "paired by seed",
        }
    }

    /// `what`, said of a mean, where there are axes besides the `shown` ones.
    pub(super) fn other_axes(&self, shown: usize, what: &str) -> String {
        if self.leading().len() > shown { what.to_string() } else { String::new() }
    }
}
