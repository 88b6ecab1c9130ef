#!/usr/bin/env python3
"""Makes gguf_blocks.json and tiny.gguf with tiny_gguf.json, by the `gguf` package (0.19), which is llama.cpp's own.

    tests/golden/make_gguf.py tests/golden      (needs gguf and numpy; the files are committed)

gguf_blocks.json: per format four blocks of random bytes (hex; their f16 scales finite) and the weights that they stand
for, as the bits of f32 in hex.

tiny.gguf: a Llama of two layers with grouped queries and a tied head, its tensors in six formats, q and k in the order
that llama.cpp's converter gives them, with a small byte-level BPE vocabulary. tiny_gguf.json: per tensor, under its
Hugging Face name and in Hugging Face's order of rows, eight values and the sum (f64) after dequantisation.
"""
import json
import pathlib
import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Q

folder = pathlib.Path(sys.argv[1])
rng = np.random.default_rng(20240611)

# Bytes of each f16 within a block.
SCALES = {Q.Q4_0: [0], Q.Q4_1: [0, 2], Q.Q5_0: [0], Q.Q5_1: [0, 2], Q.Q8_0: [0], Q.Q4_K: [0, 2], Q.Q5_K: [0, 2], Q.Q6_K: [208]}


def blocks():
    out = {}
    for kind in [Q.F32, Q.F16, Q.BF16, *SCALES]:
        weights, size = gguf.GGML_QUANT_SIZES[kind]
        raw = rng.integers(0, 256, (4, size), dtype=np.uint8)
        if kind == Q.F32:
            raw = rng.standard_normal(4).astype(np.float32).view(np.uint8).reshape(4, 4)
        if kind == Q.F16:
            raw = rng.standard_normal(4).astype(np.float16).view(np.uint8).reshape(4, 2)
        if kind == Q.BF16:
            raw[:, 1] &= 0xBF  # below 2: finite
        for at in SCALES.get(kind, []):
            raw[:, at : at + 2] = rng.standard_normal((4, 1)).astype(np.float16).view(np.uint8)
        values = gguf.quants.dequantize(raw.reshape(1, -1), kind).astype(np.float32).reshape(-1)
        out[kind.name] = {"bytes": raw.tobytes().hex(), "weights": values.astype(">f4").tobytes().hex()}
        assert len(values) == 4 * weights
    return out


D, H, K, HEAD, F, V, LAYERS = 64, 8, 2, 8, 96, 264, 2


def permute(w, heads):
    """llama.cpp's convert_hf_to_gguf.py."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def unpermute(w, heads):
    return w.reshape(heads, w.shape[0] // heads // 2, 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def byte_alphabet():
    """GPT-2's printable stand-ins for the 256 bytes, in order of bytes."""
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    other = iter(range(256, 512))
    return [chr(b) if b in keep else chr(next(other)) for b in range(256)]


def tiny():
    writer = gguf.GGUFWriter(folder / "tiny.gguf", "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(32)
    writer.add_embedding_length(D)
    writer.add_feed_forward_length(F)
    writer.add_head_count(H)
    writer.add_head_count_kv(K)
    writer.add_rope_freq_base(500.0)
    writer.add_layer_norm_rms_eps(1e-5)
    tokens = ["<|endoftext|>", *byte_alphabet(), "th", "the", "Ġthe", "an", "and", "Ġand", "in"]
    assert len(tokens) == V
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3] + [1] * (V - 1))
    writer.add_token_merges(["t h", "th e", "Ġ the", "a n", "an d", "Ġ and", "i n"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(False)
    golden = {}

    def add(ours, theirs, shape, kind, heads=None):
        w = rng.standard_normal(shape).astype(np.float32)
        if heads:
            w = permute(w, heads)
        raw = gguf.quants.quantize(w, kind)
        writer.add_tensor(ours, raw, raw_dtype=kind)
        back = gguf.quants.dequantize(raw, kind).astype(np.float32).reshape(shape)
        if heads:
            back = unpermute(back, heads)
        back = back.reshape(-1)
        at = [int(i) for i in np.linspace(0, len(back) - 1, 8)]
        golden[theirs] = {"at": at, "values": [float(back[i]) for i in at], "sum": float(back.astype(np.float64).sum())}

    add("token_embd.weight", "model.embed_tokens.weight", (V, D), Q.Q8_0)
    add("output_norm.weight", "model.norm.weight", (D,), Q.F32)
    for i in range(LAYERS):
        ours, theirs = f"blk.{i}.", f"model.layers.{i}."
        add(ours + "attn_norm.weight", theirs + "input_layernorm.weight", (D,), Q.F32)
        add(ours + "ffn_norm.weight", theirs + "post_attention_layernorm.weight", (D,), Q.F32)
        add(ours + "attn_q.weight", theirs + "self_attn.q_proj.weight", (H * HEAD, D), Q.F16, H)
        add(ours + "attn_k.weight", theirs + "self_attn.k_proj.weight", (K * HEAD, D), Q.Q4_1, K)
        add(ours + "attn_v.weight", theirs + "self_attn.v_proj.weight", (K * HEAD, D), Q.BF16)
        add(ours + "attn_output.weight", theirs + "self_attn.o_proj.weight", (D, H * HEAD), Q.Q4_0)
        add(ours + "ffn_gate.weight", theirs + "mlp.gate_proj.weight", (F, D), Q.Q4_1)
        add(ours + "ffn_up.weight", theirs + "mlp.up_proj.weight", (F, D), Q.Q5_0)
        add(ours + "ffn_down.weight", theirs + "mlp.down_proj.weight", (D, F), Q.Q4_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return golden


for name, value in [("gguf_blocks.json", blocks()), ("tiny_gguf.json", tiny())]:
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(item)}" for key, item in value.items())
    (folder / name).write_text("{\n" + lines + "\n}\n")
