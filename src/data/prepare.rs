//! From a [`DataSpec`] to a folder of tokens, and back.
//!
//! ```text
//! corpus.json            header: counts and SHA-256 of every file, fingerprint
//! tokenizer.json         trained on the training documents, or the one that was named
//! train-0-00000.u16 …    tokens of the first source's training documents (see `tokens`)
//! validation-0-00000.u16 … train-1-00000.u16 …
//! ```
//!
//! Documents are read as a stream, encoded some megabytes at a time on all threads at hand, and written: a corpus may be
//! larger than memory. Written into a folder that is renamed once it is whole, it is there in full or not at all.
use super::batches::Batches;
use super::corpus::SEPARATOR;
use super::documents::{Meter, Watch, files, size};
use super::error::DataError;
use super::special_tokens::SpecialTokens;
use super::stream::Layout;
use super::tokenizer::Tokenizer;
use super::tokens::{Stored, Tokens, Writer, damaged};
use super::validation::ValidationWindows;
use super::world::Split;
use crate::base::hash::{canonical_json, sha256_hex};
use crate::spec::{CorpusSpec, DataSpec, Packing, TokenizerSpec};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

const HEADER: &str = "corpus.json";
const TOKENIZER: &str = "tokenizer.json";
/// Raised with every change of the files' form.
const FORMAT: u32 = 2;
/// A shard file is closed once it has so many bytes.
const SHARD_BYTES: u64 = 1 << 28;
/// A document of a text file longer than this is likely a file without separators.
pub const LONG_DOCUMENT: usize = 1 << 20;
/// Of a document, what is held against what its tokens give back.
const CHECKED_BYTES: usize = 1 << 16;
/// Text that is encoded, or handed to the tokenizer's training, at once.
const BATCH_BYTES: usize = 1 << 22;

/// `corpus.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    format: u32,
    /// SHA-256 over the tokenizer and all tokens: equal data, equal fingerprint.
    pub fingerprint: String,
    tokenizer_sha256: String,
    /// Which of its tokens begin and end a text; older versions did not keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub special_tokens: Option<SpecialTokens>,
    /// Rows of the embedding of the source model that brought the tokenizer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    num_rows: Option<usize>,
    /// In the order of the spec; one where the corpus is no mixture.
    pub sources: Vec<StoredSource>,
}

/// What is stored of one source.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoredSource {
    pub train: Stored,
    pub validation: Stored,
}

/// Tokens ready for training and validation.
pub struct Prepared {
    pub header: Header,
    pub tokenizer: Tokenizer,
    /// Training and validation tokens of each source.
    sources: Vec<[Tokens; 2]>,
}

/// Reads or generates the corpus, trains or loads the tokenizer, and writes the tokens to `folder`, which is empty.
///
/// Relative paths are taken from the current folder. The tokenizer of a source model is not known here: whoever knows the
/// model hands it over as `model_tokenizer`.
///
/// # Errors
/// See [`DataError`]: among others, an empty corpus and one shorter than a window.
pub fn prepare(
    spec: &DataSpec,
    model_tokenizer: Option<Tokenizer>,
    folder: &Path,
    watch: &dyn Watch,
) -> Result<(), DataError> {
    prepare_in_shards(spec, model_tokenizer, folder, watch, SHARD_BYTES)
}

fn prepare_in_shards(
    spec: &DataSpec,
    model_tokenizer: Option<Tokenizer>,
    folder: &Path,
    watch: &dyn Watch,
    shard_bytes: u64,
) -> Result<(), DataError> {
    let sources = spec.corpus.sources();
    let of = |split| sources.iter().map(|source| size(source, split)).sum::<u64>();
    let trains = matches!(spec.tokenizer, TokenizerSpec::Bpe { .. });
    let reads_of_train = if trains { 2 } else { 1 };
    let mut meter = Meter::new(watch, reads_of_train * of(Split::Train) + of(Split::Validation));
    let tokenizer = match &spec.tokenizer {
        TokenizerSpec::Bpe { vocab_size } => train(&sources, *vocab_size, &mut meter)?,
        TokenizerSpec::File { path } => Tokenizer::from_file(Path::new(path))?,
        TokenizerSpec::Model { vocab_size } => {
            model_tokenizer.ok_or(DataError::ModelTokenizer)?.within(*vocab_size)?
        }
    };
    let mut stored = Vec::with_capacity(sources.len());
    for (place, source) in sources.iter().enumerate() {
        let mut write = |split| {
            let name = format!("{}-{place}", name_of(split));
            let writer = Writer::create(folder, &name, tokenizer.vocab_size(), shard_bytes)?;
            encode(source, split, &tokenizer, writer, &mut meter, spec)
                .map_err(|error| if sources.len() == 1 { error } else { error.in_source(place) })
        };
        let (train, validation) = (write(Split::Train)?, write(Split::Validation)?);
        stored.push(StoredSource { train, validation });
    }
    let tokenizer_sha256 = sha256_hex(tokenizer.to_json().as_bytes());
    // Structs of texts and numbers are always serialisable.
    let everything = canonical_json(&(&tokenizer_sha256, &stored)).unwrap_or_default();
    let fingerprint = sha256_hex(everything.as_bytes());
    let special_tokens = Some(tokenizer.special_tokens().clone());
    let num_rows = tokenizer.num_rows();
    let header =
        Header { format: FORMAT, fingerprint, tokenizer_sha256, special_tokens, num_rows, sources: stored };
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, bytes).map_err(|source| DataError::Write { path, source })
    };
    write(TOKENIZER, tokenizer.to_json().as_bytes())?;
    write(HEADER, &serde_json::to_vec_pretty(&header).unwrap_or_default())
}

fn name_of(split: Split) -> &'static str {
    match split {
        Split::Train => "train",
        Split::Validation => "validation",
    }
}

/// How often it is looked whether training should end while the tokenizer's library computes.
const PATIENCE: Duration = Duration::from_millis(100);

/// Trains a tokenizer on the training documents of all sources.
///
/// The library cannot be stopped: it has a thread of its own, which is left to itself when the reading is interrupted, and
/// ends with the process at the latest.
fn train(sources: &[&CorpusSpec], vocab_size: usize, meter: &mut Meter<'_>) -> Result<Tokenizer, DataError> {
    let (sender, receiver) = sync_channel::<Vec<String>>(2);
    let (tell, told) = sync_channel(1);
    // As many threads as whoever calls this may use.
    let threads = rayon::current_num_threads();
    let trainer = std::thread::Builder::new().name("tokenizer".into()).spawn(move || {
        let documents = receiver.into_iter().flatten();
        let train = || Tokenizer::train_on(documents, vocab_size);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let trained = match pool {
            Ok(pool) => pool.install(train),
            Err(error) => Err(DataError::Tokenize { reason: error.to_string() }),
        };
        // Nobody waits for it any more where the reading has been interrupted.
        let _ = tell.send(trained);
    });
    let trainer = trainer.map_err(|error| DataError::Tokenize { reason: error.to_string() })?;
    // Nobody takes batches any more: training has failed, and tells so itself.
    let hand_over = |batch| sender.send(batch).map_err(|_| DataError::Interrupted);
    let read = (|| {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for source in sources {
            meter.visit(source, Split::Train, &mut |document, _| {
                bytes += document.len();
                batch.push(document.to_string());
                if bytes >= BATCH_BYTES {
                    bytes = 0;
                    hand_over(std::mem::take(&mut batch))?;
                }
                Ok(())
            })?;
        }
        hand_over(batch)
    })();
    drop(sender);
    if let Err(error) = read
        && (!matches!(error, DataError::Interrupted) || meter.interrupted())
    {
        return Err(error);
    }
    loop {
        match told.recv_timeout(PATIENCE) {
            Ok(trained) => return trained,
            Err(RecvTimeoutError::Timeout) if meter.interrupted() => return Err(DataError::Interrupted),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => match trainer.join() {
                Err(panic) => std::panic::resume_unwind(panic),
                Ok(()) => return Err(DataError::Interrupted),
            },
        }
    }
}

/// Writes the tokens of one split of one source, each document followed by the end-of-document token.
fn encode(
    source: &CorpusSpec,
    split: Split,
    tokenizer: &Tokenizer,
    mut writer: Writer,
    meter: &mut Meter<'_>,
    spec: &DataSpec,
) -> Result<Stored, DataError> {
    let mut write = |batch: &mut Vec<String>| -> Result<(), DataError> {
        let encoded: Vec<Vec<u32>> =
            batch.par_iter().map(|document| tokenizer.encode(document)).collect::<Result<_, _>>()?;
        for (document, mut ids) in batch.drain(..).zip(encoded) {
            ids.push(tokenizer.eos_id());
            writer.push(&ids, document.len() as u64)?;
        }
        Ok(())
    };
    let (mut batch, mut bytes, mut change) = (Vec::new(), 0, None);
    let mut longest = 0;
    // Byte-level BPE that is trained here changes nothing; of another tokenizer one example is told, from the first texts.
    let mut unchecked = split == Split::Validation && !matches!(spec.tokenizer, TokenizerSpec::Bpe { .. });
    let mut check = |batch: &[String]| {
        if std::mem::take(&mut unchecked) {
            let of = |document: &String| {
                let beginning = document.floor_char_boundary(CHECKED_BYTES);
                tokenizer.first_change(&document[..beginning]).ok().flatten()
            };
            change = batch.iter().find_map(of);
        }
    };
    let bad_rows = meter.visit(source, split, &mut |document, _| {
        longest = longest.max(document.len());
        bytes += document.len();
        batch.push(document.to_string());
        if bytes < BATCH_BYTES {
            return Ok(());
        }
        bytes = 0;
        check(&batch);
        write(&mut batch)
    })?;
    check(&batch);
    write(&mut batch)?;
    let stored = Stored { bad_rows, ..writer.finish()? };
    if let Some((text, back)) = change {
        tracing::warn!(
            "the tokenizer does not give back all text that it encodes: {text:?} becomes {back:?}; bits per byte count the bytes of the text"
        );
    }
    let split_name = if split == Split::Train { "training" } else { "validation" };
    if longest >= LONG_DOCUMENT && matches!(source, CorpusSpec::Text { .. }) {
        tracing::warn!(
            "a document of the {split_name} text has {longest} bytes: documents of a text file are separated by `{SEPARATOR}`, and without it the file is one"
        );
    }
    if bad_rows > 0 {
        let from = source.train_files().first().or(source.validation_files().first());
        let from = from.map_or("", |file| file.as_str());
        tracing::warn!("{bad_rows} bad rows of the {split_name} text are left out (`{from}` …)");
    }
    let (found, context_length) = (stored.tokens, spec.context_length);
    // Training sequences that hold whole documents are filled up.
    let needed = match (split, spec.packing) {
        (Split::Train, Packing::Separate) => 1,
        _ => context_length as u64 + 1,
    };
    match stored.documents {
        0 => Err(DataError::EmptyCorpus { split: split_name, files: files(source, split), bad_rows }),
        _ if found < needed => Err(DataError::TooShort { split: split_name, found, needed, context_length }),
        _ => Ok(stored),
    }
}

impl Header {
    /// Reads the header of a prepared corpus.
    ///
    /// # Errors
    /// It cannot be read, or is another program's or another version's.
    pub fn read(folder: &Path) -> Result<Self, DataError> {
        let path = folder.join(HEADER);
        let bytes = fs::read(&path).map_err(|source| DataError::Read { path: path.clone(), source })?;
        let value: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|error| damaged(&path, &error.to_string()))?;
        if value["format"] != FORMAT {
            return Err(damaged(&path, &format!("it is not of format {FORMAT}")));
        }
        serde_json::from_value(value).map_err(|error| damaged(&path, &error.to_string()))
    }

    /// The tokenizer beside the header in `folder`.
    ///
    /// # Errors
    /// It is missing or not what was written.
    pub fn tokenizer(&self, folder: &Path) -> Result<Tokenizer, DataError> {
        let path = folder.join(TOKENIZER);
        let json =
            fs::read_to_string(&path).map_err(|source| DataError::Read { path: path.clone(), source })?;
        if sha256_hex(json.as_bytes()) != self.tokenizer_sha256 {
            return Err(damaged(&path, "its SHA-256 is another"));
        }
        let tokenizer = Tokenizer::from_parts(&json, self.special_tokens.clone().unwrap_or_default())?;
        match self.num_rows {
            Some(num_rows) => tokenizer.within(num_rows),
            None => Ok(tokenizer),
        }
    }
}

impl Prepared {
    /// Opens what [`prepare`] wrote; the tokens stay on disk.
    ///
    /// # Errors
    /// A file is missing or not what was written.
    pub fn open(folder: &Path) -> Result<Self, DataError> {
        let header = Header::read(folder)?;
        let tokenizer = header.tokenizer(folder)?;
        let open = |source: &StoredSource| -> Result<_, DataError> {
            Ok([Tokens::open(folder, &source.train)?, Tokens::open(folder, &source.validation)?])
        };
        let sources = header.sources.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Prepared { header, tokenizer, sources })
    }

    /// The training sequences of `spec`, which this was prepared for, in the order of `seed`.
    ///
    /// # Errors
    /// A source does not fill one window.
    pub fn batches(&self, spec: &DataSpec, seed: u64) -> Result<Batches, DataError> {
        Batches::mixture(self.weighted(spec, 0), Layout::of(spec), seed)
    }

    /// The held-out windows of `spec`, up to `limit` tokens.
    ///
    /// # Errors
    /// A source does not fill one window.
    pub fn validation(&self, spec: &DataSpec, limit: u64) -> Result<ValidationWindows, DataError> {
        let windows = ValidationWindows::mixture(self.weighted(spec, 1), spec.context_length, limit)?;
        Ok(windows.with_text_bytes(self.header.sources.iter().map(|source| source.validation.text_bytes)))
    }

    fn weighted(&self, spec: &DataSpec, split: usize) -> Vec<(Tokens, f64)> {
        self.sources.iter().zip(spec.corpus.weights()).map(|(s, weight)| (s[split].clone(), weight)).collect()
    }
}

#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod tests;
