//! Corpora from disk: plain text with documents separated by `<|endoftext|>`, JSON Lines with a text field (either of
//! them compressed by gzip or zstd), and Parquet with a text column.
//!
//! Each kind has a `visit_…` that holds one document at a time, and a `read_…` that collects them. A row that gives no text (a
//! broken line, a field that is missing or null) goes to a function of the caller's, which ends the reading or goes on.
use super::columns::visit_column;
use super::error::DataError;
use super::files::{TextFile, ends_in};
use super::lenient;
use crate::base::suggest::nearest;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// What stands between two documents, in text files and, as one token, in packed tokens.
pub const SEPARATOR: &str = "<|endoftext|>";

/// The documents of plain-text files, in order, without white space at their edges; empty ones are left out.
///
/// # Errors
/// As [`visit_text`].
pub fn read_text(paths: &[PathBuf]) -> Result<Vec<String>, DataError> {
    collect(paths, visit_text)
}

/// The documents in `field` of each line of JSON Lines files, in order; blank lines and empty documents are left out.
///
/// # Errors
/// As [`visit_jsonl`].
pub fn read_jsonl(paths: &[PathBuf], field: &str) -> Result<Vec<String>, DataError> {
    collect(paths, |path, visit| visit_jsonl(path, field, &mut Err, visit))
}

/// The documents in `column` of each row of Parquet files, in order; empty ones are left out.
///
/// # Errors
/// As [`visit_parquet`].
pub fn read_parquet(paths: &[PathBuf], column: &str) -> Result<Vec<String>, DataError> {
    collect(paths, |path, visit| visit_parquet(path, column, &mut Err, visit))
}

fn collect(
    paths: &[PathBuf],
    each: impl Fn(&Path, &mut Visit<'_>) -> Result<(), DataError>,
) -> Result<Vec<String>, DataError> {
    let mut documents = Vec::new();
    let mut keep = |document: &str, _| {
        documents.push(document.to_string());
        Ok(())
    };
    paths.iter().try_for_each(|path| each(path, &mut keep))?;
    Ok(documents)
}

/// What is done with a document; beside it stand the bytes of the file, as it is on disk, that are read by then. Its
/// failure ends the reading.
pub type Visit<'a> = dyn FnMut(&str, u64) -> Result<(), DataError> + 'a;

/// What is done with the fault of a row that gives no text: `Ok` goes on with the next row.
pub type BadRow<'a> = dyn FnMut(DataError) -> Result<(), DataError> + 'a;

/// Shows `visit` the documents of one plain-text file, as [`read_text`] gives them.
///
/// # Errors
/// The file cannot be read, has none of the endings of plain text, is damaged, cut short, or not UTF-8; `visit` fails.
pub fn visit_text(path: &Path, visit: &mut Visit<'_>) -> Result<(), DataError> {
    if !ends_in(path, &[".txt", ".txt.gz", ".txt.zst", ".raw"]) {
        let expected = "`.txt`, `.txt.gz`, `.txt.zst` or `.raw`";
        return Err(DataError::Extension { path: path.to_path_buf(), expected });
    }
    let mut file = TextFile::open(path)?;
    while let Some((document, read)) = file.until(SEPARATOR)? {
        let document = document.trim();
        if !document.is_empty() {
            visit(document, read)?;
        }
    }
    Ok(())
}

/// Shows `visit` the documents of one JSON Lines file, as [`read_jsonl`] gives them.
///
/// # Errors
/// The file cannot be read, has none of the endings of JSON Lines, is damaged or cut short; `visit` fails, or `bad` a
/// line that is no JSON object of UTF-8 or has no text in the field.
pub fn visit_jsonl(
    path: &Path,
    field: &str,
    bad: &mut BadRow<'_>,
    visit: &mut Visit<'_>,
) -> Result<(), DataError> {
    visit_lines(path, &mut |line| {
        let JsonLine { number, object, unread, read } = match line {
            Ok(line) => line,
            Err(fault) => return bad(fault),
        };
        match object.get(field) {
            Some(Value::String(text)) if text.trim().is_empty() => Ok(()),
            Some(Value::String(text)) => visit(text, read),
            Some(other) => bad(wrong_type(path, number, field, other, "text")),
            None => match unread.into_iter().find(|(name, _)| name == field) {
                Some((name, reason)) => {
                    let found = format!("field `{name}`: {reason}");
                    bad(DataError::BrokenJson { path: path.to_path_buf(), line: number, column: 1, found })
                }
                None => bad(missing_field(path, number, field, &object)),
            },
        }
    })
}

/// Shows `visit` the documents of one Parquet file, as [`read_parquet`] gives them.
///
/// # Errors
/// The file cannot be read, is no `.parquet`, is damaged or cut short; the column is missing or holds no text; `visit`
/// fails, or `bad` a row that lacks it.
pub fn visit_parquet(
    path: &Path,
    column: &str,
    bad: &mut BadRow<'_>,
    visit: &mut Visit<'_>,
) -> Result<(), DataError> {
    if !ends_in(path, &[".parquet"]) {
        return Err(DataError::Extension { path: path.to_path_buf(), expected: "`.parquet`" });
    }
    visit_column(path, column, bad, &mut |text, read| match text.trim() {
        "" => Ok(()),
        _ => visit(text, read),
    })
}

/// A line number and the JSON object on that line.
pub type Line = (usize, Map<String, Value>);

/// The objects of a JSON Lines file with their line numbers, counted from 1.
///
/// # Errors
/// The file cannot be read, has none of the endings of JSON Lines, is damaged, cut short or not UTF-8; a line is no JSON
/// object. A field that is no JSON (see `lenient`) is left out.
pub fn read_objects(path: &Path) -> Result<Vec<Line>, DataError> {
    let mut objects = Vec::new();
    visit_lines(path, &mut |line| {
        let line = line?;
        objects.push((line.number, line.object));
        Ok(())
    })?;
    Ok(objects)
}

/// One line of a JSON Lines file.
struct JsonLine {
    /// From 1.
    number: usize,
    object: Map<String, Value>,
    /// Fields that are no JSON, and why.
    unread: Vec<lenient::Unread>,
    /// Bytes of the file that are read by then.
    read: u64,
}

/// What is done with a line, or with its fault.
type VisitLine<'a> = dyn FnMut(Result<JsonLine, DataError>) -> Result<(), DataError> + 'a;

/// Shows `visit` the lines of a JSON Lines file one by one, blank ones left out.
fn visit_lines(path: &Path, visit: &mut VisitLine<'_>) -> Result<(), DataError> {
    if !ends_in(path, &[".jsonl", ".jsonl.gz", ".jsonl.zst"]) {
        let expected = "`.jsonl`, `.jsonl.gz` or `.jsonl.zst`";
        return Err(DataError::Extension { path: path.to_path_buf(), expected });
    }
    let mut file = TextFile::open(path)?;
    let mut number = 0;
    // Only the newline ends a line: U+2028 and others may stand inside a JSON string.
    loop {
        let line = match file.until("\n") {
            Ok(None) => return Ok(()),
            Ok(Some((line, _))) if line.trim().is_empty() => {
                number += 1;
                continue;
            }
            Ok(Some(line)) => Ok(line),
            // The line is read, and the next one may be sound.
            Err(fault @ DataError::NotUtf8 { .. }) => Err(fault),
            Err(fault) => return Err(fault),
        };
        number += 1;
        visit(line.and_then(|(line, read)| parse_line(path, number, line, read)))?;
    }
}

fn parse_line(path: &Path, number: usize, line: &str, read: u64) -> Result<JsonLine, DataError> {
    let broken =
        |column, found| DataError::BrokenJson { path: path.to_path_buf(), line: number, column, found };
    match serde_json::from_str(line) {
        Ok(Value::Object(object)) => Ok(JsonLine { number, object, unread: Vec::new(), read }),
        Ok(other) => Err(broken(1, format!("{}, where an object was expected", kind(&other)))),
        Err(error) => match lenient::object(line) {
            Some((object, unread)) => Ok(JsonLine { number, object, unread, read }),
            None => Err(broken(error.column(), describe(&error, line))),
        },
    }
}

/// The fault that `field` is missing in `object`.
pub fn missing_field(path: &Path, line: usize, field: &str, object: &Map<String, Value>) -> DataError {
    let names: Vec<&str> = object.keys().map(String::as_str).collect();
    let found = match names.as_slice() {
        [] => "no fields".to_string(),
        names => names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", "),
    };
    DataError::MissingField {
        path: path.to_path_buf(),
        line,
        field: field.to_string(),
        found,
        nearest: nearest(field, names).map(str::to_string),
    }
}

/// The fault that `field` holds `value`, not `expected`.
pub fn wrong_type(path: &Path, line: usize, field: &str, value: &Value, expected: &'static str) -> DataError {
    DataError::FieldType {
        path: path.to_path_buf(),
        line,
        field: field.to_string(),
        found: kind(value).to_string(),
        expected,
    }
}

/// What a JSON value is, in words.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The parser's message without its own line number, and the text around the fault.
fn describe(error: &serde_json::Error, line: &str) -> String {
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    let skip = error.column().saturating_sub(12);
    let near: String =
        String::from_utf8_lossy(&line.as_bytes()[skip.min(line.len())..]).chars().take(24).collect();
    format!("{message}, near `{near}`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write;

    fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(name);
        File::create(&path).and_then(|mut f| f.write_all(bytes)).expect("a file");
        (folder, path)
    }

    /// The message with the temporary folder left out.
    fn message(folder: &tempfile::TempDir, error: &DataError) -> String {
        error.to_string().replace(&format!("{}/", folder.path().display()), "")
    }

    #[test]
    fn text_is_split_at_the_separator() {
        let text = "One.\nStill one.\n<|endoftext|>\n\n<|endoftext|>\nTwo.\n";
        let (_folder, path) = file("a.txt", text.as_bytes());
        assert_eq!(read_text(&[path]).expect("documents"), ["One.\nStill one.", "Two."]);
        let (_folder, path) = file("a.txt.zst", &zstd::encode_all(text.as_bytes(), 3).expect("compressed"));
        assert_eq!(read_text(&[path]).expect("documents"), ["One.\nStill one.", "Two."]);
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).and_then(|()| encoder.finish()).expect("compressed")
    }

    #[test]
    fn gzip_files_are_read_to_the_end_of_their_last_member() {
        let text = "One.<|endoftext|>Two.<|endoft";
        let (first, second) = text.as_bytes().split_at(11);
        let (_folder, path) = file("a.txt.gz", &[gzip(first), gzip(second)].concat());
        assert_eq!(read_text(&[path]).expect("documents"), ["One.", "Two.<|endoft"]);
        let (_folder, path) = file("a.jsonl.gz", &gzip(b"{\"text\": \"a\"}\n{\"text\": \"b\"}"));
        assert_eq!(read_jsonl(&[path], "text").expect("documents"), ["a", "b"]);
    }

    #[test]
    fn damaged_compression_is_a_fault_wherever_it_begins() {
        let text: String = (0..4000).map(|i| format!("{{\"text\": \"{}\"}}\n", i * i)).collect();
        let zstd = zstd::encode_all(text.as_bytes(), 3).expect("compressed");
        let mut messages = Vec::new();
        for (name, bytes) in [("a.jsonl.gz", gzip(text.as_bytes())), ("a.jsonl.zst", zstd)] {
            for length in [0, 5, bytes.len() / 2, bytes.len() - 1] {
                let (folder, path) = file(name, &bytes[..length]);
                let error = read_jsonl(&[path], "text").expect_err("a fault");
                assert!(matches!(error, DataError::Compressed { .. }), "{name} cut to {length}: {error}");
                messages.push(message(&folder, &error));
            }
        }
        let mut bytes = gzip(b"{\"text\": \"a\"}\n");
        let checksum = bytes.len() - 8;
        bytes[checksum] ^= 1;
        let (folder, path) = file("flipped.jsonl.gz", &bytes);
        messages.push(message(&folder, &read_jsonl(&[path], "text").expect_err("a fault")));
        let (folder, path) = file("plain.txt.gz", b"not compressed at all");
        messages.push(message(&folder, &read_text(&[path]).expect_err("a fault")));
        let (folder, path) = file("a.txt.gz", &gzip(b"One.<|endoftext|>abc\xff"));
        messages.push(message(&folder, &read_text(&[path]).expect_err("a fault")));
        insta::assert_snapshot!(messages.join("\n"));
    }

    #[test]
    fn jsonl_takes_the_field_and_skips_blank_lines() {
        let (_folder, path) =
            file("a.jsonl", "{\"text\": \"a\u{2028}b\"}\n\n{\"text\": \"c\", \"id\": 1}\n".as_bytes());
        assert_eq!(read_jsonl(&[path], "text").expect("documents"), ["a\u{2028}b", "c"]);
    }

    #[test]
    fn marks_and_python_s_numbers_are_no_faults_of_fields_that_nobody_asks_for() {
        let (_folder, path) = file("a.txt", "\u{feff}One.<|endoftext|>\u{feff}Two.".as_bytes());
        assert_eq!(read_text(&[path]).expect("documents"), ["One.", "\u{feff}Two."]);
        let lines = "\u{feff}{\"text\": \"a\", \"score\": NaN}\n{\"text\": \"b\", \"id\": \"\\ud800\"}\n";
        let (folder, path) = file("a.jsonl", lines.as_bytes());
        assert_eq!(read_jsonl(std::slice::from_ref(&path), "text").expect("documents"), ["a", "b"]);
        assert_eq!(read_objects(&path).expect("objects").len(), 2);
        let error = read_jsonl(&[path], "id").expect_err("a fault");
        assert!(message(&folder, &error).starts_with("`a.jsonl` line 1: no field `id`"), "{error}");
        let (folder, path) = file("b.jsonl", b"{\"text\": \"a\"}\n{\"text\": \"\\ud800\"}\n");
        let error = message(&folder, &read_jsonl(&[path], "text").expect_err("a fault"));
        assert!(error.starts_with("`b.jsonl` line 2, column 1: broken JSON: field `text`: "), "{error}");
        let utf16: Vec<u8> = "{\"text\": \"a\"}\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in [utf16.clone(), [b"\xff\xfe".to_vec(), utf16].concat()] {
            let (folder, path) = file("c.jsonl", &bytes);
            let error = message(&folder, &read_jsonl(&[path], "text").expect_err("a fault"));
            assert!(error.contains("UTF-16"), "{error}");
        }
        for (name, bytes) in [
            ("d.jsonl.gz", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n".as_slice()),
            ("e.jsonl.zst", b"<!DOCTYPE html><html>"),
        ] {
            let (folder, path) = file(name, bytes);
            let error = message(&folder, &read_jsonl(&[path], "text").expect_err("a fault"));
            assert!(error.contains("Git LFS pointer") || error.contains("page of HTML"), "{error}");
        }
    }

    #[test]
    fn bad_rows_can_be_passed_over() {
        let lines = b"{\"text\": \"a\"}\n{\"text\": null}\n{\"other\": 1}\n\n{\"text\"\n\xff\n[1]\n{\"text\": \"b\"}\n";
        let (_folder, path) = file("a.jsonl", lines);
        let (mut seen, mut faults) = (Vec::new(), Vec::new());
        let mut keep = |text: &str, _| {
            seen.push(text.to_string());
            Ok(())
        };
        let mut bad = |fault: DataError| {
            faults.push(fault.to_string());
            Ok(())
        };
        visit_jsonl(&path, "text", &mut bad, &mut keep).expect("documents");
        assert_eq!((seen, faults.len()), (vec!["a".to_string(), "b".to_string()], 5), "{faults:?}");
    }

    #[test]
    fn faults_name_file_line_and_nearest_field() {
        let cases: [(&str, &str, &str); 5] = [
            ("a.jsonl", "{\"text\": \"a\"}\n{\"text\": \"b\n", "text"),
            ("a.jsonl", "{\"text\": \"a\"}\n{\"text\" \"b\"}\n", "text"),
            ("a.jsonl", "{\"text\": \"a\"}\n[1]\n", "text"),
            ("a.jsonl", "{\"content\": \"a\", \"id\": 3}\n", "contents"),
            ("a.jsonl", "\n{\"text\": 7}\n", "text"),
        ];
        let mut messages = Vec::new();
        for (name, text, field) in cases {
            let (folder, path) = file(name, text.as_bytes());
            messages.push(message(&folder, &read_jsonl(&[path], field).expect_err("a fault")));
        }
        let (folder, path) = file("a.txt", b"abc\xff");
        messages.push(message(&folder, &read_text(&[path]).expect_err("a fault")));
        let (folder, path) = file("a.parquet", b"abc");
        messages.push(message(&folder, &read_text(&[path]).expect_err("a fault")));
        messages.push(message(&folder, &read_text(&[folder.path().join("b.txt")]).expect_err("a fault")));
        insta::assert_snapshot!(messages.join("\n"));
    }
}
