//! The fields of a line of JSON of which some are no JSON: what Python writes by default, `NaN`, `Infinity`, half a pair
//! of surrogates, and numbers beyond f64.
//!
//! Each field is read by itself. One that is no JSON is set aside with its reason, so that only whoever asks for it hears
//! of it; a line that is broken in any other way is none of this module's.
use serde_json::{Map, Value};

/// Deepest nesting that is followed, as in `serde_json`.
const MAX_DEPTH: usize = 128;

/// A field that is no JSON, and why.
pub(super) type Unread = (String, String);

/// The fields of the object on `line`; `None` where the line is broken.
pub(super) fn object(line: &str) -> Option<(Map<String, Value>, Vec<Unread>)> {
    let mut cursor = Cursor { bytes: line.as_bytes(), at: 0 };
    let (mut object, mut unread) = (Map::new(), Vec::new());
    cursor.expect(b'{')?;
    if !cursor.accept(b'}') {
        loop {
            let key = cursor.slice(line, |cursor| cursor.string())?;
            cursor.expect(b':')?;
            let value = cursor.slice(line, |cursor| cursor.value(0))?;
            // A key of half a character is a name that nobody can ask for.
            if let Ok(key) = serde_json::from_str::<String>(key) {
                match serde_json::from_str(value) {
                    Ok(value) => drop(object.insert(key, value)),
                    Err(error) => {
                        object.remove(&key);
                        let reason = error.to_string();
                        let reason = reason.split(" at line ").next().unwrap_or_default();
                        unread.push((key, reason.to_string()));
                    }
                }
            }
            if !cursor.accept(b',') {
                break;
            }
        }
        cursor.expect(b'}')?;
    }
    cursor.spaces();
    (cursor.at == line.len()).then_some((object, unread))
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn spaces(&mut self) {
        while self.bytes.get(self.at).is_some_and(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn accept(&mut self, byte: u8) -> bool {
        self.spaces();
        let is_there = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.accept(byte).then_some(())
    }

    /// The text that `skip` passes over.
    fn slice<'t>(&mut self, text: &'t str, skip: impl Fn(&mut Self) -> Option<()>) -> Option<&'t str> {
        self.spaces();
        let start = self.at;
        skip(self)?;
        text.get(start..self.at)
    }

    fn string(&mut self) -> Option<()> {
        self.expect(b'"')?;
        loop {
            match self.bytes.get(self.at)? {
                b'"' => break,
                b'\\' => {
                    match self.bytes.get(self.at + 1)? {
                        b'u' => {
                            let digits = self.bytes.get(self.at + 2..self.at + 6)?;
                            digits.iter().all(u8::is_ascii_hexdigit).then_some(())?;
                            self.at += 6;
                        }
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 2,
                        _ => return None,
                    };
                }
                0..0x20 => return None,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(())
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        self.spaces();
        match self.bytes.get(self.at)? {
            _ if depth > MAX_DEPTH => None,
            b'"' => self.string(),
            b'{' => self.items(b'}', |cursor| {
                cursor.string()?;
                cursor.expect(b':')?;
                cursor.value(depth + 1)
            }),
            b'[' => self.items(b']', |cursor| cursor.value(depth + 1)),
            _ => self.scalar(),
        }
    }

    fn items(&mut self, end: u8, item: impl Fn(&mut Self) -> Option<()>) -> Option<()> {
        self.at += 1;
        if self.accept(end) {
            return Some(());
        }
        loop {
            self.spaces();
            item(self)?;
            if !self.accept(b',') {
                return self.expect(end);
            }
        }
    }

    /// A number of any size, a word of JSON, or one of Python's words for what is no number.
    fn scalar(&mut self) -> Option<()> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b)).count();
        let word = std::str::from_utf8(&rest[..length]).ok()?;
        let is_word = matches!(word, "true" | "false" | "null" | "NaN" | "Infinity" | "-Infinity");
        // Digits of any number, finite in f64 or not.
        let is_number = || {
            let digits = word.strip_prefix('-').unwrap_or(word);
            digits.starts_with(|c: char| c.is_ascii_digit()) && word.parse::<f64>().is_ok()
        };
        (is_word || is_number()).then(|| self.at += length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn fields_that_are_no_json_are_set_aside() {
        let line = r#" {"text": "a\nb", "score": NaN, "deep": {"x": [1, -Infinity]}, "half": "\ud83d", "big": 1e999, "n": 3} "#;
        let (object, unread) = super::object(line).unwrap();
        assert_eq!(Value::Object(object), json!({"text": "a\nb", "n": 3}));
        let names: Vec<&str> = unread.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["score", "deep", "half", "big"]);
        assert_eq!(super::object("{}").unwrap(), (Map::new(), Vec::new()));
    }

    #[test]
    fn other_faults_are_not_excused() {
        for line in [
            "",
            "{",
            "[NaN]",
            "{\"a\": NaN",
            "{\"a\" NaN}",
            "{\"a\": nan}",
            "{\"a\": [NaN}",
            "{\"a\": \"\\x\", \"b\": NaN}",
            "{\"a\": NaN} x",
            "{\"a\": NaN,}",
            "{a: NaN}",
            "{\"a\": 01x}",
            "{\"a\": \"\t\"}",
        ] {
            assert_eq!(super::object(line), None, "{line}");
        }
        let deep = format!("{{\"a\": {}NaN{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(super::object(&deep), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, rng_seed: proptest::test_runner::RngSeed::Fixed(3), failure_persistence: None, ..ProptestConfig::default() })]
        /// What is JSON reads as JSON; nothing else panics.
        #[test]
        fn sound_lines_are_read_alike(text in "\\PC{0,12}", number in any::<f64>(), junk in "[ \\]\\[{}\",:a-z0-9\\\\.NI-]{0,40}") {
            let value = json!({"a": text, "b": [number, null], "c": {"d": text}});
            let (object, unread) = super::object(&value.to_string()).unwrap();
            prop_assert!(unread.is_empty());
            prop_assert_eq!(Value::Object(object), value);
            let _ = super::object(&junk);
            let _ = super::object(&format!("{{\"a\": {junk}}}"));
        }
    }
}
