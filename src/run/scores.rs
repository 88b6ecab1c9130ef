//! From what evaluation found to the rows of `items.csv`, `evals.csv` and `set_aside.csv`, for experiments and for `eval`.
use crate::eval::{ItemRecord, Limit, TaskResult};
use crate::record::{EvalScore, ItemChoice, SetAside};
use std::collections::HashMap;

/// Rows of `items.csv` of one task, choice by choice.
pub fn item_rows(result: &TaskResult) -> Vec<ItemChoice> {
    result.items.iter().flat_map(|item| choices(result.task.name(), item)).collect()
}

fn choices<'a>(task: &'a str, item: &'a ItemRecord) -> impl Iterator<Item = ItemChoice> + 'a {
    let companions = item.companions;
    (0..item.loglikelihoods.len()).map(move |choice| ItemChoice {
        task: task.to_string(),
        item: item.id.clone(),
        gold: item.gold as u64,
        choice: choice as u64,
        loglik: Some(item.loglikelihoods[choice]).filter(|ll| ll.is_finite()),
        num_chars: item.num_chars[choice] as u64,
        num_bytes: item.num_bytes[choice] as u64,
        num_tokens: item.num_tokens[choice] as u64,
        acc: item.acc.map(u8::from),
        acc_norm: item.acc_norm.map(u8::from),
        place: Some(item.place as u64),
        cluster: Some(item.cluster as u64),
        stratum: item.subject.clone(),
        gold_probability: companions.gold_probability,
        gold_probability_norm: companions.gold_probability_norm,
        gold_nll: companions.gold_nll,
        margin: companions.margin,
        choice_log_loss: companions.choice_log_loss,
        agreement: None,
        lost_context_tokens: Some(item.lost_context_tokens as u64),
        difficulty: item.difficulty,
    })
}

/// The row of `evals.csv` of one task, from its rows of `items.csv` among `items`; `sampled` tells which of a file's items
/// were scored.
pub fn score(result: &TaskResult, items: &[ItemChoice], sampled: Option<Limit>) -> EvalScore {
    EvalScore {
        num_set_aside: Some(result.set_aside.len() as u64),
        num_truncated: Some(result.truncated() as u64),
        context_length: Some(result.context_length as u64),
        sample_seed: match sampled {
            Some(Limit::Sample { seed, .. }) => Some(seed),
            _ => None,
        },
        ..EvalScore::from_choices(result.task.name(), items, result.chance)
    }
}

/// Rows of `set_aside.csv` of one task.
pub fn set_aside_rows(result: &TaskResult) -> Vec<SetAside> {
    let row = |item: &crate::eval::encode::SetAside| SetAside {
        task: result.task.name().to_string(),
        place: item.place as u64,
        item: item.id.clone(),
        reason: item.reason(),
        text: item.text.clone(),
    };
    result.set_aside.iter().map(row).collect()
}

/// Notes on every row of `items` whether its item is answered as the source answers it: by the likeliest choice, of equal ones
/// the first. An item that either side has no finite answer to, or that the source was not asked, is left blank.
pub fn note_agreement(items: &mut [ItemChoice], source: &Answers) {
    let ours = answers(items);
    for row in items {
        let item = row.place.map(|place| (row.task.clone(), place));
        let of = |answers: &Answers| item.as_ref().and_then(|item| answers.get(item).copied().flatten());
        row.agreement = of(&ours).zip(of(source)).map(|((ours, _), (theirs, _))| u8::from(ours == theirs));
    }
}

/// By task and place: the likeliest choice and its log-likelihood; `None` where one is not finite.
pub type Answers = HashMap<(String, u64), Option<(u64, f64)>>;

/// The answers of a model with these rows of `items.csv`.
pub fn answers(rows: &[ItemChoice]) -> Answers {
    let mut answers = Answers::new();
    for row in rows {
        let Some(place) = row.place else { continue };
        let loglik = row.loglik.filter(|loglik| loglik.is_finite());
        let own = loglik.map(|loglik| (row.choice, loglik));
        answers
            .entry((row.task.clone(), place))
            .and_modify(|best| {
                *best = match (*best, own) {
                    (Some(best), Some(own)) => Some(if own.1 > best.1 { own } else { best }),
                    _ => None,
                }
            })
            .or_insert(own);
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(task: &str, place: u64, logliks: &[Option<f64>]) -> Vec<ItemChoice> {
        let row = |(choice, loglik): (usize, &Option<f64>)| ItemChoice {
            task: task.into(),
            item: "the same".into(),
            choice: choice as u64,
            loglik: *loglik,
            place: Some(place),
            ..ItemChoice::default()
        };
        logliks.iter().enumerate().map(row).collect()
    }

    #[test]
    fn agreement_is_by_place_and_by_the_first_likeliest_choice() {
        let ours = [
            rows("piqa", 0, &[Some(-1.0), Some(-2.0)]),
            rows("piqa", 3, &[Some(-2.0), Some(-2.0)]),
            rows("piqa", 4, &[Some(-2.0), None]),
            rows("boolq", 0, &[Some(-3.0), Some(-2.0)]),
            rows("boolq", 9, &[Some(-3.0), Some(-2.0)]),
        ];
        let source = [
            rows("piqa", 0, &[Some(-9.0), Some(-8.0)]),
            rows("piqa", 3, &[Some(-1.0), Some(-8.0)]),
            rows("piqa", 4, &[Some(-1.0), Some(-8.0)]),
            rows("boolq", 0, &[Some(-3.0), Some(-2.5)]),
        ];
        let mut items = ours.concat();
        note_agreement(&mut items, &answers(&source.concat()));
        let found: Vec<Option<u8>> = items.iter().step_by(2).map(|row| row.agreement).collect();
        assert_eq!(found, [Some(0), Some(1), None, Some(1), None]);
        assert!(items.chunks(2).all(|item| item[0].agreement == item[1].agreement));
    }
}
