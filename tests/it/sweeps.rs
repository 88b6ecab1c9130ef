//! What there is beside `run` for a sweep: parts of it, its failures, its leftovers, and workers elsewhere.
use crate::cli::Desk;
use std::fs;
use std::process::{Command, Stdio};

const SMALL: &str = include_str!("../fixtures/faults.toml");

/// Two arms of two seeds.
fn desk() -> Desk {
    let desk = Desk::new();
    let head = &SMALL[..SMALL.find("[[arms]]").unwrap()];
    let arms = "[[arms]]\narm = \"source\"\n\n[[arms]]\narm = \"one_shot\"\n";
    desk.experiment("small", &format!("{}{arms}", head.replace("workers = 2", "workers = 1")));
    desk
}

/// Exit code, and standard output and error, of a command on the experiment's results `r`.
fn told(desk: &Desk, command: &str, options: &[&str]) -> (i32, String) {
    let (command, positional) = command.split_once(' ').unwrap_or((command, ""));
    let positional = positional.split(' ').filter(|word| !word.is_empty());
    let mut words = vec![command, "experiments/small"];
    words.extend(positional);
    words.extend(["--results", "r"]);
    let output = desk.command(&[&words[..], options].concat()).stdin(Stdio::null()).output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), text)
}

/// Runs that are done, that failed, and that are begun or missing.
fn counts(desk: &Desk, options: &[&str]) -> [u64; 3] {
    let (_, text) = told(desk, "status", &[&["--json"], options].concat());
    let page: serde_json::Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let count = |name: &str| page["counts"][name].as_u64().unwrap();
    [count("done"), count("failed"), count("begun") + count("missing")]
}

#[test]
fn a_worker_takes_what_it_is_asked_for_and_leaves_when_its_time_is_over() {
    let desk = desk();
    let (code, text) = told(&desk, "worker", &["--only", "source/1"]);
    assert_eq!((code, counts(&desk, &[])), (0, [1, 0, 3]), "{text}");
    let (code, text) = told(&desk, "worker", &["--only", "sorce/1"]);
    assert!(code == 2 && text.contains("did you mean `source/1`?"), "{text}");
    let (code, text) = told(&desk, "worker", &["--only", "source/x"]);
    assert!(code == 2 && text.contains("`x` is no seed"), "{text}");
    let (code, text) = told(&desk, "worker", &["--max-hours", "soon"]);
    assert_eq!(code, 2, "{text}");
    let (code, text) = told(&desk, "worker", &["--max-hours", "nan"]);
    assert!(code == 2 && text.contains("is no time"), "{text}");
    let (code, text) = told(&desk, "worker", &["--max-hours", "1e-9"]);
    assert!(code == 1 && text.contains("interrupted; run again to go on"), "{text}");
    let (code, text) = told(&desk, "worker", &["--expect-plan", &"0".repeat(64)]);
    assert!(code == 2 && text.contains("another plan than the one that was submitted"), "{text}");
    // An arm of all seeds, and then what is left.
    let (code, text) = told(&desk, "worker", &["--only", "source"]);
    assert_eq!((code, counts(&desk, &[])), (0, [2, 0, 2]), "{text}");
    let (code, text) = told(&desk, "worker", &[]);
    assert_eq!((code, counts(&desk, &[])), (0, [4, 0, 0]), "{text}");
}

#[test]
fn what_failed_is_told_and_tried_again_by_who_asks_for_it_alone() {
    let desk = desk();
    let diverges = ["--set", "train.learning_rate=1e30"];
    let with = |more: &[&'static str]| [&diverges[..], more].concat();
    let (code, text) = told(&desk, "worker", &with(&["--only", "source/1"]));
    assert!(code == 1 && text.contains("training diverged"), "{text}");
    assert_eq!(counts(&desk, &diverges), [0, 1, 3]);
    let notes = || -> Vec<Vec<u8>> {
        let mut notes: Vec<_> = fs::read_dir(desk.path().join("r/store/failed"))
            .unwrap()
            .flatten()
            .map(|entry| (entry.path(), fs::read(entry.path()).unwrap()))
            .collect();
        notes.sort();
        notes.into_iter().map(|(_, note)| note).collect()
    };
    let first = notes();
    let (code, text) = told(&desk, "status", &with(&["--failed"]));
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("failed   ") && text.contains("training diverged\n    hint: lower"), "{text}");
    assert!(!text.contains("  missing") && text.contains("`efficientllm retry experiments/small`"), "{text}");
    let (code, text) = told(&desk, "status", &with(&["--summary"]));
    assert!(code == 1 && text.contains("0 done, 0 running, 1 failed, 0 begun, 3 missing\n"), "{text}");
    assert!(!text.contains("source-s1-"), "{text}");
    let (code, text) = told(&desk, "why source/1", &diverges);
    assert!(code == 0 && text.contains("failed: ") && text.contains("training diverged"), "{text}");
    // Of many workers each would try it again.
    let (code, text) = told(&desk, "worker", &with(&["--only", "source/1"]));
    assert_eq!((code, notes()), (1, first.clone()), "{text}");
    // Nothing else is begun.
    let (code, text) = told(&desk, "retry", &diverges);
    assert_eq!((code, counts(&desk, &diverges)), (1, [0, 1, 3]), "{text}");
    let second = notes();
    assert!(second.len() == first.len() && second != first, "it was not tried again");
    let (code, text) = told(&desk, "retry", &with(&["--only", "source/1"]));
    assert!(code == 2 && text.contains("leave out `--only`"), "{text}");
    // Under the file's own learning rate nothing has failed.
    let (code, text) = told(&desk, "retry", &[]);
    assert!(code == 0 && text.contains("nothing to do"), "{text}");
}

#[test]
fn what_nothing_names_is_deleted_once_somebody_says_so() {
    let desk = desk();
    assert_eq!(told(&desk, "worker", &["--only", "source/1"]).0, 0);
    let (code, text) = told(&desk, "gc", &[]);
    assert!(code == 0 && text.contains("nothing to delete"), "{text}");
    let other = ["--set", "eval.items=1"];
    let evaluations = || {
        let entries = fs::read_dir(desk.path().join("r/store")).unwrap().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("eval-")).count()
    };
    let (code, text) = told(&desk, "gc", &other);
    assert!(code == 0 && text.contains("kB  eval-source-s1-"), "{text}");
    assert!(text.contains("in 1 folder that the experiment does not name"), "{text}");
    assert!(text.contains("nothing is deleted\nhint: `--yes`") && evaluations() == 1, "{text}");
    // On a terminal it is asked.
    let program = env!("CARGO_BIN_EXE_efficientllm");
    let asked = format!("{program} gc experiments/small --results r --set eval.items=1");
    for (answer, left) in [("n", 1), ("y", 0)] {
        let mut child = match Command::new("script")
            .args(["-qec", &asked, "/dev/null"])
            .current_dir(desk.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
        {
            Ok(child) => child,
            Err(_) => {
                let (code, text) = told(&desk, "gc", &[&other[..], &["--yes"]].concat());
                assert!(code == 0 && text.contains("deleted"), "{text}");
                break;
            }
        };
        std::io::Write::write_all(child.stdin.as_mut().unwrap(), format!("{answer}\n").as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("delete them? [y/N]"), "{text}");
        assert_eq!(evaluations(), left, "{text}");
    }
    assert_eq!(evaluations(), 0);
    let (code, text) = told(&desk, "why source/1", &other);
    assert!(code == 0 && text.contains("is done"), "the model is still named: {text}");
    let (_, text) = told(&desk, "gc", &other);
    assert!(text.contains("nothing to delete"), "{text}");
}

/// A machine without a device plans for those that have one: the same plan from whichever machine, and a device for each rank.
#[test]
fn workers_on_devices_are_submitted_from_a_machine_without_one() {
    let desk = desk();
    let submitted = |options: &[&str]| {
        let options = [&["--slurm", "--workers", "2", "--dry-run"], options].concat();
        told(&desk, "submit", &options)
    };
    let (code, text) = submitted(&["--engine", "cuda", "--set", "engine.data_parallel=2"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("#SBATCH --gpus-per-node=2\n") && text.contains("#SBATCH --array=0-1\n"), "{text}");
    assert!(text.contains("engine.kind=\"cuda\"") && text.contains("engine.data_parallel=2"), "{text}");
    let hash = |text: &str| -> String {
        let rest = text.split_once("--expect-plan ").unwrap().1;
        rest.split_whitespace().next().unwrap().to_string()
    };
    let again = submitted(&["--engine", "cuda", "--set", "engine.data_parallel=2"]).1;
    assert_eq!(hash(&again), hash(&text));
    let (_, alone) = submitted(&["--engine", "cuda"]);
    assert!(alone.contains("#SBATCH --gpus-per-node=1\n") && hash(&alone) != hash(&text), "{alone}");
    let (_, cpu) = submitted(&["--engine", "cpu"]);
    assert!(cpu.contains("#SBATCH --cpus-per-task=1\n") && !cpu.contains("gpus"), "{cpu}");
    let (code, text) = submitted(&["--set", "engine.kind=\"auto\""]);
    assert!(code == 2 && text.contains("give `--engine cuda` or `--engine cpu`"), "{text}");
    assert!(!desk.path().join("r").exists());
}

#[test]
fn scored_models_are_discarded_and_restored_and_no_table_changes() {
    let (desk, kept) = (desk(), desk());
    let models = |desk: &Desk, arm: &str| {
        let entries = fs::read_dir(desk.path().join("r/store")).unwrap().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(arm)).count()
    };
    let (code, text) = told(&desk, "run", &["--discard-models"]);
    assert_eq!((code, models(&desk, "source-"), models(&desk, "one_shot-")), (0, 2, 0), "{text}");
    let (code, text) = told(&kept, "run", &[]);
    assert_eq!((code, models(&kept, "one_shot-")), (0, 2), "{text}");
    let table = |desk: &Desk, name: &str| fs::read(desk.path().join("r").join(name)).unwrap();
    let tables = ["evals.csv", "tidy.csv", "comparisons.csv", "widths.csv"];
    assert!(tables.iter().all(|name| table(&desk, name) == table(&kept, name)));
    let (code, text) = told(&desk, "run", &["--discard-models"]);
    assert!(code == 0 && text.contains("nothing to do: all 4 runs are done"), "{text}");
    let (code, text) = told(&desk, "why one_shot/1", &[]);
    assert!(code == 0 && text.contains("was deleted, and is not needed"), "{text}");
    // What was done before is deleted as well, by either.
    let (code, text) = told(&kept, "gc", &["--models"]);
    assert!(code == 0 && text.contains("in 2 folders of models that were scored"), "{text}");
    assert_eq!(models(&kept, "one_shot-"), 2);
    let (code, text) = told(&kept, "gc", &["--models", "--yes"]);
    assert!(code == 0 && text.contains("deleted") && models(&kept, "one_shot-") == 0, "{text}");
    let (code, text) = told(&kept, "gc", &["--models"]);
    assert!(code == 0 && text.contains("nothing to delete: the experiment needs everything"), "{text}");
    // One that is wanted after all.
    let exported = |desk: &Desk| {
        let words = ["export", "experiments/small", "one_shot/1", "--results", "r", "--out", "out"];
        let output = desk.command(&words).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, text) = exported(&desk);
    assert!(code == 2 && text.contains("the model of `one_shot/1` is not in "), "{text}");
    let hint = text.split_once("hint: `efficientllm ").unwrap().1.split_once('`').unwrap().0;
    let environment = table(&desk, "environment.json");
    let words: Vec<&str> = hint.split(' ').collect();
    let output = desk.command(&words).output().unwrap();
    assert!(output.status.success(), "{hint}: {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!((models(&desk, "one_shot-"), table(&desk, "environment.json")), (1, environment));
    let (code, text) = exported(&desk);
    assert_eq!(code, 0, "{text}");
    assert!(tables.iter().all(|name| table(&desk, name) == table(&kept, name)));
    let (code, text) = told(&desk, "run", &["--discard-models", "--restore-models"]);
    assert!(code == 2 && text.contains("cannot be used with"), "{text}");
}

/// As results of a repository are: a new store has none of their rows.
#[test]
fn results_whose_store_is_not_there_are_kept_before_others_take_their_place() {
    let desk = desk();
    let rows = |folder: &str| {
        let text = fs::read_to_string(desk.path().join(folder).join("runs.csv")).unwrap();
        text.lines().count() - 1
    };
    assert_eq!((told(&desk, "run", &[]).0, rows("r")), (0, 4));
    fs::remove_dir_all(desk.path().join("r/store")).unwrap();
    let (code, text) = told(&desk, "run", &["--only", "source/1"]);
    assert_eq!((code, rows("r"), rows("r/earlier")), (0, 1, 4), "{text}");
    assert!(text.contains("they are kept in `r/earlier`"), "{text}");
    let (code, text) = told(&desk, "run", &[]);
    assert_eq!((code, rows("r"), rows("r/earlier")), (0, 4, 4), "{text}");
    assert!(!text.contains("are kept in") && !desk.path().join("r/earlier.2").exists(), "{text}");
    let same = |name: &str| {
        let read = |folder: &str| fs::read(desk.path().join(folder).join(name)).unwrap();
        read("r") == read("r/earlier")
    };
    assert!(same("evals.csv") && same("tidy.csv"));
}
