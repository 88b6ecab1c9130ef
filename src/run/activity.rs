//! Who is at work on a store now, for people who look on.
use super::error::RunError;
use super::store::{Lease, Store, Told, WorkerRecord, held, last_beat, progress_of, workers};
use crate::base::process::Process;
use crate::base::units;
use serde::Serialize;
use std::collections::HashMap;
use std::time::{Duration, SystemTime};

/// A process at work.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AtWork {
    pub host: String,
    pub process: String,
    pub job: Option<String>,
    /// Since it began, on this machine's clock.
    pub seconds: Option<f64>,
    /// Names of the stages that it holds.
    pub stages: Vec<String>,
}

/// A stage under way.
#[derive(Clone, Debug, PartialEq)]
pub struct UnderWay {
    pub who: String,
    pub seconds: Option<f64>,
    pub progress: Option<Told>,
}

impl UnderWay {
    /// Share that is done.
    pub fn share(&self) -> Option<f64> {
        let told = self.progress.filter(|told| told.total > 0)?;
        Some(told.done as f64 / told.total as f64)
    }

    /// Seconds that are left at the pace so far.
    pub fn seconds_left(&self) -> Option<f64> {
        let (told, seconds) = (self.progress?, self.seconds?);
        let done = told.done.checked_sub(told.first).filter(|done| *done > 0)?;
        Some(seconds * told.total.saturating_sub(told.done) as f64 / done as f64)
    }
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Activity {
    pub workers: Vec<AtWork>,
    stages: HashMap<String, UnderWay>,
}

impl Activity {
    /// Of `store`. A process of this kernel is looked up; of one elsewhere the heartbeat is held against this machine's clock,
    /// which is good enough to show and decides nothing.
    ///
    /// # Errors
    /// The folders cannot be read.
    pub fn of(store: &Store) -> Result<Self, RunError> {
        let root = store.root();
        let expiry = Lease::default().expiry;
        let mut activity = Activity::default();
        let mut alive: HashMap<String, WorkerRecord> = HashMap::new();
        for worker in workers(root)? {
            let told = worker.process.parse::<Process>().ok().and_then(|process| process.is_alive());
            let beat = last_beat(root, &worker.process);
            let silence = beat.map(|beat| beat.elapsed().unwrap_or(Duration::ZERO));
            if told.unwrap_or(true) && silence.is_some_and(|silence| silence < 2 * expiry) {
                alive.insert(worker.process.clone(), worker);
            }
        }
        let mut stages: HashMap<String, Vec<String>> = HashMap::new();
        for claim in held(root)? {
            let Some(worker) = alive.get(&claim.process) else { continue };
            let progress = progress_of(root, &claim.process);
            let under_way = UnderWay {
                who: who(worker),
                seconds: since(claim.since),
                progress: progress.get(&claim.name).copied(),
            };
            activity.stages.insert(claim.name.clone(), under_way);
            stages.entry(claim.process).or_default().push(claim.name);
        }
        for worker in alive.into_values() {
            let mut stages = stages.remove(&worker.process).unwrap_or_default();
            stages.sort();
            activity.workers.push(AtWork {
                seconds: since(worker.since),
                host: worker.host,
                process: worker.process,
                job: worker.job,
                stages,
            });
        }
        activity.workers.sort_by(|a, b| (&a.host, &a.process).cmp(&(&b.host, &b.process)));
        Ok(activity)
    }

    /// Who is at work on the stage of that name.
    pub fn on(&self, name: &str) -> Option<&UnderWay> {
        self.stages.get(name)
    }
}

impl AtWork {
    /// As a line for people.
    pub fn line(&self) -> String {
        let number = self.process.split('-').nth(1).unwrap_or_default();
        let job = self.job.as_ref().map_or(String::new(), |job| format!(", Slurm job {job}"));
        let time = self.seconds.map_or(String::new(), |seconds| format!(", for {}", units::seconds(seconds)));
        let stages = match self.stages.len() {
            0 => "waits".to_string(),
            _ => format!("at work on {}", self.stages.join(", ")),
        };
        format!("process {number} on {}{job}{time}: {stages}", self.host)
    }
}

fn who(worker: &WorkerRecord) -> String {
    let number = worker.process.split('-').nth(1).unwrap_or_default();
    format!("process {number} on {}", worker.host)
}

/// Seconds since a time of day that another clock told.
fn since(seconds: u64) -> Option<f64> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    now.checked_sub(seconds).map(|seconds| seconds as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_stage_is_told_by_its_pace_here() {
        let at = |first, done, total| UnderWay {
            who: "process 7 on far".into(),
            seconds: Some(30.0),
            progress: Some(Told { first, done, total }),
        };
        // What it had done before it was gone on with is no pace.
        let resumed = at(10, 40, 100);
        assert_eq!((resumed.share(), resumed.seconds_left()), (Some(0.4), Some(60.0)));
        assert_eq!((at(40, 40, 100).share(), at(40, 40, 100).seconds_left()), (Some(0.4), None));
        assert_eq!((at(0, 0, 0).share(), at(0, 0, 0).seconds_left()), (None, None));
        assert_eq!(UnderWay { progress: None, ..at(0, 1, 2) }.seconds_left(), None);
        assert_eq!(UnderWay { seconds: None, ..at(0, 1, 2) }.seconds_left(), None);
    }
}
