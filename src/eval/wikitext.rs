//! WikiText-2 perplexity, in the two ways in use, which give different numbers.
//!
//! `wikitext`, as lm-evaluation-harness: documents one by one, detokenized, in rolling windows; per word, per byte and
//! in bits per byte of the *original* text:
//!
//! ```text
//! word_perplexity = exp(−Σ ll / Σ words)   byte_perplexity = exp(−Σ ll / Σ bytes)   bits_per_byte = −Σ ll / Σ bytes / ln 2
//! ```
//!
//! `wikitext_windows`, as pruning papers since SparseGPT (Frantar & Alistarh 2023, arXiv:2301.00774): all rows joined by
//! two newlines, tokenized once, cut into windows of T tokens, the rest left out; exp of the mean −ln p of a token
//! given those before it in its window.
use super::error::EvalError;
use super::files::{Files, missing};
use super::request::{Scorer, TokenRequest, score};
use super::text::{is_python_space, python_strip};
use crate::base::input;
use crate::data::hub::DatasetSplit;
use crate::data::tables::{ENDINGS, read_rows};
use crate::data::{DataError, Tokenizer};
use std::path::Path;

/// One document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// What is scored.
    pub text: String,
    /// Of the original: pieces between runs of white space, empty ones at the ends among them.
    pub words: usize,
    /// Of the original, in UTF-8.
    pub bytes: usize,
}

/// Perplexities as the harness gives them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DocumentPerplexity {
    pub word_perplexity: f64,
    pub byte_perplexity: f64,
    pub bits_per_byte: f64,
    pub documents: usize,
}

/// Perplexity as pruning papers give it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WindowPerplexity {
    pub perplexity: f64,
    pub windows: usize,
    pub window_tokens: usize,
}

/// The raw text on the hub, a row for each line.
const ON_HUB: DatasetSplit =
    DatasetSplit { dataset: "Salesforce/wikitext", config: "wikitext-2-raw-v1", split: "test" };

/// The raw text of the test split: in a folder, `wikitext/` or `wikitext-2-raw/` with `wiki.test.raw`, or `test` in any
/// form that benchmarks have, one row a line, the line in field `text`.
///
/// # Errors
/// There is no such file, or it cannot be read.
pub fn read(files: Files) -> Result<String, EvalError> {
    let folder = match files {
        Files::Folder(folder) => folder,
        Files::Hub(hub) => return rows_as_text(&hub.split_file(ON_HUB)?),
    };
    let mut tried = Vec::new();
    for name in ["wikitext", "wikitext-2-raw"] {
        let raw = folder.join(name).join("wiki.test.raw");
        if raw.is_file() {
            return Ok(read_raw(&raw)?);
        }
        for ending in ENDINGS {
            let path = folder.join(name).join(format!("test.{ending}"));
            if path.is_file() {
                return rows_as_text(&path);
            }
        }
        tried.push(format!("`{}`", raw.display()));
        tried.push(format!("`{}.{{{}}}`", folder.join(name).join("test").display(), ENDINGS.join(",")));
    }
    Err(missing("wikitext", "test", tried, ON_HUB))
}

fn read_raw(path: &Path) -> Result<String, DataError> {
    input::read_text(path, u64::MAX).map_err(|source| DataError::Read { path: path.to_path_buf(), source })
}

/// The hub's rows are the lines with their newlines; of the original's blank lines, which hold a space, nothing.
fn rows_as_text(path: &Path) -> Result<String, EvalError> {
    let mut text = String::new();
    for row in read_rows(path)? {
        let line = super::fields::Fields { object: &row.object, place: &row.place }.text("text")?;
        let line = line.strip_suffix('\n').unwrap_or(&line);
        text.push_str(if line.is_empty() { " " } else { line });
        text.push('\n');
    }
    Ok(text)
}

/// The documents of a raw text: each begins at a heading of level one.
pub fn documents(raw: &str) -> Vec<Document> {
    let mut pages: Vec<Vec<&str>> = vec![Vec::new()];
    for line in raw.split('\n') {
        let reduced = line.replace("= = =", "===").replace("= =", "==");
        let reduced = python_strip(&reduced);
        if reduced.starts_with("= ") && reduced.ends_with(" =") {
            pages.push(Vec::new());
        }
        if let Some(page) = pages.last_mut() {
            page.push(line);
        }
    }
    let pages = pages.into_iter().map(|lines| lines.join("\n"));
    pages.filter(|page| !python_strip(page).is_empty()).map(|page| document(&page)).collect()
}

fn document(page: &str) -> Document {
    let mut words = 1;
    let mut in_space = false;
    for c in page.chars() {
        let space = is_python_space(c);
        words += usize::from(space && !in_space);
        in_space = space;
    }
    Document { text: detokenize(page), words, bytes: page.len() }
}

/// The harness's detokenizer; its one regular expression with literal slashes never matches and is left out.
fn detokenize(page: &str) -> String {
    let mut text = page.to_string();
    let replace = |pairs: &[(&str, &str)], text: &mut String| {
        for (from, to) in pairs {
            *text = text.replace(from, to);
        }
    };
    replace(&[("s '", "s'"), (" @-@ ", "-"), (" @,@ ", ","), (" @.@ ", ".")], &mut text);
    replace(
        &[(" : ", ": "), (" ; ", "; "), (" . ", ". "), (" ! ", "! "), (" ? ", "? "), (" , ", ", ")],
        &mut text,
    );
    for (open, close) in [('(', ')'), ('[', ']'), ('{', '}'), ('"', '"'), ('\'', '\'')] {
        text = tighten(&text, open, close);
    }
    replace(&[("= = = =", "===="), ("= = =", "==="), ("= =", "=="), (" ° ", "°")], &mut text);
    replace(&[(" \n", "\n"), ("\n ", "\n"), (" N ", " 1 "), (" 's", "'s")], &mut text);
    text
}

/// Takes away white space just inside each pair: the pattern `open\s*([^close]*?)\s*close`, from left to right.
fn tighten(text: &str, open: char, close: char) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(open) {
        let Some((inside, later)) = after.split_once(close) else { break };
        out.push_str(before);
        out.push(open);
        out.push_str(python_strip(inside));
        out.push(close);
        rest = later;
    }
    out + rest
}

/// Windows that together predict each token once. The first begins with `prefix`; all later ones are full, the last with
/// as much context as fits.
pub fn rolling_windows(tokens: &[u32], prefix: u32, context_length: usize) -> Vec<TokenRequest> {
    let first = tokens.len().min(context_length);
    let mut windows = Vec::new();
    if first > 0 {
        windows.push(TokenRequest { tokens: [&[prefix], &tokens[..first]].concat(), scored_from: 1 });
    }
    let mut predicted = first;
    while predicted < tokens.len() {
        let count = (tokens.len() - predicted).min(context_length);
        let end = predicted + count;
        let window = tokens[end - context_length - 1..end].to_vec();
        windows.push(TokenRequest { scored_from: window.len() - count, tokens: window });
        predicted = end;
    }
    windows
}

/// Requests of one document.
///
/// # Errors
/// The tokenizer fails.
pub fn document_requests(
    document: &Document,
    tokenizer: &Tokenizer,
    context_length: usize,
) -> Result<Vec<TokenRequest>, DataError> {
    Ok(rolling_windows(&tokenizer.encode(&document.text)?, tokenizer.prefix_id(), context_length))
}

/// The windows of the whole raw text, of `length` tokens each.
///
/// # Errors
/// The tokenizer fails, or the text has no window's length.
pub fn text_windows(raw: &str, tokenizer: &Tokenizer, length: usize) -> Result<Vec<TokenRequest>, EvalError> {
    let lines = raw.strip_suffix('\n').unwrap_or(raw).split('\n');
    // Rows as the hub has them: a blank line is empty, any other keeps its newline.
    let rows: Vec<String> = lines
        .map(|line| if python_strip(line).is_empty() { String::new() } else { format!("{line}\n") })
        .collect();
    let tokens = tokenizer.encode_with_defaults(&rows.join("\n\n"))?;
    if tokens.len() < length || length < 2 {
        return Err(EvalError::NoWindow { found: tokens.len(), length });
    }
    let window = |tokens: &[u32]| TokenRequest { tokens: tokens.to_vec(), scored_from: 1 };
    Ok(tokens.chunks_exact(length).map(window).collect())
}

/// Perplexity over documents, whose requests are given, window by window.
///
/// # Errors
/// The scorer fails.
pub fn document_perplexity(
    documents: &[Document],
    requests: &[Vec<TokenRequest>],
    scorer: &mut dyn Scorer,
) -> Result<DocumentPerplexity, EvalError> {
    let sum = sum(scorer, requests.iter().flatten())?;
    let words: usize = documents.iter().map(|d| d.words).sum();
    let bytes: usize = documents.iter().map(|d| d.bytes).sum();
    Ok(DocumentPerplexity {
        word_perplexity: (-sum / words as f64).exp(),
        byte_perplexity: (-sum / bytes as f64).exp(),
        bits_per_byte: -sum / bytes as f64 / std::f64::consts::LN_2,
        documents: documents.len(),
    })
}

/// Perplexity over windows.
///
/// # Errors
/// The scorer fails.
pub fn window_perplexity(
    windows: &[TokenRequest],
    scorer: &mut dyn Scorer,
) -> Result<WindowPerplexity, EvalError> {
    let sum = sum(scorer, windows)?;
    let tokens: usize = windows.iter().map(TokenRequest::num_scored).sum();
    Ok(WindowPerplexity {
        perplexity: (-sum / tokens as f64).exp(),
        windows: windows.len(),
        window_tokens: windows.first().map_or(0, |w| w.tokens.len()),
    })
}

/// Σ of the log-likelihoods, each request an item of its own.
fn sum<'a>(
    scorer: &mut dyn Scorer,
    requests: impl IntoIterator<Item = &'a TokenRequest>,
) -> Result<f64, EvalError> {
    let items: Vec<Vec<TokenRequest>> = requests.into_iter().map(|request| vec![request.clone()]).collect();
    Ok(score(scorer, &items)?.iter().flatten().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_begin_at_level_one_headings() {
        let raw = " \n = A = \n \n Text of A . \n = = Part = = \n more \n = B = \n b \n";
        let found = documents(raw);
        assert_eq!(found.len(), 2);
        // " = A = \n \n Text of A . \n = = Part = = \n more ": 13 pieces and an empty one at each end.
        assert_eq!((found[0].words, found[0].bytes), (15, 45));
        assert_eq!(found[0].text, " = A =\n\nText of A.\n== Part ==\nmore ");
    }

    #[test]
    fn detokenizing() {
        // Each expectation is what Python's replacements and re.sub give.
        for (page, text) in [
            ("ten @-@ year 1 @,@ 000 3 @.@ 5", "ten-year 1,000 3.5"),
            ("a ( b ) c [ d ] \" e \" \' f \'", "a (b) c [d] \"e\" \'f\'"),
            ("the boys ' hats", "the boys' hats"),
            ("it 's 5 ° N and", "it's 5°N and"),
            ("open ( never closed", "open ( never closed"),
            ("a , b ; c : d ! e ? f . g", "a, b; c: d! e? f. g"),
        ] {
            assert_eq!(detokenize(page), text, "{page:?}");
        }
    }

    #[test]
    fn windows_predict_each_token_once() {
        let tokens: Vec<u32> = (10..20).collect();
        let windows = rolling_windows(&tokens, 0, 4);
        let shown: Vec<(&[u32], usize)> =
            windows.iter().map(|w| (w.tokens.as_slice(), w.scored_from)).collect();
        assert_eq!(
            shown,
            [
                (&[0, 10, 11, 12, 13][..], 1),
                (&[13, 14, 15, 16, 17], 1),
                // The last window keeps its full length: two tokens predicted, three of context.
                (&[15, 16, 17, 18, 19], 3),
            ]
        );
        assert_eq!(rolling_windows(&tokens[..3], 0, 4).len(), 1);
        assert!(rolling_windows(&[], 0, 4).is_empty());
    }
}
