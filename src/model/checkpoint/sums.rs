//! `SHA256SUMS` beside an exported model: what its large files were when they were written.
//!
//! ```text
//! <64 hexadecimal digits>  <file>          one line per file, as `sha256sum` writes and checks it
//! ```
//!
//! A flipped bit in a weight is a number like any other: only a sum tells. Files that people edit by hand are not listed.
use std::fs;
use std::path::Path;

use super::{CheckpointError, TENSORS_FILE};
use crate::base::hash::sha256_file;
use crate::base::input;

const SUMS_FILE: &str = "SHA256SUMS";
/// What is summed, where it is there.
const SUMMED: [&str; 2] = [TENSORS_FILE, "tokenizer.json"];
/// Largest list that is read.
const MAX_BYTES: u64 = 1 << 20;

/// Writes the sums of the large files in `folder`.
pub(super) fn write(folder: &Path) -> std::io::Result<()> {
    let mut text = String::new();
    for name in SUMMED.iter().filter(|name| folder.join(name).exists()) {
        text += &format!("{}  {name}\n", sha256_file(&folder.join(name))?);
    }
    fs::write(folder.join(SUMS_FILE), text)
}

/// Errors where a file is not what the list beside it says; fine where there is no list.
pub(super) fn check(folder: &Path) -> Result<(), CheckpointError> {
    let list = folder.join(SUMS_FILE);
    if !list.exists() {
        return Ok(());
    }
    let io = |path: &Path| {
        let path = path.to_path_buf();
        move |source| CheckpointError::Io { action: "read", path, source }
    };
    let text = input::read_text(&list, MAX_BYTES).map_err(io(&list))?;
    for line in text.lines() {
        // `sha256sum` marks files that it reads as binary by a star.
        let Some((sum, name)) = line.split_once(' ') else { continue };
        let name = name.trim_start().trim_start_matches('*');
        let path = folder.join(name);
        // Nothing outside the folder is read, and what is not there any more is not needed.
        if !SUMMED.contains(&name) || !path.exists() {
            continue;
        }
        let found = sha256_file(&path).map_err(io(&path))?;
        if !found.eq_ignore_ascii_case(sum) {
            return Err(CheckpointError::Sum { path, list });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_bit_is_found_where_there_are_sums() {
        let folder = tempfile::tempdir().unwrap();
        let weights = folder.path().join(TENSORS_FILE);
        fs::write(&weights, [7u8; 100]).unwrap();
        check(folder.path()).unwrap();
        write(folder.path()).unwrap();
        check(folder.path()).unwrap();
        let mut bytes = [7u8; 100];
        bytes[50] ^= 1;
        fs::write(&weights, bytes).unwrap();
        let message = check(folder.path()).unwrap_err().to_string();
        assert!(message.contains("is not what it was when `") && message.contains("SHA256SUMS"), "{message}");
        fs::write(folder.path().join(SUMS_FILE), "nothing\nabc  ../x\n").unwrap();
        check(folder.path()).unwrap();
    }
}
