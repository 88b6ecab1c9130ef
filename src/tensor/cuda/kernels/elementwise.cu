// Passes that touch each element once, eight elements a thread. n counts eights: rows × stride / 8, padding included (it is
// zero and stays zero under every one of these).
//
//   convert        y ← x, rounded to y's type
//   swiglu         out ← silu(gate) ∘ up,  silu(z) = z·σ(z)                         (Shazeer 2020, arXiv:2002.05202)
//   pointwise      y ← a², |a|, √a or a·b
//   swiglu_backward  gate ← d∘up∘σ(1 + gate(1−σ)),  up ← d∘silu(gate)

__device__ __forceinline__ long long first_eight() { return (long long)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ __forceinline__ long long next_eight() { return (long long)gridDim.x * blockDim.x; }

template <class Y, class X> __device__ __forceinline__ void convert(Y *y, const X *x, long long n) {
    for (long long i = first_eight(); i < n; i += next_eight()) store_eight(y + 8 * i, load_eight(x + 8 * i));
}
extern "C" __global__ void convert_f32_bf16(float *y, const bf16 *x, long long n) { convert(y, x, n); }
extern "C" __global__ void convert_bf16_f32(bf16 *y, const float *x, long long n) { convert(y, x, n); }

__device__ __forceinline__ float sigmoid(float z) { return 1.0f / (1.0f + __expf(-z)); }

template <class T> __device__ __forceinline__ void swiglu(T *out, const T *gate, const T *up, long long n) {
    for (long long i = first_eight(); i < n; i += next_eight()) {
        Eight z = load_eight(gate + 8 * i), u = load_eight(up + 8 * i);
#pragma unroll
        for (int j = 0; j < 8; ++j) z.v[j] = z.v[j] * sigmoid(z.v[j]) * u.v[j];
        store_eight(out + 8 * i, z);
    }
}
extern "C" __global__ void swiglu_f32(float *out, const float *gate, const float *up, long long n) {
    swiglu(out, gate, up, n);
}
extern "C" __global__ void swiglu_bf16(bf16 *out, const bf16 *gate, const bf16 *up, long long n) {
    swiglu(out, gate, up, n);
}

template <class T> __device__ __forceinline__ void swiglu_backward(T *gate, T *up, const T *d_out, long long n) {
    for (long long i = first_eight(); i < n; i += next_eight()) {
        Eight z = load_eight(gate + 8 * i), u = load_eight(up + 8 * i), d = load_eight(d_out + 8 * i);
#pragma unroll
        for (int j = 0; j < 8; ++j) {
            float s = sigmoid(z.v[j]), zs = z.v[j] * s;
            z.v[j] = d.v[j] * u.v[j] * s * (1.0f + z.v[j] * (1.0f - s));
            u.v[j] = d.v[j] * zs;
        }
        store_eight(gate + 8 * i, z);
        store_eight(up + 8 * i, u);
    }
}
extern "C" __global__ void swiglu_backward_f32(float *gate, float *up, const float *d_out, long long n) {
    swiglu_backward(gate, up, d_out, n);
}
extern "C" __global__ void swiglu_backward_bf16(bf16 *gate, bf16 *up, const bf16 *d_out, long long n) {
    swiglu_backward(gate, up, d_out, n);
}

/// `operation`: 0 square, 1 magnitude, 2 root, 3 product; `b` is read by the product alone.
template <class Y, class X>
__device__ __forceinline__ void pointwise(Y *y, const X *a, const X *b, int operation, long long n) {
    for (long long i = first_eight(); i < n; i += next_eight()) {
        Eight e = load_eight(a + 8 * i);
        if (operation == 3) {
            Eight f = load_eight(b + 8 * i);
#pragma unroll
            for (int j = 0; j < 8; ++j) e.v[j] *= f.v[j];
        } else {
#pragma unroll
            for (int j = 0; j < 8; ++j)
                e.v[j] = operation == 0 ? e.v[j] * e.v[j] : operation == 1 ? fabsf(e.v[j]) : sqrtf(e.v[j]);
        }
        store_eight(y + 8 * i, e);
    }
}
extern "C" __global__ void pointwise_f32_f32(float *y, const float *a, const float *b, int operation, long long n) {
    pointwise(y, a, b, operation, n);
}
extern "C" __global__ void pointwise_f32_bf16(float *y, const bf16 *a, const bf16 *b, int operation, long long n) {
    pointwise(y, a, b, operation, n);
}
extern "C" __global__ void pointwise_bf16_bf16(bf16 *y, const bf16 *a, const bf16 *b, int operation, long long n) {
    pointwise(y, a, b, operation, n);
}
