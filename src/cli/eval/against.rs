//! How far an evaluation is from another of the same items, such as one in another precision.
use crate::base::input;
use crate::record::ItemChoice;
use crate::record::harness::ITEMS_FILE;
use anyhow::{Result, anyhow, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

pub(in crate::cli) type Choices = BTreeMap<(String, String, u64), ItemChoice>;

/// The choices that the evaluation in `folder` scored, by task, item and choice.
pub(in crate::cli) fn read(folder: &Path) -> Result<Choices> {
    let path = folder.join(ITEMS_FILE);
    let text = input::read_text(&path, u64::MAX)
        .map_err(|error| anyhow!("--against: cannot read `{}`: {error}", path.display()))?;
    let mut table = csv::Reader::from_reader(text.as_bytes());
    let rows: Result<Vec<ItemChoice>, csv::Error> = table.deserialize().collect();
    let rows = rows.map_err(|error| anyhow!("--against: `{}`: {error}", path.display()))?;
    if rows.is_empty() {
        bail!("--against: `{}` holds no choice", path.display());
    }
    Ok(rows.into_iter().map(|row| (key(&row), row)).collect())
}

/// Task, place of the item in its file, and choice: ids repeat. Rows of versions without places have the id instead.
fn key(row: &ItemChoice) -> (String, String, u64) {
    (row.task.clone(), named(row), row.choice)
}

fn named(row: &ItemChoice) -> String {
    row.place.map_or(row.item.clone(), |place| format!("item {place}"))
}

/// What is told of one task.
#[derive(Default)]
struct Distance {
    /// |Δ log-likelihood| of each choice.
    differences: Vec<f64>,
    items: BTreeSet<String>,
    /// Items answered rightly: here, there.
    right: [usize; 2],
    flipped: usize,
    missing: usize,
}

/// Per task: median and largest difference of log-likelihoods, accuracies, and answers that are right on one side only.
pub(super) fn describe(ours: &[ItemChoice], theirs: &Choices, folder: &Path) -> String {
    let mut tasks: BTreeMap<&str, Distance> = BTreeMap::new();
    for row in ours {
        let task = tasks.entry(&row.task).or_default();
        let Some(other) = theirs.get(&key(row)) else {
            task.missing += 1;
            continue;
        };
        if let (Some(a), Some(b)) = (row.loglik, other.loglik) {
            task.differences.push((a - b).abs());
        }
        if task.items.insert(named(row)) {
            let answers = [row, other].map(|row| row.acc == Some(1));
            for (right, is_right) in task.right.iter_mut().zip(answers) {
                *right += usize::from(is_right);
            }
            task.flipped += usize::from(answers[0] != answers[1]);
        }
    }
    let mut text = format!("log-likelihoods against `{}`\n", folder.display());
    let width = tasks.keys().map(|name| name.len()).max().unwrap_or(0).max(4);
    let _ = writeln!(
        text,
        "{:width$}  {:>7}  {:>9}  {:>9}  {:>6}  {:>6}  {:>9}",
        "task", "choices", "median", "largest", "acc", "there", "flipped"
    );
    for (name, task) in &mut tasks {
        task.differences.sort_by(f64::total_cmp);
        let count = task.differences.len();
        let (median, largest) = match task.differences.last() {
            Some(last) => {
                let middle = (task.differences[(count - 1) / 2] + task.differences[count / 2]) / 2.0;
                (format!("{middle:.2e}"), format!("{last:.2e}"))
            }
            None => (String::new(), String::new()),
        };
        let share = |right: usize| format!("{:.4}", right as f64 / task.items.len().max(1) as f64);
        let _ = write!(
            text,
            "{name:width$}  {count:>7}  {median:>9}  {largest:>9}  {:>6}  {:>6}  {:>9}",
            share(task.right[0]),
            share(task.right[1]),
            format!("{} of {}", task.flipped, task.items.len())
        );
        if task.missing > 0 {
            let _ = write!(text, "  ({} choices are not there)", task.missing);
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(item: &str, choice: u64, loglik: f64, acc: u8) -> ItemChoice {
        ItemChoice {
            task: "piqa".into(),
            item: item.into(),
            gold: 0,
            choice,
            loglik: Some(loglik),
            num_chars: 1,
            num_bytes: 1,
            num_tokens: 1,
            acc: Some(acc),
            ..ItemChoice::default()
        }
    }

    /// Two items of one id, told apart by their places.
    #[test]
    fn an_item_is_its_place() {
        let at = |place, acc| ItemChoice { place: Some(place), ..row("one id", 0, -1.0, acc) };
        let theirs = [at(0, 1), at(3, 0)].into_iter().map(|row| (key(&row), row)).collect();
        let text = describe(&[at(0, 1), at(3, 1)], &theirs, Path::new("f32"));
        assert!(text.contains("1.0000  0.5000     1 of 2"), "{text}");
    }

    #[test]
    fn distances_are_told_by_task() {
        let ours = [row("a", 0, -1.0, 1), row("a", 1, -2.5, 1), row("b", 0, -3.0, 0), row("c", 0, -3.0, 0)];
        let theirs = [row("a", 0, -1.25, 1), row("a", 1, -2.0, 1), row("b", 0, -3.0, 1)];
        let theirs = theirs.into_iter().map(|row| (key(&row), row)).collect();
        let text = describe(&ours, &theirs, Path::new("f32"));
        let line = text.lines().last().unwrap_or_default();
        let cells: Vec<&str> = line.split_whitespace().collect();
        let expected = [
            "piqa", "3", "2.50e-1", "5.00e-1", "0.5000", "1.0000", "1", "of", "2", "(1", "choices", "are",
            "not", "there)",
        ];
        assert_eq!(cells, expected, "{text}");
    }

    #[test]
    fn a_folder_without_results_is_refused() {
        let error = read(Path::new("/nowhere")).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("--against: cannot read `/nowhere/items.csv`"), "{error}");
    }
}
