//! Sections of the file, read key by key. A default stands here and, with its reason, in `experiments/reference.toml`.
use super::arm::{self, ArmRead};
use super::names::*;
use super::places::{ModelDescription, NoSource, Places};
use super::reader::{Findings, Table};
use super::types::*;
use super::{corpus, rules};
use crate::schema::Biases;
use std::path::Path;

/// No limit but that of TOML's integers.
pub(super) const MAX: u64 = i64::MAX as u64;
/// Tokens of anything: beyond this, sums of counts would no longer be exact in f64.
const MAX_TOKENS: u64 = 1_000_000_000_000_000;
/// Widths and heads: products of three stay far below 2⁶⁴.
const MAX_WIDTH: u64 = 1_000_000;

/// What stands outside the run specification.
pub(super) struct Header {
    pub title: Option<String>,
    pub question: String,
    pub seeds: Vec<u64>,
    pub engine: EngineSpec,
    pub arms: Vec<ArmRead>,
}

pub(super) fn header(root: &Table<'_>) -> Header {
    let title = root.text("title").optional();
    let question = root.text("question").required();
    let seeds = root.wholes("seeds", 0..=MAX).required();
    let engine = engine(&root.table("engine", false));
    let arms = arm::arms(root);
    Header { title, question, seeds, engine, arms }
}

pub(super) fn run_spec(root: &Table<'_>, places: &Places<'_>) -> RunSpec {
    let (source, described) = source(&root.table("source", true), places);
    let from_disk = source.model.is_some();
    let vocab_size = from_disk.then(|| described.as_ref().map_or(1, |model| model.vocab_size));
    let data = data(&root.table("data", true), places, vocab_size);
    let model = match described {
        _ if !from_disk => model(&root.table("model", true)),
        described => {
            if root.node("model").is_some() {
                let message = "source.model has a shape of its own";
                root.findings().add(
                    "model",
                    root.line_of("model"),
                    message,
                    Some("leave [model] out".into()),
                );
            }
            described.map_or(NO_SHAPE, |description| description.model)
        }
    };
    let train = train(&root.table("train", true));
    let prune = prune(&root.table("prune", true));
    let budget = budget(&root.table("budget", true));
    let recovery = recovery(&root.table("recovery", false));
    let distil = distil(&root.table("distil", false));
    let eval = eval(&root.table("eval", false), places);
    let latency = root.node("latency").is_some().then(|| latency(&root.table("latency", false)));
    RunSpec { data, model, source, train, prune, budget, recovery, distil, eval, latency }
}

/// Stands for the shape of a model that could not be read; no rule is checked on it.
const NO_SHAPE: ModelSpec = ModelSpec {
    hidden_size: 1,
    num_layers: 1,
    num_heads: 1,
    num_kv_heads: 1,
    head_dim: 2,
    intermediate_size: 1,
    tie_word_embeddings: true,
    rope_theta: 10_000.0,
    rms_norm_eps: 1e-5,
    biases: Biases::NONE,
};

fn engine(t: &Table<'_>) -> EngineSpec {
    let engine = EngineSpec {
        kind: t.name("kind", &ENGINES).or(EngineKind::Auto),
        precision: t.name("precision", &PRECISIONS).optional(),
        cpu_bf16: t.name("cpu_bf16", &CPU_BF16).optional(),
        workers: t.count("workers", 0..=1024).or(0),
        threads_per_worker: t.count("threads_per_worker", 1..=1024).or(1),
        devices: t.wholes("devices", 0..=1023).or(Vec::new()).into_iter().map(|d| d as usize).collect(),
        data_parallel: t.count("data_parallel", 1..=1024).or(1),
        halve_micro_batch: t.flag("halve_micro_batch").or(true),
    };
    let named = engine.devices.len();
    if !named.is_multiple_of(engine.data_parallel) {
        let message =
            format!("{named} devices do not make groups of data_parallel = {}", engine.data_parallel);
        let hint = format!("name a multiple of {} devices", engine.data_parallel);
        t.findings().add(t.path_of("devices"), t.line_of("devices"), message, Some(hint));
    }
    t.finish();
    engine
}

/// `model_vocab_size`: rows of the embedding of a source model from disk.
fn data(t: &Table<'_>, places: &Places<'_>, model_vocab_size: Option<usize>) -> DataSpec {
    let data = DataSpec {
        corpus: corpus::read(&t.table("corpus", true), places),
        tokenizer: tokenizer(t, places, model_vocab_size),
        context_length: t.count("context_length", 2..=1_048_576).required(),
        shuffle: t.name("shuffle", &SHUFFLES).or(Shuffle::Windows),
        packing: t.name("packing", &PACKINGS).or(Packing::Crossing),
    };
    t.finish();
    data
}

fn tokenizer(data: &Table<'_>, places: &Places<'_>, model_vocab_size: Option<usize>) -> TokenizerSpec {
    #[derive(Clone, Copy, PartialEq)]
    enum Kind {
        Bpe,
        File,
        Model,
    }
    const KINDS: [(&str, Kind); 3] = [("bpe", Kind::Bpe), ("file", Kind::File), ("model", Kind::Model)];
    // A model from disk brings its own, which need not be said.
    let t = data.table("tokenizer", model_vocab_size.is_none());
    let named = t.name("kind", &KINDS);
    let kind = if model_vocab_size.is_some() { named.or(Kind::Model) } else { named.required() };
    let fault = |message: &str, hint: &str| {
        if t.findings().sound(&[&t.path_of("kind")]) {
            t.findings().add(t.path_of("kind"), t.line_of("kind"), message, Some(hint.into()));
        }
    };
    match (kind, model_vocab_size) {
        (Kind::Model, None) => {
            fault("`model` is the tokenizer of source.model, which is not given", KIND_HINT)
        }
        (Kind::Bpe | Kind::File, Some(_)) => {
            fault("source.model brings its own tokenizer", "write `tokenizer = { kind = \"model\" }`");
        }
        _ => {}
    }
    let tokenizer = match kind {
        // 256 bytes and the token that separates documents.
        Kind::Bpe => TokenizerSpec::Bpe { vocab_size: t.count("vocab_size", 257..=MAX_WIDTH).required() },
        Kind::File => {
            TokenizerSpec::File { path: places.path(&t, "path", t.text("path").required(), Path::is_file) }
        }
        Kind::Model => TokenizerSpec::Model { vocab_size: model_vocab_size.unwrap_or(1) },
    };
    t.finish();
    tokenizer
}

const KIND_HINT: &str = "give `source.model`, or `bpe` or `file` here";

fn model(t: &Table<'_>) -> ModelSpec {
    let hidden_size = t.count("hidden_size", 1..=MAX_WIDTH).required();
    let num_layers = t.count("num_layers", 1..=10_000).required();
    let num_heads = t.count("num_heads", 1..=MAX_WIDTH).required();
    let head_dim = match t.count("head_dim", 2..=65_536).optional() {
        Some(head_dim) => head_dim,
        None if hidden_size.is_multiple_of(num_heads) => hidden_size / num_heads,
        None => {
            if t.findings().sound(&["model.hidden_size", "model.num_heads"]) {
                let message = format!("missing, and hidden_size = {hidden_size} is no multiple of num_heads");
                t.findings().add(t.path_of("head_dim"), t.line_of("num_heads"), message, None);
            }
            2
        }
    };
    let model = ModelSpec {
        hidden_size,
        num_layers,
        num_heads,
        num_kv_heads: t.count("num_kv_heads", 1..=MAX_WIDTH).or(num_heads),
        head_dim,
        intermediate_size: t.count("intermediate_size", 1..=MAX_WIDTH).required(),
        tie_word_embeddings: t.flag("tie_word_embeddings").or(true),
        rope_theta: t.number("rope_theta", |x| x > 0.0, "more than 0").or(10_000.0),
        rms_norm_eps: t.number("rms_norm_eps", |x| x > 0.0 && x < 1.0, "between 0 and 1").or(1e-5),
        biases: Biases::NONE,
    };
    t.finish();
    model
}

fn source(t: &Table<'_>, places: &Places<'_>) -> (SourceSpec, Option<ModelDescription>) {
    let tokens = t.whole("tokens", 1..=MAX_TOKENS).optional();
    let model = t.text("model").optional();
    let tokens_seen = t.whole("tokens_seen", 1..=MAX_TOKENS).optional();
    let per_seed = t.flag("per_seed").optional();
    t.finish();
    if tokens.is_some() == model.is_some() {
        t.either_or(tokens.is_some(), "tokens", "model");
    }
    if model.is_none() && tokens_seen.is_some() {
        let message = "tells of source.model, which is not given; a source that is trained here has `tokens`";
        t.findings().add(t.path_of("tokens_seen"), t.line_of("tokens_seen"), message, None);
    }
    if model.is_some() && per_seed == Some(true) {
        let message = "all seeds share a source from disk";
        let hint = Some("nearest valid per_seed: false".into());
        t.findings().add(t.path_of("per_seed"), t.line_of("per_seed"), message, hint);
    }
    let Some(name) = model else {
        return (SourceSpec { tokens, per_seed: per_seed.unwrap_or(true), model: None }, None);
    };
    let described = describe(t, places, name);
    let model = SourceModel {
        path: described.as_ref().map_or(String::new(), |d| d.path.clone()),
        files: described.as_ref().map_or(Vec::new(), |d| d.files.clone()),
    };
    (SourceSpec { tokens: tokens_seen, per_seed: false, model: Some(model) }, described)
}

/// What the model called `name` is; `None`, with a fault, where it cannot be a source.
fn describe(t: &Table<'_>, places: &Places<'_>, name: String) -> Option<ModelDescription> {
    let place = match name.starts_with("hf:") {
        true => name,
        false => places.path(t, "model", name, Path::exists),
    };
    if place.is_empty() || !t.findings().sound(&[&t.path_of("model")]) {
        return None;
    }
    let told = |NoSource(reason)| t.findings().add(t.path_of("model"), t.line_of("model"), reason, None);
    (places.describe)(&place).map_err(told).ok()
}

fn train(t: &Table<'_>) -> TrainSpec {
    let train = TrainSpec {
        batch_tokens: t.count("batch_tokens", 1..=1_000_000_000).required(),
        micro_batch: t.count("micro_batch", 1..=1_000_000).required(),
        learning_rate: t.number("learning_rate", |x| x > 0.0, "more than 0").required(),
        min_learning_rate_ratio: t.number("min_learning_rate_ratio", unit, "0 to 1").or(0.1),
        schedule: t.name("schedule", &SCHEDULES).or(ScheduleKind::Cosine),
        warmup_tokens: t.whole("warmup_tokens", 0..=MAX_TOKENS).or(0),
        decay_fraction: t.number("decay_fraction", unit, "0 to 1").or(0.2),
        average_fraction: t.number("average_fraction", unit, "0 to 1").or(0.0),
        weight_decay: t.number("weight_decay", |x| x >= 0.0, "0 or more").or(0.1),
        beta1: t.number("beta1", below_one, "0 or more and below 1").or(0.9),
        beta2: t.number("beta2", below_one, "0 or more and below 1").or(0.95),
        epsilon: t.number("epsilon", |x| x > 0.0, "more than 0").or(1e-8),
        clip_norm: t.number("clip_norm", |x| x >= 0.0, "0 (no clipping) or more").or(1.0),
    };
    t.finish();
    train
}

fn prune(t: &Table<'_>) -> PruneSpec {
    let saliency = rules::saliency(t);
    // Both are keys that a stage reads, whichever of them the file has.
    let [_, _] = ["target", "fixed_shape"].map(|key| t.node(key));
    let fixed_shape = t.has("fixed_shape").then(|| fixed_shape(&t.table("fixed_shape", false)));
    let target = match (&fixed_shape, t.has("target")) {
        (Some(_), true) => {
            t.either_or(true, "target", "fixed_shape");
            Target::FixedShape
        }
        (Some(_), false) => Target::FixedShape,
        (None, _) => target(&t.table("target", true)),
    };
    let mut types = t.names("types", &GROUP_TYPES).or(vec![GroupType::Ffn, GroupType::Head, GroupType::Stem]);
    // The order of types means nothing, so it must not make two identities of one configuration.
    types.sort();
    let prune = PruneSpec {
        target,
        types,
        scope: t.name("scope", &SCOPES).or(Scope::Uniform),
        block: t.count("block", 1..=MAX_WIDTH).or(1),
        head_unit: t.name("head_unit", &HEAD_UNITS).or(HeadUnit::KvGroup),
        saliency,
        reduction: t.name("reduction", &REDUCTIONS).or(Reduction::Sum),
        normaliser: t.name("normaliser", &NORMALISERS).or(Normaliser::PerParameter),
        fisher: rules::fisher(t, saliency),
        update: rules::update(t),
        damping: t.number("damping", |x| x >= 0.0, "0 or more").or(0.01),
        gradient_ema: t.number("gradient_ema", below_one, "0 or more and below 1").or(0.0),
        schedule: prune_schedule(&t.table("schedule", true)),
        calibration_tokens: t.whole("calibration_tokens", 1..=MAX_TOKENS).required(),
        min_ffn: t.count("min_ffn", 1..=MAX_WIDTH).or(1),
        min_heads: t.count("min_heads", 1..=MAX_WIDTH).or(1),
        min_stem: t.count("min_stem", 1..=MAX_WIDTH).or(1),
        min_head_dim: t.count("min_head_dim", 1..=MAX_WIDTH).or(1),
        min_layers: t.count("min_layers", 1..=MAX_WIDTH).or(1),
        fixed_shape,
    };
    t.finish();
    prune
}

fn target(t: &Table<'_>) -> Target {
    let share = |key| t.number(key, |x| x > 0.0 && x <= 1.0, "more than 0, at most 1").optional();
    let given = [
        share("ratio").map(Target::Ratio),
        share("non_embedding_ratio").map(Target::NonEmbeddingRatio),
        t.whole("params", 1..=MAX).optional().map(Target::Params),
    ];
    t.finish();
    let mut given = given.into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(target), None) => target,
        (first, _) => {
            t.either_or(first.is_some(), "ratio", "params");
            Target::Ratio(1.0)
        }
    }
}

/// Widths of a model: one number for all layers, or one for each.
fn fixed_shape(t: &Table<'_>) -> FixedShape {
    let widths = |key| -> Vec<usize> {
        let numbers = t.wholes(key, 1..=MAX_WIDTH).optional().unwrap_or_default();
        numbers.into_iter().map(|number| number as usize).collect()
    };
    let shape = FixedShape {
        hidden_size: t.count("hidden_size", 1..=MAX_WIDTH).optional(),
        num_layers: t.count("num_layers", 1..=10_000).optional(),
        num_heads: widths("num_heads"),
        num_kv_heads: widths("num_kv_heads"),
        head_dim: widths("head_dim"),
        intermediate_size: widths("intermediate_size"),
    };
    t.finish();
    shape
}

fn prune_schedule(t: &Table<'_>) -> PruneSchedule {
    let is_line = t.name("kind", &[("line", true), ("interval", false)]).required();
    let start_tokens = t.whole("start_tokens", 0..=MAX_TOKENS).or(0);
    let schedule = match is_line {
        true => PruneSchedule::Line {
            prune_tokens: t.whole("prune_tokens", 1..=MAX_TOKENS).required(),
            start_tokens,
        },
        false => {
            PruneSchedule::Interval { steps: t.whole("steps", 1..=1_000_000_000).required(), start_tokens }
        }
    };
    t.finish();
    schedule
}

fn budget(t: &Table<'_>) -> BudgetSpec {
    let budget = BudgetSpec { tokens: t.whole("tokens", 1..=MAX_TOKENS).required() };
    t.finish();
    budget
}

fn recovery(t: &Table<'_>) -> RecoverySpec {
    let recovery = RecoverySpec {
        schedule: t.name("schedule", &RECOVERY_SCHEDULES).or(RecoverySchedule::Rewarm),
        learning_rate: t.number("learning_rate", |x| x > 0.0, "more than 0").optional(),
        warmup_tokens: t.whole("warmup_tokens", 0..=MAX_TOKENS).optional(),
        subtract_calibration: t.flag("subtract_calibration").or(false),
    };
    t.finish();
    recovery
}

fn distil(t: &Table<'_>) -> DistilSpec {
    let default = DistilSpec::default();
    let distil = DistilSpec {
        weight: t.number("weight", |x| x > 0.0 && x <= 1.0, "more than 0, at most 1").or(default.weight),
        temperature: t.number("temperature", |x| x > 0.0, "more than 0").or(default.temperature),
        top_k: t.count("top_k", 0..=MAX_WIDTH).or(default.top_k),
    };
    t.finish();
    distil
}

fn latency(t: &Table<'_>) -> LatencySpec {
    let latency = LatencySpec {
        prompt_tokens: t.count("prompt_tokens", 1..=1_048_576).or(128),
        decode_tokens: t.count("decode_tokens", 1..=1_048_576).or(32),
        repeats: t.count("repeats", 1..=10_000).or(5),
    };
    t.finish();
    latency
}

fn eval(t: &Table<'_>, places: &Places<'_>) -> EvalSpec {
    let known: Vec<(&str, &str)> = TASKS.iter().chain(&FOLDER_TASKS).map(|task| (*task, *task)).collect();
    let tasks = t.names("tasks", &known).or(TASKS.to_vec());
    let eval = EvalSpec {
        tasks: tasks.into_iter().map(str::to_string).collect(),
        items: t.count("items", 0..=1_000_000).or(200),
        sample_seed: t.whole("sample_seed", 0..=MAX).or(0),
        folder: t.text("folder").optional().map(|name| places.path(t, "folder", name, Path::is_dir)),
        validation_tokens: t.whole("validation_tokens", 1..=MAX_TOKENS).or(32_768),
        curve_points: t.whole("curve_points", 0..=1000).or(CURVE_POINTS),
        curve_tokens: t.whole("curve_tokens", 1..=MAX_TOKENS).or(CURVE_TOKENS),
        allow_non_finite: t.flag("allow_non_finite").or(false),
    };
    t.finish();
    eval
}

/// All keys of the file that are not part of the run specification.
pub(super) const HEADER_KEYS: [&str; 14] = [
    "title",
    "question",
    "seeds",
    "engine",
    "arms",
    "axes",
    "zip",
    "grid",
    "exclude",
    "points",
    "labels",
    "comparisons",
    "rankings",
    "effects",
];
/// Sections that an axis may reach into.
pub(super) const RUN_SECTIONS: [&str; 10] =
    ["data", "model", "source", "train", "prune", "budget", "recovery", "distil", "eval", "latency"];

fn unit(x: f64) -> bool {
    (0.0..=1.0).contains(&x)
}

fn below_one(x: f64) -> bool {
    (0.0..1.0).contains(&x)
}

impl Table<'_> {
    /// Of two keys exactly one is wanted (or of them and others like them), and both or none were found.
    fn either_or(&self, both: bool, one: &str, other: &str) {
        if self.findings().sound(&[&self.path_of(one), &self.path_of(other)]) {
            let message = if both { "has both" } else { "has neither" };
            self.findings().add(
                self.path_of(if both { other } else { one }),
                self.line_of(other),
                format!("the table {message} `{one}` and `{other}`"),
                Some(format!("give either `{one}` or `{other}`")),
            );
        }
    }
}

/// The findings of one reading, to be given a tree.
pub(super) fn findings() -> Findings {
    Findings::default()
}
