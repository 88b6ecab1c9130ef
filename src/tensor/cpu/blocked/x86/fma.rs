//! The emulation by fused multiply-adds of AVX2: the bits of the plain one, operation by operation, many times sooner.
use crate::tensor::cpu::blocked::VECTOR;
use crate::tensor::cpu::blocked::pack::LeftTile;
use std::arch::x86_64::*;

/// Rows whose chains of sums overlap.
const ROWS: usize = 4;
/// Registers of a vector of columns.
const HALVES: usize = VECTOR / 8;
/// Pairs of one `TDPBF16PS`.
const GROUP: usize = 16;

type Vectors = [__m256; HALVES];

pub fn is_there() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// ±0 for subnormal sums.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn flushed(x: __m256) -> __m256 {
    let magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fff_ffff));
    let small = _mm256_cmp_ps::<_CMP_LT_OQ>(_mm256_and_ps(x, magnitude), _mm256_set1_ps(f32::MIN_POSITIVE));
    _mm256_andnot_ps(_mm256_and_ps(small, magnitude), x)
}

/// `z(sum + a b)`
#[inline]
#[target_feature(enable = "avx2,fma")]
fn added(sum: __m256, a: __m256, b: __m256) -> __m256 {
    flushed(_mm256_fmadd_ps(a, b, sum))
}

/// First and second elements of a pair, in all lanes.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn spread(pair: u32) -> [__m256; 2] {
    [pair << 16, pair & 0xffff_0000].map(|bits| _mm256_set1_ps(f32::from_bits(bits)))
}

/// First and second elements of 16 pairs.
///
/// # Safety
/// `pairs` points to as many.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn split(pairs: *const u32) -> [Vectors; 2] {
    let [mut firsts, mut seconds] = [[_mm256_setzero_ps(); HALVES]; 2];
    for (half, (first, second)) in firsts.iter_mut().zip(&mut seconds).enumerate() {
        // SAFETY: the caller's contract.
        let pairs = unsafe { _mm256_loadu_si256(pairs.add(8 * half).cast()) };
        *first = _mm256_castsi256_ps(_mm256_slli_epi32::<16>(pairs));
        *second = _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32(0xffff_0000_u32 as i32)));
    }
    [firsts, seconds]
}

/// `VDPBF16PS` over all pairs, of `shape` rows (at least four) and vectors.
///
/// # Safety
/// [`is_there`], and as [`crate::tensor::cpu::blocked::kernel::Kernel::tile`].
#[target_feature(enable = "avx2,fma")]
pub unsafe fn chain(
    shape: (usize, usize),
    pairs: usize,
    left: LeftTile,
    right: *const u32,
    out: *mut f32,
    stride: usize,
) {
    let width = shape.1 * VECTOR;
    let sums = |lines: [*const u32; ROWS], right: *const u32| {
        let mut sums = [[_mm256_setzero_ps(); HALVES]; ROWS];
        for p in 0..pairs {
            // SAFETY: the caller's contract, here and below.
            let [first, second] = unsafe { split(right.add(p * width)) };
            for (sums, line) in sums.iter_mut().zip(lines) {
                let a = spread(unsafe { *line.add(p * left.word_stride) });
                for half in 0..HALVES {
                    let odd = added(sums[half], a[1], second[half]);
                    sums[half] = added(odd, a[0], first[half]);
                }
            }
        }
        sums
    };
    unsafe { blocks(shape, left, right, out, stride, sums) }
}

/// `TDPBF16PS` over all groups of 16 pairs, of `shape` rows (at least four) and vectors.
///
/// # Safety
/// As [`chain`].
#[target_feature(enable = "avx2,fma")]
pub unsafe fn tiles(
    shape: (usize, usize),
    pairs: usize,
    left: LeftTile,
    right: *const u32,
    out: *mut f32,
    stride: usize,
) {
    let width = shape.1 * VECTOR;
    let sums = |lines: [*const u32; ROWS], right: *const u32| {
        let mut sums = [[_mm256_setzero_ps(); HALVES]; ROWS];
        for group in (0..pairs).step_by(GROUP) {
            for (sums, line) in sums.iter_mut().zip(lines) {
                let [mut even, mut odd] = [[_mm256_setzero_ps(); HALVES]; 2];
                for p in group..group + GROUP {
                    // SAFETY: the caller's contract, here and below.
                    let [first, second] = unsafe { split(right.add(p * width)) };
                    let a = spread(unsafe { *line.add(p * left.word_stride) });
                    for half in 0..HALVES {
                        even[half] = added(even[half], a[0], first[half]);
                        odd[half] = added(odd[half], a[1], second[half]);
                    }
                }
                for half in 0..HALVES {
                    let both = flushed(_mm256_add_ps(even[half], odd[half]));
                    sums[half] = flushed(_mm256_add_ps(sums[half], both));
                }
            }
        }
        sums
    };
    unsafe { blocks(shape, left, right, out, stride, sums) }
}

/// Writes the sums of [`ROWS`] rows and one vector of columns at a time.
///
/// # Safety
/// As [`chain`].
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn blocks(
    (rows, vectors): (usize, usize),
    left: LeftTile,
    right: *const u32,
    out: *mut f32,
    stride: usize,
    sums: impl Fn([*const u32; ROWS], *const u32) -> [Vectors; ROWS],
) {
    for row in (0..rows).step_by(ROWS) {
        // A kernel of six rows: its last two are computed twice.
        let row = row.min(rows - ROWS);
        // SAFETY: the caller's contract, here and below.
        let lines: [*const u32; ROWS] =
            std::array::from_fn(|r| unsafe { left.data.add((row + r) * left.row_stride) });
        for vector in 0..vectors {
            for (r, sums) in sums(lines, unsafe { right.add(vector * VECTOR) }).iter().enumerate() {
                for (half, sums) in sums.iter().enumerate() {
                    let place = (row + r) * stride + vector * VECTOR + 8 * half;
                    unsafe { _mm256_storeu_ps(out.add(place), *sums) };
                }
            }
        }
    }
}
