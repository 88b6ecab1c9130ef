//! Pruning in stages, and schedules that go on where the source's stood.
use super::pretrain::{Beginning, Silent, TrainError, TrainPlan, pretrain, train};
use super::schedule::Rate;
use super::tests::{BACKEND, CONTEXT, StopAt, alone, assert_same, batches, config, prune_spec, train_spec};
use super::{Lesson, Part, TrainState, calibrate};
use crate::model::network::ExplicitNetwork;
use crate::model::{LayerShape, ModelConfig, Weights, init};
use crate::spec::{PruneSpec, Saliency, ScheduleKind, Scope, TrainSpec, Update};
use crate::tensor::{CpuBackend, Distillation};
use std::path::Path;

type State = TrainState<CpuBackend<f32>>;

fn plan<'a>(
    spec: &'a TrainSpec,
    prune: Option<&'a PruneSpec>,
    steps: u64,
    resume: Option<(&'a Path, &'a str)>,
) -> TrainPlan<'a> {
    TrainPlan {
        spec,
        context_length: CONTEXT,
        tokens: steps * spec.batch_tokens as u64,
        first_sequence: 0,
        part: Part::Train,
        prune,
        seed: 2,
        resume,
    }
}

fn fresh() -> Beginning<CpuBackend<f32>> {
    Beginning::new(config(), init::random_weights(&BACKEND, &config(), 2))
}

fn in_stages(
    stages: u64,
    update: Update,
    resume: Option<(&Path, &str)>,
    stop: u64,
) -> Result<State, TrainError> {
    let (spec, prune) = (train_spec(), prune_spec(Saliency::TAYLOR_MIX, update, 0.5));
    let beginning = Beginning { stages, ..fresh() };
    let mut network = ExplicitNetwork::new(&BACKEND);
    let plan = plan(&spec, Some(&prune), 12, resume);
    let mut observer = StopAt(stop * spec.batch_tokens as u64, 0);
    train(&mut alone(&mut network), &batches(), &plan, beginning, &mut observer)
}

const NEVER: u64 = 1 << 40;

/// One stage is what `one_shot` does, and then a run of training: the same weights to the bit.
#[test]
fn one_stage_is_pruning_and_then_training() {
    let staged = in_stages(1, Update::LAYERWISE, None, NEVER).expect("it trains");
    let (spec, prune) = (train_spec(), prune_spec(Saliency::TAYLOR_MIX, Update::LAYERWISE, 0.5));
    let mut network = ExplicitNetwork::new(&BACKEND);
    let Beginning { config, weights, .. } = fresh();
    let rank = &mut alone(&mut network);
    let pruned =
        calibrate::one_shot(rank, &batches(), &prune, CONTEXT, 8, 0, 2, config, weights).expect("it prunes");
    let trained =
        pretrain(rank, &batches(), &plan(&spec, None, 12, None), pruned.config, pruned.weights, &mut Silent)
            .expect("it trains");
    assert!(staged.weights == trained.weights && staged.moments.v == trained.moments.v);
    assert_eq!(staged.progress.events, pruned.events);
    assert_eq!(
        staged.progress.ledger.entry(Part::Train).tokens,
        trained.progress.ledger.entry(Part::Train).tokens
    );
    let calibrated = 4 * CONTEXT as u64;
    assert_eq!(staged.progress.ledger.entry(Part::Saliency).tokens, calibrated);
    assert_eq!(staged.progress.curve[0].tokens_seen, trained.progress.curve[0].tokens_seen + calibrated);
}

/// Four stages go down four equal steps, each before a quarter of the training.
#[test]
fn stages_share_out_the_way_and_the_training() {
    let state = in_stages(4, Update::NONE, None, NEVER).expect("it trains");
    let source = config().num_params();
    let target = source / 2;
    let params =
        |step: u64| state.progress.curve.iter().find(|point| point.step == step).expect("a point").params;
    for stage in 1..=4 {
        let (first, last) = (params(3 * (stage - 1) + 1), params(3 * stage));
        assert_eq!(first, last, "stage {stage} trains what it pruned");
        let line = source - (source - target) * stage / 4;
        assert!(first <= line && first + 400 > line, "stage {stage}: {first} against {line}");
    }
    assert_eq!(state.progress.ledger.entry(Part::Saliency).tokens, 4 * 4 * CONTEXT as u64);
    let steps: Vec<u64> = state.progress.events.iter().map(|event| event.step).collect();
    assert!(
        [0, 3, 6, 9].iter().all(|step| steps.contains(step)) && steps.iter().all(|step| step % 3 == 0),
        "{steps:?}"
    );
}

#[test]
fn stages_resume_to_the_same_bits() {
    let folder = tempfile::tempdir().expect("a folder");
    for (i, update) in [Update::NONE, Update::LAYERWISE].into_iter().enumerate() {
        let whole = in_stages(3, update, None, NEVER).expect("it trains");
        let path = folder.path().join(format!("{i}.safetensors"));
        for stop in [1, 4, 8] {
            let stopped = in_stages(3, update, Some((&path, "key")), stop);
            assert!(matches!(stopped, Err(TrainError::Interrupted { .. })));
        }
        assert_same(&whole, &in_stages(3, update, Some((&path, "key")), NEVER).expect("it resumes"));
    }
}

/// A run in two halves, the second with the moments of the first and the rest of its schedule, is the whole run.
#[test]
fn a_continued_schedule_with_its_moments_is_one_run() {
    let spec = train_spec();
    let batch = spec.batch_tokens as u64;
    let mut network = ExplicitNetwork::new(&BACKEND);
    let rank = &mut alone(&mut network);
    let whole =
        train(rank, &batches(), &plan(&spec, None, 10, None), fresh(), &mut Silent).expect("it trains");
    let rate = |before: u64| Some(Rate { spec: spec.clone(), before: before * batch, total: 10 * batch });
    let first = Beginning { rate: rate(0), ..fresh() };
    let first = train(rank, &batches(), &plan(&spec, None, 4, None), first, &mut Silent).expect("it trains");
    let TrainState { config, weights, moments, .. } = first;
    let rest = Beginning { moments: Some(moments), rate: rate(4), ..Beginning::new(config, weights) };
    let second = TrainPlan { first_sequence: 4 * batch / CONTEXT as u64, ..plan(&spec, None, 6, None) };
    let rest = train(rank, &batches(), &second, rest, &mut Silent).expect("it trains");
    assert!(whole.weights == rest.weights && whole.moments.m == rest.moments.m);
}

/// Moments that are carried over are sliced with the weights, in a first stage as in any other.
#[test]
fn carried_moments_go_with_what_is_pruned() {
    let spec = TrainSpec { schedule: ScheduleKind::Wsd, warmup_tokens: 0, ..train_spec() };
    let prune = prune_spec(Saliency::TAYLOR1, Update::NONE, 0.5);
    let mut network = ExplicitNetwork::new(&BACKEND);
    let rank = &mut alone(&mut network);
    let source =
        train(rank, &batches(), &plan(&spec, None, 4, None), fresh(), &mut Silent).expect("it trains");
    let TrainState { config, weights, moments, .. } = source;
    let steps = moments.steps;
    let beginning = Beginning { moments: Some(moments), stages: 1, ..Beginning::new(config, weights) };
    let state = train(rank, &batches(), &plan(&spec, Some(&prune), 2, None), beginning, &mut Silent)
        .expect("it trains");
    assert_eq!(state.moments.steps, steps + 2);
    let shapes = |tree: &Weights<crate::tensor::cpu::Matrix<f32>>| -> Vec<[usize; 2]> {
        tree.leaves().iter().map(|leaf| [leaf.rows, leaf.cols]).collect()
    };
    assert_eq!(shapes(&state.moments.m), shapes(&state.weights));
}

/// Learning from a trained source alone, a small model comes near its predictions; what the source costs is booked, and a
/// run that was stopped ends in the same bits.
#[test]
fn a_lesson_is_learnt_booked_and_resumed() {
    let spec = train_spec();
    let mut network = ExplicitNetwork::new(&BACKEND);
    let rank = &mut alone(&mut network);
    let source =
        train(rank, &batches(), &plan(&spec, None, 12, None), fresh(), &mut Silent).expect("it trains");
    let small = ModelConfig { layers: config().layers[..1].to_vec(), ..config() };
    let mut learn = |resume: Option<(&Path, &str)>, stop: u64| {
        let of = Distillation { weight: 1.0, temperature: 1.5, top_k: 0 };
        let (config, weights) = (source.config.clone(), source.weights.clone());
        let lesson = Some(Lesson { config, weights, of });
        let own = init::random_weights(&BACKEND, &small, 3);
        let beginning = Beginning { lesson, ..Beginning::new(small.clone(), own) };
        let mut observer = StopAt(stop * spec.batch_tokens as u64, 0);
        train(rank, &batches(), &plan(&spec, None, 20, resume), beginning, &mut observer)
    };
    let whole = learn(None, NEVER).expect("it learns");
    let (first, last) = (whole.progress.curve[0].loss, whole.progress.curve[19].loss);
    assert!(last < 0.6 * first, "the divergence falls from {first} to {last}");
    let teacher = whole.progress.ledger.entry(Part::Teacher);
    assert_eq!(teacher.tokens, 20 * spec.batch_tokens as u64);
    let forward = crate::model::flops::forward_flops_per_token(&source.config, CONTEXT);
    assert_eq!(teacher.flops, forward * teacher.tokens as f64);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.safetensors");
    assert!(matches!(learn(Some((&path, "key")), 7), Err(TrainError::Interrupted { .. })));
    assert_same(&whole, &learn(Some((&path, "key")), NEVER).expect("it resumes"));
}

/// By random groups, in `stages` (0: while it trains), down to the widths of another model.
fn at_widths(
    stages: u64,
    prune: &PruneSpec,
    resume: Option<(&Path, &str)>,
    stop: u64,
) -> Result<State, TrainError> {
    let spec = train_spec();
    let mut network = ExplicitNetwork::new(&BACKEND);
    let plan = plan(&spec, Some(prune), 14, resume);
    let mut observer = StopAt(stop * spec.batch_tokens as u64, 0);
    let beginning = Beginning { stages, ..fresh() };
    train(&mut alone(&mut network), &batches(), &plan, beginning, &mut observer)
}

/// Whatever the way down, it ends at the widths of the other model, layer by layer; biases that an update creates are no
/// widths; and a run that was stopped ends in the same bits.
#[test]
fn every_way_to_prune_ends_at_the_widths_of_another_model() {
    let folder = tempfile::tempdir().expect("a folder");
    let widths = |config: &ModelConfig| {
        let layer = |layer: &LayerShape| (layer.num_heads, layer.num_kv_heads, layer.intermediate_size);
        (config.hidden_size, config.layers.iter().map(layer).collect::<Vec<_>>())
    };
    for scope in [Scope::Uniform, Scope::PerLayer] {
        let by_size = PruneSpec { scope, ..prune_spec(Saliency::MAGNITUDE_L2, Update::MEAN_BIAS, 0.5) };
        let other = at_widths(1, &by_size, None, NEVER).expect("it trains").config;
        assert_eq!(
            other.layers[0] == other.layers[1],
            scope == Scope::Uniform,
            "layers differ only by one group each"
        );
        for (stages, update) in [
            (0, Update::NONE),
            (1, Update::LAYERWISE_BIAS),
            (1, Update::NONE),
            (3, Update::LAYERWISE),
            (0, Update::MEAN_BIAS),
        ] {
            let prune = PruneSpec { scope, ..prune_spec(Saliency::RANDOM, update, 0.9) }.to_widths_of(&other);
            let whole = at_widths(stages, &prune, None, NEVER).expect("it trains");
            assert_eq!(widths(&whole.config), widths(&other), "{scope:?}, {stages} stages, {update:?}");
            let path = folder.path().join(format!("{scope:?}-{stages}-{update:?}.safetensors"));
            for stop in [2, 6] {
                let stopped = at_widths(stages, &prune, Some((&path, "key")), stop);
                assert!(matches!(stopped, Err(TrainError::Interrupted { .. })));
            }
            assert_same(&whole, &at_widths(stages, &prune, Some((&path, "key")), NEVER).expect("it resumes"));
        }
    }
}
