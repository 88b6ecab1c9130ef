//! Whole runs of the pruner on random weights: exact target, legality, removal against one selection, resume, errors.
use super::statistics::Grams;
use super::statistics::sites::width;
use super::target::{Events, all_events};
use super::testing::{config_of, random_tree, small_config, small_spec};
use super::*;
use crate::base::element_score::ElementScore;
use crate::model::taps::Site;
use crate::model::{ModelConfig, Weights};
use crate::rules::saliency::{Hessian, SaliencyRule, Statistic};
use crate::spec::{
    FixedShape, GroupType, HeadUnit, Normaliser, PruneSchedule, PruneSpec, Saliency, Scope, Target, Update,
};
use crate::tensor::{CpuBackend, Matrix};
use nalgebra::DMatrix;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

type Tree = Weights<Matrix<f64>>;

/// A model in training, reduced to what pruning touches.
#[derive(Clone)]
struct Model {
    config: ModelConfig,
    weights: Tree,
    grads: Tree,
    fisher: Tree,
    moments: [Tree; 2],
    statistics: Statistics,
}

impl Model {
    fn new(config: &ModelConfig, seed: u64) -> Self {
        let tree = |i, low| random_tree(&CpuBackend::<f64>::new(), config, 10 * seed + i, (low, 1.0));
        let gram = |n: usize| {
            let x = DMatrix::from_fn(n, 2 * n, |i, j| ((7 * i + 3 * j + i * j) % 11) as f64 - 5.0);
            &x * x.transpose()
        };
        let layer = |i| [Site::AttnIn(i), Site::OIn(i), Site::FfnIn(i), Site::DownIn(i)];
        let sites = (0..config.layers.len()).flat_map(layer).chain([Site::HeadIn]);
        let grams = sites.map(|site| (site, gram(width(config, site)))).collect();
        // Collected through the weights of step 3, before any event.
        let (num_tokens, step, events) = (64, 3, 0);
        let grams = Some(Grams::new(grams, num_tokens));
        Model {
            config: config.clone(),
            weights: tree(0, -1.0),
            grads: tree(1, -1.0),
            fisher: tree(2, 0.0),
            moments: [tree(3, -1.0), tree(4, 0.0)],
            statistics: Statistics { num_tokens, step, events, grams, ..Statistics::default() },
        }
    }

    fn trees(&mut self) -> (&mut ModelConfig, Trees<'_, Matrix<f64>>, &mut Statistics) {
        let [m, v] = &mut self.moments;
        let trees = Trees {
            weights: &mut self.weights,
            grads: Some(&mut self.grads),
            fisher: Some(&mut self.fisher),
            lasting: true,
            moments: Some([m, v]),
            companions: Vec::new(),
        };
        (&mut self.config, trees, &mut self.statistics)
    }

    fn step(&mut self, pruner: &mut Pruner, tokens: u64, step: u64) -> Vec<EventRecord> {
        let (config, trees, grams) = self.trees();
        pruner.step(&CpuBackend::new(), config, trees, Some(grams), tokens, step).unwrap()
    }

    fn one_shot(&mut self, pruner: &mut Pruner) -> Vec<EventRecord> {
        let (config, trees, grams) = self.trees();
        pruner.prune_to_target(&CpuBackend::new(), config, trees, Some(grams), 100, 5).unwrap()
    }

    fn all(&mut self) -> [&mut Tree; 5] {
        let [m, v] = &mut self.moments;
        [&mut self.weights, &mut self.grads, &mut self.fisher, m, v]
    }
}

#[test]
fn a_target_of_the_source_is_a_bitwise_no_op() {
    let source = small_config(true);
    let spec = PruneSpec { target: Target::Ratio(1.0), update: Update::LAYERWISE, ..small_spec() };
    let mut pruner = Pruner::new(&spec, &source, 1).unwrap();
    let mut model = Model::new(&source, 1);
    let untouched = model.clone();
    assert!(pruner.is_done() && !pruner.is_due(1_000_000, 9));
    assert_eq!(model.step(&mut pruner, 1_000_000, 9), []);
    assert_eq!(model.one_shot(&mut pruner), []);
    assert_eq!(model.config, source);
    assert_eq!(model.all(), untouched.clone().all());
    assert_eq!(model.statistics, untouched.statistics);
}

#[test]
fn events_along_a_line_stay_below_it_and_equal_one_selection_from_the_source() {
    for head_unit in [HeadUnit::KvGroup, HeadUnit::QueryPerGroup] {
        for saliency in [Saliency::RANDOM, Saliency::MAGNITUDE_L2, Saliency::TAYLOR1, Saliency::TAYLOR_MIX] {
            let source = small_config(false);
            let spec = PruneSpec { head_unit, saliency, ..small_spec() };
            let mut pruner = Pruner::new(&spec, &source, 1).unwrap();
            let mut model = Model::new(&source, 1);
            let original = model.clone();
            let (whole, target) = (source.num_params(), pruner.goal().limit);
            let mut records = Vec::new();
            for step in 1..=12 {
                let tokens = 100 * step;
                let due = pruner.is_due(tokens, step);
                let happened = model.step(&mut pruner, tokens, step);
                assert_eq!(due, !happened.is_empty());
                let line = whole as f64 - (whole - target) as f64 * (tokens.min(1000) as f64 / 1000.0);
                assert!(model.config.num_params() as f64 <= line, "step {step}");
                // Not an event more than needed.
                if let [.., before, _] = &happened[..] {
                    assert!(before.params as f64 > line);
                }
                records.extend(happened);
            }
            assert!(pruner.is_done() && records.last().unwrap().tokens_seen <= 1000);
            assert_eq!(
                records.iter().map(|r| r.event).collect::<Vec<_>>(),
                (1..=records.len() as u64).collect::<Vec<_>>()
            );
            assert_eq!(&model.config, pruner.config());

            let mut rebuilt = original.clone();
            let mut config = source.clone();
            let kept = &pruner.state().survivors;
            remove(&CpuBackend::new(), &mut config, &mut rebuilt.all(), kept);
            assert_eq!(config, model.config);
            assert_eq!(rebuilt.all(), model.all());
            assert_eq!(model.weights.map(|leaf| [leaf.rows, leaf.cols]), Weights::shapes(&config));
        }
    }
}

#[test]
fn records_say_what_happened() {
    let source = small_config(true);
    let spec = PruneSpec { update: Update::LAYERWISE, normaliser: Normaliser::None, ..small_spec() };
    let mut pruner = Pruner::new(&spec, &source, 1).unwrap();
    let mut model = Model::new(&source, 2);
    let records = model.one_shot(&mut pruner);
    let mut params = source.num_params();
    for record in &records {
        assert!(record.params < params);
        params = record.params;
        // Collected through the weights of step 3 and no event, used after step 5 and all events so far.
        assert_eq!((record.step, record.tokens_seen, record.gram_age_steps), (5, 100, Some(2)));
        assert_eq!((record.gram_age_events, record.gram_tokens), (Some(record.event - 1), Some(64)));
        assert_eq!(record.damping, Some(0.01));
        assert!(record.saliency_flops > 0 && record.update_flops > 0);
        let types: Vec<GroupType> = record.candidates.iter().map(|candidate| candidate.group_type).collect();
        assert_eq!(types, [GroupType::Ffn, GroupType::Head, GroupType::Stem]);
        let own = record.candidates.iter().find(|candidate| candidate.group_type == record.group_type);
        assert_eq!(own.unwrap().saliency, Some(record.saliency));
        if !record.completion {
            let mut others = record.candidates.iter().filter_map(|candidate| candidate.saliency);
            assert!(others.all(|other| record.saliency <= other));
        }
        assert_eq!((record.sums_from_event, record.layer), (Some(1), None));
        let places = if record.group_type == GroupType::Stem { 1 } else { 2 };
        assert_eq!(record.indices.len(), places);
    }
    assert_eq!(params, model.config.num_params());
    let last = records.last().unwrap();
    let share = |whole: usize, left: usize| (whole - left) as f64 / whole as f64;
    let shares: Vec<f64> = last.candidates.iter().map(|candidate| candidate.pruned_share).collect();
    let layer = &model.config.layers[0];
    assert_eq!(shares[0], share(16, 2 * layer.intermediate_size));
    assert_eq!(shares[1], share(6, 2 * layer.num_kv_heads));
    assert_eq!(shares[2], share(12, model.config.hidden_size));
    assert_eq!(model.statistics.grams.as_ref().unwrap().check(&model.config), Ok(()));
}

/// Layerwise errors cost inverses of G, what events do to them, and the errors themselves. An event of channels in two layers: of the
/// seven inputs of width 12 and two of width 8 an inverse each; 8 groups of one column of 12 rows, 2·2·12 each; 7 columns left of 8.
#[test]
fn layerwise_errors_are_booked() {
    let source = small_config(true);
    let obs = Saliency::named("obs").unwrap();
    let types = vec![GroupType::Ffn];
    let spec = PruneSpec { saliency: obs, types, target: Target::Params(1620 - 2 * 72), ..small_spec() };
    let mut pruner = Pruner::new(&spec, &source, 1).unwrap();
    let records = Model::new(&source, 1).one_shot(&mut pruner);
    let inverses = 7 * 12u64.pow(3) + 2 * 8u64.pow(3);
    let (errors, left) = (|n: u64| 2 * n * 2 * 2 * 12, |k: u64| 2 * (2 * k + 2 * k * k));
    let flops: Vec<u64> = records.iter().map(|record| record.saliency_flops).collect();
    assert_eq!(flops, [inverses + errors(8) + left(7), errors(7) + left(6)]);
}

/// What is scored in one call alone is left as it is after the last event; everything else is sliced as ever.
#[test]
fn what_does_not_last_is_not_sliced() {
    let source = small_config(true);
    let mut pruner = Pruner::new(&small_spec(), &source, 1).unwrap();
    let mut other = pruner.clone();
    let (mut model, mut expected) = (Model::new(&source, 1), Model::new(&source, 1));
    let (grads, fisher) = (model.grads.clone(), model.fisher.clone());
    let (config, trees, statistics) = model.trees();
    let trees = Trees { lasting: false, ..trees };
    let records =
        pruner.prune_to_target(&CpuBackend::new(), config, trees, Some(statistics), 100, 5).unwrap();
    assert_eq!(records, expected.one_shot(&mut other));
    assert!(model.weights == expected.weights && model.moments == expected.moments);
    assert!(model.grads == grads && model.fisher == fisher && model.config == expected.config);
}

#[test]
fn an_interval_takes_one_event_at_a_time() {
    let source = small_config(true);
    let spec = PruneSpec { schedule: PruneSchedule::interval(2), ..small_spec() };
    let mut pruner = Pruner::new(&spec, &source, 1).unwrap();
    let mut model = Model::new(&source, 1);
    let mut steps = Vec::new();
    for step in 1..200 {
        steps.extend(model.step(&mut pruner, 0, step).iter().map(|record| record.step));
    }
    assert!(pruner.is_done());
    assert_eq!(steps, (1..=steps.len() as u64).map(|i| 2 * i).collect::<Vec<_>>());
}

#[test]
fn a_resumed_pruner_goes_on_as_the_uninterrupted_one() {
    let source = small_config(true);
    let spec = PruneSpec { saliency: Saliency::RANDOM, update: Update::LAYERWISE, ..small_spec() };
    let mut straight = Pruner::new(&spec, &source, 3).unwrap();
    let mut model = Model::new(&source, 1);
    let (mut stopped, mut other) = (straight.clone(), model.clone());
    for step in 1..=10 {
        let json = serde_json::to_string(stopped.state()).unwrap();
        stopped = Pruner::resume(&spec, &source, 3, serde_json::from_str(&json).unwrap()).unwrap();
        let expected = model.step(&mut straight, 100 * step, step);
        assert_eq!(other.step(&mut stopped, 100 * step, step), expected);
        assert_eq!(stopped.state(), straight.state());
    }
    assert!(straight.is_done());
    assert_eq!(model.all(), other.all());
}

#[test]
fn what_does_not_fit_is_refused_before_anything_changes() {
    let source = small_config(true);
    let refuse = |spec: PruneSpec| Pruner::new(&spec, &source, 1).unwrap_err().to_string();
    assert_eq!(
        refuse(PruneSpec { damping: -0.5, ..small_spec() }),
        "prune.damping: -0.5 is out of range; nearest valid: 0"
    );
    assert_eq!(
        refuse(PruneSpec { schedule: PruneSchedule::interval(0), ..small_spec() }),
        "prune.schedule.steps: 0 is no interval; nearest valid: 1"
    );
    let spec = PruneSpec { update: Update::LAYERWISE, ..small_spec() };
    let mut pruner = Pruner::new(&spec, &source, 1).unwrap();
    let needs = pruner.needs(true);
    let all = [Statistic::Gradient, Statistic::Fisher, Statistic::Gram];
    assert!(all.into_iter().all(|statistic| needs.has(statistic)) && !needs.has(Statistic::InputMean));
    assert!(pruner.needs(false).is_empty());
    let mut model = Model::new(&source, 1);
    let untouched = model.clone();
    let (config, trees, _) = model.trees();
    let error = pruner.prune_to_target(&CpuBackend::new(), config, trees, None, 0, 0).unwrap_err();
    assert!(error.to_string().starts_with("update `layerwise` needs"), "{error}");
    assert_eq!(model.all(), untouched.clone().all());

    let mut other = config_of([10, 12, 2, 2, 3, 2, 7], true);
    let (_, trees, grams) = model.trees();
    let error = pruner.prune_to_target(&CpuBackend::new(), &mut other, trees, Some(grams), 0, 0).unwrap_err();
    assert_eq!(error, PruneError::ModelMismatch { expected: 1620, found: 1548 });

    let mut state = pruner.state().clone();
    state.survivors.layers[1].layer = 2;
    assert_eq!(
        Pruner::resume(&spec, &source, 1, state).unwrap_err().to_string(),
        "state of the pruner does not fit the source model: layers: index 2 of 2"
    );
}

/// The widths of each layer, whatever its place.
fn widths(config: &ModelConfig) -> Vec<(usize, usize, usize, Option<usize>)> {
    let pairs = |pairs: &Vec<usize>| pairs.len();
    let layer = |l: &crate::model::LayerShape| {
        (l.num_heads, l.num_kv_heads, l.intermediate_size, l.rotary_pairs.as_ref().map(pairs))
    };
    config.layers.iter().map(layer).collect()
}

#[test]
fn a_fixed_shape_is_met_exactly_and_the_order_comes_from_saliency() {
    let source = small_config(true);
    let shape = FixedShape {
        hidden_size: Some(7),
        intermediate_size: vec![3, 5],
        num_kv_heads: vec![1, 2],
        ..FixedShape::default()
    };
    let spec = PruneSpec {
        target: Target::FixedShape,
        fixed_shape: Some(shape.clone()),
        scope: Scope::PerLayer,
        ..small_spec()
    };
    let expected = shape.config(&source).unwrap();
    let mut pruner = Pruner::new(&spec, &source, 1).unwrap();
    let mut model = Model::new(&source, 1);
    let records = model.one_shot(&mut pruner);
    assert!(pruner.is_done() && records.iter().all(|record| !record.completion));
    assert_eq!((model.config.hidden_size, widths(&model.config)), (7, widths(&expected)));
    // The widths that another arm ended with, as a model.
    let open = PruneSpec { target: Target::Ratio(0.5), fixed_shape: None, ..spec.clone() };
    let mut other = Model::new(&source, 1);
    let mut pruner = Pruner::new(&open.to_widths_of(&expected), &source, 1).unwrap();
    assert_eq!(other.one_shot(&mut pruner).len(), records.len());
    assert_eq!(other.all(), model.all());
    // What one event per layer cannot reach, and what is wider than the source.
    let refuse = |spec: PruneSpec| Pruner::new(&spec, &source, 1).unwrap_err().to_string();
    let uniform = refuse(PruneSpec { scope: Scope::Uniform, ..spec.clone() });
    assert!(
        uniform.contains("lose different numbers of ffn groups") && uniform.contains("per_layer"),
        "{uniform}"
    );
    let wide = FixedShape { intermediate_size: vec![9], ..shape.clone() };
    let wide = refuse(PruneSpec { fixed_shape: Some(wide), ..spec.clone() });
    assert_eq!(wide, "prune.fixed_shape: 9 ffn groups of the 8 that layer 0 of the source has");
    let short = FixedShape { intermediate_size: vec![4; 3], ..shape };
    let short = refuse(PruneSpec { fixed_shape: Some(short), ..spec });
    assert_eq!(
        short,
        "prune.fixed_shape: 3 numbers for intermediate_size; nearest valid: 1, 2 (one for each layer)"
    );
}

/// A rule from outside that reads gradients only where few groups are left: sums that nobody asked for at the first event. With sums
/// that are corrected it prunes as with sums that begin anew at every event.
#[test]
fn a_rule_may_ask_for_new_sums_after_the_first_event() {
    static RULE: SaliencyRule = SaliencyRule {
        name: "late",
        summary: "magnitudes, and gradients once few groups are left",
        source: "a test",
        hessian: Hessian::None,
        needs: &[Statistic::Gradient],
        whole_groups: false,
        flops_per_parameter: 3,
        score: |evidence| {
            let mut tensors = evidence.elements(ElementScore::MagnitudeL1);
            if tensors.iter().any(|groups| groups.len() <= 6) {
                tensors.extend(evidence.elements(ElementScore::Taylor1));
            }
            tensors
        },
    };
    let source = config_of([10, 12, 2, 2, 4, 2, 8], false);
    for scope in [Scope::Uniform, Scope::PerLayer] {
        let spec = PruneSpec {
            saliency: Saliency::from(&RULE),
            types: vec![GroupType::Ffn, GroupType::Stem],
            scope,
            target: Target::Ratio(0.4),
            ..small_spec()
        };
        let mut at_once = Pruner::new(&spec, &source, 1).unwrap();
        let spec = PruneSpec { schedule: PruneSchedule::interval(1), ..spec };
        let mut stepwise = Pruner::new(&spec, &source, 1).unwrap();
        let (mut model, mut copy) = (Model::new(&source, 1), Model::new(&source, 1));
        let records = model.one_shot(&mut at_once);
        let mut anew = Vec::new();
        while !stepwise.is_done() {
            anew.extend(copy.step(&mut stepwise, 0, anew.len() as u64 + 1));
        }
        let what = |records: &[EventRecord]| -> Vec<_> {
            records
                .iter()
                .map(|record| (record.group_type, record.layers.clone(), record.indices.clone()))
                .collect()
        };
        assert_eq!(what(&records), what(&anew));
        for (one, other) in records.iter().zip(&anew) {
            assert!((one.saliency - other.saliency).abs() <= 1e-12 + 1e-9 * other.saliency.abs());
        }
        assert_eq!(model.all(), copy.all());
    }
}

#[test]
fn a_state_of_three_types_and_layers_resumes() {
    let source = config_of([10, 12, 3, 2, 3, 4, 8], true);
    let spec = PruneSpec {
        types: GroupType::ALL.to_vec(),
        scope: Scope::PerLayer,
        saliency: Saliency::TAYLOR1,
        target: Target::Ratio(0.3),
        ..small_spec()
    };
    let mut straight = Pruner::new(&spec, &source, 3).unwrap();
    let mut model = Model::new(&source, 1);
    let (mut stopped, mut other) = (straight.clone(), model.clone());
    for step in 1..=10 {
        let json = serde_json::to_string(stopped.state()).unwrap();
        stopped = Pruner::resume(&spec, &source, 3, serde_json::from_str(&json).unwrap()).unwrap();
        let expected = model.step(&mut straight, 100 * step, step);
        assert_eq!(other.step(&mut stopped, 100 * step, step), expected);
    }
    assert!(straight.is_done());
    assert_eq!(model.all(), other.all());
}

/// Parameters of every shape that single events of the allowed types reach from `config`, layer by layer, by going through them all.
fn uneven_counts(groups: &Groups, config: &ModelConfig) -> std::collections::BTreeSet<u64> {
    let events = |kind, config: &ModelConfig, place| match groups.open_places(kind, config).contains(&place) {
        true => groups.count(kind, config, place) - groups.floor(kind, 0),
        false => 0,
    };
    let smaller =
        |kind: GroupType, config: &ModelConfig, place, gone| kind.smaller(groups.cut(), config, place, gone);
    let mut counts = std::collections::BTreeSet::new();
    for stem in 0..=events(GroupType::Stem, config, 0) {
        let narrow = smaller(GroupType::Stem, config, 0, stem);
        let may_go = events(GroupType::Layer, config, 0);
        let mut none = narrow.clone();
        none.layers.clear();
        // Sums of the sizes of the layers so far, with how many of them are gone.
        let mut sums = std::collections::BTreeSet::from([(0, none.num_params())]);
        for layer in 0..narrow.layers.len() {
            let mut sizes = std::collections::BTreeSet::new();
            for ffn in 0..=events(GroupType::Ffn, &narrow, layer) {
                for head in 0..=events(GroupType::Head, &narrow, layer) {
                    for pairs in 0..=events(GroupType::HeadDim, &narrow, layer) {
                        let mut left = smaller(GroupType::Ffn, &narrow, layer, ffn);
                        left = smaller(GroupType::Head, &left, layer, head);
                        left = smaller(GroupType::HeadDim, &left, layer, pairs);
                        sizes.insert((0, left.count(|id| id.layer() == Some(layer))));
                    }
                }
            }
            sizes.extend((may_go > 0).then_some((1, 0)));
            let with = |(gone, sum): &(usize, u64)| -> Vec<(usize, u64)> {
                sizes
                    .iter()
                    .map(|(goes, size)| (gone + goes, sum + size))
                    .filter(|(gone, _)| *gone <= may_go)
                    .collect()
            };
            sums = sums.iter().flat_map(with).collect();
        }
        counts.extend(sums.into_iter().map(|(_, sum)| sum));
    }
    counts
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 80,
        rng_seed: RngSeed::Fixed(2),
        failure_persistence: None,
        ..Default::default()
    })]
    #[test]
    fn every_run_meets_its_target_exactly_and_legally(
        v in 1usize..20, d in 1usize..6, layers in 1usize..4, ratio in 1usize..4, kv in 1usize..5, half in 1usize..4,
        f in 1usize..7, block in 1usize..3, tied: bool, query_per_group: bool, per_layer: bool, types in 1usize..32,
        saliency in 0usize..4, floor in 1usize..3, share in 0.0..1.0f64, seed in 0u64..100,
    ) {
        let source = config_of([v, d * block, layers, ratio, kv, 2 * half, f * block], tied);
        let named = GroupType::ALL.into_iter().enumerate().filter(|(bit, _)| types >> bit & 1 == 1);
        let mut spec = PruneSpec {
            block,
            types: named.map(|(_, kind)| kind).collect(),
            head_unit: if query_per_group { HeadUnit::QueryPerGroup } else { HeadUnit::KvGroup },
            scope: if per_layer { Scope::PerLayer } else { Scope::Uniform },
            saliency: [Saliency::RANDOM, Saliency::MAGNITUDE_L2, Saliency::TAYLOR1, Saliency::TAYLOR_MIX][saliency],
            min_ffn: floor.min(f),
            min_heads: floor.min(if query_per_group { ratio } else { kv }),
            min_stem: floor.min(d),
            min_head_dim: floor.min(half),
            min_layers: floor.min(layers),
            ..small_spec()
        };
        let groups = Groups::new(&spec, &source).unwrap();
        let (most, all) = (source.num_params(), Goal { limit: 0, counts_embedding: true });
        let least = all.count_after(&groups, &source, &all_events(&groups, &source));
        let target = least + (share * (most - least) as f64) as u64;
        spec.target = Target::Params(target);
        let mut pruner = Pruner::new(&spec, &source, seed).unwrap();
        let mut model = Model::new(&source, seed);

        // Event by event, so that the shape at which the completion is settled is seen, and sums begin anew with each.
        let (mut before_completion, mut gone) = (source.clone(), std::collections::BTreeSet::new());
        let mut records: Vec<EventRecord> = Vec::new();
        spec.schedule = PruneSchedule::interval(1);
        let mut stepwise = Pruner::new(&spec, &source, seed).unwrap();
        let mut copy = model.clone();
        let mut step = 0;
        while !stepwise.is_done() {
            step += 1;
            let shape = copy.config.clone();
            let happened = copy.step(&mut stepwise, 0, step);
            prop_assert_eq!(happened.len(), 1);
            if !happened[0].completion {
                before_completion = copy.config.clone();
                prop_assert!(copy.config.num_params() >= target);
            } else if records.last().is_none_or(|record| !record.completion) {
                before_completion = shape;
            }
            for (place, index) in happened[0].indices.iter().enumerate() {
                let layer = happened[0].layers.get(place).copied().unwrap_or(0);
                prop_assert!(gone.insert((happened[0].group_type, layer, *index)), "pruned twice");
            }
            prop_assert_eq!(stepwise.state().survivors.check(&source), Ok(()));
            prop_assert_eq!(&stepwise.state().survivors.shape(&source), &copy.config);
            for kind in GroupType::ALL {
                for place in 0..groups.places(kind, &copy.config) {
                    let count = groups.count(kind, &copy.config, place);
                    prop_assert!(!groups.allows(kind) || count >= groups.floor(kind, 0));
                }
            }
            // RoPE pairs, heads and key-value heads fit one another by construction; uniform layers stay alike.
            for layer in &copy.config.layers {
                prop_assert!(layer.num_heads.is_multiple_of(layer.num_kv_heads));
            }
            prop_assert!(per_layer || widths(&copy.config).windows(2).all(|pair| pair[0] == pair[1]));
            records.extend(happened);
        }
        let achieved = copy.config.num_params();
        prop_assert!(achieved <= target);
        // The optimum of the defined search, by enumeration.
        if per_layer {
            let counts = uneven_counts(&groups, &before_completion);
            prop_assert_eq!(Some(achieved), counts.range(..=target).next_back().copied());
        } else {
            let left = all_events(&groups, &before_completion);
            let mut numbers: Vec<Events> = vec![vec![]];
            for &(kind, left) in &left {
                let one = |events: &Events| -> Vec<Events> {
                    (0..=left).map(|n| [events.clone(), vec![(kind, n)]].concat()).collect()
                };
                numbers = numbers.iter().flat_map(one).collect();
            }
            let reachable = numbers.iter().map(|events| all.count_after(&groups, &before_completion, events));
            prop_assert_eq!(Some(achieved), reachable.filter(|params| *params <= target).max());
        }

        // All at once, with sums that are corrected, is the same pruning.
        let at_once = model.one_shot(&mut pruner);
        prop_assert_eq!(at_once.len(), records.len());
        for (at_once, single) in at_once.iter().zip(&records) {
            prop_assert_eq!((&at_once.indices, &at_once.layers), (&single.indices, &single.layers));
            let error = (at_once.saliency - single.saliency).abs();
            prop_assert!(error <= 1e-12 + 1e-9 * single.saliency.abs(), "{} {}", at_once.saliency, single.saliency);
        }
        prop_assert_eq!(&model.config, &copy.config);
        prop_assert_eq!(model.all(), copy.all());
    }
}
