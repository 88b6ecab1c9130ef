//! The gradients of a model that learns from another, hand-written and by automatic differentiation.
use super::ReferenceNetwork;
use crate::model::fixtures::{cases, config, tokens, weights};
use crate::model::llama::{Objective, Teacher};
use crate::model::network::{ExplicitNetwork, Network};
use crate::tensor::{CpuBackend, Distillation};

/// Every parameter of every shape that has gone wrong somewhere before, from a teacher of another shape.
#[test]
fn distilled_gradients_equal_autodiff_in_f64() {
    let backend = CpuBackend::<f64>::new();
    for (place, (name, student, sequences, length)) in cases().into_iter().enumerate() {
        let teacher = config(student.vocab_size, 10, 4, place % 2 == 0, &[(2, 1, 7)]);
        let (own, theirs) = (weights::<f64>(&student, 1), weights::<f64>(&teacher, 4));
        let inputs = tokens(sequences * length, student.vocab_size, 2);
        let targets = tokens(sequences * length, student.vocab_size, 3);
        let top_k = [0, 3][place % 2];
        let of = Distillation { weight: 0.7, temperature: 1.5, top_k };
        let lesson = Teacher { config: &teacher, weights: &theirs };
        let objective = Objective::Distillation { targets: &targets, teacher: lesson, of };
        let pass = |network: &mut dyn Network<CpuBackend<f64>>| {
            let mut grads = weights::<f64>(&student, 5);
            let loss =
                network.differentiate(&student, &own, &inputs, objective, sequences, 0.75, &mut grads, None);
            (loss, grads)
        };
        let (found, expected) = (pass(&mut ExplicitNetwork::new(&backend)), pass(&mut ReferenceNetwork));
        assert!(
            (found.0 - expected.0).abs() < 1e-10 * expected.0.abs().max(1.0),
            "{name}: {} {}",
            found.0,
            expected.0
        );
        for ((tensor, found), expected) in found.1.named().into_iter().zip(expected.1.leaves()) {
            let largest = expected.data.iter().fold(0.0f64, |most, x| most.max(x.abs()));
            for (i, (f, e)) in found.data.iter().zip(&expected.data).enumerate() {
                assert!(
                    (f - e).abs() <= 1e-10 * largest + 1e-9 * e.abs(),
                    "{name} {tensor}[{i}]: {f} against {e}"
                );
            }
        }
    }
}
