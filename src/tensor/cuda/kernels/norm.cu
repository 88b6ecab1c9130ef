// RMSNorm (Zhang & Sennrich 2019, arXiv:1910.07467) over rows of logical width d (stride ≥ d, padding zero).
//
//   r_n = 1/√(Σ_c x_nc²/d + ε)          out_nc = x_nc r_n w_c
//   dx_nc += r_n w_c dy_nc − x_nc r_n³/d · Σ_c' w_c' dy_nc' x_nc'
//   dw_c  += Σ_n dy_nc x_nc r_n         in two stages: partial sums of PIECE rows, then pieces in order
//
// Forward: a warp a row. Backward: a block a piece; its warps find the projections of the rows, then each thread walks
// down the rows at its own eight columns, so every element is read from memory once and dw has one order of summation.
#define PIECE 32

template <class T>
__device__ __forceinline__ void rmsnorm(T *out, float *inv_rms, const T *x, const float *weight, int rows, int width,
                                        int stride, float epsilon) {
    int row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= rows) return;  // whole warps at once
    const T *from = x + (long long)row * stride;
    float sum = 0;
    for (int at = 8 * lane; at < stride; at += 256) {
        Eight e = load_eight(from + at);
#pragma unroll
        for (int j = 0; j < 8; ++j) sum += e.v[j] * e.v[j];
    }
    float r = 1.0f / sqrtf(warp_sum(sum) / width + epsilon);
    for (int at = 8 * lane; at < stride; at += 256) {
        Eight e = load_eight(from + at), w = load_eight(weight + at);
#pragma unroll
        for (int j = 0; j < 8; ++j) e.v[j] = e.v[j] * r * w.v[j];
        store_eight(out + (long long)row * stride + at, e);
    }
    if (lane == 0) inv_rms[row] = r;
}
extern "C" __global__ void rmsnorm_f32(float *out, float *inv_rms, const float *x, const float *weight, int rows,
                                       int width, int stride, float epsilon) {
    rmsnorm(out, inv_rms, x, weight, rows, width, stride, epsilon);
}
extern "C" __global__ void rmsnorm_bf16(bf16 *out, float *inv_rms, const bf16 *x, const float *weight, int rows,
                                        int width, int stride, float epsilon) {
    rmsnorm(out, inv_rms, x, weight, rows, width, stride, epsilon);
}

template <class T>
__device__ __forceinline__ void rmsnorm_backward(T *d_x, float *partial, const T *d_out, const T *x, const float *weight,
                                                 const float *inv_rms, int rows, int width, int stride) {
    __shared__ float along[PIECE], inverse[PIECE];
    int first = blockIdx.x * PIECE, count = min(PIECE, rows - first), lane = threadIdx.x % 32;
    for (int n = threadIdx.x / 32; n < count; n += blockDim.x / 32) {
        long long start = (long long)(first + n) * stride;
        float projection = 0;
        for (int at = 8 * lane; at < stride; at += 256) {
            Eight dy = load_eight(d_out + start + at), e = load_eight(x + start + at), w = load_eight(weight + at);
#pragma unroll
            for (int j = 0; j < 8; ++j) projection += w.v[j] * dy.v[j] * e.v[j];
        }
        projection = warp_sum(projection);
        if (lane == 0) {
            float r = inv_rms[first + n];
            inverse[n] = r;
            along[n] = projection * r * r * r / width;
        }
    }
    __syncthreads();
    for (int at = 8 * threadIdx.x; at < stride; at += 8 * blockDim.x) {
        Eight w = load_eight(weight + at), sum = {{0, 0, 0, 0, 0, 0, 0, 0}};
        for (int n = 0; n < count; ++n) {
            long long start = (long long)(first + n) * stride + at;
            Eight dy = load_eight(d_out + start), e = load_eight(x + start), dx = load_eight(d_x + start);
            float r = inverse[n], a = along[n];
#pragma unroll
            for (int j = 0; j < 8; ++j) {
                dx.v[j] += r * w.v[j] * dy.v[j] - e.v[j] * a;
                sum.v[j] += dy.v[j] * e.v[j] * r;
            }
            store_eight(d_x + start, dx);
        }
        store_eight(partial + (long long)blockIdx.x * stride + at, sum);
    }
}
extern "C" __global__ void rmsnorm_backward_f32(float *d_x, float *partial, const float *d_out, const float *x,
                                                const float *weight, const float *inv_rms, int rows, int width,
                                                int stride) {
    rmsnorm_backward(d_x, partial, d_out, x, weight, inv_rms, rows, width, stride);
}
extern "C" __global__ void rmsnorm_backward_bf16(bf16 *d_x, float *partial, const bf16 *d_out, const bf16 *x,
                                                 const float *weight, const float *inv_rms, int rows, int width,
                                                 int stride) {
    rmsnorm_backward(d_x, partial, d_out, x, weight, inv_rms, rows, width, stride);
}
