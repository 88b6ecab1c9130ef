// What the attention passes share: the tile in shared memory and its traffic.
//
// HEAD, a macro of the compilation, is the head dimension rounded up to a multiple of 16; the columns from head_dim on are
// zero in every tile, so they add nothing to any product. A row of a tile is HEAD + 8 elements long: an odd number of 16-byte
// chunks, so the eight rows that one phase of ldmatrix reads lie in eight different groups of banks, for every HEAD.
#pragma once
#include "span.cuh"
#include "tensor_core.cuh"

#define WARPS 4
#define THREADS (32 * WARPS)
#define TILE_STRIDE (HEAD + 8)

/// Starts filling a tile of ROWS rows with the `rows` × `head_dim` elements at `from`, zeros beyond; committed by the caller.
///
/// Heads whose width is a multiple of 8 begin at multiples of 16 bytes and are copied asynchronously; others by element.
template <int ROWS>
__device__ __forceinline__ void load_tile(bf16 *tile, const bf16 *from, int stride, int rows, int head_dim) {
    if (head_dim % 8 == 0) {
        // A thread keeps its column and steps down by as many rows as the block covers at once.
        const int chunks = HEAD / 8, step = THREADS / chunks;
        int row = threadIdx.x / chunks, column = threadIdx.x % chunks * 8, offset = row * stride + column;
        bf16 *to = tile + row * TILE_STRIDE + column;
#pragma unroll
        for (int start = 0; start < ROWS; start += step) {
            if ((ROWS % step != 0 || THREADS % chunks != 0) && (row >= step || start + row >= ROWS)) break;
            bool inside = column < head_dim && start + row < rows;
            copy_16(to + start * TILE_STRIDE, from + (inside ? offset : 0), inside);
            offset += step * stride;
        }
    } else {
        for (int i = threadIdx.x; i < ROWS * HEAD; i += THREADS) {
            int row = i / HEAD, column = i % HEAD;
            bool inside = row < rows && column < head_dim;
            tile[row * TILE_STRIDE + column] = inside ? from[(long long)row * stride + column] : bf16(0);
        }
    }
}

/// Writes the accumulators of a warp, times `factors[tile][half]` per row, through its own rows of a tile in shared memory
/// to the `rows` × `head_dim` elements at `to`, so that global memory is written in whole rows.
template <int ROW_TILES>
__device__ __forceinline__ void store_tile(bf16 *to, int stride, int rows, int head_dim, bf16 *tile,
                                           const float (&values)[ROW_TILES][HEAD / 8][4],
                                           const float (&factors)[ROW_TILES][2]) {
    int lane = threadIdx.x % 32;
    __syncwarp();
#pragma unroll
    for (int m = 0; m < ROW_TILES; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half)
#pragma unroll
            for (int n = 0; n < HEAD / 8; ++n) {
                int at = (16 * m + 8 * half + lane / 4) * TILE_STRIDE + 8 * n + lane % 4 * 2;
                *reinterpret_cast<unsigned *>(tile + at) =
                    pack(values[m][n][2 * half] * factors[m][half], values[m][n][2 * half + 1] * factors[m][half]);
            }
    __syncwarp();
    if (head_dim % 8 == 0) {
        for (int i = lane; i < 16 * ROW_TILES * (HEAD / 8); i += 32) {
            int row = i / (HEAD / 8), column = i % (HEAD / 8) * 8;
            if (row < rows && column < head_dim)
                *reinterpret_cast<uint4 *>(to + (long long)row * stride + column) =
                    *reinterpret_cast<const uint4 *>(tile + row * TILE_STRIDE + column);
        }
    } else {
        for (int i = lane; i < 16 * ROW_TILES * HEAD; i += 32) {
            int row = i / HEAD, column = i % HEAD;
            if (row < rows && column < head_dim) to[(long long)row * stride + column] = tile[row * TILE_STRIDE + column];
        }
    }
}

/// Row of a tile that this lane names to `load_tiles` for a 16 × 16 block of a left operand at (row, column).
__device__ __forceinline__ const bf16 *left_block(const bf16 *tile, int row, int column) {
    int lane = threadIdx.x % 32;
    return tile + (row + lane % 16) * TILE_STRIDE + column + lane / 16 * 8;
}
/// The same for two right operands (k × 8 each) whose 16 columns are the rows `row`… of the tile, k along its columns.
__device__ __forceinline__ const bf16 *right_block(const bf16 *tile, int row, int column) {
    int lane = threadIdx.x % 32;
    return tile + (row + lane % 8 + lane / 16 * 8) * TILE_STRIDE + column + lane / 8 % 2 * 8;
}
/// The same, with `load_tiles_transposed`, for right operands whose k runs along the rows of the tile.
__device__ __forceinline__ const bf16 *right_block_transposed(const bf16 *tile, int row, int column) {
    int lane = threadIdx.x % 32;
    return tile + (row + lane % 8 + lane / 8 % 2 * 8) * TILE_STRIDE + column + lane / 16 * 8;
}
