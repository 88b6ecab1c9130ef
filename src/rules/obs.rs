//! Optimal Brain Surgeon within one linear layer (Hassibi & Stork 1993; OBC, Frantar & Alistarh 2022,
//! arXiv:2208.11580), by column sets as in ZipLM (Kurtic et al. 2023, arXiv:2302.04089). Method §3.
//!
//! ```text
//! minimise ‖WX − W′X‖²_F  with W′_:S = 0,  G = X Xᵀ:
//!   ε_S = tr(W_S (G⁻¹_SS)⁻¹ W_Sᵀ)          error
//!   W′  = W − W_S (G⁻¹_SS)⁻¹ G⁻¹_S:        update
//! ```
//!
//! W (d_out × n), X (n × N), G (n × n); S is a set of input columns. G is damped by λ·mean(diag G), the mean over G as
//! given; a dead column (`G_jj = 0`) gets `G_jj = 1` and `W_:j = 0`. Only the columns of G⁻¹ that S needs are
//! solved for, by a Cholesky factor that linears with the same input share. Host mathematics in f64.
use nalgebra::{Cholesky, DMatrix, Dyn};

/// G is not numerically positive definite, or holds a value that is no finite number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("G is not positive definite")]
pub struct NotPositiveDefinite;

/// The Cholesky factor of a damped G.
pub struct FactoredGram {
    cholesky: Cholesky<f64, Dyn>,
    dead: Vec<usize>,
    damping: f64,
}

/// How many times damping is raised tenfold before G is given up.
const RETRIES: i32 = 4;

impl FactoredGram {
    /// As [`FactoredGram::new`], with ten times the damping, and so on, where it is not enough. No damping is not raised: it
    /// was asked for.
    ///
    /// # Errors
    /// [`NotPositiveDefinite`] with the most of it, too.
    pub fn damped(gram: &DMatrix<f64>, damping: f64) -> Result<Self, NotPositiveDefinite> {
        let tries = if damping > 0.0 { RETRIES } else { 0 };
        let mut attempts = (0..=tries).map(|i| Self::new(gram, damping * 10f64.powi(i)));
        attempts.find_map(Result::ok).ok_or(NotPositiveDefinite)
    }

    /// λ as used.
    pub fn damping(&self) -> f64 {
        self.damping
    }

    /// The inverse of the damped G.
    pub fn inverse(&self) -> DMatrix<f64> {
        self.cholesky.inverse()
    }

    /// Damps and factors `gram` (n × n, symmetric). n³/3 FLOPs.
    ///
    /// # Errors
    /// [`NotPositiveDefinite`] where a pivot is not above rounding error (relative n·ε), as with fewer tokens than
    /// inputs and no damping.
    pub fn new(gram: &DMatrix<f64>, damping: f64) -> Result<Self, NotPositiveDefinite> {
        let n = gram.nrows();
        if gram.iter().any(|value| !value.is_finite()) {
            return Err(NotPositiveDefinite);
        }
        let dead: Vec<usize> = (0..n).filter(|&j| gram[(j, j)] == 0.0).collect();
        let ridge = damping * gram.diagonal().sum() / n.max(1) as f64;
        let mut damped = gram.clone();
        dead.iter().for_each(|&j| damped[(j, j)] = 1.0);
        (0..n).for_each(|j| damped[(j, j)] += ridge);
        let diagonal = damped.diagonal();
        let cholesky = damped.cholesky().ok_or(NotPositiveDefinite)?;
        let tiny = n as f64 * f64::EPSILON;
        let factor = cholesky.l_dirty();
        if (0..n).any(|j| factor[(j, j)].powi(2) <= tiny * diagonal[j]) {
            return Err(NotPositiveDefinite);
        }
        Ok(FactoredGram { cholesky, dead, damping })
    }

    /// ε_S of removing the `columns` S of `weight` with the best update of the rest, in units of Σ over tokens of
    /// squared output.
    ///
    /// # Errors
    /// [`NotPositiveDefinite`] where G⁻¹_SS is numerically singular.
    pub fn error(&self, weight: &DMatrix<f64>, columns: &[usize]) -> Result<f64, NotPositiveDefinite> {
        let (_, inverse) = self.inverse_columns(columns)?;
        let pruned = self.pruned(weight, columns);
        Ok(inverse.solve(&pruned.transpose()).dot(&pruned.transpose()))
    }

    /// Removes the `columns` S of `weight` (they become zero) and updates the rest; returns ε_S.
    ///
    /// # Errors
    /// As [`FactoredGram::error`]; `weight` is then unchanged.
    pub fn eliminate(
        &self,
        weight: &mut DMatrix<f64>,
        columns: &[usize],
    ) -> Result<f64, NotPositiveDefinite> {
        let (solved, inverse) = self.inverse_columns(columns)?;
        let pruned = self.pruned(weight, columns);
        let multipliers = inverse.solve(&pruned.transpose());
        let error = multipliers.dot(&pruned.transpose());
        // W − W_S (G⁻¹_SS)⁻¹ G⁻¹_S:, transposed: multipliers are |S| × d_out, solved is n × |S|.
        weight.gemm(-1.0, &multipliers.transpose(), &solved.transpose(), 1.0);
        for &j in columns.iter().chain(&self.dead) {
            weight.column_mut(j).fill(0.0);
        }
        Ok(error)
    }

    /// G⁻¹_:S (n × |S|) and the factor of G⁻¹_SS.
    fn inverse_columns(
        &self,
        columns: &[usize],
    ) -> Result<(DMatrix<f64>, Cholesky<f64, Dyn>), NotPositiveDefinite> {
        let n = self.cholesky.l_dirty().nrows();
        let mut solved = DMatrix::zeros(n, columns.len());
        for (at, &j) in columns.iter().enumerate() {
            solved[(j, at)] = 1.0;
        }
        self.cholesky.solve_mut(&mut solved);
        let block = solved.select_rows(columns);
        let inverse = block.cholesky().ok_or(NotPositiveDefinite)?;
        Ok((solved, inverse))
    }

    /// W_S, dead columns as zero.
    fn pruned(&self, weight: &DMatrix<f64>, columns: &[usize]) -> DMatrix<f64> {
        let mut pruned = weight.select_columns(columns);
        for (at, j) in columns.iter().enumerate() {
            if self.dead.binary_search(j).is_ok() {
                pruned.column_mut(at).fill(0.0);
            }
        }
        pruned
    }
}

/// The inverse of the part of G that `kept` names, from the inverse of G: G⁻¹_KK − G⁻¹_KS (G⁻¹_SS)⁻¹ G⁻¹_SK, S the rest.
/// `None` where G⁻¹_SS is numerically singular.
pub fn eliminated_from_inverse(inverse: &DMatrix<f64>, kept: &[usize]) -> Option<DMatrix<f64>> {
    let gone: Vec<usize> = (0..inverse.nrows()).filter(|i| kept.binary_search(i).is_err()).collect();
    let block = |rows: &[usize], columns: &[usize]| inverse.select_rows(rows).select_columns(columns);
    let solved = block(&gone, &gone).cholesky()?.solve(&block(&gone, kept));
    Some(block(kept, kept) - block(kept, &gone) * solved)
}

/// FLOPs of the inverse of an n × n matrix by its Cholesky factor: n³/3, and 2n³/3 for the inverse.
pub fn inverse_flops(n: u64) -> u64 {
    n.pow(3)
}

/// FLOPs of [`eliminated_from_inverse`] with `kept` columns left and `gone` not: s³/3 for the factor of G⁻¹_SS, 2s²k and 2k²s for
/// the products.
pub fn eliminated_flops([kept, gone]: [u64; 2]) -> u64 {
    gone.pow(3) / 3 + 2 * gone * gone * kept + 2 * kept * kept * gone
}

/// FLOPs of [`error_by_inverse`] for `columns` columns of a linear layer of `outputs` rows: s³/3 for the factor, 2s²·d_out for the
/// solution, 2s·d_out for the trace.
pub fn error_flops([columns, outputs]: [u64; 2]) -> u64 {
    columns.pow(3) / 3 + 2 * (columns + 1) * columns * outputs
}

/// ε_S of columns S with weights `pruned` (W_S), by the block G⁻¹_SS of the inverse: tr(W_S (G⁻¹_SS)⁻¹ W_Sᵀ). NaN where the block
/// is numerically singular.
pub fn error_by_inverse(block: DMatrix<f64>, pruned: &DMatrix<f64>) -> f64 {
    let transposed = pruned.transpose();
    block.cholesky().map_or(f64::NAN, |block| block.solve(&transposed).dot(&transposed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::stream;
    use rand::RngExt;

    /// atol + rtol·|ref|, both 1e-10: f64 with well-conditioned G of at most 8 columns.
    fn assert_close(found: f64, expected: f64) {
        assert!((found - expected).abs() <= 1e-10 + 1e-10 * expected.abs(), "{found} is not {expected}");
    }

    fn assert_all_close(found: &DMatrix<f64>, expected: &DMatrix<f64>) {
        assert_eq!(found.shape(), expected.shape());
        found.iter().zip(expected.iter()).for_each(|(a, b)| assert_close(*a, *b));
    }

    fn random(rows: usize, cols: usize, name: &str) -> DMatrix<f64> {
        let mut generator = stream(5, name);
        DMatrix::from_fn(rows, cols, |_, _| generator.random::<f64>() - 0.5)
    }

    #[test]
    fn golden_fractions() {
        let weight = DMatrix::from_row_slice(2, 3, &[1.0, 2.0, -1.0, 0.0, 1.0, 3.0]);
        let inputs = DMatrix::from_row_slice(3, 4, &[1., 0., 1., 2., 0., 1., 1., 0., 1., 1., 0., 1.]);
        let gram = &inputs * inputs.transpose();
        assert_eq!(gram, DMatrix::from_row_slice(3, 3, &[6., 1., 3., 1., 2., 1., 3., 1., 3.]));
        let factored = FactoredGram::new(&gram, 0.0).unwrap();
        let expected: [(&[usize], f64, [f64; 6]); 4] = [
            (&[0], 3.0, [0.0, 2.0, 0.0, 0.0, 1.0, 3.0]),
            (&[1], 25.0 / 3.0, [1.0, 0.0, -1.0 / 3.0, 0.0, 0.0, 10.0 / 3.0]),
            (&[2], 150.0 / 11.0, [6.0 / 11.0, 19.0 / 11.0, 0.0, 15.0 / 11.0, 20.0 / 11.0, 0.0]),
            (&[0, 2], 51.0 / 2.0, [0.0, 2.0, 0.0, 0.0, 5.0 / 2.0, 0.0]),
        ];
        for (columns, error, rows) in expected {
            assert_close(factored.error(&weight, columns).unwrap(), error);
            let block = factored.inverse().select_rows(columns).select_columns(columns);
            assert_close(error_by_inverse(block, &weight.select_columns(columns)), error);
            let mut updated = weight.clone();
            assert_close(factored.eliminate(&mut updated, columns).unwrap(), error);
            assert_all_close(&updated, &DMatrix::from_row_slice(2, 3, &rows));
            assert!(columns.iter().all(|&j| updated.column(j).iter().all(|w| *w == 0.0)));
        }
    }

    #[test]
    fn error_is_the_output_error_and_that_of_restricted_least_squares() {
        let (weight, inputs) = (random(4, 7, "w"), random(7, 40, "x"));
        let factored = FactoredGram::new(&(&inputs * inputs.transpose()), 0.0).unwrap();
        for columns in [vec![3], vec![0, 6], vec![1, 2, 5]] {
            let mut updated = weight.clone();
            let error = factored.eliminate(&mut updated, &columns).unwrap();
            assert_close(((&weight - &updated) * &inputs).norm_squared(), error);
            // Independent route: W′_K minimises ‖WX − W′_K X_K‖², an SVD solve of X_Kᵀ W′_Kᵀ = (WX)ᵀ.
            let kept: Vec<usize> = (0..7).filter(|j| !columns.contains(j)).collect();
            let design = inputs.select_rows(&kept).transpose();
            let solution = design.svd(true, true).solve(&(&weight * &inputs).transpose(), 1e-12).unwrap();
            assert_all_close(&updated.select_columns(&kept), &solution.transpose());
        }
    }

    #[test]
    fn one_by_one_in_any_order_is_the_block() {
        let (weight, inputs) = (random(3, 6, "w2"), random(6, 30, "x2"));
        let gram = &inputs * inputs.transpose();
        let mut block = weight.clone();
        let error = FactoredGram::new(&gram, 0.0).unwrap().eliminate(&mut block, &[1, 2, 4]).unwrap();
        for order in [[1, 2, 4], [4, 1, 2], [2, 4, 1]] {
            // The inverse of G without column j is G⁻¹ − G⁻¹_:j G⁻¹_j:/[G⁻¹]_jj: deleting from G is eliminating.
            let (mut left, mut w, mut sum): (Vec<usize>, _, _) = ((0..6).collect(), weight.clone(), 0.0);
            for j in order {
                let at = left.iter().position(|&i| i == j).unwrap();
                let remaining = gram.select_rows(&left).select_columns(&left);
                sum += FactoredGram::new(&remaining, 0.0).unwrap().eliminate(&mut w, &[at]).unwrap();
                w = w.remove_column(at);
                left.remove(at);
            }
            assert_close(sum, error);
            assert_all_close(&w, &block.select_columns(&left));
        }
    }

    #[test]
    fn damping_is_raised_until_it_is_enough_and_told() {
        // Eigenvalues 3 and −1: λ·mean(diag) = λ must exceed 1.
        let indefinite = DMatrix::from_row_slice(2, 2, &[1.0, 2.0, 2.0, 1.0]);
        assert_eq!(FactoredGram::damped(&indefinite, 0.02).unwrap().damping(), 2.0);
        assert!(FactoredGram::damped(&indefinite, 0.0).is_err());
        assert!(FactoredGram::damped(&indefinite, 1e-9).is_err());
    }

    #[test]
    fn damping_is_relative_to_the_mean_diagonal() {
        let gram = DMatrix::from_row_slice(2, 2, &[3.0, 1.0, 1.0, 1.0]);
        // λ = 1/2, mean diagonal 2: G + I = [[4, 1], [1, 2]]; ε₀ = w₀²/[G⁻¹]₀₀ = 4·7/2.
        let damped = FactoredGram::new(&gram, 0.5).unwrap();
        let mut weight = DMatrix::from_row_slice(1, 2, &[2.0, 0.0]);
        assert_close(damped.eliminate(&mut weight, &[0]).unwrap(), 14.0);
        // w₁ − w₀·[G⁻¹]₀₁/[G⁻¹]₀₀ = 0 + 2·(1/7)/(2/7) = 1.
        assert_all_close(&weight, &DMatrix::from_row_slice(1, 2, &[0.0, 1.0]));
    }

    #[test]
    fn dead_columns_become_zero_and_cost_nothing() {
        let gram = DMatrix::from_row_slice(3, 3, &[2.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 2.0]);
        let factored = FactoredGram::new(&gram, 0.0).unwrap();
        let mut weight = DMatrix::from_row_slice(1, 3, &[1.0, 9.0, 1.0]);
        assert_close(factored.error(&weight, &[1]).unwrap(), 0.0);
        // ε₀ = 1/[G⁻¹]₀₀ = 3/2; w₂ ← 1 + 1/2, and the dead column is cleared on the way.
        assert_close(factored.eliminate(&mut weight, &[0]).unwrap(), 1.5);
        assert_all_close(&weight, &DMatrix::from_row_slice(1, 3, &[0.0, 0.0, 1.5]));
    }

    #[test]
    fn a_singular_or_broken_gram_is_refused_and_damping_heals_the_singular_one() {
        // One token, three inputs: rank one.
        let token = DMatrix::from_row_slice(3, 1, &[1.0, 2.0, 0.3]);
        let gram = &token * token.transpose();
        assert!(FactoredGram::new(&gram, 0.0).is_err());
        assert!(FactoredGram::new(&gram, 0.01).is_ok());
        let indefinite = DMatrix::from_row_slice(2, 2, &[1.0, 2.0, 2.0, 1.0]);
        assert!(FactoredGram::new(&indefinite, 0.0).is_err());
        assert!(FactoredGram::new(&DMatrix::from_element(2, 2, f64::NAN), 0.01).is_err());
    }
}
