//! One experiment on two engines: the hand-written one and dfdx's autodiff must tell the same story.
use crate::cli::Desk;
use std::path::Path;

const TINY: &str = include_str!("../fixtures/tiny.toml");

/// The cells of `column`, each with the key of its row.
fn column(results: &Path, table: &str, keys: &[&str], column: &str) -> Vec<(String, f64)> {
    let mut reader = csv::Reader::from_path(results.join(table)).unwrap();
    let header = reader.headers().unwrap().clone();
    let place = |name: &str| header.iter().position(|cell| cell == name).unwrap();
    let (keys, value): (Vec<usize>, usize) = (keys.iter().map(|key| place(key)).collect(), place(column));
    let cell = |row: csv::StringRecord| {
        let key: Vec<&str> = keys.iter().map(|key| &row[*key]).collect();
        (key.join("/"), row[value].parse().unwrap())
    };
    reader.records().map(|row| cell(row.unwrap())).collect()
}

/// Losses, log-likelihoods and pruned sizes of all arms; f32 sums in another order part slowly, over 24 steps by less
/// than 1e-3 nats.
#[test]
fn the_reference_engine_runs_every_arm_to_the_same_results() {
    let desk = Desk::new();
    let short = TINY.replace("tokens = 16_384", "tokens = 4_096").replace("tokens = 8_192", "tokens = 2_048");
    let short = short.replace("prune_tokens = 4_096", "prune_tokens = 1_024");
    for engine in ["cpu", "reference"] {
        desk.experiment(engine, &short.replace("kind = \"cpu\"", &format!("kind = \"{engine}\"")));
        let arguments = ["run", &format!("experiments/{engine}"), "--results", engine, "--quiet"];
        let output = desk.command(&arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let of = |engine: &str, table: &str, keys: &[&str], name: &str| {
        column(&desk.path().join(engine), table, keys, name)
    };
    for (table, keys, name, tolerance) in [
        ("runs.csv", &["arm", "seed"][..], "params", 0.0),
        ("prune.csv", &["event", "type", "index"][..], "params", 0.0),
        ("curves.csv", &["step"][..], "loss", 1e-3),
        ("items.csv", &["arm", "task", "item", "choice"][..], "loglik", 2e-2),
    ] {
        let (cpu, reference) = (of("cpu", table, keys, name), of("reference", table, keys, name));
        assert!(!cpu.is_empty() && cpu.len() == reference.len(), "{table}: {} rows", cpu.len());
        for ((key, a), (other, b)) in cpu.into_iter().zip(reference) {
            assert_eq!(key, other, "{table}");
            assert!((a - b).abs() <= tolerance, "{table}, {name} of {key}: {a} against {b}");
        }
    }
}
