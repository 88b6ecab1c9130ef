//! Aggregates over many tasks and few runs (Agarwal et al. 2021, "Deep RL at the edge of the statistical precipice").
use super::{Result, StatsError, check};

/// Interquartile mean: the mean of the middle half, ⌊n/4⌋ values cut at each end.
pub fn interquartile_mean(x: &[f64]) -> Result<f64> {
    check("interquartile mean", x, 1)?;
    let mut sorted = x.to_vec();
    sorted.sort_by(f64::total_cmp);
    let cut = x.len() / 4;
    let middle = &sorted[cut..x.len() - cut];
    Ok(middle.iter().sum::<f64>() / middle.len() as f64)
}

/// Probability that a run of `x` beats a run of `y` on a task drawn at random, a tie counted half.
///
/// `x[run][task]`, `y[run][task]`; the numbers of runs may differ, the tasks must agree.
pub fn probability_of_improvement(x: &[Vec<f64>], y: &[Vec<f64>]) -> Result<f64> {
    let tasks = x.first().map_or(0, Vec::len);
    if tasks == 0 || y.is_empty() {
        return Err(StatsError::TooFew { what: "runs or tasks", needed: 1, got: 0 });
    }
    for row in x.iter().chain(y) {
        super::check_lengths("tasks of a run", tasks, row.len())?;
        check("probability of improvement", row, 1)?;
    }
    let mut wins = 0.0;
    for a in x {
        for b in y {
            wins += a
                .iter()
                .zip(b)
                .map(|(a, b)| match a.total_cmp(b) {
                    std::cmp::Ordering::Greater => 1.0,
                    std::cmp::Ordering::Equal => 0.5,
                    std::cmp::Ordering::Less => 0.0,
                })
                .sum::<f64>();
        }
    }
    Ok(wins / (x.len() * y.len() * tasks) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::assert_close;

    #[test]
    fn golden() {
        let x = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.15, 0.35, 0.95];
        assert_close(interquartile_mean(&x).unwrap(), 0.475, 1e-12);
        let x = vec![vec![1., 2.], vec![2., 2.], vec![1., 1.], vec![2., 1.]];
        let y = vec![vec![1., 1.], vec![2., 2.], vec![3., 3.]];
        assert_close(probability_of_improvement(&x, &y).unwrap(), 1.0 / 3.0, 1e-12);
        // The two directions share everything.
        assert_close(probability_of_improvement(&y, &x).unwrap(), 2.0 / 3.0, 1e-12);
    }

    #[test]
    fn ragged_runs_are_told() {
        assert!(probability_of_improvement(&[vec![1.0]], &[vec![1.0, 2.0]]).is_err());
        assert!(interquartile_mean(&[]).is_err());
    }
}
