//! Arithmetic of the CPU engine over f32 and f64, and the reductions and exponential that vectorise.
//!
//! Loops run inside [`vectorised`], which dispatches at run time to code compiled for AVX-512, AVX2 or the
//! baseline, so one build serves every machine. Reductions keep sixteen partial sums in a fixed order: the
//! compiler may vectorise them, and the result never depends on threads.
use super::super::backend::Scalar;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// dst ← α·dst + β·lhs·rhs on one thread or more, of the `gemm` crates: m, n, k; dst with column and row strides and whether
/// it is read; lhs and rhs likewise; α, β; which are conjugated.
pub type Gemm<T> = unsafe fn(
    usize,
    usize,
    usize,
    *mut T,
    isize,
    isize,
    bool,
    *const T,
    isize,
    isize,
    *const T,
    isize,
    isize,
    T,
    T,
    bool,
    bool,
    bool,
    gemm_common::Parallelism,
);

/// A floating-point type of the CPU engine.
pub trait Real:
    Scalar
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
{
    const ZERO: Self;
    const ONE: Self;
    fn sqrt(self) -> Self;
    /// eˣ, within 2 ulp; branch-free where the type is used for speed.
    fn exp(self) -> Self;
    fn larger(self, other: Self) -> Self;
    /// The matrix product for the instructions of this processor.
    fn gemm() -> Gemm<Self>;
}

impl Real for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    #[inline(always)]
    fn sqrt(self) -> Self {
        f32::sqrt(self)
    }

    /// Cephes-style: x = n·ln 2 + r, |r| ≤ ½ ln 2, eˣ = 2ⁿ·p(r), with n from the 1.5·2²³ rounding trick.
    #[inline(always)]
    fn exp(self) -> Self {
        const MAGIC: f32 = 12_582_912.0;
        let x = if self < -87.0 { -87.0 } else { self };
        let x = if x > 88.0 { 88.0 } else { x };
        let shifted = x * std::f32::consts::LOG2_E + MAGIC;
        let n = shifted - MAGIC;
        // ln 2 in two parts (Cephes C1 + C2), so that n·C1 is exact.
        let r = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
        let mut p = 1.987_569_1e-4;
        p = p * r + 1.398_2e-3;
        p = p * r + 8.333_452e-3;
        p = p * r + 4.166_579_6e-2;
        p = p * r + 1.666_666_5e-1;
        p = p * r + 0.5;
        let p = p * r * r + r + 1.0;
        let exponent = shifted.to_bits().wrapping_sub(MAGIC.to_bits()).wrapping_add(127) << 23;
        p * f32::from_bits(exponent)
    }

    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        if self > other { self } else { other }
    }

    fn gemm() -> Gemm<Self> {
        gemm_f32::gemm::f32::get_gemm_fn()
    }
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    #[inline(always)]
    fn sqrt(self) -> Self {
        f64::sqrt(self)
    }
    #[inline(always)]
    fn exp(self) -> Self {
        f64::exp(self)
    }
    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        if self > other { self } else { other }
    }

    fn gemm() -> Gemm<Self> {
        gemm_f64::gemm::f64::get_gemm_fn()
    }
}

/// Defines a function whose whole body is compiled for the widest vectors of the machine, inlined without fail
/// (a closure given to [`vectorised`] may be compiled out of line, for the baseline, when it is long).
macro_rules! kernel {
    ($(#[$meta:meta])* $vis:vis fn $name:ident<$a:lifetime, $T:ident>($($arg:ident: $ty:ty),* $(,)?) -> $ret:ty $body:block) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name<$a, $T: Real>($($arg: $ty),*) -> $ret {
            struct Kernel<$a, $T> {
                $($arg: $ty,)*
                marker: std::marker::PhantomData<&$a $T>,
            }
            impl<$a, $T: Real> pulp::NullaryFnOnce for Kernel<$a, $T> {
                type Output = $ret;
                #[inline(always)]
                fn call(self) -> $ret {
                    let Kernel { $($arg,)* marker: _ } = self;
                    $body
                }
            }
            pulp::Arch::new().dispatch(Kernel { $($arg,)* marker: std::marker::PhantomData })
        }
    };
}
pub(super) use kernel;

pub const LANES: usize = 16;

/// Runs `body` compiled for the widest vectors of this machine.
#[inline(always)]
pub fn vectorised<R>(body: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(body)
}

/// `Σ f(i)` over `0..len` in sixteen interleaved partial sums.
#[inline(always)]
pub fn sum_by<T: Real>(len: usize, f: impl Fn(usize) -> T) -> T {
    if len < LANES {
        // The partial sums would all be zero: columns of a few rows are scored by the thousand when hidden channels go.
        return (0..len).fold(T::ZERO, |total, i| total + f(i));
    }
    let mut lanes = [T::ZERO; LANES];
    let whole = len / LANES * LANES;
    let mut i = 0;
    while i < whole {
        for (lane, partial) in lanes.iter_mut().enumerate() {
            *partial += f(i + lane);
        }
        i += LANES;
    }
    let mut total = T::ZERO;
    for i in whole..len {
        total += f(i);
    }
    for partial in lanes {
        total += partial;
    }
    total
}

/// Partial results of a row that is reduced with others: what is left at its end (else zeros), and sixteen interleaved ones.
pub type Partial<T> = [[T; LANES]; 2];

/// Rows that are reduced together: lane by lane, so that no row waits for another.
pub const TOGETHER: usize = 8;

/// The partial sums of `Σ f(aᵢ, bᵢ)`.
#[inline(always)]
pub fn partial_sums<T: Real>(a: &[T], b: &[T], f: impl Fn(T, T) -> T) -> Partial<T> {
    let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<LANES>(), b[..a.len()].as_chunks::<LANES>());
    let [mut rest, mut lanes] = [[T::ZERO; LANES]; 2];
    for (a, b) in a.iter().zip(b) {
        for (lane, (&x, &y)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += f(x, y);
        }
    }
    for (lane, (&x, &y)) in rest.iter_mut().zip(rest_a.iter().zip(rest_b)) {
        *lane = f(x, y);
    }
    [rest, lanes]
}

/// What partial sums come to, to the bit as by [`sum_by`]: a zero added changes nothing.
#[inline(always)]
pub fn totals<T: Real>(partial: &[Partial<T>; TOGETHER]) -> [T; TOGETHER] {
    let mut totals = [T::ZERO; TOGETHER];
    for part in 0..2 {
        for lane in 0..LANES {
            for (total, partial) in totals.iter_mut().zip(partial) {
                *total += partial[part][lane];
            }
        }
    }
    totals
}

/// Largest element; the type's least value is the caller's business for an empty slice.
#[inline(always)]
pub fn max<T: Real>(a: &[T]) -> T {
    let lanes = partial_maxima(a);
    lanes[1..].iter().fold(lanes[0], |best, &lane| best.larger(lane))
}

/// The largest elements of one row, by lane.
#[inline(always)]
pub fn partial_maxima<T: Real>(a: &[T]) -> [T; LANES] {
    let mut lanes = [a[0]; LANES];
    let (chunks, rest) = a.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = lane.larger(x);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane = lane.larger(x);
    }
    lanes
}

/// The largest of each row's lanes.
#[inline(always)]
pub fn maxima<T: Real>(partial: &[[T; LANES]; TOGETHER]) -> [T; TOGETHER] {
    let mut best = partial.map(|lanes| lanes[0]);
    for lane in 1..LANES {
        for (best, partial) in best.iter_mut().zip(partial) {
            *best = best.larger(partial[lane]);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is shorter than the partial sums has the bits that these would give it.
    #[test]
    fn short_sums_are_as_long_ones() {
        let term = |i: usize| ((i * 7919 + 3) % 1013) as f32 / 7.0 - 70.0;
        for len in 0..3 * LANES {
            let mut lanes = [0.0f32; LANES];
            (0..len / LANES * LANES).for_each(|i| lanes[i % LANES] += term(i));
            let tail: f32 = (len / LANES * LANES..len).fold(0.0, |total, i| total + term(i));
            let expected = lanes.into_iter().fold(tail, |total, lane| total + lane);
            assert_eq!(sum_by(len, term).to_bits(), expected.to_bits(), "{len} terms");
        }
    }

    #[test]
    fn exp_is_accurate() {
        let mut x = -86.9f32;
        while x < 87.9 {
            let (ours, exact) = (Real::exp(x) as f64, (x as f64).exp());
            assert!((ours - exact).abs() <= 2.5e-7 * exact, "exp({x}) = {ours}, exactly {exact}");
            x += 0.0137;
        }
        assert_eq!(Real::exp(0.0f32), 1.0);
        assert!(Real::exp(-1e30f32) < 1e-37);
    }

    #[test]
    fn reductions_cover_every_element() {
        for len in [1usize, 15, 16, 17, 33, 100] {
            let a: Vec<f64> = (1..=len).map(|i| i as f64).collect();
            assert_eq!(sum_by(len, |i| a[i]), (len * (len + 1) / 2) as f64);
            assert_eq!(max(&a), len as f64);
            assert_eq!(maxima(&[partial_maxima(&a); TOGETHER]), [len as f64; TOGETHER]);
        }
    }

    /// Rows that are summed together have the bits that each has by itself.
    #[test]
    fn rows_together_are_as_alone() {
        let term = |i: usize, r: usize| ((i * 7919 + r * 31) % 1013) as f32 / 7.0 - 70.0;
        for len in 0..3 * LANES {
            let rows: [Vec<f32>; TOGETHER] = std::array::from_fn(|r| (0..len).map(|i| term(i, r)).collect());
            let partial = std::array::from_fn(|r| partial_sums(&rows[r], &rows[r], |x, y| x * y));
            for (row, total) in rows.iter().zip(totals(&partial)) {
                let alone = sum_by(len, |i| row[i] * row[i]);
                assert_eq!(total.to_bits(), alone.to_bits(), "{len} terms");
            }
        }
    }
}
