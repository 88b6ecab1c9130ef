//! Whole documents packed into sequences of T targets, so that no sequence boundary cuts one that fits.
//!
//! ```text
//! sequence   targets  = pieces p₁ p₂ … p_k, then a filling that leaves no room      Σ |p_i| ≤ T
//!            inputs   = the token before p₁, then all targets but the last
//! ```
//!
//! A piece is a whole document with its separator, or a part of one longer than T: those are cut into full sequences, and
//! what is left over begins a sequence of its own. The token before p₁ is the one before it in its document, or a
//! separator. So every token of every document is predicted in each epoch. The filling (`stream` draws it) is documents
//! once more, from their beginning as far as there is room: all T targets are text, none is padding, and losses, budgets
//! and costs mean what they mean without packing. Attention is causal and not masked between the documents of a sequence.
//!
//! Documents go, longest first, where they leave the least room (best-fit decreasing; Ding et al. 2024, *Fewer Truncations
//! Improve Language Modeling*, arXiv:2404.10830). The packing depends on the lengths alone, not on seed or epoch.
use super::tokens::Tokens;
use std::collections::BTreeMap;
use std::ops::Range;

/// Pieces of documents by sequence.
pub(super) struct Packing {
    /// Where each piece stands, sequence by sequence.
    pieces: Vec<Range<u64>>,
    /// `ends[s]`: pieces up to the end of sequence s.
    ends: Vec<usize>,
}

impl Packing {
    /// Packs all documents into sequences of `context_length` targets.
    pub fn new(tokens: &Tokens, context_length: usize) -> Self {
        let most = context_length as u64;
        let mut sequences: Vec<Vec<Range<u64>>> = Vec::new();
        // Sequences by the room that they have left, in the order in which they came to have it.
        let mut open: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        let mut whole: Vec<Range<u64>> = Vec::new();
        for document in (0..tokens.num_documents()).map(|index| tokens.document(index)) {
            if document.end - document.start <= most {
                whole.push(document);
                continue;
            }
            let mut start = document.start;
            while start < document.end {
                let end = document.end.min(start + most);
                if end - start < most {
                    open.entry(most - (end - start)).or_default().push(sequences.len());
                }
                let piece = start..end;
                sequences.push(vec![piece]);
                start = end;
            }
        }
        // A stable sort: equal lengths stay in the order of the files.
        whole.sort_by_key(|document| std::cmp::Reverse(document.end - document.start));
        for document in whole {
            let length = document.end - document.start;
            let fit =
                open.range_mut(length..).next().map(|(room, of_it)| (*room, of_it.pop(), of_it.is_empty()));
            let (room, place) = match fit {
                Some((room, Some(place), emptied)) => {
                    if emptied {
                        open.remove(&room);
                    }
                    sequences[place].push(document);
                    (room - length, place)
                }
                _ => {
                    sequences.push(vec![document]);
                    (most - length, sequences.len() - 1)
                }
            };
            if room > 0 {
                open.entry(room).or_default().push(place);
            }
        }
        let mut ends = Vec::with_capacity(sequences.len());
        let mut pieces = Vec::with_capacity(sequences.iter().map(Vec::len).sum());
        for sequence in sequences {
            pieces.extend(sequence);
            ends.push(pieces.len());
        }
        Packing { pieces, ends }
    }

    /// Sequences in all.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The pieces of one sequence.
    pub fn sequence(&self, index: usize) -> &[Range<u64>] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.pieces[start..self.ends[index]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn documents(lengths: &[u64]) -> Tokens {
        let mut ends = Vec::new();
        for length in lengths {
            ends.push(ends.last().copied().unwrap_or(0) + length);
        }
        let total = ends.last().copied().unwrap_or(0);
        Tokens::in_memory((0..total as u32).collect(), ends)
    }

    #[test]
    fn a_small_packing_by_hand() {
        // Lengths 3, 9, 2, 4, 1 in sequences of 5: 9 = 5 + 4; then 4 + 1 and 3 + 2.
        let packing = Packing::new(&documents(&[3, 9, 2, 4, 1]), 5);
        let sequences: Vec<&[Range<u64>]> = (0..packing.len()).map(|s| packing.sequence(s)).collect();
        assert_eq!(format!("{sequences:?}"), "[[3..8], [8..12], [14..18, 18..19], [0..3, 12..14]]");
    }

    fn num_targets(packing: &Packing, sequence: usize) -> u64 {
        packing.sequence(sequence).iter().map(|piece| piece.end - piece.start).sum()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, rng_seed: proptest::test_runner::RngSeed::Fixed(7), ..ProptestConfig::default() })]
        #[test]
        fn every_token_has_one_place_and_no_document_that_fits_is_cut(
            lengths in proptest::collection::vec(1u64..40, 1..60), context_length in 1usize..24,
        ) {
            let tokens = documents(&lengths);
            let packing = Packing::new(&tokens, context_length);
            let mut seen = vec![0; tokens.len() as usize];
            for s in 0..packing.len() {
                prop_assert!((1..=context_length as u64).contains(&num_targets(&packing, s)));
                for (i, piece) in packing.sequence(s).iter().enumerate() {
                    (piece.start..piece.end).for_each(|token| seen[token as usize] += 1);
                    // Only what begins a sequence may begin within a document.
                    let begins = (0..tokens.num_documents()).any(|d| tokens.document(d).start == piece.start);
                    prop_assert!(begins || i == 0);
                }
            }
            prop_assert!(seen.iter().all(|times| *times == 1));
            for d in 0..tokens.num_documents() {
                let document = tokens.document(d);
                if document.end - document.start <= context_length as u64 {
                    let mut pieces = (0..packing.len()).flat_map(|s| packing.sequence(s));
                    prop_assert!(pieces.any(|piece| *piece == document));
                }
            }
            // What opens a sequence did not fit into an earlier one, those of long documents aside.
            let is_whole = |piece: &Range<u64>| (0..tokens.num_documents()).any(|d| tokens.document(d) == *piece);
            let opened: Vec<usize> = (0..packing.len()).filter(|s| is_whole(&packing.sequence(*s)[0])).collect();
            for (i, later) in opened.iter().enumerate() {
                let opening = &packing.sequence(*later)[0];
                for earlier in &opened[..i] {
                    let room = context_length as u64 - num_targets(&packing, *earlier);
                    prop_assert!(room < opening.end - opening.start, "{later} would fit into {earlier}");
                }
            }
        }
    }
}
