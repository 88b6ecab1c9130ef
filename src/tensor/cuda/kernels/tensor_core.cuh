// What a warp asks of the tensor cores and of the asynchronous copy engine: inline PTX (sm_80 and later) on the device,
// scalar stand-ins under host emulation.
//
//   multiply      mma.sync.m16n8k16: D (16 × 8, f32) += A (16 × 16, bf16) B (16 × 8, bf16)
//   load_tiles    ldmatrix.x4: four 8 × 8 tiles of bf16; lane l names the 16-byte row l % 8 of tile l / 8
//   copy_16/copy_8  cp.async: global → shared without passing through registers, in groups that are waited for
//
// Fragments, lane = 4·g + t: an 8 × 8 tile gives a lane elements (g, 2t) and (g, 2t + 1), or (2t, g) and (2t + 1, g) where
// transposed. A is the tiles (rows 0-7, k 0-7), (8-15, 0-7), (0-7, 8-15), (8-15, 8-15); B, of which column n is a row of
// a K-major tile, is (k 0-7), (k 8-15); D holds (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1), which is the layout of
// half an A: a product's result is the next product's operand without leaving the registers.
#pragma once

#ifdef HOST_EMULATION

/// Copies are carried out when they are waited for, not before: a missing wait shows as stale data.
struct PendingCopies {
    struct Copy {
        void *to;
        const void *from;
        int bytes;
        bool inside;
    };
    std::vector<std::vector<Copy>> groups{1};
};
/// One queue per thread of the block that is being emulated.
inline PendingCopies &pending_copies() {
    static std::map<unsigned, PendingCopies> queues;
    return queues[threadIdx.x];
}
inline void copy_async(void *to, const void *from, int bytes, bool inside) {
    pending_copies().groups.back().push_back({to, from, bytes, inside});
}
inline void copy_16(void *to, const void *from, bool inside) { copy_async(to, from, 16, inside); }
inline void copy_8(void *to, const void *from, bool inside) { copy_async(to, from, 8, inside); }
inline void commit_copies() { pending_copies().groups.emplace_back(); }
template <int LEFT> void wait_for_copies() {
    auto &groups = pending_copies().groups;
    while (groups.size() > LEFT + 1) {
        for (const auto &copy : groups.front()) {
            if (reinterpret_cast<uintptr_t>(copy.to) % copy.bytes || reinterpret_cast<uintptr_t>(copy.from) % copy.bytes)
                abort();
            if (copy.inside)
                memcpy(copy.to, copy.from, copy.bytes);
            else
                memset(copy.to, 0, copy.bytes);
        }
        groups.erase(groups.begin());
    }
}

inline void load_tiles(unsigned (&tiles)[4], const bf16 *row) {
    const bf16 *const *rows = warp_exchange(row);
    unsigned lane = threadIdx.x % 32;
    for (int tile = 0; tile < 4; ++tile) memcpy(&tiles[tile], rows[tile * 8 + lane / 4] + lane % 4 * 2, 4);
}
inline void load_tiles_transposed(unsigned (&tiles)[4], const bf16 *row) {
    const bf16 *const *rows = warp_exchange(row);
    unsigned lane = threadIdx.x % 32;
    for (int tile = 0; tile < 4; ++tile) {
        const bf16 pair[2] = {rows[tile * 8 + lane % 4 * 2][lane / 4], rows[tile * 8 + lane % 4 * 2 + 1][lane / 4]};
        memcpy(&tiles[tile], pair, 4);
    }
}

inline void multiply(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    struct Operands {
        bf16 a[4][2], b[2][2];
    } mine;
    memcpy(mine.a, a, sizeof mine.a);
    memcpy(mine.b[0], &b0, 4);
    memcpy(mine.b[1], &b1, 4);
    const Operands *all = warp_exchange(mine);
    unsigned g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    for (int i = 0; i < 4; ++i) {
        unsigned column = 2 * t + i % 2;
        for (int k = 0; k < 16; ++k) {
            const Operands &left = all[4 * g + k % 8 / 2], &right = all[4 * column + k % 8 / 2];
            d[i] += to_float(left.a[i / 2 + k / 8 * 2][k % 2]) * to_float(right.b[k / 8][k % 2]);
        }
    }
}

inline unsigned pack(float low, float high) { return to_bf16(low) | (unsigned)to_bf16(high) << 16; }
inline float power_of_two(float x) { return exp2f(x); }

#else

__device__ __forceinline__ unsigned shared_address(const void *pointer) {
    return static_cast<unsigned>(__cvta_generic_to_shared(pointer));
}

/// 16 bytes, or zeros where not `inside` (`from` must then still be an address of the array).
__device__ __forceinline__ void copy_16(void *to, const void *from, bool inside) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(inside ? 16 : 0)
                 : "memory");
}
__device__ __forceinline__ void copy_8(void *to, const void *from, bool inside) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(shared_address(to)), "l"(from), "r"(inside ? 8 : 0)
                 : "memory");
}
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Waits until at most the LEFT youngest groups of this thread are under way; others see them after a barrier.
template <int LEFT> __device__ __forceinline__ void wait_for_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
}

__device__ __forceinline__ void load_tiles(unsigned (&tiles)[4], const bf16 *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(tiles[0]), "=r"(tiles[1]), "=r"(tiles[2]), "=r"(tiles[3])
                 : "r"(shared_address(row))
                 : "memory");
}
__device__ __forceinline__ void load_tiles_transposed(unsigned (&tiles)[4], const bf16 *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(tiles[0]), "=r"(tiles[1]), "=r"(tiles[2]), "=r"(tiles[3])
                 : "r"(shared_address(row))
                 : "memory");
}

__device__ __forceinline__ void multiply(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// Two bf16, rounded to nearest even, `low` in the lower half.
__device__ __forceinline__ unsigned pack(float low, float high) {
    unsigned pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}
/// 2ˣ to 2 ulp.
__device__ __forceinline__ float power_of_two(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

#endif
