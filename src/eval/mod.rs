//! Tasks, log-likelihood requests, acc, acc_norm and bits per byte.
pub mod error;
mod fields;
pub mod metrics;
mod model_tokenizer;
pub mod network;
pub mod request;
pub mod task;
mod text;

pub use error::EvalError;
pub use metrics::{Accuracy, HeldOut, ItemRecord, TaskResult, bits_per_byte, evaluate, held_out};
pub use model_tokenizer::tokenizer_of;
pub use network::NetworkScorer;
pub use request::{Scorer, TokenRequest, encode_pair, score};
pub use task::{Item, Source, Task, TextRequest, load};

#[cfg(test)]
mod tests;
