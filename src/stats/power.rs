//! How small a difference can be seen, and how many items it takes.
//!
//! ```text
//! (z_{1−α/2} + z_power)² = n·δ²/σ²   ⇒   δ = (z_{1−α/2} + z_power)·SE,   n = constant·σ²/δ²
//! ```
use super::special::normal_quantile;
use super::{Result, check_open};

/// (z_{1−α/2} + z_power)²: 7.849 for 80 % power at α = 0.05.
pub fn power_constant(power: f64, alpha: f64) -> Result<f64> {
    check_open("power", power, 0.0, 1.0)?;
    check_open("significance level", alpha, 0.0, 1.0)?;
    Ok((normal_quantile(1.0 - 0.5 * alpha) + normal_quantile(power)).powi(2))
}

/// Smallest true difference that a test with standard error `standard_error` finds with probability `power`.
pub fn minimum_detectable_effect(standard_error: f64, power: f64, alpha: f64) -> Result<f64> {
    check_open("standard error", standard_error, -f64::MIN_POSITIVE, f64::INFINITY)?;
    Ok(power_constant(power, alpha)?.sqrt() * standard_error)
}

/// Items (or seeds) needed to find `effect` when one difference has standard deviation `sd`.
pub fn required_sample_size(effect: f64, sd: f64, power: f64, alpha: f64) -> Result<u64> {
    check_open("effect", effect.abs(), 0.0, f64::INFINITY)?;
    check_open("standard deviation", sd, -f64::MIN_POSITIVE, f64::INFINITY)?;
    Ok((power_constant(power, alpha)? * (sd / effect).powi(2)).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::assert_close;

    #[test]
    fn golden() {
        assert_close(power_constant(0.8, 0.05).unwrap(), 7.848879734349088, 1e-12);
    }

    #[test]
    fn effect_and_size_invert_each_other() {
        let n = required_sample_size(0.1, 1.0, 0.8, 0.05).unwrap();
        assert_eq!(n, 785);
        assert!(minimum_detectable_effect(1.0 / (n as f64).sqrt(), 0.8, 0.05).unwrap() <= 0.1);
        assert!(required_sample_size(0.0, 1.0, 0.8, 0.05).is_err() && power_constant(1.0, 0.05).is_err());
    }
}
