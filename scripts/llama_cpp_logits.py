#!/usr/bin/env python3
"""What llama.cpp computes of a GGUF file: logits after every token, and the token ids of texts.

    scripts/llama_cpp_logits.py MODEL.gguf '{"tokens": [[1, 2, 3]], "texts": ["Once upon a time"]}'

Prints {"logits": [[…] per row, N × V flattened], "ids": [[…] per text], "library": …}. Each row is a sequence of its own.
Needs a Python package that brings llama.cpp: `xllamacpp` (wheels for Linux and macOS) or `llama-cpp-python`; its C
interface is called through ctypes with the library's default parameters (keys and values cached in f16, CPU).
"""
import ctypes
import glob
import importlib.metadata
import importlib.util
import json
import os
import sys


class Opaque(ctypes.Structure):
    """A parameter struct that is only passed on: larger than any version of it, so by value it goes in memory."""

    _fields_ = [("bytes", ctypes.c_uint64 * 128)]


class Batch(ctypes.Structure):
    _fields_ = [
        ("n_tokens", ctypes.c_int32),
        ("token", ctypes.POINTER(ctypes.c_int32)),
        ("embd", ctypes.POINTER(ctypes.c_float)),
        ("pos", ctypes.POINTER(ctypes.c_int32)),
        ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
        ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
        ("logits", ctypes.POINTER(ctypes.c_int8)),
    ]


def load_library():
    for package, pattern in [("xllamacpp", "xllamacpp*.so"), ("llama_cpp", "lib/libllama.*")]:
        spec = importlib.util.find_spec(package)
        found = glob.glob(os.path.join(spec.submodule_search_locations[0], pattern)) if spec else []
        if found:
            return ctypes.CDLL(found[0]), f"{package} {importlib.metadata.version(package.replace('_', '-'))}"
    sys.exit("no Python package with llama.cpp: install `xllamacpp`")


def main():
    library, version = load_library()
    path, request = sys.argv[1], json.loads(sys.argv[2])

    def function(name, result, *arguments):
        f = getattr(library, name)
        f.restype, f.argtypes = result, arguments
        return f

    pointer, i32 = ctypes.c_void_p, ctypes.c_int32
    # Messages of the library would stand between the numbers.
    silent = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, pointer)(lambda *_: None)
    library.llama_log_set(silent, None)
    library.llama_backend_init()
    model_params = function("llama_model_default_params", Opaque)()
    model = function("llama_model_load_from_file", pointer, ctypes.c_char_p, Opaque)(path.encode(), model_params)
    if not model:
        sys.exit(f"llama.cpp refuses `{path}`")
    vocab = function("llama_model_get_vocab", pointer, pointer)(model)
    width = function("llama_vocab_n_tokens", i32, pointer)(vocab)

    ids = []
    tokenize = function(
        "llama_tokenize", i32, pointer, ctypes.c_char_p, i32, ctypes.POINTER(i32), i32, ctypes.c_bool, ctypes.c_bool
    )
    for text in request.get("texts", []):
        text = text.encode()
        room = (i32 * (len(text) + 8))()
        count = tokenize(vocab, text, len(text), room, len(room), False, False)
        ids.append(list(room[:count]))

    logits = []
    new_context = function("llama_init_from_model", pointer, pointer, Opaque)
    decode = function("llama_decode", i32, pointer, Batch)
    logits_of = function("llama_get_logits_ith", ctypes.POINTER(ctypes.c_float), pointer, i32)
    for row in request.get("tokens", []):
        context_params = function("llama_context_default_params", Opaque)()
        context = new_context(model, context_params)
        n = len(row)
        one = (i32 * 1)(0)
        batch = Batch(
            n,
            (i32 * n)(*row),
            None,
            (i32 * n)(*range(n)),
            (i32 * n)(*[1] * n),
            (ctypes.POINTER(i32) * n)(*[ctypes.cast(one, ctypes.POINTER(i32))] * n),
            (ctypes.c_int8 * n)(*[1] * n),
        )
        if decode(context, batch) != 0:
            sys.exit("llama.cpp cannot decode")
        logits.append([x for i in range(n) for x in logits_of(context, i)[:width]])
        function("llama_free", None, pointer)(context)
    print(json.dumps({"logits": logits, "ids": ids, "library": version}))


main()
