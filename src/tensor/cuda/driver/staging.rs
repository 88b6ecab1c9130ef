//! Uploads through pinned memory: the host copies into a ring of buffers, and the device fetches from there in stream order.
use super::waits::between_captures;
use super::{Context, failed};
use crate::tensor::cuda::device::DeviceError;
use cudarc::driver::{result, sys};
use std::ffi::c_void;

/// Bytes of one buffer; longer uploads take several. The token lists of a micro-batch take one each.
const SLOT_BYTES: usize = 512 << 10;
/// A step makes about ten uploads for each micro-batch: with fewer buffers than that the host would wait, within a step, for
/// the device to come by.
const SLOTS: usize = 64;

struct Slot {
    host: *mut c_void,
    /// Recorded after the copy that reads the buffer.
    fetched: sys::CUevent,
}
// SAFETY: memory and an event that one owner uses under a lock.
unsafe impl Send for Slot {}

/// The ring; buffers are made when first needed and live as long as the process's context.
#[derive(Default)]
pub struct Staging {
    slots: Vec<Slot>,
    next: usize,
}

impl Staging {
    /// # Safety
    /// `to` names as many bytes of live memory of the device, whose context is current.
    pub unsafe fn upload(&mut self, context: &Context, to: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        for (index, piece) in bytes.chunks(SLOT_BYTES).enumerate() {
            let slot = self.take()?;
            // SAFETY: the slot holds SLOT_BYTES and no copy reads it any more; the target is the caller's contract.
            unsafe {
                std::ptr::copy_nonoverlapping(piece.as_ptr(), slot.host.cast::<u8>(), piece.len());
                let staged = std::slice::from_raw_parts(slot.host.cast::<u8>(), piece.len());
                let to = to + (index * SLOT_BYTES) as u64;
                result::memcpy_htod_async(to, staged, context.stream)
                    .map_err(|error| failed("cuMemcpyHtoD", error))?;
                result::event::record(slot.fetched, context.stream)
                    .map_err(|error| failed("cuEventRecord", error))?;
            }
        }
        Ok(())
    }

    /// The next buffer, once the device has fetched what was in it.
    fn take(&mut self) -> Result<&Slot, DeviceError> {
        if self.slots.len() < SLOTS {
            // SAFETY: pinned memory, only ever used through this slot.
            let host = unsafe { result::malloc_host(SLOT_BYTES, 0) }
                .map_err(|error| failed("cuMemHostAlloc", error))?;
            let fetched = result::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING)
                .map_err(|error| failed("cuEventCreate", error))?;
            self.slots.push(Slot { host, fetched });
            self.next = 0;
            return Ok(&self.slots[self.slots.len() - 1]);
        }
        let slot = &self.slots[self.next];
        self.next = (self.next + 1) % SLOTS;
        // SAFETY: the event was made in this context.
        unsafe { result::event::synchronize(slot.fetched) }
            .map_err(|error| failed("cuEventSynchronize", error))?;
        Ok(slot)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        for slot in &self.slots {
            // SAFETY: made in `take`; freeing pinned memory waits for copies from it. Failures leave nothing to do.
            unsafe {
                let _ = result::event::synchronize(slot.fetched);
                let _ = result::event::destroy(slot.fetched);
                let _ = between_captures(|| result::free_host(slot.host));
            }
        }
    }
}
