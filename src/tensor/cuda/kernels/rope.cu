// Rotary position embedding in place (Su et al. 2021, arXiv:2104.09864), halves convention of Hugging Face.
//
//   angle(t, p) = t · θ^(−2p/h), t = P + row mod T; P is read from memory, 0 where `past` is null
//   x_p ← x_p cos − x_{p+h/2} sin,  x_{p+h/2} ← x_{p+h/2} cos + x_p sin       the inverse turns by −angle
//
// Where h/2 is a multiple of 8 a thread turns eight pairs, else one.

template <class T>
__device__ __forceinline__ void rope(T *x, const float *cos, const float *sin, const unsigned *past, int rows,
                                     int num_heads, int head_dim, int stride, int table_stride, int context_length,
                                     float sign) {
    int half = head_dim / 2, first = past ? *past : 0;
    bool wide = half % 8 == 0;
    int units = wide ? half / 8 : half, per_row = num_heads * units;
    long long n = (long long)rows * per_row;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x) {
        long long row = i / per_row;
        int unit = i % per_row, head = unit / units, p = unit % units * (wide ? 8 : 1);
        T *low = x + row * stride + head * head_dim + p, *high = low + half;
        long long angle = (first + row % context_length) * table_stride + p;
        if (wide) {
            Eight a = load_eight(low), b = load_eight(high), c = load_eight(cos + angle), s = load_eight(sin + angle);
            Eight turned_low, turned_high;
#pragma unroll
            for (int j = 0; j < 8; ++j) {
                turned_low.v[j] = a.v[j] * c.v[j] - b.v[j] * sign * s.v[j];
                turned_high.v[j] = b.v[j] * c.v[j] + a.v[j] * sign * s.v[j];
            }
            store_eight(low, turned_low);
            store_eight(high, turned_high);
        } else {
            float a = to_float(*low), b = to_float(*high), c = cos[angle], s = sign * sin[angle];
            put(low, a * c - b * s);
            put(high, b * c + a * s);
        }
    }
}
extern "C" __global__ void rope_f32(float *x, const float *cos, const float *sin, const unsigned *past, int rows,
                                    int num_heads, int head_dim, int stride, int table_stride, int context_length,
                                    float sign) {
    rope(x, cos, sin, past, rows, num_heads, head_dim, stride, table_stride, context_length, sign);
}
extern "C" __global__ void rope_bf16(bf16 *x, const float *cos, const float *sin, const unsigned *past, int rows,
                                     int num_heads, int head_dim, int stride, int table_stride, int context_length,
                                     float sign) {
    rope(x, cos, sin, past, rows, num_heads, head_dim, stride, table_stride, context_length, sign);
}
