//! Scores kept as they come, so that an interrupted evaluation goes on where it stopped.
//!
//! An append-only file of JSON lines: first the fingerprint of what scores (model, tokenizer, engine), then one line an
//! item. An item is known by the hash of its token requests, so scores hold for any choice of tasks, limits, examples
//! and context length, and never for another text. A line that a crash tore in two is dropped.
use super::error::EvalError;
use super::request::{Found, Scorer, TokenRequest};
use crate::base::hash::sha256_hex;
use crate::data::Batch;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    fingerprint: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    item: String,
    loglikelihoods: Vec<f64>,
}

/// Scores so far, in memory and on disk.
pub struct Journal {
    path: PathBuf,
    file: File,
    known: HashMap<String, Vec<f64>>,
}

impl Journal {
    /// Opens the journal at `path`, or begins it.
    ///
    /// # Errors
    /// It is another model's, a line other than the last is damaged, or the file cannot be read or written.
    pub fn open(path: &Path, fingerprint: &str) -> Result<Journal, EvalError> {
        let fault = |source| EvalError::Journal { path: path.to_path_buf(), source };
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(path).map_err(fault)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(fault)?;
        let whole = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |last| last + 1);
        let mut known = HashMap::new();
        for (index, line) in bytes[..whole].split_inclusive(|&b| b == b'\n').enumerate() {
            let damaged = || EvalError::DamagedJournal { path: path.to_path_buf(), line: index + 1 };
            if index == 0 {
                let header: Header = serde_json::from_slice(line).map_err(|_| damaged())?;
                if header.fingerprint != fingerprint {
                    return Err(EvalError::OtherJournal { path: path.to_path_buf() });
                }
            } else {
                let entry: Entry = serde_json::from_slice(line).map_err(|_| damaged())?;
                known.insert(entry.item, entry.loglikelihoods);
            }
        }
        file.set_len(whole as u64).and_then(|()| file.seek(io::SeekFrom::End(0))).map_err(fault)?;
        let mut journal = Journal { path: path.to_path_buf(), file, known };
        if whole == 0 {
            journal.append(&Header { fingerprint: fingerprint.to_string() })?;
        }
        Ok(journal)
    }

    /// Items known.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether no item is known.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    fn append(&mut self, line: &impl Serialize) -> Result<(), EvalError> {
        let write = |file: &mut File| {
            let mut bytes = serde_json::to_vec(line)?;
            bytes.push(b'\n');
            file.write_all(&bytes)
        };
        write(&mut self.file).map_err(|source| EvalError::Journal { path: self.path.clone(), source })
    }
}

fn key(requests: &[TokenRequest]) -> String {
    let mut bytes = Vec::new();
    for request in requests {
        bytes.extend((request.tokens.len() as u64).to_le_bytes());
        bytes.extend((request.scored_from as u64).to_le_bytes());
        bytes.extend(request.tokens.iter().flat_map(|token| token.to_le_bytes()));
    }
    sha256_hex(&bytes)[..32].to_string()
}

/// A scorer that asks the journal first, and can be stopped between items.
pub struct Journalled<'a> {
    pub journal: &'a mut Journal,
    pub scorer: &'a mut dyn Scorer,
    /// Called after every item with its index and whether it was known; `false` stops.
    pub watch: &'a mut dyn FnMut(usize, bool) -> bool,
}

impl Scorer for Journalled<'_> {
    fn loglikelihoods(&mut self, items: &[Vec<TokenRequest>], found: Found) -> Result<(), EvalError> {
        let Journalled { journal, scorer, watch } = self;
        let mut watched = |item, is_known, scores| {
            found(item, scores)?;
            if watch(item, is_known) { Ok(()) } else { Err(EvalError::Interrupted) }
        };
        let (mut unknown, mut indices) = (Vec::new(), Vec::new());
        for (item, requests) in items.iter().enumerate() {
            let known = journal.known.get(&key(requests)).filter(|scores| scores.len() == requests.len());
            match known {
                Some(scores) => watched(item, true, scores.clone())?,
                None => {
                    unknown.push(requests.clone());
                    indices.push(item);
                }
            }
        }
        scorer.loglikelihoods(&unknown, &mut |index, scores| {
            // JSON has no word for what is not finite; such an item is scored again.
            if scores.iter().all(|ll| ll.is_finite()) {
                let entry = Entry { item: key(&unknown[index]), loglikelihoods: scores.clone() };
                journal.append(&entry)?;
                journal.known.insert(entry.item, entry.loglikelihoods);
            }
            watched(indices[index], false, scores)
        })
    }

    fn nll_sum(&mut self, batch: &Batch) -> Result<f64, EvalError> {
        self.scorer.nll_sum(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::tests::Toy;
    use super::*;
    use std::fs;

    fn request(ids: &[u32]) -> TokenRequest {
        TokenRequest { tokens: ids.to_vec(), scored_from: 1 }
    }

    /// Scores of items of one request each, and how many of them were not known.
    fn score(path: &Path, items: &[&[u32]]) -> (Vec<f64>, usize) {
        let (mut toy, mut journal) = (Toy::default(), Journal::open(path, "model").expect("a journal"));
        let mut watch = |_, _| true;
        let mut scorer = Journalled { journal: &mut journal, scorer: &mut toy, watch: &mut watch };
        let items: Vec<_> = items.iter().map(|ids| vec![request(ids)]).collect();
        let scores = super::super::request::score(&mut scorer, &items).expect("scores");
        (scores.into_iter().flatten().collect(), toy.groups.len())
    }

    #[test]
    fn what_is_known_is_not_scored_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal.jsonl");
        let (whole, _) = score(&path, &[&[1, 2], &[3, 4], &[5, 6]]);
        assert_eq!(score(&path, &[&[5, 6], &[1, 2], &[3, 4]]), (vec![whole[2], whole[0], whole[1]], 0));
        assert_eq!(score(&path, &[&[1, 2], &[7, 8]]).1, 1);
        // A torn last line is dropped, and its item scored again.
        let bytes = fs::read(&path).expect("the journal");
        fs::write(&path, &bytes[..bytes.len() - 5]).expect("written");
        assert_eq!(score(&path, &[&[1, 2], &[7, 8]]).1, 1);
        assert_eq!(fs::read(&path).expect("the journal"), bytes);
        // A torn first line is no line.
        fs::write(&path, &bytes[..10]).expect("written");
        assert_eq!(score(&path, &[&[1, 2]]).1, 1);
    }

    #[test]
    fn what_was_found_before_a_stop_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal.jsonl");
        let (mut toy, mut journal) = (Toy::default(), Journal::open(&path, "model").expect("a journal"));
        let mut seen = Vec::new();
        let mut watch = |item, known| {
            seen.push((item, known));
            seen.len() < 2
        };
        let mut scorer = Journalled { journal: &mut journal, scorer: &mut toy, watch: &mut watch };
        let items = [vec![request(&[1, 2])], vec![request(&[3, 4])], vec![request(&[5, 6])]];
        let stopped = super::super::request::score(&mut scorer, &items);
        assert!(matches!(stopped, Err(EvalError::Interrupted)));
        // The toy goes from the last item to the first.
        assert_eq!(seen, [(2, false), (1, false)]);
        assert_eq!(Journal::open(&path, "model").expect("a journal").len(), 2);
    }

    #[test]
    fn another_model_or_a_damaged_line_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal.jsonl");
        score(&path, &[&[1, 2]]);
        assert!(matches!(Journal::open(&path, "another"), Err(EvalError::OtherJournal { .. })));
        let text = fs::read_to_string(&path).expect("the journal");
        fs::write(&path, text.replace("loglik", "log lik") + "\n").expect("written");
        assert!(matches!(Journal::open(&path, "model"), Err(EvalError::DamagedJournal { line: 2, .. })));
    }

    #[test]
    fn an_item_is_known_by_its_tokens_and_their_split() {
        let one = |tokens: &[u32], scored_from| TokenRequest { tokens: tokens.to_vec(), scored_from };
        assert_ne!(key(&[one(&[1, 2, 3], 1)]), key(&[one(&[1, 2, 3], 2)]));
        assert_ne!(key(&[one(&[1, 2, 3], 1)]), key(&[one(&[1, 2], 1), one(&[3], 1)]));
    }
}
