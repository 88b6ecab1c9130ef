//! The section `data.corpus`: where text comes from, alone or as a mixture of sources.
use super::names::BAD_ROWS;
use super::places::Places;
use super::read::MAX;
use super::reader::Table;
use super::types::{BadRows, CorpusSpec, SyntheticSize};
use std::path::{Path, PathBuf};

impl CorpusSpec {
    /// The sources of a mixture; the corpus itself where it is none.
    pub fn sources(&self) -> Vec<&CorpusSpec> {
        match self {
            CorpusSpec::Mixture { sources, .. } => sources.iter().collect(),
            alone => vec![alone],
        }
    }

    /// Shares of the training sequences, one for each of [`Self::sources`]; they sum to 1.
    pub fn weights(&self) -> Vec<f64> {
        match self {
            CorpusSpec::Mixture { weights, .. } => {
                let sum: f64 = weights.iter().sum();
                weights.iter().map(|weight| weight / sum).collect()
            }
            _ => vec![1.0],
        }
    }

    /// Training files; none of a generated corpus, and none of a mixture, whose sources have them.
    pub fn train_files(&self) -> &[String] {
        self.files().0
    }

    /// As [`Self::train_files`], held-out ones.
    pub fn validation_files(&self) -> &[String] {
        self.files().1
    }

    fn files(&self) -> (&[String], &[String]) {
        match self {
            CorpusSpec::World { .. } | CorpusSpec::Synthetic { .. } | CorpusSpec::Mixture { .. } => {
                (&[], &[])
            }
            CorpusSpec::Text { train, validation }
            | CorpusSpec::Jsonl { train, validation, .. }
            | CorpusSpec::Parquet { train, validation, .. } => (train, validation),
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    World,
    Synthetic,
    Text,
    Jsonl,
    Parquet,
    Mixture,
}

/// What a corpus can be; a source of a mixture is one of those from files.
const KINDS: [(&str, Kind); 6] = [
    ("text", Kind::Text),
    ("jsonl", Kind::Jsonl),
    ("parquet", Kind::Parquet),
    ("synthetic", Kind::Synthetic),
    ("world", Kind::World),
    ("mixture", Kind::Mixture),
];
const FROM_FILES: usize = 3;

pub(super) fn read(t: &Table<'_>, places: &Places<'_>) -> CorpusSpec {
    let corpus = one(t, places, t.name("kind", &KINDS).required());
    overlaps(t, &corpus);
    corpus
}

fn one(t: &Table<'_>, places: &Places<'_>, kind: Kind) -> CorpusSpec {
    let corpus = match kind {
        Kind::World => CorpusSpec::World {
            seed: t.whole("seed", 0..=MAX).or(0),
            documents: t.count("documents", 1..=1_000_000_000).required(),
        },
        Kind::Synthetic => CorpusSpec::Synthetic {
            seed: t.whole("seed", 0..=MAX).or(0),
            documents: t.count("documents", 1..=1_000_000_000).required(),
            size: size(t),
        },
        Kind::Text => {
            CorpusSpec::Text { train: files(t, "train", places), validation: files(t, "validation", places) }
        }
        Kind::Jsonl => CorpusSpec::Jsonl {
            train: files(t, "train", places),
            validation: files(t, "validation", places),
            field: t.text("field").or("text".into()),
            bad_rows: t.name("bad_rows", &BAD_ROWS).or(BadRows::Refuse),
        },
        Kind::Parquet => CorpusSpec::Parquet {
            train: files(t, "train", places),
            validation: files(t, "validation", places),
            column: t.text("column").or("text".into()),
            bad_rows: t.name("bad_rows", &BAD_ROWS).or(BadRows::Refuse),
        },
        Kind::Mixture => mixture(t, places),
    };
    t.finish();
    corpus
}

/// Sizes by name: for models of about 1, 10 and 100 million parameters.
const SIZES: [(&str, SyntheticSize); 3] = [
    ("small", SyntheticSize { entities: 128, facts: 5, forms: 4 }),
    ("medium", SyntheticSize { entities: 512, facts: 8, forms: 6 }),
    ("large", SyntheticSize { entities: 2048, facts: 12, forms: 8 }),
];
const ENTITIES_STEP: usize = 8;

/// That of the name, with the keys that override it.
fn size(t: &Table<'_>) -> SyntheticSize {
    let named = t.name("size", &SIZES).or(SIZES[0].1);
    let size = SyntheticSize {
        entities: t.count("entities", 64..=16_384).or(named.entities),
        facts: t.count("facts", 1..=12).or(named.facts),
        forms: t.count("forms", 2..=8).or(named.forms),
    };
    if !size.entities.is_multiple_of(ENTITIES_STEP) && t.findings().sound(&[&t.path_of("entities")]) {
        let below = size.entities / ENTITIES_STEP * ENTITIES_STEP;
        let message =
            format!("{} is not a multiple of {ENTITIES_STEP}, the entities of a kind", size.entities);
        let hint = format!("nearest valid entities: {below}, {}", below + ENTITIES_STEP);
        t.findings().add(t.path_of("entities"), t.line_of("entities"), message, Some(hint));
    }
    size
}

fn mixture(t: &Table<'_>, places: &Places<'_>) -> CorpusSpec {
    let source = |t: &Table<'_>| one(t, places, t.name("kind", &KINDS[..FROM_FILES]).required());
    let sources: Vec<CorpusSpec> = t.tables("sources").iter().map(source).collect();
    let weights = t.numbers("weights", |weight| weight > 0.0, "more than 0").required();
    if t.findings().sound(&[&t.path_of("sources")]) && sources.is_empty() {
        let hint = "give at least one as `[[data.corpus.sources]]`".to_string();
        t.findings().add(t.path_of("sources"), t.line_of("sources"), "no sources to mix", Some(hint));
    } else if t.findings().sound(&[&t.path_of("sources"), &t.path_of("weights")])
        && sources.len() != weights.len()
    {
        let message = format!("{} weights for {} sources", weights.len(), sources.len());
        let hint = format!("give {} weights, in the order of the sources", sources.len());
        t.findings().add(t.path_of("weights"), t.line_of("weights"), message, Some(hint));
    }
    CorpusSpec::Mixture { sources, weights }
}

fn files(t: &Table<'_>, key: &'static str, places: &Places<'_>) -> Vec<String> {
    let names = t.texts(key).required();
    names
        .into_iter()
        .enumerate()
        .map(|(i, name)| places.path(t, &format!("{key}[{i}]"), name, Path::is_file))
        .collect()
}

/// Held-out text that is trained on measures nothing.
fn overlaps(t: &Table<'_>, corpus: &CorpusSpec) {
    if !t.findings().sound(&["data.corpus"]) {
        return;
    }
    let sources = corpus.sources();
    let real = |file: &String| std::fs::canonicalize(file).unwrap_or_else(|_| PathBuf::from(file));
    let trained: Vec<PathBuf> = sources.iter().flat_map(|source| source.train_files()).map(real).collect();
    for (place, source) in sources.iter().enumerate() {
        for (i, file) in source.validation_files().iter().enumerate() {
            if trained.contains(&real(file)) {
                let (within, line) = match corpus {
                    CorpusSpec::Mixture { .. } => (format!("sources[{place}]."), t.line_of("sources")),
                    _ => (String::new(), t.line_of("validation")),
                };
                let message = format!("`{file}` is a training file as well");
                let hint = "hold out a part of the text in a file of its own".to_string();
                t.findings().add(t.path_of(&format!("{within}validation[{i}]")), line, message, Some(hint));
            }
        }
    }
}
