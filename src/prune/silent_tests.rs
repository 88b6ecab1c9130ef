//! What belongs together: removal of a group against zeros in its place, in models of random shapes.
use super::testing::{config_of, random_tree, small_spec};
use super::{GroupId, Groups, remove};
use crate::model::llama::{Workspace, log_probabilities};
use crate::model::{ModelConfig, Weights};
use crate::schema::{Axis, Param, Projection};
use crate::spec::{GroupType, HeadUnit, PruneSpec};
use crate::tensor::{CpuBackend, Matrix};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

type Tree = Weights<Matrix<f64>>;

/// `tree` with zeros where the groups own something.
fn silenced(groups: &Groups, config: &ModelConfig, tree: &Tree, taken: &[GroupId]) -> Tree {
    let mut silent = tree.clone();
    for (id, leaf) in silent.params_mut() {
        let Param { rows, cols, .. } = Param::of(id);
        let owned = |axis: Axis, index: usize| {
            let of = |group: &GroupId| {
                let owner = group.kind.owner(groups.cut(), config, axis, index);
                let whole = group.kind == GroupType::Layer && id.layer() == Some(group.position);
                whole || owner == Some((group.place, group.position))
            };
            taken.iter().any(of)
        };
        let width = leaf.cols;
        for (i, value) in leaf.data.iter_mut().enumerate() {
            if owned(rows, i / width) || owned(cols, i % width) {
                *value = 0.0;
            }
        }
    }
    silent
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 60,
        rng_seed: RngSeed::Fixed(3),
        failure_persistence: None,
        ..Default::default()
    })]
    /// A group is everything that belongs together: without it the model computes what it did with zeros in its place. So of GQA and its
    /// two units, of RoPE pairs that are gone one after the other, of biases, and of whole layers. (Hidden channels are in every norm.)
    #[test]
    fn a_model_without_a_group_is_one_in_which_it_is_silent(
        layers in 2usize..4, ratio in 1usize..4, kv in 2usize..4, half in 3usize..5, f in 2usize..4, block in 1usize..3,
        tied: bool, query_per_group: bool, biased: bool, seed in 0u64..100, at in 0usize..100,
    ) {
        let backend = CpuBackend::<f64>::new();
        let mut config = config_of([9, 5, layers, ratio, kv, 2 * half, f * block], tied);
        if biased {
            config.biases = Projection::ALL.into_iter().collect();
        }
        let spec = PruneSpec {
            block,
            types: vec![GroupType::Ffn, GroupType::Head, GroupType::HeadDim, GroupType::Layer],
            head_unit: if query_per_group { HeadUnit::QueryPerGroup } else { HeadUnit::KvGroup },
            ..small_spec()
        };
        let groups = Groups::new(&spec, &config).unwrap();
        let mut weights = random_tree(&backend, &config, seed, (-0.7, 0.7));
        let mut work = Workspace::new(&backend);
        let (inputs, targets): (Vec<u32>, Vec<u32>) = (0..8).map(|i| (i * 5 % 9, (i * 7 + 2) % 9)).unzip();
        // Pairs twice, so that those that are left have numbers of their own.
        for kind in [GroupType::HeadDim, GroupType::Head, GroupType::HeadDim, GroupType::Ffn, GroupType::Layer] {
            for place in groups.open_places(kind, &config) {
                let count = groups.count(kind, &config, place);
                let taken = [GroupId { kind, place, position: (at + place) % count }];
                let silent = silenced(&groups, &config, &weights, &taken);
                let logs = |config: &ModelConfig, weights: &Tree, work: &mut _| {
                    log_probabilities(&backend, config, weights, &inputs, &targets, 2, work)
                };
                let expected = logs(&config, &silent, &mut work);
                let kept = groups.without(&config, &taken);
                remove(&backend, &mut config, &mut [&mut weights], &kept);
                let found = logs(&config, &weights, &mut work);
                for (found, expected) in found.iter().zip(&expected) {
                    prop_assert!((found - expected).abs() <= 1e-11 * (1.0 + expected.abs()), "{kind:?} {place}");
                }
            }
        }
    }
}
