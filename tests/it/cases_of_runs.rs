//! Situations from public failure reports, as [`super::cases`], in which an experiment is planned or run; and the list of all of
//! them with the tests that hold them.
use super::cases::CORPUS;
use super::cli::Desk;
use super::eval::desk;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Every situation, and the tests that hold it: names of functions, in files of this folder or of `src`.
const SITUATIONS: &[(&str, &[&str])] = &[
    (
        "a tied model that stores its head",
        &["a_tied_head_that_is_stored_too_is_the_embedding_unless_it_differs"],
    ),
    (
        "the flag add_bos_token beside a template",
        &["the_template_of_the_tokenizer_counts_and_its_flag_does_not"],
    ),
    ("a Git LFS pointer in the place of a file", &["what_stands_in_the_place_of_a_file_is_named"]),
    (
        "weights that are not finite",
        &[
            "weights_that_are_not_finite_are_the_fault_of_their_tensor",
            "a_model_without_finite_scores_has_no_accuracy",
        ],
    ),
    ("later versions of llama2.c", &["folders_and_files_that_are_no_model_say_what_to_name"]),
    ("a byte-order mark in a corpus or benchmark", &["marks_of_editors_change_nothing_and_utf16_is_named"]),
    ("an experiment file of another system", &["marks_of_editors_change_nothing_and_utf16_is_named"]),
    ("rows without text", &["plan_finds_what_cannot_be_read_and_bad_rows_can_be_left_out"]),
    ("bits per byte of any tokenizer", &["bytes_are_those_of_the_text_whatever_the_tokenizer_makes_of_it"]),
    (
        "an export that forgets where text ends",
        &["any_name_of_the_end_of_text_will_do_and_travels_with_the_export"],
    ),
    (
        "a tokenizer that transformers reads otherwise",
        &["any_name_of_the_end_of_text_will_do_and_travels_with_the_export"],
    ),
    ("scaled RoPE in a GGUF file", &["scaled_rope_is_refused_and_factors_of_one_are_none"]),
    ("a part of a split GGUF file", &["parts_of_a_split_file_are_refused_by_name"]),
    (
        "a token across the join",
        &[
            "a_token_across_the_join_is_found_before_anything_is_scored",
            "items_are_looked_at_before_anything_is_spent",
        ],
    ),
    ("a closed or full standard output", &["a_run_does_not_depend_on_anybody_listening"]),
    ("gradient accumulation", &["micro_batches_change_rounding_alone"]),
    ("a disk that is full and has room again", &["a_full_disk_is_told_and_loses_nothing"]),
    (
        "tables that a spreadsheet saved",
        &["tables_that_a_spreadsheet_saved_give_the_same_report_or_a_reason"],
    ),
    ("a run that diverged", &["a_run_that_diverges_fails_alone_and_is_averaged_with_nothing"]),
    ("rope_parameters of transformers 5", &["other_writers_dialects_are_read"]),
    ("two items with one id", &["two_items_with_one_id_are_two"]),
    ("an export of a model without some heads", &["what_is_exported_scores_as_the_model_does"]),
    (
        "a killed run and half a checkpoint",
        &[
            "killed_at_any_moment_it_resumes_to_the_same_numbers",
            "a_damaged_checkpoint_is_told_and_the_stage_begins_again",
        ],
    ),
    ("colour codes in a log file", &["nothing_that_is_written_to_a_file_has_colours"]),
    ("a full standard error", &["a_run_does_not_depend_on_anybody_listening"]),
    ("a gradient norm that overflows", &["a_run_that_diverges_fails_alone_and_is_averaged_with_nothing"]),
    ("two specifications with one id", &["what_shares_an_id_does_not_share_its_results"]),
];

#[test]
fn every_situation_has_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = String::new();
    let mut folders = vec![root.join("src"), root.join("tests/it")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()) {
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(end) if end == "rs" => code += &fs::read_to_string(&path).unwrap(),
                _ => {}
            }
        }
    }
    for (situation, tests) in SITUATIONS {
        for test in *tests {
            assert!(code.contains(&format!("fn {test}()")), "{situation}: no test `{test}`");
        }
    }
}

/// The experiment on two texts of a few documents.
fn prepared(desk: &Desk, name: &str, text: &str) {
    let folder = desk.experiment(name, text);
    let documents: String = (0..60)
        .map(|i| format!("{{\"text\": \"Document {i} has some words of text: {}.\"}}\n", i * i))
        .collect();
    fs::write(folder.join("train.jsonl"), &documents).unwrap();
    fs::write(folder.join("valid.jsonl"), &documents).unwrap();
}

fn changed(changes: &[(&str, &str)]) -> String {
    changes.iter().fold(CORPUS.to_string(), |text, (from, to)| {
        assert!(text.contains(from), "the experiment no longer contains {from}");
        text.replacen(from, to, 1)
    })
}

/// A table as rows of cells by column.
fn table(path: &Path) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    reader.deserialize().collect::<Result<_, _>>().unwrap()
}

/// Which of the beginnings of texts there are, the template of `tokenizer.json` decides; transformers 5 leaves it alone.
#[test]
fn the_template_of_the_tokenizer_counts_and_its_flag_does_not() {
    let desk = desk();
    let template = json!({
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<|endoftext|>": {"id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"]}}
    });
    let items = |with_template: bool, flag: Option<bool>| {
        let name = format!("{with_template} {flag:?}");
        super::eval::model(&desk, &name, 1);
        let folder = desk.path().join(&name);
        if with_template {
            let path = folder.join("tokenizer.json");
            let mut tokenizer: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            tokenizer["post_processor"] = template.clone();
            fs::write(path, tokenizer.to_string()).unwrap();
        }
        if let Some(flag) = flag {
            fs::write(folder.join("tokenizer_config.json"), json!({ "add_bos_token": flag }).to_string())
                .unwrap();
        }
        let out = format!("out {name}");
        let shown =
            desk.show(&["eval", "--model", &name, "--data", "data", "--tasks", "arc_easy", "--out", &out]);
        assert!(shown.contains("exit code 0"), "{shown}");
        fs::read_to_string(desk.path().join(out).join("items.csv")).unwrap()
    };
    let (with, without) = (items(true, None), items(false, None));
    assert_eq!(items(true, Some(false)), with);
    assert_eq!(items(false, Some(true)), without);
    assert_ne!(with, without);
}

/// A byte-order mark and the ends of lines of another system, wherever text is read; UTF-16 is told as such.
#[test]
fn marks_of_editors_change_nothing_and_utf16_is_named() {
    let desk = desk();
    let data = desk.path().join("data");
    let eval = |out: &str| {
        let tasks = "arc_easy,wikitext";
        desk.show(&["eval", "--model", "model", "--data", "data", "--tasks", tasks, "--out", out])
    };
    assert!(eval("plain").contains("exit code 0"));
    let files = ["arc_easy/test.jsonl", "wikitext/wiki.test.raw"].map(|name| data.join(name));
    let plain = files.each_ref().map(|path| fs::read_to_string(path).unwrap());
    for (path, text) in files.iter().zip(&plain) {
        fs::write(path, format!("\u{feff}{text}")).unwrap();
    }
    assert!(eval("marked").contains("exit code 0"));
    for file in ["items.csv", "results.json"] {
        let read = |out: &str| {
            let text = fs::read_to_string(desk.path().join(out).join(file)).unwrap();
            match file {
                "items.csv" => text,
                _ => serde_json::from_str::<Value>(&text).unwrap()["results"].to_string(),
            }
        };
        assert_eq!(read("plain"), read("marked"));
    }
    // What an evaluation is held against may have been saved by a spreadsheet.
    let kept = desk.path().join("plain/items.csv");
    let table = fs::read_to_string(&kept).unwrap();
    fs::write(&kept, format!("\u{feff}{}", table.replace('\n', "\r\n"))).unwrap();
    let shown = desk.show(&[
        "eval",
        "--model",
        "model",
        "--data",
        "data",
        "--tasks",
        "arc_easy",
        "--out",
        "third",
        "--against",
        "plain",
    ]);
    assert!(shown.contains("exit code 0"), "{shown}");
    let utf16 = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n";
    for (path, text) in files.iter().zip(&plain) {
        fs::write(path, utf16(text)).unwrap();
        let shown = eval("other");
        assert!(shown.contains("exit code 2") && shown.contains("UTF-16"), "{shown}");
        fs::write(path, pointer).unwrap();
        let shown = eval("other");
        assert!(shown.contains("exit code 2") && shown.contains("a Git LFS pointer"), "{shown}");
        fs::write(path, text).unwrap();
    }

    prepared(&desk, "plain", CORPUS);
    let plan = |name: &str| {
        let shown = desk.show(&["plan", &format!("experiments/{name}")]);
        assert!(shown.contains("exit code 0"), "{shown}");
        let plan = fs::read(desk.path().join(format!("results/{name}/plan.json"))).unwrap();
        serde_json::from_slice::<Value>(&plan).unwrap()["stages"].clone()
    };
    let stages = plan("plain");
    prepared(&desk, "windows", &format!("\u{feff}{}", CORPUS.replace('\n', "\r\n")));
    assert_eq!(plan("windows"), stages);
}

#[cfg(unix)]
#[test]
fn an_experiment_in_a_folder_whose_name_is_not_utf8() {
    use std::os::unix::ffi::OsStrExt;
    let desk = desk();
    let named = |text: &str| {
        let folder = desk.path().join(std::ffi::OsStr::from_bytes(b"odd \xff"));
        fs::create_dir_all(folder.join("arc_easy")).unwrap();
        fs::copy(desk.path().join("data/arc_easy/test.jsonl"), folder.join("arc_easy/test.jsonl")).unwrap();
        fs::write(folder.join("experiment.toml"), text).unwrap();
        for file in ["train.jsonl", "valid.jsonl"] {
            fs::write(folder.join(file), "{\"text\": \"Some words.\"}\n").unwrap();
        }
        folder
    };
    let run = |arguments: &[&str], folder: &Path, more: &[&str]| {
        let output = desk.command(arguments).arg(folder).args(more).output().unwrap();
        let told =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), told)
    };
    // Files beside it cannot be named in tables and identities, which are text.
    let (code, told) = run(&["plan"], &named(CORPUS), &[]);
    assert!(code == Some(2) && told.contains("has a name that is not UTF-8"), "{told}");
    // One that generates its text needs none.
    let generated = changed(&[
        (
            "kind = \"jsonl\", train = [\"train.jsonl\"], validation = [\"valid.jsonl\"]",
            "kind = \"synthetic\", seed = 0, documents = 40",
        ),
        ("folder = \"../../data\"\n", ""),
    ]);
    let folder = named(&generated);
    for command in ["plan", "run", "status", "report"] {
        let (code, told) = run(&[command], &folder, &[]);
        assert_eq!(code, Some(0), "{command}: {told}");
    }
    let (code, told) =
        run(&["eval", "--model", "model", "--tasks", "arc_easy", "--out", "out", "--data"], &folder, &[]);
    assert_eq!(code, Some(0), "{told}");
    // Results under such a name are like any others, for all that reads them.
    let odd = std::ffi::OsStr::from_bytes(b"odd results \xff");
    for (arguments, more) in [
        (&["run"][..], &[][..]),
        (&["report"], &[]),
        (&["status"], &[]),
        (&["export"], &["source/1", "--out", "exported"]),
    ] {
        let output =
            desk.command(arguments).arg(&folder).args(more).arg("--results").arg(odd).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {told}");
    }
    assert!(desk.path().join("exported/model.safetensors").exists());
}

/// A tokenizer of characters and one merge across every `Answer:` and its choice.
fn tokenizer_across_the_join() -> String {
    let mut vocabulary = serde_json::Map::new();
    vocabulary.insert("<|endoftext|>".into(), 0.into());
    for (id, c) in ('\n'..='\n').chain(' '..='~').chain(['é']).enumerate() {
        vocabulary.insert(c.to_string(), (id + 1).into());
    }
    for token in [": ", ": n"] {
        vocabulary.insert(token.into(), vocabulary.len().into());
    }
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "pre_tokenizer": null,
        "post_processor": null, "decoder": null,
        "added_tokens": [{
            "id": 0, "content": "<|endoftext|>", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true
        }],
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocabulary, "merges": [[":", " "], [": ", "n"]]
        }
    })
    .to_string()
}

/// `plan` looks at the items where the tokenizer is given; `run` does once it has trained its own, before any model is made.
#[test]
fn items_are_looked_at_before_anything_is_spent() {
    let desk = desk();
    let line = |choice: &str| {
        format!(
            "{{\"id\": \"a\", \"question\": \"Is it?\", \"choices\": {{\"text\": [\"{choice}\", \"yes\"], \"label\": [\"A\", \"B\"]}}, \"answerKey\": \"B\"}}\n"
        )
    };
    let file = desk.path().join("data/arc_easy/test.jsonl");
    fs::write(&file, line("n") + &line("no") + &line("yes, no")).unwrap();
    let given = changed(&[
        ("kind = \"bpe\", vocab_size = 260", "kind = \"file\", path = \"tokenizer.json\""),
        ("context_length = 16", "context_length = 64"),
        ("batch_tokens = 64", "batch_tokens = 256"),
    ]);
    prepared(&desk, "given", &given);
    fs::write(desk.path().join("experiments/given/tokenizer.json"), tokenizer_across_the_join()).unwrap();
    for _ in 0..2 {
        let shown = desk.show(&["plan", "experiments/given"]);
        assert!(shown.contains("exit code 0"), "{shown}");
        assert!(shown.contains("\nitems that are not scored as they stand\n"), "{shown}");
        assert!(
            shown.contains("item 0 set aside, choice 0 has no tokens to score: a token goes across"),
            "{shown}"
        );
        assert!(shown.contains("in 2 of 3 items a choice changes the tokens of the context"), "{shown}");
    }
    fs::write(&file, line("n")).unwrap();
    let shown = desk.show(&["plan", "experiments/given"]);
    assert!(
        shown.contains("exit code 2") && shown.contains("none of the 1 items of task `arc_easy`"),
        "{shown}"
    );

    // The experiment's own: known once the corpus is prepared.
    let long = "x".repeat(40);
    fs::write(&file, line(&long) + &line("no")).unwrap();
    prepared(&desk, "trained", CORPUS);
    let aside = "item 0 set aside, choice 0 has 41 tokens, more than the context length of 16";
    let shown = desk.show(&["plan", "experiments/trained"]);
    assert!(shown.contains("exit code 0") && !shown.contains("set aside"), "{shown}");
    let shown = desk.show(&["run", "experiments/trained"]);
    let (told, done) = (shown.find(aside), shown.find("] source-s1"));
    assert!(told.is_some() && done.is_some() && told < done, "{shown}");
    let shown = desk.show(&["plan", "experiments/trained"]);
    assert!(shown.contains("exit code 0") && shown.contains(aside), "{shown}");
}

/// A batch in one pass, in two and in four.
#[test]
fn micro_batches_change_rounding_alone() {
    let desk = desk();
    prepared(&desk, "micro", CORPUS);
    let curve = |micro_batch: usize| {
        let results = format!("results {micro_batch}");
        let set = format!("train.micro_batch={micro_batch}");
        let shown = desk.show(&["run", "experiments/micro", "--results", &results, "--set", &set, "--quiet"]);
        assert!(shown.contains("exit code 0"), "{shown}");
        let rows = table(&desk.path().join(results).join("curves.csv"));
        let number = |row: &BTreeMap<String, String>, column: &str| row[column].parse::<f64>().unwrap();
        rows.iter().map(|row| [number(row, "loss"), number(row, "grad_norm")]).collect::<Vec<_>>()
    };
    let whole = curve(4);
    assert!(whole.len() >= 4, "{whole:?}");
    for parts in [2, 1] {
        for (one, other) in whole.iter().flatten().zip(curve(parts).iter().flatten()) {
            assert!((one - other).abs() <= 1e-5 * one.abs(), "{one} {other} in passes of {parts}");
        }
    }
}

#[test]
fn tables_that_a_spreadsheet_saved_give_the_same_report_or_a_reason() {
    let desk = desk();
    prepared(&desk, "tables", CORPUS);
    let shown = desk.show(&["run", "experiments/tables", "--quiet"]);
    assert!(shown.contains("exit code 0"), "{shown}");
    let results = desk.path().join("results/tables");
    let report = fs::read(results.join("report.md")).unwrap();
    let saved = |separator: &str, mark: &str| {
        for file in ["runs.csv", "evals.csv"] {
            let mut rows =
                csv::ReaderBuilder::new().has_headers(false).from_path(results.join(file)).unwrap();
            let rows: Vec<Vec<String>> = rows.deserialize().collect::<Result<_, _>>().unwrap();
            let lines = rows.iter().map(|row| row.join(separator) + "\r\n");
            fs::write(results.join(file), format!("{mark}{}", lines.collect::<String>())).unwrap();
        }
        desk.show(&["report", "experiments/tables"])
    };
    let shown = saved(",", "\u{feff}");
    assert!(shown.contains("exit code 0"), "{shown}");
    assert_eq!(fs::read(results.join("report.md")).unwrap(), report);
    let shown = saved(";", "\u{feff}");
    assert!(shown.contains("exit code 2") && shown.contains("separated by semicolons"), "{shown}");
    let table = fs::read_to_string(results.join("runs.csv")).unwrap();
    let utf16: Vec<u8> = table.encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(results.join("runs.csv"), utf16).unwrap();
    let shown = desk.show(&["report", "experiments/tables"]);
    assert!(shown.contains("exit code 2") && shown.contains("UTF-16"), "{shown}");
}

/// A loss, or a gradient's norm, that is not finite: its point fails with the step, the other point is done.
#[test]
fn a_run_that_diverges_fails_alone_and_is_averaged_with_nothing() {
    let desk = desk();
    for (name, rate) in [("loss", "1e30"), ("norm", "1e20")] {
        prepared(&desk, name, &format!("{CORPUS}\n[axes]\n\"train.learning_rate\" = [1e-3, {rate}]\n"));
        let shown = desk.show(&["run", &format!("experiments/{name}")]);
        assert!(shown.contains("exit code 1") && shown.contains("1 run done"), "{shown}");
        let results = desk.path().join("results").join(name);
        let rows = table(&results.join("runs.csv"));
        let of = |status: &str| rows.iter().filter(|row| row["status"] == status).collect::<Vec<_>>();
        assert_eq!((of("ok").len(), of("failed").len()), (1, 1), "{rows:?}");
        let failed = of("failed")[0];
        assert!(failed["reason"].contains(" at step ") && failed["valid_loss"].is_empty(), "{failed:?}");
        let report = fs::read_to_string(results.join("report.md")).unwrap();
        assert!(report.contains("1 failed") && report.contains("training diverged"), "{report}");
        assert!(!report.contains("NaN") || report.contains("is NaN at step"), "{report}");
    }
}

/// An item is its place in the file, whatever it is called: the same accuracy everywhere.
#[test]
fn two_items_with_one_id_are_two() {
    let desk = desk();
    let file = desk.path().join("data/arc_easy/test.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("\"two\"", "\"one\"")).unwrap();
    prepared(&desk, "ids", CORPUS);
    assert!(desk.show(&["run", "experiments/ids", "--quiet"]).contains("exit code 0"));
    let results = desk.path().join("results/ids");
    let acc: f64 = table(&results.join("evals.csv"))[0]["acc"].parse().unwrap();
    let items = table(&results.join("items.csv"));
    let places: std::collections::BTreeSet<&str> = items.iter().map(|row| row["place"].as_str()).collect();
    assert_eq!(places.len(), 3);
    let report = fs::read_to_string(results.join("report.md")).unwrap();
    let shown = format!("{:.1}", 100.0 * acc);
    assert!(
        report.lines().any(|line| line.starts_with("| `source` |") && line.contains(&shown)),
        "{shown}: {report}"
    );
}

/// Warnings among them, which a damaged checkpoint brings about.
#[test]
fn nothing_that_is_written_to_a_file_has_colours() {
    let desk = desk();
    prepared(&desk, "log", CORPUS);
    fs::write(
        desk.path().join("data/arc_easy/test.jsonl"),
        format!(
            "{{\"id\": \"a\", \"question\": \"Is it?\", \"choices\": {{\"text\": [\"{}\", \"b\"], \"label\": [\"A\", \"B\"]}}, \"answerKey\": \"B\"}}\n",
            "x".repeat(40)
        ) + "{\"id\": \"b\", \"question\": \"Is it?\", \"choices\": {\"text\": [\"a\", \"b\"], \"label\": [\"A\", \"B\"]}, \"answerKey\": \"B\"}\n",
    )
    .unwrap();
    let mut command = desk.command(&["run", "experiments/log"]);
    let output = command.env_remove("NO_COLOR").output().unwrap();
    let written = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&written);
    assert!(output.status.success() && text.contains("WARN"), "{text}");
    assert!(!written.contains(&0x1b), "{text}");
}
