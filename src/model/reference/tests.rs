//! The oracle itself is checked: gradients against central differences, values against facts that need no engine.
use super::*;
use crate::model::fixtures::{cases, config, tokens, weights};

/// Central differences of fourth order in f64, (8(L(w+ε) − L(w−ε)) − (L(w+2ε) − L(w−2ε))) / 12ε: at ε = 2e-4 the
/// truncation error ε⁴/30·L⁽⁵⁾ stays below 5e-10 for fifth derivatives up to 1e7 (embeddings behind a norm over few
/// channels have such), the rounding error is about 1e-16/ε = 5e-13. Tolerance: atol 1e-9 + rtol 1e-6.
#[test]
fn gradients_equal_central_differences() {
    let epsilon = 2e-4;
    for (name, config, sequences, length) in cases() {
        let weights = weights::<f64>(&config, 1);
        let inputs = tokens(sequences * length, config.vocab_size, 2);
        let targets = tokens(sequences * length, config.vocab_size, 3);
        let (value, gradients) = loss_and_gradients(&config, &weights, &inputs, &targets, sequences);
        let again = loss(&config, &weights, &inputs, &targets, sequences);
        assert!((value - again).abs() <= 1e-14 * again.abs(), "{name}: {value} {again}");

        let mut moved = weights.clone();
        for (leaf, (tensor, gradient)) in gradients.named().into_iter().enumerate() {
            assert_eq!(gradient.data.len(), weights.leaves()[leaf].data.len(), "{name} {tensor}");
            for (i, &found) in gradient.data.iter().enumerate() {
                let mut loss_at = |step: f64| {
                    moved.leaves_mut()[leaf].data[i] = weights.leaves()[leaf].data[i] + step;
                    loss(&config, &moved, &inputs, &targets, sequences)
                };
                let near = loss_at(epsilon) - loss_at(-epsilon);
                let far = loss_at(2.0 * epsilon) - loss_at(-2.0 * epsilon);
                let expected = (8.0 * near - far) / (12.0 * epsilon);
                moved.leaves_mut()[leaf].data[i] = weights.leaves()[leaf].data[i];
                assert!(
                    (found - expected).abs() <= 1e-9 + 1e-6 * expected.abs(),
                    "{name} {tensor}[{i}]: {found} against {expected}"
                );
            }
        }
    }
}

/// f32 differs from f64 by rounding alone: a few hundred operations of relative error 6e-8 each.
#[test]
fn f32_agrees_with_f64() {
    for (name, config, sequences, length) in cases() {
        let inputs = tokens(sequences * length, config.vocab_size, 2);
        let targets = tokens(sequences * length, config.vocab_size, 3);
        let narrow = weights::<f32>(&config, 1);
        let wide = narrow.map(|m| Matrix {
            rows: m.rows,
            cols: m.cols,
            data: m.data.iter().map(|&x| f64::from(x)).collect(),
        });
        let (expected_loss, expected) = loss_and_gradients(&config, &wide, &inputs, &targets, sequences);
        let (found_loss, found) = loss_and_gradients(&config, &narrow, &inputs, &targets, sequences);
        assert!((found_loss - expected_loss).abs() <= 1e-5, "{name}: {found_loss} against {expected_loss}");
        for ((tensor, found), expected) in found.named().into_iter().zip(expected.leaves()) {
            for (i, (&f, &e)) in found.data.iter().zip(&expected.data).enumerate() {
                assert!((f.to_f64() - e).abs() <= 2e-6 + 1e-4 * e.abs(), "{name} {tensor}[{i}]: {f} {e}");
            }
        }
    }
}

/// All logits equal (zero embeddings in an untied head): the loss is ln V whatever the targets.
#[test]
fn zero_head_gives_uniform_predictions() {
    let config = config(9, 8, 4, false, &[(2, 1, 6)]);
    let mut weights = weights::<f64>(&config, 1);
    if let Some(head) = &mut weights.head {
        head.data.fill(0.0);
    }
    let found = loss(&config, &weights, &tokens(8, 9, 1), &tokens(8, 9, 2), 2);
    assert!((found - 9f64.ln()).abs() < 1e-14, "{found}");
}

/// Logits after a token depend on it and on what stands before it in its own sequence, on nothing else. Exactly: the
/// masked weights are 0.0, and 0.0·v adds nothing.
#[test]
fn attention_is_causal_and_within_sequences() {
    let config = config(11, 8, 4, true, &[(2, 1, 6), (2, 2, 5)]);
    let weights = weights::<f64>(&config, 1);
    let (sequences, length) = (3, 6);
    let before = tokens(sequences * length, 11, 1);
    let base = logits(&config, &weights, &before, sequences);
    let changed = length + 3; // Position 3 of sequence 1.
    let mut after = before.clone();
    after[changed] = (before[changed] + 1) % 11;
    let moved = logits(&config, &weights, &after, sequences);
    for row in 0..sequences * length {
        let same = base.data[row * 11..(row + 1) * 11] == moved.data[row * 11..(row + 1) * 11];
        let may_change = (changed..2 * length).contains(&row);
        assert_eq!(!same, may_change, "row {row}");
    }
}

/// Attention weights sum to 1: over equal values (values are not rotated) the mixture is that value at every position.
#[test]
fn equal_tokens_have_equal_logits_at_every_position() {
    let config = config(11, 8, 4, true, &[(4, 2, 6)]);
    let logits = logits(&config, &weights::<f64>(&config, 1), &[4; 6], 1);
    for row in logits.data.chunks(11) {
        for (found, expected) in row.iter().zip(&logits.data) {
            assert!((found - expected).abs() < 1e-13);
        }
    }
}

/// One layer: the taps reproduce the last residual stream, x + o_in Woᵀ + down_in Wdᵀ, and so the logits.
#[test]
fn linear_inputs_reproduce_the_logits() {
    let config = config(11, 6, 4, false, &[(3, 1, 7)]);
    let weights = weights::<f64>(&config, 1);
    let ids = tokens(8, 11, 1);
    let taps = &linear_inputs(&config, &weights, &ids, 2)[0];
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let row = |m: &Matrix<f64>, r: usize| m.data[r * m.cols..(r + 1) * m.cols].to_vec();
    let rms = |x: &[f64]| (dot(x, x) / x.len() as f64 + config.rms_norm_eps).sqrt();
    let (layer, expected) = (&weights.layers[0], logits(&config, &weights, &ids, 2));
    for (n, &id) in ids.iter().enumerate() {
        let embedding = row(&weights.embed, id as usize);
        for c in 0..6 {
            let attn_in = embedding[c] / rms(&embedding) * layer.attn_norm.data[c];
            assert!((taps.attn_in.data[n * 6 + c] - attn_in).abs() < 1e-13);
        }
        let middle: Vec<f64> =
            (0..6).map(|c| embedding[c] + dot(&row(&taps.o_in, n), &row(&layer.o.weight, c))).collect();
        let ffn_in: Vec<f64> = (0..6).map(|c| middle[c] / rms(&middle) * layer.ffn_norm.data[c]).collect();
        assert!(ffn_in.iter().zip(row(&taps.ffn_in, n)).all(|(a, b)| (a - b).abs() < 1e-13));
        for j in 0..7 {
            let gate = dot(&ffn_in, &row(&layer.gate.weight, j));
            let channel = gate / (1.0 + (-gate).exp()) * dot(&ffn_in, &row(&layer.up.weight, j));
            assert!((taps.down_in.data[n * 7 + j] - channel).abs() < 1e-13);
        }
        let last: Vec<f64> =
            (0..6).map(|c| middle[c] + dot(&row(&taps.down_in, n), &row(&layer.down.weight, c))).collect();
        let normed: Vec<f64> = (0..6).map(|c| last[c] / rms(&last) * weights.norm.data[c]).collect();
        for v in 0..11 {
            let logit = dot(&normed, &row(weights.head.as_ref().expect("untied"), v));
            assert!((logit - expected.data[n * 11 + v]).abs() < 1e-12);
        }
    }
}
