//! Blocks as one HTML page that needs no script and no network; where scripts run, tables can be sorted and filtered.
//!
//! Dark and light follow the reader's setting, figures included: they are inline, and the style names their colours again
//! (a test holds the two together). On a small screen figures are drawn narrow.
#[cfg(test)]
pub mod browser_tests;

use super::document::{Align, Block, Document, Figure, Table, spans};
use std::fmt::Write;

const STYLE: &str = include_str!("html/style.css");
const SCRIPT: &str = include_str!("html/script.js");

/// The page; with `refresh`, one that reloads itself after so many seconds.
pub fn render(document: &Document, refresh: Option<u64>) -> String {
    let refresh = refresh
        .map_or(String::new(), |seconds| format!("<meta http-equiv=\"refresh\" content=\"{seconds}\">\n"));
    let title = escape(&document.title);
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n{refresh}<title>{title}</title>\n<style>\n{STYLE}</style>\n\
         </head>\n<body>\n"
    );
    out += &contents(document);
    out += &format!("<main>\n<h1>{title}</h1>\n");
    for block in &document.blocks {
        // Writing to a string cannot fail.
        let _ = match block {
            Block::Heading(text) => writeln!(out, "<h2 id=\"{}\">{}</h2>", anchor(text), inline(text)),
            Block::Text(text) => writeln!(out, "<p>{}</p>", inline(text)),
            Block::List(items) => {
                let items: Vec<String> = items.iter().map(|i| format!("<li>{}</li>\n", inline(i))).collect();
                writeln!(out, "<ul>\n{}</ul>", items.concat())
            }
            Block::Table(t) => writeln!(out, "{}", table(t)),
            Block::Figure(f) => writeln!(out, "{}", figure(f)),
        };
    }
    out + &format!("</main>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n")
}

/// Links to the headings.
fn contents(document: &Document) -> String {
    let headings = document.blocks.iter().filter_map(|block| match block {
        Block::Heading(text) => {
            Some(format!("<li><a href=\"#{}\">{}</a></li>\n", anchor(text), inline(text)))
        }
        _ => None,
    });
    format!("<nav aria-label=\"Contents\">\n<ul>\n{}</ul>\n</nav>\n", headings.collect::<String>())
}

/// A heading as an anchor.
fn anchor(heading: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    format!("section-{}", heading.chars().map(plain).collect::<String>())
}

fn figure(f: &Figure) -> String {
    let label = format!("<svg role=\"img\" aria-label=\"{}\"", escape(&f.caption.replace('`', "")));
    let svg = |svg: &str| svg.replacen("<svg", &label, 1);
    format!(
        "<figure id=\"{}\">\n<div class=\"wide-sheet\">\n{}</div>\n<div class=\"narrow\">\n{}</div>\n<figcaption>{}</figcaption>\n\
         </figure>",
        escape(&f.name),
        svg(&f.svg),
        svg(&f.narrow),
        inline(&f.caption)
    )
}

fn table(t: &Table) -> String {
    let row = |cells: &[String], tag: &str| {
        let cell = |(place, (text, align)): (usize, (&String, &Align))| {
            let class = if *align == Align::Right { " class=\"r\"" } else { "" };
            let text = interval_below(&inline(text));
            // On a small screen the first column is narrow: names break after their underscores.
            let text = if place == 0 { text.replace('_', "_<wbr>") } else { text };
            format!("<{tag}{class}>{text}</{tag}>")
        };
        format!("<tr>{}</tr>\n", cells.iter().zip(&t.align).enumerate().map(cell).collect::<String>())
    };
    let head = row(&t.header, "th");
    let (body, foot) = t.rows.split_at(t.rows.len() - t.footer.min(t.rows.len()));
    let foot = match foot {
        [] => String::new(),
        foot => format!("<tfoot>\n{}</tfoot>\n", foot.iter().map(|r| row(r, "td")).collect::<String>()),
    };
    // A body for each title, so that rows are sorted below their own.
    let row = |(place, cells): (usize, &Vec<String>)| {
        if !t.titles.contains(&place) {
            return row(cells, "td");
        }
        let body = if place > 0 { "</tbody>\n<tbody>\n" } else { "" };
        let title = inline(&cells[0]);
        format!(
            "{body}<tr class=\"title\"><th colspan=\"{}\" scope=\"rowgroup\">{title}</th></tr>\n",
            cells.len()
        )
    };
    let body: String = body.iter().enumerate().map(row).collect();
    format!(
        "<p class=\"caption\" id=\"{}\">{}</p>\n<div class=\"wide\" tabindex=\"0\"><table>\n<thead>\n{}</thead>\n<tbody>\n{}</tbody>\n\
         {foot}</table></div>",
        escape(&t.name),
        inline(&t.caption),
        head,
        body
    )
}

/// `45.2 (43.1 to 47.3)`: the interval goes on a line of its own, so that seven tasks fit a page.
fn interval_below(cell: &str) -> String {
    match cell.split_once(" (") {
        Some((mean, rest)) if rest.contains(" to ") && rest.ends_with(')') => {
            format!("{mean} <small>{}</small>", rest.trim_end_matches(')'))
        }
        _ => cell.to_string(),
    }
}

/// Text with its `code`, and `**bold**`.
fn inline(text: &str) -> String {
    let bold = |text: &str| {
        let parts: Vec<String> = text.split("**").map(escape).collect();
        // Without its partner a mark is no mark.
        match parts.len() % 2 {
            1 => parts
                .iter()
                .enumerate()
                .map(|(i, p)| if i % 2 == 1 { format!("<b>{p}</b>") } else { p.clone() })
                .collect(),
            _ => escape(text),
        }
    };
    spans(text)
        .map(|(code, part)| if code { format!("<code>{}</code>", escape(part)) } else { bold(part) })
        .collect::<String>()
        .replace(" %", "&nbsp;%")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::figures::canvas::{FAINT, GREY, INK, LIGHT, SHADE};

    /// A colour of the page's furniture that the dark style did not name would be drawn as on white.
    #[test]
    fn the_dark_style_names_the_colours_of_figures() {
        for colour in [INK, GREY, LIGHT, FAINT, SHADE] {
            let hex = format!("\"#{:02X}{:02X}{:02X}\"", colour.0, colour.1, colour.2);
            assert!(STYLE.contains(&hex), "{hex}");
        }
        assert!(STYLE.contains("rect[fill=\"#FFFFFF\"]"));
    }

    #[test]
    fn marks_of_text_become_elements_and_nothing_else_does() {
        assert_eq!(inline("**48.0** of `a<b`"), "<b>48.0</b> of <code>a&lt;b</code>");
        assert_eq!(inline("a ** b"), "a ** b");
        assert_eq!(interval_below("45.2 (43.1 to 47.3)"), "45.2 <small>43.1 to 47.3</small>");
    }
}
