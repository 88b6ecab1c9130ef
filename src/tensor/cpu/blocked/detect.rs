//! Which instructions for products this processor and its operating system have.
use super::kernel::{Kernel, Kind};
use super::product::matmul;
use crate::base::precision::CpuBf16;
use crate::tensor::{Matrix, Product};
use std::sync::LazyLock;

/// The faster of those that are there; `None` where products in bf16 would be slower than in f32.
pub fn best() -> Option<CpuBf16> {
    [CpuBf16::AmxBf16, CpuBf16::Avx512Bf16].into_iter().find(|kind| has((*kind).into()))
}

/// The name of `kind`, and whether this processor has to emulate it.
pub fn describe(kind: CpuBf16) -> String {
    let emulated = if has(kind.into()) { "" } else { ", emulated" };
    format!("{}{emulated}", kind.name())
}

/// Whether products of `kind` run as instructions: the processor and the system have them, and they give the bits of
/// their emulation here.
pub fn has(kind: Kind) -> bool {
    static F32: LazyLock<bool> = LazyLock::new(|| is_there_and_right(Kind::F32));
    static F32_WIDE: LazyLock<bool> = LazyLock::new(|| is_there_and_right(Kind::F32Wide));
    static AVX512: LazyLock<bool> = LazyLock::new(|| is_there_and_right(CpuBf16::Avx512Bf16.into()));
    static AMX: LazyLock<bool> = LazyLock::new(|| is_there_and_right(CpuBf16::AmxBf16.into()));
    match kind {
        Kind::F32 => *F32,
        Kind::F32Wide => *F32_WIDE,
        Kind::Bf16(CpuBf16::Avx512Bf16) => *AVX512,
        Kind::Bf16(CpuBf16::AmxBf16) => *AMX,
    }
}

fn is_there_and_right(kind: Kind) -> bool {
    if !is_there(kind) {
        return false;
    }
    let is_right = agrees(Kernel::by_instructions(kind), Kernel::emulated(kind));
    if !is_right {
        eprintln!(
            "warning: {} of this processor gives other bits than its manual says, and is not used\n\
             hint: please report it with the line `model name` of /proc/cpuinfo",
            kind.name()
        );
    }
    is_right
}

/// Several chains; several tiles and panels. Too little for other threads: what one of them might be handed while it waits
/// could ask for the very answer that is being found.
pub(super) const SHAPES: [(usize, usize, usize); 3] = [(13, 35, 549), (40, 83, 70), (5, 15, 2070)];

/// Whether two kernels give the same bits: products in every layout, with edges, two chains, and values of many sizes.
pub(super) fn agrees(one: Kernel, other: Kernel) -> bool {
    let matrix = |rows: usize, cols: usize| {
        let value = |i: usize| {
            let x = ((i * 7919 + 13 * rows) % 2003) as f32 / 1001.5 - 1.0;
            if i.is_multiple_of(29) { x * 1e-38 } else { x }
        };
        Matrix { rows, cols, data: (0..rows * cols).map(value).collect() }
    };
    SHAPES.into_iter().all(|(m, n, k)| {
        [Product::NT, Product::NN, Product::TN].into_iter().all(|product| {
            let (a, b) = match product {
                Product::NT => (matrix(m, k), matrix(n, k)),
                Product::NN => (matrix(m, k), matrix(k, n)),
                Product::TN => (matrix(k, m), matrix(k, n)),
            };
            let [first, second] = [one, other].map(|kernel| {
                let mut c = matrix(m, n);
                matmul(kernel, product, &mut c, false, &a, &b);
                c.data.iter().map(|x| x.to_bits()).collect::<Vec<u32>>()
            });
            first == second
        })
    })
}

#[cfg(target_arch = "x86_64")]
fn is_there(kind: Kind) -> bool {
    match kind {
        Kind::F32 => super::x86::avx2::is_there(),
        Kind::F32Wide => super::x86::avx2::is_there() && is_x86_feature_detected!("avx512f"),
        Kind::Bf16(CpuBf16::Avx512Bf16) => {
            is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512bf16")
        }
        // Every such processor has AVX-512 BF16, by which operands are rounded.
        Kind::Bf16(CpuBf16::AmxBf16) => is_there(CpuBf16::Avx512Bf16.into()) && super::x86::amx::is_usable(),
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn is_there(_: Kind) -> bool {
    false
}
