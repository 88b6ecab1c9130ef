//! How far a command is: a bar where standard error is a terminal, a line at each tenth elsewhere, so that a log says it, too.
use crate::base::{terminal, units};
use indicatif::{ProgressBar, ProgressStyle};
use std::time::{Duration, Instant};

/// Between two lines, at least: what is over soon needs none.
const LINES: Duration = Duration::from_secs(10);

/// Work of which a part is done.
pub(super) struct Meter {
    bar: ProgressBar,
    /// All of the work, for lines.
    all: String,
    /// Tenths that were told.
    told: u64,
    last: Instant,
}

impl Meter {
    /// Of `work` units, together called `all`.
    pub fn new(work: u64, all: impl Into<String>) -> Meter {
        let template = "{bar:30} {percent:>3} %  {elapsed} gone, {eta} left  {msg}";
        // A template that indicatif does not understand would be a defect of this file: its own default then.
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(Some(work), terminal::draw_target());
        Meter {
            bar: bar.with_style(style.progress_chars("━╸─")),
            all: all.into(),
            told: 0,
            last: Instant::now(),
        }
    }

    /// What is worked on.
    pub fn set_message(&self, message: impl Into<String>) {
        self.bar.set_message(message.into());
        self.bar.tick();
    }

    /// The time until here says nothing about what is left.
    pub fn forget_pace(&self) {
        self.bar.reset_eta();
    }

    /// `more` units are done.
    pub fn add(&mut self, more: u64) {
        self.bar.inc(more);
        if let Some(line) = self.due(self.last.elapsed()).filter(|_| self.bar.is_hidden()) {
            tell!("{line}");
        }
    }

    /// The line of the latest tenth, where it was not told and the last one is `since` ago.
    fn due(&mut self, since: Duration) -> Option<String> {
        let (done, work) = (self.bar.position(), self.bar.length().unwrap_or_default().max(1));
        let tenth = done.saturating_mul(10) / work;
        if tenth <= self.told || done >= work || since < LINES {
            return None;
        }
        (self.told, self.last) = (tenth, Instant::now());
        let [gone, left] = [self.bar.elapsed(), self.bar.eta()].map(units::duration);
        Some(format!("{tenth}0 % of {} in {gone}, about {left} left", self.all))
    }

    /// Takes the bar away.
    pub fn close(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_at_each_tenth_and_none_in_haste() {
        let mut meter = Meter::new(30, "30 groups");
        let mut lines = Vec::new();
        for _ in 0..30 {
            meter.bar.inc(1);
            lines.extend(meter.due(LINES));
        }
        // Not at the end: what comes then says it.
        assert_eq!(lines.len(), 9, "{lines:?}");
        assert!(lines[0].starts_with("10 % of 30 groups in ") && lines[0].ends_with(" left"), "{}", lines[0]);
        let mut quick = Meter::new(30, "30 groups");
        quick.bar.inc(29);
        assert_eq!(quick.due(Duration::ZERO), None);
        assert_eq!(Meter::new(0, "0 groups").due(LINES), None);
    }
}
