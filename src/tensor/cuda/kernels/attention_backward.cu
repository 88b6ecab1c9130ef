// Causal attention with grouped queries, backward, bf16 on tensor cores (Dao 2023, arXiv:2307.08691), deterministic.
//
//   P = exp(S − ℓ)   D = rowsum(dO ∘ O)   dP = dO Vᵀ   dS = P ∘ (dP − D)
//   dQ = dS K/√h     dK = dSᵀ Q/√h        dV = Pᵀ dO        S = Q Kᵀ/√h recomputed
//
// Three kernels, one writer of every result and no atomics: `attention_statistics` writes (ℓ·log₂e, D) of every row, then
// one pass per side. A block of the pass over keys owns OWN keys of one kv head and walks over the rows that see them, of all
// query heads of the group in ascending order; a block of the pass over queries owns OWN rows and walks over their
// keys. Recomputing S and dP twice costs 7 products where one pass with atomics has 5: the price of an order that does not
// change from run to run.
//
// Both are one body. With X₁, X₂ the owned tiles (K, V or Q, dO) and Y₁, Y₂ those walked over (Q, dO or K, V), owned rows
// are rows of every product: S = X₁ Y₁ᵀ, dP = X₂ Y₂ᵀ (Sᵀ and dPᵀ in the pass over keys), results dS Y₁ and P Y₂. So P
// and dS go from accumulators to operands in registers. Y is double-buffered by asynchronous copies, 32 rows are in work at
// a time, and pieces beyond the diagonal are skipped.
//
// Shared memory: X₁, X₂ OWN × HEAD, Y₁, Y₂ 2 × INNER × HEAD each, and the statistics: 73 KiB for HEAD 64, 69 KiB for 128.
#include "attention.cuh"

#define ROW_TILES (HEAD <= 64 ? 2 : 1)
#define WARP_ROWS (16 * ROW_TILES)
#define OWN (WARPS * WARP_ROWS)
#define INNER (HEAD <= 64 ? 64 : 32)
#define PIECE 32

struct Backward {
    bf16 *d1, *d2; // dK, dV, or dQ and nothing
    const bf16 *q, *k, *v, *d_out;
    const float2 *statistics; // (sequence, head, row)
    int q_stride, kv_stride, context_length, num_heads, num_kv_heads, head_dim;
};

template <bool OF_KEYS> __device__ __forceinline__ void backward(const Backward &p) {
    DYNAMIC_SHARED(shared);
    bf16 *x1 = reinterpret_cast<bf16 *>(shared), *x2 = x1 + OWN * TILE_STRIDE, *y1 = x2 + OWN * TILE_STRIDE, *y2 = y1 + 2 * INNER * TILE_STRIDE;
    float2 *of_rows = reinterpret_cast<float2 *>(y2 + 2 * INNER * TILE_STRIDE);
    int lane = threadIdx.x % 32, warp_row = threadIdx.x / 32 * WARP_ROWS;
    int t = p.context_length, group = p.num_heads / p.num_kv_heads;
    // The pass over queries starts with the rows that see most keys; the pass over keys does so anyway.
    int own0 = (OF_KEYS ? blockIdx.x : gridDim.x - 1 - blockIdx.x) * OWN, rows = min(OWN, t - own0);
    int kv_head = OF_KEYS ? blockIdx.y : blockIdx.y / group;
    long long sequence = (long long)blockIdx.z * t;
    const float2 *statistics = p.statistics + sequence * p.num_heads;
    float scale = rsqrtf((float)p.head_dim), c = scale * LOG2_E;

    int first_tile = OF_KEYS ? own0 / INNER : 0;
    int tiles_per_head = (OF_KEYS ? (t + INNER - 1) / INNER : (own0 + rows + INNER - 1) / INNER) - first_tile;
    int num_tiles = tiles_per_head * (OF_KEYS ? group : 1);
    const bf16 *q = p.q + sequence * p.q_stride, *d_out = p.d_out + sequence * p.q_stride;
    const bf16 *k = p.k + sequence * p.kv_stride + kv_head * p.head_dim;
    const bf16 *v = p.v + sequence * p.kv_stride + kv_head * p.head_dim;

    auto fetch = [&](int tile) {
        int stage = tile % 2, row0 = (first_tile + tile % tiles_per_head) * INNER, count = min(INNER, t - row0);
        bf16 *to1 = y1 + stage * INNER * TILE_STRIDE, *to2 = y2 + stage * INNER * TILE_STRIDE;
        if (OF_KEYS) {
            int head = kv_head * group + tile / tiles_per_head;
            long long start = (long long)row0 * p.q_stride + head * p.head_dim;
            load_tile<INNER>(to1, q + start, p.q_stride, count, p.head_dim);
            load_tile<INNER>(to2, d_out + start, p.q_stride, count, p.head_dim);
            const float2 *from = statistics + (long long)head * t + row0;
            for (int i = threadIdx.x; i < INNER; i += THREADS)
                copy_8(of_rows + stage * INNER + i, i < count ? from + i : from, i < count);
        } else {
            long long start = (long long)row0 * p.kv_stride;
            load_tile<INNER>(to1, k + start, p.kv_stride, count, p.head_dim);
            load_tile<INNER>(to2, v + start, p.kv_stride, count, p.head_dim);
        }
        commit_copies();
    };

    long long own_start = OF_KEYS ? (long long)own0 * p.kv_stride : (long long)own0 * p.q_stride + blockIdx.y * p.head_dim;
    int own_stride = OF_KEYS ? p.kv_stride : p.q_stride;
    load_tile<OWN>(x1, (OF_KEYS ? k : q) + own_start, own_stride, rows, p.head_dim);
    load_tile<OWN>(x2, (OF_KEYS ? v : d_out) + own_start, own_stride, rows, p.head_dim);
    fetch(0);

    // Statistics of this lane's own rows, in the pass over queries.
    float2 of_own[ROW_TILES][2] = {};
    if (!OF_KEYS)
#pragma unroll
        for (int m = 0; m < ROW_TILES; ++m)
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                int row = warp_row + 16 * m + 8 * half + lane / 4;
                if (row < rows) of_own[m][half] = statistics[(long long)blockIdx.y * t + own0 + row];
            }

    float d1[ROW_TILES][HEAD / 8][4] = {}, d2[OF_KEYS ? ROW_TILES : 1][HEAD / 8][4] = {};
    for (int tile = 0; tile < num_tiles; ++tile) {
        wait_for_copies<0>();
        __syncthreads(); // this tile is here, and nobody reads the last one any more
        if (tile + 1 < num_tiles) fetch(tile + 1);
        if (warp_row >= rows) continue;
        int stage = tile % 2, inner0 = (first_tile + tile % tiles_per_head) * INNER;
#pragma unroll 1
        for (int piece = 0; piece < INNER; piece += PIECE) {
            // Row r of this warp and column c of the piece: key − query = r − c + lead, or its negative.
            int lead = own0 + warp_row - (inner0 + piece);
            if (inner0 + piece >= t || (OF_KEYS ? lead > PIECE - 1 : lead + WARP_ROWS - 1 < 0)) continue;
            const bf16 *y1_rows = y1 + (stage * INNER + piece) * TILE_STRIDE;
            const bf16 *y2_rows = y2 + (stage * INNER + piece) * TILE_STRIDE;
            float s[ROW_TILES][PIECE / 8][4] = {};
#pragma unroll
            for (int step = 0; step < HEAD / 16; ++step) {
                unsigned a[ROW_TILES][4], b[4];
#pragma unroll
                for (int m = 0; m < ROW_TILES; ++m) load_tiles(a[m], left_block(x1, warp_row + 16 * m, 16 * step));
#pragma unroll
                for (int n = 0; n < PIECE / 16; ++n) {
                    load_tiles(b, right_block(y1_rows, 16 * n, 16 * step));
#pragma unroll
                    for (int m = 0; m < ROW_TILES; ++m) {
                        multiply(s[m][2 * n], a[m], b[0], b[1]);
                        multiply(s[m][2 * n + 1], a[m], b[2], b[3]);
                    }
                }
            }
            bool masked = OF_KEYS ? lead + WARP_ROWS - 1 > 0 : lead < PIECE - 1;
#pragma unroll
            for (int n = 0; n < PIECE / 8; ++n)
#pragma unroll
                for (int i = 0; i < 2; ++i) {
                    int column = 8 * n + lane % 4 * 2 + i;
                    float of_column = OF_KEYS ? of_rows[stage * INNER + piece + column].x : 0;
#pragma unroll
                    for (int m = 0; m < ROW_TILES; ++m)
#pragma unroll
                        for (int half = 0; half < 2; ++half) {
                            float &score = s[m][n][2 * half + i];
                            int ahead = lead + 16 * m + 8 * half + lane / 4 - column;
                            bool hidden = masked && (OF_KEYS ? ahead > 0 : ahead < 0);
                            score = hidden ? 0.0f : power_of_two(score * c - (OF_KEYS ? of_column : of_own[m][half].x));
                        }
                }
            float dp[ROW_TILES][PIECE / 8][4] = {};
#pragma unroll
            for (int step = 0; step < HEAD / 16; ++step) {
                unsigned a[ROW_TILES][4], b[4];
#pragma unroll
                for (int m = 0; m < ROW_TILES; ++m) load_tiles(a[m], left_block(x2, warp_row + 16 * m, 16 * step));
#pragma unroll
                for (int n = 0; n < PIECE / 16; ++n) {
                    load_tiles(b, right_block(y2_rows, 16 * n, 16 * step));
#pragma unroll
                    for (int m = 0; m < ROW_TILES; ++m) {
                        multiply(dp[m][2 * n], a[m], b[0], b[1]);
                        multiply(dp[m][2 * n + 1], a[m], b[2], b[3]);
                    }
                }
            }
#pragma unroll
            for (int n = 0; n < PIECE / 8; ++n)
#pragma unroll
                for (int i = 0; i < 2; ++i) {
                    int column = 8 * n + lane % 4 * 2 + i;
                    float of_column = OF_KEYS ? of_rows[stage * INNER + piece + column].y : 0;
#pragma unroll
                    for (int m = 0; m < ROW_TILES; ++m)
#pragma unroll
                        for (int half = 0; half < 2; ++half) {
                            float &d_score = dp[m][n][2 * half + i];
                            d_score = s[m][n][2 * half + i] * (d_score - (OF_KEYS ? of_column : of_own[m][half].y));
                        }
                }
#pragma unroll
            for (int step = 0; step < PIECE / 16; ++step) {
                unsigned a[ROW_TILES][4], b[4];
#pragma unroll
                for (int m = 0; m < ROW_TILES; ++m)
#pragma unroll
                    for (int i = 0; i < 4; ++i) {
                        const float(&pair)[4] = dp[m][2 * step + i / 2];
                        a[m][i] = pack(pair[i % 2 * 2], pair[i % 2 * 2 + 1]);
                    }
#pragma unroll
                for (int n = 0; n < HEAD / 16; ++n) {
                    load_tiles_transposed(b, right_block_transposed(y1_rows, 16 * step, 16 * n));
#pragma unroll
                    for (int m = 0; m < ROW_TILES; ++m) {
                        multiply(d1[m][2 * n], a[m], b[0], b[1]);
                        multiply(d1[m][2 * n + 1], a[m], b[2], b[3]);
                    }
                }
                if constexpr (OF_KEYS) {
#pragma unroll
                    for (int m = 0; m < ROW_TILES; ++m)
#pragma unroll
                        for (int i = 0; i < 4; ++i) {
                            const float(&pair)[4] = s[m][2 * step + i / 2];
                            a[m][i] = pack(pair[i % 2 * 2], pair[i % 2 * 2 + 1]);
                        }
#pragma unroll
                    for (int n = 0; n < HEAD / 16; ++n) {
                        load_tiles_transposed(b, right_block_transposed(y2_rows, 16 * step, 16 * n));
#pragma unroll
                        for (int m = 0; m < ROW_TILES; ++m) {
                            multiply(d2[m][2 * n], a[m], b[0], b[1]);
                            multiply(d2[m][2 * n + 1], a[m], b[2], b[3]);
                        }
                    }
                }
            }
        }
    }

    if (warp_row >= rows) return;
    float factors[ROW_TILES][2];
#pragma unroll
    for (int m = 0; m < ROW_TILES; ++m) factors[m][0] = factors[m][1] = scale;
    long long start = (sequence + own0 + warp_row) * own_stride + (int)blockIdx.y * p.head_dim;
    store_tile<ROW_TILES>(p.d1 + start, own_stride, rows - warp_row, p.head_dim, x1 + warp_row * TILE_STRIDE, d1, factors);
    if constexpr (OF_KEYS) {
#pragma unroll
        for (int m = 0; m < ROW_TILES; ++m) factors[m][0] = factors[m][1] = 1.0f;
        store_tile<ROW_TILES>(p.d2 + start, own_stride, rows - warp_row, p.head_dim, x2 + warp_row * TILE_STRIDE, d2, factors);
    }
}

/// Grid: key blocks × kv heads × sequences.
extern "C" __global__ void __launch_bounds__(THREADS, 2)
    attention_backward_keys(bf16 *d_k, bf16 *d_v, const bf16 *q, const bf16 *k, const bf16 *v, const bf16 *d_out,
                            const float2 *statistics, int q_stride, int kv_stride, int context_length, int num_heads,
                            int num_kv_heads, int head_dim) {
    backward<true>({d_k, d_v, q, k, v, d_out, statistics, q_stride, kv_stride, context_length, num_heads, num_kv_heads,
                    head_dim});
}

/// Grid: row blocks × heads × sequences.
extern "C" __global__ void __launch_bounds__(THREADS, 2)
    attention_backward_queries(bf16 *d_q, const bf16 *q, const bf16 *k, const bf16 *v, const bf16 *d_out,
                               const float2 *statistics, int q_stride, int kv_stride, int context_length, int num_heads,
                               int num_kv_heads, int head_dim) {
    backward<false>({d_q, nullptr, q, k, v, d_out, statistics, q_stride, kv_stride, context_length, num_heads,
                     num_kv_heads, head_dim});
}
