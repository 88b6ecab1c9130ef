//! The output head: losses, gradients, log-probabilities, distillation.
use super::{Case, Host};
use crate::tensor::{Backend, Distillation, TeacherHead};

pub(super) fn head<B: Backend>(case: &Case<B>, tokens: usize, vocab: usize, d: usize) {
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
pub(super) fn distilled_head<B: Backend>(
    case: &Case<B>,
    [tokens, vocab, d, their_d]: [usize; 4],
    of: Distillation,
) {
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
