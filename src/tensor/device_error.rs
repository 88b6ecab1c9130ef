//! Why a device did not do what it was asked.

/// A failure of a CUDA device, of its libraries or of its memory, with what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    #[error("{library} cannot be loaded\nhint: {remedy}")]
    MissingLibrary { library: &'static str, remedy: &'static str },
    #[error(
        "there is no CUDA device {index}: this machine has {count}\nhint: nearest valid device: {nearest}; `nvidia-smi` lists them, and CUDA_VISIBLE_DEVICES may hide some"
    )]
    NoSuchDevice { index: usize, count: usize, nearest: String },
    #[error(
        "CUDA device `{name}` has compute capability {major}.{minor}, and the kernels need 8.0\nhint: use an Ampere or later GPU, or `engine.kind = \"cpu\"`"
    )]
    TooOld { name: String, major: i32, minor: i32 },
    #[error(
        "out of device memory: asked for {asked} bytes with {free} bytes free\nhint: lower `train.micro_batch`, set `engine.precision = \"bf16\"`, or close what else uses the device"
    )]
    OutOfMemory { asked: usize, free: usize },
    #[error("kernel file `{file}` does not compile for {architecture}:\n{log}\nhint: {remedy}")]
    Compile { file: String, architecture: String, log: String, remedy: &'static str },
    #[error("{call}: {what}\nhint: {remedy}")]
    Failed { call: String, what: String, remedy: &'static str },
}
