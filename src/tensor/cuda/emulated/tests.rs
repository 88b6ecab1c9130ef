//! The emulation itself: barriers, shuffles, shared memory, and the faults that it finds.
use super::super::device::Argument;
use super::*;

/// Compiles and runs `kernel` of `text` over `data`.
fn run(text: &str, kernel: &str, grid: u32, block: u32, shared: u32, data: &mut [f32]) -> Result<(), String> {
    type Entry = unsafe extern "C" fn(*const u32, u32, u32, *mut *mut c_void) -> *const c_char;
    let library = library_of("test", text).map_err(|error| error.to_string())?;
    let mut word = Argument::Address(data.as_mut_ptr() as u64).word();
    let mut pointers = [std::ptr::from_mut(&mut word).cast::<c_void>()];
    let name = format!("emulate_{kernel}");
    // SAFETY: the kernels below take one pointer to as many floats as their threads index.
    let fault = unsafe {
        let entry = library.get::<Entry>(name.as_bytes()).unwrap();
        let fault = entry([grid, 1, 1].as_ptr(), block, shared, pointers.as_mut_ptr());
        (!fault.is_null()).then(|| CStr::from_ptr(fault).to_string_lossy().into_owned())
    };
    fault.map_or(Ok(()), Err)
}

const TEXT: &str = r#"
extern "C" __global__ void reverse_blocks(float *x) {
    DYNAMIC_SHARED(bytes);
    float *tile = reinterpret_cast<float *>(bytes);
    int at = blockIdx.x * blockDim.x;
    tile[threadIdx.x] = x[at + threadIdx.x];
    __syncthreads();
    x[at + threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
}
extern "C" __global__ void sum_of_warp(float *x) {
    float sum = x[threadIdx.x];
    for (int d = 16; d > 0; d /= 2) sum += __shfl_xor_sync(0xffffffff, sum, d);
    // Different types in turn: what one exchange leaves must not disturb the next.
    int lane = __shfl_sync(0xffffffff, (int)threadIdx.x, 5);
    double twice = __shfl_down_sync(0xffffffff, 2.0 * threadIdx.x, 1);
    x[threadIdx.x] = sum + 1000.0f * lane + 0.25f * (float)twice;
}
extern "C" __global__ void __launch_bounds__(64) static_shared(float *x) {
    __shared__ float first[2];
    for (int round = 0; round < 3; ++round) {
        if (threadIdx.x % 32 == 0) first[threadIdx.x / 32] = x[threadIdx.x];
        __syncthreads();
        float other = first[1 - threadIdx.x / 32];
        __syncthreads();
        x[threadIdx.x] += other;
    }
}
extern "C" __global__ void forgets_some_threads(float *x) {
    if (threadIdx.x < 40) __syncthreads();
    x[threadIdx.x] = 0;
}
extern "C" __global__ void forgets_some_lanes(float *x) {
    if (threadIdx.x != 3) x[threadIdx.x] = __shfl_sync(0xffffffff, x[threadIdx.x], 0);
}
extern "C" __global__ void writes_too_far(float *x) {
    DYNAMIC_SHARED(bytes);
    reinterpret_cast<float *>(bytes)[blockDim.x + 150 + threadIdx.x] = x[threadIdx.x];
}
"#;

#[test]
fn threads_meet_at_barriers_and_exchange_what_they_hold() {
    if EmulatedDevice::new().is_none() {
        return;
    }
    let mut x: Vec<f32> = (0..12).map(|i| i as f32).collect();
    run(TEXT, "reverse_blocks", 3, 4, 16, &mut x).unwrap();
    assert_eq!(x, [3., 2., 1., 0., 7., 6., 5., 4., 11., 10., 9., 8.]);

    let mut x: Vec<f32> = (0..64).map(|i| i as f32).collect();
    run(TEXT, "sum_of_warp", 1, 64, 0, &mut x).unwrap();
    for (i, &x) in x.iter().enumerate() {
        let warp = i / 32;
        let sum = (496 + 1024 * warp) as f32;
        let next = if i % 32 == 31 { i } else { i + 1 };
        assert_eq!(x, sum + 1000.0 * (32 * warp + 5) as f32 + 0.5 * next as f32, "lane {i}");
    }

    // Rounds: (0, 32) → both gain the other's first: (32, 32) → (64, 64) → (128, 128); thread i starts at i.
    let mut x: Vec<f32> = (0..64).map(|i| i as f32).collect();
    run(TEXT, "static_shared", 1, 64, 0, &mut x).unwrap();
    for (i, &x) in x.iter().enumerate() {
        assert_eq!(x, i as f32 + if i < 32 { 32.0 + 32.0 + 64.0 } else { 0.0 + 32.0 + 64.0 }, "thread {i}");
    }
}

#[test]
fn faults_are_found() {
    if EmulatedDevice::new().is_none() {
        return;
    }
    let mut x = vec![0.0; 64];
    let fault = run(TEXT, "forgets_some_threads", 1, 64, 0, &mut x).unwrap_err();
    assert_eq!(fault, "__syncthreads is not reached by every thread of the block");
    let fault = run(TEXT, "forgets_some_lanes", 1, 32, 0, &mut x).unwrap_err();
    assert_eq!(fault, "a warp's barrier or shuffle is not reached by all of its lanes");
    let fault = run(TEXT, "writes_too_far", 1, 32, 128, &mut x).unwrap_err();
    assert_eq!(fault, "dynamic shared memory is written beyond its end");
    let error = library_of("test", "__global__ void f() { undefined_name(); }").err().unwrap().to_string();
    assert!(error.contains("undefined_name"), "{error}");
}

#[test]
fn memory_has_an_end_and_a_limit() {
    let Some(device) = EmulatedDevice::with_memory(1000) else { return };
    let memory = device.allocate(600).unwrap();
    let refused = device.allocate(500).err().unwrap();
    assert_eq!(refused, DeviceError::OutOfMemory { asked: 500, free: 400 });
    drop(memory);
    let memory = device.allocate(1000).unwrap();
    // SAFETY: within the allocation's red zone, which belongs to it.
    unsafe { (device.address(&memory) as *mut u8).add(1000).write(0) };
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(memory)));
    assert!(caught.is_err());
    assert_eq!(device.allocations(), 2);
}
