//! Tokens to the same held-out loss.
//!
//! ```text
//! L* = max(min L_variant, min L_baseline)         the lowest held-out loss that both reach, seed by seed
//! n(L*)                                           tokens of the run at which its loss first is L*, by linear interpolation
//!                                                 over the measurements at its final number of parameters
//! ratio = exp( mean_s ln(n_variant/n_baseline) )   interval: Student's t over seeds of the logarithms
//! ```
//!
//! A model that is still to be pruned is another, larger one: that it was as good before says nothing about the final one.
use super::groups::{Group, by_run};
use super::scores::LEVEL;
use crate::record::{CurvePoint, Results};
use crate::stats::paired::paired_t;
use crate::stats::{Interval, descriptive};
use std::collections::BTreeMap;

/// Two groups to one loss.
#[derive(Clone, Debug, PartialEq)]
pub struct SameLoss {
    /// L*, nats per token, mean over seeds.
    pub loss: f64,
    /// Of variant and baseline, means over seeds.
    pub tokens: [f64; 2],
    pub ratio: f64,
    /// `None` with one seed.
    pub interval: Option<Interval>,
    pub seeds: usize,
}

/// Held-out losses along every run, from where it has its final number of parameters: tokens and loss.
pub struct HeldOut(BTreeMap<usize, Vec<(f64, f64)>>);

impl HeldOut {
    pub fn of(results: &Results) -> HeldOut {
        let point = |row: &CurvePoint| Some((row.tokens_seen as f64, row.held_out_loss?));
        let of_run = |rows: Vec<&CurvePoint>| {
            let params = rows.last().map(|row| row.params);
            let rows = rows.iter().filter(|row| Some(row.params) == params);
            rows.filter_map(|row| point(row)).collect()
        };
        HeldOut(by_run(&results.curves).into_iter().map(|(run, rows)| (run, of_run(rows))).collect())
    }

    fn curve(&self, run: usize) -> &[(f64, f64)] {
        self.0.get(&run).map_or(&[], Vec::as_slice)
    }
}

/// Tokens at which the loss of `curve` first is `loss`; at its first measurement where it is lower there already.
fn tokens_to(curve: &[(f64, f64)], loss: f64) -> Option<f64> {
    let place = curve.iter().position(|(_, at)| *at <= loss)?;
    let (tokens, at) = curve[place];
    match place.checked_sub(1).map(|before| curve[before]) {
        Some((tokens_before, before)) if before > at => {
            Some(tokens_before + (tokens - tokens_before) * (before - loss) / (before - at))
        }
        _ => Some(tokens),
    }
}

/// `None` where no seed of both has held-out losses along its run.
pub fn same_loss(
    results: &Results,
    held_out: &HeldOut,
    variant: &Group,
    baseline: &Group,
) -> Option<SameLoss> {
    let seed = |run: usize| results.runs[run].identity.seed;
    let lowest = |curve: &[(f64, f64)]| curve.iter().map(|(_, loss)| *loss).reduce(f64::min);
    let one = |run: &usize| {
        let other = baseline.runs.iter().find(|other| seed(**other) == seed(*run))?;
        let (a, b) = (held_out.curve(*run), held_out.curve(*other));
        let loss = lowest(a)?.max(lowest(b)?);
        let (a, b) = (tokens_to(a, loss)?, tokens_to(b, loss)?);
        (a > 0.0 && b > 0.0).then_some((loss, a, b))
    };
    let found: Vec<(f64, f64, f64)> = variant.runs.iter().filter_map(one).collect();
    let over = |value: fn(&(f64, f64, f64)) -> f64| {
        descriptive::mean(&found.iter().map(value).collect::<Vec<_>>()).ok()
    };
    let logs: Vec<f64> = found.iter().map(|(_, a, b)| (a / b).ln()).collect();
    let t = paired_t(&logs, LEVEL).ok();
    Some(SameLoss {
        loss: over(|x| x.0)?,
        tokens: [over(|x| x.1)?, over(|x| x.2)?],
        ratio: descriptive::mean(&logs).ok()?.exp(),
        interval: t.map(|t| Interval { low: t.interval.low.exp(), high: t.interval.high.exp() }),
        seeds: found.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{CurvePoint, Keyed, RunEntry, RunIdentity, RunTotals, Status};
    use crate::stats::assert_close;

    /// Runs with these held-out losses after 100, 200, … tokens; two of each arm.
    fn results(curves: [&[f64]; 4]) -> Results {
        let mut results = Results::default();
        for (run, losses) in curves.into_iter().enumerate() {
            let identity = RunIdentity {
                run: run.to_string(),
                arm: ["a", "b"][run / 2].into(),
                seed: (run % 2) as u64,
                status: Status::Ok,
                reason: None,
                stage: None,
            };
            results.runs.push(RunEntry { identity, axes: vec![], totals: RunTotals::default() });
            for (i, loss) in losses.iter().enumerate() {
                let row = CurvePoint {
                    step: i as u64 + 1,
                    tokens_seen: 100 * (i as u64 + 1),
                    params: 1,
                    loss: None,
                    grad_norm: None,
                    learning_rate: None,
                    flops: None,
                    held_out_loss: Some(*loss),
                };
                results.curves.push(Keyed { run, row });
            }
        }
        results
    }

    fn group(runs: [usize; 2]) -> Group {
        Group { arm: String::new(), point: vec![], label: String::new(), runs: runs.to_vec() }
    }

    /// Seed 0: b ends at 3.0, which a reaches between 100 (4.0) and 200 (2.0): at 150, half of b's 300. Seed 1: a ends at 3.5 after
    /// 200, b is there between 100 (4.0) and 200 (3.0): at 150, so the ratio is 4/3.
    #[test]
    fn tokens_are_interpolated_at_the_loss_that_both_reach() {
        let results = results([&[4.0, 2.0], &[5.0, 3.5], &[5.0, 4.0, 3.0], &[4.0, 3.0, 2.5]]);
        let same_loss =
            |results: &Results, a: &Group, b: &Group| same_loss(results, &HeldOut::of(results), a, b);
        let found = same_loss(&results, &group([0, 1]), &group([2, 3])).unwrap();
        assert_close(found.loss, 3.25, 1e-12);
        assert_eq!((found.tokens, found.seeds), ([175.0, 225.0], 2));
        assert_close(found.ratio, (0.5f64 * 4.0 / 3.0).sqrt(), 1e-12);
        // ln 0.5 and ln 4/3: t with one degree of freedom is tan(0.475 π), times half their distance.
        let half = (std::f64::consts::PI * 0.475).tan() * 0.5 * (8.0f64 / 3.0).ln();
        assert_close(found.interval.unwrap().high, found.ratio * half.exp(), 1e-9);
        let one = Group { runs: vec![0], ..group([0, 1]) };
        assert_eq!(same_loss(&results, &one, &group([2, 3])).unwrap().interval, None);
        assert_eq!(same_loss(&Results { curves: vec![], ..results }, &group([0, 1]), &group([2, 3])), None);
    }

    /// Run 0 was at 2.0 with all of its parameters, and is again when it is pruned, at 300: not at 100.
    #[test]
    fn only_the_final_model_counts() {
        let mut results = results([&[2.0, 4.0, 2.0], &[2.0, 4.0, 2.0], &[3.0, 2.5, 2.0], &[3.0, 2.5, 2.0]]);
        let pruned = |row: &CurvePoint| row.tokens_seen == 100;
        results.curves.iter_mut().filter(|k| k.run < 2 && pruned(&k.row)).for_each(|k| k.row.params = 2);
        let found = same_loss(&results, &HeldOut::of(&results), &group([0, 1]), &group([2, 3])).unwrap();
        assert_eq!((found.tokens, found.seeds), ([300.0, 300.0], 2));
    }
}
