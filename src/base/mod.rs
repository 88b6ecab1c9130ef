//! Ground floor: the allocator, teams of threads, named random streams, canonical hashes, atomic and sealed files, files of users, locks, output, units for people,
//! nearest names, and plain values that rooms share which do not know each other.
pub mod allocator;
pub mod element_score;
pub mod files;
#[cfg(test)]
pub(crate) mod fuzz;
pub mod hash;
pub mod input;
pub mod json;
pub mod lock;
#[macro_use]
pub mod output;
pub mod precision;
pub mod process;
pub mod random;
pub mod requirement;
pub mod seal;
pub mod suggest;
pub mod team;
pub mod terminal;
pub mod units;
pub mod vocabulary;
pub mod wrap;
