//! McNemar's test: do two arms differ in how many items they get right, given the same items?
//!
//! Only discordant items count: `b` that the first arm alone has right, `c` the second alone. Under the null each
//! is one or the other with probability ½.
//!
//! ```text
//! exact   2·P(Bin(b+c, ½) ≤ min(b,c)), at most 1      mid-p   exact − P(Bin = min(b,c))
//! χ²      (b−c)²/(b+c)                                with Edwards' correction (|b−c|−1)²/(b+c)
//! ```
use super::special::normal_two_sided;

/// All four forms of the test; p-values are two-sided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct McNemar {
    pub exact: f64,
    pub mid_p: f64,
    pub chi2: f64,
    pub p: f64,
    pub chi2_corrected: f64,
    pub p_corrected: f64,
}

/// McNemar's test of `b` against `c` discordant items; no discordant item at all means p = 1.
pub fn mcnemar(b: u64, c: u64) -> McNemar {
    let n = b + c;
    if n == 0 {
        return McNemar { exact: 1.0, mid_p: 1.0, chi2: 0.0, p: 1.0, chi2_corrected: 0.0, p_corrected: 1.0 };
    }
    let k = b.min(c);
    let mass =
        |j: u64| (statrs::function::factorial::ln_binomial(n, j) - n as f64 * std::f64::consts::LN_2).exp();
    let tail: f64 = (0..=k).map(mass).sum();
    let exact = (2.0 * tail).min(1.0);
    // At b = c the two tails overlap in the middle term, which 2·tail counts twice; mid-p is then 1.
    let mid_p = if b == c { 1.0 } else { (2.0 * tail - mass(k)).min(1.0) };
    let gap = b.abs_diff(c) as f64;
    let chi2 = gap * gap / n as f64;
    let corrected = (gap - 1.0).max(0.0).powi(2) / n as f64;
    McNemar {
        exact,
        mid_p,
        chi2,
        p: normal_two_sided(chi2.sqrt()),
        chi2_corrected: corrected,
        p_corrected: normal_two_sided(corrected.sqrt()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::assert_close;

    #[test]
    fn golden() {
        let m = mcnemar(12, 30);
        assert_close(m.exact, 0.007915897334896727, 1e-12);
        assert_close(m.chi2_corrected, 6.880952380952381, 1e-12);
        assert_close(m.p_corrected, 0.008711912962379598, 1e-12);
        assert_close(m.p, 0.00547855324254737, 1e-12);
        assert_close(m.mid_p, 0.0054015726545912895, 1e-12);
        assert_eq!(mcnemar(30, 12), m);
    }

    #[test]
    fn no_evidence_is_one() {
        for m in [mcnemar(0, 0), mcnemar(5, 5)] {
            assert_eq!((m.exact, m.mid_p, m.p), (1.0, 1.0, 1.0));
        }
        // 0 against 1: both tails are everything.
        assert_eq!(mcnemar(0, 1).exact, 1.0);
    }
}
