//! Every value of the axes that experiments compare: named in the README with its source, planned, and used on a model.
use efficientllm::data::Batches;
use efficientllm::model::network::ExplicitNetwork;
use efficientllm::model::{ModelConfig, Rank, Weights};
use efficientllm::plan::{StageKind, plan};
use efficientllm::rules::saliency::{RULES, SaliencyRule};
use efficientllm::rules::update::{self, UpdateRule};
use efficientllm::spec::{EngineKind, Experiment, GroupType, NoSource, Scope, load};
use efficientllm::tensor::cpu::Matrix;
use efficientllm::tensor::{Alone, CpuBackend};
use efficientllm::train::arms::{Context, Given, Made, Trained};
use efficientllm::train::optimizer::Moments;
use efficientllm::train::pretrain::Silent;
use efficientllm::train::{HeldOut, Part};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

type Cpu = CpuBackend<f32>;

/// As `tests/fixtures/tiny.toml`, in a dozen steps.
fn short(prune: &str, arms: &str) -> Experiment {
    short_to(0.5, prune, arms)
}

/// The same to a share of the source's parameters.
fn short_to(ratio: f64, prune: &str, arms: &str) -> Experiment {
    let tiny = include_str!("../fixtures/tiny.toml");
    let start = tiny.find("[[arms]]").unwrap();
    let mut text = tiny[..start].to_string();
    for (from, to) in [
        ("tokens = 16_384", "tokens = 1_024"),
        ("warmup_tokens = 1_024", "warmup_tokens = 256"),
        ("prune_tokens = 4_096", "prune_tokens = 1_024"),
        ("calibration_tokens = 1_024", "calibration_tokens = 256"),
        ("tokens = 8_192", "tokens = 2_048"),
        ("update = \"layerwise\"\ngradient_ema = 0.5\n", ""),
        ("subtract_calibration = true", "subtract_calibration = false"),
        ("ratio = 0.5", &format!("ratio = {ratio}")),
        ("[prune]\n", &format!("[prune]\n{prune}\n")),
    ] {
        assert!(text.contains(from), "tiny.toml has no {from}");
        text = text.replace(from, to);
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("experiment.toml"), format!("{text}{arms}")).unwrap();
    let no_model = |_: &str| Err(NoSource("no model from disk here".to_string()));
    load(folder.path(), &[], &no_model).unwrap_or_else(|error| panic!("{prune}\n{arms}\n{error}"))
}

/// What each arm made, by stage.
struct Models {
    backend: Cpu,
    batches: Batches,
    made: BTreeMap<String, (ModelConfig, Made<Cpu>)>,
}

impl Models {
    fn new() -> Self {
        let tokens: Vec<u32> = (0..20_000u32).map(|i| (i * i + i / 37) % 300).collect();
        let batches = Batches::new(tokens.into(), 32, 1).unwrap();
        Models { backend: Cpu::new(), batches, made: BTreeMap::new() }
    }

    fn given(&self, id: &str) -> Trained<Cpu> {
        let (config, made) = &self.made[id];
        let copy = |tree: &Weights<Matrix<f32>>| tree.map(Matrix::clone);
        let moments = &made.moments;
        let moments = Moments { m: copy(&moments.m), v: copy(&moments.v), steps: moments.steps };
        Trained { config: config.clone(), weights: copy(&made.model.weights), moments: Some(moments) }
    }

    /// Plans `experiment` and makes the models of all of its stages; the configuration that the last one ends with, and its
    /// number of pruning events.
    fn make(&mut self, experiment: &Experiment) -> (ModelConfig, usize) {
        let plan = plan(experiment, EngineKind::Cpu).unwrap();
        let mut last = None;
        for stage in &plan.stages {
            let StageKind::Model(arm) = &stage.kind else { continue };
            last = Some(stage.id.clone());
            if self.made.contains_key(&stage.id) {
                continue;
            }
            let id = |place: Option<usize>| place.map(|place| plan.stages[place].id.as_str());
            let inputs = &stage.inputs;
            let flops = |place| id(place).map_or(0.0, |id| self.made[id].1.model.ledger.method_flops());
            let given = Given {
                source: id(inputs.source).filter(|_| arm.continues()).map(|id| self.given(id)),
                other: id(inputs.other).map(|id| self.made[id].0.clone()),
                source_flops: flops(inputs.source),
                other_flops: flops(inputs.other),
                teacher: id(inputs.teacher).map(|id| self.given(id)),
            };
            let mut network = ExplicitNetwork::new(&self.backend);
            let mut context = Context {
                rank: Rank {
                    backend: &self.backend,
                    network: &mut network,
                    communicator: &Alone,
                    at_once: usize::MAX,
                },
                batches: &self.batches,
                spec: &stage.spec,
                seed: 1,
                resume: None,
                observer: &mut Silent,
                held_out: HeldOut::default(),
            };
            let source = stage.spec.model.config(300, 32);
            let made =
                context.make(arm, &source, given).unwrap_or_else(|error| panic!("{}: {error}", stage.id));
            self.made.insert(stage.id.clone(), (made.model.config.clone(), made));
        }
        let (config, made) = &self.made[&last.unwrap()];
        (config.clone(), made.model.events.len())
    }
}

const ONE_SHOT: &str = "[[arms]]\narm = \"one_shot\"\n";
const PRUNING_AWARE: &str = "[[arms]]\narm = \"pruning_aware\"\n";

const ARMS: [(&str, &str); 9] = [
    ("source", ""),
    ("source_continued", ""),
    ("pruning_aware", ""),
    ("one_shot", ""),
    ("one_shot_recover", ""),
    ("iterative", "stages = 2"),
    ("direct", "shape = \"searched\"\nbudget = \"total_flops\""),
    ("distil", "shape = \"proportional\"\nbudget = \"recovery_tokens\""),
    ("at_widths_of", "of = \"pruning_aware\""),
];

/// Rules (15 and more), updates (4 and more), 2 scopes, 5 types and 9 arms: at least 35 values.
#[test]
fn every_axis_value_is_planned_and_used() {
    let mut models = Models::new();
    let mut values = Vec::new();
    let half = |config: &ModelConfig, of: &ModelConfig| config.num_params() <= of.num_params() / 2;
    let source = short("", ONE_SHOT).base.model.config(300, 32);
    for rule in RULES {
        // A rule that reads the optimiser's moments prunes in training alone.
        let arm = if rule.name == "adam" { PRUNING_AWARE } else { ONE_SHOT };
        let (config, events) = models.make(&short(&format!("saliency = \"{}\"", rule.name), arm));
        assert!(half(&config, &source) && events > 0, "{}", rule.name);
        values.push(rule.name);
    }
    for rule in update::RULES {
        let (config, events) = models.make(&short(&format!("update_hessian = \"{}\"", rule.name), ONE_SHOT));
        assert!(half(&config, &source) && events > 0, "{}", rule.name);
        assert_eq!(config.biases.is_empty(), !rule.makes_bias, "{}", rule.name);
        values.push(rule.name);
    }
    for (scope, name) in [(Scope::Uniform, "uniform"), (Scope::PerLayer, "per_layer")] {
        let prune = format!("scope = \"{name}\"\nsaliency = \"taylor1\"\ntypes = [\"ffn\"]");
        let experiment = short_to(0.8, &prune, ONE_SHOT);
        assert_eq!(experiment.base.prune.scope, scope);
        let (config, _) = models.make(&experiment);
        assert_eq!(config.layers[0] == config.layers[1], scope == Scope::Uniform, "{:?}", config.layers);
        values.push(name);
    }
    for kind in GroupType::ALL {
        let prune = format!("saliency = \"taylor1\"\ntypes = [\"{}\"]", kind.name());
        // RoPE pairs alone are little of a model.
        let experiment = short_to(0.95, &prune, ONE_SHOT);
        assert_eq!(experiment.base.prune.types, [kind]);
        let (config, events) = models.make(&experiment);
        assert!(config.num_params() < source.num_params() && events > 0, "{}", kind.name());
        values.push(kind.name());
    }
    for (arm, keys) in ARMS {
        let mut arms = format!("[[arms]]\narm = \"{arm}\"\n{keys}\n");
        if arm == "at_widths_of" {
            arms += "set = { \"prune.saliency\" = \"random\" }\n";
        }
        let experiment = short("", &arms);
        let (config, events) = models.make(&experiment);
        assert_eq!(events > 0, experiment.arms[0].prune.is_some(), "{arm}");
        assert_eq!(half(&config, &source), !arm.starts_with("source"), "{arm}");
        values.push(arm);
    }
    assert!(values.len() >= 35, "{values:?}");
}

/// A budget in FLOPs pays for the teacher's passes, too.
#[test]
fn a_budget_in_flops_holds_every_pass() {
    let mut models = Models::new();
    for arm in ["direct", "distil"] {
        let keys = "shape = \"proportional\"\nbudget = \"total_flops\"";
        let experiment = short("", &format!("[[arms]]\narm = \"{arm}\"\n{keys}\n"));
        models.make(&experiment);
        let plan = plan(&experiment, EngineKind::Cpu).unwrap();
        let model = |stage: &&efficientllm::plan::Stage| matches!(stage.kind, StageKind::Model(_));
        let stage = plan.stages.iter().rfind(model).unwrap();
        let flops =
            |place: Option<usize>| models.made[&plan.stages[place.unwrap()].id].1.model.ledger.method_flops();
        let (source, other) = (flops(stage.inputs.source), flops(stage.inputs.other));
        let ledger = &models.made[&stage.id].1.model.ledger;
        let (spent, tokens) = (ledger.method_flops(), ledger.method_tokens());
        // The most whole batches that they pay for.
        let batch = spent / tokens as f64 * stage.spec.train.batch_tokens as f64;
        assert!(
            spent <= source + other && spent + batch > source + other,
            "{arm}: {spent} of {source} + {other}"
        );
        assert_eq!(ledger.entry(Part::Teacher).tokens > 0, arm == "distil");
    }
}

/// Rows of rules: what the files of the rules say of themselves.
fn rows_of_rules() -> [(&'static str, Vec<String>); 2] {
    let saliency = |rule: &&SaliencyRule| {
        let what = format!("{} (`{}`)", rule.summary, rule.hessian.name());
        [rule.name.to_string(), what, rule.source.to_string()]
    };
    let update = |rule: &&UpdateRule| [rule.name, rule.summary, rule.source].map(str::to_string);
    let table = |key: &'static str, rules: Vec<[String; 3]>| {
        let row = |(i, [name, what, source]): (usize, [String; 3])| {
            let key = if i == 0 { format!(" `{key}`") } else { String::new() };
            format!("|{key} | `{name}` | {} | {source} |", what.replace('|', "\\|"))
        };
        (key, rules.into_iter().enumerate().map(row).collect())
    };
    [
        table("prune.saliency", RULES.iter().map(saliency).collect()),
        table("prune.update_hessian", update::RULES.iter().map(update).collect()),
    ]
}

/// `page` with these rows in the place of those that the table has for `key`.
fn with_rows(page: &str, key: &str, rows: &[String]) -> String {
    let mut lines: Vec<&str> = page.lines().collect();
    let first = lines.iter().position(|line| line.starts_with(&format!("| `{key}` |"))).expect("its rows");
    let more = lines[first + 1..].iter().take_while(|line| line.starts_with("| | ")).count();
    lines.splice(first..=first + more, rows.iter().map(String::as_str));
    lines.join("\n") + "\n"
}

/// Rows of the table in the README: values and source.
fn rows(page: &str) -> Vec<(String, Vec<String>, String)> {
    let table = page.split("| key | value | what it is | source |").nth(1).expect("the table");
    let mut key = String::new();
    table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let line = line.replace("\\|", "¦");
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            if !cells[0].is_empty() {
                key = cells[0].trim_matches('`').to_string();
            }
            let values = cells[1].split_whitespace().map(|value| value.trim_matches('`').to_string());
            (key.clone(), values.collect(), cells[3].to_string())
        })
        .collect()
}

/// The table has every value that the reader takes, and no other, each with its source.
#[test]
fn the_readme_has_every_axis_value_with_its_source() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/README.md");
    let page = fs::read_to_string(&file).unwrap();
    let current = rows_of_rules().iter().fold(page.clone(), |page, (key, rows)| with_rows(&page, key, rows));
    if std::env::var_os("UPDATE_TABLES").is_some() {
        fs::write(&file, &current).unwrap();
    } else {
        assert!(page == current, "rows of rules are not current: UPDATE_TABLES=1 cargo test readme");
    }
    let rows = rows(&current);
    assert!(rows.iter().all(|(_, _, source)| !source.is_empty()));
    let told = |key: &str| -> Vec<String> {
        rows.iter().filter(|row| row.0 == key).flat_map(|row| row.1.clone()).collect()
    };
    let names = |names: &[&str]| -> Vec<String> { names.iter().map(|name| name.to_string()).collect() };
    assert_eq!(told("prune.types"), names(&GroupType::ALL.map(|kind| kind.name())));
    assert_eq!(told("arm"), names(&ARMS.map(|(arm, _)| arm)));
    for (key, values) in [
        ("prune.saliency_hessian", &["none", "global_diagonal", "layerwise"][..]),
        ("prune.scope", &["uniform", "per_layer"]),
        ("prune.head_unit", &["kv_group", "query_per_group"]),
        ("prune.reduction", &["sum", "mean", "max", "prod", "first"]),
        ("prune.normaliser", &["none", "per_parameter", "layer_mean", "layer_zscore"]),
        ("prune.fisher_unit", &["position", "sequence", "micro_batch"]),
        ("prune.schedule.kind", &["line", "interval"]),
        ("recovery.schedule", &["rewarm", "continue", "branch"]),
    ] {
        assert_eq!(told(key), names(values), "{key}");
    }
}

/// A rule is a small file with its equation on top.
#[test]
fn a_rule_is_one_file_of_at_most_80_lines() {
    for (folder, at_least) in [("saliency", 14), ("update", 4)] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rules").join(folder);
        let files: Vec<_> = fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.path()).collect();
        let rules: Vec<_> = files.iter().filter(|path| !path.ends_with("mod.rs")).collect();
        assert!(rules.len() >= at_least, "{} files of rules", rules.len());
        for path in rules {
            let text = fs::read_to_string(path).unwrap();
            let lines = text.split("#[cfg(test)]").next().unwrap().lines().count();
            assert!(lines <= 80, "{} has {lines} lines", path.display());
            assert!(
                text.starts_with("//! `") && text.contains("//! ```text"),
                "{} has no equation",
                path.display()
            );
        }
    }
}
