//! Lines without the points that nobody can see: a figure of hundreds of runs stays small enough for a page.
//!
//! Douglas and Peucker 1973: of a stretch of line the point farthest from the chord is kept where it is farther than a tolerance, and
//! both halves are treated likewise. No point that is left out lies farther than the tolerance from what is drawn.

/// `points` (at least the two ends) without those within `tolerance` of the line through the others.
pub fn simplified(points: &[(i32, i32)], tolerance: f64) -> Vec<(i32, i32)> {
    if points.len() < 3 {
        return points.to_vec();
    }
    let mut kept = vec![false; points.len()];
    (kept[0], kept[points.len() - 1]) = (true, true);
    let mut stretches = vec![(0, points.len() - 1)];
    while let Some((first, last)) = stretches.pop() {
        let farthest = (first + 1..last)
            .map(|at| (distance(points[at], points[first], points[last]), at))
            .max_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((far, at)) = farthest.filter(|(far, _)| *far > tolerance) {
            debug_assert!(far.is_finite());
            kept[at] = true;
            stretches.extend([(first, at), (at, last)]);
        }
    }
    points.iter().zip(kept).filter(|(_, kept)| *kept).map(|(point, _)| *point).collect()
}

/// Distance of `p` from the stretch from `a` to `b`.
fn distance(p: (i32, i32), a: (i32, i32), b: (i32, i32)) -> f64 {
    let between = |p: (i32, i32), q: (i32, i32)| (f64::from(q.0 - p.0), f64::from(q.1 - p.1));
    let ((dx, dy), (x, y)) = (between(a, b), between(a, p));
    let length = dx * dx + dy * dy;
    let t = if length > 0.0 { ((x * dx + y * dy) / length).clamp(0.0, 1.0) } else { 0.0 };
    (x - t * dx).hypot(y - t * dy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_point_is_farther_from_the_line_than_the_tolerance() {
        // Small stairs, a spike, and a stretch that runs back over itself.
        let mut points: Vec<(i32, i32)> = (0..400).map(|i| (i * 3, (i / 2) * 2)).collect();
        points[200].1 += 90;
        points.extend([(2000, 500), (1500, 500), (1800, 500)]);
        let short = simplified(&points, 2.0);
        assert!(short.len() < 30, "{}", short.len());
        assert!(short.contains(&points[200]) && short.contains(&(1500, 500)));
        assert_eq!((short[0], short[short.len() - 1]), (points[0], points[points.len() - 1]));
        for point in &points {
            let near = short.windows(2).map(|ends| distance(*point, ends[0], ends[1]));
            assert!(near.fold(f64::INFINITY, f64::min) <= 2.0, "{point:?}");
        }
        assert_eq!(simplified(&points[..2], 2.0), points[..2]);
    }
}
