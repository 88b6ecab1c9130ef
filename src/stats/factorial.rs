//! Weights of contrasts in factorial designs: slopes; main effects and interactions are sums and differences.
//!
//! ```text
//! main effect of a level    mean over all other factors of y(level) − y(reference), for each seed
//! interaction               (y(a₁, b₁) − y(a₁, b₀)) − (y(a₀, b₁) − y(a₀, b₀)), mean over the others, for each seed
//! slope                     least squares of y on x over the levels of a numeric factor: Σ w_l y_l, w_l = (x_l − x̄)/Σ(x − x̄)²
//! ```
//!
//! Each is one number for each seed (and item): pass it to [`paired_t`](super::paired::paired_t) or to
//! [`crossed`](super::crossed).
use super::{Result, StatsError, check};

/// Weights of the level means whose sum is the least-squares slope over `x`, the values of the levels.
///
/// # Errors
/// Fewer than two values, one that is not finite, values all alike.
pub fn slope_weights(x: &[f64]) -> Result<Vec<f64>> {
    check("values of a factor", x, 2)?;
    let centre = x.iter().sum::<f64>() / x.len() as f64;
    let spread: f64 = x.iter().map(|v| (v - centre) * (v - centre)).sum();
    if spread == 0.0 {
        return Err(StatsError::NoVariance { what: "values of a factor" });
    }
    Ok(x.iter().map(|v| (v - centre) / spread).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::assert_close;
    use crate::stats::paired::paired_t;

    /// A 3 × 2 design of four seeds, the second factor running fastest: `scripts/make-stats-goldens.py` (NumPy, SciPy).
    const CELLS: [[f64; 6]; 4] = [
        [-0.08, 0.168, 0.175, 0.542, 0.614, 0.811],
        [-0.055, 0.222, 0.275, 0.663, 0.527, 0.677],
        [-0.096, 0.46, 0.22, 0.327, 0.492, 0.684],
        [-0.063, 0.251, 0.129, 0.555, 0.494, 0.741],
    ];

    #[test]
    fn contrasts_of_weights_are_the_golden_effects() {
        let check = |weights: [f64; 6], mean: f64, t: f64, p: f64| {
            let per_seed = CELLS.map(|seed| seed.iter().zip(weights).map(|(y, w)| y * w).sum());
            let found = paired_t(&per_seed, 0.95).unwrap();
            assert_close(found.mean, mean, 1e-12);
            assert_close(found.t, t, 1e-10);
            assert_close(found.p, p, 1e-8);
        };
        // Level 2 less level 0 of the first factor; the interaction of (0, 2) and (0, 1).
        check([-0.5, -0.5, 0.0, 0.0, 0.5, 0.5], 0.529125, 9.83554583834488, 0.00223431901184733);
        check([1.0, -1.0, 0.0, 0.0, -1.0, 1.0], -0.15225, -2.10133718573769, 0.12640420538959);
        // The slope per doubling of values 1, 2, 8, at the first level of the second factor.
        let [a, b, c] = slope_weights(&[0.0, 1.0, 3.0]).unwrap()[..] else { panic!("three weights") };
        check([a, 0.0, b, 0.0, c, 0.0], 0.196642857142857, 17.8446111468306, 0.000383761369223295);
    }

    #[test]
    fn faults_are_told() {
        assert!(slope_weights(&[1.0]).is_err() && slope_weights(&[1.0, f64::NAN]).is_err());
        assert_eq!(slope_weights(&[1.0, 1.0]), Err(StatsError::NoVariance { what: "values of a factor" }));
    }
}
