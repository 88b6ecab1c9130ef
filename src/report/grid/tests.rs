//! Grids with known answers; numbers of runs are held against scipy and statsmodels (`scripts/golden-grid.py`).
use super::*;
use crate::record::{EvalScore, ItemChoice, RunIdentity, RunRecord, RunTotals, Status, collect};
use crate::report::groups::groups;
use crate::stats::assert_close;

const LEVELS: [&str; 3] = ["first", "second", "third"];
const UPDATES: [&str; 2] = ["none", "layerwise"];

pub(in crate::report) fn record(saliency: &str, update: &str, seed: u64) -> RunRecord {
    let run = format!("pruning_aware-{saliency}-{update}-{seed}");
    let identity = RunIdentity {
        stage: Some(run.clone()),
        run,
        arm: "pruning_aware".into(),
        seed,
        status: Status::Ok,
        reason: None,
    };
    let axes = [("prune.saliency", saliency), ("prune.update", update)];
    RunRecord::new(identity, axes.map(|(key, value)| (key.to_string(), value.to_string())).to_vec())
}

/// Bits per byte of level `a` of the first and `b` of the second axis: the function of the script.
fn bits(a: usize, b: usize, seed: u64) -> f64 {
    let wobble = 0.02 * ((7 * a as u64 + 5 * b as u64 + 3 * seed) % 4) as f64;
    let interaction = if (a, b) == (2, 1) { 0.08 } else { 0.0 };
    1.0 + [0.30, 0.10, 0.00][a] + [0.00, 0.05][b] + 0.1 * seed as f64 + wobble + interaction
}

pub(in crate::report) fn grid_of_runs(seeds: u64) -> Vec<RunRecord> {
    let mut records = Vec::new();
    for (a, level) in LEVELS.iter().enumerate() {
        for (b, update) in UPDATES.iter().enumerate() {
            for seed in 1..=seeds {
                let mut r = record(level, update, seed);
                r.totals = RunTotals { bits_per_byte: Some(bits(a, b, seed)), ..RunTotals::default() };
                records.push(r);
            }
        }
    }
    records
}

/// What `with` makes of the grid that these records are.
fn on<T>(records: &[RunRecord], metric: Metric, with: impl FnOnce(&Grid, &[Factor]) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    collect(folder.path(), records).unwrap();
    let results = Results::read(folder.path()).unwrap();
    let (scores, groups) = (Scores::new(&results), groups(&results));
    let factors = factors(&groups, &results.axes);
    with(&Grid { results: &results, scores: &scores, groups: &groups, metric }, &factors)
}

#[test]
fn main_effects_are_those_of_scipy_and_statsmodels() {
    on(&grid_of_runs(4), Metric::BitsPerByte, |grid, factors| {
        assert_eq!(
            factors.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(),
            ["prune.saliency", "prune.update"]
        );
        let ranking = ranking(grid, &factors[0]).unwrap();
        // Fewer bits are better: the third level is the best.
        assert_eq!(
            ranking.levels.iter().map(|l| l.name.as_str()).collect::<Vec<_>>(),
            ["third", "second", "first"]
        );
        assert_eq!((ranking.seeds, ranking.not_told_from_best()), (4, vec![]));
        // Own p of each pair; Tukey's with the error of randomised blocks, six degrees of freedom.
        let golden = [
            ([0, 1], 0.2, 0.00041937423065355195, 1.3701359466877783e-05),
            ([0, 2], 0.26, 0.0005387291211153784, 2.9244885876300586e-06),
            ([1, 2], 0.06, 0.013846832988859045, 0.009755208734373633),
        ];
        for (pair, (levels, value, p, tukey)) in ranking.pairs.iter().zip(golden) {
            assert_eq!(pair.levels, levels);
            assert_close(pair.difference.value.unwrap(), value, 1e-12);
            assert_close(pair.difference.interval.unwrap().low, value - 0.040910327284553266, 1e-6);
            assert_close(pair.difference.p.unwrap(), p, 1e-9);
            assert!((pair.p_holm.unwrap() - tukey).abs() < 1e-9, "{:?} {tukey}", pair.p_holm);
        }
        let error = ranking.error.as_ref().unwrap();
        assert_eq!(error.freedom(), 6.0);
        // A difference of two levels: √(2·MS/4).
        assert_close(error.standard_error(), (2.0 * 0.00035555555555555866f64 / 4.0).sqrt(), 1e-9);
    });
}

#[test]
fn interactions_are_those_of_scipy_and_statsmodels() {
    on(&grid_of_runs(4), Metric::BitsPerByte, |grid, factors| {
        let interaction = interaction(grid, &factors[0], &factors[1]).unwrap();
        let largest = &interaction.tetrads[0];
        assert_eq!(interaction.names(largest), [["third", "first"], ["layerwise", "none"]]);
        assert_close(largest.estimate.value.unwrap(), 0.08, 1e-12);
        assert_close(largest.estimate.interval.unwrap().high, 0.18393826109000913, 1e-9);
        assert_close(largest.estimate.p.unwrap(), 0.09172111331157157, 1e-9);
        assert_close(largest.p_holm.unwrap(), 2.0 * 0.09172111331157157, 1e-9);
        assert_eq!(interaction.found(), None);
    });
}

/// Keys that move with a factor (`[[zip]]`), each value with one of its own or not, are no settings of their own.
#[test]
fn an_interaction_is_the_same_where_other_keys_move_with_a_factor() {
    let alone = on(&grid_of_runs(4), Metric::BitsPerByte, |grid, factors| {
        interaction(grid, &factors[0], &factors[1]).unwrap()
    });
    let mut records = grid_of_runs(4);
    for record in &mut records {
        let [saliency, update] = [0, 1].map(|at| record.axes[at].1.clone());
        let tokens = if update == "none" { "0" } else { "1024" };
        let block = if saliency == "third" { "2" } else { "1" };
        record.axes.push(("prune.calibration_tokens".into(), tokens.into()));
        record.axes.push(("prune.block".into(), block.into()));
    }
    on(&records, Metric::BitsPerByte, |grid, factors| {
        let of = |name: &str| factors.iter().find(|factor| factor.name == name).unwrap();
        let found = interaction(grid, of("prune.saliency"), of("prune.update")).unwrap();
        assert_eq!((&found.tetrads, found.tests), (&alone.tetrads, alone.tests));
        assert_eq!(interaction(grid, of("prune.update"), of("prune.calibration_tokens")), None);
        assert_eq!(interaction(grid, of("prune.saliency"), of("prune.block")), None);
    });
}

#[test]
fn one_seed_tells_nothing_apart_and_a_missing_cell_leaves_its_block_out() {
    on(&grid_of_runs(1), Metric::BitsPerByte, |grid, factors| {
        let ranking = ranking(grid, &factors[0]).unwrap();
        assert_eq!((ranking.seeds, ranking.not_told_from_best()), (1, vec!["second", "first"]));
    });
    let mut records = grid_of_runs(3);
    records.retain(|r| !(r.identity.run.contains("first-layerwise")));
    on(&records, Metric::BitsPerByte, |grid, factors| {
        assert_eq!((factors[0].blocks.len(), factors[0].incomplete), (1, 1));
        assert_eq!((factors[1].blocks.len(), factors[1].incomplete), (2, 1));
        assert_eq!(interaction(grid, &factors[0], &factors[1]), None);
        assert!(ranking(grid, &factors[0]).is_some());
    });
}

/// A failed run does not make one level's mean that of other seeds than the rest: the ranking is that of the seeds that all have.
#[test]
fn a_seed_that_one_level_lacks_is_left_out_of_all() {
    let of = |records: &[RunRecord]| {
        on(records, Metric::BitsPerByte, |grid, factors| ranking(grid, &factors[0]).unwrap())
    };
    let lacking = |keep: fn(&RunRecord) -> bool| {
        let mut records = grid_of_runs(4);
        records.retain(|record| record.identity.seed != 2 || keep(record));
        of(&records)
    };
    let (one, all) = (lacking(|record| !record.identity.run.contains("first-none")), lacking(|_| false));
    assert_eq!((one.seeds, one.seeds_left_out, all.seeds_left_out), (3, 1, 0));
    assert_eq!((&one.levels, &one.pairs, &one.error), (&all.levels, &all.pairs, &all.error));
    assert!(one.is_simultaneous() && one.error.is_some());
}

/// Items: level 1 raises the gold probability of every item by 0.2, the update by 0.1 with level 1 alone.
#[test]
fn contrasts_of_items_cancel_what_items_and_seeds_share() {
    let mut records = Vec::new();
    for (a, level) in LEVELS[..2].iter().enumerate() {
        for (b, update) in UPDATES.iter().enumerate() {
            for seed in 1..=3u64 {
                let mut r = record(level, update, seed);
                for place in 0..40u64 {
                    let shared = 0.01 * (place % 17) as f64 + 0.02 * seed as f64;
                    let noise = 0.002 * ((place * 7 + seed * 3 + a as u64 * 5 + b as u64) % 11) as f64;
                    let gain = 0.2 * a as f64 + 0.1 * (a * b) as f64;
                    r.items.push(ItemChoice {
                        task: "piqa".into(),
                        item: place.to_string(),
                        place: Some(place),
                        acc: Some(1),
                        gold_probability: Some(0.3 + shared + noise + gain),
                        ..ItemChoice::default()
                    });
                }
                r.evals.push(EvalScore::from_choices("piqa", &r.items, Some(0.5)));
                records.push(r);
            }
        }
    }
    on(&records, Metric::GoldProbability, |grid, factors| {
        let ranking = ranking(grid, &factors[0]).unwrap();
        let worst = &ranking.levels[1];
        assert_eq!((ranking.best().name.as_str(), worst.told_from_best), ("second", true));
        assert!((worst.against_best.value.unwrap() + 0.25).abs() < 3e-3, "{worst:?}");
        assert_eq!((worst.against_best.seeds, worst.against_best.items), (3, 40));
        let interaction = interaction(grid, &factors[0], &factors[1]).unwrap();
        let found = interaction.found().unwrap();
        assert!((found.estimate.value.unwrap() - 0.1).abs() < 3e-3, "{found:?}");
    });
}

/// Numbers of items of the script: the first axis adds 0.2 and 0.26, the second 0.1 at the second value of the first alone. Items
/// are one by one, or in clusters of `size`.
fn grid_of_items(size: u64) -> Vec<RunRecord> {
    let mut records = Vec::new();
    for (a, level) in LEVELS.iter().enumerate() {
        for (b, update) in UPDATES.iter().enumerate() {
            for seed in 1..=3u64 {
                let mut r = record(level, update, seed);
                for place in 0..40u64 {
                    let (x, y) = (a as u64, b as u64);
                    let shared = 0.01 * (place % 17) as f64 + 0.02 * seed as f64;
                    let noise = 0.002 * ((place * 7 + seed * 3 + x * 5 + y) % 11) as f64
                        + 0.004 * ((place / 4 * 5 + x * 3) % 7) as f64;
                    let gain = [0.0, 0.2, 0.26][a] + if (a, b) == (1, 1) { 0.1 } else { 0.0 };
                    r.items.push(ItemChoice {
                        task: "piqa".into(),
                        item: place.to_string(),
                        place: Some(place),
                        cluster: (size > 1).then_some(place / size),
                        acc: Some(1),
                        gold_probability: Some(0.3 + shared + noise + gain),
                        ..ItemChoice::default()
                    });
                }
                r.evals.push(EvalScore::from_choices("piqa", &r.items, Some(0.5)));
                records.push(r);
            }
        }
    }
    records
}

/// Seeds, items and clusters of items: the mean squares and cluster-robust covariances of statsmodels, the studentized range of scipy.
#[test]
fn contrasts_of_items_are_those_of_scipy_and_statsmodels() {
    /// Of one size of clusters: estimate, half width and p of the second axis and of a tetrad; half width of all pairs, and p of a pair.
    struct Golden {
        size: u64,
        update: [f64; 3],
        tetrad: [f64; 3],
        all_pairs: f64,
        pair: [f64; 2],
    }
    let golden = [
        Golden {
            size: 1,
            update: [0.03337777777777777, 0.0006129523367303922, 3.3521491867861363e-06],
            tetrad: [0.09963333333333332, 0.0019140198168279463, 3.3858782936268505e-06],
            all_pairs: 0.0051407210183578855,
            pair: [-0.010716666666666697, 2.8632843128873954e-05],
        },
        Golden {
            size: 4,
            update: [0.03337777777777777, 0.0002629398890402293, 3.352149186786154e-06],
            tetrad: [0.09963333333333332, 0.002137183953166696, 3.385878293626604e-06],
            all_pairs: 0.012084284889015199,
            pair: [-0.010716666666666697, 0.08169998471916246],
        },
    ];
    for Golden { size, update, tetrad, all_pairs, pair } in golden {
        on(&grid_of_items(size), Metric::GoldProbability, |grid, factors| {
            let same = |estimate: &Estimate, [value, half, p]: [f64; 3]| {
                assert_close(estimate.value.unwrap(), value, 1e-9);
                assert_close(estimate.interval.unwrap().high - value, half, 1e-8);
                assert_close(estimate.p.unwrap(), p, 1e-6);
            };
            // `layerwise` less `none`.
            let second = ranking(grid, &factors[1]).unwrap();
            same(&second.pairs[0].difference.negated(), update);
            let interaction = interaction(grid, &factors[0], &factors[1]).unwrap();
            let found = interaction.tetrads.iter().find(|found| found.levels == [1, 1]).unwrap();
            same(&found.estimate, tetrad);
            let first = ranking(grid, &factors[0]).unwrap();
            assert_close(first.error.as_ref().unwrap().half_width(0.05), all_pairs, 1e-6);
            // The second less the third.
            assert_eq!(first.pairs[2].levels, [1, 2]);
            assert_close(first.pairs[2].difference.value.unwrap(), pair[0], 1e-9);
            assert_close(first.pairs[2].p_holm.unwrap(), pair[1], 1e-5);
            assert_eq!(
                first.levels.iter().map(|l| l.name.as_str()).collect::<Vec<_>>(),
                ["third", "second", "first"]
            );
        });
    }
}

/// Points with a name, whose keys move with the name; the keys of `[[zip]]` move together, too.
#[test]
fn keys_that_move_together_are_one_axis() {
    let mut records = Vec::new();
    let points = [
        ("rewarm low", "0.001"),
        ("rewarm high", "0.006"),
        ("branch low", "0.001"),
        ("branch high", "0.006"),
    ];
    for (place, (name, rate)) in points.into_iter().enumerate() {
        for seed in 1..=3 {
            let mut r = record("first", "none", seed);
            r.identity.run = format!("{name}-{seed}");
            let schedule = name.split(' ').next().unwrap();
            let axes = [("recovery.schedule", schedule), ("recovery.learning_rate", rate), ("point", name)];
            r.axes = axes.map(|(key, value)| (key.to_string(), value.to_string())).to_vec();
            let bits = 1.0 + 0.1 * place as f64 + 0.01 * seed as f64;
            r.totals = RunTotals { bits_per_byte: Some(bits), ..RunTotals::default() };
            records.push(r);
        }
    }
    on(&records, Metric::BitsPerByte, |grid, factors| {
        let found = factors.iter().map(|f| (f.name.as_str(), f.levels.len(), f.blocks.len(), f.incomplete));
        let expected =
            [("recovery.schedule", 2, 2, 0), ("recovery.learning_rate", 2, 2, 0), ("point", 4, 1, 0)];
        assert_eq!(found.collect::<Vec<_>>(), expected);
        assert_eq!(ranking(grid, &factors[2]).unwrap().best().name, "rewarm low");
        assert!(factors.iter().all(|factor| factor.moving.is_empty()));
    });
    // Without their names and one schedule: tokens and the line that they are pruned along.
    records.retain(|r| r.axes[0].1 == "rewarm");
    for r in &mut records {
        r.axes.truncate(2);
        r.axes[0].1 = format!("line of {}", r.axes[1].1);
    }
    on(&records, Metric::BitsPerByte, |grid, factors| {
        assert_eq!(factors[1].moving, ["recovery.schedule"]);
        assert_eq!(ranking(grid, &factors[1]).unwrap().best().name, "0.001");
    });
}
