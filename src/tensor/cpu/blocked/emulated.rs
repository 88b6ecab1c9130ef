//! The instructions' arithmetic in plain f32: the specification of [`super::kernel::Kernel`], and the products of a
//! processor that has none of them, nor fused multiply-adds of AVX2 (`super::x86::fma`).
use super::VECTOR;
use super::pack::LeftTile;
use crate::tensor::cpu::real::vectorised;

/// Rows that are summed at once, so that their chains overlap.
const ROWS: usize = 4;

/// ±0 for a subnormal sum (the instructions flush them, whatever the processor is set to).
#[inline(always)]
fn flushed(x: f32) -> f32 {
    if x.abs() < f32::MIN_POSITIVE { f32::from_bits(x.to_bits() & 0x8000_0000) } else { x }
}

#[inline(always)]
fn first(pair: u32) -> f32 {
    f32::from_bits(pair << 16)
}

#[inline(always)]
fn second(pair: u32) -> f32 {
    f32::from_bits(pair & 0xffff_0000)
}

/// Runs `body` on `ROWS` rows of pairs and one vector of columns at a time: row, vector, pointers.
#[inline(always)]
unsafe fn blocks(
    (rows, vectors): (usize, usize),
    left: LeftTile,
    right: *const u32,
    out: *mut f32,
    stride: usize,
    body: impl Fn([*const u32; ROWS], *const u32, usize) -> [[f32; VECTOR]; ROWS],
) {
    for row in (0..rows).step_by(ROWS) {
        // A kernel of six rows: its last two are computed twice.
        let row = row.min(rows - ROWS);
        // SAFETY: the caller's contract, here and below.
        let lines: [*const u32; ROWS] =
            std::array::from_fn(|r| unsafe { left.data.add((row + r) * left.row_stride) });
        for vector in 0..vectors {
            let sums = body(lines, unsafe { right.add(vector * VECTOR) }, vectors * VECTOR);
            for (r, sums) in sums.iter().enumerate() {
                let out = unsafe { out.add((row + r) * stride + vector * VECTOR).cast::<[f32; VECTOR]>() };
                unsafe { out.write_unaligned(*sums) };
            }
        }
    }
}

/// Fused multiply-adds over all words, each an f32.
///
/// # Safety
/// As [`super::kernel::Kernel::tile`].
pub unsafe fn f32_chain(
    shape: (usize, usize),
    words: usize,
    left: LeftTile,
    right: *const u32,
    out: *mut f32,
    stride: usize,
) {
    // SAFETY: the caller's contract.
    vectorised(|| unsafe {
        blocks(shape, left, right, out, stride, |lines, right, width| {
            let mut sums = [[0.0; VECTOR]; ROWS];
            for p in 0..words {
                let b = right.add(p * width).cast::<[f32; VECTOR]>().read();
                for (sums, line) in sums.iter_mut().zip(lines) {
                    let a = f32::from_bits(*line.add(p * left.word_stride));
                    for (sum, &b) in sums.iter_mut().zip(&b) {
                        *sum = a.mul_add(b, *sum);
                    }
                }
            }
            sums
        });
    });
}

/// `VDPBF16PS` over all pairs.
///
/// # Safety
/// As [`super::kernel::Kernel::tile`].
pub unsafe fn chain(
    shape: (usize, usize),
    pairs: usize,
    left: LeftTile,
    right: *const u32,
    out: *mut f32,
    stride: usize,
) {
    // SAFETY: the caller's contract.
    vectorised(|| unsafe {
        blocks(shape, left, right, out, stride, |lines, right, width| {
            let mut sums = [[0.0; VECTOR]; ROWS];
            for p in 0..pairs {
                let b = right.add(p * width).cast::<[u32; VECTOR]>().read();
                for (sums, line) in sums.iter_mut().zip(lines) {
                    let a = *line.add(p * left.word_stride);
                    for (sum, &b) in sums.iter_mut().zip(&b) {
                        let odd = flushed(second(a).mul_add(second(b), *sum));
                        *sum = flushed(first(a).mul_add(first(b), odd));
                    }
                }
            }
            sums
        });
    });
}

/// `TDPBF16PS` over all groups of 16 pairs.
///
/// # Safety
/// As [`super::kernel::Kernel::tile`].
pub unsafe fn tiles(
    shape: (usize, usize),
    pairs: usize,
    left: LeftTile,
    right: *const u32,
    out: *mut f32,
    stride: usize,
) {
    const GROUP: usize = 16;
    // SAFETY: the caller's contract.
    vectorised(|| unsafe {
        blocks(shape, left, right, out, stride, |lines, right, width| {
            let mut sums = [[0.0; VECTOR]; ROWS];
            for group in (0..pairs).step_by(GROUP) {
                for (sums, line) in sums.iter_mut().zip(lines) {
                    let (mut even, mut odd) = ([0.0; VECTOR], [0.0; VECTOR]);
                    for p in group..group + GROUP {
                        let b = right.add(p * width).cast::<[u32; VECTOR]>().read();
                        let a = *line.add(p * left.word_stride);
                        for c in 0..VECTOR {
                            even[c] = flushed(first(a).mul_add(first(b[c]), even[c]));
                            odd[c] = flushed(second(a).mul_add(second(b[c]), odd[c]));
                        }
                    }
                    for c in 0..VECTOR {
                        sums[c] = flushed(sums[c] + flushed(even[c] + odd[c]));
                    }
                }
            }
            sums
        });
    });
}
