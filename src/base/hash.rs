//! Canonical hashes: the identity of a stage is the hash of everything that can change a number.
use super::input;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::Path;

/// Canonical JSON of `value`: object keys sorted, no white space.
///
/// `serde_json::Value` keeps its maps sorted, so a round trip through it is the canonical form.
pub fn canonical_json<T: Serialize>(value: &T) -> Result<String, serde_json::Error> {
    serde_json::to_value(value).map(|v| v.to_string())
}

/// SHA-256 of `bytes` as 64 hexadecimal digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of the contents of a file, however large, as 64 hexadecimal digits.
///
/// # Errors
/// There is no such file (a pipe or a device is none), or it cannot be read.
pub fn sha256_file(path: &Path) -> io::Result<String> {
    let mut file = input::open(path)?;
    let mut hasher = Sha256::new();
    // Most files are small, and a larger buffer would take longer to clear than they to read.
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hasher.finalize())),
            n => hasher.update(&buffer[..n]),
        }
    }
}

/// SHA-256 of `bytes` with ASCII zeros in the place of those in `range`, as 64 hexadecimal digits.
pub fn sha256_with_zeros(bytes: &[u8], range: Range<usize>) -> String {
    let mut hasher = Sha256::new();
    hasher.update(&bytes[..range.start]);
    hasher.update("0".repeat(range.len()));
    hasher.update(&bytes[range.end..]);
    hex(&hasher.finalize())
}

/// Hashes what passes through it.
pub struct HashingWriter<W> {
    inner: W,
    hasher: Sha256,
}

impl<W: Write> HashingWriter<W> {
    pub fn new(inner: W) -> Self {
        HashingWriter { inner, hasher: Sha256::new() }
    }

    /// What was written to, and the SHA-256 of what was written as 64 hexadecimal digits.
    pub fn finish(self) -> (W, String) {
        (self.inner, hex(&self.hasher.finalize()))
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digits = |byte: &u8| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    bytes.iter().flat_map(digits).collect()
}

/// The first eight hexadecimal digits of the SHA-256 of `bytes`: long enough for one experiment's stages.
pub fn short_hash(bytes: &[u8]) -> String {
    sha256_hex(bytes)[..8].to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_form_does_not_depend_on_the_order_of_keys() {
        let (a, b): (serde_json::Value, serde_json::Value) = (
            serde_json::from_str(r#"{"b":1,"a":2.5}"#).unwrap(),
            serde_json::from_str(r#"{"a":2.5,"b":1}"#).unwrap(),
        );
        assert_eq!(canonical_json(&a).unwrap(), r#"{"a":2.5,"b":1}"#);
        assert_eq!(canonical_json(&a).unwrap(), canonical_json(&b).unwrap());
    }

    #[test]
    fn hash_of_nothing_is_the_published_one() {
        assert_eq!(sha256_hex(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(short_hash(b""), "e3b0c442");
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(sha256_file(file.path()).unwrap(), sha256_hex(b""));
    }
}
