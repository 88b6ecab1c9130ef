// Moving rows and columns about: gathers of pruning, embedding rows, and the zeros between a width and its stride.
//
//   clear_padding   x[r, cols..stride] ← 0
//   select          out[r, c] ← x[rows[r], cols[c]]            (null keeps all)
//   gather_rows     out[n, :] ← table[tokens[n], :]
//   scatter_rows    table[t, :] += Σ_{n: tokens[n] = t} d_out[n, :], n ascending: `order` lists the n sorted by token (stably),
//                   segment s is order[starts[s] .. starts[s + 1]] and has one writer, so the sum has one order

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

template <class T>
__device__ __forceinline__ void scatter_rows(float *table, const T *d_out, const unsigned *tokens, const unsigned *order,
                                             const unsigned *starts, int stride) {
    unsigned first = starts[blockIdx.x], last = starts[blockIdx.x + 1];
    long long row = tokens[order[first]];
    for (int at = threadIdx.x * 8; at < stride; at += blockDim.x * 8) {
        Eight sum = load_eight(table + row * stride + at);
        for (unsigned i = first; i < last; ++i) {
            Eight d = load_eight(d_out + (long long)order[i] * stride + at);
#pragma unroll
            for (int j = 0; j < 8; ++j) sum.v[j] += d.v[j];
        }
        store_eight(table + row * stride + at, sum);
    }
}
extern "C" __global__ void scatter_rows_f32(float *table, const float *d_out, const unsigned *tokens,
                                            const unsigned *order, const unsigned *starts, int stride) {
    scatter_rows(table, d_out, tokens, order, starts, stride);
}
extern "C" __global__ void scatter_rows_bf16(float *table, const bf16 *d_out, const unsigned *tokens,
                                             const unsigned *order, const unsigned *starts, int stride) {
    scatter_rows(table, d_out, tokens, order, starts, stride);
}
