//! The report on made-up records: snapshots, determinism, blanks.
mod fake;
mod grids;

use super::request::PlannedRun;
use super::*;
use crate::questions::Labels;
use crate::record::{LatencyPhase, LatencyRow, RunRecord, Status, collect};
use fake::{ARMS, fake_experiment, fake_run, request};

/// Writes `records` and the request as an experiment's results would stand, and reports on them.
fn reported(folder: &std::path::Path, records: &[RunRecord], request: &ReportRequest) -> Report {
    collect(folder, records).unwrap();
    std::fs::write(folder.join("plan.json"), serde_json::to_vec(request).unwrap()).unwrap();
    let written = write(folder).unwrap();
    assert!(written.files.iter().all(|f| f.exists()));
    assert_eq!(write(folder).unwrap().changed, [] as [PathBuf; 0], "the same bytes are written once");
    let report = render(&Results::read(folder).unwrap(), &ReportRequest::read(folder).unwrap()).unwrap();
    for figure in &report.figures {
        figures::tests::assert_legible(&figure.name, &figure.svg, &figure.narrow);
    }
    report
}

/// For the eye: keeps the results and their report where `EFFICIENTLLM_REPORT_PREVIEW` asks for them.
fn keep(name: &str, records: &[RunRecord], request: &ReportRequest) {
    if let Ok(target) = std::env::var("EFFICIENTLLM_REPORT_PREVIEW") {
        reported(&Path::new(&target).join(name), records, request);
    }
}

/// Without an error and without a box wider than its line, where `pdflatex` is installed.
fn assert_compiles(tables: &str) {
    match latex::tests::complaints(tables) {
        Some(complaints) => assert_eq!(complaints, Vec::<String>::new()),
        None => crate::base::requirement::skip("pdflatex", "it is not installed"),
    }
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
    assert!(
        whole.markdown.contains("interval over seeds and items")
            && whole.markdown.contains("by seed and by item")
    );
    assert!(
        !report.markdown.contains("and items") && !report.markdown.contains("by item"),
        "{}",
        report.markdown
    );
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
    keep("arms", &fake_experiment(), &request());
}

/// Every kind of table of a report, with intervals that are not symmetric, long names and empty cells: `pdflatex` sets each within
/// its line.
#[test]
fn every_kind_of_table_compiles() {
    let folder = tempfile::tempdir().unwrap();
    let axes = |rule: &str| vec![("prune.saliency".to_string(), rule.to_string())];
    let mut records = fake_experiment();
    records.retain(|record| record.identity.arm != "pruning_aware");
    records.iter_mut().for_each(|record| record.axes = axes(""));
    for rule in ["magnitude_l2", "taylor_mix", "obs"] {
        records.extend((1..=3).map(|seed| fake_run(&ARMS[1], seed, 100, axes(rule))));
    }
    let done = records.iter_mut().filter(|record| record.identity.status == Status::Ok);
    done.for_each(fake::with_everything);
    let mut request = request();
    request.comparisons[0].margin = Some(1.0);
    let report = reported(folder.path(), &records, &request);
    // The mean of one setting is the same number with the same interval in every table.
    let cell = |row: &str, column: usize| {
        let found = report.markdown.lines().find(|line| line.starts_with(row));
        found.unwrap_or_else(|| panic!("no {row}")).split(" | ").nth(column).unwrap().trim().to_string()
    };
    for rule in ["magnitude_l2", "taylor_mix", "obs"] {
        let of_arm = cell(&format!("| `pruning_aware` | {rule} | 3 | 460 k "), 9);
        assert_eq!(cell(&format!("| `{rule}` | "), 1), of_arm, "{rule}");
    }
    // An arm that depends on no axis is called by its name alone.
    for figure in &report.figures {
        let (_, texts) = figures::tests::text_boxes(&figure.svg);
        assert!(texts.iter().all(|text| text.text != "one_shot_recover ·"), "{}", figure.name);
    }
    for table in [
        "comparisons",
        "levels-pruning_aware-acc",
        "ablation-pruning_aware-prune_saliency-acc",
        "arms",
        "acc",
        "acc_norm",
        "companions",
        "same_loss",
        "seeds",
        "costs",
        "latency",
        "stability",
        "widths",
    ] {
        assert!(report.latex.contains(&format!("\\label{{tab:{table}}}")), "no {table}");
    }
    let labels =
        report.latex.matches("\\label{tab:").count() - report.latex.matches(" of Table~\\ref{tab:").count();
    assert_eq!(labels, 13, "a table of a new kind belongs into this list");
    assert!(
        report.html.contains("Tokens to the same loss")
            && report.markdown.contains("| loss | tokens, variant |")
    );
    assert_compiles(&report.latex);
    keep("everything", &records, &request);
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
    // Without items there is nothing left that an interval could be over.
    std::fs::remove_file(folder.path().join("items.csv")).unwrap();
    let page = of(folder.path()).unwrap().markdown;
    assert!(page.contains("and there is a single seed: no score has an interval."), "{page}");
    assert!(
        !page.contains("over items alone, and no claim") && !page.contains("are over seeds alone"),
        "{page}"
    );
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

/// What `probe` left beside the tables is on the page: rank correlations, and the true change of loss along each rule's order.
#[test]
fn a_probe_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let without = reported(folder.path(), &fake_experiment()[..3], &request());
    probe::tests::write(folder.path());
    let report = of(folder.path()).unwrap();
    assert!(!without.markdown.contains("## What removing a group does"));
    assert!(
        report.markdown.contains(
            "Of 40 `ffn` groups `fisher_group (position)` came out best, ρ = 1.00 (0.90 to 1.10); the intervals of 0 other rules reach that."
        ),
        "{}",
        report.markdown
    );
    let names: Vec<&str> = report.figures.iter().map(|figure| figure.name.as_str()).collect();
    assert!(names.contains(&"predictiveness") && names.contains(&"predicted-ffn"), "{names:?}");
    assert_compiles(&report.latex);
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
