//! Text in, token batches out: the embedded world, corpora from disk, tokenizers, resumable batches.
pub mod batches;
mod columns;
pub mod contamination;
pub mod corpus;
pub mod error;
mod files;
mod gguf_tables;
pub mod gguf_tokenizer;
mod guard;
pub mod hub;
pub mod prepare;
pub mod tables;
pub mod tokenizer;
pub mod world;

pub use batches::{Batch, Batches, ValidationWindows};
pub use contamination::Contamination;
pub use error::DataError;
pub use prepare::{Prepared, prepare, visit_training};
pub use tokenizer::Tokenizer;

#[cfg(test)]
mod hub_tests;
#[cfg(test)]
mod tables_fuzz_tests;
#[cfg(test)]
mod tokenizer_fuzz_tests;
