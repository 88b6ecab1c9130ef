//! Interaction contrast of a 2 × 2 design, such as saliency Hessian × update Hessian.
//!
//! ```text
//!                update 0   update 1
//! saliency 0      y00        y01
//! saliency 1      y10        y11          contrast = (y11 − y10) − (y01 − y00)
//! ```
//!
//! Zero where the two choices add up; positive where together they do better than the sum of their parts.
use super::paired::{PairedT, paired_t};
use super::{Result, check, check_lengths};

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
}
