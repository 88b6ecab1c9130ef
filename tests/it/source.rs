//! Experiments that start from a model on disk: a tiny random one, from its folder to the tables.
use super::cli::Desk;
use super::eval::model;
use std::collections::HashMap;
use std::fs;
use std::path::Path;

const FROM_DISK: &str = r#"
question = "Does a run start from a model on disk?"
seeds = [1, 2]

[engine]
kind = "cpu"
workers = 2

[data]
corpus = { kind = "world", seed = 0, documents = 300 }
tokenizer = { kind = "model" }
context_length = 64

[source]
model = "../../model"

[train]
batch_tokens = 128
micro_batch = 1
learning_rate = 1e-3

[prune]
target = { non_embedding_ratio = 0.5 }
saliency = "taylor1"
schedule = { kind = "line", prune_tokens = 256 }
calibration_tokens = 128

[budget]
tokens = 512

[recovery]
subtract_calibration = true

[eval]
tasks = ["piqa"]
items = 3
validation_tokens = 128

[latency]
prompt_tokens = 6
decode_tokens = 3
repeats = 2

[[arms]]
arm = "source"

[[arms]]
arm = "pruning_aware"

[[arms]]
arm = "one_shot_recover"

[[arms]]
arm = "direct"
shape = "searched"
budget = "recovery_tokens"
"#;

/// Rows of a table by column.
fn rows(results: &Path, table: &str) -> Vec<HashMap<String, String>> {
    let mut reader = csv::Reader::from_path(results.join(table)).unwrap();
    reader.deserialize().map(|row| row.unwrap()).collect()
}

fn desk() -> Desk {
    let desk = Desk::new();
    model(&desk, "model", 3);
    desk.experiment("pruned", FROM_DISK);
    desk
}

fn run(desk: &Desk, more: &[&str]) -> String {
    let arguments = [&["run", "experiments/pruned", "--quiet"], more].concat();
    let shown = desk.show(&arguments);
    assert!(shown.contains("exit code 0"), "{shown}");
    shown
}

#[test]
fn a_model_on_disk_is_pruned_scored_and_timed() {
    let desk = desk();
    run(&desk, &[]);
    let results = desk.path().join("results/pruned");
    let runs = rows(&results, "runs.csv");
    assert_eq!(runs.len(), 1 + 2 * 3);
    // 16·(1 + 2·(2 + 2·16 + 2·8 + 3·40)) parameters beside an embedding of 257·16.
    let (all, embedding) = (16 * (1 + 2 * 170) + 257 * 16, 257 * 16);
    for run in &runs {
        let number = |column: &str| run[column].parse::<u64>().unwrap();
        if run["arm"] == "source" {
            assert_eq!(number("params"), all);
            assert_eq!([&run["tokens"], &run["total_tokens"], &run["flops"], &run["total_flops"]], [""; 4]);
        } else {
            assert_eq!(number("target_params"), (all - embedding) / 2);
            assert!(number("params") < all && number("tokens") == 512);
            // What the source has seen nobody knows; `direct` does not start from it.
            assert_eq!(run["total_tokens"].is_empty(), !run["arm"].starts_with("direct"));
        }
        assert!(!run["bits_per_byte"].is_empty());
    }
    let latency = rows(&results, "latency.csv");
    assert_eq!(latency.len(), 2 * runs.len());
    assert!(latency.iter().all(|row| row["seconds"].parse::<f64>().unwrap() > 0.0 && row["repeats"] == "2"));
    let report = fs::read_to_string(results.join("report.md")).unwrap();
    assert!(report.contains("## Latency") && report.contains("prefill (tokens/s)"), "{report}");
    let plan = fs::read_to_string(results.join("plan.json")).unwrap();
    assert!(
        !plan.contains(&desk.path().display().to_string()),
        "the plan tells where this machine keeps files"
    );
    assert!(desk.show(&["run", "experiments/pruned"]).contains("nothing to do: all 7 runs are done"));
}

#[test]
fn the_card_of_what_is_made_of_a_model_names_that_model_and_its_licence() {
    let desk = desk();
    fs::write(desk.path().join("model/README.md"), "---\nlicense: apache-2.0\n---\n").unwrap();
    run(&desk, &[]);
    let card = |run: &str| {
        let shown = desk.show(&["export", "experiments/pruned", run, "--out", "exported"]);
        assert!(shown.contains("exit code 0"), "{shown}");
        let card = fs::read_to_string(desk.path().join("exported/README.md")).unwrap();
        fs::remove_dir_all(desk.path().join("exported")).unwrap();
        card
    };
    let pruned = card("pruning_aware/1");
    assert!(
        pruned.contains("license: \"apache-2.0\"") && pruned.contains("model (stage source-"),
        "{pruned}"
    );
    let direct = card("direct_searched_recovery_tokens/2");
    assert!(direct.contains("license: \"unknown\""), "{direct}");
}

#[test]
fn a_model_elsewhere_is_the_same_model_and_its_tokens_can_be_told() {
    let desk = desk();
    run(&desk, &[]);
    fs::rename(desk.path().join("model"), desk.path().join("moved")).unwrap();
    let absent = desk.show(&["status", "experiments/pruned"]);
    assert!(
        absent.contains("exit code 2") && absent.contains("nothing to read at `../../model`"),
        "{absent}"
    );
    // Reports are made from the tables alone.
    assert!(desk.show(&["report", "experiments/pruned"]).contains("exit code 0"));
    let again = desk.show(&["run", "experiments/pruned", "--set", "source.model=moved"]);
    assert!(again.contains("nothing to do: all 7 runs are done"), "{again}");
    run(&desk, &["--set", "source.model=moved", "--set", "source.tokens_seen=1000", "--results", "told"]);
    for run in rows(&desk.path().join("told"), "runs.csv") {
        let expected = match run["arm"].as_str() {
            "source" => "1000",
            "direct_searched_recovery_tokens" => "512",
            _ => "1512",
        };
        assert_eq!(run["total_tokens"], expected, "{}", run["arm"]);
    }
}

#[test]
fn what_is_no_source_is_a_fault_of_its_key() {
    let desk = desk();
    fs::write(desk.path().join("notes.txt"), "no model").unwrap();
    model(&desk, "bare", 3);
    fs::remove_file(desk.path().join("bare/tokenizer.json")).unwrap();
    let of = |setting: &str| desk.show(&["plan", "experiments/pruned", "--set", setting]);
    let shown = [of("source.model=notes.txt"), of("source.model=bare"), of("source.model=nowhere")];
    insta::assert_snapshot!("source_faults", shown.join("\n"));
}
