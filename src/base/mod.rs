//! Ground floor: named random streams, canonical hashes, atomic files, files of users, locks, units for people, nearest names, and plain
//! values that rooms share which do not know each other.
pub mod element_score;
pub mod files;
#[cfg(test)]
pub(crate) mod fuzz;
pub mod hash;
pub mod input;
pub mod lock;
pub mod precision;
pub mod random;
pub mod requirement;
pub mod suggest;
pub mod units;
pub mod vocabulary;
