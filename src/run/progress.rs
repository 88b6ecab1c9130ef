//! What a person sees while the sweep goes on: one bar per worker and one for everything, or plain lines where
//! standard error is no terminal.
use super::executor::{Progress, StageFailure};
use super::remaining::Remaining;
use crate::base::{terminal, units};
use crate::plan::{Stage, StageKind};
use crate::spec::CorpusSpec;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How the sweep is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Bars,
    Lines,
    /// Failures only.
    Quiet,
}

impl Style {
    /// Bars on a terminal, lines elsewhere.
    pub fn detect(quiet: bool) -> Self {
        match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Style::Quiet,
            (false, true) => Style::Bars,
            (false, false) => Style::Lines,
        }
    }
}

/// Shows a sweep on standard error.
pub struct Display {
    style: Style,
    bars: MultiProgress,
    overall: ProgressBar,
    started: Instant,
    interrupted: Arc<AtomicBool>,
    work: Mutex<Work>,
}

struct Work {
    num_stages: usize,
    stages_finished: usize,
    num_runs: usize,
    runs_decided: usize,
    remaining: Remaining,
    last_drawn: Instant,
}

/// Bars are redrawn at most this often.
const REDRAW: Duration = Duration::from_millis(100);

impl Display {
    /// A display of a sweep that carries out `stages` for `num_runs` runs, of which `runs_done` were done before.
    pub fn new<'a>(
        style: Style,
        stages: impl Iterator<Item = &'a Stage>,
        num_runs: usize,
        runs_done: usize,
        interrupted: Arc<AtomicBool>,
    ) -> Self {
        let remaining = Remaining::new(stages);
        let bars = MultiProgress::with_draw_target(match style {
            Style::Bars => terminal::draw_target(),
            _ => ProgressDrawTarget::hidden(),
        });
        let overall = bars.add(ProgressBar::new(1000).with_style(style_of("green")));
        let started = Instant::now();
        let work = Work {
            num_stages: remaining.num_stages(),
            stages_finished: 0,
            num_runs,
            runs_decided: runs_done,
            remaining,
            last_drawn: started,
        };
        let display = Display { style, bars, overall, started, interrupted, work: Mutex::new(work) };
        display.draw(&display.work());
        display
    }

    /// `worker` begins `stage`.
    pub fn start<'d>(&'d self, worker: usize, stage: &'d Stage) -> StageProgress<'d> {
        // Workers keep their order; the bar of everything stays below them.
        let bar = ProgressBar::new(1000).with_style(style_of("cyan")).with_message(stage.id.clone());
        let bar = self.bars.insert_before(&self.overall, bar);
        bar.tick();
        StageProgress { display: self, worker, stage, bar, started: Instant::now(), first: Mutex::new(None) }
    }

    /// `worker` is done with `stage`.
    pub fn finish(&self, worker: usize, stage: &Stage, result: &Result<(), StageFailure>, seconds: f64) {
        let mut work = self.work();
        let is_over = *result != Err(StageFailure::Interrupted);
        work.remaining.end(worker, stage, is_over.then_some(seconds));
        work.stages_finished += usize::from(is_over);
        let (number, of) = (work.stages_finished, work.num_stages);
        let line = match result {
            Ok(()) => format!("[{number}/{of}] {} done in {}", stage.id, units::seconds(seconds)),
            Err(StageFailure::Interrupted) => format!("{} interrupted, its state is kept", stage.id),
            Err(failure) => format!("[{number}/{of}] {} failed: {failure}", stage.id),
        };
        let is_failure = result.is_err() && is_over;
        match self.style {
            Style::Bars if is_failure => self.bars.suspend(|| tell!("{line}")),
            Style::Lines => tell!("{line}"),
            Style::Quiet if is_failure => tell!("{line}"),
            _ => {}
        }
        self.draw(&work);
    }

    /// `stage`, which was done, is to be done again.
    pub fn again(&self, stage: &Stage) {
        let mut work = self.work();
        work.num_stages += 1;
        work.remaining.again(stage);
    }

    /// Another process has carried out `stage`.
    pub fn elsewhere(&self, stage: &Stage) {
        let mut work = self.work();
        work.stages_finished += 1;
        work.remaining.elsewhere(stage);
        self.draw(&work);
    }

    /// One more run is done or failed.
    pub fn decided(&self) {
        let mut work = self.work();
        work.runs_decided += 1;
        self.draw(&work);
    }

    /// Takes the bars away.
    pub fn close(&self) {
        self.overall.finish_and_clear();
        let _ = self.bars.clear();
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draw(&self, work: &Work) {
        self.overall.set_position((work.remaining.share() * 1000.0) as u64);
        let elapsed = self.started.elapsed();
        let left = match work.remaining.seconds(elapsed.as_secs_f64()) {
            Some(left) => format!("{} left", units::seconds(left)),
            None => "estimating".to_string(),
        };
        let what = if self.interrupted.load(Ordering::Relaxed) {
            "stopping: saving state".to_string()
        } else {
            left
        };
        // What matters most first: a narrow terminal cuts the end off.
        let message = format!(
            "{}/{} runs  {what}  {} gone",
            work.runs_decided,
            work.num_runs,
            units::duration(elapsed)
        );
        self.overall.set_message(message);
    }
}

/// Progress of one stage on one worker.
pub struct StageProgress<'d> {
    display: &'d Display,
    worker: usize,
    stage: &'d Stage,
    bar: ProgressBar,
    started: Instant,
    /// Units that were done when the stage reported first: a resumed stage does not start at 0.
    first: Mutex<Option<u64>>,
}

impl Progress for StageProgress<'_> {
    fn update(&self, done: u64, total: u64, loss: Option<f64>, params: Option<u64>) {
        let first = *self.first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(done);
        let mut work = self.display.work();
        let share = done as f64 / total.max(1) as f64;
        let first_share = first as f64 / total.max(1) as f64;
        work.remaining.update(self.worker, self.stage, first_share, share);
        if work.last_drawn.elapsed() < REDRAW && done < total {
            return;
        }
        work.last_drawn = Instant::now();
        self.bar.set_position((share * 1000.0) as u64);
        let rate = (done - first.min(done)) as f64 / self.started.elapsed().as_secs_f64();
        let mut message = format!("{}  ", self.stage.id);
        if let Some(loss) = loss {
            message.push_str(&format!("loss {loss:.3}  "));
        }
        if let Some(params) = params {
            message.push_str(&format!("{}  ", units::si(params as f64, "params")));
        }
        match self.stage.kind {
            StageKind::Model(_) if rate > 0.0 => message.push_str(&units::si(rate, "tok/s")),
            StageKind::Corpus if rate > 0.0 => {
                let left = units::seconds(total.saturating_sub(done) as f64 / rate);
                message.push_str(&format!("{}  {left} left", of_corpus(self.stage, done, total)));
            }
            _ => {}
        }
        self.bar.set_message(message.trim_end().to_string());
        self.display.draw(&work);
    }

    fn interrupted(&self) -> bool {
        self.display.interrupted.load(Ordering::Relaxed)
    }
}

impl Drop for StageProgress<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// What a corpus is counted in as it is read.
fn of_corpus(stage: &Stage, done: u64, total: u64) -> String {
    match stage.spec.data.corpus {
        CorpusSpec::World { .. } | CorpusSpec::Synthetic { .. } => format!("{done} of {total} documents"),
        _ => format!("{} of {}", units::si(done as f64, "B"), units::si(total as f64, "B")),
    }
}

/// Columns of the bar itself on a terminal with so many: the text beside it comes first.
fn bar_columns(terminal: u16) -> u16 {
    match terminal {
        0..55 => 0,
        55..95 => 12,
        _ => 30,
    }
}

/// A bar, the percentage, and whatever of the message the line has room for.
fn style_of(color: &str) -> ProgressStyle {
    let template = match bar_columns(terminal::columns()) {
        0 => "{percent:>3} %  {wide_msg}".to_string(),
        columns => format!("{{bar:{columns}.{color}}} {{percent:>3}} %  {{wide_msg}}"),
    };
    // A template that indicatif does not understand would be a defect of this file: its own default then.
    ProgressStyle::with_template(&template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
}
