//! What is compared: two runs, or two arms over the seeds that both finished.
use crate::base::suggest::nearest;
use crate::record::{Results, Status};
use crate::report::groups::{Group, groups};
use crate::report::{ReportError, Result};

/// Two sides and how their runs are paired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sides {
    /// Names of the first and the second, `a` and `b`.
    pub names: [String; 2],
    /// Indices into [`Results::runs`]: a run of `a` with its partner of `b`.
    pub pairs: Vec<(usize, usize)>,
    /// Two arms, paired by seed; otherwise two runs.
    pub arms: bool,
}

impl Sides {
    /// Runs of one side (0 or 1), in the order of the pairs.
    pub fn runs(&self, side: usize) -> Vec<usize> {
        self.pairs.iter().map(|(a, b)| if side == 0 { *a } else { *b }).collect()
    }
}

enum Side {
    Run(usize),
    Arm(Group),
}

/// Finds the two runs or arms of these names.
///
/// # Errors
/// A name that is neither, with the nearest; a run that failed; a run against an arm; an arm at several axis points;
/// arms without a common finished seed; one thing twice.
pub fn resolve(results: &Results, names: [&str; 2]) -> Result<Sides> {
    let groups = groups(results);
    let sides = (find(results, &groups, names[0])?, find(results, &groups, names[1])?);
    if names[0] == names[1] {
        return Err(ReportError::WithItself { name: names[0].into() });
    }
    let seed = |run: usize| results.runs[run].identity.seed;
    let (arms, pairs) = match sides {
        (Side::Run(a), Side::Run(b)) => (false, vec![(a, b)]),
        (Side::Arm(a), Side::Arm(b)) => {
            let partner = |run: &usize| {
                b.runs.iter().find(|other| seed(**other) == seed(*run)).map(|other| (*run, *other))
            };
            (true, a.runs.iter().filter_map(partner).collect())
        }
        (a, _) => {
            let (run, arm) = if matches!(a, Side::Run(_)) { (0, 1) } else { (1, 0) };
            return Err(ReportError::RunAgainstArm { run: names[run].into(), arm: names[arm].into() });
        }
    };
    if pairs.is_empty() {
        return Err(ReportError::NoSharedSeed { a: names[0].into(), b: names[1].into() });
    }
    Ok(Sides { names: names.map(String::from), pairs, arms })
}

fn find(results: &Results, groups: &[Group], name: &str) -> Result<Side> {
    if let Some(at) = results.runs.iter().position(|r| r.identity.run == name) {
        let identity = &results.runs[at].identity;
        return match identity.status {
            Status::Ok => Ok(Side::Run(at)),
            Status::Failed => Err(ReportError::FailedRun {
                run: name.into(),
                reason: identity.reason.clone().unwrap_or_default(),
            }),
        };
    }
    if let Some(group) = groups.iter().find(|g| g.label == name) {
        return Ok(Side::Arm(group.clone()));
    }
    if let Some((arm, seed)) = name.rsplit_once('/') {
        let of_arm: Vec<&Group> = groups.iter().filter(|g| g.label == arm || g.arm == arm).collect();
        let is_seed = |run: &&usize| results.runs[**run].identity.seed.to_string() == seed;
        let runs: Vec<usize> = of_arm.iter().filter_map(|g| g.runs.iter().find(is_seed).copied()).collect();
        match runs.as_slice() {
            [only] => return Ok(Side::Run(*only)),
            [] => {}
            several => {
                let label = |run: &usize| {
                    let group = of_arm.iter().find(|g| g.runs.contains(run));
                    group.map_or(String::new(), |g| format!("{}/{seed}", g.label))
                };
                let labels = several.iter().map(label).collect();
                return Err(ReportError::SeveralPoints { arm: name.into(), labels });
            }
        }
        let of_seed =
            results.runs.iter().find(|r| r.identity.arm == arm && r.identity.seed.to_string() == seed);
        if let Some(failed) = of_seed.filter(|r| r.identity.status == Status::Failed) {
            let reason = failed.identity.reason.clone().unwrap_or_default();
            return Err(ReportError::FailedRun { run: failed.identity.run.clone(), reason });
        }
    }
    let points: Vec<&Group> = groups.iter().filter(|g| g.arm == name).collect();
    match points.as_slice() {
        [] => Err(unknown(results, groups, name)),
        [only] => Ok(Side::Arm((*only).clone())),
        several => Err(ReportError::SeveralPoints {
            arm: name.into(),
            labels: several.iter().map(|g| g.label.clone()).collect(),
        }),
    }
}

fn unknown(results: &Results, groups: &[Group], name: &str) -> ReportError {
    let runs = results.runs.iter().map(|r| r.identity.run.as_str());
    let arms = groups.iter().flat_map(|g| [g.arm.as_str(), g.label.as_str()]);
    let with_seeds: Vec<String> = groups
        .iter()
        .flat_map(|g| g.runs.iter().map(move |run| (g, results.runs[*run].identity.seed)))
        .flat_map(|(g, seed)| [format!("{}/{seed}", g.arm), format!("{}/{seed}", g.label)])
        .collect();
    let all: Vec<&str> = arms.chain(runs).chain(with_seeds.iter().map(String::as_str)).collect();
    // A run's name ends in a hash that nobody types: the one that begins alike is meant.
    let begins = || all.iter().copied().find(|n| !name.is_empty() && n.starts_with(name));
    ReportError::UnknownSide {
        name: name.into(),
        near: begins().or_else(|| nearest(name, all.iter().copied())).map(String::from),
        known: groups.iter().map(|g| g.label.clone()).collect(),
    }
}
