//! Held-out tokens in windows, for bits per byte.
//!
//! Windows lie as those of training do, in the order of the files. Those of a mixture are taken in the mixture's own
//! order, each source's from its first on, and end with the first source that has no more: bits per byte weigh the
//! sources as training does.
//!
//! Bytes are those of the text, from the text itself. A token's own length is only a guess where the tokenizer folds case,
//! normalises, puts a space before the text or knows no token for a character, so lengths of tokens only share out what
//! the documents have among them (`num_bytes` is the guess; sums are over all held-out tokens of a source):
//!
//! ```text
//! bytes(window) = Σ num_bytes(target) · (bytes of the source's documents / Σ num_bytes(token))
//! ```
//!
//! In byte-level BPE the factor is exactly 1.
use super::batches::Batch;
use super::error::DataError;
use super::mixture::Shares;
use super::stream::count_windows;
use super::tokenizer::Tokenizer;
use super::tokens::Tokens;

/// Held-out windows in a fixed order.
pub struct ValidationWindows {
    sources: Vec<Tokens>,
    shares: Shares,
    context_length: usize,
    num_windows: usize,
    /// UTF-8 bytes of each source's documents, where they are known.
    text_bytes: Vec<Option<u64>>,
}

/// Tokens that are read at once to add up their lengths.
const COUNTED_AT_ONCE: u64 = 1 << 16;

/// What a token of a source counts: its own length times the factor, or, where no token has a length, an equal part.
#[derive(Clone, Copy)]
struct Scale {
    by_length: f64,
    by_token: f64,
}

impl ValidationWindows {
    /// The windows of the first `limit` tokens (0: of all), at least one.
    ///
    /// # Errors
    /// The tokens do not fill one window.
    pub fn new(tokens: Tokens, context_length: usize, limit: u64) -> Result<Self, DataError> {
        Self::mixture(vec![(tokens, 1.0)], context_length, limit)
    }

    /// As [`Self::new`], of several sources with their weights.
    ///
    /// # Errors
    /// The tokens of a source do not fill one window.
    pub fn mixture(
        sources: Vec<(Tokens, f64)>,
        context_length: usize,
        limit: u64,
    ) -> Result<Self, DataError> {
        let (sources, weights): (Vec<Tokens>, Vec<f64>) = sources.into_iter().unzip();
        let shares = Shares::new(&weights);
        let count = |(source, tokens): (usize, &Tokens)| {
            count_windows("validation", tokens.len(), context_length)
                .map_err(|error| if weights.len() == 1 { error } else { error.in_source(source) })
        };
        let windows: Vec<u64> = sources.iter().enumerate().map(count).collect::<Result<_, _>>()?;
        let wanted = if limit == 0 { u64::MAX } else { (limit / context_length as u64).max(1) };
        let mut num_windows = 0;
        while num_windows < wanted {
            let (source, before) = shares.place(num_windows);
            if before == windows[source] {
                break;
            }
            num_windows += 1;
        }
        let text_bytes = vec![None; sources.len()];
        Ok(ValidationWindows {
            sources,
            shares,
            context_length,
            num_windows: num_windows as usize,
            text_bytes,
        })
    }

    /// With the UTF-8 bytes of the documents of each source; without them a token counts what its own text has.
    pub fn with_text_bytes(mut self, text_bytes: impl IntoIterator<Item = u64>) -> Self {
        self.text_bytes.iter_mut().zip(text_bytes).for_each(|(of, bytes)| *of = Some(bytes));
        self
    }

    fn scale(&self, source: usize, tokenizer: &Tokenizer) -> Scale {
        let Some(text_bytes) = self.text_bytes[source] else {
            return Scale { by_length: 1.0, by_token: 0.0 };
        };
        let tokens = &self.sources[source];
        let (mut total, mut start, mut read) = (0, 0, Vec::new());
        while start < tokens.len() {
            let end = tokens.len().min(start + COUNTED_AT_ONCE);
            read.clear();
            tokens.read(start..end, &mut read);
            total += read.iter().map(|&id| u64::from(tokenizer.num_bytes(id))).sum::<u64>();
            start = end;
        }
        match total {
            0 => Scale { by_length: 0.0, by_token: text_bytes as f64 / tokens.len().max(1) as f64 },
            total => Scale { by_length: text_bytes as f64 / total as f64, by_token: 0.0 },
        }
    }

    /// Windows in all.
    pub fn len(&self) -> usize {
        self.num_windows
    }

    /// Never: there is at least one window.
    pub fn is_empty(&self) -> bool {
        self.num_windows == 0
    }

    /// The windows in order, `sequences` at a time, the last batch maybe smaller, each with the UTF-8 bytes of text that its
    /// targets stand for. `<|endoftext|>` counts no bytes, though it is predicted.
    pub fn batches<'a>(
        &'a self,
        sequences: usize,
        tokenizer: &'a Tokenizer,
    ) -> impl Iterator<Item = (Batch, f64)> + 'a {
        let sequences = sequences.max(1);
        let scales: Vec<Scale> = (0..self.sources.len()).map(|s| self.scale(s, tokenizer)).collect();
        (0..self.num_windows).step_by(sequences).map(move |first| {
            let n = sequences.min(self.num_windows - first);
            let mut batch = Batch::with_capacity(n, self.context_length);
            let mut window = Vec::with_capacity(self.context_length + 1);
            let mut bytes = 0.0;
            for index in first..first + n {
                let (source, index) = self.shares.place(index as u64);
                let start = index * self.context_length as u64;
                window.clear();
                self.sources[source].read(start..start + self.context_length as u64 + 1, &mut window);
                batch.push(&window);
                let lengths: u64 = window[1..].iter().map(|&id| u64::from(tokenizer.num_bytes(id))).sum();
                let Scale { by_length, by_token } = scales[source];
                bytes += lengths as f64 * by_length + self.context_length as f64 * by_token;
            }
            (batch, bytes)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validation_windows_count_bytes() {
        let documents = vec!["ab ab".to_string(), "\u{e9}".to_string()];
        let tokenizer = Tokenizer::train(&documents, 257).expect("a tokenizer");
        let mut tokens = Vec::new();
        for d in &documents {
            tokens.extend(tokenizer.encode(d).expect("ids"));
            tokens.push(tokenizer.eos_id());
        }
        // 5 + 1 + 2 + 1 = 9 tokens, T = 3: 2 windows, targets 1 … 6: "b ab", end, first byte of é: 5 bytes.
        let windows = ValidationWindows::new(tokens.into(), 3, 0).expect("windows");
        let all: Vec<(Batch, f64)> = windows.batches(2, &tokenizer).collect();
        assert_eq!((all.len(), all[0].1, all[0].0.sequences), (1, 5.0, 2));
        let ones: f64 = windows.batches(1, &tokenizer).map(|(_, bytes)| bytes).sum();
        assert_eq!((windows.len(), ones), (2, 5.0));
        // The same from the documents' own 7 bytes, which the tokens' lengths add up to.
        let windows = windows.with_text_bytes([7]);
        assert_eq!(windows.batches(2, &tokenizer).map(|(_, bytes)| bytes).sum::<f64>(), 5.0);
    }

    /// A tokenizer that puts a space before every word, folds case, normalises and knows no Chinese: the lengths of its
    /// tokens are not those of the text. All documents have the bytes that they have, and a part of them its share.
    #[test]
    fn bytes_are_those_of_the_text_whatever_the_tokenizer_makes_of_it() {
        let json = r#"{"version":"1.0","truncation":null,"padding":null,
            "added_tokens":[{"id":0,"content":"</s>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],
            "normalizer":{"type":"Sequence","normalizers":[{"type":"NFKC"},{"type":"Lowercase"}]},
            "pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true},
            "post_processor":null,"decoder":{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true},
            "model":{"type":"Unigram","unk_id":1,"vocab":[["</s>",0.0],["<unk>",0.0],["▁",-2.0],["a",-3.0],["b",-3.0],["▁a",-1.0],["fi",-2.5]],"byte_fallback":false}}"#;
        let tokenizer = Tokenizer::from_json(json).expect("a tokenizer");
        let documents = ["A b", "\u{fb01} B", "\u{4e2d}\u{6587} a", "bb a"];
        let text_bytes: usize = documents.iter().map(|d| d.len()).sum();
        let mut tokens = Vec::new();
        for document in documents {
            tokens.extend(tokenizer.encode(document).expect("ids"));
            tokens.push(tokenizer.eos_id());
        }
        let guessed: u64 = tokens.iter().map(|&id| u64::from(tokenizer.num_bytes(id))).sum();
        assert_ne!(guessed, text_bytes as u64, "{tokens:?}");
        // One window over everything but the first token, which is predicted by nothing.
        let all = tokens.len() - 1;
        let first = f64::from(tokenizer.num_bytes(tokens[0]));
        let windows = ValidationWindows::new(tokens.into(), all, 0).expect("windows");
        let windows = windows.with_text_bytes([text_bytes as u64]);
        let bytes: f64 = windows.batches(1, &tokenizer).map(|(_, bytes)| bytes).sum();
        let share = 1.0 - first / guessed as f64;
        assert!((bytes - text_bytes as f64 * share).abs() < 1e-9, "{bytes} of {text_bytes}");
        // And it is told where such a tokenizer changes a text.
        let change = tokenizer.first_change("a b\u{fb01}").expect("tokens");
        assert_eq!(change, Some(("a b\u{fb01}".to_string(), "a bfi".to_string())));
        assert_eq!(tokenizer.first_change("a b").expect("tokens"), None);
    }

    #[test]
    fn a_mixture_ends_with_its_first_source_that_ends() {
        let numbers = |first: u32, n: u32| Tokens::from((first..first + n).collect::<Vec<u32>>());
        let tokenizer = Tokenizer::train(&[], 257).expect("a tokenizer");
        let firsts = |limit| -> Vec<u32> {
            let sources = vec![(numbers(0, 100), 2.0), (numbers(1000, 10), 1.0)];
            let windows = ValidationWindows::mixture(sources, 4, limit).expect("windows");
            let batches = windows.batches(3, &tokenizer);
            batches.flat_map(|(batch, _)| batch.inputs.into_iter().step_by(4)).collect()
        };
        // The second source has two windows; its third would be the ninth of the mixture at the latest.
        assert_eq!(firsts(0), [0, 1000, 4, 8, 1004, 12, 16]);
        assert_eq!(firsts(8), [0, 1000]);
        assert_eq!(firsts(3), [0]);
    }
}
