//! Questions and what may be said of them; numbers are those of scipy and statsmodels (`scripts/golden-grid.py`).
use super::answers::Answers;
use super::comparisons::{Compared, Outcome, could_find};
use super::grid::SeedsNeeded;
use super::grid::tests::{grid_of_runs, record};
use super::groups::groups;
use super::metric::Metric;
use super::request::{Asked, Declared, ReportRequest};
use super::scores::Scores;
use crate::questions::{At, AxisQuestion, Comparison, Labels};
use crate::record::{EvalScore, ItemChoice, Results, RunRecord, collect};
use crate::stats::assert_close;
use std::collections::BTreeMap;

fn read(records: &[RunRecord]) -> Results {
    let folder = tempfile::tempdir().unwrap();
    collect(folder.path(), records).unwrap();
    Results::read(folder.path()).unwrap()
}

fn answers(records: &[RunRecord], request: &ReportRequest) -> Answers {
    let results = read(records);
    Answers::of(&results, &Scores::new(&results), &groups(&results), request)
}

fn at(axis: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(axis.to_string(), value.to_string())])
}

/// One saliency against another, of the arm of the grid, on bits per byte.
fn levels(variant: &str, baseline: &str) -> Comparison {
    Comparison {
        variant: "pruning_aware".into(),
        variant_at: at("prune.saliency", variant),
        baseline: "pruning_aware".into(),
        baseline_at: at("prune.saliency", baseline),
        metric: "bits_per_byte".into(),
        at: At::Pooled,
        ..Comparison::default()
    }
}

fn about(axes: &[&str], slope: bool) -> AxisQuestion {
    AxisQuestion {
        arm: "pruning_aware".into(),
        axes: axes.iter().map(|axis| axis.to_string()).collect(),
        metric: "bits_per_byte".into(),
        slope,
        family: None,
    }
}

fn asking(comparisons: Vec<Comparison>, questions: Vec<AxisQuestion>) -> ReportRequest {
    ReportRequest { comparisons, questions, ..ReportRequest::default() }
}

fn compared(records: &[RunRecord], comparison: Comparison) -> Vec<Compared> {
    answers(records, &asking(vec![comparison], vec![])).compared
}

#[test]
fn points_are_compared_at_each_point_or_pooled_over_them() {
    let records = grid_of_runs(4);
    let pooled = &compared(&records, levels("first", "second"))[..];
    let [c] = pooled else { panic!("{pooled:?}") };
    assert_eq!((c.points, c.seeds.as_slice(), c.outcome), (2, &[1, 2, 3, 4][..], Outcome::Worse));
    assert_close(c.difference.unwrap(), 0.2, 1e-12);
    assert_close(c.p.unwrap(), 0.00041937423065355195, 1e-9);
    assert!(
        c.verdict.starts_with(
            "`pruning_aware · first` against `pruning_aware · second` on `bits_per_byte`, mean over 2 points: the variant is worse, +0.200 bits per byte (95 % interval "
        ),
        "{}",
        c.verdict
    );
    let each = compared(&records, Comparison { at: At::Each, ..levels("first", "second") });
    let points: Vec<&[String]> = each.iter().map(|c| c.point.as_slice()).collect();
    assert_eq!(points, [["".to_string(), "none".into()], ["".into(), "layerwise".into()]]);
    assert!(
        each[1].verdict.contains("on `bits_per_byte`, `prune.update` = layerwise: "),
        "{}",
        each[1].verdict
    );
    // A point that lacks a run is left out, and said to be.
    let mut records = grid_of_runs(4);
    records.retain(|r| !r.identity.run.contains("second-layerwise"));
    let c = &compared(&records, levels("first", "second"))[0];
    assert_eq!((c.points, c.left_out), (1, 1));
    assert!(c.verdict.ends_with("1 point lacks a finished run of a side and is left out."), "{}", c.verdict);
}

/// A comparison and a ranking of three values are two questions: the comparison's p is doubled, and Tukey's of each pair.
#[test]
fn all_questions_are_one_family_unless_the_file_names_more() {
    let request = asking(vec![levels("first", "third")], vec![about(&["prune.saliency"], false)]);
    let found = answers(&grid_of_runs(4), &request);
    let c = &found.compared[0];
    assert_eq!(c.tests, 2);
    assert_close(c.p_holm.unwrap(), 2.0 * 0.0005387291211153784, 1e-8);
    let ranking = &found.arm("pruning_aware", Metric::BitsPerByte).unwrap().rankings[0];
    assert_eq!((ranking.declared, ranking.tests), (true, 2));
    assert_close(ranking.pairs[2].p_holm.unwrap(), 2.0 * 0.009755208734373633, 1e-7);
    // The other axis was not asked about: its own pairs, no verdict.
    let other = &found.arm("pruning_aware", Metric::BitsPerByte).unwrap().rankings[1];
    assert_eq!((other.declared, other.tests), (false, 1));
    let comparison = Comparison { family: Some("alone".into()), ..levels("first", "third") };
    let found = answers(&grid_of_runs(4), &asking(vec![comparison], vec![about(&["prune.saliency"], false)]));
    assert_eq!((found.compared[0].tests, found.compared[0].p_holm), (1, found.compared[0].p));
}

#[test]
fn what_could_have_been_found_is_by_t_at_the_corrected_level() {
    let request = asking(vec![], vec![about(&["prune.saliency", "prune.update"], false)]);
    let found = answers(&grid_of_runs(4), &request);
    let answers = found.arm("pruning_aware", Metric::BitsPerByte).unwrap();
    let tetrad = &answers.interactions[0].tetrads[0];
    assert_close(tetrad.estimate.detectable(0.05).unwrap(), 0.13899706904830114, 1e-6);
    assert_eq!(tetrad.estimate.seeds_needed(0.05), Some(SeedsNeeded::Seeds(8)));
    let pair = &answers.rankings[0].pairs[0].difference;
    assert_close(pair.detectable(0.05 / 3.0).unwrap(), 0.07215047742421518, 1e-6);
    assert_eq!((answers.interactions[0].declared, answers.interactions[0].tests), (true, 2));
}

#[test]
fn equivalence_is_asked_by_a_margin() {
    let within = |margin: f64| {
        let comparison = Comparison { margin: Some(margin), ..levels("second", "third") };
        compared(&grid_of_runs(4), comparison).remove(0)
    };
    let c = within(0.1);
    assert_close(c.equivalence.unwrap().p.unwrap(), 0.02025966317691711, 1e-7);
    assert_close(within(0.3).equivalence.unwrap().p.unwrap(), 0.00012178892713823407, 1e-7);
    // Difference and equivalence are two tests: 2·0.0138 < 0.05, so it is worse, whatever the margin.
    assert_eq!((c.tests, c.outcome), (2, Outcome::Worse));
    // The second is 0.001 to 0.004 below or above the third: not told apart, and well within half a bit.
    let mut records = grid_of_runs(4);
    let bits: BTreeMap<String, f64> =
        records.iter().map(|r| (r.identity.run.clone(), r.totals.bits_per_byte.unwrap())).collect();
    for record in records.iter_mut().filter(|r| r.identity.run.contains("-second-")) {
        let third = bits[&record.identity.run.replace("-second-", "-third-")];
        let wobble = [0.001, -0.002, 0.004, -0.003][record.identity.seed as usize - 1];
        record.totals.bits_per_byte = Some(third + wobble);
    }
    let close = Comparison { margin: Some(0.5), ..levels("second", "third") };
    let c = compared(&records, close).remove(0);
    assert_eq!(c.outcome, Outcome::Equivalent, "{}", c.verdict);
    assert!(c.verdict.contains(": equivalent within 0.500 bits per byte, Holm-adjusted p"), "{}", c.verdict);
}

#[test]
fn inconclusive_verdicts_say_what_could_have_been_found() {
    let mut records = grid_of_runs(3);
    records.retain(|r| !r.identity.run.contains("layerwise"));
    for (i, record) in records.iter_mut().filter(|r| r.identity.run.contains("-second-")).enumerate() {
        let bits = record.totals.bits_per_byte.unwrap();
        record.totals.bits_per_byte = Some(bits + [0.2, -0.1, -0.2][i]);
    }
    let c = compared(&records, levels("second", "third")).remove(0);
    assert_eq!(c.outcome, Outcome::Inconclusive);
    let detectable =
        format!("These 3 seeds find a true difference of {:.3} bits per byte", c.detectable.unwrap());
    assert!(c.verdict.contains(&detectable), "{} {detectable}", c.verdict);
    assert!(c.verdict.contains("with 80 % probability (level 0.05); to find the observed "));
}

#[test]
fn one_seed_gives_no_verdict_and_no_p() {
    let c = compared(&grid_of_runs(1), levels("first", "second")).remove(0);
    assert_eq!((c.outcome, c.p, c.p_holm, c.detectable, c.tests), (Outcome::OneSeed, None, None, None, 0));
    assert!(c.verdict.contains("no verdict: one seed says nothing of another"), "{}", c.verdict);
    // With items there is an interval, and it is said what it is over.
    let mut records = grid_of_runs(1);
    records.iter_mut().for_each(|record| score(record, 30));
    let c = compared(&records, Comparison { metric: "acc".into(), ..levels("first", "second") }).remove(0);
    assert!(c.interval.is_some() && c.p.is_none());
    assert!(c.verdict.contains("; over items alone, the 95 % interval is "), "{}", c.verdict);
}

/// Answers that depend on the record's losses: equal losses, equal answers.
fn score(record: &mut RunRecord, items: u64) {
    let bits = record.totals.bits_per_byte.unwrap();
    record.totals.valid_loss = Some(bits);
    for place in 0..items {
        let x = (bits * 1000.0 + place as f64 * 7.7).sin();
        record.items.push(ItemChoice {
            task: "piqa".into(),
            item: place.to_string(),
            place: Some(place),
            loglik: Some(x),
            acc: Some(u8::from(x > 0.0)),
            ..ItemChoice::default()
        });
    }
    record.evals.push(EvalScore::from_choices("piqa", &record.items, Some(0.5)));
}

/// The second saliency made the very models of the first: nothing is tested, and against the third they are one test.
#[test]
fn identical_models_are_named_and_count_once() {
    let mut records = grid_of_runs(4);
    let of_first: BTreeMap<String, f64> =
        records.iter().map(|r| (r.identity.run.clone(), r.totals.bits_per_byte.unwrap())).collect();
    for record in &mut records {
        let twin = record.identity.run.replace("-second-", "-first-");
        record.totals.bits_per_byte = Some(of_first[&twin]);
        score(record, 20);
    }
    let comparisons = vec![levels("first", "second"), levels("first", "third"), levels("second", "third")];
    let found = answers(&records, &asking(comparisons.clone(), vec![about(&["prune.saliency"], false)]));
    let outcomes: Vec<Outcome> = found.compared.iter().map(|c| c.outcome).collect();
    assert_eq!(outcomes, [Outcome::Identical, Outcome::Worse, Outcome::Worse]);
    assert!(found.compared[0].verdict.contains("both are the same models in every seed"));
    assert_eq!((found.compared[1].tests, found.compared[1].p_holm), (1, found.compared[1].p));
    let report =
        super::render(&read(&records), &asking(comparisons, vec![about(&["prune.saliency"], false)]));
    let page = report.unwrap().markdown;
    assert!(page.contains("`second` made the very models of `first`."), "{page}");
}

#[test]
fn what_was_asked_later_is_exploratory_and_what_is_no_longer_asked_is_named() {
    let (asked_then, asked_later) = (levels("first", "third"), levels("first", "second"));
    let declared = Declared {
        sha256: "0123456789abcdef".into(),
        asked: Asked { comparisons: vec![asked_then, levels("second", "third")], questions: vec![] },
    };
    let request = ReportRequest {
        declared: Some(declared),
        ..asking(vec![levels("first", "third"), asked_later], vec![about(&["prune.saliency"], false)])
    };
    let found = answers(&grid_of_runs(4), &request);
    let outcomes: Vec<Outcome> = found.compared.iter().map(|c| c.outcome).collect();
    assert_eq!(outcomes, [Outcome::Worse, Outcome::Exploratory]);
    assert_eq!((found.compared[0].tests, found.compared[1].tests, found.compared[1].p_holm), (1, 0, None));
    assert!(!found.arms[0].rankings[0].declared);
    let page = super::render(&read(&grid_of_runs(4)), &request).unwrap().markdown;
    assert!(page.contains("Exploratory: asked after there were results, so there is no verdict."), "{page}");
    assert!(
        page.contains("Questions were frozen before the first result (SHA-256 `0123456789ab…`)."),
        "{page}"
    );
    assert!(
        page.contains(
            "Asked then and no longer asked: `pruning_aware · second` against `pruning_aware · third` on `bits_per_byte`."
        ),
        "{page}"
    );
}

/// Values 1, 2, 8 of the first axis: the slope per doubling that `linregress` finds in each seed.
#[test]
fn slopes_are_per_doubling() {
    let names = [("first", "1"), ("second", "2"), ("third", "8")];
    let mut records = grid_of_runs(4);
    for record in &mut records {
        let (_, number) = names.iter().find(|(name, _)| record.axes[0].1 == *name).unwrap();
        record.axes[0].1 = number.to_string();
    }
    let request = asking(vec![], vec![about(&["prune.saliency"], true), about(&["prune.update"], false)]);
    let found = answers(&records, &request);
    let slope = &found.arms[0].slopes[0];
    assert_close(slope.estimate.value.unwrap(), -0.07857142857142858, 1e-12);
    assert_close(slope.estimate.p.unwrap(), 0.0006589580307717976, 1e-9);
    assert_close(slope.estimate.interval.unwrap().low, -0.09537858901354135, 1e-9);
    assert_eq!((slope.declared, slope.tests), (true, 2));
    let page = super::render(&read(&records), &request).unwrap().markdown;
    assert!(
        page.contains(
            "`pruning_aware`, slope of `bits_per_byte` over doublings of `prune.saliency`: it falls with every doubling, −0.079 bits per byte (95 % interval −0.095 to −0.062, adjusted p = 0.001) per doubling."
        ),
        "{page}"
    );
}

#[test]
fn a_question_without_runs_is_answered_so() {
    let mut records = grid_of_runs(2);
    records.retain(|r| r.axes[1].1 == "none");
    let page =
        super::render(&read(&records), &asking(vec![], vec![about(&["prune.update"], false)])).unwrap();
    assert!(
        page.markdown.contains(
            "- `pruning_aware`, `prune.update` on `bits_per_byte`: no answer, since no seed has finished and scored runs at every value."
        ),
        "{}",
        page.markdown
    );
    let mut failed = record("first", "layerwise", 9);
    failed.identity.status = crate::record::Status::Failed;
    failed.identity.reason = Some("loss became NaN".into());
    records.push(failed);
    let page =
        super::render(&read(&records), &asking(vec![], vec![about(&["prune.update"], false)])).unwrap();
    assert!(page.markdown.contains("no answer"), "{}", page.markdown);
}

/// Three seeds spread as the pilot's four do: the differences they find, at the level that the plan's questions leave.
#[test]
fn a_pilot_tells_what_a_plan_can_find() {
    let run = |saliency: &str, update: &str, seed: u64| super::request::PlannedRun {
        run: format!("{saliency}-{update}-{seed}"),
        arm: "pruning_aware".into(),
        seed,
        axes: [("prune.saliency", saliency), ("prune.update", update)]
            .map(|(key, value)| (key.to_string(), Some(value.to_string())))
            .into(),
    };
    let points = ["first", "second", "third"].into_iter().flat_map(|a| ["none", "layerwise"].map(|b| (a, b)));
    let runs = points.flat_map(|(a, b)| [1, 2, 3, 4].map(|seed| run(a, b, seed))).collect();
    let request = ReportRequest {
        runs,
        ..asking(vec![levels("first", "second")], vec![about(&["prune.saliency"], false)])
    };
    let lines = super::pilot::expectations(&read(&grid_of_runs(4)), &request);
    // One comparison and one ranking: at 0.05/2 statsmodels says 0.06272.
    assert!(
        lines[0].starts_with(
            "`pruning_aware · first` against `pruning_aware · second` on `bits_per_byte`: 0.063 "
        ),
        "{lines:?}"
    );
    assert!(
        lines[0].contains("with 80 % probability (level 0.05/2); seed standard deviation 0.02"),
        "{lines:?}"
    );
    assert!(lines[0].contains("; the pilot's +0.200 bits per byte takes about "), "{lines:?}");
    assert!(lines[1].starts_with("`pruning_aware`, `prune.saliency` on `bits_per_byte`: "), "{lines:?}");
    // One seed tells nothing of their spread.
    let lines = super::pilot::expectations(&read(&grid_of_runs(1)), &request);
    assert!(lines[0].contains("nothing to go by"), "{lines:?}");
}

/// The example in `language` of `experiments/README.md`, run by `program` in a folder of results; what it printed.
fn example(language: &str, program: &str, run: &[&str]) -> String {
    let page = include_str!("../../experiments/README.md");
    let fence = format!("```{language}\n");
    let start = page.find(&fence).expect("an example") + fence.len();
    let example = &page[start..start + page[start..].find("```").unwrap()];
    let folder = tempfile::tempdir().unwrap();
    let mut records = grid_of_runs(3);
    records.iter_mut().for_each(|record| score(record, 30));
    collect(folder.path(), &records).unwrap();
    let request = asking(vec![levels("first", "second")], vec![about(&["prune.saliency"], false)]);
    std::fs::write(folder.path().join("plan.json"), serde_json::to_vec(&request).unwrap()).unwrap();
    super::write(folder.path()).unwrap();
    let output = std::process::Command::new(program)
        .args(run)
        .arg(example)
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The Python of `experiments/README.md` reads what the program writes.
#[test]
fn the_example_in_python_runs() {
    let python = std::env::var("EFFICIENTLLM_PYTHON").unwrap_or_else(|_| "python3".into());
    let has_pandas = std::process::Command::new(&python).args(["-c", "import pandas"]).output();
    if !has_pandas.is_ok_and(|output| output.status.success()) {
        return crate::base::requirement::skip(
            "pandas",
            &format!("`{python}` has no pandas; EFFICIENTLLM_PYTHON names another"),
        );
    }
    let told = example("python", &python, &["-c"]);
    assert!(told.contains("pruning_aware") && told.contains("outcome") && told.contains("worse"), "{told}");
}

/// And so does its R.
#[test]
fn the_example_in_r_runs() {
    if std::process::Command::new("Rscript").arg("--version").output().is_err() {
        return crate::base::requirement::skip("r", "`Rscript` is not installed");
    }
    let told = example("r", "Rscript", &["--vanilla", "-e"]);
    assert!(told.contains("pruning_aware") && told.contains("outcome") && told.contains("worse"), "{told}");
}

/// Every row of `comparisons.csv` has the header's columns, in the words of the dictionary; names are the file's, not labels.
#[test]
fn comparisons_are_a_table_with_everything_a_verdict_rests_on() {
    let labels = Labels {
        arms: BTreeMap::from([("pruning_aware".to_string(), "Ours".to_string())]),
        ..Labels::default()
    };
    let request = ReportRequest {
        labels,
        ..asking(vec![levels("first", "second")], vec![about(&["prune.saliency"], false)])
    };
    let report = super::render(&read(&grid_of_runs(4)), &request).unwrap();
    assert!(report.markdown.contains("`Ours · first` against `Ours · second`"), "{}", report.markdown);
    let mut reader = csv::Reader::from_reader(report.comparisons.as_bytes());
    let header: Vec<String> = reader.headers().unwrap().iter().map(String::from).collect();
    let rows: Vec<BTreeMap<String, String>> = reader
        .records()
        .map(|row| header.iter().cloned().zip(row.unwrap().iter().map(String::from)).collect())
        .collect();
    let of = |question: &str| rows.iter().filter(|row| row["question"] == question).count();
    // One comparison; three and one pairs; two tetrads.
    assert_eq!((of("comparison"), of("ranking"), of("interaction"), of("slope")), (1, 4, 2, 0));
    let first = &rows[0];
    let cells = ["asked", "variant", "baseline", "point", "metric", "unit", "seeds", "tests", "outcome"]
        .map(|c| first[c].as_str());
    assert_eq!(
        cells,
        [
            "declared",
            "pruning_aware · first",
            "pruning_aware · second",
            "",
            "bits_per_byte",
            "bits per byte",
            "4",
            "2",
            "worse"
        ]
    );
    assert_close(first["estimate"].parse().unwrap(), 0.2, 1e-12);
    assert_close(first["detectable"].parse().unwrap(), 0.0627239826435278, 1e-6);
    assert_eq!(first["freedom"], "3.0");
    // (3 − 1)(4 − 1) degrees of freedom of three values over four seeds.
    assert_eq!(rows[1]["freedom"], "6.0");
    assert!(rows.iter().any(|row| row["asked"] == "exploratory" && row["outcome"] == "exploratory"));
}

/// "To find the observed 0.0 points" is no sentence.
#[test]
fn a_difference_that_is_shown_as_nothing_has_no_number() {
    let told =
        |observed| could_find(Metric::Acc, 5, Some(observed), (Some(0.02), Some(SeedsNeeded::Seeds(9))), 1);
    assert!(
        told(0.0004).ends_with("; to find the observed difference takes about 9 seeds."),
        "{}",
        told(0.0004)
    );
    assert!(
        told(-0.012).ends_with("; to find the observed 1.2 points takes about 9 seeds."),
        "{}",
        told(-0.012)
    );
}
