//! The result tables of a plan, merged from the records in the store.
//!
//! Records are written once, by the stages that measure them. To merge them costs time in proportion to all runs, so while
//! a sweep goes on it is done only so often that it takes a two-hundredth of the time, and once more at the end.
mod latest;
mod plan_file;
mod runs;

#[cfg(test)]
pub(super) use plan_file::declared_in;
pub use plan_file::write_plan;
pub(super) use plan_file::{PLAN_FILE, belongs_to, plan_text};

use self::latest::Latest;
use self::plan_file::contents;
use super::error::RunError;
use super::store::{Claim, Claims, StageKey, Store};
use super::sweep::StageState;
use crate::plan::{Plan, Run};
use crate::record::provenance::ENVIRONMENT_FILE;
use crate::record::{RecordError, RunRows, Tables, derived};
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Claim of whoever writes the tables.
pub(super) const TABLES_CLAIM: &str = "tables";
/// Between two looks whether another process has written them.
const PAUSE: Duration = Duration::from_millis(50);
/// How often tables are written again because somebody else wrote at the same time.
const MOST_DISTURBED: u32 = 20;
/// Tables are not merged again before so many times the duration of the last time are over, and not before the least.
const PACE: u32 = 200;
const LEAST_PAUSE: Duration = Duration::from_secs(1);

/// Runs whose rows are made before they are written, for each thread.
const AT_ONCE: usize = 4;

/// Writes the tables of one plan.
pub(super) struct Merger<'a> {
    plan: &'a Plan,
    /// Its hash.
    hash: &'a str,
    keys: &'a [StageKey],
    store: &'a Store,
    claims: &'a Claims,
    results: &'a Path,
    /// `environment.json`.
    pub provenance: Option<Vec<u8>>,
    /// `plan.json`, once it was needed.
    plan_text: OnceLock<Vec<u8>>,
    next: Instant,
}

impl<'a> Merger<'a> {
    pub fn new(
        plan: &'a Plan,
        hash: &'a str,
        keys: &'a [StageKey],
        store: &'a Store,
        claims: &'a Claims,
    ) -> Self {
        let (results, plan_text) = (store.results(), OnceLock::new());
        Merger { plan, hash, keys, store, claims, results, provenance: None, plan_text, next: Instant::now() }
    }

    /// Merges the records if that is due and nobody else is at it.
    pub fn merge_in_time(&mut self) -> Result<(), RunError> {
        if Instant::now() < self.next {
            return Ok(());
        }
        let Some(claim) = self.claim()? else { return Ok(()) };
        match self.write() {
            // Merged again when that is due, and at the end.
            Err(error) if is_missing(&error) || !claim.holds() => Ok(()),
            written => written.map(drop),
        }
    }

    /// Merges the records, after whoever is at it, unless that one has merged the same. A process that was suspended while it wrote, and followed, goes on with its own
    /// files beside those of its follower, and each may take the other's away: both write again, the last of them alone.
    pub fn merge(&mut self) -> Result<(), RunError> {
        let mut disturbed = 0;
        loop {
            if let Some(claim) = self.claim()? {
                if disturbed == 0 && self.is_latest() {
                    return Ok(());
                }
                // It is about to be wrong, and takes room that the tables may need.
                self.store.forget_latest();
                let written = self.write();
                let is_disturbed =
                    !claim.holds() || written.as_ref().is_err_and(is_missing) && self.results.exists();
                if !is_disturbed || disturbed == MOST_DISTURBED {
                    return written.map(|from| {
                        if let Some(from) = from.filter(|_| !is_disturbed) {
                            Latest::keep(self.store, from);
                        }
                    });
                }
                disturbed += 1;
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn claim(&self) -> Result<Option<Claim<'a>>, RunError> {
        let take = || self.claims.take(TABLES_CLAIM, false);
        take().or_else(|error| if error.is_full() && make_room(self.results) { take() } else { Err(error) })
    }

    /// Whether the tables in place are merged from what the store holds.
    fn is_latest(&self) -> bool {
        let Some(latest) = Latest::of(self.store) else { return false };
        let line = |run| runs::find(run, self.keys, self.store).map(|found| found.map(|found| found.line()));
        // What is damaged or cannot be read is told by a merge.
        let Ok(lines) = self.plan.runs.par_iter().map(line).collect::<Result<Vec<_>, RunError>>() else {
            return false;
        };
        latest::from(self.hash, &lines)
            .is_some_and(|from| latest.holds(self.store, &from, self.provenance.as_deref(), &self.axes()))
    }

    fn axes(&self) -> Vec<String> {
        self.plan.experiment.axes.iter().map(|axis| axis.key.clone()).collect()
    }

    /// Merges all records of finished runs, and the reasons of those that failed, into the tables. A record that is found
    /// to be damaged now is left out: the next start makes it again. Where the disk is full, room is made by what can be made
    /// again, and tables take the place of the old ones one by one. Returns the hash of what was merged, where that can be told.
    fn write(&mut self) -> Result<Option<String>, RunError> {
        let started = Instant::now();
        let mut written = self.write_all(Tables::begin);
        if written.as_ref().is_err_and(RunError::is_full) && make_room(self.results) {
            written = self.write_all(Tables::begin);
        }
        if written.as_ref().is_err_and(RunError::is_full) {
            written = self.write_all(Tables::begin_in_memory);
        }
        let from = written?;
        self.next = Instant::now() + LEAST_PAUSE.max(PACE * started.elapsed());
        Ok(from)
    }

    fn write_all(
        &self,
        begin: fn(&'a Path, Vec<String>) -> Result<Tables<'a>, RecordError>,
    ) -> Result<Option<String>, RunError> {
        let mut tables = begin(self.results, self.axes())?;
        let mut lines = Vec::with_capacity(self.plan.runs.len());
        let mut is_whole = true;
        for some in self.plan.runs.chunks(AT_ONCE * rayon::current_num_threads()) {
            let rows: Vec<_> = some.par_iter().map(|run| self.rows(run, &tables)).collect();
            for rows in rows {
                match rows {
                    Ok(Some((line, rows))) => {
                        tables.add_rows(&rows)?;
                        lines.push(Some(line));
                    }
                    Ok(None) => lines.push(None),
                    Err(error @ RunError::Damaged { .. }) => {
                        tracing::warn!(
                            "{error}; the run is left out of the tables, run again to make it anew"
                        );
                        is_whole = false;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        // What is asked is frozen before there is an answer: a question that is added later is told as such.
        let unfrozen;
        let plan: &[u8] = match lines.iter().any(Option::is_some) {
            false => {
                unfrozen = contents(self.results, self.plan, false)?;
                &unfrozen
            }
            true => {
                if self.plan_text.get().is_none() {
                    let _ = self.plan_text.set(contents(self.results, self.plan, true)?);
                }
                self.plan_text.get().map_or(&[], Vec::as_slice)
            }
        };
        let mut others: Vec<(&str, &[u8])> = vec![(PLAN_FILE, plan)];
        others.extend(self.provenance.as_deref().map(|bytes| (ENVIRONMENT_FILE, bytes)));
        tables.commit(&others)?;
        Ok(if is_whole { latest::from(self.hash, &lines) } else { None })
    }

    /// The rows of a run, with what they come from; `None` for one that is neither done nor failed.
    fn rows(&self, run: &Run, tables: &Tables<'_>) -> Result<Option<(String, RunRows)>, RunError> {
        let Some(found) = runs::find(run, self.keys, self.store)? else { return Ok(None) };
        Ok(Some((found.line(), tables.rows(&found.record(self.plan, run)?)?)))
    }

    /// Checks the records of all runs that are done; those of damaged stages are set aside, so that they are made again.
    /// Returns what was damaged.
    pub fn check(&self, states: &[StageState]) -> Result<Vec<RunError>, RunError> {
        let of_run = |run: &Run| [Some(run.evaluation), run.latency].into_iter().flatten();
        // Arms may share a stage.
        let places: BTreeSet<usize> = self.plan.runs.iter().flat_map(of_run).collect();
        let looked = |place: &usize| match states[*place] {
            StageState::Done => self.store.files(&self.keys[*place])?.map_or(Ok(()), |stage| stage.verify()),
            _ => Ok(()),
        };
        let faults: Vec<RunError> = places.par_iter().filter_map(|place| looked(place).err()).collect();
        let mut damaged = Vec::new();
        for fault in faults {
            let RunError::Damaged { path, .. } = &fault else { return Err(fault) };
            self.store.set_aside(path)?;
            damaged.push(fault);
        }
        Ok(damaged)
    }
}

/// A file that was there a moment ago is not.
fn is_missing(error: &RunError) -> bool {
    matches!(error, RunError::Tables(RecordError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound)
}

/// Deletes the report of before, which will not agree with the tables any more, and says so. Returns false where there is none.
pub(super) fn make_room(results: &Path) -> bool {
    let removed = derived::remove(results);
    if removed {
        tell!(
            "warning: the disk is full: the report in `{}` is deleted to make room; it is made again at the end",
            results.display()
        );
    }
    removed
}

#[cfg(test)]
mod tests;
