//! How much of a sweep is left, from what has been measured.
//!
//! ```text
//! weight of a stage  w = FLOPs (estimated) × seconds per FLOP of its kind      a kind: corpus, model, evaluation, latency
//! left               t · (W − D) / (D − B)      W all weights, D done, B done before, t seconds gone
//! ```
//!
//! Seconds per FLOP are those of the finished stages of a kind, of all kinds until there is one, and 1 before that. What other
//! processes finish counts as done, so the rate is that of all who are at work. What a resumed stage had done before is no work of
//! these seconds.
use crate::plan::{Stage, StageKind};
use std::collections::BTreeMap;

/// Stages without FLOPs (a corpus) count as this much, so that the bar moves at all.
const LEAST_FLOPS: f64 = 1e9;
/// Share of the work below which nothing is said.
const LEAST_SHARE: f64 = 0.005;
const KINDS: usize = 4;

/// FLOPs of the stages of one kind, and what was measured of them.
#[derive(Clone, Copy, Debug, Default)]
struct Kind {
    total: f64,
    finished: f64,
    /// Of what is finished, what had been done before this sweep.
    before: f64,
    /// FLOPs carried out here, and their seconds.
    measured: (f64, f64),
}

#[derive(Clone, Copy, Debug)]
struct Running {
    kind: usize,
    flops: f64,
    /// Share of the stage that was done when it was begun here, and that is done now.
    first: f64,
    now: f64,
}

/// What is left of a sweep.
#[derive(Clone, Debug)]
pub(super) struct Remaining {
    kinds: [Kind; KINDS],
    /// Stages under way here, by worker.
    running: BTreeMap<usize, Running>,
    num_stages: usize,
}

fn flops(stage: &Stage) -> f64 {
    stage.cost.flops.max(LEAST_FLOPS)
}

fn kind(stage: &Stage) -> usize {
    match stage.kind {
        StageKind::Corpus => 0,
        StageKind::Model(_) => 1,
        StageKind::Evaluation(_) => 2,
        StageKind::Latency(_) => 3,
    }
}

impl Remaining {
    /// Of a sweep that carries out `stages`.
    pub fn new<'a>(stages: impl Iterator<Item = &'a Stage>) -> Self {
        let mut remaining = Remaining { kinds: Default::default(), running: BTreeMap::new(), num_stages: 0 };
        stages.for_each(|stage| remaining.again(stage));
        remaining
    }

    pub fn num_stages(&self) -> usize {
        self.num_stages
    }

    /// `stage` is to be carried out, too.
    pub fn again(&mut self, stage: &Stage) {
        self.kinds[kind(stage)].total += flops(stage);
        self.num_stages += 1;
    }

    /// `worker` is at `now` of a stage that it began at `first`, both from 0 to 1.
    pub fn update(&mut self, worker: usize, stage: &Stage, first: f64, now: f64) {
        self.running.insert(worker, Running { kind: kind(stage), flops: flops(stage), first, now });
    }

    /// `worker` is done with `stage` after so many seconds, or has left it unfinished.
    pub fn end(&mut self, worker: usize, stage: &Stage, seconds: Option<f64>) {
        let first = self.running.remove(&worker).map_or(0.0, |running| running.first);
        let Some(seconds) = seconds else { return };
        let (flops, kind) = (flops(stage), &mut self.kinds[kind(stage)]);
        kind.finished += flops;
        kind.before += first * flops;
        kind.measured.0 += (1.0 - first) * flops;
        kind.measured.1 += seconds;
    }

    /// Another process has carried out `stage`.
    pub fn elsewhere(&mut self, stage: &Stage) {
        self.kinds[kind(stage)].finished += flops(stage);
    }

    /// All weights, those of what is done, and of it of what was done before.
    fn weights(&self) -> (f64, f64, f64) {
        let rate = |(flops, seconds): (f64, f64)| (flops > 0.0 && seconds > 0.0).then(|| seconds / flops);
        let sum = |(a, b): (f64, f64), kind: &Kind| (a + kind.measured.0, b + kind.measured.1);
        let of_all = rate(self.kinds.iter().fold((0.0, 0.0), sum)).unwrap_or(1.0);
        let rates = self.kinds.map(|kind| rate(kind.measured).unwrap_or(of_all));
        let (mut total, mut done, mut before) = (0.0, 0.0, 0.0);
        for (kind, rate) in self.kinds.iter().zip(rates) {
            total += kind.total * rate;
            done += kind.finished * rate;
            before += kind.before * rate;
        }
        for Running { kind, flops, first, now } in self.running.values() {
            done += now * flops * rates[*kind];
            before += first * flops * rates[*kind];
        }
        (total, done, before)
    }

    /// Share of the work that is done.
    pub fn share(&self) -> f64 {
        let (total, done, _) = self.weights();
        if total > 0.0 { (done / total).min(1.0) } else { 1.0 }
    }

    /// Seconds that are left after so many; `None` while there is too little to tell by.
    pub fn seconds(&self, elapsed: f64) -> Option<f64> {
        let (total, done, before) = self.weights();
        let here = done - before;
        (here > LEAST_SHARE * total).then(|| elapsed * (total - done).max(0.0) / here)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::plan;
    use crate::spec::{self, EngineKind, no_model};
    use std::path::Path;

    fn stages() -> Vec<Stage> {
        let text = include_str!("../../tests/fixtures/example.toml");
        let experiment = spec::parse(text, "test", Path::new("/nowhere"), &no_model).unwrap();
        let mut stages = plan(&experiment, EngineKind::Cpu).unwrap().stages;
        stages.retain(|stage| !matches!(stage.kind, StageKind::Corpus));
        stages
    }

    /// Evaluations take ten times as long for a FLOP as models: once one of each is measured the estimate is right.
    #[test]
    fn kinds_of_stages_have_rates_of_their_own() {
        let stages = stages();
        let seconds = |stage: &Stage| stage.cost.flops * if kind(stage) == 2 { 1e-9 } else { 1e-10 };
        let mut remaining = Remaining::new(stages.iter());
        assert_eq!((remaining.num_stages(), remaining.seconds(0.0)), (stages.len(), None));
        let mut elapsed = 0.0;
        let mut seen = [false; KINDS];
        for (done, stage) in stages.iter().enumerate() {
            remaining.update(0, stage, 0.0, 0.5);
            remaining.end(0, stage, Some(seconds(stage)));
            elapsed += seconds(stage);
            seen[kind(stage)] = true;
            let left: f64 = stages[done + 1..].iter().map(seconds).sum();
            if seen[1] && seen[2] {
                let told = remaining.seconds(elapsed).unwrap();
                assert!((told - left).abs() <= 1e-6 * (left + elapsed), "{told} for {left}");
            }
        }
        assert!((remaining.share() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn two_processes_finish_in_half_the_time_and_what_was_done_before_is_no_speed() {
        let stages: Vec<Stage> = stages().into_iter().filter(|stage| kind(stage) == 1).collect();
        let stages = vec![stages[0].clone(); 10];
        let mut remaining = Remaining::new(stages.iter());
        // In 4 s one stage of 4 s here and another elsewhere: 8 are left, two at a time.
        remaining.end(0, &stages[0], Some(4.0));
        remaining.elsewhere(&stages[1]);
        assert!((remaining.seconds(4.0).unwrap() - 16.0).abs() < 1e-9);
        // One alone that was resumed at 75 %: 1 s for a quarter.
        let mut remaining = Remaining::new(stages.iter());
        remaining.update(0, &stages[0], 0.75, 0.75);
        assert_eq!(remaining.seconds(0.5), None);
        remaining.update(0, &stages[0], 0.75, 1.0);
        assert!((remaining.seconds(1.0).unwrap() - 36.0).abs() < 1e-9);
        remaining.end(0, &stages[0], Some(1.0));
        assert!((remaining.seconds(1.0).unwrap() - 36.0).abs() < 1e-9);
        assert!((remaining.share() - 0.1).abs() < 1e-9);
    }
}
