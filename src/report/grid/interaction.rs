//! Whether what one axis does depends on the value of another.
//!
//! ```text
//! tetrad of levels a, a₀ of A and b, b₀ of B:     (x_ab − x_ab₀) − (x_a₀b − x_a₀b₀)
//! ```
//!
//! Zero where the two axes add up. The (k − 1)(l − 1) tetrads against the first level of each axis span every interaction;
//! they are corrected together (Holm 1979).
use super::contrast::{Estimate, Weights};
use super::factor::Factor;
use super::{ALPHA, Grid};
use crate::questions::POINT;
use crate::stats::multiplicity::holm;
use rayon::prelude::*;

/// One tetrad.
#[derive(Clone, Debug, PartialEq)]
pub struct Tetrad {
    /// Levels a of the first and b of the second factor; each is held against the first level.
    pub levels: [usize; 2],
    pub weights: Weights,
    pub estimate: Estimate,
    /// Corrected over the tetrads of the interaction, or over a declared family.
    pub p_holm: Option<f64>,
}

/// The interaction of two factors of one arm.
#[derive(Clone, Debug, PartialEq)]
pub struct Interaction {
    pub factors: [Factor; 2],
    /// The largest first.
    pub tetrads: Vec<Tetrad>,
    /// Whether it was asked before there were results.
    pub declared: bool,
    /// Tests that its tetrads are corrected for.
    pub tests: usize,
}

/// Of one table: for each level of the second factor, the cells of every level of the first.
type Columns<'a> = Vec<Option<&'a Vec<usize>>>;

/// `None` where the two have no complete table of cells, or nothing was measured.
pub fn interaction(grid: &Grid, a: &Factor, b: &Factor) -> Option<Interaction> {
    if a.moving.contains(&b.name) || b.moving.contains(&a.name) {
        return None;
    }
    let [rows, cols] = [a.levels.len(), b.levels.len()];
    // Tables of all levels of both, one for each setting of the remaining axes: rows of a block of A share the level of B. An axis
    // that moves with one of the two is no other setting.
    let axes = &grid.results.axes;
    let is_held = |i: usize| {
        i != a.axis
            && i != b.axis
            && axes[i] != POINT
            && !a.moving.contains(&axes[i])
            && !b.moving.contains(&axes[i])
    };
    let key = |group: usize| -> Vec<&str> {
        let point = grid.groups[group].point.iter().enumerate();
        point.filter(|(i, _)| is_held(*i)).map(|(_, value)| value.as_str()).collect()
    };
    let level_of_b =
        |group: usize| b.levels.iter().position(|level| *level == grid.groups[group].point[b.axis]);
    let mut tables: Vec<(Vec<&str>, Columns)> = Vec::new();
    for block in &a.blocks {
        let (rest, level) = (key(block[0]), level_of_b(block[0])?);
        match tables.iter_mut().find(|(key, _)| *key == rest) {
            Some((_, columns)) => columns[level] = Some(block),
            None => {
                let mut columns = vec![None; cols];
                columns[level] = Some(block);
                tables.push((rest, columns));
            }
        }
    }
    let tables: Vec<Vec<&Vec<usize>>> =
        tables.into_iter().filter_map(|(_, columns)| columns.into_iter().collect()).collect();
    if tables.is_empty() {
        return None;
    }
    let share = 1.0 / tables.len() as f64;
    let weights = |row: usize, col: usize| -> Vec<(usize, f64)> {
        let of = |table: &Vec<&Vec<usize>>| {
            [(col, row, share), (0, row, -share), (col, 0, -share), (0, 0, share)]
                .map(|(c, r, w)| (table[c][r], w))
        };
        tables.iter().flat_map(of).collect()
    };
    let all: Vec<[usize; 2]> = (1..rows).flat_map(|row| (1..cols).map(move |col| [row, col])).collect();
    let mut tetrads: Vec<Tetrad> = all
        .into_par_iter()
        .map(|levels| {
            let weights = weights(levels[0], levels[1]);
            Tetrad { levels, estimate: grid.estimate(&weights), weights, p_holm: None }
        })
        .filter(|tetrad| tetrad.estimate.value.is_some())
        .collect();
    let measured: Vec<usize> = (0..tetrads.len()).filter(|i| tetrads[*i].estimate.p.is_some()).collect();
    let p: Vec<f64> = measured.iter().filter_map(|i| tetrads[*i].estimate.p).collect();
    for (i, adjusted) in measured.iter().zip(holm(&p).unwrap_or_default()) {
        tetrads[*i].p_holm = Some(adjusted);
    }
    let size = |tetrad: &Tetrad| tetrad.estimate.value.map_or(0.0, f64::abs);
    tetrads.sort_by(|x, y| size(y).total_cmp(&size(x)));
    let tests = measured.len();
    let factors = [a.clone(), b.clone()];
    (!tetrads.is_empty()).then_some(Interaction { factors, tetrads, declared: false, tests })
}

impl Interaction {
    /// Names of the two axes.
    pub fn axes(&self) -> [&str; 2] {
        [&self.factors[0].name, &self.factors[1].name]
    }

    /// The largest tetrad that holds after correction, where one does.
    pub fn found(&self) -> Option<&Tetrad> {
        self.tetrads.iter().find(|t| t.p_holm.is_some_and(|p| p < ALPHA))
    }

    /// The names of a tetrad's levels and of those that they are held against.
    pub fn names(&self, tetrad: &Tetrad) -> [[&str; 2]; 2] {
        let [a, b] = &self.factors;
        let [row, col] = tetrad.levels;
        [[&a.levels[row], &a.levels[0]], [&b.levels[col], &b.levels[0]]]
    }
}
