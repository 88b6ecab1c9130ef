//! One body of tests for every backend: each operation against its formula, written naively in f64.
//!
//! A backend calls [`check_all`] with its tolerance (atol + rtol·|reference|, relative to f64 arithmetic).
use super::{
    Accumulation, AdamwLeaf, AdamwStep, AttentionShape, Backend, CachedShape, Distillation, ElementScore,
    Margins, PackedSegment, PackedShape, Pointwise, Product, Scalar, ScoreLeaf, TeacherHead,
};
use crate::base::random::stream;
use rand::RngExt;

/// Absolute and relative tolerance against the naive f64 formula.
#[derive(Clone, Copy)]
pub struct Tolerance {
    pub atol: f64,
    pub rtol: f64,
}

struct Case<'a, B: Backend> {
    backend: &'a B,
    tolerance: Tolerance,
}

/// A random host matrix.
struct Host {
    rows: usize,
    cols: usize,
    data: Vec<f64>,
}

impl Host {
    fn at(&self, r: usize, c: usize) -> f64 {
        self.data[r * self.cols + c]
    }
}

impl<B: Backend> Case<'_, B> {
    /// A parameter or a gradient, of values that an activation holds exactly: what a backend of mixed precision rounds
    /// on the way into a product is then exact, and only its results are not.
    fn random(&self, rows: usize, cols: usize, name: &str) -> (Host, B::Tensor) {
        let (host, _) = self.activation(rows, cols, name);
        let values: Vec<B::Scalar> = host.data.iter().map(|&x| B::Scalar::from_f64(x)).collect();
        let tensor = self.backend.from_host(rows, cols, &values);
        (host, tensor)
    }

    /// An activation, values as the backend rounds them.
    fn activation(&self, rows: usize, cols: usize, name: &str) -> (Host, B::Tensor) {
        let mut generator = stream(7, name);
        let values: Vec<B::Scalar> =
            (0..rows * cols).map(|_| B::Scalar::from_f64(generator.random::<f64>() * 2.0 - 1.0)).collect();
        let mut tensor = self.backend.activation(rows, cols);
        self.backend.copy(&mut tensor, &self.backend.from_host(rows, cols, &values));
        let data = self.backend.to_host(&tensor).into_iter().map(|x| x.to_f64()).collect();
        (Host { rows, cols, data }, tensor)
    }

    fn compare(&self, what: &str, tensor: &B::Tensor, expected: &[f64]) {
        let values = self.backend.to_host(tensor);
        assert_eq!(values.len(), expected.len(), "{what}: length");
        for (i, (value, expected)) in values.iter().zip(expected).enumerate() {
            let value = value.to_f64();
            let bound = self.tolerance.atol + self.tolerance.rtol * expected.abs();
            assert!(
                (value - expected).abs() <= bound,
                "{what}[{i}]: {value}, expected {expected} ± {bound:e}"
            );
        }
    }
}

/// Every operation of the backend over regular and misaligned shapes.
pub fn check_all<B: Backend>(backend: &B, tolerance: Tolerance) {
    let case = Case { backend, tolerance };
    for (m, n, k) in [(1, 1, 1), (3, 5, 7), (64, 64, 64), (130, 33, 17), (17, 300, 65), (257, 129, 31)] {
        products(&case, m, n, k);
        linear_layers(&case, m, n, k);
    }
    for (rows, cols) in [(1, 1), (5, 13), (131, 48)] {
        norms(&case, rows, cols);
        element_wise(&case, rows, cols);
        clipped_step(&case, rows, cols);
        scores(&case, rows, cols);
        statistics(&case, rows, cols);
    }
    for shape in [(1, 1, 1, 1, 2), (2, 5, 4, 2, 6), (1, 70, 3, 1, 8), (2, 130, 2, 2, 4)] {
        let (sequences, context_length, num_heads, num_kv_heads, head_dim) = shape;
        let shape = AttentionShape { sequences, context_length, num_heads, num_kv_heads, head_dim };
        attention(&case, shape);
        rope(&case, shape);
    }
    // Groups of a beginning and the tails that continue it.
    let groups: [&[(usize, &[usize])]; 7] = [
        &[(5, &[3, 1, 4])],
        &[(0, &[2, 3])],
        &[(4, &[])],
        &[(3, &[0, 2, 0])],
        &[(70, &[66, 130])],
        &[(5, &[3, 1]), (0, &[4]), (2, &[1, 0, 7]), (1, &[])],
        &[(65, &[2, 70]), (3, &[129]), (64, &[64, 1])],
    ];
    for groups in groups {
        let segments = packed_segments(groups);
        for (num_heads, num_kv_heads, head_dim) in [(1, 1, 2), (4, 2, 6), (3, 1, 8)] {
            let shape = PackedShape { segments: &segments, num_heads, num_kv_heads, head_dim };
            packed_attention(&case, shape);
        }
    }
    for (past, queries) in
        [(0, 1), (0, 7), (5, 1), (130, 1), (126, 4), (700, 2), (120, 15), (3, 70), (64, 64), (1, 129)]
    {
        for (num_heads, num_kv_heads, head_dim) in [(1, 1, 2), (4, 2, 6), (3, 1, 8)] {
            cached_attention(&case, past, CachedShape { queries, num_heads, num_kv_heads, head_dim });
        }
    }
    rows_are_independent(&case);
    for (tokens, vocab, d) in [(1, 3, 2), (70, 41, 9), (33, 1000, 5)] {
        head(&case, tokens, vocab, d);
        for (weight, temperature, top_k) in [(0.5, 1.0, 0), (1.0, 2.0, 2), (0.25, 0.5, vocab)] {
            let of = Distillation { weight, temperature, top_k };
            distilled_head(&case, [tokens, vocab, d, d + 4], of);
        }
    }
    embedding(&case);
}

fn products<B: Backend>(case: &Case<B>, m: usize, n: usize, k: usize) {
    for product in [Product::NT, Product::NN, Product::TN] {
        let (a_shape, b_shape) = match product {
            Product::NT => ((m, k), (n, k)),
            Product::NN => ((m, k), (k, n)),
            Product::TN => ((k, m), (k, n)),
        };
        let (a, a_tensor) = case.activation(a_shape.0, a_shape.1, "a");
        // Activations by weights are activations; activations by activations are gradients.
        let operand = |activation: bool, rows, cols, name: &str| {
            if activation { case.activation(rows, cols, name) } else { case.random(rows, cols, name) }
        };
        let (b, b_tensor) = operand(product == Product::TN, b_shape.0, b_shape.1, "b");
        let (c, mut c_tensor) = operand(product != Product::TN, m, n, "c");
        let element = |i: usize, j: usize, l: usize| match product {
            Product::NT => a.at(i, l) * b.at(j, l),
            Product::NN => a.at(i, l) * b.at(l, j),
            Product::TN => a.at(l, i) * b.at(l, j),
        };
        let expected: Vec<f64> = (0..m * n).map(|x| (0..k).map(|l| element(x / n, x % n, l)).sum()).collect();
        let sum: Vec<f64> = expected.iter().zip(&c.data).map(|(x, c)| x + c).collect();
        case.backend.matmul(product, &mut c_tensor, true, &a_tensor, &b_tensor);
        case.compare(&format!("{product:?} {m}×{n}×{k} accumulated"), &c_tensor, &sum);
        case.backend.matmul(product, &mut c_tensor, false, &a_tensor, &b_tensor);
        case.compare(&format!("{product:?} {m}×{n}×{k}"), &c_tensor, &expected);
    }
}

fn linear_layers<B: Backend>(case: &Case<B>, tokens: usize, d_out: usize, d_in: usize) {
    let (x, x_tensor) = case.activation(tokens, d_in, "x");
    let (w, w_tensor) = case.random(d_out, d_in, "w");
    let (bias, bias_tensor) = case.random(1, d_out, "bias");
    let (residual, residual_tensor) = case.activation(tokens, d_out, "residual");
    let product: Vec<f64> = (0..tokens * d_out)
        .map(|i| (0..d_in).map(|l| x.at(i / d_out, l) * w.at(i % d_out, l)).sum())
        .collect();
    let plus = |addend: &dyn Fn(usize) -> f64| -> Vec<f64> {
        product.iter().enumerate().map(|(i, x)| x + addend(i)).collect()
    };
    // What stood in the output must not matter.
    let (_, mut out) = case.activation(tokens, d_out, "before");
    case.backend.linear(&mut out, &x_tensor, &w_tensor, None);
    case.compare("linear", &out, &product);
    case.backend.linear(&mut out, &x_tensor, &w_tensor, Some(&bias_tensor));
    case.compare("linear with bias", &out, &plus(&|i| bias.at(0, i % d_out)));
    case.backend.residual_linear(&mut out, &residual_tensor, &x_tensor, &w_tensor);
    case.compare("linear into a residual stream", &out, &plus(&|i| residual.data[i]));
}

fn norms<B: Backend>(case: &Case<B>, rows: usize, d: usize) {
    let (x, x_tensor) = case.activation(rows, d, "x");
    let (w, w_tensor) = case.random(1, d, "w");
    let (dy, dy_tensor) = case.activation(rows, d, "dy");
    let (dx0, mut dx_tensor) = case.activation(rows, d, "dx");
    let (dw0, mut dw_tensor) = case.random(1, d, "dw");
    let eps = 1e-3;
    let mut out = case.backend.activation(rows, d);
    let mut inv_rms = case.backend.zeros(1, rows);
    case.backend.rmsnorm(&mut out, &mut inv_rms, &x_tensor, &w_tensor, eps);
    let r: Vec<f64> = (0..rows)
        .map(|n| 1.0 / ((0..d).map(|c| x.at(n, c).powi(2)).sum::<f64>() / d as f64 + eps).sqrt())
        .collect();
    let cells = || (0..rows).flat_map(|n| (0..d).map(move |c| (n, c)));
    let y: Vec<f64> = cells().map(|(n, c)| x.at(n, c) * r[n] * w.at(0, c)).collect();
    case.compare("rmsnorm", &out, &y);
    case.compare("inverse rms", &inv_rms, &r);
    case.backend.rmsnorm_backward(&mut dx_tensor, &mut dw_tensor, &dy_tensor, &x_tensor, &w_tensor, &inv_rms);
    let dot: Vec<f64> =
        (0..rows).map(|n| (0..d).map(|c| w.at(0, c) * dy.at(n, c) * x.at(n, c)).sum()).collect();
    let dx: Vec<f64> = cells()
        .map(|(n, c)| {
            dx0.at(n, c) + r[n] * w.at(0, c) * dy.at(n, c) - x.at(n, c) * r[n].powi(3) / d as f64 * dot[n]
        })
        .collect();
    case.compare("rmsnorm dx", &dx_tensor, &dx);
    let dw: Vec<f64> = (0..d)
        .map(|c| dw0.at(0, c) + (0..rows).map(|n| dy.at(n, c) * x.at(n, c) * r[n]).sum::<f64>())
        .collect();
    case.compare("rmsnorm dw", &dw_tensor, &dw);
}

fn element_wise<B: Backend>(case: &Case<B>, rows: usize, cols: usize) {
    let b = case.backend;
    let (x, x_tensor) = case.random(rows, cols, "x");
    let (y, mut y_tensor) = case.random(rows, cols, "y");
    let (z, mut z_tensor) = case.random(rows, cols, "z");
    let (one, one_tensor) = case.random(1, cols, "one row");
    let (before, mut sum_tensor) = case.random(1, cols, "its sum");
    b.accumulate(
        0.5,
        2.0,
        &mut [
            Accumulation { x: &x_tensor, sum: &mut y_tensor, squares: Some(&mut z_tensor) },
            Accumulation { x: &one_tensor, sum: &mut sum_tensor, squares: None },
        ],
    );
    let sums = |x: &Host, y: &Host| -> Vec<f64> {
        x.data.iter().zip(&y.data).map(|(x, y)| 0.5 * x + 2.0 * y).collect()
    };
    case.compare("sum", &y_tensor, &sums(&x, &y));
    case.compare("sum without squares", &sum_tensor, &sums(&one, &before));
    let squares: Vec<f64> = x.data.iter().zip(&z.data).map(|(x, z)| 0.5 * x * x + 2.0 * z).collect();
    case.compare("squares", &z_tensor, &squares);
    let (sums, mut sums_tensor) = case.random(1, cols, "sums");
    let (_, summed) = case.activation(rows, cols, "x");
    b.add_column_sums(&mut sums_tensor, &summed);
    let column = |c: usize| sums.at(0, c) + (0..rows).map(|n| x.at(n, c)).sum::<f64>();
    case.compare("add_column_sums", &sums_tensor, &(0..cols).map(column).collect::<Vec<_>>());
    let expected: f64 = x.data.iter().map(|x| x * x).sum();
    let sum = b.sum_of_squares(&x_tensor);
    assert!((sum - expected).abs() <= case.tolerance.atol + case.tolerance.rtol * expected);

    let (gate, mut gate_tensor) = case.activation(rows, cols, "gate");
    let (up, mut up_tensor) = case.activation(rows, cols, "up");
    let (d, d_tensor) = case.activation(rows, cols, "d");
    let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
    let cells = || (0..rows * cols).map(|i| (gate.data[i], up.data[i], d.data[i]));
    let mut out = b.activation(rows, cols);
    b.swiglu(&mut out, &gate_tensor, &up_tensor);
    case.compare("swiglu", &out, &cells().map(|(z, u, _)| z * sigmoid(z) * u).collect::<Vec<_>>());
    b.swiglu_backward(&mut gate_tensor, &mut up_tensor, &d_tensor);
    let d_gate = |(z, u, d): (f64, f64, f64)| d * u * sigmoid(z) * (1.0 + z * (1.0 - sigmoid(z)));
    case.compare("swiglu d_gate", &gate_tensor, &cells().map(d_gate).collect::<Vec<_>>());
    case.compare("swiglu d_up", &up_tensor, &cells().map(|(z, _, d)| d * z * sigmoid(z)).collect::<Vec<_>>());

    let (w, mut w_tensor) = case.random(rows, cols, "w");
    let (m, mut m_tensor) = case.random(rows, cols, "m");
    let v: Vec<f64> = m.data.iter().map(|m| m * m).collect();
    let v_host: Vec<B::Scalar> = v.iter().map(|&v| B::Scalar::from_f64(v)).collect();
    let mut v_tensor = b.from_host(rows, cols, &v_host);
    let step = AdamwStep {
        learning_rate: 0.01,
        weight_decay: 0.1,
        beta1: 0.9,
        beta2: 0.95,
        epsilon: 1e-8,
        bias_correction1: 0.19,
        bias_correction2: 0.0975,
        gradient_scale: 0.5,
    };
    b.adamw(step, &mut w_tensor, &x_tensor, &mut m_tensor, &mut v_tensor);
    let m: Vec<f64> = m.data.iter().zip(&x.data).map(|(m, g)| 0.9 * m + 0.1 * 0.5 * g).collect();
    let v: Vec<f64> = v.iter().zip(&x.data).map(|(v, g)| 0.95 * v + 0.05 * 0.25 * g * g).collect();
    let w: Vec<f64> = (0..rows * cols)
        .map(|i| {
            let direction = m[i] / 0.19 / ((v[i] / 0.0975).sqrt() + 1e-8);
            w.data[i] - 0.01 * 0.1 * w.data[i] - 0.01 * direction
        })
        .collect();
    case.compare("adamw m", &m_tensor, &m);
    case.compare("adamw v", &v_tensor, &v);
    case.compare("adamw w", &w_tensor, &w);
}

/// A step over two tensors, of which one decays, clipped to half of the gradient's norm.
fn clipped_step<B: Backend>(case: &Case<B>, rows: usize, cols: usize) {
    let b = case.backend;
    let (w1, mut w1_tensor) = case.random(rows, cols, "w1");
    let (w2, mut w2_tensor) = case.random(1, cols, "w2");
    let (g1, g1_tensor) = case.random(rows, cols, "g1");
    let (g2, g2_tensor) = case.random(1, cols, "g2");
    let [mut m1, mut v1] = [(); 2].map(|()| b.zeros(rows, cols));
    let [mut m2, mut v2] = [(); 2].map(|()| b.zeros(1, cols));
    let step = AdamwStep {
        learning_rate: 0.01,
        weight_decay: 0.1,
        beta1: 0.9,
        beta2: 0.95,
        epsilon: 1.0,
        bias_correction1: 0.1,
        bias_correction2: 0.05,
        gradient_scale: 1.0,
    };
    let squared: f64 = g1.data.iter().chain(&g2.data).map(|g| g * g).sum();
    let mut leaves = [
        AdamwLeaf { weight: &mut w1_tensor, grad: &g1_tensor, m: &mut m1, v: &mut v1, decays: true },
        AdamwLeaf { weight: &mut w2_tensor, grad: &g2_tensor, m: &mut m2, v: &mut v2, decays: false },
    ];
    let found = b.clipped_adamw(step, squared.sqrt() / 2.0, &mut leaves);
    let found = b.read_sum(&found);
    assert!((found - squared).abs() <= case.tolerance.atol + case.tolerance.rtol * squared, "{found}");
    // First step: m/c₁ = g and v/c₂ = g², with g halved by clipping.
    let stepped =
        |w: f64, g: f64, decay: f64| w - 0.01 * decay * w - 0.01 * g / 2.0 / ((g / 2.0).abs() + 1.0);
    for (what, tensor, w, g, decay) in
        [("decaying", &w1_tensor, &w1, &g1, 0.1), ("not decaying", &w2_tensor, &w2, &g2, 0.0)]
    {
        let expected: Vec<f64> = w.data.iter().zip(&g.data).map(|(&w, &g)| stepped(w, g, decay)).collect();
        case.compare(&format!("clipped step, {what}"), tensor, &expected);
    }
}

/// Several tensors at once.
fn scores<B: Backend>(case: &Case<B>, rows: usize, cols: usize) {
    let tree = |name: &str| {
        [(rows, cols), (1, cols), (cols, rows + 2)].map(|(rows, cols)| case.random(rows, cols, name))
    };
    let (weights, grads) = (tree("w"), tree("g"));
    // A mean of squares is not negative.
    let fishers = tree("f").map(|(mut host, tensor)| {
        host.data.iter_mut().for_each(|f| *f *= *f);
        let mut squares = case.backend.zeros(host.rows, host.cols);
        case.backend.pointwise(Pointwise::Square, &mut squares, &tensor, None);
        (host, squares)
    });
    for score in ElementScore::ALL {
        let leaf = |i: usize| ScoreLeaf {
            weight: &weights[i].1,
            grad: score.reads_gradient().then_some(&grads[i].1),
            fisher: score.reads_fisher().then_some(&fishers[i].1),
        };
        let margins = case.backend.score_margins(score, &[0, 1, 2].map(leaf));
        assert_eq!(margins.len(), 3);
        for (i, Margins { rows: by_row, cols: by_col }) in margins.iter().enumerate() {
            let (w, g, f) = (&weights[i].0, &grads[i].0, &fishers[i].0);
            let element = |r: usize, c: usize| {
                let (w, g, f) = (w.at(r, c), g.at(r, c), f.at(r, c));
                match score {
                    ElementScore::MagnitudeL1 => w.abs(),
                    ElementScore::MagnitudeL2 => w * w,
                    ElementScore::Signed => w * g,
                    ElementScore::Taylor1 => (w * g).abs(),
                    ElementScore::Taylor2 => w * w * f,
                    ElementScore::TaylorMix => (w * g - 0.5 * w * w * f).abs(),
                    ElementScore::Adam => (w * g).abs() / (f.sqrt() + 1e-8),
                }
            };
            assert_eq!((by_row.len(), by_col.len()), (w.rows, w.cols));
            let row_sums = (0..w.rows).map(|r| (0..w.cols).map(|c| element(r, c)).sum::<f64>());
            let col_sums = (0..w.cols).map(|c| (0..w.rows).map(|r| element(r, c)).sum::<f64>());
            for (value, expected) in by_row.iter().zip(row_sums).chain(by_col.iter().zip(col_sums)) {
                let bound = case.tolerance.atol + case.tolerance.rtol * expected.abs();
                assert!((value - expected).abs() <= bound, "{score:?}: {value}, expected {expected}");
            }
        }
    }
}

/// The maps and sums over blocks of which statistics are made, of activations and of parameters.
fn statistics<B: Backend>(case: &Case<B>, rows: usize, cols: usize) {
    let b = case.backend;
    let (x, x_tensor) = case.activation(rows, cols, "x");
    let (y, y_tensor) = case.activation(rows, cols, "y");
    let mut out = b.zeros(rows, cols);
    b.pointwise(Pointwise::Product, &mut out, &x_tensor, Some(&y_tensor));
    let product: Vec<f64> = x.data.iter().zip(&y.data).map(|(x, y)| x * y).collect();
    case.compare("product", &out, &product);
    let of = |f: fn(f64) -> f64, of: &[f64]| of.iter().map(|x| f(*x)).collect::<Vec<_>>();
    b.pointwise(Pointwise::Magnitude, &mut out, &x_tensor, None);
    case.compare("magnitude", &out, &of(f64::abs, &x.data));
    let mut narrow = b.activation(rows, cols);
    b.pointwise(Pointwise::Square, &mut narrow, &x_tensor, None);
    case.compare("square", &narrow, &of(|x| x * x, &x.data));
    b.pointwise(Pointwise::Square, &mut out, &x_tensor, None);
    let mut root = b.zeros(rows, cols);
    b.pointwise(Pointwise::Root, &mut root, &out, None);
    case.compare("root", &root, &of(f64::abs, &x.data));
    for (block_rows, block_cols) in [(1, 1), (3, 1), (1, 4), (5, 2)] {
        let (n, m) = (rows * block_rows, cols * block_cols);
        let (x, x_tensor) = case.activation(n, m, "blocks");
        let mut sums = b.zeros(rows, cols);
        b.fold(&mut sums, &x_tensor, block_rows, block_cols);
        let block = |i: usize, j: usize| -> f64 {
            let cells = (0..block_rows).flat_map(|r| (0..block_cols).map(move |c| (r, c)));
            cells.map(|(r, c)| x.at(i * block_rows + r, j * block_cols + c)).sum()
        };
        let expected: Vec<f64> = (0..rows * cols).map(|k| block(k / cols, k % cols)).collect();
        case.compare("fold", &sums, &expected);
    }
}

fn rope<B: Backend>(case: &Case<B>, shape: AttentionShape) {
    let AttentionShape { sequences, context_length: t, num_heads, head_dim: h, .. } = shape;
    let (x, mut tensor) = case.activation(sequences * t, num_heads * h, "x");
    let theta = 50.0f64;
    let table = case.backend.rope_table(t, h, theta);
    case.backend.rope(&mut tensor, &table, t, h, false);
    let expected: Vec<f64> = (0..x.rows)
        .flat_map(|n| (0..x.cols).map(move |c| (n, c)))
        .map(|(n, c)| {
            let (p, start) = (c % h % (h / 2), c / h * h);
            let angle = (n % t) as f64 * theta.powf(-2.0 * p as f64 / h as f64);
            let (low, high) = (x.at(n, start + p), x.at(n, start + p + h / 2));
            if c % h < h / 2 {
                low * angle.cos() - high * angle.sin()
            } else {
                high * angle.cos() + low * angle.sin()
            }
        })
        .collect();
    case.compare("rope", &tensor, &expected);
    case.backend.rope(&mut tensor, &table, t, h, true);
    case.compare("rope and back", &tensor, &x.data);
    // The rows of the first sequence from `past` on as new tokens, whose keys are the first head's columns.
    let (_, turned) = case.activation(sequences * t, num_heads * h, "x");
    for past in [0, t / 2, t - 1] {
        let (rows, first_head): (Vec<usize>, Vec<usize>) = ((past..t).collect(), (0..h).collect());
        let mut q = case.backend.select(&turned, Some(&rows), None);
        let [k, v] = [(); 2].map(|()| case.backend.select(&turned, Some(&rows), Some(&first_head)));
        let ((before, mut keys), (_, mut values)) =
            (case.activation(t + 2, h, "cache"), case.activation(t + 2, h, "cache"));
        let (new, kept) = ([&k, &v], [&mut keys, &mut values]);
        case.backend.extend_cache(&case.backend.past(past), &table, h, &mut q, new, kept);
        let cached = |of: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
            let cell = |(n, c)| if (past..t).contains(&n) { of(n, c) } else { before.at(n, c) };
            (0..t + 2).flat_map(|n| (0..h).map(move |c| (n, c))).map(cell).collect()
        };
        case.compare("queries after others", &q, &expected[past * x.cols..t * x.cols]);
        case.compare("cached keys", &keys, &cached(&|n, c| expected[n * x.cols + c]));
        case.compare("cached values", &values, &cached(&|n, c| x.at(n, c)));
    }
}

fn attention<B: Backend>(case: &Case<B>, shape: AttentionShape) {
    let AttentionShape { sequences, context_length: t, num_heads, num_kv_heads, head_dim: h } = shape;
    let (n, wide, narrow, b) = (sequences * t, num_heads * h, num_kv_heads * h, case.backend);
    let (q, q_tensor) = case.activation(n, wide, "q");
    let (k, k_tensor) = case.activation(n, narrow, "k");
    let (v, v_tensor) = case.activation(n, narrow, "v");
    let (d_out, d_out_tensor) = case.activation(n, wide, "d_out");
    let mut out = b.activation(n, wide);
    let mut log_sum_exp = b.zeros(n, num_heads);
    b.attention(shape, &mut out, &mut log_sum_exp, &q_tensor, &k_tensor, &v_tensor);
    let (mut d_q, mut d_k, mut d_v) =
        (b.activation(n, wide), b.activation(n, narrow), b.activation(n, narrow));
    b.attention_backward(
        shape,
        &mut d_q,
        &mut d_k,
        &mut d_v,
        &d_out_tensor,
        &out,
        &log_sum_exp,
        &q_tensor,
        &k_tensor,
        &v_tensor,
    );

    let alpha = 1.0 / (h as f64).sqrt();
    let (mut y, mut lse) = (vec![0.0; n * wide], vec![0.0; n * num_heads]);
    let (mut dq, mut dk, mut dv) = (vec![0.0; n * wide], vec![0.0; n * narrow], vec![0.0; n * narrow]);
    for i in 0..n {
        for head in 0..num_heads {
            let kv = head * num_kv_heads / num_heads;
            let first = i / t * t;
            let s: Vec<f64> = (first..=i)
                .map(|j| alpha * (0..h).map(|c| q.at(i, head * h + c) * k.at(j, kv * h + c)).sum::<f64>())
                .collect();
            let total: f64 = s.iter().map(|s| s.exp()).sum();
            lse[i * num_heads + head] = total.ln();
            let p: Vec<f64> = s.iter().map(|s| s.exp() / total).collect();
            let dp: Vec<f64> = (first..=i)
                .map(|j| (0..h).map(|c| d_out.at(i, head * h + c) * v.at(j, kv * h + c)).sum::<f64>())
                .collect();
            let mean: f64 = p.iter().zip(&dp).map(|(p, dp)| p * dp).sum();
            for (index, j) in (first..=i).enumerate() {
                let ds = p[index] * (dp[index] - mean) * alpha;
                for c in 0..h {
                    y[i * wide + head * h + c] += p[index] * v.at(j, kv * h + c);
                    dq[i * wide + head * h + c] += ds * k.at(j, kv * h + c);
                    dk[j * narrow + kv * h + c] += ds * q.at(i, head * h + c);
                    dv[j * narrow + kv * h + c] += p[index] * d_out.at(i, head * h + c);
                }
            }
        }
    }
    case.compare("attention", &out, &y);
    case.compare("log-sum-exp", &log_sum_exp, &lse);
    case.compare("attention dq", &d_q, &dq);
    case.compare("attention dk", &d_k, &dk);
    case.compare("attention dv", &d_v, &dv);
}

/// Segments of groups, each a beginning and its tails.
pub fn packed_segments(groups: &[(usize, &[usize])]) -> Vec<PackedSegment> {
    let mut segments: Vec<PackedSegment> = Vec::new();
    for (beginning, tails) in groups {
        let start = segments.last().map_or(0, |last| last.rows.end);
        let seen = start..start + beginning;
        segments.push(PackedSegment { rows: seen.clone(), seen: start..start });
        for tail in *tails {
            let start = segments.last().map_or(0, |last| last.rows.end);
            segments.push(PackedSegment { rows: start..start + tail, seen: seen.clone() });
        }
    }
    segments
}

fn packed_attention<B: Backend>(case: &Case<B>, shape: PackedShape) {
    let PackedShape { segments, num_heads, num_kv_heads, head_dim: h } = shape;
    let (n, wide, narrow) = (shape.tokens(), num_heads * h, num_kv_heads * h);
    let (q, q_tensor) = case.activation(n, wide, "q");
    let (k, k_tensor) = case.activation(n, narrow, "k");
    let (v, v_tensor) = case.activation(n, narrow, "v");
    let mut out = case.backend.activation(n, wide);
    case.backend.packed_attention(shape, &mut out, &q_tensor, &k_tensor, &v_tensor);
    let alpha = 1.0 / (h as f64).sqrt();
    let mut y = vec![0.0; n * wide];
    for segment in segments {
        for i in segment.rows.clone() {
            let seen: Vec<usize> = segment.seen.clone().chain(segment.rows.start..=i).collect();
            for head in 0..num_heads {
                let kv = head * num_kv_heads / num_heads;
                let product =
                    |j: usize| (0..h).map(|c| q.at(i, head * h + c) * k.at(j, kv * h + c)).sum::<f64>();
                let score = |j: usize| alpha * product(j);
                let total: f64 = seen.iter().map(|&j| score(j).exp()).sum();
                for &j in &seen {
                    for c in 0..h {
                        y[i * wide + head * h + c] += score(j).exp() / total * v.at(j, kv * h + c);
                    }
                }
            }
        }
    }
    case.compare("packed attention", &out, &y);
}

/// The cache has rows to spare, whose values must not matter.
fn cached_attention<B: Backend>(case: &Case<B>, past: usize, shape: CachedShape) {
    let CachedShape { queries, num_heads, num_kv_heads, head_dim: h } = shape;
    let (n, wide, narrow, b) = (past + queries, num_heads * h, num_kv_heads * h, case.backend);
    let (q, q_tensor) = case.activation(queries, wide, "q");
    let ((k, keys), (v, values)) = (case.activation(n + 3, narrow, "k"), case.activation(n + 3, narrow, "v"));
    let mut out = b.activation(queries, wide);
    b.cached_attention(shape, &b.past(past), &mut out, &q_tensor, &keys, &values);
    let alpha = 1.0 / (h as f64).sqrt();
    let mut y = vec![0.0; queries * wide];
    for i in 0..queries {
        for head in 0..num_heads {
            let kv = head * num_kv_heads / num_heads;
            let score =
                |j: usize| alpha * (0..h).map(|c| q.at(i, head * h + c) * k.at(j, kv * h + c)).sum::<f64>();
            let total: f64 = (0..=past + i).map(|j| score(j).exp()).sum();
            for j in 0..=past + i {
                for c in 0..h {
                    y[i * wide + head * h + c] += score(j).exp() / total * v.at(j, kv * h + c);
                }
            }
        }
    }
    case.compare("cached attention", &out, &y);
}

/// A row of a padded product, of attention over a packed batch and of the head has the same bits in any company. The last
/// shape is that of a small model's feed-forward layer, for which libraries like to split the sum.
fn rows_are_independent<B: Backend>(case: &Case<B>) {
    let backend = case.backend;
    for (n, k) in [(40, 33), (3, 20), (130, 70), (96, 768)] {
        let (_, weight) = case.random(n, k, "weight");
        let most = backend.independent_rows(300, n);
        let (_, inputs) = case.random(most, k, "inputs");
        let product = |rows: usize| {
            let kept: Vec<usize> = (0..rows).collect();
            let mut out = backend.zeros(rows, n);
            backend.matmul(
                Product::NT,
                &mut out,
                false,
                &backend.select(&inputs, Some(&kept), None),
                &weight,
            );
            backend.to_host(&out)
        };
        let whole = product(most);
        for rows in [1, 2, 64, 129, 257] {
            let part = product(backend.independent_rows(rows, n));
            assert!(part == whole[..part.len()], "{rows} rows of {most}, {n} columns");
        }
        let targets: Vec<u32> = (0..most).map(|i| (i % n) as u32).collect();
        let whole = backend.head_log_probabilities(&inputs, &weight, &targets);
        for rows in [1, 2, 65, 130] {
            let kept: Vec<usize> = (0..rows).collect();
            let part = backend.select(&inputs, Some(&kept), None);
            let part = backend.head_log_probabilities(&part, &weight, &targets[..rows]);
            assert!(part == whole[..rows], "head: {rows} rows of {most}, {n} columns");
        }
    }
}

fn head<B: Backend>(case: &Case<B>, tokens: usize, vocab: usize, d: usize) {
    let (x, x_tensor) = case.activation(tokens, d, "hidden");
    let (w, w_tensor) = case.random(vocab, d, "head");
    let (dw0, mut dw_tensor) = case.random(vocab, d, "d_head");
    let targets: Vec<u32> = (0..tokens).map(|n| (n * 7 % vocab) as u32).collect();
    let mut dx_tensor = case.backend.activation(tokens, d);
    let scale = 0.25;
    let loss = case.backend.head_cross_entropy(
        &mut dx_tensor,
        &mut dw_tensor,
        &x_tensor,
        &w_tensor,
        &targets,
        scale,
    );
    let loss = case.backend.read_sum(&loss);
    let (mut expected, mut logs, mut dx, mut dw) = (0.0, vec![], vec![0.0; tokens * d], dw0.data);
    for n in 0..tokens {
        let z: Vec<f64> = (0..vocab).map(|v| (0..d).map(|c| x.at(n, c) * w.at(v, c)).sum()).collect();
        let total: f64 = z.iter().map(|z| z.exp()).sum();
        let target = targets[n] as usize;
        expected += total.ln() - z[target];
        logs.push(z[target] - total.ln());
        for v in 0..vocab {
            let dz = scale * (z[v].exp() / total - if v == target { 1.0 } else { 0.0 });
            for c in 0..d {
                dx[n * d + c] += dz * w.at(v, c);
                dw[v * d + c] += dz * x.at(n, c);
            }
        }
    }
    let bound = case.tolerance.atol + case.tolerance.rtol * expected.abs();
    assert!((loss - expected).abs() <= bound, "cross-entropy {loss}, expected {expected}");
    case.compare("head d_hidden", &dx_tensor, &dx);
    case.compare("head d_head", &dw_tensor, &dw);
    let (squares0, mut squares_tensor) = case.random(vocab, d, "squares");
    let (ent0, mut d_entropy_head) = case.random(vocab, d, "d entropy");
    let mut d_entropy = case.backend.activation(tokens, d);
    case.backend.head_squared_gradients(&mut squares_tensor, &x_tensor, &w_tensor, &targets, scale);
    let entropy = case.backend.head_entropy(&mut d_entropy, &mut d_entropy_head, &x_tensor, &w_tensor, scale);
    let (mut squares, mut entropies) = (squares0.data, 0.0);
    let (mut dx, mut dw) = (vec![0.0; tokens * d], ent0.data);
    for n in 0..tokens {
        let z: Vec<f64> = (0..vocab).map(|v| (0..d).map(|c| x.at(n, c) * w.at(v, c)).sum()).collect();
        let total: f64 = z.iter().map(|z| z.exp()).sum();
        let p: Vec<f64> = z.iter().map(|z| z.exp() / total).collect();
        let h = -p.iter().map(|p| p * p.ln()).sum::<f64>();
        entropies += h;
        for v in 0..vocab {
            let dz = scale * (p[v] - if v == targets[n] as usize { 1.0 } else { 0.0 });
            let dh = -scale * p[v] * (p[v].ln() + h);
            for c in 0..d {
                squares[v * d + c] += (dz * x.at(n, c)).powi(2);
                dx[n * d + c] += dh * w.at(v, c);
                dw[v * d + c] += dh * x.at(n, c);
            }
        }
    }
    case.compare("head squared gradients", &squares_tensor, &squares);
    let entropy = case.backend.read_sum(&entropy);
    let bound = case.tolerance.atol + case.tolerance.rtol * entropies.abs();
    assert!((entropy - entropies).abs() <= bound, "entropy {entropy}, expected {entropies}");
    case.compare("entropy d_hidden", &d_entropy, &dx);
    case.compare("entropy d_head", &d_entropy_head, &dw);
    let ours = case.backend.head_log_probabilities(&x_tensor, &w_tensor, &targets);
    for (ours, expected) in ours.iter().zip(&logs) {
        let bound = case.tolerance.atol + case.tolerance.rtol * expected.abs();
        assert!((ours - expected).abs() <= bound, "log-probability {ours}, expected {expected}");
    }
}

/// Against the formulas of `tensor/distillation.rs`; the teacher is wider than the model.
fn distilled_head<B: Backend>(case: &Case<B>, [tokens, vocab, d, their_d]: [usize; 4], of: Distillation) {
    let (x, x_tensor) = case.activation(tokens, d, "hidden");
    let (w, w_tensor) = case.random(vocab, d, "head");
    let (t, t_tensor) = case.activation(tokens, their_d, "taught");
    let (u, u_tensor) = case.random(vocab, their_d, "teacher");
    let (dw0, mut dw_tensor) = case.random(vocab, d, "d_head");
    let targets: Vec<u32> = (0..tokens).map(|n| (n * 7 % vocab) as u32).collect();
    let mut dx_tensor = case.backend.activation(tokens, d);
    let scale = 0.25;
    let loss = case.backend.head_distillation(
        &mut dx_tensor,
        &mut dw_tensor,
        &x_tensor,
        &w_tensor,
        TeacherHead { hidden: &t_tensor, head: &u_tensor },
        &targets,
        scale,
        of,
    );
    let loss = case.backend.read_sum(&loss);
    let (mut expected, mut dx, mut dw) = (0.0, vec![0.0; tokens * d], dw0.data);
    let logit =
        |x: &Host, w: &Host, n: usize, v: usize| (0..x.cols).map(|c| x.at(n, c) * w.at(v, c)).sum::<f64>();
    for n in 0..tokens {
        let z: Vec<f64> = (0..vocab).map(|v| logit(&x, &w, n, v)).collect();
        let taught: Vec<f64> = (0..vocab).map(|v| logit(&t, &u, n, v)).collect();
        let mut ranked = taught.clone();
        ranked.sort_by(|a, b| b.total_cmp(a));
        let least = ranked[of.compared(vocab) - 1];
        let softmax = |z: &[f64], temperature: f64, counts: &dyn Fn(usize) -> bool| -> Vec<f64> {
            let exp = |v: usize| if counts(v) { (z[v] / temperature).exp() } else { 0.0 };
            let total: f64 = (0..vocab).map(exp).sum();
            (0..vocab).map(|v| exp(v) / total).collect()
        };
        let compared = |v: usize| taught[v] >= least;
        let (p, q) = (softmax(&taught, of.temperature, &compared), softmax(&z, of.temperature, &compared));
        let (all, target) = (softmax(&z, 1.0, &|_| true), targets[n] as usize);
        let divergence: f64 =
            (0..vocab).filter(|v| compared(*v)).map(|v| p[v] * (p[v].ln() - q[v].ln())).sum();
        let square = of.temperature * of.temperature;
        expected += (1.0 - of.weight) * -all[target].ln() + of.weight * square * divergence;
        for v in 0..vocab {
            let plain = all[v] - if v == target { 1.0 } else { 0.0 };
            let dz = scale * ((1.0 - of.weight) * plain + of.weight * of.temperature * (q[v] - p[v]));
            for c in 0..d {
                dx[n * d + c] += dz * w.at(v, c);
                dw[v * d + c] += dz * x.at(n, c);
            }
        }
    }
    let bound = case.tolerance.atol + case.tolerance.rtol * expected.abs();
    assert!((loss - expected).abs() <= bound, "distillation {loss}, expected {expected}");
    case.compare("distilled d_hidden", &dx_tensor, &dx);
    case.compare("distilled d_head", &dw_tensor, &dw);
}

fn embedding_backward<B: Backend>(case: &Case<B>, d: usize, tokens: &[u32]) {
    let vocab = tokens.iter().max().map_or(1, |&most| most as usize + 1);
    let (d0, mut d_table) = case.random(vocab, d, "d_table");
    let (d_out, d_out_tensor) = case.activation(tokens.len(), d, "d_out");
    case.backend.embed_backward(&mut d_table, &d_out_tensor, tokens);
    let mut expected = d0.data;
    for (n, &token) in tokens.iter().enumerate() {
        for c in 0..d {
            expected[token as usize * d + c] += d_out.at(n, c);
        }
    }
    case.compare(&format!("embed backward of {tokens:?}"), &d_table, &expected);
}

fn embedding<B: Backend>(case: &Case<B>) {
    let (table, tensor) = case.random(6, 5, "table");
    let tokens = [3u32, 0, 3, 5];
    let mut out = case.backend.activation(4, 5);
    case.backend.embed(&mut out, &tensor, &tokens);
    let rows: Vec<f64> = tokens
        .iter()
        .flat_map(|&t| (0..5).map(move |c| (t, c)))
        .map(|(t, c)| table.at(t as usize, c))
        .collect();
    case.compare("embed", &out, &rows);
    embedding_backward(case, 5, &tokens);
    embedding_backward(case, 5, &[]);
    // One token everywhere, as often as fits a whole number of pieces and not; all different; few tokens, unevenly often.
    for n in [1, 64, 150] {
        embedding_backward(case, 13, &vec![2; n]);
        embedding_backward(case, 13, &(0..n as u32).rev().collect::<Vec<_>>());
        embedding_backward(case, 300, &(0..n as u32).map(|i| i * i % 7 * (i % 3) % 5).collect::<Vec<_>>());
    }
    let selected = case.backend.select(&tensor, Some(&[1, 4]), Some(&[0, 2, 3]));
    let expected: Vec<f64> = [1, 4].iter().flat_map(|&r| [0, 2, 3].map(|c| table.at(r, c))).collect();
    case.compare("select", &selected, &expected);
    let (backend, mut kept) = (case.backend, case.random(6, 5, "table").1);
    backend.retain(&mut kept, Some(&[1, 4]), Some(&[0, 2, 3]));
    assert_eq!(backend.shape(&kept), [2, 3]);
    case.compare("retain", &kept, &expected);
    let mut kept = case.random(6, 5, "table").1;
    backend.retain(&mut kept, None, Some(&[1, 2, 4]));
    let expected: Vec<f64> = (0..6).flat_map(|r| [1, 2, 4].map(|c| table.at(r, c))).collect();
    case.compare("retain columns", &kept, &expected);
    columns(case);
}

/// Columns that move between whole heads and what is left of them, and a row that joins every row.
fn columns<B: Backend>(case: &Case<B>) {
    let backend = case.backend;
    let (narrow, narrow_tensor) = case.activation(3, 4, "narrow");
    let places = [1, 3, 6, 7];
    let mut out = backend.activation(3, 9);
    backend.spread_columns(&mut out, &narrow_tensor, &places);
    let at =
        |r: usize, c: usize| places.iter().position(|&place| place == c).map_or(0.0, |j| narrow.at(r, j));
    let expected: Vec<f64> = (0..27).map(|i| at(i / 9, i % 9)).collect();
    case.compare("spread_columns", &out, &expected);
    let (wide, wide_tensor) = case.activation(3, 9, "wide");
    let mut out = backend.activation(3, 4);
    backend.gather_columns(&mut out, &wide_tensor, &places);
    let expected: Vec<f64> = (0..12).map(|i| wide.at(i / 4, places[i % 4])).collect();
    case.compare("gather_columns", &out, &expected);
    let (row, row_tensor) = case.random(1, 9, "row");
    let (before, mut stream) = case.activation(3, 9, "stream");
    backend.add_row(&mut stream, &row_tensor);
    let expected: Vec<f64> = (0..27).map(|i| before.data[i] + row.data[i % 9]).collect();
    case.compare("add_row", &stream, &expected);
}
