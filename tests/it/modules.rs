//! Modules import only downward: a table of allowed imports, compared with `use crate::…` and `crate::…` in `src/`.
use std::fs;
use std::path::{Path, PathBuf};

/// Module, what it is for, and what it may import; a module may always import itself. The lowest layer comes first, and every
/// module comes after those that it imports.
const MODULES: &[(&str, &str, &[&str])] = &[
    ("base", "files, hashes, random streams, units: knows nobody", &[]),
    // Counts, costs, checks and tensors are folds over one description: it stands below all that make them.
    // Said by the experiment file, frozen by the run, answered by the report: below all three.
    ("questions", "what is asked of results, and what things are called", &[]),
    ("schema", "which parameters a model has, and what they run along", &["base"]),
    // Declarations and equations, below the specification that names them.
    ("rules", "saliency and update rules: names, needs, mathematics", &["base"]),
    ("spec", "what the user asked for", &["base", "questions", "rules", "schema"]),
    ("stats", "pure mathematics on slices", &["base"]),
    ("tensor", "buffers and backends", &["base"]),
    // The Llama family; the spec names its shapes.
    ("model", "forward and backward, decoding, checkpoints", &["base", "schema", "spec", "tensor"]),
    ("plan", "grid → stages → runs, with their cost", &["base", "rules", "schema", "spec"]),
    // A row of a task carries its interval, so that every reader of the file shows the same one.
    ("record", "rows, dictionary, provenance", &["base", "spec", "plan", "stats"]),
    ("data", "corpora, tokenizers, batches", &["base", "spec", "tensor"]),
    (
        "prune",
        "groups, saliency, selection, removal",
        &["base", "rules", "schema", "spec", "tensor", "model"],
    ),
    ("eval", "tasks and scores", &["base", "spec", "tensor", "data", "model"]),
    ("report", "records + statistics → pages", &["base", "questions", "record", "stats"]),
    (
        "train",
        "the loop, the ledger, resume",
        &["base", "rules", "schema", "spec", "tensor", "data", "model", "prune"],
    ),
    (
        "run",
        "carries out a plan",
        &["base", "schema", "spec", "tensor", "plan", "record", "data", "model", "prune", "eval", "train"],
    ),
    (
        "cli",
        "words to calls",
        &[
            "base", "rules", "schema", "spec", "stats", "tensor", "plan", "record", "data", "model", "prune",
            "eval", "report", "train", "run",
        ],
    ),
];

fn allowed(module: &str) -> &'static [&'static str] {
    MODULES
        .iter()
        .find(|(name, _, _)| *name == module)
        .unwrap_or_else(|| panic!("the table has no module `{module}`"))
        .2
}

#[test]
fn every_module_is_in_the_table_and_the_table_points_down() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut modules: Vec<String> = fs::read_dir(&source)
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    modules.sort();
    let mut table: Vec<&str> = MODULES.iter().map(|(name, _, _)| *name).collect();
    for (place, (name, _, imports)) in MODULES.iter().enumerate() {
        for import in *imports {
            let module = import.split("::").next().unwrap();
            assert!(
                table[..place].contains(&module),
                "{name} imports {module}, which does not come before it"
            );
        }
    }
    table.sort();
    assert_eq!(modules, table);
}

#[test]
fn modules_import_only_what_the_table_allows() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for (module, _, imports) in MODULES {
        for file in rust_files(&source.join(module)) {
            let depth = file.strip_prefix(source.join(module)).unwrap().components().count();
            let text = fs::read_to_string(&file).unwrap();
            for (number, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or("");
                let place = format!("{}:{}", file.strip_prefix(&source).unwrap().display(), number + 1);
                for path in crate_paths(code) {
                    let fits = |import: &str| path == import || path.starts_with(&format!("{import}::"));
                    if !fits(module) && !imports.iter().any(|import| fits(import)) {
                        wrong.push(format!("{place}: {module} imports {path}"));
                    }
                }
                // More `super`s than folders would leave the module; a nested test module adds one.
                if code.matches("super::").count() > depth + 1 {
                    wrong.push(format!("{place}: leaves the module by `super`"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "imports that the table does not allow:\n{}", wrong.join("\n"));
    assert!(allowed("stats").len() == 1, "stats stays pure");
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// All `crate::a::b` of a line as `a::b`, groups `crate::{a, b::c}` and `crate::a::{b, c}` opened.
fn crate_paths(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            open(&code[at + "crate::".len()..], "", &mut paths);
        }
    }
    paths
}

fn open(rest: &str, prefix: &str, paths: &mut Vec<String>) {
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len());
    let (path, tail) = rest.split_at(end);
    let whole = format!("{prefix}{path}");
    match tail.strip_prefix('{') {
        Some(group) => {
            let mut depth = 0;
            let mut start = 0;
            for (i, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth > 0 => depth -= 1,
                    ',' | '}' if depth == 0 => {
                        let part = group[start..i].trim();
                        if !part.is_empty() {
                            open(part, &whole, paths);
                        }
                        start = i + 1;
                        if c == '}' {
                            return;
                        }
                    }
                    _ => {}
                }
            }
        }
        None => paths.push(whole.trim_end_matches(':').to_string()),
    }
}

#[test]
fn paths_are_read_in_all_their_forms() {
    assert_eq!(crate_paths("use crate::tensor::Backend;"), ["tensor::Backend"]);
    assert_eq!(
        crate_paths("use crate::{base::units, model::{self, Weights}};"),
        ["base::units", "model::self", "model::Weights"]
    );
    assert_eq!(crate_paths("let x = crate::model::llama::step(1);"), ["model::llama::step"]);
    assert_eq!(crate_paths("use crate::model::flops::{a, b};"), ["model::flops::a", "model::flops::b"]);
    assert!(crate_paths("efficientllm_crate::x").is_empty());
}
