//! Grids: what a reader asks of them, and every picture and table of them.
use super::fake::{ARMS, Arm, fake_run, request, with_everything};
use super::{assert_compiles, keep, reported};
use crate::questions::{AxisQuestion, Comparison};
use crate::record::{Results, RunRecord, Status, collect};
use crate::report::figures::tests::assert_legible;
use crate::report::html::browser_tests;
use crate::report::request::PlannedRun;
use crate::report::{ReportRequest, render, write};

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
    keep("grid", &records, &request());
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
        let comparisons = vec![Comparison {
            variant: variant.into(),
            baseline: baseline.into(),
            metric: "acc".into(),
            ..Comparison::default()
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

/// Four saliencies by two updates, the first much worse than the others, the second update a little better.
fn two_axes(seeds: std::ops::RangeInclusive<u64>) -> Vec<RunRecord> {
    let mut records = Vec::new();
    for (skill, saliency) in
        [(0.15, "random"), (0.40, "magnitude_l2"), (0.42, "taylor1"), (0.44, "taylor_mix")]
    {
        for (gain, update) in [(0.0, "none"), (0.2, "layerwise")] {
            let axes = [("prune.saliency", saliency), ("prune.update", update)];
            let axes: Vec<_> = axes.map(|(key, value)| (key.to_string(), value.to_string())).to_vec();
            let arm = Arm { skill: skill + gain, ..ARMS[1] };
            records.extend(seeds.clone().map(|seed| fake_run(&arm, seed, 60, axes.clone())));
        }
    }
    records
}

/// What `[[effects]] factors = ["prune.saliency", "prune.update"]` asks.
fn effects() -> ReportRequest {
    let question = |axes: &[&str]| AxisQuestion {
        arm: ARMS[1].name.into(),
        axes: axes.iter().map(|axis| axis.to_string()).collect(),
        metric: "acc".into(),
        ..AxisQuestion::default()
    };
    let questions = [&["prune.saliency"][..], &["prune.update"], &["prune.saliency", "prune.update"]];
    ReportRequest {
        title: "two axes".into(),
        question: "Which saliency is best, does the update matter, and do they interact?".into(),
        questions: questions.map(question).to_vec(),
        ..ReportRequest::default()
    }
}

/// The line of `page` that answers the question about these axes.
fn answer<'p>(page: &'p str, axes: &str) -> &'p str {
    let head = format!("- `pruning_aware`, {axes} on `acc`: ");
    let lines: Vec<&str> = page.lines().filter(|line| line.starts_with(&head)).collect();
    assert_eq!(lines.len(), 1, "{axes} is answered once: {page}");
    lines[0]
}

/// The first screen of a grid says which saliency is best and how sure that is, whether the update matters, and whether they
/// interact: before any table and figure, and within 900 pixels of a browser's window.
#[test]
fn a_grid_of_two_axes_is_answered_on_the_first_screen() {
    let folder = tempfile::tempdir().unwrap();
    let report = reported(folder.path(), &two_axes(1..=3), &effects());
    let page = &report.markdown;
    insta::assert_snapshot!("grid_of_two_axes", page);
    let first = &page[..page.find("![").unwrap().min(page.find("\n|").unwrap())];
    let best = answer(first, "`prune.saliency`");
    assert!(best.contains("came out best (") && best.contains("; not significantly worse: `"), "{best}");
    assert!(
        best.contains("worse: `random`, the last at −") && best.contains("simultaneous 95 % interval −"),
        "{best}"
    );
    assert!(best.contains(", adjusted p ") && best.contains(" seeds find a true difference of "), "{best}");
    let update = answer(first, "`prune.update`");
    assert!(
        update.contains(": `layerwise` is the best (") && update.contains("; the next, `none`, is at −"),
        "{update}"
    );
    let both = answer(first, "`prune.saliency` × `prune.update`");
    assert!(both.contains(": no interaction was found; the gain of `"), "{both}");
    // Each is said once on the whole page.
    for axes in ["`prune.saliency`", "`prune.update`", "`prune.saliency` × `prune.update`"] {
        answer(page, axes);
    }
    let names: Vec<&str> = report.figures.iter().map(|figure| figure.name.as_str()).collect();
    assert!(names.contains(&"levels-pruning_aware-acc"), "{names:?}");
    assert!(names.contains(&"cells-pruning_aware-prune_saliency-prune_update-acc"), "{names:?}");
    let script = "const answers = document.querySelector('main ul');\
                  document.title = [answers.children.length, answers.getBoundingClientRect().bottom <= 900].join(' ');";
    if let Some(told) = browser_tests::told_of(&report.html, 1280, script) {
        assert_eq!(told, "3 true");
    }
    keep("two-axes", &two_axes(1..=3), &effects());
}

/// What was not asked before the run is called exploratory, and stands with the grid instead of among the answers.
#[test]
fn a_grid_that_nobody_asked_about_is_exploratory() {
    let folder = tempfile::tempdir().unwrap();
    let page = reported(folder.path(), &two_axes(1..=3), &request()).markdown;
    let grid = page.find("## What the grid says").expect("a section");
    let (answers, grid) = page.split_at(grid);
    // One of the three was asked.
    assert!(!answer(answers, "`prune.saliency`").contains("Exploratory"));
    assert!(!grid.contains("- `pruning_aware`, `prune.saliency` on"), "{grid}");
    for axes in ["`prune.update`", "`prune.saliency` × `prune.update`"] {
        assert!(
            answer(grid, axes).ends_with("Exploratory: not declared before the run, so there is no verdict."),
            "{grid}"
        );
    }
}

/// Of twelve points there is one sentence with a map, and a row for each in the table.
#[test]
fn a_comparison_at_many_points_is_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let axes = |saliency: &str, update: &str| {
        let axes = [("prune.saliency", saliency), ("prune.update", update)];
        axes.map(|(key, value)| (key.to_string(), value.to_string())).to_vec()
    };
    let mut records: Vec<RunRecord> =
        (1..=3).map(|seed| fake_run(&ARMS[5], seed, 20, axes("", ""))).collect();
    for (i, saliency) in
        ["random", "magnitude_l2", "wanda", "flap", "taylor1", "taylor_mix"].iter().enumerate()
    {
        for update in ["none", "layerwise"] {
            let arm = Arm { skill: 0.05 + 0.16 * i as f64, ..ARMS[1] };
            records.extend((1..=3).map(|seed| fake_run(&arm, seed, 20, axes(saliency, update))));
        }
    }
    let comparison = Comparison {
        variant: ARMS[1].name.into(),
        baseline: ARMS[5].name.into(),
        metric: "acc".into(),
        ..Comparison::default()
    };
    let request = ReportRequest { comparisons: vec![comparison], ..request() };
    let report = reported(folder.path(), &records, &request);
    let head = "- `pruning_aware` against `direct_proportional_total_tokens` on `acc`";
    let told: Vec<&str> = report.markdown.lines().filter(|line| line.starts_with(head)).collect();
    assert_eq!(told.len(), 1, "{}", report.markdown);
    let told = told[0].strip_prefix(head).unwrap();
    assert!(told.starts_with(" at each of 12 points: the variant is better at "), "{told}");
    let (counts, rest) =
        told.split_once(" (corrected for 13 tests). The largest significant difference: ").unwrap();
    let number = |part: &str| part.rsplit(' ').next().unwrap().parse::<usize>().unwrap();
    assert_eq!(counts.split(": ").nth(1).unwrap().split(", ").map(number).sum::<usize>(), 12, "{counts}");
    assert!(rest.contains(" at `prune.saliency` = taylor1, `prune.update` = layerwise."), "{rest}");
    assert!(rest.contains(" Where it is inconclusive, these seeds find a true difference of "), "{rest}");
    let names: Vec<&str> = report.figures.iter().map(|figure| figure.name.as_str()).collect();
    assert!(names.contains(&"differences-1") && !names.contains(&"differences"), "{names:?}");
    let row = "| `pruning_aware` | `direct_proportional_total_tokens` | ";
    assert_eq!(report.markdown.matches(row).count(), 12);
    keep("many-points", &records, &request);
}

/// Many answers at few points each: a sentence for each question, and those of its points behind a title. Keys that move together
/// make one panel and one ranking, and an arm that depends on one of them is drawn beside the others.
#[test]
fn many_answers_are_summed_up_and_their_points_are_folded() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["budget.tokens", "prune.schedule.prune_tokens"];
    let axes = |values: [String; 2]| -> Vec<(String, String)> {
        names.iter().map(|name| name.to_string()).zip(values).collect()
    };
    let mut records = Vec::new();
    for tokens in [1000, 2000, 4000] {
        for (arm, ramp) in
            [(ARMS[1], (tokens / 2).to_string()), (ARMS[3], String::new()), (ARMS[5], String::new())]
        {
            let arm = Arm { skill: arm.skill + 0.00002 * f64::from(tokens), ..arm };
            let of_seed = |seed| fake_run(&arm, seed, 20, axes([tokens.to_string(), ramp.clone()]));
            records.extend((1..=3).map(of_seed));
        }
    }
    let comparison = |baseline: usize, metric: &str| Comparison {
        variant: ARMS[1].name.into(),
        baseline: ARMS[baseline].name.into(),
        metric: metric.into(),
        margin: (metric == "bits_per_byte").then_some(0.5),
        ..Comparison::default()
    };
    let comparisons = [3, 5].iter().flat_map(|arm| ["acc", "bits_per_byte"].map(|m| comparison(*arm, m)));
    let request = ReportRequest { comparisons: comparisons.collect(), questions: vec![], ..request() };
    keep("many-answers", &records, &request);
    let report = reported(folder.path(), &records, &request);
    let answers = report.html.split("<h2").find(|part| part.contains(">Answers</h2>")).unwrap();
    let (first, rest) = answers.split_once("</ul>").unwrap();
    assert_eq!(first.matches("<li>").count(), 4, "{first}");
    assert_eq!(first.matches(" at each of 3 points: ").count(), 4, "{first}");
    assert!(first.contains(", equivalent within 0.500 bits per byte at 2 (corrected"), "{first}");
    assert!(first.contains(" to more than 100 points with 80&nbsp;% probability"), "{first}");
    assert_eq!((rest.matches("<details>").count(), rest.matches("<li>").count()), (4, 12), "{rest}");
    assert_eq!(
        report.markdown.matches("`budget.tokens` = 2000, `prune.schedule.prune_tokens` = 1000: ").count(),
        4
    );
    let figure = |name: &str| &report.figures.iter().find(|figure| figure.name == name).unwrap().svg;
    for title in ["tokens 1000", "tokens 2000", "tokens 4000"] {
        assert_eq!(
            figure("loss_tokens").matches(&format!("\n{title}\n")).count(),
            1,
            "{}",
            figure("loss_tokens")
        );
    }
    assert!(!figure("loss_tokens").contains("prune_tokens"));
    assert!(figure("differences").contains("pruning_aware · tokens 1000"));
    let rankings = report.markdown.matches("- `pruning_aware`, `budget.tokens` (together with ").count();
    assert_eq!((rankings, report.markdown.matches("- `pruning_aware`, `prune.schedule").count()), (1, 0));
    assert!(report.figures.iter().all(|figure| !figure.name.contains("scaling-prune")));
}

/// Tables of a grid of one arm say its name once, not in every row, and begin with what tells the rows apart.
#[test]
fn a_grid_of_one_arm_has_no_column_of_arms() {
    let folder = tempfile::tempdir().unwrap();
    let page = reported(folder.path(), &two_axes(1..=2), &effects()).markdown;
    assert!(page.contains(" configurations of `pruning_aware`, 2 seeds; "), "{page}");
    assert!(
        !page.contains("| arm |")
            && page.contains("\n| `prune.saliency` | `prune.update` | seeds | parameters |"),
        "{page}"
    );
    // Of several axes each value stands below the name of its axis, first in its row.
    assert!(page.contains("| *`prune.update`* |  |") && page.contains("\n| `layerwise` | "), "{page}");
}

/// One seed has numbers and no verdict.
#[test]
fn a_grid_of_one_seed_has_no_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let report = reported(folder.path(), &two_axes(2..=2), &effects());
    keep("one-seed", &two_axes(2..=2), &effects());
    insta::assert_snapshot!("grid_of_one_seed", report.markdown);
    for axes in ["`prune.saliency`", "`prune.update`"] {
        let told = answer(&report.markdown, axes);
        assert!(told.ends_with(" with one seed, which says nothing of another: no verdict."), "{told}");
    }
    let told = answer(&report.markdown, "`prune.saliency` × `prune.update`");
    assert!(told.contains(": one seed gives no verdict on whether they interact; "), "{told}");
    assert!(!report.markdown.contains("Holm-adjusted p") && !report.markdown.contains(", adjusted p"));
    let verdicts = csv::Reader::from_reader(report.comparisons.as_bytes()).into_records();
    assert!(verdicts.map(|row| row.unwrap()).all(|row| row.iter().any(|cell| cell == "one_seed")));
}

/// A cell without a finished run leaves its setting out of what is compared, and a seed that one cell lacks is left out of it.
#[test]
fn a_grid_with_failed_runs_says_what_it_leaves_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut records = two_axes(1..=3);
    for record in &mut records {
        let (run, seed) = (record.identity.run.clone(), record.identity.seed);
        if run.contains("taylor1-layerwise") || (run.contains("taylor_mix-none") && seed == 2) {
            let mut identity = record.identity.clone();
            (identity.status, identity.reason) = (Status::Failed, Some("loss became NaN at step 12".into()));
            *record = RunRecord::new(identity, record.axes.clone());
        }
    }
    keep("failed-runs", &records, &effects());
    let page = reported(folder.path(), &records, &effects()).markdown;
    insta::assert_snapshot!("grid_with_failed_runs", page);
    assert!(page.contains("24 runs in 8 configurations of `pruning_aware`, 3 seeds; 4 failed."), "{page}");
    let best = answer(&page, "`prune.saliency`");
    assert!(
        best.contains("1 setting of the other axes lacks a finished run of some value and is left out."),
        "{best}"
    );
    assert!(best.contains(" These 2 seeds "), "{best}");
    assert!(
        answer(&page, "`prune.saliency` × `prune.update`").contains("no answer, since no seed"),
        "{page}"
    );
    assert_eq!(page.matches(": loss became NaN at step 12").count(), 4, "{page}");
}

/// 15 points, and 60, with long names: no label of any figure is cut off, lies on another or is crossed by a line, and no table is
/// wider than its line.
#[test]
fn many_points_with_long_names_stay_legible() {
    let rules = |count: usize| (0..count).map(|i| format!("a_rule_with_a_name_as_long_as_number_{i:02}"));
    let of = |count: usize, updates: &[&str], budgets: &[&str]| {
        let arms = [ARMS[0], ARMS[5]];
        let mut records = arms.map(|arm| fake_run(&arm, 1, 3, axes_of(["", "", ""]))).to_vec();
        for (i, rule) in rules(count).enumerate() {
            for update in updates {
                for budget in budgets {
                    let arm = Arm {
                        name: "pruning_aware_with_a_long_name_of_its_own",
                        skill: 0.1 + 0.005 * i as f64,
                        ..ARMS[1]
                    };
                    // One seed: what is looked at is the drawing.
                    records.push(fake_run(&arm, 1, 3, axes_of([rule.as_str(), update, budget])));
                }
            }
        }
        records.iter_mut().for_each(with_everything);
        records
    };
    let comparison = Comparison {
        variant: "pruning_aware_with_a_long_name_of_its_own".into(),
        baseline: ARMS[5].name.into(),
        metric: "bits_per_byte".into(),
        ..Comparison::default()
    };
    let mut request = ReportRequest { comparisons: vec![comparison.clone()], ..effects() };
    request.questions.iter_mut().for_each(|question| question.arm.clone_from(&comparison.variant));
    let long = "layerwise_with_bias_and_damping";
    for (name, records) in [
        ("15-points", of(15, &["none"], &["0.5"])),
        ("60-points", of(15, &["none", long], &["100000", "800000"])),
    ] {
        let folder = tempfile::tempdir().unwrap();
        collect(folder.path(), &records).unwrap();
        let report = render(&Results::read(folder.path()).unwrap(), &request).unwrap();
        for figure in &report.figures {
            assert_legible(&figure.name, &figure.svg, &figure.narrow);
        }
        let kinds = [
            "differences",
            "levels-",
            "ranks-",
            "accuracy",
            "pareto",
            "width_profile",
            "held_out_loss",
            "loss_",
            "params_",
            "pruned_share",
            "candidate_saliency",
        ];
        for kind in kinds {
            assert!(report.figures.iter().any(|figure| figure.name.starts_with(kind)), "{name}: no {kind}");
        }
        assert_compiles(&report.latex);
        keep(name, &records, &request);
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
    assert_compiles(&report.latex);
    keep("three-axes", &records, &request());
}

/// Where no run prunes, sizes against tokens are no picture.
#[test]
fn models_of_one_size_have_no_curve_of_sizes() {
    let pictured = |arm: &Arm| {
        let folder = tempfile::tempdir().unwrap();
        let runs: Vec<RunRecord> = (1..=2).map(|seed| fake_run(arm, seed, 20, Vec::new())).collect();
        let report = reported(folder.path(), &runs, &request());
        report.figures.into_iter().map(|figure| figure.name).collect::<Vec<_>>()
    };
    let (pruned, direct) = (pictured(&ARMS[1]), pictured(&ARMS[4]));
    assert!(pruned.iter().any(|name| name == "params_tokens"), "{pruned:?}");
    assert!(direct.iter().any(|name| name == "loss_tokens"), "{direct:?}");
    assert!(!direct.iter().any(|name| name == "params_tokens"), "{direct:?}");
}

fn axes_of(values: [&str; 3]) -> Vec<(String, String)> {
    let keys = ["prune.saliency", "prune.update", "prune.target.ratio"];
    keys.into_iter().zip(values).map(|(key, value)| (key.to_string(), value.to_string())).collect()
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
