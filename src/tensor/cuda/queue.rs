//! Command lists, memoised as graphs: what a step asks for is put off, and where it is what an earlier step asked for, the
//! device gets it as one.
//!
//! ```text
//! launch, multiply, copy, zero     wait in a list
//! upload, download, synchronize    flush the list first, and so does a list of MOST commands
//! flush                            fewer than LEAST commands   issued one by one
//!                                  a list not known            issued one by one, and remembered
//!                                  known                       recorded as a graph, which is replayed from then on
//! ```
//!
//! A list is known by its whole content, addresses included, so a replay does what was asked for by construction; nothing is
//! assumed about which steps are alike. That lists do return is due to the pool, which gives equal steps equal addresses, and
//! to whatever changes from step to step being data in device memory or standing in a short list ([`Queue::flush`]).
//!
//! Memory is reused in the order in which commands were asked for. Uploads change memory at once: one that did not flush would
//! overtake the commands that still read what is there.
use super::device::{Command, Device, DeviceError, Launch, Multiplication};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Sizes by which a queue works.
#[derive(Clone, Copy)]
struct Limits {
    /// Commands that are worth a graph.
    least: usize,
    /// Commands of a list: the device begins before the host has put together a whole pass.
    most: usize,
    /// Lists remembered; a step has about ten, and shapes that pruning has left behind do not come back.
    known: usize,
}

const LIMITS: Limits = Limits { least: 8, most: 256, known: 128 };

/// What a queue has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Commands issued one by one.
    pub issued: u64,
    /// Graphs made.
    pub recorded: u64,
    /// Graphs carried out.
    pub replayed: u64,
}

impl Counts {
    /// What has been done since the counts were `before`.
    pub fn since(self, before: Counts) -> Counts {
        Counts {
            issued: self.issued - before.issued,
            recorded: self.recorded - before.recorded,
            replayed: self.replayed - before.replayed,
        }
    }
}

/// A list that was flushed before.
struct Known<G> {
    graph: Option<G>,
    /// When it was last flushed.
    used: u64,
}

struct State<G> {
    waiting: Vec<Command>,
    known: HashMap<Vec<Command>, Known<G>>,
    /// Lists looked up so far.
    clock: u64,
    counts: Counts,
    /// The device makes graphs.
    records: bool,
    /// The first fault. Commands behind it were not carried out, so that every later call is refused with it.
    fault: Option<DeviceError>,
}

/// `device`, its commands put off and recorded.
pub struct Queue<D: Device> {
    /// Before the device, whose graphs it holds.
    state: Mutex<State<D::Graph>>,
    device: D,
    limits: Limits,
}

impl<D: Device> Queue<D> {
    pub fn new(device: D) -> Self {
        Self::within(device, LIMITS)
    }

    /// Puts nothing off.
    #[cfg(test)]
    pub fn immediate(device: D) -> Self {
        Self::within(device, Limits { most: 1, ..LIMITS })
    }

    fn within(device: D, limits: Limits) -> Self {
        let state = State {
            waiting: Vec::new(),
            known: HashMap::new(),
            clock: 0,
            counts: Counts::default(),
            records: true,
            fault: None,
        };
        Queue { state: Mutex::new(state), device, limits }
    }

    /// The device itself, for what has no order. Commands given to it overtake those that wait here ([`Self::in_turn`]).
    pub fn inner(&self) -> &D {
        &self.device
    }

    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Gives the device all that waits. What stands between two calls is a list of its own: a command that differs from step
    /// to step spoils no graph of its neighbours then.
    ///
    /// # Errors
    /// The first fault of a command since the queue was made.
    pub fn flush(&self) -> Result<(), DeviceError> {
        self.lock().flush(&self.device, self.limits)
    }

    /// What `work` asks of the device directly, after all that waits and before anything else: another thread cannot have
    /// its commands recorded in between, which would take what `work` asks for into the graph.
    ///
    /// # Errors
    /// As [`Self::flush`], and those of `work`.
    pub fn in_turn<T>(&self, work: impl FnOnce(&D) -> Result<T, DeviceError>) -> Result<T, DeviceError> {
        let mut state = self.lock();
        state.flush(&self.device, self.limits)?;
        work(&self.device)
    }

    /// Drops graphs and remembered lists, and with them the memory that the device keeps for them.
    pub fn forget(&self) {
        self.lock().known.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State<D::Graph>> {
        // A panic while commands are issued leaves a state that is whole: the list was taken out before.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// # Safety
    /// As the command, until it has been carried out.
    unsafe fn put(&self, command: Command) -> Result<(), DeviceError> {
        let mut state = self.lock();
        state.waiting.push(command);
        if state.waiting.len() < self.limits.most { Ok(()) } else { state.flush(&self.device, self.limits) }
    }
}

impl<G> State<G> {
    fn flush<D: Device<Graph = G>>(&mut self, device: &D, limits: Limits) -> Result<(), DeviceError> {
        let commands = std::mem::take(&mut self.waiting);
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let outcome = if commands.len() < limits.least || !self.records {
            self.issue(device, &commands)
        } else {
            self.issue_or_replay(device, commands, limits)
        };
        if let Err(fault) = &outcome {
            self.fault = Some(fault.clone());
            self.known.clear();
        }
        outcome
    }

    fn issue<D: Device>(&mut self, device: &D, commands: &[Command]) -> Result<(), DeviceError> {
        self.counts.issued += commands.len() as u64;
        // SAFETY: promised by whoever put the command here.
        commands.iter().try_for_each(|command| unsafe { command.issue(device) })
    }

    fn issue_or_replay<D: Device<Graph = G>>(
        &mut self,
        device: &D,
        commands: Vec<Command>,
        limits: Limits,
    ) -> Result<(), DeviceError> {
        self.clock += 1;
        let Some(known) = self.known.get_mut(&commands) else {
            self.issue(device, &commands)?;
            if self.known.len() >= limits.known {
                let oldest = self.known.values().map(|known| known.used).min();
                self.known.retain(|_, known| Some(known.used) != oldest);
            }
            self.known.insert(commands, Known { graph: None, used: self.clock });
            return Ok(());
        };
        known.used = self.clock;
        let graph = match &mut known.graph {
            Some(graph) => graph,
            none => {
                // SAFETY: promised by whoever put the commands here; the first time the list was known it was issued.
                match unsafe { device.record(&commands) } {
                    Ok(graph) => {
                        self.counts.recorded += 1;
                        none.insert(graph)
                    }
                    // Nothing was carried out. Graphs are a matter of speed: what fails without them, too, is told then.
                    Err(error) => {
                        tracing::warn!("no CUDA graphs, every kernel is launched by itself: {error}");
                        self.records = false;
                        self.known.clear();
                        return self.issue(device, &commands);
                    }
                }
            }
        };
        self.counts.replayed += 1;
        // SAFETY: promised by whoever put commands here that are equal to those of the graph.
        unsafe { device.replay(graph) }
    }
}

/// In the order of the calls, as [`Device`] asks for; commands may fail as late as the next flush.
impl<D: Device> Device for Queue<D> {
    type Memory = D::Memory;
    type Graph = D::Graph;

    fn name(&self) -> String {
        self.device.name()
    }

    fn multiprocessors(&self) -> u32 {
        self.device.multiprocessors()
    }

    fn allocate(&self, bytes: usize) -> Result<D::Memory, DeviceError> {
        self.device.allocate(bytes)
    }

    fn address(&self, memory: &D::Memory) -> u64 {
        self.device.address(memory)
    }

    unsafe fn upload(&self, to: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        // SAFETY: the caller's contract.
        self.in_turn(|device| unsafe { device.upload(to, bytes) })
    }

    unsafe fn download(&self, from: u64, bytes: &mut [u8]) -> Result<(), DeviceError> {
        // SAFETY: the caller's contract.
        self.in_turn(|device| unsafe { device.download(from, bytes) })
    }

    unsafe fn copy(&self, to: u64, from: u64, bytes: usize) -> Result<(), DeviceError> {
        // SAFETY: the caller's contract.
        unsafe { self.put(Command::Copy { to, from, bytes }) }
    }

    unsafe fn zero(&self, at: u64, bytes: usize) -> Result<(), DeviceError> {
        // SAFETY: the caller's contract.
        unsafe { self.put(Command::Zero { at, bytes }) }
    }

    unsafe fn launch(&self, launch: &Launch) -> Result<(), DeviceError> {
        // SAFETY: the caller's contract.
        unsafe { self.put(launch.into()) }
    }

    unsafe fn multiply(&self, multiplication: &Multiplication) -> Result<(), DeviceError> {
        // SAFETY: the caller's contract.
        unsafe { self.put(Command::Multiply(*multiplication)) }
    }

    unsafe fn record(&self, commands: &[Command]) -> Result<D::Graph, DeviceError> {
        // SAFETY: the caller's contract.
        self.in_turn(|device| unsafe { device.record(commands) })
    }

    unsafe fn replay(&self, graph: &D::Graph) -> Result<(), DeviceError> {
        // SAFETY: the caller's contract.
        self.in_turn(|device| unsafe { device.replay(graph) })
    }

    fn synchronize(&self) -> Result<(), DeviceError> {
        self.in_turn(D::synchronize)
    }
}

#[cfg(test)]
mod tests;
