//! The axes of an arm as factors, and the cells that a balanced comparison of their levels may use.
use crate::questions::POINT;
use crate::report::groups::Group;
use std::collections::BTreeMap;

/// An axis that takes at least two values in the cells of one arm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Factor {
    pub arm: String,
    /// Place of the axis in [`Group::point`].
    pub axis: usize,
    /// Name of the axis.
    pub name: String,
    /// Axes whose values move with its own; none of a named point, which is all of its keys.
    pub moving: Vec<String>,
    /// Its values, in the order of the plan.
    pub levels: Vec<String>,
    /// Settings of the other axes at which every level has a finished run: for each, the group of every level.
    pub blocks: Vec<Vec<usize>>,
    /// Settings of the other axes at which some level has none; they are left out.
    pub incomplete: usize,
}

/// Every factor of every arm, arms and axes in the order of the plan.
pub fn factors(groups: &[Group], axes: &[String]) -> Vec<Factor> {
    let mut arms: Vec<&str> = Vec::new();
    for group in groups {
        if !arms.contains(&group.arm.as_str()) {
            arms.push(&group.arm);
        }
    }
    let of_arm = |arm: &&str| -> Vec<Factor> {
        let cells: Vec<usize> = (0..groups.len()).filter(|i| groups[*i].arm == **arm).collect();
        (0..axes.len()).filter_map(|axis| factor(groups, &cells, axis, axes)).collect()
    };
    arms.iter().flat_map(of_arm).collect()
}

/// Whether every value of `axis` comes with one value of `other`: the two move together (`[[zip]]`, the keys of a named point).
fn determines(groups: &[Group], cells: &[usize], axis: usize, other: usize) -> bool {
    let mut values: BTreeMap<&str, &str> = BTreeMap::new();
    cells.iter().all(|cell| {
        let point = &groups[*cell].point;
        *values.entry(&point[axis]).or_insert(&point[other]) == point[other]
    })
}

/// The factor that the axis at place `axis` is. An axis that moves with it is no other setting, nor is the name of a point, which says
/// what its keys say.
fn factor(groups: &[Group], cells: &[usize], axis: usize, axes: &[String]) -> Option<Factor> {
    let others = (0..axes.len()).filter(|other| *other != axis && axes[*other] != POINT);
    let (moving, held): (Vec<usize>, Vec<usize>) =
        others.partition(|other| determines(groups, cells, axis, *other));
    let value = |cell: usize, other: usize| groups[cell].point[other].as_str();
    // What has one value throughout moves with nothing.
    let varies = |other: &usize| cells.iter().any(|cell| value(*cell, *other) != value(cells[0], *other));
    let is_key = axes[axis] != POINT;
    let moving = moving.into_iter().filter(|other| is_key && varies(other));
    let moving = moving.map(|other| axes[other].clone()).collect();
    let mut levels: Vec<String> = Vec::new();
    let mut others: BTreeMap<Vec<&str>, Vec<(usize, usize)>> = BTreeMap::new();
    for &cell in cells {
        let point = &groups[cell].point;
        let value = point.get(axis).filter(|value| !value.is_empty())?;
        let level = levels.iter().position(|level| level == value).unwrap_or_else(|| {
            levels.push(value.clone());
            levels.len() - 1
        });
        let rest = held.iter().map(|other| point[*other].as_str()).collect();
        let block = others.entry(rest).or_default();
        // Named points may be alike but for their names.
        if block.iter().all(|(other, _)| *other != level) {
            block.push((level, cell));
        }
    }
    if levels.len() < 2 {
        return None;
    }
    let finished = |cells: &&Vec<(usize, usize)>| {
        (0..levels.len())
            .all(|level| cells.iter().any(|(l, cell)| *l == level && !groups[*cell].runs.is_empty()))
    };
    let settings = others.len();
    let block = |cells: &Vec<(usize, usize)>| {
        let mut cells = cells.clone();
        cells.sort_unstable();
        cells.into_iter().map(|(_, cell)| cell).collect::<Vec<_>>()
    };
    let mut blocks: Vec<Vec<usize>> = others.values().filter(finished).map(block).collect();
    blocks.sort_unstable();
    let incomplete = settings - blocks.len();
    Some(Factor {
        arm: groups[cells[0]].arm.clone(),
        axis,
        name: axes[axis].clone(),
        moving,
        levels,
        blocks,
        incomplete,
    })
}

impl Factor {
    /// Weights of the mean of `level` over all blocks, times `weight`.
    pub fn level_weights(&self, level: usize, weight: f64) -> Vec<(usize, f64)> {
        let share = weight / self.blocks.len() as f64;
        self.blocks.iter().map(|block| (block[level], share)).collect()
    }

    /// Weights of the mean of `level` less the mean of `other`, over all blocks.
    pub fn difference_weights(&self, level: usize, other: usize) -> Vec<(usize, f64)> {
        let mut weights = self.level_weights(level, 1.0);
        weights.extend(self.level_weights(other, -1.0));
        weights
    }
}
