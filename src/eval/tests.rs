//! Items, requests and metrics against hand-computed cases, and against the harness where its files are present.
use super::request::tests::{Toy, bytes_only};
use super::*;
use crate::data::synthetic::{Synthetic, SyntheticSize};
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
    load(task, Source::Folder(folder.path()), Limit::All, 0)
}

/// Encodes and scores.
pub(super) fn evaluate(
    task: Task,
    items: &[Item],
    tokenizer: &Tokenizer,
    context_length: usize,
    scorer: &mut dyn Scorer,
) -> Result<TaskResult, EvalError> {
    encode(task, items.to_vec(), tokenizer, context_length)?.evaluate(scorer)
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
    messages.push(
        load(Task::SocialIqa, Source::World(&world), Limit::First(10), 0).expect_err("a fault").to_string(),
    );
    messages.push(
        load(Task::Piqa, Source::Folder(Path::new("no")), Limit::All, 0).expect_err("a fault").to_string(),
    );
    messages.push(Task::from_name("helaswag").expect_err("a fault").to_string());
    insta::assert_snapshot!(messages.join("\n"));
}

fn item(choices: &[&str], gold: usize) -> Item {
    let requests =
        choices.iter().map(|c| TextRequest { context: "q".into(), continuation: (*c).to_string() }).collect();
    let choices = choices.iter().map(|c| (*c).to_string()).collect();
    Item { requests, choices, gold, ..Item::named("0".into(), 0) }
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
    let acc: Vec<bool> = result.items.iter().map(|r| r.acc.expect("finite")).collect();
    // Third: an exact tie, the first maximum wins, gold is the second.
    assert_eq!(acc[..3], [true, false, false]);
    let record = &result.items[3];
    assert_eq!(
        (&record.num_chars, &record.num_bytes, &record.num_tokens),
        (&vec![1, 3], &vec![2, 3], &vec![2, 3])
    );
    // acc compares −(é₁ + é₂) with −3a, acc_norm the same by 1 and 3 characters.
    let ids: Vec<f64> = t.encode("éa").expect("ids").into_iter().map(f64::from).collect();
    assert_eq!(record.acc, Some(-3.0 * ids[2] > -(ids[0] + ids[1])));
    assert_eq!(record.acc_norm, Some(-3.0 * ids[2] / 3.0 > -(ids[0] + ids[1])));
    assert_eq!(result.chance, Some(0.5));
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
    assert!((result.chance.expect("items") - (1.0 / 3.0 + 0.25 + 0.2) / 3.0).abs() < 1e-15);
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
    assert_eq!((loss.tokens, loss.bytes), (8, 7.0));
    assert!((loss.bits_per_byte - 8.0 / 7.0).abs() < 1e-12);
    assert!((loss.nll_per_token - std::f64::consts::LN_2).abs() < 1e-12);
}

#[test]
fn the_world_gives_items_of_each_task() {
    let world = World::new(0);
    for task in Task::ALL.into_iter().filter(|&t| t != Task::SocialIqa && !t.is_mmlu()) {
        let items = load(task, Source::World(&world), Limit::First(40), 0).expect("items");
        assert_eq!(items.len(), 40);
        assert!(items.iter().all(|i| i.gold < i.requests.len()), "{}", task.name());
    }
}

#[test]
fn the_synthetic_corpus_gives_items_with_cluster_and_difficulty() {
    let corpus = Synthetic::new(0, SyntheticSize { entities: 64, facts: 2, forms: 2 });
    for task in Task::ALL.into_iter().filter(|&t| t != Task::SocialIqa && !t.is_mmlu()) {
        let items = load(task, Source::Synthetic(&corpus), Limit::First(40), 0).expect("items");
        assert!(items.iter().all(|i| i.gold < i.requests.len() && i.difficulty.is_some()), "{}", task.name());
        let clusters: std::collections::HashSet<usize> = items.iter().map(|item| item.cluster).collect();
        assert!((2..40).contains(&clusters.len()), "{} {clusters:?}", task.name());
        let record =
            &evaluate(task, &items, &bytes_only(), 300, &mut Toy::default()).expect("scores").items[7];
        assert_eq!((record.cluster, record.difficulty), (items[7].cluster, items[7].difficulty));
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
        let items = load(task, Source::Folder(&folder), Limit::All, 0).expect("items");
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
    let load = |task, limit, shots| {
        let limit = if limit == 0 { Limit::All } else { Limit::First(limit) };
        load(task, Source::Folder(folder.path()), limit, shots)
    };
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
    let items = load(Task::WinoGrande, Source::Folder(folder.path()), Limit::All, 1).expect("items");
    assert_eq!(items[0].requests[0].context, "Ann met Bo so Bo fell.\n\nAnn met Bo so Ann");
    fs::remove_file(folder.path().join("winogrande/train.jsonl")).expect("removed");
    let error =
        load(Task::WinoGrande, Source::Folder(folder.path()), Limit::All, 1).expect_err("no examples");
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
    let items = load(Task::ArcEasy, Source::World(&World::new(0)), Limit::First(6), 0).expect("items");
    let run = |items: &[Item], pass_tokens| {
        let mut network = ExplicitNetwork::new(&backend);
        let (network, config, weights) = (&mut network, &config, &weights);
        let mut scorer = NetworkScorer { pass_tokens, ..NetworkScorer::new(network, config, weights) };
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
        let items = load(task, Source::Folder(&data.join("benchmarks")), Limit::First(lines.len()), 0)
            .expect("items");
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
                let request =
                    encode_pair(&tokenizer, request).expect("tokens").fit(2048).expect("fits").request;
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

/// Two items of one id are two items, each known by its place; a sample keeps the places of the file.
#[test]
fn an_item_is_its_place_in_the_file() {
    let line = |goal: &str, id: &str| {
        format!(
            "{{\"goal\": \"{goal}\", \"sol1\": \"a\", \"sol2\": \"b\", \"label\": 0, \"id\": \"{id}\"}}\n"
        )
    };
    let lines: String = ["g", "h", "i", "g"].iter().map(|goal| line(goal, "q")).collect();
    let all = items(Task::Piqa, &lines).expect("items");
    let names: Vec<(usize, &str, usize)> = all.iter().map(|i| (i.place, i.id.as_str(), i.cluster)).collect();
    // One goal is one cluster, named by its first item.
    assert_eq!(names, [(0, "q", 0), (1, "q", 1), (2, "q", 2), (3, "q", 0)]);
    let result = evaluate(Task::Piqa, &all, &bytes_only(), 64, &mut Toy::default()).expect("a result");
    assert_eq!(result.items.iter().map(|r| r.place).collect::<Vec<_>>(), [0, 1, 2, 3]);
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("piqa")).expect("a folder");
    fs::write(folder.path().join("piqa/validation.jsonl"), lines.repeat(10)).expect("a file");
    let sample = |seed| {
        let limit = Limit::Sample { items: 8, seed };
        let items = load(Task::Piqa, Source::Folder(folder.path()), limit, 0).expect("items");
        items.iter().map(|item| item.place).collect::<Vec<_>>()
    };
    assert_eq!(sample(0), Limit::Sample { items: 8, seed: 0 }.places(40, "piqa"));
    assert_ne!(sample(0), sample(1));
}

/// What the items of a cluster share, task by task.
#[test]
fn clusters_by_task() {
    let clusters = |task, lines: &[&str]| {
        items(task, &lines.join("\n")).expect("items").iter().map(|i| i.cluster).collect::<Vec<_>>()
    };
    let wino = |a: &str, b: &str| {
        format!(r#"{{"sentence": "x _ y", "option1": "{a}", "option2": "{b}", "answer": "1"}}"#)
    };
    let (one, two, other) = (wino("Ann", "Bo"), wino("Bo", "Ann"), wino("Ann", "Cy"));
    assert_eq!(clusters(Task::WinoGrande, &[&one, &other, &two]), [0, 1, 0]);
    let boolq = |passage: &str| format!(r#"{{"question": "q", "passage": "{passage}", "label": 1}}"#);
    assert_eq!(clusters(Task::BoolQ, &[&boolq("P"), &boolq("P"), &boolq("R")]), [0, 0, 2]);
    let swag = |source: &str| {
        format!(
            r#"{{"activity_label": "a", "ctx_a": "c", "ctx_b": "", "endings": ["x", "y"], "label": "0", "source_id": "{source}"}}"#
        )
    };
    assert_eq!(clusters(Task::HellaSwag, &[&swag("v1"), &swag("v2"), &swag("v1")]), [0, 1, 0]);
    let siqa = |context: &str| {
        format!(
            r#"{{"context": "{context}", "question": "Why?", "answerA": "x", "answerB": "y", "answerC": "z", "label": "3"}}"#
        )
    };
    assert_eq!(clusters(Task::SocialIqa, &[&siqa("c"), &siqa("c")]), [0, 0]);
}

/// A scorer without a finite answer to its second item.
struct Broken;

impl Scorer for Broken {
    fn loglikelihoods(&mut self, items: &[Vec<TokenRequest>], found: Found) -> Result<(), EvalError> {
        let score =
            |item: usize, choice: usize| if item == 1 && choice == 1 { f64::NAN } else { -(choice as f64) };
        (0..items.len()).try_for_each(|i| found(i, (0..items[i].len()).map(|c| score(i, c)).collect()))
    }

    fn nll_sum(&mut self, _: &crate::data::Batch) -> Result<f64, EvalError> {
        Ok(f64::NAN)
    }
}

#[test]
fn a_score_that_is_not_finite_is_no_answer() {
    let items: Vec<Item> =
        (0..3).map(|place| Item { place, ..item(&["a", "b"], usize::from(place == 2)) }).collect();
    let result = evaluate(Task::Piqa, &items, &bytes_only(), 16, &mut Broken).expect("a result");
    let acc: Vec<Option<bool>> = result.items.iter().map(|r| r.acc).collect();
    assert_eq!(acc, [Some(true), None, Some(false)]);
    assert_eq!((result.items[1].acc_norm, result.items[1].companions), (None, Companions::default()));
    assert_eq!((result.acc.expect("two items").value, result.not_finite()), (0.5, 1));
    let message = not_finite([&result]).expect("a fault").to_string();
    assert!(message.contains("1 of 3 items of `piqa` (the first is item 1)"), "{message}");
    let fine = evaluate(Task::Piqa, &items[..1], &bytes_only(), 16, &mut Broken).expect("a result");
    assert!(not_finite([&fine]).is_none());
}

/// Found while encoding, before a scorer is asked: no tokens of its own, more tokens than fit; both set aside with their text.
#[test]
fn items_that_cannot_be_scored_are_set_aside_and_truncation_is_counted() {
    let mut items = vec![item(&[" a", " b"], 0), item(&["", " b"], 0), item(&[" a", " bcdefghi"], 1)];
    items.push(Item {
        requests: vec![TextRequest { context: "a long context".into(), continuation: " x".into() }; 2],
        ..item(&[" x", " y"], 0)
    });
    items.iter_mut().enumerate().for_each(|(place, item)| item.place = place);
    let encoded = encode(Task::Piqa, items.clone(), &bytes_only(), 8).expect("tokens");
    let places: Vec<usize> = encoded.items.iter().map(|i| i.item.place).collect();
    assert_eq!((places, encoded.truncated(), encoded.items[1].lost), (vec![0, 3], 1, 7));
    insta::assert_snapshot!("set_aside", encoded.notes().join("\n"));
    let result = encoded.evaluate(&mut Toy::default()).expect("a result");
    assert_eq!((result.items.len(), result.set_aside.len(), result.truncated()), (2, 2, 1));
    let encoded = encode(Task::Piqa, items[1..3].to_vec(), &bytes_only(), 8).expect("tokens");
    let error = encoded.nothing_to_score().expect("nothing to score");
    // Where a run has come so far all the same, the task has no accuracy.
    let result = encoded.evaluate(&mut Toy::default()).expect("a result");
    assert_eq!((result.acc, result.chance, result.set_aside.len()), (None, None, 2));
    assert!(error.to_string().starts_with("none of the 2 items of task `piqa` can be scored: "), "{error}");
}

/// A tokenizer of one merge, `:no`: after `…Answer:` the choice `no` has no token of its own, which the harness dies of.
#[test]
fn a_token_across_the_join_is_found_before_anything_is_scored() {
    let json = r#"{"version":"1.0","truncation":null,"padding":null,
        "added_tokens":[{"id":0,"content":"</s>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],
        "normalizer":null,"pre_tokenizer":null,"post_processor":null,"decoder":null,
        "model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,"end_of_word_suffix":null,
            "fuse_unk":false,"byte_fallback":false,"ignore_merges":false,
            "vocab":{"</s>":0,"q":1,":":2,"n":3,"o":4,"x":5,"no":6,":no":7},"merges":[["n","o"],[":","no"]]}}"#;
    let tokenizer = Tokenizer::from_json(json).expect("a tokenizer");
    let request = |choice: &str| TextRequest { context: "q:".into(), continuation: choice.into() };
    let two = |place, choices: [&str; 2]| Item {
        requests: choices.map(request).to_vec(),
        place,
        ..item(&choices, 0)
    };
    let encoded =
        encode(Task::Piqa, vec![two(5, ["x", "no"]), two(6, ["xx", "x"])], &tokenizer, 64).expect("tokens");
    assert_eq!(encoded.items.iter().map(|i| i.item.place).collect::<Vec<_>>(), [6]);
    let aside = &encoded.set_aside[0];
    assert_eq!((aside.place, aside.choice, aside.text.as_str()), (5, 1, "q:no"));
    // A token across the join that leaves the choice another one is scored by number, as the harness does, and told.
    let encoded = encode(Task::Piqa, vec![two(5, ["x", "nox"])], &tokenizer, 64).expect("tokens");
    assert!(encoded.items[0].changes_context && encoded.notes()[0].contains("changes the tokens"));
}

/// Stopped after each item in turn: what was known and what was scored adds up to the cost of one evaluation at a stretch.
#[test]
fn a_resumed_evaluation_costs_what_an_uninterrupted_one_costs() {
    use crate::model::fixtures;
    use crate::model::network::ExplicitNetwork;
    use crate::tensor::CpuBackend;
    let config = fixtures::config(257, 24, 6, true, &[(4, 2, 70)]);
    let backend = CpuBackend::<f32>::new();
    let weights = fixtures::weights::<f32>(&config, 3);
    let items = load(Task::Piqa, Source::World(&World::new(0)), Limit::First(5), 0).expect("items");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.jsonl");
    let run = |most: usize| {
        let mut network = ExplicitNetwork::new(&backend);
        // Passes of one item: a stop is between passes.
        let mut scorer =
            NetworkScorer { pass_tokens: 1, ..NetworkScorer::new(&mut network, &config, &weights) };
        let mut journal = Journal::open_own(&path, "model").expect("a journal");
        let mut new = 0;
        let mut watch = |_, known: bool| {
            new += usize::from(!known);
            known || new < most
        };
        let mut journalled = Journalled { journal: &mut journal, scorer: &mut scorer, watch: &mut watch };
        let result = evaluate(Task::Piqa, &items, &bytes_only(), 300, &mut journalled);
        (result, scorer.tokens, scorer.known_tokens)
    };
    for stop in 1..5 {
        let (result, ..) = run(1);
        assert!(matches!(result, Err(EvalError::Interrupted)));
        assert_eq!(Journal::open_own(&path, "model").expect("a journal").len(), stop);
    }
    let (resumed, tokens, known) = run(100);
    fs::remove_file(&path).expect("removed");
    let (whole, all, none) = run(100);
    assert_eq!((tokens + known, none), (all, 0));
    assert!(known > 0 && tokens > 0);
    assert_eq!(resumed.expect("a result"), whole.expect("a result"));
}
