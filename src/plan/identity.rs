//! What makes two stages the same: the canonical form of everything that can change one of their numbers.
//!
//! Files count by their contents, never by their path; inputs by their ids, which hold all that *they* depend on.
//! Threads, workers, devices, folders and log intervals are left out.
use super::error::PlanError;
use crate::base::hash::{sha256_file, short_hash};
use crate::rules::saliency::Statistic;
use crate::schema::Projection;
use crate::schema::groups::sizes_come_apart;
use crate::spec::{
    ArmSpec, BadRows, CorpusSpec, DataSpec, EngineKind, EngineSpec, EvalSpec, How, LatencySpec, Packing,
    Precision, Pruning, RecoverySchedule, RecoverySpec, RunSpec, Scope, Shape, Shuffle, SourceModel, Start,
    TokenizerSpec, Tokens, keys_of, task_folder,
};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Raised with every change of the engine that alters a number, so that old results are not taken for new ones.
pub const ENGINE_REVISION: u32 = 1;

/// As [`ENGINE_REVISION`], of evaluation alone, so that models need not be made anew. 2: the requests of an item share
/// one pass. 3: items share passes, and small passes are filled up.
pub const EVALUATION_REVISION: u32 = 3;

/// As [`EVALUATION_REVISION`], of the way in which latency is measured.
pub const LATENCY_REVISION: u32 = 1;

/// `<slug>-<8 hex>` of a canonical form.
pub(super) fn stage_id(slug: &str, identity: &Value) -> String {
    // The maps of a `Value` are sorted: its text is its canonical form (`base::hash::canonical_json`).
    format!("{slug}-{}", short_hash(identity.to_string().as_bytes()))
}

/// Hashes of files, each read once.
#[derive(Default)]
pub(super) struct Files(RefCell<BTreeMap<PathBuf, String>>);

impl Files {
    fn hash(&self, path: &Path) -> Result<String, PlanError> {
        if let Some(hash) = self.0.borrow().get(path) {
            return Ok(hash.clone());
        }
        let read = |source| PlanError::Read { path: path.to_path_buf(), source };
        let hash = sha256_file(path).map_err(read)?;
        self.0.borrow_mut().insert(path.to_path_buf(), hash.clone());
        Ok(hash)
    }

    fn hashes(&self, paths: &[String]) -> Result<Vec<String>, PlanError> {
        paths.iter().map(|path| self.hash(Path::new(path))).collect()
    }

    pub fn corpus(&self, spec: &RunSpec) -> Result<Identity, PlanError> {
        let corpus = self.documents(&spec.data.corpus)?;
        let tokenizer = match &spec.data.tokenizer {
            bpe @ TokenizerSpec::Bpe { .. } => json!(bpe),
            TokenizerSpec::Model { .. } => {
                let model = spec.source.model.as_ref().map_or(&[][..], |model| &model.files);
                json!({ "kind": "model", "sha256": self.hashes(model)? })
            }
            TokenizerSpec::File { path } => json!({ "kind": "file", "sha256": self.hash(Path::new(path))? }),
        };
        let value = json!({ "stage": "corpus", "corpus": corpus, "tokenizer": tokenizer, "revision": ENGINE_REVISION });
        let mut identity = Identity::new(value, &["data.corpus", "data.tokenizer"]);
        if let TokenizerSpec::Model { .. } = spec.data.tokenizer {
            identity.read(&["source.model"]);
        }
        Ok(identity)
    }

    /// The documents of a corpus. The weights of a mixture decide nothing before its tokens are drawn.
    fn documents(&self, corpus: &CorpusSpec) -> Result<Value, PlanError> {
        Ok(match corpus {
            generated @ (CorpusSpec::World { .. } | CorpusSpec::Synthetic { .. }) => json!(generated),
            CorpusSpec::Text { train, validation } => {
                json!({ "kind": "text", "train": self.hashes(train)?, "validation": self.hashes(validation)? })
            }
            CorpusSpec::Jsonl { train, validation, field, bad_rows } => with_bad_rows(
                *bad_rows,
                json!({
                    "kind": "jsonl", "field": field,
                    "train": self.hashes(train)?, "validation": self.hashes(validation)?
                }),
            ),
            CorpusSpec::Parquet { train, validation, column, bad_rows } => with_bad_rows(
                *bad_rows,
                json!({
                    "kind": "parquet", "column": column,
                    "train": self.hashes(train)?, "validation": self.hashes(validation)?
                }),
            ),
            CorpusSpec::Mixture { sources, .. } => {
                let sources = sources.iter().map(|source| self.documents(source));
                json!({ "kind": "mixture", "sources": sources.collect::<Result<Vec<_>, _>>()? })
            }
        })
    }

    /// A source model from disk: neither seed nor training nor corpus changes it.
    pub fn source_model(&self, model: &SourceModel, tokens: Option<u64>) -> Result<Identity, PlanError> {
        let value = json!({
            "stage": "source", "model": self.hashes(&model.files)?, "tokens_seen": tokens,
            "revision": ENGINE_REVISION,
        });
        Ok(Identity::new(value, &["source.model", "source.tokens_seen"]))
    }

    /// `corpus` holds the held-out text and the tokenizer, where the identity of the model does not name it already.
    pub fn evaluation(
        &self,
        eval: &EvalSpec,
        data: &DataSpec,
        model: &str,
        corpus: Option<&str>,
    ) -> Result<Identity, PlanError> {
        let mut benchmarks = BTreeMap::new();
        if let Some(folder) = &eval.folder {
            for task in &eval.tasks {
                let Some(folder) = task_folder(folder, task) else { continue };
                let read = |source| PlanError::Read { path: folder.clone(), source };
                for entry in std::fs::read_dir(&folder).map_err(read)? {
                    let path = entry.map_err(read)?.path();
                    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    // The splits that are scored; what stands beside them changes nothing.
                    let is_scored = name.starts_with("test.") || name.starts_with("validation.");
                    if is_scored {
                        benchmarks.insert(format!("{task}/{name}"), self.hash(&path)?);
                    }
                }
            }
        }
        let mut identity = json!({
            "stage": "evaluation", "model": model, "context_length": data.context_length, "tasks": eval.tasks,
            "items": eval.items, "validation_tokens": eval.validation_tokens,
            "benchmarks": eval.folder.as_ref().map(|_| benchmarks),
            "revision": EVALUATION_REVISION,
        });
        if let Some(corpus) = corpus {
            identity["corpus"] = json!(corpus);
        }
        // Which items of a file are scored; those of the world are drawn one after the other.
        let is_sample = eval.folder.is_some() && eval.items > 0;
        if is_sample {
            identity["sample_seed"] = json!(eval.sample_seed);
        }
        // Bits per byte were over guessed lengths of tokens once, which byte-level BPE that was trained here has right.
        if !matches!(data.tokenizer, TokenizerSpec::Bpe { .. }) {
            identity["bytes"] = json!("text");
        }
        // Items of the embedded world were once different where only their choices stood in another order.
        if eval.folder.is_none() && !matches!(data.corpus, CorpusSpec::Synthetic { .. }) {
            identity["world_items"] = json!(2);
        }
        // Held-out windows have the weights, too.
        if let CorpusSpec::Mixture { .. } = data.corpus {
            identity["weights"] = json!(data.corpus.weights());
        }
        let eval = ["eval.tasks", "eval.items", "eval.folder", "eval.validation_tokens"];
        let mut identity = Identity::new(identity, &eval);
        identity.read(&["data.context_length", "data.corpus", "data.tokenizer"]);
        if is_sample {
            identity.read(&["eval.sample_seed"]);
        }
        Ok(identity)
    }
}

/// Rows that are refused are none: corpora that were prepared before they could be left out stay what they were.
fn with_bad_rows(bad_rows: BadRows, mut documents: Value) -> Value {
    if bad_rows != BadRows::Refuse {
        documents["bad_rows"] = json!(bad_rows);
    }
    documents
}

/// The part of an engine that can change a number: its name, the precision of CUDA, the order of sums of bf16 products on
/// the processor, and how many ranks add up a gradient. One rank on the processor in f32 is its name alone.
pub(super) fn engine(kind: EngineKind, spec: &EngineSpec) -> Value {
    let mut engine = json!({ "kind": kind });
    if kind == EngineKind::Cuda {
        engine["precision"] = json!(spec.precision.unwrap_or(Precision::Bf16));
    }
    if let (EngineKind::Cpu, Some(Precision::Bf16)) = (kind, spec.precision) {
        engine["precision"] = json!(Precision::Bf16);
        engine["products"] = json!(spec.cpu_bf16);
    }
    if spec.data_parallel > 1 {
        engine["data_parallel"] = json!(spec.data_parallel);
    }
    match engine.as_object().map(serde_json::Map::len) {
        Some(1) => json!(kind),
        _ => engine,
    }
}

/// Ids of a model's inputs.
#[derive(Default)]
pub(super) struct InputIds<'a> {
    pub corpus: &'a str,
    pub source: Option<&'a str>,
    pub teacher: Option<&'a str>,
    pub other: Option<&'a str>,
}

/// How long the model takes; a measurement, which no other stage depends on.
pub(super) fn latency(latency: LatencySpec, model: &str) -> Identity {
    let value =
        json!({ "stage": "latency", "model": model, "latency": latency, "revision": LATENCY_REVISION });
    Identity::new(value, &["latency"])
}

/// An identity and the keys of the experiment that it holds.
pub(super) struct Identity {
    pub value: Value,
    pub reads: BTreeSet<&'static str>,
}

impl Identity {
    pub(super) fn new(value: Value, reads: &[&'static str]) -> Self {
        Identity { value, reads: reads.iter().copied().collect() }
    }

    fn put(&mut self, name: &str, value: Value, reads: &[&'static str]) {
        self.value[name] = value;
        self.read(reads);
    }

    fn read(&mut self, reads: &[&'static str]) {
        self.reads.extend(reads);
    }

    /// A section of the file under its own name, but for the keys that are not used.
    fn section(&mut self, name: &str, section: impl serde::Serialize, unused: &[&str]) {
        let mut value = json!(section);
        if let Value::Object(map) = &mut value {
            unused.iter().for_each(|key| drop(map.remove(*key)));
            let is_used = |key: &&&str| !unused.contains(&&key[name.len() + 1..]);
            self.reads.extend(keys_of(name).iter().filter(is_used));
        }
        self.value[name] = value;
    }
}

/// What the numbers of a model depend on: a fold over the arm's three answers.
pub(super) fn model(
    arm: &ArmSpec,
    spec: &RunSpec,
    seed: u64,
    engine: &Value,
    ids: &InputIds<'_>,
) -> Identity {
    let base = json!({
        "stage": arm.kind(), "seed": seed, "engine": engine, "revision": ENGINE_REVISION,
        "corpus": ids.corpus, "context_length": spec.data.context_length,
    });
    let mut identity = Identity::new(base, &["data.context_length"]);
    // Even where nothing is trained the micro-batch, the sample unit of the Fisher diagonal, counts.
    identity.section("train", &spec.train, &[]);
    identity.read(&["eval.curve_points", "eval.curve_tokens"]);
    // At their defaults they change no number that there was before them.
    if arm.train.is_some() && !spec.eval.follows_default() {
        identity.value["held_out"] =
            json!({ "points": spec.eval.curve_points, "tokens": spec.eval.curve_tokens });
    }
    from(&mut identity, arm, spec, ids);
    pruned(&mut identity, arm, spec, ids);
    trained(&mut identity, arm, spec, ids);
    // Only where they say more than those identities did that were made before there were these keys.
    identity.read(&["data.shuffle", "data.packing", "data.corpus"]);
    if spec.data.shuffle != Shuffle::Windows {
        identity.value["shuffle"] = json!(spec.data.shuffle);
    }
    if spec.data.packing != Packing::Crossing {
        identity.value["packing"] = json!(spec.data.packing);
    }
    if let CorpusSpec::Mixture { .. } = spec.data.corpus {
        identity.value["weights"] = json!(spec.data.corpus.weights());
    }
    identity
}

/// The keys that give a source its shape.
fn shape_keys(spec: &RunSpec) -> &'static str {
    if spec.source.model.is_some() { "source.model" } else { "model" }
}

fn from(identity: &mut Identity, arm: &ArmSpec, spec: &RunSpec, ids: &InputIds<'_>) {
    let model = shape_keys(spec);
    let shape = match &arm.from {
        Start::Source => return identity.put("source", json!(ids.source), &[]),
        Start::Scratch(shape) => shape,
    };
    identity.put("model", json!(spec.model), &[model]);
    let shape = match shape {
        Shape::Source if arm.kind().starts_with("source") => return,
        Shape::Source => json!("source"),
        Shape::Proportional => {
            identity.read(&["prune.target"]);
            let mut shape = json!({ "model": spec.model, "target": spec.prune.target });
            // Those of channels were left out once, where there were any.
            if spec.model.biases.contains(Projection::Gate) || spec.model.biases.contains(Projection::Up) {
                shape["biases"] = json!("counted");
            }
            shape
        }
        Shape::Of(_) => json!({ "widths_of": ids.other }),
    };
    identity.put("shape", shape, &[]);
}

fn pruned(identity: &mut Identity, arm: &ArmSpec, spec: &RunSpec, ids: &InputIds<'_>) {
    let Some(Pruning { how, widths_of }) = &arm.prune else { return };
    let mut unused: Vec<&str> = match how {
        How::WhileTraining => vec!["calibration_tokens"],
        How::AtOnce { .. } => vec!["schedule", "gradient_ema"],
    };
    if widths_of.is_some() {
        identity.put("widths_of", json!(ids.other), &[]);
        unused.extend(["target", "fixed_shape"]);
    }
    identity.section("prune", &spec.prune, &unused);
    // Of a rule that reads no squares of gradients the unit of them means nothing.
    let saliency = spec.prune.saliency;
    if !(saliency.needs(Statistic::Fisher) || saliency.needs(Statistic::SquaredEffect)) {
        identity.reads.retain(|key| !key.starts_with("prune.fisher_"));
    }
    if let How::AtOnce { stages: stages @ 2.. } = how {
        identity.put("stages", json!(stages), &[]);
    }
    // Such runs ended a little lower before their last events were chosen by the layer that loses them.
    if spec.prune.scope == Scope::PerLayer && sizes_come_apart(&spec.prune.types) {
        identity.value["end"] = json!("nearest");
    }
    // Updates read running means of x̄ once.
    let averages = *how == How::WhileTraining && spec.prune.gradient_ema > 0.0;
    if averages && spec.prune.update.needs.contains(&Statistic::InputMean) {
        identity.value["update_means"] = json!("of the step");
    }
}

fn trained(identity: &mut Identity, arm: &ArmSpec, spec: &RunSpec, ids: &InputIds<'_>) {
    let Some(train) = arm.train else { return };
    let (source, recovery) = (&spec.source, &spec.recovery);
    match train.tokens {
        Tokens::Source => identity.put("tokens", json!(source.tokens), &["source.tokens", "source.per_seed"]),
        Tokens::SourceStable => {
            let tokens = source.stable_tokens(&spec.train);
            identity.put("tokens", json!(tokens), &["source.tokens", "source.per_seed"]);
        }
        Tokens::Recovery => identity.put("tokens", json!(spec.budget.tokens), &["budget.tokens"]),
        Tokens::Total { source_share } => {
            let tokens = source.counted_tokens(source_share) + spec.budget.tokens;
            let keys = ["budget.tokens", "source.tokens", "source.tokens_seen"];
            identity.put("tokens", json!(tokens), &keys);
        }
        Tokens::TotalFlops { source_share } => {
            identity.put("tokens", json!({ "flops_of": [ids.source, ids.other] }), &[]);
            if source_share != 1.0 {
                identity.put("source_share", json!(source_share), &[]);
            }
            // A teacher's passes were beside the budget once.
            if train.distils {
                identity.value["tokens"]["teacher"] = json!("paid");
            }
        }
    }
    if arm.continues() {
        identity.read(&["recovery.schedule", "recovery.learning_rate", "recovery.warmup_tokens"]);
        let own = RecoverySpec { subtract_calibration: false, ..*recovery };
        if own != RecoverySpec::default() {
            identity.value["recovery"] = json!(own);
        }
        if own.schedule == RecoverySchedule::Continue {
            identity.put("schedule_tokens", json!(source.stream_tokens()), &["source.tokens"]);
        }
    }
    if arm.is_source() && recovery.schedule == RecoverySchedule::Continue {
        let tokens = source.stream_tokens() + spec.budget.tokens;
        identity.put("schedule_tokens", json!(tokens), &["recovery.schedule", "budget.tokens"]);
    }
    if arm.stages() > 0 {
        identity.read(&["recovery.subtract_calibration"]);
        if !recovery.subtract_calibration {
            identity.put("subtract_calibration", json!(false), &[]);
        }
    }
    if train.distils {
        identity.section("distil", spec.distil, &[]);
        identity.put("teacher", json!(ids.teacher), &[]);
    }
}
