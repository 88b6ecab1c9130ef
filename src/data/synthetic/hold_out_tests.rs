//! Nothing that is evaluated stands in the text: an exact search over the documents, task by task, by what the fields of
//! an item's file say alone. Each search is also held against what must be found, so that it could find something.
use super::super::task::Task;
use super::super::world::Split;
use super::tests::{SMALL, choices, text};
use super::*;
use std::collections::HashSet;

const ITEMS: usize = 200;
const DOCUMENTS: usize = 15_000;

/// All documents, each between line ends.
fn corpus(seed: u64) -> (Synthetic, String) {
    let corpus = Synthetic::new(seed, SMALL);
    let mut documents = String::from("\n");
    for split in [Split::Train, Split::Validation] {
        for document in corpus.documents(DOCUMENTS, split) {
            documents.push_str(&document);
            documents.push('\n');
        }
    }
    (corpus, documents)
}

/// The text without its first word: a person, whose name says nothing.
fn without_person(text: &str) -> &str {
    text.split_once(' ').map_or(text, |(_, rest)| rest)
}

/// Whether the phrase stands in the documents and is not the beginning of a longer word's ("the car" in "the carrot").
fn stands(documents: &str, phrase: &str) -> bool {
    documents
        .match_indices(phrase)
        .any(|(start, _)| !documents[start + phrase.len()..].starts_with(|next: char| next.is_alphanumeric()))
}

/// Every run of words in the documents that begins with one of `starts` and has `length` words.
fn runs(documents: &str, length: usize) -> HashSet<&str> {
    let mut found = HashSet::new();
    for line in documents.lines() {
        let starts: Vec<usize> =
            std::iter::once(0).chain(line.match_indices(' ').map(|(i, _)| i + 1)).collect();
        for (place, &start) in starts.iter().enumerate() {
            let end = starts.get(place + length).map_or(line.len(), |next| next - 1);
            if place + length <= starts.len() {
                found.insert(&line[start..end]);
            }
        }
    }
    found
}

#[test]
fn questions_of_attributes_are_never_asked_but_their_facts_are_stated() {
    let (corpus, documents) = corpus(1);
    let items = corpus.benchmark(Task::ArcEasy, ITEMS);
    let mut stated = 0;
    for item in &items {
        let question = text(item, "question");
        assert!(!stands(&documents, &question), "{question}");
        stated += usize::from(stands(&documents, &choices(Task::ArcEasy, item)[item.gold]));
    }
    assert!(stated * 10 > items.len() * 9, "{stated} of {} facts are stated", items.len());
}

#[test]
fn pairs_of_traits_are_neither_asked_nor_stated() {
    let (corpus, documents) = corpus(2);
    for item in corpus.benchmark(Task::ArcChallenge, ITEMS) {
        let question = text(&item, "question");
        assert!(!stands(&documents, &question), "{question}");
        for choice in choices(Task::ArcChallenge, &item) {
            // In any wording the value follows the entity and the verb: "the owl hates noise".
            let words: Vec<&str> = choice.trim_end_matches('.').split(' ').collect();
            let pair = format!("{} {}", words[1], words[2]);
            assert!(!stands(&documents, &format!(" {pair}")), "{pair}");
        }
    }
}

#[test]
fn permissions_are_never_asked_and_half_of_them_are_not_in_prose() {
    let (corpus, documents) = corpus(3);
    let cell = |line: &str| -> Option<(String, String)> {
        let place = line.split(" in the ").nth(1)?.split(['.', ' ', ',']).next()?;
        Some((place.to_string(), String::new()))
    };
    let (mut asked, mut told) = (HashSet::new(), HashSet::new());
    let mut passage = None;
    for line in documents.lines() {
        if let (Some((place, _)), Some(question)) = (&passage, line.strip_prefix("Question: may ")) {
            let deed = question.trim_end_matches('?').split(' ').nth(1).expect("a deed");
            asked.insert((String::clone(place), deed.to_string()));
        }
        passage = cell(line);
        for key in [" asked to ", " wanted to "] {
            if let (Some((place, _)), Some((_, rest))) = (cell(line), line.split_once(key)) {
                let deed = rest.split([',', ' ']).next().expect("a deed");
                told.insert((place, deed.to_string()));
            }
        }
    }
    let items = corpus.benchmark(Task::BoolQ, ITEMS);
    let mut in_prose = 0;
    for item in &items {
        let (place, _) = cell(&text(item, "passage")).expect("a place");
        let deed = without_person(without_person(&text(item, "question"))).to_string();
        assert!(!asked.contains(&(place.clone(), deed.clone())), "{place} {deed}");
        in_prose += usize::from(told.contains(&(place, deed)));
    }
    assert!(asked.len() > 400 && told.len() > 400, "{} {}", asked.len(), told.len());
    // Half of the items are drawn from cells of prose, most of which some document tells.
    assert!((items.len() / 4..=items.len() / 2 + 40).contains(&in_prose), "{in_prose}");
}

#[test]
fn endings_and_steps_of_contexts_are_nowhere() {
    let (corpus, documents) = corpus(4);
    for item in corpus.benchmark(Task::HellaSwag, ITEMS) {
        let context = text(&item, "ctx_a");
        for step in
            choices(Task::HellaSwag, &item).iter().map(String::as_str).chain([without_person(&context)])
        {
            assert!(!stands(&documents, step), "{step}");
        }
    }
}

#[test]
fn stems_of_tools_are_nowhere_and_half_of_their_pairs_are_told_otherwise() {
    let (corpus, documents) = corpus(5);
    let items = corpus.benchmark(Task::OpenBookQa, ITEMS);
    let pairs = runs(&documents, 3);
    let mut told = 0;
    for item in &items {
        let stem = text(item, "question_stem");
        let stem = without_person(&stem);
        assert!(!stands(&documents, stem), "{stem}");
        // "cut the onion"
        let pair: Vec<&str> = stem.split(' ').take(3).collect();
        told += usize::from(pairs.contains(pair.join(" ").as_str()));
    }
    assert!((items.len() / 3..=items.len() / 2 + 40).contains(&told), "{told} of {}", items.len());
}

#[test]
fn pairs_of_goals_and_solutions_are_nowhere() {
    let (corpus, documents) = corpus(6);
    for item in corpus.benchmark(Task::Piqa, ITEMS) {
        let goal = text(&item, "goal");
        // "wax the table"
        let words: Vec<&str> = goal.trim_end_matches('?').split(' ').collect();
        let pair = words[3..].join(" ");
        assert!(pair.split(' ').count() == 3 && !stands(&documents, &pair), "{pair}");
        for solution in choices(Task::Piqa, &item) {
            assert!(!stands(&documents, &solution), "{solution}");
        }
    }
}

#[test]
fn sentences_of_habits_and_their_pairs_are_nowhere() {
    let (corpus, documents) = corpus(7);
    for item in corpus.benchmark(Task::WinoGrande, ITEMS) {
        let names = choices(Task::WinoGrande, &item);
        for name in &names {
            let sentence = text(&item, "sentence").replace('_', name);
            assert!(!stands(&documents, without_person(&sentence)), "{sentence}");
        }
        for (a, b) in [(0, 1), (1, 0)] {
            let pair = format!("the {} and the {}", names[a], names[b]);
            assert!(!stands(&documents, &pair), "{pair}");
        }
    }
}

/// The searches above find what does stand in the text.
#[test]
fn a_search_finds_what_is_in_the_text() {
    let (_, documents) = corpus(8);
    let found = [
        "How does the ",
        "What does the ",
        " and the ",
        " in the ",
        "To wax it, take some ",
        "Question: may ",
    ];
    for part in found {
        assert!(documents.matches(part).count() > 50, "{part}");
    }
    let (first, rest) = documents.trim_start().split_once('\n').expect("documents");
    assert!(stands(&documents, first) && !stands(&documents, &first[..first.len() - 2]), "{first}");
    assert!(rest.len() > 1_000_000);
    assert!(runs(&documents, 2).contains("one of"));
}
