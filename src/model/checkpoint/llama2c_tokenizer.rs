//! The tokenizer of a llama2.c model: the pieces and scores of a SentencePiece BPE model.
//!
//! ```text
//! file     i32 max_token_length, then until the end of the file per token: f32 score, i32 length, bytes
//! ids      0 <unk>, 1 <s> (BOS), 2 </s> (EOS), 3 … 258 the bytes <0x00> … <0xFF>, then pieces
//! encode   " " + text, one piece per Unicode character (bytes where there is none), then as long as two
//!          neighbours together are a piece: join the pair of the highest score, the leftmost among equals
//! ```
use std::collections::HashMap;
use std::path::Path;

use super::{CheckpointError, read_file};

/// Id of `<0x00>`.
const FIRST_BYTE: u32 = 3;

/// Pieces and scores of a SentencePiece BPE model, with its byte fallback.
#[derive(Clone, Debug)]
pub struct Llama2cTokenizer {
    pieces: Vec<Vec<u8>>,
    scores: Vec<f32>,
    ids: HashMap<Vec<u8>, u32>,
}

impl Llama2cTokenizer {
    /// Begin of sequence: stands before every document.
    pub const BOS: u32 = 1;

    /// Reads a llama2.c tokenizer file.
    ///
    /// # Errors
    /// An unreadable file, a token that runs past the end of the file or is longer than the header allows, and a file
    /// with too few tokens for the byte fallback.
    pub fn load(path: &Path) -> Result<Self, CheckpointError> {
        let bytes = read_file(path)?;
        let fault = |token, offset, problem: String| CheckpointError::Token {
            path: path.to_path_buf(),
            token,
            offset,
            problem,
        };
        let take = |offset: usize, token: usize| -> Result<[u8; 4], CheckpointError> {
            bytes.get(offset..).and_then(|rest| rest.first_chunk::<4>()).copied().ok_or_else(|| {
                fault(token, offset, "4 bytes expected, found the end of the file: it is truncated".into())
            })
        };
        let longest = i32::from_le_bytes(take(0, 0)?);
        let (mut pieces, mut scores, mut offset) = (Vec::new(), Vec::new(), 4);
        while offset < bytes.len() {
            let token = pieces.len();
            let score = f32::from_le_bytes(take(offset, token)?);
            let length = i32::from_le_bytes(take(offset + 4, token)?);
            if !(0..=longest).contains(&length) {
                let problem = format!("length is {length}, expected 0 to {longest} (max_token_length)");
                return Err(fault(token, offset, problem));
            }
            let (start, end) = (offset + 8, offset + 8 + length as usize);
            let Some(piece) = bytes.get(start..end) else {
                let found = bytes.len() - start;
                let problem = format!("{length} bytes expected, found {found}: the file is truncated");
                return Err(fault(token, start, problem));
            };
            if score.is_nan() {
                return Err(fault(token, offset, "score is not a number".into()));
            }
            pieces.push(piece.to_vec());
            scores.push(score);
            offset = end;
        }
        let least = FIRST_BYTE as usize + 256;
        if pieces.len() < least {
            let problem = format!("the file ends, expected at least {least} tokens (specials and bytes)");
            return Err(fault(pieces.len(), offset, problem));
        }
        // The first of equal pieces counts.
        let mut ids = HashMap::with_capacity(pieces.len());
        for (id, piece) in pieces.iter().enumerate() {
            ids.entry(piece.clone()).or_insert(id as u32);
        }
        Ok(Self { pieces, scores, ids })
    }

    pub fn vocab_size(&self) -> usize {
        self.pieces.len()
    }

    /// Every piece with its score, by id.
    pub fn pieces(&self) -> impl Iterator<Item = (&[u8], f32)> {
        self.pieces.iter().map(Vec::as_slice).zip(self.scores.iter().copied())
    }

    /// Token ids of `text`, without BOS.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        if text.is_empty() {
            return Vec::new();
        }
        let mut tokens = Vec::with_capacity(text.len() + 1);
        for character in std::iter::once(' ').chain(text.chars()) {
            let mut buffer = [0; 4];
            let bytes = character.encode_utf8(&mut buffer).as_bytes();
            match self.ids.get(bytes) {
                Some(&id) => tokens.push(id),
                None => tokens.extend(bytes.iter().map(|&byte| FIRST_BYTE + u32::from(byte))),
            }
        }
        // joins[i]: what tokens i and i + 1 would become, and its score.
        let mut joins: Vec<Option<(u32, f32)>> = tokens.windows(2).map(|p| self.join(p[0], p[1])).collect();
        while let Some(i) = best(&joins) {
            let Some((id, _)) = joins[i] else { break };
            tokens[i] = id;
            tokens.remove(i + 1);
            joins.remove(i);
            if i > 0 {
                joins[i - 1] = self.join(tokens[i - 1], id);
            }
            if i < joins.len() {
                joins[i] = self.join(id, tokens[i + 1]);
            }
        }
        tokens
    }

    /// Text of `tokens`: the inverse of [`Self::encode`], the leading space taken off. Specials stand for nothing;
    /// bytes that are not UTF-8 become U+FFFD. Ids that the tokenizer has not are skipped.
    pub fn decode(&self, tokens: &[u32]) -> String {
        let mut bytes = Vec::new();
        for &token in tokens {
            match token {
                0..FIRST_BYTE => {}
                _ if token < FIRST_BYTE + 256 => bytes.push((token - FIRST_BYTE) as u8),
                _ => bytes.extend(self.pieces.get(token as usize).into_iter().flatten()),
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        text.strip_prefix(' ').unwrap_or(&text).to_string()
    }

    fn join(&self, left: u32, right: u32) -> Option<(u32, f32)> {
        let joined = [&self.pieces[left as usize][..], &self.pieces[right as usize][..]].concat();
        self.ids.get(&joined).map(|&id| (id, self.scores[id as usize]))
    }
}

/// Index of the highest score, the leftmost among equals.
fn best(joins: &[Option<(u32, f32)>]) -> Option<usize> {
    let mut best: Option<(usize, f32)> = None;
    for (i, join) in joins.iter().enumerate() {
        if let Some((_, score)) = join
            && best.is_none_or(|(_, highest)| *score > highest)
        {
            best = Some((i, *score));
        }
    }
    best.map(|(i, _)| i)
}
