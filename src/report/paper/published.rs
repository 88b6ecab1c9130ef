//! Rows of a published table, from a CSV file: facts that others measured.
use super::{AVERAGE, Row, TASKS};
use crate::base::suggest::nearest;
use crate::report::{ReportError, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// Columns before the tasks.
const KEYS: [&str; 3] = ["model", "tokens", "params"];

/// Reads the rows of `path`: `model`, `tokens` and `params` as printed, then tasks in per cent, an empty cell where the paper
/// has no number, and `average_usual`.
///
/// # Errors
/// A column that is no task's, with the nearest; a cell that is no share in per cent, with its line.
pub fn read(path: &Path) -> Result<Vec<Row>> {
    let fault =
        |line: u64, message: String| ReportError::Published { path: path.to_path_buf(), line, message };
    let mut table = csv::Reader::from_path(path).map_err(|error| fault(0, error.to_string()))?;
    let header = table.headers().map_err(|error| fault(1, error.to_string()))?.clone();
    if let Some(missing) = KEYS.iter().find(|key| !header.iter().any(|name| name == **key)) {
        return Err(fault(1, format!("the column `{missing}` is missing")));
    }
    let known = || TASKS.into_iter().chain([AVERAGE]).chain(KEYS);
    for (at, name) in header.iter().enumerate() {
        if !known().any(|column| column == name) {
            let hint = match nearest(name, known()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the columns are {}", known().collect::<Vec<_>>().join(", ")),
            };
            return Err(fault(1, format!("unknown column `{name}`\nhint: {hint}")));
        }
        if header.iter().take(at).any(|other| other == name) {
            return Err(fault(1, format!("the column `{name}` is there twice")));
        }
    }
    let mut rows = Vec::new();
    for (index, record) in table.records().enumerate() {
        let record = record.map_err(|error| fault(index as u64 + 2, error.to_string()))?;
        let line = record.position().map_or(index as u64 + 2, csv::Position::line);
        let mut row = Row { params: None, tokens: None, ..Row::default() };
        let mut scores = BTreeMap::new();
        for (name, cell) in header.iter().zip(&record) {
            match name {
                "model" if cell.trim().is_empty() => return Err(fault(line, "a row without a model".into())),
                "model" => row.model = cell.trim().to_string(),
                "tokens" => row.tokens_text = cell.trim().to_string(),
                "params" => row.params_text = cell.trim().to_string(),
                _ if cell.trim().is_empty() => {}
                _ => {
                    let number = cell.trim().parse::<f64>().ok().filter(|x| (0.0..=100.0).contains(x));
                    let Some(number) = number else {
                        let message =
                            format!("{name}: expected a share in per cent, 0 to 100, found `{cell}`");
                        return Err(fault(line, message));
                    };
                    if name == AVERAGE {
                        row.average = Some(number);
                    } else {
                        scores.insert(name.to_string(), number);
                    }
                }
            }
        }
        row.scores = scores;
        rows.push(row);
    }
    if rows.is_empty() {
        return Err(fault(1, "it has no rows".into()));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<Row>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    /// The average of the paper is the mean of its seven columns, MMLU left out, to the last digit printed; where it is not,
    /// the rows were copied wrongly.
    #[test]
    fn the_committed_rows_are_whole_and_their_averages_those_of_their_columns() {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/published/efficientllm_table2.csv");
        let rows = read(&path).unwrap();
        assert_eq!(rows.len(), 26);
        for row in rows {
            let seven = row.scores.iter().filter(|(task, _)| task.as_str() != "mmlu").map(|(_, x)| x);
            let mean = seven.sum::<f64>() / 7.0;
            assert!((mean - row.average.unwrap()).abs() < 0.0101, "{}: {mean}", row.model);
        }
    }

    #[test]
    fn faults_name_the_place_and_the_nearest_column() {
        let told = |text: &str| read_text(text).unwrap_err().to_string();
        assert!(told("model,tokens,params,arc_chalenge\n").contains("did you mean `arc_challenge`?"));
        assert!(told("model,tokens\n").contains("the column `params` is missing"));
        assert!(
            told("model,tokens,params,piqa\nOPT,1B,1M,0.62x\n")
                .contains("line 2: piqa: expected a share in per cent")
        );
        assert!(told("model,tokens,params,piqa\nOPT,1B,1M,162\n").contains("found `162`"));
        assert!(told("model,tokens,params,piqa\n,1B,1M,62\n").contains("a row without a model"));
        assert!(told("model,tokens,params,piqa\n").contains("it has no rows"));
        let rows = read_text("model,tokens,params,piqa,boolq\nOPT,1B,1M,62.5,\n").unwrap();
        assert_eq!(rows[0].scores, BTreeMap::from([("piqa".to_string(), 62.5)]));
    }
}
