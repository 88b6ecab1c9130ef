//! One experiment on two engines: the hand-written one and dfdx's autodiff must tell the same story.
use crate::cli::Desk;
use std::path::Path;

const TINY: &str = include_str!("../fixtures/tiny.toml");

/// One run on two ranks, each with half of every batch, against one: the groups that go are the same, losses differ by
/// the order of sums alone.
#[test]
fn two_ranks_run_every_arm_to_the_results_of_one() {
    let desk = Desk::new();
    let short = TINY.replace("tokens = 16_384", "tokens = 4_096").replace("tokens = 8_192", "tokens = 2_048");
    let short = short.replace("prune_tokens = 4_096", "prune_tokens = 1_024");
    for ranks in [1, 2] {
        let name = ranks.to_string();
        let text = short.replace("workers = 2", &format!("workers = 1\ndata_parallel = {ranks}"));
        desk.experiment(&name, &text);
        let arguments = ["run", &format!("experiments/{name}"), "--results", &name, "--quiet"];
        let output = desk.command(&arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    agree(&desk, ["1", "2"]);
}

/// The cells of `column`, each with the key of its row.
pub fn cells(results: &Path, table: &str, keys: &[&str], column: &str) -> Vec<(String, String)> {
    let mut reader = csv::Reader::from_path(results.join(table)).unwrap();
    let header = reader.headers().unwrap().clone();
    let place = |name: &str| header.iter().position(|cell| cell == name).unwrap();
    let (keys, value): (Vec<usize>, usize) = (keys.iter().map(|key| place(key)).collect(), place(column));
    let cell = |row: csv::StringRecord| {
        let key: Vec<&str> = keys.iter().map(|key| &row[*key]).collect();
        (key.join("/"), row[value].to_string())
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
    // The oracle shows no gradients of activations, of which F by position is made.
    let short = short.replace("[prune]\n", "[prune]\nfisher_unit = \"sequence\"\n");
    for engine in ["cpu", "reference"] {
        desk.experiment(engine, &short.replace("kind = \"cpu\"", &format!("kind = \"{engine}\"")));
        let arguments = ["run", &format!("experiments/{engine}"), "--results", engine, "--quiet"];
        let output = desk.command(&arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    agree(&desk, ["cpu", "reference"]);
}

/// Two results folders tell the same story.
pub fn agree(desk: &Desk, folders: [&str; 2]) {
    let of = |engine: &str, table: &str, keys: &[&str], name: &str| -> Vec<(String, f64)> {
        let cells = cells(&desk.path().join(engine), table, keys, name);
        cells.into_iter().map(|(key, cell)| (key, cell.parse().unwrap())).collect()
    };
    for (table, keys, name, tolerance) in [
        ("runs.csv", &["arm", "seed"][..], "params", 0.0),
        ("prune.csv", &["event", "type", "index"][..], "params", 0.0),
        ("curves.csv", &["step"][..], "loss", 1e-3),
        ("items.csv", &["arm", "task", "item", "choice"][..], "loglik", 2e-2),
    ] {
        let [one, other] = folders.map(|folder| of(folder, table, keys, name));
        assert!(!one.is_empty() && one.len() == other.len(), "{table}: {} rows", one.len());
        for ((key, a), (twin, b)) in one.into_iter().zip(other) {
            assert_eq!(key, twin, "{table}");
            assert!((a - b).abs() <= tolerance, "{table}, {name} of {key}: {a} against {b}");
        }
    }
}
