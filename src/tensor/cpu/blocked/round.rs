//! Rounding to bf16 as `VCVTNEPS2BF16` does: to the nearest, ties to even, subnormals to ±0, NaNs kept as quiet ones.

/// The bits of `x` in bf16.
#[inline(always)]
pub fn round(x: f32) -> u32 {
    let bits = x.to_bits();
    let magnitude = bits & 0x7fff_ffff;
    let nearest = bits.wrapping_add(0x7fff).wrapping_add(bits >> 16 & 1) >> 16;
    let quiet = bits >> 16 | 0x40;
    let zero = bits >> 16 & 0x8000;
    let finite = if magnitude > 0x7f80_0000 { quiet } else { nearest };
    if magnitude < 0x0080_0000 { zero } else { finite }
}

/// A pair of neighbours along k, the first in the low half.
#[inline(always)]
pub fn pair(first: f32, second: f32) -> u32 {
    round(first) | round(second) << 16
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::bf16;

    #[test]
    fn as_the_half_crate_rounds_but_for_subnormals() {
        let mut bits = 0u32;
        loop {
            let x = f32::from_bits(bits);
            let (ours, theirs) = (round(x), u32::from(bf16::from_f32(x).to_bits()));
            if x.is_subnormal() {
                assert_eq!(ours, (bits >> 31) << 15, "{bits:08x}");
            } else {
                assert_eq!(ours, theirs, "{bits:08x}");
            }
            // Not a power of two, so that all low bits occur.
            match bits.checked_add(4_093) {
                Some(next) => bits = next,
                None => break,
            }
        }
        for x in
            [1.0f32, 1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0, f32::MAX, f32::INFINITY, -0.0, f32::MIN_POSITIVE]
        {
            assert_eq!(round(x), u32::from(bf16::from_f32(x).to_bits()), "{x}");
        }
        assert_eq!(pair(1.0, -2.0), 0xc000_3f80);
    }
}
