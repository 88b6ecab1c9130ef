//! Held-out tokens in windows, for bits per byte.
//!
//! Windows lie as those of training do, in the order of the files. Those of a mixture are taken in the mixture's own
//! order, each source's from its first on, and end with the first source that has no more: bits per byte weigh the
//! sources as training does.
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
        Ok(ValidationWindows { sources, shares, context_length, num_windows: num_windows as usize })
    }

    /// Windows in all.
    pub fn len(&self) -> usize {
        self.num_windows
    }

    /// Never: there is at least one window.
    pub fn is_empty(&self) -> bool {
        self.num_windows == 0
    }

    /// The windows in order, `sequences` at a time, the last batch maybe smaller, each with the UTF-8 bytes of its
    /// targets. `<|endoftext|>` counts no bytes, though it is predicted.
    pub fn batches<'a>(
        &'a self,
        sequences: usize,
        tokenizer: &'a Tokenizer,
    ) -> impl Iterator<Item = (Batch, u64)> + 'a {
        let sequences = sequences.max(1);
        (0..self.num_windows).step_by(sequences).map(move |first| {
            let n = sequences.min(self.num_windows - first);
            let mut batch = Batch::with_capacity(n, self.context_length);
            let mut window = Vec::with_capacity(self.context_length + 1);
            for index in first..first + n {
                let (source, index) = self.shares.place(index as u64);
                let start = index * self.context_length as u64;
                window.clear();
                self.sources[source].read(start..start + self.context_length as u64 + 1, &mut window);
                batch.push(&window);
            }
            let bytes = batch.targets.iter().map(|&id| u64::from(tokenizer.num_bytes(id))).sum();
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
        let all: Vec<(Batch, u64)> = windows.batches(2, &tokenizer).collect();
        assert_eq!((all.len(), all[0].1, all[0].0.sequences), (1, 5, 2));
        let ones: u64 = windows.batches(1, &tokenizer).map(|(_, bytes)| bytes).sum();
        assert_eq!((windows.len(), ones), (2, 5));
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
