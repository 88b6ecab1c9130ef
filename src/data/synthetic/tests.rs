//! Tests of the synthetic corpus: items are distinct, balanced and labelled, choices tell nothing, sizes grow.
use super::super::task::Task;
use super::super::world::Split;
use super::*;
use std::collections::{BTreeMap, HashMap, HashSet};

pub(super) const SMALL: SyntheticSize = SyntheticSize { entities: 128, facts: 5, forms: 4 };
const LARGER: SyntheticSize = SyntheticSize { entities: 256, facts: 7, forms: 6 };
const TINY: SyntheticSize = SyntheticSize { entities: 64, facts: 1, forms: 2 };

/// A text field of an item.
pub(super) fn text(item: &SyntheticItem, name: &str) -> String {
    item.json[name].as_str().expect("text").to_string()
}

fn difficulty(item: &SyntheticItem) -> f64 {
    item.json["difficulty"].as_f64().expect("a number")
}

/// The choices of an item as the scorer sees them, without any context.
pub(super) fn choices(task: Task, item: &SyntheticItem) -> Vec<String> {
    let list = |value: &serde_json::Value| -> Vec<String> {
        value.as_array().expect("a list").iter().map(|v| v.as_str().expect("text").to_string()).collect()
    };
    match task {
        Task::ArcEasy | Task::ArcChallenge | Task::OpenBookQa => list(&item.json["choices"]["text"]),
        Task::HellaSwag => list(&item.json["endings"]),
        Task::Piqa => vec![text(item, "sol1"), text(item, "sol2")],
        Task::WinoGrande => vec![text(item, "option1"), text(item, "option2")],
        Task::BoolQ => vec!["no".into(), "yes".into()],
    }
}

#[test]
fn splits_share_no_document_and_continue_when_extended() {
    let corpus = Synthetic::new(0, SMALL);
    let train: Vec<String> = corpus.documents(4000, Split::Train).collect();
    let longer: Vec<String> = corpus.documents(4100, Split::Train).collect();
    assert_eq!(train, longer[..4000]);
    let of_train: HashSet<&String> = train.iter().collect();
    assert!(corpus.documents(1000, Split::Validation).all(|document| !of_train.contains(&document)));
    // Facts may be told again, but whole documents rarely are.
    assert!(of_train.len() > 3600, "{} different documents of 4000", of_train.len());
    assert_ne!(train[..5], Synthetic::new(1, SMALL).documents(5, Split::Train).collect::<Vec<_>>());
}

#[test]
fn items_are_distinct_balanced_labelled_and_of_the_right_shape() {
    for (size, n) in [(SMALL, 480), (LARGER, 600), (TINY, 120)] {
        let corpus = Synthetic::new(0, size);
        for task in Task::ALL {
            let items = corpus.benchmark(task, n);
            assert_eq!(items.len(), n, "{} {size:?}", task.name());
            let mut bags = HashSet::new();
            let mut golds: BTreeMap<usize, usize> = BTreeMap::new();
            for item in &items {
                let list = choices(task, item);
                assert_eq!(list.len(), task.num_choices());
                assert_eq!(list.iter().collect::<HashSet<_>>().len(), list.len(), "{list:?}");
                *golds.entry(item.gold).or_default() += 1;
                assert!(difficulty(item).is_finite(), "{item:?}");
                // What is read, in any order of words: permuted choices do not make another item.
                let mut json = item.json.clone();
                for name in [
                    "id",
                    "idx",
                    "ind",
                    "source_id",
                    "label",
                    "answerKey",
                    "answer",
                    "ctx",
                    "cluster",
                    "difficulty",
                ] {
                    json.remove(name);
                }
                let json = serde_json::to_string(&json).expect("JSON");
                let mut words: Vec<String> = json
                    .split(|c: char| !c.is_alphanumeric() && c != '_')
                    .filter(|word| !word.is_empty())
                    .map(str::to_string)
                    .collect();
                words.sort_unstable();
                assert!(bags.insert(words), "{json}");
            }
            assert!(
                golds.values().all(|&count| count == n / task.num_choices()),
                "{} {golds:?}",
                task.name()
            );
            let clusters: HashSet<String> = items.iter().map(|item| text(item, "cluster")).collect();
            assert!(clusters.len() > 5 && !clusters.contains(""), "{} {clusters:?}", task.name());
            assert_eq!(corpus.benchmark(task, n / 2)[..], items[..n / 2], "a larger number continues");
        }
    }
}

/// Words that frame a question and tell nothing of what it asks; names and pronouns of people do neither.
const FRAME: [&str; 20] = [
    "who", "know", "how", "what", "doe", "do", "you", "help", "to", "the", "and", "via", "by", "with",
    "using", "saw", "ha", "may", "in", "is",
];

/// What is asked, sorted: words without their plural's or verb's s, without frames and people.
fn content(task: Task, item: &SyntheticItem, with_choices: bool) -> Vec<String> {
    let fields =
        ["question", "passage", "activity_label", "ctx_a", "ctx_b", "question_stem", "goal", "sentence"];
    let mut read: Vec<String> = fields
        .iter()
        .filter_map(|name| item.json.get(*name).and_then(|value| value.as_str()).map(str::to_string))
        .collect();
    if with_choices {
        read.extend(choices(task, item));
    }
    let person = |word: &str| {
        words::PEOPLE.iter().any(|(name, pronoun)| word.eq_ignore_ascii_case(name) || word == *pronoun)
    };
    let text = read.join(" ");
    let split = text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    let mut words: Vec<String> = split
        .filter(|word| !person(word))
        .map(|word| word.to_lowercase())
        .map(|word| word.strip_suffix('s').unwrap_or(&word).to_string())
        .filter(|word| !FRAME.contains(&word.as_str()))
        .collect();
    words.sort_unstable();
    words
}

/// At the number that evaluations score at most. An item that differs from another in people and frames alone asks the same, and
/// so does one with other choices after the same question: intervals must take their answers as one.
#[test]
fn items_that_ask_the_same_are_of_one_cluster() {
    for seed in [0, 1] {
        let corpus = Synthetic::new(seed, SMALL);
        let mut of_one_question = 0;
        for task in Task::ALL {
            let items = corpus.benchmark(task, 500);
            assert_eq!(items.len(), 500, "{}", task.name());
            for with_choices in [true, false] {
                let mut first: HashMap<Vec<String>, &SyntheticItem> = HashMap::new();
                for item in &items {
                    let asked = content(task, item, with_choices);
                    let Some(known) = first.insert(asked, item) else { continue };
                    of_one_question += 1;
                    assert_eq!(text(item, "cluster"), text(known, "cluster"), "{item:?}\n{known:?}");
                }
            }
        }
        // There are such items, or the test would say nothing.
        assert!(of_one_question > 100, "{of_one_question}");
    }
}

/// Readers who never see the question, and of the choices only the words in which they differ (the others name what the
/// question is about): one takes the longest choice, one the choice that was right most often in other items, one the
/// same by words, one the choice whose words are the most frequent in the text. Each must be within 4 standard errors of
/// chance.
#[test]
fn choices_alone_tell_nothing() {
    let corpus = Synthetic::new(0, LARGER);
    let mut in_text: HashMap<String, f64> = HashMap::new();
    let normal = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric()).to_string();
    for document in corpus.documents(20_000, Split::Train) {
        for word in document.split_whitespace() {
            *in_text.entry(normal(word)).or_default() += 1.0;
        }
    }
    for task in Task::ALL {
        let items = corpus.benchmark(task, 3000);
        assert!(items.len() > 1500, "{} {}", task.name(), items.len());
        let (known, unknown) = items.split_at(items.len() * 2 / 3);
        let mut counts: HashMap<String, (f64, f64)> = HashMap::new();
        let parts = |choice: &str| -> Vec<String> {
            choice.split(' ').map(|w| format!("word {w}")).chain([choice.to_string()]).collect()
        };
        for item in known {
            for (i, choice) in differing(&choices(task, item)).iter().enumerate() {
                for part in parts(choice) {
                    let entry = counts.entry(part).or_default();
                    entry.0 += f64::from(u8::from(i == item.gold));
                    entry.1 += 1.0;
                }
            }
        }
        let chance = 1.0 / task.num_choices() as f64;
        let rate = |part: &str| {
            counts.get(part).map_or(chance, |(right, all)| (right + 20.0 * chance) / (all + 20.0))
        };
        let by_choice = |choice: &str| rate(choice);
        let by_words = |choice: &str| {
            let words = parts(choice);
            words[..words.len() - 1].iter().map(|w| rate(w).ln()).sum::<f64>() / (words.len() - 1) as f64
        };
        let by_length = |choice: &str| choice.len() as f64;
        let by_frequency = |choice: &str| {
            choice.split(' ').map(|word| in_text.get(&normal(word)).map_or(0.0, |n| n.ln())).sum::<f64>()
        };
        type Reader<'a> = (&'a str, &'a dyn Fn(&str) -> f64);
        let readers: [Reader; 4] = [
            ("choice", &by_choice),
            ("words", &by_words),
            ("length", &by_length),
            ("frequency", &by_frequency),
        ];
        for (name, reader) in readers {
            let right = unknown
                .iter()
                .filter(|item| {
                    let list = differing(&choices(task, item));
                    let best = (0..list.len()).max_by(|&a, &b| reader(&list[a]).total_cmp(&reader(&list[b])));
                    best == Some(item.gold)
                })
                .count();
            let acc = right as f64 / unknown.len() as f64;
            let stderr = (chance * (1.0 - chance) / unknown.len() as f64).sqrt();
            assert!((acc - chance).abs() < 4.0 * stderr, "{} by {name}: {acc:.3}", task.name());
        }
    }
}

/// Each choice without the words that all have at the same place.
fn differing(choices: &[String]) -> Vec<String> {
    let words: Vec<Vec<&str>> = choices.iter().map(|choice| choice.split(' ').collect()).collect();
    let differ = |place: usize| words.iter().any(|other| other.get(place) != words[0].get(place));
    let of = |list: &Vec<&str>| -> String {
        let kept: Vec<&str> =
            (0..list.len()).filter(|&place| differ(place)).map(|place| list[place]).collect();
        kept.join(" ")
    };
    words.iter().map(of).collect()
}

/// Difficulty is told by the text: facts of rare items occur less often than those of easy ones.
#[test]
fn rarer_facts_are_harder() {
    let corpus = Synthetic::new(0, SMALL);
    let documents: Vec<String> = corpus.documents(40_000, Split::Train).collect();
    let text = documents.join("\n");
    let mut items = corpus.benchmark(Task::ArcEasy, 200);
    items.sort_by(|a, b| difficulty(a).total_cmp(&difficulty(b)));
    let tellings = |items: &[SyntheticItem]| -> f64 {
        let count = |item: &SyntheticItem| {
            // "the owl looks red", in the forms that say it so.
            let answer = choices(Task::ArcEasy, item)[item.gold].trim_end_matches('.').to_lowercase();
            text.to_lowercase().matches(&answer[4..]).count() as f64
        };
        items.iter().map(count).sum::<f64>() / items.len() as f64
    };
    let (easy, hard) = (&items[..20], &items[180..]);
    assert!(tellings(easy) > 5.0 * tellings(hard), "{} {}", tellings(easy), tellings(hard));
    // Two of four forms say it in these words, so about half of the tellings are found.
    let expected: f64 = easy.iter().map(|item| 40_000.0 / 10f64.powf(difficulty(item))).sum::<f64>() / 20.0;
    let found = tellings(easy);
    assert!((0.3..0.9).contains(&(found / expected)), "{found} of {expected}");
}

#[test]
fn text_is_written_at_a_good_rate_at_every_size() {
    for entities in [64, 1024] {
        let corpus = Synthetic::new(3, SyntheticSize { entities, facts: 12, forms: 8 });
        let bytes: usize = corpus.documents(2000, Split::Train).map(|document| document.len()).sum();
        assert!((60..200).contains(&(bytes / 2000)), "{bytes}");
    }
}

#[test]
fn sample_of_text() {
    let corpus = Synthetic::new(0, SMALL);
    let text: Vec<String> = corpus.documents(60, Split::Train).collect();
    insta::assert_snapshot!(text.join("\n<|endoftext|>\n"));
}

#[test]
fn sample_of_items() {
    let corpus = Synthetic::new(0, SMALL);
    let mut lines = Vec::new();
    for task in Task::ALL {
        lines.push(format!("# {}", task.name()));
        for mut item in corpus.benchmark(task, 5) {
            // Rounded: logarithms may differ in their last digit between machines.
            let rounded = format!("{:.4}", difficulty(&item));
            item.json.insert("difficulty".into(), rounded.into());
            lines.push(serde_json::to_string(&item.json).expect("JSON"));
        }
    }
    insta::assert_snapshot!(lines.join("\n"));
}
