//! The range of k standard normals, and Tukey's studentized range: the largest of k means less the smallest.
//!
//! ```text
//! P(R ≤ r) = k ∫ φ(z) (Φ(z) − Φ(z−r))^{k−1} dz
//! P(Q ≤ q) = ∫ P(R ≤ q·w) f(w) dw,   w = √(χ²_ν/ν),   f(w)·w ∝ w^ν exp(−ν·w²/2)          (as `special::NoncentralT`)
//! ```
//!
//! The integrands are smooth and fall off like φ, so the trapezoid rule converges faster than any power of its step.
use super::special::{normal_cdf, normal_pdf};

/// Step of the integral over z, and of the table; far below what double precision resolves.
const STEP: f64 = 1.0 / 32.0;
/// φ holds all but 1e-18 of its mass up to here, on either side.
const EDGE: f64 = 9.0;
/// Ranges beyond this have probability 1 to double precision, up to a thousand levels.
const MOST: f64 = 24.0;

/// k ∫ φ(z) (Φ(z) − Φ(z−r))^{k−1} dz of φ(z), Φ(z) and Φ(z−r) at every step of z.
fn integral(k: usize, terms: impl Iterator<Item = [f64; 3]>) -> f64 {
    let sum: f64 = terms.map(|[density, above, below]| density * (above - below).powi(k as i32 - 1)).sum();
    (k as f64 * STEP * sum).min(1.0)
}

/// P(range of `k` standard normals ≤ `r`).
pub fn range_cdf(r: f64, k: usize) -> f64 {
    if r <= 0.0 {
        return 0.0;
    }
    let z = |i: usize| -EDGE + i as f64 * STEP;
    let steps = (2.0 * EDGE / STEP) as usize;
    integral(k, (0..=steps).map(|i| [normal_pdf(z(i)), normal_cdf(z(i)), normal_cdf(z(i) - r)]))
}

/// [`range_cdf`] of one k, for many r.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeTable {
    /// At r = 0, STEP, 2·STEP, …
    values: Vec<f64>,
}

impl RangeTable {
    pub fn new(k: usize) -> RangeTable {
        let cells = |from: f64, to: f64| ((to - from) / STEP) as usize;
        // Φ and φ on one grid, so that Φ(z − r) is looked up.
        let low = -EDGE - MOST;
        let z = |i: usize| low + i as f64 * STEP;
        let cdf: Vec<f64> = (0..=cells(low, EDGE)).map(|i| normal_cdf(z(i))).collect();
        let first = cells(low, -EDGE);
        let pdf: Vec<f64> = (first..cdf.len()).map(|i| normal_pdf(z(i))).collect();
        let value = |j: usize| integral(k, (first..cdf.len()).map(|i| [pdf[i - first], cdf[i], cdf[i - j]]));
        RangeTable { values: (0..=cells(0.0, MOST)).map(value).collect() }
    }

    /// P(R ≤ r), between the points of the table by the polynomial through the six nearest.
    pub fn at(&self, r: f64) -> f64 {
        if r <= 0.0 {
            return 0.0;
        }
        let place = r / STEP;
        let last = self.values.len() - 1;
        if place >= last as f64 - 3.0 {
            return 1.0;
        }
        let first = (place as usize).saturating_sub(2);
        let x = place - first as f64;
        let mut sum = 0.0;
        for i in 0..6 {
            let weight =
                (0..6).filter(|j| *j != i).fold(1.0, |w, j| w * (x - j as f64) / (i as f64 - j as f64));
            sum += weight * self.values[first + i];
        }
        sum.clamp(0.0, 1.0)
    }

    /// P(Q ≤ q) of the studentized range with ν = `freedom` degrees of freedom of the error.
    pub fn studentized(&self, q: f64, freedom: f64) -> f64 {
        let log_weight = |x: f64| freedom * (x - 0.5 * ((2.0 * x).exp() - 1.0));
        let step = (0.125 / freedom.sqrt()).min(1.0 / 32.0);
        let (mut total, mut below) = (0.0, 0.0);
        let mut add = |x: f64| {
            let weight = log_weight(x).exp();
            total += weight;
            below += weight * self.at(q * x.exp());
            weight > 1e-18
        };
        add(0.0);
        for direction in [-1.0, 1.0] {
            let mut place = 1.0;
            while add(direction * place * step) {
                place += 1.0;
            }
        }
        below / total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::assert_close;

    /// `scripts/golden-grid.py` (scipy.stats.studentized_range).
    #[test]
    fn the_studentized_range_is_scipys() {
        for (q, k, df, want) in [
            (3.5, 3, 6.0, 0.8946003744752877),
            (4.0, 14, 52.0, 0.7572301244426018),
            (2.0, 4, 2.0, 0.4045528266280811),
            (9.0, 5, 3.0, 0.9695600281961183),
            (3.3, 3, 2000.0, 0.9484658605098523),
        ] {
            assert_close(RangeTable::new(k).studentized(q, df), want, 1e-8);
        }
    }

    /// Probabilities, so the error that counts is absolute: at 0.013 both are about 1.6e-9.
    #[test]
    fn the_table_is_the_integral() {
        let table = RangeTable::new(5);
        for r in [0.013, 1.0, 2.77, 5.3] {
            assert!((table.at(r) - range_cdf(r, 5)).abs() <= 1e-9, "{r}");
        }
        assert_eq!((range_cdf(0.0, 5), table.at(-1.0), table.at(30.0)), (0.0, 0.0, 1.0));
    }
}
