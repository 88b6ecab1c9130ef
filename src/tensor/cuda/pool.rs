//! A caching allocator: what is dropped is kept and handed out again, so that a steady step asks the driver for nothing.
//!
//! Work is in stream order, so memory may be reused as soon as its owner is dropped: whatever still reads it on the device
//! was asked for before whatever will write it. Sizes are rounded up to eight steps per power of two, so that a model that
//! shrinks finds its old memory fitting.
//!
//! Of the free blocks of a size the one that was allocated first goes first: whatever order they came back in, the same
//! sequence of takes and drops from the same free blocks gives the same addresses, and so the same commands (`queue`). Blocks
//! that the sequence had to allocate come last the next time, too, and change nothing.
use super::device::{Device, DeviceError};
use super::queue::Queue;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Smallest allocation; a power of two.
const LEAST_BYTES: usize = 512;
/// The allocation of a single number. No other has this size, so that numbers that are kept until somebody reads them do not
/// change which blocks everything else gets.
const NUMBER_BYTES: usize = 256;

/// The size that is allocated for `bytes`: at most an eighth more.
fn rounded(bytes: usize) -> usize {
    let step = (bytes.max(LEAST_BYTES).next_power_of_two() / 16).max(LEAST_BYTES);
    bytes.max(1).next_multiple_of(step)
}

pub struct Pool<D: Device> {
    device: Queue<D>,
    /// Memory in nobody's use, by size and order of allocation.
    free: Mutex<BTreeMap<usize, BTreeMap<u64, D::Memory>>>,
    /// Allocations so far.
    allocations: AtomicU64,
    /// Bytes in use, and the most that ever were.
    used: AtomicUsize,
    peak: AtomicUsize,
}

impl<D: Device> Pool<D> {
    pub fn new(device: Queue<D>) -> Self {
        let (used, peak) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Pool { device, free: Mutex::default(), allocations: AtomicU64::new(0), used, peak }
    }

    pub fn device(&self) -> &Queue<D> {
        &self.device
    }

    /// The most bytes that were in use at once.
    pub fn peak_bytes(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// Memory with unspecified contents.
    ///
    /// # Errors
    /// [`DeviceError::OutOfMemory`] where the device has not as much left, with nothing cached any more.
    pub fn take(self: &Arc<Self>, bytes: usize) -> Result<Buffer<D>, DeviceError> {
        self.take_size(rounded(bytes))
    }

    /// Memory for one number of at most eight bytes that is kept for long.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn take_number(self: &Arc<Self>) -> Result<Buffer<D>, DeviceError> {
        self.take_size(NUMBER_BYTES)
    }

    fn take_size(self: &Arc<Self>, size: usize) -> Result<Buffer<D>, DeviceError> {
        let (order, memory) = match self.cached(size) {
            Some(kept) => kept,
            None => {
                let memory = match self.device.allocate(size) {
                    Err(DeviceError::OutOfMemory { .. }) => {
                        self.release();
                        self.device.allocate(size)?
                    }
                    outcome => outcome?,
                };
                (self.allocations.fetch_add(1, Ordering::Relaxed), memory)
            }
        };
        let used = self.used.fetch_add(size, Ordering::Relaxed) + size;
        self.peak.fetch_max(used, Ordering::Relaxed);
        let address = self.device.address(&memory);
        Ok(Buffer { pool: self.clone(), memory: Some(memory), order, address, size })
    }

    /// The first kept block of this size.
    fn cached(&self, size: usize) -> Option<(u64, D::Memory)> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.get_mut(&size)?.pop_first()
    }

    /// Gives everything that is in nobody's use back to the device, what it keeps for graphs too.
    pub fn release(&self) {
        let kept = std::mem::take(&mut *self.free.lock().unwrap_or_else(PoisonError::into_inner));
        // What the device still does with it must end first; a failure shows at the next call.
        let _ = self.device.synchronize();
        self.device.forget();
        drop(kept);
    }
}

/// A block of device memory, returned to its pool when dropped.
pub struct Buffer<D: Device> {
    pool: Arc<Pool<D>>,
    /// Present until the drop.
    memory: Option<D::Memory>,
    /// Among all allocations.
    order: u64,
    address: u64,
    size: usize,
}

impl<D: Device> Buffer<D> {
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Bytes that may be used.
    pub fn size(&self) -> usize {
        self.size
    }
}

impl<D: Device> Drop for Buffer<D> {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.take() {
            self.pool.used.fetch_sub(self.size, Ordering::Relaxed);
            let mut free = self.pool.free.lock().unwrap_or_else(PoisonError::into_inner);
            free.entry(self.size).or_default().insert(self.order, memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::emulated::EmulatedDevice;
    use super::*;

    #[test]
    fn sizes_are_rounded_by_at_most_an_eighth() {
        for bytes in [0, 1, 511, 512, 513, 5000, 8192, 8193, 100_000, 1_000_000, 77_777_777] {
            let size = rounded(bytes);
            assert!(size >= bytes && size.is_multiple_of(LEAST_BYTES) && size > 0, "{bytes}: {size}");
            assert!(size <= bytes + (bytes / 8).max(LEAST_BYTES), "{bytes}: {size}");
            assert_eq!(rounded(size), size);
        }
    }

    #[test]
    fn memory_is_used_again_and_given_back_when_another_size_needs_it() {
        let Some(device) = EmulatedDevice::with_memory(10_240) else { return };
        let pool = Arc::new(Pool::new(Queue::new(device)));
        let first = pool.take(4000).unwrap();
        let address = first.address();
        assert_eq!(first.size(), 4096);
        drop(first);
        assert_eq!(pool.take(4090).unwrap().address(), address);
        assert_eq!(pool.device().allocations(), 1);
        // 4096 are cached, and 8192 fit only without them.
        drop(pool.take(8000).unwrap());
        assert_eq!(pool.device().allocations(), 2);
        let refused = pool.take(10_241).err().unwrap();
        assert_eq!(refused, DeviceError::OutOfMemory { asked: 11_264, free: 10_240 });
    }

    /// Wherever the device puts the blocks that a sequence has to allocate, the next one gets what this one got.
    #[test]
    fn a_sequence_that_allocates_is_repeated_with_the_same_addresses() {
        let Some(device) = EmulatedDevice::new() else { return };
        let pool = Arc::new(Pool::new(Queue::new(device)));
        // Each time one more than there are.
        for count in 1..40 {
            let sequence = || -> Vec<u64> {
                let blocks: Vec<_> = (0..count).map(|_| pool.take(5000).unwrap()).collect();
                blocks.iter().map(Buffer::address).collect()
            };
            assert_eq!(sequence(), sequence(), "{count} blocks");
        }
    }

    /// Blocks come back in every order, and are handed out as at first.
    #[test]
    fn addresses_do_not_depend_on_the_order_in_which_memory_came_back() {
        let Some(device) = EmulatedDevice::new() else { return };
        let pool = Arc::new(Pool::new(Queue::new(device)));
        let take = || [5000, 600, 5000, 5000, 600].map(|bytes| pool.take(bytes).unwrap());
        drop(take());
        let mut addresses = Vec::new();
        for order in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 3, 4, 1]] {
            let mut taken = take().map(Some);
            addresses.push(taken.each_ref().map(|buffer| buffer.as_ref().unwrap().address()));
            order.into_iter().for_each(|index| drop(taken[index].take()));
        }
        assert!(addresses.iter().all(|found| *found == addresses[0]), "{addresses:?}");
        // Numbers that are kept take nobody's place.
        let _number = pool.take_number().unwrap();
        let again = take().map(|buffer| buffer.address());
        assert_eq!(again, addresses[0]);
        assert_eq!(pool.device().allocations(), 6);
    }

    #[test]
    fn the_peak_is_the_most_that_was_in_use_at_once() {
        let Some(device) = EmulatedDevice::new() else { return };
        let pool = Arc::new(Pool::new(Queue::new(device)));
        drop(pool.take(1024).unwrap());
        let large = pool.take(4096).unwrap();
        assert_eq!(pool.peak_bytes(), large.size());
        let small = pool.take(512).unwrap();
        let both = large.size() + small.size();
        drop(large);
        drop(small);
        let _again = pool.take(512).unwrap();
        assert_eq!(pool.peak_bytes(), both);
    }
}
