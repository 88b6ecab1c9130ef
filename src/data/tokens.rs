//! Tokens of documents, one after another: in memory, or in shard files that are mapped into it.
//!
//! ```text
//! <name>-00000.u16   tokens of whole documents, little-endian; u32 where the vocabulary has more than 65 536
//! <name>-00001.u16   the next ones, once a file has grown to its limit
//! <name>.ends        little-endian u64: for each document, how many tokens there are up to its end
//! ```
//!
//! Each document ends in the token that separates documents. None reaches from one shard into the next, so a long one
//! makes a long shard. `corpus.json` beside them holds the counts and the SHA-256 of every file ([`Stored`]).
use super::error::DataError;
use memmap2::Mmap;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What shard files hold of one split of one source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// 2 or 4.
    pub bytes_per_token: u64,
    pub documents: u64,
    /// Separators included.
    pub tokens: u64,
    /// UTF-8 bytes of the documents.
    pub text_bytes: u64,
    /// Rows that gave no document and were left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bad_rows: u64,
    pub shards: Vec<StoredFile>,
    pub ends: StoredFile,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// One file beside the header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    pub name: String,
    pub bytes: u64,
    pub sha256: String,
}

/// Tokens of documents; clones share them.
#[derive(Clone)]
pub struct Tokens(Arc<Inner>);

struct Inner {
    /// First token of each part, and its words; in order, without gaps.
    parts: Vec<(u64, Words)>,
    len: u64,
    ends: Ends,
}

enum Words {
    Memory(Vec<u32>),
    Narrow(Mmap),
    Wide(Mmap),
}

enum Ends {
    Memory(Vec<u64>),
    Mapped(Mmap),
}

impl From<Vec<u32>> for Tokens {
    /// All of them as one document.
    fn from(tokens: Vec<u32>) -> Self {
        let ends = vec![tokens.len() as u64];
        Tokens::in_memory(tokens, ends)
    }
}

impl Tokens {
    /// Documents in memory; `ends[d]` tokens stand up to the end of document d.
    pub fn in_memory(tokens: Vec<u32>, ends: Vec<u64>) -> Self {
        let len = tokens.len() as u64;
        Tokens(Arc::new(Inner { parts: vec![(0, Words::Memory(tokens))], len, ends: Ends::Memory(ends) }))
    }

    /// Maps the files that `stored` names in `folder`, and checks that they are what was written.
    ///
    /// # Errors
    /// A file is missing, has another length or other contents.
    pub fn open(folder: &Path, stored: &Stored) -> Result<Self, DataError> {
        let mut files: Vec<&StoredFile> = stored.shards.iter().collect();
        files.push(&stored.ends);
        let mut maps: Vec<Mmap> =
            files.into_par_iter().map(|file| map(folder, file)).collect::<Result<_, _>>()?;
        let ends = maps.pop().filter(|ends| Some(ends.len() as u64) == stored.documents.checked_mul(8));
        let (mut parts, mut len) = (Vec::with_capacity(maps.len()), 0);
        for map in maps {
            let num_bytes = map.len() as u64;
            let words = match stored.bytes_per_token {
                2 => Words::Narrow(map),
                4 => Words::Wide(map),
                _ => {
                    return Err(damaged(
                        &folder.join(&stored.ends.name),
                        "its tokens have neither 2 nor 4 bytes",
                    ));
                }
            };
            parts.push((len, words));
            len += num_bytes / stored.bytes_per_token;
        }
        let whole = |ends: &Mmap| {
            let end = |document| end_of(ends, document);
            stored.documents > 0
                && end(stored.documents - 1) == len
                && (1..stored.documents).all(|document| end(document - 1) <= end(document))
        };
        match ends {
            Some(ends) if len == stored.tokens && whole(&ends) => {
                Ok(Tokens(Arc::new(Inner { parts, len, ends: Ends::Mapped(ends) })))
            }
            _ => Err(damaged(&folder.join(&stored.ends.name), "its counts are not those of the header")),
        }
    }

    /// Tokens in all.
    pub fn len(&self) -> u64 {
        self.0.len
    }

    /// True where there is no token.
    pub fn is_empty(&self) -> bool {
        self.0.len == 0
    }

    pub fn num_documents(&self) -> usize {
        match &self.0.ends {
            Ends::Memory(ends) => ends.len(),
            Ends::Mapped(map) => map.len() / 8,
        }
    }

    /// Where document `index` stands, its separator included.
    pub fn document(&self, index: usize) -> Range<u64> {
        let end = |index: usize| match &self.0.ends {
            Ends::Memory(ends) => ends[index],
            Ends::Mapped(map) => end_of(map, index as u64),
        };
        (if index == 0 { 0 } else { end(index - 1) })..end(index)
    }

    /// Appends the tokens of `range` to `out`.
    pub fn read(&self, range: Range<u64>, out: &mut Vec<u32>) {
        let parts = &self.0.parts;
        let mut place = parts.partition_point(|(first, _)| *first <= range.start).saturating_sub(1);
        let mut start = range.start;
        while start < range.end {
            let (first, words) = &parts[place];
            let end = parts.get(place + 1).map_or(self.0.len, |(next, _)| *next).min(range.end);
            let within = (start - first) as usize..(end - first) as usize;
            match words {
                Words::Memory(words) => out.extend_from_slice(&words[within]),
                Words::Narrow(map) => out.extend(
                    map[2 * within.start..2 * within.end]
                        .chunks_exact(2)
                        .map(|b| u32::from(u16::from_le_bytes([b[0], b[1]]))),
                ),
                Words::Wide(map) => out.extend(
                    map[4 * within.start..4 * within.end]
                        .chunks_exact(4)
                        .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])),
                ),
            }
            (start, place) = (end, place + 1);
        }
    }
}

fn end_of(map: &Mmap, index: u64) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&map[8 * index as usize..8 * index as usize + 8]);
    u64::from_le_bytes(bytes)
}

fn map(folder: &Path, stored: &StoredFile) -> Result<Mmap, DataError> {
    let path = folder.join(&stored.name);
    let read = |source| DataError::Read { path: path.clone(), source };
    let file = File::open(&path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => damaged(&path, "it is missing"),
        _ => read(source),
    })?;
    let found = file.metadata().map_err(read)?.len();
    if found != stored.bytes {
        return Err(damaged(&path, &format!("it has {found} bytes, not {}", stored.bytes)));
    }
    // SAFETY: the mapping is read-only, and a file of a finished stage is never written to or cut by this program; it
    // is only ever removed as a whole, which leaves the mapping intact. Whoever cuts it from outside while a run reads
    // it ends the run, as with any mapped file.
    let map = unsafe { Mmap::map(&file) }.map_err(read)?;
    let found: String = Sha256::digest(&map).iter().map(|b| format!("{b:02x}")).collect();
    if found != stored.sha256 {
        return Err(damaged(&path, "its SHA-256 is another"));
    }
    Ok(map)
}

pub(super) fn damaged(path: &Path, what: &str) -> DataError {
    DataError::Stored { path: path.to_path_buf(), what: what.to_string() }
}

/// Writes the files of one split of one source, document by document.
pub(super) struct Writer {
    folder: PathBuf,
    name: String,
    limit: u64,
    bytes_per_token: u64,
    documents: u64,
    tokens: u64,
    text_bytes: u64,
    finished: Vec<StoredFile>,
    shard: Option<HashedFile>,
    ends: HashedFile,
}

impl Writer {
    /// Files called `name…` in `folder` for ids below `vocab_size`, each closed once it has `limit` bytes.
    pub fn create(folder: &Path, name: &str, vocab_size: usize, limit: u64) -> Result<Self, DataError> {
        Ok(Writer {
            folder: folder.to_path_buf(),
            name: name.to_string(),
            limit,
            bytes_per_token: if vocab_size <= 1 << 16 { 2 } else { 4 },
            documents: 0,
            tokens: 0,
            text_bytes: 0,
            finished: Vec::new(),
            shard: None,
            ends: HashedFile::create(folder, format!("{name}.ends"))?,
        })
    }

    /// Appends one document: its tokens, the separator among them, and the bytes of its text.
    pub fn push(&mut self, tokens: &[u32], text_bytes: u64) -> Result<(), DataError> {
        let narrow = self.bytes_per_token == 2;
        let bytes: Vec<u8> = match narrow {
            // Ids are below the size of the vocabulary, which decided the width.
            true => tokens.iter().flat_map(|token| (*token as u16).to_le_bytes()).collect(),
            false => tokens.iter().flat_map(|token| token.to_le_bytes()).collect(),
        };
        let shard = match &mut self.shard {
            Some(shard) => shard,
            none => {
                let ending = if narrow { "u16" } else { "u32" };
                let name = format!("{}-{:05}.{ending}", self.name, self.finished.len());
                none.insert(HashedFile::create(&self.folder, name)?)
            }
        };
        shard.write(&bytes)?;
        self.documents += 1;
        self.tokens += tokens.len() as u64;
        self.text_bytes += text_bytes;
        self.ends.write(&self.tokens.to_le_bytes())?;
        if shard.bytes >= self.limit
            && let Some(full) = self.shard.take()
        {
            self.finished.push(full.finish()?);
        }
        Ok(())
    }

    /// Closes the files and tells what they hold.
    pub fn finish(mut self) -> Result<Stored, DataError> {
        if let Some(last) = self.shard.take() {
            self.finished.push(last.finish()?);
        }
        Ok(Stored {
            bytes_per_token: self.bytes_per_token,
            documents: self.documents,
            tokens: self.tokens,
            text_bytes: self.text_bytes,
            bad_rows: 0,
            shards: self.finished,
            ends: self.ends.finish()?,
        })
    }
}

/// A file whose hash is known once it is written.
struct HashedFile {
    path: PathBuf,
    name: String,
    file: BufWriter<File>,
    hasher: Sha256,
    bytes: u64,
}

impl HashedFile {
    fn create(folder: &Path, name: String) -> Result<Self, DataError> {
        let path = folder.join(&name);
        let file = File::create(&path).map_err(|source| DataError::Write { path: path.clone(), source })?;
        Ok(HashedFile { path, name, file: BufWriter::new(file), hasher: Sha256::new(), bytes: 0 })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        let path = &self.path;
        self.file.write_all(bytes).map_err(|source| DataError::Write { path: path.clone(), source })
    }

    fn finish(mut self) -> Result<StoredFile, DataError> {
        self.file.flush().map_err(|source| DataError::Write { path: self.path.clone(), source })?;
        let sha256 = self.hasher.finalize().iter().map(|b| format!("{b:02x}")).collect();
        Ok(StoredFile { name: self.name, bytes: self.bytes, sha256 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Documents of 1, 2, …, 40 tokens that count on, in shards of at least `limit` bytes.
    fn written(folder: &Path, vocab_size: usize, limit: u64) -> (Vec<u32>, Stored) {
        let mut writer = Writer::create(folder, "train-0", vocab_size, limit).expect("a writer");
        let mut all = Vec::new();
        for length in 1..=40 {
            let document: Vec<u32> = (0..length).map(|i| all.len() as u32 + i).collect();
            writer.push(&document, u64::from(length)).expect("written");
            all.extend(document);
        }
        (all, writer.finish().expect("finished"))
    }

    #[test]
    fn shards_read_back_what_was_written_wherever_they_end() {
        for (vocab_size, limit) in [(1000, 1), (1000, 100), (1000, 1 << 20), (65_537, 1), (65_537, 500)] {
            let folder = tempfile::tempdir().expect("a folder");
            let (all, stored) = written(folder.path(), vocab_size, limit);
            assert_eq!(stored.bytes_per_token, if vocab_size > 65_536 { 4 } else { 2 });
            assert_eq!((stored.documents, stored.tokens, stored.text_bytes), (40, 820, 820));
            let tokens = Tokens::open(folder.path(), &stored).expect("tokens");
            assert_eq!((tokens.len(), tokens.num_documents()), (820, 40));
            for range in [0..820, 0..1, 819..820, 3..700, 5..5, 35..37] {
                let mut read = vec![7];
                tokens.read(range.clone(), &mut read);
                assert_eq!(read[1..], all[range.start as usize..range.end as usize], "{range:?}");
            }
            let lengths: Vec<u64> =
                (0..40).map(|d| tokens.document(d).end - tokens.document(d).start).collect();
            assert_eq!(lengths, (1..=40).collect::<Vec<u64>>());
        }
    }

    #[test]
    fn changed_shards_are_faults_with_the_remedy() {
        let mut messages = Vec::new();
        let changes: [fn(&Path); 5] = [
            |folder| std::fs::remove_file(folder.join("train-0-00001.u16")).expect("removed"),
            |folder| {
                let file =
                    File::options().write(true).open(folder.join("train-0-00000.u16")).expect("a file");
                file.set_len(100).expect("cut");
            },
            |folder| {
                let path = folder.join("train-0-00000.u16");
                let mut bytes = std::fs::read(&path).expect("read");
                bytes[11] ^= 1;
                std::fs::write(&path, bytes).expect("written");
            },
            |folder| std::fs::write(folder.join("train-0.ends"), []).expect("written"),
            |folder| {
                let path = folder.join("train-0.ends");
                let mut bytes = std::fs::read(&path).expect("read");
                bytes[0] ^= 1;
                std::fs::write(&path, bytes).expect("written");
            },
        ];
        for change in changes {
            let folder = tempfile::tempdir().expect("a folder");
            let (_, stored) = written(folder.path(), 1000, 400);
            change(folder.path());
            let error = Tokens::open(folder.path(), &stored).err().expect("a fault").to_string();
            messages.push(error.replace(&folder.path().display().to_string(), "<folder>"));
        }
        insta::assert_snapshot!(messages.join("\n"));
    }

    #[test]
    fn headers_that_contradict_their_files_are_faults() {
        let folder = tempfile::tempdir().expect("a folder");
        let (_, stored) = written(folder.path(), 1000, 400);
        for wrong in [
            Stored { tokens: 819, ..stored.clone() },
            Stored { documents: 39, ..stored.clone() },
            Stored { bytes_per_token: 4, ..stored.clone() },
            Stored { bytes_per_token: 0, ..stored.clone() },
            Stored { bytes_per_token: 3, ..stored.clone() },
            // Eight times as many would be the bytes of the file, but for what does not fit 64 bits.
            Stored { documents: stored.documents + (1 << 61), ..stored.clone() },
            Stored { shards: stored.shards[1..].to_vec(), ..stored.clone() },
        ] {
            assert!(
                matches!(Tokens::open(folder.path(), &wrong), Err(DataError::Stored { .. })),
                "{wrong:?}"
            );
        }
    }
}
