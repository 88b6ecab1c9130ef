//! Blocks as plain text: aligned, as wide as the terminal and at most [`WIDTH`] columns; figures are left out.
use super::document::{Align, Block, Document, Table};
use crate::base::output::columns;
use crate::base::wrap::wrap;
use std::fmt::Write;

/// Columns of the page, where no terminal is narrower.
pub const WIDTH: usize = 100;
/// In fewer, tables of numbers are no longer read as tables.
const LEAST_WIDTH: usize = 60;
const GAP: &str = "  ";

pub fn render(document: &Document) -> String {
    in_columns(document, columns().map_or(WIDTH, |columns| columns.clamp(LEAST_WIDTH, WIDTH)))
}

fn in_columns(document: &Document, width: usize) -> String {
    let mut out = wrap(&document.title, width).join("\n") + "\n";
    for block in &document.blocks {
        // Writing to a string cannot fail.
        let _ = match block {
            Block::Heading(text) => write!(out, "\n{text}\n{}\n", "-".repeat(length(text))),
            Block::Text(text) => write!(out, "\n{}\n", wrap(text, width).join("\n")),
            Block::List(items) | Block::Folded(_, items) => {
                out.push('\n');
                items.iter().try_for_each(|item| {
                    writeln!(out, "{GAP}{}", wrap(item, width - 6).join(&format!("\n{GAP}{GAP}{GAP}")))
                })
            }
            Block::Table(t) => write!(out, "\n{}\n\n{}", wrap(&t.caption, width).join("\n"), table(t, width)),
            Block::Figure(_) => Ok(()),
        };
    }
    out
}

fn length(text: &str) -> usize {
    text.chars().count()
}

fn table(t: &Table, width: usize) -> String {
    // Marks of bold are for pages.
    let plain = |row: &Vec<String>| row.iter().map(|cell| cell.replace("**", "")).collect::<Vec<_>>();
    let t = &Table { rows: t.rows.iter().map(plain).collect(), ..t.clone() };
    let widths = widths(t, width);
    let rule: Vec<String> = widths.iter().map(|w| "-".repeat(*w)).collect();
    let rows = t.rows.iter().enumerate().map(|(place, row)| match t.titles.contains(&place) {
        true => wrap(&row[0], width).join("\n") + "\n",
        false => line(t, row, &widths),
    });
    [line(t, &t.header, &widths), line(t, &rule, &widths)].into_iter().chain(rows).collect()
}

/// As wide as the widest cell, the widest columns narrowed until the page holds them all.
fn widths(t: &Table, width: usize) -> Vec<usize> {
    let plain =
        || t.rows.iter().enumerate().filter(|(place, _)| !t.titles.contains(place)).map(|(_, row)| row);
    let cells = |i: usize| std::iter::once(&t.header).chain(plain()).filter_map(move |row| row.get(i));
    let mut widths: Vec<usize> =
        (0..t.header.len()).map(|i| cells(i).map(|cell| length(cell)).max().unwrap_or(0)).collect();
    let room = width.saturating_sub(GAP.len() * t.header.len().saturating_sub(1));
    while widths.iter().sum::<usize>() > room {
        match widths.iter_mut().max() {
            Some(widest) if *widest > 1 => *widest -= 1,
            _ => break,
        }
    }
    widths
}

/// One row, over several lines where a cell is wider than its column.
fn line(t: &Table, cells: &[String], widths: &[usize]) -> String {
    let wrapped: Vec<Vec<String>> =
        cells.iter().zip(widths).map(|(cell, w)| wrap(cell, (*w).max(1))).collect();
    let height = wrapped.iter().map(Vec::len).max().unwrap_or(0);
    let mut out = String::new();
    for i in 0..height {
        let cell = |(column, w): (usize, &usize)| {
            let text = wrapped.get(column).and_then(|lines| lines.get(i)).map_or("", String::as_str);
            match t.align[column] {
                Align::Left => format!("{text:<w$}"),
                Align::Right => format!("{text:>w$}"),
            }
        };
        let cells: Vec<String> = widths.iter().enumerate().map(cell).collect();
        out += cells.join(GAP).trim_end();
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_aligned_and_no_wider_than_it_may_be() {
        let row = |cells: [&str; 3]| cells.map(String::from).to_vec();
        let rows = vec![row(["x", "1", ""]), row(["longer", "−12.5", &"word ".repeat(30)])];
        let blocks = vec![
            Block::Heading("Part".into()),
            Block::Text("text ".repeat(40)),
            Block::List(vec!["y".repeat(150)]),
            Block::Table(Table::new("t", "What it is.", 1, row(["name", "value", "words"]), rows)),
        ];
        let document = Document { title: "Title".into(), blocks };
        for width in [LEAST_WIDTH, 80] {
            let page = in_columns(&document, width);
            assert!(page.lines().all(|line| line.chars().count() <= width), "{page}");
            assert_eq!(page.matches("word").count(), 31);
        }
        let page = in_columns(&document, WIDTH);
        assert!(page.lines().all(|line| line.chars().count() <= WIDTH), "{page}");
        let lines: Vec<&str> = page.lines().collect();
        assert!(page.starts_with("Title\n\nPart\n----\n\ntext text"), "{page}");
        let at = lines.iter().position(|line| line.starts_with("name")).unwrap();
        assert_eq!(lines[at + 2], "x           1");
        assert!(lines[at + 3].starts_with("longer  −12.5") && lines[at + 4].starts_with("       "), "{page}");
        assert_eq!(page.matches('y').count(), 150);
        assert_eq!(page.matches("word").count(), 31);
    }
}
