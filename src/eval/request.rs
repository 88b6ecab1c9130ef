//! From text to token requests, and the scoring of those of many items: equal ones of an item once.
use super::error::EvalError;
use super::task::TextRequest;
use super::text::python_strip_end;
use crate::data::{Batch, DataError, Tokenizer};

/// Sum of log-probabilities asked for: of `tokens[scored_from..]`, each given all tokens before it.
///
/// `scored_from` is at least 1; there are at most `context_length + 1` tokens, of which the model sees all but the
/// last.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenRequest {
    pub tokens: Vec<u32>,
    pub scored_from: usize,
}

impl TokenRequest {
    /// Tokens whose log-probability is summed.
    pub fn num_scored(&self) -> usize {
        self.tokens.len().saturating_sub(self.scored_from)
    }
}

/// Takes the index of an item and the scores of its requests; an error stops the scorer.
pub type Found<'a> = &'a mut dyn FnMut(usize, Vec<f64>) -> Result<(), EvalError>;

/// A model that scores tokens.
pub trait Scorer {
    /// Summed natural-log probability of each request of each item, told to `found` with the item's index as soon as
    /// it is known, in any order. The result of an item must not depend on the others.
    ///
    /// # Errors
    /// The engine or `found` fails.
    fn loglikelihoods(&mut self, items: &[Vec<TokenRequest>], found: Found) -> Result<(), EvalError>;

    /// Notes that the scores of an item are known already: costs are those of an evaluation that was never interrupted.
    fn note_known(&mut self, _requests: &[TokenRequest]) {}

    /// Σ of −ln p (nats) over all targets of the batch.
    ///
    /// # Errors
    /// The engine fails.
    fn nll_sum(&mut self, batch: &Batch) -> Result<f64, EvalError>;

    /// As [`Self::note_known`], of a batch.
    fn note_known_batch(&mut self, _batch: &Batch) {}

    /// For each sequence of the batch, Σ over its tokens of KL(source ‖ model) in nats.
    ///
    /// # Errors
    /// The engine fails, or no source is known.
    fn divergence_sums(&mut self, _batch: &Batch) -> Result<Vec<f64>, EvalError> {
        Err(EvalError::Scorer { reason: "no source to compare with".into() })
    }

    /// As [`Self::note_known`], of the divergences of a batch.
    fn note_known_divergences(&mut self, _batch: &Batch) {}
}

/// A request in tokens, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Of the context, of which there is at least one, and of the continuation.
    pub tokens: Vec<u32>,
    /// Tokens of the context.
    pub scored_from: usize,
    /// Whether the context's tokens are others when the continuation follows: a token goes across the join, or the
    /// tokenizer cuts the context's end otherwise. The harness splits by number all the same.
    pub changes_context: bool,
}

/// A request that fits the context length, and how many tokens at the beginning of its context it lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fitted {
    pub request: TokenRequest,
    pub lost: usize,
}

/// Why a request cannot be scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// The whole has no more tokens than the context alone: one goes across the join.
    NothingToScore,
    /// The continuation has more tokens than the model sees at once.
    TooLong { tokens: usize, context_length: usize },
}

/// The request in tokens, as the harness's `_encode_pair` splits it.
///
/// White space at the end of the context moves to the continuation; the split is by the *number* of tokens of the
/// context encoded alone. An empty context becomes the prefix token, or, where the continuation already begins
/// with it, that token.
///
/// # Errors
/// The tokenizer fails.
pub fn encode_pair(tokenizer: &Tokenizer, request: &TextRequest) -> Result<Pair, DataError> {
    let context = python_strip_end(&request.context);
    let continuation = format!("{}{}", &request.context[context.len()..], request.continuation);
    if context.is_empty() {
        let mut tokens = tokenizer.encode(&continuation)?;
        if tokens.first() != Some(&tokenizer.prefix_id()) {
            tokens.insert(0, tokenizer.prefix_id());
        }
        return Ok(Pair { tokens, scored_from: 1, changes_context: false });
    }
    let alone = tokenizer.encode_with_defaults(context)?;
    let tokens = tokenizer.encode_with_defaults(&format!("{context}{continuation}"))?;
    let changes_context = !tokens.starts_with(&alone);
    Ok(Pair { tokens, scored_from: alone.len(), changes_context })
}

impl Pair {
    /// The request cut from the left to the context length; all of the continuation must fit.
    ///
    /// # Errors
    /// [`Misfit`].
    pub fn fit(self, context_length: usize) -> Result<Fitted, Misfit> {
        let Pair { tokens, scored_from, .. } = self;
        // The first token of all is given, never scored.
        let scored_from = scored_from.max(1);
        let scored = tokens.len().saturating_sub(scored_from);
        if scored == 0 {
            return Err(Misfit::NothingToScore);
        }
        if scored > context_length {
            return Err(Misfit::TooLong { tokens: scored, context_length });
        }
        let lost = tokens.len().saturating_sub(context_length + 1);
        let request = TokenRequest { tokens: tokens[lost..].to_vec(), scored_from: scored_from - lost };
        Ok(Fitted { request, lost })
    }
}

/// Scores of the requests of each item; equal ones of an item are scored once, so that equal choices tie exactly.
///
/// # Errors
/// The scorer fails or returns another number of results.
pub fn score(scorer: &mut dyn Scorer, items: &[Vec<TokenRequest>]) -> Result<Vec<Vec<f64>>, EvalError> {
    let (different, places): (Vec<_>, Vec<_>) =
        items.iter().map(|requests| without_repeats(requests)).unzip();
    let mut scores: Vec<Option<Vec<f64>>> = vec![None; items.len()];
    scorer.loglikelihoods(&different, &mut |item, found| {
        if found.len() != different[item].len() {
            let reason = format!("{} results for {} requests", found.len(), different[item].len());
            return Err(EvalError::Scorer { reason });
        }
        scores[item] = Some(places[item].iter().map(|&place| found[place]).collect());
        Ok(())
    })?;
    let missing = |item| EvalError::Scorer { reason: format!("no result for item {item}") };
    scores.into_iter().enumerate().map(|(item, scores)| scores.ok_or_else(|| missing(item))).collect()
}

/// The different ones of `requests`, and the place among them of each.
fn without_repeats(requests: &[TokenRequest]) -> (Vec<TokenRequest>, Vec<usize>) {
    let mut different: Vec<TokenRequest> = Vec::with_capacity(requests.len());
    let mut places = Vec::with_capacity(requests.len());
    for request in requests {
        let place = different.iter().position(|r| r == request).unwrap_or_else(|| {
            different.push(request.clone());
            different.len() - 1
        });
        places.push(place);
    }
    (different, places)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Scores by a rule that a person can follow: −(sum of scored ids) − (number of tokens before them) / 1000.
    #[derive(Default)]
    pub struct Toy {
        pub groups: Vec<Vec<usize>>,
        pub batches: usize,
    }

    impl Scorer for Toy {
        /// In reverse, since the order is nobody's business.
        fn loglikelihoods(&mut self, items: &[Vec<TokenRequest>], found: Found) -> Result<(), EvalError> {
            let score = |r: &TokenRequest| {
                let sum: u32 = r.tokens[r.scored_from..].iter().sum();
                -f64::from(sum) - r.scored_from as f64 / 1000.0
            };
            for (index, requests) in items.iter().enumerate().rev() {
                self.groups.push(requests.iter().map(|r| r.tokens.len()).collect());
                found(index, requests.iter().map(score).collect())?;
            }
            Ok(())
        }

        fn nll_sum(&mut self, batch: &Batch) -> Result<f64, EvalError> {
            self.batches += 1;
            Ok(batch.targets.len() as f64 * std::f64::consts::LN_2)
        }
    }

    /// One token per byte: ids are 1 + the byte's place in the sorted byte-level alphabet.
    pub fn bytes_only() -> Tokenizer {
        Tokenizer::train(&[], 257).expect("a tokenizer")
    }

    fn pair(context: &str, continuation: &str) -> TextRequest {
        TextRequest { context: context.into(), continuation: continuation.into() }
    }

    #[test]
    fn pairs_are_split_at_the_context() {
        let t = bytes_only();
        let encode = |context: &str, continuation: &str, length| {
            let pair = encode_pair(&t, &pair(context, continuation)).expect("tokens");
            assert!(!pair.changes_context);
            pair.fit(length).expect("it fits").request
        };
        let request = encode("ab", " cd", 100);
        assert_eq!((request.tokens.len(), request.scored_from, request.num_scored()), (5, 2, 3));
        // White space at the end of the context moves over: the same tokens, more of them scored.
        let moved = encode("ab \n", "cd", 100);
        assert_eq!((moved.tokens.len(), moved.scored_from), (6, 2));
        // Empty context, and one of white space alone: the prefix token stands in.
        assert_eq!(encode("", "cd", 100).tokens[0], t.eos_id());
        assert_eq!((encode("", "cd", 100).tokens.len(), encode("", "cd", 100).scored_from), (3, 1));
        assert_eq!((encode(" ", "cd", 100).tokens.len(), encode(" ", "cd", 100).scored_from), (4, 1));
        // A continuation that begins with the prefix token lends it as context.
        let request = encode("", "<|endoftext|>cd", 100);
        assert_eq!((request.tokens.len(), request.scored_from), (3, 1));
    }

    #[test]
    fn long_requests_lose_their_left_end_but_no_token_of_the_continuation() {
        let t = bytes_only();
        let fit = |context: &str, continuation: &str, length| {
            encode_pair(&t, &pair(context, continuation)).expect("tokens").fit(length)
        };
        let whole = fit("abcdefgh", " xy", 100).expect("it fits");
        let cut = fit("abcdefgh", " xy", 5).expect("it fits");
        // 11 tokens, at most 5 + 1 kept: the context's 8 become 3.
        assert_eq!((cut.request.tokens.as_slice(), cut.request.scored_from), (&whole.request.tokens[5..], 3));
        assert_eq!((whole.lost, cut.lost), (0, 5));
        // A continuation as long as the context length keeps one token to start from; a longer one is not scored in part.
        let cut = fit("ab", "cdefghij", 8).expect("it fits");
        assert_eq!((cut.request.tokens.len(), cut.request.scored_from, cut.lost), (9, 1, 1));
        assert_eq!(fit("ab", "cdefghij", 7), Err(Misfit::TooLong { tokens: 8, context_length: 7 }));
        assert_eq!(fit("ab", "", 7), Err(Misfit::NothingToScore));
        assert_eq!(fit("", "", 7), Err(Misfit::NothingToScore));
    }

    #[test]
    fn equal_requests_are_scored_once() {
        let request = |ids: &[u32], scored_from| TokenRequest { tokens: ids.to_vec(), scored_from };
        let items = [
            vec![request(&[1, 2], 1), request(&[1, 2, 3, 4], 2), request(&[1, 2], 1), request(&[1, 2, 3], 2)],
            vec![request(&[1, 2], 1)],
        ];
        let mut toy = Toy::default();
        let scores = score(&mut toy, &items).expect("scores");
        assert_eq!(toy.groups, vec![vec![2], vec![2, 4, 3]]);
        assert_eq!(scores, vec![vec![-2.001, -7.002, -2.001, -3.002], vec![-2.001]]);
    }
}
