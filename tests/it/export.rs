//! `efficientllm export` as people meet it.
use super::cli::Desk;
use super::eval::{desk, model};
use std::fs;

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
    assert_eq!(fs::read_to_string(desk.path().join("hf/tokenizer_config.json")).unwrap(), beside);
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
