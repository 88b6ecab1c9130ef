//! What `plan` says of benchmark items that stand in a training corpus from disk.
use crate::cli::{Desk, example_with};
use efficientllm::base::seal;
use efficientllm::data::Tokenizer;
use std::fs;

const ARC: &str = r#"{"id": "one", "question": "Which of these will a plant most likely need when it grows in a dark room", "choices": {"text": ["salt", "light"], "label": ["A", "B"]}, "answerKey": "B"}
{"id": "two", "question": "Why is the sea salty, and rivers are not?", "choices": {"text": ["rocks", "fish"], "label": ["A", "B"]}, "answerKey": "A"}
{"id": "three", "question": "Why?", "choices": {"text": ["now", "then"], "label": ["A", "B"]}, "answerKey": "A"}
"#;
const PIQA: &str = r#"{"goal": "To keep the door of the shed open while you carry something heavy through it", "sol1": "use a wedge", "sol2": "use a feather", "label": 0}
"#;

/// An experiment on the corpus `corpus`, of whose files `train.jsonl` has `lines`, and two benchmarks from disk.
fn experiment(desk: &Desk, corpus: &str, lines: &str) {
    let tasks = "[\"arc_easy\", \"arc_challenge\", \"boolq\", \"hellaswag\", \"openbookqa\", \"piqa\", \"winogrande\"]";
    let text = example_with(&[
        ("{ kind = \"world\", seed = 0, documents = 40_000 }", corpus),
        (&format!("tasks = {tasks}"), "tasks = [\"arc_easy\", \"piqa\"]\nfolder = \"benchmarks\""),
        ("items = 200", "items = 0"),
    ]);
    let folder = desk.experiment("example", &text);
    fs::write(folder.join("train.jsonl"), lines).unwrap();
    fs::write(folder.join("valid.jsonl"), "{\"text\": \"Snow.\"}\n").unwrap();
    for (name, items) in [("arc_easy/test.jsonl", ARC), ("piqa/validation.jsonl", PIQA)] {
        let path = folder.join("benchmarks").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, items).unwrap();
    }
}

const JSONL: &str = "{ kind = \"jsonl\", train = [\"train.jsonl\"], validation = [\"valid.jsonl\"] }";

/// What `plan` says of the items that stand in a corpus of `lines`.
fn plan(lines: &str) -> String {
    let desk = Desk::new();
    experiment(&desk, JSONL, lines);
    let shown = desk.show(&["plan", "experiments/example"]);
    let start = shown.find("\nitems whose").unwrap_or_else(|| panic!("nothing on items in {shown}"));
    shown[start..].split("\n\n").next().unwrap().replace(&desk.path().display().to_string(), "<desk>")
}

#[test]
fn plan_counts_items_that_stand_in_the_corpus() {
    let planted = "{\"text\": \"Rain.\"}\n{\"text\": \"A quiz: which of these will a plant most likely need, when it \
                   GROWS in a dark room? Also: why is the sea salty and rivers are not — rocks.\"}\n";
    insta::assert_snapshot!("planted", plan(planted));
    insta::assert_snapshot!("nothing_planted", plan("{\"text\": \"Why is the sea salty? Of its rocks.\"}\n"));
}

/// What cannot be read is an error of the plan.
#[test]
fn a_broken_corpus_ends_the_plan() {
    let desk = Desk::new();
    experiment(&desk, JSONL, "{\"text\": \"One.\"}\n{\"text\": \"Two.\n");
    let shown = desk.show(&["plan", "experiments/example"]);
    let told =
        "train.jsonl` line 2, column 14: broken JSON: EOF while parsing a string, near `text\": \"Two.`";
    assert!(shown.contains("exit code 2") && shown.contains(told), "{shown}");
}

#[test]
fn plan_tells_the_epochs_of_each_source_and_reads_a_corpus_once() {
    let desk = Desk::new();
    let source =
        |name: &str| format!("{{ kind = \"text\", train = [\"{name}\"], validation = [\"held-out.txt\"] }}");
    let sources = format!("{}, {}", source("news/a.txt"), source("b.txt"));
    let corpus = format!("{{ kind = \"mixture\", weights = [3, 1], sources = [{sources}] }}");
    let folder = desk.path().join("experiments/example");
    fs::create_dir_all(folder.join("news")).unwrap();
    // A token for each byte and one for the end of each document: 10 × 1000 + 10, and 400 × 10 + 400.
    let text = |n: usize, document: &str| vec![document; n].join("<|endoftext|>");
    fs::write(folder.join("news/a.txt"), text(10, &"word ".repeat(200).replace("word ", "words"))).unwrap();
    fs::write(folder.join("b.txt"), text(400, "0123456789")).unwrap();
    fs::write(folder.join("held-out.txt"), "Held out.").unwrap();
    fs::write(folder.join("tokenizer.json"), Tokenizer::train(&[], 257).unwrap().to_json()).unwrap();
    experiment(&desk, &corpus, "");
    let file = folder.join("experiment.toml");
    let text_of_file = fs::read_to_string(&file).unwrap();
    let trained = "{ kind = \"bpe\", vocab_size = 1024 }";
    assert!(text_of_file.contains(trained));
    let named = "{ kind = \"file\", path = \"tokenizer.json\" }";
    fs::write(&file, text_of_file.replace(trained, named)).unwrap();
    let shown = |desk: &Desk| {
        let shown = desk.show(&["plan", "experiments/example"]);
        let start = shown.find("\ntraining text").unwrap_or_else(|| panic!("nothing on sources in {shown}"));
        shown[start..].split("\nleft to spend").next().unwrap().to_string()
    };
    let first = shown(&desk);
    let row = |name: &str| -> String {
        let row =
            first.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("no {name} in {first}"));
        row.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let (a, b) = (row("news/a.txt"), row("example/b.txt"));
    assert!(a.starts_with("news/a.txt 75.0 % 10 10.0 kB about 10.0 k "), "{a}");
    assert!(b.starts_with("example/b.txt 25.0 % 400 4.00 kB about 4.40 k "), "{b}");
    // What was found is kept: the second plan shows what stands there.
    let checks: Vec<_> =
        fs::read_dir(desk.path().join("results/example/store/checks")).unwrap().flatten().collect();
    assert_eq!(checks.len(), 1);
    let path = checks[0].path();
    let kept = fs::read_to_string(&path).unwrap();
    let other = kept.replace("\"documents\": 410,", "\"documents\": 411,");
    assert_ne!(other, kept);
    // Who changes it without its sum is not believed.
    fs::write(&path, &other).unwrap();
    assert_eq!(shown(&desk), first);
    let mut found: serde_json::Value = serde_json::from_str(&other).unwrap();
    found.as_object_mut().unwrap().remove("sha256");
    fs::write(&path, seal::seal(&found).unwrap()).unwrap();
    assert_eq!(shown(&desk), first.replace(" 410 documents", " 411 documents"));
    // Of another text it knows nothing.
    fs::write(folder.join("b.txt"), text(399, "0123456789")).unwrap();
    assert!(shown(&desk).contains(" 409 documents"));
}
