//! What is shared, what is not, and in which order.
use super::*;
use crate::spec::{self, no_model};
use std::path::Path;

const EXAMPLE: &str = include_str!("../../tests/fixtures/example.toml");

fn planned(text: &str) -> Plan {
    let experiment = spec::parse(text, "test", Path::new("/nowhere"), &no_model).unwrap();
    plan(&experiment, EngineKind::Cpu).unwrap()
}

fn ids(plan: &Plan, label: &str) -> Vec<String> {
    plan.runs.iter().filter(|run| run.arm.label() == label).map(|run| run.id.clone()).collect()
}

#[test]
fn the_example_has_one_corpus_three_sources_and_eighteen_runs() {
    let plan = planned(EXAMPLE);
    assert_eq!(plan.runs.len(), 3 * 6);
    // One corpus; six models and six evaluations per seed.
    assert_eq!(plan.stages.len(), 1 + 3 * 12);
    assert_eq!(plan.uses()[0], 18);
    for (place, stage) in plan.stages.iter().enumerate() {
        assert!(stage.inputs.iter().all(|input| input < place), "{} comes before an input", stage.id);
    }
    assert_eq!(plan, planned(EXAMPLE));
}

#[test]
fn arms_that_do_not_depend_on_an_axis_are_one_run_with_an_empty_cell() {
    let text = format!(
        "{EXAMPLE}\n[axes]\n\"prune.saliency\" = [\"random\", \"taylor1\"]\n\"budget.tokens\" = [819_200, 409_600]\n"
    );
    let plan = planned(&text);
    let cells = |label: &str| -> Vec<Vec<Option<String>>> {
        plan.runs
            .iter()
            .filter(|run| run.arm.label() == label && run.seed == 1)
            .map(|run| run.axes.clone())
            .collect()
    };
    let some = |value: &str| Some(value.to_string());
    assert_eq!(cells("source"), [[None, None]]);
    assert_eq!(cells("one_shot"), [[some("random"), None], [some("taylor1"), None]]);
    assert_eq!(cells("direct_proportional_total_tokens"), [[None, some("819200")], [None, some("409600")]]);
    assert_eq!(cells("pruning_aware").len(), 4);
    assert_eq!(cells("direct_searched_total_tokens").len(), 4);
}

#[test]
fn a_shared_source_is_one_run_of_the_first_seed() {
    let plan = planned(&EXAMPLE.replace("per_seed = true", "per_seed = false"));
    assert_eq!(ids(&plan, "source").len(), 1);
    assert_eq!(ids(&plan, "pruning_aware").len(), 3);
    assert_eq!(plan.runs[0].seed, 1);
}

/// Precision counts where there is a choice of it, ranks where there are several; ids of one rank on cpu stay what they
/// were before either could be chosen.
#[test]
fn the_identity_of_an_engine_is_what_its_numbers_depend_on() {
    let with = |keys: &str, kind: EngineKind| {
        let text = EXAMPLE.replace("[engine]\n", &format!("[engine]\n{keys}\n"));
        let experiment = spec::parse(&text, "test", Path::new("/nowhere"), &no_model).unwrap();
        plan(&experiment, kind).unwrap().stages[1].identity["engine"].clone()
    };
    let (cpu, cuda) = (EngineKind::Cpu, EngineKind::Cuda);
    assert_eq!(with("", cpu), "cpu");
    assert_eq!(with("precision = \"f32\"\ndevices = [3]\nhalve_micro_batch = false", cpu), "cpu");
    assert_eq!(with("", cuda), serde_json::json!({ "kind": "cuda", "precision": "bf16" }));
    assert_eq!(with("precision = \"f32\"", cuda), serde_json::json!({ "kind": "cuda", "precision": "f32" }));
    let bf16 = |kind: &str| with(&format!("precision = \"bf16\"\ncpu_bf16 = \"{kind}\""), cpu);
    for kind in ["avx512_bf16", "amx_bf16"] {
        let expected = serde_json::json!({ "kind": "cpu", "precision": "bf16", "products": kind });
        assert_eq!(bf16(kind), expected);
    }
    assert_eq!(with("cpu_bf16 = \"amx_bf16\"", cpu), "cpu", "in f32 it changes nothing");
    let parallel = EXAMPLE.replace("micro_batch = 32", "micro_batch = 16");
    let parallel = parallel.replace("[engine]\n", "[engine]\ndata_parallel = 2\n");
    let experiment = spec::parse(&parallel, "test", Path::new("/nowhere"), &no_model).unwrap();
    let identity = &plan(&experiment, cpu).unwrap().stages[1].identity;
    assert_eq!(identity["engine"], serde_json::json!({ "kind": "cpu", "data_parallel": 2 }));
}

#[test]
fn identity_holds_what_changes_numbers_and_nothing_else() {
    let plan = planned(EXAMPLE);
    let changed = |from: &str, to: &str| planned(&EXAMPLE.replacen(from, to, 1));
    let same = |other: &Plan, label: &str| ids(&plan, label) == ids(other, label);
    let workers = changed("workers = 0", "workers = 7");
    assert_eq!(
        plan.stages.iter().map(|s| &s.id).collect::<Vec<_>>(),
        workers.stages.iter().map(|s| &s.id).collect::<Vec<_>>()
    );
    let calibration = changed("calibration_tokens = 16_384", "calibration_tokens = 8_192");
    assert!(same(&calibration, "pruning_aware") && same(&calibration, "source"));
    assert!(!same(&calibration, "one_shot") && !same(&calibration, "one_shot_recover"));
    let schedule = changed("prune_tokens = 409_600", "prune_tokens = 204_800");
    assert!(same(&schedule, "one_shot") && same(&schedule, "direct_proportional_total_tokens"));
    assert!(!same(&schedule, "pruning_aware") && !same(&schedule, "direct_searched_total_tokens"));
    let items = changed("items = 200", "items = 100");
    assert!(!same(&items, "source"), "another evaluation is another run");
    assert_eq!(plan.stages[1].id, items.stages[1].id, "but not another model");
    let rate = changed("learning_rate = 3e-3", "learning_rate = 1e-3");
    assert!(!same(&rate, "source") && !same(&rate, "one_shot"));
    assert_eq!(plan.stages[0].id, rate.stages[0].id);
}

#[test]
fn files_count_by_contents_not_by_path() {
    let folder = tempfile::tempdir().unwrap();
    let plan_of = |name: &str, contents: &str| {
        std::fs::write(folder.path().join(name), contents).unwrap();
        std::fs::write(folder.path().join("held-out.txt"), "z").unwrap();
        let text = EXAMPLE.replace(
            "{ kind = \"world\", seed = 0, documents = 40_000 }",
            &format!("{{ kind = \"text\", train = [\"{name}\"], validation = [\"held-out.txt\"] }}"),
        );
        plan(&spec::parse(&text, "test", folder.path(), &no_model).unwrap(), EngineKind::Cpu).unwrap().stages
            [0]
        .id
        .clone()
    };
    assert_eq!(plan_of("a.txt", "x"), plan_of("b.txt", "x"));
    assert_ne!(plan_of("a.txt", "x"), plan_of("a.txt", "y"));
}

#[test]
fn weights_and_shuffles_change_models_and_not_the_corpus() {
    let folder = tempfile::tempdir().unwrap();
    ["a.txt", "b.txt"].iter().for_each(|name| std::fs::write(folder.path().join(name), name).unwrap());
    let plan_of = |weights: &str, shuffle: &str| {
        let source = "{ kind = \"text\", train = [\"a.txt\"], validation = [\"b.txt\"] }";
        let corpus = format!("{{ kind = \"mixture\", weights = {weights}, sources = [{source}, {source}] }}");
        let text = EXAMPLE.replace("{ kind = \"world\", seed = 0, documents = 40_000 }", &corpus).replacen(
            "context_length = 128",
            &format!("context_length = 128\n{shuffle}"),
            1,
        );
        plan(&spec::parse(&text, "test", folder.path(), &no_model).unwrap(), EngineKind::Cpu).unwrap()
    };
    let ids = |plan: &Plan| plan.stages.iter().map(|stage| stage.id.clone()).collect::<Vec<_>>();
    let first = ids(&plan_of("[0.7, 0.3]", ""));
    assert_eq!(first, ids(&plan_of("[7, 3]", "shuffle = \"windows\"")));
    for other in [
        plan_of("[0.5, 0.5]", ""),
        plan_of("[0.7, 0.3]", "shuffle = \"documents\""),
        plan_of("[0.7, 0.3]", "packing = \"separate\""),
    ] {
        let other = ids(&other);
        assert_eq!(first[0], other[0]);
        assert!(first[1..].iter().all(|id| !other.contains(id)));
    }
}

#[test]
fn costs_follow_the_budgets() {
    let plan = planned(EXAMPLE);
    let cost = |label: &str| {
        let find = |stage: &&Stage| matches!(&stage.kind, StageKind::Model(arm) if arm.label() == label);
        plan.stages.iter().find(find).unwrap().cost
    };
    let source = cost("source");
    assert_eq!(source.tokens, 1_638_400);
    assert_eq!(cost("pruning_aware").tokens, 819_200);
    assert_eq!(cost("direct_searched_total_tokens").tokens, 1_638_400 + 819_200);
    // Half the budget at the mean of full and half size, half at half size: (0.75 + 0.5) / 2 of full size.
    let per_token = source.flops / source.tokens as f64;
    let expected = 0.625 * 819_200.0 * per_token;
    assert!((cost("pruning_aware").flops / expected - 1.0).abs() < 1e-5);
    assert_eq!(cost("pruning_aware").params, source.params / 2);
}

/// A source of four layers, in a file that is there.
fn with_model(text: &str, folder: &Path, contents: &str) -> Result<Plan, Vec<spec::Fault>> {
    let file = folder.join("model.gguf");
    std::fs::write(&file, contents).unwrap();
    let path = file.to_string_lossy().into_owned();
    let describe = |_: &str| {
        Ok(spec::ModelDescription {
            path: path.clone(),
            files: vec![path.clone()],
            model: spec::parse(EXAMPLE, "test", folder, &no_model).unwrap().base.model,
            vocab_size: 300,
        })
    };
    let experiment = spec::parse(text, "test", folder, &describe)?;
    Ok(plan(&experiment, EngineKind::Cpu).unwrap())
}

/// The example with its source from disk: no [model], no tokenizer, arms that need no tokens of the source.
fn from_disk() -> String {
    let start = EXAMPLE.find("[model]").unwrap();
    let end = EXAMPLE.find("[train]").unwrap();
    let text = format!("{}[source]\nmodel = \"model.gguf\"\n\n{}", &EXAMPLE[..start], &EXAMPLE[end..]);
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("tokenizer =")).collect();
    lines
        .join("\n")
        .replace("\"total_tokens\"", "\"recovery_tokens\"")
        .replace("_total_tokens", "_recovery_tokens")
}

#[test]
fn a_source_from_disk_is_one_stage_named_by_its_contents() {
    let folder = tempfile::tempdir().unwrap();
    let plan = with_model(&from_disk(), folder.path(), "weights").unwrap();
    assert_eq!(ids(&plan, "source").len(), 1);
    assert_eq!(plan.runs.len(), 1 + 3 * 5);
    let source = |plan: &Plan| {
        let is = |stage: &&Stage| matches!(&stage.kind, StageKind::Model(arm) if arm.is_source());
        plan.stages.iter().find(is).unwrap().clone()
    };
    let stage = source(&plan);
    assert_eq!((stage.seed, stage.inputs, stage.cost.tokens), (None, Inputs::default(), 0));
    assert_eq!(plan.stages[plan.runs[0].evaluation].inputs.corpus, Some(0));
    let other = with_model(&from_disk(), folder.path(), "other weights").unwrap();
    assert_ne!(stage.id, source(&other).id);
    assert_ne!(ids(&plan, "pruning_aware"), ids(&other, "pruning_aware"));
    // Another corpus is another evaluation of the same model.
    let text = from_disk().replace("documents = 40_000", "documents = 30_000");
    let corpus = with_model(&text, folder.path(), "weights").unwrap();
    assert_eq!(stage.id, source(&corpus).id);
    assert_ne!(ids(&plan, "source"), ids(&corpus, "source"));
}

#[test]
fn budgets_with_the_tokens_of_a_source_from_disk_need_to_be_told_them() {
    let folder = tempfile::tempdir().unwrap();
    let text = from_disk().replace("recovery_tokens", "total_tokens");
    let faults = with_model(&text, folder.path(), "weights").unwrap_err();
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].to_string().contains("the budget of `direct_searched_total_tokens` holds the tokens"));
    let text = text.replace("model = \"model.gguf\"", "model = \"model.gguf\"\ntokens_seen = 1_000_000");
    let plan = with_model(&text, folder.path(), "weights").unwrap();
    let direct =
        |stage: &&Stage| matches!(&stage.kind, StageKind::Model(arm) if !arm.continues() && !arm.is_source());
    assert_eq!(plan.stages.iter().find(direct).unwrap().cost.tokens, 1_000_000 + 819_200);
}

#[test]
fn latencies_come_last_and_belong_to_no_other_identity() {
    let plan = planned(EXAMPLE);
    let asked = planned(&format!("{EXAMPLE}\n[latency]\nrepeats = 3\n"));
    let (before, after) = asked.stages.split_at(plan.stages.len());
    assert_eq!(
        before.iter().map(|s| &s.id).collect::<Vec<_>>(),
        plan.stages.iter().map(|s| &s.id).collect::<Vec<_>>()
    );
    assert_eq!(after.len(), 18);
    for run in &asked.runs {
        let stage = &asked.stages[run.latency.unwrap()];
        assert_eq!(stage.inputs, Inputs { model: Some(run.model), ..Inputs::default() });
        assert!(asked.needed_by(run)[run.latency.unwrap()]);
    }
    assert!(plan.runs.iter().all(|run| run.latency.is_none()));
}

#[test]
fn memory_grows_with_what_is_kept_of_each_parameter() {
    let memory = |text: &str, label: &str| {
        let plan = planned(text);
        let find = |stage: &&Stage| matches!(&stage.kind, StageKind::Model(arm) if arm.label() == label);
        plan.stages.iter().find(find).unwrap().cost.memory_bytes
    };
    let params = planned(EXAMPLE).stages[1].cost.params;
    // F beside weights, gradient and two moments; the gradient of a sequence where F is made of such.
    assert_eq!(memory(EXAMPLE, "pruning_aware") - memory(EXAMPLE, "source"), 4 * params);
    let by_sequence = EXAMPLE.replace("[prune]\n", "[prune]\nfisher_unit = \"sequence\"\n");
    assert_eq!(memory(&by_sequence, "pruning_aware") - memory(EXAMPLE, "source"), 2 * 4 * params);
    let first_order = EXAMPLE.replace("saliency = \"taylor_mix\"", "saliency = \"taylor1\"");
    assert_eq!(memory(&first_order, "pruning_aware"), memory(EXAMPLE, "source"));
    // The mean of the weights, of whatever trains.
    let averaged = EXAMPLE.replace("[train]\n", "[train]\naverage_fraction = 0.1\n");
    assert_eq!(memory(&averaged, "source") - memory(EXAMPLE, "source"), 4 * params);
    assert_eq!(memory(&averaged, "one_shot"), memory(EXAMPLE, "one_shot"));
}

#[test]
fn time_is_that_of_the_longest_worker() {
    let plan = planned(&EXAMPLE.replace("seeds = [1, 2, 3]", "seeds = [1]"));
    let seconds = vec![1.0; plan.stages.len()];
    let none = vec![false; plan.stages.len()];
    assert_eq!(makespan(&plan, &none, 1, &seconds), plan.stages.len() as f64);
    assert_eq!(makespan(&plan, &vec![true; plan.stages.len()], 1, &seconds), 0.0);
    // The longest chain is corpus, source, pruning_aware, direct (searched), its evaluation.
    assert_eq!(makespan(&plan, &none, 100, &seconds), 5.0);
    let two = makespan(&plan, &none, 2, &seconds);
    assert!((7.0..=8.0).contains(&two), "{two}");
}

/// The plain way to say it: of all that wait, the first that is ready when a worker is free, else the one that is ready soonest.
fn makespan_by_search(plan: &Plan, done: &[bool], workers: usize, seconds: &[f64]) -> f64 {
    let mut finished: Vec<f64> = done.iter().map(|done| if *done { 0.0 } else { f64::INFINITY }).collect();
    let mut free = vec![0.0f64; workers];
    let mut waiting: Vec<usize> = (0..plan.stages.len()).filter(|i| !done[*i]).collect();
    while !waiting.is_empty() {
        let ready = |stage: usize| plan.stages[stage].inputs.iter().map(|i| finished[i]).fold(0.0, f64::max);
        let worker = (0..free.len()).min_by(|a, b| free[*a].total_cmp(&free[*b])).unwrap();
        let now = free[worker];
        let place = waiting.iter().position(|stage| ready(*stage) <= now).unwrap_or_else(|| {
            let soonest = |a: &usize, b: &usize| ready(waiting[*a]).total_cmp(&ready(waiting[*b]));
            (0..waiting.len()).min_by(soonest).unwrap()
        });
        let stage = waiting.remove(place);
        finished[stage] = now.max(ready(stage)) + seconds[stage];
        free[worker] = finished[stage];
    }
    finished.iter().copied().fold(0.0, f64::max)
}

#[test]
fn time_is_that_of_the_plain_search() {
    let plan = planned(EXAMPLE);
    for trial in 0u64..40 {
        // Any times, some of them equal, and any stages done.
        let number = |place: usize, of: u64| (place as u64 * 2654435761 + trial * 40503) / 7 % of;
        let seconds: Vec<f64> = (0..plan.stages.len()).map(|place| 1.0 + number(place, 9) as f64).collect();
        let done: Vec<bool> = (0..plan.stages.len()).map(|place| number(place, 11) < trial % 5).collect();
        for workers in [1, 2, 3, 7] {
            let expected = makespan_by_search(&plan, &done, workers, &seconds);
            assert_eq!(makespan(&plan, &done, workers, &seconds), expected, "{trial} {workers}");
        }
    }
}

#[test]
fn a_stage_is_used_by_the_runs_that_need_it() {
    let plan = planned(EXAMPLE);
    let mut expected = vec![0; plan.stages.len()];
    for run in &plan.runs {
        for (place, needed) in plan.needed_by(run).into_iter().enumerate() {
            expected[place] += usize::from(needed);
        }
    }
    assert_eq!(plan.uses(), expected);
}

/// What made the models of committed results must keep their names through every redesign.
#[test]
fn committed_results_keep_their_ids() {
    let plan = planned(include_str!("../../tests/fixtures/committed.toml"));
    let committed: serde_json::Value =
        serde_json::from_str(include_str!("../../tests/fixtures/committed_ids.json")).unwrap();
    let models =
        |stage: &&serde_json::Value| !["evaluation", "latency"].contains(&stage["kind"].as_str().unwrap());
    let expected: Vec<&serde_json::Value> =
        committed["stages"].as_array().unwrap().iter().filter(models).collect();
    let of_model = |stage: &&Stage| matches!(stage.kind, StageKind::Corpus | StageKind::Model(_));
    let found: Vec<&Stage> = plan.stages.iter().filter(of_model).collect();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.identity, expected["identity"]);
        assert_eq!(found.id, expected["id"].as_str().unwrap());
    }
}

/// Arms added to the example: their text, what they are called, and how many tokens they pass through a model.
fn with_arms(arms: &str) -> Plan {
    planned(&format!("{EXAMPLE}\n{arms}"))
}

fn stage_of<'p>(plan: &'p Plan, name: &str) -> &'p Stage {
    let run = plan.runs.iter().find(|run| run.arm.name == name).unwrap_or_else(|| panic!("no run of {name}"));
    &plan.stages[run.model]
}

#[test]
fn arms_are_answers_whatever_they_are_called() {
    let plan = with_arms(
        "[[arms]]\nname = \"written_out\"\nfrom = \"source\"\nprune = \"at_once\"\ntrain = \"recovery_tokens\"\n\
         [[arms]]\narm = \"iterative\"\nstages = 4\n\
         [[arms]]\narm = \"source_continued\"\n\
         [[arms]]\narm = \"direct\"\nshape = \"proportional\"\nbudget = \"total_tokens\"\nsource_share = 0.25\n\
         [[arms]]\narm = \"pruning_aware\"\nname = \"by_size\"\nset = { prune.saliency = \"magnitude_l2\" }\n",
    );
    let id = |name: &str| stage_of(&plan, name).id.clone();
    assert_eq!(id("written_out"), id("one_shot_recover"));
    assert_ne!(id("by_size"), id("pruning_aware"));
    assert_eq!(stage_of(&plan, "by_size").inputs.source, stage_of(&plan, "pruning_aware").inputs.source);
    assert_eq!(stage_of(&plan, "by_size").spec.prune.saliency, spec::Saliency::MAGNITUDE_L2);
    // Four calibration sets, taken off the budget or not.
    assert_eq!(stage_of(&plan, "iterative_4").cost.tokens, 819_200);
    let quarter = stage_of(&plan, "direct_proportional_total_tokens_with_0.25_of_source");
    assert_eq!(quarter.cost.tokens, 1_638_400 / 4 + 819_200);
    assert_eq!(stage_of(&plan, "source_continued").cost.params, stage_of(&plan, "source").cost.params);
}

#[test]
fn an_arm_at_the_widths_of_another_comes_after_it_and_has_no_target_of_its_own() {
    let arms = "[[arms]]\narm = \"at_widths_of\"\nof = \"pruning_aware\"\nset = { \"prune.saliency\" = \"random\" }\n\
                [[arms]]\narm = \"one_shot\"\nname = \"small\"\nset = { \"prune.target\" = { ratio = 0.25 } }\n\
                [[arms]]\nname = \"at_small\"\nfrom = \"source\"\nprune = \"while_training\"\nwidths_of = \"small\"\n\
                train = \"recovery_tokens\"\n";
    let plan = with_arms(arms);
    let stage = |name: &str| stage_of(&plan, name);
    let of = |name: &str| stage(name).inputs.other.map(|place| plan.stages[place].id.clone());
    assert_eq!(of("one_shot_recover_at_widths"), Some(stage("pruning_aware").id.clone()));
    assert_eq!(of("at_small"), Some(stage("small").id.clone()));
    assert_eq!(stage("at_small").identity["widths_of"], stage("small").id.as_str());
    assert_eq!(stage("at_small").identity["prune"].get("target"), None);
    // It is estimated by the size of what it will be.
    assert_eq!(stage("at_small").cost.params, stage("small").cost.params);
    assert!(stage("at_small").cost.flops < stage("pruning_aware").cost.flops);
    assert_eq!(stage("one_shot_recover_at_widths").cost.params, stage("pruning_aware").cost.params);
}

#[test]
fn what_an_arm_sets_for_itself_is_no_axis_of_it() {
    let plan = planned(&format!(
        "{EXAMPLE}\n[[arms]]\narm = \"pruning_aware\"\nname = \"fixed\"\nset = {{ \"prune.saliency\" = \"random\" }}\n\
         [axes]\n\"prune.saliency\" = [\"magnitude_l2\", \"taylor1\"]\n"
    ));
    let runs = |name: &str| plan.runs.iter().filter(|run| run.arm.name == name && run.seed == 1).count();
    assert_eq!((runs("fixed"), runs("pruning_aware")), (1, 2));
    let fixed = plan.runs.iter().find(|run| run.arm.name == "fixed").unwrap();
    assert_eq!(fixed.axes, [None]);
    assert!(!plan.stages[fixed.model].reads.contains("prune.saliency"));
    assert!(plan.stages[fixed.model].reads.contains("prune.target"));
}

#[test]
fn calibration_does_not_shorten_recovery_unless_asked() {
    let subtracted = planned(EXAMPLE);
    let added = planned(&EXAMPLE.replace("subtract_calibration = true", "subtract_calibration = false"));
    let tokens = |plan: &Plan| stage_of(plan, "one_shot_recover").cost.tokens;
    assert_eq!((tokens(&subtracted), tokens(&added)), (819_200, 819_200 + 16_384));
    assert_ne!(stage_of(&subtracted, "one_shot_recover").id, stage_of(&added, "one_shot_recover").id);
    for name in ["source", "pruning_aware", "one_shot", "direct_searched_total_tokens"] {
        assert_eq!(stage_of(&subtracted, name).id, stage_of(&added, name).id);
    }
}

#[test]
fn schedules_of_recovery_reach_the_source_where_they_must() {
    let with = |keys: &str, train: &str| {
        let text =
            EXAMPLE.replace("subtract_calibration = true", &format!("subtract_calibration = true\n{keys}"));
        planned(&text.replace("schedule = \"cosine\"", train))
    };
    let (cosine, wsd) = ("schedule = \"cosine\"", "schedule = \"wsd\"");
    let plain = with("", cosine);
    let id = |plan: &Plan, name: &str| stage_of(plan, name).id.clone();
    let own = with("learning_rate = 1e-3", cosine);
    assert_eq!(id(&plain, "source"), id(&own, "source"));
    assert_ne!(id(&plain, "pruning_aware"), id(&own, "pruning_aware"));
    assert_eq!(id(&plain, "direct_proportional_total_tokens"), id(&own, "direct_proportional_total_tokens"));
    assert_eq!(id(&plain, "one_shot"), id(&own, "one_shot"));
    let continued = with("schedule = \"continue\"", cosine);
    assert_ne!(id(&plain, "source"), id(&continued, "source"));
    let (decayed, branch) = (with("", wsd), with("schedule = \"branch\"", wsd));
    assert_eq!(id(&decayed, "source"), id(&branch, "source"));
    let start = stage_of(&branch, "pruning_aware").inputs.source.unwrap();
    assert!(branch.stages[start].id.starts_with("source_stable-s1-"), "{}", branch.stages[start].id);
    assert_eq!(branch.stages[start].cost.tokens, 1_638_400 / 5 * 4 / 4096 * 4096);
    // What is not trained has no decay of its own.
    let start = stage_of(&branch, "one_shot").inputs.source.unwrap();
    assert_eq!(branch.stages[start].id, id(&branch, "source"));
}

/// Six saliencies, updates and budgets: more than a hundred runs, planned in less than half a second.
#[test]
fn a_grid_of_a_hundred_runs_plans_in_half_a_second() {
    let text = format!(
        "{EXAMPLE}\n[axes]\n\"prune.saliency\" = [\"random\", \"magnitude_l2\", \"taylor1\"]\n\
         \"prune.update\" = [\"none\", \"layerwise\"]\n\"budget.tokens\" = [819_200, 409_600]\n"
    );
    let mut least = f64::INFINITY;
    for _ in 0..3 {
        let started = std::time::Instant::now();
        assert!(planned(&text).runs.len() > 100);
        least = least.min(started.elapsed().as_secs_f64());
    }
    println!("{least:.3} s");
    // Unoptimised builds take several times as long.
    assert!(least < if cfg!(debug_assertions) { 5.0 } else { 0.5 }, "{least} s");
}

#[test]
fn a_named_point_is_named_where_what_it_sets_is_read() {
    let plan = planned(&format!(
        "{EXAMPLE}\n[[points]]\nname = \"by_size\"\n\"prune.saliency\" = \"magnitude_l2\"\n"
    ));
    let cells = |name: &str| plan.runs.iter().find(|run| run.arm.name == name).unwrap().axes.clone();
    assert_eq!(cells("source"), [None, None]);
    assert_eq!(cells("pruning_aware"), [Some("magnitude_l2".to_string()), Some("by_size".to_string())]);
}
