//! What `plan` says of a corpus: how large its sources are, how often a run goes through each, and which benchmark items
//! stand in its text.
//!
//! Files are read once for all of that, and what was found is kept in the store under the hash of corpus and benchmarks.
//! Generated corpora are not read: their items are held out of their text by construction, which tests check. What cannot be
//! read, held-out text and benchmark files included, is a fault of the plan.
use super::{contamination, items};
use crate::base::hash::{canonical_json, sha256_hex};
use crate::base::terminal;
use crate::base::units::{grouped, si};
use crate::data::contamination::{Findings, REVISION};
use crate::data::corpus::SEPARATOR;
use crate::data::prepare::{Header, LONG_DOCUMENT, StoredSource};
use crate::data::{Contamination, DataError, Watch, check_validation, visit_training};
use crate::plan::{Plan, Stage, StageKind};
use crate::run::Store;
use crate::spec::{CorpusSpec, EvalSpec, RunSpec};
use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;

/// Of each document the first so many bytes are tokenised to estimate how many tokens there are, until there are
/// enough.
const SAMPLE_OF_DOCUMENT: usize = 1 << 14;
const SAMPLE: usize = 1 << 20;

/// What one reading of a corpus finds.
#[derive(Serialize, Deserialize)]
struct Checked {
    sources: Vec<SourceText>,
    /// For each set of benchmarks.
    findings: Vec<Findings>,
}

/// The training text of one source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct SourceText {
    documents: u64,
    text_bytes: u64,
    tokens: Option<u64>,
    /// True where `tokens` follows from a sample.
    is_estimate: bool,
    /// Rows of training and held-out text that were left out, since they give no text.
    #[serde(default)]
    bad_rows: u64,
    /// Bytes of the longest document.
    #[serde(default)]
    longest: u64,
}

/// The sources of each corpus, and for corpora from disk the benchmark items that stand in them.
///
/// # Errors
/// A corpus, or a benchmark file, that cannot be read.
pub(super) fn describe(plan: &Plan, store: &Store) -> Result<String> {
    let mut text = String::new();
    for (place, stage) in plan.stages.iter().enumerate().filter(|(_, s)| s.kind == StageKind::Corpus) {
        let corpus = &stage.spec.data.corpus;
        let specs = specs_on(plan, place);
        let prepared = Header::read(&store.folder(&stage.id)).ok().map(sizes);
        if let CorpusSpec::World { .. } | CorpusSpec::Synthetic { .. } = corpus {
            for (_, eval) in benchmarks(plan, place).iter().filter(|(_, eval)| eval.folder.is_some()) {
                contamination::of(eval, corpus)?;
            }
            if let Some(sources) = prepared {
                text.push_str(&table(&specs, &sources, most_tokens(plan, place)));
            }
            continue;
        }
        let benchmarks = benchmarks(plan, place);
        let checked = checked(stage, &benchmarks, store)?;
        let sources = prepared.unwrap_or_else(|| checked.sources.clone());
        text.push_str(&table(&specs, &sources, most_tokens(plan, place)));
        text.push_str(&remarks(corpus, &checked.sources));
        let files: Vec<String> =
            corpus.sources().iter().flat_map(|source| source.train_files().to_vec()).collect();
        let heading = format!("\nitems whose words stand in the training corpus, {}\n", list(&files));
        for findings in &checked.findings {
            text.push_str(&heading);
            text.push_str(&contamination::table(findings));
        }
    }
    Ok(text)
}

/// What a reader of the table would want to know beside it: rows that are left out, and files that are one document.
fn remarks(corpus: &CorpusSpec, sources: &[SourceText]) -> String {
    let mut text = String::new();
    for (source, found) in corpus.sources().into_iter().zip(sources) {
        if found.bad_rows > 0 {
            let rows = grouped(found.bad_rows);
            let _ =
                writeln!(text, "  ({}: {rows} bad rows are left out, held-out ones included)", name(source));
        }
        if matches!(source, CorpusSpec::Text { .. }) && found.longest >= LONG_DOCUMENT as u64 {
            let _ = writeln!(
                text,
                "  ({}: a document has {}; documents of a text file are separated by `{SEPARATOR}`, and without it the file is one)",
                name(source),
                si(found.longest as f64, "B")
            );
        }
    }
    text
}

/// Different configurations on the corpus at `place` of the plan.
fn specs_on(plan: &Plan, place: usize) -> Vec<&RunSpec> {
    let mut specs: Vec<&RunSpec> = Vec::new();
    for stage in plan.stages.iter().filter(|stage| stage.inputs.corpus == Some(place)) {
        if specs.iter().all(|spec| spec.data.corpus.weights() != stage.spec.data.corpus.weights()) {
            specs.push(&stage.spec);
        }
    }
    specs
}

/// Tokens that a run sees of the corpus at `place`, its source's included: the most of all runs.
fn most_tokens(plan: &Plan, place: usize) -> u64 {
    let of_run = |model: usize| {
        let stage = &plan.stages[model];
        let source = stage.inputs.source.map_or(0, |source| plan.stages[source].cost.tokens);
        // One that pays with its source's FLOPs starts from scratch.
        let continues = matches!(&stage.kind, StageKind::Model(arm) if arm.continues());
        stage.cost.tokens + if continues { source } else { 0 }
    };
    let on_it = plan.runs.iter().filter(|run| plan.stages[run.model].inputs.corpus == Some(place));
    on_it.map(|run| of_run(run.model)).max().unwrap_or(0)
}

/// What is scored on models of the corpus at `place`, each set once, with the part of its identity that tells it apart.
fn benchmarks(plan: &Plan, place: usize) -> Vec<(Value, &EvalSpec)> {
    let mut sets: Vec<(Value, &EvalSpec)> = Vec::new();
    for stage in plan.stages.iter().filter(|stage| stage.inputs.corpus == Some(place)) {
        if let StageKind::Evaluation(_) = stage.kind {
            let identity = &stage.identity;
            let (items, seed) = (&identity["items"], &identity["sample_seed"]);
            let set = json!([identity["tasks"], items, seed, identity["benchmarks"]]);
            if sets.iter().all(|(known, _)| *known != set) {
                sets.push((set, &stage.spec.eval));
            }
        }
    }
    sets
}

fn checked(stage: &Stage, benchmarks: &[(Value, &EvalSpec)], store: &Store) -> Result<Checked> {
    let sets: Vec<&Value> = benchmarks.iter().map(|(set, _)| set).collect();
    let key = canonical_json(&json!([stage.identity, sets, contamination::WORDS, REVISION]))?;
    let hash = &sha256_hex(key.as_bytes())[..16];
    if let Some(checked) = store.check(hash) {
        return Ok(checked);
    }
    let checked = check(&stage.spec, benchmarks.iter().map(|(_, eval)| *eval))?;
    // What cannot be kept is found again the next time.
    let _ = store.keep_check(hash, &checked);
    Ok(checked)
}

/// Reads the corpus once.
fn check<'a>(spec: &RunSpec, benchmarks: impl Iterator<Item = &'a EvalSpec>) -> Result<Checked> {
    let mut checks: Vec<Contamination> =
        benchmarks.map(|eval| contamination::of(eval, &spec.data.corpus)).collect::<Result<_>>()?;
    let tokenizer = items::given_tokenizer(spec)?;
    let corpus = &spec.data.corpus;
    let mut sources = vec![SourceText::default(); corpus.sources().len()];
    // Bytes of text and tokens of each source's sample.
    let mut samples = vec![(0u64, 0u64); sources.len()];
    let mut see = |place: usize, document: &str| -> Result<(), DataError> {
        checks.iter_mut().for_each(|check| check.see(document));
        sources[place].documents += 1;
        sources[place].text_bytes += document.len() as u64;
        sources[place].longest = sources[place].longest.max(document.len() as u64);
        let (bytes, tokens) = &mut samples[place];
        if let Some(tokenizer) = tokenizer.as_ref().filter(|_| *bytes < SAMPLE as u64) {
            let cut = document.floor_char_boundary(SAMPLE_OF_DOCUMENT);
            *bytes += cut as u64;
            *tokens += tokenizer.encode(&document[..cut])?.len() as u64;
        }
        Ok(())
    };
    let of_training = visit_training(corpus, &Bar::new(), &mut see)?;
    let of_validation = check_validation(corpus, &Bar::new())?;
    for (place, (source, (bytes, tokens))) in sources.iter_mut().zip(samples).enumerate() {
        source.bad_rows = of_training[place] + of_validation[place];
        let per_byte = (bytes > 0).then(|| tokens as f64 / bytes as f64);
        // One more for the end of each document.
        source.tokens =
            per_byte.map(|rate| (rate * source.text_bytes as f64).round() as u64 + source.documents);
        source.is_estimate = true;
    }
    Ok(Checked { sources, findings: checks.iter().map(Contamination::findings).collect() })
}

/// What a prepared corpus says of itself.
fn sizes(header: Header) -> Vec<SourceText> {
    let of = |source: &StoredSource| SourceText {
        documents: source.train.documents,
        text_bytes: source.train.text_bytes,
        tokens: Some(source.train.tokens),
        is_estimate: false,
        bad_rows: source.train.bad_rows + source.validation.bad_rows,
        longest: 0,
    };
    header.sources.iter().map(of).collect()
}

/// Sources by row, once for each different set of weights.
fn table(specs: &[&RunSpec], sources: &[SourceText], most: u64) -> String {
    let mut text = String::new();
    for spec in specs {
        let corpus = &spec.data.corpus;
        let names: Vec<String> = corpus.sources().into_iter().map(name).collect();
        let width = names.iter().map(String::len).max().unwrap_or(0).max(6);
        let _ = writeln!(text, "\ntraining text, of which a run sees up to {} tokens", grouped(most));
        let _ = writeln!(
            text,
            "  {:width$}  {:>6}  {:>10}  {:>8}  {:>15}  {:>7}",
            "source", "share", "documents", "text", "tokens", "epochs"
        );
        for ((name, weight), source) in names.iter().zip(corpus.weights()).zip(sources) {
            let tokens = source.tokens.map_or("–".to_string(), |tokens| {
                if source.is_estimate { format!("about {}", si(tokens as f64, "")) } else { grouped(tokens) }
            });
            let epochs = source.tokens.map_or("–".to_string(), |tokens| {
                format!("{:.2}", weight * most as f64 / tokens.max(1) as f64)
            });
            let _ = writeln!(
                text,
                "  {name:width$}  {:>4.1} %  {:>10}  {:>8}  {tokens:>15}  {epochs:>7}",
                100.0 * weight,
                grouped(source.documents),
                si(source.text_bytes as f64, "B"),
            );
        }
    }
    if sources.iter().any(|source| source.tokens.is_none()) {
        text.push_str("  (tokens are known once `run` has trained the tokenizer)\n");
    }
    text
}

/// The first training file of a source with its folder, or the name of a generated corpus.
fn name(source: &CorpusSpec) -> String {
    let Some(first) = source.train_files().first() else {
        let name = match source {
            CorpusSpec::World { .. } => "the embedded world",
            _ => "the synthetic corpus",
        };
        return name.to_string();
    };
    let parts: Vec<_> = Path::new(first).components().rev().take(2).map(|part| part.as_os_str()).collect();
    let path: std::path::PathBuf = parts.into_iter().rev().collect();
    match source.train_files().len() - 1 {
        0 => path.display().to_string(),
        more => format!("{} and {more} more", path.display()),
    }
}

/// Up to three files by name.
fn list(files: &[String]) -> String {
    let name = |file: &String| {
        let name = Path::new(file).file_name().unwrap_or_default().to_string_lossy().into_owned();
        format!("`{name}`")
    };
    let names: Vec<String> = files.iter().take(3).map(name).collect();
    match files.len().saturating_sub(3) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

/// A bar on standard error while the corpus is read; nothing where that is no terminal.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        let template = "reading the corpus {bar:30.cyan} {bytes} of {total_bytes}, {eta} left";
        // A template that indicatif does not understand would be a defect of this file: its own default then.
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        Bar(ProgressBar::with_draw_target(Some(0), terminal::draw_target())
            .with_style(style.progress_chars("━╸─")))
    }
}

impl Watch for Bar {
    fn on_read(&self, done: u64, total: u64) {
        self.0.set_length(total);
        self.0.set_position(done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
