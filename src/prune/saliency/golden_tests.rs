//! Every rule against scores that PyTorch's autograd and NumPy make from the definitions (`tests/golden/make_rules.py`).
use super::*;
use crate::model::llama::Objective;
use crate::model::network::{ExplicitNetwork, Network};
use crate::model::taps::Observation;
use crate::prune::statistics::{Collector, Needs, unit_effect};
use crate::prune::testing::small_spec;
use crate::rules::saliency::RULES;
use crate::schema::ParamKind;
use crate::spec::{Fisher, GroupType, PruneSpec};
use crate::tensor::{Accumulation, CpuBackend, Matrix};
use serde::Deserialize;
use std::collections::BTreeMap;

type Tree = Weights<Matrix<f64>>;
/// `[place][group]` by type.
type Scores = BTreeMap<String, Vec<Vec<f64>>>;

#[derive(Deserialize)]
struct Golden {
    config: ModelConfig,
    sequences: usize,
    inputs: Vec<u32>,
    targets: Vec<u32>,
    damping: f64,
    scores: BTreeMap<String, Scores>,
}

const BACKEND: CpuBackend<f64> = CpuBackend::new();

/// The generator of the script: `u = x / 2³²` after each `x ← 1664525 x + 1013904223 mod 2³²`.
fn weights_of(config: &ModelConfig) -> Tree {
    let mut state = 1u32;
    let mut uniform = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state) / 2f64.powi(32)
    };
    Weights::shapes(config).map_params(|id, &[rows, cols]| {
        let norm = id.kind() == ParamKind::Norm;
        let mut element = || if norm { 1.0 + (uniform() - 0.5) / 2.0 } else { uniform() - 0.5 };
        Matrix { rows, cols, data: (0..rows * cols).map(|_| element()).collect() }
    })
}

#[test]
fn every_rule_scores_as_its_definition() {
    let golden: Golden =
        serde_json::from_str(include_str!("../../../tests/golden/rules.json")).expect("the file is sound");
    let Golden { config, sequences, inputs, targets, damping, scores } = &golden;
    let (weights, n) = (weights_of(config), inputs.len());
    let groups = Groups::new(&small_spec(), config).unwrap();
    let mut network = ExplicitNetwork::new(&BACKEND);
    let zeros = || weights.map(|w| BACKEND.zeros(w.rows, w.cols));
    let scale = 1.0 / n as f64;

    let wanted: Vec<Statistic> = RULES.iter().flat_map(|rule| rule.needs).copied().collect();
    let spec = PruneSpec { fisher: Fisher::BY_POSITION, ..small_spec() };
    let mut collector = Collector::new(&BACKEND, config, &groups, &Needs::of(&spec, None, &wanted));
    collector.count(n);
    let (mut grads, mut entropy) = (zeros(), zeros());
    let mut tap = |seen: Observation<'_, Matrix<f64>>| collector.observe(&BACKEND, &seen);
    let objective = Objective::CrossEntropy(targets);
    network.differentiate(config, &weights, inputs, objective, *sequences, scale, &mut grads, Some(&mut tap));
    network.differentiate(
        config,
        &weights,
        inputs,
        Objective::Entropy,
        *sequences,
        scale,
        &mut entropy,
        None,
    );
    let (mut statistics, fisher) = collector.finish(&BACKEND, n, (0, 0));
    statistics.grams.as_mut().unwrap().invert(*damping).unwrap();
    let fisher = fisher.unwrap();

    // By sequence: gradients of summed losses, squared.
    let (mut by_sequence, mut effects) = (zeros(), GroupScores::zeros(&groups, config));
    let t = n / sequences;
    for (inputs, targets) in inputs.chunks(t).zip(targets.chunks(t)) {
        let mut unit = zeros();
        let objective = Objective::CrossEntropy(targets);
        network.differentiate(config, &weights, inputs, objective, 1, 1.0, &mut unit, None);
        let mut ignored = zeros();
        let sums = ignored.leaves_mut().into_iter().zip(by_sequence.leaves_mut()).zip(unit.leaves());
        let leaf = |((sum, squares), x)| Accumulation { x, sum, squares: Some(squares) };
        BACKEND.accumulate(scale, 1.0, &mut sums.map(leaf).collect::<Vec<_>>());
        unit_effect::add(&mut effects, scale, &BACKEND, config, &groups, [&weights, &unit]);
    }

    let mut held = 0;
    let mut hold =
        |name: &str, rule: Saliency, reduction, normaliser, grads: &Tree, fisher: &Tree, statistics| {
            let survivors = &Survivors::all(config);
            let context = SaliencyContext {
                backend: &BACKEND,
                config,
                groups: &groups,
                survivors,
                source: config,
                weights: &weights,
                grads: Some(grads),
                fisher: Some(fisher),
                moments: Some([grads, &by_sequence]),
                statistics: Some(statistics),
                seed: 1,
            };
            let found = normalised_scores(rule, reduction, normaliser, &context).unwrap();
            for kind in [GroupType::Ffn, GroupType::Head, GroupType::Stem] {
                let expected = &scores[name][kind.name()];
                assert_eq!(found.of(kind).len(), expected.len(), "{name}");
                for (found, expected) in found.of(kind).iter().zip(expected) {
                    assert_eq!(found.len(), expected.len(), "{name}");
                    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
                        // f64 sums of some hundred terms in another order.
                        let bound = 1e-12 + 1e-9 * expected.abs();
                        assert!(
                            (found - expected).abs() <= bound,
                            "{name}, {kind:?} {i}: {found}, expected {expected}"
                        );
                    }
                }
            }
            held += 1;
        };
    let plain = (Reduction::Sum, Normaliser::None);
    for rule in RULES.iter().filter(|rule| rule.name != "random") {
        let grads = if rule.needs(Statistic::EntropyGradient) { &entropy } else { &grads };
        hold(rule.name, (*rule).into(), plain.0, plain.1, grads, &fisher, &statistics);
    }
    let rule = |name| Saliency::named(name).unwrap();
    hold("taylor2 by sequence", rule("taylor2"), plain.0, plain.1, &grads, &by_sequence, &statistics);
    for (name, reduction) in [
        ("taylor1 mean", Reduction::Mean),
        ("taylor1 max", Reduction::Max),
        ("taylor1 prod", Reduction::Prod),
        ("taylor1 first", Reduction::First),
    ] {
        hold(name, Saliency::TAYLOR1, reduction, Normaliser::None, &grads, &fisher, &statistics);
    }
    for (name, normaliser) in
        [("taylor1 layer_mean", Normaliser::LayerMean), ("taylor1 layer_zscore", Normaliser::LayerZscore)]
    {
        hold(name, Saliency::TAYLOR1, Reduction::Sum, normaliser, &grads, &fisher, &statistics);
    }
    let mut by_unit = statistics.clone();
    by_unit.effects.insert(Statistic::SquaredEffect, effects);
    let name = "fisher_group by sequence";
    hold(name, rule("fisher_group"), plain.0, plain.1, &grads, &fisher, &by_unit);
    assert_eq!(held, scores.len(), "a golden score that nothing is held to");
}
