//! The program on CUDA without a GPU: whole experiments through the driver, cuBLASLt and NCCL, which stand-ins take the
//! place of (`src/tensor/cuda/emulated/libraries.rs`).
use crate::cli::Desk;
use crate::engines::{agree, cells};
use std::path::Path;
use std::process::Command;

#[path = "../../src/tensor/cuda/emulated/libraries.rs"]
mod libraries;

const TINY: &str = include_str!("../fixtures/tiny.toml");

/// The tiny experiment with `[engine]` as given, short enough for kernels that are emulated.
fn short(engine: &str) -> String {
    let changes = [
        ("kind = \"cpu\"\nworkers = 2", engine),
        ("[source]\ntokens = 16_384", "[source]\ntokens = 2_048"),
        ("prune_tokens = 4_096", "prune_tokens = 512"),
        ("[budget]\ntokens = 8_192", "[budget]\ntokens = 1_024"),
        ("calibration_tokens = 1_024", "calibration_tokens = 256"),
        ("items = 3", "items = 2\ntasks = [\"piqa\", \"boolq\"]"),
    ];
    changes.iter().fold(TINY.to_string(), |text, (from, to)| {
        assert!(text.contains(from), "the experiment no longer contains {from}");
        text.replacen(from, to, 1)
    })
}

/// The program at `desk` with the stand-ins; none without a C++ compiler.
fn program(desk: &Desk, arguments: &[&str]) -> Option<Command> {
    let mut command = libraries::with_stand_ins(Path::new(env!("CARGO_BIN_EXE_efficientllm")))?;
    command.current_dir(desk.path()).args(arguments).env("COLUMNS", "100").env_remove("RUST_LOG");
    Some(command)
}

/// Runs `text` as experiment `name` into the results folder of that name; what it says on standard error.
fn run(desk: &Desk, name: &str, text: &str, settings: &[(&str, &str)]) -> Option<String> {
    desk.experiment(name, text);
    let arguments = ["run", &format!("experiments/{name}"), "--results", name, "--quiet"];
    let output = program(desk, &arguments)?.envs(settings.iter().copied()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!told.contains("stand-in lib"), "a rule of CUDA was broken:\n{told}");
    assert!(output.status.success(), "{told}");
    Some(told)
}

/// Every arm: the groups that go are those of the CPU engine, losses differ by the order of sums alone.
#[test]
fn every_arm_runs_on_one_device_and_on_two_to_the_results_of_the_processor() {
    let desk = Desk::new();
    run(&desk, "cpu", &short("kind = \"cpu\""), &[]);
    let cuda = "kind = \"cuda\"\nprecision = \"f32\"\nworkers = 1";
    let Some(_) = run(&desk, "cuda", &short(cuda), &[]) else { return };
    agree(&desk, ["cpu", "cuda"]);
    let ranks = format!("{cuda}\ndevices = [0, 1]\ndata_parallel = 2");
    run(&desk, "ranks", &short(&ranks), &[("STAND_IN_DEVICES", "2")]);
    agree(&desk, ["cpu", "ranks"]);
    for (results, devices) in [("cuda", "stand-in (0)"), ("ranks", "stand-in (0, 1)")] {
        let told = cells(&desk.path().join(results), "runs.csv", &["arm"], "devices");
        assert!(!told.is_empty() && told.iter().all(|(_, cell)| cell == devices), "{told:?}");
    }
}

/// Runs that share a device do not see one another.
#[test]
fn two_runs_at_once_on_one_device_give_what_each_gives_alone() {
    let desk = Desk::new();
    let engine = |workers: usize| format!("kind = \"cuda\"\nworkers = {workers}\ndevices = [0]");
    for (name, workers) in [("one", 1), ("two", 2)] {
        let text = short(&engine(workers)).replace("seeds = [1]", "seeds = [1, 2]");
        let Some(_) = run(&desk, name, &text[..text.find("[[arms]]\narm = \"one_shot\"").unwrap()], &[])
        else {
            return;
        };
    }
    for (table, keys, column) in [
        ("curves.csv", &["step"][..], "loss"),
        ("items.csv", &["arm", "task", "item", "choice"][..], "loglik"),
    ] {
        let [one, two] = ["one", "two"].map(|results| cells(&desk.path().join(results), table, keys, column));
        assert!(!one.is_empty() && one == two, "{table}");
    }
}

/// A device that holds half a micro-batch gets half at once; one that does not hold a sequence costs its rows, not the sweep.
#[test]
fn a_device_without_memory_halves_the_micro_batch_and_keeps_the_row() {
    let desk = Desk::new();
    let text = short("kind = \"cuda\"\nprecision = \"f32\"\nworkers = 1");
    let text = &text[..text.find("[[arms]]\narm = \"pruning_aware\"").unwrap()];
    let Some(_) = run(&desk, "all", text, &[]) else { return };
    let needed: u64 =
        cells(&desk.path().join("all"), "runs.csv", &["arm"], "peak_memory_bytes")[0].1.parse().unwrap();
    // The device holds the workspace of products, too.
    let most = (32 << 20) + needed;
    let cramped = (most - needed / 8).to_string();
    let told = run(&desk, "half", text, &[("STAND_IN_MEMORY", &cramped)]).unwrap();
    assert!(
        told.contains("out of device memory: asked for ") && told.contains("; going on with 2 sequences"),
        "{told}"
    );
    let of = |results: &str, column: &str| cells(&desk.path().join(results), "runs.csv", &["arm"], column);
    assert_eq!(of("half", "sequences_at_once"), [("source".to_string(), "2".to_string())]);
    assert_eq!(of("half", "status"), of("all", "status"));

    desk.experiment("none", text);
    let none = ((32 << 20) + needed / 8).to_string();
    let mut command = program(&desk, &["run", "experiments/none", "--results", "none", "--quiet"]).unwrap();
    let output = command.env("STAND_IN_MEMORY", none).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains("hint: lower `train.micro_batch`"), "{told}");
    assert_eq!(of("none", "status"), [("source".to_string(), "failed".to_string())]);
    assert!(of("none", "reason")[0].1.contains("out of device memory"), "{:?}", of("none", "reason"));
}

/// What the program says of the machine, and of a device that it cannot use.
#[test]
fn doctor_names_what_it_found_and_an_old_device_is_refused() {
    let desk = Desk::new();
    let told = |settings: &[(&str, &str)], arguments: &[&str]| {
        let output = program(&desk, arguments)?.envs(settings.iter().copied()).output().unwrap();
        Some([output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat())
    };
    let Some(doctor) = told(&[("STAND_IN_DEVICES", "2"), ("STAND_IN_MEMORY", "8000000000")], &["doctor"])
    else {
        return;
    };
    for expected in [
        "CUDA driver   found, for CUDA 13.0",
        "NVRTC         found, 13.0",
        "cuBLASLt      found, 13.0.0",
        "NCCL          found, 2.27.0",
        "CUDA device 1 stand-in, compute capability 9.0, 8.00 GB, 8.00 GB free",
        "auto is       cuda",
    ] {
        assert!(doctor.contains(expected), "{expected}:\n{doctor}");
    }
    desk.experiment("old", &short("kind = \"cuda\""));
    let refused = told(&[("STAND_IN_CAPABILITY", "7.5")], &["run", "experiments/old", "--quiet"]).unwrap();
    assert!(refused.contains("compute capability"), "{refused}");
    desk.experiment("beyond", &short("kind = \"cuda\"\ndevices = [3]"));
    let refused = told(&[], &["run", "experiments/beyond", "--quiet"]).unwrap();
    assert!(refused.contains("device 3") && refused.contains("hint: "), "{refused}");
}
