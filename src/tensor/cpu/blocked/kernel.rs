//! The innermost piece of a product: a few rows of the left operand times one panel of the right one.
use super::pack::{LeftTile, PANEL_ROWS, SIX};
use super::{VECTOR, detect, emulated};
use crate::base::precision::CpuBf16;

/// What the operands are, and in which order products are summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// f32, in tiles for the sixteen registers of AVX2
    F32,
    /// f32, in tiles for the 32 registers of AVX-512: the bits of [`Kind::F32`]
    F32Wide,
    Bf16(CpuBf16),
}

impl From<CpuBf16> for Kind {
    fn from(kind: CpuBf16) -> Self {
        Kind::Bf16(kind)
    }
}

impl Kind {
    /// Elements along k in a word of a packed operand.
    pub fn elements(self) -> usize {
        match self {
            Kind::F32 | Kind::F32Wide => 1,
            Kind::Bf16(_) => 2,
        }
    }

    /// The instruction, as `doctor` and warnings name it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::F32 => "avx2",
            Kind::F32Wide => "avx512",
            Kind::Bf16(kind) => kind.name(),
        }
    }
}

/// How products are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel {
    pub kind: Kind,
    /// By the instruction itself, operands rounded by an instruction, too; else by its emulation, which gives the same bits.
    pub is_hardware: bool,
}

/// Most rows and most elements of a tile: 32 × 32 of AMX.
pub const MOST_TILE_ROWS: usize = 32;
pub const TILE: usize = 1024;

impl Kernel {
    /// Products of `kind`: by instructions where the processor has them.
    pub fn new(kind: impl Into<Kind>) -> Self {
        let kind = kind.into();
        Kernel { kind, is_hardware: detect::has(kind) }
    }

    /// Products in f32 by the widest vectors of this processor; `None` where it has no fused multiply-adds of 256 bits.
    pub fn f32() -> Option<Self> {
        [Kind::F32Wide, Kind::F32].into_iter().find(|kind| detect::has(*kind)).map(Kernel::by_instructions)
    }

    /// Products of `kind` in plain f32 arithmetic.
    pub fn emulated(kind: impl Into<Kind>) -> Self {
        Kernel { kind: kind.into(), is_hardware: false }
    }

    /// Products of `kind` by instructions, which the processor must have, or (in tests) a handler of traps.
    pub fn by_instructions(kind: impl Into<Kind>) -> Self {
        Kernel { kind: kind.into(), is_hardware: true }
    }

    /// Words of one chain of sums along k: a panel of them and the rows of a tile stay in the first cache. Those of tiles come
    /// from the second one as fast as they are multiplied; they are long, since sums that are added cost more than these.
    pub fn chain_words(self) -> usize {
        if self.kind == Kind::Bf16(CpuBf16::AmxBf16) { 1024 } else { 256 }
    }

    /// Words of `k` elements; with padding, where the instruction takes a fixed number.
    pub fn padded_words(self, k: usize) -> usize {
        match self.kind {
            Kind::F32 | Kind::F32Wide => k,
            Kind::Bf16(CpuBf16::Avx512Bf16) => k.div_ceil(2),
            Kind::Bf16(CpuBf16::AmxBf16) => k.div_ceil(32) * 16,
        }
    }

    /// Words that one step of the instruction takes.
    pub fn word_step(self) -> usize {
        if self.kind == Kind::Bf16(CpuBf16::AmxBf16) { 16 } else { 1 }
    }

    /// Whether a left operand may stand in panels; else its rows stand one by one.
    pub fn reads_panels(self) -> bool {
        self.kind != Kind::Bf16(CpuBf16::AmxBf16)
    }

    /// Rows of a panel of a left operand: a divisor of the largest, and a multiple of the rows of all tiles.
    pub fn left_panel_rows(self) -> usize {
        if self.kind == Kind::F32 { SIX } else { PANEL_ROWS }
    }

    /// Vectors of a panel of a right operand of `columns` columns.
    pub fn panel_vectors(self, columns: usize) -> usize {
        match self.kind {
            Kind::F32 => 1,
            Kind::Bf16(CpuBf16::AmxBf16) => 2,
            // 24 sums either way: 8 rows of 3 vectors, or 6 of 4 where those fit better.
            _ if columns.is_multiple_of(3 * VECTOR) => 3,
            _ => columns.div_ceil(VECTOR).clamp(1, 4),
        }
    }

    /// Vectors of all panels of `columns` columns together.
    pub fn padded_vectors(self, columns: usize) -> usize {
        match self.kind {
            Kind::Bf16(CpuBf16::AmxBf16) => 2 * columns.div_ceil(2 * VECTOR),
            _ => columns.div_ceil(VECTOR),
        }
    }

    /// Rows of a tile with panels of `vectors`.
    pub fn tile_rows(self, vectors: usize) -> usize {
        match (self.kind, vectors) {
            (Kind::Bf16(CpuBf16::AmxBf16), _) => 32,
            (Kind::F32, _) | (_, 4) => 6,
            _ => 8,
        }
    }

    /// Words that a tile over `words` words asks for, see [`Self::tile`].
    pub fn words_wanted(self, words: usize) -> usize {
        #[cfg(not(target_arch = "x86_64"))]
        const EACH: [usize; 3] = [0; 3];
        #[cfg(target_arch = "x86_64")]
        const EACH: [usize; 3] =
            [super::x86::avx2::STEP_WANTED, super::x86::avx512::STEP_WANTED, super::x86::amx::STEP_WANTED];
        let each = match self.kind {
            Kind::F32 => EACH[0],
            Kind::F32Wide | Kind::Bf16(CpuBf16::Avx512Bf16) => EACH[1],
            Kind::Bf16(CpuBf16::AmxBf16) => EACH[2],
        };
        words / self.word_step() * each
    }

    /// Does `work`, which calls [`Self::tile`] on this thread alone.
    pub fn with_tiles<R>(self, work: impl FnOnce() -> R) -> R {
        #[cfg(target_arch = "x86_64")]
        if self.is_hardware && self.kind == Kind::Bf16(CpuBf16::AmxBf16) {
            return super::x86::amx::with_tiles(work);
        }
        work()
    }

    /// `out ← A B` of [`Self::tile_rows`] rows and one panel over `words` words, a chain that starts at 0; `out` has rows
    /// `stride` elements apart. What stands from `wanted` on is asked for meanwhile, where that helps: any address will do.
    ///
    /// # Safety
    /// Within [`Self::with_tiles`]; operands and `out` are valid for those shapes, `vectors` is one to four, and the words
    /// are padded.
    #[inline(always)]
    pub unsafe fn tile(
        self,
        words: usize,
        left: LeftTile,
        right: *const u32,
        vectors: usize,
        (out, stride): (*mut f32, usize),
        wanted: *const u32,
    ) {
        #[cfg(not(target_arch = "x86_64"))]
        let _ = wanted;
        // SAFETY: the caller's contract.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            if self.is_hardware {
                use super::x86::{amx, avx2, avx512};
                match self.kind {
                    Kind::F32 => avx2::tile(words, left, right, (out, stride), wanted),
                    Kind::F32Wide => avx512::in_f32::tile(words, left, right, vectors, (out, stride), wanted),
                    Kind::Bf16(CpuBf16::Avx512Bf16) => {
                        avx512::in_bf16::tile(words, left, right, vectors, (out, stride), wanted);
                    }
                    Kind::Bf16(CpuBf16::AmxBf16) => amx::tile(words, left, right, out, stride, wanted),
                }
                return;
            }
            let shape = (self.tile_rows(vectors), vectors);
            #[cfg(target_arch = "x86_64")]
            if let Kind::Bf16(kind) = self.kind
                && super::x86::fma::is_there()
            {
                use super::x86::fma;
                match kind {
                    CpuBf16::Avx512Bf16 => fma::chain(shape, words, left, right, out, stride),
                    CpuBf16::AmxBf16 => fma::tiles(shape, words, left, right, out, stride),
                }
                return;
            }
            match self.kind {
                Kind::F32 | Kind::F32Wide => emulated::f32_chain(shape, words, left, right, out, stride),
                Kind::Bf16(CpuBf16::Avx512Bf16) => emulated::chain(shape, words, left, right, out, stride),
                Kind::Bf16(CpuBf16::AmxBf16) => emulated::tiles(shape, words, left, right, out, stride),
            }
        }
    }

    /// `out ← out + A B`, the chain of [`Self::tile`] added; whether it was done, which an emulation does not.
    ///
    /// # Safety
    /// As [`Self::tile`].
    #[inline(always)]
    pub unsafe fn added_tile(
        self,
        words: usize,
        left: LeftTile,
        right: *const u32,
        vectors: usize,
        (out, stride): (*mut f32, usize),
        wanted: *const u32,
    ) -> bool {
        #[cfg(not(target_arch = "x86_64"))]
        let _ = wanted;
        #[cfg(target_arch = "x86_64")]
        if self.is_hardware {
            use super::x86::{amx, avx2, avx512};
            // SAFETY: the caller's contract.
            unsafe {
                match self.kind {
                    Kind::F32 => avx2::added_tile(words, left, right, (out, stride), wanted),
                    Kind::F32Wide => {
                        avx512::added_in_f32::tile(words, left, right, vectors, (out, stride), wanted)
                    }
                    Kind::Bf16(CpuBf16::Avx512Bf16) => {
                        avx512::added_in_bf16::tile(words, left, right, vectors, (out, stride), wanted);
                    }
                    Kind::Bf16(CpuBf16::AmxBf16) => amx::added_tile(words, left, right, out, stride, wanted),
                }
            }
            return true;
        }
        false
    }
}
