//! Commands as a CUDA graph: captured from the stream, then launched as one.
use super::waits::capturing;
use super::{Context, failed};
use crate::tensor::cuda::device::DeviceError;
use cudarc::driver::{result, sys};
use std::sync::Arc;

/// A graph that can be launched.
pub struct CudaGraph {
    executable: sys::CUgraphExec,
    context: Arc<Context>,
}
// SAFETY: a handle that one thread uses at a time, the queue's lock sees to that.
unsafe impl Send for CudaGraph {}

impl Drop for CudaGraph {
    fn drop(&mut self) {
        if self.context.enter().is_ok() {
            // SAFETY: instantiated once, destroyed once; one that still runs is freed by the driver when it has ended.
            let _ = unsafe { result::graph::exec_destroy(self.executable) };
        }
    }
}

/// The captured nodes, which nothing needs once they are instantiated.
struct Captured(sys::CUgraph);

impl Drop for Captured {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: captured once, destroyed once.
            let _ = unsafe { result::graph::destroy(self.0) };
        }
    }
}

impl CudaGraph {
    /// What `issue` gives the stream, none of it carried out. The context is current.
    ///
    /// # Errors
    /// What is refused in `issue`, or by the driver. The stream then works as before.
    pub(super) fn capture(
        context: &Arc<Context>,
        issue: impl FnOnce() -> Result<(), DeviceError>,
    ) -> Result<Self, DeviceError> {
        // Runs on other threads share the device: their calls are none of this capture's business. Calls of this thread that
        // the capture would miss (an allocation, a module loaded late) are refused instead of being left out.
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        let (issued, ended) = capturing(|| {
            // SAFETY: the stream lives as long as the context.
            unsafe { result::stream::begin_capture(context.stream, mode) }
                .map_err(|error| failed("cuStreamBeginCapture", error))?;
            let issued = issue();
            // Whatever was refused: until its capture ends, the stream carries nothing out.
            // SAFETY: as above, in the thread that began.
            Ok((issued, unsafe { result::stream::end_capture(context.stream) }.map(Captured)))
        })?;
        issued?;
        let captured = ended.map_err(|error| failed("cuStreamEndCapture", error))?;
        // SAFETY: the capture ended well, and so the graph is whole.
        let executable = unsafe { result::graph::instantiate(captured.0, sys::CUgraphInstantiate_flags(0)) }
            .map_err(|error| failed("cuGraphInstantiate", error))?;
        Ok(CudaGraph { executable, context: context.clone() })
    }

    /// # Safety
    /// As issuing what was captured, with the context current.
    pub unsafe fn launch(&self) -> Result<(), DeviceError> {
        // SAFETY: both handles are live; what the nodes touch is the caller's contract.
        unsafe { result::graph::launch(self.executable, self.context.stream) }
            .map_err(|error| failed("cuGraphLaunch", error))
    }
}
