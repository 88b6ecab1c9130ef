//! Tiles by `VDPBF16PS`, or by `VFMADD231PS` in f32: sums stay in registers, a word of the left operand is broadcast to a vector of
//! columns.
use crate::tensor::cpu::blocked::pack::LeftTile;
use std::arch::asm;

/// Words that each step over k asks the second cache for: half a cache line, so that the tiles of a panel ask for the next one
/// within 48 rows.
pub const STEP_WANTED: usize = 8;

/// One row of a step: its pair into register `$a`, then every sum of the row.
macro_rules! row {
    ($add:literal, $at:literal, $a:literal: $($sum:literal $b:literal),*) => {
        concat!("vpbroadcastd zmm", $a, ", dword ptr [", $at, "]\n",
            $($add, " zmm", $sum, ", zmm", $b, ", zmm", $a, "\n",)*)
    };
}

/// The vectors of the right operand of the step that begins `$step` bytes on.
macro_rules! load {
    ($step:literal: $($b:literal $at:literal),*) => {
        concat!($("vmovups zmm", $b, ", zmmword ptr [{b} + ", $step, $at, "]\n",)*)
    };
}

/// Sums to zero.
macro_rules! clear {
    ($($sum:literal)*) => { concat!($("vpxord zmm", $sum, ", zmm", $sum, ", zmm", $sum, "\n",)*) };
}

/// One row of sums to memory, or added to what stands there, and on to the next.
macro_rules! store {
    (plain, $($sum:literal $at:literal),*) => {
        concat!($("vmovups zmmword ptr [{out}", $at, "], zmm", $sum, "\n",)* "add {out}, {stride}\n")
    };
    (adding, $($sum:literal $at:literal),*) => {
        concat!($("vaddps zmm", $sum, ", zmm", $sum, ", zmmword ptr [{out}", $at, "]\n",)*
            store!(plain, $($sum $at),*))
    };
}

/// Asks for one row of the target, and on to the next: it comes while the sums are made.
macro_rules! ask {
    ($($sum:literal $at:literal),*) => {
        concat!($("prefetchw byte ptr [{ahead}", $at, "]\n",)* "add {ahead}, {stride}\n")
    };
}

/// A kernel: `$clear`, and the target asked for, then for every pair the vectors of the right operand, the rows, and on; two pairs
/// a turn, an odd one before them; then the stores. Rows 0 to 4 and 6 are addressed from the left operand's pointer, rows 5 and 7
/// from another five rows on.
macro_rules! kernel {
    (
        $name:ident, $width:literal, [$($clear:expr),*], [$($load:tt)*], [$($row:expr),*],
        [$(($($store:tt)*)),*], $ends:ident
    ) => {
        #[inline(always)]
        unsafe fn $name(
            pairs: usize,
            left: LeftTile,
            right: *const u32,
            (out, stride): (*mut f32, usize),
            wanted: *const u32,
        ) {
            let row = left.row_stride * 4;
            // SAFETY: the contract of `tile`: all of these lie within the operands; registers are named as clobbered.
            unsafe {
                asm!(
                    $($clear,)*
                    "mov {ahead}, {out}",
                    $(ask!($($store)*),)*
                    "shr {pairs}, 1",
                    "jnc 2f",
                    "prefetcht1 byte ptr [{wanted}]",
                    load!(0: $($load)*),
                    $($row,)*
                    "add {a}, {pair}",
                    "add {five}, {pair}",
                    concat!("add {b}, ", $width),
                    "add {wanted}, {step}",
                    "test {pairs}, {pairs}",
                    "2:",
                    "jz 4f",
                    "3:",
                    // The cache line that both steps ask for.
                    "prefetcht1 byte ptr [{wanted}]",
                    load!(0: $($load)*),
                    $($row,)*
                    "add {a}, {pair}",
                    "add {five}, {pair}",
                    load!($width: $($load)*),
                    $($row,)*
                    "add {a}, {pair}",
                    "add {five}, {pair}",
                    concat!("add {b}, 2*", $width),
                    "add {wanted}, 2*{step}",
                    "dec {pairs}",
                    "jnz 3b",
                    "4:",
                    $(store!($ends, $($store)*),)*
                    // Code for SSE is slow while upper halves are in use.
                    "vzeroupper",
                    a = inout(reg) left.data => _,
                    five = inout(reg) left.data.add(5 * left.row_stride) => _,
                    b = inout(reg) right => _,
                    out = inout(reg) out => _,
                    ahead = out(reg) _,
                    wanted = inout(reg) wanted => _,
                    step = const 4 * STEP_WANTED,
                    pairs = inout(reg) pairs => _,
                    row = in(reg) row,
                    three = in(reg) 3 * row,
                    pair = in(reg) left.word_stride * 4,
                    stride = in(reg) stride * 4,
                    out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _,
                    out("zmm4") _, out("zmm5") _, out("zmm6") _, out("zmm7") _,
                    out("zmm8") _, out("zmm9") _, out("zmm10") _, out("zmm11") _,
                    out("zmm12") _, out("zmm13") _, out("zmm14") _, out("zmm15") _,
                    out("zmm16") _, out("zmm17") _, out("zmm18") _, out("zmm19") _,
                    out("zmm20") _, out("zmm21") _, out("zmm22") _, out("zmm23") _,
                    out("zmm24") _, out("zmm25") _, out("zmm26") _, out("zmm27") _,
                    out("zmm28") _, out("zmm29") _, out("zmm30") _, out("zmm31") _,
                    options(nostack),
                );
            }
        }
    };
}

/// The kernels that add products of words to sums by `$add`, and end as `$ends`, in the module `$module`.
macro_rules! kernels {
    ($module:ident, $add:literal, $ends:ident) => {
        pub mod $module {
            use super::*;

kernel!(
    one,
    64,
    [clear!(0 1 2 3 4 5 6 7)],
    [24 ""],
    [
        row!($add, "{a}", 28: 0 24),
        row!($add, "{a} + {row}", 29: 1 24),
        row!($add, "{a} + 2*{row}", 30: 2 24),
        row!($add, "{a} + {three}", 31: 3 24),
        row!($add, "{a} + 4*{row}", 28: 4 24),
        row!($add, "{five}", 29: 5 24),
        row!($add, "{a} + 2*{three}", 30: 6 24),
        row!($add, "{five} + 2*{row}", 31: 7 24)
    ],
    [
        (0 ""),
        (1 ""),
        (2 ""),
        (3 ""),
        (4 ""),
        (5 ""),
        (6 ""),
        (7 "")
    ],
    $ends
);

kernel!(
    two,
    128,
    [clear!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)],
    [24 "", 25 " + 64"],
    [
        row!($add, "{a}", 28: 0 24, 1 25),
        row!($add, "{a} + {row}", 29: 2 24, 3 25),
        row!($add, "{a} + 2*{row}", 30: 4 24, 5 25),
        row!($add, "{a} + {three}", 31: 6 24, 7 25),
        row!($add, "{a} + 4*{row}", 28: 8 24, 9 25),
        row!($add, "{five}", 29: 10 24, 11 25),
        row!($add, "{a} + 2*{three}", 30: 12 24, 13 25),
        row!($add, "{five} + 2*{row}", 31: 14 24, 15 25)
    ],
    [
        (0 "", 1 "+64"),
        (2 "", 3 "+64"),
        (4 "", 5 "+64"),
        (6 "", 7 "+64"),
        (8 "", 9 "+64"),
        (10 "", 11 "+64"),
        (12 "", 13 "+64"),
        (14 "", 15 "+64")
    ],
    $ends
);

kernel!(
    three,
    192,
    [clear!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23)],
    [24 "", 25 " + 64", 26 " + 128"],
    [
        row!($add, "{a}", 28: 0 24, 1 25, 2 26),
        row!($add, "{a} + {row}", 29: 3 24, 4 25, 5 26),
        row!($add, "{a} + 2*{row}", 30: 6 24, 7 25, 8 26),
        row!($add, "{a} + {three}", 31: 9 24, 10 25, 11 26),
        row!($add, "{a} + 4*{row}", 28: 12 24, 13 25, 14 26),
        row!($add, "{five}", 29: 15 24, 16 25, 17 26),
        row!($add, "{a} + 2*{three}", 30: 18 24, 19 25, 20 26),
        row!($add, "{five} + 2*{row}", 31: 21 24, 22 25, 23 26)
    ],
    [
        (0 "", 1 "+64", 2 "+128"),
        (3 "", 4 "+64", 5 "+128"),
        (6 "", 7 "+64", 8 "+128"),
        (9 "", 10 "+64", 11 "+128"),
        (12 "", 13 "+64", 14 "+128"),
        (15 "", 16 "+64", 17 "+128"),
        (18 "", 19 "+64", 20 "+128"),
        (21 "", 22 "+64", 23 "+128")
    ],
    $ends
);

kernel!(
    four,
    256,
    [clear!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23)],
    [24 "", 25 " + 64", 26 " + 128", 27 " + 192"],
    [
        row!($add, "{a}", 28: 0 24, 1 25, 2 26, 3 27),
        row!($add, "{a} + {row}", 29: 4 24, 5 25, 6 26, 7 27),
        row!($add, "{a} + 2*{row}", 30: 8 24, 9 25, 10 26, 11 27),
        row!($add, "{a} + {three}", 31: 12 24, 13 25, 14 26, 15 27),
        row!($add, "{a} + 4*{row}", 28: 16 24, 17 25, 18 26, 19 27),
        row!($add, "{five}", 29: 20 24, 21 25, 22 26, 23 27)
    ],
    [
        (0 "", 1 "+64", 2 "+128", 3 "+192"),
        (4 "", 5 "+64", 6 "+128", 7 "+192"),
        (8 "", 9 "+64", 10 "+128", 11 "+192"),
        (12 "", 13 "+64", 14 "+128", 15 "+192"),
        (16 "", 17 "+64", 18 "+128", 19 "+192"),
        (20 "", 21 "+64", 22 "+128", 23 "+192")
    ],
    $ends
);

/// See [`crate::tensor::cpu::blocked::kernel::Kernel::tile`]; at least one pair.
#[inline(always)]
pub unsafe fn tile(
    pairs: usize,
    left: LeftTile,
    right: *const u32,
    vectors: usize,
    (out, stride): (*mut f32, usize),
    wanted: *const u32,
) {
    // SAFETY: the caller's contract.
    unsafe {
        match vectors {
            1 => one(pairs, left, right, (out, stride), wanted),
            2 => two(pairs, left, right, (out, stride), wanted),
            3 => three(pairs, left, right, (out, stride), wanted),
            _ => four(pairs, left, right, (out, stride), wanted),
        }
    }
}

        }
    };
}

kernels!(in_bf16, "vdpbf16ps", plain);
kernels!(added_in_bf16, "vdpbf16ps", adding);
kernels!(in_f32, "vfmadd231ps", plain);
kernels!(added_in_f32, "vfmadd231ps", adding);
