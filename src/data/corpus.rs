//! Corpora from disk: plain text with documents separated by `<|endoftext|>`, and JSON Lines with a text field;
//! either of them compressed by zstd.
use super::error::DataError;
use crate::base::suggest::nearest;
use serde_json::{Map, Value};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What stands between two documents, in text files and, as one token, in packed tokens.
pub const SEPARATOR: &str = "<|endoftext|>";

/// The documents of plain-text files, in order, without white space at their edges; empty ones are left out.
///
/// # Errors
/// A file cannot be read, is no `.txt` or `.txt.zst`, or is not UTF-8.
pub fn read_text(paths: &[PathBuf]) -> Result<Vec<String>, DataError> {
    let mut documents = Vec::new();
    for path in paths {
        if !ends_in(path, &[".txt", ".txt.zst", ".raw"]) {
            return Err(DataError::Extension {
                path: path.clone(),
                expected: "`.txt`, `.txt.zst` or `.raw`",
            });
        }
        let text = read_file(path)?;
        documents.extend(text.split(SEPARATOR).map(str::trim).filter(|d| !d.is_empty()).map(str::to_string));
    }
    Ok(documents)
}

/// The documents in `field` of each line of JSON Lines files, in order; blank lines and empty documents are left out.
///
/// # Errors
/// A file cannot be read, is no `.jsonl` or `.jsonl.zst`, a line is broken, or the field is missing or no text.
pub fn read_jsonl(paths: &[PathBuf], field: &str) -> Result<Vec<String>, DataError> {
    let mut documents = Vec::new();
    for path in paths {
        for (line, object) in read_objects(path)? {
            match object.get(field) {
                Some(Value::String(text)) if text.trim().is_empty() => {}
                Some(Value::String(text)) => documents.push(text.clone()),
                Some(other) => return Err(wrong_type(path, line, field, other, "text")),
                None => return Err(missing_field(path, line, field, &object)),
            }
        }
    }
    Ok(documents)
}

/// A line number and the JSON object on that line.
pub type Line = (usize, Map<String, Value>);

/// The objects of a JSON Lines file with their line numbers, counted from 1.
///
/// # Errors
/// The file cannot be read or a line is no JSON object.
pub fn read_objects(path: &Path) -> Result<Vec<Line>, DataError> {
    if !ends_in(path, &[".jsonl", ".jsonl.zst"]) {
        return Err(DataError::Extension { path: path.to_path_buf(), expected: "`.jsonl` or `.jsonl.zst`" });
    }
    let text = read_file(path)?;
    let mut objects = Vec::new();
    // Only the newline ends a line: U+2028 and others may stand inside a JSON string.
    for (index, line) in text.split('\n').enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let value: Value = serde_json::from_str(line).map_err(|e| DataError::BrokenJson {
            path: path.to_path_buf(),
            line: index + 1,
            column: e.column(),
            found: describe(&e, line),
        })?;
        match value {
            Value::Object(object) => objects.push((index + 1, object)),
            other => {
                return Err(DataError::BrokenJson {
                    path: path.to_path_buf(),
                    line: index + 1,
                    column: 1,
                    found: format!("{}, where an object was expected", kind(&other)),
                });
            }
        }
    }
    Ok(objects)
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

fn ends_in(path: &Path, endings: &[&str]) -> bool {
    path.file_name().is_some_and(|name| endings.iter().any(|end| name.to_string_lossy().ends_with(end)))
}

/// The whole text of a file, decompressed where its name ends in `.zst`.
fn read_file(path: &Path) -> Result<String, DataError> {
    let fault = |source| DataError::Read { path: path.to_path_buf(), source };
    let mut bytes = Vec::new();
    let mut file = File::open(path).map_err(fault)?;
    if ends_in(path, &[".zst"]) {
        zstd::Decoder::new(file).and_then(|mut d| d.read_to_end(&mut bytes)).map_err(fault)?;
    } else {
        file.read_to_end(&mut bytes).map_err(fault)?;
    }
    String::from_utf8(bytes)
        .map_err(|e| DataError::NotUtf8 { path: path.to_path_buf(), offset: e.utf8_error().valid_up_to() })
}

#[cfg(test)]
mod tests {
    use super::*;
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

    #[test]
    fn jsonl_takes_the_field_and_skips_blank_lines() {
        let (_folder, path) =
            file("a.jsonl", "{\"text\": \"a\u{2028}b\"}\n\n{\"text\": \"c\", \"id\": 1}\n".as_bytes());
        assert_eq!(read_jsonl(&[path], "text").expect("documents"), ["a\u{2028}b", "c"]);
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
