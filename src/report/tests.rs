//! The report on made-up records: snapshots, determinism, blanks.
use super::request::PlannedRun;
use super::*;
use crate::base::random;
use crate::record::{
    CandidateRow, CurvePoint, EvalScore, ItemChoice, LatencyPhase, LatencyRow, LayerWidths, LedgerEntry,
    LedgerPart, PruneEvent, RunIdentity, RunRecord, RunTotals, Status, collect,
};
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
struct Arm {
    name: &'static str,
    /// Probability of a right answer above chance, on a scale from 0 to 1.
    skill: f64,
    prunes: bool,
    final_loss: f64,
    trains: bool,
}

const ARMS: [Arm; 6] = [
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

fn fake_run(arm: &Arm, seed: u64, items: usize, axes: Vec<(String, String)>) -> RunRecord {
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
            intermediate_size: if arm.name == "source" { 384 } else { 260 - 2 * seed },
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

/// A number in 0..1 that depends on its arguments alone.
fn rng_free(step: u64, c: f64) -> f64 {
    random::stream(step, &format!("level {c}")).random()
}

fn request() -> ReportRequest {
    let declared = |variant: &str, baseline: &str, metric: &str| DeclaredComparison {
        variant: variant.into(),
        baseline: baseline.into(),
        metric: metric.into(),
        ..DeclaredComparison::default()
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
fn fake_experiment() -> Vec<RunRecord> {
    let mut records: Vec<RunRecord> =
        ARMS.iter().flat_map(|arm| (1..=3).map(|seed| fake_run(arm, seed, 100, vec![]))).collect();
    let last = records.last_mut().unwrap();
    let mut identity = last.identity.clone();
    identity.status = Status::Failed;
    identity.reason = Some("loss became NaN at step 12 (learning rate 0.3)".into());
    *last = RunRecord::new(identity, vec![]);
    records
}

/// Writes `records` and the request as an experiment's results would stand, and reports on them.
fn reported(folder: &std::path::Path, records: &[RunRecord], request: &ReportRequest) -> Report {
    collect(folder, records).unwrap();
    std::fs::write(folder.join("plan.json"), serde_json::to_vec(request).unwrap()).unwrap();
    for block in sections::build(&Results::read(folder).unwrap(), request).unwrap().0.blocks {
        if let document::Block::Table(t) = block {
            assert!(t.rows.iter().all(|row| row.len() == t.header.len()), "{}: ragged", t.name);
        }
    }
    let written = write(folder).unwrap();
    assert!(written.files.iter().all(|f| f.exists()));
    assert_eq!(write(folder).unwrap().changed, [] as [PathBuf; 0], "the same bytes are written once");
    let report = render(&Results::read(folder).unwrap(), &ReportRequest::read(folder).unwrap()).unwrap();
    for figure in &report.figures {
        for (sheet, svg) in [("wide", &figure.svg), ("narrow", &figure.narrow)] {
            let name = format!("{} {sheet}", figure.name);
            figures::tests::assert_nothing_clipped(&name, svg);
            assert_eq!(figures::tests::overlaps(svg), [], "{name}");
        }
    }
    report
}

/// Where `items.csv` was left out, means are those of `evals.csv` and intervals are Student's t over seeds.
#[test]
fn results_without_their_items_are_reported_over_seeds() {
    let folder = tempfile::tempdir().unwrap();
    let whole = reported(folder.path(), &fake_experiment(), &request());
    std::fs::remove_file(folder.path().join("items.csv")).unwrap();
    let report = of(folder.path()).unwrap();
    assert!(report.markdown.contains("`items.csv` is not among the tables"), "{}", report.markdown);
    let estimates = |report: &Report| -> Vec<Option<f64>> {
        let mut rows = csv::Reader::from_reader(report.comparisons.as_bytes());
        let column = rows.headers().unwrap().iter().position(|name| name == "estimate").unwrap();
        rows.records().map(|row| row.unwrap()[column].parse().ok()).collect()
    };
    let (with, without) = (estimates(&whole), estimates(&report));
    assert!(with.len() == without.len() && with.iter().any(Option::is_some));
    for (with, without) in with.iter().zip(&without) {
        match (with, without) {
            (Some(with), Some(without)) => assert!((with - without).abs() < 1e-9, "{with} {without}"),
            blank => assert_eq!(blank, (&None, &None)),
        }
    }
}

#[test]
fn snapshot_and_determinism() {
    let folder = tempfile::tempdir().unwrap();
    let report = reported(folder.path(), &fake_experiment(), &request());
    insta::assert_snapshot!("report_md", report.markdown);
    let again = tempfile::tempdir().unwrap();
    assert_eq!(reported(again.path(), &fake_experiment(), &request()), report);
    assert_eq!(std::fs::read_to_string(folder.path().join("report.html")).unwrap(), report.html);
    assert_eq!(report.figures.len(), 9);
    // Self-contained: its script and links are its own, and nothing refers outside but the SVG name space.
    assert!(!report.html.contains("src=") && report.html.matches("<script").count() == 1);
    assert_eq!(report.html.matches("href=").count(), report.html.matches("href=\"#section-").count());
    assert_eq!(
        report.html.matches("http").count(),
        report.html.matches("http://www.w3.org/2000/svg").count()
    );
    assert!(report.html.contains("pretraining &amp; post-training"));
    assert!(report.latex.contains("pruning\\_\\allowbreak{}aware") && !report.latex.contains("nan"));
    for Figure { name, svg, .. } in &report.figures {
        assert!(
            svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>") && !svg.contains("NaN"),
            "{name}"
        );
    }
    // For the eye: the folder is kept where this variable asks for it.
    if let Ok(target) = std::env::var("EFFICIENTLLM_REPORT_PREVIEW") {
        reported(std::path::Path::new(&target), &fake_experiment(), &request());
    }
}

#[test]
fn one_seed_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let records: Vec<RunRecord> = ARMS.iter().take(4).map(|arm| fake_run(arm, 1, 60, vec![])).collect();
    let report = reported(folder.path(), &records, &request());
    assert!(report.markdown.contains("With a single seed no seed interval exists"));
    assert!(
        report.markdown.contains(
            "no verdict: one seed says nothing of another; over items alone, the 95 % interval is "
        )
    );
    assert!(report.markdown.contains("†"));
}

#[test]
fn axes_are_row_keys_and_one_family_of_comparisons() {
    let folder = tempfile::tempdir().unwrap();
    let axis = |v: &str| vec![("prune.saliency".to_string(), v.to_string())];
    let mut records = Vec::new();
    for value in ["random", "taylor1", "taylor_mix"] {
        for arm in [&ARMS[1], &ARMS[3]] {
            records.extend((1..=2).map(|seed| fake_run(arm, seed, 40, axis(value))));
        }
    }
    let report = reported(folder.path(), &records, &request());
    assert!(report.markdown.contains("| arm | `prune.saliency` | seeds |"));
    assert_eq!(
        report
            .markdown
            .matches("`pruning_aware` against `one_shot_recover` on `acc`, `prune.saliency` = ")
            .count(),
        3
    );
    if let Ok(target) = std::env::var("EFFICIENTLLM_REPORT_PREVIEW") {
        reported(&std::path::Path::new(&target).join("grid"), &records, &request());
    }
}

/// An arm that depends on one of two axes is the baseline at every point of the other.
#[test]
fn at_two_axes_arms_meet_at_every_point_that_both_have() {
    let folder = tempfile::tempdir().unwrap();
    let axes = |saliency: &str, rate: &str| {
        vec![("prune.saliency".to_string(), saliency.to_string()), ("rate".to_string(), rate.to_string())]
    };
    let mut records = Vec::new();
    for rate in ["1e-3", "3e-3"] {
        records.extend((1..=2).map(|seed| fake_run(&ARMS[5], seed, 20, axes("", rate))));
        for saliency in ["random", "taylor1"] {
            records.extend((1..=2).map(|seed| fake_run(&ARMS[1], seed, 20, axes(saliency, rate))));
        }
    }
    let against = |records: &[RunRecord], variant: &str, baseline: &str| {
        let comparisons = vec![DeclaredComparison {
            variant: variant.into(),
            baseline: baseline.into(),
            metric: "acc".into(),
            ..DeclaredComparison::default()
        }];
        let request = ReportRequest { comparisons, ..request() };
        reported(folder.path(), records, &request).markdown
    };
    for (variant, baseline) in [(ARMS[1].name, ARMS[5].name), (ARMS[5].name, ARMS[1].name)] {
        let page = against(&records, variant, baseline);
        assert!(!page.contains("no answer"), "{page}");
        for rate in ["1e-3", "3e-3"] {
            for saliency in ["random", "taylor1"] {
                let verdict = format!(
                    "`{variant}` against `{baseline}` on `acc`, `prune.saliency` = {saliency}, `rate` = {rate}: "
                );
                assert_eq!(page.matches(&verdict).count(), 1, "{verdict}\n{page}");
            }
        }
    }
    // A point that the baseline has not is no point of it.
    records.retain(|r| r.identity.arm != ARMS[5].name || r.axes[1].1 == "1e-3");
    let page = against(&records, ARMS[1].name, ARMS[5].name);
    assert_eq!(page.matches("no answer").count(), 2, "{page}");
}

#[test]
fn a_sweep_that_is_not_complete_says_so_on_top_and_in_every_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let records = fake_experiment();
    let planned = |names: &[&RunRecord]| -> Vec<PlannedRun> {
        names.iter().map(|r| PlannedRun { run: r.identity.run.clone(), ..PlannedRun::default() }).collect()
    };
    let all: Vec<&RunRecord> = records.iter().collect();
    let page = |here: &[RunRecord], runs: Vec<PlannedRun>| {
        reported(folder.path(), here, &ReportRequest { runs, ..request() }).markdown
    };
    let complete = page(&records, planned(&all));
    assert!(!complete.contains("Incomplete") && !complete.contains("Preliminary"), "{complete}");
    let half = page(&records[..11], planned(&all));
    assert!(
        half.contains("Incomplete: 11 of 18 planned runs are done or have failed, 7 are still missing: `")
    );
    assert_eq!(half.matches("- Preliminary, with 11 of 18 planned runs: `").count(), 6, "{half}");
    let other = page(&records, planned(&all[..17]));
    assert!(other.contains("The tables hold runs that `plan.json` does not name: `"), "{other}");
}

/// Four saliencies by two updates by three seeds: the page answers which is best and how sure that is, whether the update
/// matters, and whether they interact; declared questions get a verdict, others are called exploratory.
#[test]
fn a_grid_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let mut records = Vec::new();
    for (skill, saliency) in
        [(0.15, "random"), (0.40, "magnitude_l2"), (0.42, "taylor1"), (0.44, "taylor_mix")]
    {
        for (gain, update) in [(0.0, "none"), (0.02, "layerwise")] {
            let axes = [("prune.saliency", saliency), ("prune.update", update)];
            let axes: Vec<_> = axes.map(|(key, value)| (key.to_string(), value.to_string())).to_vec();
            let arm = Arm { skill: skill + gain, ..ARMS[1] };
            records.extend((1..=3).map(|seed| fake_run(&arm, seed, 60, axes.clone())));
        }
    }
    let report = reported(folder.path(), &records, &request());
    let told = &report.markdown;
    let answers = &told[told.find("## What the grid says").expect("a section")..];
    let ranking = answers.lines().find(|line| line.contains("`prune.saliency` on `acc`")).expect("a ranking");
    assert!(ranking.contains("came out best") && ranking.contains("worse: `random`"), "{ranking}");
    assert!(!ranking.contains("Exploratory"), "{ranking}");
    let update = answers.lines().find(|line| line.contains("`prune.update` on `acc`")).expect("an effect");
    assert!(update.contains("Exploratory: not declared before the run"), "{update}");
    assert!(
        answers.contains("`prune.saliency` × `prune.update` on `acc`: no interaction was found"),
        "{answers}"
    );
    let names: Vec<&str> = report.figures.iter().map(|figure| figure.name.as_str()).collect();
    assert!(names.contains(&"levels-pruning_aware-acc"), "{names:?}");
    assert!(names.contains(&"cells-pruning_aware-prune_saliency-prune_update-acc"), "{names:?}");
    if let Ok(target) = std::env::var("EFFICIENTLLM_REPORT_PREVIEW") {
        reported(&std::path::Path::new(&target).join("two-axes"), &records, &request());
    }
}

/// 4 saliencies × 2 updates × 3 targets: 24 curves in panels of their own colours, and every picture of a grid.
#[test]
fn pictures_of_a_grid_of_three_axes() {
    let folder = tempfile::tempdir().unwrap();
    let mut records: Vec<RunRecord> =
        (1..=2).map(|seed| fake_run(&ARMS[0], seed, 20, axes_of(["", "", ""]))).collect();
    for (skill, saliency) in
        [(0.15, "random"), (0.40, "magnitude_l2"), (0.42, "taylor1"), (0.44, "taylor_mix")]
    {
        for update in ["none", "layerwise_bias"] {
            for target in ["0.3", "0.5", "0.7"] {
                let arm = Arm { skill, ..ARMS[1] };
                let axes = || axes_of([saliency, update, target]);
                records.extend((1..=2).map(|seed| fake_run(&arm, seed, 20, axes())));
            }
        }
    }
    let report = reported(folder.path(), &records, &request());
    let names: Vec<&str> = report.figures.iter().map(|figure| figure.name.as_str()).collect();
    for name in [
        "accuracy",
        "pareto",
        "params_tokens",
        "loss_tokens",
        "scaling-prune_target_ratio-average_usual",
        "ranks-pruning_aware-prune_saliency-acc",
        "interaction-pruning_aware-prune_saliency-prune_update-acc",
        "width_profile",
    ] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    match latex::tests::complaints(&report.latex) {
        Some(complaints) => assert_eq!(complaints, Vec::<String>::new()),
        None => crate::base::requirement::skip("pdflatex", "it is not installed"),
    }
    if let Ok(target) = std::env::var("EFFICIENTLLM_REPORT_PREVIEW") {
        reported(&std::path::Path::new(&target).join("three-axes"), &records, &request());
    }
}

fn axes_of(values: [&str; 3]) -> Vec<(String, String)> {
    let keys = ["prune.saliency", "prune.update", "prune.target.ratio"];
    keys.into_iter().zip(values).map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

#[test]
fn nothing_measured_is_blank_and_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let report = reported(folder.path(), &[], &request());
    assert!(report.markdown.contains("no answer, since no seed has a finished and scored run of both"));
    assert!(report.figures.is_empty());
    // A run that finished with nothing measured: blanks, no zeros.
    let mut bare = fake_run(&ARMS[1], 1, 1, vec![]);
    bare = RunRecord::new(bare.identity, vec![]);
    let report = reported(folder.path(), &[bare], &request());
    assert!(report.markdown.contains("| `pruning_aware` | 1 |  |  |  |  |  |  |  |"), "{}", report.markdown);
    assert!(report.figures.is_empty());
}

#[test]
fn a_bad_plan_is_told() {
    let folder = tempfile::tempdir().unwrap();
    collect(folder.path(), &[]).unwrap();
    assert!(matches!(write(folder.path()), Err(ReportError::Io { .. })));
    let mut bad = request();
    bad.comparisons[1].metric = "accuracy".into();
    std::fs::write(folder.path().join("plan.json"), serde_json::to_vec(&bad).unwrap()).unwrap();
    let message = write(folder.path()).unwrap_err().to_string();
    assert!(message.contains("comparisons[1].metric: unknown value `accuracy`"), "{message}");
}

/// Twice the speed of the source is `2.00`, and a report without latencies has no such section.
#[test]
fn latency_is_told_relative_to_the_source() {
    let page = |records: &[RunRecord]| {
        let folder = tempfile::tempdir().unwrap();
        collect(folder.path(), records).unwrap();
        render(&Results::read(folder.path()).unwrap(), &request()).unwrap().markdown
    };
    let mut records: Vec<RunRecord> = ARMS[..3].iter().map(|arm| fake_run(arm, 1, 3, Vec::new())).collect();
    assert!(!page(&records).contains("Latency"));
    for (record, speed) in records.iter_mut().zip([1.0, 2.0]) {
        let seconds = |whole: f64| [1.1, 1.0, 0.8].map(|x| whole * x / speed);
        record.latency = vec![
            LatencyRow::of(LatencyPhase::Prefill, 128, 2, &seconds(0.64)),
            LatencyRow::of(LatencyPhase::Decode, 32, 2, &seconds(1.6)),
        ];
    }
    let page = page(&records);
    assert!(page.contains("| `source` | 200 (182 to 250) | 1.00 | 20 (18.2 to 25.0) | 1.00 |"), "{page}");
    assert!(
        page.contains("| `pruning_aware` | 400 (364 to 500) | 2.00 | 40 (36.4 to 50.0) | 2.00 |"),
        "{page}"
    );
    assert!(
        page.contains("on 2 threads: a prompt of 128 tokens")
            && page.contains("the median of 3 measurements")
    );
}

/// Labels of arms, axes and values stand wherever a name would, and the speed of a source is found by whatever it is called.
#[test]
fn labels_stand_in_the_place_of_names() {
    let axes = || vec![("prune.saliency".to_string(), "taylor_mix".to_string())];
    let mut records: Vec<RunRecord> = ARMS[..2].iter().map(|arm| fake_run(arm, 1, 3, axes())).collect();
    for record in &mut records {
        record.latency = vec![LatencyRow::of(LatencyPhase::Prefill, 128, 2, &[1.1, 1.0, 0.8])];
    }
    let folder = tempfile::tempdir().unwrap();
    collect(folder.path(), &records).unwrap();
    let one =
        |key: &str, label: &str| std::collections::BTreeMap::from([(key.to_string(), label.to_string())]);
    let mut arms = one("pruning_aware", "Ours");
    arms.insert("source".into(), "Ceiling".into());
    let labels = Labels {
        arms,
        axes: one("prune.saliency", "Saliency"),
        values: [("prune.saliency".to_string(), one("taylor_mix", "Taylor, mixed"))].into(),
    };
    let request = ReportRequest { labels, ..request() };
    let page = render(&Results::read(folder.path()).unwrap(), &request).unwrap().markdown;
    for label in ["Ours", "Ceiling", "Saliency", "Taylor, mixed"] {
        assert!(page.contains(label), "no {label} in {page}");
    }
    for name in ["`pruning_aware`", "prune.saliency", "taylor_mix", "`source`"] {
        assert!(!page.contains(name), "{name} in {page}");
    }
    assert!(page.contains("| 1.00 |"), "{page}");
}

/// A grid of 300 runs of 700 items is reported in less than 5 s with less than 500 MB: `EFFICIENTLLM_LARGE_GRID` names the folder
/// that keeps it, for `efficientllm report` to be timed on. What is measured here counts in an optimised build alone.
#[test]
#[ignore = "writes 300 runs; EFFICIENTLLM_LARGE_GRID names the folder"]
fn a_grid_of_300_runs_is_reported_in_seconds() {
    let kept = std::env::var("EFFICIENTLLM_LARGE_GRID").ok();
    let folder = tempfile::tempdir().unwrap();
    let folder = kept.as_deref().map_or(folder.path(), std::path::Path::new);
    std::fs::create_dir_all(folder).unwrap();
    let names = ["prune.saliency", "prune.update", "budget.tokens"];
    let mut tables = crate::record::Tables::begin(folder, names.map(String::from).to_vec()).unwrap();
    let mut runs = Vec::new();
    for saliency in 0..10 {
        for update in ["none", "layerwise"] {
            for budget in [1u64, 2, 4, 8, 16] {
                let values = [format!("rule_{saliency}"), update.to_string(), (budget * 100_000).to_string()];
                let axes: Vec<_> = names.iter().map(|name| name.to_string()).zip(values).collect();
                let arm = Arm { skill: 0.2 + 0.02 * saliency as f64 + 0.01 * budget as f64, ..ARMS[1] };
                for seed in 1..=3 {
                    let mut record = fake_run(&arm, seed, 100, axes.clone());
                    record.curve.truncate(100);
                    runs.push(PlannedRun { run: record.identity.run.clone(), ..PlannedRun::default() });
                    tables.add(&record).unwrap();
                }
            }
        }
    }
    let question = |axes: &[&str], slope: bool| AxisQuestion {
        arm: ARMS[1].name.into(),
        axes: axes.iter().map(|axis| axis.to_string()).collect(),
        metric: "acc".into(),
        slope,
        family: None,
    };
    let questions = vec![
        question(&names[..1], false),
        question(&names[1..2], false),
        question(&names[..2], false),
        question(&names[2..], true),
    ];
    let request = ReportRequest { runs, questions, comparisons: vec![], ..request() };
    let mut plan = serde_json::to_value(&request).unwrap();
    plan["experiment"] = "large".into();
    tables.commit(&[("plan.json", &serde_json::to_vec(&plan).unwrap())]).unwrap();
    let started = std::time::Instant::now();
    write(folder).unwrap();
    let seconds = started.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    println!("{seconds:.2} s, {:.0} MB at most", peak.unwrap_or(0.0) / 1e3);
    if !cfg!(debug_assertions) {
        assert!(seconds < 5.0 && peak.is_none_or(|kilobytes| kilobytes < 500e3), "{seconds} s, {peak:?} kB");
    }
}
