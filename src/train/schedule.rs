//! Learning-rate schedules over tokens.
//!
//! ```text
//! warm-up   η(t) = η_max · t/t_w                                    t ≤ t_w
//! cosine    η(t) = η_min + (η_max − η_min)(1 + cos πu)/2,           u = (t − t_w)/(t_end − t_w)
//! wsd       η(t) = η_max until t_d, then down a line to η_min       t_d = t_end (1 − decay_fraction)
//! ```
//!
//! Cosine: Loshchilov & Hutter 2017 (arXiv:1608.03983); WSD: Hu et al. 2024 (arXiv:2404.06395). `t` counts the
//! tokens seen when the step is done, so the first step has a rate above zero and the last one ends at η_min.
use crate::spec::{ScheduleKind, TrainSpec};

/// The schedule of one run, which may be a part of a longer one.
#[derive(Clone, Debug, PartialEq)]
pub struct Rate {
    pub spec: TrainSpec,
    /// Tokens of the schedule before this run's first, and in all.
    pub before: u64,
    pub total: u64,
}

impl Rate {
    /// A schedule of its own for a run of `tokens`.
    pub fn own(spec: &TrainSpec, tokens: u64) -> Self {
        Rate { spec: spec.clone(), before: 0, total: tokens }
    }

    /// Learning rate of the optimiser step that brings the run to `tokens` of its own tokens.
    pub fn at(&self, tokens: u64) -> f64 {
        learning_rate(&self.spec, self.before + tokens, self.total)
    }
}

/// Learning rate of the optimiser step that brings the run to `tokens` of `total` tokens.
pub fn learning_rate(spec: &TrainSpec, tokens: u64, total: u64) -> f64 {
    let (highest, lowest) = (spec.learning_rate, spec.learning_rate * spec.min_learning_rate_ratio);
    let warmup = spec.warmup_tokens.min(total);
    if tokens <= warmup {
        return highest * tokens as f64 / warmup as f64;
    }
    match spec.schedule {
        ScheduleKind::Cosine => {
            let progress = (tokens - warmup) as f64 / (total - warmup) as f64;
            lowest + (highest - lowest) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
        }
        ScheduleKind::Wsd => {
            let decay_start = (total as f64 * (1.0 - spec.decay_fraction)).max(warmup as f64);
            if tokens as f64 <= decay_start {
                return highest;
            }
            let progress = (tokens as f64 - decay_start) / (total as f64 - decay_start);
            highest + (lowest - highest) * progress
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(schedule: ScheduleKind) -> TrainSpec {
        TrainSpec {
            batch_tokens: 100,
            micro_batch: 1,
            learning_rate: 1e-2,
            min_learning_rate_ratio: 0.1,
            schedule,
            warmup_tokens: 1000,
            decay_fraction: 0.2,
            average_fraction: 0.0,
            weight_decay: 0.0,
            beta1: 0.9,
            beta2: 0.95,
            epsilon: 1e-8,
            clip_norm: 1.0,
        }
    }

    #[test]
    fn cosine_warms_up_and_ends_at_the_floor() {
        let s = spec(ScheduleKind::Cosine);
        assert!((learning_rate(&s, 100, 10_000) - 1e-3).abs() < 1e-15);
        assert!((learning_rate(&s, 1000, 10_000) - 1e-2).abs() < 1e-15);
        // Half-way of the cosine: the mean of both ends.
        assert!((learning_rate(&s, 5500, 10_000) - 0.0055).abs() < 1e-12);
        assert!((learning_rate(&s, 10_000, 10_000) - 1e-3).abs() < 1e-15);
    }

    #[test]
    fn wsd_is_flat_then_falls_on_a_line() {
        let s = spec(ScheduleKind::Wsd);
        assert_eq!(learning_rate(&s, 4000, 10_000), 1e-2);
        assert_eq!(learning_rate(&s, 8000, 10_000), 1e-2);
        assert!((learning_rate(&s, 9000, 10_000) - 0.0055).abs() < 1e-12);
        assert!((learning_rate(&s, 10_000, 10_000) - 1e-3).abs() < 1e-15);
    }

    #[test]
    fn a_warm_up_longer_than_the_run_never_divides_by_zero() {
        for kind in [ScheduleKind::Cosine, ScheduleKind::Wsd] {
            assert_eq!(learning_rate(&spec(kind), 500, 500), 1e-2);
        }
    }
}
