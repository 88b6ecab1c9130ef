//! The SHA-256 of the sources that a program was built from, taken when it is built and again when it runs: the commit of a
//! source tree says something about the program only while the two are equal.
//!
//! ```text
//! digest = SHA-256( for each file in the order of the paths: path ‖ 0 ‖ length in 8 bytes, little-endian ‖ contents )
//! ```
//!
//! The build script includes this file, so it uses nothing of the crate.
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The files of `root` that a program is made of: `Cargo.toml`, `Cargo.lock` where there is one, and all in `src` but tests.
///
/// # Errors
/// A folder that cannot be read.
pub fn files(root: &Path) -> io::Result<Vec<PathBuf>> {
    // Whoever uses the crate as a library has a lock file of their own.
    let mut found: Vec<PathBuf> = ["Cargo.toml", "Cargo.lock"]
        .map(|name| root.join(name))
        .into_iter()
        .filter(|path| path.exists())
        .collect();
    let mut folders = vec![root.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            if matches!(stem, "tests" | "snapshots") || stem.ends_with("_tests") {
                continue;
            }
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    Ok(found)
}

/// The digest in hexadecimal digits.
///
/// # Errors
/// A file that cannot be read.
pub fn digest(root: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    for path in files(root)? {
        let bytes = fs::read(&path)?;
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy();
        hash.update(name.as_bytes());
        hash.update([0]);
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(&bytes);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
