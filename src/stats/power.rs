//! How small a difference can be seen, and how many items or seeds it takes.
//!
//! ```text
//! by z:  (z_{1−α/2} + z_power)² = n·δ²/σ²   ⇒   δ = (z_{1−α/2} + z_power)·SE,   n = constant·σ²/δ²
//! by t:  power(δ) = P(|T| > t_{1−α/2, df}),  T noncentral t with df degrees of freedom and shift δ/SE
//! ```
//!
//! With the few degrees of freedom of three seeds z promises far too much: what z calls 80 % of power is 35 % by t. What is told
//! to people is by t, at the level that is left after correction for the number of comparisons.
use super::special::{NoncentralT, normal_quantile, root, student_two_sided_quantile};
use super::{Result, StatsError, check_open};

/// Probability that a two-sided t test at `alpha` with `df` degrees of freedom finds a true difference of `effect`, measured
/// with standard error `standard_error`.
pub fn power_by_t(effect: f64, standard_error: f64, df: f64, alpha: f64) -> Result<f64> {
    check_open("significance level", alpha, 0.0, 1.0)?;
    check_open("standard error", standard_error, 0.0, f64::INFINITY)?;
    check_open("degrees of freedom", df, 0.0, f64::INFINITY)?;
    let (t, shift) = (student_two_sided_quantile(alpha, df), effect.abs() / standard_error);
    Ok(NoncentralT::new(df).beyond(t, shift))
}

/// Smallest true difference that a two-sided t test at `alpha` with `df` degrees of freedom and standard error
/// `standard_error` finds with probability `power`.
///
/// # Errors
/// A power that is none, or at most `alpha`.
pub fn minimum_detectable_effect_by_t(standard_error: f64, df: f64, power: f64, alpha: f64) -> Result<f64> {
    check_open("power", power, alpha, 1.0)?;
    check_open("degrees of freedom", df, 0.0, f64::INFINITY)?;
    check_open("significance level", alpha, 0.0, 1.0)?;
    let critical = student_two_sided_quantile(alpha, df);
    minimum_detectable_effect_beyond(critical, standard_error, df, power)
}

/// The same of a test that finds what is more than `critical` standard errors from 0.
///
/// # Errors
/// A power that is none; one that is had without any difference.
pub fn minimum_detectable_effect_beyond(
    critical: f64,
    standard_error: f64,
    df: f64,
    power: f64,
) -> Result<f64> {
    check_open("power", power, 0.0, 1.0)?;
    check_open("critical value", critical, 0.0, f64::INFINITY)?;
    check_open("standard error", standard_error, -f64::MIN_POSITIVE, f64::INFINITY)?;
    check_open("degrees of freedom", df, 0.0, f64::INFINITY)?;
    let distribution = NoncentralT::new(df);
    let found = |shift: f64| distribution.beyond(critical, shift);
    check_open("power", power, found(0.0), 1.0)?;
    let (mut low, mut high) = (0.0, 1.0);
    while found(high) < power {
        (low, high) = (high, 2.0 * high);
        // Corrected levels of one degree of freedom have quantiles of many thousands.
        check_open("effect in standard errors", high, 0.0, 1e9)?;
    }
    // Each value is an integral: some ten of them, instead of the fifty of a bisection.
    Ok(root(|shift| found(shift) - power, low, high, 1e-12) * standard_error)
}

/// Fewest seeds, at least two, with which a paired t test at `alpha` finds `effect` with probability `power`, when the
/// difference of one seed has variance `seed_variance` and the items bring `item_variance` however many seeds there are;
/// `None` where not even `most` seeds suffice.
///
/// The items' part has more degrees of freedom than the seeds': taking S − 1 for both asks for a seed too many at worst.
pub fn seeds_needed(
    effect: f64,
    seed_variance: f64,
    item_variance: f64,
    power: f64,
    alpha: f64,
    most: u64,
) -> Result<Option<u64>> {
    check_open("effect", effect.abs(), 0.0, f64::INFINITY)?;
    check_open("power", power, 0.0, 1.0)?;
    for variance in [seed_variance, item_variance] {
        check_open("variance", variance, -f64::MIN_POSITIVE, f64::INFINITY)?;
    }
    if seed_variance + item_variance == 0.0 {
        return Err(StatsError::NoVariance { what: "seeds needed" });
    }
    let enough = |seeds: u64| -> Result<bool> {
        let error = (seed_variance / seeds as f64 + item_variance).sqrt();
        Ok(power_by_t(effect, error, (seeds - 1) as f64, alpha)? >= power)
    };
    // By z it takes fewer than by t: none where not even that suffices, and the search begins there. Power grows with seeds.
    let by_z = seed_variance / (effect * effect / power_constant(power, alpha)? - item_variance);
    if !(by_z >= 0.0 && by_z <= most as f64) {
        return Ok(None);
    }
    let mut low = (by_z.floor() as u64).saturating_sub(2).max(1);
    let mut high = (low + 4).min(most.max(2));
    while !enough(high)? {
        if high >= most {
            return Ok(None);
        }
        (low, high) = (high, (2 * high).min(most));
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if enough(middle)? { high = middle } else { low = middle }
    }
    Ok(Some(high))
}

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

    /// `scripts/make-stats-goldens.py` (statsmodels): in standard errors, so times √n of its standard deviations.
    #[test]
    fn by_t_as_statsmodels() {
        for (n, power, alpha, want) in [
            (3.0, 0.8, 0.05, 5.65348927160124),
            (5.0, 0.8, 0.05, 3.7610598162672),
            (5.0, 0.8, 0.01, 5.87856476239984),
            (8.0, 0.9, 0.05, 3.79519016437024),
        ] {
            let found = minimum_detectable_effect_by_t(1.0, n - 1.0, power, alpha).unwrap();
            assert_close(found, want, 1e-6);
            assert_close(power_by_t(found, 1.0, n - 1.0, alpha).unwrap(), power, 1e-9);
        }
        for (effect, power, alpha, want) in [(1.0, 0.8, 0.05, 10), (0.5, 0.8, 0.05, 34), (2.0, 0.9, 0.01, 8)]
        {
            assert_eq!(seeds_needed(effect, 1.0, 0.0, power, alpha, 1000).unwrap(), Some(want));
        }
    }

    /// Wherever the search begins, it ends at the first that is enough.
    #[test]
    fn seeds_needed_are_the_fewest() {
        for (effect, of_seed, of_items, alpha) in [
            (1.0, 0.04, 0.01, 0.05),
            (1.0, 1.0, 0.05, 0.01),
            (1.0, 2.0, 0.11, 0.05),
            (3.0, 0.0, 0.2, 0.05),
            (1.0, 1.0, 0.2, 0.05),
        ] {
            let enough = |seeds: &u64| {
                let error = (of_seed / *seeds as f64 + of_items).sqrt();
                power_by_t(effect, error, (*seeds - 1) as f64, alpha).unwrap() >= 0.8
            };
            let want = (2..=200).find(enough);
            assert_eq!(seeds_needed(effect, of_seed, of_items, 0.8, alpha, 200).unwrap(), want);
        }
    }

    /// What z calls 80 % of power is 35 % with three seeds.
    #[test]
    fn z_promises_too_much() {
        let by_z = minimum_detectable_effect(1.0, 0.8, 0.05).unwrap();
        let power = power_by_t(by_z, 1.0, 2.0, 0.05).unwrap();
        assert!((0.30..0.40).contains(&power), "{power}");
    }

    #[test]
    fn what_items_hide_no_number_of_seeds_shows() {
        assert_eq!(seeds_needed(1.0, 1.0, 1.0, 0.8, 0.05, 1000).unwrap(), None);
        assert!(seeds_needed(1.0, 1.0, 0.05, 0.8, 0.05, 1000).unwrap().unwrap() > 10);
        assert!(seeds_needed(0.0, 1.0, 0.0, 0.8, 0.05, 10).is_err());
        assert!(seeds_needed(1.0, 0.0, 0.0, 0.8, 0.05, 10).is_err());
        assert!(minimum_detectable_effect_by_t(1.0, 2.0, 0.01, 0.05).is_err());
    }

    #[test]
    fn effect_and_size_invert_each_other() {
        let n = required_sample_size(0.1, 1.0, 0.8, 0.05).unwrap();
        assert_eq!(n, 785);
        assert!(minimum_detectable_effect(1.0 / (n as f64).sqrt(), 0.8, 0.05).unwrap() <= 0.1);
        assert!(required_sample_size(0.0, 1.0, 0.8, 0.05).is_err() && power_constant(1.0, 0.05).is_err());
    }
}
