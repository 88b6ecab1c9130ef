//! Blocks as one HTML page that needs no script and no network.
use super::document::{Align, Block, Document, Table, spans};
use std::fmt::Write;

const STYLE: &str = "\
body{font:16px/1.55 system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;color:#1c1c1c;background:#fff;\
max-width:1140px;margin:2.5rem auto;padding:0 1.5rem}\
h1{font-size:1.9rem;line-height:1.2;margin:0 0 1rem}\
h2{font-size:1.3rem;margin:2.6rem 0 .6rem;padding-bottom:.25rem;border-bottom:1px solid #d8d8d8}\
p,li{max-width:50rem}li{margin:.35rem 0}\
code{font:.88em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;background:#f3f3f3;border-radius:3px;padding:.08em .3em}\
.wide{overflow-x:auto;margin:0 0 1.8rem}\
table{border-collapse:collapse;font-size:.83rem;font-variant-numeric:tabular-nums}\
.caption{color:#444;font-size:.92rem;max-width:62rem;margin:1.4rem 0 .5rem}\
th,td{padding:.32rem .5rem;text-align:left;white-space:nowrap;vertical-align:top}\
th{border-top:2px solid #333;border-bottom:1px solid #333;font-weight:600;vertical-align:bottom}\
tbody tr:last-child td{border-bottom:2px solid #333}\
tbody tr:nth-child(even){background:#f8f8f8}\
.r{text-align:right}\
td small{display:block;color:#666;font-size:.82em;line-height:1.2}\
figure{margin:1.5rem 0 2.2rem}figure svg{width:100%;height:auto;display:block}\
figcaption{color:#444;font-size:.92rem;margin-top:.5rem;max-width:62rem}\
@media print{body{margin:0;max-width:none}h2,figure,table{break-inside:avoid}}";

pub fn render(document: &Document) -> String {
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <h1>{}</h1>\n",
        escape(&document.title),
        escape(&document.title)
    );
    for block in &document.blocks {
        // Writing to a string cannot fail.
        let _ = match block {
            Block::Heading(text) => writeln!(out, "<h2>{}</h2>", inline(text)),
            Block::Text(text) => writeln!(out, "<p>{}</p>", inline(text)),
            Block::List(items) => {
                let items: Vec<String> = items.iter().map(|i| format!("<li>{}</li>\n", inline(i))).collect();
                writeln!(out, "<ul>\n{}</ul>", items.concat())
            }
            Block::Table(t) => writeln!(out, "{}", table(t)),
            Block::Figure(f) => {
                let label =
                    format!("<svg role=\"img\" aria-label=\"{}\"", escape(&f.caption.replace('`', "")));
                writeln!(
                    out,
                    "<figure id=\"{}\">\n{}<figcaption>{}</figcaption>\n</figure>",
                    escape(&f.name),
                    f.svg.replacen("<svg", &label, 1),
                    inline(&f.caption)
                )
            }
        };
    }
    out + "</body>\n</html>\n"
}

fn table(t: &Table) -> String {
    let row = |cells: &[String], tag: &str| {
        let cell = |(text, align): (&String, &Align)| {
            let class = if *align == Align::Right { " class=\"r\"" } else { "" };
            format!("<{tag}{class}>{}</{tag}>", interval_below(&inline(text)))
        };
        format!("<tr>{}</tr>\n", cells.iter().zip(&t.align).map(cell).collect::<String>())
    };
    let body: String = t.rows.iter().map(|r| row(r, "td")).collect();
    format!(
        "<p class=\"caption\" id=\"{}\">{}</p>\n<div class=\"wide\"><table>\n<thead>\n{}</thead>\n<tbody>\n{body}</tbody>\n</table></div>",
        escape(&t.name),
        inline(&t.caption),
        row(&t.header, "th")
    )
}

/// `45.2 (43.1 to 47.3)`: the interval goes on a line of its own, so that seven tasks fit a page.
fn interval_below(cell: &str) -> String {
    match cell.split_once(" (") {
        Some((mean, rest)) if rest.contains(" to ") && rest.ends_with(')') => {
            format!("{mean}<small>{}</small>", rest.trim_end_matches(')'))
        }
        _ => cell.to_string(),
    }
}

fn inline(text: &str) -> String {
    spans(text)
        .map(|(code, part)| if code { format!("<code>{}</code>", escape(part)) } else { escape(part) })
        .collect::<String>()
        .replace(" %", "&nbsp;%")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
