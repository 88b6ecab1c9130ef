//! Small JSON files that carry their own SHA-256, so that a byte that changed on disk is noticed when they are read.
//!
//! ```text
//! {
//!   …,
//!   "sha256": "SHA-256 of this very text with 64 zeros in the place of these digits"
//! }
//! ```
use super::hash::{sha256_hex, sha256_with_zeros};
use serde::Serialize;
use serde::de::DeserializeOwned;

const BEFORE: &str = ",\n  \"sha256\": \"";
const AFTER: &str = "\"\n}\n";
const DIGITS: usize = 64;

/// Why a sealed file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error("it carries no SHA-256")]
    Missing,
    #[error("its SHA-256 is another than the one written in it")]
    Differs,
    #[error("{0}")]
    Json(#[from] serde_json::Error),
}

/// `value`, which is serialised as an object with at least one key, as sealed text.
///
/// # Errors
/// It cannot be serialised as such an object.
pub fn seal<T: Serialize>(value: &T) -> Result<Vec<u8>, SealError> {
    let text = serde_json::to_string_pretty(value)?;
    let body = text.strip_suffix("\n}").ok_or(SealError::Missing)?;
    let with = |digits: &str| format!("{body}{BEFORE}{digits}{AFTER}");
    let digits = sha256_hex(with(&"0".repeat(DIGITS)).as_bytes());
    Ok(with(&digits).into_bytes())
}

/// The value of a sealed text.
///
/// # Errors
/// It is no sealed text, it was changed since, or it holds no `T`.
pub fn open<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, SealError> {
    let end = bytes.strip_suffix(AFTER.as_bytes()).ok_or(SealError::Missing)?;
    let (start, digits) = end.split_at_checked(end.len().wrapping_sub(DIGITS)).ok_or(SealError::Missing)?;
    if !start.ends_with(BEFORE.as_bytes()) {
        return Err(SealError::Missing);
    }
    if sha256_with_zeros(bytes, start.len()..start.len() + DIGITS).as_bytes() != digits {
        return Err(SealError::Differs);
    }
    Ok(serde_json::from_slice(bytes)?)
}

/// The sealed text whose part before the seal is what `change` makes of that of `bytes`: what a writer of another version, or a
/// stranger, might have sealed.
#[cfg(test)]
pub(crate) fn resealed(bytes: &[u8], change: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let seal = BEFORE.len() + DIGITS + AFTER.len();
    let mut text = change(&bytes[..bytes.len() - seal]);
    text.extend(BEFORE.as_bytes());
    let place = text.len()..text.len() + DIGITS;
    text.resize(place.end, b'0');
    text.extend(AFTER.as_bytes());
    let digits = sha256_with_zeros(&text, place.clone());
    text[place].copy_from_slice(digits.as_bytes());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn what_was_sealed_comes_back() {
        let value = json!({ "a": 0.1, "b": [1, 2], "c": "sha256" });
        let bytes = seal(&value).unwrap();
        let mut back: Value = open(&bytes).unwrap();
        back.as_object_mut().unwrap().remove("sha256").unwrap();
        assert_eq!(back, value);
        assert_eq!(resealed(&bytes, <[u8]>::to_vec), bytes);
        let other = resealed(&bytes, |text| [text, b",\n  \"d\": 1"].concat());
        assert_eq!(open::<Value>(&other).unwrap()["d"], 1);
        assert!(matches!(seal(&json!([])), Err(SealError::Missing)));
        assert!(matches!(open::<Value>(b""), Err(SealError::Missing)));
        assert!(matches!(open::<Value>(b"{\n}\n"), Err(SealError::Missing)));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let bytes = seal(&json!({ "id": "source-s1-0011", "seconds": 1.5 })).unwrap();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut other = bytes.clone();
                other[at] ^= 1 << bit;
                assert!(open::<Value>(&other).is_err(), "bit {bit} of byte {at}");
            }
            assert!(open::<Value>(&bytes[..at]).is_err(), "cut at {at}");
        }
    }
}
