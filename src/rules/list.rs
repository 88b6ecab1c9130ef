//! Lists the rules before the crate is built: every file of `src/rules/saliency` and `src/rules/update` is one, and nothing else
//! has to name it. Cargo runs this again when a file comes or goes.
use std::path::Path;
use std::{fs, io};

/// Writes `saliency.rs` and `update.rs` into `out` for the crate at `root`.
pub fn list(root: &Path, out: &Path) -> io::Result<()> {
    for (folder, rule) in [("saliency", "SaliencyRule"), ("update", "UpdateRule")] {
        let files = root.join("src/rules").join(folder);
        println!("cargo::rerun-if-changed={}", files.display());
        let mut names = Vec::new();
        for entry in fs::read_dir(&files)? {
            let path = entry?.path();
            let name = path.file_stem().and_then(|name| name.to_str()).map(str::to_string);
            if path.extension().is_some_and(|extension| extension == "rs") {
                names.extend(name.filter(|name| name != "mod"));
            }
        }
        names.sort();
        let modules = names.iter().map(|name| {
            let path = files.join(format!("{name}.rs"));
            format!("#[path = {:?}]\nmod {name};\n", path.display().to_string())
        });
        let listed: Vec<String> = names.iter().map(|name| format!("&{name}::RULE")).collect();
        let list = format!(
            "/// The rules of this crate, by name.\npub static RULES: &[&{rule}] = &[{}];\n",
            listed.join(", ")
        );
        fs::write(out.join(format!("{folder}.rs")), modules.collect::<String>() + &list)?;
    }
    Ok(())
}
