//! Ground floor: named random streams, canonical hashes, atomic files, locks, units for people, nearest names, and the
//! plain values of a vocabulary.
pub mod files;
pub mod hash;
pub mod lock;
pub mod random;
pub mod suggest;
pub mod units;
pub mod vocabulary;
