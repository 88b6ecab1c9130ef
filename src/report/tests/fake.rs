//! A made-up experiment: six arms on seven tasks, with curves, pruning events, widths and ledgers. The same numbers each time.
use crate::base::random;
use crate::questions::{AxisQuestion, Comparison};
use crate::record::{
    CandidateRow, CurvePoint, EvalScore, ItemChoice, LatencyPhase, LatencyRow, LayerWidths, LedgerEntry,
    LedgerPart, PruneEvent, RunIdentity, RunRecord, RunTotals, Status,
};
use crate::report::ReportRequest;
use rand::{Rng, RngExt};

const TASKS: [(&str, u64); 7] = [
    ("arc_easy", 4),
    ("arc_challenge", 4),
    ("boolq", 2),
    ("hellaswag", 4),
    ("openbookqa", 4),
    ("piqa", 2),
    ("winogrande", 2),
];
const SOURCE_PARAMS: u64 = 920_000;
const TOKENS: u64 = 819_200;
const STEPS: u64 = 200;

/// One arm of the made-up experiment.
#[derive(Clone, Copy)]
pub struct Arm {
    pub name: &'static str,
    /// Probability of a right answer above chance, on a scale from 0 to 1.
    pub skill: f64,
    pub prunes: bool,
    pub final_loss: f64,
    pub trains: bool,
}

pub const ARMS: [Arm; 6] = [
    Arm { name: "source", skill: 0.55, prunes: false, final_loss: 1.75, trains: false },
    Arm { name: "pruning_aware", skill: 0.46, prunes: true, final_loss: 1.92, trains: true },
    Arm { name: "one_shot", skill: 0.08, prunes: false, final_loss: 3.4, trains: false },
    Arm { name: "one_shot_recover", skill: 0.41, prunes: false, final_loss: 1.99, trains: true },
    Arm { name: "direct_searched_total_tokens", skill: 0.43, prunes: false, final_loss: 1.95, trains: true },
    Arm {
        name: "direct_proportional_total_tokens",
        skill: 0.36,
        prunes: false,
        final_loss: 2.05,
        trains: true,
    },
];

/// Difficulty of item `i` of task `t`, the same for every arm and seed.
fn difficulty(t: usize, i: usize) -> f64 {
    random::stream(0, &format!("fake difficulty {t} {i}")).random()
}

pub fn fake_run(arm: &Arm, seed: u64, items: usize, axes: Vec<(String, String)>) -> RunRecord {
    let point: String = axes.iter().map(|(_, v)| format!("-{v}")).collect();
    let run = format!("{}{point}-seed{seed}", arm.name);
    let mut rng = random::stream(seed, &format!("fake {run}"));
    let mut r = RunRecord::new(
        RunIdentity {
            run: run.clone(),
            arm: arm.name.into(),
            seed,
            status: Status::Ok,
            reason: None,
            stage: Some(format!("{run}-01234567")),
        },
        axes,
    );
    let wobble = 0.02 * (rng.random::<f64>() - 0.5);
    let params = if arm.name == "source" { SOURCE_PARAMS } else { 459_900 };
    let own = if arm.trains { 6.0 * params as f64 * TOKENS as f64 } else { 0.0 };
    r.totals = RunTotals {
        params: Some(params),
        target_params: (arm.name != "source").then_some(460_000),
        tokens: Some(if arm.trains { TOKENS } else { 0 }),
        total_tokens: Some(if arm.trains { TOKENS } else { 0 } + 2 * TOKENS),
        flops: Some(own),
        total_flops: Some(own + 9e12),
        train_loss: arm.trains.then_some(arm.final_loss + wobble),
        valid_loss: Some(arm.final_loss + 0.05 + wobble),
        bits_per_byte: Some((arm.final_loss + 0.05 + wobble) / 2.6),
        seconds: Some(31.5),
        peak_memory_bytes: Some(210_000_000),
        saliency_hessian: arm.prunes.then(|| "global_diagonal".into()),
        update_hessian: arm.prunes.then(|| "none".into()),
        ..RunTotals::default()
    };
    for (t, (task, choices)) in TASKS.iter().enumerate() {
        for i in 0..items {
            let chance = 1.0 / *choices as f64;
            let p = chance + (1.0 - chance) * (arm.skill + wobble) * 2.0 * (1.0 - difficulty(t, i));
            let (acc, norm) = (rng.random::<f64>() < p, rng.random::<f64>() < p + 0.02);
            r.items.extend((0..*choices).map(|choice| ItemChoice {
                task: task.to_string(),
                item: format!("{task}-{i}"),
                gold: 0,
                choice,
                loglik: Some(-3.0 - choice as f64),
                num_chars: 5,
                num_bytes: 5,
                num_tokens: 2,
                acc: Some(acc as u8),
                acc_norm: (*choices == 4).then_some(norm as u8),
                ..ItemChoice::default()
            }));
        }
        r.evals.push(EvalScore::from_choices(task, &r.items, Some(1.0 / *choices as f64)));
    }
    if arm.trains {
        fake_training(&mut r, arm, params, &mut rng);
    }
    r.widths = (0..4)
        .map(|layer| LayerWidths {
            layer,
            hidden_size: if arm.name == "source" { 128 } else { 88 + seed },
            head_dim: Some(32),
            num_heads: if arm.name == "source" { 4 } else { 3 },
            num_kv_heads: 1,
            // Mean over layers: 260 − 2 seed.
            intermediate_size: if arm.name == "source" { 384 } else { 248 + 8 * layer - 2 * seed },
        })
        .collect();
    r.ledger = fake_ledger(arm, own);
    r
}

fn fake_ledger(arm: &Arm, own: f64) -> Vec<LedgerEntry> {
    let entry =
        |part, tokens, flops| LedgerEntry { part, tokens, flops: Some(flops), seconds: Some(flops / 2e11) };
    let mut out = vec![entry(LedgerPart::Source, Some(2 * TOKENS), 9e12)];
    if arm.prunes {
        out.push(entry(LedgerPart::Saliency, None, 0.03 * own));
    }
    if arm.trains {
        out.push(entry(LedgerPart::Train, Some(TOKENS), own));
    }
    out.push(entry(LedgerPart::Evaluation, Some(90_000), 8e10));
    out
}

fn fake_training(r: &mut RunRecord, arm: &Arm, params: u64, rng: &mut impl Rng) {
    let from_scratch = arm.name.starts_with("direct");
    let mut left = if arm.prunes { SOURCE_PARAMS } else { params };
    let (mut flops, mut gone) = (0.0, [0u64; 3]);
    let totals = [384u64, 2, 128];
    for step in 1..=STEPS {
        let (tokens_seen, t) = (step * TOKENS / STEPS, step as f64 / STEPS as f64);
        // Pruning takes the first half of the tokens.
        while arm.prunes
            && t <= 0.5
            && left as f64 > SOURCE_PARAMS as f64 - t * 2.0 * (SOURCE_PARAMS - params) as f64
        {
            let kind = match rng.random_range(0..40) {
                0 if gone[1] < 1 => 1,
                x if x % 3 == 0 => 2,
                _ => 0,
            };
            gone[kind] += 1;
            left = left.saturating_sub([1536, 12_000, 3_500][kind]).max(params);
            let layers = if kind == 2 { 1 } else { 4 };
            let index: Vec<String> =
                (0..layers).map(|_| rng.random_range(0..totals[kind]).to_string()).collect();
            let level = |c: f64| Some(2e-8 * c * (8.0 * t).exp() * (0.8 + 0.4 * rng_free(step, c)));
            r.prune.push(PruneEvent {
                event: r.prune.len() as u64,
                step,
                tokens_seen,
                group_type: ["ffn", "head", "stem"][kind].into(),
                layer: "all".into(),
                index: index.join(";"),
                saliency: level(1.0),
                params: left,
                gram_age_steps: None,
                gram_age_events: None,
                gram_tokens: None,
                damping: None,
                fisher_unit: None,
                fisher_units: None,
                sums_from_event: None,
            });
            let event = r.prune.len() as u64 - 1;
            for (i, (name, factor)) in [("ffn", 1.0), ("head", 2.5), ("stem", 1.4)].into_iter().enumerate() {
                let pruned_share = Some(gone[i] as f64 / totals[i] as f64);
                let group_type = name.to_string();
                r.candidates.push(CandidateRow { event, group_type, saliency: level(factor), pruned_share });
            }
        }
        flops += 6.0 * left as f64 * (TOKENS / STEPS) as f64;
        let start = if from_scratch { 5.0 } else { 0.6 };
        r.curve.push(CurvePoint {
            step,
            tokens_seen,
            params: left,
            loss: Some(arm.final_loss + start * (-9.0 * t).exp() + 0.15 * (rng.random::<f64>() - 0.5)),
            grad_norm: Some(0.8),
            learning_rate: Some(3e-3 * (1.0 - t)),
            flops: Some(flops),
            held_out_loss: None,
        });
    }
}

/// Adds what not every experiment measures: held-out losses along the run, latencies, companions of accuracy.
pub fn with_everything(r: &mut RunRecord) {
    for point in r.curve.iter_mut().filter(|point| point.step % 20 == 0) {
        point.held_out_loss = point.loss.map(|loss| loss + 0.1);
    }
    let seconds = |whole: f64| [1.1, 1.0, 0.8].map(|x| whole * x * (1.0 + 0.1 * r.identity.seed as f64));
    r.latency = vec![
        LatencyRow::of(LatencyPhase::Prefill, 128, 2, &seconds(0.64)),
        LatencyRow::of(LatencyPhase::Decode, 32, 2, &seconds(1.6)),
    ];
    r.totals.kl_to_source = r.totals.bits_per_byte.map(|bits| 0.1 * bits);
    for item in &mut r.items {
        let right = f64::from(item.acc.unwrap_or(0));
        item.gold_probability = Some(0.3 + 0.4 * right);
        item.gold_nll = Some(0.9 - 0.4 * right);
        item.margin = Some(right - 0.5);
        item.choice_log_loss = Some(1.2 - right);
        item.agreement = item.acc;
    }
    r.evals = TASKS
        .iter()
        .map(|(task, n)| EvalScore::from_choices(task, &r.items, Some(1.0 / *n as f64)))
        .collect();
}

/// A number in 0..1 that depends on its arguments alone.
fn rng_free(step: u64, c: f64) -> f64 {
    random::stream(step, &format!("level {c}")).random()
}

pub fn request() -> ReportRequest {
    let declared = |variant: &str, baseline: &str, metric: &str| Comparison {
        variant: variant.into(),
        baseline: baseline.into(),
        metric: metric.into(),
        ..Comparison::default()
    };
    ReportRequest {
        title: "quickstart".into(),
        question: "At equal budgets, does pruning-aware pretraining beat direct pretraining & post-training pruning?".into(),
        comparisons: vec![
            declared("pruning_aware", "one_shot_recover", "acc"),
            declared("pruning_aware", "direct_proportional_total_tokens", "acc"),
            declared("pruning_aware", "direct_searched_total_tokens", "acc_norm"),
            declared("pruning_aware", "one_shot_recover", "bits_per_byte"),
            declared("pruning_aware", "distil", "acc"),
        ],
        questions: vec![AxisQuestion {
            arm: "pruning_aware".into(),
            axes: vec!["prune.saliency".into()],
            metric: "acc".into(),
            ..AxisQuestion::default()
        }],
        ..ReportRequest::default()
    }
}

/// Three seeds of six arms, one run failed.
pub fn fake_experiment() -> Vec<RunRecord> {
    let mut records: Vec<RunRecord> =
        ARMS.iter().flat_map(|arm| (1..=3).map(|seed| fake_run(arm, seed, 100, vec![]))).collect();
    let last = records.last_mut().unwrap();
    let mut identity = last.identity.clone();
    identity.status = Status::Failed;
    identity.reason = Some("loss became NaN at step 12 (learning rate 0.3)".into());
    *last = RunRecord::new(identity, vec![]);
    records
}
