//! From text to token requests, and their scoring: equal ones once, batched by length, results in item order.
use super::error::EvalError;
use super::task::TextRequest;
use super::text::python_strip_end;
use crate::data::{Batch, DataError, Tokenizer};
use std::collections::HashMap;

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

/// A model that scores tokens.
pub trait Scorer {
    /// Summed natural-log probability of each request. Requests come in groups of similar length, longest first; the
    /// result must not depend on the grouping.
    ///
    /// # Errors
    /// The engine fails.
    fn loglikelihoods(&mut self, requests: &[TokenRequest]) -> Result<Vec<f64>, EvalError>;

    /// Σ of −ln p (nats) over all targets of the batch.
    ///
    /// # Errors
    /// The engine fails.
    fn nll_sum(&mut self, batch: &Batch) -> Result<f64, EvalError>;
}

/// The request in tokens, as the harness's `_encode_pair` splits it, and cut from the left to the context length.
///
/// White space at the end of the context moves to the continuation; the split is by the *number* of tokens of the
/// context encoded alone. An empty context becomes the prefix token, or, where the continuation already begins
/// with it, that token.
///
/// # Errors
/// The tokenizer fails.
pub fn encode_pair(
    tokenizer: &Tokenizer,
    request: &TextRequest,
    context_length: usize,
) -> Result<TokenRequest, DataError> {
    let context = python_strip_end(&request.context);
    let continuation = format!("{}{}", &request.context[context.len()..], request.continuation);
    let (tokens, scored_from) = if context.is_empty() {
        let mut tokens = tokenizer.encode(&continuation)?;
        if tokens.first() != Some(&tokenizer.prefix_id()) {
            tokens.insert(0, tokenizer.prefix_id());
        }
        (tokens, 1)
    } else {
        let context_tokens = tokenizer.encode_with_defaults(context)?.len();
        (tokenizer.encode_with_defaults(&format!("{context}{continuation}"))?, context_tokens)
    };
    let cut = tokens.len().saturating_sub(context_length + 1);
    Ok(TokenRequest { tokens: tokens[cut..].to_vec(), scored_from: scored_from.saturating_sub(cut).max(1) })
}

/// Scores all requests, equal ones once, in groups of similar length with at most `batch_tokens` tokens when padded
/// to the longest; results in the order of the requests.
///
/// # Errors
/// The scorer fails or returns another number of results.
pub fn score(
    scorer: &mut dyn Scorer,
    requests: &[TokenRequest],
    batch_tokens: usize,
) -> Result<Vec<f64>, EvalError> {
    let mut unique: Vec<&TokenRequest> = requests.iter().collect();
    // Longest first, so that the largest batch comes first and a lack of memory shows at once.
    unique.sort_by(|a, b| b.tokens.len().cmp(&a.tokens.len()).then_with(|| a.cmp(b)));
    unique.dedup();
    let mut results: HashMap<&TokenRequest, f64> = HashMap::with_capacity(unique.len());
    let mut rest = unique.as_slice();
    while let Some(longest) = rest.first() {
        let size = (batch_tokens / longest.tokens.len().max(1)).clamp(1, rest.len());
        let (group, later) = rest.split_at(size);
        let batch: Vec<TokenRequest> = group.iter().map(|r| (*r).clone()).collect();
        let scores = scorer.loglikelihoods(&batch)?;
        if scores.len() != batch.len() {
            let reason = format!("{} results for {} requests", scores.len(), batch.len());
            return Err(EvalError::Scorer { reason });
        }
        results.extend(group.iter().copied().zip(scores));
        rest = later;
    }
    Ok(requests.iter().map(|r| results.get(r).copied().unwrap_or(f64::NAN)).collect())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Scores by a rule that a person can follow: −(sum of scored ids) − (number of tokens before them) / 1000.
    #[derive(Default)]
    pub struct Toy {
        pub groups: Vec<Vec<usize>>,
    }

    impl Scorer for Toy {
        fn loglikelihoods(&mut self, requests: &[TokenRequest]) -> Result<Vec<f64>, EvalError> {
            self.groups.push(requests.iter().map(|r| r.tokens.len()).collect());
            let score = |r: &TokenRequest| {
                let sum: u32 = r.tokens[r.scored_from..].iter().sum();
                -f64::from(sum) - r.scored_from as f64 / 1000.0
            };
            Ok(requests.iter().map(score).collect())
        }

        fn nll_sum(&mut self, batch: &Batch) -> Result<f64, EvalError> {
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
            encode_pair(&t, &pair(context, continuation), length).expect("tokens")
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
    fn long_requests_lose_their_left_end() {
        let t = bytes_only();
        let whole = encode_pair(&t, &pair("abcdefgh", " xy"), 100).expect("tokens");
        let cut = encode_pair(&t, &pair("abcdefgh", " xy"), 5).expect("tokens");
        // 11 tokens, at most 5 + 1 kept: the context's 8 become 3.
        assert_eq!((cut.tokens.as_slice(), cut.scored_from), (&whole.tokens[5..], 3));
        // A continuation longer than the context length keeps one token to start from.
        let cut = encode_pair(&t, &pair("ab", "cdefghij"), 4).expect("tokens");
        assert_eq!((cut.tokens.len(), cut.scored_from), (5, 1));
    }

    #[test]
    fn equal_requests_are_scored_once_and_groups_are_by_length() {
        let request = |ids: &[u32], scored_from| TokenRequest { tokens: ids.to_vec(), scored_from };
        let requests = [
            request(&[1, 2], 1),
            request(&[1, 2, 3, 4], 2),
            request(&[1, 2], 1),
            request(&[1, 2, 3], 1),
            request(&[1, 2, 3], 2),
        ];
        let mut toy = Toy::default();
        let scores = score(&mut toy, &requests, 8).expect("scores");
        // 8 tokens: two rows of 4; then two rows of 3 … the last one alone.
        assert_eq!(toy.groups, vec![vec![4, 3], vec![3, 2]]);
        assert_eq!(scores, vec![-2.001, -7.002, -2.001, -5.001, -3.002]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, rng_seed: proptest::test_runner::RngSeed::Fixed(7), ..ProptestConfig::default() })]
        #[test]
        fn results_do_not_depend_on_the_batch_size(
            rows in proptest::collection::vec((proptest::collection::vec(0u32..5, 2..7), 1usize..2), 1..30),
            batch_tokens in 0usize..40,
        ) {
            let requests: Vec<TokenRequest> =
                rows.into_iter().map(|(tokens, scored_from)| TokenRequest { tokens, scored_from }).collect();
            let alone = score(&mut Toy::default(), &requests, 0).expect("scores");
            prop_assert_eq!(alone, score(&mut Toy::default(), &requests, batch_tokens).expect("scores"));
        }
    }
}
