//! Text in, token batches out: the embedded world, corpora from disk, tokenizers, resumable batches.
pub mod batches;
mod columns;
pub mod contamination;
pub mod corpus;
pub mod error;
mod files;
pub mod gguf_tokenizer;
pub mod prepare;
pub mod tables;
pub mod tokenizer;
pub mod world;

pub use batches::{Batch, Batches, ValidationWindows};
pub use contamination::Contamination;
pub use error::DataError;
pub use prepare::{Prepared, prepare, visit_training};
pub use tokenizer::Tokenizer;
