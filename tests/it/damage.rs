//! Fault injection: a byte that changes on disk, in every kind of file of a results folder. It is noticed, told, and what
//! it belongs to is made again from what is whole: the tables end in the same numbers.
use crate::cli::Desk;
use crate::interruptions::{TINY, assert_same_tables, run_to_the_end};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Numbers of a trial: always the same ones (splitmix64).
pub struct Trial(pub u64);

impl Trial {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Flips one bit somewhere in the file.
    fn flip(&mut self, path: &Path) {
        let mut bytes = fs::read(path).unwrap();
        let at = (self.next() % bytes.len() as u64) as usize;
        bytes[at] ^= 1 << (self.next() % 8);
        fs::write(path, bytes).unwrap();
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        match entry.path() {
            path if path.is_dir() => files.extend(files_below(&path)),
            path => files.push(path),
        }
    }
    files.sort();
    files
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    for file in files_below(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(file, target).unwrap();
    }
}

fn program(desk: &Desk, command: &str) -> Output {
    desk.command(&[command, "experiments/tiny", "--results", "r"]).output().unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

/// One file of each kind: its name, and of files in the store the kind of their stage.
fn kinds(results: &Path) -> Vec<PathBuf> {
    let mut seen = std::collections::BTreeSet::new();
    let mut kinds = Vec::new();
    for file in files_below(results) {
        let path = file.strip_prefix(results).unwrap();
        let mut parts: Vec<String> = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        if parts[0] == "store" {
            // `eval-one_shot-s1-0123abcd` is an evaluation like any other, `source-s1-…` a model.
            let stage = ["eval", "corpus"].into_iter().find(|kind| parts[1].starts_with(kind));
            parts[1] = stage.unwrap_or("model").to_string();
        }
        if parts[0] != "figures" && seen.insert(parts.join("/")) {
            kinds.push(path.to_path_buf());
        }
    }
    kinds
}

#[test]
fn a_flipped_bit_in_any_file_of_the_results_is_noticed_and_made_good() {
    let desk = Desk::new();
    desk.experiment("tiny", TINY);
    run_to_the_end(&desk, "undisturbed");
    let (undisturbed, results) = (desk.path().join("undisturbed"), desk.path().join("r"));
    let mut trial = Trial(10);
    let kinds = kinds(&undisturbed);
    assert!(kinds.len() > 20, "{kinds:?}");
    for kind in &kinds {
        copy(&undisturbed, &results);
        // Models and corpora are read where an evaluation has to be made.
        let in_store = kind.starts_with("store");
        let is_evaluation =
            kind.iter().nth(1).is_some_and(|stage| stage.to_string_lossy().starts_with("eval-"));
        if in_store && !is_evaluation {
            for entry in fs::read_dir(results.join("store")).unwrap().flatten() {
                if entry.file_name().to_string_lossy().starts_with("eval-") {
                    fs::remove_dir_all(entry.path()).unwrap();
                }
            }
        }
        trial.flip(&results.join(kind));
        let name = kind.display();
        // `report` reads every table but these: it writes the one, and the other repeats what is in the rest.
        let is_read = !["comparisons.csv", "tidy.csv"].iter().any(|name| kind.ends_with(name));
        if kind.extension().is_some_and(|end| end == "csv") && is_read {
            let report = program(&desk, "report");
            assert_eq!(report.status.code(), Some(2), "{name}: {}", told(&report));
            assert!(told(&report).contains(&format!("r/{name} was changed")), "{}", told(&report));
        }
        let run = program(&desk, "run");
        assert_eq!(run.status.code(), Some(0), "{name}: {}", told(&run));
        assert_same_tables(&results, &undisturbed);
        if in_store {
            assert!(told(&run).contains("is damaged"), "{name}: {}", told(&run));
        } else {
            let same = fs::read(results.join(kind)).unwrap() == fs::read(undisturbed.join(kind)).unwrap();
            assert!(same || kind.ends_with("environment.json") || told(&run).contains("changed"), "{name}");
        }
        let report = program(&desk, "report");
        assert_eq!(report.status.code(), Some(0), "{name}: {}", told(&report));
    }
}

/// A checkpoint of a training run under way, half of it, none of it, and with one bit flipped, many times.
#[cfg(unix)]
#[test]
fn a_damaged_checkpoint_is_told_and_the_stage_begins_again() {
    let desk = Desk::new();
    let long = TINY.replace("tokens = 16_384", "tokens = 65_536");
    desk.experiment("tiny", &long[..long.find("[[arms]]\narm = \"pruning_aware\"").unwrap()]);
    run_to_the_end(&desk, "undisturbed");
    let state = |results: &str| -> Option<PathBuf> {
        let partial = fs::read_dir(desk.path().join(results).join("store/partial")).ok()?;
        partial.flatten().map(|entry| entry.path().join("state.safetensors")).find(|path| path.exists())
    };
    for milliseconds in (100..).step_by(100) {
        let mut child = desk
            .command(&["run", "experiments/tiny", "--results", "half", "--quiet"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        Command::new("kill").args(["-TERM", &child.id().to_string()]).output().unwrap();
        child.wait().unwrap();
        if state("half").is_some() {
            break;
        }
        assert!(child.try_wait().unwrap().is_some_and(|status| status.code() != Some(0)), "it was too fast");
    }
    let mut trial = Trial(31);
    for number in 0..12 {
        copy(&desk.path().join("half"), &desk.path().join("r"));
        let path = state("r").unwrap();
        match number {
            0 => fs::write(&path, "").unwrap(),
            1 => {
                let bytes = fs::read(&path).unwrap();
                fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
            }
            _ => trial.flip(&path),
        }
        let run = program(&desk, "run");
        assert_eq!(run.status.code(), Some(0), "{}", told(&run));
        assert!(told(&run).contains("starts again from its beginning"), "{number}: {}", told(&run));
        assert_same_tables(&desk.path().join("r"), &desk.path().join("undisturbed"));
    }
}
