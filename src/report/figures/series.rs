//! From replicates to lines: means over seeds, smoothing, stairs.
use super::canvas::Point;
use std::collections::BTreeMap;

/// Points of a smoothed line, at most.
const SMOOTHED_POINTS: usize = 80;

/// Mean over seeds at the steps that all of them have.
pub fn mean_by_step(seeds: &[Vec<(u64, Point)>]) -> Vec<Point> {
    let mut sums: BTreeMap<u64, (usize, f64, f64)> = BTreeMap::new();
    for (step, (x, y)) in seeds.iter().flatten() {
        let sum = sums.entry(*step).or_default();
        *sum = (sum.0 + 1, sum.1 + x, sum.2 + y);
    }
    let n = seeds.len() as f64;
    sums.values().filter(|s| s.0 == seeds.len()).map(|s| (s.1 / n, s.2 / n)).collect()
}

/// The last value of each x: several events of one step are one point.
pub fn last_per_token(points: impl Iterator<Item = Point>) -> Vec<Point> {
    let mut out: Vec<Point> = Vec::new();
    for p in points {
        match out.last_mut() {
            Some(last) if last.0 == p.0 => *last = p,
            _ => out.push(p),
        }
    }
    out
}

/// Mean over seeds of what each last had, at every x that any has, between the latest start and the earliest end.
pub fn mean_of_steps(seeds: &[Vec<Point>]) -> Vec<Point> {
    let start = seeds.iter().filter_map(|s| s.first()).map(|p| p.0).fold(0.0, f64::max);
    let end = seeds.iter().filter_map(|s| s.last()).map(|p| p.0).fold(f64::INFINITY, f64::min);
    let mut xs: Vec<f64> =
        seeds.iter().flatten().map(|p| p.0).filter(|x| (start..=end).contains(x)).collect();
    xs.sort_by(f64::total_cmp);
    xs.dedup();
    let at = |seed: &Vec<Point>, x: f64| seed[seed.partition_point(|p| p.0 <= x).max(1) - 1].1;
    xs.into_iter().map(|x| (x, seeds.iter().map(|s| at(s, x)).sum::<f64>() / seeds.len() as f64)).collect()
}

/// The same values as a staircase: each holds until the next.
pub fn stairs(points: &[Point]) -> Vec<Point> {
    let mut out: Vec<Point> = Vec::with_capacity(2 * points.len());
    for &(x, y) in points {
        if let Some(&(_, before)) = out.last() {
            out.push((x, before));
        }
        out.push((x, y));
    }
    out
}

/// Means of equal runs of points.
pub fn smoothed(points: &[Point]) -> Vec<Point> {
    let size = points.len().div_ceil(SMOOTHED_POINTS).max(1);
    let mean = |c: &[Point]| {
        let n = c.len() as f64;
        (c.iter().map(|p| p.0).sum::<f64>() / n, c.iter().map(|p| p.1).sum::<f64>() / n)
    };
    points.chunks(size).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_carry_the_last_value_forward() {
        let a = vec![(0.0, 0.0), (2.0, 1.0), (4.0, 1.0)];
        let b = vec![(0.0, 1.0), (3.0, 3.0), (4.0, 3.0)];
        assert_eq!(mean_of_steps(&[a, b]), vec![(0.0, 0.5), (2.0, 1.0), (3.0, 2.0), (4.0, 2.0)]);
        assert_eq!(
            last_per_token([(1.0, 1.0), (1.0, 2.0), (2.0, 3.0)].into_iter()),
            vec![(1.0, 2.0), (2.0, 3.0)]
        );
    }
}
