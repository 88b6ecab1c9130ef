//! What the CUDA engine asks of a device: memory, kernel launches, matrix products, all in the order of one stream.
//!
//! Two implementations: `driver` over the CUDA driver, and, in tests, `emulated`, which runs the same kernel
//! sources on the host. Everything above this trait is the same code in both.
use crate::tensor::Product;
use std::hash::{Hash, Hasher};

/// Type of the elements of a matrix in device memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    F32,
    Bf16,
}

impl Element {
    pub const fn bytes(self) -> usize {
        match self {
            Element::F32 => 4,
            Element::Bf16 => 2,
        }
    }

    /// As kernel names end.
    pub const fn suffix(self) -> &'static str {
        match self {
            Element::F32 => "f32",
            Element::Bf16 => "bf16",
        }
    }
}

/// Why the device did not do what it was asked.
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
    #[error(
        "heads of {head_dim} dimensions: attention on CUDA takes {most} at most\nhint: set `engine.kind = \"cpu\"` for this model (`eval --engine cpu`)"
    )]
    HeadTooWide { head_dim: usize, most: usize },
    #[error("kernel file `{file}` does not compile for {architecture}:\n{log}\nhint: {remedy}")]
    Compile { file: String, architecture: String, log: String, remedy: &'static str },
    #[error("{call}: {what}\nhint: {remedy}")]
    Failed { call: String, what: String, remedy: &'static str },
}

/// One argument of a kernel; equal where type and bits are.
#[derive(Clone, Copy, Debug)]
pub enum Argument {
    /// Address in device memory.
    Address(u64),
    U32(u32),
    U64(u64),
    F32(f32),
    F64(f64),
}

impl Argument {
    /// The value's bytes in the first bytes of a word.
    pub(super) fn word(self) -> u64 {
        let mut word = [0; 8];
        match self {
            Argument::Address(x) | Argument::U64(x) => word = x.to_ne_bytes(),
            Argument::U32(x) => word[..4].copy_from_slice(&x.to_ne_bytes()),
            Argument::F32(x) => word[..4].copy_from_slice(&x.to_ne_bytes()),
            Argument::F64(x) => word = x.to_ne_bytes(),
        }
        u64::from_ne_bytes(word)
    }
}

impl PartialEq for Argument {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other) && self.word() == other.word()
    }
}

impl Eq for Argument {}

impl Hash for Argument {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.word().hash(state);
    }
}

/// One launch of a kernel.
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    /// File under `kernels/`, without its ending.
    pub file: &'static str,
    /// Macros that the file is compiled with.
    pub defines: &'a [(&'static str, u32)],
    pub kernel: &'a str,
    pub grid: [u32; 3],
    /// Threads of a block, along x.
    pub block: u32,
    /// Bytes of dynamic shared memory.
    pub shared_bytes: u32,
    pub arguments: &'a [Argument],
}

/// A matrix in device memory: row-major, `stride` elements from one row to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Operand {
    pub address: u64,
    pub element: Element,
    pub rows: usize,
    pub cols: usize,
    pub stride: usize,
}

/// What a product is added to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Addend {
    Nothing,
    /// What stands in the output.
    Out,
    /// The matrix at this address, laid out as the output is.
    Matrix(u64),
    /// The row at this address, of the output's columns and elements: added to every row.
    Row(u64),
}

/// `out ← addend + op(a) op(b)`; f32 accumulation always, and one rounding, of the whole sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Multiplication {
    pub product: Product,
    pub addend: Addend,
    pub out: Operand,
    pub a: Operand,
    pub b: Operand,
}

impl Multiplication {
    /// `(m, n, k)` of m × n outputs with k terms each.
    pub fn sizes(&self) -> (usize, usize, usize) {
        let (a, b) = (&self.a, &self.b);
        match self.product {
            Product::NT => (a.rows, b.rows, a.cols),
            Product::NN => (a.rows, b.cols, a.cols),
            Product::TN => (a.cols, b.cols, a.rows),
        }
    }
}

/// What a device is asked to do in the order of its stream, as a value: equal commands do the same with the same memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// See [`Launch`].
    Launch {
        file: &'static str,
        defines: Vec<(&'static str, u32)>,
        kernel: String,
        grid: [u32; 3],
        block: u32,
        shared_bytes: u32,
        arguments: Vec<Argument>,
    },
    Multiply(Multiplication),
    Copy {
        to: u64,
        from: u64,
        bytes: usize,
    },
    Zero {
        at: u64,
        bytes: usize,
    },
}

impl From<&Launch<'_>> for Command {
    fn from(launch: &Launch) -> Self {
        let Launch { file, defines, kernel, grid, block, shared_bytes, arguments } = *launch;
        let (defines, kernel, arguments) = (defines.to_vec(), kernel.to_string(), arguments.to_vec());
        Command::Launch { file, defines, kernel, grid, block, shared_bytes, arguments }
    }
}

impl Command {
    /// # Safety
    /// As the method of [`Device`] of this name.
    pub unsafe fn issue<D: Device>(&self, device: &D) -> Result<(), DeviceError> {
        // SAFETY: the caller's contract.
        unsafe {
            match self {
                &Command::Launch {
                    file,
                    ref defines,
                    ref kernel,
                    grid,
                    block,
                    shared_bytes,
                    ref arguments,
                } => device.launch(&Launch { file, defines, kernel, grid, block, shared_bytes, arguments }),
                Command::Multiply(multiplication) => device.multiply(multiplication),
                &Command::Copy { to, from, bytes } => device.copy(to, from, bytes),
                &Command::Zero { at, bytes } => device.zero(at, bytes),
            }
        }
    }
}

/// A device with one stream: calls are carried out in order, and only [`Device::download`] and
/// [`Device::synchronize`] wait for them.
pub trait Device: Send + Sync + 'static {
    /// A block of device memory, freed when dropped.
    type Memory: Send + Sync;
    /// Commands that the device takes as one.
    type Graph: Send;

    fn name(&self) -> String;
    /// Number of multiprocessors, by which grids are sized.
    fn multiprocessors(&self) -> u32;
    /// # Errors
    /// [`DeviceError::OutOfMemory`] where there is not that much.
    fn allocate(&self, bytes: usize) -> Result<Self::Memory, DeviceError>;
    fn address(&self, memory: &Self::Memory) -> u64;
    /// Copies `bytes` to the device; they may be dropped at once.
    ///
    /// # Safety
    /// `to` names as many bytes of live memory of this device.
    unsafe fn upload(&self, to: u64, bytes: &[u8]) -> Result<(), DeviceError>;
    /// Waits for everything before it, then copies.
    ///
    /// # Safety
    /// `from` names as many bytes of live memory of this device.
    unsafe fn download(&self, from: u64, bytes: &mut [u8]) -> Result<(), DeviceError>;
    /// # Safety
    /// Both name `bytes` bytes of live memory of this device that do not overlap.
    unsafe fn copy(&self, to: u64, from: u64, bytes: usize) -> Result<(), DeviceError>;
    /// # Safety
    /// `at` names `bytes` bytes of live memory of this device.
    unsafe fn zero(&self, at: u64, bytes: usize) -> Result<(), DeviceError>;
    /// # Safety
    /// The arguments are those that the kernel declares, in number and type, and every element that it touches lies in
    /// live memory of this device.
    unsafe fn launch(&self, launch: &Launch) -> Result<(), DeviceError>;
    /// # Safety
    /// The operands and the addend lie in live memory of this device, `out` apart from the others.
    unsafe fn multiply(&self, multiplication: &Multiplication) -> Result<(), DeviceError>;
    /// Makes one of `commands`, each of which has been issued before; none is carried out.
    ///
    /// # Safety
    /// As issuing each of them.
    unsafe fn record(&self, commands: &[Command]) -> Result<Self::Graph, DeviceError>;
    /// Carries out the commands that `graph` was made of.
    ///
    /// # Safety
    /// As issuing each of them now.
    unsafe fn replay(&self, graph: &Self::Graph) -> Result<(), DeviceError>;
    fn synchronize(&self) -> Result<(), DeviceError>;
}
