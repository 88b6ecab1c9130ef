//! Attention of new tokens over a cache: few of them with the keys cut into pieces, many as tiles of queries.
//!
//! The launches of a pass over few tokens are the same for every number of tokens before it that asks for as many pieces, so a
//! text that grows brings seven different ones in all.
use super::{Kernel, LARGEST_HEAD_DIM, Span, address, check, number, own_rows, table};
use crate::tensor::CachedShape;
use crate::tensor::cuda::device::{Argument, Device, DeviceError, Element, Operand};

/// Queries of one pass from which on tiles of queries beat blocks of their own.
const MANY_QUERIES: usize = 16;
/// Fewest keys of a piece, and most pieces; `PIECE` and `MOST_PIECES` of `attention_decode.cu`.
const PIECE: usize = 128;
const MOST_PIECES: usize = 64;

pub fn are_few(queries: usize) -> bool {
    queries < MANY_QUERIES
}

/// Pieces that are launched, those beyond the last key included.
fn pieces(shape: CachedShape, past: usize) -> usize {
    (past + shape.queries).div_ceil(PIECE).next_power_of_two().min(MOST_PIECES)
}

/// Bytes of the scratch memory of [`few`]: of each piece its sums, maximum and total.
pub fn scratch_bytes(shape: CachedShape, past: usize) -> usize {
    let of_piece = (shape.head_dim + 2) * 4;
    match pieces(shape, past) {
        1 => 0,
        pieces => shape.queries * shape.num_heads * pieces * of_piece,
    }
}

/// Attention of few new tokens after `past` others, into `out`; the addresses are those of that number on the device and of
/// [`scratch_bytes`] of scratch memory.
///
/// # Errors
/// [`DeviceError::HeadTooWide`], a user's model may have such heads.
///
/// # Safety
/// As [`super::forward`]; the number on the device is `past`.
pub unsafe fn few<D: Device>(
    device: &D,
    shape: CachedShape,
    past: usize,
    [past_at, scratch]: [u64; 2],
    out: &Operand,
    [q, keys, values]: [&Operand; 3],
) -> Result<(), DeviceError> {
    let CachedShape { queries, num_heads, num_kv_heads, head_dim } = shape;
    if head_dim > LARGEST_HEAD_DIM {
        return Err(DeviceError::HeadTooWide { head_dim, most: LARGEST_HEAD_DIM });
    }
    check(q.element, &[q, out], num_heads * head_dim);
    check(q.element, &[keys, values], num_kv_heads * head_dim);
    assert!(q.rows == queries && keys.rows >= past + queries, "{shape:?} after {past}");
    if queries == 0 || num_heads == 0 {
        return Ok(());
    }
    let pieces = pieces(shape, past);
    let kernel = |name| Kernel { file: "attention_decode", name, defines: Vec::new() };
    let [decode, combine] = match q.element {
        Element::F32 => ["attention_decode_f32", "attention_combine_f32"],
        Element::Bf16 => ["attention_decode_bf16", "attention_combine_bf16"],
    }
    .map(kernel);
    let [past_at, scratch] = [past_at, scratch].map(Argument::Address);
    let arguments = [
        address(out),
        scratch,
        address(q),
        address(keys),
        address(values),
        past_at,
        number(q.stride),
        number(keys.stride),
        number(num_heads / num_kv_heads),
        number(head_dim),
    ];
    // SAFETY: the kernel's arguments in its order, over the shapes checked above.
    unsafe { decode.launch(device, [num_heads, queries, pieces], 0, &arguments)? };
    if pieces == 1 {
        return Ok(());
    }
    let arguments = [address(out), scratch, past_at, number(out.stride), number(pieces), number(head_dim)];
    // SAFETY: as above.
    unsafe { combine.launch(device, [num_heads, queries, 1], 0, &arguments) }
}

/// The table of spans of attention of `shape.queries` tokens after `past` others, for [`super::of_spans`].
pub fn spans(shape: CachedShape, past: usize, element: Element) -> Vec<u8> {
    let CachedShape { queries, head_dim, .. } = shape;
    let block = own_rows(element, head_dim);
    let of_block = |first| -> Span { [0, past + queries, 0, 0, past + first, first] };
    table((0..queries).step_by(block).map(of_block).collect(), block)
}
