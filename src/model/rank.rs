//! One rank of a run: a device with the model's engine on it, and its way to the run's other devices.
use super::network::Network;
use crate::tensor::{Backend, Communicator};

/// What carries out a run, or its share of one.
pub struct Rank<'a, B: Backend> {
    pub backend: &'a B,
    pub network: &'a mut dyn Network<B>,
    pub communicator: &'a dyn Communicator<B>,
    /// Sequences of one pass, at most: a micro-batch of more goes through in pieces, which changes the order of sums and
    /// nothing else.
    pub at_once: usize,
}
