//! Metrics by name: a number of each item, or of a whole run.
//!
//! Of items come means over items and tasks, paired differences and intervals over seeds and items; of a run, Student's t over
//! seeds. `acc` is the default everywhere.
use crate::record::scores::{COMMON_SENSE, EvalScore, USUALLY_NORMALISED};
use crate::record::{ItemChoice, RunTotals};

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    Acc,
    AccNorm,
    /// The usual metric of each of the seven common-sense tasks.
    AverageUsual,
    GoldProbability,
    GoldProbabilityNorm,
    GoldNll,
    Margin,
    ChoiceLogLoss,
    /// Share of items answered as the source answers them.
    Agreement,
    BitsPerByte,
    KlToSource,
}

impl Metric {
    /// All metrics; those of items first.
    pub const ALL: [Metric; 11] = [
        Metric::Acc,
        Metric::AccNorm,
        Metric::AverageUsual,
        Metric::GoldProbability,
        Metric::GoldProbabilityNorm,
        Metric::GoldNll,
        Metric::Margin,
        Metric::ChoiceLogLoss,
        Metric::Agreement,
        Metric::BitsPerByte,
        Metric::KlToSource,
    ];

    /// Name in experiment files, columns and pages.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Acc => "acc",
            Metric::AccNorm => "acc_norm",
            Metric::AverageUsual => "average_usual",
            Metric::GoldProbability => "gold_probability",
            Metric::GoldProbabilityNorm => "gold_probability_norm",
            Metric::GoldNll => "gold_nll",
            Metric::Margin => "margin",
            Metric::ChoiceLogLoss => "choice_log_loss",
            Metric::Agreement => "agreement",
            Metric::BitsPerByte => "bits_per_byte",
            Metric::KlToSource => "kl_to_source",
        }
    }

    pub fn parse(name: &str) -> Option<Metric> {
        Metric::ALL.into_iter().find(|metric| metric.name() == name)
    }

    /// The names of all metrics, for a message.
    pub fn names() -> String {
        Metric::ALL.map(Metric::name).join(", ")
    }

    /// The metric of the items of `task`: for the average of usual metrics that of the task, where it belongs to them.
    pub fn on_task(self, task: &str) -> Option<Metric> {
        match self {
            Metric::AverageUsual if USUALLY_NORMALISED.contains(&task) => Some(Metric::AccNorm),
            Metric::AverageUsual => COMMON_SENSE.contains(&task).then_some(Metric::Acc),
            metric => Some(metric),
        }
    }

    /// The item's number, from its first row, of a metric [`on_task`](Metric::on_task); `None` where it has none.
    pub fn of_item(self, item: &ItemChoice) -> Option<f64> {
        let share = |right: Option<u8>| right.map(f64::from);
        match self {
            Metric::Acc => share(item.acc),
            Metric::AccNorm => share(item.acc_norm),
            Metric::GoldProbability => item.gold_probability,
            Metric::GoldProbabilityNorm => item.gold_probability_norm,
            Metric::GoldNll => item.gold_nll,
            Metric::Margin => item.margin,
            Metric::ChoiceLogLoss => item.choice_log_loss,
            Metric::Agreement => share(item.agreement),
            Metric::AverageUsual | Metric::BitsPerByte | Metric::KlToSource => None,
        }
    }

    /// The mean over the items of a task, of a metric of items.
    pub fn of_task(self, score: &EvalScore) -> Option<f64> {
        match self.on_task(&score.task)? {
            Metric::Acc => score.acc,
            Metric::AccNorm => score.acc_norm,
            Metric::GoldProbability => score.gold_probability,
            Metric::GoldProbabilityNorm => score.gold_probability_norm,
            Metric::GoldNll => score.gold_nll,
            Metric::Margin => score.margin,
            Metric::ChoiceLogLoss => score.choice_log_loss,
            Metric::Agreement => score.agreement,
            Metric::AverageUsual | Metric::BitsPerByte | Metric::KlToSource => None,
        }
    }

    /// The run's number, of a metric that is none of items.
    pub fn of_run(self, totals: &RunTotals) -> Option<f64> {
        match self {
            Metric::BitsPerByte => totals.bits_per_byte,
            Metric::KlToSource => totals.kl_to_source,
            _ => None,
        }
    }

    /// Whether it is a number of each item.
    pub fn is_of_items(self) -> bool {
        !matches!(self, Metric::BitsPerByte | Metric::KlToSource)
    }

    /// Whether an item has 0 or 1: it is answered rightly, or as the source answers it.
    pub fn is_binary(self) -> bool {
        matches!(self, Metric::Acc | Metric::AccNorm | Metric::AverageUsual | Metric::Agreement)
    }

    /// Whether it lies between 0 and 1, and is shown in percent.
    pub fn is_share(self) -> bool {
        self.is_binary() || matches!(self, Metric::GoldProbability | Metric::GoldProbabilityNorm)
    }

    pub fn lower_is_better(self) -> bool {
        matches!(self, Metric::GoldNll | Metric::ChoiceLogLoss | Metric::BitsPerByte | Metric::KlToSource)
    }

    /// What a difference is counted in.
    pub fn unit(self) -> &'static str {
        match self {
            Metric::GoldNll => "nats per byte",
            Metric::Margin | Metric::ChoiceLogLoss => "nats",
            Metric::BitsPerByte => "bits per byte",
            Metric::KlToSource => "nats per token",
            _ => "points",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_their_own_inverse_and_numbers_those_of_the_row() {
        for metric in Metric::ALL {
            assert_eq!(Metric::parse(metric.name()), Some(metric));
            assert!(metric.is_of_items() != (metric.of_run(&totals()).is_some()), "{metric:?}");
        }
        assert_eq!(Metric::parse("accuracy"), None);
        // An experiment file can ask for every one of them, and for no other.
        assert_eq!(Metric::ALL.map(Metric::name), crate::questions::METRICS);
        let item = |task: &str| ItemChoice {
            task: task.into(),
            acc: Some(1),
            acc_norm: Some(0),
            gold_nll: Some(0.25),
            ..ItemChoice::default()
        };
        let usual = |task: &str| Metric::AverageUsual.on_task(task)?.of_item(&item(task));
        assert_eq!((usual("piqa"), usual("hellaswag"), usual("mmlu")), (Some(1.0), Some(0.0), None));
        assert_eq!(Metric::GoldNll.of_item(&item("piqa")), Some(0.25));
        assert_eq!(Metric::Margin.of_item(&item("piqa")), None);
    }

    fn totals() -> RunTotals {
        RunTotals { bits_per_byte: Some(1.0), kl_to_source: Some(0.5), ..RunTotals::default() }
    }
}
