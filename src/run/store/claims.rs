//! Claims: who is at work on what, so that several processes on several machines share one store.
//!
//! ```text
//! store/workers/<process>.json            a process at work; its modification time is its heartbeat, and so is that of
//! store/workers/<process>.progress        how far its stages are, written anew with every beat
//! store/claims/<name>.<generation>.json   <name> is held by the process that the file of the highest generation names
//! ```
//!
//! A claim is taken by the atomic creation of the next generation's file: of several that try, one succeeds. It is given
//! back by deleting it. A holder that is not there any more is followed by the next generation: at once where this kernel
//! can tell that the process has ended, else when its heartbeat has not changed for [`Lease::expiry`] on the *observer's*
//! own clock, so that clocks of machines need not agree. Nothing but `link`, `rename` and modification times is asked of
//! the file system. A claim is not synced to the disk: what a loss of power takes of it is a claim of a machine that is down.
//!
//! A process that was suspended and taken for dead may come back: it looks whether its claim still holds before it commits,
//! and a commit itself is a rename that succeeds once. Both holders compute the same bytes, so nothing depends on who wins.
use super::super::error::RunError;
use crate::base::files::write_new;
use crate::base::process::{Process, host};
use crate::base::seal;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File, FileTimes};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// How long a silent process is believed to be alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    pub beat: Duration,
    pub expiry: Duration,
}

/// Environment variable with another expiry in seconds; for file systems that are slower than that, and for tests.
pub const LEASE_VARIABLE: &str = "EFFICIENTLLM_LEASE_SECONDS";

impl Default for Lease {
    fn default() -> Self {
        let asked = std::env::var(LEASE_VARIABLE).ok().and_then(|text| text.parse().ok());
        let expiry = Duration::from_secs_f64(asked.filter(|s: &f64| (0.1..1e6).contains(s)).unwrap_or(60.0));
        Lease { beat: expiry / 6, expiry }
    }
}

/// A process at work on a results folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerRecord {
    pub process: String,
    pub host: String,
    /// Hash of the plan that it carries out.
    pub plan: String,
    /// Seconds since 1970 on its own clock.
    pub since: u64,
    /// The Slurm job, and the task of an array, that it is.
    pub job: Option<String>,
}

/// What a claim's file says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClaimRecord {
    pub name: String,
    pub process: String,
    /// Of this process: the same one may hold a name again.
    pub number: u32,
    /// Seconds since 1970 on the holder's clock.
    pub since: u64,
    /// Nothing else may run on the holder's machine meanwhile.
    pub alone: bool,
}

/// How far a stage is, in tokens or other units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Done when the process began: a stage that it went on with does not start at 0.
    pub first: u64,
    pub done: u64,
    pub total: u64,
}

/// What a process tells of its stages, by name.
#[derive(Serialize, Deserialize)]
struct AllTold {
    progress: BTreeMap<String, Told>,
}

/// Takes and observes claims of one store, for one process.
pub struct Claims {
    root: PathBuf,
    lease: Lease,
    worker: WorkerRecord,
    /// Heartbeats as they were seen last, and since when they have been so.
    seen: Mutex<HashMap<String, (Beats, Instant)>>,
    next: AtomicU32,
    /// Numbers of the claims that this process holds. One that it gave back while the folder was somewhere else is still there
    /// when the folder is back, and nobody's.
    mine: Mutex<BTreeSet<u32>>,
    /// How far the stages under way are, by name.
    progress: Arc<Mutex<BTreeMap<String, Told>>>,
    heart: Heart,
}

/// A name that this process holds; given back when it is dropped.
pub struct Claim<'a> {
    claims: &'a Claims,
    pub record: ClaimRecord,
    pub generation: u64,
}

impl Claims {
    /// Enters this process among the workers of the store at `root` (`…/store`) and keeps its heart beating until the value
    /// is dropped.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn enter(root: &Path, plan: &str, lease: Lease) -> Result<Self, RunError> {
        let process = Process::current().to_string();
        let job = std::env::var("SLURM_JOB_ID").ok().map(|job| match std::env::var("SLURM_ARRAY_TASK_ID") {
            Ok(task) => format!("{}_{task}", std::env::var("SLURM_ARRAY_JOB_ID").unwrap_or(job)),
            Err(_) => job,
        });
        let worker = WorkerRecord { process, host: host(), plan: plan.to_string(), since: now(), job };
        for folder in ["claims", "workers"] {
            let path = root.join(folder);
            fs::create_dir_all(&path).map_err(|source| RunError::Unwritable { path, source })?;
        }
        let path = worker_file(root, &worker.process);
        let unwritable = |source| RunError::Unwritable { path: path.clone(), source };
        let json = seal::seal(&worker).map_err(io::Error::other).map_err(unwritable)?;
        crate::base::files::write_atomic(&path, &json).map_err(unwritable)?;
        let file = File::options().write(true).open(&path).map_err(unwritable)?;
        let progress: Arc<Mutex<BTreeMap<String, Told>>> = Arc::default();
        let told = progress_file(root, &worker.process);
        let heart = Heart::start(file, lease.beat, {
            let progress = progress.clone();
            move || {
                let progress = progress.lock().unwrap_or_else(PoisonError::into_inner).clone();
                // For who looks on; nothing depends on it.
                if let Ok(json) = seal::seal(&AllTold { progress }) {
                    let _ = crate::base::files::write_atomic(&told, &json);
                }
            }
        });
        let (seen, next, mine) = (Mutex::default(), AtomicU32::new(0), Mutex::default());
        Ok(Claims { root: root.to_path_buf(), lease, worker, seen, next, mine, progress, heart })
    }

    /// Tells who looks on how far a stage is.
    pub fn tell(&self, name: &str, done: u64, total: u64) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let told = Told { first: done, done, total };
        progress
            .entry(name.to_string())
            .and_modify(|told| (told.done, told.total) = (done, total))
            .or_insert(told);
    }

    /// Name of this process.
    pub fn process(&self) -> &str {
        &self.worker.process
    }

    /// Takes `name`; `None` where somebody who is still there holds it.
    ///
    /// # Errors
    /// The folder cannot be read or written to.
    pub fn take(&self, name: &str, alone: bool) -> Result<Option<Claim<'_>>, RunError> {
        let folder = self.root.join("claims");
        let write = |source| RunError::Write { path: folder.clone(), source };
        let generation = match holder(&folder, name).map_err(write)? {
            Some((_, Some(record))) if self.is_held(&record) => return Ok(None),
            // A file that says nothing was not created by this protocol, or is damaged: it expires as a silent holder does.
            Some((generation, None))
                if !self.is_silent(&format!("{name}.{generation}"), Beats::default()) =>
            {
                return Ok(None);
            }
            Some((generation, _)) => generation.saturating_add(1),
            None => 1,
        };
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let record = ClaimRecord {
            name: name.to_string(),
            process: self.worker.process.clone(),
            number,
            since: now(),
            alone,
        };
        let json = seal::seal(&record).map_err(io::Error::other).map_err(write)?;
        // Its own before anybody can see it; dropped where it does not come to be.
        self.mine().insert(number);
        let claim = Claim { claims: self, record, generation };
        match write_new(&claim_file(&folder, name, generation), &json) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            Err(error) => return Err(write(error)),
        }
        // Another may have given a higher generation back between the look and the creation.
        if claim.holds() { Ok(Some(claim)) } else { Ok(None) }
    }

    fn mine(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        self.mine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody is still there who holds it.
    fn is_held(&self, claim: &ClaimRecord) -> bool {
        match claim.process == self.worker.process {
            true => self.mine().contains(&claim.number),
            false => self.is_alive(&claim.process),
        }
    }

    /// Whether the process of that name is still at work.
    pub fn is_alive(&self, process: &str) -> bool {
        if process == self.worker.process {
            return true;
        }
        if process.parse::<Process>().ok().and_then(|process| process.is_alive()) == Some(false) {
            return false;
        }
        !self.is_silent(process, beats(&self.root, process))
    }

    /// Whether what was observed under that name has not changed for the time of a lease.
    fn is_silent(&self, name: &str, beat: Beats) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = seen.entry(name.to_string()).or_insert_with(|| (beat, Instant::now()));
        if entry.0 != beat {
            *entry = (beat, Instant::now());
        }
        entry.1.elapsed() >= self.lease.expiry
    }

    /// Everybody else who is at work on the store now.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn others(&self) -> Result<Vec<WorkerRecord>, RunError> {
        let mut others = workers(&self.root)?;
        others.retain(|other| other.process != self.worker.process && self.is_alive(&other.process));
        Ok(others)
    }

    /// Claims of others on this machine that are held now.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn beside(&self) -> Result<Vec<ClaimRecord>, RunError> {
        let mut held = held(&self.root)?;
        let kernel = &Process::current().kernel;
        held.retain(|claim| {
            claim.process != self.worker.process
                && claim.process.starts_with(kernel.as_str())
                && self.is_alive(&claim.process)
        });
        Ok(held)
    }

    /// Forgets processes that have ended: their claims, which nobody would look at again where a stage was finished, their
    /// entries, and the folders that they worked in. One that was only suspended finds that it holds nothing any more.
    pub fn clear_dead(&self) {
        for claim in held(&self.root).unwrap_or_default() {
            if !self.is_held(&claim) {
                // Followed and given back, as by anybody who goes on with it: two that do so at once do no harm.
                drop(self.take(&claim.name, false));
            }
        }
        // By the names of files: what one says may be damaged.
        let entries = [names(&self.root.join("workers")), names(&self.root.join(super::WORK))];
        let process = |name: String| {
            let name = name.strip_suffix(".json").or(name.strip_suffix(".progress")).unwrap_or(&name);
            name.parse::<Process>().is_ok().then(|| name.to_string())
        };
        let processes: BTreeSet<String> =
            entries.into_iter().flatten().flatten().filter_map(process).collect();
        for process in processes.iter().filter(|process| !self.is_alive(process)) {
            let _ = forget(&self.root, process);
        }
    }

    /// The folder that this process works in.
    pub fn work_folder(&self) -> PathBuf {
        work_folder(&self.root, &self.worker.process)
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        self.heart.stop();
        let _ = fs::remove_dir_all(self.work_folder());
        let _ = fs::remove_file(progress_file(&self.root, &self.worker.process));
        let _ = fs::remove_file(worker_file(&self.root, &self.worker.process));
    }
}

impl Claim<'_> {
    /// Whether nobody has followed: to be asked before anything is committed.
    pub fn holds(&self) -> bool {
        let folder = self.claims.root.join("claims");
        matches!(holder(&folder, &self.record.name), Ok(Some((generation, Some(record))))
            if generation == self.generation && record == self.record)
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let folder = self.claims.root.join("claims");
        self.claims.progress.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.record.name);
        if self.holds() {
            // Those before first: while one is left, the highest is the holder's.
            for generation in generations(&folder, &self.record.name).unwrap_or_default() {
                if generation < self.generation {
                    let _ = fs::remove_file(claim_file(&folder, &self.record.name, generation));
                }
            }
        }
        let own = claim_file(&folder, &self.record.name, self.generation);
        if read_claim(&own).as_ref() == Some(&self.record) {
            let _ = fs::remove_file(own);
        }
        // Whatever became of the file.
        self.claims.mine().remove(&self.record.number);
    }
}

/// Claims that files of the store at `root` tell of, of live and dead processes.
///
/// # Errors
/// The folder cannot be read.
pub fn held(root: &Path) -> Result<Vec<ClaimRecord>, RunError> {
    let folder = root.join("claims");
    let read = |source| RunError::Read { path: folder.clone(), source };
    let mut highest: HashMap<String, u64> = HashMap::new();
    for file in names(&folder).map_err(read)? {
        let Some((name, generation)) = parsed(&file) else { continue };
        let known = highest.entry(name.to_string()).or_default();
        *known = (*known).max(generation);
    }
    let record = |(name, generation): (&String, &u64)| read_claim(&claim_file(&folder, name, *generation));
    Ok(highest.iter().filter_map(record).collect())
}

/// Processes that files of the store at `root` tell of, live and dead ones.
///
/// # Errors
/// The folder cannot be read.
pub fn workers(root: &Path) -> Result<Vec<WorkerRecord>, RunError> {
    let folder = root.join("workers");
    let names = names(&folder).map_err(|source| RunError::Read { path: folder.clone(), source })?;
    let record = |name: &String| seal::open(&fs::read(folder.join(name)).ok()?).ok();
    Ok(names.iter().filter(|name| name.ends_with(".json")).filter_map(record).collect())
}

/// How far the stages of a process are, by name; nothing where it does not tell.
pub fn progress_of(root: &Path, process: &str) -> BTreeMap<String, Told> {
    let bytes = fs::read(progress_file(root, process)).unwrap_or_default();
    seal::open::<AllTold>(&bytes).map(|told| told.progress).unwrap_or_default()
}

/// After so long without a heartbeat a process on another machine is shown as one that has left what it worked on.
const LONG_AGO: Duration = Duration::from_secs(24 * 60 * 60);

/// Whether a process has certainly or very likely ended: this kernel knows it has, or it has not beaten for a day on this
/// machine's clock.
pub(super) fn has_left(root: &Path, process: &str) -> bool {
    match process.parse::<Process>().ok().and_then(|process| process.is_alive()) {
        Some(alive) => !alive,
        None => {
            last_beat(root, process).is_none_or(|beat| beat.elapsed().is_ok_and(|silence| silence > LONG_AGO))
        }
    }
}

/// Deletes what a process left: its entries, and the folder that it worked in.
pub(super) fn forget(root: &Path, process: &str) -> io::Result<()> {
    for file in [progress_file(root, process), worker_file(root, process)] {
        let _ = fs::remove_file(file);
    }
    fs::remove_dir_all(work_folder(root, process))
}

/// When the two files of a process were changed last. There are file systems (some in user space) on which a time cannot be set, and
/// a full disk takes no file: one of the two beats everywhere.
type Beats = [Option<SystemTime>; 2];

fn beats(root: &Path, process: &str) -> Beats {
    let beat = |path: PathBuf| fs::metadata(path).and_then(|data| data.modified()).ok();
    [beat(worker_file(root, process)), beat(progress_file(root, process))]
}

/// When the heart of a process beat last, on its own clock or that of the file system.
pub fn last_beat(root: &Path, process: &str) -> Option<SystemTime> {
    beats(root, process).into_iter().max().flatten()
}

fn worker_file(root: &Path, process: &str) -> PathBuf {
    root.join("workers").join(format!("{process}.json"))
}

fn progress_file(root: &Path, process: &str) -> PathBuf {
    root.join("workers").join(format!("{process}.progress"))
}

fn work_folder(root: &Path, process: &str) -> PathBuf {
    root.join(super::WORK).join(process)
}

fn claim_file(folder: &Path, name: &str, generation: u64) -> PathBuf {
    folder.join(format!("{name}.{generation}.json"))
}

/// Name and generation of a claim's file.
fn parsed(file: &str) -> Option<(&str, u64)> {
    let (name, generation) = file.strip_suffix(".json")?.rsplit_once('.')?;
    Some((name, generation.parse().ok()?))
}

/// Names of the entries of a folder; none where it is not there.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Generations of a name, from the lowest on.
fn generations(folder: &Path, name: &str) -> io::Result<Vec<u64>> {
    let files = names(folder)?;
    let of_name = files.iter().filter_map(|file| parsed(file)).filter(|(other, _)| *other == name);
    let mut generations: Vec<u64> = of_name.map(|(_, generation)| generation).collect();
    generations.sort_unstable();
    Ok(generations)
}

/// The highest generation of a name, and what its file says if it says anything.
fn holder(folder: &Path, name: &str) -> io::Result<Option<(u64, Option<ClaimRecord>)>> {
    let highest = generations(folder, name)?.last().copied();
    Ok(highest.map(|generation| (generation, read_claim(&claim_file(folder, name, generation)))))
}

fn read_claim(path: &Path) -> Option<ClaimRecord> {
    seal::open(&fs::read(path).ok()?).ok()
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// A thread that touches the process's file. It holds the file open, so that a folder that is moved is no matter, and
/// writes nothing into it, so that a full disk is none either.
struct Heart {
    stopped: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Heart {
    fn start(file: File, beat: Duration, tell: impl Fn() + Send + 'static) -> Self {
        let stopped = Arc::new((Mutex::new(false), Condvar::new()));
        let thread = std::thread::spawn({
            let stopped = stopped.clone();
            move || {
                let mut last = SystemTime::UNIX_EPOCH;
                loop {
                    // A clock that was set back must not repeat an earlier beat.
                    last = SystemTime::now().max(last + Duration::from_millis(1));
                    // Both of them: where one is set alone, some file systems in user space set none.
                    let _ = file.set_times(FileTimes::new().set_accessed(last).set_modified(last));
                    tell();
                    let (flag, changed) = &*stopped;
                    let flag = flag.lock().unwrap_or_else(PoisonError::into_inner);
                    let waited = changed.wait_timeout_while(flag, beat, |stopped| !*stopped);
                    if *waited.unwrap_or_else(PoisonError::into_inner).0 {
                        return;
                    }
                }
            }
        });
        Heart { stopped, thread: Some(thread) }
    }

    fn stop(&mut self) {
        *self.stopped.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stopped.1.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
