//! Rounding to bf16 by `VCVTNE2PS2BF16`, of which [`crate::tensor::cpu::blocked::round`] is the specification.
use std::arch::asm;

/// Elements that `line` and [`weave`] take at a time.
pub const LINE: usize = 32;
pub const WEAVE: usize = 16;

/// `out ← from`, `blocks` times 32 elements.
///
/// # Safety
/// AVX-512 BF16 is there; both are valid for all elements.
#[inline(always)]
pub unsafe fn line(out: *mut u16, from: *const f32, blocks: usize) {
    if blocks == 0 {
        return;
    }
    // SAFETY: the caller's contract.
    unsafe {
        asm!(
            "2:",
            "vmovups zmm0, zmmword ptr [{from}]",
            "vmovups zmm1, zmmword ptr [{from} + 64]",
            "vcvtne2ps2bf16 zmm0, zmm1, zmm0",
            "vmovups zmmword ptr [{out}], zmm0",
            "add {from}, 128",
            "add {out}, 64",
            "dec {blocks}",
            "jnz 2b",
            "vzeroupper",
            from = inout(reg) from => _,
            out = inout(reg) out => _,
            blocks = inout(reg) blocks => _,
            out("zmm0") _, out("zmm1") _,
            options(nostack),
        );
    }
}

/// Where each bf16 of a vector of pairs comes from: the first sixteen are the pairs' first elements.
#[repr(align(64))]
struct Places([u16; 32]);

static PLACES: Places = Places({
    let mut places = [0; 32];
    let mut i = 0;
    while i < 32 {
        places[i] = (i / 2 + i % 2 * 16) as u16;
        i += 1;
    }
    places
});

/// As [`weave`] for several panels beside each other: `out[panel][c] ← (first[panel · 16 · vectors + c], second[…])`, the pieces
/// of `out` that are `stride` words apart.
///
/// What stands `ahead` bytes further is asked for: lines of a matrix are too far apart for the processor to see which comes next.
///
/// # Safety
/// AVX-512 BF16 and BW are there; all are valid for all elements; there are panels and vectors.
#[inline(always)]
pub unsafe fn weave_panels(
    out: *mut u32,
    (first, second): (*const f32, *const f32),
    (panels, vectors): (usize, usize),
    stride: usize,
    ahead: usize,
) {
    // SAFETY: the caller's contract.
    unsafe {
        asm!(
            "vmovups zmm2, zmmword ptr [{places}]",
            "2:",
            "mov {left}, {vectors}",
            "3:",
            "vmovups zmm0, zmmword ptr [{first}]",
            "vmovups zmm1, zmmword ptr [{second}]",
            "prefetcht0 byte ptr [{first} + {ahead}]",
            "prefetcht0 byte ptr [{second} + {ahead}]",
            "vcvtne2ps2bf16 zmm0, zmm1, zmm0",
            "vpermw zmm0, zmm2, zmm0",
            "vmovups zmmword ptr [{out}], zmm0",
            "add {first}, 64",
            "add {second}, 64",
            "add {out}, 64",
            "dec {left}",
            "jnz 3b",
            "add {out}, {gap}",
            "dec {panels}",
            "jnz 2b",
            "vzeroupper",
            places = in(reg) PLACES.0.as_ptr(),
            first = inout(reg) first => _,
            second = inout(reg) second => _,
            out = inout(reg) out => _,
            panels = inout(reg) panels => _,
            left = out(reg) _,
            vectors = in(reg) vectors,
            gap = in(reg) stride * 4 - vectors * 64,
            ahead = in(reg) ahead,
            out("zmm0") _, out("zmm1") _, out("zmm2") _,
            options(nostack),
        );
    }
}

/// A block of 16 × 16 pairs: `out[p][c] ← (from[2p][c], from[2p + 1][c])`, lines of `from` `stride` elements apart. The lines
/// after these are asked for.
///
/// # Safety
/// AVX-512 BF16 and BW are there; both are valid for all elements.
#[inline(always)]
pub unsafe fn weave_block(out: *mut u32, from: *const f32, stride: usize) {
    // SAFETY: the caller's contract.
    unsafe {
        asm!(
            "vmovups zmm2, zmmword ptr [{places}]",
            "2:",
            "vmovups zmm0, zmmword ptr [{from}]",
            "vmovups zmm1, zmmword ptr [{from} + {stride}]",
            "prefetcht0 byte ptr [{soon}]",
            "prefetcht0 byte ptr [{soon} + {stride}]",
            "vcvtne2ps2bf16 zmm0, zmm1, zmm0",
            "vpermw zmm0, zmm2, zmm0",
            "vmovups zmmword ptr [{out}], zmm0",
            "lea {from}, [{from} + 2*{stride}]",
            "lea {soon}, [{soon} + 2*{stride}]",
            "add {out}, 64",
            "dec {blocks}",
            "jnz 2b",
            "vzeroupper",
            places = in(reg) PLACES.0.as_ptr(),
            from = inout(reg) from => _,
            soon = inout(reg) from.wrapping_add(32 * stride) => _,
            stride = in(reg) stride * 4,
            out = inout(reg) out => _,
            blocks = inout(reg) 16usize => _,
            out("zmm0") _, out("zmm1") _, out("zmm2") _,
            options(nostack),
        );
    }
}

/// 16 lines of 32 elements: `out[i] ← from[i]` in pairs, lines of `from` `stride` elements apart.
///
/// # Safety
/// AVX-512 BF16 is there; both are valid for all elements.
#[inline(always)]
pub unsafe fn lines_block(out: *mut u32, from: *const f32, stride: usize) {
    // SAFETY: the caller's contract.
    unsafe {
        asm!(
            "2:",
            "vmovups zmm0, zmmword ptr [{from}]",
            "vmovups zmm1, zmmword ptr [{from} + 64]",
            "vcvtne2ps2bf16 zmm0, zmm1, zmm0",
            "vmovups zmmword ptr [{out}], zmm0",
            "add {from}, {stride}",
            "add {out}, 64",
            "dec {lines}",
            "jnz 2b",
            "vzeroupper",
            from = inout(reg) from => _,
            stride = in(reg) stride * 4,
            out = inout(reg) out => _,
            lines = inout(reg) 16usize => _,
            out("zmm0") _, out("zmm1") _,
            options(nostack),
        );
    }
}

/// `out[c] ← (first[c], second[c])`, `blocks` times 16 pairs.
///
/// # Safety
/// AVX-512 BF16 and BW are there; all are valid for all elements.
#[inline(always)]
pub unsafe fn weave(out: *mut u32, first: *const f32, second: *const f32, blocks: usize) {
    if blocks == 0 {
        return;
    }
    // SAFETY: the caller's contract.
    unsafe {
        asm!(
            "vmovups zmm2, zmmword ptr [{places}]",
            "2:",
            "vmovups zmm0, zmmword ptr [{first}]",
            "vmovups zmm1, zmmword ptr [{second}]",
            "vcvtne2ps2bf16 zmm0, zmm1, zmm0",
            "vpermw zmm0, zmm2, zmm0",
            "vmovups zmmword ptr [{out}], zmm0",
            "add {first}, 64",
            "add {second}, 64",
            "add {out}, 64",
            "dec {blocks}",
            "jnz 2b",
            "vzeroupper",
            places = in(reg) PLACES.0.as_ptr(),
            first = inout(reg) first => _,
            second = inout(reg) second => _,
            out = inout(reg) out => _,
            blocks = inout(reg) blocks => _,
            out("zmm0") _, out("zmm1") _, out("zmm2") _,
            options(nostack),
        );
    }
}
