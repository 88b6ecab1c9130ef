//! A disk that has room for every number and not for the report: numbers come first, and what they say is told.
#![cfg(target_os = "linux")]
use super::base::requirement;
use crate::cli::Desk;
use crate::interruptions::{TINY, assert_same_tables, run_to_the_end};
use std::fs;
use std::path::Path;
use std::process::Command;

/// What can be made of the tables.
const DERIVED: [&str; 5] = ["comparisons.csv", "report.md", "tables.tex", "report.html", "DICTIONARY.md"];

/// Kilobytes of all files below `folder` in whole pages, and of those of them that are derived.
fn pages(folder: &Path, root: &Path) -> (u64, u64) {
    let (mut all, mut derived) = (0, 0);
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            let (inner, of_them) = pages(&path, root);
            (all, derived) = (all + inner, derived + of_them);
            continue;
        }
        let kilobytes = entry.metadata().unwrap().len().div_ceil(4096) * 4;
        let name = path.strip_prefix(root).unwrap();
        all += kilobytes;
        if name.starts_with("figures") || DERIVED.iter().any(|derived| name == Path::new(derived)) {
            derived += kilobytes;
        }
    }
    (all, derived)
}

/// `run` on a tmpfs of `$1` kB that holds an old report, `report` there, and `run` again with room: what each says, and what the
/// first and the last leave.
const SCRIPT: &str = r#"
mkdir disk && mount -t tmpfs -o size=$1k tmpfs disk || exit 77
mkdir -p disk/r/figures && echo old >disk/r/report.md && head -c 60000 /dev/zero >disk/r/report.html && echo old >disk/r/figures/accuracy.svg
told() { name=$1; shift; "$BINARY" "$@" experiments/tiny --results disk/r >$name.told 2>&1; echo $? >$name.code; }
told first run --quiet
cp -r disk/r first
told report report
mount -o remount,size=65536k disk
told second run
cp -r disk/r second
"#;

#[test]
fn where_a_disk_is_full_numbers_come_first_and_no_old_report_stays() {
    let desk = Desk::new();
    desk.experiment("tiny", TINY);
    run_to_the_end(&desk, "undisturbed");
    let undisturbed = desk.path().join("undisturbed");
    let (all, derived) = pages(&undisturbed, &undisturbed);
    // Claims and the like take a few pages while a stage is under way.
    let size = (all - derived + 60).to_string();
    assert!(derived > 100, "{derived}");
    let done = Command::new("unshare")
        .args(["--mount", "sh", "-c", SCRIPT, "sh", &size])
        .env("BINARY", env!("CARGO_BIN_EXE_efficientllm"))
        .env_remove("RUST_LOG")
        .current_dir(desk.path())
        .output();
    match done {
        Ok(done) if done.status.success() => {}
        Ok(done) => return requirement::skip("tmpfs", &String::from_utf8_lossy(&done.stderr)),
        Err(error) => return requirement::skip("tmpfs", &error.to_string()),
    }
    let text = |name: &str| fs::read_to_string(desk.path().join(name)).unwrap();
    let code = |name: &str| text(&format!("{name}.code")).trim().parse::<i32>().unwrap();

    // The code tells what became of the runs; what is missing, why, and how to get it, is a warning.
    let told = text("first.told");
    assert_eq!(code("first"), 0, "{told}");
    assert!(
        told.contains("warning: the report is not whole: disk/r/")
            && told.contains("No space left on device"),
        "{told}"
    );
    assert!(told.contains("the tables are, with every number"), "{told}");
    assert!(
        told.contains("make room, then `efficientllm report experiments/tiny --results disk/r` makes it"),
        "{told}"
    );
    let first = desk.path().join("first");
    assert_same_tables(&first, &undisturbed);
    efficientllm::record::Results::read(&first).unwrap();
    let figures = fs::read_dir(undisturbed.join("figures")).unwrap().flatten();
    let figures = figures.map(|entry| format!("figures/{}", entry.file_name().to_string_lossy()));
    let made: Vec<String> = DERIVED.map(String::from).into_iter().chain(figures).collect();
    let is_old = |name: &String| {
        fs::read(first.join(name)).is_ok_and(|bytes| bytes == b"old\n" || bytes.iter().all(|b| *b == 0))
    };
    assert!(made.iter().all(|name| !is_old(name)), "an old report stays");
    assert!(made.iter().any(|name| !first.join(name).exists()), "the disk was not full");

    // To make a report is all that is asked here.
    let told = text("report.told");
    assert!(code("report") == 2 && told.contains("No space left on device"), "{told}");

    let told = text("second.told");
    assert!(
        code("second") == 0 && told.contains("nothing to do") && told.contains("report in disk/r/report.md"),
        "{told}"
    );
    let second = desk.path().join("second");
    for name in &made {
        assert!(second.join(name).exists(), "{name} is missing");
    }
    let dictionary = |results: &Path| fs::read(results.join("DICTIONARY.md")).unwrap();
    assert_eq!(dictionary(&second), dictionary(&undisturbed));
}

/// `run` on a tmpfs that is full by the time its first stage is told to stop, but for an old report.
const STOPPED: &str = r#"
mkdir disk && mount -t tmpfs -o size=16m tmpfs disk || exit 77
"$BINARY" run experiments/long --results disk/r --quiet --workers 1 >told 2>&1 &
pid=$!
until ls disk/r/store/partial/source* >/dev/null 2>&1; do kill -0 $pid || exit 1; sleep 0.1; done
head -c 200000 /dev/zero >disk/r/report.html
cat /dev/zero >disk/ballast 2>/dev/null
kill -TERM $pid
wait $pid; echo $? >code
"$BINARY" status experiments/long --results disk/r --json >status.json
"#;

/// The checkpoint of a stage under way is no other file: for want of room no stage fails that room could still be made for.
#[test]
fn a_checkpoint_that_finds_the_disk_full_fails_no_stage_while_room_can_be_made() {
    let desk = Desk::new();
    desk.experiment("long", &TINY.replace("tokens = 16_384", "tokens = 67_108_864"));
    let done = Command::new("unshare")
        .args(["--mount", "sh", "-c", STOPPED])
        .env("BINARY", env!("CARGO_BIN_EXE_efficientllm"))
        .env_remove("RUST_LOG")
        .current_dir(desk.path())
        .output();
    let text = |name: &str| fs::read_to_string(desk.path().join(name)).unwrap_or_default();
    match done {
        Ok(done) if done.status.code() != Some(77) && !text("code").is_empty() => {}
        Ok(done) => return requirement::skip("tmpfs", &String::from_utf8_lossy(&done.stderr)),
        Err(error) => return requirement::skip("tmpfs", &error.to_string()),
    }
    let told = text("told");
    assert_eq!(text("code").trim(), "1", "{told}");
    assert!(told.contains("the disk is full: the report in `disk/r` is deleted to make room"), "{told}");
    assert!(told.contains("interrupted; run again to go on") && !told.contains("failed"), "{told}");
    let status: serde_json::Value = serde_json::from_str(&text("status.json")).unwrap();
    assert_eq!(status["counts"]["failed"], 0, "{status:#}");
}
