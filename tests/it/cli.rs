//! The program as people meet it: exit code, standard output and standard error of every command, and of every fault
//! that a user can make.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const EXAMPLE: &str = include_str!("../../tests/fixtures/example.toml");

/// A folder with experiments; the program runs in it, so that paths in its messages are short.
pub struct Desk(tempfile::TempDir);

impl Desk {
    pub fn new() -> Self {
        Desk(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes `experiments/<name>/experiment.toml`.
    pub fn experiment(&self, name: &str, text: &str) -> PathBuf {
        let folder = self.path().join("experiments").join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("experiment.toml"), text).unwrap();
        folder
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_efficientllm"));
        // Width and logging of the terminal that the tests run in must not matter.
        command.current_dir(self.path()).args(arguments).env("COLUMNS", "100").env_remove("RUST_LOG");
        // No test reaches a network: there is a hub where nothing listens, and a cache of its own.
        command.env("HF_ENDPOINT", "http://127.0.0.1:9").env("HF_HUB_CACHE", "hub");
        command
    }

    /// Exit code, standard output and standard error, with what differs from machine to machine left out.
    pub fn show(&self, arguments: &[&str]) -> String {
        self.shown(arguments, self.command(arguments).output().unwrap())
    }

    fn shown(&self, arguments: &[&str], output: Output) -> String {
        let text = |bytes: &[u8]| {
            String::from_utf8_lossy(bytes).replace(&self.path().display().to_string(), "<desk>")
        };
        let code = output.status.code().map_or("killed".to_string(), |code| code.to_string());
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        format!(
            "$ efficientllm {}\nexit code {code}\n--- stdout\n{out}--- stderr\n{err}",
            arguments.join(" ")
        )
    }
}

/// The example with pieces of text replaced.
pub fn example_with(changes: &[(&str, &str)]) -> String {
    changes.iter().fold(EXAMPLE.to_string(), |text, (from, to)| {
        assert!(text.contains(from), "the example no longer contains {from}");
        text.replacen(from, to, 1)
    })
}

/// `text` with the run times in `… done in 1.23 s; …` left out.
pub fn without_times(text: &str) -> String {
    let line = |line: &str| match line.split_once(" done in ") {
        Some((before, after)) => {
            let end = after.find(['[', ';', ',']).unwrap_or(after.len());
            format!("{before} done in <time>{}", &after[end..])
        }
        None => line.to_string(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn help_names_every_command_and_flag() {
    let desk = Desk::new();
    insta::assert_snapshot!("help", desk.show(&["--help"]));
    insta::assert_snapshot!("help_run", desk.show(&["run", "--help"]));
    insta::assert_snapshot!("no_command", desk.show(&[]));
    insta::assert_snapshot!("unknown_command", desk.show(&["rum"]));
    insta::assert_snapshot!("no_experiment", desk.show(&["plan"]));
}

#[test]
fn plan_tells_runs_and_costs_before_anything_is_spent() {
    let desk = Desk::new();
    desk.experiment("example", EXAMPLE);
    let shown = desk.show(&["plan", "experiments/example"]);
    // Speed is measured: only that it is told can be held fixed.
    let shown: Vec<String> = shown
        .lines()
        .map(|line| match line.starts_with("  time") {
            true => "  time    <measured>".to_string(),
            false => line.to_string(),
        })
        .collect();
    assert!(shown.iter().all(|line| line.chars().count() <= 80), "a terminal has 80 columns");
    insta::assert_snapshot!("plan", shown.join("\n"));
    let plan: serde_json::Value =
        serde_json::from_slice(&fs::read(desk.path().join("results/example/plan.json")).unwrap()).unwrap();
    assert_eq!(plan["runs"].as_array().unwrap().len(), 18);
    assert_eq!(plan["comparisons"][0]["baseline"], "one_shot_recover");
}

#[test]
fn faults_of_the_file_come_all_at_once() {
    let desk = Desk::new();
    let text = example_with(&[
        ("seeds = [1, 2, 3]", "seeds = [1, 2, 1]"),
        ("kind = \"auto\"", "knid = \"auto\""),
        ("num_kv_heads = 2", "num_kv_heads = 3"),
        ("batch_tokens = 4096", "batch_tokens = 5000"),
        ("learning_rate = 3e-3", "learning_rate = \"fast\""),
        ("saliency = \"taylor_mix\"", "saliency = \"taylr1\""),
        ("types = [\"ffn\", \"head\", \"stem\"]", "types = [\"ffn\", \"heads\", \"stem\"]"),
        ("\"winogrande\"]", "\"winogrand\"]"),
        ("baseline = \"one_shot_recover\"", "baseline = \"one_shot_recovery\""),
    ]);
    desk.experiment("broken", &text);
    insta::assert_snapshot!("faults", desk.show(&["plan", "experiments/broken"]));
    assert!(!desk.path().join("results").exists(), "a wrong request leaves nothing behind");
}

#[test]
fn impossible_targets_groups_and_grids_name_what_is_possible() {
    let desk = Desk::new();
    desk.experiment("larger", &example_with(&[("{ ratio = 0.5 }", "{ params = 2_000_000 }")]));
    insta::assert_snapshot!("target_larger_than_model", desk.show(&["run", "experiments/larger"]));
    desk.experiment("smaller", &example_with(&[("{ ratio = 0.5 }", "{ ratio = 0.001 }")]));
    insta::assert_snapshot!("target_below_floor", desk.show(&["run", "experiments/smaller"]));
    desk.experiment("block", &example_with(&[("scope = \"uniform\"", "scope = \"uniform\"\nblock = 48")]));
    insta::assert_snapshot!("impossible_block", desk.show(&["run", "experiments/block"]));
    let axes = "\n[axes]\n\"prune.saliency\" = [\"random\", \"tailor1\"]\n\"budget.tokens\" = [819_200, 1_000_000]\nseeds = [1, 2]\n";
    desk.experiment("grid", &format!("{EXAMPLE}{axes}"));
    insta::assert_snapshot!("faults_of_axes", desk.show(&["plan", "experiments/grid"]));
}

#[test]
fn what_is_not_there_is_told_with_its_neighbour() {
    let desk = Desk::new();
    desk.experiment("example", EXAMPLE);
    insta::assert_snapshot!("misspelt_experiment", desk.show(&["run", "experiments/exampel"]));
    insta::assert_snapshot!("missing_experiment", desk.show(&["run", "elsewhere"]));
    insta::assert_snapshot!("report_without_results", desk.show(&["report", "experiments/example"]));
    let files = "{ kind = \"jsonl\", train = [\"a.jsonl\"], validation = [\"b.jsonl\"] }";
    let world = "{ kind = \"world\", seed = 0, documents = 40_000 }";
    desk.experiment("files", &example_with(&[(world, files)]));
    insta::assert_snapshot!("missing_corpus", desk.show(&["run", "experiments/files"]));
    desk.experiment("syntax", &example_with(&[("[model]", "[model")]));
    insta::assert_snapshot!("syntax", desk.show(&["run", "experiments/syntax"]));
    fs::write(desk.experiment("binary", "").join("experiment.toml"), [0xff, 0xfe, 0x00]).unwrap();
    insta::assert_snapshot!("not_text", desk.show(&["run", "experiments/binary"]));
}

#[test]
fn status_of_an_experiment_that_was_never_run() {
    let desk = Desk::new();
    desk.experiment("example", &example_with(&[("seeds = [1, 2, 3]", "seeds = [1]")]));
    insta::assert_snapshot!("status_before_run", desk.show(&["status", "experiments/example"]));
}

#[test]
fn a_results_folder_that_cannot_be_written_is_a_wrong_request() {
    let desk = Desk::new();
    desk.experiment("example", EXAMPLE);
    // A file where the folder should be: refused whoever runs the tests, root included.
    fs::write(desk.path().join("taken"), "").unwrap();
    insta::assert_snapshot!(
        "unwritable",
        desk.show(&["run", "experiments/example", "--results", "taken/here"])
    );
}

/// Two processes may share a folder, but not with two plans.
#[test]
fn two_plans_are_not_carried_out_in_one_folder() {
    let desk = Desk::new();
    desk.experiment("example", EXAMPLE);
    let store = efficientllm::run::Store::at(&desk.path().join("results/example"));
    store.prepare().unwrap();
    // This test's own process is at work there on something else.
    let _claims = store.enter("another plan").unwrap();
    let shown = desk.show(&["run", "experiments/example"]);
    assert!(shown.contains("exit code 2"), "{shown}");
    assert!(
        shown.contains(" carries out another plan of this experiment in `results/example`\nhint: "),
        "{shown}"
    );
}

#[test]
fn cuda_without_a_device_names_the_remedy() {
    if efficientllm::tensor::cuda::probe::CudaProbe::new().is_usable() {
        eprintln!("skipped: CUDA can run here");
        return;
    }
    let desk = Desk::new();
    desk.experiment("cuda", &example_with(&[("kind = \"auto\"", "kind = \"cuda\"")]));
    let shown = desk.show(&["run", "experiments/cuda"]);
    assert!(shown.contains("exit code 2") && shown.contains("engine.kind = \"cuda\" cannot run"), "{shown}");
    assert!(shown.contains("hint: set `kind = \"auto\"`"), "{shown}");
}

#[test]
fn doctor_says_something_about_everything() {
    let desk = Desk::new();
    let shown = desk.show(&["doctor"]);
    assert!(shown.contains("exit code 0"), "{shown}");
    for what in ["processor", "memory", "disk", "CUDA driver", "NVRTC", "cuBLASLt", "engine"] {
        assert!(shown.contains(what), "no {what} in {shown}");
    }
}
