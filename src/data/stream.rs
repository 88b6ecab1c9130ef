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
//!
//! With `packing = "separate"` windows are the sequences of `packing`, in the permutation drawn from `batches/epoch/e`; the
//! room that one leaves is filled with the documents that follow one drawn from `batches/fill/e/s` for sequence s.
use super::error::DataError;
use super::packing::Packing;
use super::tokens::Tokens;
use crate::base::random::stream;
use crate::spec::{self, DataSpec, Shuffle};
use rand::RngExt;
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

/// How windows are cut and put into order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub context_length: usize,
    pub shuffle: Shuffle,
    pub packing: spec::Packing,
}

impl Layout {
    pub fn of(spec: &DataSpec) -> Self {
        Layout { context_length: spec.context_length, shuffle: spec.shuffle, packing: spec.packing }
    }
}

/// The windows of one source.
pub(super) struct Stream {
    tokens: Tokens,
    context_length: usize,
    num_windows: u64,
    shuffle: Shuffle,
    /// Sequences of whole documents, where no document is to cross from one into the next.
    packing: Option<Packing>,
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
    pub fn new(tokens: Tokens, layout: Layout, seed: u64, name: String) -> Result<Self, DataError> {
        let Layout { context_length, shuffle, packing } = layout;
        // Where documents are kept whole, any text fills a sequence.
        let needed = if packing == spec::Packing::Separate { 1 } else { context_length };
        let num_windows = count_windows("training", tokens.len(), needed)?;
        let packing = (packing == spec::Packing::Separate).then(|| Packing::new(&tokens, context_length));
        let num_windows = packing.as_ref().map_or(num_windows, |packing| packing.len() as u64);
        let most = num_windows.max(tokens.num_documents() as u64);
        if most > u64::from(u32::MAX) {
            return Err(DataError::TooLong { found: most });
        }
        Ok(Stream {
            tokens,
            context_length,
            num_windows,
            shuffle,
            packing,
            seed,
            name,
            last: Mutex::new(None),
        })
    }

    /// Appends the T + 1 tokens of window `index` of the endless stream.
    pub fn read(&self, index: u64, out: &mut Vec<u32>) {
        let epoch = self.epoch(index / self.num_windows);
        let window = u64::from(epoch.windows[(index % self.num_windows) as usize]);
        if let Some(packing) = &self.packing {
            return self.read_packed(packing, index / self.num_windows, window as usize, out);
        }
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

    fn read_packed(&self, packing: &Packing, epoch: u64, sequence: usize, out: &mut Vec<u32>) {
        let pieces = packing.sequence(sequence);
        let full = out.len() + self.context_length + 1;
        // The first document of all has no separator before it: the one after it does as well.
        let before = pieces[0].start.checked_sub(1).unwrap_or(self.tokens.document(0).end - 1);
        self.tokens.read(before..before + 1, out);
        pieces.iter().for_each(|piece| self.tokens.read(piece.clone(), out));
        if out.len() == full {
            return;
        }
        let name = format!("{}/fill/{epoch}/{sequence}", self.name);
        let mut document = stream(self.seed, &name).random_range(0..self.tokens.num_documents());
        while out.len() < full {
            let Range { start, end } = self.tokens.document(document);
            self.tokens.read(start..end.min(start + (full - out.len()) as u64), out);
            document = (document + 1) % self.tokens.num_documents();
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
        let layout = Layout { context_length, shuffle: Shuffle::Documents, packing: spec::Packing::Crossing };
        Stream::new(tokens.clone(), layout, seed, "batches".into()).expect("a stream")
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

    fn packed(tokens: &Tokens, context_length: usize, seed: u64) -> Stream {
        let layout = Layout { context_length, shuffle: Shuffle::Windows, packing: spec::Packing::Separate };
        Stream::new(tokens.clone(), layout, seed, "batches".into()).expect("a stream")
    }

    #[test]
    fn separate_documents_are_whole_in_each_epoch_and_no_target_is_padding() {
        // Tokens count on, so that each tells its place; documents end at these.
        let ends = vec![3, 14, 16, 20, 21, 26];
        let tokens = Tokens::in_memory((0..26).collect(), ends.clone());
        let stream = packed(&tokens, 5, 1);
        let starts: Vec<u32> = std::iter::once(0).chain(ends.iter().map(|end| *end as u32)).collect();
        for epoch in 0..4 {
            let mut targets = Vec::new();
            for s in 0..stream.num_windows {
                let mut window = Vec::new();
                stream.read(epoch * stream.num_windows + s, &mut window);
                assert_eq!(window.len(), 6);
                // A token that does not begin a document follows the one before it.
                for pair in window.windows(2).filter(|pair| !starts.contains(&pair[1])) {
                    assert_eq!(pair[1], pair[0] + 1, "{window:?}");
                }
                targets.extend(window[1..].to_vec());
            }
            assert!((0..26).all(|token| targets.contains(&token)), "{targets:?}");
            // Every document but the second, which is longer than a sequence, stands somewhere whole.
            for d in [0, 2, 3, 4, 5] {
                let document: Vec<u32> = tokens.document(d).map(|token| token as u32).collect();
                assert!(targets.windows(document.len()).any(|part| part == document), "{document:?}");
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
