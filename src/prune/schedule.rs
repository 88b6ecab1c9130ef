//! When events happen (method §2).
//!
//! ```text
//! line:      parameters ≤ source − (source − target)·min(t, prune_tokens)/prune_tokens after every step
//! interval:  one event after every N-th step with t > 0
//! t = max(0, tokens − start_tokens): the tokens that the model has been trained on since pruning may begin
//! ```
use crate::spec::PruneSchedule;

/// What a step permits: events until `params` is reached, but no more than `events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The model may keep as many parameters as this.
    pub params: u64,
    pub events: u64,
}

/// The allowance after optimiser step `step` (from 1), when `tokens_seen` tokens have been trained on, that step's
/// batch included.
pub fn allowance(
    schedule: PruneSchedule,
    source_params: u64,
    target: u64,
    tokens_seen: u64,
    step: u64,
) -> Allowance {
    let tokens = tokens_seen.saturating_sub(schedule.start_tokens());
    match schedule {
        PruneSchedule::Line { prune_tokens, .. } => {
            let (gone, whole) = (tokens.min(prune_tokens) as u128, prune_tokens as u128);
            // Integers, so that the last point of the line is the target itself: ⌊line⌋ = source − ⌈fall⌉.
            let fall = match whole {
                0 => source_params - target,
                _ => ((source_params - target) as u128 * gone).div_ceil(whole) as u64,
            };
            Allowance { params: source_params - fall, events: u64::MAX }
        }
        PruneSchedule::Interval { steps, start_tokens } => {
            let begun = start_tokens == 0 || tokens > 0;
            let events = u64::from(begun && step > 0 && step.is_multiple_of(steps.max(1)));
            Allowance { params: target, events }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_starts_at_the_source_and_ends_at_the_target() {
        let line = PruneSchedule::line(300);
        let params = |tokens| allowance(line, 1000, 500, tokens, 1).params;
        // 1000 − 500·100/300 = 833.33…: no more than 833.
        assert_eq!([0, 100, 150, 299, 300, 10_000].map(params), [1000, 833, 750, 501, 500, 500]);
        let at_once = PruneSchedule::line(0);
        assert_eq!(allowance(at_once, 1000, 500, 0, 0).params, 500);
        // No overflow at any size that a counter holds.
        let large = PruneSchedule::line(u64::MAX);
        assert_eq!(allowance(large, u64::MAX, 0, u64::MAX, 1).params, 0);
    }

    #[test]
    fn nothing_goes_before_the_start_and_the_line_ends_as_late() {
        let line = PruneSchedule::Line { prune_tokens: 300, start_tokens: 200 };
        let params = |tokens| allowance(line, 1000, 500, tokens, 1).params;
        assert_eq!([0, 200, 300, 350, 499, 500, 900].map(params), [1000, 1000, 833, 750, 501, 500, 500]);
        let every_third = PruneSchedule::Interval { steps: 3, start_tokens: 200 };
        let events = |step| allowance(every_third, 1000, 500, 50 * step, step).events;
        assert_eq!([0, 3, 4, 5, 6, 9].map(events), [0, 0, 0, 0, 1, 1]);
    }

    #[test]
    fn an_interval_permits_one_event_every_so_many_steps() {
        let every_third = PruneSchedule::interval(3);
        let events = |step| allowance(every_third, 1000, 500, 0, step).events;
        assert_eq!([0, 1, 2, 3, 4, 6].map(events), [0, 0, 0, 1, 0, 1]);
    }
}
