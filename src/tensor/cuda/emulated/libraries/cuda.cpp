// Stands in for libcuda: the functions of the CUDA driver that the engine calls, on the host, with the strictness of the real
// one and some more, so that everything between the engine and the driver is executed on machines without a GPU.
//
// What is asked of a stream is done by a thread of its own, as late as is allowed: when somebody waits for it, or after
// a few milliseconds. Whoever reads a result without waiting, or changes an upload's source too early, is found out.
// Memory is host memory, full of NaNs when new and followed by a red zone. Modules are shared objects that the stand-in for
// libnvrtc made. Every breach of a rule is told on standard error and returned as the driver would return it.
//
//   STAND_IN_DEVICES   devices (1)        STAND_IN_CAPABILITY   compute capability (9.0)
//   STAND_IN_MEMORY    bytes of each device (16 GiB)
//   STAND_IN_SANITIZE  set where AddressSanitizer is loaded: it guards the ends of memory instead of red zones, from reads too
#include "stand_in.h"

#include <elf.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#if __has_include(<cuda.h>)
#include <cuda.h> // where the toolkit is installed, its own declarations check these definitions
#else
typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;
typedef struct CUevent_st *CUevent;
typedef struct CUgraph_st *CUgraph;
typedef struct CUgraphExec_st *CUgraphExec;
typedef unsigned long long cuuint64_t;
enum CUresult {
    CUDA_SUCCESS = 0,
    CUDA_ERROR_INVALID_VALUE = 1,
    CUDA_ERROR_OUT_OF_MEMORY = 2,
    CUDA_ERROR_NOT_INITIALIZED = 3,
    CUDA_ERROR_INVALID_DEVICE = 101,
    CUDA_ERROR_INVALID_IMAGE = 200,
    CUDA_ERROR_INVALID_CONTEXT = 201,
    CUDA_ERROR_ILLEGAL_STATE = 401,
    CUDA_ERROR_NOT_FOUND = 500,
    CUDA_ERROR_NOT_READY = 600,
    CUDA_ERROR_LAUNCH_FAILED = 719,
    CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED = 900,
    CUDA_ERROR_STREAM_CAPTURE_INVALIDATED = 901,
};
enum CUdevice_attribute {
    CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT = 16,
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75,
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76,
};
enum CUfunction_attribute { CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8 };
enum CUstreamCaptureMode { CU_STREAM_CAPTURE_MODE_GLOBAL = 0, CU_STREAM_CAPTURE_MODE_RELAXED = 2 };
enum CUstreamCaptureStatus { CU_STREAM_CAPTURE_STATUS_NONE = 0, CU_STREAM_CAPTURE_STATUS_ACTIVE = 1 };
#define CUDAAPI
#endif

namespace {

const size_t ALIGNMENT = 256;
const size_t RED_ZONE = std::getenv("STAND_IN_SANITIZE") ? 0 : 256;
const unsigned char RED = 0xa5;
const size_t PLAIN_SHARED_BYTES = 48 << 10, MOST_SHARED_BYTES = 227 << 10;
/// How long what was asked may lie before it is done unasked.
const std::chrono::milliseconds PATIENCE(3);

CUresult fault(CUresult code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    std::fputs("stand-in libcuda: ", stderr);
    std::vfprintf(stderr, format, arguments);
    std::fputc('\n', stderr);
    va_end(arguments);
    return code;
}

long setting(const char *name, long otherwise) {
    const char *value = std::getenv(name);
    return value ? std::atol(value) : otherwise;
}

struct Device {
    size_t used = 0;
    int retained = 0;
};

/// What a call wants done in its turn; what went wrong, or null.
using Work = std::function<const char *()>;

} // namespace

struct CUctx_st {
    int device;
};
struct CUmod_st {
    void *library;
    CUcontext context;
    std::atomic<int> waiting{0}; // launches that are still to be done
};
struct CUfunc_st {
    CUmodule module;
    std::string name;
    stand_in_entry entry;
    std::vector<size_t> sizes; // of the parameters
    size_t shared_bytes = PLAIN_SHARED_BYTES;
};
struct CUgraph_st {
    std::vector<Work> work;
};
struct CUgraphExec_st {
    std::shared_ptr<const std::vector<Work>> work;
};
struct CUevent_st {
    CUstream stream = nullptr;
    uint64_t after = 0; // work of the stream that must be done
};

/// A queue and the thread that works on it.
struct CUstream_st {
    CUcontext context;
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<Work> queue;
    uint64_t asked = 0, done = 0;
    int waiters = 0;
    bool ends = false;
    std::string wrong; // the first thing that failed: the stream is of no use any more
    std::unique_ptr<CUgraph_st> capture;
    bool spoilt = false; // the capture
    std::thread thread;

    explicit CUstream_st(CUcontext of) : context(of), thread([this] { run(); }) {}
    ~CUstream_st() {
        {
            std::lock_guard<std::mutex> lock(mutex);
            ends = true;
        }
        changed.notify_all();
        thread.join();
    }

    void run() {
        std::unique_lock<std::mutex> lock(mutex);
        for (;;) {
            changed.wait(lock, [this] { return ends || !queue.empty(); });
            if (queue.empty()) return;
            if (!ends) changed.wait_for(lock, PATIENCE, [this] { return ends || waiters > 0; });
            while (!queue.empty()) {
                Work work = std::move(queue.front());
                queue.pop_front();
                lock.unlock();
                const char *what = work();
                lock.lock();
                if (what && wrong.empty()) {
                    wrong = what;
                    fault(CUDA_ERROR_LAUNCH_FAILED, "%s", what);
                }
                ++done;
                changed.notify_all();
            }
        }
    }

    /// Under the lock.
    void ask(Work work) {
        if (capture) {
            capture->work.push_back(std::move(work));
        } else {
            queue.push_back(std::move(work));
            ++asked;
            changed.notify_all();
        }
    }

    CUresult wait(uint64_t until) {
        std::unique_lock<std::mutex> lock(mutex);
        if (capture) {
            spoilt = true;
            return fault(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "a wait for a stream that is being captured");
        }
        ++waiters;
        changed.notify_all();
        changed.wait(lock, [&] { return done >= until; });
        --waiters;
        return wrong.empty() ? CUDA_SUCCESS : CUDA_ERROR_LAUNCH_FAILED;
    }

    uint64_t so_far() {
        std::lock_guard<std::mutex> lock(mutex);
        return asked;
    }
};

namespace {

/// Everything that lives; behind `mutex`.
struct World {
    std::mutex mutex;
    bool initialised = false;
    std::vector<Device> devices;
    std::map<int, CUcontext> contexts;
    std::map<CUdeviceptr, std::pair<size_t, int>> memory; // bytes and device by address
    std::map<uintptr_t, size_t> pinned;
    std::vector<CUstream> streams;
};

World &world() {
    static World *the_world = new World; // never destroyed: threads may outlive main
    return *the_world;
}

thread_local CUcontext current = nullptr;
/// The stream that this thread captures in a mode that forbids it calls which might wait.
thread_local CUstream captures = nullptr;

CUresult live_context() {
    if (!world().initialised) return fault(CUDA_ERROR_NOT_INITIALIZED, "a call before cuInit");
    if (!current) return fault(CUDA_ERROR_INVALID_CONTEXT, "a call without a current context");
    return CUDA_SUCCESS;
}

/// As `live_context`, for a call that no capture allows.
CUresult unsafe_in_capture(const char *call) {
    if (captures) {
        captures->spoilt = true;
        return fault(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "%s during a capture", call);
    }
    return live_context();
}

CUresult live_stream(CUstream stream) {
    if (CUresult result = live_context()) return result;
    if (!stream) return fault(CUDA_ERROR_INVALID_VALUE, "the default stream, which the engine never means");
    if (stream->context != current) return fault(CUDA_ERROR_INVALID_CONTEXT, "a stream of another context");
    return CUDA_SUCCESS;
}

/// Whether `bytes` at `address` lie in one block of the current device.
bool inside(CUdeviceptr address, size_t bytes) {
    World &all = world();
    std::lock_guard<std::mutex> lock(all.mutex);
    auto after = all.memory.upper_bound(address);
    if (after == all.memory.begin()) return false;
    auto &[start, block] = *--after;
    return address + bytes <= start + block.first && block.second == current->device;
}

bool is_pinned(const void *address, size_t bytes) {
    World &all = world();
    std::lock_guard<std::mutex> lock(all.mutex);
    uintptr_t at = reinterpret_cast<uintptr_t>(address);
    auto after = all.pinned.upper_bound(at);
    if (after == all.pinned.begin()) return false;
    auto &[start, size] = *--after;
    return at + bytes <= start + size;
}

CUresult ask(CUstream stream, Work work) {
    std::lock_guard<std::mutex> lock(stream->mutex);
    stream->ask(std::move(work));
    return CUDA_SUCCESS;
}

/// Waits for everything asked of the current context, as freeing memory does.
CUresult wait_for_all() {
    std::vector<CUstream> streams;
    {
        std::lock_guard<std::mutex> lock(world().mutex);
        for (CUstream stream : world().streams)
            if (stream->context == current) streams.push_back(stream);
    }
    CUresult first = CUDA_SUCCESS;
    for (CUstream stream : streams)
        if (CUresult result = stream->wait(stream->so_far()); result && !first) first = result;
    return first;
}

} // namespace

/// For the other stand-ins: has `work(data)` done in the stream's turn.
extern "C" int stand_in_enqueue(void *stream, const char *(*work)(void *), void *data, void (*release)(void *)) {
    CUstream of = static_cast<CUstream>(stream);
    if (CUresult result = live_stream(of)) return result;
    std::shared_ptr<void> owned(data, release);
    return ask(of, [work, owned] { return work(owned.get()); });
}
extern "C" int stand_in_inside(unsigned long long address, size_t bytes) { return current && inside(address, bytes); }

#define API extern "C" CUresult CUDAAPI

API cuInit(unsigned flags) {
    if (flags) return fault(CUDA_ERROR_INVALID_VALUE, "cuInit with flags");
    World &all = world();
    std::lock_guard<std::mutex> lock(all.mutex);
    all.initialised = true;
    all.devices.resize(setting("STAND_IN_DEVICES", 1));
    return CUDA_SUCCESS;
}
API cuDriverGetVersion(int *version) {
    *version = 13000;
    return CUDA_SUCCESS;
}
API cuDeviceGetCount(int *count) {
    if (!world().initialised) return fault(CUDA_ERROR_NOT_INITIALIZED, "cuDeviceGetCount before cuInit");
    *count = static_cast<int>(world().devices.size());
    return CUDA_SUCCESS;
}
API cuDeviceGet(CUdevice *device, int index) {
    if (!world().initialised) return fault(CUDA_ERROR_NOT_INITIALIZED, "cuDeviceGet before cuInit");
    if (index < 0 || index >= static_cast<int>(world().devices.size()))
        return fault(CUDA_ERROR_INVALID_DEVICE, "there is no device %d", index);
    *device = index;
    return CUDA_SUCCESS;
}
API cuDeviceGetName(char *name, int bytes, CUdevice) {
    std::snprintf(name, bytes, "stand-in");
    return CUDA_SUCCESS;
}
API cuDeviceTotalMem_v2(size_t *bytes, CUdevice) {
    *bytes = setting("STAND_IN_MEMORY", 16L << 30);
    return CUDA_SUCCESS;
}
API cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice) {
    const char *capability = std::getenv("STAND_IN_CAPABILITY");
    switch (static_cast<int>(attribute)) {
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = 2; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = capability ? capability[0] - '0' : 9; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = capability ? capability[2] - '0' : 0; break;
    default: *value = 0;
    }
    return CUDA_SUCCESS;
}

API cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
    World &all = world();
    std::lock_guard<std::mutex> lock(all.mutex);
    if (device < 0 || device >= static_cast<int>(all.devices.size())) return CUDA_ERROR_INVALID_DEVICE;
    ++all.devices[device].retained;
    CUcontext &of = all.contexts[device];
    if (!of) of = new CUctx_st{device};
    *context = of;
    return CUDA_SUCCESS;
}
API cuDevicePrimaryCtxRelease_v2(CUdevice device) {
    World &all = world();
    std::lock_guard<std::mutex> lock(all.mutex);
    if (all.devices[device].retained-- <= 0) return fault(CUDA_ERROR_INVALID_CONTEXT, "a context is released twice");
    return CUDA_SUCCESS;
}
API cuCtxSetCurrent(CUcontext context) {
    current = context;
    return CUDA_SUCCESS;
}
API cuCtxGetCurrent(CUcontext *context) {
    *context = current;
    return CUDA_SUCCESS;
}

API cuCtxSynchronize() {
    if (CUresult result = unsafe_in_capture("cuCtxSynchronize")) return result;
    return wait_for_all();
}

API cuMemGetInfo_v2(size_t *free, size_t *total) {
    if (CUresult result = live_context()) return result;
    std::lock_guard<std::mutex> lock(world().mutex);
    *total = setting("STAND_IN_MEMORY", 16L << 30);
    *free = *total - world().devices[current->device].used;
    return CUDA_SUCCESS;
}
API cuMemAlloc_v2(CUdeviceptr *address, size_t bytes) {
    if (CUresult result = unsafe_in_capture("cuMemAlloc")) return result;
    if (bytes == 0) return fault(CUDA_ERROR_INVALID_VALUE, "an allocation of nothing");
    World &all = world();
    std::lock_guard<std::mutex> lock(all.mutex);
    Device &device = all.devices[current->device];
    if (device.used + bytes > static_cast<size_t>(setting("STAND_IN_MEMORY", 16L << 30))) return CUDA_ERROR_OUT_OF_MEMORY;
    size_t whole = (bytes + RED_ZONE + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    unsigned char *start = static_cast<unsigned char *>(std::aligned_alloc(ALIGNMENT, whole));
    if (!start) return CUDA_ERROR_OUT_OF_MEMORY;
    std::memset(start, 0xff, bytes);
    std::memset(start + bytes, RED, RED_ZONE);
    device.used += bytes;
    *address = reinterpret_cast<CUdeviceptr>(start);
    all.memory[*address] = {bytes, current->device};
    return CUDA_SUCCESS;
}
API cuMemFree_v2(CUdeviceptr address) {
    if (CUresult result = unsafe_in_capture("cuMemFree")) return result;
    wait_for_all();
    World &all = world();
    std::lock_guard<std::mutex> lock(all.mutex);
    auto found = all.memory.find(address);
    if (found == all.memory.end() || found->second.second != current->device)
        return fault(CUDA_ERROR_INVALID_VALUE, "memory is freed that this context did not allocate");
    size_t bytes = found->second.first;
    unsigned char *start = reinterpret_cast<unsigned char *>(address);
    for (size_t i = 0; i < RED_ZONE; ++i)
        if (start[bytes + i] != RED) {
            fault(CUDA_ERROR_LAUNCH_FAILED, "%zu bytes were written beyond their end", bytes);
            std::abort();
        }
    std::free(start);
    all.devices[current->device].used -= bytes;
    all.memory.erase(found);
    return CUDA_SUCCESS;
}
API cuMemHostAlloc(void **address, size_t bytes, unsigned) {
    if (CUresult result = unsafe_in_capture("cuMemHostAlloc")) return result;
    *address = std::malloc(bytes);
    std::lock_guard<std::mutex> lock(world().mutex);
    world().pinned[reinterpret_cast<uintptr_t>(*address)] = bytes;
    return CUDA_SUCCESS;
}
API cuMemFreeHost(void *address) {
    if (CUresult result = unsafe_in_capture("cuMemFreeHost")) return result;
    wait_for_all();
    std::lock_guard<std::mutex> lock(world().mutex);
    if (!world().pinned.erase(reinterpret_cast<uintptr_t>(address)))
        return fault(CUDA_ERROR_INVALID_VALUE, "pinned memory is freed that was not allocated");
    std::free(address);
    return CUDA_SUCCESS;
}

API cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream stream) {
    if (CUresult result = live_stream(stream)) return result;
    if (!inside(to, bytes)) return fault(CUDA_ERROR_INVALID_VALUE, "an upload of %zu bytes beyond its target", bytes);
    if (is_pinned(from, bytes))
        return ask(stream, [=] { return std::memcpy(reinterpret_cast<void *>(to), from, bytes), nullptr; });
    // What is not pinned is copied aside before the call returns.
    std::vector<char> aside(static_cast<const char *>(from), static_cast<const char *>(from) + bytes);
    return ask(stream, [to, aside] { return std::memcpy(reinterpret_cast<void *>(to), aside.data(), aside.size()), nullptr; });
}
API cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream stream) {
    if (CUresult result = live_stream(stream)) return result;
    if (!inside(from, bytes)) return fault(CUDA_ERROR_INVALID_VALUE, "a download of %zu bytes beyond its source", bytes);
    ask(stream, [=] { return std::memcpy(to, reinterpret_cast<const void *>(from), bytes), nullptr; });
    // Into memory that is not pinned the copy has been made when the call returns.
    return is_pinned(to, bytes) ? CUDA_SUCCESS : stream->wait(stream->so_far());
}
API cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
    if (CUresult result = live_stream(stream)) return result;
    if (!inside(to, bytes) || !inside(from, bytes)) return fault(CUDA_ERROR_INVALID_VALUE, "a copy of %zu bytes beyond an end", bytes);
    if (to < from + bytes && from < to + bytes) return fault(CUDA_ERROR_INVALID_VALUE, "a copy onto itself");
    return ask(stream, [=] {
        return std::memcpy(reinterpret_cast<void *>(to), reinterpret_cast<const void *>(from), bytes), nullptr;
    });
}
API cuMemsetD8Async(CUdeviceptr at, unsigned char value, size_t bytes, CUstream stream) {
    if (CUresult result = live_stream(stream)) return result;
    if (!inside(at, bytes)) return fault(CUDA_ERROR_INVALID_VALUE, "%zu bytes are set beyond an end", bytes);
    return ask(stream, [=] { return std::memset(reinterpret_cast<void *>(at), value, bytes), nullptr; });
}

API cuStreamCreate(CUstream *stream, unsigned) {
    if (CUresult result = live_context()) return result;
    *stream = new CUstream_st(current);
    std::lock_guard<std::mutex> lock(world().mutex);
    world().streams.push_back(*stream);
    return CUDA_SUCCESS;
}
API cuStreamDestroy_v2(CUstream stream) {
    if (CUresult result = live_stream(stream)) return result;
    {
        std::lock_guard<std::mutex> lock(world().mutex);
        auto &streams = world().streams;
        for (size_t i = 0; i < streams.size(); ++i)
            if (streams[i] == stream) streams.erase(streams.begin() + i);
    }
    delete stream;
    return CUDA_SUCCESS;
}
API cuStreamSynchronize(CUstream stream) {
    if (CUresult result = live_stream(stream)) return result;
    return stream->wait(stream->so_far());
}
API cuStreamWaitEvent(CUstream stream, CUevent event, unsigned) {
    if (CUresult result = live_stream(stream)) return result;
    if (!event->stream) return CUDA_SUCCESS;
    CUstream other = event->stream;
    uint64_t after = event->after;
    return ask(stream, [other, after]() -> const char * {
        return other->wait(after) ? "the event waited for comes from a stream that failed" : nullptr;
    });
}

API cuEventCreate(CUevent *event, unsigned) {
    if (CUresult result = live_context()) return result;
    *event = new CUevent_st;
    return CUDA_SUCCESS;
}
API cuEventRecord(CUevent event, CUstream stream) {
    if (CUresult result = live_stream(stream)) return result;
    std::lock_guard<std::mutex> lock(stream->mutex);
    if (stream->capture) {
        stream->spoilt = true;
        return fault(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "an event of the host's in a capture");
    }
    event->stream = stream;
    event->after = stream->asked;
    return CUDA_SUCCESS;
}
API cuEventSynchronize(CUevent event) {
    if (CUresult result = unsafe_in_capture("cuEventSynchronize")) return result;
    return event->stream ? event->stream->wait(event->after) : CUDA_SUCCESS;
}
API cuEventDestroy_v2(CUevent event) {
    delete event;
    return CUDA_SUCCESS;
}

API cuModuleLoadData(CUmodule *module, const void *image) {
    if (CUresult result = unsafe_in_capture("cuModuleLoadData")) return result;
    Elf64_Ehdr header;
    std::memcpy(&header, image, sizeof header);
    if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return fault(CUDA_ERROR_INVALID_IMAGE, "the module is no ELF file");
    // The section headers end the files that linkers make.
    size_t bytes = header.e_shoff + size_t(header.e_shnum) * header.e_shentsize;
    char path[] = "/tmp/stand-in-module-XXXXXX";
    int file = mkstemp(path);
    bool written = file >= 0 && write(file, image, bytes) == static_cast<ssize_t>(bytes);
    void *library = written ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : nullptr;
    if (file >= 0) close(file), unlink(path);
    if (!library) return fault(CUDA_ERROR_INVALID_IMAGE, "%s", dlerror());
    *module = new CUmod_st{library, current};
    return CUDA_SUCCESS;
}
API cuModuleUnload(CUmodule module) {
    if (CUresult result = unsafe_in_capture("cuModuleUnload")) return result;
    if (module->waiting > 0) {
        fault(CUDA_ERROR_ILLEGAL_STATE, "a module is unloaded with %d launches to come", module->waiting.load());
        std::abort();
    }
    dlclose(module->library);
    delete module;
    return CUDA_SUCCESS;
}
API cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
    if (CUresult result = live_context()) return result;
    auto entry = reinterpret_cast<stand_in_entry>(dlsym(module->library, (std::string("emulate_") + name).c_str()));
    auto sizes = reinterpret_cast<stand_in_sizes>(dlsym(module->library, (std::string("sizes_of_") + name).c_str()));
    if (!entry || !sizes) return fault(CUDA_ERROR_NOT_FOUND, "there is no kernel `%s`", name);
    size_t count = 0;
    const size_t *of = sizes(&count);
    // Functions live as long as the process, as those of modules that stay loaded.
    *function = new CUfunc_st{module, name, entry, std::vector<size_t>(of, of + count)};
    return CUDA_SUCCESS;
}
API cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute, int value) {
    if (CUresult result = live_context()) return result;
    if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES || value < 0 || size_t(value) > MOST_SHARED_BYTES)
        return fault(CUDA_ERROR_INVALID_VALUE, "attribute %d of `%s` cannot be %d", int(attribute), function->name.c_str(), value);
    function->shared_bytes = value;
    return CUDA_SUCCESS;
}

API cuLaunchKernel(CUfunction f, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned block_y, unsigned block_z,
                   unsigned shared, CUstream stream, void **parameters, void **extra) {
    if (CUresult result = live_stream(stream)) return result;
    if (f->module->context != current) return fault(CUDA_ERROR_INVALID_CONTEXT, "`%s` is of another context", f->name.c_str());
    if (!x || !y || !z || x > 0x7fffffffu || y > 65535 || z > 65535 || !threads || threads > 1024 || block_y != 1 ||
        block_z != 1 || extra)
        return fault(CUDA_ERROR_INVALID_VALUE, "`%s` over %u×%u×%u blocks of %u", f->name.c_str(), x, y, z, threads);
    if (shared > f->shared_bytes)
        return fault(CUDA_ERROR_INVALID_VALUE, "`%s` with %u bytes of shared memory, more than allowed", f->name.c_str(), shared);
    auto words = std::make_shared<std::vector<std::vector<char>>>();
    for (size_t i = 0; i < f->sizes.size(); ++i) {
        const char *value = static_cast<const char *>(parameters[i]);
        words->emplace_back(value, value + f->sizes[i]);
    }
    // Counted until done, dropped or, in a graph, destroyed.
    std::shared_ptr<void> counted(f->module, [](void *module) { --static_cast<CUmodule>(module)->waiting; });
    ++f->module->waiting;
    return ask(stream, [=]() -> const char * {
        (void)counted;
        std::vector<std::vector<char>> values = *words; // a kernel may change its parameters
        std::vector<void *> at;
        for (auto &value : values) at.push_back(value.data());
        const unsigned grid[3] = {x, y, z};
        return f->entry(grid, threads, shared, at.data());
    });
}

API cuStreamBeginCapture_v2(CUstream stream, CUstreamCaptureMode mode) {
    if (CUresult result = live_stream(stream)) return result;
    std::lock_guard<std::mutex> lock(stream->mutex);
    if (stream->capture) return fault(CUDA_ERROR_ILLEGAL_STATE, "a stream is captured twice");
    stream->capture.reset(new CUgraph_st);
    stream->spoilt = false;
    if (mode != CU_STREAM_CAPTURE_MODE_RELAXED) captures = stream;
    return CUDA_SUCCESS;
}
API cuStreamEndCapture(CUstream stream, CUgraph *graph) {
    if (CUresult result = live_stream(stream)) return result;
    std::lock_guard<std::mutex> lock(stream->mutex);
    if (!stream->capture) return fault(CUDA_ERROR_ILLEGAL_STATE, "no capture is to be ended");
    if (captures == stream) captures = nullptr;
    std::unique_ptr<CUgraph_st> captured = std::move(stream->capture);
    *graph = nullptr;
    if (stream->spoilt) return fault(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "the capture was spoilt");
    *graph = captured.release();
    return CUDA_SUCCESS;
}
API cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus *status) {
    std::lock_guard<std::mutex> lock(stream->mutex);
    *status = stream->capture ? CU_STREAM_CAPTURE_STATUS_ACTIVE : CU_STREAM_CAPTURE_STATUS_NONE;
    return CUDA_SUCCESS;
}
API cuGraphInstantiateWithFlags(CUgraphExec *executable, CUgraph graph, unsigned long long) {
    if (CUresult result = unsafe_in_capture("cuGraphInstantiate")) return result;
    *executable = new CUgraphExec_st{std::make_shared<const std::vector<Work>>(graph->work)};
    return CUDA_SUCCESS;
}
API cuGraphUpload(CUgraphExec, CUstream stream) { return live_stream(stream); }
API cuGraphLaunch(CUgraphExec executable, CUstream stream) {
    if (CUresult result = live_stream(stream)) return result;
    auto work = executable->work;
    return ask(stream, [work]() -> const char * {
        for (const Work &each : *work)
            if (const char *what = each()) return what;
        return nullptr;
    });
}
API cuGraphExecDestroy(CUgraphExec executable) {
    delete executable;
    return CUDA_SUCCESS;
}
API cuGraphDestroy(CUgraph graph) {
    delete graph;
    return CUDA_SUCCESS;
}

API cuGetErrorName(CUresult error, const char **name) {
    switch (static_cast<int>(error)) {
    case 0: *name = "CUDA_SUCCESS"; break;
    case CUDA_ERROR_INVALID_VALUE: *name = "CUDA_ERROR_INVALID_VALUE"; break;
    case CUDA_ERROR_OUT_OF_MEMORY: *name = "CUDA_ERROR_OUT_OF_MEMORY"; break;
    case CUDA_ERROR_LAUNCH_FAILED: *name = "CUDA_ERROR_LAUNCH_FAILED"; break;
    default: *name = "another error of the stand-in";
    }
    return CUDA_SUCCESS;
}
API cuGetErrorString(CUresult error, const char **text) { return cuGetErrorName(error, text); }
