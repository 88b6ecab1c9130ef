//! `submit`, `status` and `cancel` beside stand-ins for Slurm's programs: what is asked of them, and what is made of their answers,
//! of refusals, and of their absence. `scripts/slurm-check` does the same with a real Slurm.
#![cfg(unix)]
use crate::cli::Desk;
use crate::interruptions::TINY;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// A desk whose Slurm is what the test puts into its folder `bin`.
fn desk() -> Desk {
    let desk = Desk::new();
    desk.experiment("tiny", TINY);
    fs::create_dir(desk.path().join("bin")).unwrap();
    desk
}

fn stand_in(desk: &Desk, name: &str, body: &str) {
    let path = desk.path().join("bin").join(name);
    fs::write(&path, format!("#!/bin/sh\necho \"{name} $*\" >>{}/asked\n{body}\n", desk.path().display()))
        .unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// With nothing on the path but the stand-ins and a shell's own programs.
fn show(desk: &Desk, arguments: &[&str]) -> (i32, String) {
    let mut command: Command = desk.command(arguments);
    let output = command.env("PATH", desk.path().join("bin")).output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), text)
}

fn asked(desk: &Desk) -> String {
    fs::read_to_string(desk.path().join("asked")).unwrap_or_default()
}

const SUBMIT: [&str; 5] = ["submit", "experiments/tiny", "--slurm", "--workers", "5"];
const STATUS: [&str; 2] = ["status", "experiments/tiny"];

#[test]
fn arrays_are_submitted_as_large_as_slurm_takes_and_their_jobs_are_kept() {
    let desk = desk();
    stand_in(&desk, "scontrol", "echo 'MaxArraySize            = 3'");
    stand_in(&desk, "sbatch", "echo \"4$(grep -c sbatch asked);cluster\"");
    // Called by the stand-in.
    let grep = ["/usr/bin/grep", "/bin/grep"].into_iter().find(|path| fs::exists(path).unwrap()).unwrap();
    std::os::unix::fs::symlink(grep, desk.path().join("bin/grep")).unwrap();
    let more =
        [&SUBMIT[..], &["--at-once", "2", "--slurm-args=--time=12:00:00", "--slurm-args=--partition=a"]];
    let (code, text) = show(&desk, &more.concat());
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("Slurm job 41: 3 workers") && text.contains("Slurm job 42: 2 workers"), "{text}");
    let jobs = fs::read_to_string(desk.path().join("results/tiny/slurm/jobs.json")).unwrap();
    let jobs: serde_json::Value = serde_json::from_str(&jobs).unwrap();
    assert_eq!(jobs["jobs"], serde_json::json!(["41", "42"]));
    let script = fs::read_to_string(desk.path().join("results/tiny/slurm/job-0.sh")).unwrap();
    for expected in [
        "#SBATCH --array=0-2%2\n",
        "/slurm/%A_%a.log\n",
        "#SBATCH --signal=B:USR1@120\n",
        "#SBATCH --requeue\n",
        "#SBATCH --time=12:00:00\n",
        "#SBATCH --partition=a\n",
        "--expect-plan ",
        "scontrol requeue",
    ] {
        assert!(script.contains(expected), "{expected}: {script}");
    }
    // The shell that Slurm gives it to takes it.
    let path = desk.path().join("results/tiny/slurm/job-0.sh");
    assert!(Command::new("sh").arg("-n").arg(path).status().unwrap().success());
    stand_in(&desk, "scancel", "");
    let (code, text) = show(&desk, &["cancel", "experiments/tiny"]);
    assert_eq!((code, text.contains("cancelled 41, 42")), (0, true), "{text}");
    assert!(asked(&desk).contains("scancel 41 42\n"), "{}", asked(&desk));
}

#[test]
fn what_slurm_refuses_or_lacks_is_told() {
    let desk = desk();
    let (code, text) = show(&desk, &SUBMIT);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("cannot start `sbatch`") && text.contains("`--dry-run`"), "{text}");
    let (code, text) = show(&desk, &["cancel", "experiments/tiny"]);
    assert_eq!((code, text.contains("no job was submitted")), (0, true), "{text}");
    stand_in(&desk, "sbatch", "echo 'sbatch: error: invalid partition specified: gpu' >&2; exit 1");
    let (code, text) = show(&desk, &SUBMIT);
    assert_eq!((code, text.contains("invalid partition specified: gpu")), (2, true), "{text}");
    // The scripts can be had without a Slurm, and leave nothing behind.
    let other = Desk::new();
    other.experiment("tiny", TINY);
    let (code, text) = show(&other, &[&SUBMIT[..], &["--dry-run"]].concat());
    assert_eq!((code, text.contains("#SBATCH --array=0-4\n")), (0, true), "{text}");
    assert!(!other.path().join("results").exists());
}

#[test]
fn status_joins_the_store_with_the_queue_and_with_accounting() {
    let desk = desk();
    fs::create_dir_all(desk.path().join("results/tiny/slurm")).unwrap();
    fs::write(desk.path().join("results/tiny/slurm/jobs.json"), r#"{"jobs":["41","42"]}"#).unwrap();
    // No Slurm at all: the store alone.
    let (code, text) = show(&desk, &STATUS);
    assert_eq!((code, text.contains("Slurm job"), text.contains("hint: ")), (0, false, true), "{text}");
    stand_in(&desk, "squeue", "echo '41_[4-6]|PENDING|Resources'; echo '41_0|RUNNING|node8'");
    let (_, text) = show(&desk, &STATUS);
    assert!(text.contains("  Slurm job 41_0: running node8\n"), "{text}");
    assert!(text.contains("  Slurm job 41_[4-6]: pending Resources\n"), "{text}");
    assert!(!text.contains("hint: "), "Slurm will begin what waits: {text}");
    assert!(asked(&desk).contains("squeue -h -t all -j 41,42 -o "), "{}", asked(&desk));
    let lines = "41_0|PREEMPTED|0:0|node7\n41_0|RUNNING|0:0|node8\n41_1|OUT_OF_MEMORY|0:125|node7\n\
                 41_2|TIMEOUT|0:0|node7\n41_3|COMPLETED|0:0|node7\n42|FAILED|2:0|node7";
    stand_in(&desk, "sacct", &format!("echo '{lines}'"));
    let (_, text) = show(&desk, &STATUS);
    for line in [
        "Slurm job 41_0: running node8, preempted once",
        "Slurm job 41_1: out of memory on node7",
        "Slurm job 41_2: timeout on node7",
        "Slurm job 42: failed on node7 with exit code 2",
    ] {
        assert!(text.contains(&format!("  {line}\n")), "{line}: {text}");
    }
    assert!(!text.contains("41_3"), "{text}");
    let (_, text) = show(&desk, &["status", "experiments/tiny", "--json"]);
    let page: serde_json::Value = serde_json::from_str(&text).unwrap();
    let told =
        serde_json::json!({"id": "41_1", "state": "OUT_OF_MEMORY", "reason": "on node7", "preempted": 0});
    assert_eq!(page["jobs"][1], told);
    assert_eq!(page["jobs"][0]["preempted"], 1);
    // Accounting is disabled, and the controller is away.
    stand_in(&desk, "sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1");
    let (code, text) = show(&desk, &STATUS);
    assert_eq!((code, text.contains("Slurm job 41_0: running node8\n")), (0, true), "{text}");
    stand_in(&desk, "squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1");
    let (code, text) = show(&desk, &STATUS);
    assert_eq!((code, text.contains("Slurm job")), (0, false), "{text}");
}
