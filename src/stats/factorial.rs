//! Effects in factorial designs: main effects, interaction contrasts and slopes, paired by seed.
//!
//! ```text
//! main effect of a level    mean over all other factors of y(level) − y(reference), for each seed
//! interaction               (y(a₁, b₁) − y(a₁, b₀)) − (y(a₀, b₁) − y(a₀, b₀)), mean over the others, for each seed
//! slope                     least squares of y on x over the levels of a numeric factor, for each seed
//! ```
//!
//! Each is one number for each seed; interval and p are Student's over seeds. The 2 × 2 case, such as saliency Hessian × update
//! Hessian:
//!
//! ```text
//!                update 0   update 1
//! saliency 0      y00        y01
//! saliency 1      y10        y11          contrast = (y11 − y10) − (y01 − y00)
//! ```
//!
//! Zero where the two choices add up; positive where together they do better than the sum of their parts.
use super::paired::{PairedT, differences, paired_t};
use super::{Result, StatsError, check, check_lengths};

/// Per-unit contrasts from the four cells `[y00, y01, y10, y11]`, each measured on the same seeds (or items).
pub fn interaction_contrasts(cells: [&[f64]; 4]) -> Result<Vec<f64>> {
    let [y00, y01, y10, y11] = cells;
    for cell in cells {
        check_lengths("cells of a 2 × 2 design", y00.len(), cell.len())?;
        check("interaction contrast", cell, 1)?;
    }
    Ok((0..y00.len()).map(|i| (y11[i] - y10[i]) - (y01[i] - y00[i])).collect())
}

/// Mean contrast over seeds with Student's t, paired by seed.
pub fn interaction(cells: [&[f64]; 4], level: f64) -> Result<PairedT> {
    paired_t(&interaction_contrasts(cells)?, level)
}

/// Values of one metric in every cell of a design, by seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Design {
    /// Levels of each factor.
    levels: Vec<usize>,
    /// `[seed][cell]`, the last factor running fastest.
    cells: Vec<Vec<f64>>,
}

impl Design {
    /// `cells[seed]` holds a value for every combination of levels, the last factor running fastest.
    ///
    /// # Errors
    /// A factor of fewer than two levels, a seed with a cell too few or too many, a value that is not finite.
    pub fn new(levels: &[usize], cells: Vec<Vec<f64>>) -> Result<Design> {
        if let Some(&got) = levels.iter().find(|levels| **levels < 2) {
            return Err(StatsError::TooFew { what: "levels of a factor", needed: 2, got });
        }
        let count = levels.iter().product();
        for seed in &cells {
            check_lengths("cells of a design", count, seed.len())?;
            check("cells of a design", seed, 1)?;
        }
        Ok(Design { levels: levels.to_vec(), cells })
    }

    fn check_level(&self, factor: usize, level: usize) -> Result<()> {
        let most = self.levels.get(factor).copied().unwrap_or(0);
        if level < most {
            return Ok(());
        }
        Err(StatsError::OutOfRange {
            what: "level of a factor",
            value: level as f64,
            low: 0.0,
            high: most as f64,
        })
    }

    /// For each seed, the mean over all cells at which each of `at` (factor, level) holds.
    fn means(&self, at: &[(usize, usize)]) -> Result<Vec<f64>> {
        at.iter().try_for_each(|&(factor, level)| self.check_level(factor, level))?;
        let level_of = |cell: usize, factor: usize| {
            let below: usize = self.levels[factor + 1..].iter().product();
            cell / below % self.levels[factor]
        };
        let holds = |cell: &usize| at.iter().all(|&(factor, level)| level_of(*cell, factor) == level);
        let chosen: Vec<usize> = (0..self.levels.iter().product()).filter(holds).collect();
        let mean = |seed: &Vec<f64>| chosen.iter().map(|c| seed[*c]).sum::<f64>() / chosen.len() as f64;
        Ok(self.cells.iter().map(mean).collect())
    }

    /// Main effect of `level` against `reference` of `factor`, by seed: pass it to [`paired_t`].
    ///
    /// # Errors
    /// A factor or level that there is not.
    pub fn main_effect(&self, factor: usize, level: usize, reference: usize) -> Result<Vec<f64>> {
        let (a, b) = (self.means(&[(factor, level)])?, self.means(&[(factor, reference)])?);
        differences(&a, &b)
    }

    /// Interaction contrast of two factors, each with a level and its reference, by seed.
    ///
    /// # Errors
    /// One factor twice, a factor or level that there is not.
    pub fn interaction(&self, a: (usize, [usize; 2]), b: (usize, [usize; 2])) -> Result<Vec<f64>> {
        let ((first, of_first), (second, of_second)) = (a, b);
        if first == second {
            let (what, value) = ("second factor of an interaction", second as f64);
            return Err(StatsError::OutOfRange { what, value, low: value, high: value });
        }
        let cell = |i: usize, j: usize| self.means(&[(first, of_first[i]), (second, of_second[j])]);
        // [level, reference]: 0 is the level.
        let [y00, y01, y10, y11] = [cell(1, 1)?, cell(1, 0)?, cell(0, 1)?, cell(0, 0)?];
        interaction_contrasts([&y00, &y01, &y10, &y11])
    }

    /// Slope of the metric over the values `x` of the levels of `factor` (in log units where the factor is a scale), by seed.
    ///
    /// # Errors
    /// Another number of values than levels, values all alike.
    pub fn slope(&self, factor: usize, x: &[f64]) -> Result<Vec<f64>> {
        check_lengths(
            "values and levels of a factor",
            x.len(),
            self.levels.get(factor).copied().unwrap_or(0),
        )?;
        check("values of a factor", x, 2)?;
        let centre = x.iter().sum::<f64>() / x.len() as f64;
        let spread: f64 = x.iter().map(|v| (v - centre) * (v - centre)).sum();
        if spread == 0.0 {
            return Err(StatsError::NoVariance { what: "values of a factor" });
        }
        let mut slopes = vec![0.0; self.cells.len()];
        for (level, value) in x.iter().enumerate() {
            let means = self.means(&[(factor, level)])?;
            slopes.iter_mut().zip(means).for_each(|(slope, y)| *slope += (value - centre) / spread * y);
        }
        Ok(slopes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::assert_close;

    #[test]
    fn additive_designs_have_none() {
        let cells: [&[f64]; 4] = [&[0.1, 0.2], &[0.2, 0.3], &[0.3, 0.4], &[0.4, 0.5]];
        for c in interaction_contrasts(cells).unwrap() {
            assert!(c.abs() < 1e-12);
        }
        let cells: [&[f64]; 4] = [&[0.1, 0.2, 0.3], &[0.2, 0.3, 0.4], &[0.3, 0.4, 0.5], &[0.45, 0.6, 0.65]];
        let t = interaction(cells, 0.95).unwrap();
        assert_close(t.mean, (0.05 + 0.1 + 0.05) / 3.0, 1e-12);
        assert!(interaction_contrasts([&[1.0], &[1.0], &[1.0], &[1.0, 2.0]]).is_err());
    }

    /// A 3 × 2 design of four seeds: `scripts/make-stats-goldens.py` (NumPy, SciPy).
    const CELLS: [[f64; 6]; 4] = [
        [-0.08, 0.168, 0.175, 0.542, 0.614, 0.811],
        [-0.055, 0.222, 0.275, 0.663, 0.527, 0.677],
        [-0.096, 0.46, 0.22, 0.327, 0.492, 0.684],
        [-0.063, 0.251, 0.129, 0.555, 0.494, 0.741],
    ];

    #[test]
    fn golden_effects() {
        let design = Design::new(&[3, 2], CELLS.map(|seed| seed.to_vec()).to_vec()).unwrap();
        let check = |per_seed: Vec<f64>, mean: f64, t: f64, p: f64| {
            let found = paired_t(&per_seed, 0.95).unwrap();
            assert_close(found.mean, mean, 1e-12);
            assert_close(found.t, t, 1e-10);
            assert_close(found.p, p, 1e-8);
        };
        check(design.main_effect(0, 2, 0).unwrap(), 0.529125, 9.83554583834488, 0.00223431901184733);
        let contrast = design.interaction((0, [2, 0]), (1, [1, 0])).unwrap();
        check(contrast, -0.15225, -2.10133718573769, 0.12640420538959);
        // The slope at the first level of the second factor: a design of the first alone.
        let first: Vec<Vec<f64>> = CELLS.iter().map(|seed| vec![seed[0], seed[2], seed[4]]).collect();
        let design = Design::new(&[3], first).unwrap();
        let slopes = design.slope(0, &[0.0, 1.0, 3.0]).unwrap();
        check(slopes, 0.196642857142857, 17.8446111468306, 0.000383761369223295);
    }

    #[test]
    fn faults_of_designs_are_told() {
        assert!(Design::new(&[1, 2], vec![]).is_err());
        assert!(Design::new(&[2, 2], vec![vec![1.0; 3]]).is_err());
        let design = Design::new(&[2, 2], vec![vec![1.0; 4]]).unwrap();
        assert!(design.main_effect(0, 2, 0).is_err() && design.main_effect(2, 0, 1).is_err());
        assert!(design.interaction((0, [1, 0]), (0, [1, 0])).is_err());
        assert!(design.slope(0, &[1.0, 1.0]).is_err() && design.slope(0, &[1.0]).is_err());
    }
}
