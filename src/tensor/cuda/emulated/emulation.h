// Runs CUDA kernels on the host: the same source, compiled as C++, one fiber per CUDA thread.
//
// Blocks run one after the other; within a block every thread is a fiber that runs until it waits at a barrier, so
// __syncthreads, __syncwarp, shuffles and shared memory do what they do on a device, in an order that never varies: by index, or
// from the last to the first where EMULATION_ORDER is "reverse". A barrier that is missing may go unnoticed in one of the
// orders. What a device would leave undefined is an error here: a thread that ends while others wait for it, a barrier that
// some threads never reach. Kernels see only the names below.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>
#include <vector>
#ifndef __x86_64__
#include <ucontext.h>
#endif

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x, y, z; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) double2 { double x, y; };

namespace emulation {

#ifdef __x86_64__
// Saves the callee-saved registers and the stack pointer, and goes on at another stack.
asm(R"(
    .text
    .type emulation_switch, @function
emulation_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size emulation_switch, . - emulation_switch
)");
extern "C" __attribute__((visibility("hidden"))) void emulation_switch(void **from, void *to);
struct Context { void *stack_pointer = nullptr; };
inline void switch_context(Context &from, Context &to) { emulation_switch(&from.stack_pointer, to.stack_pointer); }
inline void prepare(Context &context, char *stack, size_t bytes, void (*entry)()) {
    uintptr_t top = (reinterpret_cast<uintptr_t>(stack) + bytes) / 16 * 16;
    void **slot = reinterpret_cast<void **>(top);
    *--slot = nullptr;  // where a return address would stand: entry never returns
    *--slot = reinterpret_cast<void *>(entry);
    for (int i = 0; i < 6; ++i) *--slot = nullptr;
    context.stack_pointer = slot;
}
#else
struct Context { ucontext_t context; };
inline void switch_context(Context &from, Context &to) { swapcontext(&from.context, &to.context); }
inline void prepare(Context &context, char *stack, size_t bytes, void (*entry)()) {
    getcontext(&context.context);
    context.context.uc_stack.ss_sp = stack;
    context.context.uc_stack.ss_size = bytes;
    context.context.uc_link = nullptr;
    makecontext(&context.context, entry, 0);
}
#endif

const size_t STACK_BYTES = 1 << 18;
const unsigned WARP = 32;
// Largest value that a warp exchanges at once.
const size_t SLOT_BYTES = 64;

enum State { READY, WAITS_FOR_WARP, WAITS_FOR_BLOCK, ENDED };

struct Fiber {
    Context context;
    char *stack = nullptr;
    State state = READY;
    uint64_t generation = 0;
    unsigned exchanges = 0;
    uint3 index{0, 0, 0};
};
struct Barrier { unsigned arrived = 0; uint64_t generation = 0; };
struct Warp {
    Barrier barrier;
    // Two sets of slots: while a slow lane still reads one, a fast lane may fill the other, but no lane can be two ahead.
    alignas(16) char slots[2][WARP][SLOT_BYTES];
};
struct Block {
    std::vector<Fiber> fibers;
    std::vector<Warp> warps;
    Barrier barrier;
    Context scheduler;
    unsigned threads = 0, current = 0;
    uint3 index{0, 0, 0};
    dim3 block{1, 1, 1}, grid{1, 1, 1};
    std::vector<char> shared;
    void (*body)(void *) = nullptr;
    void *body_data = nullptr;
};

// One grid of a file runs at a time: reaching variables of a thread's own would cost half of the time.
static Block the_block;
static std::mutex running;
inline Block &block() { return the_block; }
inline Fiber &fiber() { return block().fibers[block().current]; }
inline unsigned lanes(const Block &b, unsigned warp) {
    return b.threads - warp * WARP < WARP ? b.threads - warp * WARP : WARP;
}

inline void wait(Barrier &barrier, unsigned expected, State state) {
    Block &b = block();
    Fiber &self = fiber();
    if (++barrier.arrived == expected) {
        barrier.arrived = 0;
        ++barrier.generation;
        return;
    }
    self.state = state;
    self.generation = barrier.generation;
    switch_context(self.context, b.scheduler);
    self.state = READY;
}
inline void sync_block() { wait(block().barrier, block().threads, WAITS_FOR_BLOCK); }
inline void sync_warp() {
    Block &b = block();
    unsigned warp = b.current / WARP;
    wait(b.warps[warp].barrier, lanes(b, warp), WAITS_FOR_WARP);
}

inline bool can_run(const Block &b, unsigned thread) {
    const Fiber &f = b.fibers[thread];
    switch (f.state) {
    case READY: return true;
    case WAITS_FOR_WARP: return b.warps[thread / WARP].barrier.generation != f.generation;
    case WAITS_FOR_BLOCK: return b.barrier.generation != f.generation;
    default: return false;
    }
}

inline void entry() {
    Block &b = block();
    b.body(b.body_data);
    Fiber &self = fiber();
    self.state = ENDED;
    for (;;) switch_context(self.context, b.scheduler);
}

inline bool reversed() {
    static const bool is = getenv("EMULATION_ORDER") && !strcmp(getenv("EMULATION_ORDER"), "reverse");
    return is;
}
/// The i-th of `count` in the order in which threads and blocks run.
inline unsigned turn(unsigned i, unsigned count) { return reversed() ? count - 1 - i : i; }

/// Runs one block to its end; null, or what it did wrong.
inline const char *run_block() {
    Block &b = block();
    b.barrier = Barrier{};
    b.warps.resize((b.threads + WARP - 1) / WARP);
    for (Warp &warp : b.warps) warp.barrier = Barrier{};
    if (b.fibers.size() < b.threads) b.fibers.resize(b.threads);
    for (unsigned t = 0; t < b.threads; ++t) {
        Fiber &f = b.fibers[t];
        if (!f.stack) f.stack = static_cast<char *>(malloc(STACK_BYTES));
        f.state = READY;
        f.exchanges = 0;
        f.index = {t % b.block.x, t / b.block.x % b.block.y, t / b.block.x / b.block.y};
        prepare(f.context, f.stack, STACK_BYTES, entry);
    }
    for (;;) {
        bool any = false;
        unsigned warps = static_cast<unsigned>(b.warps.size());
        for (unsigned w = 0; w < warps; ++w) {
            unsigned warp = turn(w, warps), count = lanes(b, warp);
            for (bool ran = true; ran;) {
                ran = false;
                for (unsigned lane = 0; lane < count; ++lane) {
                    unsigned t = warp * WARP + turn(lane, count);
                    if (can_run(b, t)) {
                        b.current = t;
                        switch_context(b.scheduler, b.fibers[t].context);
                        ran = any = true;
                    }
                }
            }
        }
        if (!any) break;
    }
    for (unsigned t = 0; t < b.threads; ++t) {
        if (b.fibers[t].state == WAITS_FOR_BLOCK) return "__syncthreads is not reached by every thread of the block";
        if (b.fibers[t].state == WAITS_FOR_WARP) return "a warp's barrier or shuffle is not reached by all of its lanes";
    }
    return nullptr;
}

template <class... P> struct Call {
    void (*kernel)(P...);
    void **arguments;
    template <size_t... I> void with(std::index_sequence<I...>) { kernel(*static_cast<P *>(arguments[I])...); }
    static void body(void *self) { static_cast<Call *>(self)->with(std::index_sequence_for<P...>{}); }
};

/// Runs a whole grid; null, or what the first faulty block did wrong. Shared memory starts as a signalling pattern.
template <class... P>
const char *run(void (*kernel)(P...), const unsigned *grid, unsigned threads, unsigned shared, void **arguments) {
    Call<P...> call{kernel, arguments};
    std::lock_guard<std::mutex> lock(running);
    Block &b = block();
    b.body = Call<P...>::body;
    b.body_data = &call;
    b.threads = threads;
    b.block = {threads, 1, 1};
    b.grid = {grid[0], grid[1], grid[2]};
    for (unsigned z = 0; z < grid[2]; ++z)
        for (unsigned y = 0; y < grid[1]; ++y)
            for (unsigned x = 0; x < grid[0]; ++x) {
                b.index = {turn(x, grid[0]), turn(y, grid[1]), turn(z, grid[2])};
                b.shared.assign(shared + 1024, static_cast<char>(0xff));
                if (const char *fault = run_block()) return fault;
                for (unsigned i = 0; i < 512; ++i)
                    if (b.shared[b.shared.size() - 1 - i] != static_cast<char>(0xff))
                        return "dynamic shared memory is written beyond its end";
            }
    return nullptr;
}

/// The sizes of a kernel's parameters.
template <class... P> const size_t *sizes(void (*)(P...), size_t *count) {
    static const size_t of[] = {sizeof(P)..., 0};
    *count = sizeof...(P);
    return of;
}

inline void *dynamic_shared() {
    uintptr_t start = reinterpret_cast<uintptr_t>(block().shared.data());
    return reinterpret_cast<void *>((start + 127) / 128 * 128);
}

}  // namespace emulation

/// The values that the 32 lanes of this warp give, valid until this lane's next exchange of the same type.
template <class T> const T *warp_exchange(const T &value) {
    static_assert(sizeof(T) <= emulation::SLOT_BYTES, "a larger slot is needed");
    static std::vector<std::vector<T>> taken;
    emulation::Block &b = emulation::block();
    if (taken.size() < b.threads) taken.resize(b.threads, std::vector<T>(emulation::WARP));
    unsigned self = b.current, set = emulation::fiber().exchanges++ % 2;
    emulation::Warp &warp = b.warps[self / emulation::WARP];
    memcpy(warp.slots[set][self % emulation::WARP], &value, sizeof(T));
    emulation::sync_warp();
    for (unsigned lane = 0; lane < emulation::lanes(b, self / emulation::WARP); ++lane)
        memcpy(&taken[self][lane], warp.slots[set][lane], sizeof(T));
    return taken[self].data();
}

// All else is hidden: what several files define is each file's own.
#define ENTRY extern "C" __attribute__((visibility("default")))
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__ __restrict
#define __shared__ static
#define __constant__ static const
#define __align__(n) alignas(n)
#define __launch_bounds__(...)
#define threadIdx (emulation::fiber().index)
#define blockIdx (emulation::block().index)
#define blockDim (emulation::block().block)
#define gridDim (emulation::block().grid)
#define DYNAMIC_SHARED(name) unsigned char *name = static_cast<unsigned char *>(emulation::dynamic_shared())

inline void __syncthreads() { emulation::sync_block(); }
inline void __syncwarp(unsigned = 0xffffffffu) { emulation::sync_warp(); }
template <class T> T __shfl_sync(unsigned, T value, int lane, int width = 32) {
    int self = threadIdx.x % 32;
    return warp_exchange(value)[self / width * width + lane % width];
}
template <class T> T __shfl_xor_sync(unsigned, T value, int mask, int = 32) {
    int self = threadIdx.x % 32;
    return warp_exchange(value)[self ^ mask];
}
template <class T> T __shfl_down_sync(unsigned, T value, unsigned delta, int width = 32) {
    unsigned self = threadIdx.x % 32, target = self + delta;
    return warp_exchange(value)[self / width == target / width ? target : self];
}
template <class T> T __shfl_up_sync(unsigned, T value, unsigned delta, int width = 32) {
    unsigned self = threadIdx.x % 32;
    return warp_exchange(value)[self % width >= delta ? self - delta : self];
}
inline int __any_sync(unsigned, int predicate) {
    const int *all = warp_exchange(predicate);
    int any = 0;
    for (unsigned lane = 0; lane < emulation::lanes(emulation::block(), threadIdx.x / 32); ++lane) any |= all[lane] != 0;
    return any;
}
inline unsigned __float_as_uint(float x) { unsigned y; memcpy(&y, &x, 4); return y; }
inline float __uint_as_float(unsigned x) { float y; memcpy(&y, &x, 4); return y; }
template <class T> T __ldg(const T *p) { return *p; }
template <class T> T atomicAdd(T *p, T x) { T old = *p; *p = old + x; return old; }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
inline unsigned max(unsigned a, unsigned b) { return a > b ? a : b; }
inline long long min(long long a, long long b) { return a < b ? a : b; }
inline long long max(long long a, long long b) { return a > b ? a : b; }
