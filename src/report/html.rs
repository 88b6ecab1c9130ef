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
            Block::List(items) => writeln!(out, "{}", list(items)),
            Block::Folded(title, items) => {
                writeln!(out, "<details>\n<summary>{}</summary>\n{}\n</details>", inline(title), list(items))
            }
            Block::Table(t) => writeln!(out, "{}", table(t)),
            Block::Figure(f) => writeln!(out, "{}", figure(f)),
        };
    }
    out + &format!("</main>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n")
}

fn list(items: &[String]) -> String {
    let items: Vec<String> = items.iter().map(|i| format!("<li>{}</li>\n", inline(i))).collect();
    format!("<ul>\n{}</ul>", items.concat())
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
            // Names of columns break after their underscores and dots, and those of rows where the first column is narrow, on a
            // small screen.
            let text = match (tag, place) {
                ("th", _) => text.replace('_', "_<wbr>").replace('.', ".<wbr>"),
                (_, 0) => text.replace('_', "_<wbr>"),
                _ => text,
            };
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
    use crate::report::figures::canvas::{FAINT, GREY, INK, LIGHT, PALETTE, SHADE};
    use crate::report::figures::heat_map::contrast;
    use plotters::style::RGBColor;

    /// A colour of the page's furniture that the dark style did not name would be drawn as on white.
    #[test]
    fn the_dark_style_names_the_colours_of_figures() {
        for colour in [INK, GREY, LIGHT, FAINT, SHADE] {
            let hex = format!("\"#{:02X}{:02X}{:02X}\"", colour.0, colour.1, colour.2);
            assert!(STYLE.contains(&hex), "{hex}");
        }
        assert!(STYLE.contains("rect[fill=\"#FFFFFF\"]"));
    }

    /// OKLab (Ottosson 2020) of linear red, green and blue.
    fn oklab([r, g, b]: [f64; 3]) -> [f64; 3] {
        let l = (0.412_221_470_8 * r + 0.536_332_536_3 * g + 0.051_445_992_9 * b).cbrt();
        let m = (0.211_903_498_2 * r + 0.680_699_545_1 * g + 0.107_396_956_6 * b).cbrt();
        let s = (0.088_302_461_9 * r + 0.281_718_837_6 * g + 0.629_978_700_5 * b).cbrt();
        [
            0.210_454_255_3 * l + 0.793_617_785_0 * m - 0.004_072_046_8 * s,
            1.977_998_495_1 * l - 2.428_592_205_0 * m + 0.450_593_709_9 * s,
            0.025_904_037_1 * l + 0.782_771_766_2 * m - 0.808_675_766_0 * s,
        ]
    }

    /// Colours as seen with `eyes`: a matrix on linear red, green and blue (Machado, Oliveira and Fernandes 2009, severity 1).
    fn seen(colour: RGBColor, eyes: &[[f64; 3]; 3]) -> [f64; 3] {
        let linear = [colour.0, colour.1, colour.2].map(|value| match f64::from(value) / 255.0 {
            x if x <= 0.04045 => x / 12.92,
            x => ((x + 0.055) / 1.055).powf(2.4),
        });
        let mixed = eyes.map(|row| row.iter().zip(linear).map(|(a, x)| a * x).sum::<f64>().clamp(0.0, 1.0));
        oklab(mixed)
    }

    /// What the dark style draws in the place of `colour`.
    fn in_the_dark(colour: RGBColor, what: &str) -> RGBColor {
        let rule = format!("svg [{what}=\"#{:02X}{:02X}{:02X}\"]{{{what}:#", colour.0, colour.1, colour.2);
        let (_, hex) = STYLE.split_once(&rule).unwrap_or_else(|| panic!("{rule}"));
        let part = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        RGBColor(part(0), part(2), part(4))
    }

    /// No two curves look alike on a light or on a dark page, nor to people who do not see red or green.
    #[test]
    fn no_two_colours_look_alike_on_either_page() {
        const ALL: [[f64; 3]; 3] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        const NO_RED: [[f64; 3]; 3] = [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ];
        const NO_GREEN: [[f64; 3]; 3] = [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ];
        let dark = PALETTE.map(|colour| in_the_dark(colour, "fill"));
        assert_eq!(dark, PALETTE.map(|colour| in_the_dark(colour, "stroke")));
        for (page, palette, least) in
            [(RGBColor(255, 255, 255), PALETTE, 2.2), (RGBColor(22, 22, 22), dark, 4.4)]
        {
            for (i, a) in palette.iter().enumerate() {
                assert!(contrast(*a, page) > least, "{a:?} on {page:?}");
                for b in &palette[i + 1..] {
                    for (eyes, least) in [(ALL, 0.12), (NO_RED, 0.07), (NO_GREEN, 0.07)] {
                        let (x, y) = (seen(*a, &eyes), seen(*b, &eyes));
                        let apart = x.iter().zip(y).map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt();
                        assert!(apart > least, "{a:?} and {b:?} on {page:?}: {apart:.3}");
                    }
                }
            }
        }
    }

    /// On paper nothing scrolls: cells break their lines, captions stay with their tables, and what is folded is shown.
    #[test]
    fn a_printed_page_is_whole() {
        let (_, print) = STYLE.split_once("@media print{").unwrap();
        for rule in ["th,td{padding:3px 5px;white-space:normal}", ".caption,thead,h2{break-after:avoid}"] {
            assert!(print.contains(rule), "{rule}");
        }
        assert!(print.contains("details::details-content{content-visibility:visible"));
    }

    #[test]
    fn a_folded_list_is_whole_without_scripts() {
        let folded = Block::Folded("`a` at 4 points".into(), vec!["one".into(), "two".into()]);
        let page = render(&Document { title: "x".into(), blocks: vec![folded] }, None);
        let list = "<details>\n<summary><code>a</code> at 4 points</summary>\n<ul>\n<li>one</li>\n<li>two</li>\n</ul>\n</details>";
        assert!(page.contains(list), "{page}");
    }

    #[test]
    fn marks_of_text_become_elements_and_nothing_else_does() {
        assert_eq!(inline("**48.0** of `a<b`"), "<b>48.0</b> of <code>a&lt;b</code>");
        assert_eq!(inline("a ** b"), "a ** b");
        assert_eq!(interval_below("45.2 (43.1 to 47.3)"), "45.2 <small>43.1 to 47.3</small>");
    }
}
