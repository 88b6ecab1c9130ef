//! `tokenizer.model`: a SentencePiece model, the form in which older Llamas bring their tokenizer.
//!
//! ```text
//! ModelProto        1 pieces (many) · 2 trainer_spec · 3 normalizer_spec                          protocol buffers
//! SentencePiece     1 piece (string) · 2 score (f32) · 3 type: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte
//! TrainerSpec       3 model_type: 1 unigram, 2 BPE · 40 unk_id · 41 bos_id · 42 eos_id · 43 pad_id
//! NormalizerSpec    2 precompiled_charsmap · 3 add_dummy_prefix · 4 remove_extra_whitespaces
//! ```
//!
//! Source: `sentencepiece_model.proto`. Read are BPE models that leave text as it is but for spaces, as Llama's; others are
//! refused by name.
use std::path::Path;

use super::{CheckpointError, read_file};
use crate::base::vocabulary::VocabularyTables;

/// The vocabulary of the model at `path`.
///
/// # Errors
/// A file that cannot be read, is no SentencePiece model, or is one that cuts or normalises text by other rules.
pub fn load(path: &Path) -> Result<VocabularyTables, CheckpointError> {
    let bytes = read_file(path)?;
    parse(&bytes).map_err(|fault| match fault {
        Fault::Damaged(offset) => CheckpointError::Token {
            path: path.to_path_buf(),
            token: 0,
            offset,
            problem: "it is no SentencePiece model, or is damaged".into(),
        },
        Fault::Other(found) => CheckpointError::NotRead {
            path: path.to_path_buf(),
            found,
            remedy: "write a `tokenizer.json` with `AutoTokenizer.from_pretrained(…).save_pretrained(…)` of transformers".into(),
        },
    })
}

enum Fault {
    /// At this byte.
    Damaged(usize),
    /// Sound, and not what is read here.
    Other(String),
}

fn parse(bytes: &[u8]) -> Result<VocabularyTables, Fault> {
    let mut tables = VocabularyTables { model: "llama".into(), ..VocabularyTables::default() };
    // Defaults of the format.
    let (mut kind, mut ids) = (1, [0, 1, 2, -1]);
    let (mut has_map, mut has_prefix, mut trims) = (false, true, true);
    for field in Fields::of(bytes, 0) {
        let (number, value, at) = field?;
        let (1..=3, Value::Bytes(inner)) = (number, value) else { continue };
        if number == 1 {
            let (piece, score, kind) = piece(inner, at)?;
            tables.tokens.push(piece);
            tables.scores.push(score);
            tables.token_types.push(kind);
            continue;
        }
        for field in Fields::of(inner, at) {
            match (number, field?) {
                (2, (3, Value::Number(n), _)) => kind = n,
                (2, (id @ 40..=43, Value::Number(n), _)) => ids[id as usize - 40] = n as i64,
                (3, (2, Value::Bytes(map), _)) => has_map = !map.is_empty(),
                (3, (3, Value::Number(n), _)) => has_prefix = n != 0,
                (3, (4, Value::Number(n), _)) => trims = n != 0,
                _ => {}
            }
        }
    }
    if tables.tokens.is_empty() {
        return Err(Fault::Damaged(0));
    }
    let other = |found: &str| Err(Fault::Other(found.into()));
    match kind {
        2 => {}
        1 => return other("it is a SentencePiece model of kind unigram"),
        _ => return other("it is a SentencePiece model that is neither unigram nor BPE"),
    }
    if has_map {
        return other("it is a SentencePiece model that normalises characters");
    }
    if trims {
        return other("it is a SentencePiece model that takes out spaces");
    }
    let [unknown, bos, eos, pad] = ids.map(|id| u32::try_from(id).ok());
    let is_known = |id: &u32| (*id as usize) < tables.tokens.len();
    tables.unknown_id = unknown.filter(is_known);
    tables.bos_id = bos.filter(is_known);
    tables.eos_id = eos.filter(is_known);
    tables.padding_id = pad.filter(is_known);
    tables.add_bos = Some(tables.bos_id.is_some());
    tables.add_space_prefix = Some(has_prefix);
    Ok(tables)
}

fn piece(bytes: &[u8], at: usize) -> Result<(String, f32, i32), Fault> {
    let (mut text, mut score, mut kind) = (None, 0.0, 1);
    for field in Fields::of(bytes, at) {
        match field? {
            (1, Value::Bytes(bytes), at) => {
                text = Some(String::from_utf8(bytes.to_vec()).map_err(|_| Fault::Damaged(at))?);
            }
            (2, Value::Word(bits), _) => score = f32::from_bits(bits),
            (3, Value::Number(n), at) => {
                kind = i32::try_from(n).ok().filter(|n| (1..=6).contains(n)).ok_or(Fault::Damaged(at))?;
            }
            _ => {}
        }
    }
    match text {
        Some(text) if !score.is_nan() => Ok((text, score, kind)),
        _ => Err(Fault::Damaged(at)),
    }
}

/// What stands in a field: by its wire type 0, 1 (left out), 2, 5.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Word(u32),
    Other,
}

/// The fields of a message, each with its number and the byte of the file at which its value begins.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where the message begins in the file.
    offset: usize,
}

impl<'a> Fields<'a> {
    fn of(bytes: &'a [u8], offset: usize) -> Self {
        Fields { bytes, at: 0, offset }
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            value |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, count: u64) -> Option<&'a [u8]> {
        let end = self.at.checked_add(usize::try_from(count).ok()?)?;
        let bytes = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(bytes)
    }

    fn field(&mut self) -> Option<(u64, Value<'a>, usize)> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Other)?,
            2 => {
                let length = self.varint()?;
                let bytes = self.take(length)?;
                return Some((tag >> 3, Value::Bytes(bytes), self.offset + self.at - bytes.len()));
            }
            5 => Value::Word(u32::from_le_bytes(*self.take(4)?.first_chunk()?)),
            _ => return None,
        };
        Some((tag >> 3, value, self.offset + self.at))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>, usize), Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let start = self.offset + self.at;
        let field = self.field();
        if field.is_none() {
            self.at = self.bytes.len();
        }
        Some(field.ok_or(Fault::Damaged(start)))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::base::fuzz;
    use proptest::prelude::*;
    use std::fs;

    fn varint(mut value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value >= 128 {
            bytes.push(value as u8 | 128);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    }

    fn message(number: u64, inner: &[u8]) -> Vec<u8> {
        [varint(number << 3 | 2), varint(inner.len() as u64), inner.to_vec()].concat()
    }

    fn number(field: u64, value: u64) -> Vec<u8> {
        [varint(field << 3), varint(value)].concat()
    }

    /// Three specials and some pieces; `kind` and `trims` as the trainer and the normaliser say.
    fn model(kind: u64, trims: u64) -> Vec<u8> {
        let pieces = [
            ("<unk>", 0.0f32, 2),
            ("<s>", 0.0, 3),
            ("</s>", 0.0, 3),
            ("<0x41>", 0.0, 6),
            ("▁", -1.0, 1),
            ("a", -2.0, 1),
            ("▁a", -0.5, 1),
        ];
        let mut bytes: Vec<u8> = pieces
            .iter()
            .flat_map(|(text, score, kind)| {
                let score = [vec![2 << 3 | 5], score.to_le_bytes().to_vec()].concat();
                message(1, &[message(1, text.as_bytes()), score, number(3, *kind)].concat())
            })
            .collect();
        bytes.extend(message(2, &[number(3, kind), number(43, u64::MAX)].concat()));
        bytes.extend(message(3, &[message(1, b"identity"), number(3, 1), number(4, trims)].concat()));
        bytes
    }

    fn read(bytes: &[u8]) -> Result<VocabularyTables, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.model");
        fs::write(&path, bytes).unwrap();
        load(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn pieces_ids_and_rules_are_read() {
        let tables = read(&model(2, 0)).unwrap();
        assert_eq!(tables.tokens, ["<unk>", "<s>", "</s>", "<0x41>", "▁", "a", "▁a"]);
        assert_eq!(tables.token_types, [2, 3, 3, 6, 1, 1, 1]);
        assert_eq!(tables.scores[4..], [-1.0, -2.0, -0.5]);
        assert_eq!(
            (tables.unknown_id, tables.bos_id, tables.eos_id, tables.padding_id),
            (Some(0), Some(1), Some(2), None)
        );
        assert_eq!((tables.add_bos, tables.add_space_prefix), (Some(true), Some(true)));
    }

    #[test]
    fn other_models_are_refused_by_name() {
        for (bytes, told) in [
            (model(1, 0), "of kind unigram"),
            (model(2, 1), "takes out spaces"),
            (b"\x0a".to_vec(), "is no SentencePiece model"),
            (b"not a model".to_vec(), "is no SentencePiece model"),
            (Vec::new(), "is no SentencePiece model"),
        ] {
            let message = read(&bytes).unwrap_err();
            assert!(message.contains(told), "{message}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: fuzz::cases(300, 1), rng_seed: proptest::test_runner::RngSeed::Fixed(31), failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn damaged_models_never_panic_fuzz(
            at in any::<prop::sample::Index>(), values in prop::collection::vec(any::<u8>(), 1..6), cut in any::<bool>(),
        ) {
            let mut bytes = model(2, 0);
            let at = at.index(bytes.len());
            for (target, value) in bytes.iter_mut().skip(at).zip(values) {
                *target = value;
            }
            if cut {
                bytes.truncate(at);
            }
            let _ = parse(&bytes);
        }
    }
}
