//! p-values adjusted for several comparisons at once; the order of the input is kept.
//!
//! ```text
//! Holm (family-wise error):          p̃₍ᵢ₎ = max_{j≤i} min(1, (m−j+1)·p₍ⱼ₎)
//! Benjamini-Hochberg (false discovery): p̃₍ᵢ₎ = min_{j≥i} min(1, m·p₍ⱼ₎/j)
//! ```
use super::{Result, StatsError};

fn sorted_indices(p: &[f64]) -> Result<Vec<usize>> {
    for &value in p {
        if !(0.0..=1.0).contains(&value) {
            return Err(StatsError::OutOfRange { what: "p-value", value, low: 0.0, high: 1.0 });
        }
    }
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    Ok(order)
}

/// Holm's step-down adjustment.
pub fn holm(p: &[f64]) -> Result<Vec<f64>> {
    let order = sorted_indices(p)?;
    let mut adjusted = vec![0.0; p.len()];
    let mut largest = 0f64;
    for (j, &i) in order.iter().enumerate() {
        largest = largest.max(((p.len() - j) as f64 * p[i]).min(1.0));
        adjusted[i] = largest;
    }
    Ok(adjusted)
}

/// Benjamini and Hochberg's step-up adjustment.
pub fn benjamini_hochberg(p: &[f64]) -> Result<Vec<f64>> {
    let order = sorted_indices(p)?;
    let mut adjusted = vec![0.0; p.len()];
    let mut smallest = 1f64;
    for (j, &i) in order.iter().enumerate().rev() {
        smallest = smallest.min(p.len() as f64 * p[i] / (j + 1) as f64);
        adjusted[i] = smallest;
    }
    Ok(adjusted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::assert_close;

    const P: [f64; 5] = [0.001, 0.012, 0.02, 0.031, 0.2];

    #[test]
    fn golden() {
        for (got, want) in holm(&P).unwrap().iter().zip([0.005, 0.048, 0.06, 0.062, 0.2]) {
            assert_close(*got, want, 1e-12);
        }
        let bh = benjamini_hochberg(&P).unwrap();
        for (got, want) in bh.iter().zip([0.005, 0.03, 0.0333333333, 0.03875, 0.2]) {
            assert_close(*got, want, 2e-9);
        }
    }

    #[test]
    fn order_is_kept() {
        let shuffled = [0.2, 0.001, 0.031, 0.012, 0.02];
        assert_close(holm(&shuffled).unwrap()[3], 0.048, 1e-12);
        assert_eq!(holm(&[]).unwrap(), Vec::<f64>::new());
        assert!(holm(&[1.2]).is_err() && benjamini_hochberg(&[f64::NAN]).is_err());
    }
}
