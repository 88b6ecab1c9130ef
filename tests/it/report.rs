//! Tables of a paper from several places, the page of a sweep in progress, the schema of experiment files, completions.
use super::base::requirement;
use super::cli::Desk;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const TINY: &str = include_str!("../fixtures/tiny.toml");

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// What `efficientllm eval` leaves, with these scores.
fn evaluation(folder: &Path, model: &str) {
    fs::create_dir_all(folder).unwrap();
    let tasks = ["arc_challenge", "arc_easy", "boolq", "hellaswag", "openbookqa", "piqa", "winogrande"];
    let results: serde_json::Map<String, serde_json::Value> = tasks
        .iter()
        .map(|task| (task.to_string(), serde_json::json!({ "acc,none": 0.5, "acc_norm,none": 0.25 })))
        .collect();
    let all = serde_json::json!({ "results": results, "config": { "model": model, "model_num_parameters": 134_515_008 } });
    fs::write(folder.join("results.json"), all.to_string()).unwrap();
}

#[test]
fn one_command_puts_our_rows_below_published_ones() {
    let desk = Desk::new();
    evaluation(&desk.path().join("scored"), "/somewhere/secret/SmolLM2-135M.gguf");
    let [quickstart, published] =
        ["results/quickstart", "experiments/published/efficientllm_table2.csv"].map(|at| root().join(at));
    let [quickstart, published] = [&quickstart, &published].map(|path| path.to_str().unwrap());
    let arguments =
        ["report", quickstart, "scored", "--table", "paper", "--published", published, "--out", "tables"];
    let shown = desk.show(&arguments);
    assert!(shown.contains("exit code 0"), "{shown}");
    let read = |name: &str| fs::read_to_string(desk.path().join("tables").join(name)).unwrap();
    let page = read("paper_table.md");
    let at = |row: &str| page.find(row).unwrap_or_else(|| panic!("no {row} in {page}"));
    assert!(
        at("| Llama3.2-1B |") < at("| pruning aware |")
            && at("| SmolLM2-135M.gguf | 135M |") > at("| OPT-125M |")
    );
    assert!(page.contains("**60.75**") && !page.contains("secret"), "{page}");
    // acc_norm of three tasks and acc of four: (3 · 25 + 4 · 50) / 7.
    assert!(page.contains("| 39.3 |"), "{page}");
    let rows = read("paper_table.csv");
    assert_eq!(rows.lines().count(), 1 + 26 + 6 + 1, "{rows}");
    assert!(read("paper_table.html").contains("<th>model</th>"));
    assert!(read("paper_table.tex").contains("\\midrule"));
}

#[test]
fn faults_of_a_table_name_what_would_do() {
    let desk = Desk::new();
    fs::create_dir_all(desk.path().join("nothing")).unwrap();
    fs::write(desk.path().join("rows.csv"), "model,tokens,params,arc_chalenge\nOPT,1B,1M,22\n").unwrap();
    evaluation(&desk.path().join("scored"), "model");
    let shown = [
        desk.show(&["report", "nothing", "--table", "paper"]),
        desk.show(&["report", "scored", "--table", "paper"]),
        desk.show(&["report", "scored", "--table", "paper", "--out", "x", "--published", "rows.csv"]),
        desk.show(&["report", "scored", "scored"]),
    ];
    assert!(shown.iter().all(|text| text.contains("exit code 2")), "{shown:?}");
    assert!(shown[1].contains("name a folder for the table with `--out`"), "{}", shown[1]);
    assert!(
        shown[2].contains("rows.csv line 1: unknown column `arc_chalenge`")
            && shown[2].contains("did you mean `arc_challenge`?")
    );
    assert!(shown[3].contains("`--table paper` joins several"), "{}", shown[3]);
    assert!(!desk.path().join("x").exists());
}

/// Before the first run, while nothing is decided, and after the last.
#[test]
fn a_page_of_a_sweep_in_progress_reads_itself_again_until_it_ends() {
    let desk = Desk::new();
    desk.experiment("tiny", TINY);
    let page = desk.path().join("results/tiny/report.html");
    let mut watcher =
        desk.command(&["report", "experiments/tiny", "--watch", "1"]).stdout(Stdio::null()).spawn().unwrap();
    let waits = Instant::now();
    while !page.exists() {
        assert!(waits.elapsed() < Duration::from_secs(60), "no page");
        std::thread::sleep(Duration::from_millis(50));
    }
    let early = fs::read_to_string(&page).unwrap();
    assert!(early.contains("http-equiv=\"refresh\" content=\"1\"") && early.contains("missing"), "{early}");
    assert!(desk.command(&["run", "experiments/tiny", "--quiet"]).output().unwrap().status.success());
    let ends = Instant::now();
    let status = loop {
        match watcher.try_wait().unwrap() {
            Some(status) => break status,
            None if ends.elapsed() > Duration::from_secs(60) => {
                watcher.kill().unwrap();
                panic!("it goes on after the sweep");
            }
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    assert!(status.success());
    let last = fs::read_to_string(&page).unwrap();
    assert!(!last.contains("http-equiv=\"refresh\"") && last.contains("Accuracy and cost of every arm"));
    // The context length at which it scores is said, since `eval` takes the model's.
    assert!(last.contains("scored with at most 32 tokens at once"), "{last}");
    // A report tells where the file says something else by now.
    let told = |text: &str| {
        desk.experiment("tiny", text);
        let output = desk.command(&["report", "experiments/tiny"]).output().unwrap();
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(!told(TINY).contains("differs from the experiment file"));
    let edited =
        TINY.replacen("Does every arm", "Does each arm", 1).replacen("seeds = [1]", "seeds = [2]", 1);
    let note = told(&edited);
    assert!(note.contains("differs from the experiment file in: question, what is run"), "{note}");
}

#[test]
fn schema_and_completions_are_printed() {
    let desk = Desk::new();
    let schema = desk.command(&["schema"]).output().unwrap();
    assert_eq!(
        String::from_utf8(schema.stdout).unwrap(),
        fs::read_to_string(root().join("experiments/schema.json")).unwrap()
    );
    for (shell, part) in
        [("bash", "_efficientllm()"), ("zsh", "#compdef efficientllm"), ("fish", "complete -c efficientllm")]
    {
        let script = desk.command(&["completions", shell]).output().unwrap();
        assert!(script.status.success() && String::from_utf8_lossy(&script.stdout).contains(part), "{shell}");
    }
}

/// Every experiment of the repository is valid by the schema, and a misspelt key is not; by Python's `jsonschema`.
#[test]
fn experiments_are_valid_by_the_schema() {
    let python = std::env::var("EFFICIENTLLM_PYTHON").unwrap_or("python3".into());
    let has = |python: &str| {
        Command::new(python)
            .args(["-c", "import jsonschema, tomllib"])
            .output()
            .is_ok_and(|done| done.status.success())
    };
    if !has(&python) {
        return requirement::skip("jsonschema", "no Python with jsonschema; EFFICIENTLLM_PYTHON names one");
    }
    let script = "import glob, json, sys, tomllib, jsonschema\n\
                  root = sys.argv[1]\n\
                  schema = json.load(open(root + '/experiments/schema.json'))\n\
                  jsonschema.Draft7Validator.check_schema(schema)\n\
                  check = jsonschema.Draft7Validator(schema)\n\
                  files = sorted(glob.glob(root + '/experiments/*/*.toml')) + [root + '/experiments/reference.toml']\n\
                  for path in files:\n    \
                      for error in check.iter_errors(tomllib.load(open(path, 'rb'))):\n        \
                          print(path, list(error.absolute_path), error.message[:200])\n\
                  text = open(root + '/experiments/reference.toml').read().replace('learning_rate = 3e-3', 'learning_rat = 3e-3')\n\
                  assert len(list(check.iter_errors(tomllib.loads(text)))) == 2\n\
                  print(len(files), 'files')\n";
    let done = Command::new(&python).args(["-c", script]).arg(root()).output().unwrap();
    let told = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(told.lines().count() == 1 && told.ends_with("files\n"), "{told}");
}

/// What `plan --pilot` says can be found with the seeds of the committed quickstart is what its report says could have been found.
#[test]
fn a_plan_says_what_it_can_find_by_the_spread_of_a_pilot() {
    let desk = Desk::new();
    desk.experiment("quickstart", include_str!("../../experiments/quickstart/experiment.toml"));
    let pilot = root().join("results/quickstart");
    let shown = desk.show(&["plan", "experiments/quickstart", "--pilot", pilot.to_str().unwrap()]);
    assert!(shown.contains("exit code 0"), "{shown}");
    assert!(shown.contains("smallest true differences that 3 seeds can find, by the spread in "), "{shown}");
    for (baseline, detectable, observed, seeds) in [
        ("direct_searched_recovery_tokens", "0.208", "−0.230", 3),
        ("direct_searched_total_tokens", "0.059", "+0.006", 39),
        ("one_shot_recover", "0.007", "+0.002", 9),
    ] {
        let head = format!(
            "  `pruning_aware` against `{baseline}` on `bits_per_byte`: {detectable} bits per byte with 80 % "
        );
        let tail = format!("; the pilot's {observed} bits per byte takes about {seeds} seeds");
        assert!(
            shown.lines().any(|line| line.starts_with(&head) && line.ends_with(&tail)),
            "{head}…{tail}\n{shown}"
        );
    }
    let missing = desk.show(&["plan", "experiments/quickstart", "--pilot", "nowhere"]);
    assert!(
        missing.contains("exit code 2") && missing.contains("no results in `nowhere`\nhint: "),
        "{missing}"
    );
}

/// A login node plans for the GPU that it has not.
#[test]
fn a_plan_tells_the_time_of_another_machine() {
    let desk = Desk::new();
    desk.experiment("cost", include_str!("../../experiments/paper/134m/cost.toml"));
    let shown = desk.show(&["plan", "experiments/cost", "--tflops", "400"]);
    let time = "  time    about 85 d 19 h with 1 worker of 1 thread, as asked, 400 TFLOP/s per worker";
    assert!(shown.contains("exit code 0") && shown.contains(time), "{shown}");
    let refused = desk.show(&["plan", "experiments/cost", "--tflops", "0"]);
    assert!(refused.contains("exit code 2") && refused.contains("give a number above 0"), "{refused}");
}

/// On a grid a run is named by arm, values of axes and seed; where that is not enough the message says what would do.
#[test]
fn runs_of_a_grid_are_compared_by_arm_and_seed() {
    let desk = Desk::new();
    let [experiment, results] = ["experiments/hessian", "results/hessian"].map(|at| root().join(at));
    let [experiment, results] = [&experiment, &results].map(|path| path.to_str().unwrap());
    let compare = |a: &str, b: &str| desk.show(&["compare", experiment, a, b, "--results", results]);
    let shown = compare("one_shot · none · none/2", "pruning_aware · none · none/2");
    assert!(shown.contains("exit code 0"), "{shown}");
    assert!(shown.contains("pruning_aware · none · none/2 against one_shot · none · none/2"), "{shown}");
    let shown = compare("one_shot/2", "pruning_aware/2");
    assert!(shown.contains("exit code 2"), "{shown}");
    assert!(
        shown.contains("arm `one_shot/2` stands at several points of the axes\nhint: name one of `one_shot · none · none/2`, "),
        "{shown}"
    );
}
