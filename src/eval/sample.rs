//! Which items of a file are scored: all, the first ones, or a seeded sample spread over the file.
//!
//! ```text
//! block j of n   places ⌊j·N/n⌋ … ⌊(j+1)·N/n⌋ − 1 of N,   j = 0 … n−1;   one place of each is drawn
//! ```
//!
//! The first items of a file are no sample of it: of BoolQ's first 25 items 84 % are answered by yes, of all 62 %. The draw
//! depends on the seed, the name and the number of items alone, so it is the same for every arm and every seed of training.
use crate::base::random::stream;
use crate::spec::EvalSpec;
use rand::RngExt;

/// How many items of a task are scored (of each subject in MMLU, documents or windows of WikiText), and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    All,
    /// The first so many, as lm-evaluation-harness takes them.
    First(usize),
    /// So many, spread over the file.
    Sample {
        items: usize,
        seed: u64,
    },
}

impl Limit {
    /// What an experiment asks for.
    pub fn of(eval: &EvalSpec) -> Limit {
        match eval.items {
            0 => Limit::All,
            items => Limit::Sample { items, seed: eval.sample_seed },
        }
    }

    /// The number asked for; `None`: all.
    pub fn items(self) -> Option<usize> {
        match self {
            Limit::All => None,
            Limit::First(items) | Limit::Sample { items, .. } => Some(items),
        }
    }

    /// Places of the items that are scored among `count`, in ascending order; `name` tells the samples of different tasks
    /// and subjects apart.
    pub fn places(self, count: usize, name: &str) -> Vec<usize> {
        match self {
            Limit::First(items) if items < count => (0..items).collect(),
            Limit::Sample { items, seed } if items < count => {
                let mut rng = stream(seed, &format!("eval/sample/{name}"));
                (0..items).map(|j| rng.random_range(j * count / items..(j + 1) * count / items)).collect()
            }
            _ => (0..count).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_spread_over_the_file_and_depends_on_seed_and_name_alone() {
        let sample = |seed, name: &str| Limit::Sample { items: 7, seed }.places(100, name);
        let places = sample(0, "boolq");
        assert_eq!(places, sample(0, "boolq"));
        assert_ne!(places, sample(1, "boolq"));
        assert_ne!(places, sample(0, "piqa"));
        for (j, place) in places.iter().enumerate() {
            assert!((j * 100 / 7..(j + 1) * 100 / 7).contains(place), "{places:?}");
        }
        // All there are, where as many or more are asked for.
        for items in [100, 101] {
            assert_eq!(Limit::Sample { items, seed: 0 }.places(100, "x"), (0..100).collect::<Vec<_>>());
        }
        assert_eq!(Limit::First(3).places(100, "x"), [0, 1, 2]);
        assert_eq!(Limit::First(3).places(2, "x"), [0, 1]);
        assert_eq!(Limit::All.places(2, "x"), [0, 1]);
    }

    /// Every place is as likely as any other: over 2000 seeds each of 20 places is drawn 500 ± 5 standard deviations.
    #[test]
    fn every_item_is_as_likely() {
        let mut times = [0u32; 20];
        for seed in 0..2000 {
            for place in (Limit::Sample { items: 5, seed }).places(20, "x") {
                times[place] += 1;
            }
        }
        let slack = 5.0 * (2000.0f64 * 0.25 * 0.75).sqrt();
        assert!(times.iter().all(|count| (f64::from(*count) - 500.0).abs() < slack), "{times:?}");
    }
}
