//! Packed tokens cut into windows, in an order that needs no state.
//!
//! Each document is followed by `<|endoftext|>`; windows are cut without regard to documents (`stream` tells how), so a
//! window may hold the end of one and the beginning of the next, and attention sees both; or, with
//! `packing = "separate"`, each holds whole documents (`packing` tells how). In a mixture sequence n comes
//! from the source that `mixture` gives, which is at its own window of its own epoch. A batch is a function of the index
//! of its first sequence, so resuming needs a counter only, and every arm with the seed sees the same order.
use super::error::DataError;
use super::mixture::Shares;
use super::stream::{Layout, Stream};
use super::tokens::Tokens;
use crate::spec::{Packing, Shuffle};

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

impl Batch {
    /// A batch of no sequences yet.
    pub(super) fn with_capacity(sequences: usize, context_length: usize) -> Self {
        let tokens = || Vec::with_capacity(sequences * context_length);
        Batch { inputs: tokens(), targets: tokens(), sequences: 0, context_length }
    }

    /// Appends a sequence: T inputs and, from the second on, their targets.
    pub(super) fn push(&mut self, window: &[u32]) {
        self.inputs.extend_from_slice(&window[..self.context_length]);
        self.targets.extend_from_slice(&window[1..]);
        self.sequences += 1;
    }
}

/// An endless stream of training sequences.
pub struct Batches {
    sources: Vec<Stream>,
    shares: Shares,
    context_length: usize,
}

impl Batches {
    /// The stream over `tokens` with windows of `context_length`, in the order of `seed`.
    ///
    /// # Errors
    /// The tokens do not fill one window.
    pub fn new(tokens: Tokens, context_length: usize, seed: u64) -> Result<Self, DataError> {
        let layout = Layout { context_length, shuffle: Shuffle::Windows, packing: Packing::Crossing };
        Self::mixture(vec![(tokens, 1.0)], layout, seed)
    }

    /// The stream over several sources with their weights, all positive: shares of the sequences.
    ///
    /// # Errors
    /// The tokens of a source do not fill one window.
    pub(super) fn mixture(sources: Vec<(Tokens, f64)>, layout: Layout, seed: u64) -> Result<Self, DataError> {
        let (tokens, weights): (Vec<Tokens>, Vec<f64>) = sources.into_iter().unzip();
        let alone = tokens.len() == 1;
        let sources = tokens.into_iter().enumerate().map(|(source, tokens)| {
            // A corpus of one source draws from the streams that it drew from before there were mixtures.
            let name = if alone { "batches".to_string() } else { format!("batches/source/{source}") };
            Stream::new(tokens, layout, seed, name)
                .map_err(|error| if alone { error } else { error.in_source(source) })
        });
        let sources = sources.collect::<Result<_, _>>()?;
        Ok(Batches { sources, shares: Shares::new(&weights), context_length: layout.context_length })
    }

    /// Sequences `first` … `first + sequences - 1` of the stream.
    pub fn batch(&self, first: u64, sequences: usize) -> Batch {
        let mut batch = Batch::with_capacity(sequences, self.context_length);
        let mut window = Vec::with_capacity(self.context_length + 1);
        for index in first..first + sequences as u64 {
            let (source, index) = self.shares.place(index);
            window.clear();
            self.sources[source].read(index, &mut window);
            batch.push(&window);
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbers(n: u32) -> Tokens {
        (0..n).collect::<Vec<u32>>().into()
    }

    #[test]
    fn an_epoch_predicts_every_token_once() {
        // 25 tokens, T = 4: 6 windows, targets 1 … 24.
        let batches = Batches::new(numbers(25), 4, 1).expect("batches");
        let batch = batches.batch(0, 6);
        let mut targets = batch.targets.clone();
        targets.sort_unstable();
        assert_eq!(targets, (1..25).collect::<Vec<u32>>());
        assert!(batch.inputs.iter().zip(&batch.targets).all(|(i, t)| i + 1 == *t));
        // A second epoch has another order of the same windows.
        let second = batches.batch(6, 6);
        assert_ne!(batch, second);
    }

    /// The order of one source is that of the first version: committed results depend on it.
    #[test]
    fn the_order_of_windows_is_that_of_committed_results() {
        let batches = Batches::new(numbers(41), 4, 3).expect("batches");
        let starts = |first| -> Vec<u32> {
            batches.batch(first, 10).inputs.iter().step_by(4).map(|t| t / 4).collect()
        };
        let permutation = |epoch: u64| {
            use rand::seq::SliceRandom;
            let mut order: Vec<u32> = (0..10).collect();
            order.shuffle(&mut crate::base::random::stream(3, &format!("batches/epoch/{epoch}")));
            order
        };
        assert_eq!(starts(0), permutation(0));
        assert_eq!(starts(10), permutation(1));
    }

    fn layout(context_length: usize, shuffle: Shuffle, packing: Packing) -> Layout {
        Layout { context_length, shuffle, packing }
    }

    /// Two sources whose tokens tell them apart: even 1000s and odd ones.
    fn mixed(seed: u64, layout: Layout) -> Batches {
        let second: Vec<u32> = (1000..1045).collect();
        let sources = vec![(numbers(100), 3.0), (Tokens::in_memory(second, vec![7, 30, 45]), 1.0)];
        Batches::mixture(sources, layout, seed).expect("batches")
    }

    #[test]
    fn sources_of_a_mixture_have_their_shares_and_epochs_of_their_own() {
        let batches = mixed(1, layout(7, Shuffle::Windows, Packing::Crossing));
        // 14 and 6 windows: after 24 sequences the second has had its first epoch, whole, and the first is in its second.
        let batch = batches.batch(0, 24);
        let mut firsts: Vec<u32> = batch.inputs.iter().step_by(7).copied().filter(|t| *t >= 1000).collect();
        firsts.sort_unstable();
        assert_eq!(firsts, (0..6).map(|w| 1000 + 7 * w).collect::<Vec<u32>>());
        let mut firsts: Vec<u32> =
            batch.inputs.iter().step_by(7).copied().filter(|t| *t < 1000).take(14).collect();
        firsts.sort_unstable();
        assert_eq!(firsts, (0..14).map(|w| 7 * w).collect::<Vec<u32>>());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, rng_seed: proptest::test_runner::RngSeed::Fixed(7), ..ProptestConfig::default() })]
        #[test]
        fn a_batch_depends_on_its_index_alone(
            first in 0u64..100, n in 1usize..20, seed in 0u64..5, mixture in any::<bool>(), kind in 0usize..3,
        ) {
            let layout = [
                layout(7, Shuffle::Windows, Packing::Crossing),
                layout(7, Shuffle::Documents, Packing::Crossing),
                layout(7, Shuffle::Windows, Packing::Separate),
            ][kind];
            let new = || match mixture {
                true => mixed(seed, layout),
                false => Batches::mixture(vec![(numbers(100), 1.0)], layout, seed).expect("batches"),
            };
            let whole = new().batch(first, n);
            let batches = new();
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
        let sources = vec![(numbers(9), 1.0), (numbers(3), 1.0)];
        let error = Batches::mixture(sources, layout(8, Shuffle::Windows, Packing::Crossing), 0)
            .err()
            .expect("a fault")
            .to_string();
        assert!(error.starts_with("source 2 of the mixture: training corpus too short: 3 tokens"), "{error}");
    }
}
