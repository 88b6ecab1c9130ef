// Stands in for libnvrtc: "machine code" is a shared object made by the host's compiler from the same source, through the
// emulation of `emulation.h`, with an entry for every kernel.
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <unistd.h>

#if __has_include(<nvrtc.h>)
#include <nvrtc.h>
#else
typedef struct _nvrtcProgram *nvrtcProgram;
enum nvrtcResult {
    NVRTC_SUCCESS = 0,
    NVRTC_ERROR_OUT_OF_MEMORY = 1,
    NVRTC_ERROR_INVALID_INPUT = 3,
    NVRTC_ERROR_INVALID_OPTION = 5,
    NVRTC_ERROR_COMPILATION = 6,
    NVRTC_ERROR_INTERNAL_ERROR = 11,
};
#endif

struct _nvrtcProgram {
    std::string source, name, log, code;
};

namespace {

/// Names of the kernels of `source`: what stands before the parameters after `__global__`, its launch bounds apart.
std::vector<std::string> kernels(const std::string &source) {
    const std::string word = "__global__", bounds = "__launch_bounds__";
    std::vector<std::string> names;
    for (size_t at = source.find(word); at != std::string::npos; at = source.find(word, at)) {
        at += word.size();
        size_t open = source.find('(', at);
        if (size_t bound = source.find(bounds, at); bound < open) open = source.find('(', source.find(')', open));
        size_t last = open;
        while (last > 0 && isspace(source[last - 1])) --last;
        size_t first = last;
        while (first > 0 && (isalnum(source[first - 1]) || source[first - 1] == '_')) --first;
        names.push_back(source.substr(first, last - first));
    }
    return names;
}

std::string text_of(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
}

} // namespace

#define API extern "C" nvrtcResult

API nvrtcVersion(int *major, int *minor) {
    *major = 13;
    *minor = 0;
    return NVRTC_SUCCESS;
}
extern "C" const char *nvrtcGetErrorString(nvrtcResult) { return "an error of the stand-in"; }
API nvrtcCreateProgram(nvrtcProgram *program, const char *source, const char *name, int headers, const char *const *,
                       const char *const *) {
    if (!source || headers != 0) return NVRTC_ERROR_INVALID_INPUT;
    *program = new _nvrtcProgram{source, name ? name : "program", "", ""};
    return NVRTC_SUCCESS;
}
API nvrtcDestroyProgram(nvrtcProgram *program) {
    delete *program;
    *program = nullptr;
    return NVRTC_SUCCESS;
}
API nvrtcCompileProgram(nvrtcProgram program, int count, const char *const *options) {
    bool architecture = false;
    for (int i = 0; i < count; ++i) {
        std::string option = options[i];
        if (option.rfind("--gpu-architecture=sm_", 0) == 0) architecture = true;
        else if (option != "--std=c++17" && option != "--ptxas-options=-v") return NVRTC_ERROR_INVALID_OPTION;
    }
    if (!architecture) return NVRTC_ERROR_INVALID_OPTION;
    char folder[] = "/tmp/stand-in-XXXXXX";
    if (!mkdtemp(folder)) return NVRTC_ERROR_INTERNAL_ERROR;
    std::string at(folder), from = at + "/kernels.cpp", to = at + "/kernels.so", log = at + "/log";
    {
        // EMULATION is the path of emulation.h, as the build of this library defines it.
        std::ofstream file(from);
        file << "#define HOST_EMULATION\n#include \"" EMULATION "\"\n" << program->source << "\n#line 1 \"entries\"\n";
        for (const std::string &name : kernels(program->source))
            file << "ENTRY const char *emulate_" << name
                 << "(const unsigned *grid, unsigned block, unsigned shared, void **arguments) { return emulation::run(" << name
                 << ", grid, block, shared, arguments); }\nENTRY const size_t *sizes_of_" << name
                 << "(size_t *count) { return emulation::sizes(" << name << ", count); }\n";
    }
    // Kernels read vectors where scalars were written, which CUDA's compiler takes as it is meant.
    std::string how = "-std=c++17 -O2 -fPIC -shared -fno-strict-aliasing -fvisibility=hidden -ffp-contract=off -Wno-attributes";
    if (std::getenv("STAND_IN_SANITIZE")) how += " -O1 -g -fsanitize=address";
    std::string command = "c++ " + how + " -o " + to + " " + from + " 2> " + log;
    bool compiled = std::system(command.c_str()) == 0;
    program->log = text_of(log);
    program->code = compiled ? text_of(to) : "";
    for (const std::string &path : {from, to, log}) unlink(path.c_str());
    rmdir(folder);
    return compiled ? NVRTC_SUCCESS : NVRTC_ERROR_COMPILATION;
}
API nvrtcGetProgramLogSize(nvrtcProgram program, size_t *bytes) {
    *bytes = program->log.size() + 1;
    return NVRTC_SUCCESS;
}
API nvrtcGetProgramLog(nvrtcProgram program, char *log) {
    std::memcpy(log, program->log.c_str(), program->log.size() + 1);
    return NVRTC_SUCCESS;
}
API nvrtcGetCUBINSize(nvrtcProgram program, size_t *bytes) {
    *bytes = program->code.size();
    return NVRTC_SUCCESS;
}
API nvrtcGetCUBIN(nvrtcProgram program, char *code) {
    std::memcpy(code, program->code.data(), program->code.size());
    return NVRTC_SUCCESS;
}
