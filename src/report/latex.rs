//! The tables as LaTeX (`booktabs`), to be put into a paper with `\input`.
use super::document::{Align, Block, Document, Table, spans};
use std::fmt::Write;

pub fn render(document: &Document) -> String {
    let mut out = format!(
        "% Tables of {}; needs \\usepackage{{booktabs,graphicx}}.\n",
        document.title.replace('\n', " ")
    );
    for block in &document.blocks {
        if let Block::Table(t) = block {
            table(&mut out, t);
        }
    }
    out
}

fn table(out: &mut String, t: &Table) {
    let columns: String = t.align.iter().map(|a| if *a == Align::Left { 'l' } else { 'r' }).collect();
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|c| inline(c)).collect();
        format!("  {} \\\\\n", cells.join(" & "))
    };
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "\n\\begin{{table}}[t]\n\\centering\n\\caption{{{}}}\n\\label{{tab:{}}}\n\\resizebox{{\\linewidth}}{{!}}{{%\n\
         \\begin{{tabular}}{{{columns}}}\n  \\toprule\n{}  \\midrule\n{}  \\bottomrule\n\\end{{tabular}}}}\n\\end{{table}}\n",
        inline(&t.caption),
        t.name,
        line(&t.header),
        t.rows.iter().map(|r| line(r)).collect::<String>()
    );
}

fn inline(text: &str) -> String {
    let span = |(code, part): (bool, &str)| {
        if code { format!("\\texttt{{{}}}", escape(part)) } else { escape(part) }
    };
    spans(text).map(span).collect()
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '_' | '%' | '&' | '#' | '$' | '{' | '}' => out.extend(['\\', c]),
            '\\' => out.push_str("\\textbackslash{}"),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '−' => out.push_str("$-$"),
            '±' => out.push_str("$\\pm$"),
            '·' => out.push_str("$\\cdot$"),
            '×' => out.push_str("$\\times$"),
            '†' => out.push_str("\\dag{}"),
            '<' => out.push_str("$<$"),
            '>' => out.push_str("$>$"),
            '\n' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
