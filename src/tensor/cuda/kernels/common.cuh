// What every kernel file may use: bf16 without toolkit headers (a user's machine has NVRTC but no cuda_bf16.h), eight
// elements at a time, sums over a warp and over a block in one fixed order.
//
// Matrices are row-major with a stride of a multiple of 8 elements; padding is exactly zero and every kernel keeps it so.
#pragma once

#ifndef HOST_EMULATION
#define DYNAMIC_SHARED(name) extern __shared__ __align__(128) unsigned char name[]
#endif
#define ALL_LANES 0xffffffffu

typedef unsigned short bf16;

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(bf16 x) { return __uint_as_float((unsigned)x << 16); }
/// To nearest, ties to even; a NaN stays one.
__device__ __forceinline__ bf16 to_bf16(float x) {
#ifdef HOST_EMULATION
    unsigned bits = __float_as_uint(x);
    if (x != x) return (bf16)(bits >> 16 | 0x40);
    return (bf16)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
#else
    bf16 y;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y) : "f"(x));
    return y;
#endif
}
__device__ __forceinline__ void put(float *to, float x) { *to = x; }
__device__ __forceinline__ void put(bf16 *to, float x) { *to = to_bf16(x); }

/// Eight neighbours as floats; `at` a multiple of 8 elements from a row's start.
struct Eight {
    float v[8];
};
__device__ __forceinline__ Eight load_eight(const float *at) {
    float4 a = reinterpret_cast<const float4 *>(at)[0], b = reinterpret_cast<const float4 *>(at)[1];
    return {{a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w}};
}
__device__ __forceinline__ Eight load_eight(const bf16 *at) {
    uint4 a = *reinterpret_cast<const uint4 *>(at);
    const unsigned words[4] = {a.x, a.y, a.z, a.w};
    Eight e;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        e.v[2 * i] = __uint_as_float(words[i] << 16);
        e.v[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
    }
    return e;
}
__device__ __forceinline__ void store_eight(float *at, const Eight &e) {
    reinterpret_cast<float4 *>(at)[0] = float4{e.v[0], e.v[1], e.v[2], e.v[3]};
    reinterpret_cast<float4 *>(at)[1] = float4{e.v[4], e.v[5], e.v[6], e.v[7]};
}
__device__ __forceinline__ void store_eight(bf16 *at, const Eight &e) {
    unsigned words[4];
#pragma unroll
    for (int i = 0; i < 4; ++i)
        words[i] = (unsigned)to_bf16(e.v[2 * i]) | (unsigned)to_bf16(e.v[2 * i + 1]) << 16;
    *reinterpret_cast<uint4 *>(at) = uint4{words[0], words[1], words[2], words[3]};
}

/// Many tensors share one grid: the last of `count` whose `first(i)`, ascending from 0, is no more than `block`.
template <class First> __device__ __forceinline__ int place_of(int count, unsigned block, First first) {
    int low = 0, high = count;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (first(middle) <= block) low = middle;
        else high = middle;
    }
    return low;
}

/// Σ over the 32 lanes, the same in every lane.
template <class T> __device__ __forceinline__ T warp_sum(T x) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) x += __shfl_xor_sync(ALL_LANES, x, distance);
    return x;
}
/// Σ over a block of whole warps, the same in every thread; `scratch` holds 32 elements of shared memory.
template <class T> __device__ __forceinline__ T block_sum(T x, T *scratch) {
    x = warp_sum(x);
    __syncthreads();
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = x;
    __syncthreads();
    T total = 0;
    for (int warp = 0; warp < (int)blockDim.x / 32; ++warp) total += scratch[warp];
    return total;
}
