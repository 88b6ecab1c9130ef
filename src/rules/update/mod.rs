//! What happens to the weights that stay (method §3, `update_hessian`).
//!
//! A rule is one file of this folder: an [`UpdateRule`] called `RULE` that says what it needs and how it changes one linear layer
//! that loses input columns. It runs before the removal, on matrices of full width; whatever it leaves in removed columns is
//! deleted right after. No list has to name it: [`RULES`] holds what the folder holds.
use super::obs::{FactoredGram, NotPositiveDefinite};
use super::saliency::Statistic;
use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::ops::Deref;

// `RULES`, and a module for every file of this folder: `src/rules/list.rs` lists them.
include!(concat!(env!("OUT_DIR"), "/update.rs"));

/// Which second moments of a layer's inputs are factored for a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moments {
    None,
    /// G = Σ x xᵀ
    Plain,
    /// Σ (x − x̄)(x − x̄)ᵀ
    Centred,
}

/// Input columns that a linear layer is about to lose.
pub struct LostColumns<'a> {
    /// Ascending.
    pub columns: &'a [usize],
    /// Mean of every input; there where the rule needs [`Statistic::InputMean`].
    pub mean: &'a [f64],
    /// There where [`UpdateRule::moments`] names some.
    pub factored: Option<&'a FactoredGram>,
}

/// Changes W (d_out × n) in place; returns what its bias gains (d_out), where the rule makes one.
pub type Compensate =
    fn(&LostColumns<'_>, &mut DMatrix<f64>) -> Result<Option<DVector<f64>>, NotPositiveDefinite>;

/// One rule.
pub struct UpdateRule {
    /// Name in experiment files.
    pub name: &'static str,
    /// What it is, in one line: the table in `experiments/README.md` has it.
    pub summary: &'static str,
    /// Where it is from, for the same table.
    pub source: &'static str,
    pub needs: &'static [Statistic],
    pub moments: Moments,
    /// Whether linear layers may get a bias.
    pub makes_bias: bool,
    pub compensate: Compensate,
}

impl UpdateRule {
    /// Whether weights stay as they are.
    pub fn changes_nothing(&self) -> bool {
        self.needs.is_empty()
    }

    /// FLOPs of one input of width `n` that loses `s` columns, read by `linears` linear layers of `outputs` rows in all: n³/3 for
    /// the factor, once; 2n²s + 2ns² for the columns of the inverse and their block; 2·outputs·n·s for the weights.
    pub fn flops(&self, [n, s, linears, outputs]: [u64; 4]) -> u64 {
        let solved = if self.moments == Moments::None {
            0
        } else {
            n.pow(3) / 3 + linears * (2 * n * n * s + 2 * n * s * s)
        };
        let weights = if self.moments == Moments::None { 0 } else { 2 * outputs * n * s };
        solved + weights + if self.makes_bias { 2 * outputs * s } else { 0 }
    }
}

/// A rule, as specifications hold it; written as its name.
#[derive(Clone, Copy)]
pub struct Update(&'static UpdateRule);

impl Update {
    pub const NONE: Update = Update(&none::RULE);
    pub const LAYERWISE: Update = Update(&layerwise::RULE);
    pub const MEAN_BIAS: Update = Update(&mean_bias::RULE);
    pub const LAYERWISE_BIAS: Update = Update(&layerwise_bias::RULE);

    pub fn all() -> Vec<Update> {
        RULES.iter().map(|rule| Update(rule)).collect()
    }

    pub fn named(name: &str) -> Option<Update> {
        Update::all().into_iter().find(|rule| rule.name == name)
    }
}

impl Deref for Update {
    type Target = UpdateRule;

    fn deref(&self) -> &UpdateRule {
        self.0
    }
}

impl PartialEq for Update {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Update {}

impl fmt::Debug for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Serialize for Update {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

impl<'de> Deserialize<'de> for Update {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Update::named(&name)
            .ok_or_else(|| serde::de::Error::custom(format!("no update rule is called `{name}`")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::stream;
    use rand::RngExt;

    fn random(rows: usize, cols: usize, name: &str, shift: f64) -> DMatrix<f64> {
        let mut generator = stream(7, name);
        DMatrix::from_fn(rows, cols, |_, _| generator.random::<f64>() - shift)
    }

    /// W′ and b of one rule on columns `columns` of inputs `x` (n × N), nothing damped.
    fn updated(
        update: Update,
        weight: &DMatrix<f64>,
        x: &DMatrix<f64>,
        columns: &[usize],
    ) -> (DMatrix<f64>, DVector<f64>) {
        let mean = x.column_mean();
        let deviations = DMatrix::from_fn(x.nrows(), x.ncols(), |i, n| x[(i, n)] - mean[i]);
        let gram = match update.moments {
            Moments::None => None,
            Moments::Plain => Some(x * x.transpose()),
            Moments::Centred => Some(&deviations * deviations.transpose()),
        };
        let factored = gram.map(|gram| FactoredGram::new(&gram, 0.0).unwrap());
        let lost = LostColumns { columns, mean: mean.as_slice(), factored: factored.as_ref() };
        let mut changed = weight.clone();
        let bias = (update.compensate)(&lost, &mut changed).unwrap();
        columns.iter().for_each(|&j| changed.column_mut(j).fill(0.0));
        (changed, bias.unwrap_or_else(|| DVector::zeros(weight.nrows())))
    }

    /// ‖WX − (W′X + b)‖²_F
    fn error(weight: &DMatrix<f64>, x: &DMatrix<f64>, (changed, bias): &(DMatrix<f64>, DVector<f64>)) -> f64 {
        let difference = (weight - changed) * x;
        let residual = |(i, n): (usize, usize)| difference[(i, n)] - bias[i];
        let cells = (0..difference.nrows()).flat_map(|i| (0..difference.ncols()).map(move |n| (i, n)));
        cells.map(|cell| residual(cell).powi(2)).sum()
    }

    /// `mean_bias_prune_0` and `free_bias_prune_0` of the reference numbers, exact fractions.
    #[test]
    fn golden_biases() {
        let weight = DMatrix::from_row_slice(2, 3, &[1.0, 2.0, -1.0, 0.0, 1.0, 3.0]);
        let x = DMatrix::from_row_slice(3, 4, &[1., 0., 1., 2., 0., 1., 1., 0., 1., 1., 0., 1.]);
        let (_, bias) = updated(Update::MEAN_BIAS, &weight, &x, &[0]);
        assert_eq!(bias.as_slice(), [1.0, 0.0]);
        // What is left is twice the sum of squared deviations of x₀: (0 + 1 + 0 + 1)·1².
        let found = updated(Update::MEAN_BIAS, &weight, &x, &[0]);
        assert!((error(&weight, &x, &found) - 2.0).abs() < 1e-12);
        let (changed, bias) = updated(Update::LAYERWISE_BIAS, &weight, &x, &[0]);
        let expected = DMatrix::from_row_slice(2, 3, &[0.0, 0.5, -2.0, 0.0, 1.0, 3.0]);
        assert!((&changed - expected).amax() < 1e-12);
        assert!((bias[0] - 2.5).abs() < 1e-12 && bias[1].abs() < 1e-12);
        assert!((error(&weight, &x, &(changed, bias)) - 0.5).abs() < 1e-12);
    }

    /// With a free bias the error is that of least squares with a constant among the inputs, and the rules are ordered by
    /// what they may change.
    #[test]
    fn errors_are_those_of_least_squares_and_ordered() {
        for (round, columns) in [vec![1], vec![0, 4], vec![2, 3, 5]].into_iter().enumerate() {
            let weight = random(3, 6, &format!("w{round}"), 0.5);
            // Means far from zero, so that a bias matters.
            let x = random(6, 40, &format!("x{round}"), -0.3);
            let of = |update| error(&weight, &x, &updated(update, &weight, &x, &columns));
            let kept: Vec<usize> = (0..6).filter(|j| !columns.contains(j)).collect();
            let mut design = x.select_rows(&kept).insert_row(kept.len(), 1.0).transpose();
            let wanted = (&weight * &x).transpose();
            let solution = design.clone().svd(true, true).solve(&wanted, 1e-12).unwrap();
            let best = (&wanted - &design * solution).norm_squared();
            let (none, mean, plain, free) =
                (of(Update::NONE), of(Update::MEAN_BIAS), of(Update::LAYERWISE), of(Update::LAYERWISE_BIAS));
            assert!((free - best).abs() <= 1e-9 * best.max(1e-3), "{free}, least squares {best}");
            assert!(free <= plain && free <= mean && mean <= none && plain <= none);
            design = x.select_rows(&kept).transpose();
            let solution = design.clone().svd(true, true).solve(&wanted, 1e-12).unwrap();
            let best = (&wanted - &design * solution).norm_squared();
            assert!((plain - best).abs() <= 1e-9 * best.max(1e-3), "{plain}, least squares {best}");
        }
    }

    #[test]
    fn rules_are_written_by_their_names() {
        for update in Update::all() {
            let text = serde_json::to_string(&update).unwrap();
            assert_eq!(serde_json::from_str::<Update>(&text).unwrap(), update);
        }
        assert!(serde_json::from_str::<Update>("\"obs\"").is_err());
    }
}
