//! The innermost piece of a product: a few rows of the left operand times one panel of the right one.
use super::pack::LeftTile;
use super::{VECTOR, detect, emulated};
use crate::base::precision::CpuBf16;

/// How products in bf16 are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel {
    pub kind: CpuBf16,
    /// By the instruction itself, operands rounded by an instruction, too; else by its emulation, which gives the same bits.
    pub is_hardware: bool,
}

/// Most rows and most elements of a tile: 32 × 32 of AMX.
pub const MOST_TILE_ROWS: usize = 32;
pub const TILE: usize = 1024;

impl Kernel {
    /// Products of `kind`: by instructions where the processor has them.
    pub fn new(kind: CpuBf16) -> Self {
        Kernel { kind, is_hardware: detect::has(kind) }
    }

    /// Products of `kind` in plain f32 arithmetic.
    pub fn emulated(kind: CpuBf16) -> Self {
        Kernel { kind, is_hardware: false }
    }

    /// Products of `kind` by instructions, which the processor must have, or (in tests) a handler of traps.
    pub fn by_instructions(kind: CpuBf16) -> Self {
        Kernel { kind, is_hardware: true }
    }

    /// Pairs of `k` elements; with padding, where the instruction takes a fixed number.
    pub fn padded_pairs(self, k: usize) -> usize {
        match self.kind {
            CpuBf16::Avx512Bf16 => k.div_ceil(2),
            CpuBf16::AmxBf16 => k.div_ceil(32) * 16,
        }
    }

    /// Whether a left operand may stand in panels; else its rows stand one by one.
    pub fn reads_panels(self) -> bool {
        self.kind == CpuBf16::Avx512Bf16
    }

    /// Vectors of a panel of a right operand of `columns` columns.
    pub fn panel_vectors(self, columns: usize) -> usize {
        match self.kind {
            // 24 sums either way: 8 rows of 3 vectors, or 6 of 4 where those fit better.
            CpuBf16::Avx512Bf16 if columns.is_multiple_of(3 * VECTOR) => 3,
            CpuBf16::Avx512Bf16 => columns.div_ceil(VECTOR).clamp(1, 4),
            CpuBf16::AmxBf16 => 2,
        }
    }

    /// Vectors of all panels of `columns` columns together.
    pub fn padded_vectors(self, columns: usize) -> usize {
        match self.kind {
            CpuBf16::Avx512Bf16 => columns.div_ceil(VECTOR),
            CpuBf16::AmxBf16 => 2 * columns.div_ceil(2 * VECTOR),
        }
    }

    /// Rows of a tile with panels of `vectors`.
    pub fn tile_rows(self, vectors: usize) -> usize {
        match (self.kind, vectors) {
            (CpuBf16::AmxBf16, _) => 32,
            (CpuBf16::Avx512Bf16, 4) => 6,
            (CpuBf16::Avx512Bf16, _) => 8,
        }
    }

    /// Does `work`, which calls [`Self::tile`] on this thread alone.
    pub fn with_tiles<R>(self, work: impl FnOnce() -> R) -> R {
        #[cfg(target_arch = "x86_64")]
        if self.is_hardware && self.kind == CpuBf16::AmxBf16 {
            return super::x86::amx::with_tiles(work);
        }
        work()
    }

    /// `out ← A B` of [`Self::tile_rows`] rows and one panel over `pairs` pairs, a chain that starts at 0; `out` has rows
    /// `stride` elements apart.
    ///
    /// # Safety
    /// Within [`Self::with_tiles`]; operands and `out` are valid for those shapes, `vectors` is one to four, and the pairs
    /// are padded.
    #[inline(always)]
    pub unsafe fn tile(
        self,
        pairs: usize,
        left: LeftTile,
        right: *const u32,
        vectors: usize,
        out: *mut f32,
        stride: usize,
    ) {
        // SAFETY: the caller's contract.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            if self.is_hardware {
                match self.kind {
                    CpuBf16::Avx512Bf16 => super::x86::avx512::tile(pairs, left, right, vectors, out, stride),
                    CpuBf16::AmxBf16 => super::x86::amx::tile(pairs, left, right, out, stride),
                }
                return;
            }
            let rows = self.tile_rows(vectors);
            #[cfg(target_arch = "x86_64")]
            if super::x86::fma::is_there() {
                use super::x86::fma;
                match self.kind {
                    CpuBf16::Avx512Bf16 => fma::chain((rows, vectors), pairs, left, right, out, stride),
                    CpuBf16::AmxBf16 => fma::tiles((rows, vectors), pairs, left, right, out, stride),
                }
                return;
            }
            match self.kind {
                CpuBf16::Avx512Bf16 => emulated::chain((rows, vectors), pairs, left, right, out, stride),
                CpuBf16::AmxBf16 => emulated::tiles((rows, vectors), pairs, left, right, out, stride),
            }
        }
    }
}
