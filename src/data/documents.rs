//! The documents of a [`CorpusSpec`], one at a time, from files or generated.
use super::corpus::{Visit, visit_jsonl, visit_parquet, visit_text};
use super::error::DataError;
use super::synthetic::Synthetic;
use super::world::{Split, World};
use crate::spec::{BadRows, CorpusSpec};
use std::path::{Path, PathBuf};

/// Looks on while a corpus is read, and may stop it.
pub trait Watch: Sync {
    /// So much of `total` is read: bytes of files as they are on disk, or documents of a generated corpus.
    fn on_read(&self, done: u64, total: u64);

    /// True when the reading should end with [`DataError::Interrupted`].
    fn interrupted(&self) -> bool {
        false
    }
}

/// Neither shows nor stops anything.
pub struct Unwatched;

impl Watch for Unwatched {
    fn on_read(&self, _: u64, _: u64) {}
}

/// Shows `visit` the training documents of all sources in order, one at a time, without a tokenizer, each with the
/// place of its source. Returns how many bad rows of each source were left out.
///
/// # Errors
/// A file of the corpus cannot be read, is damaged, or has no text where the spec says; `visit` fails; `watch` stops it.
pub fn visit_training(
    corpus: &CorpusSpec,
    watch: &dyn Watch,
    visit: &mut dyn FnMut(usize, &str) -> Result<(), DataError>,
) -> Result<Vec<u64>, DataError> {
    visit_all(corpus, Split::Train, watch, visit)
}

/// Reads the held-out documents of all sources, to find what is wrong with them. Returns how many bad rows of each source
/// were left out.
///
/// # Errors
/// As [`visit_training`].
pub fn check_validation(corpus: &CorpusSpec, watch: &dyn Watch) -> Result<Vec<u64>, DataError> {
    visit_all(corpus, Split::Validation, watch, &mut |_, _| Ok(()))
}

fn visit_all(
    corpus: &CorpusSpec,
    split: Split,
    watch: &dyn Watch,
    visit: &mut dyn FnMut(usize, &str) -> Result<(), DataError>,
) -> Result<Vec<u64>, DataError> {
    let total = corpus.sources().iter().map(|source| size(source, split)).sum();
    let mut meter = Meter::new(watch, total);
    let of = |(place, source): (usize, &&CorpusSpec)| {
        meter.visit(source, split, &mut |document, _| visit(place, document))
    };
    corpus.sources().iter().enumerate().map(of).collect()
}

/// Counts what is read of several sources and splits, one after another.
pub(super) struct Meter<'a> {
    watch: &'a dyn Watch,
    done: u64,
    total: u64,
}

impl<'a> Meter<'a> {
    pub fn new(watch: &'a dyn Watch, total: u64) -> Self {
        Meter { watch, done: 0, total }
    }

    /// True when the reading should end.
    pub fn interrupted(&self) -> bool {
        self.watch.interrupted()
    }

    /// Shows `visit` the documents of one split of one source. Returns how many bad rows were left out.
    pub fn visit(
        &mut self,
        source: &CorpusSpec,
        split: Split,
        visit: &mut Visit<'_>,
    ) -> Result<u64, DataError> {
        let before = self.done;
        let watch = self.watch;
        let bad_rows = visit_split(source, split, &mut |document, read| {
            if watch.interrupted() {
                return Err(DataError::Interrupted);
            }
            watch.on_read(before + read, self.total);
            visit(document, read)
        })?;
        self.done += size(source, split);
        Ok(bad_rows)
    }
}

/// Bytes of the files of one split; documents of a generated corpus.
pub(super) fn size(source: &CorpusSpec, split: Split) -> u64 {
    let bytes = |file: &PathBuf| std::fs::metadata(file).map_or(0, |data| data.len());
    match source {
        CorpusSpec::World { documents, .. } | CorpusSpec::Synthetic { documents, .. } => {
            generated_documents(*documents, split) as u64
        }
        _ => files(source, split).iter().map(bytes).sum(),
    }
}

/// The files of one split.
pub(super) fn files(source: &CorpusSpec, split: Split) -> Vec<PathBuf> {
    let names = match split {
        Split::Train => source.train_files(),
        Split::Validation => source.validation_files(),
    };
    names.iter().map(PathBuf::from).collect()
}

/// A generated corpus's validation part has a twentieth of `documents`, at least 200 and at most 5000.
fn generated_documents(documents: usize, split: Split) -> usize {
    match split {
        Split::Train => documents,
        Split::Validation => (documents / 20).clamp(200, 5000),
    }
}

/// Returns how many bad rows were left out.
fn visit_split(source: &CorpusSpec, split: Split, visit: &mut Visit<'_>) -> Result<u64, DataError> {
    if let CorpusSpec::World { seed, documents } = source {
        let world = World::new(*seed);
        let mut documents = world.documents(generated_documents(*documents, split), split).zip(1..);
        documents.try_for_each(|(document, number)| visit(&document.text, number))?;
        return Ok(0);
    }
    if let CorpusSpec::Synthetic { seed, documents, size } = source {
        let corpus = Synthetic::new(*seed, *size);
        let mut documents = corpus.documents(generated_documents(*documents, split), split).zip(1..);
        documents.try_for_each(|(document, number)| visit(&document, number))?;
        return Ok(0);
    }
    let mut bad_rows = 0;
    let skips = matches!(
        source,
        CorpusSpec::Jsonl { bad_rows: BadRows::Skip, .. }
            | CorpusSpec::Parquet { bad_rows: BadRows::Skip, .. }
    );
    let mut bad = |fault: DataError| {
        bad_rows += 1;
        if skips { Ok(()) } else { Err(DataError::BadRow { fault: Box::new(fault) }) }
    };
    let mut before = 0;
    for file in files(source, split) {
        let visit: &mut Visit<'_> = &mut |document, read| visit(document, before + read);
        let file: &Path = &file;
        match source {
            CorpusSpec::Jsonl { field, .. } => visit_jsonl(file, field, &mut bad, visit)?,
            CorpusSpec::Parquet { column, .. } => visit_parquet(file, column, &mut bad, visit)?,
            _ => visit_text(file, visit)?,
        }
        before += std::fs::metadata(file).map_or(0, |data| data.len());
    }
    Ok(bad_rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    fn table(file: &str) -> Vec<String> {
        vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables").join(file).display().to_string()]
    }

    fn jsonl() -> CorpusSpec {
        let (train, validation) = (table("rows.jsonl"), table("rows.jsonl"));
        CorpusSpec::Jsonl { train, validation, field: "question".into(), bad_rows: BadRows::Refuse }
    }

    fn parquet() -> CorpusSpec {
        let (train, validation) = (table("zstd.parquet"), table("snappy.parquet"));
        CorpusSpec::Parquet { train, validation, column: "question".into(), bad_rows: BadRows::Refuse }
    }

    #[test]
    fn sources_of_a_mixture_are_read_one_after_another() {
        let corpus = CorpusSpec::Mixture { sources: vec![parquet(), jsonl()], weights: vec![1.0, 3.0] };
        let mut seen = Vec::new();
        let mut keep = |source, document: &str| {
            seen.push((source, document.to_string()));
            Ok(())
        };
        visit_training(&corpus, &Unwatched, &mut keep).expect("documents");
        assert_eq!(seen.iter().filter(|(source, _)| *source == 0).count(), 2);
        assert!(seen.len() > 2 && seen[1].0 == 0 && seen[2].0 == 1, "{seen:?}");
    }

    /// Notes what it is told, and stops after so many documents.
    struct Stop {
        seen: Mutex<Vec<(u64, u64)>>,
        after: usize,
    }

    impl Watch for Stop {
        fn on_read(&self, done: u64, total: u64) {
            self.seen.lock().expect("no panic").push((done, total));
        }

        fn interrupted(&self) -> bool {
            self.seen.lock().expect("no panic").len() >= self.after
        }
    }

    #[test]
    fn reading_tells_how_far_it_is_and_can_be_stopped() {
        let corpora = [jsonl(), parquet(), CorpusSpec::World { seed: 3, documents: 20 }];
        for corpus in corpora
            .iter()
            .chain([&CorpusSpec::Mixture { sources: corpora[..2].to_vec(), weights: vec![1.0, 1.0] }])
        {
            let watch = Stop { seen: Mutex::default(), after: usize::MAX };
            visit_training(corpus, &watch, &mut |_, _| Ok(())).expect("documents");
            let seen = watch.seen.into_inner().expect("no panic");
            assert!(seen.is_sorted(), "{seen:?}");
            assert!(seen.iter().all(|(done, total)| done <= total), "{seen:?}");
            let watch = Stop { seen: Mutex::default(), after: 1 };
            let stopped = visit_training(corpus, &watch, &mut |_, _| Ok(()));
            assert!(matches!(stopped, Err(DataError::Interrupted)));
            assert_eq!(watch.seen.into_inner().expect("no panic").len(), 1);
        }
    }
}
