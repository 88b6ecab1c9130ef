//! The table of a paper as it is printed.
use super::*;
use crate::base::requirement;
use crate::report::latex::tests::complaints;

/// The committed quickstart below the 26 rows of the paper: one table, within one line, without a key or a path for a name.
#[test]
fn our_rows_below_published_ones_are_one_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let origins = [
        Origin::Published(root.join("experiments/published/efficientllm_table2.csv")),
        Origin::Results(root.join("results/quickstart")),
    ];
    let folder = tempfile::tempdir().unwrap();
    let (page, _) = write(&origins, folder.path()).unwrap();
    assert!(page.lines().all(|line| line.chars().count() <= text::WIDTH), "{page}");
    let tables = std::fs::read_to_string(folder.path().join("paper_table.tex")).unwrap();
    assert_eq!(
        tables.matches("\\begin{tabular}").count() + tables.matches("\\begin{longtable}").count(),
        1,
        "{tables}"
    );
    assert!(!tables.contains("Part 1 of"), "{tables}");
    // Words that may break, no keys; the blocks have titles across the table.
    assert!(
        tables.contains("  pruning aware & ") && tables.contains("  direct searched total tokens & "),
        "{tables}"
    );
    assert_eq!(tables.matches("\\multicolumn{12}{@{}l@{}}").count(), 2, "{tables}");
    match complaints(&tables) {
        Some(complaints) => assert_eq!(complaints, Vec::<String>::new(), "{tables}"),
        None => requirement::skip("pdflatex", "it is not installed"),
    }
    let html = std::fs::read_to_string(folder.path().join("paper_table.html")).unwrap();
    assert_eq!(html.matches("<tr class=\"title\"><th colspan=\"12\"").count(), 2);
    assert_eq!(html.matches("<tbody>").count(), 2);
}
