// AdamW over all tensors in one launch (Loshchilov & Hutter 2019, arXiv:1711.05101), with clipping by the global norm.
//
//   s = min(1, c/‖g‖)   g ← s·g;  m ← β₁m + (1−β₁)g;  v ← β₂v + (1−β₂)g²
//   w ← (1 − ηλ)·w − (η/c₁) · m / (√v/√c₂ + ε)                  and w's bf16 shadow, where it has one
//
// Sums and running means of gradients, and of their squares, are taken likewise (kernel `accumulate`).
//
// A block works on one chunk of CHUNK eights of one tensor; `first_chunk` of the tensors ascends, so a block finds its
// tensor by bisection. ‖g‖² is the sum of one f64 per chunk (kernel `squares`), added in order by `sum_values`; the factor s
// is found on the device, so no step waits for the host.
#define CHUNK 1024

struct Leaf {
    float *weight;
    const float *grad;
    float *m, *v;
    bf16 *shadow;
    unsigned first_chunk, eights;
    float keep;
    unsigned unused;
};

__device__ __forceinline__ const Leaf *leaf_of(const Leaf *leaves, int count, unsigned chunk) {
    return leaves + place_of(count, chunk, [&](int i) { return leaves[i].first_chunk; });
}

extern "C" __global__ void squares(double *partial, const Leaf *leaves, int count) {
    __shared__ double scratch[32];
    const Leaf *leaf = leaf_of(leaves, count, blockIdx.x);
    unsigned first = (blockIdx.x - leaf->first_chunk) * CHUNK, last = min(leaf->eights, first + CHUNK);
    float sum = 0;
    for (unsigned i = first + threadIdx.x; i < last; i += blockDim.x) {
        Eight g = load_eight(leaf->grad + 8ll * i);
#pragma unroll
        for (int j = 0; j < 8; ++j) sum += g.v[j] * g.v[j];
    }
    double total = block_sum((double)sum, scratch);
    if (threadIdx.x == 0) partial[blockIdx.x] = total;
}

extern "C" __global__ void adamw(const Leaf *leaves, int count, const double *squared_norm, double clip, float scale,
                                 float beta1, float rest1, float beta2, float rest2, float rate, float root,
                                 float epsilon) {
    const Leaf *leaf = leaf_of(leaves, count, blockIdx.x);
    unsigned first = (blockIdx.x - leaf->first_chunk) * CHUNK, last = min(leaf->eights, first + CHUNK);
    if (clip > 0) {
        double norm = sqrt(*squared_norm);
        if (norm > clip) scale *= (float)(clip / norm);
    }
    float keep = leaf->keep;
    for (unsigned i = first + threadIdx.x; i < last; i += blockDim.x) {
        long long at = 8ll * i;
        Eight w = load_eight(leaf->weight + at), g = load_eight(leaf->grad + at), m = load_eight(leaf->m + at),
              v = load_eight(leaf->v + at);
#pragma unroll
        for (int j = 0; j < 8; ++j) {
            float d = g.v[j] * scale;
            m.v[j] = beta1 * m.v[j] + rest1 * d;
            v.v[j] = beta2 * v.v[j] + rest2 * (d * d);
            // Padding has m = v = 0 and must stay zero under ε = 0 too.
            float step = m.v[j] == 0.0f ? 0.0f : rate * m.v[j] / (sqrtf(v.v[j]) * root + epsilon);
            w.v[j] = keep * w.v[j] - step;
        }
        store_eight(leaf->weight + at, w);
        store_eight(leaf->m + at, m);
        store_eight(leaf->v + at, v);
        if (leaf->shadow) store_eight(leaf->shadow + at, w);
    }
}

/// sum ← αx + β·sum, and squares ← αx² + β·squares where there are any: x in the gradient's place, they in m's and v's.
extern "C" __global__ void accumulate(const Leaf *leaves, int count, float alpha, float beta) {
    const Leaf *leaf = leaf_of(leaves, count, blockIdx.x);
    unsigned first = (blockIdx.x - leaf->first_chunk) * CHUNK, last = min(leaf->eights, first + CHUNK);
    for (unsigned i = first + threadIdx.x; i < last; i += blockDim.x) {
        long long at = 8ll * i;
        Eight x = load_eight(leaf->grad + at), sum = load_eight(leaf->m + at);
#pragma unroll
        for (int j = 0; j < 8; ++j) sum.v[j] = alpha * x.v[j] + beta * sum.v[j];
        store_eight(leaf->m + at, sum);
        if (!leaf->v) continue;
        Eight squares = load_eight(leaf->v + at);
#pragma unroll
        for (int j = 0; j < 8; ++j) squares.v[j] = alpha * (x.v[j] * x.v[j]) + beta * squares.v[j];
        store_eight(leaf->v + at, squares);
    }
}
