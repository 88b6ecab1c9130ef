//! Experiment files against damage: an experiment or its faults, never a panic.
use super::{no_model, parse};
use crate::base::fuzz;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::path::Path;

const REFERENCE: &str = include_str!("../../experiments/reference.toml");
const STRANGE: [&str; 14] = [
    "-1",
    "0",
    "1e400",
    "nan",
    "99999999999999999999",
    "9223372036854775807",
    "\"\"",
    "\"x\"",
    "[]",
    "[[]]",
    "{}",
    "true",
    "1979-05-27",
    "{ a = { b = 1 } }",
];

fn read(text: &str) {
    match parse(text, "fuzz", Path::new("/nowhere"), &no_model) {
        Ok(experiment) => assert!(!experiment.points.is_empty()),
        Err(faults) => assert!(!faults.is_empty()),
    }
}

/// Lines that give a key its value, up to and with the `=`, and the rest of the line.
fn assignments() -> Vec<(usize, &'static str)> {
    let lines = REFERENCE.lines().enumerate();
    lines.filter(|(_, line)| line.contains(" = ") && !line.starts_with('#')).collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: fuzz::cases(300, 3),
        rng_seed: RngSeed::Fixed(29),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn strange_values_are_faults(
        place in any::<prop::sample::Index>(), value in prop::sample::select(STRANGE.as_slice()),
    ) {
        let all = assignments();
        let (number, line) = *place.get(&all);
        let changed = format!("{}= {value}", &line[..line.find('=').expect("an assignment")]);
        let lines = REFERENCE.lines().enumerate().map(|(n, line)| if n == number { changed.as_str() } else { line });
        read(&lines.collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn overwritten_bytes_are_faults(
        at in any::<prop::sample::Index>(), values in prop::collection::vec(any::<u8>(), 1..5), cut in any::<bool>(),
    ) {
        let mut bytes = REFERENCE.as_bytes().to_vec();
        let at = at.index(bytes.len());
        for (target, value) in bytes.iter_mut().skip(at).zip(values) {
            *target = value;
        }
        if cut {
            bytes.truncate(at);
        }
        read(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn lines_left_out_or_twice_are_faults(
        place in any::<prop::sample::Index>(), is_twice in any::<bool>(),
    ) {
        let lines: Vec<&str> = REFERENCE.lines().collect();
        let at = place.index(lines.len());
        let times = if is_twice { 2 } else { 0 };
        let text = [&lines[..at], &vec![lines[at]; times], &lines[at + 1..]].concat();
        read(&text.join("\n"));
    }
}
