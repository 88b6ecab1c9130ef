//! Model stages: the source and every other arm, from inputs in the store to a checkpoint with its record.
use super::super::executor::{Progress, StageFailure, Task};
use super::super::origin::Origin;
use crate::data::Prepared;
use crate::model::checkpoint::{self, LoadedModel};
use crate::model::flops::training_flops_per_token;
use crate::model::{Engine, ModelConfig, Rank, Weights};
use crate::prune::{EventRecord, PrunerState};
use crate::spec::vocabulary::vocab_size;
use crate::spec::{ArmSpec, EvalSpec, RecoverySchedule, RunSpec, SourceModel, Tokens};
use crate::tensor::cpu::blocked::detect;
use crate::tensor::{Backend, CpuBackend, Scalar};
use crate::train::arms::{Context, Given, Made, Trained};
use crate::train::optimizer::Moments;
use crate::train::pretrain::{Observer, Silent, StepReport};
use crate::train::{CurvePoint, HeldOut, Ledger, Part, TrainError};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// Folder of the checkpoint within a model's stage.
const MODEL: &str = "model";
/// How the model came about, beside it.
const SUMMARY: &str = "training.json";
/// State of a training run under way.
const STATE: &str = "state.safetensors";

/// What a model was made on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MadeOn {
    pub engine: String,
    pub precision: String,
    /// The order of sums of bf16 products on the processor, and whether it was emulated.
    #[serde(default)]
    pub products: Option<String>,
    /// Name and numbers of the devices; `None` where the processor did it.
    pub devices: Option<String>,
    /// Sequences of one pass.
    pub sequences_at_once: u64,
    /// The most memory of the first device that was in use at once; `None` where the processor did it.
    #[serde(default)]
    pub device_peak_bytes: Option<u64>,
}

impl MadeOn {
    fn of<B: Backend>(rank: &Rank<'_, B>, engine: &Engine, micro_batch: usize) -> Self {
        let name = |value: serde_json::Value| value.as_str().unwrap_or_default().to_string();
        let numbers = || engine.devices.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        MadeOn {
            engine: name(serde_json::json!(engine.kind)),
            precision: name(serde_json::json!(engine.effective_precision())),
            products: engine.products().map(detect::describe),
            devices: rank.backend.device_name().map(|device| format!("{device} ({})", numbers())),
            sequences_at_once: rank.at_once.min(micro_batch) as u64,
            device_peak_bytes: None,
        }
    }
}

/// How a model came about.
#[derive(Serialize, Deserialize)]
pub(super) struct Summary {
    /// What this arm cost, its source not counted.
    pub ledger: Ledger,
    /// What the source cost, for arms that start from it.
    pub source_ledger: Option<Ledger>,
    pub curve: Vec<CurvePoint>,
    pub events: Vec<EventRecord>,
    /// Which groups of the source are left, for arms that prune.
    pub pruner: Option<PrunerState>,
    /// `None` in what was written before engines were told.
    pub made_on: Option<MadeOn>,
}

/// A stage's folder that cannot be read back.
#[derive(Debug, thiserror::Error)]
pub(super) enum SummaryError {
    #[error("stage has no {0}: its plan is broken")]
    NoInput(&'static str),
    #[error(
        "the model diverged: `{name}` holds weights that are not finite\nhint: lower `train.learning_rate` or raise `train.warmup_tokens`"
    )]
    NotFinite { name: String },
    #[error("cannot read `{}`: {source}\nhint: delete its folder and run again", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("`{}` is not what was written: {source}\nhint: delete its folder and run again", .path.display())]
    Corrupt { path: PathBuf, source: serde_json::Error },
}

impl Summary {
    pub fn read(folder: &Path) -> Result<Self, SummaryError> {
        let path = folder.join(SUMMARY);
        let bytes = fs::read(&path).map_err(|source| SummaryError::Read { path: path.clone(), source })?;
        serde_json::from_slice(&bytes).map_err(|source| SummaryError::Corrupt { path, source })
    }
}

/// Shape of the source model of `spec`.
pub(super) fn source_config(spec: &RunSpec) -> Result<ModelConfig, StageFailure> {
    let vocab_size = vocab_size(&spec.data.tokenizer).map_err(StageFailure::Failed)?;
    Ok(spec.model.config(vocab_size, spec.data.context_length))
}

/// The model that a stage's folder holds.
pub(super) fn load<B: Backend>(
    backend: &B,
    folder: &Path,
) -> Result<(ModelConfig, Weights<B::Tensor>), StageFailure> {
    checkpoint::load(backend, &folder.join(MODEL)).map_err(|error| {
        let remedy = format!("hint: delete `{}` and run again; it is then made anew", folder.display());
        StageFailure::Failed(format!("{error}\n{remedy}"))
    })
}

/// Moments of the last step, in the form of a model each, beside the model.
const MOMENTS: [&str; 2] = ["first_moments", "second_moments"];
/// How many steps they are of.
const STEPS: &str = "steps.json";

/// Whether arms go on with the moments of this one.
fn keeps_moments(arm: &ArmSpec, spec: &RunSpec) -> bool {
    match arm.train.map(|train| train.tokens) {
        Some(Tokens::Source) => spec.recovery.schedule == RecoverySchedule::Continue,
        Some(Tokens::SourceStable) => true,
        _ => false,
    }
}

/// The model of a stage's folder, with its moments where they were kept.
fn trained<B: Backend>(backend: &B, folder: &Path) -> Result<Trained<B>, StageFailure> {
    let (config, weights) = load(backend, folder)?;
    let path = folder.join(STEPS);
    let moments = match fs::read(&path) {
        Ok(bytes) => {
            let steps = serde_json::from_slice(&bytes);
            let steps = steps.map_err(|source| SummaryError::Corrupt { path, source })?;
            let [m, v] = MOMENTS.map(|name| checkpoint::load(backend, &folder.join(name)));
            Some(Moments { m: m?.1, v: v?.1, steps })
        }
        Err(_) => None,
    };
    Ok(Trained { config, weights, moments })
}

fn save_moments<B: Backend>(
    backend: &B,
    folder: &Path,
    config: &ModelConfig,
    moments: &Moments<B::Tensor>,
) -> Result<(), StageFailure> {
    for (name, tree) in MOMENTS.into_iter().zip([&moments.m, &moments.v]) {
        checkpoint::save_within(backend, &folder.join(name), config, tree)?;
    }
    fs::write(folder.join(STEPS), serde_json::to_vec(&moments.steps)?)?;
    Ok(())
}

/// Copies the source model from disk into the stage's folder, with what is known of its making.
pub(super) fn import(model: &SourceModel, task: &Task<'_>) -> Result<(), StageFailure> {
    let (backend, spec) = (CpuBackend::<f32>::new(), &task.stage.spec);
    let LoadedModel { config, weights, licence, .. } = checkpoint::load_any(&backend, &model.path)?;
    checkpoint::save_within(&backend, &task.folder.join(MODEL), &config, &weights)?;
    Origin::new(Path::new(&model.path), licence).write(task.folder)?;
    let mut ledger = Ledger::default();
    if let Some(tokens) = spec.source.tokens {
        // Somewhere else, at a context length and in a time that nobody told.
        let flops = training_flops_per_token(&config, spec.data.context_length) * tokens as f64;
        ledger.add(Part::Source, tokens, flops, 0.0);
    }
    let (curve, events) = (Vec::new(), Vec::new());
    let summary = Summary { ledger, source_ledger: None, curve, events, pruner: None, made_on: None };
    fs::write(task.folder.join(SUMMARY), serde_json::to_vec(&summary)?)?;
    Ok(())
}

/// What is scored along a run: the beginning of what its evaluation scores.
fn held_out(spec: &RunSpec, data: &Prepared) -> Result<HeldOut, StageFailure> {
    let EvalSpec { curve_points: points, curve_tokens, validation_tokens, .. } = spec.eval;
    if points == 0 {
        return Ok(HeldOut::default());
    }
    let windows = data.validation(&spec.data, curve_tokens.min(validation_tokens))?;
    let batches = windows.batches(spec.train.micro_batch, &data.tokenizer).map(|(batch, _)| batch).collect();
    Ok(HeldOut { batches, points })
}

/// Makes the model of `arm`; rank 0 writes it to the stage's folder.
pub(super) fn make<B: Backend>(
    rank: Rank<'_, B>,
    arm: &ArmSpec,
    engine: &Engine,
    task: &Task<'_>,
    data: &Prepared,
    progress: &dyn Progress,
) -> Result<(), StageFailure> {
    let spec = &task.stage.spec;
    let seed = task.stage.seed.unwrap_or_default();
    let (backend, is_first) = (rank.backend, rank.communicator.rank() == 0);
    let made_on = MadeOn::of(&rank, engine, spec.train.micro_batch);
    let batches = data.batches(&spec.data, seed)?;
    let state = task.partial.join(STATE);
    let (mut watch, mut silent) = (Watch(progress), Silent);
    let mut context = Context {
        rank,
        batches: &batches,
        spec,
        seed,
        resume: Some((&state, task.identity)),
        observer: if is_first { &mut watch } else { &mut silent },
        held_out: held_out(spec, data)?,
    };
    let inputs = &task.inputs;
    let source_ledger = match inputs.source.as_deref() {
        Some(folder) => Some(Summary::read(folder)?.ledger),
        None => None,
    };
    let flops = |ledger: Option<&Ledger>| ledger.map_or(0.0, Ledger::method_flops);
    let other = match inputs.other.as_deref() {
        Some(folder) => {
            let config = checkpoint::load_config(&folder.join(MODEL))?;
            Some((config, Summary::read(folder)?.ledger))
        }
        None => None,
    };
    let given = Given {
        source: match inputs.source.as_deref() {
            Some(folder) if arm.continues() => Some(trained(backend, folder)?),
            _ => None,
        },
        source_flops: flops(source_ledger.as_ref()),
        other_flops: flops(other.as_ref().map(|(_, ledger)| ledger)),
        other: other.map(|(config, _)| config),
        teacher: match inputs.teacher.as_deref() {
            Some(folder) => Some(trained(backend, folder)?),
            None => None,
        },
    };
    let made = context.make(arm, &source_config(spec)?, given);
    let made = made.map_err(|error| match error {
        TrainError::Interrupted { .. } => StageFailure::Interrupted,
        TrainError::Rank(error) => error.into(),
        error => error.into(),
    })?;
    if !is_first {
        return Ok(());
    }
    let Made { model: made, moments } = made;
    check_finite(backend, &made.weights)?;
    checkpoint::save_within(backend, &task.folder.join(MODEL), &made.config, &made.weights)?;
    if keeps_moments(arm, spec) {
        save_moments(backend, task.folder, &made.config, &moments)?;
    }
    let summary = Summary {
        ledger: made.ledger,
        // Whoever starts from scratch has cost no more than itself.
        source_ledger: source_ledger.filter(|_| arm.continues()),
        curve: made.curve,
        events: made.events,
        pruner: made.pruner,
        made_on: Some(MadeOn { device_peak_bytes: backend.device_peak_bytes(), ..made_on }),
    };
    fs::write(task.folder.join(SUMMARY), serde_json::to_vec(&summary)?)?;
    // JSON has no infinities: what cannot be read back must not count as done.
    Summary::read(task.folder)?;
    Ok(())
}

/// A model with weights that are no numbers is no result.
fn check_finite<B: Backend>(backend: &B, weights: &Weights<B::Tensor>) -> Result<(), StageFailure> {
    for (name, leaf) in weights.named() {
        if backend.to_host(leaf).iter().any(|weight| !weight.to_f64().is_finite()) {
            return Err(SummaryError::NotFinite { name }.into());
        }
    }
    Ok(())
}

/// Passes on what training reports.
struct Watch<'a>(&'a dyn Progress);

impl Observer for Watch<'_> {
    fn on_step(&mut self, report: StepReport) {
        self.0.update(report.tokens_seen, report.total_tokens, Some(report.loss), Some(report.params));
    }

    fn interrupted(&self) -> bool {
        self.0.interrupted()
    }
}
