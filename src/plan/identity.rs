//! What makes two stages the same: the canonical form of everything that can change one of their numbers.
//!
//! Files count by their contents, never by their path; inputs by their ids, which hold all that *they* depend on.
//! Threads, workers, devices, folders and log intervals are left out.
use super::error::PlanError;
use crate::base::hash::{canonical_json, sha256_file, short_hash};
use crate::spec::{
    ArmSpec, BadRows, CorpusSpec, DataSpec, DirectBudget, DirectShape, EngineKind, EngineSpec, EvalSpec,
    LatencySpec, Packing, Precision, PruneSpec, RunSpec, Shuffle, SourceModel, TokenizerSpec, task_folder,
};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
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
    // A `Value` is always serialisable: its keys are strings.
    let canonical = canonical_json(identity).unwrap_or_default();
    format!("{slug}-{}", short_hash(canonical.as_bytes()))
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

    pub fn corpus(&self, spec: &RunSpec) -> Result<Value, PlanError> {
        let corpus = self.documents(&spec.data.corpus)?;
        let tokenizer = match &spec.data.tokenizer {
            bpe @ TokenizerSpec::Bpe { .. } => json!(bpe),
            TokenizerSpec::Model { .. } => {
                let model = spec.source.model.as_ref().map_or(&[][..], |model| &model.files);
                json!({ "kind": "model", "sha256": self.hashes(model)? })
            }
            TokenizerSpec::File { path } => json!({ "kind": "file", "sha256": self.hash(Path::new(path))? }),
        };
        Ok(
            json!({ "stage": "corpus", "corpus": corpus, "tokenizer": tokenizer, "revision": ENGINE_REVISION }),
        )
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
    pub fn source_model(&self, model: &SourceModel, tokens: Option<u64>) -> Result<Value, PlanError> {
        Ok(json!({
            "stage": "source", "model": self.hashes(&model.files)?, "tokens_seen": tokens,
            "revision": ENGINE_REVISION,
        }))
    }

    /// `corpus` holds the held-out text and the tokenizer, where the identity of the model does not name it already.
    pub fn evaluation(
        &self,
        eval: &EvalSpec,
        data: &DataSpec,
        model: &str,
        corpus: Option<&str>,
    ) -> Result<Value, PlanError> {
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
        // Held-out windows have the weights, too.
        if let CorpusSpec::Mixture { .. } = data.corpus {
            identity["weights"] = json!(data.corpus.weights());
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
pub(super) struct InputIds<'a> {
    pub corpus: &'a str,
    pub source: Option<&'a str>,
    pub pruning_aware: Option<&'a str>,
}

/// How long the model takes; a measurement, which no other stage depends on.
pub(super) fn latency(latency: LatencySpec, model: &str) -> Value {
    json!({ "stage": "latency", "model": model, "latency": latency, "revision": LATENCY_REVISION })
}

pub(super) fn model(arm: ArmSpec, spec: &RunSpec, seed: u64, engine: &Value, inputs: &InputIds<'_>) -> Value {
    let mut identity = json!({
        "stage": arm.label(), "seed": seed, "engine": engine, "revision": ENGINE_REVISION,
        "corpus": inputs.corpus, "context_length": spec.data.context_length, "train": spec.train,
    });
    let own = match arm {
        ArmSpec::Source => json!({ "model": spec.model, "tokens": spec.source.tokens }),
        ArmSpec::PruningAware => json!({
            "source": inputs.source, "prune": without(&spec.prune, &["calibration_tokens"]),
            "tokens": spec.budget.tokens
        }),
        // Nothing is trained: of the optimisation only the micro-batch, the sample unit of the Fisher diagonal, counts;
        // it is part of `train`, as it is of the source's identity.
        ArmSpec::OneShot => {
            json!({ "source": inputs.source, "prune": without(&spec.prune, &["schedule", "gradient_ema"]) })
        }
        ArmSpec::OneShotRecover => json!({
            "source": inputs.source, "prune": without(&spec.prune, &["schedule", "gradient_ema"]),
            "tokens": spec.budget.tokens
        }),
        ArmSpec::Direct { shape, budget } => {
            let shape = match shape {
                DirectShape::Searched => json!({ "widths_of": inputs.pruning_aware }),
                DirectShape::Proportional => json!({ "model": spec.model, "target": spec.prune.target }),
            };
            let tokens = match budget {
                DirectBudget::RecoveryTokens => json!(spec.budget.tokens),
                DirectBudget::TotalTokens => {
                    json!(spec.source.tokens.unwrap_or_default() + spec.budget.tokens)
                }
                DirectBudget::TotalFlops => json!({ "flops_of": [inputs.source, inputs.pruning_aware] }),
            };
            json!({ "shape": shape, "model": spec.model, "tokens": tokens })
        }
    };
    if let (Value::Object(all), Value::Object(own)) = (&mut identity, own) {
        all.extend(own);
    }
    // Only where they say more than those identities did that were made before there were these keys.
    if spec.data.shuffle != Shuffle::Windows {
        identity["shuffle"] = json!(spec.data.shuffle);
    }
    if spec.data.packing != Packing::Crossing {
        identity["packing"] = json!(spec.data.packing);
    }
    if let CorpusSpec::Mixture { .. } = spec.data.corpus {
        identity["weights"] = json!(spec.data.corpus.weights());
    }
    identity
}

/// The pruning specification without the keys that an arm does not use.
fn without(prune: &PruneSpec, unused: &[&str]) -> Value {
    let mut value = json!(prune);
    if let Value::Object(map) = &mut value {
        unused.iter().for_each(|key| drop(map.remove(*key)));
    }
    value
}
