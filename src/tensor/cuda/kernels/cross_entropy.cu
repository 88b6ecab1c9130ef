// Softmax cross-entropy of a chunk of rows of logits, a block a row; the logits are read twice and written once.
//
//   loss_n = log Σ_v exp z_nv − z_n,target          dz = scale · (softmax(z) − onehot(target))
//
//   entropy_n = −Σ_v p log p, p = softmax(z)         dz = −scale · p (log p + entropy)
//
// `logits` rows × V in f32 with `stride`; columns from V on are padding: they enter no sum, and their gradient is zero. In
// f32 the gradient may overwrite the logits. Sums: each thread over its own columns, then the block in a fixed order.

__device__ __forceinline__ float block_max(float x, float *scratch) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, distance));
    __syncthreads();
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = x;
    __syncthreads();
    for (int warp = 0; warp < (int)blockDim.x / 32; ++warp) x = fmaxf(x, scratch[warp]);
    return x;
}

/// Largest logit and Σ exp(z − largest) of a row, the same in every thread.
__device__ __forceinline__ float2 softmax_statistics(const float *row, int vocab) {
    __shared__ float scratch[32];
    const float least = -3.0e38f;
    float largest = least, sum = 0;
    for (int v = 8 * threadIdx.x; v < vocab; v += 8 * blockDim.x) {
        Eight z = load_eight(row + v);
        float here = largest;
#pragma unroll
        for (int j = 0; j < 8; ++j) here = fmaxf(here, v + j < vocab ? z.v[j] : least);
        sum *= __expf(largest - here);
        largest = here;
#pragma unroll
        for (int j = 0; j < 8; ++j) sum += v + j < vocab ? __expf(z.v[j] - here) : 0.0f;
    }
    float overall = block_max(largest, scratch);
    sum = block_sum(sum * __expf(largest - overall), scratch);
    return float2{overall, sum};
}

/// −log softmax(z)_target
__device__ __forceinline__ double surprise(float2 statistics, float target_logit) {
    return log((double)statistics.y) + ((double)statistics.x - (double)target_logit);
}

template <class T>
__device__ __forceinline__ void cross_entropy(T *d_logits, double *losses, const float *logits, const unsigned *targets,
                                              int vocab, int stride, float scale) {
    const float *row = logits + (long long)blockIdx.x * stride;
    int target = targets[blockIdx.x];
    float target_logit = row[target];
    float2 statistics = softmax_statistics(row, vocab);
    if (threadIdx.x == 0) losses[blockIdx.x] = surprise(statistics, target_logit);
    float factor = scale / statistics.y;
    for (int v = 8 * threadIdx.x; v < stride; v += 8 * blockDim.x) {
        Eight z = load_eight(row + v);
#pragma unroll
        for (int j = 0; j < 8; ++j) {
            float p = v + j < vocab ? __expf(z.v[j] - statistics.x) * factor : 0.0f;
            z.v[j] = v + j == target ? p - scale : p;
        }
        store_eight(d_logits + (long long)blockIdx.x * stride + v, z);
    }
}
extern "C" __global__ void cross_entropy_f32(float *d_logits, double *losses, const float *logits,
                                             const unsigned *targets, int vocab, int stride, float scale) {
    cross_entropy(d_logits, losses, logits, targets, vocab, stride, scale);
}
extern "C" __global__ void cross_entropy_bf16(bf16 *d_logits, double *losses, const float *logits,
                                              const unsigned *targets, int vocab, int stride, float scale) {
    cross_entropy(d_logits, losses, logits, targets, vocab, stride, scale);
}

/// With e = z − max: entropy = ln Σ exp e − Σ p e, and log p + entropy = e − Σ p e.
template <class T>
__device__ __forceinline__ void entropy(T *d_logits, double *entropies, const float *logits, int vocab, int stride,
                                        float scale) {
    __shared__ float scratch[32];
    const float *row = logits + (long long)blockIdx.x * stride;
    float2 statistics = softmax_statistics(row, vocab);
    float mean = 0;
    for (int v = threadIdx.x; v < vocab; v += blockDim.x) {
        float e = row[v] - statistics.x;
        mean += __expf(e) * e;
    }
    mean = block_sum(mean, scratch) / statistics.y;
    if (threadIdx.x == 0) entropies[blockIdx.x] = log((double)statistics.y) - (double)mean;
    float factor = -scale / statistics.y;
    for (int v = 8 * threadIdx.x; v < stride; v += 8 * blockDim.x) {
        Eight z = load_eight(row + v);
#pragma unroll
        for (int j = 0; j < 8; ++j) {
            float e = z.v[j] - statistics.x;
            z.v[j] = v + j < vocab ? __expf(e) * factor * (e - mean) : 0.0f;
        }
        store_eight(d_logits + (long long)blockIdx.x * stride + v, z);
    }
}
extern "C" __global__ void entropy_f32(float *d_logits, double *entropies, const float *logits, const unsigned *,
                                       int vocab, int stride, float scale) {
    entropy(d_logits, entropies, logits, vocab, stride, scale);
}
extern "C" __global__ void entropy_bf16(bf16 *d_logits, double *entropies, const float *logits, const unsigned *,
                                        int vocab, int stride, float scale) {
    entropy(d_logits, entropies, logits, vocab, stride, scale);
}

extern "C" __global__ void log_probability(double *out, const float *logits, const unsigned *targets, int vocab,
                                           int stride) {
    const float *row = logits + (long long)blockIdx.x * stride;
    float target_logit = row[targets[blockIdx.x]];
    float2 statistics = softmax_statistics(row, vocab);
    if (threadIdx.x == 0) out[blockIdx.x] = -surprise(statistics, target_logit);
}
