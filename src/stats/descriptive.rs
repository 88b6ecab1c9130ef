//! Mean, sample variance, standard error of the mean, quantiles.
use super::{Result, check, check_open};

/// Arithmetic mean of at least one value.
pub fn mean(x: &[f64]) -> Result<f64> {
    check("mean", x, 1)?;
    Ok(x.iter().sum::<f64>() / x.len() as f64)
}

/// Sample variance, divisor n − 1.
pub fn variance(x: &[f64]) -> Result<f64> {
    check("variance", x, 2)?;
    let m = mean(x)?;
    Ok(x.iter().map(|v| (v - m) * (v - m)).sum::<f64>() / (x.len() - 1) as f64)
}

/// Sample standard deviation, divisor n − 1.
pub fn standard_deviation(x: &[f64]) -> Result<f64> {
    Ok(variance(x)?.sqrt())
}

/// Standard error of the mean of independent values, s/√n (the `stderr` of lm-evaluation-harness).
pub fn standard_error(x: &[f64]) -> Result<f64> {
    Ok((variance(x)? / x.len() as f64).sqrt())
}

/// Quantile by linear interpolation between order statistics (type 7: NumPy's and R's default), 0 ≤ p ≤ 1.
pub fn quantile(x: &[f64], p: f64) -> Result<f64> {
    check("quantile", x, 1)?;
    check_open("quantile level", p, -f64::MIN_POSITIVE, 1.0 + f64::EPSILON)?;
    let mut sorted = x.to_vec();
    sorted.sort_by(f64::total_cmp);
    Ok(quantile_of_sorted(&sorted, p))
}

/// [`quantile`] of values known to be sorted and not empty.
pub(crate) fn quantile_of_sorted(sorted: &[f64], p: f64) -> f64 {
    let position = p * (sorted.len() - 1) as f64;
    let below = (position.floor() as usize).min(sorted.len() - 1);
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (position - below as f64) * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{StatsError, assert_close};

    #[test]
    fn by_hand() {
        assert_eq!(mean(&[1.0, 2.0, 6.0]), Ok(3.0));
        assert_eq!(variance(&[1.0, 2.0, 6.0]), Ok(7.0)); // (4 + 1 + 9) / 2
        assert_close(standard_error(&[1.0, 2.0, 6.0]).unwrap(), (7.0f64 / 3.0).sqrt(), 1e-15);
        assert_eq!(quantile(&[4.0, 1.0, 3.0, 2.0], 0.5), Ok(2.5));
        assert_eq!(quantile(&[4.0, 1.0, 3.0, 2.0], 0.0), Ok(1.0));
        assert_eq!(quantile(&[4.0, 1.0, 3.0, 2.0], 1.0), Ok(4.0));
    }

    #[test]
    fn faults_are_told() {
        assert!(matches!(mean(&[]), Err(StatsError::TooFew { .. })));
        assert!(matches!(variance(&[1.0]), Err(StatsError::TooFew { needed: 2, .. })));
        assert!(matches!(mean(&[1.0, f64::NAN]), Err(StatsError::NotFinite { index: 1, .. })));
        assert!(matches!(quantile(&[1.0], 1.5), Err(StatsError::OutOfRange { .. })));
    }
}
