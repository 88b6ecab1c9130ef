//! Whatever happens to a run, what it leaves is whole, and running again ends in the same numbers.
use crate::cli::Desk;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Small enough to be done in seconds without optimisation, with every arm that a kill could hit.
pub const TINY: &str = include_str!("../fixtures/tiny.toml");

/// The arms that it has not, each with what is of its own: stages, branches, moments that are carried over.
const ARMS: &str = include_str!("../fixtures/arms.toml");

/// Columns that two runs of one plan may differ in.
const TIMES: [&str; 2] = ["seconds", "peak_memory_bytes"];

/// All result tables without the columns of time and memory.
fn tables(results: &Path) -> Vec<(String, Vec<Vec<String>>)> {
    let names = ["runs", "evals", "items", "curves", "prune", "widths", "ledger"];
    let table = |name: &str| {
        let path = results.join(format!("{name}.csv"));
        let mut reader =
            csv::Reader::from_path(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let header = reader.headers().unwrap().clone();
        let rows = reader.records().map(|row| {
            let row = row.unwrap();
            header
                .iter()
                .zip(row.iter())
                .filter(|(name, _)| !TIMES.contains(name))
                .map(|(_, cell)| cell.into())
                .collect()
        });
        (name.to_string(), rows.collect())
    };
    names.iter().map(|name| table(name)).collect()
}

pub fn assert_same_tables(found: &Path, expected: &Path) {
    for ((name, found), (_, expected)) in tables(found).into_iter().zip(tables(expected)) {
        assert_eq!(found.len(), expected.len(), "rows of {name}.csv");
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found, expected, "a row of {name}.csv");
        }
    }
}

/// Everything under a final name is whole: each stage has its `stage.json`, each table its header, and nothing that
/// was begun is left beside them by a process that ended in order.
pub fn assert_whole(results: &Path) {
    for entry in fs::read_dir(results.join("store")).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(!name.starts_with(".tmp-"), "{name} was left in the store");
        assert!(
            ["partial", "failed", "checks", "damaged", "claims", "workers", "work"].contains(&name.as_str())
                || entry.path().join("stage.json").exists(),
            "{name} is half a stage"
        );
    }
    for entry in fs::read_dir(results).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(!name.starts_with(".tmp-"), "{name} was left in the results");
    }
}

pub fn run_to_the_end(desk: &Desk, results: &str) {
    let output =
        desk.command(&["run", "experiments/tiny", "--results", results, "--quiet"]).output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert_whole(&desk.path().join(results));
}

/// Seconds after which a run is hit, spread over the length of a whole run by the golden ratio.
fn moments(count: u32, whole: Duration) -> Vec<Duration> {
    (1..=count).map(|i| whole.mul_f64((f64::from(i) * 0.618_033_988_749_895).fract())).collect()
}

fn undisturbed(desk: &Desk) -> Duration {
    undisturbed_of(desk, TINY)
}

fn undisturbed_of(desk: &Desk, text: &str) -> Duration {
    desk.experiment("tiny", text);
    let started = std::time::Instant::now();
    run_to_the_end(desk, "undisturbed");
    started.elapsed()
}

#[test]
fn killed_at_any_moment_it_resumes_to_the_same_numbers() {
    drop(killed_and_resumed(TINY));
}

#[test]
fn every_way_to_start_prune_and_train_resumes_to_the_same_numbers() {
    let desk = killed_and_resumed(ARMS);
    let results = desk.path().join("killed");
    // Tokens of source, calibration and training: a branch starts at 4/5 of the source, whole batches; calibration sets of 512
    // tokens come on top; one schedule over source and recovery shortens neither.
    let cells = |table: &str, columns: &[&str]| -> Vec<Vec<String>> {
        let mut reader = csv::Reader::from_path(results.join(table)).unwrap();
        let header = reader.headers().unwrap().clone();
        let place = |name: &&str| header.iter().position(|column| column == *name).unwrap();
        let places: Vec<usize> = columns.iter().map(place).collect();
        reader
            .records()
            .map(|row| places.iter().map(|at| row.as_ref().unwrap()[*at].to_string()).collect())
            .collect()
    };
    let ledger = cells("ledger.csv", &["arm", "part", "tokens"]);
    let tokens = |arm: &str| {
        ["source", "saliency", "train"].map(|part| {
            let row = ledger.iter().find(|row| row[0] == arm && row[1] == part);
            row.map_or(0, |row| row[2].parse::<u64>().unwrap())
        })
    };
    for (arm, expected) in [
        ("source_continued", [6400, 0, 4096]),
        ("pruning_aware", [6400, 0, 4096]),
        ("warmed_up_again", [8192, 512, 4096]),
        ("iterative_3", [6400, 3 * 512, 4096]),
        ("continued", [8192, 2 * 512, 4096]),
        ("direct_source_shape_total_tokens_with_0.5_of_source", [0, 0, 4096 + 4096]),
        ("one_shot_recover_at_widths", [8192, 512, 4096]),
        ("uneven", [8192, 512, 0]),
        ("uneven_while_training", [8192, 0, 4096]),
        ("uneven_in_stages", [6400, 2 * 512, 4096]),
    ] {
        assert_eq!(tokens(arm), expected, "{arm}");
    }
    let widths = cells(
        "widths.csv",
        &["arm", "layer", "hidden_size", "num_heads", "num_kv_heads", "intermediate_size"],
    );
    let of = |arm: &str| -> Vec<Vec<String>> {
        widths.iter().filter(|row| row[0] == arm).map(|row| row[1..].to_vec()).collect()
    };
    for (arm, other) in [
        ("one_shot_recover_at_widths", "pruning_aware"),
        ("uneven_while_training", "uneven"),
        ("uneven_in_stages", "uneven"),
    ] {
        assert_eq!(of(arm), of(other), "{arm}");
    }
    assert_ne!(of("uneven")[0][1..], of("uneven")[1][1..], "layers lose groups one by one");
}

fn killed_and_resumed(text: &str) -> Desk {
    let desk = Desk::new();
    let whole = undisturbed_of(&desk, text);
    let mut kills = 0;
    for moment in moments(8, whole.mul_f64(0.5)) {
        let mut child = desk
            .command(&["run", "experiments/tiny", "--results", "killed", "--quiet"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(moment);
        kills += u32::from(child.try_wait().unwrap().is_none());
        // SIGKILL: nothing can be tidied up.
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(kills >= 2, "the runs were over before they could be killed");
    run_to_the_end(&desk, "killed");
    assert_same_tables(&desk.path().join("killed"), &desk.path().join("undisturbed"));
    desk
}

#[cfg(unix)]
#[test]
fn interrupted_it_saves_its_state_and_goes_on_from_it() {
    let desk = Desk::new();
    let whole = undisturbed(&desk);
    let mut resumable = 0;
    for moment in moments(6, whole.mul_f64(0.5)) {
        let child = desk
            .command(&["run", "experiments/tiny", "--results", "interrupted", "--quiet"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(moment);
        Command::new("kill").args(["-INT", &child.id().to_string()]).output().unwrap();
        let output = child.wait_with_output().unwrap();
        // Before the handler is set the signal ends the process; after the last run there is nothing to interrupt.
        if output.status.code() == Some(1) {
            assert!(String::from_utf8_lossy(&output.stdout).contains("run again to go on"));
            assert_whole(&desk.path().join("interrupted"));
            let partial = fs::read_dir(desk.path().join("interrupted/store/partial")).unwrap().flatten();
            resumable += partial.filter(|entry| fs::read_dir(entry.path()).unwrap().next().is_some()).count();
        }
    }
    assert!(resumable > 0, "no interruption left a checkpoint");
    run_to_the_end(&desk, "interrupted");
    assert_same_tables(&desk.path().join("interrupted"), &desk.path().join("undisturbed"));
}

#[test]
fn results_do_not_depend_on_workers_or_threads() {
    let desk = Desk::new();
    undisturbed(&desk);
    let arguments =
        ["run", "experiments/tiny", "--results", "other", "--quiet", "--workers", "3", "--threads", "2"];
    assert!(desk.command(&arguments).output().unwrap().status.success());
    assert_same_tables(&desk.path().join("other"), &desk.path().join("undisturbed"));
}

/// What a process left that was killed while it wrote, wherever it wrote, is cleared by the next.
#[test]
fn what_killed_processes_left_is_cleared() {
    let desk = Desk::new();
    desk.experiment("tiny", &TINY[..TINY.find("[[arms]]\narm = \"pruning_aware\"").unwrap()]);
    let results = desk.path().join("r");
    run_to_the_end(&desk, "r");
    let left =
        [".tmp-x", "figures/.tmp-x", "store/.tmp-x", "store/partial/.tmp-x", "store/claims/.tmpA1b2C3"];
    for name in left {
        fs::write(results.join(name), "half").unwrap();
    }
    run_to_the_end(&desk, "r");
    for name in left {
        assert!(!results.join(name).exists(), "{name}");
    }
}

#[test]
fn a_second_run_does_nothing_and_a_report_is_made_anew_to_the_byte() {
    let desk = Desk::new();
    undisturbed(&desk);
    let results = desk.path().join("undisturbed");
    let stamps = || {
        let mut stamps: Vec<_> = fs::read_dir(&results)
            .unwrap()
            .flatten()
            .filter(|entry| entry.path().is_file())
            .map(|entry| (entry.path(), entry.metadata().unwrap().modified().unwrap()))
            .collect();
        stamps.sort();
        stamps
    };
    let before = stamps();
    insta::assert_snapshot!(
        "second_run",
        desk.show(&["run", "experiments/tiny", "--results", "undisturbed"])
    );
    assert_eq!(stamps(), before, "a second run touched a file");
    let report = || fs::read(results.join("report.html")).unwrap();
    let first = report();
    let arguments = ["report", "experiments/tiny", "--results", "undisturbed"];
    assert!(desk.command(&arguments).output().unwrap().status.success());
    assert_eq!(report(), first);
    let status = desk.show(&["status", "experiments/tiny", "--results", "undisturbed"]);
    assert!(status.contains("6 done, 0 running, 0 failed, 0 begun, 0 missing"), "{status}");
}

/// A file cannot grow beyond some kilobytes, as on a disk that is full at a bad moment.
#[cfg(unix)]
#[test]
fn a_full_disk_is_told_and_loses_nothing() {
    let desk = Desk::new();
    undisturbed(&desk);
    for kilobytes in [0, 1, 8, 64] {
        let program = env!("CARGO_BIN_EXE_efficientllm");
        let script =
            format!("ulimit -f {kilobytes}; exec {program} run experiments/tiny --results full --quiet");
        let output = Command::new("bash").args(["-c", &script]).current_dir(desk.path()).output().unwrap();
        let text =
            String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(matches!(output.status.code(), Some(1 | 2)), "{kilobytes} kB: {text}");
        assert!(text.contains("File too large"), "{kilobytes} kB: {text}");
        assert!(!text.contains("SIGXFSZ"), "{kilobytes} kB: {text}");
        assert!(!text.contains("panicked"), "{kilobytes} kB: {text}");
        if desk.path().join("full/store").exists() {
            assert_whole(&desk.path().join("full"));
        }
    }
    run_to_the_end(&desk, "full");
    assert_same_tables(&desk.path().join("full"), &desk.path().join("undisturbed"));
}

/// What a model stage needs is checked before it is read, and made again where it is not whole.
#[test]
fn a_truncated_checkpoint_is_made_again() {
    let desk = Desk::new();
    undisturbed(&desk);
    copy_tree(&desk.path().join("undisturbed"), &desk.path().join("r"));
    let store = desk.path().join("r/store");
    let stage = |prefix: &str| {
        let mut entries = fs::read_dir(&store).unwrap().flatten().map(|entry| entry.path());
        entries.find(|path| path.file_name().unwrap().to_string_lossy().starts_with(prefix)).unwrap()
    };
    let weights = stage("source-s1").join("model/model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    fs::remove_dir_all(stage("one_shot-s1")).unwrap();
    fs::remove_dir_all(stage("eval-one_shot-s1")).unwrap();
    let shown = desk.show(&["run", "experiments/tiny", "--results", "r", "--quiet"]);
    insta::assert_snapshot!("truncated_checkpoint", crate::cli::without_times(&shown));
    assert_same_tables(&desk.path().join("r"), &desk.path().join("undisturbed"));
    assert!(store.join("damaged").read_dir().unwrap().next().is_some());
}

fn copy_tree(from: &Path, to: &Path) {
    let output = Command::new("cp").args(["-r".as_ref(), from.as_os_str(), to.as_os_str()]).output().unwrap();
    assert!(output.status.success());
}

/// Two specifications whose stages share an id by chance: each gets its own numbers.
#[test]
fn what_shares_an_id_does_not_share_its_results() {
    let desk = Desk::new();
    let source = TINY[..TINY.find("[[arms]]\narm = \"pruning_aware\"").unwrap()].to_string();
    let run = |results: &str, rate: &str| {
        desk.experiment("tiny", &source.replace("learning_rate = 3e-3", &format!("learning_rate = {rate}")));
        run_to_the_end(&desk, results);
        tables(&desk.path().join(results))
    };
    let fresh = run("fresh", "2e-3");
    run("one", "3e-3");
    // The stages of the first stand where those of the second would: ids are made equal, which 2^32 tries would find.
    let store = desk.path().join("one/store");
    let names = |store: &Path| -> Vec<String> {
        let names =
            fs::read_dir(store).unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap());
        names.filter(|name| name.contains("source-s1-")).collect()
    };
    for name in names(&desk.path().join("fresh/store")) {
        let slug = name.rsplit_once('-').unwrap().0;
        let own = names(&store).into_iter().find(|own| own.rsplit_once('-').unwrap().0 == slug).unwrap();
        fs::rename(store.join(own), store.join(name)).unwrap();
    }
    let again = run("one", "2e-3");
    let without_stage =
        |tables: Vec<(String, Vec<Vec<String>>)>| tables.into_iter().skip(1).collect::<Vec<_>>();
    assert_eq!(without_stage(again), without_stage(fresh));
}

/// Where a message cannot be written it is lost, and nothing else is.
#[cfg(target_os = "linux")]
#[test]
fn a_run_does_not_depend_on_anybody_listening() {
    let desk = Desk::new();
    undisturbed(&desk);
    for (name, redirection) in [("full", ">/dev/full 2>/dev/full"), ("closed", ">&- 2>&-")] {
        let program = env!("CARGO_BIN_EXE_efficientllm");
        let script =
            format!("exec {program} run experiments/tiny --results {name} --workers 2 {redirection}");
        let mut child = Command::new("bash").args(["-c", &script]).current_dir(desk.path()).spawn().unwrap();
        let code = child.wait().unwrap().code();
        assert!(matches!(code, Some(0 | 1)), "{name}: {code:?}");
        assert_same_tables(&desk.path().join(name), &desk.path().join("undisturbed"));
        assert!(desk.path().join(name).join("report.md").exists(), "{name}");
    }
    let script = format!(
        "set -o pipefail; {} status experiments/tiny --results full | head -c 1",
        env!("CARGO_BIN_EXE_efficientllm")
    );
    let output = Command::new("bash").args(["-c", &script]).current_dir(desk.path()).output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"));
    assert_eq!(output.status.code(), Some(0));
}

/// A report agrees with its tables, and tables with the plan, whatever was edited in between.
#[test]
fn a_report_is_never_of_another_plan_than_its_tables() {
    let desk = Desk::new();
    undisturbed(&desk);
    let results = desk.path().join("undisturbed");
    let page = || fs::read_to_string(results.join("report.md")).unwrap();
    // An edited title and one more comparison, with nothing to do.
    let more = format!(
        "title = \"Another title\"\n{TINY}\n[[comparisons]]\nvariant = \"pruning_aware\"\nbaseline = \"one_shot\"\nmetric = \"acc\"\n"
    );
    desk.experiment("tiny", &more);
    let note = desk.show(&["report", "experiments/tiny", "--results", "undisturbed"]);
    assert!(note.contains("differs from the experiment file in: title, comparisons\nhint: "), "{note}");
    let plan = desk.show(&["plan", "experiments/tiny", "--results", "undisturbed"]);
    assert!(
        plan.contains("plan not written: undisturbed/plan.json is that of the results beside it"),
        "{plan}"
    );
    assert!(!page().contains("Another title"));
    run_to_the_end(&desk, "undisturbed");
    assert!(page().contains("Another title") && page().contains("`pruning_aware` against `one_shot` on"));
    let note = desk.show(&["report", "experiments/tiny", "--results", "undisturbed"]);
    assert!(!note.contains("differs"), "{note}");
    // Other settings: the tables are of them alone, and so is the report.
    let fewer = ["run", "experiments/tiny", "--results", "undisturbed", "--quiet", "--set", "eval.items=2"];
    assert!(desk.command(&fewer).output().unwrap().status.success());
    let items = |page: &str| page.lines().find(|line| line.starts_with("| items |")).unwrap().to_string();
    assert!(items(&page()).contains("| 2 |"), "{}", items(&page()));
    // A report that was lost, or is that of before a kill, is made anew though nothing is to do.
    fs::write(results.join("report.md"), "old").unwrap();
    assert!(desk.command(&fewer).output().unwrap().status.success());
    assert!(page().contains("Another title"));
}

#[test]
fn a_folder_with_another_experiments_results_is_refused() {
    let desk = Desk::new();
    desk.experiment("other", TINY);
    desk.experiment("tiny", TINY);
    let source_only = ["--set", "arms=[{ arm = \"source\" }]", "--set", "comparisons=[]"];
    let first = [&["run", "experiments/other", "--results", "shared", "--quiet"][..], &source_only].concat();
    assert!(desk.command(&first).output().unwrap().status.success());
    let before = fs::read(desk.path().join("shared/runs.csv")).unwrap();
    for command in ["run", "plan"] {
        let shown = desk.show(&[command, "experiments/tiny", "--results", "shared"]);
        assert!(shown.contains("exit code 2"), "{shown}");
        assert!(
            shown.contains("`shared` holds results of the experiment `other`, this is `tiny`"),
            "{shown}"
        );
    }
    assert_eq!(fs::read(desk.path().join("shared/runs.csv")).unwrap(), before);
}

#[test]
fn data_that_cannot_be_used_fail_all_runs_with_the_place() {
    let desk = Desk::new();
    let folder = desk.experiment("tiny", TINY);
    let world = "{ kind = \"world\", seed = 0, documents = 300 }";
    assert!(TINY.contains(world));
    let files = "{ kind = \"jsonl\", train = [\"train.jsonl\"], validation = [\"valid.jsonl\"] }";
    fs::write(folder.join("valid.jsonl"), "{\"text\": \"Held out.\"}\n").unwrap();
    fs::write(folder.join("experiment.toml"), TINY.replace(world, files)).unwrap();
    let show = || crate::cli::without_times(&desk.show(&["run", "experiments/tiny", "--quiet"]));
    fs::write(folder.join("train.jsonl"), "{\"text\": \"A short text.\"}\n").unwrap();
    insta::assert_snapshot!("corpus_shorter_than_context", show());
    fs::write(folder.join("train.jsonl"), "{\"text\": \"One.\"}\n{\"text\": \"Two.\n").unwrap();
    insta::assert_snapshot!("broken_jsonl", show());
    fs::write(folder.join("train.jsonl"), "{\"txt\": \"One.\"}\n").unwrap();
    insta::assert_snapshot!("missing_field", show());
}
