//! Distribution functions and their inverses, at full precision.
//!
//! Beta and Student's t are those of `statrs`; its error function is right to 1e-11 only, so Φ is our own. Quantiles
//! are found by bisection, because a printed digit must not depend on the tolerance of an inverse.
use statrs::distribution::{Beta, ContinuousCDF, StudentsT};

/// P(Z > z), z ≥ 0: ½ − φ(z)·Σ z^{2k+1}/(1·3·…·(2k+1)) near 0 (all terms positive, Marsaglia 2004), Laplace's
/// continued fraction φ(z)/(z + 1/(z + 2/(z + …))) in the tail.
fn normal_tail(z: f64) -> f64 {
    if z < 2.5 {
        let (mut term, mut sum, mut odd) = (z, z, 1.0);
        while term > 1e-18 * sum {
            odd += 2.0;
            term *= z * z / odd;
            sum += term;
        }
        0.5 - normal_pdf(z) * sum
    } else {
        normal_pdf(z) / (1..=num_fractions(z)).rev().fold(z, |below, k| z + k as f64 / below)
    }
}

/// Levels of Laplace's continued fraction, of which more do not change a bit: what lies below level k is multiplied by about
/// k/b², b = (z + √(z² + 4k))/2, on its way up.
fn num_fractions(z: f64) -> u32 {
    match z {
        ..3.0 => 120,
        ..4.0 => 90,
        ..6.0 => 60,
        ..10.0 => 30,
        _ => 16,
    }
}

/// Φ(z).
pub fn normal_cdf(z: f64) -> f64 {
    // What is missing is less than half of the last bit.
    if z > 8.5 {
        return 1.0;
    }
    if z < 0.0 { normal_tail(-z) } else { 1.0 - normal_tail(z) }
}

/// φ(z).
pub fn normal_pdf(z: f64) -> f64 {
    (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

/// P(|Z| ≥ |z|).
pub fn normal_two_sided(z: f64) -> f64 {
    (2.0 * normal_tail(z.abs())).min(1.0)
}

/// Φ⁻¹(p) for 0 < p < 1.
pub fn normal_quantile(p: f64) -> f64 {
    bisect(|z| normal_cdf(z) - p, -40.0, 40.0)
}

/// P(|T| ≥ |t|) with `df` > 0 degrees of freedom.
pub fn student_two_sided(t: f64, df: f64) -> f64 {
    match StudentsT::new(0.0, 1.0, df) {
        Ok(d) => (2.0 * d.sf(t.abs())).min(1.0),
        Err(_) => f64::NAN,
    }
}

/// The t with P(|T| ≥ t) = `alpha`.
pub fn student_two_sided_quantile(alpha: f64, df: f64) -> f64 {
    let mut high = 2.0;
    while student_two_sided(high, df) > alpha && high < 1e300 {
        high *= 2.0;
    }
    bisect(|t| alpha - student_two_sided(t, df), 0.0, high)
}

/// The noncentral t distribution: T = (Z + shift)/√(V/df), Z standard normal, V χ² with `df` > 0.
///
/// ```text
/// P(T ≤ t) = ∫ Φ(t·w − shift) f(w) dw,   w = √(V/df),   f(w)·w ∝ w^df exp(−df·w²/2)
/// ```
///
/// In x = ln w the integrand falls off faster than any exponential at both ends, so the trapezoid rule converges faster than
/// any power of its step; both integrals are taken on the same points, so no constant is needed. The points depend on `df`
/// alone: whoever looks for a shift or a t computes them once.
pub struct NoncentralT {
    /// w and its share of the weight.
    points: Vec<(f64, f64)>,
}

impl NoncentralT {
    pub fn new(df: f64) -> NoncentralT {
        // ln of f(w)·w against its highest value, at w = 1.
        let log_weight = |x: f64| df * (x - 0.5 * ((2.0 * x).exp() - 1.0));
        let step = (0.125 / df.sqrt()).min(1.0 / 32.0);
        let mut points = vec![(1.0, 1.0)];
        for direction in [-1.0, 1.0] {
            let at = |place: i32| {
                let x = direction * step * f64::from(place);
                (x.exp(), log_weight(x).exp())
            };
            points.extend((1..).map(at).take_while(|(_, weight)| *weight > 1e-20));
        }
        let total: f64 = points.iter().map(|(_, weight)| weight).sum();
        points.iter_mut().for_each(|(_, weight)| *weight /= total);
        NoncentralT { points }
    }

    /// P(T ≤ t).
    pub fn cdf(&self, t: f64, shift: f64) -> f64 {
        self.points.iter().map(|(w, weight)| weight * normal_cdf(t * w - shift)).sum()
    }

    /// P(|T| > t), t ≥ 0.
    pub fn beyond(&self, t: f64, shift: f64) -> f64 {
        1.0 - self.cdf(t, shift) + self.cdf(-t, shift)
    }
}

/// Quantile of Beta(a, b), a, b > 0.
pub fn beta_quantile(p: f64, a: f64, b: f64) -> f64 {
    match Beta::new(a, b) {
        Ok(d) => bisect(|x| d.cdf(x) - p, 0.0, 1.0),
        Err(_) => f64::NAN,
    }
}

/// Root of the increasing function `f` in `low..high`, to the last bit that bisection can give.
pub fn bisect(f: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    for _ in 0..2000 {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if f(middle) < 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// Root of the smooth increasing function `f` in `low..high`, to `tolerance`: for functions that are costly. Linear
/// interpolation that halves the value of an end that stays (Illinois; Dowell & Jarratt 1971).
pub fn root(f: impl Fn(f64) -> f64, mut low: f64, mut high: f64, tolerance: f64) -> f64 {
    let (mut below, mut above) = (f(low), f(high));
    let mut stayed = 0;
    for _ in 0..200 {
        if high - low <= tolerance || below == above {
            break;
        }
        let middle = (low * above - high * below) / (above - below);
        let value = f(middle);
        if value == 0.0 {
            return middle;
        } else if value < 0.0 {
            above *= if stayed == 1 { 0.5 } else { 1.0 };
            (low, below, stayed) = (middle, value, 1);
        } else {
            below *= if stayed == -1 { 0.5 } else { 1.0 };
            (high, above, stayed) = (middle, value, -1);
        }
        if value.abs() <= tolerance * 1e-3 {
            return middle;
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::assert_close;

    /// Reference values of ½·erfc(z/√2) to 16 digits; both branches, and their meeting at 2.5.
    #[test]
    fn normal_tail_to_the_last_digits() {
        for (z, want) in [
            (0.0, 0.5),
            (1.0, 0.15865525393145707),
            (2.5, 0.006209665325776132),
            (3.0, 0.0013498980316300933),
            (5.0, 2.866515718791933e-07),
            (10.0, 7.61985302416047e-24),
        ] {
            assert_close(normal_two_sided(z), 2.0 * want, 1e-13);
            assert_close(normal_cdf(-z), want, 1e-13);
        }
    }

    /// Neither the levels that are left out nor the end of the upper tail change a bit.
    #[test]
    fn the_short_fraction_is_the_long_one() {
        for step in 0..40_000 {
            let z = 2.5 + 0.001 * f64::from(step) + 1e-5 * f64::from(step % 97);
            let long = normal_pdf(z) / (1..=120).rev().fold(z, |below, k| z + f64::from(k) / below);
            assert_eq!(normal_tail(z), long, "{z}");
            assert_eq!(normal_cdf(z), 1.0 - long, "{z}");
        }
    }

    /// `scripts/make-stats-goldens.py` (SciPy).
    #[test]
    fn noncentral_t_is_scipys() {
        for (t, df, shift, want) in [
            (2.0, 2.0, 1.5, 0.566059545558622),
            (1.0, 7.0, -0.5, 0.921897797799122),
            (-1.5, 3.0, 0.7, 0.0341514742185305),
            (4.302652729911275, 2.0, 3.0, 0.612610649819822),
        ] {
            assert_close(NoncentralT::new(df).cdf(t, shift), want, 1e-11);
        }
        // Without a shift it is Student's; with many degrees of freedom a normal.
        assert_close(NoncentralT::new(4.0).cdf(2.0, 0.0), 1.0 - 0.5 * student_two_sided(2.0, 4.0), 1e-12);
        assert_close(NoncentralT::new(1e6).cdf(1.0, 0.5), normal_cdf(0.5), 1e-5);
    }

    #[test]
    fn roots_are_found_in_few_steps() {
        let calls = std::cell::Cell::new(0);
        let cube = |x: f64| {
            calls.set(calls.get() + 1);
            x * x * x - 2.0
        };
        assert_close(root(cube, 0.0, 8.0, 1e-12), 2f64.cbrt(), 1e-11);
        assert!(calls.get() < 30, "{}", calls.get());
        assert_close(root(|x| normal_cdf(x) - 0.975, -5.0, 5.0, 1e-12), 1.959963984540054, 1e-10);
    }

    #[test]
    fn quantiles_match_tables() {
        assert_close(normal_quantile(0.975), 1.959963984540054, 1e-12);
        // t with one degree of freedom is Cauchy: tan(π(0.975 − ½)).
        assert_close(student_two_sided_quantile(0.05, 1.0), (std::f64::consts::PI * 0.475).tan(), 1e-10);
        // Beta(1, b) has the closed form 1 − (1−p)^{1/b}.
        assert_close(beta_quantile(0.3, 1.0, 7.0), 1.0 - 0.7f64.powf(1.0 / 7.0), 1e-12);
    }
}
