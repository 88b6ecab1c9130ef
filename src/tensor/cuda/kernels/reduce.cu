// Sums in one fixed order, whatever the device: pieces are cut by shape alone and added in f64, in order.
//
//   sum_values     out ← Σ values                                    one block
//   add_pieces     out[c] += Σ_p partial[p, c]                       second stage of column sums
//   sum_columns    partial[p, c] ← Σ_{r in piece p} x_rc             first stage: the gradient of a bias
//   score_columns  partial[p, c] ← Σ_{r in piece p} s_rc             s: `base::element_score`
//   add_score_pieces  by_col[c] ← Σ_p partial[p, c]
//   score_rows     by_row[r] ← Σ_c s_rc
//
// Scores are summed over many tensors in one grid; a block finds its tensor by bisection.
#define COLUMNS 32
#define GROUPS 8

extern "C" __global__ void sum_values(double *out, const double *values, int count) {
    __shared__ double scratch[32];
    double sum = 0;
    for (int i = threadIdx.x; i < count; i += blockDim.x) sum += values[i];
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) *out = sum;
}

/// Σ_p partial[p, column] over a block of COLUMNS × GROUPS threads: group g adds its share of consecutive pieces, then groups
/// are added in order. Group 0 holds the result.
template <class T>
__device__ __forceinline__ T sum_of_pieces(const T *partial, int pieces, int column, int width, int stride) {
    __shared__ T sums[GROUPS][COLUMNS];
    int group = threadIdx.x / COLUMNS;
    int share = (pieces + GROUPS - 1) / GROUPS, last = min(pieces, (group + 1) * share);
    T sum = 0;
    if (column < width)
        for (int p = group * share; p < last; ++p) sum += partial[(long long)p * stride + column];
    sums[group][threadIdx.x % COLUMNS] = sum;
    __syncthreads();
    T total = 0;
    if (group == 0)
        for (int g = 0; g < GROUPS; ++g) total += sums[g][threadIdx.x];
    return total;
}
extern "C" __global__ void add_pieces_f32(float *out, const float *partial, int pieces, int width, int stride) {
    int column = blockIdx.x * COLUMNS + threadIdx.x % COLUMNS;
    float total = sum_of_pieces(partial, pieces, column, width, stride);
    if (threadIdx.x < COLUMNS && column < width) out[column] += total;
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

/// A tensor to score, where its sums go, and its first blocks in the three grids.
struct ScoredLeaf {
    const float *weight, *grad, *fisher;
    double *partial, *by_row, *by_col;
    unsigned rows, cols, stride, first_row, first_tile, first_strip;
};

/// `score`: the number of an `ElementScore`; gradient and Fisher diagonal are read only where it needs them.
__device__ __forceinline__ float element_score(int score, const ScoredLeaf *leaf, long long i) {
    float w = leaf->weight[i];
    switch (score) {
    case 0: return w * w;
    case 1: return fabsf(w * leaf->grad[i]);
    case 2: return fabsf(w * leaf->grad[i] - 0.5f * (w * w) * leaf->fisher[i]);
    case 3: return fabsf(w);
    case 4: return w * w * leaf->fisher[i];
    case 5: return w * leaf->grad[i];
    default: return fabsf(w * leaf->grad[i]) / (sqrtf(leaf->fisher[i]) + 1e-8f);
    }
}

/// A block works on one row.
extern "C" __global__ void score_rows(const ScoredLeaf *leaves, int count, int score) {
    __shared__ double scratch[32];
    const ScoredLeaf *leaf = leaves + place_of(count, blockIdx.x, [&](int i) { return leaves[i].first_row; });
    unsigned row = blockIdx.x - leaf->first_row;
    double sum = 0;
    for (unsigned c = threadIdx.x; c < leaf->cols; c += blockDim.x)
        sum += element_score(score, leaf, (long long)row * leaf->stride + c);
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) leaf->by_row[row] = sum;
}

/// A block works on a tile: as many columns as it has threads, of one piece.
extern "C" __global__ void score_columns(const ScoredLeaf *leaves, int count, int score, int piece_rows) {
    const ScoredLeaf *leaf = leaves + place_of(count, blockIdx.x, [&](int i) { return leaves[i].first_tile; });
    unsigned tiles = (leaf->cols + blockDim.x - 1) / blockDim.x, tile = blockIdx.x - leaf->first_tile;
    unsigned piece = tile / tiles, column = tile % tiles * blockDim.x + threadIdx.x;
    if (column >= leaf->cols) return;
    unsigned first = piece * piece_rows, last = min(leaf->rows, first + piece_rows);
    double sum = 0;
    for (unsigned r = first; r < last; ++r) sum += element_score(score, leaf, (long long)r * leaf->stride + column);
    leaf->partial[(long long)piece * leaf->stride + column] = sum;
}

/// A block works on a strip of COLUMNS columns.
extern "C" __global__ void add_score_pieces(const ScoredLeaf *leaves, int count, int piece_rows) {
    const ScoredLeaf *leaf = leaves + place_of(count, blockIdx.x, [&](int i) { return leaves[i].first_strip; });
    int pieces = (leaf->rows + piece_rows - 1) / piece_rows, width = leaf->cols;
    int column = (blockIdx.x - leaf->first_strip) * COLUMNS + threadIdx.x % COLUMNS;
    double total = sum_of_pieces(leaf->partial, pieces, column, width, (int)leaf->stride);
    if (threadIdx.x < COLUMNS && column < width) leaf->by_col[column] = total;
}
