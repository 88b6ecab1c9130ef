// Stands in for libcublasLt: products of column-major matrices by three loops, sums in f32 from the first term to the last, rounded
// once. Attributes must have the sizes that the real library checks, leading dimensions must hold their columns, pointers
// must be aligned as the search for an algorithm was told, and an algorithm serves only what it was found for.
#include "stand_in.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#if __has_include(<cublasLt.h>) && __has_include(<nv/target>)
#include <cublasLt.h>
#else
enum cublasStatus_t { CUBLAS_STATUS_SUCCESS = 0, CUBLAS_STATUS_INVALID_VALUE = 7, CUBLAS_STATUS_NOT_SUPPORTED = 15 };
enum cublasComputeType_t { CUBLAS_COMPUTE_32F = 68 };
enum cudaDataType { CUDA_R_32F = 0, CUDA_R_16BF = 14 };
enum cublasOperation_t { CUBLAS_OP_N = 0, CUBLAS_OP_T = 1 };
enum cublasLtEpilogue_t { CUBLASLT_EPILOGUE_DEFAULT = 1, CUBLASLT_EPILOGUE_BIAS = 4 };
enum cublasLtMatmulDescAttributes_t {
    CUBLASLT_MATMUL_DESC_TRANSA = 3,
    CUBLASLT_MATMUL_DESC_TRANSB = 4,
    CUBLASLT_MATMUL_DESC_EPILOGUE = 7,
    CUBLASLT_MATMUL_DESC_BIAS_POINTER = 8,
    CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE = 26,
};
enum cublasLtMatmulPreferenceAttributes_t {
    CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES = 1,
    CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK = 3,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES = 5,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES = 6,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES = 7,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES = 8,
};
typedef struct CUstream_st *cudaStream_t;
typedef void *cublasLtHandle_t, *cublasLtMatmulDesc_t, *cublasLtMatrixLayout_t, *cublasLtMatmulPreference_t;
struct cublasLtMatmulAlgo_t {
    uint64_t data[8];
};
struct cublasLtMatmulHeuristicResult_t {
    cublasLtMatmulAlgo_t algo;
    size_t workspaceSize;
    cublasStatus_t state;
    float wavesCount;
    int reserved[4];
};
#endif

namespace {

cublasStatus_t refused(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    std::fputs("stand-in libcublasLt: ", stderr);
    std::vfprintf(stderr, format, arguments);
    std::fputc('\n', stderr);
    va_end(arguments);
    return CUBLAS_STATUS_INVALID_VALUE;
}

struct Description {
    int transposed[2] = {0, 0};
    int epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    const void *bias = nullptr;
    int bias_type = -1;
};
struct Layout {
    int type;
    uint64_t rows, cols;
    int64_t stride;
};
struct Preference {
    uint64_t workspace = 0;
    uint32_t schemes = ~0u;
    uint32_t alignment[4] = {256, 256, 256, 256};
};

size_t bytes_of(int type) { return type == CUDA_R_32F ? 4 : 2; }

float read(const void *at, int type, size_t i) {
    if (type == CUDA_R_32F) return static_cast<const float *>(at)[i];
    uint32_t bits = uint32_t(static_cast<const uint16_t *>(at)[i]) << 16;
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

void write(void *at, int type, size_t i, float value) {
    if (type == CUDA_R_32F) {
        static_cast<float *>(at)[i] = value;
        return;
    }
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    // To the nearest, halves to the even one; what is no number stays none.
    bits = value != value ? bits | 0x400000 : bits + 0x7fff + ((bits >> 16) & 1);
    static_cast<uint16_t *>(at)[i] = static_cast<uint16_t>(bits >> 16);
}

/// What an algorithm was found for; kept in the algorithm itself.
uint64_t identity(const Description &d, const Layout *layouts) {
    uint64_t hash = 14695981039346656037u;
    auto mix = [&hash](uint64_t value) { hash = (hash ^ value) * 1099511628211u; };
    for (int transposed : d.transposed) mix(transposed);
    mix(d.epilogue);
    mix(d.bias_type);
    for (int i = 0; i < 4; ++i)
        for (uint64_t value : {uint64_t(layouts[i].type), layouts[i].rows, layouts[i].cols, uint64_t(layouts[i].stride)}) mix(value);
    return hash;
}

/// What is wrong with the shapes, or null.
const char *fault(const Description &d, const Layout *l) {
    for (int i = 0; i < 4; ++i) {
        if (l[i].type != CUDA_R_32F && l[i].type != CUDA_R_16BF) return "a type of element that the engine never uses";
        if (l[i].stride < int64_t(l[i].rows)) return "a leading dimension below the number of rows";
    }
    uint64_t m = d.transposed[0] ? l[0].cols : l[0].rows, k = d.transposed[0] ? l[0].rows : l[0].cols;
    uint64_t n = d.transposed[1] ? l[1].rows : l[1].cols, other = d.transposed[1] ? l[1].cols : l[1].rows;
    if (k != other) return "inner sizes that differ";
    if (l[3].rows != m || l[3].cols != n || l[2].rows != m || l[2].cols != n) return "outputs of another shape";
    if (l[0].type != l[1].type || l[2].type != l[3].type) return "types that no algorithm takes together";
    if (l[0].type == CUDA_R_32F && l[3].type != CUDA_R_32F) return "f32 operands with another output";
    if (d.epilogue != CUBLASLT_EPILOGUE_DEFAULT && d.epilogue != CUBLASLT_EPILOGUE_BIAS) return "an unknown epilogue";
    if (d.epilogue == CUBLASLT_EPILOGUE_BIAS && d.bias_type != -1 && d.bias_type != l[3].type)
        return "a bias of another type than the output";
    return nullptr;
}

struct Product {
    Description description;
    Layout layouts[4];
    const void *a, *b, *c;
    void *d;
    float alpha, beta;
};

const char *carry_out(void *data) {
    const Product &p = *static_cast<Product *>(data);
    const Layout *l = p.layouts;
    bool ta = p.description.transposed[0], tb = p.description.transposed[1];
    size_t m = l[3].rows, n = l[3].cols, k = ta ? l[0].rows : l[0].cols;
    // op(A) by terms: k × m, so that the innermost loop runs along memory.
    std::vector<float> a(k * m), sums(m);
    for (size_t t = 0; t < k; ++t)
        for (size_t i = 0; i < m; ++i) a[t * m + i] = read(p.a, l[0].type, ta ? t + i * l[0].stride : i + t * l[0].stride);
    for (size_t j = 0; j < n; ++j) {
        std::fill(sums.begin(), sums.end(), 0.0f);
        for (size_t t = 0; t < k; ++t) {
            float b = read(p.b, l[1].type, tb ? j + t * l[1].stride : t + j * l[1].stride);
            for (size_t i = 0; i < m; ++i) sums[i] += a[t * m + i] * b;
        }
        for (size_t i = 0; i < m; ++i) {
            float value = p.alpha * sums[i];
            if (p.beta != 0) value += p.beta * read(p.c, l[2].type, i + j * l[2].stride);
            if (p.description.epilogue == CUBLASLT_EPILOGUE_BIAS) value += read(p.description.bias, l[3].type, i);
            write(p.d, l[3].type, i + j * l[3].stride, value);
        }
    }
    return nullptr;
}

template <class T> cublasStatus_t set(T &to, const void *from, size_t bytes) {
    if (!from || bytes != sizeof(T)) return refused("an attribute of %zu bytes given as %zu", sizeof(T), bytes);
    std::memcpy(&to, from, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

template <class T, class H> T &behind(H handle) { return *reinterpret_cast<T *>(handle); }

} // namespace

#define API extern "C" cublasStatus_t

extern "C" size_t cublasLtGetVersion() { return 130000; }
API cublasLtCreate(cublasLtHandle_t *handle) {
    if (!of_cuda<void *>("stand_in_enqueue")) return refused("a handle before the driver is there");
    *handle = reinterpret_cast<cublasLtHandle_t>(new char);
    return CUBLAS_STATUS_SUCCESS;
}
API cublasLtDestroy(cublasLtHandle_t handle) {
    delete reinterpret_cast<char *>(handle);
    return CUBLAS_STATUS_SUCCESS;
}

API cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *made, cublasComputeType_t compute, cudaDataType scale) {
    if (compute != CUBLAS_COMPUTE_32F || scale != CUDA_R_32F) return refused("sums that are not f32");
    *made = reinterpret_cast<cublasLtMatmulDesc_t>(new Description);
    return CUBLAS_STATUS_SUCCESS;
}
API cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t made) {
    delete &behind<Description>(made);
    return CUBLAS_STATUS_SUCCESS;
}
API cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t of, cublasLtMatmulDescAttributes_t attribute, const void *value,
                                   size_t bytes) {
    Description &d = behind<Description>(of);
    switch (static_cast<int>(attribute)) {
    case CUBLASLT_MATMUL_DESC_TRANSA: return set(d.transposed[0], value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB: return set(d.transposed[1], value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE: return set(d.epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return set(d.bias, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE: return set(d.bias_type, value, bytes);
    default: return refused("attribute %d of a product", static_cast<int>(attribute));
    }
}

API cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *made, cudaDataType type, uint64_t rows, uint64_t cols, int64_t stride) {
    *made = reinterpret_cast<cublasLtMatrixLayout_t>(new Layout{type, rows, cols, stride});
    return CUBLAS_STATUS_SUCCESS;
}
API cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t made) {
    delete &behind<Layout>(made);
    return CUBLAS_STATUS_SUCCESS;
}

API cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *made) {
    *made = reinterpret_cast<cublasLtMatmulPreference_t>(new Preference);
    return CUBLAS_STATUS_SUCCESS;
}
API cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t made) {
    delete &behind<Preference>(made);
    return CUBLAS_STATUS_SUCCESS;
}
API cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t of, cublasLtMatmulPreferenceAttributes_t attribute,
                                         const void *value, size_t bytes) {
    Preference &p = behind<Preference>(of);
    switch (static_cast<int>(attribute)) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES: return set(p.workspace, value, bytes);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK: return set(p.schemes, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES: return set(p.alignment[0], value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES: return set(p.alignment[1], value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES: return set(p.alignment[2], value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES: return set(p.alignment[3], value, bytes);
    default: return refused("attribute %d of a preference", static_cast<int>(attribute));
    }
}

API cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t of, cublasLtMatrixLayout_t a,
                                   cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                   cublasLtMatmulPreference_t preference, int wanted, cublasLtMatmulHeuristicResult_t *found,
                                   int *count) {
    const Description &description = behind<Description>(of);
    const Layout layouts[4] = {behind<Layout>(a), behind<Layout>(b), behind<Layout>(c), behind<Layout>(d)};
    const Preference &p = behind<Preference>(preference);
    if (wanted < 1) return refused("a search for no algorithm");
    if (const char *what = fault(description, layouts)) return refused("%s", what);
    if (p.schemes & 1) return refused("sums in place, of whatever order, are admitted");
    *found = cublasLtMatmulHeuristicResult_t{};
    found->algo.data[0] = identity(description, layouts);
    for (int i = 0; i < 4; ++i) found->algo.data[1 + i] = p.alignment[i];
    found->algo.data[5] = found->workspaceSize = p.workspace / 2;
    found->state = CUBLAS_STATUS_SUCCESS;
    found->wavesCount = 1;
    *count = 1;
    return CUBLAS_STATUS_SUCCESS;
}

API cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t of, const void *alpha, const void *a, cublasLtMatrixLayout_t la,
                   const void *b, cublasLtMatrixLayout_t lb, const void *beta, const void *c, cublasLtMatrixLayout_t lc, void *d,
                   cublasLtMatrixLayout_t ld, const cublasLtMatmulAlgo_t *algorithm, void *workspace, size_t workspace_bytes,
                   cudaStream_t stream) {
    Product p = {behind<Description>(of),
                 {behind<Layout>(la), behind<Layout>(lb), behind<Layout>(lc), behind<Layout>(ld)},
                 a, b, c, d, 0, 0};
    std::memcpy(&p.alpha, alpha, 4);
    std::memcpy(&p.beta, beta, 4);
    if (const char *what = fault(p.description, p.layouts)) return refused("%s", what);
    if (!algorithm || algorithm->data[0] != identity(p.description, p.layouts))
        return refused("an algorithm that was found for something else");
    if (algorithm->data[5] > workspace_bytes) return refused("a workspace smaller than the algorithm's");
    auto inside = of_cuda<stand_in_inside_type>("stand_in_inside");
    const void *pointers[4] = {a, b, c, d};
    for (int i = 0; i < 4; ++i) {
        uint64_t at = reinterpret_cast<uint64_t>(pointers[i]);
        const Layout &l = p.layouts[i];
        if (at % algorithm->data[1 + i]) return refused("operand %c is aligned worse than was said", "ABCD"[i]);
        size_t bytes = ((l.cols - 1) * l.stride + l.rows) * bytes_of(l.type);
        if (!inside(at, bytes)) return refused("operand %c lies beyond its memory", "ABCD"[i]);
    }
    if (!inside(reinterpret_cast<uint64_t>(workspace), workspace_bytes)) return refused("a workspace that is not there");
    if (p.description.epilogue == CUBLASLT_EPILOGUE_BIAS &&
        !inside(reinterpret_cast<uint64_t>(p.description.bias), p.layouts[3].rows * bytes_of(p.layouts[3].type)))
        return refused("a bias that is not there");
    auto enqueue = of_cuda<stand_in_enqueue_type>("stand_in_enqueue");
    auto release = [](void *data) { delete static_cast<Product *>(data); };
    if (enqueue(stream, carry_out, new Product(p), release)) return refused("a stream that cannot be used");
    return CUBLAS_STATUS_SUCCESS;
}
