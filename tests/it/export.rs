//! `efficientllm export` as people meet it.
use super::cli::Desk;
use super::eval::{desk, model};
use efficientllm::data::Tokenizer;
use efficientllm::model::checkpoint::{load_any, pad_to_uniform};
use efficientllm::tensor::CpuBackend;
use std::fs;

const TINY: &str = include_str!("../fixtures/tiny.toml");

/// Log-likelihoods of the few items of ARC, as `eval` writes them.
fn log_likelihoods(desk: &Desk, place: &str) -> Vec<f64> {
    let out = format!("scores of {place}");
    let shown = desk.show(&[
        "eval",
        "--model",
        place,
        "--data",
        "data",
        "--out",
        &out,
        "--tasks",
        "arc_easy",
        "--threads",
        "1",
    ]);
    assert!(shown.contains("exit code 0"), "{shown}");
    let mut rows = csv::Reader::from_path(desk.path().join(out).join("items.csv")).unwrap();
    let column = rows.headers().unwrap().iter().position(|name| name == "loglik").unwrap();
    rows.records().map(|row| row.unwrap()[column].parse().unwrap()).collect()
}

#[test]
fn what_is_exported_scores_as_the_model_does() {
    let desk = desk();
    let beside = "{\"bos_token\": \"<|endoftext|>\"}";
    fs::write(desk.path().join("model/tokenizer_config.json"), beside).unwrap();
    let ours = log_likelihoods(&desk, "model");
    let shown = [
        desk.show(&["export", "model", "--out", "hf", "--source-licence", "apache-2.0"]),
        desk.show(&["export", "model", "--out", "f16.gguf"]),
        desk.show(&["export", "model", "--out", "q8.gguf", "--gguf-type", "q8_0", "--name", "Small"]),
        // And on from there.
        desk.show(&["export", "f16.gguf", "--out", "back"]),
    ];
    insta::assert_snapshot!("exports", shown.join("\n"));
    insta::assert_snapshot!("export_card", fs::read_to_string(desk.path().join("hf/README.md")).unwrap());
    let config: serde_json::Value =
        serde_json::from_slice(&fs::read(desk.path().join("hf/tokenizer_config.json")).unwrap()).unwrap();
    let expected = serde_json::json!({
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>",
    });
    assert_eq!(config, expected);
    assert_eq!(log_likelihoods(&desk, "hf"), ours, "f32 is what it was");
    for (place, tolerance) in [("f16.gguf", 2e-3), ("q8.gguf", 5e-2), ("back", 2e-3)] {
        for (a, b) in log_likelihoods(&desk, place).iter().zip(&ours) {
            assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "{place}: {a} against {b}");
        }
    }
    assert_eq!(log_likelihoods(&desk, "back"), log_likelihoods(&desk, "f16.gguf"));
}

#[test]
fn faults_of_an_export_name_what_would_do() {
    let desk = desk();
    insta::assert_snapshot!("help_export", desk.show(&["export", "--help"]));
    model(&desk, "bare", 2);
    fs::remove_file(desk.path().join("bare/tokenizer.json")).unwrap();
    model(&desk, "odd", 2);
    let json = fs::read_to_string(desk.path().join("odd/tokenizer.json")).unwrap();
    let lower = json.replacen("\"normalizer\":null", "\"normalizer\":{\"type\":\"Lowercase\"}", 1);
    assert_ne!(json, lower);
    fs::write(desk.path().join("odd/tokenizer.json"), lower).unwrap();
    let shown = [
        desk.show(&["export", "nowhere", "--out", "out"]),
        desk.show(&["export", "model", "--out", "bare"]),
        desk.show(&["export", "model", "--out", "out", "--gguf-type", "f16"]),
        desk.show(&["export", "bare", "--out", "out"]),
        desk.show(&["export", "bare", "--out", "out.gguf", "--tokenizer", "model/config.json"]),
        desk.show(&["export", "odd", "--out", "out.gguf"]),
    ];
    insta::assert_snapshot!("export_faults", shown.join("\n"));
    assert!(!desk.path().join("out").exists() && !desk.path().join("out.gguf").exists());
}

/// Lines of a card with what differs from machine to machine left out.
fn without_numbers(card: &str) -> String {
    let line = |line: &str| match line.split_once(" | ") {
        Some((name, _)) if line.starts_with("| ") && line.contains(|c: char| c.is_ascii_digit()) => {
            format!("{name} | #")
        }
        _ => line.to_string(),
    };
    let lines = card.lines().take_while(|line| !line.starts_with("## Specification"));
    // Outside a checkout there is no commit to name.
    lines.filter(|line| !line.starts_with("| commit")).map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_model_of_a_finished_run_comes_with_its_provenance() {
    let desk = Desk::new();
    desk.experiment("tiny", TINY);
    let export = |arguments: &[&str]| desk.show(&[&["export", "experiments/tiny"], arguments].concat());
    let before = export(&["pruning_aware", "--out", "early"]);
    assert!(before.contains("no results in `results/tiny`"), "{before}");
    assert!(desk.command(&["run", "experiments/tiny", "--quiet"]).output().unwrap().status.success());

    let out = export(&["pruning_aware/1", "--out", "pruned"]);
    assert!(out.contains("exit code 0"), "{out}");
    let card = fs::read_to_string(desk.path().join("pruned/README.md")).unwrap();
    insta::assert_snapshot!("run_card", without_numbers(&card));
    // The figures are those of the tables, the specification that of the store.
    let table = |file: &str| -> Vec<csv::StringRecord> {
        csv::Reader::from_path(desk.path().join("results/tiny").join(file))
            .unwrap()
            .records()
            .flatten()
            .collect()
    };
    let run = table("runs.csv").into_iter().find(|row| &row[1] == "pruning_aware").unwrap();
    let (name, stage) = (&run[0], &run[5]);
    let score = table("evals.csv").into_iter().find(|row| &row[0] == name).unwrap();
    let acc: f64 = score[5].parse().unwrap();
    assert!(card.contains(&format!("| {} | acc | {acc:.4} |", &score[3])), "{card}");
    assert!(card.contains(&format!("| run | {name} |")) && card.contains(&format!("| stage | {stage} |")));
    let record = desk.path().join("results/tiny/store").join(stage).join("stage.json");
    let record: serde_json::Value = serde_json::from_slice(&fs::read(record).unwrap()).unwrap();
    let (_, spec) = card.split_once("```json\n").unwrap();
    let spec: serde_json::Value = serde_json::from_str(spec.split_once("```").unwrap().0).unwrap();
    assert_eq!(spec, record["identity"]);
    // The weights are the checkpoint's, the tokenizer the corpus'.
    let backend = CpuBackend::<f32>::new();
    let load = |place: &str| load_any(&backend, desk.path().join(place)).unwrap();
    let (ours, theirs) = (load(&format!("results/tiny/store/{stage}/model")), load("pruned"));
    assert_eq!(pad_to_uniform(&backend, &ours.config, &ours.weights), (theirs.config, theirs.weights));
    let corpus = record["identity"]["corpus"].as_str().unwrap();
    let tokenizer = desk.path().join("results/tiny/store").join(corpus).join("tokenizer.json");
    let tokens = |path| {
        Tokenizer::from_json(&fs::read_to_string(path).unwrap()).unwrap().encode("The sun shines.").unwrap()
    };
    assert_eq!(tokens(desk.path().join("pruned/tokenizer.json")), tokens(tokenizer));

    // For llama.cpp the same, by the run's own name; the licence that is named is found again.
    let licensed = export(&[name, "--out", "run.gguf", "--source-licence", "mit", "--name", "Pruned"]);
    assert!(licensed.contains("exit code 0"), "{licensed}");
    assert_eq!(load("run.gguf").licence.as_deref(), Some("mit"));
    let again = desk.show(&["export", "run.gguf", "--out", "again"]);
    assert!(again.contains("exit code 0"), "{again}");
    assert_eq!(load("again").licence.as_deref(), Some("mit"));

    let faults = [
        export(&["pruning_awar", "--out", "out"]),
        export(&["one_shot/7", "--out", "out"]),
        desk.show(&["export", "experiments/tiny", "--results", "x", "--out", "out"]),
    ];
    insta::assert_snapshot!("run_faults", faults.join("\n"));
    fs::remove_dir_all(desk.path().join("results/tiny/store").join(stage)).unwrap();
    let gone = export(&["pruning_aware/1", "--out", "out"]);
    assert!(gone.contains("the model of `pruning_aware/1` is not in"), "{gone}");
    assert!(!desk.path().join("out").exists());
}
