//! Launches of the attention kernels: which file and size serve a head, grids, shared memory, tables of spans.
//!
//! The sizes below are those that the kernel files compute from HEAD; `kernels/attention*.cu` say why.
pub mod cached;

use super::device::{Argument, Device, DeviceError, Element, Launch, Operand};
use crate::tensor::{AttentionShape, PackedSegment, PackedShape};

/// Widest head that the kernels take.
pub const LARGEST_HEAD_DIM: usize = 128;

/// Threads of a block.
const THREADS: u32 = 128;
/// Rows of a tile of the f32 kernels.
const TILE: usize = 32;
/// Keys of a tile of the bf16 forward kernel.
const KEYS: usize = 64;

/// HEAD: a head's width rounded up to what tensor cores take.
fn padded(head_dim: usize) -> usize {
    head_dim.next_multiple_of(16)
}

/// Rows that one block owns.
fn own_rows(element: Element, head_dim: usize) -> usize {
    match element {
        Element::F32 => TILE,
        Element::Bf16 if padded(head_dim) <= 64 => 128,
        Element::Bf16 => 64,
    }
}

/// Bytes of dynamic shared memory of the forward kernels.
fn forward_bytes(element: Element, h: usize) -> usize {
    match element {
        Element::F32 => 4 * (2 * TILE * (h + 1) + TILE * (TILE + 1)),
        Element::Bf16 => 2 * (padded(h) + 8) * (own_rows(element, h) + 2 * KEYS),
    }
}

/// Bytes of dynamic shared memory of the backward kernels.
fn backward_bytes(element: Element, h: usize) -> usize {
    match element {
        Element::F32 => 4 * (4 * TILE * (h + 1) + 2 * TILE * (TILE + 1)),
        Element::Bf16 => {
            let inner = if padded(h) <= 64 { 64 } else { 32 };
            2 * (padded(h) + 8) * (2 * own_rows(element, h) + 4 * inner) + 2 * inner * 8
        }
    }
}

/// A launch of one of the kernels for this element type.
struct Kernel {
    file: &'static str,
    name: &'static str,
    defines: Vec<(&'static str, u32)>,
}

impl Kernel {
    /// `bf16` names file and kernel of tensor-core attention, compiled once for each padded width; `f32` the kernel
    /// in `attention_f32`.
    ///
    /// # Errors
    /// [`DeviceError::HeadTooWide`], a user's model may have such heads.
    fn new(
        element: Element,
        head_dim: usize,
        bf16: (&'static str, &'static str),
        f32: &'static str,
    ) -> Result<Self, DeviceError> {
        if head_dim > LARGEST_HEAD_DIM {
            return Err(DeviceError::HeadTooWide { head_dim, most: LARGEST_HEAD_DIM });
        }
        Ok(match element {
            Element::F32 => Kernel { file: "attention_f32", name: f32, defines: Vec::new() },
            Element::Bf16 => {
                Kernel { file: bf16.0, name: bf16.1, defines: vec![("HEAD", padded(head_dim) as u32)] }
            }
        })
    }

    /// # Safety
    /// As [`Device::launch`].
    unsafe fn launch<D: Device>(
        &self,
        device: &D,
        grid: [usize; 3],
        shared_bytes: usize,
        arguments: &[Argument],
    ) -> Result<(), DeviceError> {
        if grid.contains(&0) {
            return Ok(());
        }
        let launch = Launch {
            file: self.file,
            defines: &self.defines,
            kernel: self.name,
            grid: grid.map(|blocks| blocks as u32),
            block: THREADS,
            shared_bytes: shared_bytes as u32,
            arguments,
        };
        // SAFETY: promised by the caller.
        unsafe { device.launch(&launch) }
    }
}

fn address(operand: &Operand) -> Argument {
    Argument::Address(operand.address)
}

fn number(value: usize) -> Argument {
    Argument::U32(u32::try_from(value).unwrap_or_else(|_| panic!("{value} is more than a kernel counts")))
}

/// Same element type, shape and stride.
fn check(element: Element, operands: &[&Operand], cols: usize) {
    let (rows, stride) = (operands[0].rows, operands[0].stride);
    for m in operands {
        assert!(
            m.element == element && m.rows == rows && m.cols == cols && m.stride == stride,
            "{m:?} beside {rows} × {cols} of {element:?}"
        );
    }
}

/// The operands of attention over whole sequences.
fn check_sequences(shape: AttentionShape, wide: &[&Operand], narrow: &[&Operand]) {
    let element = wide[0].element;
    check(element, wide, shape.num_heads * shape.head_dim);
    check(element, narrow, shape.num_kv_heads * shape.head_dim);
    let rows = shape.sequences * shape.context_length;
    assert!(wide[0].rows == rows && narrow[0].rows == rows, "{shape:?}");
}

/// Fills `out` and `log_sum_exp` (f32).
///
/// # Safety
/// Every operand lies in live memory of `device`, outputs apart from inputs.
pub unsafe fn forward<D: Device>(
    device: &D,
    shape: AttentionShape,
    [out, log_sum_exp]: [&Operand; 2],
    [q, k, v]: [&Operand; 3],
) -> Result<(), DeviceError> {
    let AttentionShape { sequences, context_length, num_heads, num_kv_heads, head_dim } = shape;
    check_sequences(shape, &[q, out], &[k, v]);
    assert!(log_sum_exp.element == Element::F32 && log_sum_exp.cols == num_heads);
    let kernel = Kernel::new(
        q.element,
        head_dim,
        ("attention_forward", "attention_forward"),
        "attention_forward_f32",
    )?;
    let grid = [context_length.div_ceil(own_rows(q.element, head_dim)), num_heads, sequences];
    let arguments = [
        address(out),
        address(log_sum_exp),
        address(q),
        address(k),
        address(v),
        number(q.stride),
        number(k.stride),
        number(log_sum_exp.stride),
        number(context_length),
        number(num_heads),
        number(num_kv_heads),
        number(head_dim),
    ];
    // SAFETY: the kernel's arguments in its order; it stays within the rows and columns checked above.
    unsafe { kernel.launch(device, grid, forward_bytes(q.element, head_dim), &arguments) }
}

/// Bytes of the scratch memory of [`backward`].
pub fn statistics_bytes(shape: AttentionShape) -> usize {
    shape.sequences * shape.context_length * shape.num_heads * 8
}

/// What the backward pass reads.
pub struct Saved<'a> {
    pub d_out: &'a Operand,
    pub out: &'a Operand,
    pub log_sum_exp: &'a Operand,
    pub q: &'a Operand,
    pub k: &'a Operand,
    pub v: &'a Operand,
}

/// Overwrites `d_q`, `d_k`, `d_v`; `statistics` is the address of [`statistics_bytes`] of scratch memory.
///
/// # Safety
/// As [`forward`].
pub unsafe fn backward<D: Device>(
    device: &D,
    shape: AttentionShape,
    [d_q, d_k, d_v]: [&Operand; 3],
    saved: &Saved,
    statistics: u64,
) -> Result<(), DeviceError> {
    let AttentionShape { sequences, context_length, num_heads, num_kv_heads, head_dim } = shape;
    let Saved { d_out, out, log_sum_exp, q, k, v } = *saved;
    let (element, rows) = (q.element, sequences * context_length);
    check_sequences(shape, &[q, out, d_out, d_q], &[k, v, d_k, d_v]);
    let statistics = Argument::Address(statistics);
    let of_rows = Kernel {
        file: "attention_statistics",
        name: match element {
            Element::F32 => "attention_statistics_f32",
            Element::Bf16 => "attention_statistics_bf16",
        },
        defines: Vec::new(),
    };
    let arguments = [
        statistics,
        address(out),
        address(d_out),
        address(log_sum_exp),
        number(rows),
        number(q.stride),
        number(log_sum_exp.stride),
        number(context_length),
        number(num_heads),
        number(head_dim),
    ];
    // Eight threads share one row of one head.
    let blocks = (rows * num_heads * 8).div_ceil(THREADS as usize);
    // SAFETY: the kernel's arguments in its order, over the shapes checked above.
    unsafe { of_rows.launch(device, [blocks, 1, 1], 0, &arguments)? };

    let bytes = backward_bytes(element, head_dim);
    let row_blocks = context_length.div_ceil(own_rows(element, head_dim));
    let inputs = [
        address(q),
        address(k),
        address(v),
        address(d_out),
        statistics,
        number(q.stride),
        number(k.stride),
        number(context_length),
        number(num_heads),
        number(num_kv_heads),
        number(head_dim),
    ];
    let keys = Kernel::new(
        element,
        head_dim,
        ("attention_backward", "attention_backward_keys"),
        "attention_backward_keys_f32",
    )?;
    let queries = Kernel::new(
        element,
        head_dim,
        ("attention_backward", "attention_backward_queries"),
        "attention_backward_queries_f32",
    )?;
    let of_keys = [&[address(d_k), address(d_v)][..], &inputs].concat();
    let of_queries = [&[address(d_q)][..], &inputs].concat();
    // SAFETY: as above.
    unsafe {
        keys.launch(device, [row_blocks, num_kv_heads, sequences], bytes, &of_keys)?;
        queries.launch(device, [row_blocks, num_heads, sequences], bytes, &of_queries)
    }
}

/// One span of the kernels' tables, in their order: first key, number of keys, first key of the prefix, its number, place of
/// the block's first query among the keys, row of that query.
type Span = [usize; 6];

/// The bytes of a table, the longest walks first: they start first, and short ones fill the gaps.
fn table(mut spans: Vec<Span>, block: usize) -> Vec<u8> {
    spans.sort_by_key(|&[_, length, _, prefix, offset, _]| {
        std::cmp::Reverse(prefix + length.min(offset + block))
    });
    let number = |n| u32::try_from(n).expect("a pass has fewer than 2³² tokens");
    spans.into_iter().flatten().flat_map(|n| number(n).to_ne_bytes()).collect()
}

/// The table of spans of a packed pass.
pub fn packed_spans(shape: PackedShape, element: Element) -> Vec<u8> {
    let block = own_rows(element, shape.head_dim);
    let spans = shape.segments.iter().flat_map(|PackedSegment { rows, seen }| {
        let of_block =
            move |offset| [rows.start, rows.len(), seen.start, seen.len(), offset, rows.start + offset];
        (0..rows.len()).step_by(block).map(of_block)
    });
    table(spans.collect(), block)
}

/// Attention of the rows of `q` that `spans` names, into `out`; `address` is where the bytes of `spans` lie on the device.
///
/// # Safety
/// As [`forward`]; the table too, and its spans name rows of the operands alone.
pub unsafe fn of_spans<D: Device>(
    device: &D,
    [num_heads, num_kv_heads, head_dim]: [usize; 3],
    out: &Operand,
    [q, k, v]: [&Operand; 3],
    spans: &[u8],
    table: u64,
) -> Result<(), DeviceError> {
    check(q.element, &[q, out], num_heads * head_dim);
    check(q.element, &[k, v], num_kv_heads * head_dim);
    let kernel = Kernel::new(
        q.element,
        head_dim,
        ("attention_forward", "attention_of_spans"),
        "attention_of_spans_f32",
    )?;
    let arguments = [
        address(out),
        address(q),
        address(k),
        address(v),
        Argument::Address(table),
        number(q.stride),
        number(k.stride),
        number(num_heads),
        number(num_kv_heads),
        number(head_dim),
    ];
    let grid = [spans.len() / size_of::<[u32; 6]>(), num_heads, 1];
    // SAFETY: the kernel's arguments in its order, over the shapes checked above.
    unsafe { kernel.launch(device, grid, forward_bytes(q.element, head_dim), &arguments) }
}

#[cfg(test)]
pub(super) mod tests;
