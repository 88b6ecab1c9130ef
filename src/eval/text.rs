//! Python's string functions where the harness uses them, and its cleaning of HellaSwag.

/// What Python's `str.strip` takes for white space.
pub fn is_python_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Python's `str.strip()`.
pub fn python_strip(text: &str) -> &str {
    text.trim_matches(is_python_space)
}

/// Python's `str.lstrip()`.
pub fn python_strip_start(text: &str) -> &str {
    text.trim_start_matches(is_python_space)
}

/// Python's `str.rstrip()`.
pub fn python_strip_end(text: &str) -> &str {
    text.trim_end_matches(is_python_space)
}

/// Python's `str.capitalize`: first character in upper case, all others in lower case.
pub fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars.as_str().to_lowercase().chars()).collect(),
        None => String::new(),
    }
}

/// Strip; ` [title]` → `. `; brackets with what they hold go; each double space → one, in a single pass.
pub fn clean_hellaswag(text: &str) -> String {
    without_brackets(&python_strip(text).replace(" [title]", ". ")).replace("  ", " ")
}

/// Deletes every match of `\[.*?\]`, where the dot matches no newline.
fn without_brackets(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('[') {
        let close = rest[open..].find([']', '\n']).map(|i| open + i);
        out.push_str(&rest[..open]);
        match close {
            Some(end) if rest.as_bytes()[end] == b']' => rest = &rest[end + 1..],
            _ => {
                // No bracket closes on this line: the opening one is text.
                out.push('[');
                rest = &rest[open + 1..];
            }
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hellaswag_cleaning() {
        // Each expectation is Python's: text.strip(); .replace(" [title]", ". "); re.sub("\\[.*?\\]", "", ·);
        // .replace("  ", " ").
        for (raw, clean) in [
            ("  a b  ", "a b"),
            ("How to [title] do it", "How to.  do it".replace("  ", " ").as_str()),
            ("a [header] b", "a b"),
            ("a [step] ", "a "),
            ("[substeps] b", " b"),
            ("x [a[b] y", "x y"),
            ("x [a\nb] y", "x [a\nb] y"),
            ("x ] y [", "x ] y ["),
            ("a   b    c", "a  b  c"),
            ("one [title] [step] two", "one.  two"),
        ] {
            assert_eq!(clean_hellaswag(raw), clean, "{raw:?}");
        }
    }

    #[test]
    fn python_strings() {
        assert_eq!(capitalize("the Man FROM Rome"), "The man from rome");
        assert_eq!(capitalize(""), "");
        assert_eq!(capitalize("\u{e9}T\u{c9}"), "\u{c9}t\u{e9}");
        assert_eq!(python_strip("\u{1f}\u{a0} a \n"), "a");
        assert_eq!((python_strip_end(" a "), python_strip_start(" a ")), (" a", "a "));
    }
}
