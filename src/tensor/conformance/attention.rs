//! Attention over whole sequences, packed segments and a cache, and the rotation before it.
use super::Case;
use crate::tensor::{AttentionShape, Backend, CachedShape, PackedSegment, PackedShape};

pub(super) fn rope<B: Backend>(case: &Case<B>, shape: AttentionShape) {
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

pub(super) fn attention<B: Backend>(case: &Case<B>, shape: AttentionShape) {
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

pub(super) fn packed_attention<B: Backend>(case: &Case<B>, shape: PackedShape) {
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
pub(super) fn cached_attention<B: Backend>(case: &Case<B>, past: usize, shape: CachedShape) {
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
