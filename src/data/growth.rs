//! How much longer the normaliser of a `tokenizer.json` can make a text, by what the file says of it.
//!
//! A few lines of replacements, each of which makes ten letters of one, ask for more memory than any machine has. So the
//! growth is bounded before any text is encoded:
//!
//! ```text
//! n bytes become at most a·n + b      Sequence: composed;  Replace: a = |content| / |pattern|;  Prepend: b = |prepend|
//! ```
use serde_json::Value;

/// Largest a that is accepted: real normalisers stay below 100 (compatibility forms, spaces as `▁`).
const MAX_FACTOR: f64 = 1024.0;
/// Largest b.
const MAX_BYTES: f64 = (1 << 20) as f64;
/// Bytes of the longest compatibility form by those of its character: U+FDFA, three bytes, becomes 33.
const COMPATIBILITY: f64 = 11.0;

/// Errors, in words, where normaliser or decoder can make a text too long.
pub(super) fn check(tokenizer: &Value) -> Result<(), String> {
    for part in ["normalizer", "decoder"] {
        let (factor, bytes) = growth(&tokenizer[part]);
        if !(factor <= MAX_FACTOR && bytes <= MAX_BYTES) {
            return Err(format!(
                "its {part} can make a text {factor:.0} times as long and {bytes:.0} bytes longer, more than {MAX_FACTOR} times and {MAX_BYTES} bytes"
            ));
        }
    }
    Ok(())
}

/// (a, b) of one step or of a sequence of them.
fn growth(step: &Value) -> (f64, f64) {
    let length = |value: &Value| value.as_str().map_or(0, str::len) as f64;
    match step["type"].as_str().unwrap_or_default() {
        "Sequence" => {
            let steps = step["normalizers"].as_array().or_else(|| step["decoders"].as_array());
            steps.into_iter().flatten().fold((1.0, 0.0), |(a, b), step| {
                let (factor, bytes) = growth(step);
                (a * factor, b * factor + bytes)
            })
        }
        "Replace" => match length(&step["pattern"]["String"]) {
            // An empty pattern, or a regular expression that matches nothing, stands between any two characters.
            0.0 => (1.0 + length(&step["content"]), length(&step["content"])),
            pattern => ((length(&step["content"]) / pattern).max(1.0), 0.0),
        },
        "Prepend" => (1.0, length(&step["prepend"])),
        "NFC" | "NFD" | "NFKC" | "NFKD" | "Precompiled" | "Nmt" => (COMPATIBILITY, 0.0),
        "Lowercase" => (1.5, 0.0),
        "ByteLevel" | "BertNormalizer" => (3.0, 0.0),
        _ => (1.0, 0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn real_normalisers_pass_and_exploding_ones_do_not() {
        let replace =
            |from: &str, to: &str| json!({"type": "Replace", "pattern": {"String": from}, "content": to});
        let sequence = |steps: Vec<Value>| json!({"type": "Sequence", "normalizers": steps});
        for sound in [
            Value::Null,
            sequence(vec![json!({"type": "Prepend", "prepend": "▁"}), replace(" ", "▁")]),
            sequence(vec![json!({"type": "NFKC"}), json!({"type": "Lowercase"}), replace(" ", "▁")]),
        ] {
            assert_eq!(check(&json!({"normalizer": sound})), Ok(()));
        }
        let tenfold = sequence(vec![replace("a", "aaaaaaaaaa"); 12]);
        for bomb in [
            tenfold.clone(),
            sequence(vec![tenfold, replace("a", "b")]),
            replace("", &"x".repeat(2000)),
            json!({"type": "Replace", "pattern": {"Regex": "b*"}, "content": "x".repeat(2000)}),
            sequence(vec![
                json!({"type": "Prepend", "prepend": "x".repeat(1000)}),
                replace("x", &"y".repeat(1023)),
                replace("y", "yyyy"),
            ]),
        ] {
            assert!(check(&json!({"normalizer": bomb})).is_err(), "{bomb}");
        }
    }
}
