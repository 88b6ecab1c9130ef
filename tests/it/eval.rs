//! `efficientllm eval` as people meet it: a tiny random model on a few items.
use super::cli::Desk;
use efficientllm::data::Tokenizer;
use efficientllm::model::{Biases, LayerShape, ModelConfig, checkpoint, init};
use efficientllm::tensor::CpuBackend;
use serde_json::Value;
use std::fs;
use std::path::Path;

const ARC: &str = r#"{"id": "one", "question": "Why?", "choices": {"text": ["a b", "cd", "a b"], "label": ["A", "B", "C"]}, "answerKey": "B"}
{"id": "two", "question": "How so?", "choices": {"text": ["x", "yes it is"], "label": ["A", "B"]}, "answerKey": "A"}
{"id": "three", "question": "When?", "choices": {"text": ["now", "then", "never", "at noon"], "label": ["A", "B", "C", "D"]}, "answerKey": "D"}
"#;
const WIKITEXT: &str =
    " \n = Rain = \n \n It rains , and it rains @-@ a lot . \n = Sun = \n \n The sun shines . \n";

/// A model folder with one token per byte.
pub(super) fn model(desk: &Desk, name: &str, seed: u64) {
    let tokenizer = Tokenizer::train(&[], 257).unwrap();
    let config = ModelConfig {
        vocab_size: 257,
        hidden_size: 16,
        head_dim: 4,
        tie_word_embeddings: true,
        biases: Biases::NONE,
        rope_theta: 10_000.0,
        rms_norm_eps: 1e-5,
        max_position_embeddings: 64,
        layers: vec![LayerShape::new(4, 2, 40); 2],
    };
    let backend = CpuBackend::<f32>::new();
    let folder = desk.path().join(name);
    checkpoint::save(&backend, &folder, &config, &init::random_weights(&backend, &config, seed)).unwrap();
    fs::write(folder.join("tokenizer.json"), tokenizer.to_json()).unwrap();
}

pub(super) fn desk() -> Desk {
    let desk = Desk::new();
    model(&desk, "model", 1);
    for folder in ["data/arc_easy", "data/wikitext", "data/mmlu"] {
        fs::create_dir_all(desk.path().join(folder)).unwrap();
    }
    fs::write(desk.path().join("data/arc_easy/test.jsonl"), ARC).unwrap();
    fs::write(desk.path().join("data/wikitext/wiki.test.raw"), WIKITEXT).unwrap();
    let mmlu = |subject: &str, gold: usize| {
        format!(
            "{{\"subject\": \"{subject}\", \"question\": \"Which?\", \"choices\": [\"p\", \"q\", \"r\", \"s\"], \"answer\": {gold}}}\n"
        )
    };
    let lines = mmlu("anatomy", 0) + &mmlu("anatomy", 1) + &mmlu("virology", 2);
    fs::write(desk.path().join("data/mmlu/test.jsonl"), lines).unwrap();
    desk
}

const ALL: [&str; 9] = [
    "eval",
    "--model",
    "model",
    "--data",
    "data",
    "--out",
    "out",
    "--tasks",
    "arc_easy,mmlu,mmlu_continuation,wikitext,wikitext_windows",
];

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn results_come_as_a_table_in_the_schema_of_the_harness_and_by_item() {
    let desk = desk();
    insta::assert_snapshot!("eval", without_times_of_tokens(&desk.show(&ALL)));
    let results: Value = serde_json::from_str(&read(&desk.path().join("out/results.json"))).unwrap();
    let arc = &results["results"]["arc_easy"];
    assert!(arc["acc,none"].is_f64() && arc["acc_norm_stderr,none"].is_f64(), "{arc}");
    assert_eq!(results["n-samples"]["arc_easy"]["effective"], 3);
    assert_eq!(results["group_subtasks"]["mmlu"][0], "mmlu_stem");
    assert!(results["results"]["mmlu_anatomy"]["acc,none"].is_f64());
    assert!(results["results"]["wikitext"]["bits_per_byte,none"].is_f64());
    let items = read(&desk.path().join("out/items.csv"));
    let mut lines = items.lines();
    assert_eq!(
        lines.next().unwrap(),
        "task,item,gold,choice,loglik,num_chars,num_bytes,num_tokens,acc,acc_norm,place,cluster,stratum,\
         gold_probability,gold_probability_norm,gold_nll,margin,choice_log_loss,agreement,lost_context_tokens,difficulty"
    );
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 3 + 2 + 4 + 2 * 12);
    // Equal choices tie to the bit.
    assert_eq!(rows[0][4], rows[2][4]);
    assert_eq!(rows[1][..4], ["arc_easy", "one", "1", "1"]);
}

#[test]
fn an_interrupted_evaluation_goes_on_to_the_same_bytes() {
    let desk = desk();
    desk.show(&ALL);
    let out = desk.path().join("out");
    let whole: Vec<String> =
        ["results.json", "items.csv", "journal.jsonl"].map(|name| read(&out.join(name))).into();
    // As a kill leaves it: some items, the last one torn, no results.
    let journal = &whole[2];
    fs::write(out.join("journal.jsonl"), &journal[..journal.len() / 2]).unwrap();
    fs::remove_file(out.join("results.json")).unwrap();
    let shown = desk.show(&ALL);
    assert!(shown.contains("exit code 0") && shown.contains("items are scored already"), "{shown}");
    for (name, before) in ["results.json", "items.csv", "journal.jsonl"].iter().zip(&whole) {
        assert_eq!(&read(&out.join(name)), before, "{name}");
    }
    // Fewer items and one thread: the same scores, from the journal or not.
    let limited = |out: &str| {
        let mut arguments = ALL.to_vec();
        arguments[6] = out;
        arguments.extend(["--limit", "1", "--threads", "1"]);
        desk.show(&arguments);
        read(&desk.path().join(out).join("items.csv"))
    };
    let anew = limited("elsewhere");
    assert_eq!(limited("out"), anew);
    assert!(anew.lines().all(|line| whole[1].contains(line)), "{anew}");
}

#[test]
fn faults_of_an_evaluation_name_what_would_do() {
    let desk = desk();
    insta::assert_snapshot!("help_eval", desk.show(&["eval", "--help"]));
    let with = |changes: &[(usize, &str)], more: &[&str]| {
        let mut arguments = ALL.to_vec();
        arguments[8] = "arc_easy";
        for &(place, value) in changes {
            arguments[place] = value;
        }
        arguments.extend(more);
        desk.show(&arguments)
    };
    let mut shown = vec![
        with(&[(8, "arc_esay")], &[]),
        with(&[(8, "arc_easy,hellaswag")], &[]),
        with(&[(2, "nowhere")], &[]),
        with(&[(2, "hf:org/name")], &[]),
        with(&[], &["--num-fewshot", "2"]),
        with(&[], &["--context-length", "65"]),
        with(&[], &["--limit", "0"]),
    ];
    assert!(!desk.path().join("out").exists(), "a wrong request leaves nothing behind");
    with(&[], &[]);
    model(&desk, "other", 2);
    shown.push(with(&[(2, "other")], &[]));
    fs::remove_file(desk.path().join("other/tokenizer.json")).unwrap();
    shown.push(with(&[(2, "other"), (6, "elsewhere")], &[]));
    fs::write(desk.path().join("data/arc_easy/test.jsonl"), ARC.replace("\"B\"}", "\"E\"}")).unwrap();
    shown.push(with(&[], &[]));
    insta::assert_snapshot!("eval_faults", shown.join("\n"));
}

/// A model whose activations overflow: no accuracy that looks like one, exit 1, and a number of items; with
/// `--allow-non-finite` the tasks are marked and have no accuracy.
#[test]
fn a_model_without_finite_scores_has_no_accuracy() {
    let desk = desk();
    let backend = CpuBackend::<f32>::new();
    let (sound, broken) = (desk.path().join("model"), desk.path().join("broken"));
    let (config, mut weights) = checkpoint::load(&backend, &sound).unwrap();
    weights.norm.data.fill(3e38);
    checkpoint::save(&backend, &broken, &config, &weights).unwrap();
    fs::copy(sound.join("tokenizer.json"), broken.join("tokenizer.json")).unwrap();
    let mut arguments = ALL.to_vec();
    arguments[2] = "broken";
    arguments[8] = "arc_easy,mmlu";
    let shown = desk.show(&arguments);
    assert!(shown.contains("exit code 1"), "{shown}");
    assert!(
        shown
            .contains("not finite: 3 of 3 items of `arc_easy` (the first is item 0), 3 of 3 items of `mmlu`")
    );
    assert!(!desk.path().join("out/results.json").exists());
    arguments.push("--allow-non-finite");
    let shown = desk.show(&arguments);
    assert!(shown.contains("exit code 0"), "{shown}");
    let results: Value = serde_json::from_str(&read(&desk.path().join("out/results.json"))).unwrap();
    assert!(results["results"]["arc_easy"]["acc,none"].is_null(), "{results}");
    assert_eq!(results["efficientllm"]["tasks"][0]["num_not_finite"], 3);
    assert_eq!(results["n-samples"]["arc_easy"]["effective"], 0);
    let items = read(&desk.path().join("out/items.csv"));
    assert!(items.lines().skip(1).all(|line| line.split(',').nth(8) == Some("")), "{items}");
}

/// One item too long for the context: told before anything is scored, set aside with its text, the others scored.
#[test]
fn an_item_that_cannot_be_scored_is_set_aside_by_name() {
    let desk = desk();
    let long = "x".repeat(80);
    let line = format!(
        "{{\"id\": \"two\", \"question\": \"Long?\", \"choices\": {{\"text\": [\"{long}\", \"b\"], \"label\": [\"A\", \"B\"]}}, \"answerKey\": \"A\"}}\n"
    );
    fs::write(desk.path().join("data/arc_easy/test.jsonl"), ARC.to_string() + &line).unwrap();
    let mut arguments = ALL.to_vec();
    arguments[8] = "arc_easy";
    let shown = desk.show(&arguments);
    assert!(shown.contains("exit code 0"), "{shown}");
    assert!(shown.contains("warning: arc_easy: item 3 set aside, choice 0 has 81 tokens"), "{shown}");
    let aside = read(&desk.path().join("out/set_aside.csv"));
    assert!(aside.contains("arc_easy,3,two,") && aside.contains(&long), "{aside}");
    let items = read(&desk.path().join("out/items.csv"));
    assert!(items.lines().skip(1).all(|line| line.split(',').nth(10) != Some("3")), "{items}");
    let results: Value = serde_json::from_str(&read(&desk.path().join("out/results.json"))).unwrap();
    assert_eq!(results["n-samples"]["arc_easy"], serde_json::json!({ "original": 4, "effective": 3 }));
    assert_eq!(results["efficientllm"]["tasks"][0]["num_set_aside"], 1);
    // Nothing but such items is a wrong request.
    fs::write(desk.path().join("data/arc_easy/test.jsonl"), line).unwrap();
    let shown = desk.show(&arguments);
    assert!(shown.contains("exit code 2") && shown.contains("none of the 1 items"), "{shown}");
}

/// Without the time in `1_234 tokens in 0.12 s; …`, and without perplexities, whose last digits are the machine's.
fn without_times_of_tokens(text: &str) -> String {
    let line = |line: &str| match line.split_once(" tokens in ") {
        Some((before, after)) => {
            format!("{before} tokens in <time>{}", &after[after.find(';').unwrap_or(after.len())..])
        }
        None if line.starts_with("wikitext") && !line.contains(':') => {
            line.rsplit_once(' ').map_or(line, |(before, _)| before.trim_end()).to_string() + " <number>"
        }
        None => line.to_string(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}
