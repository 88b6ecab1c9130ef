//! Tasks, log-likelihood requests, acc, acc_norm and bits per byte.
pub mod benchmark;
pub mod companions;
pub mod encode;
pub mod error;
mod few_shot;
mod fields;
mod files;
mod items;
pub mod journal;
pub mod load;
pub mod metrics;
pub mod mmlu;
mod model_tokenizer;
pub mod network;
pub mod request;
pub mod sample;
pub mod task;
mod text;
pub mod wikitext;

pub use benchmark::{Benchmark, Loaded, Outcome, Setting};
pub use companions::Companions;
pub use encode::{EncodedTask, encode};
pub use error::EvalError;
pub use files::Files;
pub use items::{encoded_items, items_for};
pub use journal::{Journal, Journalled};
pub use load::{Counts, Source, load};
pub use metrics::{
    Accuracy, HeldOut, ItemRecord, TaskResult, bits_per_byte, divergences, held_out, not_finite,
    pooled_stderr,
};
pub use model_tokenizer::{tables_of, tokenizer_of};
pub use network::{NetworkScorer, PASS_TOKENS};
pub use request::{Found, Scorer, TokenRequest, encode_pair, score};
pub use sample::Limit;
pub use task::{Item, Task, TextRequest};

#[cfg(test)]
mod smollm2_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod token_golden_tests;
