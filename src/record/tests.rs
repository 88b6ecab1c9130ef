//! Round trips, and faults with their places.
use super::*;
use std::path::Path;

fn identity(run: &str, arm: &str, seed: u64) -> RunIdentity {
    RunIdentity {
        run: run.into(),
        arm: arm.into(),
        seed,
        status: Status::Ok,
        reason: None,
        stage: Some(format!("{arm}-0000abcd")),
    }
}

pub(super) fn small() -> RunRecord {
    let mut r = RunRecord::new(
        identity("one", "pruning_aware", 1),
        vec![("prune.saliency".into(), "taylor1".into())],
    );
    r.totals = RunTotals {
        params: Some(512_000),
        flops: Some(1.5e12),
        valid_loss: Some(f64::NAN), // diverged: not measured
        update_hessian: Some("none".into()),
        ..RunTotals::default()
    };
    r.items = (0..2).map(|choice| item("boolq", "boolq-0", choice, 1)).collect();
    r.evals = vec![EvalScore::from_choices("boolq", &r.items, Some(0.5))];
    r.curve = vec![CurvePoint {
        step: 1,
        tokens_seen: 4096,
        params: 900_000,
        loss: Some(6.25),
        grad_norm: None,
        learning_rate: Some(1e-5),
        flops: Some(2e10),
        held_out_loss: None,
    }];
    r.prune = vec![PruneEvent {
        event: 0,
        step: 1,
        tokens_seen: 4096,
        group_type: "ffn".into(),
        layer: "all".into(),
        index: "3;17".into(),
        saliency: Some(2.5e-7),
        params: 890_000,
        gram_age_steps: None,
        gram_age_events: None,
        gram_tokens: None,
        damping: None,
        fisher_unit: None,
        fisher_units: None,
        sums_from_event: Some(0),
    }];
    let candidate = |group_type: &str, saliency, share| CandidateRow {
        event: 0,
        group_type: group_type.into(),
        saliency,
        pruned_share: Some(share),
    };
    r.candidates = vec![candidate("ffn", Some(2.5e-7), 0.01), candidate("stem", Some(1e-6), 0.0)];
    r.latency = vec![LatencyRow::of(LatencyPhase::Decode, 32, 2, &[0.5, 0.25, 1.0])];
    r.set_aside = vec![SetAside {
        task: "boolq".into(),
        place: 3,
        item: "boolq-3".into(),
        reason: "choice 0 has no tokens".into(),
        text: "… it?\nAnswer: no".into(),
    }];
    r.widths = vec![LayerWidths {
        head_dim: Some(8),
        layer: 0,
        hidden_size: 96,
        num_heads: 4,
        num_kv_heads: 2,
        intermediate_size: 200,
    }];
    r.ledger = vec![LedgerEntry {
        part: LedgerPart::Train,
        tokens: Some(4096),
        flops: Some(2e10),
        seconds: Some(0.5),
    }];
    r
}

fn item(task: &str, id: &str, choice: u64, correct: u8) -> ItemChoice {
    ItemChoice {
        task: task.into(),
        item: id.into(),
        gold: 0,
        choice,
        loglik: Some(-3.5 - choice as f64),
        num_chars: 3,
        num_bytes: 3,
        num_tokens: 1,
        acc: Some(correct),
        acc_norm: None,
        place: Some(0),
        cluster: Some(0),
        difficulty: Some(-0.84),
        ..ItemChoice::default()
    }
}

fn failed() -> RunRecord {
    let mut r =
        RunRecord::new(identity("two", "one_shot", 1), vec![("prune.saliency".into(), "random".into())]);
    r.identity.status = Status::Failed;
    r.identity.reason = Some("loss became NaN at step 12, \"quoted\", with a comma".into());
    r.identity.stage = None;
    r
}

#[test]
fn round_trip() {
    let folder = tempfile::tempdir().unwrap();
    collect(folder.path(), &[small(), failed()]).unwrap();
    let back = Results::read(folder.path()).unwrap();
    assert_eq!(back.axes, ["prune.saliency"]);
    assert_eq!(back.runs.len(), 2);
    let (one, two) = (&back.runs[0], &back.runs[1]);
    assert_eq!(one.identity, small().identity);
    assert_eq!(one.axes, small().axes);
    assert_eq!(one.totals.valid_loss, None, "a loss that is not finite is not measured");
    assert_eq!(one.totals.params, Some(512_000));
    assert_eq!(two.identity, failed().identity);
    assert_eq!(two.totals, RunTotals::default());
    assert_eq!(back.items.iter().map(|k| k.row.clone()).collect::<Vec<_>>(), small().items);
    assert_eq!(back.evals[0].row, small().evals[0]);
    assert_eq!(back.curves[0].row, small().curve[0]);
    assert_eq!(back.prune[0].row, small().prune[0]);
    assert_eq!(back.widths[0].row, small().widths[0]);
    assert_eq!(back.ledger[0].row, small().ledger[0]);
    assert!(back.evals.iter().all(|k| k.run == 0));
}

#[test]
fn the_same_records_make_the_same_bytes_and_touch_nothing() {
    let folder = tempfile::tempdir().unwrap();
    collect(folder.path(), &[small()]).unwrap();
    let path = folder.path().join("runs.csv");
    let before = (std::fs::read(&path).unwrap(), std::fs::metadata(&path).unwrap().modified().unwrap());
    collect(folder.path(), &[small()]).unwrap();
    let after = (std::fs::read(&path).unwrap(), std::fs::metadata(&path).unwrap().modified().unwrap());
    assert_eq!(before, after);
    // All at once or one after the other: the same files.
    let other = tempfile::tempdir().unwrap();
    collect(other.path(), &[small(), failed()]).unwrap();
    collect(folder.path(), &[small(), failed()]).unwrap();
    for (file, _) in dictionary::FILES {
        assert_eq!(
            std::fs::read(folder.path().join(file)).unwrap(),
            std::fs::read(other.path().join(file)).unwrap()
        );
    }
}

#[test]
fn no_records_make_empty_tables() {
    let folder = tempfile::tempdir().unwrap();
    collect(folder.path(), &[]).unwrap();
    assert_eq!(Results::read(folder.path()).unwrap(), Results::default());
}

/// One number a row, with axes, units and cost; `evals.csv` with axes is read back as it was.
#[test]
fn tidy_rows_hold_every_number_with_its_axes_and_unit() {
    let folder = tempfile::tempdir().unwrap();
    collect(folder.path(), &[small(), failed()]).unwrap();
    let text = std::fs::read_to_string(folder.path().join(dictionary::TIDY)).unwrap();
    let mut lines = text.lines();
    assert_eq!(
        lines.next().unwrap(),
        "run,arm,seed,prune.saliency,task,metric,value,unit,low,high,items,params,tokens,total_tokens,flops,total_flops"
    );
    let acc = lines.next().unwrap();
    assert!(acc.starts_with("one,pruning_aware,1,taylor1,boolq,acc,1.0,share,0.2"), "{acc}");
    assert!(acc.ends_with(",1.0,1,512000,,,1500000000000.0,"), "{acc}");
    // The loss that is not finite is no measurement, and the failed run has no row.
    assert!(!text.contains("valid_loss") && text.lines().all(|line| !line.starts_with("two,")), "{text}");
    let evals = std::fs::read_to_string(folder.path().join(dictionary::EVALS)).unwrap();
    assert!(evals.starts_with("run,arm,seed,prune.saliency,task,"), "{evals}");
    assert_eq!(Results::read(folder.path()).unwrap().evals[0].row, small().evals[0]);
}

/// A table that a disk has no room for is known by the error's kind, however the writer of CSV wraps it.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_known_behind_the_writer_of_tables() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut writer = csv::WriterBuilder::new().buffer_capacity(1).from_writer(full);
    let error = (0..9).find_map(|row| writer.serialize(row).err()).unwrap();
    let error = RecordError::Io { path: "runs.csv".into(), source: error::io_of(error) };
    assert!(error.is_full(), "{error}");
}

/// Every header column is in the dictionary under its file, and every field of every row has its column.
#[test]
fn dictionary_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    collect(folder.path(), &[small()]).unwrap();
    let axes: Vec<String> = small().axes.into_iter().map(|(key, _)| key).collect();
    let page = dictionary::markdown(&axes);
    for (file, _) in dictionary::FILES {
        let text = std::fs::read_to_string(folder.path().join(file)).unwrap();
        let (header, row) = (text.lines().next().unwrap(), text.lines().nth(1).unwrap());
        let section = page.split("\n## ").find(|s| s.starts_with(&format!("`{file}`"))).unwrap();
        for column in header.split(',') {
            assert!(section.contains(&format!("| `{column}` |")), "{file}: {column}");
        }
        assert_eq!(header.split(',').count(), row.split(',').count(), "{file}");
    }
    // Field names are column names.
    let names = |value: serde_json::Value| -> std::collections::BTreeSet<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    let r = small();
    let json = |x: serde_json::Result<serde_json::Value>| x.unwrap();
    for (file, keys, value) in [
        (dictionary::EVALS, 3, json(serde_json::to_value(&r.evals[0]))),
        (dictionary::ITEMS, 3, json(serde_json::to_value(&r.items[0]))),
        (dictionary::CURVES, 3, json(serde_json::to_value(&r.curve[0]))),
        (dictionary::PRUNE, 1, json(serde_json::to_value(&r.prune[0]))),
        (dictionary::CANDIDATES, 1, json(serde_json::to_value(&r.candidates[0]))),
        (dictionary::WIDTHS, 3, json(serde_json::to_value(&r.widths[0]))),
        (dictionary::LEDGER, 3, json(serde_json::to_value(&r.ledger[0]))),
        (dictionary::LATENCY, 3, json(serde_json::to_value(&r.latency[0]))),
        (dictionary::SET_ASIDE, 3, json(serde_json::to_value(&r.set_aside[0]))),
    ] {
        let want = dictionary::columns(file).into_iter().skip(keys).map(String::from).collect();
        assert_eq!(names(value), want, "{file}");
    }
    let mut run = names(serde_json::to_value(&r.identity).unwrap());
    run.extend(names(serde_json::to_value(&r.totals).unwrap()));
    assert_eq!(run, dictionary::columns(dictionary::RUNS).into_iter().map(String::from).collect());
}

/// Files of earlier versions lack the last columns: they are read, with the cells empty.
#[test]
fn files_without_the_columns_that_were_added_are_read() {
    let folder = tempfile::tempdir().unwrap();
    collect(folder.path(), &[small(), failed()]).unwrap();
    let now = Results::read(folder.path()).unwrap();
    for (file, axes) in
        [(dictionary::RUNS, 1), (dictionary::EVALS, 0), (dictionary::ITEMS, 0), (dictionary::PRUNE, 0)]
    {
        let path = folder.path().join(file);
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_path(&path).unwrap();
        let mut old = csv::Writer::from_writer(vec![]);
        for row in reader.records() {
            let kept = dictionary::first_columns(file) + axes;
            // `evals.csv` had no columns of axes.
            let row = row.unwrap();
            let cells = row.iter().enumerate().filter(|(i, _)| file != dictionary::EVALS || *i != 3);
            old.write_record(cells.map(|(_, cell)| cell).take(kept)).unwrap();
        }
        std::fs::write(&path, old.into_inner().unwrap()).unwrap();
    }
    std::fs::remove_file(folder.path().join(dictionary::SET_ASIDE)).unwrap();
    // Earlier versions wrote no list of sums.
    std::fs::remove_file(folder.path().join(snapshot::SUMS_FILE)).unwrap();
    let back = Results::read(folder.path()).unwrap();
    assert_eq!((back.axes.clone(), back.runs.len()), (now.axes, 2));
    assert_eq!(back.runs[0].totals.update_hessian.as_deref(), Some("none"));
    assert_eq!((back.items[0].row.place, back.items[0].row.loglik), (None, now.items[0].row.loglik));
    assert_eq!((back.evals[0].row.acc, back.evals[0].row.num_clusters), (now.evals[0].row.acc, None));
    assert!(back.set_aside.is_empty());
}

/// The results in the repository, of whatever version wrote them.
#[test]
fn committed_results_are_read() {
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
    for name in ["quickstart", "smollm2-short"] {
        let read = Results::read(&results.join(name)).unwrap();
        assert!(!read.runs.is_empty() && !read.evals.is_empty(), "{name}");
    }
}

fn edit(folder: &Path, file: &str, from: &str, to: &str) -> String {
    collect(folder, &[small(), failed()]).unwrap();
    let path = folder.join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{file}: {text}");
    std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
    // That it was changed is told first; who changed it on purpose deletes the list.
    let changed = Results::read(folder).unwrap_err();
    assert!(matches!(&changed, RecordError::Changed { path: told } if *told == path), "{changed}");
    std::fs::remove_file(folder.join(snapshot::SUMS_FILE)).unwrap();
    let message = Results::read(folder).unwrap_err().to_string();
    std::fs::remove_file(&path).unwrap();
    message.replace(&folder.display().to_string(), "…")
}

#[test]
fn faults_name_file_line_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let f = folder.path();
    for (file, from, to, want) in [
        (
            "runs.csv",
            "512000",
            "51x",
            "…/runs.csv: line 2, column params: `51x`: invalid digit found in string",
        ),
        (
            "runs.csv",
            ",failed,",
            ",perhaps,",
            "…/runs.csv: line 3, column status: `perhaps`: unknown variant `perhaps`, expected `ok` or `failed`",
        ),
        ("runs.csv", "two,", "one,", "…/runs.csv: line 3, column run: `one` has a row already"),
        ("runs.csv", "tokens", "token", "…/runs.csv: line 1: column `tokens` is missing, `token` is unknown"),
        (
            "evals.csv",
            ",0.5,1,",
            ",1.5,1,",
            "…/evals.csv: line 2, column chance: `1.5` is not a share between 0 and 1",
        ),
        ("evals.csv", "one,", "three,", "…/evals.csv: line 2, column run: `three` is not in runs.csv"),
        (
            "curves.csv",
            "6.25",
            "NaN",
            "…/curves.csv: line 2, column loss: `NaN` is not a finite number; leave the cell empty",
        ),
        (
            "ledger.csv",
            "train",
            "lunch",
            "…/ledger.csv: line 2, column part: `lunch`: unknown variant `lunch`, expected one of `source`, `saliency`, `hessian`, `update`, `train`, `evaluation`, `teacher`",
        ),
        ("widths.csv", ",200", "", "…/widths.csv: line 2: 8 cells, the header has 9"),
        ("items.csv", "-3.5,3", "-3.5,-3", "…/items.csv: line 2, column num_chars: `-3` is negative"),
        (
            "prune.csv",
            "run,event",
            "event,run",
            "…/prune.csv: line 1: columns are out of order; expected run,event,step,tokens_seen,type,layer,index,saliency,params,gram_age_steps,gram_age_events,gram_tokens,damping,fisher_unit,fisher_units,sums_from_event",
        ),
    ] {
        assert_eq!(edit(f, file, from, to), want);
    }
    let missing = Results::read(f).unwrap_err().to_string();
    assert!(missing.contains("prune.csv"), "{missing}");
}

/// Events of versions in which every type had columns of its own, in CSV and in a run's record.
#[test]
fn old_events_read_as_rows_of_candidates() {
    let folder = tempfile::tempdir().unwrap();
    collect(folder.path(), &[small()]).unwrap();
    let new = Results::read(folder.path()).unwrap();
    let old = "run,event,step,tokens_seen,type,layer,index,saliency,candidate_ffn,candidate_head,candidate_stem,\
               pruned_share_ffn,pruned_share_head,pruned_share_stem,params,gram_age_steps\n\
               one,0,1,4096,ffn,all,3;17,2.5e-7,2.5e-7,,1e-6,0.01,,0.0,890000,\n";
    std::fs::write(folder.path().join("prune.csv"), old).unwrap();
    std::fs::remove_file(folder.path().join("candidates.csv")).unwrap();
    let widths = std::fs::read_to_string(folder.path().join("widths.csv")).unwrap();
    let without = |line: &str| line.rsplit_once(',').unwrap().0.to_string();
    let widths: Vec<String> = widths.lines().map(without).collect();
    std::fs::write(folder.path().join("widths.csv"), widths.join("\n") + "\n").unwrap();
    std::fs::remove_file(folder.path().join(snapshot::SUMS_FILE)).unwrap();
    let read = Results::read(folder.path()).unwrap();
    assert_eq!(read.candidates, new.candidates);
    assert_eq!(read.prune[0].row, PruneEvent { sums_from_event: None, ..new.prune[0].row.clone() });
    assert_eq!(read.widths[0].row, LayerWidths { head_dim: None, ..new.widths[0].row.clone() });

    let mut json = serde_json::to_value(small()).unwrap();
    json.as_object_mut().unwrap().remove("candidates");
    let event = json["prune"][0].as_object_mut().unwrap();
    event.remove("sums_from_event");
    for (key, value) in [
        ("candidate_ffn", 2.5e-7),
        ("candidate_stem", 1e-6),
        ("pruned_share_ffn", 0.01),
        ("pruned_share_stem", 0.0),
    ] {
        event.insert(key.into(), value.into());
    }
    std::fs::write(folder.path().join("record.json"), json.to_string()).unwrap();
    assert_eq!(RunRecord::read(folder.path()).unwrap().candidates, small().candidates);
}

#[test]
fn records_must_agree() {
    let folder = tempfile::tempdir().unwrap();
    assert!(collect(folder.path(), &[small(), small()]).is_err());
    let mut other = failed();
    other.axes.clear();
    let message = collect(folder.path(), &[small(), other]).unwrap_err().to_string();
    assert_eq!(message, "run `two`: axes [], the other runs have [\"prune.saliency\"]");
    assert!(!folder.path().join("runs.csv").exists(), "nothing is written where something is wrong");
}

#[test]
fn json_round_trip_and_schema_version() {
    let folder = tempfile::tempdir().unwrap();
    let mut r = small();
    r.write(folder.path()).unwrap();
    r.totals.valid_loss = None;
    assert_eq!(RunRecord::read(folder.path()).unwrap(), r);
    r.schema_version = 99;
    r.write(folder.path()).unwrap();
    assert!(matches!(RunRecord::read(folder.path()), Err(RecordError::SchemaVersion { found: 99, .. })));
    std::fs::write(folder.path().join("record.json"), "{\"schema_version\": 1, \"iden").unwrap();
    assert!(matches!(RunRecord::read(folder.path()), Err(RecordError::Json { .. })));
}

#[test]
fn eval_scores_come_from_items() {
    let choices: Vec<ItemChoice> = (0..100u64)
        .flat_map(|i| (0..2).map(move |c| (i, item("boolq", &format!("boolq-{i}"), c, (i < 78) as u8))))
        .map(|(i, row)| ItemChoice { place: Some(i), cluster: Some(i), ..row })
        .collect();
    let score = EvalScore::from_choices("boolq", &choices, Some(0.5));
    assert_eq!((score.num_items, score.acc, score.acc_norm), (100, Some(0.78), None));
    // Golden Wilson interval of 78 of 100.
    assert!((score.acc_low.unwrap() - 0.6892964648501421).abs() < 1e-12);
    assert!((score.acc_high.unwrap() - 0.8499871761539459).abs() < 1e-12);
    assert_eq!(EvalScore::from_choices("piqa", &choices, None).acc, None);
}
