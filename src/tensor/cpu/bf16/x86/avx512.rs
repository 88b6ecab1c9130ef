//! Tiles by `VDPBF16PS`: sums stay in registers, a pair of the left operand is broadcast to a vector of columns.
use crate::tensor::cpu::bf16::pack::LeftTile;
use std::arch::asm;

/// One row of a step: its pair into register `$a`, then every sum of the row.
macro_rules! row {
    ($at:literal, $a:literal: $($sum:literal $b:literal),*) => {
        concat!("vpbroadcastd zmm", $a, ", dword ptr [", $at, "]\n",
            $("vdpbf16ps zmm", $sum, ", zmm", $b, ", zmm", $a, "\n",)*)
    };
}

/// Sums to zero.
macro_rules! clear {
    ($($sum:literal)*) => { concat!($("vpxord zmm", $sum, ", zmm", $sum, ", zmm", $sum, "\n",)*) };
}

/// One row of sums to memory, and on to the next.
macro_rules! store {
    ($($sum:literal $at:literal),*) => {
        concat!($("vmovups zmmword ptr [{out}", $at, "], zmm", $sum, "\n",)* "add {out}, {stride}\n")
    };
}

/// A kernel: `$clear`, then for every pair the vectors of the right operand, the rows, and on; then the stores. Rows 0 to 4
/// and 6 are addressed from the left operand's pointer, rows 5 and 7 from another five rows on.
macro_rules! kernel {
    ($name:ident, $width:literal, [$($clear:expr),*], [$($load:expr),*], [$($row:expr),*], [$($store:expr),*]) => {
        #[inline(always)]
        unsafe fn $name(pairs: usize, left: LeftTile, right: *const u32, out: *mut f32, stride: usize) {
            let row = left.row_stride * 4;
            // SAFETY: the contract of `tile`: all of these lie within the operands; registers are named as clobbered.
            unsafe {
                asm!(
                    $($clear,)*
                    "2:",
                    $($load,)*
                    $($row,)*
                    "add {a}, {pair}",
                    "add {five}, {pair}",
                    concat!("add {b}, ", $width),
                    "dec {pairs}",
                    "jnz 2b",
                    $($store,)*
                    a = inout(reg) left.data => _,
                    five = inout(reg) left.data.add(5 * left.row_stride) => _,
                    b = inout(reg) right => _,
                    out = inout(reg) out => _,
                    pairs = inout(reg) pairs => _,
                    row = in(reg) row,
                    three = in(reg) 3 * row,
                    pair = in(reg) left.pair_stride * 4,
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

kernel!(
    one,
    64,
    [clear!(0 1 2 3 4 5 6 7)],
    ["vmovups zmm24, zmmword ptr [{b}]"],
    [
        row!("{a}", 28: 0 24),
        row!("{a} + {row}", 29: 1 24),
        row!("{a} + 2*{row}", 30: 2 24),
        row!("{a} + {three}", 31: 3 24),
        row!("{a} + 4*{row}", 28: 4 24),
        row!("{five}", 29: 5 24),
        row!("{a} + 2*{three}", 30: 6 24),
        row!("{five} + 2*{row}", 31: 7 24)
    ],
    [
        store!(0 ""),
        store!(1 ""),
        store!(2 ""),
        store!(3 ""),
        store!(4 ""),
        store!(5 ""),
        store!(6 ""),
        store!(7 "")
    ]
);

kernel!(
    two,
    128,
    [clear!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)],
    ["vmovups zmm24, zmmword ptr [{b}]", "vmovups zmm25, zmmword ptr [{b} + 64]"],
    [
        row!("{a}", 28: 0 24, 1 25),
        row!("{a} + {row}", 29: 2 24, 3 25),
        row!("{a} + 2*{row}", 30: 4 24, 5 25),
        row!("{a} + {three}", 31: 6 24, 7 25),
        row!("{a} + 4*{row}", 28: 8 24, 9 25),
        row!("{five}", 29: 10 24, 11 25),
        row!("{a} + 2*{three}", 30: 12 24, 13 25),
        row!("{five} + 2*{row}", 31: 14 24, 15 25)
    ],
    [
        store!(0 "", 1 "+64"),
        store!(2 "", 3 "+64"),
        store!(4 "", 5 "+64"),
        store!(6 "", 7 "+64"),
        store!(8 "", 9 "+64"),
        store!(10 "", 11 "+64"),
        store!(12 "", 13 "+64"),
        store!(14 "", 15 "+64")
    ]
);

kernel!(
    three,
    192,
    [clear!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23)],
    [
        "vmovups zmm24, zmmword ptr [{b}]",
        "vmovups zmm25, zmmword ptr [{b} + 64]",
        "vmovups zmm26, zmmword ptr [{b} + 128]"
    ],
    [
        row!("{a}", 28: 0 24, 1 25, 2 26),
        row!("{a} + {row}", 29: 3 24, 4 25, 5 26),
        row!("{a} + 2*{row}", 30: 6 24, 7 25, 8 26),
        row!("{a} + {three}", 31: 9 24, 10 25, 11 26),
        row!("{a} + 4*{row}", 28: 12 24, 13 25, 14 26),
        row!("{five}", 29: 15 24, 16 25, 17 26),
        row!("{a} + 2*{three}", 30: 18 24, 19 25, 20 26),
        row!("{five} + 2*{row}", 31: 21 24, 22 25, 23 26)
    ],
    [
        store!(0 "", 1 "+64", 2 "+128"),
        store!(3 "", 4 "+64", 5 "+128"),
        store!(6 "", 7 "+64", 8 "+128"),
        store!(9 "", 10 "+64", 11 "+128"),
        store!(12 "", 13 "+64", 14 "+128"),
        store!(15 "", 16 "+64", 17 "+128"),
        store!(18 "", 19 "+64", 20 "+128"),
        store!(21 "", 22 "+64", 23 "+128")
    ]
);

kernel!(
    four,
    256,
    [clear!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23)],
    [
        "vmovups zmm24, zmmword ptr [{b}]",
        "vmovups zmm25, zmmword ptr [{b} + 64]",
        "vmovups zmm26, zmmword ptr [{b} + 128]",
        "vmovups zmm27, zmmword ptr [{b} + 192]"
    ],
    [
        row!("{a}", 28: 0 24, 1 25, 2 26, 3 27),
        row!("{a} + {row}", 29: 4 24, 5 25, 6 26, 7 27),
        row!("{a} + 2*{row}", 30: 8 24, 9 25, 10 26, 11 27),
        row!("{a} + {three}", 31: 12 24, 13 25, 14 26, 15 27),
        row!("{a} + 4*{row}", 28: 16 24, 17 25, 18 26, 19 27),
        row!("{five}", 29: 20 24, 21 25, 22 26, 23 27)
    ],
    [
        store!(0 "", 1 "+64", 2 "+128", 3 "+192"),
        store!(4 "", 5 "+64", 6 "+128", 7 "+192"),
        store!(8 "", 9 "+64", 10 "+128", 11 "+192"),
        store!(12 "", 13 "+64", 14 "+128", 15 "+192"),
        store!(16 "", 17 "+64", 18 "+128", 19 "+192"),
        store!(20 "", 21 "+64", 22 "+128", 23 "+192")
    ]
);

/// See [`crate::tensor::cpu::bf16::kernel::Kernel::tile`]; at least one pair.
#[inline(always)]
pub unsafe fn tile(
    pairs: usize,
    left: LeftTile,
    right: *const u32,
    vectors: usize,
    out: *mut f32,
    stride: usize,
) {
    // SAFETY: the caller's contract.
    unsafe {
        match vectors {
            1 => one(pairs, left, right, out, stride),
            2 => two(pairs, left, right, out, stride),
            3 => three(pairs, left, right, out, stride),
            _ => four(pairs, left, right, out, stride),
        }
    }
}
