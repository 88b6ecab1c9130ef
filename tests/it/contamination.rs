//! What `plan` says of benchmark items that stand in a training corpus from disk.
use crate::cli::{Desk, example_with};
use std::fs;

const ARC: &str = r#"{"id": "one", "question": "Which of these will a plant most likely need when it grows in a dark room", "choices": {"text": ["salt", "light"], "label": ["A", "B"]}, "answerKey": "B"}
{"id": "two", "question": "Why is the sea salty, and rivers are not?", "choices": {"text": ["rocks", "fish"], "label": ["A", "B"]}, "answerKey": "A"}
{"id": "three", "question": "Why?", "choices": {"text": ["now", "then"], "label": ["A", "B"]}, "answerKey": "A"}
"#;
const PIQA: &str = r#"{"goal": "To keep the door of the shed open while you carry something heavy through it", "sol1": "use a wedge", "sol2": "use a feather", "label": 0}
"#;

/// An experiment on a corpus of `lines` and two benchmarks from disk; what `plan` says of its items.
fn plan(lines: &str) -> String {
    let desk = Desk::new();
    let tasks = "[\"arc_easy\", \"arc_challenge\", \"boolq\", \"hellaswag\", \"openbookqa\", \"piqa\", \"winogrande\"]";
    let text = example_with(&[
        (
            "{ kind = \"world\", seed = 0, documents = 40_000 }",
            "{ kind = \"jsonl\", train = [\"train.jsonl\"], validation = [\"valid.jsonl\"] }",
        ),
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
    insta::assert_snapshot!("broken_corpus", plan("{\"text\": \"One.\"}\n{\"text\": \"Two.\n"));
}
