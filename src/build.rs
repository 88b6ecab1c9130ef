//! Runs before the crate is built: lists the rules, and says what the program is built from.
#[path = "rules/list.rs"]
mod rules;
#[path = "record/sources.rs"]
mod sources;

use std::path::PathBuf;
use std::{env, io};

fn main() -> io::Result<()> {
    let folder = |name: &str| env::var(name).map(PathBuf::from).map_err(io::Error::other);
    let (root, out) = (folder("CARGO_MANIFEST_DIR")?, folder("OUT_DIR")?);
    rules::list(&root, &out)?;
    for file in sources::files(&root)? {
        println!("cargo::rerun-if-changed={}", file.display());
    }
    println!("cargo::rustc-env=EFFICIENTLLM_SOURCES={}", sources::digest(&root)?);
    Ok(())
}
