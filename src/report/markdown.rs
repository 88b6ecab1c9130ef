//! Blocks as Markdown, figures as links to `figures/*.svg`.
use super::document::{Align, Block, Document, Table};
use std::fmt::Write;

pub fn render(document: &Document) -> String {
    let mut out = format!("# {}\n", document.title);
    for block in &document.blocks {
        // Writing to a string cannot fail.
        let _ = match block {
            Block::Heading(text) => write!(out, "\n## {text}\n"),
            Block::Text(text) => write!(out, "\n{text}\n"),
            Block::List(items) => {
                out.push('\n');
                items.iter().try_for_each(|item| writeln!(out, "- {item}"))
            }
            Block::Folded(title, items) => {
                out += &format!("\n{title}:\n\n");
                items.iter().try_for_each(|item| writeln!(out, "- {item}"))
            }
            Block::Table(t) => write!(out, "\n{}\n\n{}", t.caption, table(t)),
            Block::Figure(f) => write!(out, "\n![{}](figures/{}.svg)\n\n*{}*\n", f.name, f.name, f.caption),
        };
    }
    out
}

fn table(t: &Table) -> String {
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|c| c.replace('|', "\\|").replace('\n', " ")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let rule: Vec<&str> = t.align.iter().map(|a| if *a == Align::Left { "---" } else { "---:" }).collect();
    let mut out = line(&t.header) + &format!("|{}|\n", rule.join("|"));
    for (place, row) in t.rows.iter().enumerate() {
        let mut row = row.clone();
        if t.titles.contains(&place) {
            row[0] = format!("*{}*", row[0]);
        }
        out += &line(&row);
    }
    out
}
