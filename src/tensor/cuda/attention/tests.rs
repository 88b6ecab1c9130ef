//! The kernels themselves, run on the host, against the CPU backend over random shapes.
use super::super::emulated::EmulatedDevice;
use super::super::queue::Queue;
use super::*;
use crate::tensor::conformance::packed_segments;
use crate::tensor::{Backend, CachedShape, CpuBackend, Matrix};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rand::{RngExt, SeedableRng};

type Memory<D> = <D as Device>::Memory;

/// A matrix on the device with its rows padded to a stride, and the values that it holds.
struct Padded<D: Device> {
    memory: Memory<D>,
    operand: Operand,
}

impl<D: Device> Padded<D> {
    /// Rounds `values` to the element type, and uploads them; the padding is NaN, so that a kernel that reads it fails.
    fn new(device: &D, element: Element, values: &mut Matrix<f32>) -> Self {
        let stride = values.cols.next_multiple_of(8);
        let mut bytes = Vec::new();
        for row in 0..values.rows {
            for col in 0..stride {
                let value = match values.data.get_mut(row * values.cols + col).filter(|_| col < values.cols) {
                    Some(value) => {
                        if element == Element::Bf16 {
                            *value = half::bf16::from_f32(*value).to_f32();
                        }
                        *value
                    }
                    None => f32::NAN,
                };
                match element {
                    Element::F32 => bytes.extend(value.to_ne_bytes()),
                    Element::Bf16 => bytes.extend(half::bf16::from_f32(value).to_ne_bytes()),
                }
            }
        }
        let memory = device.allocate(bytes.len().max(1)).unwrap();
        let address = device.address(&memory);
        // SAFETY: as many bytes as were allocated.
        unsafe { device.upload(address, &bytes) }.unwrap();
        let operand = Operand { address, element, rows: values.rows, cols: values.cols, stride };
        Padded { memory, operand }
    }

    /// The values, once it is certain that the padding is as it was.
    fn read(&self, device: &D) -> Vec<f32> {
        let Operand { address, element, rows, cols, stride } = self.operand;
        assert_eq!(address, device.address(&self.memory));
        let mut bytes = vec![0; rows * stride * element.bytes()];
        // SAFETY: as many bytes as were allocated.
        unsafe { device.download(address, &mut bytes) }.unwrap();
        let values = bytes.chunks_exact(element.bytes()).map(|bytes| match element {
            Element::F32 => f32::from_ne_bytes(bytes.try_into().unwrap()),
            Element::Bf16 => half::bf16::from_ne_bytes(bytes.try_into().unwrap()).to_f32(),
        });
        let values: Vec<f32> = values.collect();
        assert!(values.iter().enumerate().all(|(i, value)| i % stride < cols || value.is_nan()));
        values.into_iter().enumerate().filter(|(i, _)| i % stride < cols).map(|(_, value)| value).collect()
    }
}

fn random(rows: usize, cols: usize, generator: &mut rand_chacha::ChaCha8Rng) -> Matrix<f32> {
    Matrix { rows, cols, data: (0..rows * cols).map(|_| generator.random::<f32>() * 2.0 - 1.0).collect() }
}

/// `expected` is the CPU backend's, from the same rounded inputs. In f32 what differs is the rounding of sums: 2e-6 covers
/// those of some hundred terms, and √terms · 2⁻²⁴ (each partial sum is rounded by at most 2⁻²⁴ of its size, and errors add up
/// as a random walk) those of more. In bf16 results,
/// probabilities and their gradients are rounded, each by at most 2⁻⁹ of its size; a result is a sum of products of rounded
/// probabilities that add up to 1 with values below 1 (gradients of V: that add up to the number of rows that
/// look at a key, about ln T for random scores), so 2⁻⁷ of the largest result bounds the rounding with room for the
/// cancellation in dP − D, which is of the size of dP.
fn compare(what: &str, element: Element, terms: usize, values: &[f32], expected: &[f32]) {
    assert_eq!(values.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1.0f32, |largest, value| largest.max(value.abs()));
    let bound = match element {
        Element::F32 => f32::max(2e-6, (terms as f32).sqrt() / 16_777_216.0) * largest,
        Element::Bf16 => largest / 128.0,
    };
    for (i, (value, expected)) in values.iter().zip(expected).enumerate() {
        assert!((value - expected).abs() <= bound, "{what}[{i}]: {value}, expected {expected} ± {bound}");
    }
}

pub fn check_sequences_on<D: Device>(device: &D, element: Element, shape: AttentionShape, seed: u64) {
    let mut generator = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let AttentionShape { sequences, context_length, num_heads, num_kv_heads, head_dim } = shape;
    let (n, wide, narrow) = (sequences * context_length, num_heads * head_dim, num_kv_heads * head_dim);
    let mut host = |cols| random(n, cols, &mut generator);
    let (mut q, mut k, mut v, mut d_out) = (host(wide), host(narrow), host(narrow), host(wide));
    let on_device = |element, values: &mut Matrix<f32>| Padded::new(device, element, values);
    let (q_on, k_on) = (on_device(element, &mut q), on_device(element, &mut k));
    let (v_on, d_out_on) = (on_device(element, &mut v), on_device(element, &mut d_out));
    let empty = |element, cols| on_device(element, &mut Matrix { rows: n, cols, data: vec![9.0; n * cols] });
    let (out_on, lse_on) = (empty(element, wide), empty(Element::F32, num_heads));
    let [d_q_on, d_k_on, d_v_on] = [wide, narrow, narrow].map(|cols| empty(element, cols));
    let statistics = device.allocate(statistics_bytes(shape)).unwrap();
    let saved = Saved {
        d_out: &d_out_on.operand,
        out: &out_on.operand,
        log_sum_exp: &lse_on.operand,
        q: &q_on.operand,
        k: &k_on.operand,
        v: &v_on.operand,
    };
    let (inputs, outputs) =
        ([&q_on.operand, &k_on.operand, &v_on.operand], [&d_q_on.operand, &d_k_on.operand, &d_v_on.operand]);
    // SAFETY: all operands are live, and the outputs apart from the inputs.
    unsafe {
        forward(device, shape, [&out_on.operand, &lse_on.operand], inputs).unwrap();
        backward(device, shape, outputs, &saved, device.address(&statistics)).unwrap();
    }
    // In f64, so that the rounding is ours alone.
    let cpu = CpuBackend::<f64>::new();
    let [q, k, v, d_out] = [q, k, v, d_out].map(|m| Matrix {
        rows: m.rows,
        cols: m.cols,
        data: m.data.into_iter().map(f64::from).collect(),
    });
    let (mut out, mut lse) = (cpu.zeros(n, wide), cpu.zeros(n, num_heads));
    cpu.attention(shape, &mut out, &mut lse, &q, &k, &v);
    let (mut d_q, mut d_k, mut d_v) = (cpu.zeros(n, wide), cpu.zeros(n, narrow), cpu.zeros(n, narrow));
    cpu.attention_backward(shape, &mut d_q, &mut d_k, &mut d_v, &d_out, &out, &lse, &q, &k, &v);
    for (what, ours, expected) in [
        ("out", &out_on, out),
        ("log-sum-exp", &lse_on, lse),
        ("dq", &d_q_on, d_q),
        ("dk", &d_k_on, d_k),
        ("dv", &d_v_on, d_v),
    ] {
        let expected: Vec<f32> = expected.data.iter().map(|&value| value as f32).collect();
        // Gradients of keys and values are sums over queries; all else are means, whatever the number of keys.
        let terms = if matches!(what, "dk" | "dv") { context_length * num_heads / num_kv_heads } else { 1 };
        compare(&format!("{what} of {shape:?}"), element, terms, &ours.read(device), &expected);
    }
}

fn check_packed_on<D: Device>(device: &D, element: Element, shape: PackedShape, seed: u64) {
    let mut generator = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let (n, h) = (shape.tokens(), shape.head_dim);
    let mut host = |heads: usize| random(n, heads * h, &mut generator);
    let (mut q, mut k, mut v) = (host(shape.num_heads), host(shape.num_kv_heads), host(shape.num_kv_heads));
    let [q_on, k_on, v_on] = [&mut q, &mut k, &mut v].map(|values| Padded::new(device, element, values));
    let mut expected = CpuBackend::<f32>::new().zeros(n, shape.num_heads * h);
    let out_on = Padded::new(device, element, &mut expected);
    let spans = packed_spans(shape, element);
    let table = device.allocate(spans.len().max(1)).unwrap();
    // SAFETY: the table has as many bytes; the operands are live.
    unsafe {
        device.upload(device.address(&table), &spans).unwrap();
        let inputs = [&q_on.operand, &k_on.operand, &v_on.operand];
        let heads = [shape.num_heads, shape.num_kv_heads, h];
        of_spans(device, heads, &out_on.operand, inputs, &spans, device.address(&table)).unwrap();
    }
    CpuBackend::<f32>::new().packed_attention(shape, &mut expected, &q, &k, &v);
    compare(&format!("{shape:?}"), element, 1, &out_on.read(device), &expected.data);
}

/// [`cached::few`] with memory of its own.
fn few_on<D: Device>(device: &D, shape: CachedShape, past: usize, out: &Operand, inputs: [&Operand; 3]) {
    let scratch = device.allocate(cached::scratch_bytes(shape, past).max(1)).unwrap();
    let past_on = device.allocate(4).unwrap();
    let addresses = [device.address(&past_on), device.address(&scratch)];
    // SAFETY: four bytes of memory; the operands are live.
    unsafe {
        device.upload(addresses[0], &(past as u32).to_ne_bytes()).unwrap();
        cached::few(device, shape, past, addresses, out, inputs).unwrap();
    }
    device.synchronize().unwrap();
}

/// Both ways to attend over a cache, whose spare rows are NaN: few queries at once whatever their number, and tiles of them.
fn check_cached_on<D: Device>(device: &D, element: Element, shape: CachedShape, past: usize, seed: u64) {
    let mut generator = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let CachedShape { queries, num_heads, num_kv_heads, head_dim } = shape;
    let (wide, narrow, seen) = (num_heads * head_dim, num_kv_heads * head_dim, past + queries);
    let mut q = random(queries, wide, &mut generator);
    let [mut k, mut v] = [(); 2].map(|()| {
        let mut cache = random(seen + 2, narrow, &mut generator);
        cache.data[seen * narrow..].fill(f32::NAN);
        cache
    });
    let [q_on, k_on, v_on] = [&mut q, &mut k, &mut v].map(|values| Padded::new(device, element, values));
    let mut expected = CpuBackend::<f32>::new().zeros(queries, wide);
    let [few, tiles] = [(); 2].map(|()| Padded::new(device, element, &mut expected));
    let inputs = [&q_on.operand, &k_on.operand, &v_on.operand];
    let spans = cached::spans(shape, past, element);
    let table = device.allocate(spans.len()).unwrap();
    few_on(device, shape, past, &few.operand, inputs);
    // SAFETY: the table has as many bytes; the operands are live.
    unsafe {
        device.upload(device.address(&table), &spans).unwrap();
        let heads = [num_heads, num_kv_heads, head_dim];
        of_spans(device, heads, &tiles.operand, inputs, &spans, device.address(&table)).unwrap();
    }
    CpuBackend::<f32>::new().cached_attention(shape, &past, &mut expected, &q, &k, &v);
    for (way, ours) in [("few", &few), ("tiles", &tiles)] {
        compare(&format!("{way} of {shape:?} after {past}"), element, 1, &ours.read(device), &expected.data);
    }
}

/// Kv heads, query heads of each, head dim: any width up to 128, those of real models more often.
fn heads() -> impl Strategy<Value = (usize, usize, usize)> {
    let width = prop_oneof![1..=128usize, Just(64), Just(128), (1..=16usize).prop_map(|n| 8 * n)];
    (1..=2usize, 1..=3usize, width)
}

fn on_random_shapes<S: Strategy>(cases: u32, strategy: S, test: impl Fn(S::Value)) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let generator = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    TestRunner::new_with_rng(config, generator)
        .run(&strategy, |value| {
            test(value);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

/// Sequences of `cases` random shapes.
pub fn check_sequences<D: Device>(device: &D, cases: u32) {
    let shapes = (1..=2usize, prop_oneof![1..=20usize, 60..=70usize, 120..=140usize], heads(), 0..1000u64);
    on_random_shapes(cases, shapes, |(sequences, context_length, (kv, group, head_dim), seed)| {
        let shape =
            AttentionShape { sequences, context_length, num_heads: kv * group, num_kv_heads: kv, head_dim };
        for element in [Element::F32, Element::Bf16] {
            check_sequences_on(device, element, shape, seed);
        }
    });
}

/// Packed passes of `cases` random shapes.
pub fn check_packed_passes<D: Device>(device: &D, cases: u32) {
    let length = || prop_oneof![0..=9usize, 60..=66usize];
    let group = || (prop_oneof![length(), 120..=140usize], prop::collection::vec(length(), 0..4));
    let shapes = (prop::collection::vec(group(), 1..3), heads());
    on_random_shapes(cases, (shapes, 0..1000u64), |((groups, (kv, group, head_dim)), seed)| {
        let groups: Vec<(usize, &[usize])> =
            groups.iter().map(|(prefix, tails)| (*prefix, &tails[..])).collect();
        let segments = packed_segments(&groups);
        let shape = PackedShape { segments: &segments, num_heads: kv * group, num_kv_heads: kv, head_dim };
        for element in [Element::F32, Element::Bf16] {
            check_packed_on(device, element, shape, seed);
        }
    });
}

/// Caches of `cases` random shapes: around the ends of pieces, and where pieces grow.
pub fn check_caches<D: Device>(device: &D, cases: u32) {
    let short = (prop_oneof![0..=20usize, 120..=136usize, 250..=400usize], 1..=17usize);
    let long = (prop_oneof![1000..=1100usize, 8180..=8200usize], 1..=2usize);
    let shapes = (prop_oneof![2 => short, 1 => long], heads(), 0..1000u64);
    on_random_shapes(cases, shapes, |((past, queries), (kv, group, head_dim), seed)| {
        let shape = CachedShape { queries, num_heads: kv * group, num_kv_heads: kv, head_dim };
        for element in [Element::F32, Element::Bf16] {
            check_cached_on(device, element, shape, past, seed);
        }
    });
}

#[test]
fn caches_of_any_shape() {
    let Some(device) = EmulatedDevice::new() else { return };
    check_caches(&Queue::new(device), 16);
}

/// A query has the same bits alone and beside others, over one piece or the first of several.
#[test]
fn cached_queries_are_independent() {
    let Some(device) = EmulatedDevice::new() else { return };
    let mut generator = rand_chacha::ChaCha8Rng::seed_from_u64(3);
    let (past, queries, num_heads, num_kv_heads, head_dim) = (126, 5, 4, 2, 24);
    let mut host = |rows, heads| random(rows, heads * head_dim, &mut generator);
    let (mut q, mut k, mut v) =
        (host(queries, num_heads), host(past + queries, num_kv_heads), host(past + queries, num_kv_heads));
    for element in [Element::F32, Element::Bf16] {
        let [q, k, v] = [&mut q, &mut k, &mut v].map(|values| Padded::new(&device, element, values));
        let mut zeros = CpuBackend::<f32>::new().zeros(queries, num_heads * head_dim);
        let [together, alone] = [(); 2].map(|()| Padded::new(&device, element, &mut zeros));
        let shape = |queries| CachedShape { queries, num_heads, num_kv_heads, head_dim };
        let cache = [&k.operand, &v.operand];
        few_on(&device, shape(queries), past, &together.operand, [&q.operand, cache[0], cache[1]]);
        for query in 0..queries {
            let row = |of: &Padded<EmulatedDevice>| {
                let from = (query * of.operand.stride * element.bytes()) as u64;
                Operand { address: of.operand.address + from, rows: 1, ..of.operand }
            };
            few_on(&device, shape(1), past + query, &row(&alone), [&row(&q), cache[0], cache[1]]);
        }
        assert!(together.read(&device) == alone.read(&device), "{element:?}");
    }
}

#[test]
fn sequences_of_any_shape() {
    let Some(device) = EmulatedDevice::new() else { return };
    check_sequences(&Queue::new(device), 12);
}

#[test]
fn packed_passes_of_any_shape() {
    let Some(device) = EmulatedDevice::new() else { return };
    check_packed_passes(&Queue::new(device), 12);
}

#[test]
fn heads_wider_than_the_kernels_are_refused_by_name() {
    for element in [Element::F32, Element::Bf16] {
        assert!(
            Kernel::new(element, LARGEST_HEAD_DIM, ("attention_forward", "attention_forward"), "").is_ok()
        );
        let told = Kernel::new(element, 160, ("attention_forward", "attention_forward"), "").err().unwrap();
        assert_eq!(told, DeviceError::HeadTooWide { head_dim: 160, most: 128 });
    }
}
