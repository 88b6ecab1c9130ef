//! The driver's side of the engine: without a GPU, and on stand-ins for CUDA's libraries, with which it is executed whole.
use super::*;
use crate::tensor::cuda::emulated::libraries::with_stand_ins;
use crate::tensor::cuda::probe::CudaProbe;

/// On a machine without a GPU, opening one is an error that names the remedy, never a panic.
#[test]
fn opening_a_device_that_is_not_there_names_the_remedy() {
    let probe = CudaProbe::new();
    let count = probe.devices.as_ref().map_or(0, Vec::len);
    let error = CudaDevice::open(count).err().expect("there are no more devices").to_string();
    assert!(error.contains("\nhint: "), "{error}");
    if probe.driver.is_none() {
        assert!(error.starts_with("libcuda cannot be loaded"), "{error}");
    } else if probe.is_usable() {
        assert!(error.starts_with(&format!("there is no CUDA device {count}")), "{error}");
    }
}

/// Runs tests of this program again, in a process that finds the stand-ins; they must pass and not skip.
fn passes_on_stand_ins(filter: &str, settings: &[(&str, &str)]) {
    let program = std::env::current_exe().expect("this program has a path");
    let Some(mut command) = with_stand_ins(&program) else { return };
    let output = command
        .args([filter, "--nocapture", "--test-threads", "1"])
        .env("EFFICIENTLLM_REQUIRE_DEVICE", "1")
        .envs(settings.iter().copied())
        .output()
        .expect("the tests run");
    let told =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success() && !told.contains("running 0 tests"), "{told}");
    assert!(!told.contains("skipped") && !told.contains("stand-in lib"), "{told}");
}

#[test]
fn operations_conform_through_the_driver() {
    passes_on_stand_ins("on_device::operations_conform", &[]);
}

/// Threads, warps and blocks from the last to the first: what a race decides comes out otherwise.
#[test]
fn operations_do_not_depend_on_the_order_of_threads() {
    passes_on_stand_ins("on_device::operations_conform", &[("EMULATION_ORDER", "reverse")]);
}

#[test]
fn every_arm_trains_by_graphs_of_the_driver() {
    passes_on_stand_ins("train::on_device::first_steps", &[]);
}

#[test]
fn sums_over_ranks_go_through_nccl() {
    passes_on_stand_ins("nccl::tests::the_sum", &[]);
}
