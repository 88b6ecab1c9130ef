//! Text in, token batches out: the synthetic corpus, the embedded world, corpora from disk, tokenizers, resumable batches.
pub mod batches;
mod columns;
pub mod contamination;
pub mod corpus;
pub mod documents;
pub mod error;
mod files;
mod gguf_tables;
pub mod gguf_tokenizer;
mod growth;
mod guard;
pub mod hub;
mod lenient;
mod mixture;
mod packing;
mod parquet_file;
mod pieces;
pub mod prepare;
pub mod special_tokens;
mod stream;
pub mod synthetic;
pub mod tables;
pub mod task;
pub mod tokenizer;
pub mod tokens;
pub mod validation;
pub mod world;

pub use batches::{Batch, Batches};
pub use contamination::Contamination;
pub use documents::{Watch, check_validation, visit_training};
pub use error::DataError;
pub use prepare::{Prepared, prepare};
pub use special_tokens::SpecialTokens;
pub use tokenizer::Tokenizer;
pub use tokens::Tokens;
pub use validation::ValidationWindows;

#[cfg(test)]
mod corpus_fuzz_tests;
#[cfg(test)]
mod hub_tests;
#[cfg(test)]
mod tables_fuzz_tests;
#[cfg(test)]
mod tokenizer_fuzz_tests;
