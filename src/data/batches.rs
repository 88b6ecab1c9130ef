//! Packed tokens cut into windows, in an order that needs no state.
//!
//! Documents are joined by `<|endoftext|>`. Window w holds tokens w·T … w·T + T: T inputs, and the same shifted by one
//! as targets, so in each epoch every token but the first is predicted once. Epoch e visits all windows in the
//! permutation drawn from the stream `batches/epoch/e` of the seed. A batch is a function of the index of its first
//! sequence, so resuming needs a counter only, and every arm with the seed sees the same order.
use super::error::DataError;
use super::tokenizer::Tokenizer;
use crate::base::random::stream;
use rand::seq::SliceRandom;
use std::sync::{Arc, Mutex, PoisonError};

/// Inputs and targets of some sequences, both (B, T) in row-major order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// (B, T) token ids.
    pub inputs: Vec<u32>,
    /// (B, T): the token after each input.
    pub targets: Vec<u32>,
    /// B.
    pub sequences: usize,
    /// T.
    pub context_length: usize,
}

/// An endless stream of training sequences.
pub struct Batches {
    tokens: Arc<[u32]>,
    context_length: usize,
    num_windows: usize,
    seed: u64,
    /// The permutation used last, to draw each only once.
    last: Mutex<Option<(u64, Arc<[u32]>)>>,
}

/// Windows of `context_length` in `tokens` tokens.
///
/// # Errors
/// There is not one.
fn count_windows(split: &'static str, tokens: usize, context_length: usize) -> Result<usize, DataError> {
    if context_length == 0 {
        return Err(DataError::ZeroContext);
    }
    match tokens.saturating_sub(1) / context_length {
        0 => Err(DataError::TooShort { split, found: tokens, needed: context_length + 1, context_length }),
        windows => Ok(windows),
    }
}

impl Batches {
    /// The stream over `tokens` with windows of `context_length`, in the order of `seed`.
    ///
    /// # Errors
    /// The tokens do not fill one window.
    pub fn new(tokens: Arc<[u32]>, context_length: usize, seed: u64) -> Result<Self, DataError> {
        let num_windows = count_windows("training", tokens.len(), context_length)?;
        Ok(Batches { tokens, context_length, num_windows, seed, last: Mutex::new(None) })
    }

    /// Windows of one epoch.
    pub fn windows_per_epoch(&self) -> usize {
        self.num_windows
    }

    /// Epochs that `tokens` training tokens amount to; more than 1 means that data are repeated.
    pub fn epochs(&self, tokens: u64) -> f64 {
        tokens as f64 / (self.num_windows * self.context_length) as f64
    }

    /// The window that sequence `index` of the stream holds.
    fn window(&self, index: u64) -> usize {
        let n = self.num_windows as u64;
        self.permutation(index / n)[(index % n) as usize] as usize
    }

    fn permutation(&self, epoch: u64) -> Arc<[u32]> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((e, permutation)) if *e == epoch => permutation.clone(),
            _ => {
                let mut order: Vec<u32> = (0..self.num_windows as u32).collect();
                order.shuffle(&mut stream(self.seed, &format!("batches/epoch/{epoch}")));
                let order: Arc<[u32]> = order.into();
                *last = Some((epoch, order.clone()));
                order
            }
        }
    }

    /// Sequences `first` … `first + sequences - 1` of the stream.
    pub fn batch(&self, first: u64, sequences: usize) -> Batch {
        let t = self.context_length;
        let mut inputs = Vec::with_capacity(sequences * t);
        let mut targets = Vec::with_capacity(sequences * t);
        for index in first..first + sequences as u64 {
            let start = self.window(index) * t;
            inputs.extend_from_slice(&self.tokens[start..start + t]);
            targets.extend_from_slice(&self.tokens[start + 1..start + t + 1]);
        }
        Batch { inputs, targets, sequences, context_length: t }
    }
}

/// Held-out tokens in their order, for bits per byte.
pub struct ValidationWindows {
    tokens: Arc<[u32]>,
    context_length: usize,
    num_windows: usize,
}

impl ValidationWindows {
    /// The windows of the first `limit` tokens (0: of all), at least one.
    ///
    /// # Errors
    /// The tokens do not fill one window.
    pub fn new(tokens: Arc<[u32]>, context_length: usize, limit: u64) -> Result<Self, DataError> {
        let all = count_windows("validation", tokens.len(), context_length)?;
        let wanted = if limit == 0 { all } else { (limit as usize / context_length).max(1) };
        Ok(ValidationWindows { tokens, context_length, num_windows: all.min(wanted) })
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
        let t = self.context_length;
        (0..self.num_windows).step_by(sequences.max(1)).map(move |first| {
            let n = sequences.max(1).min(self.num_windows - first);
            let (start, end) = (first * t, (first + n) * t);
            let targets = self.tokens[start + 1..end + 1].to_vec();
            let bytes = targets.iter().map(|&id| u64::from(tokenizer.num_bytes(id))).sum();
            (
                Batch { inputs: self.tokens[start..end].to_vec(), targets, sequences: n, context_length: t },
                bytes,
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbers(n: u32) -> Arc<[u32]> {
        (0..n).collect()
    }

    #[test]
    fn an_epoch_predicts_every_token_once() {
        // 25 tokens, T = 4: 6 windows, targets 1 … 24.
        let batches = Batches::new(numbers(25), 4, 1).expect("batches");
        assert_eq!(batches.windows_per_epoch(), 6);
        let batch = batches.batch(0, 6);
        let mut targets = batch.targets.clone();
        targets.sort_unstable();
        assert_eq!(targets, (1..25).collect::<Vec<u32>>());
        assert!(batch.inputs.iter().zip(&batch.targets).all(|(i, t)| i + 1 == *t));
        // A second epoch has another order of the same windows.
        let second = batches.batch(6, 6);
        assert_ne!(batch, second);
        assert_eq!(batches.epochs(48), 2.0);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, rng_seed: proptest::test_runner::RngSeed::Fixed(7), ..ProptestConfig::default() })]
        #[test]
        fn a_batch_depends_on_its_index_alone(first in 0u64..100, n in 1usize..20, seed in 0u64..5) {
            let whole = Batches::new(numbers(100), 7, seed).expect("batches").batch(first, n);
            let batches = Batches::new(numbers(100), 7, seed).expect("batches");
            for k in (0..n).rev() {
                let one = batches.batch(first + k as u64, 1);
                prop_assert_eq!(&whole.inputs[k * 7..(k + 1) * 7], &one.inputs[..]);
                prop_assert_eq!(&whole.targets[k * 7..(k + 1) * 7], &one.targets[..]);
            }
        }
    }

    #[test]
    fn too_short_and_too_long() {
        let error = Batches::new(numbers(8), 8, 0).err().expect("a fault").to_string();
        assert_eq!(
            error,
            "training corpus too short: 8 tokens found, 9 needed for one window (context_length 8 + 1)"
        );
        assert!(Batches::new(numbers(9), 8, 0).is_ok());
        assert!(matches!(Batches::new(numbers(9), 0, 0), Err(DataError::ZeroContext)));
    }

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
}
