//! Sample variances of the inputs of linear layers: (Σ x² − (Σ x)²/N) / (N − 1), from the sums of `mean` and `norm`.
use super::sites::Channels;

/// Of sums and sums of squares over `num_tokens` tokens. Rounding may not make one negative; one token has none: 0.
pub fn of(sums: &Channels, squares: &Channels, num_tokens: u64) -> Channels {
    let n = num_tokens as f64;
    let variance = |sum: f64, squares: f64| ((squares - sum * sum / n) / (n - 1.0)).max(0.0);
    sums.zip(squares, |sum, squares| if num_tokens > 1 { variance(sum, squares) } else { 0.0 })
}
