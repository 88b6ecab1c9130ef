#!/usr/bin/env python3
"""Makes tiny_llama.json: logits, loss, gradients and ten training losses of a small model, by PyTorch in f64.

    tests/golden/make_tiny_llama.py > tests/golden/tiny_llama.json      (needs torch; the file is committed)

The model has what could go wrong: layers of different widths, grouped-query attention, an untied head, a head dim that
does not divide the hidden width. Weights and tokens follow from a 32-bit linear congruential generator, so that the
file need not hold them (see tiny_common.py): one stream through all tensors in canonical
order (embedding; per layer input norm, q, k, v, o, post norm, gate, up, down; final norm; head) and then the tokens.
A matrix element is u - 0.5, a norm's 1 + (u - 0.5) / 2; a token is floor(u V).

Training: AdamW on one batch, gradients clipped to a global norm, norms not decayed; losses are those before each step.
"""
import torch

from tiny_common import golden, token_rows, uniform

torch.set_default_dtype(torch.float64)
V, D, HEAD_DIM, EPS, THETA = 13, 10, 4, 1e-5, 100.0
LAYERS = [(4, 2, 7), (3, 1, 11)]  # query heads, key-value heads, feed-forward width
B, T = 2, 6


def matrix(rows, cols):
    return torch.tensor([[uniform() - 0.5 for _ in range(cols)] for _ in range(rows)], requires_grad=True)


def norm():
    return torch.tensor([1 + (uniform() - 0.5) / 2 for _ in range(D)], requires_grad=True)


weights = {"model.embed_tokens.weight": matrix(V, D)}
for i, (heads, kv, ffn) in enumerate(LAYERS):
    p = f"model.layers.{i}."
    weights[p + "input_layernorm.weight"] = norm()
    weights[p + "self_attn.q_proj.weight"] = matrix(heads * HEAD_DIM, D)
    weights[p + "self_attn.k_proj.weight"] = matrix(kv * HEAD_DIM, D)
    weights[p + "self_attn.v_proj.weight"] = matrix(kv * HEAD_DIM, D)
    weights[p + "self_attn.o_proj.weight"] = matrix(D, heads * HEAD_DIM)
    weights[p + "post_attention_layernorm.weight"] = norm()
    weights[p + "mlp.gate_proj.weight"] = matrix(ffn, D)
    weights[p + "mlp.up_proj.weight"] = matrix(ffn, D)
    weights[p + "mlp.down_proj.weight"] = matrix(D, ffn)
weights["model.norm.weight"] = norm()
weights["lm_head.weight"] = matrix(V, D)
inputs, targets = token_rows(V, B, T), token_rows(V, B, T)


def rms_norm(x, w):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + EPS) * w


def rope(x):
    half = HEAD_DIM // 2
    angle = torch.arange(T)[:, None] * THETA ** (-torch.arange(half) / half)[None, :]
    a, b = x[..., :half], x[..., half:]
    return torch.cat((a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()), -1)


def forward():
    x = weights["model.embed_tokens.weight"][inputs]
    for i, (heads, kv, _) in enumerate(LAYERS):
        w = lambda name: weights[f"model.layers.{i}.{name}.weight"]
        split = lambda y, n: y.view(B, T, n, HEAD_DIM).transpose(1, 2)
        a = rms_norm(x, w("input_layernorm"))
        q = rope(split(a @ w("self_attn.q_proj").T, heads))
        k = rope(split(a @ w("self_attn.k_proj").T, kv)).repeat_interleave(heads // kv, 1)
        v = split(a @ w("self_attn.v_proj").T, kv).repeat_interleave(heads // kv, 1)
        scores = q @ k.transpose(-1, -2) / HEAD_DIM**0.5
        scores = scores.masked_fill(torch.ones(T, T).triu(1).bool(), float("-inf"))
        s = (scores.softmax(-1) @ v).transpose(1, 2).reshape(B, T, -1)
        x = x + s @ w("self_attn.o_proj").T
        m = rms_norm(x, w("post_attention_layernorm"))
        gate = m @ w("mlp.gate_proj").T
        x = x + (gate * gate.sigmoid() * (m @ w("mlp.up_proj").T)) @ w("mlp.down_proj").T
    return rms_norm(x, weights["model.norm.weight"]) @ weights["lm_head.weight"].T


golden(
    made_by=f"tests/golden/make_tiny_llama.py, PyTorch {torch.__version__}, f64",
    config={
        "vocab_size": V,
        "hidden_size": D,
        "head_dim": HEAD_DIM,
        "tie_word_embeddings": False,
        "rope_theta": THETA,
        "rms_norm_eps": EPS,
        "max_position_embeddings": T,
        "layers": [{"num_heads": h, "num_kv_heads": k, "intermediate_size": f} for h, k, f in LAYERS],
    },
    weights=weights,
    inputs=inputs,
    targets=targets,
    forward=forward,
)
