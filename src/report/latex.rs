//! The tables as LaTeX (`booktabs`), to be put into a paper with `\input`: a float each, a `longtable` where it is longer than
//! a page. None is wider than a line ([`layout`]), and none is scaled.
mod layout;
#[cfg(test)]
pub mod tests;
mod width;

use super::document::{Block, Document, Table, spans};
use layout::{Column, Part, parts};
use std::fmt::Write;

/// Rows from which a table may break over pages.
const LONG: usize = 36;

pub fn render(document: &Document) -> String {
    let mut out = format!(
        "% Tables of {}.\n% Needs \\usepackage{{array,booktabs,longtable}}.\n",
        document.title.replace(['\n', '\r'], " ")
    );
    for block in &document.blocks {
        if let Block::Table(t) = block {
            table(&mut out, t);
        }
    }
    out
}

fn table(out: &mut String, t: &Table) {
    let with = |interval: fn(&str) -> String| Table {
        rows: t.rows.iter().map(|row| row.iter().map(|cell| interval(cell)).collect()).collect(),
        ..t.clone()
    };
    let mut compact = with(plus_minus);
    let mut all = parts(&compact);
    if all.len() > 1 {
        // Narrower, where that keeps it whole.
        let narrow = with(raised);
        let whole = parts(&narrow);
        if whole.len() == 1 {
            compact = narrow;
            compact.caption += RAISED;
            all = whole;
        }
    }
    let parts = all;
    for (i, part) in parts.iter().enumerate() {
        let (caption, label) = match parts.len() {
            1 => (inline(&compact.caption), t.name.clone()),
            n if i == 0 => (format!("{} (Part 1 of {n}.)", inline(&t.caption)), t.name.clone()),
            n => (
                format!("Part {} of {n} of Table~\\ref{{tab:{}}}.", i + 1, t.name),
                format!("{}-{}", t.name, i + 1),
            ),
        };
        one(out, &compact, part, &caption, &label);
    }
}

/// One part of a table.
fn one(out: &mut String, t: &Table, part: &Part, caption: &str, label: &str) {
    let column = |column: &Column| match column {
        Column::Left => "l".to_string(),
        Column::Right => "r".to_string(),
        Column::Lines(points) => format!(">{{\\raggedright\\arraybackslash}}p{{{points:.1}pt}}"),
    };
    let columns: String = part.columns.iter().map(column).collect();
    let cells = |cells: &[String]| {
        let cells: Vec<String> = part.places.iter().map(|at| cell(&cells[*at])).collect();
        format!("  {} \\\\\n", cells.join(" & "))
    };
    let heads: Vec<String> =
        part.places.iter().zip(&part.columns).map(|(at, column)| head(&t.header[*at], *column)).collect();
    let head = format!("  {} \\\\\n", heads.join(" & "));
    let mut body = String::new();
    for (i, row) in t.rows.iter().enumerate() {
        if t.rules.contains(&i) || (t.footer > 0 && i > 0 && i + t.footer == t.rows.len()) {
            body += "  \\midrule\n";
        }
        body += &match t.titles.contains(&i) {
            true => {
                let wide = layout::title(&row[0], part.size);
                let lines = wide.map_or("l".to_string(), |points| format!("p{{{points:.1}pt}}"));
                format!(
                    "  \\multicolumn{{{}}}{{@{{}}{lines}@{{}}}}{{\\emph{{{}}}}} \\\\\n",
                    part.places.len(),
                    inline(&row[0])
                )
            }
            false => cells(row),
        };
    }
    let size = part.size.command;
    let gap = 0.5 * part.gap;
    // Writing to a string cannot fail.
    let _ = if t.rows.len() < LONG {
        write!(
            out,
            "\n\\begin{{table}}[tbp]\n\\centering\\sloppy\n\\caption{{{caption}}}\n\\label{{tab:{label}}}\n\\{size}\n\
             \\setlength{{\\tabcolsep}}{{{gap}pt}}\n\\begin{{tabular}}{{@{{}}{columns}@{{}}}}\n  \\toprule\n{head}  \\midrule\n{body}  \
             \\bottomrule\n\\end{{tabular}}\n\\end{{table}}\n"
        )
    } else {
        write!(
            out,
            "\n{{\\sloppy\\{size}\n\\setlength{{\\tabcolsep}}{{{gap}pt}}\n\\setlength{{\\LTcapwidth}}{{\\linewidth}}\n\
             \\begin{{longtable}}{{@{{}}{columns}@{{}}}}\n  \\caption{{{caption}}}\\label{{tab:{label}}} \\\\\n  \\toprule\n{head}  \
             \\midrule\n  \\endfirsthead\n  \\toprule\n{head}  \\midrule\n  \\endhead\n  \\bottomrule\n  \\endfoot\n{body}\
             \\end{{longtable}}}}\n"
        )
    };
}

/// A header, its words below each other where it has several.
fn head(text: &str, column: Column) -> String {
    let words: Vec<String> = layout::header_lines(text).into_iter().map(inline).collect();
    if text.contains('`') || words.len() == 1 || matches!(column, Column::Lines(_)) {
        return inline(text);
    }
    let side = if column == Column::Right { 'r' } else { 'l' };
    format!("\\shortstack[{side}]{{{}}}", words.join("\\\\"))
}

/// A cell as `45.2 (43.1 to 47.3)`: the mean, the ends of its interval as printed, and how far they are, to the mean's digits.
struct Spread<'c> {
    mean: &'c str,
    ends: [&'c str; 2],
    below: f64,
    above: f64,
    digits: usize,
}

fn spread(cell: &str) -> Option<Spread<'_>> {
    let (mean, rest) = cell.split_once(" (")?;
    let (low, high) = rest.strip_suffix(')')?.split_once(" to ")?;
    let number = |text: &str| text.trim_matches(['*', '†', ' ']).replace('−', "-").parse::<f64>().ok();
    let digits = mean.trim_end_matches(['*', '†']).split('.').nth(1).map_or(0, str::len);
    let (m, l, h) = (number(mean)?, number(low)?, number(high)?);
    Some(Spread { mean, ends: [low, high], below: m - l, above: h - m, digits })
}

/// `45.2 (43.1 to 47.3)` as `45.2 ± 2.1` where the interval is symmetric to the digits printed, else as `45.2 [43.1, 47.3]`.
fn plus_minus(cell: &str) -> String {
    let Some(Spread { mean, ends: [low, high], below, above, digits }) = spread(cell) else {
        return cell.to_string();
    };
    match (above - below).abs() <= 2.01 * 10f64.powi(-(digits as i32)) {
        true => format!("{mean}±{:.digits$}", 0.5 * (above + below)),
        false => format!("{mean} [{low}, {high}]"),
    }
}

/// Says what [`raised`] does.
const RAISED: &str = " Raised and lowered: how far the ends of the 95 % interval are from the mean.";

/// The same in less room: `45.2` with `+2.1` above and `−3.0` below, written here as `45.2⁺2.1₋3.0`.
fn raised(cell: &str) -> String {
    match spread(cell) {
        Some(Spread { mean, below, above, digits, .. }) => {
            format!("{mean}⁺{above:.digits$}₋{below:.digits$}")
        }
        None => cell.to_string(),
    }
}

/// The parts of a cell that [`raised`] wrote.
fn scripts(cell: &str) -> Option<[&str; 3]> {
    let (mean, ends) = cell.split_once('⁺')?;
    let (above, below) = ends.split_once('₋')?;
    Some([mean, above, below])
}

fn cell(text: &str) -> String {
    match scripts(text) {
        Some([mean, above, below]) => format!("{}$^{{+{above}}}_{{-{below}}}$", inline(mean)),
        None => inline(text),
    }
}

fn inline(text: &str) -> String {
    let bold = |part: &str| {
        let pieces: Vec<String> = part.split("**").map(escape).collect();
        match pieces.len() % 2 {
            1 => pieces
                .iter()
                .enumerate()
                .map(|(i, piece)| if i % 2 == 1 { format!("\\textbf{{{piece}}}") } else { piece.clone() })
                .collect(),
            _ => escape(part),
        }
    };
    let span = |(code, part): (bool, &str)| {
        if code { format!("\\texttt{{{}}}", breakable(part)) } else { bold(part) }
    };
    spans(text).map(span).collect()
}

/// A name that may break after its underscores, dots, dashes and slashes, and where it is long without any.
fn breakable(name: &str) -> String {
    let mut out = String::new();
    let mut run = 0;
    for c in name.chars() {
        match c {
            '_' => out.push_str("\\_"),
            c => out += &escape(&c.to_string()),
        }
        run = if "_.-/=, ".contains(c) { 0 } else { run + 1 };
        if run == 0 || run == layout::MAX_RUN {
            out += "\\allowbreak{}";
            run = 0;
        }
    }
    out
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // In a column of text a name breaks here.
            '_' => out.push_str("\\_\\allowbreak{}"),
            '%' | '&' | '#' | '$' | '{' | '}' => out.extend(['\\', c]),
            '\\' => out.push_str("\\textbackslash{}"),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '−' => out.push_str("$-$"),
            '±' => out.push_str("$\\pm$"),
            '·' => out.push_str("$\\cdot$"),
            '×' => out.push_str("$\\times$"),
            '†' => out.push_str("\\dag{}"),
            '★' => out.push_str("$\\star$"),
            '≥' => out.push_str("$\\geq$"),
            '≤' => out.push_str("$\\leq$"),
            'Δ' => out.push_str("$\\Delta$"),
            'Σ' => out.push_str("$\\Sigma$"),
            'ρ' => out.push_str("$\\rho$"),
            '‖' => out.push_str("$\\|$"),
            '–' => out.push_str("--"),
            '…' => out.push_str("\\dots{}"),
            '<' => out.push_str("$<$"),
            '>' => out.push_str("$>$"),
            '|' => out.push_str("\\textbar{}"),
            '\n' | '\r' | '\t' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
