//! Made-up records whose numbers are worked out by hand.
use super::*;
use crate::record::{
    CandidateRow, EvalScore, ItemChoice, LayerWidths, PruneEvent, RunIdentity, RunRecord, RunTotals, Status,
    collect,
};
use crate::report::metric::Metric;
use crate::stats::assert_close;

/// A run of 2 layers with the right answers to `boolq` (of 10 items) and `piqa` (of 4).
fn run(arm: &str, seed: u64, boolq: &[u64], piqa: &[u64]) -> RunRecord {
    let identity = RunIdentity {
        run: format!("{arm}-s{seed}-0000abcd"),
        arm: arm.into(),
        seed,
        status: Status::Ok,
        reason: None,
        stage: Some(format!("{arm}-s{seed}-1111abcd")),
    };
    let mut r = RunRecord::new(identity, vec![("prune.saliency".into(), "taylor1".into())]);
    r.totals = RunTotals { params: Some(512_000), ..RunTotals::default() };
    for (task, items, right) in [("boolq", 10, boolq), ("piqa", 4, piqa)] {
        answer(&mut r, task, items, right, None);
    }
    r.widths = (0..2)
        .map(|layer| LayerWidths {
            layer,
            hidden_size: 8,
            head_dim: None,
            num_heads: 2,
            num_kv_heads: 1,
            intermediate_size: 3 - layer + seed,
        })
        .collect();
    r
}

fn answer(r: &mut RunRecord, task: &str, items: u64, right: &[u64], right_norm: Option<&[u64]>) {
    r.items.extend((1..=items).map(|i| ItemChoice {
        task: task.into(),
        item: format!("q_{i}"),
        gold: 0,
        choice: 0,
        loglik: Some(-1.0),
        num_chars: 3,
        num_bytes: 3,
        num_tokens: 1,
        acc: Some(right.contains(&i).into()),
        acc_norm: right_norm.map(|right| right.contains(&i).into()),
        ..ItemChoice::default()
    }));
    r.evals.push(EvalScore::from_choices(task, &r.items, Some(0.5)));
}

/// Group `index` of `layer` goes; `share` of all groups of the type is gone then.
fn prune(r: &mut RunRecord, group_type: &str, layer: &str, index: &str, share: f64) {
    r.prune.push(PruneEvent {
        event: r.prune.len() as u64,
        step: 1,
        tokens_seen: 1,
        group_type: group_type.into(),
        layer: layer.into(),
        index: index.into(),
        saliency: None,
        params: 1,
        gram_age_steps: None,
        gram_age_events: None,
        gram_tokens: None,
        damping: None,
        fisher_unit: None,
        fisher_units: None,
        sums_from_event: None,
    });
    let event = r.prune.len() as u64 - 1;
    let group_type = group_type.to_string();
    r.candidates.push(CandidateRow { event, group_type, saliency: None, pruned_share: Some(share) });
}

fn read(records: &[RunRecord]) -> Results {
    let folder = tempfile::tempdir().unwrap();
    collect(folder.path(), records).unwrap();
    Results::read(folder.path()).unwrap()
}

const A: &str = "one-s1-0000abcd";
const B: &str = "two-s1-0000abcd";

/// Items 3 … 7 are lost, item 10 gained, 1 and 2 right in both; of `piqa` all four are gained.
fn pair() -> [RunRecord; 2] {
    [run("one", 1, &[1, 2, 3, 4, 5, 6, 7], &[]), run("two", 1, &[1, 2, 10], &[1, 2, 3, 4])]
}

#[test]
fn two_runs_are_paired_by_item() {
    let c = compare(&read(&pair()), [A, B], None).unwrap();
    let [boolq, piqa] = &c.tasks[..] else { panic!("{:?}", c.tasks) };
    assert_eq!((boolq.scores, boolq.metric, boolq.items), ([0.7, 0.3], Metric::Acc, 10));
    assert_close(boolq.difference.mean, -0.4, 1e-12);
    // Five −1, one +1, four 0: s² = (6 − 10·0.4²)/9, half width t(0.975, 9)·s/√10.
    let half = 2.262157162740992 * (4.4f64 / 90.0).sqrt();
    let interval = boolq.difference.interval.unwrap();
    assert_close(interval.low, -0.4 - half, 1e-9);
    assert_close(interval.high, -0.4 + half, 1e-9);
    // McNemar, 5 against 1: 2·(C(6,0) + C(6,1))/2⁶ = 14/64; 0 against 4: 2/2⁴. Holm: 2·0.125, then no less.
    assert_close(boolq.difference.p.unwrap(), 14.0 / 64.0, 1e-12);
    assert_close(piqa.difference.p.unwrap(), 0.125, 1e-12);
    assert_close(boolq.p_holm.unwrap(), 0.25, 1e-12);
    assert_close(piqa.p_holm.unwrap(), 0.25, 1e-12);
    assert_eq!(piqa.difference.interval, None, "differences that are all alike give no interval");
    let names = |flips: &[Flip]| flips.iter().map(|f| f.item.clone()).collect::<Vec<_>>();
    assert_eq!(names(&boolq.lost), ["q_3", "q_4", "q_5", "q_6", "q_7"]);
    assert_eq!(names(&boolq.gained), ["q_10"]);
    assert_eq!((boolq.both_right, boolq.both_wrong), (2, 2));
    let [mean] = &c.means[..] else { panic!("{:?}", c.means) };
    assert_eq!((mean.metric, mean.tasks, mean.items), (Some(Metric::Acc), 2, 14));
    assert_close(mean.scores[0], 0.35, 1e-12);
    assert_close(mean.scores[1], 0.65, 1e-12);
    assert_close(mean.difference.mean, 0.3, 1e-12);
}

#[test]
fn the_order_of_the_sides_changes_signs_alone() {
    let results = read(&pair());
    let (c, d) = (compare(&results, [A, B], None).unwrap(), compare(&results, [B, A], None).unwrap());
    for (x, y) in c.tasks.iter().zip(&d.tasks) {
        assert_close(x.difference.mean, -y.difference.mean, 1e-12);
        assert_eq!((x.difference.p, x.p_holm), (y.difference.p, y.p_holm));
        assert_eq!((&x.lost, &x.gained), (&y.gained, &y.lost));
    }
}

#[test]
fn the_usual_metric_of_a_task_is_taken_and_only_common_items_count() {
    let [mut a, mut b] = pair();
    answer(&mut a, "arc_challenge", 5, &[], Some(&[1, 2]));
    answer(&mut b, "arc_challenge", 4, &[], Some(&[1, 2, 3]));
    let c = compare(&read(&[a, b]), [A, B], None).unwrap();
    let arc = &c.tasks[2];
    assert_eq!((arc.metric, arc.items, arc.scores), (Metric::AccNorm, 4, [0.5, 0.75]));
    // Two means, each with what it is of: that of the usual metrics, and the report's average of acc.
    assert_eq!(c.means.iter().map(|mean| mean.metric).collect::<Vec<_>>(), [None, Some(Metric::Acc)]);
    assert_close(c.means[0].scores[0], (0.7 + 0.0 + 0.5) / 3.0, 1e-12);
    assert_close(c.means[1].scores[0], 0.7 / 3.0, 1e-12);
    let page = c.to_text(0);
    assert!(page.contains("mean of 3 tasks") && page.contains("as above"), "{page}");
}

#[test]
fn arms_are_paired_by_seed_and_item() {
    let [mut a1, mut b1] = pair();
    let (mut a2, mut b2) = (run("one", 2, &[1, 2, 3], &[1]), run("two", 2, &[1, 2, 4], &[1, 2]));
    for (r, bits) in [(&mut a1, 2.0), (&mut a2, 2.2), (&mut b1, 1.9), (&mut b2, 2.0)] {
        r.totals.bits_per_byte = Some(bits);
    }
    // Seed 3 of one arm alone is left out.
    let results = read(&[a1, a2, run("one", 3, &[], &[]), b1, b2]);
    let c = compare(&results, ["one", "two · taylor1"], None).unwrap();
    assert_eq!(c.seeds, [[1, 1], [2, 2]]);
    let boolq = &c.tasks[0];
    assert_eq!(boolq.scores, [0.5, 0.3]);
    assert_close(boolq.difference.mean, -0.2, 1e-12);
    assert_eq!((boolq.lost.len(), boolq.gained.len(), boolq.both_right, boolq.both_wrong), (6, 2, 4, 8));
    assert_eq!(boolq.lost[5], Flip { item: "q_3".into(), seed: 2 });
    // The same as the crossed mean of the differences written out.
    let first = [0., 0., -1., -1., -1., -1., -1., 0., 0., 1.];
    let second = [0., 0., -1., 1., 0., 0., 0., 0., 0., 0.];
    let want = crate::stats::crossed::crossed_mean(&[vec![first.to_vec(), second.to_vec()]], LEVEL).unwrap();
    assert_eq!((boolq.difference.interval, boolq.difference.p), (Some(want.interval), Some(want.p())));
    // d = −0.1 and −0.2: −0.15 ± t(0.975, 1)·0.05.
    let (bits, d) = c.bits_per_byte.unwrap();
    assert_close(bits[0], 2.1, 1e-12);
    assert_close(d.mean, -0.15, 1e-12);
    assert_close(d.interval.unwrap().low, -0.15 - 12.706204736174694 * 0.05, 1e-9);
    assert_eq!(c.widths[1].intermediate_size, [Some(3.5), Some(3.5)]);
    assert!(c.columns.iter().all(|column| column.name != "seed" && column.name != "stage"));
    let page = c.to_text(1);
    assert!(page.contains("boolq, right → wrong: q_3 (seed 1), and 5 more"), "{page}");
}

#[test]
fn every_column_that_differs_is_shown_and_the_others_are_summed_up() {
    let [mut a, mut b] = pair();
    (a.totals.flops, b.totals.flops) = (Some(2e9), Some(3e9));
    (a.totals.train_loss, b.totals.train_loss) = (None, Some(1.25));
    b.axes[0].1 = "random".into();
    let c = compare(&read(&[a, b]), [A, B], None).unwrap();
    let different: Vec<(&str, [&str; 2], Option<f64>)> = c
        .columns
        .iter()
        .filter(|column| !column.equal)
        .map(|column| (column.name.as_str(), column.values.each_ref().map(String::as_str), column.ratio))
        .collect();
    assert_eq!(
        different,
        [
            ("arm", ["one", "two"], None),
            ("stage", ["one-s1-1111abcd", "two-s1-1111abcd"], None),
            ("prune.saliency", ["taylor1", "random"], None),
            ("flops", ["2.00 G", "3.00 G"], Some(1.5)),
            ("train_loss", ["", "1.2500"], None),
        ]
    );
    assert!(c.to_text(0).contains("Equal: seed = 1, status = ok, params = 512_000."), "{}", c.to_text(0));
}

/// Two layers of four ffn groups. Layer 0: kept {1,2,3} and {2,3}, J = 2/3; by chance one or two are shared with ½
/// each: ½·(1/4 + 2/3) = 11/24. Layer 1: kept {2,3} and all, J = chance = ½.
#[test]
fn kept_groups_against_chance() {
    let [mut a, mut b] = pair();
    prune(&mut a, "ffn", "all", "0;0", 2.0 / 8.0);
    prune(&mut a, "ffn", "1", "1", 3.0 / 8.0);
    prune(&mut b, "ffn", "0", "0", 1.0 / 8.0);
    prune(&mut b, "ffn", "0", "1", 2.0 / 8.0);
    prune(&mut b, "head", "0", "0", 1.0 / 4.0);
    let c = compare(&read(&[a, b]), [A, B], None).unwrap();
    let [TypeOverlap::Both { group_type, layers }, head] = &c.overlap[..] else { panic!("{:?}", c.overlap) };
    assert_eq!(group_type, "ffn");
    assert_eq!(*head, TypeOverlap::OneSide { group_type: "head".into(), side: 1 });
    assert_eq!((layers[0].layer.as_str(), layers[0].total, layers[0].kept), ("0", 4.0, [3.0, 2.0]));
    assert_close(layers[0].jaccard, 2.0 / 3.0, 1e-12);
    assert_close(layers[0].chance, 11.0 / 24.0, 1e-12);
    assert_eq!((layers[1].total, layers[1].kept), (4.0, [2.0, 4.0]));
    assert_close(layers[1].jaccard, 0.5, 1e-12);
    assert_close(layers[1].chance, 0.5, 1e-12);
}

#[test]
fn pages() {
    let [mut a, mut b] = pair();
    prune(&mut a, "ffn", "all", "0;0", 2.0 / 8.0);
    prune(&mut b, "ffn", "all", "0;1", 2.0 / 8.0);
    prune(&mut b, "stem", "all", "5", 1.0 / 8.0);
    (a.totals.bits_per_byte, b.totals.bits_per_byte) = (Some(1.25), Some(1.5));
    let c = compare(&read(&[a, b]), [A, B], None).unwrap();
    let page = c.to_text(3);
    assert!(page.lines().all(|line| line.chars().count() <= text::WIDTH), "{page}");
    insta::assert_snapshot!("text", page);
    insta::assert_snapshot!("markdown", c.to_markdown(0));
}

#[test]
fn nothing_measured_is_blank_and_no_panic() {
    let bare = |r: RunRecord| RunRecord::new(r.identity, r.axes);
    let c = compare(&read(&pair().map(bare)), [A, B], None).unwrap();
    assert_eq!((c.tasks.len(), c.means.len(), c.bits_per_byte), (0, 0, None));
    assert!(c.to_text(5).contains("No task was scored on the same items on both sides."));
    // One item: a difference, no interval.
    let [mut a, mut b] = pair().map(bare);
    answer(&mut a, "boolq", 1, &[1], None);
    answer(&mut b, "boolq", 1, &[], None);
    let c = compare(&read(&[a, b]), [A, B], None).unwrap();
    assert_eq!(c.tasks[0].difference, Difference { mean: -1.0, interval: None, p: Some(1.0) });
}

#[test]
fn wrong_names_are_answered() {
    let [a, b] = pair();
    let mut elsewhere = run("two", 2, &[], &[]);
    elsewhere.axes[0].1 = "random".into();
    let mut failed = run("three", 4, &[], &[]);
    failed.identity.status = Status::Failed;
    failed.identity.reason = Some("loss became NaN".into());
    let results = read(&[a, b, elsewhere, run("four", 5, &[], &[]), failed]);
    let fault = |names: [&str; 2]| compare(&results, names, None).unwrap_err().to_string();
    for (names, want) in [
        (
            [A, "two-s1-0000abce"],
            "no run and no arm is called `two-s1-0000abce`\nhint: did you mean `two-s1-0000abcd`?",
        ),
        ([A, "two-s1"], "no run and no arm is called `two-s1`\nhint: did you mean `two-s1-0000abcd`?"),
        (["oen", B], "no run and no arm is called `oen`\nhint: did you mean `one`?"),
        (
            ["gradient", B],
            "no run and no arm is called `gradient`\nhint: the arms are `one · taylor1`, `two · taylor1`, \
             `two · random`, `four · taylor1`, `three · taylor1`; the runs are in `runs.csv`",
        ),
        ([A, "one"], "`one-s1-0000abcd` is a run and `one` an arm\nhint: compare two runs or two arms"),
        (
            ["one", "two"],
            "arm `two` stands at several points of the axes\nhint: name one of `two · taylor1`, `two · random`",
        ),
        (["one", "four"], "no seed has a finished run of both `one` and `four`"),
        ([A, A], "`one-s1-0000abcd` cannot be compared with itself"),
        (
            ["three-s4-0000abcd", B],
            "run `three-s4-0000abcd` failed: loss became NaN\nhint: only runs that finished can be compared",
        ),
    ] {
        assert_eq!(fault(names), want);
    }
    // A run by arm and seed; at several points the axis values tell which.
    assert_eq!(compare(&results, ["one/1", B], None).unwrap().sides.pairs, [(0, 1)]);
    assert_eq!(compare(&results, ["one · taylor1/1", "two · random/2"], None).unwrap().sides.pairs, [(0, 2)]);
    assert_eq!(fault(["one/2", B]), "no run and no arm is called `one/2`\nhint: did you mean `one/1`?");
    assert!(fault(["three/4", B]).starts_with("run `three-s4-0000abcd` failed: loss became NaN"));
    let none = compare(&read(&[]), [A, B], None).unwrap_err().to_string();
    assert_eq!(none, format!("no run and no arm is called `{A}`\nhint: no run has finished yet"));
}

/// Two items of one id are two items: by their places, and in files without places by how often the id came before.
#[test]
fn items_of_one_id_are_told_apart() {
    for placed in [true, false] {
        let with_one_id = |mut r: RunRecord| {
            for (i, row) in r.items.iter_mut().enumerate() {
                row.item = "q".into();
                row.place = placed.then_some(i as u64);
            }
            r
        };
        let c = compare(&read(&pair().map(with_one_id)), [A, B], None).unwrap();
        let [boolq, piqa] = &c.tasks[..] else { panic!("{:?}", c.tasks) };
        assert_eq!((boolq.scores, boolq.items, piqa.scores, piqa.items), ([0.7, 0.3], 10, [0.0, 1.0], 4));
        let lost: Vec<&str> = boolq.lost.iter().map(|flip| flip.item.as_str()).collect();
        let named = if placed { "q (item 2)" } else { "q" };
        assert_eq!((lost.len(), lost[0]), (5, named));
    }
}

/// A metric by name: means, differences and intervals of that number, without flips and without McNemar.
#[test]
fn a_continuous_metric_is_compared_like_accuracy() {
    let records = pair().map(|mut r| {
        let shift = if r.identity.arm == "one" { 0.0 } else { 0.5 };
        for (i, row) in r.items.iter_mut().enumerate() {
            row.margin = Some(i as f64 * shift - 1.0);
        }
        r
    });
    let c = compare(&read(&records), [A, B], Some(Metric::Margin)).unwrap();
    let boolq = &c.tasks[0];
    // Differences 0, 0.5, … 4.5: their mean is 2.25.
    assert_eq!((boolq.metric, boolq.scores[0]), (Metric::Margin, -1.0));
    assert_close(boolq.difference.mean, 2.25, 1e-12);
    assert!(boolq.difference.interval.is_some() && boolq.difference.p.unwrap() < 0.01);
    assert!(boolq.lost.is_empty() && boolq.gained.is_empty());
    let page = c.to_text(3);
    assert!(page.contains("margin") && page.contains("(nats)") && !page.contains("Flipped"), "{page}");
    // A metric that was not recorded gives no scores, not zeros.
    assert!(compare(&read(&pair()), [A, B], Some(Metric::Margin)).unwrap().tasks.is_empty());
}

/// One number is not the other's where the models saw different lengths of text.
#[test]
fn different_context_lengths_are_told() {
    let [mut a, mut b] = pair();
    let text = |records: &[RunRecord; 2]| compare(&read(records), [A, B], None).unwrap().to_text(0);
    assert!(!text(&[a.clone(), b.clone()]).contains("context length"));
    a.evals.iter_mut().for_each(|score| score.context_length = Some(128));
    b.evals.iter_mut().for_each(|score| score.context_length = Some(512));
    let told = text(&[a, b]).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("a saw at most 128 tokens at once, b 512."), "{told}");
}
