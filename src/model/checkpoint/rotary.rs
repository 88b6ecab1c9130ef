//! Order of the rows of a query or key projection within each head.
//!
//! ```text
//! Hugging Face, this crate   half-split     RoPE turns the pairs (p, p + h/2)
//! llama2.c, llama.cpp        interleaved    RoPE turns the pairs (2p, 2p + 1)
//! ```
//!
//! Reordering the rows of both q and k leaves every attention score as it was.

/// Row of the interleaved matrix that stands at `row` of the half-split one; h is even.
fn interleaved_row(row: usize, h: usize) -> usize {
    row / h * h + 2 * (row % h % (h / 2)) + row % h / (h / 2)
}

/// Rows of `cols` elements from interleaved to half-split order.
pub(super) fn to_half_split<T: Copy>(interleaved: &[T], cols: usize, h: usize) -> Vec<T> {
    let rows = interleaved.len() / cols;
    (0..rows).flat_map(|row| interleaved[interleaved_row(row, h) * cols..][..cols].iter().copied()).collect()
}

/// Rows of `cols` elements from half-split to interleaved order.
pub(super) fn to_interleaved<T: Copy>(halves: &[T], cols: usize, h: usize) -> Vec<T> {
    let mut interleaved = halves.to_vec();
    for (row, values) in halves.chunks_exact(cols).enumerate() {
        interleaved[interleaved_row(row, h) * cols..][..cols].copy_from_slice(values);
    }
    interleaved
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One head of h = 6: pairs (0, 3), (1, 4), (2, 5) become neighbours.
    #[test]
    fn pairs_become_neighbours_and_come_back() {
        let halves = [0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15];
        let interleaved = to_interleaved(&halves, 1, 6);
        assert_eq!(interleaved, [0, 3, 1, 4, 2, 5, 10, 13, 11, 14, 12, 15]);
        assert_eq!(to_half_split(&interleaved, 1, 6), halves);
    }
}
