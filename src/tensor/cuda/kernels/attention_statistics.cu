// Statistics of every row for the backward pass of attention: (ℓ·log₂e, D), D = rowsum(dO ∘ O), laid out (sequence, head, row).
//
// Eight lanes share one row of one head: N·H·h elements of O and dO are read once, 16 bytes a lane where rows allow it.
#include "span.cuh"

#define LANES 8

template <class T>
__device__ __forceinline__ void statistics(float2 *out, const T *o, const T *d_out, const float *log_sum_exp, int rows,
                                           int stride, int lse_stride, int context_length, int num_heads, int head_dim) {
    const int width = 16 / sizeof(T);
    long long index = ((long long)blockIdx.x * blockDim.x + threadIdx.x) / LANES;
    bool inside = index < (long long)rows * num_heads;
    long long row = inside ? index / num_heads : 0;
    int head = index % num_heads, lane = threadIdx.x % LANES;
    long long start = row * stride + head * head_dim;
    float sum = 0;
    if (inside && head_dim % width == 0) {
        for (int column = lane * width; column < head_dim; column += LANES * width) {
            uint4 a = *reinterpret_cast<const uint4 *>(o + start + column);
            uint4 b = *reinterpret_cast<const uint4 *>(d_out + start + column);
            const T *left = reinterpret_cast<const T *>(&a), *right = reinterpret_cast<const T *>(&b);
#pragma unroll
            for (int i = 0; i < width; ++i) sum += to_float(left[i]) * to_float(right[i]);
        }
    } else if (inside) {
        for (int column = lane; column < head_dim; column += LANES)
            sum += to_float(o[start + column]) * to_float(d_out[start + column]);
    }
#pragma unroll
    for (int distance = LANES / 2; distance > 0; distance /= 2) sum += __shfl_xor_sync(ALL_LANES, sum, distance);
    if (inside && lane == 0) {
        long long sequence = row / context_length, place = row % context_length;
        out[(sequence * num_heads + head) * context_length + place] =
            float2{log_sum_exp[row * lse_stride + head] * LOG2_E, sum};
    }
}

extern "C" __global__ void attention_statistics_f32(float2 *out, const float *o, const float *d_out,
                                                    const float *log_sum_exp, int rows, int stride, int lse_stride,
                                                    int context_length, int num_heads, int head_dim) {
    statistics(out, o, d_out, log_sum_exp, rows, stride, lse_stride, context_length, num_heads, head_dim);
}

extern "C" __global__ void attention_statistics_bf16(float2 *out, const bf16 *o, const bf16 *d_out,
                                                     const float *log_sum_exp, int rows, int stride, int lse_stride,
                                                     int context_length, int num_heads, int head_dim) {
    statistics(out, o, d_out, log_sum_exp, rows, stride, lse_stride, context_length, num_heads, head_dim);
}
