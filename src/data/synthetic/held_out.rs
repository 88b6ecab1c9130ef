//! What the text never holds: decided cell by cell from a hash, so that no list of them is kept and any number of
//! entities takes no memory.
//!
//! ```text
//! u(parts) = SplitMix64 of the key and the parts, one after another, as a number in [0, 1)
//! a cell is held out when u < share
//! ```
//! Source of the mixing function: Steele, Lea and Flood 2014, *Fast splittable pseudorandom number generators*.
use crate::base::random::stream;
use rand::RngExt;

/// Hold-outs of one table under one seed.
pub(super) struct HeldOut {
    key: u64,
}

impl HeldOut {
    pub fn new(seed: u64, table: &str) -> Self {
        HeldOut { key: stream(seed, &format!("synthetic/held_out/{table}")).random() }
    }

    /// A number in [0, 1) that is a function of the parts.
    pub fn unit(&self, parts: &[usize]) -> f64 {
        let mixed = parts.iter().fold(self.key, |state, &part| mix(state ^ mix(part as u64)));
        (mixed >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Whether the cell belongs to the `share` that is held out.
    pub fn holds(&self, share: f64, parts: &[usize]) -> bool {
        self.unit(parts) < share
    }
}

fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_met_and_seed_order_and_table_matter() {
        let held = HeldOut::new(1, "a");
        let cells = (0..100).flat_map(|a| (0..100).map(move |b| [a, b]));
        let share = cells.filter(|cell| held.holds(0.3, cell)).count() as f64 / 1e4;
        // Five standard errors.
        assert!((share - 0.3).abs() < 0.023, "{share}");
        assert_eq!(held.unit(&[1, 2]), HeldOut::new(1, "a").unit(&[1, 2]));
        for other in
            [held.unit(&[2, 1]), HeldOut::new(2, "a").unit(&[1, 2]), HeldOut::new(1, "b").unit(&[1, 2])]
        {
            assert_ne!(held.unit(&[1, 2]), other);
        }
    }
}
