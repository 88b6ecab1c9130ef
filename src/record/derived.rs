//! What is made of the tables and can be made again: the report with its figures, and the dictionary.
//!
//! No number is in these files alone. So they are written last, and where a disk is full they go first; one that no longer agrees
//! with the tables must not stay.
use super::dictionary::{self, COMPARISONS, DICTIONARY_FILE};
use std::fs;
use std::path::Path;

pub const REPORT: &str = "report.md";
pub const LATEX: &str = "tables.tex";
pub const PAGE: &str = "report.html";
pub const FIGURES: &str = "figures";

/// Deletes all of it in `folder`. Returns whether there was anything; what cannot be deleted stays.
pub fn remove(folder: &Path) -> bool {
    let files = [COMPARISONS, REPORT, LATEX, PAGE, DICTIONARY_FILE].map(|name| folder.join(name));
    let figures =
        fs::read_dir(folder.join(FIGURES)).into_iter().flatten().flatten().map(|entry| entry.path());
    let figures = figures.filter(|path| path.extension().is_some_and(|end| end == "svg"));
    let mut removed = false;
    for path in files.into_iter().chain(figures) {
        removed |= fs::remove_file(path).is_ok();
    }
    removed
}

/// Deletes the dictionary where it is not that of tables with these axes.
pub fn remove_other_dictionary(folder: &Path, axes: &[String]) {
    let path = folder.join(DICTIONARY_FILE);
    if fs::read(&path).is_ok_and(|old| old != dictionary::markdown(axes).as_bytes()) {
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_made_again_goes_and_numbers_stay() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert!(!remove(folder));
        fs::create_dir_all(folder.join("figures/print")).unwrap();
        let made = [COMPARISONS, REPORT, LATEX, PAGE, DICTIONARY_FILE, "figures/pareto.svg"];
        let kept = ["runs.csv", "plan.json", "SHA256SUMS", "figures/print/pareto.pdf", "figures/own.txt"];
        for name in made.iter().chain(&kept) {
            fs::write(folder.join(name), "x").unwrap();
        }
        assert!(remove(folder));
        assert!(made.iter().all(|name| !folder.join(name).exists()));
        assert!(kept.iter().all(|name| folder.join(name).exists()));
    }

    #[test]
    fn a_dictionary_of_other_columns_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(DICTIONARY_FILE);
        let axes = ["prune.update".to_string()];
        remove_other_dictionary(folder.path(), &axes);
        fs::write(&path, dictionary::markdown(&axes)).unwrap();
        remove_other_dictionary(folder.path(), &axes);
        assert!(path.exists());
        fs::write(&path, dictionary::markdown(&[])).unwrap();
        remove_other_dictionary(folder.path(), &axes);
        assert!(!path.exists());
    }
}
