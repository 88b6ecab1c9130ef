// Rotary position embedding in place (Su et al. 2021, arXiv:2104.09864), halves convention of Hugging Face.
//
//   angle(t, p) = t · θ^(−2p/h), t = row mod T
//   x_p ← x_p cos − x_{p+h/2} sin,  x_{p+h/2} ← x_{p+h/2} cos + x_p sin       the inverse turns by −angle
//
//   rope            x in place, t = row mod T
//   extend_cache    q in place, k into the rows of a cache from P on, both with t = P + row, and v as it is; P is read from memory
//
// Where h/2 is a multiple of 8 a thread turns eight pairs, else one.

/// Pairs that a thread turns.
__device__ __forceinline__ int pairs(int half) { return half % 8 == 0 ? 8 : 1; }

/// The pairs of one unit of a head, whose first elements are at `from`, into the same places at `to`, which may be `from`.
template <class T>
__device__ __forceinline__ void turn(T *to, const T *from, const float *cos, const float *sin, float sign, int half) {
    if (pairs(half) == 8) {
        Eight a = load_eight(from), b = load_eight(from + half), c = load_eight(cos), s = load_eight(sin);
        Eight low, high;
#pragma unroll
        for (int j = 0; j < 8; ++j) {
            low.v[j] = a.v[j] * c.v[j] - b.v[j] * sign * s.v[j];
            high.v[j] = b.v[j] * c.v[j] + a.v[j] * sign * s.v[j];
        }
        store_eight(to, low);
        store_eight(to + half, high);
    } else {
        float a = to_float(*from), b = to_float(from[half]), c = *cos, s = sign * *sin;
        put(to, a * c - b * s);
        put(to + half, b * c + a * s);
    }
}
/// As `turn`, by an angle of zero.
template <class T> __device__ __forceinline__ void copy(T *to, const T *from, int half) {
    for (int at = 0; at <= half; at += half)
        if (pairs(half) == 8)
            store_eight(to + at, load_eight(from + at));
        else
            to[at] = from[at];
}

template <class T>
__device__ __forceinline__ void rope(T *x, const float *cos, const float *sin, int rows, int num_heads, int head_dim,
                                     int stride, int table_stride, int context_length, float sign) {
    int half = head_dim / 2, units = half / pairs(half), per_row = num_heads * units;
    long long n = (long long)rows * per_row;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x) {
        long long row = i / per_row;
        int unit = i % per_row, p = unit % units * pairs(half);
        T *at = x + row * stride + unit / units * head_dim + p;
        long long angle = row % context_length * table_stride + p;
        turn(at, at, cos + angle, sin + angle, sign, half);
    }
}
extern "C" __global__ void rope_f32(float *x, const float *cos, const float *sin, int rows, int num_heads, int head_dim,
                                    int stride, int table_stride, int context_length, float sign) {
    rope(x, cos, sin, rows, num_heads, head_dim, stride, table_stride, context_length, sign);
}
extern "C" __global__ void rope_bf16(bf16 *x, const float *cos, const float *sin, int rows, int num_heads, int head_dim,
                                     int stride, int table_stride, int context_length, float sign) {
    rope(x, cos, sin, rows, num_heads, head_dim, stride, table_stride, context_length, sign);
}

template <class T>
__device__ __forceinline__ void extend_cache(T *q, const T *k, const T *v, T *keys, T *values, const float *cos,
                                             const float *sin, const unsigned *past, int rows, int num_heads,
                                             int num_kv_heads, int head_dim, int q_stride, int kv_stride,
                                             int table_stride) {
    int half = head_dim / 2, units = half / pairs(half), per_row = (num_heads + 2 * num_kv_heads) * units;
    long long n = (long long)rows * per_row, first = *past;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x) {
        long long row = i / per_row;
        int unit = i % per_row, head = unit / units, p = unit % units * pairs(half);
        long long angle = (first + row) * table_stride + p;
        if (head < num_heads) {
            T *at = q + row * q_stride + head * head_dim + p;
            turn(at, at, cos + angle, sin + angle, 1.0f, half);
            continue;
        }
        bool is_key = head < num_heads + num_kv_heads;
        int column = (head - num_heads - (is_key ? 0 : num_kv_heads)) * head_dim + p;
        long long from = row * kv_stride + column, to = (first + row) * kv_stride + column;
        if (is_key)
            turn(keys + to, k + from, cos + angle, sin + angle, 1.0f, half);
        else
            copy(values + to, v + from, half);
    }
}
extern "C" __global__ void extend_cache_f32(float *q, const float *k, const float *v, float *keys, float *values,
                                            const float *cos, const float *sin, const unsigned *past, int rows,
                                            int num_heads, int num_kv_heads, int head_dim, int q_stride, int kv_stride,
                                            int table_stride) {
    extend_cache(q, k, v, keys, values, cos, sin, past, rows, num_heads, num_kv_heads, head_dim, q_stride, kv_stride,
                 table_stride);
}
extern "C" __global__ void extend_cache_bf16(bf16 *q, const bf16 *k, const bf16 *v, bf16 *keys, bf16 *values,
                                             const float *cos, const float *sin, const unsigned *past, int rows,
                                             int num_heads, int num_kv_heads, int head_dim, int q_stride, int kv_stride,
                                             int table_stride) {
    extend_cache(q, k, v, keys, values, cos, sin, past, rows, num_heads, num_kv_heads, head_dim, q_stride, kv_stride,
                 table_stride);
}
