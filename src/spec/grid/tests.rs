//! Every part of the grid language, right and wrong.
use super::super::{Experiment, Fault, ModelDescription, Saliency, no_model, parse};
use std::path::Path;

const EXAMPLE: &str = include_str!("../../../tests/fixtures/example.toml");

fn check(grid: &str) -> Result<Experiment, Vec<Fault>> {
    parse(&format!("{EXAMPLE}\n{grid}"), "test", Path::new("/nowhere"), &no_model)
}

fn experiment(grid: &str) -> Experiment {
    check(grid).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

/// `key: message` of every fault, without lines.
fn faults(grid: &str) -> Vec<String> {
    check(grid)
        .expect_err("it was accepted")
        .iter()
        .map(|fault| format!("{}: {}", fault.key, fault.message))
        .collect()
}

fn values(experiment: &Experiment) -> Vec<String> {
    experiment.points.iter().map(|point| point.values.join(" ")).collect()
}

fn removed(experiment: &Experiment) -> Vec<(&str, usize)> {
    experiment.removed.iter().map(|removed| (removed.by.as_str(), removed.points)).collect()
}

#[test]
fn zipped_keys_move_together_and_multiply_with_axes() {
    let found = experiment(
        "[axes]\n\"prune.saliency\" = [\"random\", \"taylor1\"]\n\
         [[zip]]\n\"budget.tokens\" = [819_200, 409_600]\nprune.schedule = [{ kind = \"line\", prune_tokens = 409_600 }, { kind = \"interval\", steps = 1 }]\n",
    );
    assert_eq!(
        values(&found),
        [
            "random 819200 kind=line,prune_tokens=409600",
            "random 409600 kind=interval,steps=1",
            "taylor1 819200 kind=line,prune_tokens=409600",
            "taylor1 409600 kind=interval,steps=1",
        ]
    );
    assert_eq!(found.points[3].spec.budget.tokens, 409_600);
    assert_eq!(found.points[3].spec.prune.saliency, Saliency::TAYLOR1);
    assert_eq!(
        faults(
            "[[zip]]\n\"budget.tokens\" = [819_200, 409_600]\n\"prune.block\" = [1]\n[[zip]]\n\"prune.min_ffn\" = [1]\n"
        ),
        [
            "zip[0].prune.block: 1 values, and `budget.tokens` has 2: they move together",
            "zip[1]: fewer than two keys: nothing moves together",
        ]
    );
}

#[test]
fn an_axis_with_a_condition_applies_where_it_holds() {
    let found = experiment(
        "[axes]\n\"prune.gradient_ema\" = { values = [0.0, 0.9], when = { \"prune.saliency\" = [\"taylor1\", \"taylor_mix\"] } }\n\
         \"prune.saliency\" = [\"random\", \"taylor1\"]\n",
    );
    assert_eq!(values(&found), ["0.0 random", "0.0 taylor1", "0.9 taylor1"]);
    assert_eq!(removed(&found), [("axes.prune.gradient_ema when prune.saliency = taylor1 or taylor_mix", 1)]);
    // A key that no axis changes has the file's value, or its default; numbers are compared as numbers.
    let file = experiment(
        "[axes]\n\"prune.damping\" = { values = [0.01, 0.1], when = { \"budget.tokens\" = 819200.0, \"prune.block\" = 1 } }\n",
    );
    assert_eq!(values(&file), ["0.01", "0.1"]);
    assert_eq!(
        faults(
            "[axes]\n\"prune.damping\" = { values = [0.01, 0.1], when = { \"prune.saliency\" = \"taylr\" }, whn = 1 }\n"
        ),
        [
            "axes.prune.damping.whn: unknown key",
            "axes.prune.damping.when: no point of the grid has prune.saliency = taylr",
        ]
    );
}

#[test]
fn blocks_are_united_and_what_they_share_is_one_point() {
    let found = experiment(
        "[axes]\n\"prune.min_ffn\" = [1, 2]\n\
         [[grid]]\naxes = { \"prune.saliency\" = [\"random\", \"taylor1\"] }\n\
         [[grid]]\naxes = { \"prune.saliency\" = [\"taylor1\"], \"prune.update\" = [\"none\", \"layerwise\"] }\n",
    );
    assert_eq!(
        values(&found),
        [
            "1 random none",
            "1 taylor1 none",
            "2 random none",
            "2 taylor1 none",
            "1 taylor1 layerwise",
            "2 taylor1 layerwise"
        ]
    );
    assert_eq!(removed(&found), [("the same point of an earlier block", 2)]);
    assert_eq!(
        faults("[[grid]]\naxs = { \"prune.saliency\" = [\"random\"] }\n[axes]\n\"prune.blok\" = [1]\n"),
        ["grid[0].axs: unknown key", "axes.prune.blok: unknown key"]
    );
}

#[test]
fn excluded_points_are_counted_and_an_exclusion_of_nothing_is_a_fault() {
    let axes = "[axes]\n\"prune.saliency\" = [\"random\", \"taylor1\"]\n\"prune.update\" = [\"none\", \"layerwise\"]\n";
    let found = experiment(&format!(
        "{axes}[[exclude]]\n\"prune.saliency\" = \"random\"\nprune.update = \"layerwise\"\n"
    ));
    assert_eq!(values(&found), ["random none", "taylor1 none", "taylor1 layerwise"]);
    assert_eq!(removed(&found), [("exclude: prune.saliency = random, prune.update = layerwise", 1)]);
    assert_eq!(
        faults(&format!(
            "{axes}[[exclude]]\n\"prune.saliency\" = \"taylor2x\"\n[[exclude]]\nsaliency = \"random\"\n"
        )),
        [
            "exclude[0]: no point of the grid has prune.saliency = taylor2x",
            "exclude[1].saliency: unknown key",
        ]
    );
}

#[test]
fn named_points_stand_alone_or_beside_a_grid() {
    let named = "[[points]]\nname = \"paper\"\n\"prune.saliency\" = \"taylor_mix\"\n\"prune.update\" = \"layerwise\"\n\
                 [[points]]\nname = \"by size\"\nprune.saliency = \"magnitude_l2\"\n";
    let alone = experiment(named);
    assert_eq!(values(&alone), ["taylor_mix layerwise paper", "magnitude_l2 none by size"]);
    assert_eq!(alone.axes.last().map(|axis| axis.key.as_str()), Some("point"));
    let beside = experiment(&format!("[axes]\n\"prune.saliency\" = [\"random\", \"magnitude_l2\"]\n{named}"));
    assert_eq!(
        values(&beside),
        ["random none ", "magnitude_l2 none ", "taylor_mix layerwise paper", "magnitude_l2 none by size"]
    );
    assert_eq!(
        faults(
            "[[points]]\n\"prune.saliency\" = \"random\"\n[[points]]\nname = \"a\"\n\"prune.saliency\" = \"rndom\"\n"
        ),
        ["points[0].name: missing", "points[1].prune.saliency: unknown value `rndom`"]
    );
}

/// A key that only some points set is at the others what the file says, or nothing.
#[test]
fn a_named_point_shows_no_values_of_other_points() {
    let found = experiment(
        "[[points]]\nname = \"high\"\n\"recovery.learning_rate\" = 6e-3\n\"recovery.warmup_tokens\" = 8192\n\
         [[points]]\nname = \"one schedule\"\n\"recovery.schedule\" = \"continue\"\n",
    );
    assert_eq!(values(&found), ["0.006 8192 rewarm high", "  continue one schedule"]);
}

#[test]
fn labels_are_of_what_there_is() {
    let found = experiment(
        "[axes]\n\"prune.saliency\" = [\"random\", \"taylor1\"]\n\
         [labels]\narms = { pruning_aware = \"Ours\" }\naxes = { \"prune.saliency\" = \"Saliency\" }\n\
         values = { \"prune.saliency\" = { taylor1 = \"Taylor\" } }\n",
    );
    assert_eq!(found.labels.arms["pruning_aware"], "Ours");
    assert_eq!(found.labels.values["prune.saliency"]["taylor1"], "Taylor");
    assert_eq!(
        faults(
            "[labels]\narms = { pruning_aware = \"source\", one_shot = \"x\", one_shot_recover = \"x\" }\n"
        ),
        [
            "labels.arms.pruning_aware: another arm is called `source`, too",
            "labels.arms.one_shot_recover: another arm is called `x`, too",
        ]
    );
    assert_eq!(
        faults(
            "[axes]\n\"prune.saliency\" = [\"random\", \"taylor1\"]\n[labels]\narms = { prunning_aware = \"Ours\" }\n\
             values = { \"prune.saliency\" = { taylor2 = \"Taylor\" } }\nlines = 1\n"
        ),
        [
            "labels.arms.prunning_aware: there is no arm `prunning_aware`",
            "labels.values.prune.saliency.taylor2: there is no value `taylor2`",
            "labels.lines: unknown key",
        ]
    );
}

/// An axis over models shows names that tell them apart, and no place of this machine.
#[test]
fn models_are_called_by_short_names() {
    let folder = tempfile::tempdir().unwrap();
    let model = parse(EXAMPLE, "test", folder.path(), &no_model).unwrap().base.model;
    let describe = |path: &str| {
        let (path, files) = (path.to_string(), vec![path.to_string()]);
        Ok(ModelDescription { path, files, model: model.clone(), vocab_size: 321 })
    };
    let (start, end) = (EXAMPLE.find("[model]").unwrap(), EXAMPLE.find("[train]").unwrap());
    let text = format!("{}[source]\n{}", &EXAMPLE[..start], &EXAMPLE[end..]);
    let text =
        text.replace("\"total_tokens\"", "\"recovery_tokens\"").replace("_total_tokens", "_recovery_tokens");
    let text = text.replace("kind = \"bpe\", vocab_size = 1024", "kind = \"model\"");
    let place = |name: &str| {
        std::fs::create_dir_all(folder.path().join(name)).unwrap();
        folder.path().join(name).display().to_string()
    };
    let grid = format!("[axes]\n\"source.model\" = [\"{}\", \"{}\"]\n", place("small"), place("large"));
    let found = parse(&format!("{text}\n{grid}"), "test", folder.path(), &describe).unwrap();
    assert_eq!(values(&found), ["small", "large"]);
}

#[test]
fn faults_of_all_parts_come_at_once() {
    let found = faults(
        "[axes]\n\"prune.saliency\" = [\"rndom\", \"taylor1\"]\nseeds = [1]\n[[zip]]\n\"prune.block\" = 3\n\"prune.min_ffn\" = [1, 2]\n\
         [[exclude]]\n\"prune.update\" = \"layerwise\"\n[[points]]\nname = \"x\"\nmodle = { num_layers = 3 }\n[labels]\narms = 3\n",
    );
    for expected in [
        "axes.prune.saliency: unknown value `rndom`",
        "axes.seeds: `seeds` cannot be an axis",
        "zip[0].prune.block: expected a list of values, found the number 3",
        "exclude[0]: no point of the grid has prune.update = layerwise",
        "points[0].modle.num_layers: unknown key",
        "labels.arms: expected a table, found the number 3",
    ] {
        assert!(found.iter().any(|fault| fault == expected), "no `{expected}` in {found:#?}");
    }
}

#[test]
fn questions_about_axes_are_part_of_the_file() {
    let found = experiment(
        "[axes]\n\"prune.saliency\" = [\"random\", \"taylor1\"]\n\"budget.tokens\" = [819_200, 409_600]\n\
         [[effects]]\nfactors = [\"prune.saliency\", \"budget.tokens\"]\narm = \"pruning_aware\"\nmetric = \"acc\"\n\
         [[rankings]]\naxis = \"prune.saliency\"\narm = \"pruning_aware\"\nmetric = \"bits_per_byte\"\n",
    );
    assert_eq!(found.questions.len(), 4, "{:?}", found.questions);
}
