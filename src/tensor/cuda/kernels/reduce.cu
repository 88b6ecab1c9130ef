// Sums in one fixed order, whatever the device: pieces are cut by shape alone and added in f64, in order.
//
//   sum_values     out ← Σ values                                    one block
//   add_pieces     out[c] += Σ_p partial[p, c]                       second stage of column sums
//   sum_columns    partial[p, c] ← Σ_{r in piece p} x_rc             first stage: the gradient of a bias
//   score_columns  partial[p, c] ← Σ_{r in piece p} s_rc             s = w², |w·g| or |w·g − ½w²F| (method §2)
//   score_rows     out[r] ← Σ_c s_rc
#define COLUMNS 32
#define GROUPS 8

extern "C" __global__ void sum_values(double *out, const double *values, int count) {
    __shared__ double scratch[32];
    double sum = 0;
    for (int i = threadIdx.x; i < count; i += blockDim.x) sum += values[i];
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) *out = sum;
}

/// A block of COLUMNS × GROUPS threads: group g adds its share of consecutive pieces, then groups are added in order.
template <class T> __device__ __forceinline__ void add_pieces(T *out, const T *partial, int pieces, int width, int stride) {
    __shared__ T sums[GROUPS][COLUMNS];
    int column = blockIdx.x * COLUMNS + threadIdx.x % COLUMNS, group = threadIdx.x / COLUMNS;
    int share = (pieces + GROUPS - 1) / GROUPS, last = min(pieces, (group + 1) * share);
    T sum = 0;
    if (column < width)
        for (int p = group * share; p < last; ++p) sum += partial[(long long)p * stride + column];
    sums[group][threadIdx.x % COLUMNS] = sum;
    __syncthreads();
    if (group == 0 && column < width) {
        T total = 0;
        for (int g = 0; g < GROUPS; ++g) total += sums[g][threadIdx.x];
        out[column] += total;
    }
}
extern "C" __global__ void add_pieces_f32(float *out, const float *partial, int pieces, int width, int stride) {
    add_pieces(out, partial, pieces, width, stride);
}
extern "C" __global__ void add_pieces_f64(double *out, const double *partial, int pieces, int width, int stride) {
    add_pieces(out, partial, pieces, width, stride);
}

template <class T>
__device__ __forceinline__ void sum_columns(float *partial, const T *x, int rows, int stride, int piece_rows) {
    int at = 8 * (blockIdx.x * blockDim.x + threadIdx.x);
    if (at >= stride) return;
    int first = blockIdx.y * piece_rows, last = min(rows, first + piece_rows);
    Eight sum = {{0, 0, 0, 0, 0, 0, 0, 0}};
    for (int r = first; r < last; ++r) {
        Eight e = load_eight(x + (long long)r * stride + at);
#pragma unroll
        for (int j = 0; j < 8; ++j) sum.v[j] += e.v[j];
    }
    store_eight(partial + (long long)blockIdx.y * stride + at, sum);
}
extern "C" __global__ void sum_columns_f32(float *partial, const float *x, int rows, int stride, int piece_rows) {
    sum_columns(partial, x, rows, stride, piece_rows);
}
extern "C" __global__ void sum_columns_bf16(float *partial, const bf16 *x, int rows, int stride, int piece_rows) {
    sum_columns(partial, x, rows, stride, piece_rows);
}

/// `score`: 0 magnitude, 1 first order, 2 mixed; `grad` and `fisher` are read only where it needs them.
__device__ __forceinline__ float element_score(int score, const float *weight, const float *grad, const float *fisher,
                                               long long i) {
    float w = weight[i];
    if (score == 0) return w * w;
    if (score == 1) return fabsf(w * grad[i]);
    return fabsf(w * grad[i] - 0.5f * (w * w) * fisher[i]);
}

extern "C" __global__ void score_columns(double *partial, const float *weight, const float *grad, const float *fisher,
                                         int score, int rows, int cols, int stride, int piece_rows) {
    int column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= cols) return;
    int first = blockIdx.y * piece_rows, last = min(rows, first + piece_rows);
    double sum = 0;
    for (int r = first; r < last; ++r)
        sum += element_score(score, weight, grad, fisher, (long long)r * stride + column);
    partial[(long long)blockIdx.y * stride + column] = sum;
}

extern "C" __global__ void score_rows(double *out, const float *weight, const float *grad, const float *fisher, int score,
                                      int cols, int stride) {
    __shared__ double scratch[32];
    double sum = 0;
    for (int c = threadIdx.x; c < cols; c += blockDim.x)
        sum += element_score(score, weight, grad, fisher, (long long)blockIdx.x * stride + c);
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) out[blockIdx.x] = sum;
}
