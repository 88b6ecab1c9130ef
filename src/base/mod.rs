//! Ground floor: named random streams, canonical hashes, atomic files, locks, units for people, nearest names.
pub mod files;
pub mod hash;
pub mod lock;
pub mod random;
pub mod suggest;
pub mod units;
