// Moving rows and columns about: gathers of pruning, embedding rows, and the zeros between a width and its stride.
//
//   clear_padding   x[r, cols..stride] ← 0
//   select          out[r, c] ← x[rows[r], cols[c]]            (null keeps all)
//   fold            out[i, j] ← Σ x[i·rows + r, j·cols + c] over a block of rows × cols
//   gather_rows     out[n, :] ← table[tokens[n], :]
//   scatter_rows    table[t, :] += Σ_{n: tokens[n] = t} d_out[n, :]
//
// `places` lists token and place n of all rows, sorted; a token's places are a run of neighbours. The list is cut into pieces of
// PIECE places, however often a token occurs. Runs within a piece are added to the table at once; the parts of others are joined
// in order afterwards (join_pieces). Every row has one writer at a time and every sum one order.

template <class T> __device__ __forceinline__ void clear_padding(T *x, int rows, int cols, int stride) {
    int width = stride - cols;
    long long n = (long long)rows * width;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x)
        x[i / width * stride + cols + i % width] = 0;
}
extern "C" __global__ void clear_padding_f32(float *x, int rows, int cols, int stride) {
    clear_padding(x, rows, cols, stride);
}
extern "C" __global__ void clear_padding_bf16(bf16 *x, int rows, int cols, int stride) {
    clear_padding(x, rows, cols, stride);
}

template <class T>
__device__ __forceinline__ void select(T *out, const T *x, const unsigned *rows, const unsigned *cols, int num_rows,
                                       int num_cols, int out_stride, int stride) {
    long long n = (long long)num_rows * num_cols;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x) {
        int r = i / num_cols, c = i % num_cols;
        long long from_row = rows ? rows[r] : r, from_col = cols ? cols[c] : c;
        out[(long long)r * out_stride + c] = x[from_row * stride + from_col];
    }
}
extern "C" __global__ void select_f32(float *out, const float *x, const unsigned *rows, const unsigned *cols,
                                      int num_rows, int num_cols, int out_stride, int stride) {
    select(out, x, rows, cols, num_rows, num_cols, out_stride, stride);
}
extern "C" __global__ void select_bf16(bf16 *out, const bf16 *x, const unsigned *rows, const unsigned *cols,
                                       int num_rows, int num_cols, int out_stride, int stride) {
    select(out, x, rows, cols, num_rows, num_cols, out_stride, stride);
}

/// A thread adds up one block.
template <class T>
__device__ __forceinline__ void fold(float *out, const T *x, int out_rows, int out_cols, int rows, int cols, int out_stride,
                                     int stride) {
    long long n = (long long)out_rows * out_cols;
    for (long long k = (long long)blockIdx.x * blockDim.x + threadIdx.x; k < n; k += (long long)gridDim.x * blockDim.x) {
        long long i = k / out_cols, j = k % out_cols;
        float sum = 0;
        for (int r = 0; r < rows; ++r)
            for (int c = 0; c < cols; ++c) sum += to_float(x[(i * rows + r) * stride + j * cols + c]);
        out[i * out_stride + j] = sum;
    }
}
extern "C" __global__ void fold_f32(float *out, const float *x, int out_rows, int out_cols, int rows, int cols,
                                    int out_stride, int stride) {
    fold(out, x, out_rows, out_cols, rows, cols, out_stride, stride);
}
extern "C" __global__ void fold_bf16(float *out, const bf16 *x, int out_rows, int out_cols, int rows, int cols,
                                     int out_stride, int stride) {
    fold(out, x, out_rows, out_cols, rows, cols, out_stride, stride);
}

template <class Y, class X>
__device__ __forceinline__ void gather_rows(Y *out, const X *table, const unsigned *tokens, int count, int stride) {
    int width = stride / 8;
    long long n = (long long)count * width;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x) {
        long long row = tokens[i / width];
        int at = i % width * 8;
        store_eight(out + i / width * stride + at, load_eight(table + row * stride + at));
    }
}
extern "C" __global__ void gather_rows_f32_f32(float *out, const float *table, const unsigned *tokens, int count,
                                               int stride) {
    gather_rows(out, table, tokens, count, stride);
}
extern "C" __global__ void gather_rows_bf16_f32(bf16 *out, const float *table, const unsigned *tokens, int count,
                                                int stride) {
    gather_rows(out, table, tokens, count, stride);
}
extern "C" __global__ void gather_rows_bf16_bf16(bf16 *out, const bf16 *table, const unsigned *tokens, int count,
                                                 int stride) {
    gather_rows(out, table, tokens, count, stride);
}

#define PIECE 32
#define AHEAD 4 // rows on their way while others are added

__device__ __forceinline__ void add(Eight &sum, const Eight &x) {
#pragma unroll
    for (int j = 0; j < 8; ++j) sum.v[j] += x.v[j];
}
__device__ __forceinline__ void add_to(float *at, Eight sum) {
    add(sum, load_eight(at));
    store_eight(at, sum);
}

/// Grid: pieces × blocks of columns. `partial` holds two rows of each piece: of a run that began before it, and of one that begins
/// in it and goes on after it.
template <class T>
__device__ __forceinline__ void scatter_rows(float *table, float *partial, const T *d_out, const uint2 *places, int count,
                                             int stride) {
    int at = 8 * (blockIdx.y * blockDim.x + threadIdx.x), first = blockIdx.x * PIECE;
    if (at >= stride) return;
    bool began_before = first > 0 && places[first - 1].x == places[first].x;
    Eight sum = {};
    for (int start = first; start < min(count, first + PIECE); start += AHEAD) {
        Eight ahead[AHEAD];
#pragma unroll
        for (int j = 0; j < AHEAD; ++j)
            if (start + j < count) ahead[j] = load_eight(d_out + (long long)places[start + j].y * stride + at);
#pragma unroll
        for (int j = 0; j < AHEAD; ++j) {
            int i = start + j;
            if (i >= count) break;
            unsigned token = places[i].x;
            bool ends = i + 1 == count || places[i + 1].x != token;
            add(sum, ahead[j]);
            if (ends && !began_before)
                add_to(table + (long long)token * stride + at, sum);
            else if (ends || i + 1 == first + PIECE)
                store_eight(partial + (2ll * blockIdx.x + !began_before) * stride + at, sum);
            if (ends) {
                sum = {};
                began_before = false;
            }
        }
    }
}
extern "C" __global__ void scatter_rows_f32(float *table, float *partial, const float *d_out, const uint2 *places, int count,
                                            int stride) {
    scatter_rows(table, partial, d_out, places, count, stride);
}
extern "C" __global__ void scatter_rows_bf16(float *table, float *partial, const bf16 *d_out, const uint2 *places, int count,
                                             int stride) {
    scatter_rows(table, partial, d_out, places, count, stride);
}

/// Grid: pieces but the last × blocks of columns; the block of the piece in which a run begins adds its parts.
extern "C" __global__ void join_pieces(float *table, const float *partial, const uint2 *places, int count, int stride) {
    int at = 8 * (blockIdx.y * blockDim.x + threadIdx.x), first = blockIdx.x * PIECE, next = first + PIECE;
    unsigned token = places[next - 1].x;
    bool goes_on = places[next].x == token, began_before = first > 0 && places[first - 1].x == token;
    if (at >= stride || !goes_on || began_before) return;
    Eight sum = load_eight(partial + (2ll * blockIdx.x + 1) * stride + at);
    for (long long piece = blockIdx.x + 1; next < count && places[next].x == token; ++piece, next += PIECE)
        add(sum, load_eight(partial + 2 * piece * stride + at));
    add_to(table + (long long)token * stride + at, sum);
}
