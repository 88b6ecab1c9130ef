//! Head and distillation loss in chunks of rows: neither model's N × V logits are ever held whole (equations:
//! `tensor/distillation.rs`).
use super::Matrix;
use super::cross_entropy::{LOGITS, chunk_rows, rows_of};
use super::product_in;
use super::real::Real;
use crate::base::team::map_items;
use crate::tensor::{Distillation, Product, TeacherHead};

#[allow(clippy::too_many_arguments)]
pub fn loss_and_gradients<T: Real>(
    d_hidden: &mut Matrix<T>,
    d_head: &mut Matrix<T>,
    hidden: &Matrix<T>,
    head: &Matrix<T>,
    teacher: TeacherHead<'_, Matrix<T>>,
    targets: &[u32],
    scale: f64,
    of: Distillation,
) -> f64 {
    let (vocab, d) = (head.rows, head.cols);
    assert!(hidden.rows == targets.len() && hidden.cols == d && d_hidden.data.len() == hidden.data.len());
    assert!(teacher.hidden.rows == targets.len() && teacher.head.rows == vocab, "teacher");
    let mut loss = 0.0;
    for start in (0..hidden.rows).step_by(chunk_rows(LOGITS, vocab)) {
        let end = (start + chunk_rows(LOGITS, vocab)).min(hidden.rows);
        let zeros =
            |cols: usize| Matrix { rows: end - start, cols, data: vec![T::ZERO; (end - start) * cols] };
        let (ours, theirs) = (rows_of(hidden, start, end), rows_of(teacher.hidden, start, end));
        let (mut logits, mut taught, mut d_rows) = (zeros(vocab), zeros(vocab), zeros(d));
        product_in(Product::NT, &mut logits, false, &ours, head);
        product_in(Product::NT, &mut taught, false, &theirs, teacher.head);
        let rows = logits.data.chunks_mut(vocab).zip(taught.data.chunks(vocab)).zip(&targets[start..end]);
        let losses =
            map_items(rows, |((row, taught), &target)| loss_row(row, taught, target as usize, scale, of));
        loss += losses.iter().sum::<f64>();
        product_in(Product::NN, &mut d_rows, false, &logits, head);
        d_hidden.data[start * d..end * d].copy_from_slice(&d_rows.data);
        product_in(Product::TN, d_head, true, &logits, &ours);
    }
    loss
}

/// Turns a row of logits into its gradient; returns its loss. Sums are in f64.
fn loss_row<T: Real>(row: &mut [T], taught: &[T], target: usize, scale: f64, of: Distillation) -> f64 {
    let Distillation { weight: w, temperature, .. } = of;
    let least = threshold(taught, of.compared(taught.len()));
    let is_compared = |v: usize| taught[v] >= least;
    let log_sum = |z: &[T], temperature: f64, counts: &dyn Fn(usize) -> bool| {
        let counted = || (0..z.len()).filter(|v| counts(*v)).map(|v| z[v].to_f64() / temperature);
        let largest = counted().fold(f64::NEG_INFINITY, f64::max);
        largest + counted().map(|z| (z - largest).exp()).sum::<f64>().ln()
    };
    let all = log_sum(row, 1.0, &|_| true);
    let ours = log_sum(row, temperature, &is_compared);
    let theirs = log_sum(taught, temperature, &is_compared);
    let surprise = all - row[target].to_f64();
    let mut divergence = 0.0;
    for v in 0..row.len() {
        let z = row[v].to_f64();
        let mut dz = (1.0 - w) * (z - all).exp();
        if is_compared(v) {
            let (log_p, log_q) = (taught[v].to_f64() / temperature - theirs, z / temperature - ours);
            let p = log_p.exp();
            divergence += p * (log_p - log_q);
            dz += w * temperature * (log_q.exp() - p);
        }
        if v == target {
            dz -= 1.0 - w;
        }
        row[v] = T::from_f64(scale * dz);
    }
    (1.0 - w) * surprise + w * temperature * temperature * divergence
}

/// The `count`-th largest of `values`.
fn threshold<T: Real>(values: &[T], count: usize) -> T {
    if count >= values.len() {
        return values.iter().copied().fold(values[0], |least, x| if x < least { x } else { least });
    }
    let mut sorted = values.to_vec();
    let order = |a: &T, b: &T| b.partial_cmp(a).unwrap_or(std::cmp::Ordering::Equal);
    *sorted.select_nth_unstable_by(count - 1, order).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::{Backend, CpuBackend};

    fn matrix(rows: usize, cols: usize, salt: usize) -> Matrix<f64> {
        let data = (0..rows * cols).map(|i| (((i * 37 + salt * 101) % 29) as f64 - 14.0) / 9.0).collect();
        Matrix { rows, cols, data }
    }

    struct Case {
        hidden: Matrix<f64>,
        head: Matrix<f64>,
        taught: Matrix<f64>,
        teacher: Matrix<f64>,
        targets: Vec<u32>,
    }

    fn case() -> Case {
        let targets = vec![0, 5, 10, 3];
        Case {
            hidden: matrix(4, 3, 1),
            head: matrix(11, 3, 2),
            taught: matrix(4, 5, 3),
            teacher: matrix(11, 5, 4),
            targets,
        }
    }

    fn loss(case: &Case, scale: f64, of: Distillation) -> (f64, Matrix<f64>, Matrix<f64>) {
        let (mut d_hidden, mut d_head) = (matrix(4, 3, 9), Matrix { rows: 11, cols: 3, data: vec![0.0; 33] });
        let teacher = TeacherHead { hidden: &case.taught, head: &case.teacher };
        let loss = CpuBackend::<f64>::new().head_distillation(
            &mut d_hidden,
            &mut d_head,
            &case.hidden,
            &case.head,
            teacher,
            &case.targets,
            scale,
            of,
        );
        (loss, d_hidden, d_head)
    }

    /// Fourth-order differences of every element; the threshold of `top_k` is the teacher's, which does not move.
    #[test]
    fn gradients_equal_central_differences() {
        for (weight, temperature, top_k) in
            [(0.5, 1.0, 0), (1.0, 2.5, 0), (0.3, 0.7, 4), (1.0, 1.5, 1), (0.9, 3.0, 99)]
        {
            let of = Distillation { weight, temperature, top_k };
            let (_, d_hidden, d_head) = loss(&case(), 1.0, of);
            let numeric = |change: &dyn Fn(&mut Case, f64)| {
                let at = |steps: f64| {
                    let mut case = case();
                    change(&mut case, steps * 1e-3);
                    loss(&case, 1.0, of).0
                };
                (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / 12e-3
            };
            for i in 0..12 {
                let numeric = numeric(&|case, step| case.hidden.data[i] += step);
                assert!(
                    (d_hidden.data[i] - numeric).abs() < 1e-9,
                    "{of:?} hidden[{i}]: {} {numeric}",
                    d_hidden.data[i]
                );
            }
            for i in 0..33 {
                let numeric = numeric(&|case, step| case.head.data[i] += step);
                assert!(
                    (d_head.data[i] - numeric).abs() < 1e-9,
                    "{of:?} head[{i}]: {} {numeric}",
                    d_head.data[i]
                );
            }
        }
    }

    /// Loss and gradients by PyTorch's autograd in f64 (`tests/golden/make_distillation.py`).
    #[test]
    fn loss_and_gradients_equal_pytorch() {
        #[derive(serde::Deserialize)]
        struct Golden {
            weight: f64,
            temperature: f64,
            top_k: usize,
            loss: f64,
            d_hidden: Vec<f64>,
            d_head: Vec<f64>,
        }
        let goldens: Vec<Golden> =
            serde_json::from_str(include_str!("../../../tests/golden/distillation.json"))
                .expect("a sound file");
        assert_eq!(goldens.len(), 3);
        for golden in goldens {
            let Golden { weight, temperature, top_k, .. } = golden;
            let (found, d_hidden, d_head) = loss(&case(), 1.0, Distillation { weight, temperature, top_k });
            assert!(
                (found - golden.loss).abs() < 1e-12 * golden.loss.abs(),
                "{found} against {}",
                golden.loss
            );
            for (found, expected) in [(&d_hidden.data, &golden.d_hidden), (&d_head.data, &golden.d_head)] {
                assert_eq!(found.len(), expected.len());
                assert!(
                    found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12),
                    "{found:?} {expected:?}"
                );
            }
        }
    }

    /// A teacher that is the model itself teaches nothing: what is left is the share of the cross-entropy.
    #[test]
    fn from_itself_there_is_nothing_to_learn() {
        let mut case = case();
        (case.taught, case.teacher) = (case.hidden.clone(), case.head.clone());
        let (found, d_hidden, _) = loss(&case, 1.0, Distillation { weight: 1.0, temperature: 2.0, top_k: 0 });
        assert!(found.abs() < 1e-14 && d_hidden.data.iter().all(|d| d.abs() < 1e-14), "{found}");
        let (shared, d_shared, _) =
            loss(&case, 1.0, Distillation { weight: 0.25, temperature: 2.0, top_k: 3 });
        let (mut d_plain, mut d_head) = (matrix(4, 3, 9), Matrix { rows: 11, cols: 3, data: vec![0.0; 33] });
        let backend = CpuBackend::<f64>::new();
        let plain = backend.head_cross_entropy(
            &mut d_plain,
            &mut d_head,
            &case.hidden,
            &case.head,
            &case.targets,
            1.0,
        );
        assert!((shared - 0.75 * plain).abs() < 1e-13);
        assert!(d_shared.data.iter().zip(&d_plain.data).all(|(a, b)| (a - 0.75 * b).abs() < 1e-13));
    }
}
