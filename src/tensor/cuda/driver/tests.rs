//! The driver's side of the engine: without a GPU, and on stand-ins for CUDA's libraries, with which it is executed whole.
use super::*;
use crate::tensor::cuda::emulated::libraries::with_stand_ins;
use crate::tensor::cuda::probe::CudaProbe;
use std::path::PathBuf;
use std::process::Command;

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

/// This program, to be run again in a process that finds the stand-ins; none without a C++ compiler.
fn again(filter: &str) -> Option<Command> {
    let mut command = with_stand_ins(&std::env::current_exe().expect("this program has a path"))?;
    command.args([filter, "--nocapture", "--test-threads", "1"]).env("EFFICIENTLLM_REQUIRE", "device");
    Some(command)
}

/// The tests that it is asked for pass and do not skip, and no rule of CUDA is broken.
fn passes(command: &mut Command) {
    let output = command.output().expect("the tests run");
    let told =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success() && !told.contains("running 0 tests"), "{told}");
    assert!(!told.contains("skipped") && !told.contains("stand-in lib"), "{told}");
}

#[test]
fn operations_conform_through_the_driver() {
    let Some(mut command) = again("on_device::operations_conform") else { return };
    passes(&mut command);
}

/// Threads, warps and blocks from the last to the first: what a race decides comes out otherwise.
#[test]
fn operations_do_not_depend_on_the_order_of_threads() {
    let Some(mut command) = again("on_device::operations_conform") else { return };
    passes(command.env("EMULATION_ORDER", "reverse"));
}

/// Kernels compiled with AddressSanitizer: no operation, no step and no generated token reads or writes beyond the memory that
/// it was given, to the byte up to which the pool rounds.
#[test]
fn kernels_stay_within_memory() {
    let Some(mut command) = again("on_device::") else { return };
    let named = Command::new("c++").arg("-print-file-name=libasan.so").output().expect("`c++` ran before");
    let library = PathBuf::from(String::from_utf8_lossy(&named.stdout).trim());
    let options = "detect_leaks=0:detect_stack_use_after_return=0:verify_asan_link_order=0";
    let cache = command.get_envs().find(|(name, _)| *name == "XDG_CACHE_HOME").and_then(|(_, folder)| folder);
    let cache = PathBuf::from(cache.expect("stand-ins keep kernels")).join("sanitized");
    command
        .env("LD_PRELOAD", &library)
        .env("ASAN_OPTIONS", options)
        .env("STAND_IN_SANITIZE", "1")
        .env("XDG_CACHE_HOME", cache)
        // Two thousand tokens of context and fifty steps take minutes, and go no other ways than these.
        .args(["--skip", "many_shapes", "--skip", "trajectories"]);
    let works = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    let mut probe = Command::new("c++");
    if !library.is_absolute()
        || !works(probe.arg("--version").env("LD_PRELOAD", &library).env("ASAN_OPTIONS", options))
    {
        crate::base::requirement::skip("asan", "AddressSanitizer is not here or does not run");
        return;
    }
    passes(&mut command);
}

#[test]
fn every_arm_trains_by_graphs_of_the_driver() {
    let Some(mut command) = again("train::on_device::first_steps") else { return };
    passes(&mut command);
}

#[test]
fn sums_over_ranks_go_through_nccl() {
    let Some(mut command) = again("nccl::tests::the_sum") else { return };
    passes(&mut command);
}

#[test]
fn memory_is_freed_between_the_captures_of_other_threads() {
    let Some(mut command) = again("driver::tests::on_device_a_capture") else { return };
    passes(&mut command);
}

/// Two runs share a device, and the memory of one is freed while the other captures: neither breaks a rule of CUDA.
#[test]
fn on_device_a_capture_and_a_free_take_turns() {
    let [one, other] = match [CudaDevice::open(0), CudaDevice::open(0)] {
        [Ok(one), Ok(other)] => [one, other],
        [Err(error), _] | [_, Err(error)] => {
            return crate::base::requirement::skip("device", &error.to_string());
        }
    };
    let captured = one.allocate(4).unwrap();
    let freed = other.allocate(4).unwrap();
    // SAFETY: four bytes of live memory, and nobody else uses the stream.
    unsafe { one.upload(captured.address, &[1; 4]) }.unwrap();
    let (begun, begins) = std::sync::mpsc::channel();
    let graph = std::thread::scope(|scope| {
        scope.spawn(move || {
            begins.recv().unwrap();
            drop(freed);
        });
        one.context.enter().unwrap();
        CudaGraph::capture(&one.context, || {
            begun.send(()).unwrap();
            // Time enough for the other thread to reach its call.
            std::thread::sleep(std::time::Duration::from_millis(200));
            // SAFETY: as above.
            unsafe { one.zero(captured.address, 4) }
        })
        .unwrap()
    });
    let mut bytes = [2; 4];
    // SAFETY: as above.
    unsafe {
        one.replay(&graph).unwrap();
        one.download(captured.address, &mut bytes).unwrap();
    }
    assert_eq!(bytes, [0; 4]);
}
