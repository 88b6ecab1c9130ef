//! Tables of LaTeX as `pdflatex` sees them: no error, no box wider than its line.
use super::*;
use crate::base::requirement;
use crate::report::document::Align;
use std::process::Command;

#[test]
fn intervals_are_half_widths_where_they_are_symmetric() {
    assert_eq!(plus_minus("45.2 (43.1 to 47.3)"), "45.2±2.1");
    assert_eq!(plus_minus("−3.1 (−5.0 to −1.2)"), "−3.1±1.9");
    assert_eq!(plus_minus("99.0† (95.0 to 100.0)"), "99.0† [95.0, 100.0]");
    assert_eq!(plus_minus("plain (text)"), "plain (text)");
    // Narrower: the ends above and below the line.
    assert_eq!(cell(&raised("67.2* (49.5 to 81.0)")), "67.2*$^{+13.8}_{-17.7}$");
    assert_eq!(cell(&raised("**9.0** (8.0 to 10.5)")), "\\textbf{9.0}$^{+1.5}_{-1.0}$");
    assert_eq!(cell(&raised("plain")), "plain");
}

#[test]
fn names_break_and_signs_are_escaped() {
    assert_eq!(inline("`a_b` **48.0** 5 % <"), "\\texttt{a\\_\\allowbreak{}b} \\textbf{48.0} 5 \\% $<$");
}

/// Everything that is hard to set: long names, many columns, many rows, long captions, special signs.
fn hard() -> Document {
    let row = |key: &str, count: usize| -> Vec<String> {
        let cells = (0..count).map(|i| format!("{}5.2 (43.1 to 47.3)", i % 10));
        std::iter::once(key.to_string()).chain(cells).collect()
    };
    let header = |count: usize| -> Vec<String> {
        std::iter::once("arm".to_string())
            .chain((0..count).map(|i| format!("average usual {i} (%)")))
            .collect()
    };
    let wide = Table::new(
        "wide",
        "Means of `direct_proportional_total_tokens` and `prune.saliency_hessian` × `prune.update_hessian`, 100 % of {all} & more.",
        1,
        header(12),
        vec![row("`direct_proportional_total_tokens`", 12), row("**a^b~c\\d** ≥ 3 …", 12)],
    );
    let long = Table::new(
        "long",
        "Many rows.",
        1,
        header(4),
        (0..80).map(|i| row(&format!("`run_{i}`"), 4)).collect(),
    );
    let text = |n: usize| -> Vec<String> {
        (0..n).map(|i| format!("`pruning_aware · taylor_mix · layerwise_bias · 0.{i}`")).collect()
    };
    let mut keys = Table::new("keys", "Many columns of text.", 5, text(7), vec![text(7), text(7)]);
    keys.align[5] = Align::Left;
    keys.footer = 1;
    let mut titled =
        Table::new("titled", "Parts with titles.", 1, header(3), vec![row("Llama-3.2-1B", 3); 4]);
    titled.rows[0][0] =
        "published: a table with a title that is longer than any of the names below it".into();
    titled.rows[2][0] =
        "ours: ".to_string() + &"a title that is longer than a whole line of the page ".repeat(3);
    titled.titles = vec![0, 2];
    titled.rules = vec![2];
    Document { title: "hard\ncases".into(), blocks: [wide, long, keys, titled].map(Block::Table).to_vec() }
}

/// Runs `pdflatex` on `tables`; `None` where it is not installed. Its complaints: errors and boxes wider than their line.
pub fn complaints(tables: &str) -> Option<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tables.tex"), tables).unwrap();
    let page = "\\documentclass{article}\n\\usepackage{array,booktabs,longtable}\n\\begin{document}\n\\input{tables}\n\\end{document}\n";
    std::fs::write(folder.path().join("page.tex"), page).unwrap();
    // Twice: a long table settles its columns in the second pass.
    let mut told = Vec::new();
    for _ in 0..2 {
        let run = Command::new("pdflatex")
            .args(["-interaction=nonstopmode", "-halt-on-error", "page.tex"])
            .current_dir(folder.path())
            .output();
        told = match run {
            Ok(done) => String::from_utf8_lossy(&done.stdout).lines().map(String::from).collect(),
            Err(_) => return None,
        };
    }
    let bad = |line: &String| line.starts_with('!') || line.starts_with("Overfull");
    Some(told.into_iter().filter(bad).collect())
}

#[test]
fn tables_compile_without_an_overfull_box() {
    let tables = render(&hard());
    assert!(tables.contains("longtable") && !tables.contains("resizebox"));
    match complaints(&tables) {
        Some(complaints) => assert_eq!(complaints, Vec::<String>::new(), "{tables}"),
        None => requirement::skip("pdflatex", "it is not installed"),
    }
}

#[test]
fn a_number_and_its_per_cent_stay_on_one_line() {
    assert_eq!(super::layout::header_lines("95 % interval"), ["95 %", "interval"]);
    assert_eq!(super::layout::header_lines("Holm-adjusted p"), ["Holm-", "adjusted", "p"]);
}
