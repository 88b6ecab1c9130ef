// Attention of a few new tokens over a cache of keys and values, forward only: query i sees the keys 0 … P + i (Dao et al.
// 2023, "Flash-Decoding").
//
//   s_j = q·k_j/√h   m = max s_j   out = Σ exp(s_j − m) v_j / Σ exp(s_j − m)
//
//   attention_decode    the sums of one piece of the keys; with one piece in all, their quotient
//   attention_combine   out ← Σ_p 2^(m_p − m) sums_p / Σ_p 2^(m_p − m) totals_p, pieces in order
//
// What bounds it is the reading of keys and values, so the keys are cut into pieces, and a block serves one piece for one head of
// one query. Eight lanes share a key, 16 bytes each at a time where rows allow it, so a block has GROUPS keys in work; group g
// walks over the piece's keys g, g + GROUPS, … with its own running maximum and sums, and the groups are combined in order.
// Pieces have PIECE keys, or where that made more than MOST_PIECES twice as many, and so on. P is read from memory. The order of
// every sum depends on P + i alone, not on the other queries nor on the grid, whose blocks beyond the last key return at once.
#include "span.cuh"

#define THREADS 128
#define LANES 8
#define GROUPS (THREADS / LANES)
#define PIECE 128
#define MOST_PIECES 64
#define MOST_DIMENSIONS 128 // of a head
#define PART (MOST_DIMENSIONS / LANES)

__device__ __forceinline__ int piece_length(int seen) {
    int length = PIECE;
    while ((seen - 1) / length >= MOST_PIECES) length *= 2;
    return length;
}

/// The elements (lane + 8·j)·WIDTH + 0 … WIDTH − 1 of a row, j = 0, 1, …; zeros beyond its end.
template <int WIDTH, class T>
__device__ __forceinline__ void load_part(float (&part)[PART], const T *row, int lane, int head_dim) {
#pragma unroll
    for (int j = 0; j < PART / WIDTH; ++j) {
        int column = (lane + LANES * j) * WIDTH;
        bool inside = column < head_dim;
        if (WIDTH > 1) {
            uint4 bytes = inside ? *reinterpret_cast<const uint4 *>(row + column) : uint4{0, 0, 0, 0};
            const T *values = reinterpret_cast<const T *>(&bytes);
#pragma unroll
            for (int i = 0; i < WIDTH; ++i) part[j * WIDTH + i] = to_float(values[i]);
        } else {
            part[j] = inside ? to_float(row[column]) : 0.0f;
        }
    }
}

/// What the groups of a block have found. One element more than a row has: lanes of neighbouring groups write to different banks.
struct Found {
    float sums[GROUPS][MOST_DIMENSIONS + 1], maxima[GROUPS], totals[GROUPS];
};

/// Of one piece, in `partial`: head_dim sums, the maximum (of s·log₂e), the total.
template <int WIDTH, class T>
__device__ __forceinline__ void decode(Found &found, T *out, float *partial, const T *q, const T *keys,
                                       const T *values, const unsigned *past, int q_stride, int kv_stride,
                                       int group_size, int head_dim) {
    int head = blockIdx.x, group = threadIdx.x / LANES, lane = threadIdx.x % LANES, seen = *past + blockIdx.y + 1;
    int length = piece_length(seen), first = blockIdx.z * length, last = min(seen, first + length);
    if (first >= seen) return;
    float c = rsqrtf((float)head_dim) * LOG2_E, maximum = -INFINITE, total = 0, o[PART] = {}, query[PART];
    long long place = (long long)blockIdx.y * q_stride + head * head_dim;
    int kv_column = head / group_size * head_dim;
    load_part<WIDTH>(query, q + place, lane, head_dim);
#pragma unroll
    for (int i = 0; i < PART; ++i) query[i] *= c;
#pragma unroll 2
    for (int start = first; start < last; start += GROUPS) {
        int key = start + group;
        bool inside = key < last;
        long long row = (long long)(inside ? key : first) * kv_stride + kv_column;
        float k[PART], v[PART], score = 0;
        load_part<WIDTH>(k, keys + row, lane, head_dim);
        load_part<WIDTH>(v, values + row, lane, head_dim);
#pragma unroll
        for (int i = 0; i < PART; ++i) score += query[i] * k[i];
#pragma unroll
        for (int distance = LANES / 2; distance > 0; distance /= 2)
            score += __shfl_xor_sync(ALL_LANES, score, distance);
        if (!inside) continue;
        float largest = fmaxf(maximum, score), factor = exp2f(maximum - largest), weight = exp2f(score - largest);
        maximum = largest;
        total = total * factor + weight;
#pragma unroll
        for (int i = 0; i < PART; ++i) o[i] = o[i] * factor + weight * v[i];
    }
#pragma unroll
    for (int i = 0; i < PART; ++i) found.sums[group][(lane + LANES * (i / WIDTH)) * WIDTH + i % WIDTH] = o[i];
    if (lane == 0) {
        found.maxima[group] = maximum;
        found.totals[group] = total;
    }
    __syncthreads();
    int groups = min(GROUPS, last - first), dimension = threadIdx.x;
    if (dimension >= head_dim) return;
    maximum = -INFINITE;
    for (int g = 0; g < groups; ++g) maximum = fmaxf(maximum, found.maxima[g]);
    float sum = 0;
    total = 0;
    for (int g = 0; g < groups; ++g) {
        float factor = exp2f(found.maxima[g] - maximum);
        sum += factor * found.sums[g][dimension];
        total += factor * found.totals[g];
    }
    if (gridDim.z == 1) {
        put(out + place + dimension, sum / total);
        return;
    }
    partial += (((long long)blockIdx.y * gridDim.x + head) * gridDim.z + blockIdx.z) * (head_dim + 2);
    partial[dimension] = sum;
    if (dimension == 0) {
        partial[head_dim] = maximum;
        partial[head_dim + 1] = total;
    }
}

/// Grid: heads × queries × pieces.
extern "C" __global__ void __launch_bounds__(THREADS)
    attention_decode_f32(float *out, float *partial, const float *q, const float *keys, const float *values,
                         const unsigned *past, int q_stride, int kv_stride, int group_size, int head_dim) {
    __shared__ Found found;
    if (head_dim % 4 == 0)
        decode<4>(found, out, partial, q, keys, values, past, q_stride, kv_stride, group_size, head_dim);
    else
        decode<1>(found, out, partial, q, keys, values, past, q_stride, kv_stride, group_size, head_dim);
}
extern "C" __global__ void __launch_bounds__(THREADS)
    attention_decode_bf16(bf16 *out, float *partial, const bf16 *q, const bf16 *keys, const bf16 *values,
                          const unsigned *past, int q_stride, int kv_stride, int group_size, int head_dim) {
    __shared__ Found found;
    if (head_dim % 8 == 0)
        decode<8>(found, out, partial, q, keys, values, past, q_stride, kv_stride, group_size, head_dim);
    else
        decode<1>(found, out, partial, q, keys, values, past, q_stride, kv_stride, group_size, head_dim);
}

template <class T>
__device__ __forceinline__ void combine(T *out, const float *partial, const unsigned *past, int stride, int pieces,
                                        int head_dim) {
    int head = blockIdx.x, dimension = threadIdx.x, seen = *past + blockIdx.y + 1;
    int used = (seen - 1) / piece_length(seen) + 1, row = head_dim + 2;
    if (dimension >= head_dim) return;
    partial += ((long long)blockIdx.y * gridDim.x + head) * pieces * row;
    float maximum = -INFINITE, sum = 0, total = 0;
#pragma unroll 8
    for (int p = 0; p < used; ++p) maximum = fmaxf(maximum, partial[p * row + head_dim]);
#pragma unroll 8
    for (int p = 0; p < used; ++p) {
        float factor = exp2f(partial[p * row + head_dim] - maximum);
        sum += factor * partial[p * row + dimension];
        total += factor * partial[p * row + head_dim + 1];
    }
    put(out + (long long)blockIdx.y * stride + head * head_dim + dimension, sum / total);
}

/// Grid: heads × queries.
extern "C" __global__ void __launch_bounds__(THREADS)
    attention_combine_f32(float *out, const float *partial, const unsigned *past, int stride, int pieces, int head_dim) {
    combine(out, partial, past, stride, pieces, head_dim);
}
extern "C" __global__ void __launch_bounds__(THREADS)
    attention_combine_bf16(bf16 *out, const float *partial, const unsigned *past, int stride, int pieces, int head_dim) {
    combine(out, partial, past, stride, pieces, head_dim);
}
