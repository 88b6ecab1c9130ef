//! `scripts/gpu-check`: on a machine without a GPU it says what is missing, and that this is not a failed check; its way
//! from check to record runs here over stand-ins for the driver's program and for the three that it calls.
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

fn script(arguments: &[&str]) -> Command {
    let mut command = Command::new("bash");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/gpu-check")).args(arguments);
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn gpu_check_without_a_gpu_says_what_is_missing() {
    if Command::new("nvidia-smi").output().is_ok() {
        println!("skipped: this machine has nvidia-smi, so gpu-check would begin");
        return;
    }
    let output = script(&[]).output().unwrap();
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("missing: nvidia-smi"), "{text}");
    assert!(text.contains("error: gpu-check is not possible on this machine\nhint: "), "{text}");
}

#[test]
fn gpu_check_refuses_what_it_does_not_know() {
    for (arguments, expected) in [
        (&["--only", "parity,fast"][..], "unknown step `fast`"),
        (&["--fast"], "unknown argument `--fast`"),
        (&["--out"], "a value is missing"),
    ] {
        let output = script(arguments).output().unwrap();
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(expected) && text.contains("\nhint: "), "{text}");
    }
}

fn program(path: &Path, body: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A carried folder on a machine with one GPU, where the operations agree and the trajectories do not.
#[test]
fn gpu_check_records_what_ran_and_what_failed() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("scripts")).unwrap();
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/gpu-check"), at("scripts/gpu-check")).unwrap();
    fs::write(at("commit"), "0123abc\n").unwrap();
    program(
        &at("tools/nvidia-smi"),
        "case \"$*\" in -L) echo 'GPU 0: Stand-in 9000';; *=name*) echo 'Stand-in 9000';; *) echo 580.1;; esac",
    );
    program(&at("tools/ldconfig"), "echo libcuda.so.1; echo libnvrtc.so.13; echo libcublasLt.so.13");
    program(&at("bin/efficientllm"), "echo cuda: yes");
    program(
        &at("bin/checks"),
        "echo \"$1 require=$EFFICIENTLLM_REQUIRE\"; case $1 in *operations) ;; *) exit 101;; esac",
    );
    program(&at("bin/train_step"), "echo shape,tokens_per_s; echo \"$2,1.0\"; echo noise >&2");
    let path = format!("{}:{}", at("tools").display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .arg(at("scripts/gpu-check"))
        .args(["--only", "parity,trajectories,bench,sharing", "--out"])
        .arg(at("out"))
        .env("PATH", path)
        .output()
        .unwrap();
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("failed: trajectories.txt"), "{text}");
    let read = |name: &str| fs::read_to_string(at("out").join(name)).unwrap();
    assert_eq!(read("parity.txt"), "on_device::operations require=device\n");
    assert_eq!(read("rates-SmolLM-360M.csv"), "shape,tokens_per_s\nSmolLM-360M,1.0\n");
    let sharing = read("sharing.csv");
    let workers: Vec<&str> = sharing.lines().map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(workers, ["workers", "1", "2", "4", "8"], "{sharing}");
    let readme = read("README.md");
    for expected in [
        "# GPU check on Stand-in 9000, ",
        "Commit `0123abc`; driver 580.1; device memory 580.1; `scripts/gpu-check` with the steps parity, trajectories, bench, sharing.",
        "| `parity.txt` | `bin/checks on_device::operations --nocapture --test-threads 1` | ok |",
        "| `trajectories.txt` | `bin/checks on_device::trajectories --nocapture --test-threads 1` | failed |",
        "| `sharing.csv` | `sharing` | ok |",
        "| `pruned.csv` | `bin/train_step --shape SmolLM-135M --engine cuda --precision bf16 --pruned` | ok |",
    ] {
        assert!(readme.contains(expected), "{readme}");
    }
}
