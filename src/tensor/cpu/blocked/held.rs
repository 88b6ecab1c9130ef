//! Weights that stay as they are for a while ([`crate::tensor::Backend::hold`]): packed at their first product, and not again.
use super::kernel::{Kernel, Kind};
use super::pack::{Along, Right};
use super::product::Operand;
use crate::tensor::Matrix;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

/// Where a matrix is, and how it is packed.
type Key = (usize, [usize; 2], Kind);

/// A matrix as the right operand of products, by the side that k runs along.
#[derive(Default)]
struct Forms {
    lines: OnceLock<Arc<Right>>,
    columns: OnceLock<Arc<Right>>,
}

/// Matrices in use by a [`Release`], which borrows them: no other can stand at their places.
static HELD: RwLock<Option<HashMap<Key, Arc<Forms>>>> = RwLock::new(None);

fn key(kernel: Kernel, matrix: &Matrix<f32>) -> Key {
    (matrix.data.as_ptr() as usize, [matrix.rows, matrix.cols], kernel.kind)
}

/// Forgets what was held when it goes.
pub struct Release(Vec<Key>);

/// Holds `matrices` until the result goes; those that are held already are left to whoever holds them.
pub fn hold(kernel: Kernel, matrices: &[&Matrix<f32>]) -> Release {
    let mut held = HELD.write().unwrap_or_else(PoisonError::into_inner);
    let held = held.get_or_insert_default();
    let mut own = Vec::new();
    for matrix in matrices.iter().filter(|matrix| !matrix.data.is_empty()) {
        let key = key(kernel, matrix);
        if let Entry::Vacant(place) = held.entry(key) {
            place.insert(Arc::default());
            own.push(key);
        }
    }
    Release(own)
}

impl Drop for Release {
    fn drop(&mut self) {
        let mut held = HELD.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held.as_mut() {
            self.0.iter().for_each(|key| drop(held.remove(key)));
        }
    }
}

/// `matrix` as a right operand: packed before where it is held, else now.
pub fn right(kernel: Kernel, matrix: &Matrix<f32>, along: Along) -> Arc<Right> {
    let packed = || Arc::new(Operand { matrix, along }.right(kernel));
    let forms = {
        let held = HELD.read().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().and_then(|held| held.get(&key(kernel, matrix)).cloned())
    };
    let Some(forms) = forms else { return packed() };
    let form = match along {
        Along::Lines => &forms.lines,
        Along::Columns => &forms.columns,
    };
    if let Some(right) = form.get() {
        return right.clone();
    }
    // Packed outside of the lock: a thread that waits for others in it may be handed work that asks for the same.
    let right = packed();
    let _ = form.set(right.clone());
    right
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::stream;
    use crate::tensor::{Backend, CpuBackend, CpuBf16, Product};
    use rand::RngExt;

    /// Held weights give the bits of others; once they are let go, a change is seen.
    #[test]
    fn what_is_held_is_packed_once_and_forgotten_with_its_guard() {
        let mut rng = stream(8, "held");
        let mut random = |rows: usize, cols: usize| {
            let data = (0..rows * cols).map(|_| rng.random_range(-1.0f32..1.0)).collect();
            Matrix { rows, cols, data }
        };
        let (x, mut weight, dy) = (random(40, 50), random(30, 50), random(40, 30));
        let in_bf16 = [CpuBf16::Avx512Bf16, CpuBf16::AmxBf16]
            .map(|kind| (CpuBackend::in_bf16(kind), Kernel::new(kind)));
        let in_f32 = Kernel::f32().map(|kernel| (CpuBackend::<f32>::new(), kernel));
        for (backend, kernel) in in_bf16.into_iter().chain(in_f32) {
            let products = |weight: &Matrix<f32>| {
                let (mut y, mut dx) = (backend.zeros(40, 30), backend.zeros(40, 50));
                backend.linear(&mut y, &x, weight, None);
                backend.matmul(Product::NN, &mut dx, false, &dy, weight);
                (y, dx)
            };
            let before = products(&weight);
            {
                let _held = backend.hold(&[&weight]);
                assert!(products(&weight) == before && products(&weight) == before, "{kernel:?}");
                let place = key(kernel, &weight);
                let held = HELD.read().unwrap();
                let forms = &held.as_ref().unwrap()[&place];
                assert!(forms.lines.get().is_some() && forms.columns.get().is_some());
            }
            weight.data[7] += 1.0;
            let changed = products(&weight);
            assert!(changed.0 != before.0 && changed.1 != before.1, "{kernel:?}");
            weight.data[7] -= 1.0;
        }
    }

    /// In f32 a model beyond the limit is not held: its memory is not taken twice.
    #[test]
    fn large_models_are_not_held_in_f32() {
        let Some(kernel) = Kernel::f32() else { return };
        let weight = Matrix { rows: 1, cols: 1 << 20, data: vec![0.0f32; 1 << 20] };
        let is_held = |times: usize| {
            let _held = CpuBackend::<f32>::new().hold(&vec![&weight; times]);
            HELD.read().unwrap().as_ref().is_some_and(|held| held.contains_key(&key(kernel, &weight)))
        };
        assert_eq!([1, 256, 257].map(is_held), [true, true, false]);
    }
}
