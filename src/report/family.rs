//! Questions as families: one correction for all tests of a family (Holm 1979).
//!
//! A test is a contrast of groups on a metric. Two tests that are the same contrast of the same models (a comparison asked for
//! twice; groups whose models are identical) count once. A question of equivalence is a test of its own. What has no p (one seed,
//! nothing measured, differences that do not vary) is not tested and does not count.
//!
//! ```text
//! family of n tests and R rankings      p̃ of a test = Holm(p)·(n+R)/n,   p̃ of a ranking's pair = p_all_pairs·(n+R)
//! ```
//!
//! A ranking of three and more values adjusts its pairs for each other (Tukey) and counts as one question; the tests share
//! the rest of α by Holm's procedure. Without rankings it is Holm's, with one ranking alone Tukey's.
use super::grid::Weights;
use super::metric::Metric;
use crate::stats::multiplicity::holm;
use std::collections::BTreeMap;

/// One test.
#[derive(Clone, Debug, PartialEq)]
pub struct Test {
    pub family: String,
    pub metric: Metric,
    /// Contrast of groups, of which twins are represented by one.
    pub weights: Weights,
    /// Of a test of equivalence.
    pub margin: Option<f64>,
    pub p: Option<f64>,
}

/// What the correction makes of a test.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Corrected {
    pub p: Option<f64>,
    /// Tests and rankings of its family, each once.
    pub tests: usize,
}

/// What tells tests apart: family, metric, contrast in units of 1e-9 (of either sign), margin in bits.
type Key = (String, Metric, Vec<(usize, i64)>, u64);

fn key(test: &Test, representatives: &[usize]) -> Key {
    let mut merged: BTreeMap<usize, f64> = BTreeMap::new();
    for (group, weight) in &test.weights {
        *merged.entry(representatives[*group]).or_default() += weight;
    }
    let mut cells: Vec<(usize, i64)> =
        merged.into_iter().map(|(group, weight)| (group, (1e9 * weight).round() as i64)).collect();
    cells.retain(|(_, weight)| *weight != 0);
    if cells.first().is_some_and(|(_, weight)| *weight < 0) {
        cells.iter_mut().for_each(|(_, weight)| *weight = -*weight);
    }
    (test.family.clone(), test.metric, cells, test.margin.map_or(0, f64::to_bits))
}

/// Corrects every test within its family; `rankings` counts those of each family. Also returns the number of questions of
/// each family: tests and rankings.
pub fn correct(
    tests: &[Test],
    rankings: &BTreeMap<String, usize>,
    representatives: &[usize],
) -> (Vec<Corrected>, BTreeMap<String, usize>) {
    let keys: Vec<Key> = tests.iter().map(|test| key(test, representatives)).collect();
    let mut families: BTreeMap<&str, BTreeMap<&Key, f64>> = BTreeMap::new();
    for (test, key) in tests.iter().zip(&keys) {
        let family = families.entry(&test.family).or_default();
        // A contrast of a model with itself is none.
        if let Some(p) = test.p.filter(|_| !key.2.is_empty()) {
            family.entry(key).or_insert(p);
        }
    }
    let mut corrected: BTreeMap<&Key, f64> = BTreeMap::new();
    let mut questions = rankings.clone();
    for (name, family) in families {
        let p: Vec<f64> = family.values().copied().collect();
        let all = questions.entry(name.to_string()).or_default();
        *all += p.len();
        let share = *all as f64 / p.len().max(1) as f64;
        let adjusted = holm(&p).unwrap_or_default().into_iter().map(|p| (share * p).min(1.0));
        corrected.extend(family.keys().copied().zip(adjusted));
    }
    let of = |(test, key): (&Test, &Key)| Corrected {
        p: test.p.and_then(|_| corrected.get(key).copied()),
        tests: questions.get(&test.family).copied().unwrap_or(0),
    };
    (tests.iter().zip(&keys).map(of).collect(), questions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(family: &str, weights: &[(usize, f64)], p: Option<f64>) -> Test {
        Test { family: family.into(), metric: Metric::Acc, weights: weights.to_vec(), margin: None, p }
    }

    #[test]
    fn one_contrast_counts_once_however_often_it_is_asked() {
        let tests = [
            test("", &[(0, 1.0), (1, -1.0)], Some(0.01)),
            // The same with the other sign, and of a twin of group 1.
            test("", &[(1, 1.0), (0, -1.0)], Some(0.01)),
            test("", &[(0, 1.0), (2, -1.0)], Some(0.01)),
            test("", &[(0, 1.0), (3, -1.0)], Some(0.04)),
            // Twins against each other, whatever rounding makes of them, or one seed: not tested.
            test("", &[(1, 1.0), (2, -1.0)], Some(0.3)),
            test("other", &[(0, 1.0), (3, -1.0)], Some(0.04)),
        ];
        let (found, questions) = correct(&tests, &BTreeMap::new(), &[0, 1, 1, 3]);
        let p: Vec<Option<f64>> = found.iter().map(|c| c.p).collect();
        assert_eq!(p, [Some(0.02), Some(0.02), Some(0.02), Some(0.04), None, Some(0.04)]);
        assert_eq!(found.iter().map(|c| c.tests).collect::<Vec<_>>(), [2, 2, 2, 2, 2, 1]);
        assert_eq!(questions["other"], 1);
        // With a ranking in the family the tests share two thirds of α.
        let rankings = BTreeMap::from([(String::new(), 1)]);
        let (found, questions) = correct(&tests[..4], &rankings, &[0, 1, 1, 3]);
        assert_eq!((found[0].p, found[0].tests, questions[""]), (Some(0.03), 3, 3));
    }

    #[test]
    fn equivalence_is_a_test_of_its_own() {
        let difference = test("", &[(0, 1.0), (1, -1.0)], Some(0.5));
        let equivalence = Test { margin: Some(0.01), p: Some(0.02), ..difference.clone() };
        let (found, _) = correct(&[difference, equivalence], &BTreeMap::new(), &[0, 1]);
        assert_eq!(found.iter().map(|c| c.p.unwrap()).collect::<Vec<_>>(), [0.5, 0.04]);
    }
}
