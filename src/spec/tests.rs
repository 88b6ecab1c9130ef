//! The file shapes that people write, right and wrong.
use super::*;

pub(super) const EXAMPLE: &str = include_str!("../../tests/fixtures/example.toml");
const REFERENCE: &str = include_str!("../../experiments/reference.toml");

pub(super) fn check(text: &str) -> Result<Experiment, Vec<Fault>> {
    parse(text, "test", Path::new("/nowhere"), &no_model)
}

/// The example with one piece of text replaced.
pub(super) fn with(from: &str, to: &str) -> String {
    assert!(EXAMPLE.contains(from), "the example no longer contains {from}");
    EXAMPLE.replacen(from, to, 1)
}

/// `key (line n): message | hint` of every fault.
pub(super) fn faults(text: &str) -> Vec<String> {
    let faults = check(text).expect_err("the text was accepted");
    let hint = |fault: &Fault| fault.hint.as_ref().map_or(String::new(), |hint| format!(" | {hint}"));
    faults.iter().map(|fault| format!("{fault}{}", hint(fault))).collect()
}

pub(super) fn line_of(text: &str, piece: &str) -> usize {
    text.lines()
        .position(|line| line.contains(piece))
        .map(|i| i + 1)
        .unwrap_or_else(|| panic!("no line has {piece}"))
}

#[test]
fn the_example_is_valid() {
    let experiment = check(EXAMPLE).unwrap();
    assert_eq!(experiment.seeds, [1, 2, 3]);
    assert_eq!(experiment.points.len(), 1);
    assert_eq!(experiment.arms.len(), 6);
    assert_eq!(experiment.base.prune.schedule, PruneSchedule::line(409_600));
}

/// As many as a file of another kind may hold: the first are told with their lines, the others counted.
#[test]
fn unknown_keys_without_end_are_told_in_short() {
    let keys: String = (0..50_000).map(|key| format!("key_{key} = {key}\n")).collect();
    let started = std::time::Instant::now();
    let faults = faults(&(keys + EXAMPLE));
    let unknown = faults.iter().filter(|fault| fault.contains("unknown key")).count();
    assert_eq!((faults.len(), unknown), (21, 21), "{:?}", &faults[..3]);
    assert!(faults.iter().any(|fault| fault.contains("49980 more unknown keys from here on")));
    assert!(started.elapsed() < std::time::Duration::from_secs(30), "{:?}", started.elapsed());
}

#[test]
fn every_experiment_of_the_repository_is_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments");
    let mut checked = 0;
    for folder in std::fs::read_dir(root).unwrap().flatten().map(|entry| entry.path()) {
        if folder.join(FILE_NAME).exists() {
            match load(&folder, &[], &no_model) {
                Ok(_) => checked += 1,
                // An experiment on data that are not part of the repository.
                Err(SpecError::Invalid { faults, .. })
                    if faults.iter().all(|fault| is_absent_data(&folder, fault)) =>
                {
                    let reason = format!("{} needs files that are not here", folder.display());
                    crate::base::requirement::skip("smollm2", &reason);
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert!(checked > 0);
}

/// What the presets of the paper cost is told without their weights and their text, which are all that they lack.
#[test]
fn the_presets_of_the_paper_are_valid_and_cost_what_their_models_do() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/paper");
    for preset in ["134m", "469m", "1100m"] {
        let cost = load(&root.join(preset).join("cost.toml"), &[], &no_model).unwrap();
        let text = std::fs::read_to_string(root.join(preset).join(FILE_NAME)).unwrap();
        let places = "../../../data/";
        for key in ["train", "prune", "budget"] {
            let table = |text: &str| text.parse::<toml::Table>().unwrap().get(key).cloned();
            let of_cost = std::fs::read_to_string(root.join(preset).join("cost.toml")).unwrap();
            assert_eq!(table(&text), table(&of_cost), "[{key}] of {preset}");
        }
        assert_eq!(cost.arms.len(), 3);
        match load(&root.join(preset), &[], &no_model) {
            Err(SpecError::Invalid { faults, .. }) => {
                let is_absent = |fault: &Fault| {
                    fault.message.contains(places)
                        || fault.key == "source.model"
                        || fault.key.starts_with("eval.")
                };
                assert!(faults.iter().all(is_absent), "{faults:?}");
            }
            loaded => assert!(loaded.is_ok()),
        }
    }
}

/// A file that is not there, whose remedy names the README that tells where it comes from; a model that is there is not
/// looked at by these tests.
fn is_absent_data(folder: &Path, fault: &Fault) -> bool {
    let readme = folder.join("README.md");
    let names_readme = |hint: &String| readme.is_file() && hint.contains("README.md");
    fault.message.starts_with("nothing to read at") && fault.hint.as_ref().is_some_and(names_readme)
        || fault.key == "source.model" && fault.message == "there is no model"
        || fault.key == "eval.tasks" && fault.message.starts_with("no folder")
}

/// The reference documents every key, and the values of its optional keys are the defaults.
#[test]
fn the_reference_is_complete_and_states_the_defaults() {
    let full = check(REFERENCE).unwrap();
    // Section headers, required keys and arms; whatever else is optional.
    let required: Vec<&str> = REFERENCE
        .lines()
        .filter(|line| {
            line.starts_with('[')
                || line.contains("# required")
                || line.starts_with("arm =")
                || ["variant", "baseline", "metric"].iter().any(|key| line.starts_with(key))
        })
        .collect();
    let bare = check(&required.join("\n")).unwrap();
    assert_eq!(Experiment { title: full.title.clone(), ..bare }, full);

    let tree = tree::parse(REFERENCE).unwrap();
    let findings = read::findings();
    let root = reader::Table::root(&tree, &findings);
    read::header(&root);
    read::run_spec(&root, &Places { folder: Path::new("/nowhere"), describe: &no_model });
    for key in findings.known() {
        let name = key.rsplit('.').next().unwrap().to_string();
        let documented = REFERENCE.lines().any(|line| {
            let line = line.trim_start_matches(['#', ' ', '[']);
            line.starts_with(&format!("{name} ="))
                || line.starts_with(&format!("{name}]"))
                || line.contains(&format!(" {name} = "))
        });
        assert!(documented, "experiments/reference.toml does not mention {key}");
    }
}

#[test]
fn all_faults_of_a_file_come_at_once_in_the_order_of_lines() {
    let text = with("context_length = 128", "context_lenght = 128")
        .replace("micro_batch = 32", "micro_batch = \"many\"")
        .replace("saliency = \"taylor_mix\"", "saliency = \"taylr1\"")
        .replace("items = 200", "items = -1");
    assert_eq!(
        faults(&text),
        [
            format!("data.context_length (line {}): missing", line_of(&text, "[data]")),
            format!(
                "data.context_lenght (line {}): unknown key | did you mean `context_length`?",
                line_of(&text, "context_lenght")
            ),
            format!(
                "train.micro_batch (line {}): expected a whole number, found the string \"many\"",
                line_of(&text, "many")
            ),
            format!(
                "prune.saliency (line {}): unknown value `taylr1` | did you mean `taylor1`?",
                line_of(&text, "taylr1")
            ),
            format!(
                "eval.items (line {}): -1 is out of range: 0 to 1000000 | nearest valid items: 0",
                line_of(&text, "items = -1")
            ),
        ]
    );
}

#[test]
fn rules_between_keys_name_the_nearest_valid_values() {
    let single = |from: &str, to: &str| {
        let text = with(from, to);
        let found = faults(&text);
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].replace(&format!(" (line {})", line_of(&text, to)), "")
    };
    assert_eq!(
        single("batch_tokens = 4096", "batch_tokens = 5000"),
        "train.batch_tokens: 5000 is not a multiple of 4096 (data.context_length × train.micro_batch) | nearest valid batch_tokens: 4096, 8192"
    );
    assert_eq!(
        single("num_kv_heads = 2", "num_kv_heads = 3"),
        "model.num_kv_heads: 3 does not divide num_heads = 4 | nearest valid num_kv_heads: 2, 4"
    );
    assert_eq!(
        single("head_dim = 32", "head_dim = 33"),
        "model.head_dim: 33 is odd: RoPE rotates pairs of channels | nearest valid head_dim: 32, 34"
    );
    assert_eq!(
        single("tokens = 819_200", "tokens = 819_201"),
        "budget.tokens: 819201 is not a multiple of 4096 (train.batch_tokens) | nearest valid tokens: 819200, 823296"
    );
    assert_eq!(
        single("prune_tokens = 409_600", "prune_tokens = 823_296"),
        "prune.schedule.prune_tokens: 823296 is more than budget.tokens = 819200 | nearest valid prune_tokens: 819200"
    );
    let start = |tokens: &str| format!("prune_tokens = 409_600, start_tokens = {tokens}");
    assert_eq!(
        single("prune_tokens = 409_600", &start("1000")),
        "prune.schedule.start_tokens: 1000 is not a multiple of 4096 (train.batch_tokens) | nearest valid start_tokens: 4096"
    );
    assert_eq!(
        single("prune_tokens = 409_600", &start("413_696")),
        "prune.schedule.start_tokens: 413696 is more than budget.tokens less prune_tokens = 409600 | nearest valid start_tokens: 409600"
    );
    assert_eq!(
        single(
            "kind = \"line\", prune_tokens = 409_600",
            "kind = \"interval\", steps = 1, start_tokens = 819_200"
        ),
        "prune.schedule.start_tokens: 819200 is more than budget.tokens less one step = 815104 | nearest valid start_tokens: 815104"
    );
    assert_eq!(
        single("ratio = 0.5", "ratio = 1.5"),
        "prune.target.ratio: 1.5 is out of range: more than 0, at most 1"
    );
    assert_eq!(
        single("scope = \"uniform\"", "block = 7"),
        "prune.block: 7 does not divide model.intermediate_size = 384 | nearest valid block: 6, 8"
    );
}

#[test]
fn targets_beyond_the_model_or_below_the_floors_are_refused() {
    // V·d = 131072, norm 128, per layer 256 + 2·4·32·128 + 2·2·32·128 + 3·384·128 = 197_888 (hand count below).
    let layer = 2 * 128 + 2 * 4 * 32 * 128 + 2 * 2 * 32 * 128 + 3 * 384 * 128;
    let source = 1024 * 128 + 128 + 4 * layer;
    let text = with("{ ratio = 0.5 }", "{ params = 9_000_000 }");
    let line = line_of(&text, "9_000_000");
    assert_eq!(
        faults(&text),
        [format!(
            "prune.target.params (line {line}): 9000000 is more than the source's {source} parameters | nearest valid params: {source}"
        )]
    );
    // One channel of everything: d = 1, f = 1, one key-value head with two query heads of 32.
    let least = 1024 + 1 + 4 * (2 + 2 * 2 * 32 + 2 * 32 + 3);
    let text = with("{ ratio = 0.5 }", "{ params = 500 }");
    assert!(faults(&text)[0].ends_with(&format!("nearest valid params: {least}")), "{:?}", faults(&text));
}

#[test]
fn arms_and_comparisons_are_checked_against_each_other() {
    let text = with("arm = \"one_shot\"", "arm = \"pruning_aware\"");
    assert!(faults(&text)[0].contains("duplicate arm `pruning_aware`"));
    let text = with("variant = \"pruning_aware\"", "variant = \"prunning_aware\"");
    assert_eq!(
        faults(&text),
        [format!(
            "comparisons[0].variant (line {}): unknown value `prunning_aware` | did you mean `pruning_aware`?",
            line_of(&text, "prunning")
        )]
    );
    let text = with("seeds = [1, 2, 3]", "seeds = [1, 2, 1]");
    assert_eq!(faults(&text), ["seeds (line 2): duplicate value `1`"]);
}

#[test]
fn a_grid_has_every_combination_the_last_axis_fastest() {
    let text = format!(
        "{EXAMPLE}\n[axes]\n\"prune.saliency\" = [\"random\", \"taylor1\"]\nbudget.tokens = [819_200, 409_600]\n\
         \"prune.types\" = [[\"ffn\"], [\"head\", \"ffn\"]]\n"
    );
    let experiment = check(&text).unwrap();
    assert_eq!(experiment.axes.len(), 3);
    assert_eq!(experiment.points.len(), 8);
    assert_eq!(experiment.points[1].values, ["random", "819200", "head+ffn"]);
    assert_eq!(experiment.points[1].spec.prune.types, [GroupType::Ffn, GroupType::Head]);
    assert_eq!(experiment.points[6].spec.budget.tokens, 409_600);
    assert_eq!(experiment.base, experiment.points[0].spec);
}

#[test]
fn granularity_is_read_and_a_shape_takes_the_place_of_a_target() {
    let target = "target = { ratio = 0.5 }";
    let line = EXAMPLE.lines().find(|line| line.trim_start().starts_with("target =")).unwrap();
    assert!(line.contains("ratio"), "{line} {target}");
    let shape = "fixed_shape = { hidden_size = 64, intermediate_size = [100] }\nscope = \"per_layer\"\n\
                 min_layers = 2\nmin_head_dim = 3";
    let text: Vec<&str> = EXAMPLE.lines().filter(|line| !line.trim_start().starts_with("scope =")).collect();
    let text = text.join("\n");
    let spec = check(&text.replace(line, shape)).unwrap().points.swap_remove(0).spec.prune;
    assert_eq!((spec.target, spec.scope), (Target::FixedShape, Scope::PerLayer));
    assert_eq!((spec.min_layers, spec.min_head_dim), (2, 3));
    let fixed = spec.fixed_shape.unwrap();
    assert_eq!((fixed.hidden_size, fixed.intermediate_size), (Some(64), vec![100]));
    let both = faults(&text.replace(line, &format!("{line}\nfixed_shape = {{ hidden_size = 64 }}")));
    assert!(both[0].contains("has both `target` and `fixed_shape`"), "{both:?}");
    let lists = faults(&text.replace(line, "fixed_shape = { intermediate_size = [1, 2, 3] }"));
    assert!(lists[0].contains("3 numbers for intermediate_size"), "{lists:?}");
    // Keys at their defaults are left out of identities.
    let json = serde_json::to_value(&check(EXAMPLE).unwrap().base.prune).unwrap();
    for key in ["min_layers", "min_head_dim", "fixed_shape"] {
        assert_eq!(json.get(key), None);
    }
}

#[test]
fn values_of_axes_are_checked_as_if_they_stood_in_the_file() {
    let text = format!(
        "{EXAMPLE}\n[axes]\n\"prune.saliency\" = [\"random\",\n \"taylr1\"]\n\"budget.tokens\" = [819_200, 5]\n\
         \"prune.blok\" = [1]\nseeds = [1, 2]\n\"optimizer.beta\" = [1]\n\"prune.target\" = [{{ ratio = 0.5 }}, {{ ratio = 0.50 }}]\n"
    );
    let found = faults(&text);
    let expect = |piece: &str| assert!(found.iter().any(|f| f.contains(piece)), "no {piece} in {found:#?}");
    expect(&format!("axes.prune.saliency (line {}): unknown value `taylr1`", line_of(&text, "taylr1")));
    expect(&format!(
        "axes.budget.tokens (line {}): 5 is not a multiple of 4096",
        line_of(&text, "819_200, 5")
    ));
    expect("axes.prune.blok");
    expect("seeds are replicates");
    expect("axes.optimizer");
    let twins = format!("{EXAMPLE}\n[axes]\n\"prune.target\" = [{{ ratio = 0.5 }}, {{ ratio = 0.50 }}]\n");
    assert!(faults(&twins)[0].contains("duplicate"), "{:?}", faults(&twins));
}

#[test]
fn an_axis_can_stand_for_a_key_that_the_file_leaves_out() {
    let text = with("saliency = \"taylor_mix\"\n", "")
        + "\n[axes]\n\"prune.saliency\" = [\"random\", \"taylor1\"]\n";
    assert_eq!(check(&text).unwrap().base.prune.saliency, Saliency::RANDOM);
    let text = with("tokens = 819_200\n", "") + "\n[axes]\n\"budget.tokens\" = [\"x\", 819_200]\n";
    assert_eq!(
        faults(&text),
        [format!(
            "axes.budget.tokens (line {}): expected a whole number, found the string \"x\"",
            line_of(&text, "\"x\"")
        )]
    );
}

#[test]
fn a_share_of_the_parameters_outside_the_embedding_can_be_the_target() {
    let to = |target: &str| with("{ ratio = 0.5 }", target);
    let spec = check(&to("{ non_embedding_ratio = 0.25 }")).unwrap().base.prune;
    assert_eq!(spec.target, Target::NonEmbeddingRatio(0.25));
    let found = faults(&to("{ non_embedding_ratio = 0.0001 }"));
    assert!(
        found[0].contains("prune.target.non_embedding_ratio")
            && found[0].contains("non-embedding parameters")
    );
    assert!(faults(&to("{ non_embedding_ratio = 0.5, ratio = 0.5 }"))[0].contains("prune.target"));
}

#[test]
fn values_of_the_command_line_stand_in_the_place_of_the_files() {
    let set = |settings: &[&str]| {
        let settings: Vec<String> = settings.iter().map(|s| s.to_string()).collect();
        set(tree::parse(EXAMPLE), &settings).and_then(|tree| {
            let places = Places { folder: Path::new("/nowhere"), describe: &no_model };
            grid::experiment(&tree, "test", &places)
        })
    };
    let experiment =
        set(&["eval.items=7", "seeds = [4, 5]", "title=a = b", "train.learning_rate=1e-4"]).unwrap();
    assert_eq!((experiment.base.eval.items, experiment.seeds.as_slice()), (7, &[4, 5][..]));
    assert_eq!((experiment.title.as_str(), experiment.base.train.learning_rate), ("a = b", 1e-4));
    let told = |settings: &[&str]| set(settings).unwrap_err()[0].to_string();
    assert_eq!(told(&["eval.itmes=7"]), "eval.itmes: unknown key");
    assert_eq!(told(&["eval.items=many"]), "eval.items: expected a whole number, found the string \"many\"");
    assert_eq!(told(&["eval.items"]), "eval.items: expected `key=value`");
    assert_eq!(told(&["seeds.first=1"]), "seeds.first: leads through a key that is not a table");
    // The name of an axis has dots of its own.
    let axis =
        set(&["axes.\"prune.saliency\"=[\"wanda\", \"taylor1\"]", "axes.'budget.tokens'=[819_200]"]).unwrap();
    assert_eq!(axis.points.len(), 2);
    assert_eq!(told(&["axes.\"prune.salience\"=[1]"]), "axes.prune.salience: unknown key");
    // Relative paths start at the current folder, where tests find the crate.
    let corpus = "data.corpus={ kind = \"text\", train = [\"Cargo.toml\"], validation = [\"Cargo.lock\"] }";
    assert!(set(&[corpus]).is_ok());
}

#[test]
fn ranks_and_devices_must_fit_together() {
    let engine = |keys: &str| with("[engine]\n", &format!("[engine]\n{keys}\n"));
    let text = engine("data_parallel = 3");
    assert_eq!(
        faults(&text),
        [format!(
            "engine.data_parallel (line {}): 3 ranks, and a step has 1 micro-batches | nearest valid data_parallel: 1, or train.micro_batch = 10",
            line_of(&text, "data_parallel")
        )]
    );
    let found = faults(&engine("devices = [0, 1, 2]\ndata_parallel = 2"));
    assert!(found[0].contains("3 devices do not make groups of data_parallel = 2"), "{found:?}");
    assert!(faults(&engine("devices = [1, 1]"))[0].contains("duplicate"));
    assert!(
        faults(&engine("precision = \"fp16\""))[0].contains("precision is one of `bf16`, `f32`"),
        "{:?}",
        faults(&engine("precision = \"fp16\""))
    );
    assert_eq!(check(&engine("devices = [2, 0]")).unwrap().engine.devices, [2, 0]);
}

#[test]
fn a_missing_experiment_names_its_neighbour() {
    let error = load(Path::new("experiments/quikstart"), &[], &no_model).unwrap_err().to_string();
    assert!(error.contains("did you mean `experiments/quickstart`?"), "{error}");
}

#[test]
fn a_broken_file_is_a_syntax_fault() {
    let text = with("[data]", "[data");
    assert!(
        faults(&text)[0].starts_with(&format!("syntax (line {})", line_of(&text, "[data"))),
        "{:?}",
        faults(&text)
    );
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { rng_seed: proptest::test_runner::RngSeed::Fixed(1), ..Default::default() })]
    /// Whatever a line of the file is replaced by, the reader answers without a panic.
    #[test]
    fn no_text_makes_the_reader_panic(line in 0usize..90, replacement in "[a-z_\\[\\]{}=\"0-9.,# -]{0,30}") {
        let mut lines: Vec<&str> = EXAMPLE.lines().collect();
        if line < lines.len() {
            lines[line] = &replacement;
        }
        let _ = check(&lines.join("\n"));
    }
}
