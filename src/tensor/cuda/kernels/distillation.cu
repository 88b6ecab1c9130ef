// The loss of a model that learns from another's predictions, a block a row of both models' logits (equations:
// `tensor/distillation.rs`).
//
// `logits`, `taught` rows × V in f32 with `stride`; columns from V on are padding: they enter no sum, and their gradient is
// zero. Compared are the columns whose teacher's logit is at least the `compared`-th largest of the row, which bisection
// of the ordered bits of a float finds in 32 passes. Sums: each thread over its own columns, then the block in a fixed order.

__device__ __forceinline__ float largest_of(float x, float *scratch) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, distance));
    __syncthreads();
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = x;
    __syncthreads();
    for (int warp = 0; warp < (int)blockDim.x / 32; ++warp) x = fmaxf(x, scratch[warp]);
    return x;
}

/// The bits of a float, ordered as the floats are.
__device__ __forceinline__ unsigned ordered(float x) {
    unsigned bits = __float_as_uint(x);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/// The `count`-th largest of a row, as ordered bits; 0, which every number reaches, where all count.
__device__ __forceinline__ unsigned threshold(const float *row, int vocab, int count, float *scratch) {
    if (count >= vocab) return 0;
    unsigned found = 0;
    for (int bit = 31; bit >= 0; --bit) {
        unsigned candidate = found | (1u << bit);
        float above = 0;
        for (int v = threadIdx.x; v < vocab; v += blockDim.x) above += ordered(row[v]) >= candidate ? 1.0f : 0.0f;
        if (block_sum(above, scratch) >= (float)count) found = candidate;
    }
    return found;
}

/// Largest and log Σ exp((z − largest)·inverse) over the columns whose teacher's logit reaches `least`.
__device__ __forceinline__ float2 log_sum(const float *row, const float *taught, int vocab, unsigned least, float inverse,
                                          float *scratch) {
    float largest = -3.0e38f;
    for (int v = threadIdx.x; v < vocab; v += blockDim.x)
        if (ordered(taught[v]) >= least) largest = fmaxf(largest, row[v]);
    largest = largest_of(largest, scratch);
    float sum = 0;
    for (int v = threadIdx.x; v < vocab; v += blockDim.x)
        if (ordered(taught[v]) >= least) sum += __expf((row[v] - largest) * inverse);
    return float2{largest, logf(block_sum(sum, scratch))};
}

template <class T>
__device__ __forceinline__ void distillation(T *d_logits, double *losses, const float *logits, const float *taught,
                                             const unsigned *targets, int vocab, int stride, int compared, float scale,
                                             float weight, float temperature) {
    __shared__ float scratch[32];
    const float *row = logits + (long long)blockIdx.x * stride, *teacher = taught + (long long)blockIdx.x * stride;
    int target = targets[blockIdx.x];
    float target_logit = row[target], inverse = 1.0f / temperature;
    unsigned least = threshold(teacher, vocab, compared, scratch);
    float2 all = log_sum(row, teacher, vocab, 0, 1.0f, scratch);
    float2 ours = log_sum(row, teacher, vocab, least, inverse, scratch);
    float2 theirs = log_sum(teacher, teacher, vocab, least, inverse, scratch);
    float divergence = 0;
    // In f32 the gradient may overwrite the logits: a thread reads its eight before it writes them.
    for (int v = 8 * threadIdx.x; v < stride; v += 8 * blockDim.x) {
        Eight z = load_eight(row + v), t = load_eight(teacher + v);
#pragma unroll
        for (int j = 0; j < 8; ++j) {
            bool real = v + j < vocab;
            float dz = real ? (1.0f - weight) * __expf(z.v[j] - all.x - all.y) : 0.0f;
            if (real && ordered(t.v[j]) >= least) {
                float log_p = (t.v[j] - theirs.x) * inverse - theirs.y, log_q = (z.v[j] - ours.x) * inverse - ours.y;
                float p = __expf(log_p);
                divergence += p * (log_p - log_q);
                dz += weight * temperature * (__expf(log_q) - p);
            }
            if (v + j == target) dz -= 1.0f - weight;
            z.v[j] = scale * dz;
        }
        store_eight(d_logits + (long long)blockIdx.x * stride + v, z);
    }
    divergence = block_sum(divergence, scratch);
    if (threadIdx.x == 0) {
        double surprise = (double)all.y + ((double)all.x - (double)target_logit);
        losses[blockIdx.x] = (1.0 - weight) * surprise + (double)weight * temperature * temperature * divergence;
    }
}
extern "C" __global__ void distillation_f32(float *d_logits, double *losses, const float *logits, const float *taught,
                                            const unsigned *targets, int vocab, int stride, int compared, float scale,
                                            float weight, float temperature) {
    distillation(d_logits, losses, logits, taught, targets, vocab, stride, compared, scale, weight, temperature);
}
extern "C" __global__ void distillation_bf16(bf16 *d_logits, double *losses, const float *logits, const float *taught,
                                             const unsigned *targets, int vocab, int stride, int compared, float scale,
                                             float weight, float temperature) {
    distillation(d_logits, losses, logits, taught, targets, vocab, stride, compared, scale, weight, temperature);
}
