// What attention in bf16 and in f32 have in common.
#pragma once

#define LOG2_E 1.4426950408889634f
#define INFINITE __uint_as_float(0x7f800000u)

/// The queries of a block, which begin at row `query` of Q, and their keys: the rows `prefix_first`… (`prefix` of them) whole,
/// then of the rows `first`… (`length` of them) those up to its own, which for the first query is `offset`. The block serves
/// the queries up to `length`, as many as it has rows for. In a table of spans, six ints.
struct Span {
    int first, length, prefix_first, prefix, offset, query;
};
__device__ __forceinline__ Span span_at(const int *spans, int index) {
    const int *row = spans + 6 * index;
    return {row[0], row[1], row[2], row[3], row[4], row[5]};
}
