use super::kernel::{Kernel, Kind};
use super::product::matmul;
use super::round::round;
use crate::base::precision::CpuBf16;
use crate::base::random::stream;
use crate::base::team::with_team;
use crate::tensor::conformance::{Tolerance, check_all};
use crate::tensor::{AttentionShape, Backend, CpuBackend, Matrix, PackedSegment, PackedShape, Product};
use rand::RngExt;

/// Those of bf16, and all.
const KINDS: [CpuBf16; 2] = [CpuBf16::Avx512Bf16, CpuBf16::AmxBf16];
pub(super) const ALL: [Kind; 4] =
    [Kind::F32, Kind::F32Wide, Kind::Bf16(CpuBf16::Avx512Bf16), Kind::Bf16(CpuBf16::AmxBf16)];

/// Values of many sizes, subnormal ones and zeros among them.
fn random(rows: usize, cols: usize, name: &str) -> Matrix<f32> {
    let mut rng = stream(5, name);
    let mut value = |i: usize| {
        let x = rng.random_range(-1.0f32..1.0);
        match i % 31 {
            3 => x * 1e-20,
            7 => x * 1e-38,
            11 => 0.0,
            13 => x * 100.0,
            _ => x,
        }
    };
    Matrix { rows, cols, data: (0..rows * cols).map(&mut value).collect() }
}

/// Element `(i, l)` of op(A), which is m × k.
fn left_at(product: Product, a: &Matrix<f32>, i: usize, l: usize) -> f32 {
    if product == Product::TN { a.data[l * a.cols + i] } else { a.data[i * a.cols + l] }
}

/// Element `(l, j)` of op(B), which is k × n.
fn right_at(product: Product, b: &Matrix<f32>, l: usize, j: usize) -> f32 {
    if product == Product::NT { b.data[j * b.cols + l] } else { b.data[l * b.cols + j] }
}

fn exactly(x: f32) -> f32 {
    f32::from_bits(round(x) << 16)
}

fn flushed(x: f32) -> f32 {
    if x.is_subnormal() { 0.0f32.copysign(x) } else { x }
}

/// One element of a product as the equations of the module have it, chain by chain.
fn element(kind: Kind, a: &[f32], b: &[f32], before: Option<f32>) -> f32 {
    let mut total = before;
    let chain = Kernel::emulated(kind).chain_words() * kind.elements();
    for (a, b) in a.chunks(chain).zip(b.chunks(chain)) {
        let at = |x: &[f32], i: usize| x.get(i).map_or(0.0, |x| exactly(*x));
        let mut sum = 0.0f32;
        match kind {
            Kind::F32 | Kind::F32Wide => {
                for (a, b) in a.iter().zip(b) {
                    sum = a.mul_add(*b, sum);
                }
            }
            Kind::Bf16(CpuBf16::Avx512Bf16) => {
                for p in 0..a.len().div_ceil(2) {
                    for i in [2 * p + 1, 2 * p] {
                        sum = flushed(at(a, i).mul_add(at(b, i), sum));
                    }
                }
            }
            Kind::Bf16(CpuBf16::AmxBf16) => {
                for group in 0..a.len().div_ceil(32) {
                    let [even, odd] = [0, 1].map(|parity| {
                        let mut part = 0.0f32;
                        for p in 0..16 {
                            let i = 32 * group + 2 * p + parity;
                            part = flushed(at(a, i).mul_add(at(b, i), part));
                        }
                        part
                    });
                    sum = flushed(sum + flushed(even + odd));
                }
            }
        }
        total = Some(total.map_or(sum, |total| total + sum));
    }
    total.unwrap_or(0.0)
}

/// m, n, k: odd ones, edges of tiles and panels, several chains, nothing at all along k.
const SHAPES: [(usize, usize, usize); 14] = [
    (13, 40, 1024),
    (1, 1, 1),
    (3, 5, 7),
    (8, 48, 2),
    (17, 33, 65),
    (50, 64, 31),
    (97, 130, 64),
    (33, 31, 33),
    (96, 96, 512),
    (7, 49, 513),
    (100, 20, 1030),
    (35, 33, 2085),
    (5, 300, 16),
    (4, 9, 0),
];

fn multiply(
    kernel: Kernel,
    product: Product,
    (m, n, k): (usize, usize, usize),
    adds: bool,
) -> [Matrix<f32>; 3] {
    let (a, b) = match product {
        Product::NT => (random(m, k, "a"), random(n, k, "b")),
        Product::NN => (random(m, k, "a"), random(k, n, "b")),
        Product::TN => (random(k, m, "a"), random(k, n, "b")),
    };
    let mut c = random(m, n, "c");
    matmul(kernel, product, &mut c, adds, &a, &b);
    [a, b, c]
}

#[test]
fn products_are_what_their_equations_say() {
    for kind in ALL {
        for product in [Product::NT, Product::NN, Product::TN] {
            for shape in SHAPES {
                for adds in [false, true] {
                    let [a, b, c] = multiply(Kernel::emulated(kind), product, shape, adds);
                    let (m, n, k) = shape;
                    let before = random(m, n, "c");
                    for i in 0..m {
                        for j in 0..n {
                            let line: Vec<f32> = (0..k).map(|l| left_at(product, &a, i, l)).collect();
                            let column: Vec<f32> = (0..k).map(|l| right_at(product, &b, l, j)).collect();
                            let start = adds.then_some(before.data[i * n + j]);
                            let (ours, expected) = (c.data[i * n + j], element(kind, &line, &column, start));
                            let place = format!("{kind:?} {product:?} {shape:?} at {i}, {j}");
                            assert_eq!(ours.to_bits(), expected.to_bits(), "{place}: {ours}, {expected}");
                        }
                    }
                }
            }
        }
    }
}

/// Sums of all sizes, subnormal ones and infinities among them, over several groups of pairs.
#[cfg(target_arch = "x86_64")]
#[test]
fn both_emulations_give_the_same_bits() {
    use super::pack::LeftTile;
    use super::x86::fma;
    use super::{VECTOR, emulated};
    if !fma::is_there() {
        return crate::base::requirement::skip("fma", "the processor has no fused multiply-adds of AVX2");
    }
    let pair = |name: &str, i: usize| {
        let value = |part: usize| {
            let x = random(1, 1, &format!("{name} {i} {part}")).data[0];
            // Products from 1e-44, below all normal numbers, to beyond the largest.
            let size = [1e-22, 1e-19, 1.0, 1e19, 1e20][(i / 7 + part) % 5];
            super::round::round(x * size)
        };
        value(0) | value(1) << 16
    };
    const PAIRS: usize = 48;
    for (rows, vectors) in [(8, 3), (6, 4), (8, 1), (32, 2)] {
        let a: Vec<u32> = (0..rows * PAIRS).map(|i| pair("a", i)).collect();
        let b: Vec<u32> = (0..PAIRS * vectors * VECTOR).map(|i| pair("b", i)).collect();
        let left = LeftTile { data: a.as_ptr(), row_stride: PAIRS, word_stride: 1 };
        let stride = vectors * VECTOR;
        let bits = |kernel: unsafe fn((usize, usize), usize, LeftTile, *const u32, *mut f32, usize)| {
            let mut out = vec![0.0f32; rows * stride];
            // SAFETY: operands and output have these shapes, and the instructions are there.
            unsafe { kernel((rows, vectors), PAIRS, left, b.as_ptr(), out.as_mut_ptr(), stride) };
            // Which NaN comes of two is the processor's.
            let one_nan = |x: f32| if x.is_nan() { f32::NAN } else { x };
            out.into_iter().map(|x| one_nan(x).to_bits()).collect::<Vec<u32>>()
        };
        assert_eq!(bits(fma::chain), bits(emulated::chain), "{rows} × {vectors}");
        assert_eq!(bits(fma::tiles), bits(emulated::tiles), "{rows} × {vectors}");
    }
}

/// On a processor with the instructions they run; on another their handler of traps does what they would.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[test]
fn instructions_and_emulation_give_the_same_bits() {
    super::traps::install();
    // A trap takes some microseconds; edges and several chains are here, too.
    let shapes = SHAPES.iter().copied().filter(|(m, n, k)| m * n * k < 200_000).chain([(33, 130, 20)]);
    for kind in ALL {
        for product in [Product::NT, Product::NN, Product::TN] {
            for shape in shapes.clone() {
                for adds in [false, true] {
                    let [.., ours] = multiply(Kernel::by_instructions(kind), product, shape, adds);
                    let [.., expected] = multiply(Kernel::emulated(kind), product, shape, adds);
                    let bits = |c: &Matrix<f32>| c.data.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                    assert_eq!(bits(&ours), bits(&expected), "{kind:?} {product:?} {shape:?} {adds}");
                }
            }
        }
    }
}

/// The check that decides at run time; here by the instructions in their handler of traps.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[test]
fn a_kernel_that_sums_otherwise_is_found_out() {
    use super::detect::agrees;
    super::traps::install();
    let [avx512, amx] = KINDS;
    assert!(agrees(Kernel::by_instructions(avx512), Kernel::emulated(avx512)));
    assert!(!agrees(Kernel::emulated(amx), Kernel::emulated(avx512)), "the two orders differ");
    assert!(agrees(Kernel::by_instructions(Kind::F32Wide), Kernel::emulated(Kind::F32)));
}

/// A row alone, or with others: the very row. Both shapes of tiles: the same bits.
#[test]
fn in_f32_an_element_depends_on_its_row_and_column_alone() {
    let (n, k) = (70, 700);
    let [kernel, wide] = [Kind::F32, Kind::F32Wide].map(Kernel::new);
    for product in [Product::NT, Product::NN] {
        let [a, b, whole] = multiply(kernel, product, (130, n, k), false);
        assert_eq!(whole, multiply(wide, product, (130, n, k), false)[2], "{product:?}");
        for (first, rows) in [(0, 1), (3, 7), (64, 66), (129, 1)] {
            let data = a.data[first * k..(first + rows) * k].to_vec();
            let mut c = random(rows, n, "c");
            matmul(kernel, product, &mut c, false, &Matrix { rows, cols: k, data }, &b);
            assert_eq!(
                c.data,
                whole.data[first * n..(first + rows) * n],
                "{product:?}: {rows} rows from {first}"
            );
        }
    }
}

/// What is done by rows gives the bits of its parts: on one thread and more, with rows left over, and sequences that end within
/// a task.
#[test]
fn layers_by_rows_are_their_parts() {
    use crate::tensor::by_parts::{
        attention_inputs_backward_by_parts, attention_inputs_by_parts, feed_forward_backward_by_parts,
        feed_forward_by_parts, residual_norm_by_parts,
    };
    use crate::tensor::{Norm, Positions, Product::NT};
    let bits = |m: &Matrix<f32>| m.data.iter().map(|x| x.to_bits()).collect::<Vec<u32>>();
    let all = |matrices: &[Matrix<f32>]| matrices.iter().map(bits).collect::<Vec<_>>();
    for kind in ALL {
        let backend = CpuBackend::with_kernel(Kernel::new(kind));
        for (threads, n, context) in [(1, 200, 50), (2, 250, 125), (2, 256, 37), (3, 290, 290), (2, 40, 8)] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.expect("a pool").install(|| {
                let place = format!("{kind:?}, {threads} threads, {n} rows");
                let (d, f, h, wide, narrow) = (40, 70, 8, 48, 24);
                let weights = [random(f, d, "gate"), random(f, d, "up"), random(d, f, "down")];
                let weights = weights.each_ref();
                let (x, residual) = (random(n, d, "x"), random(n, d, "residual"));
                let fresh =
                    || [(n, d), (n, f), (n, f), (n, f)].map(|(rows, cols)| random(rows, cols, "fresh"));
                let (norm_weight, w_o) = (random(1, d, "norm"), random(d, d, "o"));
                // What is normed of the stream, and its roots.
                let normed = || [random(n, d, "normed"), random(1, n, "roots")];
                fn norm_of<'a>(
                    into: &'a mut [Matrix<f32>; 2],
                    weight: &'a Matrix<f32>,
                ) -> Norm<'a, Matrix<f32>> {
                    let [out, inv_rms] = into;
                    Norm { out, inv_rms, weight, epsilon: 1e-5 }
                }
                for residual in [Some(&residual), None] {
                    for is_normed in [true, false] {
                        let place = format!("{place}, {} residual, {is_normed}", residual.is_some());
                        let [mut a, mut b] = [fresh(), fresh()];
                        let [mut a_normed, mut b_normed] = [normed(), normed()];
                        let [out, gate, up, hidden] = a.each_mut();
                        let norm = is_normed.then(|| norm_of(&mut a_normed, &norm_weight));
                        backend.feed_forward(out, residual, &x, [gate, up, hidden], weights, norm);
                        let [out, gate, up, hidden] = b.each_mut();
                        let between = [gate, up, hidden];
                        let norm = is_normed.then(|| norm_of(&mut b_normed, &norm_weight));
                        feed_forward_by_parts(&backend, out, residual, &x, between, weights, norm);
                        assert_eq!((all(&a), all(&a_normed)), (all(&b), all(&b_normed)), "{place}");
                    }
                    let [mut a, mut b] = [random(n, d, "stream"), random(n, d, "stream")];
                    let [mut a_normed, mut b_normed] = [normed(), normed()];
                    let norm = norm_of(&mut a_normed, &norm_weight);
                    backend.residual_norm(&mut a, residual, &x, &w_o, norm);
                    let norm = norm_of(&mut b_normed, &norm_weight);
                    residual_norm_by_parts(&backend, &mut b, residual, &x, &w_o, norm);
                    assert_eq!((bits(&a), all(&a_normed)), (bits(&b), all(&b_normed)), "{place}, stream");
                }
                for is_kept in [true, false] {
                    let [mut a, mut b] = [fresh(), fresh()];
                    let [d_x, d_hidden, gate, up] = a.each_mut();
                    backend.feed_forward_backward(d_x, (d_hidden, is_kept), [gate, up], &x, weights);
                    let [d_x, d_hidden, gate, up] = b.each_mut();
                    feed_forward_backward_by_parts(&backend, d_x, d_hidden, [gate, up], &x, weights);
                    let seen = |of: &[Matrix<f32>; 4]| {
                        all(of)
                            .into_iter()
                            .enumerate()
                            .filter(|(nth, _)| is_kept || *nth != 1)
                            .collect::<Vec<_>>()
                    };
                    assert_eq!(seen(&a), seen(&b), "{place}, kept {is_kept}");
                }
                let weights = [random(wide, d, "q"), random(narrow, d, "k"), random(narrow, d, "v")];
                let weights = weights.each_ref();
                let table = backend.rope_table(context, h, 1e4);
                let positions = Positions { table: &table, context_length: context, head_dim: h };
                let fresh =
                    || [(n, wide), (n, narrow), (n, narrow)].map(|(rows, cols)| random(rows, cols, "qkv"));
                let [mut a, mut b] = [fresh(), fresh()];
                backend.attention_inputs(a.each_mut(), &x, weights, positions);
                attention_inputs_by_parts(&backend, b.each_mut(), &x, weights, positions);
                assert_eq!(all(&a), all(&b), "{place}");
                let [mut d_a, mut d_b] = [random(n, d, "d"), random(n, d, "d")];
                backend.attention_inputs_backward(&mut d_a, a.each_mut(), weights, positions);
                attention_inputs_backward_by_parts(&backend, &mut d_b, b.each_mut(), weights, positions);
                assert_eq!((bits(&d_a), all(&a)), (bits(&d_b), all(&b)), "{place}");
                // The product that packs its own rows, beside one that is cut by columns, too.
                let b = random(33, d, "b");
                let mut c = [Matrix { rows: n, cols: 33, data: vec![0.0; n * 33] }, random(7, 33, "c")];
                backend.matmul(NT, &mut c[0], false, &x, &b);
                let few = Matrix { rows: 7, cols: d, data: x.data[..7 * d].to_vec() };
                matmul(Kernel::new(kind), NT, &mut c[1], false, &few, &b);
                assert_eq!(c[0].data[..7 * 33], c[1].data, "{place}");
            });
        }
    }
}

/// While one thread finds out what the processor has, others may be doing products.
#[test]
fn what_there_is_is_found_on_the_calling_thread() {
    use super::detect::SHAPES;
    use super::product::{LITTLE, LITTLE_PACKING};
    for (m, n, k) in SHAPES {
        assert!(2 * m * n * k <= LITTLE && k * m.max(n) <= LITTLE_PACKING, "{m} × {n} × {k}");
    }
}

/// Of rounded operands a product is off by the rounding of f32 sums alone.
#[test]
fn the_only_errors_are_those_of_rounded_operands_and_f32_sums() {
    let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
    for kind in KINDS {
        let shape @ (m, n, k) = (60, 70, 700);
        let [a, b, c] = multiply(Kernel::new(kind), Product::NT, shape, false);
        let exact = |x: f32| f64::from(x);
        let rounded = |x: f32| f64::from(exactly(x));
        let errors = [exact as fn(f32) -> f64, rounded].map(|of: fn(f32) -> f64| {
            let dot = |i: usize, j: usize| -> f64 {
                (0..k).map(|l| of(a.data[i * k + l]) * of(b.data[j * k + l])).sum()
            };
            let expected: Vec<f64> = (0..m * n).map(|at| dot(at / n, at % n)).collect();
            let difference: Vec<f64> = c.data.iter().zip(&expected).map(|(x, y)| f64::from(*x) - y).collect();
            norm(&difference) / norm(&expected)
        });
        assert!(errors[0] < 5e-3 && errors[1] < 5e-7, "{kind:?}: {errors:?}");
    }
}

#[test]
fn conforms_within_the_rounding_of_operands() {
    for kind in KINDS {
        check_all(&CpuBackend::in_bf16(kind), Tolerance { atol: 0.05, rtol: 0.02 });
    }
}

/// Attention against that in f32 over contexts of one and of many blocks, grouped heads, an odd head.
#[test]
fn attention_and_its_gradients_are_those_of_f32_but_for_rounding() {
    let plain = CpuBackend::<f32>::new();
    let norm = |x: &[f32]| x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    let uniform = |rows: usize, cols: usize, name: &str| {
        let mut rng = stream(6, name);
        Matrix { rows, cols, data: (0..rows * cols).map(|_| rng.random_range(-1.0f32..1.0)).collect() }
    };
    for kind in KINDS {
        let backend = CpuBackend::in_bf16(kind);
        for (sequences, context_length, num_heads, num_kv_heads, head_dim) in
            [(2, 5, 4, 2, 6), (1, 47, 1, 1, 2), (1, 200, 2, 1, 33), (2, 150, 2, 2, 64), (1, 1100, 1, 1, 8)]
        {
            let shape = AttentionShape { sequences, context_length, num_heads, num_kv_heads, head_dim };
            let n = sequences * context_length;
            let (wide, narrow) = (num_heads * head_dim, num_kv_heads * head_dim);
            let [q, k, v] = [(wide, "q"), (narrow, "k"), (narrow, "v")].map(|(w, name)| uniform(n, w, name));
            let d_out = uniform(n, wide, "d_out");
            let all = |backend: &CpuBackend<f32>| {
                let (mut out, mut lse) = (uniform(n, wide, "stale"), uniform(n, num_heads, "stale"));
                backend.attention(shape, &mut out, &mut lse, &q, &k, &v);
                let [mut d_q, mut d_k, mut d_v] = [wide, narrow, narrow].map(|w| uniform(n, w, "stale"));
                backend
                    .attention_backward(shape, &mut d_q, &mut d_k, &mut d_v, &d_out, &out, &lse, &q, &k, &v);
                [out, lse, d_q, d_k, d_v]
            };
            for (name, (ours, expected)) in
                ["out", "lse", "d_q", "d_k", "d_v"].iter().zip(all(&backend).iter().zip(&all(&plain)))
            {
                let difference: Vec<f32> = ours.data.iter().zip(&expected.data).map(|(x, y)| x - y).collect();
                let error = norm(&difference) / norm(&expected.data);
                assert!(error < 1e-2, "{kind:?} {shape:?} {name}: {error:e}");
            }
        }
    }
}

/// One sequence alone, and the same as a segment beside others.
#[test]
fn a_segment_that_sees_none_is_plain_attention_to_the_bit() {
    for kind in KINDS {
        let backend = CpuBackend::in_bf16(kind);
        let (t, heads, h) = (130, 2, 16);
        let [q, k, v] = ["q", "k", "v"].map(|name| random(t, heads * h, name));
        let (mut alone, mut lse) = (backend.zeros(t, heads * h), backend.zeros(t, heads));
        let shape = AttentionShape {
            sequences: 1,
            context_length: t,
            num_heads: heads,
            num_kv_heads: heads,
            head_dim: h,
        };
        backend.attention(shape, &mut alone, &mut lse, &q, &k, &v);
        let beside = |m: &Matrix<f32>| {
            let mut data = random(7, heads * h, "other").data;
            data.extend(&m.data);
            Matrix { rows: t + 7, data, ..*m }
        };
        let (q, k, v) = (beside(&q), beside(&k), beside(&v));
        let mut out = backend.zeros(t + 7, heads * h);
        let segment = |rows: std::ops::Range<usize>| PackedSegment { rows, seen: 0..0 };
        let segments = [segment(0..7), segment(7..t + 7)];
        let shape = PackedShape { segments: &segments, num_heads: heads, num_kv_heads: heads, head_dim: h };
        backend.packed_attention(shape, &mut out, &q, &k, &v);
        assert_eq!(out.data[7 * heads * h..], alone.data, "{kind:?}");
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    for kind in ALL {
        let compute = || {
            let backend = CpuBackend::with_kernel(Kernel::new(kind));
            let mut results = crate::tensor::cpu::tests::everything(&backend);
            let [.., c] = multiply(Kernel::new(kind), Product::TN, (300, 260, 130), true);
            results.0.push(c);
            results
        };
        let with_threads = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
            pool.install(|| with_team(compute))
        };
        let one = with_threads(1);
        for threads in [2, 3] {
            assert!(one == with_threads(threads), "{kind:?}: {threads} threads differ from one");
        }
    }
}
