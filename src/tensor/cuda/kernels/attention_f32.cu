// Attention in f32 throughout, forward, packed and backward: for checks, and for models trained in f32.
//
// The equations, the spans and the two-sided backward pass are those of attention_forward.cu and attention_backward.cu, with
// plain multiply-adds over tiles of 32 rows. Four neighbouring lanes share a row: each has every fourth column of the scores and
// every fourth dimension of the results.
//
// Shared memory for head dim h: (2·32·(h + 1) + 32·33) floats forward, (4·32·(h + 1) + 2·32·33) backward. A row is one word
// longer than its content, so rows of one column lie in different banks.
#include "span.cuh"

#define TILE 32
#define THREADS (4 * TILE)
#define MOST_DIMENSIONS 128 // of a head
#define PART (MOST_DIMENSIONS / 4)

__device__ __forceinline__ void load_rows(float *tile, const float *from, int stride, int rows, int head_dim) {
    for (int i = threadIdx.x; i < TILE * head_dim; i += THREADS) {
        int row = i / head_dim, column = i % head_dim;
        tile[row * (head_dim + 1) + column] = row < rows ? from[(long long)row * stride + column] : 0.0f;
    }
}

__device__ __forceinline__ float dot(const float *a, const float *b, int length) {
    float sum = 0;
#pragma unroll 4
    for (int i = 0; i < length; ++i) sum += a[i] * b[i];
    return sum;
}

struct Forward {
    float *out, *log_sum_exp;
    const float *q, *k, *v;
    int q_stride, kv_stride, lse_stride, num_heads, num_kv_heads, head_dim;
};

__device__ __forceinline__ void forward(const Forward &p, Span span, int head) {
    DYNAMIC_SHARED(shared);
    int h = p.head_dim, row = threadIdx.x / 4, part = threadIdx.x % 4;
    float *queries = reinterpret_cast<float *>(shared), *tile = queries + TILE * (h + 1), *probabilities = tile + TILE * (h + 1);
    int rows = min(TILE, span.length - span.offset);
    int prefix_tiles = (span.prefix + TILE - 1) / TILE;
    int num_tiles = prefix_tiles + (span.offset + rows + TILE - 1) / TILE;
    int kv_column = head / (p.num_heads / p.num_kv_heads) * h;
    long long row0 = span.query;
    float scale = 1.0f / sqrtf((float)h), c = scale * LOG2_E, maximum = -INFINITE, sum = 0, o[PART] = {};
    load_rows(queries, p.q + row0 * p.q_stride + head * h, p.q_stride, rows, h);
    for (int index = 0; index < num_tiles; ++index) {
        bool own = index >= prefix_tiles;
        int start = (own ? index - prefix_tiles : index) * TILE;
        int count = min(TILE, (own ? span.length : span.prefix) - start);
        long long first = ((own ? span.first : span.prefix_first) + start) * (long long)p.kv_stride + kv_column;
        __syncthreads();
        load_rows(tile, p.k + first, p.kv_stride, count, h);
        __syncthreads();
        int visible = own ? span.offset + row + 1 - start : count;
        float s[TILE / 4], largest = maximum, added = 0;
#pragma unroll
        for (int i = 0; i < TILE / 4; ++i) {
            int column = part + 4 * i;
            s[i] = column < visible ? dot(queries + row * (h + 1), tile + column * (h + 1), h) : -INFINITE;
            largest = fmaxf(largest, s[i]);
        }
        largest = fmaxf(largest, __shfl_xor_sync(ALL_LANES, largest, 1));
        largest = fmaxf(largest, __shfl_xor_sync(ALL_LANES, largest, 2));
        float factor = exp2f((maximum - largest) * c);
        maximum = largest;
#pragma unroll
        for (int i = 0; i < TILE / 4; ++i) {
            float probability = exp2f((s[i] - largest) * c);
            added += probability;
            probabilities[row * (TILE + 1) + part + 4 * i] = probability;
        }
        sum = sum * factor + added;
        __syncthreads();
        load_rows(tile, p.v + first, p.kv_stride, count, h);
        __syncthreads();
#pragma unroll
        for (int i = 0; i < PART; ++i) {
            int dimension = part + 4 * i;
            if (dimension >= h) break;
            float value = o[i] * factor;
#pragma unroll 1
            for (int key = 0; key < count; ++key)
                value += probabilities[row * (TILE + 1) + key] * tile[key * (h + 1) + dimension];
            o[i] = value;
        }
    }
    sum += __shfl_xor_sync(ALL_LANES, sum, 1);
    sum += __shfl_xor_sync(ALL_LANES, sum, 2);
    if (row >= rows) return;
    if (p.log_sum_exp && part == 0) p.log_sum_exp[(row0 + row) * p.lse_stride + head] = maximum * scale + logf(sum);
#pragma unroll
    for (int i = 0; i < PART; ++i)
        if (part + 4 * i < h) p.out[(row0 + row) * p.q_stride + head * h + part + 4 * i] = o[i] / sum;
}

extern "C" __global__ void attention_forward_f32(float *out, float *log_sum_exp, const float *q, const float *k,
                                                 const float *v, int q_stride, int kv_stride, int lse_stride,
                                                 int context_length, int num_heads, int num_kv_heads, int head_dim) {
    int offset = blockIdx.x * TILE, first = blockIdx.z * context_length;
    forward({out, log_sum_exp, q, k, v, q_stride, kv_stride, lse_stride, num_heads, num_kv_heads, head_dim},
            {first, context_length, 0, 0, offset, first + offset}, blockIdx.y);
}

extern "C" __global__ void attention_of_spans_f32(float *out, const float *q, const float *k, const float *v,
                                                const int *spans, int q_stride, int kv_stride, int num_heads,
                                                int num_kv_heads, int head_dim) {
    forward({out, nullptr, q, k, v, q_stride, kv_stride, 0, num_heads, num_kv_heads, head_dim},
            span_at(spans, blockIdx.x), blockIdx.y);
}

struct Backward {
    float *d1, *d2;
    const float *q, *k, *v, *d_out;
    const float2 *statistics;
    int q_stride, kv_stride, context_length, num_heads, num_kv_heads, head_dim;
};

template <bool OF_KEYS> __device__ __forceinline__ void backward(const Backward &p) {
    DYNAMIC_SHARED(shared);
    int h = p.head_dim, size = TILE * (h + 1), row = threadIdx.x / 4, part = threadIdx.x % 4;
    float *x1 = reinterpret_cast<float *>(shared), *x2 = x1 + size, *y1 = x2 + size, *y2 = y1 + size;
    float *probabilities = y2 + size, *d_scores = probabilities + TILE * (TILE + 1);
    int t = p.context_length, group = p.num_heads / p.num_kv_heads, own0 = blockIdx.x * TILE, rows = min(TILE, t - own0);
    int kv_head = OF_KEYS ? blockIdx.y : blockIdx.y / group;
    long long sequence = (long long)blockIdx.z * t;
    const float2 *statistics = p.statistics + sequence * p.num_heads;
    float scale = 1.0f / sqrtf((float)h), c = scale * LOG2_E, d1[PART] = {}, d2[PART] = {};
    const float *q = p.q + sequence * p.q_stride, *d_out = p.d_out + sequence * p.q_stride;
    const float *k = p.k + sequence * p.kv_stride + kv_head * h, *v = p.v + sequence * p.kv_stride + kv_head * h;
    int own_stride = OF_KEYS ? p.kv_stride : p.q_stride;
    long long own_start = (long long)own0 * own_stride + (OF_KEYS ? 0 : blockIdx.y * h);
    load_rows(x1, (OF_KEYS ? k : q) + own_start, own_stride, rows, h);
    load_rows(x2, (OF_KEYS ? v : d_out) + own_start, own_stride, rows, h);
    for (int in_group = 0; in_group < (OF_KEYS ? group : 1); ++in_group) {
        int head = OF_KEYS ? kv_head * group + in_group : blockIdx.y;
        for (int inner0 = OF_KEYS ? own0 : 0; inner0 < (OF_KEYS ? t : own0 + rows); inner0 += TILE) {
            int count = min(TILE, t - inner0), stride = OF_KEYS ? p.q_stride : p.kv_stride;
            long long start = (long long)inner0 * stride + (OF_KEYS ? head * h : 0);
            __syncthreads();
            load_rows(y1, (OF_KEYS ? q : k) + start, stride, count, h);
            load_rows(y2, (OF_KEYS ? d_out : v) + start, stride, count, h);
            __syncthreads();
#pragma unroll
            for (int i = 0; i < TILE / 4; ++i) {
                int column = part + 4 * i, own = own0 + row, inner = inner0 + column;
                bool visible = column < count && row < rows && (OF_KEYS ? own <= inner : inner <= own);
                float probability = 0, d_score = 0;
                if (visible) {
                    float2 of_row = statistics[(long long)head * t + (OF_KEYS ? inner : own)];
                    probability = exp2f(dot(x1 + row * (h + 1), y1 + column * (h + 1), h) * c - of_row.x);
                    d_score = probability * (dot(x2 + row * (h + 1), y2 + column * (h + 1), h) - of_row.y);
                }
                probabilities[row * (TILE + 1) + column] = probability;
                d_scores[row * (TILE + 1) + column] = d_score;
            }
            __syncwarp();
#pragma unroll
            for (int i = 0; i < PART; ++i) {
                int dimension = part + 4 * i;
                if (dimension >= h) break;
#pragma unroll 1
                for (int column = 0; column < count; ++column) {
                    d1[i] += d_scores[row * (TILE + 1) + column] * y1[column * (h + 1) + dimension];
                    if (OF_KEYS) d2[i] += probabilities[row * (TILE + 1) + column] * y2[column * (h + 1) + dimension];
                }
            }
        }
    }
    if (row >= rows) return;
    long long start = (sequence + own0 + row) * own_stride + blockIdx.y * h;
#pragma unroll
    for (int i = 0; i < PART; ++i) {
        int dimension = part + 4 * i;
        if (dimension >= h) break;
        p.d1[start + dimension] = d1[i] * scale;
        if (OF_KEYS) p.d2[start + dimension] = d2[i];
    }
}

extern "C" __global__ void attention_backward_keys_f32(float *d_k, float *d_v, const float *q, const float *k,
                                                       const float *v, const float *d_out, const float2 *statistics,
                                                       int q_stride, int kv_stride, int context_length, int num_heads,
                                                       int num_kv_heads, int head_dim) {
    backward<true>({d_k, d_v, q, k, v, d_out, statistics, q_stride, kv_stride, context_length, num_heads, num_kv_heads,
                    head_dim});
}

extern "C" __global__ void attention_backward_queries_f32(float *d_q, const float *q, const float *k, const float *v,
                                                          const float *d_out, const float2 *statistics, int q_stride,
                                                          int kv_stride, int context_length, int num_heads,
                                                          int num_kv_heads, int head_dim) {
    backward<false>({d_q, nullptr, q, k, v, d_out, statistics, q_stride, kv_stride, context_length, num_heads,
                     num_kv_heads, head_dim});
}
