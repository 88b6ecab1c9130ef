//! The number formats of GGUF tensors, decoded to f32 (`block_*` in ggml's `ggml-common.h`).
//!
//! A row is cut into blocks; each block is decoded by itself. Scales d and minima m are f16. `lo` and `hi` are the low
//! and high four bits of a byte. In Q4 and Q5 formats of 32 weights, byte j holds weight j in `lo` and weight j + 16 in
//! `hi`; the value is computed in f32, in the order written, so that it equals ggml's to the bit.
use half::{bf16, f16};

/// How the elements of a tensor are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types)]
pub(super) enum Format {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4_K,
    Q5_K,
    Q6_K,
}

/// Format, its number in the file, its name, weights and bytes of a block.
const FORMATS: [(Format, u32, &str, usize, usize); 11] = [
    (Format::F32, 0, "F32", 1, 4),
    (Format::F16, 1, "F16", 1, 2),
    (Format::Q4_0, 2, "Q4_0", 32, 18),
    (Format::Q4_1, 3, "Q4_1", 32, 20),
    (Format::Q5_0, 6, "Q5_0", 32, 22),
    (Format::Q5_1, 7, "Q5_1", 32, 24),
    (Format::Q8_0, 8, "Q8_0", 32, 34),
    (Format::Q4_K, 12, "Q4_K", 256, 144),
    (Format::Q5_K, 13, "Q5_K", 256, 176),
    (Format::Q6_K, 14, "Q6_K", 256, 210),
    (Format::BF16, 30, "BF16", 1, 2),
];

impl Format {
    pub(super) fn from_code(code: u32) -> Option<Self> {
        FORMATS.iter().find(|row| row.1 == code).map(|row| row.0)
    }

    fn row(self) -> (Format, u32, &'static str, usize, usize) {
        FORMATS.into_iter().find(|row| row.0 == self).unwrap_or(FORMATS[0])
    }

    pub(super) fn code(self) -> u32 {
        self.row().1
    }

    pub(super) fn name(self) -> &'static str {
        self.row().2
    }

    /// Weights and bytes of one block.
    pub(super) fn block(self) -> (usize, usize) {
        let (.., weights, bytes) = self.row();
        (weights, bytes)
    }

    /// All names with their numbers, for messages.
    pub(super) fn known() -> String {
        FORMATS.map(|(_, code, name, ..)| format!("{name} ({code})")).join(", ")
    }

    /// The weights in `bytes`, which are whole blocks.
    pub(super) fn decode(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Format::F32 => blocks::<4>(bytes, 1, |b, out| out.push(f32::from_le_bytes(*b))),
            Format::F16 => blocks::<2>(bytes, 1, |b, out| out.push(f16::from_le_bytes(*b).to_f32())),
            Format::BF16 => blocks::<2>(bytes, 1, |b, out| out.push(bf16::from_le_bytes(*b).to_f32())),
            Format::Q4_0 => blocks(bytes, 32, q4_0),
            Format::Q4_1 => blocks(bytes, 32, q4_1),
            Format::Q5_0 => blocks(bytes, 32, q5_0),
            Format::Q5_1 => blocks(bytes, 32, q5_1),
            Format::Q8_0 => blocks(bytes, 32, q8_0),
            Format::Q4_K => blocks(bytes, 256, q4_k),
            Format::Q5_K => blocks(bytes, 256, q5_k),
            Format::Q6_K => blocks(bytes, 256, q6_k),
        }
    }
}

/// Decodes block by block of N bytes and `weights` weights.
fn blocks<const N: usize>(
    bytes: &[u8],
    weights: usize,
    decode: impl Fn(&[u8; N], &mut Vec<f32>),
) -> Vec<f32> {
    let (blocks, _) = bytes.as_chunks::<N>();
    let mut out = Vec::with_capacity(blocks.len() * weights);
    blocks.iter().for_each(|block| decode(block, &mut out));
    out
}

/// The f16 at byte `at`.
fn half(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// `lo` of all bytes, then `hi` of all bytes.
fn nibbles(bytes: &[u8]) -> impl Iterator<Item = u8> {
    bytes.iter().map(|b| b & 15).chain(bytes.iter().map(|b| b >> 4))
}

/// Q4_0, 18 bytes: d · 16 × (lo, hi).  w = d · (q − 8)
fn q4_0(block: &[u8; 18], out: &mut Vec<f32>) {
    let d = half(block, 0);
    out.extend(nibbles(&block[2..]).map(|q| d * (f32::from(q) - 8.0)));
}

/// Q4_1, 20 bytes: d · m · 16 × (lo, hi).  w = d · q + m
fn q4_1(block: &[u8; 20], out: &mut Vec<f32>) {
    let (d, m) = (half(block, 0), half(block, 2));
    out.extend(nibbles(&block[4..]).map(|q| d * f32::from(q) + m));
}

/// Q5_0, 22 bytes: d · u32 h · 16 × (lo, hi).  q = nibble + 16 · bit i of h,  w = d · (q − 16)
fn q5_0(block: &[u8; 22], out: &mut Vec<f32>) {
    let (d, high) = (half(block, 0), u32::from_le_bytes([block[2], block[3], block[4], block[5]]));
    let fifth = |i: usize| ((high >> i) & 1) as f32 * 16.0;
    out.extend(nibbles(&block[6..]).enumerate().map(|(i, q)| d * (f32::from(q) + fifth(i) - 16.0)));
}

/// Q5_1, 24 bytes: d · m · u32 h · 16 × (lo, hi).  q = nibble + 16 · bit i of h,  w = d · q + m
fn q5_1(block: &[u8; 24], out: &mut Vec<f32>) {
    let (d, m) = (half(block, 0), half(block, 2));
    let high = u32::from_le_bytes([block[4], block[5], block[6], block[7]]);
    let fifth = |i: usize| ((high >> i) & 1) as f32 * 16.0;
    out.extend(nibbles(&block[8..]).enumerate().map(|(i, q)| d * (f32::from(q) + fifth(i)) + m));
}

/// Q8_0, 34 bytes: d · 32 × i8 q.  w = d · q
fn q8_0(block: &[u8; 34], out: &mut Vec<f32>) {
    let d = half(block, 0);
    out.extend(block[2..].iter().map(|&q| d * f32::from(q as i8)));
}

/// Scales s and minima t, six bits each, of the eight groups of 32 in a K block; `packed` has 12 bytes:
///
/// ```text
/// bytes 0–3   bits 0–5 s₀ … s₃, bits 6–7 the high bits of s₄ … s₇
/// bytes 4–7   bits 0–5 t₀ … t₃, bits 6–7 the high bits of t₄ … t₇
/// bytes 8–11  lo the low bits of s₄ … s₇, hi the low bits of t₄ … t₇
/// ```
fn scale_and_minimum(packed: &[u8], group: usize) -> (f32, f32) {
    let (s, t) = match group {
        0..4 => (packed[group] & 63, packed[group + 4] & 63),
        _ => (
            (packed[group + 4] & 15) | (packed[group - 4] >> 6 << 4),
            (packed[group + 4] >> 4) | (packed[group] >> 6 << 4),
        ),
    };
    (f32::from(s), f32::from(t))
}

/// Q4_K, 144 bytes: d · m · 12 bytes of scales · 4 × 32 bytes; byte set c holds group 2c in `lo`, 2c + 1 in `hi`.
/// w = (d · s) · q − (m · t)
fn q4_k(block: &[u8; 144], out: &mut Vec<f32>) {
    let (d, m, packed) = (half(block, 0), half(block, 2), &block[4..16]);
    for (pair, bytes) in block[16..].chunks(32).enumerate() {
        for (i, q) in nibbles(bytes).enumerate() {
            let (s, t) = scale_and_minimum(packed, 2 * pair + i / 32);
            out.push((d * s) * f32::from(q) - m * t);
        }
    }
}

/// Q5_K, 176 bytes: as Q4_K with 32 bytes h before the nibbles; bit g of h\[i\] is the fifth bit of weight i of group g.
fn q5_k(block: &[u8; 176], out: &mut Vec<f32>) {
    let (d, m, packed, high) = (half(block, 0), half(block, 2), &block[4..16], &block[16..48]);
    for (pair, bytes) in block[48..].chunks(32).enumerate() {
        for (i, q) in nibbles(bytes).enumerate() {
            let group = 2 * pair + i / 32;
            let (s, t) = scale_and_minimum(packed, group);
            let fifth = ((high[i % 32] >> group) & 1) << 4;
            out.push((d * s) * f32::from(q | fifth) - m * t);
        }
    }
}

/// Q6_K, 210 bytes: 128 bytes l · 64 bytes h · 16 × i8 scales s · d. Each half of 128 weights has 64 bytes of l and 32 of
/// h; weight 32k + i of it (k = 0 … 3) has its low bits in `lo` (k < 2) or `hi` of l\[32·(k mod 2) + i\], its high bits in
/// bits 2k, 2k + 1 of h\[i\].  w = (d · s of its group of 16) · (q − 32)
fn q6_k(block: &[u8; 210], out: &mut Vec<f32>) {
    let (low, high, scales, d) = (&block[..128], &block[128..192], &block[192..208], half(block, 208));
    for part in 0..2 {
        let (low, high) = (&low[64 * part..][..64], &high[32 * part..][..32]);
        for (i, q) in nibbles(low).enumerate() {
            let top = (high[i % 32] >> (2 * (i / 32))) & 3;
            let scale = d * f32::from(scales[8 * part + i / 16] as i8);
            out.push(scale * (f32::from(q | top << 4) - 32.0));
        }
    }
}
