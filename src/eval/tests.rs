//! Items, requests and metrics against hand-computed cases, and against the harness where its files are present.
use super::request::tests::{Toy, bytes_only};
use super::*;
use crate::data::world::World;
use crate::data::{Tokenizer, ValidationWindows};
use std::fs;
use std::path::{Path, PathBuf};

pub(super) fn shared() -> PathBuf {
    std::env::var("EFFICIENTLLM_SHARED")
        .map_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from)
}

/// Items of `task` from one file with these lines.
fn items(task: Task, lines: &str) -> Result<Vec<Item>, EvalError> {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join(task.name())).expect("a folder");
    fs::write(folder.path().join(task.name()).join(format!("{}.jsonl", task.split())), lines)
        .expect("a file");
    load(task, Source::Folder(folder.path()), 0, 0)
}

fn only(task: Task, line: &str) -> Item {
    items(task, line).expect("items").remove(0)
}

#[test]
fn contexts_and_continuations() {
    let arc = r#"{"id": "x", "question": "Why?", "choices": {"text": ["a", "b ", "c"], "label": ["1", "2", "3"]}, "answerKey": "2"}"#;
    let item = only(Task::ArcEasy, arc);
    assert_eq!(
        item.requests[1],
        TextRequest { context: "Question: Why?\nAnswer:".into(), continuation: " b ".into() }
    );
    assert_eq!((item.id.as_str(), item.gold, item.requests.len()), ("x", 1, 3));

    let obqa = r#"{"question_stem": "The sun is", "choices": {"text": ["hot", "cold"], "label": ["A", "B"]}, "answerKey": " B"}"#;
    let item = only(Task::OpenBookQa, obqa);
    assert_eq!(item.requests[0], TextRequest { context: "The sun is".into(), continuation: " hot".into() });
    assert_eq!(item.gold, 1);

    let item = only(Task::Piqa, r#"{"goal": "dry it", "sol1": "sun", "sol2": "rain ", "label": 0}"#);
    assert_eq!(
        item.requests[1],
        TextRequest { context: "Question: dry it\nAnswer:".into(), continuation: " rain ".into() }
    );

    let item = only(Task::BoolQ, r#"{"question": "is it", "passage": "T -- It is.", "idx": 0, "label": 1}"#);
    assert_eq!(item.requests[0].context, "T -- It is.\nQuestion: is it?\nAnswer:");
    assert_eq!((item.choices, item.gold), (vec!["no".to_string(), "yes".to_string()], 1));

    let siqa = r#"{"context": "A fell.", "question": "Why?", "answerA": "x", "answerB": "y", "answerC": "z", "label": "3"}"#;
    let item = only(Task::SocialIqa, siqa);
    assert_eq!((item.requests[0].context.as_str(), item.gold), ("Q: A fell. Why?\nA:", 2));

    let swag = r#"{"activity_label": "Baking", "ctx_a": "A man [title] bakes.", "ctx_b": "the Man", "endings": ["eats [step] it.", " x"], "label": "0"}"#;
    let item = only(Task::HellaSwag, swag);
    assert_eq!(item.requests[0].context, "Baking: A man. bakes. The man");
    assert_eq!(item.choices, ["eats it.", "x"]);
    // Without a second part, capitalize gives nothing and the strip takes the space away.
    let swag = r#"{"activity_label": "Baking", "ctx_a": "He bakes.", "ctx_b": "", "endings": ["a", "b"], "label": "1"}"#;
    assert_eq!(only(Task::HellaSwag, swag).requests[0].context, "Baking: He bakes.");

    let wino =
        r#"{"sentence": "Ann met Bo so _ 's hat fell.", "option1": "Ann", "option2": "Bo", "answer": "2"}"#;
    let item = only(Task::WinoGrande, wino);
    assert_eq!(
        item.requests[0],
        TextRequest { context: "Ann met Bo so Ann".into(), continuation: " 's hat fell.".into() }
    );
    assert_eq!((item.requests[1].context.as_str(), item.gold), ("Ann met Bo so Bo", 1));
}

#[test]
fn faults_name_place_field_and_what_would_do() {
    let mut messages = Vec::new();
    for (task, line) in [
        (Task::Piqa, r#"{"goal": "g", "sol1": "a", "sol2": "b", "label": 2}"#),
        (Task::Piqa, r#"{"goal": "g", "sol1": "a", "solution2": "b", "label": 1}"#),
        (Task::ArcEasy, r#"{"question": "q", "choices": {"text": ["a"], "label": ["A"]}, "answerKey": "E"}"#),
        (Task::ArcEasy, r#"{"question": "q", "choices": ["a", "b"], "answerKey": "A"}"#),
        (Task::WinoGrande, r#"{"sentence": "no blank", "option1": "a", "option2": "b", "answer": "1"}"#),
        (Task::BoolQ, ""),
    ] {
        let message = items(task, line).expect_err("a fault").to_string();
        let start = message.find(task.name()).unwrap_or(0);
        messages.push(message[start..].to_string());
    }
    let world = World::new(0);
    messages.push(load(Task::SocialIqa, Source::World(&world), 10, 0).expect_err("a fault").to_string());
    messages.push(load(Task::Piqa, Source::Folder(Path::new("no")), 0, 0).expect_err("a fault").to_string());
    messages.push(Task::from_name("helaswag").expect_err("a fault").to_string());
    insta::assert_snapshot!(messages.join("\n"));
}

fn item(choices: &[&str], gold: usize) -> Item {
    let requests =
        choices.iter().map(|c| TextRequest { context: "q".into(), continuation: (*c).to_string() }).collect();
    let choices = choices.iter().map(|c| (*c).to_string()).collect();
    Item { requests, choices, gold, ..Item::named("0".into()) }
}

#[test]
fn accuracies_by_hand() {
    // The toy's score is −(sum of ids) and a constant. Ids of letters are consecutive: a < b < c.
    let t = bytes_only();
    let result = evaluate(
        Task::Piqa,
        // "a" (fewest, smallest) wins acc everywhere; by characters "ab" loses to "a" too: −(2a+1)/2 < −a.
        // é has 2 bytes and 1 character.
        &[item(&["b", "a"], 1), item(&["a", "ab"], 1), item(&["a", "a"], 1), item(&["é", "aaa"], 1)],
        &t,
        16,
        &mut Toy::default(),
    )
    .expect("a result");
    let acc: Vec<bool> = result.items.iter().map(|r| r.acc).collect();
    // Third: an exact tie, the first maximum wins, gold is the second.
    assert_eq!(acc[..3], [true, false, false]);
    let record = &result.items[3];
    assert_eq!(
        (&record.num_chars, &record.num_bytes, &record.num_tokens),
        (&vec![1, 3], &vec![2, 3], &vec![2, 3])
    );
    // acc compares −(é₁ + é₂) with −3a, acc_norm the same by 1 and 3 characters.
    let ids: Vec<f64> = t.encode("éa").expect("ids").into_iter().map(f64::from).collect();
    assert_eq!(record.acc, -3.0 * ids[2] > -(ids[0] + ids[1]));
    assert_eq!(record.acc_norm, Some(-3.0 * ids[2] / 3.0 > -(ids[0] + ids[1])));
    assert_eq!(result.chance, 0.5);
}

#[test]
fn standard_error_and_chance() {
    // 3 of 4: mean 0.75, squared deviations 3·0.0625 + 0.5625 = 0.75, s² = 0.25, s/√n = 0.25.
    let acc = Accuracy::of([true, true, false, true]).expect("items");
    assert_eq!((acc.value, acc.stderr), (0.75, Some(0.25)));
    assert_eq!(Accuracy::of([true]).expect("an item").stderr, None);
    assert_eq!(Accuracy::of([]), None);
    let items =
        [item(&["a", "b", "c"], 0), item(&["a", "b", "c", "d"], 0), item(&["a", "b", "c", "d", "e"], 0)];
    let result = evaluate(Task::ArcEasy, &items, &bytes_only(), 16, &mut Toy::default()).expect("a result");
    assert!((result.chance - (1.0 / 3.0 + 0.25 + 0.2) / 3.0).abs() < 1e-15);
    let result = evaluate(Task::BoolQ, &items, &bytes_only(), 16, &mut Toy::default()).expect("a result");
    assert_eq!(result.acc_norm, None);
}

#[test]
fn bits_per_byte_of_one_bit_per_token() {
    let t = bytes_only();
    let mut tokens = t.encode("abcd").expect("ids");
    tokens.push(t.eos_id());
    tokens.extend(t.encode("abcd").expect("ids"));
    // 9 tokens, T = 4: 8 targets, one of them the end of a document without bytes; the toy gives 1 bit per token.
    let windows = ValidationWindows::new(tokens.into(), 4, 0).expect("windows");
    let loss = held_out(&mut Toy::default(), &windows, &t, 1).expect("a loss");
    assert_eq!((loss.tokens, loss.bytes), (8, 7));
    assert!((loss.bits_per_byte - 8.0 / 7.0).abs() < 1e-12);
    assert!((loss.nll_per_token - std::f64::consts::LN_2).abs() < 1e-12);
}

#[test]
fn the_world_gives_items_of_each_task() {
    let world = World::new(0);
    for task in Task::ALL.into_iter().filter(|&t| t != Task::SocialIqa && !t.is_mmlu()) {
        let items = load(task, Source::World(&world), 40, 0).expect("items");
        assert_eq!(items.len(), 40);
        assert!(items.iter().all(|i| i.gold < i.requests.len()), "{}", task.name());
    }
}

/// Counts of the whole real files, as `evaluation.md` of the design lists them.
#[test]
fn real_benchmarks_load() {
    let folder = shared().join("data/benchmarks");
    if !folder.exists() {
        crate::base::requirement::skip("shared", &format!("no {}", folder.display()));
        return;
    }
    let counts = [2376, 1172, 3270, 10042, 500, 1838, 1954, 1267, 14042, 14042];
    for (task, count) in Task::ALL.into_iter().zip(counts) {
        let items = load(task, Source::Folder(&folder), 0, 0).expect("items");
        assert_eq!(items.len(), count, "{}", task.name());
        if task == Task::ArcEasy || task == Task::ArcChallenge {
            assert!(items.iter().all(|i| (3..=5).contains(&i.choices.len())));
        }
        if task == Task::HellaSwag {
            // Edge white space of endings is kept where a bracket was removed.
            assert!(items.iter().flat_map(|i| &i.choices).any(|c| c.starts_with(' ')));
        }
    }
}

#[test]
fn mmlu_in_letters_and_in_texts_with_examples() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("mmlu")).expect("a folder");
    let line = |subject: &str, question: &str, answer: usize| {
        format!(
            "{{\"subject\": \"{subject}\", \"question\": \"{question}\", \"choices\": [\"w\", \"x\", \"y\", \"z\"], \"answer\": {answer}}}\n"
        )
    };
    let write = |split: &str, lines: String| {
        fs::write(folder.path().join(format!("mmlu/{split}.jsonl")), lines).expect("a file");
    };
    write(
        "test",
        line("world_religions", " Who? ", 2) + &line("virology", "What?", 0) + &line("virology", "Why?", 0),
    );
    write("dev", line("virology", "When?", 1) + &line("world_religions", "Where?", 3));
    let load = |task, limit, shots| load(task, Source::Folder(folder.path()), limit, shots);
    let items = load(Task::Mmlu, 0, 0).expect("items");
    assert_eq!(
        items[0].requests[2],
        TextRequest {
            context: "The following are multiple choice questions (with answers) about world religions.\n\nWho?\nA. w\nB. x\nC. y\nD. z\nAnswer:".into(),
            continuation: " C".into()
        }
    );
    assert_eq!((items.len(), items[0].gold, items[0].subject.as_deref()), (3, 2, Some("world_religions")));
    // A limit is per subject, as in the harness.
    assert_eq!(load(Task::Mmlu, 1, 0).expect("items").len(), 2);
    let items = load(Task::Mmlu, 0, 1).expect("items");
    assert_eq!(
        items[1].requests[0].context,
        "The following are multiple choice questions (with answers) about virology.\n\nWhen?\nA. w\nB. x\nC. y\nD. z\nAnswer: B\n\nWhat?\nA. w\nB. x\nC. y\nD. z\nAnswer:"
    );
    let items = load(Task::MmluContinuation, 0, 1).expect("items");
    assert_eq!(
        items[0].requests[1],
        TextRequest {
            context: "Question: Where?\nAnswer: z\n\nQuestion: Who?\nAnswer:".into(),
            continuation: " x".into()
        }
    );
    let mut messages = vec![load(Task::Mmlu, 0, 2).expect_err("too few").to_string()];
    write("test", line("virologie", "What?", 0));
    messages.push(load(Task::Mmlu, 0, 0).expect_err("no such subject").to_string());
    let messages = messages.join("\n").replace(&folder.path().display().to_string(), "<data>");
    insta::assert_snapshot!("mmlu_faults", messages);
}

#[test]
fn an_example_is_the_right_request_whatever_the_task() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("winogrande")).expect("a folder");
    let line = r#"{"sentence": "Ann met Bo so _ fell.", "option1": "Ann", "option2": "Bo", "answer": "2"}"#;
    for split in ["train", "validation"] {
        fs::write(folder.path().join(format!("winogrande/{split}.jsonl")), line).expect("a file");
    }
    let items = load(Task::WinoGrande, Source::Folder(folder.path()), 0, 1).expect("items");
    assert_eq!(items[0].requests[0].context, "Ann met Bo so Bo fell.\n\nAnn met Bo so Ann");
    fs::remove_file(folder.path().join("winogrande/train.jsonl")).expect("removed");
    let error = load(Task::WinoGrande, Source::Folder(folder.path()), 0, 1).expect_err("no examples");
    assert!(error.to_string().contains("no train file for task `winogrande`"), "{error}");
}

/// The harness's own splitter finds 62 and 60 documents; their bytes are those of the files but for the blank start and
/// one newline between documents.
#[test]
fn real_wikitext_has_the_harness_s_documents() {
    let folder = shared().join("data/corpora/wikitext-2-raw");
    if !folder.exists() {
        crate::base::requirement::skip("shared", &format!("no {}", folder.display()));
        return;
    }
    for (file, count) in [("wiki.test.raw", 62), ("wiki.valid.raw", 60)] {
        let raw = fs::read_to_string(folder.join(file)).expect("the file");
        let documents = wikitext::documents(&raw);
        assert_eq!(documents.len(), count, "{file}");
        let bytes: usize = documents.iter().map(|d| d.bytes).sum();
        let start = raw.find(" = ").expect("a heading");
        assert_eq!(bytes + count - 1, raw.len() - start, "{file}");
    }
    let text =
        wikitext::read(Files::Folder(folder.parent().expect("its parent"))).expect("found by its folder");
    assert!(text.len() == 1_290_590, "{}", text.len());
}

/// Scores of a model do not depend on which items are scored, in which order, nor in passes of how many tokens.
#[test]
fn an_item_scores_alike_alone_in_a_list_in_reverse_and_in_any_pass() {
    use crate::model::fixtures;
    use crate::model::network::ExplicitNetwork;
    use crate::tensor::CpuBackend;
    let config = fixtures::config(257, 24, 6, true, &[(4, 2, 70), (2, 1, 33)]);
    let backend = CpuBackend::<f32>::new();
    let weights = fixtures::weights::<f32>(&config, 3);
    let items = load(Task::ArcEasy, Source::World(&World::new(0)), 6, 0).expect("items");
    let run = |items: &[Item], pass_tokens| {
        let mut network = ExplicitNetwork::new(&backend);
        let (network, config, weights) = (&mut network, &config, &weights);
        let mut scorer = NetworkScorer { network, config, weights, pass_tokens, tokens: 0 };
        let result = evaluate(Task::ArcEasy, items, &bytes_only(), 300, &mut scorer).expect("a result");
        let bits = |r: ItemRecord| r.loglikelihoods.iter().map(|ll| ll.to_bits()).collect::<Vec<_>>();
        result.items.into_iter().map(bits).collect::<Vec<_>>()
    };
    let together = run(&items, 100_000);
    for pass_tokens in [0, 1, 150, 300] {
        assert_eq!(run(&items, pass_tokens), together, "passes of {pass_tokens} tokens");
    }
    let reversed: Vec<Item> = items.iter().rev().cloned().collect();
    assert!(run(&reversed, 250).into_iter().rev().eq(together.clone()));
    for (item, expected) in items.iter().zip(&together) {
        assert_eq!(&run(std::slice::from_ref(item), 1000)[0], expected, "{}", item.id);
    }
}

/// Token counts, character lengths, accuracies and golds of lm-evaluation-harness 0.4.13 with the SmolLM2 tokenizer.
#[test]
fn requests_agree_with_the_harness() {
    let data = shared().join("data");
    let tokenizer = data.join("tokenizers/smollm2/tokenizer.json");
    if !tokenizer.exists() {
        crate::base::requirement::skip("shared", &format!("no {}", tokenizer.display()));
        return;
    }
    let tokenizer = Tokenizer::from_file(&tokenizer).expect("a tokenizer");
    let files =
        [(Task::ArcEasy, "arc_easy", 0.51557, Some(0.46549)), (Task::BoolQ, "boolq_first300", 0.41667, None)];
    for (task, file, acc, acc_norm) in files {
        let path = data.join(format!("reference_results/smollm2_q4_1_lm_eval_{file}.jsonl"));
        let lines = crate::data::corpus::read_objects(&path).expect("reference");
        let items = load(task, Source::Folder(&data.join("benchmarks")), lines.len(), 0).expect("items");
        let mut replay = Replay::default();
        for (item, (_, reference)) in items.iter().zip(&lines) {
            let numbers = |name: &str| -> Vec<f64> {
                reference[name]
                    .as_array()
                    .expect("a list")
                    .iter()
                    .map(|v| v.as_f64().expect("a number"))
                    .collect()
            };
            assert_eq!(item.gold as u64, reference["gold"].as_u64().expect("gold"));
            for (i, request) in item.requests.iter().enumerate() {
                let request = encode_pair(&tokenizer, request, 2048).expect("tokens");
                assert_eq!(request.num_scored() as f64, numbers("cont_tok")[i], "{} {i}", item.id);
                assert_eq!(request.scored_from as f64, numbers("ctx_tok")[i], "{} {i}", item.id);
                assert_eq!(item.choices[i].chars().count() as f64, numbers("len")[i]);
                replay.scores.insert(request, numbers("loglik")[i]);
            }
        }
        // The harness's own log-likelihoods through our metrics give its accuracies.
        let result = evaluate(task, &items, &tokenizer, 2048, &mut replay).expect("a result");
        assert!((result.acc.expect("items").value - acc).abs() < 5e-6);
        assert_eq!(result.acc_norm.is_some(), acc_norm.is_some());
        if let (Some(ours), Some(theirs)) = (result.acc_norm, acc_norm) {
            assert!((ours.value - theirs).abs() < 5e-6);
        }
    }
}

/// A scorer that knows its answers.
#[derive(Default)]
struct Replay {
    scores: std::collections::HashMap<TokenRequest, f64>,
}

impl Scorer for Replay {
    fn loglikelihoods(&mut self, items: &[Vec<TokenRequest>], found: Found) -> Result<(), EvalError> {
        let mut items = items.iter().enumerate();
        items.try_for_each(|(item, requests)| found(item, requests.iter().map(|r| self.scores[r]).collect()))
    }

    fn nll_sum(&mut self, _: &crate::data::Batch) -> Result<f64, EvalError> {
        Err(EvalError::Scorer { reason: "no text here".into() })
    }
}
