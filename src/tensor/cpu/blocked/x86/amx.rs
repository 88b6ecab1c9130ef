//! Tiles by `TDPBF16PS`: 2 × 2 tiles of 16 × 16 sums, 16 pairs a step.
use crate::tensor::cpu::blocked::pack::LeftTile;
use std::arch::asm;
#[cfg(target_os = "linux")]
use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};
use std::mem::MaybeUninit;
use std::sync::LazyLock;

/// Shapes of the eight tile registers: 16 rows of 64 bytes each (palette 1).
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes: [u16; 16],
    rows: [u8; 16],
}

static CONFIGURATION: Configuration = Configuration {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// Whether the processor has AMX and the system lets this process use its tiles.
pub fn is_usable() -> bool {
    static USABLE: LazyLock<bool> = LazyLock::new(ask);
    *USABLE
}

/// CPUID leaf 7: EDX bits 22 (AMX-BF16) and 24 (AMX-TILE); XCR0 bits 17 and 18: the system saves tiles; then its permission,
/// which holds for all threads.
#[cfg(target_os = "linux")]
fn ask() -> bool {
    const BF16_AND_TILE: u32 = 1 << 22 | 1 << 24;
    const OSXSAVE: u32 = 1 << 27;
    const TILES: u64 = 3 << 17;
    #[target_feature(enable = "xsave")]
    fn saved() -> u64 {
        // SAFETY: register 0 exists wherever the instruction does.
        unsafe { _xgetbv(0) }
    }
    if __cpuid(0).eax < 7 || __cpuid(1).ecx & OSXSAVE == 0 || !is_x86_feature_detected!("xsave") {
        return false;
    }
    // SAFETY: the instruction is there.
    let saves = unsafe { saved() } & TILES == TILES;
    __cpuid_count(7, 0).edx & BF16_AND_TILE == BF16_AND_TILE && saves && permission()
}

#[cfg(not(target_os = "linux"))]
fn ask() -> bool {
    false
}

/// `arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)` (Linux, Documentation/arch/x86/xstate.rst).
#[cfg(target_os = "linux")]
fn permission() -> bool {
    const ARCH_PRCTL: usize = 158;
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const XFEATURE_XTILEDATA: usize = 18;
    let mut result = ARCH_PRCTL;
    // SAFETY: a system call that touches no memory of ours.
    unsafe {
        asm!(
            "syscall",
            inout("rax") result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    result == 0
}

/// Runs `work` with the tile registers of this thread set up, and lets go of them.
pub fn with_tiles<R>(work: impl FnOnce() -> R) -> R {
    // SAFETY: the configuration is 64 valid bytes. Nothing else uses tiles, and what moves a thread saves them.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const CONFIGURATION, options(nostack, readonly)) };
    let result = work();
    // SAFETY: as above.
    unsafe { asm!("tilerelease", options(nostack, nomem)) };
    result
}

/// See [`crate::tensor::cpu::blocked::kernel::Kernel::tile`]; at least 16 pairs, rows of the left operand one by one, a panel of
/// 32 columns.
#[inline(always)]
pub unsafe fn tile(
    pairs: usize,
    left: LeftTile,
    right: *const u32,
    out: *mut f32,
    stride: usize,
    wanted: *const u32,
) {
    // SAFETY: the caller's contract.
    unsafe { tile_to(pairs, left, right, (out, stride), (out, stride), wanted) };
}

/// Words of what is wanted next that a step asks for: a quarter of those of the right operand that it takes.
pub const STEP_WANTED: usize = 128;

/// Sums of a tile on their way.
#[repr(align(64))]
struct Sums([MaybeUninit<f32>; SIDE * SIDE]);

/// Rows and columns of the sums.
const SIDE: usize = 32;

/// As [`tile`], added to what stands there.
#[inline(always)]
pub unsafe fn added_tile(
    pairs: usize,
    left: LeftTile,
    right: *const u32,
    out: *mut f32,
    stride: usize,
    wanted: *const u32,
) {
    let mut sums = Sums([const { MaybeUninit::uninit() }; SIDE * SIDE]);
    let from = sums.0.as_mut_ptr().cast::<f32>();
    // SAFETY: the caller's contract; every sum is written before it is read.
    unsafe {
        tile_to(pairs, left, right, (from, SIDE), (out, stride), wanted);
        asm!(
            "2:",
            "vmovups zmm0, zmmword ptr [{from}]",
            "vmovups zmm1, zmmword ptr [{from} + 64]",
            "vaddps zmm0, zmm0, zmmword ptr [{out}]",
            "vaddps zmm1, zmm1, zmmword ptr [{out} + 64]",
            "vmovups zmmword ptr [{out}], zmm0",
            "vmovups zmmword ptr [{out} + 64], zmm1",
            "add {from}, 128",
            "add {out}, {stride}",
            "dec {rows}",
            "jnz 2b",
            "vzeroupper",
            from = inout(reg) from => _,
            out = inout(reg) out => _,
            rows = inout(reg) SIDE => _,
            stride = in(reg) stride * 4,
            out("zmm0") _, out("zmm1") _,
            options(nostack),
        );
    }
}

/// [`tile`] to rows of `out`. Two rows a step of where the sums go in the end, `soon`, are asked for meanwhile: lines that
/// come from afar would hold up the stores. So are [`STEP_WANTED`] words a step from `wanted` on, for the second cache.
#[inline(always)]
unsafe fn tile_to(
    pairs: usize,
    left: LeftTile,
    right: *const u32,
    (out, stride): (*mut f32, usize),
    (soon, soon_stride): (*mut f32, usize),
    wanted: *const u32,
) {
    let row = left.row_stride * 4;
    // SAFETY: the caller's contract: 32 rows and 32 columns lie within the operands; what is asked for is a hint.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            "tileloadd tmm4, [{upper} + {row}*1]",
            "tileloadd tmm6, [{b} + {line}*1]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "prefetchw byte ptr [{soon}]",
            "prefetchw byte ptr [{soon} + 64]",
            "tileloadd tmm7, [{b} + {line}*1 + 64]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "add {soon}, {soon_stride}",
            "prefetcht1 byte ptr [{wanted}]",
            "prefetcht1 byte ptr [{wanted} + 64]",
            "prefetcht1 byte ptr [{wanted} + 128]",
            "prefetcht1 byte ptr [{wanted} + 192]",
            "tileloadd tmm5, [{lower} + {row}*1]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "prefetchw byte ptr [{soon}]",
            "prefetchw byte ptr [{soon} + 64]",
            "prefetcht1 byte ptr [{wanted} + 256]",
            "prefetcht1 byte ptr [{wanted} + 320]",
            "prefetcht1 byte ptr [{wanted} + 384]",
            "prefetcht1 byte ptr [{wanted} + 448]",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {soon}, {soon_stride}",
            "add {wanted}, 512",
            "add {upper}, 64",
            "add {lower}, 64",
            "add {b}, 2048",
            "dec {steps}",
            "jnz 2b",
            "tilestored [{out} + {stride}*1], tmm0",
            "tilestored [{out} + {stride}*1 + 64], tmm1",
            "tilestored [{below} + {stride}*1], tmm2",
            "tilestored [{below} + {stride}*1 + 64], tmm3",
            upper = inout(reg) left.data => _,
            lower = inout(reg) left.data.add(16 * left.row_stride) => _,
            b = inout(reg) right => _,
            steps = inout(reg) pairs / 16 => _,
            row = in(reg) row,
            line = in(reg) 128usize,
            out = in(reg) out,
            below = in(reg) out.add(16 * stride),
            stride = in(reg) stride * 4,
            soon = inout(reg) soon => _,
            soon_stride = in(reg) soon_stride * 4,
            wanted = inout(reg) wanted => _,
            options(nostack),
        );
    }
}
