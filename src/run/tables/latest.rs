//! What the tables were merged from last: whoever finds just that in the store need not merge it again.
//!
//! ```text
//! from  = SHA-256( program ‖ plan ‖ for every run the SHA-256 of each file that its rows come from, or why it failed )
//! sums  = SHA-256 of `SHA256SUMS`, which lists what was made of it
//! ```
//!
//! Workers that end together merge once, not each in turn.
use super::super::store::Store;
use crate::base::hash::sha256_hex;
use crate::record::provenance::ENVIRONMENT_FILE;
use crate::record::{derived, snapshot};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::time::SystemTime;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Latest {
    from: String,
    sums: String,
}

/// What tables are merged from, hashed.
pub(super) fn from(plan: &str, runs: &[Option<String>]) -> Option<String> {
    let mut text = format!("{}\n{plan}\n", program()?);
    for run in runs {
        let _ = writeln!(text, "{}", run.as_deref().unwrap_or("nothing"));
    }
    Some(sha256_hex(text.as_bytes()))
}

/// The program as a file: another one may make other rows of the same records.
fn program() -> Option<String> {
    let file = std::fs::metadata(std::env::current_exe().ok()?).ok()?;
    let changed = file.modified().ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(format!("{} {} {}", env!("CARGO_PKG_VERSION"), file.len(), changed.as_nanos()))
}

impl Latest {
    /// What was kept last.
    pub fn of(store: &Store) -> Option<Self> {
        store.latest()
    }

    /// Keeps that the tables which are in place were merged `from` this. What cannot be kept is merged again.
    pub fn keep(store: &Store, from: String) {
        let Some(sums) = snapshot::read_sums(store.results()).ok().flatten() else { return };
        let _ = store.keep_latest(&Latest { from, sums: snapshot::sum_of(&sums) });
    }

    /// Whether tables merged `from` this would be what is in place, with this `environment.json` beside them; the dictionary
    /// beside them is looked after.
    pub fn holds(&self, store: &Store, from: &str, environment: Option<&[u8]>, axes: &[String]) -> bool {
        if self.from != from {
            return false;
        }
        let Some(sums) = snapshot::in_place(store.results()) else { return false };
        let environment = environment.map(sha256_hex);
        let holds =
            snapshot::sum_of(&sums) == self.sums && sums.get(ENVIRONMENT_FILE) == environment.as_ref();
        if holds {
            derived::remove_other_dictionary(store.results(), axes);
        }
        holds
    }
}
