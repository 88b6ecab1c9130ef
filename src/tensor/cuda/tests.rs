//! The backend over the emulated device, against naive formulas in f64.
use super::emulated::EmulatedDevice;
use super::*;
use crate::base::random::stream;
use crate::tensor::conformance::{Tolerance, check_all, packed_segments};
use crate::tensor::unwind::caught;
use crate::tensor::{
    Accumulation, AdamwLeaf, AdamwStep, Backend, CpuBackend, ElementScore, Margins, Matrix, PackedShape,
    Product, ScoreLeaf,
};
use proptest::prelude::*;
use rand::RngExt;

fn backend(precision: Precision) -> Option<CudaBackend<EmulatedDevice>> {
    EmulatedDevice::new().map(|device| CudaBackend::over(device, precision))
}

/// As on the CPU: f32 rounds at 6e-8; the longest sums have 300 terms of order one.
#[test]
fn f32_conforms() {
    let Some(backend) = backend(Precision::F32) else { return };
    check_all(&backend, Tolerance { atol: 2e-5, rtol: 1e-5 });
}

/// bf16 has eight significant bits: unit roundoff u = 2⁻⁸. Operands are given rounded; results round once more, and values
/// inside attention and the head (probabilities, their gradients, of order one) twice: 4u of each result, and 4u of the
/// order-one terms that a smaller result may be the difference of.
#[test]
fn bf16_conforms() {
    let Some(backend) = backend(Precision::Bf16) else { return };
    check_all(&backend, Tolerance { atol: 4.0 / 256.0, rtol: 4.0 / 256.0 });
}

fn random(rows: usize, cols: usize, name: &str) -> Matrix<f32> {
    let mut generator = stream(11, name);
    let values = (0..rows * cols).map(|_| generator.random_range(-1.0f32..1.0));
    // Exact in bf16.
    let data = values.map(|x| half::bf16::from_f32(x).to_f32()).collect();
    Matrix { rows, cols, data }
}

fn upload(backend: &CudaBackend<EmulatedDevice>, m: &Matrix<f32>) -> CudaTensor<EmulatedDevice> {
    backend.from_host(m.rows, m.cols, &m.data)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, rng_seed: prop::test_runner::RngSeed::Fixed(3), ..Default::default() })]

    /// Products over any widths equal the unpadded formula; that padding is still zero is asserted by every `to_host`.
    #[test]
    fn products_of_any_widths_equal_the_unpadded_formula(m in 1usize..40, n in 1usize..40, k in 1usize..40) {
        let Some(backend) = backend(Precision::Bf16) else { return Ok(()) };
        for (product, a_shape, b_shape) in [
            (Product::NT, (m, k), (n, k)),
            (Product::NN, (m, k), (k, n)),
            (Product::TN, (k, m), (k, n)),
        ] {
            let (a, b) = (random(a_shape.0, a_shape.1, "a"), random(b_shape.0, b_shape.1, "b"));
            let mut expected = random(m, n, "c");
            let mut out = upload(&backend, &expected);
            CpuBackend::new().matmul(product, &mut expected, true, &a, &b);
            backend.matmul(product, &mut out, true, &upload(&backend, &a), &upload(&backend, &b));
            for (found, expected) in backend.to_host(&out).iter().zip(&expected.data) {
                // f32 accumulation of at most 40 exact products of order one.
                prop_assert!((found - expected).abs() <= 1e-5, "{product:?} {m}×{n}×{k}: {found}, {expected}");
            }
        }
    }

    /// Removal by row and column keeps exactly what is listed.
    #[test]
    fn selections_keep_what_they_list(rows in 1usize..30, cols in 1usize..30, step in 1usize..4, start in 0usize..3) {
        let Some(backend) = backend(Precision::F32) else { return Ok(()) };
        let m = random(rows, cols, "selected");
        let kept = |size: usize| (start.min(size - 1)..size).step_by(step).collect::<Vec<_>>();
        let (kept_rows, kept_cols) = (kept(rows), kept(cols));
        let expected = CpuBackend::new().select(&m, Some(&kept_rows), Some(&kept_cols));
        let found = backend.select(&upload(&backend, &m), Some(&kept_rows), Some(&kept_cols));
        prop_assert_eq!(backend.shape(&found), [expected.rows, expected.cols]);
        prop_assert_eq!(backend.to_host(&found), expected.data);
    }
}

/// To the bit: a bias or a residual is added to the f32 sum, which is rounded once, in no pass of its own.
#[test]
fn what_is_added_to_a_product_is_added_before_it_is_rounded() {
    let Some(backend) = backend(Precision::Bf16) else { return };
    let (x, w, bias, before) =
        (random(5, 13, "x"), random(11, 13, "w"), random(1, 11, "bias"), random(5, 11, "before"));
    let mut products = random(5, 11, "products");
    for (i, product) in products.data.iter_mut().enumerate() {
        *product = (0..13).map(|l| x.data[i / 11 * 13 + l] * w.data[i % 11 * 13 + l]).sum();
    }
    let plus = |addend: &dyn Fn(usize) -> f32| -> Vec<f32> {
        let sums = products.data.iter().enumerate().map(|(i, product)| addend(i) + product);
        sums.map(|sum| half::bf16::from_f32(sum).to_f32()).collect()
    };
    let activation = |m: &Matrix<f32>| {
        let mut tensor = backend.activation(m.rows, m.cols);
        backend.copy(&mut tensor, &upload(&backend, m));
        tensor
    };
    let (x, w, row, residual) =
        (activation(&x), upload(&backend, &w), upload(&backend, &bias), activation(&before));
    let mut out = backend.activation(5, 11);
    // The first call rounds weight and bias for all later ones.
    backend.linear(&mut out, &x, &w, Some(&row));
    let launches = backend.device().launches();
    backend.linear(&mut out, &x, &w, Some(&row));
    assert_eq!(backend.to_host(&out), plus(&|i| bias.data[i % 11]));
    backend.residual_linear(&mut out, &residual, &x, &w);
    assert_eq!(backend.to_host(&out), plus(&|i| before.data[i]));
    assert_eq!(backend.to_host(&residual), before.data);
    assert_eq!(backend.device().launches(), launches);
}

/// Where pruning has left no channel, a residual stream goes on as it is.
#[test]
fn a_layer_without_inputs_adds_nothing() {
    let Some(backend) = backend(Precision::Bf16) else { return };
    let residual = backend.activation(3, 5);
    let (x, w) = (backend.activation(3, 0), backend.zeros(5, 0));
    let mut out = backend.activation(3, 5);
    backend.copy(&mut out, &upload(&backend, &random(3, 5, "before")));
    backend.residual_linear(&mut out, &residual, &x, &w);
    assert_eq!(backend.to_host(&out), [0.0; 15]);
}

/// A buffer that has been wide is narrow and clean again, whatever stood in it.
#[test]
fn reshaped_buffers_have_clean_padding() {
    let Some(backend) = backend(Precision::Bf16) else { return };
    for element in [Element::F32, Element::Bf16] {
        let mut tensor = backend.zeroed(0, 0, element);
        for (rows, cols) in [(16, 32), (5, 13), (9, 8), (3, 1), (16, 32)] {
            backend.reshape(&mut tensor, rows, cols);
            let fresh = backend.zeroed(rows, cols, element);
            backend.copy(&mut tensor, &fresh);
            let m = random(rows, cols, "full");
            backend.copy(&mut tensor, &upload(&backend, &m));
            assert_eq!(backend.to_host(&tensor), m.data, "{rows}×{cols}");
        }
    }
}

/// A table of spans goes up once for all layers of a pass, and another whenever it is another.
#[test]
fn tables_are_uploaded_once_for_all_layers() {
    let Some(backend) = backend(Precision::Bf16) else { return };
    let [q, k, v] = ["q", "k", "v"].map(|name| {
        let mut activation = backend.activation(9, 16);
        backend.copy(&mut activation, &upload(&backend, &random(9, 16, name)));
        activation
    });
    let mut out = backend.activation(9, 16);
    let mut attended = |prefix: usize, tails: &[usize]| {
        let segments = packed_segments(&[(prefix, tails)]);
        let shape = PackedShape { segments: &segments, num_heads: 2, num_kv_heads: 2, head_dim: 8 };
        let before = backend.device().uploads();
        backend.packed_attention(shape, &mut out, &q, &k, &v);
        (backend.to_host(&out), backend.device().uploads() - before)
    };
    let (first, uploads) = attended(4, &[2, 3]);
    assert_eq!(uploads, 1);
    assert_eq!(attended(4, &[2, 3]), (first.clone(), 0));
    let (different, uploads) = attended(9, &[]);
    assert!(different != first && uploads == 1);
    assert_eq!(attended(4, &[2, 3]), (first, 1));
}

/// A product reads the weight as it is now, whoever wrote it last.
#[test]
fn shadows_follow_their_weights() {
    let Some(backend) = backend(Precision::Bf16) else { return };
    let x = random(3, 5, "x");
    let mut w = upload(&backend, &random(4, 5, "w"));
    let mut input = backend.activation(3, 5);
    backend.copy(&mut input, &upload(&backend, &x));
    let check = |w: &CudaTensor<EmulatedDevice>, what: &str| {
        let rounded = backend.to_host(w).iter().map(|&w| half::bf16::from_f32(w).to_f32()).collect();
        let mut expected = CpuBackend::new().zeros(3, 4);
        let weight = Matrix { rows: 4, cols: 5, data: rounded };
        CpuBackend::new().matmul(Product::NT, &mut expected, false, &x, &weight);
        let mut out = backend.zeros(3, 4);
        backend.matmul(Product::NT, &mut out, false, &input, w);
        for (found, expected) in backend.to_host(&out).iter().zip(&expected.data) {
            assert!((found - expected).abs() < 1e-6, "{what}: {found}, expected {expected}");
        }
    };
    check(&w, "fresh");
    let other = upload(&backend, &random(4, 5, "other"));
    backend.accumulate(1.0, 0.5, &mut [Accumulation { x: &other, sum: &mut w, squares: None }]);
    check(&w, "after a sum");
    let (mut m, mut v) = (backend.zeros(4, 5), backend.zeros(4, 5));
    let step = AdamwStep {
        learning_rate: 0.3,
        weight_decay: 0.1,
        beta1: 0.9,
        beta2: 0.95,
        epsilon: 1e-8,
        bias_correction1: 0.1,
        bias_correction2: 0.05,
        gradient_scale: 1.0,
    };
    backend.adamw(step, &mut w, &other, &mut m, &mut v);
    let launches = backend.device().launches();
    check(&w, "after a step");
    assert_eq!(backend.device().launches(), launches, "the step wrote the shadow; nothing refreshes it");
    backend.copy(&mut w, &other);
    check(&w, "after a copy");
    backend.fill_zero(&mut w);
    check(&w, "after zeros");
    let selected = backend.select(&other, None, Some(&[0, 1, 2, 3, 4]));
    check(&selected, "selected");
}

/// Sums of gradients and of their squares over a whole model are one launch, and to the bit what the formula says.
#[test]
fn sums_over_many_tensors_are_one_launch() {
    let Some(backend) = backend(Precision::Bf16) else { return };
    let shapes = [(3, 5), (1, 300), (0, 4), (700, 33), (130, 257)];
    let tree = |name: &str| shapes.map(|(rows, cols)| random(rows, cols, &format!("{name} {rows}×{cols}")));
    let hosts = [tree("x"), tree("sum"), tree("squares")];
    let [xs, mut sums, mut squares] =
        hosts.each_ref().map(|tree| tree.each_ref().map(|m| upload(&backend, m)));
    let of_all = xs.iter().zip(sums.iter_mut().zip(&mut squares));
    let mut leaves: Vec<_> =
        of_all.map(|(x, (sum, squares))| Accumulation { x, sum, squares: Some(squares) }).collect();
    let launches = backend.device().launches();
    backend.accumulate(0.1, 0.9, &mut leaves);
    assert_eq!(backend.device().launches() - launches, 1);
    let (alpha, beta) = (0.1f64 as f32, 0.9f64 as f32);
    for i in 0..shapes.len() {
        let expected = |sums: &Matrix<f32>, of: &dyn Fn(f32) -> f32| -> Vec<f32> {
            let pairs = hosts[0][i].data.iter().zip(&sums.data);
            pairs.map(|(&x, &sum)| alpha * of(x) + beta * sum).collect()
        };
        assert_eq!(backend.to_host(&sums[i]), expected(&hosts[1][i], &|x| x));
        assert_eq!(backend.to_host(&squares[i]), expected(&hosts[2][i], &|x| x * x));
    }
}

/// The sums of `scores.rs` over one tensor, in their order: a row over 128 threads, then over warps; a column over pieces of 64
/// rows, those over eight groups.
fn ordered_margins(weight: &Matrix<f32>, element: &dyn Fn(usize) -> f32) -> Margins {
    let (rows, cols) = (weight.rows, weight.cols);
    let score = |r: usize, c: usize| f64::from(element(r * cols + c));
    let row = |r: usize| {
        let thread = |t: usize| (t..cols).step_by(128).fold(0.0, |sum, c| sum + score(r, c));
        let warp = |w: usize| {
            let mut lanes: Vec<f64> = (0..32).map(|lane| thread(32 * w + lane)).collect();
            for distance in [16, 8, 4, 2, 1] {
                lanes = (0..32).map(|lane| lanes[lane] + lanes[lane ^ distance]).collect();
            }
            lanes[0]
        };
        (0..4).fold(0.0, |sum, w| sum + warp(w))
    };
    let column = |c: usize| {
        let pieces: Vec<f64> = (0..rows.div_ceil(64))
            .map(|p| (64 * p..rows.min(64 * (p + 1))).fold(0.0, |sum, r| sum + score(r, c)))
            .collect();
        let groups = pieces.chunks(pieces.len().div_ceil(8).max(1));
        groups.fold(0.0, |sum, group| sum + group.iter().fold(0.0, |sum, piece| sum + piece))
    };
    Margins { rows: (0..rows).map(row).collect(), cols: (0..cols).map(column).collect() }
}

/// To the bit: the scores of a tensor do not depend on those beside it, and are summed in the order that is promised.
#[test]
fn scores_of_many_tensors_are_those_of_each() {
    let Some(backend) = backend(Precision::F32) else { return };
    let shapes = [(3, 5), (1, 300), (0, 4), (700, 33), (4, 0), (64, 128), (130, 257)];
    let tree = |name: &str| shapes.map(|(rows, cols)| random(rows, cols, &format!("{name} {rows}×{cols}")));
    let hosts = [tree("w"), tree("g"), tree("f")];
    let [weights, grads, fishers] = hosts.each_ref().map(|tree| tree.each_ref().map(|m| upload(&backend, m)));
    // Of values of any sign; `conformance` holds the score with a root to its formula.
    for score in ElementScore::ALL.into_iter().filter(|score| *score != ElementScore::Adam) {
        let leaf = |i: usize| ScoreLeaf {
            weight: &weights[i],
            grad: score.reads_gradient().then_some(&grads[i]),
            fisher: score.reads_fisher().then_some(&fishers[i]),
        };
        let all: Vec<_> = (0..shapes.len()).map(leaf).collect();
        let (launches, downloads) = (backend.device().launches(), backend.device().downloads());
        let together = backend.score_margins(score, &all);
        assert_eq!(backend.device().launches() - launches, 3);
        assert_eq!(backend.device().downloads() - downloads, 1);
        for (i, margins) in together.iter().enumerate() {
            let alone = backend.score_margins(score, &[leaf(i)]);
            assert_eq!(std::slice::from_ref(margins), alone, "{score:?} of {:?}", shapes[i]);
            let element = |at: usize| {
                let [w, g, f] = hosts.each_ref().map(|tree| tree[i].data[at]);
                match score {
                    ElementScore::MagnitudeL1 => w.abs(),
                    ElementScore::MagnitudeL2 => w * w,
                    ElementScore::Signed => w * g,
                    ElementScore::Taylor1 => (w * g).abs(),
                    ElementScore::Taylor2 => w * w * f,
                    ElementScore::TaylorMix => (w * g - 0.5 * (w * w) * f).abs(),
                    ElementScore::Adam => (w * g).abs() / (f.sqrt() + 1e-8),
                }
            };
            assert_eq!(*margins, ordered_margins(&hosts[0][i], &element), "{score:?} of {:?}", shapes[i]);
        }
    }
    assert_eq!(backend.score_margins(ElementScore::Taylor1, &[]), []);
}

/// ε = 0 and a gradient of zero: no 0/0 in the padding, nor anywhere.
#[test]
fn a_step_without_gradient_or_epsilon_leaves_zeros() {
    let Some(backend) = backend(Precision::F32) else { return };
    let (mut weight, mut m, mut v) = (backend.zeros(2, 3), backend.zeros(2, 3), backend.zeros(2, 3));
    let grad = backend.zeros(2, 3);
    let step = AdamwStep {
        learning_rate: 0.1,
        weight_decay: 0.1,
        beta1: 0.9,
        beta2: 0.95,
        epsilon: 0.0,
        bias_correction1: 0.1,
        bias_correction2: 0.05,
        gradient_scale: 1.0,
    };
    let leaf = AdamwLeaf { weight: &mut weight, grad: &grad, m: &mut m, v: &mut v, decays: true };
    let norm = backend.clipped_adamw(step, 1.0, &mut [leaf]);
    assert_eq!(backend.read_sum(&norm), 0.0);
    assert_eq!(backend.to_host(&weight), [0.0; 6]);
}

#[test]
fn running_out_of_memory_is_a_value() {
    let Some(device) = EmulatedDevice::with_memory(1 << 20) else { return };
    let backend = CudaBackend::over(device, Precision::F32);
    let kept = backend.zeros(128, 1024);
    let error = caught::<DeviceError, _>(|| backend.zeros(1024, 1024)).err().expect("no room for 4 MiB");
    assert_eq!(error, DeviceError::OutOfMemory { asked: 4 << 20, free: 1 << 19 });
    assert!(error.to_string().contains("\nhint: lower `train.micro_batch`"), "{error}");
    drop(kept);
    // What was cached is given back where another size needs it.
    assert_eq!(caught::<DeviceError, _>(|| backend.shape(&backend.zeros(256, 1024))), Ok([256, 1024]));
}
