// Causal attention with grouped queries, forward, bf16 on tensor cores (Dao 2023, arXiv:2307.08691).
//
//   S = Q Kᵀ/√h   P = softmax(S, visible keys)   O = P V   ℓ = log Σ exp S        per head, kv head = ⌊head·K/H⌋
//
// A block owns ROWS query rows of one head and walks over the visible keys, 64 at a time in ascending order, with the
// running maximum m and sum l of every row in registers: P = 2^((S − m)·c), c = log₂e/√h, O ← O·2^((m_old − m)·c) + P V.
// A warp owns 16 or 32 rows; S, P and O never leave its registers. One of K and V is always on its way from global memory: V
// of a tile while its S is computed, K of the next while P V is. Tiles beyond the diagonal are skipped, and only tiles
// that touch it are masked.
//
// What a block's rows see is a Span (span.cuh): a prefix whole, then keys of their own causally. The rows of a batch's
// sequence are spans without prefix; packed passes and caches bring a table of spans. The order of a row's sums depends
// on its place in its span and on the prefix alone.
//
// Shared memory: Q ROWS × HEAD, K and V 64 × HEAD, rows padded (attention.cuh): 36 KiB for HEAD 64, 52 KiB for 128.
#include "attention.cuh"

// 16-row tiles of a warp: two halve the traffic of K and V through shared memory; wide heads have registers for one.
#define ROW_TILES (HEAD <= 64 ? 2 : 1)
#define WARP_ROWS (16 * ROW_TILES)
#define ROWS (WARPS * WARP_ROWS)
#define KEYS 64

struct Forward {
    bf16 *out;
    float *log_sum_exp; // null where nobody asks
    const bf16 *q, *k, *v;
    int q_stride, kv_stride, lse_stride, num_heads, num_kv_heads, head_dim;
};

__device__ __forceinline__ void forward(const Forward &p, Span span, int head) {
    DYNAMIC_SHARED(shared);
    bf16 *queries = reinterpret_cast<bf16 *>(shared), *keys = queries + ROWS * TILE_STRIDE, *values = keys + KEYS * TILE_STRIDE;
    int lane = threadIdx.x % 32, warp_row = threadIdx.x / 32 * WARP_ROWS;
    int rows = min(ROWS, span.length - span.offset);
    int prefix_tiles = (span.prefix + KEYS - 1) / KEYS;
    int num_tiles = prefix_tiles + (span.offset + rows + KEYS - 1) / KEYS;
    int kv_column = head / (p.num_heads / p.num_kv_heads) * p.head_dim;
    long long row0 = span.query;
    float scale = rsqrtf((float)p.head_dim), c = scale * LOG2_E;

    // First key of tile, and how many it has.
    auto fetch = [&](bf16 *tile, const bf16 *from, int index) {
        bool own = index >= prefix_tiles;
        int start = (own ? index - prefix_tiles : index) * KEYS;
        int count = min(KEYS, (own ? span.length : span.prefix) - start);
        long long row = (own ? span.first : span.prefix_first) + start;
        load_tile<KEYS>(tile, from + row * p.kv_stride + kv_column, p.kv_stride, count, p.head_dim);
        commit_copies();
    };

    float o[ROW_TILES][HEAD / 8][4] = {};
    float maximum[ROW_TILES][2], sum[ROW_TILES][2] = {};
#pragma unroll
    for (int m = 0; m < ROW_TILES; ++m) maximum[m][0] = maximum[m][1] = -INFINITE;

    load_tile<ROWS>(queries, p.q + row0 * p.q_stride + head * p.head_dim, p.q_stride, rows, p.head_dim);
    fetch(keys, p.k, 0);
    for (int tile = 0; tile < num_tiles; ++tile) {
        wait_for_copies<0>();
        __syncthreads(); // K of this tile is here, and nobody reads V of the last one any more
        fetch(values, p.v, tile);

        // Row r of this warp sees the first `visible + r` keys of the tile, or of a prefix the first `visible`.
        bool own = tile >= prefix_tiles;
        int visible = own ? span.offset + warp_row + 1 - (tile - prefix_tiles) * KEYS : span.prefix - tile * KEYS;
        bool works = warp_row < rows && visible + (own ? WARP_ROWS - 1 : 0) > 0;
        float s[ROW_TILES][KEYS / 8][4] = {};
        if (works) {
#pragma unroll
            for (int step = 0; step < HEAD / 16; ++step) {
                unsigned a[ROW_TILES][4];
#pragma unroll
                for (int m = 0; m < ROW_TILES; ++m)
                    load_tiles(a[m], left_block(queries, warp_row + 16 * m, 16 * step));
#pragma unroll
                for (int n = 0; n < KEYS / 16; ++n) {
                    unsigned b[4];
                    load_tiles(b, right_block(keys, 16 * n, 16 * step));
#pragma unroll
                    for (int m = 0; m < ROW_TILES; ++m) {
                        multiply(s[m][2 * n], a[m], b[0], b[1]);
                        multiply(s[m][2 * n + 1], a[m], b[2], b[3]);
                    }
                }
            }
        }
        wait_for_copies<0>();
        __syncthreads(); // V is here, and nobody reads K any more
        if (tile + 1 < num_tiles) fetch(keys, p.k, tile + 1);
        if (!works) continue;

#pragma unroll
        for (int m = 0; m < ROW_TILES; ++m)
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                if (visible < KEYS) {
                    int limit = visible + (own ? 16 * m + 8 * half + lane / 4 : 0);
#pragma unroll
                    for (int n = 0; n < KEYS / 8; ++n)
#pragma unroll
                        for (int i = 0; i < 2; ++i)
                            if (8 * n + lane % 4 * 2 + i >= limit) s[m][n][2 * half + i] = -INFINITE;
                }
                float largest = maximum[m][half];
#pragma unroll
                for (int n = 0; n < KEYS / 8; ++n)
                    largest = fmaxf(largest, fmaxf(s[m][n][2 * half], s[m][n][2 * half + 1]));
                largest = fmaxf(largest, __shfl_xor_sync(ALL_LANES, largest, 1));
                largest = fmaxf(largest, __shfl_xor_sync(ALL_LANES, largest, 2));
                float shift = largest * c, factor = power_of_two(maximum[m][half] * c - shift), added = 0;
                maximum[m][half] = largest;
#pragma unroll
                for (int n = 0; n < KEYS / 8; ++n)
#pragma unroll
                    for (int i = 2 * half; i < 2 * half + 2; ++i) {
                        s[m][n][i] = power_of_two(s[m][n][i] * c - shift);
                        added += s[m][n][i];
                    }
                sum[m][half] = sum[m][half] * factor + added;
#pragma unroll
                for (int n = 0; n < HEAD / 8; ++n) {
                    o[m][n][2 * half] *= factor;
                    o[m][n][2 * half + 1] *= factor;
                }
            }
#pragma unroll
        for (int step = 0; step < KEYS / 16; ++step) {
            unsigned a[ROW_TILES][4];
#pragma unroll
            for (int m = 0; m < ROW_TILES; ++m)
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    const float(&pair)[4] = s[m][2 * step + i / 2];
                    a[m][i] = pack(pair[i % 2 * 2], pair[i % 2 * 2 + 1]);
                }
#pragma unroll
            for (int n = 0; n < HEAD / 16; ++n) {
                unsigned b[4];
                load_tiles_transposed(b, right_block_transposed(values, 16 * step, 16 * n));
#pragma unroll
                for (int m = 0; m < ROW_TILES; ++m) {
                    multiply(o[m][2 * n], a[m], b[0], b[1]);
                    multiply(o[m][2 * n + 1], a[m], b[2], b[3]);
                }
            }
        }
    }

    if (warp_row >= rows) return;
    float factors[ROW_TILES][2];
#pragma unroll
    for (int m = 0; m < ROW_TILES; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            float total = sum[m][half];
            total += __shfl_xor_sync(ALL_LANES, total, 1);
            total += __shfl_xor_sync(ALL_LANES, total, 2);
            factors[m][half] = 1.0f / total;
            int row = warp_row + 16 * m + 8 * half + lane / 4;
            if (p.log_sum_exp && lane % 4 == 0 && row < rows)
                p.log_sum_exp[(row0 + row) * p.lse_stride + head] = maximum[m][half] * scale + logf(total);
        }
    bf16 *to = p.out + (row0 + warp_row) * p.q_stride + head * p.head_dim;
    store_tile<ROW_TILES>(to, p.q_stride, rows - warp_row, p.head_dim, queries + warp_row * TILE_STRIDE, o, factors);
}

/// Grid: row blocks × heads × sequences; late rows, which see most keys, start first.
extern "C" __global__ void __launch_bounds__(THREADS, 2)
    attention_forward(bf16 *out, float *log_sum_exp, const bf16 *q, const bf16 *k, const bf16 *v, int q_stride,
                      int kv_stride, int lse_stride, int context_length, int num_heads, int num_kv_heads, int head_dim) {
    int offset = (gridDim.x - 1 - blockIdx.x) * ROWS, first = blockIdx.z * context_length;
    forward({out, log_sum_exp, q, k, v, q_stride, kv_stride, lse_stride, num_heads, num_kv_heads, head_dim},
            {first, context_length, 0, 0, offset, first + offset}, blockIdx.y);
}

/// Grid: spans × heads.
extern "C" __global__ void __launch_bounds__(THREADS, 2)
    attention_of_spans(bf16 *out, const bf16 *q, const bf16 *k, const bf16 *v, const int *spans, int q_stride,
                     int kv_stride, int num_heads, int num_kv_heads, int head_dim) {
    forward({out, nullptr, q, k, v, q_stride, kv_stride, 0, num_heads, num_kv_heads, head_dim},
            span_at(spans, blockIdx.x), blockIdx.y);
}
