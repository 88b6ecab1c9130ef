//! Statistics of small models against walks over every value, and against gradients of single tokens.
use super::sites::width;
use super::*;
use crate::model::fixtures::{biased, config, tokens, weights};
use crate::model::llama::Objective;
use crate::model::network::{ExplicitNetwork, Network};
use crate::model::taps::Site;
use crate::model::{ModelConfig, Weights};
use crate::prune::testing::small_spec;
use crate::rules::saliency::RULES;
use crate::spec::{GroupType, HeadUnit};
use crate::tensor::cuda::emulated::EmulatedDevice;
use crate::tensor::cuda::{CudaBackend, Precision};
use crate::tensor::{CpuBackend, ElementScore, Matrix, Scalar};

const BACKEND: CpuBackend<f64> = CpuBackend::new();

fn needs(statistics: &[Statistic], fisher: Fisher) -> Needs {
    let mut needs = Needs::of(&PruneSpec { fisher, ..small_spec() }, None, statistics);
    needs.fisher = fisher;
    needs
}

/// Statistics and F of `sequences` sequences, gradients scaled as a step does; and every input of a linear layer.
#[allow(clippy::type_complexity)]
fn collect<B: Backend>(
    backend: &B,
    config: &ModelConfig,
    weights: &Weights<B::Tensor>,
    groups: &Groups,
    (inputs, targets): (&[u32], &[u32]),
    sequences: usize,
    needs: &Needs,
) -> (Statistics, Option<Weights<B::Tensor>>) {
    let mut network = ExplicitNetwork::new(backend);
    let mut collector = Collector::new(backend, config, groups, needs);
    let mut grads = weights.map(|w| {
        let [rows, cols] = backend.shape(w);
        backend.zeros(rows, cols)
    });
    let total = inputs.len();
    collector.count(total);
    let mut tap = |seen: Observation<'_, B::Tensor>| collector.observe(backend, &seen);
    let (objective, scale) = (Objective::CrossEntropy(targets), 1.0 / total as f64);
    network.differentiate(config, weights, inputs, objective, sequences, scale, &mut grads, Some(&mut tap));
    collector.finish(backend, total, (0, 0))
}

fn close(found: f64, expected: f64, what: &str) {
    assert!(
        (found - expected).abs() <= 1e-12 + 1e-9 * expected.abs(),
        "{what}: {found}, expected {expected}"
    );
}

/// Gradients of each token's loss, where every sequence is one token.
fn token_gradients(
    config: &ModelConfig,
    weights: &Weights<Matrix<f64>>,
    inputs: &[u32],
    targets: &[u32],
) -> Vec<Weights<Matrix<f64>>> {
    let mut network = ExplicitNetwork::new(&BACKEND);
    let one = |(input, target): (&u32, &u32)| {
        let mut grads = weights.map(|w| BACKEND.zeros(w.rows, w.cols));
        let (inputs, objective) = ([*input], Objective::CrossEntropy(std::slice::from_ref(target)));
        network.differentiate(config, weights, &inputs, objective, 1, 1.0, &mut grads, None);
        grads
    };
    inputs.iter().zip(targets).map(one).collect()
}

/// A sequence of one token has one position: F by position is the mean of squared gradients of single tokens, every
/// parameter of an untied model included.
#[test]
fn position_fisher_is_the_mean_square_of_token_gradients() {
    for config in [
        config(13, 8, 2, false, &[(4, 2, 10), (2, 2, 3)]),
        biased(config(13, 8, 4, false, &[(2, 1, 6), (2, 1, 6)])),
    ] {
        let weights = weights::<f64>(&config, 1);
        let (inputs, targets) = (tokens(9, 13, 2), tokens(9, 13, 3));
        let groups = Groups::new(&small_spec(), &config).unwrap();
        let wanted = needs(&[Statistic::Fisher], Fisher::BY_POSITION);
        let (_, fisher) = collect(&BACKEND, &config, &weights, &groups, (&inputs, &targets), 9, &wanted);
        let gradients = token_gradients(&config, &weights, &inputs, &targets);
        for (i, (name, found)) in fisher.unwrap().named().into_iter().enumerate() {
            for at in 0..found.data.len() {
                let squares = gradients.iter().map(|g| g.leaves()[i].data[at].powi(2));
                close(found.data[at], squares.sum::<f64>() / 9.0, &name);
            }
        }
    }
}

/// F by position does not depend on how sequences are cut into passes, and grows with none of their lengths: repeating the
/// same text leaves it as it is, where the square of a batch's mean gradient would be the same and that of a sum four times.
#[test]
fn position_fisher_is_a_mean_over_tokens() {
    let config = config(11, 8, 4, true, &[(2, 2, 6)]);
    let weights = weights::<f64>(&config, 1);
    let groups = Groups::new(&small_spec(), &config).unwrap();
    let wanted = needs(&[Statistic::Fisher], Fisher::BY_POSITION);
    let (inputs, targets) = (tokens(10, 11, 2), tokens(10, 11, 3));
    let of = |inputs: &[u32], targets: &[u32], sequences| {
        collect(&BACKEND, &config, &weights, &groups, (inputs, targets), sequences, &wanted).1.unwrap()
    };
    let once = of(&inputs, &targets, 2);
    let twice = of(&[&inputs[..], &inputs[..]].concat(), &[&targets[..], &targets[..]].concat(), 4);
    for (once, twice) in once.leaves().into_iter().zip(twice.leaves()) {
        once.data.iter().zip(&twice.data).for_each(|(a, b)| close(*b, *a, "repeated"));
    }
}

/// With one token per sequence the effect of silencing a group is Σ w·g over the weights that read it.
#[test]
fn group_effects_are_sums_over_the_weights_that_read_the_group() {
    for (unit, block) in [(HeadUnit::KvGroup, 1), (HeadUnit::QueryPerGroup, 2)] {
        let config = config(13, 8, 2, false, &[(4, 2, 10), (6, 2, 4)]);
        let weights = weights::<f64>(&config, 1);
        let (inputs, targets) = (tokens(7, 13, 2), tokens(7, 13, 3));
        let groups = Groups::new(&PruneSpec { block, head_unit: unit, ..small_spec() }, &config).unwrap();
        let wanted = needs(&[Statistic::SquaredEffect, Statistic::AbsoluteEffect], Fisher::BY_POSITION);
        let (found, _) = collect(&BACKEND, &config, &weights, &groups, (&inputs, &targets), 7, &wanted);
        let gradients = token_gradients(&config, &weights, &inputs, &targets);
        // Σ_i W_ij g_ij of every input column j of a linear.
        let columns = |w: &Matrix<f64>, g: &Matrix<f64>| -> Vec<f64> {
            let column =
                |j: usize| (0..w.rows).map(|i| w.data[i * w.cols + j] * g.data[i * w.cols + j]).sum();
            (0..w.cols).map(column).collect()
        };
        let mut effects: BTreeMap<(usize, usize), Vec<Vec<f64>>> = BTreeMap::new();
        for g in &gradients {
            let mut stem = vec![0.0; 8 / block];
            let mut add = |channels: Vec<f64>| {
                channels.iter().enumerate().for_each(|(c, effect)| stem[c / block] += effect);
            };
            for (l, (w, g)) in weights.layers.iter().zip(&g.layers).enumerate() {
                let shape = &config.layers[l];
                let mut ffn = vec![0.0; shape.intermediate_size / block];
                columns(&w.down.weight, &g.down.weight)
                    .iter()
                    .enumerate()
                    .for_each(|(j, e)| ffn[j / block] += e);
                let ratio = shape.num_heads / shape.num_kv_heads;
                let count = if unit == HeadUnit::KvGroup { shape.num_kv_heads } else { ratio };
                let mut head = vec![0.0; count];
                for (j, effect) in columns(&w.o.weight, &g.o.weight).iter().enumerate() {
                    let query = j / 2;
                    head[if unit == HeadUnit::KvGroup { query / ratio } else { query % ratio }] += effect;
                }
                for (w, g) in [(&w.q, &g.q), (&w.k, &g.k), (&w.v, &g.v), (&w.gate, &g.gate), (&w.up, &g.up)] {
                    add(columns(&w.weight, &g.weight));
                }
                effects.entry((0, l)).or_default().push(ffn);
                effects.entry((1, l)).or_default().push(head);
            }
            add(columns(weights.head.as_ref().unwrap(), g.head.as_ref().unwrap()));
            effects.entry((2, 0)).or_default().push(stem);
        }
        for ((kind, place), tokens) in effects {
            let kind = [GroupType::Ffn, GroupType::Head, GroupType::Stem][kind];
            for (statistic, f) in [
                (Statistic::SquaredEffect, (|c: f64| c * c) as fn(f64) -> f64),
                (Statistic::AbsoluteEffect, f64::abs),
            ] {
                let scores = &found.effects[&statistic].of(kind)[place];
                assert_eq!(scores.len(), tokens[0].len());
                for (at, score) in scores.iter().enumerate() {
                    let mean = tokens.iter().map(|token| f(token[at])).sum::<f64>() / 7.0;
                    close(*score, mean, &format!("{kind:?} {at} of {place}"));
                }
            }
        }
        // By sequence the effect is that of all of a group's weights.
        let mut by_unit = GroupScores::zeros(&groups, &config);
        for g in &gradients {
            unit_effect::add(&mut by_unit, 1.0 / 7.0, &BACKEND, &config, &groups, [&weights, g]);
        }
        let effect = |g: &Weights<Matrix<f64>>| {
            let all = crate::prune::saliency::sums_over_groups(
                &BACKEND,
                &config,
                &groups,
                ElementScore::Signed,
                &weights,
                g,
            );
            all.of(GroupType::Ffn)[1][1]
        };
        let mean = gradients.iter().map(|g| effect(g).powi(2)).sum::<f64>() / 7.0;
        close(by_unit.of(GroupType::Ffn)[1][1], mean, "by unit");
    }
}

/// Means, norms, variances and magnitudes of inputs against walks over them.
#[test]
fn statistics_of_inputs_are_those_of_the_values_that_pass() {
    let config = config(13, 8, 2, true, &[(4, 2, 10), (2, 1, 3)]);
    let weights = weights::<f64>(&config, 1);
    let (inputs, targets, sequences, t) = (tokens(15, 13, 2), tokens(15, 13, 3), 3, 5);
    let groups = Groups::new(&small_spec(), &config).unwrap();
    let wanted =
        needs(&[Statistic::InputVariance, Statistic::Activation, Statistic::Gram], Fisher::BY_POSITION);
    let (found, _) = collect(&BACKEND, &config, &weights, &groups, (&inputs, &targets), sequences, &wanted);
    let mut seen: Vec<(Site, Matrix<f64>)> = Vec::new();
    ExplicitNetwork::new(&BACKEND).observe(&config, &weights, &inputs, sequences, &mut |observation| {
        if let Observation::Input { site, x, .. } = observation {
            seen.push((site, x.clone()));
        }
    });
    assert_eq!(seen.len(), sites(&groups, &config).len());
    let value = |statistic, site, at: usize| found.channels(statistic).unwrap().of(site).unwrap()[at];
    for (site, x) in &seen {
        let column = |j: usize| (0..15).map(move |n| x.data[n * x.cols + j]);
        for j in 0..x.cols {
            let (mean, squares) = (column(j).sum::<f64>() / 15.0, column(j).map(|x| x * x).sum::<f64>());
            close(value(Statistic::InputMean, *site, j), mean, "mean");
            close(value(Statistic::InputNorm, *site, j), squares.sqrt(), "norm");
            let variance = column(j).map(|x| (x - mean).powi(2)).sum::<f64>() / 14.0;
            close(value(Statistic::InputVariance, *site, j), variance, "variance");
            close(found.grams.as_ref().unwrap().of(*site).unwrap()[(j, j)], squares, "gram");
        }
        let head = matches!(site, Site::OIn(_));
        let magnitude = |n: usize, at: usize| match head {
            true => (0..2).map(|c| x.data[n * x.cols + 2 * at + c].powi(2)).sum::<f64>().sqrt(),
            false => x.data[n * x.cols + at].abs(),
        };
        for at in 0..if head { x.cols / 2 } else { x.cols } {
            let mean = |s: usize| (0..t).map(|i| magnitude(s * t + i, at)).sum::<f64>() / t as f64;
            let expected = (0..sequences).map(|s| mean(s).powi(2)).sum::<f64>().sqrt();
            close(value(Statistic::Activation, *site, at), expected, "activation");
        }
    }

    // What an event removes leaves every statistic.
    let mut kept = Survivors::all(&config);
    kept.stem.remove(3);
    kept.layers[0].ffn.remove(0);
    kept.layers[0].kv_heads.remove(0);
    kept.layers[0].query_heads.drain(..2);
    let mut sliced = found.clone();
    sliced.keep(&groups, &config, &kept);
    let left = kept.shape(&config);
    for (site, _) in &seen {
        for statistic in [Statistic::InputMean, Statistic::InputVariance] {
            assert_eq!(sliced.channels(statistic).unwrap().of(*site).unwrap().len(), width(&left, *site));
        }
    }
    let of = |statistics: &Statistics, statistic, site| {
        statistics.channels(statistic).unwrap().of(site).unwrap().to_vec()
    };
    let site = Site::OIn(0);
    assert_eq!(of(&sliced, Statistic::Activation, site), of(&found, Statistic::Activation, site)[2..]);
    assert_eq!(
        of(&sliced, Statistic::InputNorm, Site::DownIn(0)),
        of(&found, Statistic::InputNorm, Site::DownIn(0))[1..]
    );
    // A running mean that is half of each; x̄ is the last.
    let mut mean = found.clone();
    let mut other = found.clone();
    other.channels.values_mut().for_each(|channels| *channels = channels.clone().map(|x| 3.0 * x));
    mean.blend(0.5, other);
    let first = |statistic| of(&found, statistic, site)[0];
    close(of(&mean, Statistic::InputVariance, site)[0], 2.0 * first(Statistic::InputVariance), "blend");
    close(of(&mean, Statistic::InputMean, site)[0], 3.0 * first(Statistic::InputMean), "mean of the step");
}

/// On a device, everything that any rule needs comes to the same as on the processor.
#[test]
fn a_device_collects_the_same() {
    let config = biased(config(13, 8, 4, true, &[(2, 1, 6), (4, 2, 10)]));
    let (inputs, targets) = (tokens(12, 13, 2), tokens(12, 13, 3));
    let groups = Groups::new(&PruneSpec { block: 2, ..small_spec() }, &config).unwrap();
    let all: Vec<Statistic> = RULES.iter().flat_map(|rule| rule.needs).copied().collect();
    let wanted = needs(&all, Fisher::BY_POSITION);
    let host = weights::<f32>(&config, 1);
    let cpu = CpuBackend::<f32>::new();
    let (expected, expected_fisher) = collect(&cpu, &config, &host, &groups, (&inputs, &targets), 3, &wanted);
    for precision in [Precision::F32, Precision::Bf16] {
        let Some(device) = EmulatedDevice::new() else { return };
        let backend = CudaBackend::over(device, precision);
        let on_device = host.map(|w| backend.from_host(w.rows, w.cols, &w.data));
        let (found, fisher) =
            collect(&backend, &config, &on_device, &groups, (&inputs, &targets), 3, &wanted);
        // bf16 activations have eight bits; statistics square them and gradients through two layers.
        let tolerance = if precision == Precision::F32 { 1e-4 } else { 0.12 };
        let alike = |found: &[f64], expected: &[f64], what: &str| {
            let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
            let distance = norm(&mut found.iter().zip(expected).map(|(a, b)| a - b));
            let size = norm(&mut expected.iter().copied());
            assert!(
                found.len() == expected.len() && distance <= tolerance * size,
                "{what}: {distance} of {size}"
            );
        };
        for (statistic, channels) in &expected.channels {
            // A variance is a difference of sums.
            if *statistic == Statistic::InputVariance && precision == Precision::Bf16 {
                continue;
            }
            for (site, values) in channels.iter() {
                alike(
                    found.channels(*statistic).unwrap().of(site).unwrap(),
                    values,
                    &format!("{statistic:?} {site}"),
                );
            }
        }
        for (statistic, scores) in &expected.effects {
            for kind in [GroupType::Ffn, GroupType::Head, GroupType::Stem] {
                for (place, values) in scores.of(kind).iter().enumerate() {
                    alike(
                        &found.effects[statistic].of(kind)[place],
                        values,
                        &format!("{statistic:?} {kind:?}"),
                    );
                }
            }
        }
        let (fisher, expected) = (fisher.unwrap(), expected_fisher.as_ref().unwrap());
        for ((name, found), expected) in fisher.named().into_iter().zip(expected.leaves()) {
            let wide = |values: Vec<f32>| values.into_iter().map(Scalar::to_f64).collect::<Vec<f64>>();
            alike(&wide(backend.to_host(found)), &wide(expected.data.clone()), &name);
        }
    }
}

/// Second moments are centred by the mean of their own tokens, whatever running means there are, and what is collected for events alone
/// is there at the first one that comes.
#[test]
fn what_updates_read_is_no_running_mean() {
    let (config, site) = (config(13, 8, 2, false, &[(4, 2, 3)]), Site::DownIn(0));
    let of = |x: [f64; 3], y: [f64; 3], wanted: &[Statistic]| {
        let channels = |statistic: &Statistic| {
            let row = |j: usize| match statistic {
                Statistic::InputMean => (x[j] + y[j]) / 2.0,
                _ => (x[j] * x[j] + y[j] * y[j]).sqrt(),
            };
            (*statistic, sites::Channels::new(false, vec![(site, (0..3).map(row).collect())]))
        };
        let gram = nalgebra::DMatrix::from_fn(3, 3, |i, j| x[i] * x[j] + y[i] * y[j]);
        Statistics {
            num_tokens: 2,
            channels: wanted.iter().map(channels).collect(),
            grams: Some(Grams::new(vec![(site, gram)], 2)),
            ..Statistics::default()
        }
    };
    let (norm, mean) = (Statistic::InputNorm, Statistic::InputMean);
    let mut running = of([3.0, 0.0, 4.0], [0.0, 0.0, 0.0], &[norm]);
    running.blend(0.5, of([1.0, 2.0, 3.0], [5.0, 2.0, 1.0], &[norm, mean]));
    running.blend(0.5, of([1.0, 0.0, 0.0], [3.0, 4.0, 2.0], &[norm, mean]));
    let value =
        |statistic, j: usize| running.channels(statistic).and_then(|c| c.of(site)).map(|values| values[j]);
    // ((3 + √26)/2 + √10)/2, and the last mean.
    close(value(norm, 0).unwrap(), ((3.0 + 26f64.sqrt()) / 2.0 + 10f64.sqrt()) / 2.0, "norm");
    assert_eq!([0, 1, 2].map(|j| value(mean, j)), [Some(2.0), Some(2.0), Some(1.0)]);
    let grams = running.grams.as_ref().unwrap();
    assert_eq!(grams.check(&config), Ok(()));
    let means = running.channels(mean).and_then(|channels| channels.of(site)).unwrap();
    let centred = gram::centred(grams.of(site).unwrap(), means, grams.num_tokens);
    // Deviations of ±1, ∓2 and ∓1: of rank one, and no variance below zero.
    assert_eq!([centred[(0, 0)], centred[(1, 1)], centred[(2, 2)], centred[(0, 1)]], [2.0, 8.0, 2.0, 4.0]);
}
