//! NCCL: sums over the devices of one process, made where the tensors lie.
//!
//! The order of a sum is NCCL's own, by topology and size: the same on every rank and in every repetition on one
//! machine, not the same on another.
use super::{CudaBackend, CudaDevice, CudaTensor, DeviceError};
use crate::tensor::ranks::ThreadRanks;
use crate::tensor::unwind::raise;
use crate::tensor::{Communicator, RankError};
use cudarc::nccl::result::{self, NcclError};
use cudarc::nccl::sys;
use std::sync::{Arc, Mutex, PoisonError};

/// Whether libnccl can be loaded.
pub fn is_available() -> bool {
    // SAFETY: opens a shared library by its well-known names; what runs is its initialisers.
    unsafe { sys::is_culib_present() }
}

fn failed(call: &str) -> impl Fn(NcclError) -> DeviceError + '_ {
    move |error| DeviceError::Failed {
        call: call.to_string(),
        what: format!("{:?}", error.0),
        remedy: "set NCCL_DEBUG=WARN to hear more, or `engine.data_parallel = 1`",
    }
}

/// What the ranks of one run know each other by.
#[derive(Clone, Copy)]
pub struct GroupId(sys::ncclUniqueId);

impl GroupId {
    /// An id that no other group has.
    ///
    /// # Errors
    /// There is no libnccl, or it finds no way to meet.
    pub fn new() -> Result<Self, DeviceError> {
        if !is_available() {
            return Err(DeviceError::MissingLibrary {
                library: "libnccl",
                remedy: "`pip install nvidia-nccl-cu13` and put its `nvidia/nccl/lib` on LD_LIBRARY_PATH",
            });
        }
        result::get_uniqueid().map(GroupId).map_err(failed("ncclGetUniqueId"))
    }
}

/// One rank's membership of a group, on one stream.
pub struct Membership {
    handle: Mutex<Handle>,
}

struct Handle {
    communicator: sys::ncclComm_t,
    stream: sys::cudaStream_t,
}

// SAFETY: a communicator and a stream may be used from any thread, by one at a time: the mutex sees to that.
unsafe impl Send for Handle {}

impl Membership {
    /// Joins group `id` as `rank` of `count`; waits until all have joined.
    ///
    /// # Safety
    /// The context of the rank's device is current in this thread, and `stream` is a stream of it that lives as long as
    /// the membership.
    ///
    /// # Errors
    /// What NCCL says.
    pub unsafe fn join(
        id: GroupId,
        rank: usize,
        count: usize,
        stream: sys::cudaStream_t,
    ) -> Result<Self, DeviceError> {
        let mut communicator = std::ptr::null_mut();
        // Ranks are few: the spec allows 1024.
        let (count, rank) = (count as i32, rank as i32);
        // SAFETY: `communicator` outlives the call; the caller made the device current.
        unsafe { result::comm_init_rank(&mut communicator, count, id.0, rank) }
            .map_err(failed("ncclCommInitRank"))?;
        Ok(Membership { handle: Mutex::new(Handle { communicator, stream }) })
    }

    /// Puts the sums of the f32 arrays at these addresses, each of so many elements, in their place, as soon as the stream
    /// comes to it.
    ///
    /// # Safety
    /// The arrays lie in live memory of the rank's device and stay there until the stream has passed, and every rank
    /// calls with as many arrays of the same lengths.
    ///
    /// # Errors
    /// What NCCL says.
    pub unsafe fn sum(&self, arrays: &[(u64, usize)]) -> Result<(), DeviceError> {
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        result::group_start().map_err(failed("ncclGroupStart"))?;
        let each = arrays.iter().try_for_each(|&(address, elements)| {
            let (from, to) = (address as *const _, address as *mut _);
            let (float, add) = (sys::ncclDataType_t::ncclFloat32, sys::ncclRedOp_t::ncclSum);
            // SAFETY: the caller vouches for the arrays; in place is allowed.
            unsafe { result::all_reduce(from, to, elements, float, add, handle.communicator, handle.stream) }
                .map(drop)
        });
        // The group must be closed whatever was refused in it.
        let closed = result::group_end().map(drop);
        each.map_err(failed("ncclAllReduce"))?;
        closed.map_err(failed("ncclGroupEnd"))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: joined once, left once. Aborting does not wait for ranks that are gone; a failure leaves nothing to do.
        let _ = unsafe { result::comm_abort(self.communicator) };
    }
}

/// Ranks that are threads of this process, each with a CUDA device of its own: decisions meet on the host, tensors by NCCL.
pub struct NcclRanks {
    threads: ThreadRanks<f32>,
    membership: Membership,
}

impl NcclRanks {
    /// Joins group `id`; waits until all members have.
    ///
    /// # Errors
    /// What NCCL says. Unwinds with [`RankError::Left`] where another rank has stopped before.
    pub fn join(
        id: GroupId,
        threads: ThreadRanks<f32>,
        backend: &CudaBackend<CudaDevice>,
    ) -> Result<Self, DeviceError> {
        let (rank, count) = (ranks(&threads).rank(), ranks(&threads).count());
        // Joining waits for all ranks, so none begins before all are known to be there.
        ranks(&threads).gather(&[]).unwrap_or_else(|left| raise(left));
        // SAFETY: `with_stream` makes the context current, and the device, which owns the stream, outlives its ranks.
        let membership = backend
            .device()
            .inner()
            .with_stream(|stream| unsafe { Membership::join(id, rank, count, stream.cast()) })??;
        Ok(NcclRanks { threads, membership })
    }
}

fn ranks(threads: &ThreadRanks<f32>) -> &dyn Communicator<CudaBackend<CudaDevice>> {
    threads
}

impl Communicator<CudaBackend<CudaDevice>> for NcclRanks {
    fn rank(&self) -> usize {
        ranks(&self.threads).rank()
    }

    fn count(&self) -> usize {
        ranks(&self.threads).count()
    }

    fn sum_tensors(
        &self,
        backend: &CudaBackend<CudaDevice>,
        tensors: &mut [&mut CudaTensor<CudaDevice>],
    ) -> Result<(), RankError> {
        // A rank that has stopped would be waited for on the device for ever: hear of it here.
        self.gather(&[])?;
        let arrays: Vec<(u64, usize)> = tensors.iter_mut().map(|tensor| tensor.f32_array()).collect();
        // After the commands that the arrays are made by.
        let summed = backend.device().in_turn(|device| {
            // SAFETY: the arrays are those of live tensors, borrowed mutably, whose memory is reused in stream order alone.
            device.with_stream(|_| unsafe { self.membership.sum(&arrays) })?
        });
        summed.unwrap_or_else(|error| raise(error));
        Ok(())
    }

    fn gather(&self, values: &[f64]) -> Result<Vec<Arc<[f64]>>, RankError> {
        ranks(&self.threads).gather(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cudarc::driver::{CudaContext, DevicePtr};

    #[test]
    fn without_nccl_the_remedy_is_named() {
        match GroupId::new() {
            Ok(_) => eprintln!("skipped: libnccl is here"),
            Err(error) => assert!(error.to_string().contains("\nhint: "), "{error}"),
        }
    }

    #[test]
    fn the_sum_over_one_rank_is_itself() {
        let probe = crate::tensor::cuda::probe::CudaProbe::new();
        if !is_available() || probe.devices.is_ok_and(|devices| devices.is_empty()) || probe.driver.is_none()
        {
            crate::base::requirement::skip("nccl", "libnccl or a CUDA device is missing");
            return;
        }
        let context = CudaContext::new(0).expect("device 0");
        let stream = context.new_stream().expect("a stream");
        let values: Vec<f32> = (0..1000).map(|i| i as f32).collect();
        let array = stream.clone_htod(&values).expect("memory");
        let id = GroupId::new().expect("an id");
        // SAFETY: `CudaContext::new` made the device current; the stream outlives the membership.
        let membership = unsafe { Membership::join(id, 0, 1, stream.cu_stream().cast()) }.expect("joined");
        let address = array.device_ptr(&stream).0;
        // SAFETY: the array is live until it was copied back.
        unsafe { membership.sum(&[(address, 500), (address + 2000, 500)]) }.expect("summed");
        assert_eq!(stream.clone_dtoh(&array).expect("copied"), values);
    }
}
