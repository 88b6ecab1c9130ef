// What the stand-ins for NVIDIA's libraries share.
#pragma once
#include <dlfcn.h>

#include <cstddef>
#include <cstdint>

/// Runs a kernel's whole grid (`emulation.h`); null, or what went wrong.
typedef const char *(*stand_in_entry)(const unsigned *grid, unsigned threads, unsigned shared, void **parameters);
/// The sizes of a kernel's parameters.
typedef const size_t *(*stand_in_sizes)(size_t *count);

/// Of the stand-in for libcuda, which is loaded before any other: does `work(data)` in the stream's turn and releases `data`
/// when nobody will do it again. Nonzero where the stream cannot be used now.
typedef int (*stand_in_enqueue_type)(void *stream, const char *(*work)(void *), void *data, void (*release)(void *));
/// Whether so many bytes lie in one block of the current device's memory.
typedef int (*stand_in_inside_type)(unsigned long long address, size_t bytes);

/// A function of the stand-in for libcuda, or null where that is not loaded.
template <class T> T of_cuda(const char *name) {
    void *library = dlopen("libcuda.so", RTLD_NOW | RTLD_NOLOAD);
    return library ? reinterpret_cast<T>(dlsym(library, name)) : nullptr;
}
