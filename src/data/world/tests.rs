//! Tests of the world: nothing evaluated occurs in the text, choices tell nothing, the text is English.
use super::*;
use std::collections::{BTreeMap, HashMap, HashSet};

const DOCUMENTS: usize = 20_000;

fn evaluated(world: &World) -> HashSet<Combination> {
    Task::ALL.iter().flat_map(|&task| world.benchmark(task, 500)).map(|item| item.combination).collect()
}

/// As many as evaluations score: no two items have the same words, in whatever order their choices or the two things of a sentence
/// stand.
#[test]
fn no_item_stands_there_twice_with_its_choices_in_another_order() {
    let world = World::new(0);
    for task in Task::ALL {
        let mut seen = HashSet::new();
        for item in world.benchmark(task, 500) {
            let read = item.json.as_object().expect("an object").iter().filter(|(name, _)| {
                !["id", "idx", "ind", "source_id", "label", "answerKey", "answer", "ctx", "combination"]
                    .contains(&name.as_str())
            });
            let text: Vec<String> = read.map(|(_, value)| value.to_string()).collect();
            let text = text.join(" ");
            let mut words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
            words.sort_unstable();
            assert!(seen.insert(words.join(" ")), "{} {text}", task.name());
        }
    }
}

#[test]
fn no_evaluated_combination_is_recorded_in_the_text() {
    let world = World::new(3);
    let evaluated = evaluated(&world);
    for split in [Split::Train, Split::Validation] {
        for document in world.documents(DOCUMENTS / 2, split) {
            for c in &document.combinations {
                let swapped = Combination::new(c.rule, c.second, c.first);
                assert!(
                    !evaluated.contains(c) && !evaluated.contains(&swapped),
                    "{c:?} in {}",
                    document.text
                );
            }
        }
    }
}

/// Independent of the generators' records and of the hold-out filter's lemmas: plain words of the text, cut to a
/// common stem, looked up against the items' slot words.
#[test]
fn no_document_contains_the_words_of_an_evaluated_combination() {
    let world = World::new(0);
    let stem = |word: &str| {
        let word = word.to_lowercase();
        let strip = |word: &str, ends: &[&str]| {
            let cut = ends.iter().find_map(|end| word.strip_suffix(end)).filter(|rest| rest.len() >= 3);
            cut.unwrap_or(word).to_string()
        };
        let mut word = strip(&strip(&word, &["ies", "ied", "ing", "es", "ed", "s"]), &["e", "y"]);
        let letters: Vec<char> = word.chars().rev().take(2).collect();
        if letters.len() == 2 && letters[0] == letters[1] {
            word.pop();
        }
        word
    };
    let mut pairs: Vec<(String, String, Combination)> = Vec::new();
    for c in evaluated(&world) {
        match lexicon::EVENTS.iter().find(|e| c.rule == Rule::ThingEvent && e.name == c.second) {
            Some(event) => pairs.extend(event.places.iter().map(|p| (stem(c.first), stem(p), c))),
            None => pairs.push((stem(c.first), stem(c.second), c)),
        }
    }
    assert!(pairs.len() > 300);
    let mut occurrences: HashMap<String, usize> = HashMap::new();
    for document in world.documents(DOCUMENTS, Split::Train) {
        let words: HashSet<String> =
            document.text.split(|c: char| !c.is_alphabetic()).filter(|w| !w.is_empty()).map(stem).collect();
        for (a, b, c) in &pairs {
            assert!(!(words.contains(a) && words.contains(b)), "{c:?} in: {}", document.text);
        }
        for word in words {
            *occurrences.entry(word).or_default() += 1;
        }
    }
    // Every slot word is frequent by itself: what is new in an item is the combination alone.
    for (a, b, c) in &pairs {
        for word in [a, b] {
            let count = occurrences.get(word).copied().unwrap_or(0);
            assert!(count >= 20, "{word} of {c:?} occurs in {count} of {DOCUMENTS} documents");
        }
    }
}

#[test]
fn splits_share_no_document_and_continue_when_extended() {
    let world = World::new(0);
    let train: Vec<String> = world.documents(4000, Split::Train).map(|d| d.text).collect();
    let longer: Vec<String> = world.documents(4100, Split::Train).map(|d| d.text).collect();
    assert_eq!(train, longer[..4000]);
    let train: HashSet<String> = train.into_iter().collect();
    assert!(world.documents(1000, Split::Validation).all(|d| !train.contains(&d.text)));
    assert_ne!(
        world.documents(5, Split::Train).collect::<Vec<_>>(),
        World::new(1).documents(5, Split::Train).collect::<Vec<_>>()
    );
}

/// The choices of an item as the scorer sees them, without any context.
fn choices(task: Task, item: &BenchmarkItem) -> Vec<String> {
    let list = |value: &serde_json::Value| -> Vec<String> {
        value.as_array().expect("a list").iter().map(|v| v.as_str().expect("text").to_string()).collect()
    };
    let text = |name: &str| item.json[name].as_str().expect("text").to_string();
    match task {
        Task::ArcEasy | Task::ArcChallenge | Task::OpenBookQa => list(&item.json["choices"]["text"]),
        Task::HellaSwag => list(&item.json["endings"]),
        Task::Piqa => vec![text("sol1"), text("sol2")],
        Task::WinoGrande => vec![text("option1"), text("option2")],
        Task::BoolQ => vec!["no".into(), "yes".into()],
    }
}

#[test]
fn items_are_distinct_balanced_and_of_the_right_shape() {
    let world = World::new(0);
    for task in Task::ALL {
        let items = world.benchmark(task, 600);
        assert_eq!(items.len(), 600, "{}", task.name());
        let mut texts = HashSet::new();
        let mut golds: BTreeMap<usize, usize> = BTreeMap::new();
        for item in &items {
            assert!(world.hold_out().contains(&item.combination), "{:?}", item.combination);
            let list = choices(task, item);
            assert_eq!(list.len(), task.num_choices());
            assert_eq!(list.iter().collect::<HashSet<_>>().len(), list.len(), "{list:?}");
            *golds.entry(item.gold).or_default() += 1;
            let mut json = item.json.clone();
            for name in ["id", "idx", "ind", "source_id"] {
                json.as_object_mut().expect("an object").remove(name);
            }
            texts.insert(json.to_string());
        }
        assert_eq!(texts.len(), 600, "{}", task.name());
        assert!(golds.values().all(|&count| count == 600 / task.num_choices()), "{} {golds:?}", task.name());
    }
}

/// Three readers who never see the question: one always takes the longest choice, one the choice that was right most
/// often in 2000 other items (whole choices), one the same by words. Each must be within 4 standard errors of chance.
#[test]
fn choices_alone_tell_nothing() {
    let world = World::new(0);
    for task in Task::ALL {
        let items = world.benchmark(task, 3000);
        assert!(items.len() > 2500, "{} {}", task.name(), items.len());
        let (known, unknown) = items.split_at(2000);
        // Right and total occurrences of each whole choice and of each word.
        let mut counts: HashMap<String, (f64, f64)> = HashMap::new();
        let parts = |choice: &str| -> Vec<String> {
            choice.split(' ').map(|w| format!("word {w}")).chain([choice.to_string()]).collect()
        };
        for item in known {
            for (i, choice) in choices(task, item).iter().enumerate() {
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
        type Reader<'a> = (&'a str, &'a dyn Fn(&str) -> f64);
        let readers: [Reader; 3] = [("choice", &by_choice), ("words", &by_words), ("length", &by_length)];
        for (name, reader) in readers {
            let right = unknown
                .iter()
                .filter(|item| {
                    let list = choices(task, item);
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

#[test]
fn sample_of_text() {
    let world = World::new(0);
    let text: Vec<String> = world.documents(60, Split::Train).map(|d| d.text).collect();
    insta::assert_snapshot!(text.join("\n<|endoftext|>\n"));
}

#[test]
fn sample_of_items() {
    let world = World::new(0);
    let mut lines = Vec::new();
    for task in Task::ALL {
        lines.push(format!("# {}", task.name()));
        lines.extend(world.benchmark(task, 5).iter().map(|item| item.json.to_string()));
    }
    insta::assert_snapshot!(lines.join("\n"));
}
