//! The rows themselves. Field order is column order; meaning and unit of each field are in [`super::dictionary`].
//!
//! Measured numbers are `Option`: `None` is an empty cell. A number that is not finite (a diverged loss) counts as not
//! measured, in JSON (`null`) as in CSV.
use super::scores::{EvalScore, ItemChoice, SetAside};
use super::{RecordError, Result, SCHEMA_VERSION};
use crate::stats::descriptive;
use serde::{Deserialize, Serialize, Serializer};
use std::path::Path;

/// Name of a run's record in its folder of the store.
pub const RECORD_FILE: &str = "record.json";
/// Name of a model's latencies in the folder of their measurement.
pub const LATENCY_FILE: &str = "latency.json";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Ok,
    Failed,
}

/// What the tokens and FLOPs of a run were spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerPart {
    Source,
    Saliency,
    Hessian,
    Update,
    Train,
    Evaluation,
    Teacher,
}

impl LedgerPart {
    pub const ALL: [LedgerPart; 7] = [
        LedgerPart::Source,
        LedgerPart::Saliency,
        LedgerPart::Hessian,
        LedgerPart::Update,
        LedgerPart::Train,
        LedgerPart::Evaluation,
        LedgerPart::Teacher,
    ];

    pub fn name(self) -> &'static str {
        match self {
            LedgerPart::Source => "source",
            LedgerPart::Saliency => "saliency",
            LedgerPart::Hessian => "hessian",
            LedgerPart::Update => "update",
            LedgerPart::Train => "train",
            LedgerPart::Evaluation => "evaluation",
            LedgerPart::Teacher => "teacher",
        }
    }
}

/// The columns of `runs.csv` before the axes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunIdentity {
    pub run: String,
    pub arm: String,
    pub seed: u64,
    pub status: Status,
    /// Why it failed; `None` where it did not.
    pub reason: Option<String>,
    pub stage: Option<String>,
}

/// The columns of `runs.csv` after the axes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunTotals {
    pub params: Option<u64>,
    pub target_params: Option<u64>,
    pub tokens: Option<u64>,
    pub total_tokens: Option<u64>,
    #[serde(serialize_with = "finite")]
    pub flops: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub total_flops: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub train_loss: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub valid_loss: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub bits_per_byte: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub seconds: Option<f64>,
    pub peak_memory_bytes: Option<u64>,
    pub engine: Option<String>,
    pub precision: Option<String>,
    pub devices: Option<String>,
    pub sequences_at_once: Option<u64>,
    pub saliency_hessian: Option<String>,
    pub update_hessian: Option<String>,
    #[serde(serialize_with = "finite")]
    pub kl_to_source: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub kl_to_source_low: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub kl_to_source_high: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub average_acc: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub average_usual: Option<f64>,
    pub products: Option<String>,
}

/// One logged optimiser step: a row of `curves.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    pub step: u64,
    pub tokens_seen: u64,
    pub params: u64,
    #[serde(serialize_with = "finite")]
    pub loss: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub grad_norm: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub learning_rate: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub flops: Option<f64>,
    /// Added after the others.
    #[serde(default, serialize_with = "finite")]
    pub held_out_loss: Option<f64>,
}

/// One pruning event: a row of `prune.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PruneEvent {
    pub event: u64,
    pub step: u64,
    pub tokens_seen: u64,
    #[serde(rename = "type")]
    pub group_type: String,
    /// A layer's number, or `all`.
    pub layer: String,
    /// The group's number in the source model; one per layer joined by `;` where `layer` is `all`.
    pub index: String,
    #[serde(serialize_with = "finite")]
    pub saliency: Option<f64>,
    pub params: u64,
    pub gram_age_steps: Option<u64>,
    pub gram_age_events: Option<u64>,
    pub gram_tokens: Option<u64>,
    #[serde(serialize_with = "finite")]
    pub damping: Option<f64>,
    pub fisher_unit: Option<String>,
    pub fisher_units: Option<u64>,
    /// The event, counted from 0, before which the sums of scores were last taken whole.
    #[serde(default)]
    pub sums_from_event: Option<u64>,
}

/// One type of group at one pruning event: a row of `candidates.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CandidateRow {
    pub event: u64,
    #[serde(rename = "type")]
    pub group_type: String,
    #[serde(serialize_with = "finite")]
    pub saliency: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub pruned_share: Option<f64>,
}

/// Shape of one layer of the final model: a row of `widths.csv`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerWidths {
    pub layer: u64,
    pub hidden_size: u64,
    pub num_heads: u64,
    pub num_kv_heads: u64,
    pub intermediate_size: u64,
    /// Channels of one head of q and k.
    #[serde(default)]
    pub head_dim: Option<u64>,
}

/// What one part of a run cost: a row of `ledger.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LedgerEntry {
    pub part: LedgerPart,
    pub tokens: Option<u64>,
    #[serde(serialize_with = "finite")]
    pub flops: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub seconds: Option<f64>,
}

/// What the time of a [`LatencyRow`] was spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LatencyPhase {
    /// Reading a prompt in one pass.
    Prefill,
    /// Generating tokens one by one.
    Decode,
}

/// How long the model takes for one phase at batch 1: a row of `latency.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatencyRow {
    pub phase: LatencyPhase,
    /// Tokens read or generated in one measurement.
    pub tokens: u64,
    pub threads: u64,
    pub repeats: u64,
    /// Of one measurement: the median, the least and the greatest.
    #[serde(serialize_with = "finite")]
    pub seconds: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub seconds_min: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub seconds_max: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub tokens_per_second: Option<f64>,
}

impl LatencyRow {
    /// The row of measurements that took `seconds` each.
    pub fn of(phase: LatencyPhase, tokens: u64, threads: u64, seconds: &[f64]) -> LatencyRow {
        let median = descriptive::quantile(seconds, 0.5).ok();
        LatencyRow {
            phase,
            tokens,
            threads,
            repeats: seconds.len() as u64,
            seconds: median,
            seconds_min: seconds.iter().copied().reduce(f64::min),
            seconds_max: seconds.iter().copied().reduce(f64::max),
            tokens_per_second: median.map(|seconds| tokens as f64 / seconds),
        }
    }

    /// Writes `latency.json` into `folder`, which its caller syncs and names as a whole.
    pub fn write(rows: &[LatencyRow], folder: &Path) -> Result<()> {
        let path = folder.join(LATENCY_FILE);
        let bytes = serde_json::to_vec(rows)
            .map_err(|e| RecordError::Json { path: path.clone(), message: e.to_string() })?;
        std::fs::write(&path, &bytes).map_err(|source| RecordError::Io { path, source })
    }

    /// Reads `latency.json` of `folder`.
    pub fn read(folder: &Path) -> Result<Vec<LatencyRow>> {
        let path = folder.join(LATENCY_FILE);
        let bytes = std::fs::read(&path).map_err(|source| RecordError::Io { path: path.clone(), source })?;
        serde_json::from_slice(&bytes).map_err(|e| RecordError::Json { path, message: e.to_string() })
    }
}

/// Everything a run has to say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    pub schema_version: u32,
    pub identity: RunIdentity,
    /// Key path and value of every axis of the experiment, in the experiment's order.
    pub axes: Vec<(String, String)>,
    pub totals: RunTotals,
    pub evals: Vec<EvalScore>,
    pub items: Vec<ItemChoice>,
    pub curve: Vec<CurvePoint>,
    pub prune: Vec<PruneEvent>,
    #[serde(default)]
    pub candidates: Vec<CandidateRow>,
    pub widths: Vec<LayerWidths>,
    pub ledger: Vec<LedgerEntry>,
    /// Measured by a stage of its own, after the others.
    #[serde(default)]
    pub latency: Vec<LatencyRow>,
    /// Items that could not be scored.
    #[serde(default)]
    pub set_aside: Vec<SetAside>,
}

impl RunRecord {
    /// A record with nothing measured yet.
    pub fn new(identity: RunIdentity, axes: Vec<(String, String)>) -> RunRecord {
        RunRecord {
            schema_version: SCHEMA_VERSION,
            identity,
            axes,
            totals: RunTotals::default(),
            evals: vec![],
            items: vec![],
            curve: vec![],
            prune: vec![],
            candidates: vec![],
            widths: vec![],
            ledger: vec![],
            latency: vec![],
            set_aside: vec![],
        }
    }

    /// Writes `record.json` into `folder`, which its caller syncs and names as a whole.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(RECORD_FILE);
        let bytes = serde_json::to_vec(self)
            .map_err(|e| RecordError::Json { path: path.clone(), message: e.to_string() })?;
        std::fs::write(&path, &bytes).map_err(|source| RecordError::Io { path, source })
    }

    /// Reads `record.json` of `folder`.
    pub fn read(folder: &Path) -> Result<RunRecord> {
        let path = folder.join(RECORD_FILE);
        let bytes = std::fs::read(&path).map_err(|source| RecordError::Io { path: path.clone(), source })?;
        let json = |e: serde_json::Error| RecordError::Json { path: path.clone(), message: e.to_string() };
        match serde_json::from_slice::<RunRecord>(&bytes) {
            // Of thousands of records nearly all are of this kind.
            Ok(record) if record.schema_version == SCHEMA_VERSION && !record.may_be_of_old_events() => {
                return Ok(record);
            }
            _ => {}
        }
        /// The version alone, so that an old file is told as old and not as malformed.
        #[derive(Deserialize)]
        struct Version {
            schema_version: u32,
        }
        let found = serde_json::from_slice::<Version>(&bytes).map_err(json)?.schema_version;
        if found != SCHEMA_VERSION {
            return Err(RecordError::SchemaVersion { path, found, expected: SCHEMA_VERSION });
        }
        let mut record: serde_json::Value = serde_json::from_slice(&bytes).map_err(json)?;
        candidates_of_old_events(&mut record);
        serde_json::from_value(record).map_err(json)
    }

    /// Events without candidates: those of today have some.
    fn may_be_of_old_events(&self) -> bool {
        self.candidates.is_empty() && !self.prune.is_empty()
    }
}

/// Records were once written with two columns of each event for every type; they become rows.
fn candidates_of_old_events(record: &mut serde_json::Value) {
    if record.get("candidates").is_some() {
        return;
    }
    let mut rows = Vec::new();
    for event in record["prune"].as_array().into_iter().flatten() {
        for group_type in OLD_TYPES {
            let share = &event[format!("pruned_share_{group_type}")];
            if !share.is_null() {
                rows.push(serde_json::json!({
                    "event": event["event"],
                    "type": group_type,
                    "saliency": event[format!("candidate_{group_type}")],
                    "pruned_share": share,
                }));
            }
        }
    }
    record["candidates"] = rows.into();
}

/// The types that had columns of their own in `prune.csv`.
pub(super) const OLD_TYPES: [&str; 3] = ["ffn", "head", "stem"];

/// A number that is not finite is no measurement.
pub(super) fn finite<S: Serializer>(
    value: &Option<f64>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    value.filter(|v| v.is_finite()).serialize(serializer)
}
