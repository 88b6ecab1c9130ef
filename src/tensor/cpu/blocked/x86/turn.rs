//! Blocks of pairs, lines turned into columns.
use std::arch::x86_64::*;

/// `out[i][j] ← lines[j][i]`, 16 × 16, as four blocks of 8 × 8.
///
/// # Safety
/// AVX2 is there; `out` has room for 16 rows of 16, `stride` apart; `lines` are 16 of 16 words, `from_stride` apart.
#[target_feature(enable = "avx2")]
pub unsafe fn block(out: *mut u32, stride: usize, lines: *const u32, from_stride: usize) {
    for i in [0, 8] {
        for j in [0, 8] {
            // SAFETY: the caller's contract.
            unsafe {
                eight(out.add(i * stride + j), stride, lines.add(j * from_stride + i), from_stride);
            }
        }
    }
}

/// `out[i][j] ← source[j][i]` for 8 × 8: pairs of lines woven by dwords, then by qwords, then halves exchanged.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn eight(out: *mut u32, stride: usize, source: *const u32, from_stride: usize) {
    // SAFETY: the caller's contract, here and below.
    let line = |j: usize| unsafe { _mm256_loadu_si256(source.add(j * from_stride).cast()) };
    let weave = |a, b| (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    let (a0, a1) = weave(line(0), line(1));
    let (a2, a3) = weave(line(2), line(3));
    let (a4, a5) = weave(line(4), line(5));
    let (a6, a7) = weave(line(6), line(7));
    let weave = |a, b| (_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
    let (b0, b1) = weave(a0, a2);
    let (b2, b3) = weave(a1, a3);
    let (b4, b5) = weave(a4, a6);
    let (b6, b7) = weave(a5, a7);
    let store = |i: usize, x| unsafe { _mm256_storeu_si256(out.add(i * stride).cast(), x) };
    for (i, (low, high)) in [(b0, b4), (b1, b5), (b2, b6), (b3, b7)].into_iter().enumerate() {
        store(i, _mm256_permute2x128_si256::<0x20>(low, high));
        store(i + 4, _mm256_permute2x128_si256::<0x31>(low, high));
    }
}
