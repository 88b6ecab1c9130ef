//! Tiles of six rows and sixteen columns in f32 by the fused multiply-adds of AVX2.
use crate::tensor::cpu::blocked::pack::LeftTile;
use std::arch::asm;

/// Words that each step over k asks the second cache for: the tiles of a panel ask for the next one within 48 rows.
pub const STEP_WANTED: usize = 2;

/// Whether the processor has the instructions.
pub fn is_there() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// One row of a step: its word into register `$a`, then both sums of the row.
macro_rules! row {
    ($at:literal, $a:literal: $low:literal $high:literal) => {
        concat!(
            "vbroadcastss ymm",
            $a,
            ", dword ptr [",
            $at,
            "]\n",
            "vfmadd231ps ymm",
            $low,
            ", ymm12, ymm",
            $a,
            "\n",
            "vfmadd231ps ymm",
            $high,
            ", ymm13, ymm",
            $a,
            "\n"
        )
    };
}

/// Sums to zero.
macro_rules! clear {
    ($($sum:literal)*) => { concat!($("vxorps ymm", $sum, ", ymm", $sum, ", ymm", $sum, "\n",)*) };
}

/// One row of sums to memory, or added to what stands there, and on to the next.
macro_rules! store {
    (plain, $low:literal $high:literal) => {
        concat!("vmovups ymmword ptr [{out}], ymm", $low, "\nvmovups ymmword ptr [{out} + 32], ymm", $high,
            "\nadd {out}, {stride}\n")
    };
    (adding, $low:literal $high:literal) => {
        concat!("vaddps ymm", $low, ", ymm", $low, ", ymmword ptr [{out}]\n",
            "vaddps ymm", $high, ", ymm", $high, ", ymmword ptr [{out} + 32]\n", store!(plain, $low $high))
    };
}

macro_rules! kernel {
    ($name:ident, $ends:ident) => {
        /// See [`crate::tensor::cpu::blocked::kernel::Kernel::tile`]; at least one word. Rows 0 to 2 and 4 are addressed from
        /// the left operand's pointer, rows 3 and 5 from another three rows on.
        #[inline(always)]
        pub unsafe fn $name(
            words: usize,
            left: LeftTile,
            right: *const u32,
            (out, stride): (*mut f32, usize),
            wanted: *const u32,
        ) {
            // SAFETY: the caller's contract: all of these lie within the operands; registers are named as clobbered.
            unsafe {
                asm!(
                    clear!(0 1 2 3 4 5 6 7 8 9 10 11),
                    "2:",
                    "prefetcht1 byte ptr [{wanted}]",
                    "vmovups ymm12, ymmword ptr [{b}]",
                    "vmovups ymm13, ymmword ptr [{b} + 32]",
                    row!("{a}", 14: 0 1),
                    row!("{a} + {row}", 15: 2 3),
                    row!("{a} + 2*{row}", 14: 4 5),
                    row!("{three}", 15: 6 7),
                    row!("{a} + 4*{row}", 14: 8 9),
                    row!("{three} + 2*{row}", 15: 10 11),
                    "add {a}, {word}",
                    "add {three}, {word}",
                    "add {b}, 64",
                    "add {wanted}, {step}",
                    "dec {words}",
                    "jnz 2b",
                    store!($ends, 0 1),
                    store!($ends, 2 3),
                    store!($ends, 4 5),
                    store!($ends, 6 7),
                    store!($ends, 8 9),
                    store!($ends, 10 11),
                    // Code for SSE is slow while upper halves are in use.
                    "vzeroupper",
                    a = inout(reg) left.data => _,
                    three = inout(reg) left.data.add(3 * left.row_stride) => _,
                    b = inout(reg) right => _,
                    out = inout(reg) out => _,
                    wanted = inout(reg) wanted => _,
                    step = const 4 * STEP_WANTED,
                    words = inout(reg) words => _,
                    row = in(reg) left.row_stride * 4,
                    word = in(reg) left.word_stride * 4,
                    stride = in(reg) stride * 4,
                    out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _,
                    out("ymm4") _, out("ymm5") _, out("ymm6") _, out("ymm7") _,
                    out("ymm8") _, out("ymm9") _, out("ymm10") _, out("ymm11") _,
                    out("ymm12") _, out("ymm13") _, out("ymm14") _, out("ymm15") _,
                    options(nostack),
                );
            }
        }
    };
}

kernel!(tile, plain);
kernel!(added_tile, adding);
