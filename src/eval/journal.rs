//! Scores kept as they come, so that an interrupted evaluation goes on where it stopped.
//!
//! An append-only file of JSON lines: first the fingerprint of what scores (model, tokenizer, engine), then one line an
//! item. An item is known by the hash of its token requests, so scores hold for any choice of tasks, limits, examples
//! and context length, and never for another text. Every line carries a checksum of what it says. A line that a crash tore
//! in two is dropped; one that is damaged is dropped and counted, and its item scored again.
use super::error::EvalError;
use super::request::{Found, Scorer, TokenRequest};
use crate::base::files::write_atomic;
use crate::base::hash::sha256_hex;
use crate::data::Batch;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

/// Raised with every change of the lines' form: journals of another form are another program's.
const FORMAT: u32 = 2;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    fingerprint: String,
    #[serde(default)]
    format: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    item: String,
    loglikelihoods: Vec<f64>,
    /// Of the two fields before it.
    checksum: String,
}

impl Entry {
    fn new(item: String, loglikelihoods: Vec<f64>) -> Entry {
        let checksum = checksum(&item, &loglikelihoods);
        Entry { item, loglikelihoods, checksum }
    }
}

/// The first half of the SHA-256 of an item's key and the bits of its scores.
fn checksum(item: &str, loglikelihoods: &[f64]) -> String {
    let mut bytes = item.as_bytes().to_vec();
    bytes.extend(loglikelihoods.iter().flat_map(|ll| ll.to_bits().to_le_bytes()));
    sha256_hex(&bytes)[..16].to_string()
}

/// Scores so far, in memory and on disk.
pub struct Journal {
    path: PathBuf,
    file: File,
    known: HashMap<String, Vec<f64>>,
    damaged: usize,
}

/// What a file of lines holds.
struct Contents {
    /// `None` where the first line is no header.
    header: Option<Header>,
    known: HashMap<String, Vec<f64>>,
    /// The sound lines after the header.
    lines: Vec<u8>,
    damaged: usize,
}

fn read(bytes: &[u8]) -> Contents {
    let whole = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |last| last + 1);
    let mut lines = bytes[..whole].split_inclusive(|&b| b == b'\n');
    let header = lines.next().and_then(|line| serde_json::from_slice(line).ok());
    let mut contents = Contents { header, known: HashMap::new(), lines: Vec::new(), damaged: 0 };
    for line in lines {
        let entry = serde_json::from_slice::<Entry>(line).ok();
        match entry.filter(|entry| entry.checksum == checksum(&entry.item, &entry.loglikelihoods)) {
            Some(entry) => {
                contents.lines.extend_from_slice(line);
                contents.known.insert(entry.item, entry.loglikelihoods);
            }
            None => contents.damaged += 1,
        }
    }
    contents
}

impl Journal {
    /// Opens the journal at `path`, or begins it.
    ///
    /// # Errors
    /// It is another model's, or the file cannot be read or written.
    pub fn open(path: &Path, fingerprint: &str) -> Result<Journal, EvalError> {
        Self::open_or(path, fingerprint, || Err(EvalError::OtherJournal { path: path.to_path_buf() }))
    }

    /// As [`Self::open`]; the journal of another model is begun anew.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn open_own(path: &Path, fingerprint: &str) -> Result<Journal, EvalError> {
        Self::open_or(path, fingerprint, || Ok(()))
    }

    fn open_or(
        path: &Path,
        fingerprint: &str,
        on_another: impl Fn() -> Result<(), EvalError>,
    ) -> Result<Journal, EvalError> {
        let fault = |source| EvalError::Journal { path: path.to_path_buf(), source };
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(fault(error)),
        };
        let mut contents = read(&bytes);
        match &contents.header {
            Some(header) if header.fingerprint == fingerprint && header.format == FORMAT => {}
            Some(_) => {
                on_another()?;
                contents = read(&[]);
            }
            // Whose lines they are cannot be told any more.
            None if bytes.contains(&b'\n') => {
                let damaged = bytes.iter().filter(|&&b| b == b'\n').count();
                contents = Contents { damaged, ..read(&[]) };
            }
            None => {}
        }
        let header = Header { fingerprint: fingerprint.to_string(), format: FORMAT };
        let mut whole = serde_json::to_vec(&header).map_err(io::Error::from).map_err(fault)?;
        whole.push(b'\n');
        whole.extend_from_slice(&contents.lines);
        // A new one that is torn by a crash is begun anew, and needs no care.
        if bytes.is_empty() {
            std::fs::write(path, &whole).map_err(fault)?;
        } else if whole != bytes {
            write_atomic(path, &whole).map_err(fault)?;
        }
        let mut file = File::options().write(true).open(path).map_err(fault)?;
        file.seek(io::SeekFrom::End(0)).map_err(fault)?;
        let Contents { known, damaged, .. } = contents;
        Ok(Journal { path: path.to_path_buf(), file, known, damaged })
    }

    /// Items known.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether no item is known.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Lines that were damaged when it was opened; their items are scored again.
    pub fn damaged(&self) -> usize {
        self.damaged
    }

    /// Keeps the scores of an item, durably enough for a process that dies.
    fn keep(&mut self, item: String, loglikelihoods: Vec<f64>) -> Result<(), EvalError> {
        let entry = Entry::new(item, loglikelihoods);
        let write = |file: &mut File| {
            let mut bytes = serde_json::to_vec(&entry)?;
            bytes.push(b'\n');
            file.write_all(&bytes)
        };
        write(&mut self.file).map_err(|source| EvalError::Journal { path: self.path.clone(), source })?;
        self.known.insert(entry.item, entry.loglikelihoods);
        Ok(())
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

/// The key of what was found of a batch of held-out text.
fn batch_key(what: &str, batch: &Batch) -> String {
    let mut bytes = what.as_bytes().to_vec();
    bytes.extend((batch.sequences as u64).to_le_bytes());
    bytes.extend(batch.inputs.iter().chain(&batch.targets).flat_map(|token| token.to_le_bytes()));
    sha256_hex(&bytes)[..32].to_string()
}

/// A scorer that asks the journal first, and can be stopped between items.
pub struct Journalled<'a> {
    pub journal: &'a mut Journal,
    pub scorer: &'a mut dyn Scorer,
    /// Called after every item (or batch of held-out text) with its index and whether it was known; `false` stops.
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
                Some(scores) => {
                    scorer.note_known(requests);
                    watched(item, true, scores.clone())?;
                }
                None => {
                    unknown.push(requests.clone());
                    indices.push(item);
                }
            }
        }
        scorer.loglikelihoods(&unknown, &mut |index, scores| {
            // JSON has no word for what is not finite; such an item is scored again.
            if scores.iter().all(|ll| ll.is_finite()) {
                journal.keep(key(&unknown[index]), scores.clone())?;
            }
            watched(indices[index], false, scores)
        })
    }

    fn note_known(&mut self, requests: &[TokenRequest]) {
        self.scorer.note_known(requests);
    }

    fn nll_sum(&mut self, batch: &Batch) -> Result<f64, EvalError> {
        let Journalled { journal, scorer, watch } = self;
        let key = batch_key("batch", batch);
        let known = journal.known.get(&key).and_then(|scores| scores.first().copied());
        let nll = match known {
            Some(nll) => {
                scorer.note_known_batch(batch);
                nll
            }
            None => {
                let nll = scorer.nll_sum(batch)?;
                if nll.is_finite() {
                    journal.keep(key, vec![nll])?;
                }
                nll
            }
        };
        if watch(0, known.is_some()) { Ok(nll) } else { Err(EvalError::Interrupted) }
    }

    fn note_known_batch(&mut self, batch: &Batch) {
        self.scorer.note_known_batch(batch);
    }

    fn divergence_sums(&mut self, batch: &Batch) -> Result<Vec<f64>, EvalError> {
        let Journalled { journal, scorer, watch } = self;
        let key = batch_key("divergence", batch);
        let known = journal.known.get(&key).filter(|sums| sums.len() == batch.sequences).cloned();
        let is_known = known.is_some();
        let sums = match known {
            Some(sums) => {
                scorer.note_known_divergences(batch);
                sums
            }
            None => {
                let sums = scorer.divergence_sums(batch)?;
                if sums.iter().all(|sum| sum.is_finite()) {
                    journal.keep(key, sums.clone())?;
                }
                sums
            }
        };
        if watch(0, is_known) { Ok(sums) } else { Err(EvalError::Interrupted) }
    }

    fn note_known_divergences(&mut self, batch: &Batch) {
        self.scorer.note_known_divergences(batch);
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
    fn the_journal_of_another_model_is_refused_or_begun_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal.jsonl");
        score(&path, &[&[1, 2]]);
        assert!(matches!(Journal::open(&path, "another"), Err(EvalError::OtherJournal { .. })));
        assert_eq!(Journal::open(&path, "model").expect("a journal").len(), 1);
        assert!(Journal::open_own(&path, "another").expect("a journal").is_empty());
        assert!(matches!(Journal::open(&path, "model"), Err(EvalError::OtherJournal { .. })));
    }

    /// Every single flipped byte: no score is used that was not written, what is damaged is counted, and scoring again ends
    /// in the same file (or the file is told to be another's).
    #[test]
    fn no_flipped_byte_is_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal.jsonl");
        let items: [&[u32]; 3] = [&[1, 2], &[3, 4], &[5, 6]];
        let (scores, _) = score(&path, &items);
        let whole = fs::read(&path).expect("the journal");
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 1;
            fs::write(&path, &bytes).expect("written");
            match Journal::open(&path, "model") {
                Ok(journal) => assert!(journal.damaged() > 0 || journal.len() < 3, "byte {place}"),
                Err(EvalError::OtherJournal { .. }) => continue,
                Err(error) => panic!("byte {place}: {error}"),
            }
            assert_eq!(score(&path, &items).0, scores, "byte {place}");
            assert_eq!(Journal::open(&path, "model").expect("a journal").damaged(), 0);
        }
    }

    #[test]
    fn held_out_text_is_kept_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal.jsonl");
        let batch = Batch { inputs: vec![1, 2], targets: vec![2, 3], sequences: 1, context_length: 2 };
        let nll = |toy: &mut Toy| {
            let mut journal = Journal::open(&path, "model").expect("a journal");
            let mut watch = |_, _| true;
            Journalled { journal: &mut journal, scorer: toy, watch: &mut watch }.nll_sum(&batch)
        };
        let (mut first, mut second) = (Toy::default(), Toy::default());
        let expected = nll(&mut first).expect("a loss");
        assert_eq!((nll(&mut second).expect("a loss"), first.batches, second.batches), (expected, 1, 0));
    }

    #[test]
    fn an_item_is_known_by_its_tokens_and_their_split() {
        let one = |tokens: &[u32], scored_from| TokenRequest { tokens: tokens.to_vec(), scored_from };
        assert_ne!(key(&[one(&[1, 2, 3], 1)]), key(&[one(&[1, 2, 3], 2)]));
        assert_ne!(key(&[one(&[1, 2, 3], 1)]), key(&[one(&[1, 2], 1), one(&[3], 1)]));
    }

    mod fuzz_tests {
        use super::*;
        use crate::base::fuzz::{cases, folder, mutation};
        use proptest::prelude::*;
        use proptest::test_runner::RngSeed;
        use std::sync::LazyLock;

        type Known = HashMap<String, Vec<f64>>;

        /// A journal of four items, and what is known from it.
        static WHOLE: LazyLock<(Vec<u8>, Known)> = LazyLock::new(|| {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("journal.jsonl");
            let items: [&[u32]; 4] = [&[1, 2], &[3, 4], &[5, 6], &[7, 8, 9]];
            score(&path, &items);
            let known = Journal::open(&path, "model").expect("a journal").known;
            (fs::read(path).expect("read"), known)
        });

        proptest! {
            #![proptest_config(ProptestConfig {
                cases: cases(300, 1),
                rng_seed: RngSeed::Fixed(18),
                failure_persistence: None,
                ..ProptestConfig::default()
            })]

            /// Scores that are known after any damage are those that were written, or the journal is another model's.
            #[test]
            fn damaged_lines_are_scored_again(changes in prop::collection::vec(mutation(), 1..4)) {
                let path = folder().join("journal.jsonl");
                let (whole, known) = &*WHOLE;
                let bytes = changes.iter().fold(whole.clone(), |bytes, change| {
                    if bytes.is_empty() { bytes } else { change.of(&bytes) }
                });
                fs::write(&path, bytes).expect("written");
                match Journal::open(&path, "model") {
                    Ok(journal) => {
                        for (item, scores) in &journal.known {
                            prop_assert_eq!(known.get(item), Some(scores));
                        }
                    }
                    Err(error) => prop_assert!(matches!(error, EvalError::OtherJournal { .. }), "{error}"),
                }
            }
        }
    }
}
