//! One source's endless stream of training windows, in an order that needs no state.
//!
//! ```text
//! window w of an epoch    tokens w·T … w·T + T of its documents laid end to end: T inputs, and T targets one further
//! epoch e                 visits all its windows in the permutation drawn from `batches/epoch/e` of the seed
//! ```
//!
//! So in each epoch every token but the first, and the fewer than T of the last rest, is predicted once. With
//! `shuffle = "windows"` the documents lie in the order of the files; with `shuffle = "documents"` in the permutation
//! drawn from `batches/documents/e`, so that the windows hold other neighbours in every epoch. Either order is a
//! function of seed and epoch: what is kept is the epoch drawn last, for speed alone.
use super::error::DataError;
use super::tokens::Tokens;
use crate::base::random::stream;
use crate::spec::Shuffle;
use rand::seq::SliceRandom;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// Windows of `context_length` in `tokens` tokens.
///
/// # Errors
/// There is not one.
pub(super) fn count_windows(
    split: &'static str,
    tokens: u64,
    context_length: usize,
) -> Result<u64, DataError> {
    if context_length == 0 {
        return Err(DataError::ZeroContext);
    }
    match tokens.saturating_sub(1) / context_length as u64 {
        0 => {
            let (found, needed) = (tokens, context_length as u64 + 1);
            Err(DataError::TooShort { split, found, needed, context_length })
        }
        windows => Ok(windows),
    }
}

/// The windows of one source.
pub(super) struct Stream {
    tokens: Tokens,
    context_length: usize,
    num_windows: u64,
    shuffle: Shuffle,
    seed: u64,
    /// What the names of its random streams begin with.
    name: String,
    last: Mutex<Option<(u64, Arc<Epoch>)>>,
}

/// The order of one epoch.
struct Epoch {
    windows: Vec<u32>,
    documents: Option<Laid>,
}

/// Documents in another order than that of the files.
struct Laid {
    order: Vec<u32>,
    /// `ends[i]`: tokens up to the end of the i-th document of the order.
    ends: Vec<u64>,
}

impl Stream {
    /// The stream of `tokens` in the order of `seed`; `name` tells the sources of a mixture apart.
    ///
    /// # Errors
    /// The tokens do not fill one window, or there are more windows or documents than can be numbered.
    pub fn new(
        tokens: Tokens,
        context_length: usize,
        shuffle: Shuffle,
        seed: u64,
        name: String,
    ) -> Result<Self, DataError> {
        let num_windows = count_windows("training", tokens.len(), context_length)?;
        let most = num_windows.max(tokens.num_documents() as u64);
        if most > u64::from(u32::MAX) {
            return Err(DataError::TooLong { found: most });
        }
        Ok(Stream { tokens, context_length, num_windows, shuffle, seed, name, last: Mutex::new(None) })
    }

    /// Appends the T + 1 tokens of window `index` of the endless stream.
    pub fn read(&self, index: u64, out: &mut Vec<u32>) {
        let epoch = self.epoch(index / self.num_windows);
        let window = u64::from(epoch.windows[(index % self.num_windows) as usize]);
        let start = window * self.context_length as u64;
        let range = start..start + self.context_length as u64 + 1;
        match &epoch.documents {
            None => self.tokens.read(range, out),
            Some(laid) => self.read_laid(laid, range, out),
        }
    }

    fn read_laid(&self, laid: &Laid, range: Range<u64>, out: &mut Vec<u32>) {
        let mut place = laid.ends.partition_point(|end| *end <= range.start);
        let mut start = range.start;
        while start < range.end {
            let document = self.tokens.document(laid.order[place] as usize);
            let end = laid.ends[place].min(range.end);
            // The document ends where its place ends.
            let from = document.end - (laid.ends[place] - start);
            self.tokens.read(from..from + (end - start), out);
            (start, place) = (end, place + 1);
        }
    }

    fn epoch(&self, number: u64) -> Arc<Epoch> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((known, epoch)) if *known == number => epoch.clone(),
            _ => {
                let epoch = Arc::new(self.draw(number));
                *last = Some((number, epoch.clone()));
                epoch
            }
        }
    }

    fn draw(&self, epoch: u64) -> Epoch {
        let permutation = |what: &str, n: usize| {
            let mut order: Vec<u32> = (0..n as u32).collect();
            order.shuffle(&mut stream(self.seed, &format!("{}/{what}/{epoch}", self.name)));
            order
        };
        let documents = (self.shuffle == Shuffle::Documents).then(|| {
            let order = permutation("documents", self.tokens.num_documents());
            let mut laid = 0;
            let ends = order.iter().map(|document| {
                let document = self.tokens.document(*document as usize);
                laid += document.end - document.start;
                laid
            });
            Laid { ends: ends.collect(), order }
        });
        Epoch { windows: permutation("epoch", self.num_windows as usize), documents }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Documents of these lengths; every token is the number of its document, but the last, a 0.
    fn documents(lengths: &[u64]) -> Tokens {
        let (mut tokens, mut ends) = (Vec::new(), Vec::new());
        for (d, length) in lengths.iter().enumerate() {
            tokens.extend((1..*length).map(|_| d as u32 + 1));
            tokens.push(0);
            ends.push(tokens.len() as u64);
        }
        Tokens::in_memory(tokens, ends)
    }

    fn of(tokens: &Tokens, context_length: usize, seed: u64) -> Stream {
        Stream::new(tokens.clone(), context_length, Shuffle::Documents, seed, "batches".into())
            .expect("a stream")
    }

    /// The epoch's documents end to end: its windows put back into their order.
    fn laid_out(stream: &Stream, epoch: u64) -> Vec<u32> {
        let drawn = stream.epoch(epoch);
        let mut windows = vec![Vec::new(); stream.num_windows as usize];
        for i in 0..stream.num_windows {
            let mut window = Vec::new();
            stream.read(epoch * stream.num_windows + i, &mut window);
            windows[drawn.windows[i as usize] as usize] = window;
        }
        let mut all: Vec<u32> = windows.iter().flat_map(|w| w[..w.len() - 1].to_vec()).collect();
        all.extend(windows.last().and_then(|w| w.last()));
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, rng_seed: proptest::test_runner::RngSeed::Fixed(7), ..ProptestConfig::default() })]
        #[test]
        fn each_epoch_lays_every_document_once(
            lengths in proptest::collection::vec(1u64..12, 1..20), context_length in 1usize..9, seed in 0u64..4,
        ) {
            let tokens = documents(&lengths);
            prop_assume!(tokens.len() > context_length as u64);
            let stream = of(&tokens, context_length, seed);
            for epoch in [0, 1, 7] {
                let order = stream.epoch(epoch).documents.as_ref().expect("documents").order.clone();
                let mut sorted = order.clone();
                sorted.sort_unstable();
                prop_assert_eq!(sorted, (0..lengths.len() as u32).collect::<Vec<_>>());
                let mut expected = Vec::new();
                order.iter().for_each(|d| tokens.read(tokens.document(*d as usize), &mut expected));
                expected.truncate(stream.num_windows as usize * context_length + 1);
                prop_assert_eq!(laid_out(&stream, epoch), expected);
            }
        }

        #[test]
        fn a_window_does_not_depend_on_what_was_read_before(
            indices in proptest::collection::vec(0u64..60, 1..20), seed in 0u64..4,
        ) {
            let tokens = documents(&[5, 1, 9, 3, 3, 12, 2]);
            let forward = of(&tokens, 4, seed);
            let in_order: Vec<Vec<u32>> = (0..60).map(|i| {
                let mut window = Vec::new();
                forward.read(i, &mut window);
                window
            }).collect();
            let asked = of(&tokens, 4, seed);
            for index in indices {
                let mut window = Vec::new();
                asked.read(index, &mut window);
                prop_assert_eq!(&window, &in_order[index as usize]);
            }
        }
    }

    #[test]
    fn epochs_and_seeds_lay_documents_differently() {
        let tokens = documents(&[2; 40]);
        let first = laid_out(&of(&tokens, 4, 1), 0);
        assert_ne!(first, laid_out(&of(&tokens, 4, 1), 1));
        assert_ne!(first, laid_out(&of(&tokens, 4, 2), 0));
        assert_eq!(first, laid_out(&of(&tokens, 4, 1), 0));
    }
}
