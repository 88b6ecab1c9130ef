//! Group scores against a naive walk over every parameter, golden numbers, stability of the random control.
use super::*;
use crate::model::Biases;
use crate::prune::testing::{config_of, random_tree, small_config, small_spec, taken_at};
use crate::spec::{GroupType, HeadUnit, PruneSpec};
use crate::tensor::cuda::emulated::EmulatedDevice;
use crate::tensor::cuda::{CudaBackend, Precision};
use crate::tensor::{CpuBackend, Matrix, ScoreLeaf};

const TYPES: [GroupType; 3] = [GroupType::Ffn, GroupType::Head, GroupType::Stem];

fn context<'a>(
    backend: &'a CpuBackend<f64>,
    config: &'a ModelConfig,
    groups: &'a Groups,
    survivors: &'a Survivors,
    trees: &'a [Weights<Matrix<f64>>; 3],
) -> SaliencyContext<'a, CpuBackend<f64>> {
    SaliencyContext {
        backend,
        config,
        groups,
        survivors,
        source: config,
        weights: &trees[0],
        grads: Some(&trees[1]),
        fisher: Some(&trees[2]),
        moments: None,
        statistics: None,
        seed: 4,
    }
}

/// `taylor` of the golden file: w = (1, −2, 3), micro-batch gradients (1, ½, −1) and (−1, 1, 1); g is their mean, F the
/// mean of their squares. |w·g| = 0 + 1½ + 0; |w·g − ½w²F| = ½ + (1½ + 1¼) + 4½.
#[test]
fn golden_taylor() {
    let backend = CpuBackend::<f64>::new();
    let row = |values: [f64; 3]| backend.from_host(1, 3, &values);
    let (w, g1, g2) = ([1.0, -2.0, 3.0], [1.0, 0.5, -1.0], [-1.0, 1.0, 1.0]);
    let mean = |f: fn(f64) -> f64| [0, 1, 2].map(|i| (f(g1[i]) + f(g2[i])) / 2.0);
    let (g, fisher) = (row(mean(|x| x)), row(mean(|x| x * x)));
    let w = row(w);
    let leaf = || ScoreLeaf { weight: &w, grad: Some(&g), fisher: Some(&fisher) };
    let total = |score| backend.score_margins(score, &[leaf()])[0].rows[0];
    // Exact in binary: halves and quarters throughout.
    assert_eq!(total(ElementScore::Taylor1), 1.5);
    assert_eq!(total(ElementScore::TaylorMix), 7.75);
    assert_eq!(total(ElementScore::MagnitudeL2), 14.0);
    assert_eq!(total(ElementScore::Taylor2), 12.5);
    assert_eq!(total(ElementScore::Signed).abs(), 1.5);
    // fisher_group: E_u[(Σ w·g_u)²] = (3² + 0²)/2.
    let effect = |g: [f64; 3]| {
        let g = row(g);
        let leaf = ScoreLeaf { weight: &w, grad: Some(&g), fisher: None };
        backend.score_margins(ElementScore::Signed, &[leaf])[0].rows[0].powi(2)
    };
    assert_eq!((effect(g1) + effect(g2)) / 2.0, 4.5);
}

/// Every parameter, walked one by one in its Hugging Face layout, adds to the groups that own its row or column.
#[test]
fn group_sums_equal_a_walk_over_every_parameter() {
    let backend = CpuBackend::<f64>::new();
    for (unit, tied, qkv_bias, block) in [
        (HeadUnit::KvGroup, true, false, 1),
        (HeadUnit::QueryPerGroup, false, false, 2),
        (HeadUnit::KvGroup, false, true, 2),
        (HeadUnit::QueryPerGroup, true, true, 1),
    ] {
        let config =
            ModelConfig { biases: if qkv_bias { Biases::QKV } else { Biases::NONE }, ..small_config(tied) };
        let spec = PruneSpec { head_unit: unit, block, ..small_spec() };
        let groups = Groups::new(&spec, &config).unwrap();
        let survivors = Survivors::all(&config);
        let trees = [(1, (-1.0, 1.0)), (2, (-1.0, 1.0)), (3, (0.0, 1.0))]
            .map(|(seed, range)| random_tree(&backend, &config, seed, range));
        let context = context(&backend, &config, &groups, &survivors, &trees);
        let expected = {
            let mut sums = TYPES.map(|kind| {
                (0..groups.places(kind, &config))
                    .map(|place| vec![0.0; groups.count(kind, &config, place)])
                    .collect::<Vec<_>>()
            });
            let [weights, grads, fisher] = trees.each_ref().map(|tree| tree.named());
            for ((name, w), ((_, g), (_, f))) in weights.iter().zip(grads.iter().zip(&fisher)) {
                let layer = if name.contains("layers.1.") { 1 } else { 0 };
                for i in 0..w.data.len() {
                    let (r, c) = (i / w.cols, i % w.cols);
                    let s = (w.data[i] * g.data[i] - 0.5 * w.data[i].powi(2) * f.data[i]).abs();
                    // h = 2, H/K = 2.
                    let query = |at: usize| match unit {
                        HeadUnit::KvGroup => Some(at / 4),
                        HeadUnit::QueryPerGroup => Some(at / 2 % 2),
                    };
                    let kv = |at: usize| (unit == HeadUnit::KvGroup).then_some(at / 2);
                    let mut name = name.rsplit('.');
                    let (ffn, head, stem) = match (name.next().unwrap(), name.next().unwrap()) {
                        // No hidden channel owns a bias.
                        ("bias", "q_proj") => (None, query(c), None),
                        ("bias", _) => (None, kv(c), None),
                        (_, "gate_proj" | "up_proj") => (Some(r), None, Some(c)),
                        (_, "down_proj") => (Some(c), None, Some(r)),
                        (_, "q_proj") => (None, query(r), Some(c)),
                        (_, "k_proj" | "v_proj") => (None, kv(r), Some(c)),
                        (_, "o_proj") => (None, query(c), Some(r)),
                        _ => (None, None, Some(c)),
                    };
                    if let Some(channel) = ffn {
                        sums[0][layer][channel / block] += s;
                    }
                    if let Some(head) = head {
                        sums[1][layer][head] += s;
                    }
                    if let Some(channel) = stem {
                        sums[2][0][channel / block] += s;
                    }
                }
            }
            sums
        };
        let scores =
            normalised_scores(Saliency::TAYLOR_MIX, Reduction::Sum, Normaliser::None, &context).unwrap();
        let scaled =
            normalised_scores(Saliency::TAYLOR_MIX, Reduction::Sum, Normaliser::PerParameter, &context)
                .unwrap();
        for (kind, expected) in TYPES.into_iter().zip(&expected) {
            assert_eq!(scores.of(kind).len(), expected.len());
            for (place, expected) in expected.iter().enumerate() {
                let size = groups.group_params(kind, &config)[place][0] as f64;
                assert_eq!(scores.of(kind)[place].len(), expected.len());
                for (at, expected) in expected.iter().enumerate() {
                    let found = [scores.of(kind)[place][at], scaled.of(kind)[place][at] * size];
                    // atol 1e-12 + rtol 1e-12: f64 sums of some hundred terms in another order.
                    assert!(
                        found.iter().all(|f| (f - expected).abs() <= 1e-12 + 1e-12 * expected),
                        "{kind:?}"
                    );
                }
            }
        }
    }
}

/// On a device an event of a deep model is as few launches and waits as one of a shallow model.
#[test]
fn launches_and_waits_do_not_grow_with_the_number_of_layers() {
    let mut asked = Vec::new();
    for layers in [1, 2, 5] {
        let Some(device) = EmulatedDevice::new() else { return };
        let backend = CudaBackend::over(device, Precision::F32);
        let config = ModelConfig { biases: Biases::QKV, ..config_of([10, 12, layers, 2, 3, 2, 8], false) };
        let groups = Groups::new(&small_spec(), &config).unwrap();
        let [weights, grads, fisher] = [1, 2, 3].map(|seed| random_tree(&backend, &config, seed, (0.0, 1.0)));
        let context = SaliencyContext {
            backend: &backend,
            config: &config,
            groups: &groups,
            survivors: &Survivors::all(&config),
            source: &config,
            weights: &weights,
            grads: Some(&grads),
            fisher: Some(&fisher),
            moments: None,
            statistics: None,
            seed: 4,
        };
        let usage = || (backend.device().launches(), backend.device().downloads());
        let before = usage();
        normalised_scores(Saliency::TAYLOR_MIX, Reduction::Sum, Normaliser::None, &context).unwrap();
        asked.push((usage().0 - before.0, usage().1 - before.1));
    }
    assert_eq!(asked, [(3, 1); 3]);
}

#[test]
fn types_that_are_not_pruned_are_not_scored() {
    let backend = CpuBackend::<f64>::new();
    let config = small_config(true);
    let spec = PruneSpec { types: vec![GroupType::Head], ..small_spec() };
    let groups = Groups::new(&spec, &config).unwrap();
    let survivors = Survivors::all(&config);
    let trees = [1, 2, 3].map(|seed| random_tree(&backend, &config, seed, (0.0, 1.0)));
    let context = context(&backend, &config, &groups, &survivors, &trees);
    for saliency in [Saliency::RANDOM, Saliency::MAGNITUDE_L2, Saliency::TAYLOR1] {
        let scores = normalised_scores(saliency, Reduction::Sum, Normaliser::None, &context).unwrap();
        assert_eq!(TYPES.map(|kind| scores.of(kind).len()), [0, 2, 0]);
    }
}

#[test]
fn a_random_score_stays_with_its_group_and_depends_on_the_seed() {
    let backend = CpuBackend::<f64>::new();
    let config = small_config(true);
    let groups = Groups::new(&small_spec(), &config).unwrap();
    let all = Survivors::all(&config);
    let trees = [1, 2, 3].map(|seed| random_tree(&backend, &config, seed, (0.0, 1.0)));
    let full = context(&backend, &config, &groups, &all, &trees);
    let before =
        normalised_scores(Saliency::RANDOM, Reduction::Sum, Normaliser::PerParameter, &full).unwrap();

    let kept = groups.without(&config, &taken_at(GroupType::Ffn, &[0, 3]));
    let smaller = kept.shape(&config);
    let sliced = SaliencyContext {
        config: &smaller,
        survivors: &kept,
        ..context(&backend, &config, &groups, &all, &trees)
    };
    let after =
        normalised_scores(Saliency::RANDOM, Reduction::Sum, Normaliser::PerParameter, &sliced).unwrap();
    let without = |place: usize, gone: usize| {
        let mut scores = before.of(GroupType::Ffn)[place].clone();
        scores.remove(gone);
        scores
    };
    assert_eq!(after.of(GroupType::Ffn), [without(0, 0), without(1, 3)]);
    assert_eq!(after.of(GroupType::Stem), before.of(GroupType::Stem));

    let other = SaliencyContext { seed: 5, ..full };
    let reseeded =
        normalised_scores(Saliency::RANDOM, Reduction::Sum, Normaliser::PerParameter, &other).unwrap();
    assert_ne!(reseeded, before);
}

#[test]
fn missing_inputs_and_divergence_are_named() {
    let backend = CpuBackend::<f64>::new();
    let config = small_config(true);
    let groups = Groups::new(&small_spec(), &config).unwrap();
    let survivors = Survivors::all(&config);
    let mut trees = [1, 2, 3].map(|seed| random_tree(&backend, &config, seed, (0.5, 1.0)));
    let refuse = |saliency, context: &SaliencyContext<'_, _>| {
        normalised_scores(saliency, Reduction::Sum, Normaliser::None, context).unwrap_err().to_string()
    };
    let full = context(&backend, &config, &groups, &survivors, &trees);
    assert_eq!(
        refuse(Saliency::TAYLOR_MIX, &SaliencyContext { fisher: None, ..full }),
        "saliency `taylor_mix` needs the Fisher diagonal, and the training step handed none over"
    );
    let full = context(&backend, &config, &groups, &survivors, &trees);
    assert_eq!(
        refuse(Saliency::TAYLOR1, &SaliencyContext { grads: None, ..full }),
        "saliency `taylor1` needs gradients, and the training step handed none over"
    );
    trees[1].layers[1].up.weight.data[5 * 12] = f64::NAN;
    let broken = context(&backend, &config, &groups, &survivors, &trees);
    assert_eq!(
        refuse(Saliency::TAYLOR1, &broken),
        "saliency of Ffn group 5 of layer 1 is NaN: the training has diverged"
    );
}
