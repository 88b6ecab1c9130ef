//! Which bf16 instructions this processor and its operating system have.
use crate::base::precision::CpuBf16;

/// The faster of those that are there; `None` where products in bf16 would be slower than in f32.
pub fn best() -> Option<CpuBf16> {
    [CpuBf16::AmxBf16, CpuBf16::Avx512Bf16].into_iter().find(|kind| has(*kind))
}

/// The name of `kind`, and whether this processor has to emulate it.
pub fn describe(kind: CpuBf16) -> String {
    let emulated = if has(kind) { "" } else { ", emulated" };
    format!("{}{emulated}", kind.name())
}

/// Whether products of `kind` run as instructions.
#[cfg(target_arch = "x86_64")]
pub fn has(kind: CpuBf16) -> bool {
    match kind {
        CpuBf16::Avx512Bf16 => is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16"),
        CpuBf16::AmxBf16 => super::x86::amx::is_usable(),
    }
}

#[cfg(not(target_arch = "x86_64"))]
pub fn has(_: CpuBf16) -> bool {
    false
}
