//! Scores of benchmark tasks: `items.csv`, a row for each choice, and from them the row of `evals.csv`.
//!
//! An item is its place in the file, never its id: ids repeat in real files. Numbers of an item stand on each of its
//! choices. Means come with 95 % intervals for new items, which allow for items that come in clusters ([`Clusters`]).
use super::rows::finite;
use crate::stats::cluster::{Clusters, clustered_mean, clustered_share, design_effect};
use crate::stats::{Interval, descriptive};
use serde::{Deserialize, Serialize};

/// Tasks of the paper's common-sense average, in the order of its table.
pub const COMMON_SENSE: [&str; 7] =
    ["arc_easy", "arc_challenge", "boolq", "hellaswag", "openbookqa", "piqa", "winogrande"];
/// Those of them whose usual number is `acc_norm`.
pub const USUALLY_NORMALISED: [&str; 3] = ["arc_challenge", "hellaswag", "openbookqa"];

/// Level of the intervals in the files.
const LEVEL: f64 = 0.95;

/// One task of one run: a row of `evals.csv`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EvalScore {
    pub task: String,
    pub num_items: u64,
    #[serde(serialize_with = "finite")]
    pub acc: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub acc_stderr: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub acc_low: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub acc_high: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub acc_norm: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub acc_norm_stderr: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub acc_norm_low: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub acc_norm_high: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub chance: Option<f64>,
    pub num_clusters: Option<u64>,
    #[serde(serialize_with = "finite")]
    pub design_effect: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub gold_probability: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub gold_probability_low: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub gold_probability_high: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub gold_probability_norm: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub gold_probability_norm_low: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub gold_probability_norm_high: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub gold_nll: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub gold_nll_low: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub gold_nll_high: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub margin: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub margin_low: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub margin_high: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub choice_log_loss: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub choice_log_loss_low: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub choice_log_loss_high: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub agreement: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub agreement_low: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub agreement_high: Option<f64>,
    pub num_not_finite: Option<u64>,
    pub num_set_aside: Option<u64>,
    pub num_truncated: Option<u64>,
    pub context_length: Option<u64>,
    pub sample_seed: Option<u64>,
}

/// One choice of one item of one task: a row of `items.csv`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ItemChoice {
    pub task: String,
    /// The item's own id, for people: several items may have one.
    pub item: String,
    pub gold: u64,
    pub choice: u64,
    #[serde(serialize_with = "finite")]
    pub loglik: Option<f64>,
    pub num_chars: u64,
    pub num_bytes: u64,
    pub num_tokens: u64,
    /// 0 or 1, the item's, repeated on each of its choices.
    pub acc: Option<u8>,
    pub acc_norm: Option<u8>,
    /// Place of the item in its file, from 0; `None` in what was written before places were.
    pub place: Option<u64>,
    /// Place of the first item of its cluster.
    pub cluster: Option<u64>,
    pub stratum: Option<String>,
    #[serde(serialize_with = "finite")]
    pub gold_probability: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub gold_probability_norm: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub gold_nll: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub margin: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub choice_log_loss: Option<f64>,
    pub agreement: Option<u8>,
    pub lost_context_tokens: Option<u64>,
    /// Larger is harder; its unit is the task's.
    #[serde(serialize_with = "finite")]
    pub difficulty: Option<f64>,
}

/// An item that could not be scored: a row of `set_aside.csv`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    pub task: String,
    pub place: u64,
    pub item: String,
    pub reason: String,
    /// The end of its context and the continuation.
    pub text: String,
}

/// Which of `items` belong together; items without a cluster are clusters of their own.
pub fn clusters_of(items: &[&ItemChoice]) -> Clusters {
    // A cluster is named by a place, an item without one by its number: the two are told apart by the flag.
    let cluster: Vec<(bool, u64)> = items
        .iter()
        .enumerate()
        .map(|(number, item)| item.cluster.map_or((false, number as u64), |c| (true, c)))
        .collect();
    let strata: Vec<&Option<String>> = items.iter().map(|item| &item.stratum).collect();
    Clusters::new(&cluster, &strata).unwrap_or_else(|_| Clusters::independent(items.len()))
}

/// A number of each item with its mean and interval over those that have it.
struct Mean {
    mean: Option<f64>,
    stderr: Option<f64>,
    interval: Option<Interval>,
}

impl Mean {
    fn low(&self) -> Option<f64> {
        self.interval.map(|i| i.low)
    }

    fn high(&self) -> Option<f64> {
        self.interval.map(|i| i.high)
    }
}

/// Values of the items that have one, and how those items belong together.
fn measured<T>(items: &[&ItemChoice], value: impl Fn(&ItemChoice) -> Option<T>) -> (Vec<T>, Clusters) {
    let (kept, values): (Vec<&ItemChoice>, Vec<T>) =
        items.iter().filter_map(|item| Some((*item, value(item)?))).unzip();
    let clusters = clusters_of(&kept);
    (values, clusters)
}

fn share(items: &[&ItemChoice], right: fn(&ItemChoice) -> Option<u8>) -> Mean {
    let (right, clusters) = measured(items, |item| right(item).map(|right| right > 0));
    let x: Vec<f64> = right.iter().map(|right| f64::from(u8::from(*right))).collect();
    Mean {
        mean: descriptive::mean(&x).ok(),
        stderr: descriptive::standard_error(&x).ok(),
        interval: clustered_share(&right, &clusters, LEVEL).ok(),
    }
}

fn mean(items: &[&ItemChoice], value: fn(&ItemChoice) -> Option<f64>) -> Mean {
    let (x, clusters) = measured(items, value);
    let clustered = clustered_mean(&x, &clusters, LEVEL).ok();
    Mean {
        mean: descriptive::mean(&x).ok(),
        stderr: clustered.map(|m| m.standard_error),
        interval: clustered.map(|m| m.interval),
    }
}

/// A probability's mean; no probability is beyond 0 and 1.
fn probability(items: &[&ItemChoice], value: fn(&ItemChoice) -> Option<f64>) -> Mean {
    let within = |i: Interval| Interval { low: i.low.max(0.0), high: i.high.min(1.0) };
    let found = mean(items, value);
    Mean { interval: found.interval.map(within), ..found }
}

impl EvalScore {
    /// The score of `task` from its choices.
    ///
    /// `choices` holds the rows of this task alone or of several; `chance` is the accuracy of blind guessing. Items whose
    /// log-likelihoods are not finite have no accuracy and are counted apart.
    pub fn from_choices(task: &str, choices: &[ItemChoice], chance: Option<f64>) -> EvalScore {
        // Every item has exactly one row per choice, so its first choice stands for the item.
        let items: Vec<&ItemChoice> = choices.iter().filter(|c| c.task == task && c.choice == 0).collect();
        let (acc, acc_norm) = (share(&items, |c| c.acc), share(&items, |c| c.acc_norm));
        let agreement = share(&items, |c| c.agreement);
        let gold_probability = probability(&items, |c| c.gold_probability);
        let gold_probability_norm = probability(&items, |c| c.gold_probability_norm);
        let gold_nll = mean(&items, |c| c.gold_nll);
        let margin = mean(&items, |c| c.margin);
        let choice_log_loss = mean(&items, |c| c.choice_log_loss);
        let (right, clusters) = measured(&items, |c| c.acc.map(f64::from));
        let placed = items.iter().any(|item| item.place.is_some());
        let not_finite = items.len() - right.len();
        EvalScore {
            task: task.to_string(),
            num_items: right.len() as u64,
            acc: acc.mean,
            acc_stderr: acc.stderr,
            acc_low: acc.low(),
            acc_high: acc.high(),
            acc_norm: acc_norm.mean,
            acc_norm_stderr: acc_norm.stderr,
            acc_norm_low: acc_norm.low(),
            acc_norm_high: acc_norm.high(),
            chance,
            num_clusters: placed.then_some(clusters.num_clusters() as u64),
            design_effect: design_effect(&right, &clusters).filter(|_| placed),
            gold_probability: gold_probability.mean,
            gold_probability_low: gold_probability.low(),
            gold_probability_high: gold_probability.high(),
            gold_probability_norm: gold_probability_norm.mean,
            gold_probability_norm_low: gold_probability_norm.low(),
            gold_probability_norm_high: gold_probability_norm.high(),
            gold_nll: gold_nll.mean,
            gold_nll_low: gold_nll.low(),
            gold_nll_high: gold_nll.high(),
            margin: margin.mean,
            margin_low: margin.low(),
            margin_high: margin.high(),
            choice_log_loss: choice_log_loss.mean,
            choice_log_loss_low: choice_log_loss.low(),
            choice_log_loss_high: choice_log_loss.high(),
            agreement: agreement.mean,
            agreement_low: agreement.low(),
            agreement_high: agreement.high(),
            num_not_finite: placed.then_some(not_finite as u64),
            ..EvalScore::default()
        }
    }

    /// `acc_norm` where that is the task's usual number, else `acc`.
    pub fn usual(&self) -> Option<f64> {
        if USUALLY_NORMALISED.contains(&self.task.as_str()) { self.acc_norm } else { self.acc }
    }
}

/// Mean of independent values with Student's 95 % interval, which takes two; `None` of none, or where one is not finite.
pub fn mean_with_interval(values: &[f64]) -> Option<(f64, Option<Interval>)> {
    let mean = descriptive::mean(values).ok()?;
    let interval = clustered_mean(values, &Clusters::independent(values.len()), LEVEL).ok();
    Some((mean, interval.map(|m| m.interval)))
}

/// Plain mean of `acc` over the tasks of a run; `None` where any of them has none, or there are none.
pub fn average_acc(evals: &[EvalScore]) -> Option<f64> {
    let acc: Option<Vec<f64>> = evals.iter().map(|score| score.acc).collect();
    descriptive::mean(&acc?).ok()
}

/// The paper's average: mean over the seven common-sense tasks with each task's usual number, all others left out;
/// `None` where not all seven were scored, since a mean over fewer would be another number.
pub fn average_usual(evals: &[EvalScore]) -> Option<f64> {
    let of = |task: &str| evals.iter().find(|score| score.task == task).and_then(EvalScore::usual);
    let usual: Option<Vec<f64>> = COMMON_SENSE.iter().map(|task| of(task)).collect();
    descriptive::mean(&usual?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(place: u64, cluster: u64, acc: Option<u8>) -> ItemChoice {
        ItemChoice {
            task: "piqa".into(),
            item: "one id for all".into(),
            acc,
            acc_norm: acc,
            place: Some(place),
            cluster: Some(cluster),
            gold_nll: acc.map(|right| 2.0 - f64::from(right)),
            ..ItemChoice::default()
        }
    }

    /// Four items with one id are four items; one without a finite score is counted apart.
    #[test]
    fn an_item_is_its_place_and_one_that_is_not_finite_is_no_answer() {
        let items = [
            item(0, 0, Some(1)),
            item(1, 1, Some(0)),
            item(2, 2, None),
            item(7, 7, Some(1)),
            item(9, 9, Some(1)),
        ];
        let score = EvalScore::from_choices("piqa", &items, Some(0.5));
        assert_eq!((score.num_items, score.num_not_finite, score.acc), (4, Some(1), Some(0.75)));
        assert_eq!((score.num_clusters, score.design_effect), (Some(4), Some(1.0)));
        assert_eq!(score.gold_nll, Some(1.25));
        // None is finite: no accuracy at all, not 0.
        let score = EvalScore::from_choices("piqa", &[item(0, 0, None)], None);
        assert_eq!(
            (score.num_items, score.acc, score.acc_low, score.num_not_finite),
            (0, None, None, Some(1))
        );
    }

    #[test]
    fn clusters_widen_the_interval() {
        let clustered: Vec<ItemChoice> =
            (0..40u64).map(|i| item(i, i / 4 * 4, Some(u8::from(i / 4 % 2 == 0)))).collect();
        let apart: Vec<ItemChoice> = (0..40u64).map(|i| item(i, i, Some(u8::from(i / 4 % 2 == 0)))).collect();
        let score = |items: &[ItemChoice]| EvalScore::from_choices("piqa", items, None);
        let (a, b) = (score(&clustered), score(&apart));
        assert_eq!((a.acc, a.acc_stderr), (b.acc, b.acc_stderr));
        let width = |s: &EvalScore| s.acc_high.unwrap() - s.acc_low.unwrap();
        assert!(width(&a) > 1.7 * width(&b), "{a:?} {b:?}");
        assert!(a.design_effect.unwrap() > 3.9 && a.num_clusters == Some(10));
    }

    #[test]
    fn averages_are_over_all_tasks_and_over_the_papers_seven() {
        let score = |task: &str, acc: f64, norm: Option<f64>| EvalScore {
            task: task.into(),
            acc: Some(acc),
            acc_norm: norm,
            ..EvalScore::default()
        };
        let mut evals: Vec<EvalScore> = COMMON_SENSE.iter().map(|task| score(task, 0.5, Some(0.6))).collect();
        evals.push(score("mmlu", 0.1, None));
        assert!((average_acc(&evals).unwrap() - (7.0 * 0.5 + 0.1) / 8.0).abs() < 1e-15);
        assert!((average_usual(&evals).unwrap() - (4.0 * 0.5 + 3.0 * 0.6) / 7.0).abs() < 1e-15);
        evals.remove(0);
        assert_eq!(average_usual(&evals), None);
        assert_eq!(average_acc(&[]), None);
    }
}
