//! What Slurm tells of the jobs that were submitted for a results folder: `squeue` of those that it holds, and `sacct`, where
//! accounting is kept, of those that have ended or were put back into the queue. Either may be missing or refuse: then what the
//! other tells is all there is.
//!
//! ```text
//! squeue -h -t all -j 41,42 -o '%i|%T|%R'                      41_[3-5]|PENDING|Resources
//! sacct -n -P -X -D -j 41,42 -o JobID,State,ExitCode,NodeList  41_0|PREEMPTED|0:0|node7     once for each attempt (-D)
//! ```
use super::read;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// A controller that does not answer must not keep `status` from telling what the store says.
const PATIENCE: Duration = Duration::from_secs(10);
/// Jobs that one line names.
const MOST_IDS: usize = 8;

/// A job, or a task of an array, as Slurm tells of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Job {
    pub id: String,
    /// In Slurm's word, such as `RUNNING`, `OUT_OF_MEMORY` or `CANCELLED`.
    pub state: String,
    /// Why it waits, where it runs, or how it ended.
    pub reason: String,
    /// How often it was preempted and put back into the queue.
    pub preempted: u32,
}

impl Job {
    /// What became of it, for people.
    fn told(&self) -> String {
        let state = self.state.to_lowercase().replace('_', " ");
        let times = match self.preempted {
            0 => String::new(),
            1 => ", preempted once".to_string(),
            n => format!(", preempted {n} times"),
        };
        format!("{}{times}", format!("{state} {}", self.reason).trim_end())
    }

    /// `jobs` as lines for people; those of which the same is to be told share one.
    pub fn lines<'j>(jobs: impl IntoIterator<Item = &'j Job>) -> Vec<String> {
        let mut told: Vec<(String, Vec<&str>)> = Vec::new();
        for job in jobs {
            let text = job.told();
            match told.iter_mut().find(|(other, _)| *other == text) {
                Some((_, ids)) => ids.push(&job.id),
                None => told.push((text, vec![&job.id])),
            }
        }
        let line = |(text, ids): (String, Vec<&str>)| match ids.len() {
            1 => format!("Slurm job {}: {text}", ids[0]),
            n if n > MOST_IDS => {
                format!("Slurm jobs {} and {} more: {text}", ids[..MOST_IDS].join(", "), n - MOST_IDS)
            }
            _ => format!("Slurm jobs {}: {text}", ids.join(", ")),
        };
        told.into_iter().map(line).collect()
    }

    /// Whether it is over and did not end well: whoever waits for it waits in vain.
    pub fn has_failed(&self) -> bool {
        !matches!(
            self.state.as_str(),
            "PENDING"
                | "RUNNING"
                | "COMPLETED"
                | "COMPLETING"
                | "CONFIGURING"
                | "REQUEUED"
                | "REQUEUE_HOLD"
                | "REQUEUE_FED"
                | "RESIZING"
                | "SIGNALING"
                | "SPECIAL_EXIT"
                | "STAGE_OUT"
                | "SUSPENDED"
                | "STOPPED"
        )
    }
}

/// Submitted jobs that wait, run, or have not ended well; nothing where there is no Slurm.
pub fn jobs(results: &Path) -> Vec<Job> {
    let submitted = read(results);
    if submitted.jobs.is_empty() {
        return Vec::new();
    }
    let ids = submitted.jobs.join(",");
    let queued = told(Command::new("squeue").args(["-h", "-t", "all", "-j", &ids, "-o", "%i|%T|%R"]));
    let format = "JobID,State,ExitCode,NodeList";
    let accounted = told(Command::new("sacct").args(["-n", "-P", "-X", "-D", "-j", &ids, "-o", format]));
    joined(&queued.unwrap_or_default(), &accounted.unwrap_or_default())
}

/// What both tell, by job; of one that both know the queue knows better.
fn joined(queued: &str, accounted: &str) -> Vec<Job> {
    let mut jobs: BTreeMap<(u64, u64, String), Job> = BTreeMap::new();
    let mut preempted: BTreeMap<String, u32> = BTreeMap::new();
    // The attempts of a task follow one another: the last is what became of it.
    for line in accounted.lines() {
        let [id, state, exit, node] = fields(line);
        // `CANCELLED by 1000`
        let state = state.split_whitespace().next().unwrap_or_default();
        if id.is_empty() || state.is_empty() {
            continue;
        }
        if state == "PREEMPTED" {
            *preempted.entry(id.to_string()).or_default() += 1;
        }
        let reason = how(state, exit, node);
        let job = Job { id: id.to_string(), state: state.to_string(), reason, preempted: 0 };
        jobs.insert(order(id), job);
    }
    let mut in_queue = BTreeSet::new();
    for line in queued.lines() {
        let [id, state, reason, _] = fields(line);
        if id.is_empty() || state.is_empty() {
            continue;
        }
        in_queue.insert(id.to_string());
        let job =
            Job { id: id.to_string(), state: state.to_string(), reason: reason.to_string(), preempted: 0 };
        // How it ended, accounting knows better.
        if !job.has_failed() || jobs.get(&order(id)).is_none_or(|known| known.state != job.state) {
            jobs.insert(order(id), job);
        }
    }
    let mut jobs: Vec<Job> = jobs.into_values().collect();
    for job in &mut jobs {
        job.preempted = preempted.get(&job.id).copied().unwrap_or_default();
        // The last attempt was itself preempted, and that is what the state says.
        if job.state == "PREEMPTED" {
            job.preempted = job.preempted.saturating_sub(1);
        }
    }
    // An entry of accounting that waits or runs while the queue does not hold it is one of a moment ago.
    jobs.retain(|job| {
        job.state != "COMPLETED" && (job.has_failed() || in_queue.contains(&job.id) || queued.is_empty())
    });
    jobs
}

/// How an attempt ended: its exit code (`code:signal`) where that says more than the state, and where it ran.
fn how(state: &str, exit: &str, node: &str) -> String {
    let (code, signal) = exit.split_once(':').unwrap_or((exit, "0"));
    let at = if node.is_empty() || node == "None assigned" { String::new() } else { format!("on {node}") };
    match (state, code, signal) {
        ("FAILED", code, "0" | "") if code != "0" && !code.is_empty() => {
            format!("{at} with exit code {code}")
        }
        ("FAILED", _, signal) if signal != "0" && !signal.is_empty() => format!("{at} by signal {signal}"),
        _ => at,
    }
    .trim_start()
    .to_string()
}

fn fields(line: &str) -> [&str; 4] {
    let mut parts = line.split('|').map(str::trim);
    [(); 4].map(|()| parts.next().unwrap_or_default())
}

/// By number of the job, then of its task: `41_9` is before `41_10`, and before `41_[11-20]`.
fn order(id: &str) -> (u64, u64, String) {
    let (job, task) = id.split_once('_').unwrap_or((id, ""));
    let number = |text: &str| -> u64 {
        let digits: String =
            text.chars().skip_while(|c| *c == '[').take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or_default()
    };
    (number(job), number(task), id.to_string())
}

/// What a program of Slurm writes; `None` where there is none, it refuses, or it does not answer in time.
fn told(command: &mut Command) -> Option<String> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let mut output = child.stdout.take()?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = output.read_to_end(&mut bytes);
        let _ = sender.send(read.map(|_| bytes));
    });
    let bytes = receiver.recv_timeout(PATIENCE);
    if bytes.is_err() {
        let _ = child.kill();
    }
    let ended = child.wait().is_ok_and(|status| status.success());
    let bytes = bytes.ok()?.ok()?;
    ended.then(|| String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(queued: &str, accounted: &str) -> Vec<String> {
        Job::lines(&joined(queued, accounted))
    }

    #[test]
    fn the_queue_alone_tells_what_waits_runs_and_has_just_failed() {
        let queued = "41_[3-5]|PENDING|Resources\n41_10|RUNNING|node7\n41_2|FAILED|NonZeroExitCode\n41_9|RUNNING|node7\n41_1|COMPLETED|node7\n";
        assert_eq!(
            lines(queued, ""),
            [
                "Slurm job 41_2: failed NonZeroExitCode",
                "Slurm job 41_[3-5]: pending Resources",
                "Slurm jobs 41_9, 41_10: running node7",
            ]
        );
        let many: String = (0..40).map(|task| format!("41_{task}|TIMEOUT|TimeLimit\n")).collect();
        let told = "Slurm jobs 41_0, 41_1, 41_2, 41_3, 41_4, 41_5, 41_6, 41_7 and 32 more: timeout TimeLimit";
        assert_eq!(lines(&many, ""), [told]);
    }

    #[test]
    fn accounting_adds_why_tasks_ended_and_how_often_they_were_preempted() {
        let queued = "41_0|RUNNING|node8\n";
        let accounted = "41_0|PREEMPTED|0:0|node7\n41_0|PREEMPTED|0:15|node7\n41_0|RUNNING|0:0|node8\n\
                         41_1|TIMEOUT|0:0|node7\n41_2|OUT_OF_MEMORY|0:125|node7\n41_3|CANCELLED by 1000|0:0|None assigned\n\
                         41_4|FAILED|2:0|node7\n41_5|FAILED|0:11|node7\n41_6|COMPLETED|0:0|node7\n41_7|NODE_FAIL|1:0|node9\n\
                         41_8|PREEMPTED|0:0|node7\n41_9|RUNNING|0:0|node7\n";
        assert_eq!(
            lines(queued, accounted),
            [
                "Slurm job 41_0: running node8, preempted 2 times",
                "Slurm job 41_1: timeout on node7",
                "Slurm job 41_2: out of memory on node7",
                "Slurm job 41_3: cancelled",
                "Slurm job 41_4: failed on node7 with exit code 2",
                "Slurm job 41_5: failed on node7 by signal 11",
                "Slurm job 41_7: node fail on node9",
                "Slurm job 41_8: preempted on node7",
            ]
        );
    }

    #[test]
    fn what_is_no_answer_of_slurm_is_no_job() {
        assert!(lines("slurm_load_jobs error: Invalid job id specified", "").is_empty());
        assert!(lines("", "||\n|FAILED|1:0|\n41||\n").is_empty());
        let mut quick = Command::new("sh");
        assert_eq!(told(quick.args(["-c", "echo 41"])).as_deref(), Some("41\n"));
        assert_eq!(told(Command::new("sh").args(["-c", "echo 41; exit 1"])), None, "accounting is disabled");
        assert_eq!(told(&mut Command::new("/no/such/squeue")), None);
    }
}
