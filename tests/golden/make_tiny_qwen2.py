#!/usr/bin/env python3
"""Makes tiny_qwen2.json: logits, loss, gradients and ten training losses of a small Qwen2, by transformers in f64.

    tests/golden/make_tiny_qwen2.py > tests/golden/tiny_qwen2.json      (needs torch, transformers; the file is committed)

The model is `Qwen2ForCausalLM` with a tied head, grouped-query attention and a head dim that does not divide the hidden
width. transformers computes norms and RoPE angles in f32 whatever the model's type: both are replaced by PyTorch in f64;
all else is transformers' own (biases, attention, feed-forward, head).

Weights and tokens follow from the generator of tiny_common.py, one stream through all tensors in this crate's order
(embedding; per layer input norm, q, k, v, o, post norm, gate, up, down, biases of q, k, v; final norm) and then the
tokens. An element of a matrix or a bias is u - 0.5, a norm's 1 + (u - 0.5) / 2; a token is floor(u V).

Training: AdamW on one batch, gradients clipped to a global norm, norms and biases not decayed; losses are those before
each step.
"""
import torch
import transformers
from transformers import Qwen2Config, Qwen2ForCausalLM

from tiny_common import golden, is_norm, token_rows, uniform

torch.set_default_dtype(torch.float64)
V, D, HEAD_DIM, EPS, THETA = 13, 10, 4, 1e-5, 100.0
HEADS, KV, FFN, LAYERS = 4, 2, 7, 2
B, T = 2, 6

model = Qwen2ForCausalLM._from_config(
    Qwen2Config(
        vocab_size=V,
        hidden_size=D,
        head_dim=HEAD_DIM,
        intermediate_size=FFN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV,
        rms_norm_eps=EPS,
        rope_parameters={"rope_type": "default", "rope_theta": THETA},
        max_position_embeddings=T,
        tie_word_embeddings=True,
    ),
    attn_implementation="sdpa",
    dtype=torch.float64,
)


class Angles(torch.nn.Module):
    def forward(self, x, position_ids):
        half = HEAD_DIM // 2
        angle = position_ids[..., None] * THETA ** (-torch.arange(half) / half)
        angle = torch.cat((angle, angle), -1)
        return angle.cos(), angle.sin()


def rms_norm(self, x):
    return torch.nn.functional.rms_norm(x, (D,), self.weight, EPS)


model.model.rotary_emb = Angles()
for module in model.modules():
    if type(module).__name__ == "Qwen2RMSNorm":
        module.forward = rms_norm.__get__(module)

names = ["model.embed_tokens.weight"]
for i in range(LAYERS):
    p = f"model.layers.{i}."
    names += [p + "input_layernorm.weight"]
    names += [p + f"self_attn.{x}_proj.weight" for x in "qkvo"]
    names += [p + "post_attention_layernorm.weight"]
    names += [p + f"mlp.{x}_proj.weight" for x in ("gate", "up", "down")]
    names += [p + f"self_attn.{x}_proj.bias" for x in "qkv"]
names += ["model.norm.weight"]
weights = dict(model.named_parameters())
assert set(names) == set(weights), set(names) ^ set(weights)
with torch.no_grad():
    for name in names:
        w = weights[name]
        values = [uniform() - 0.5 for _ in range(w.numel())]
        w.copy_(torch.tensor([1 + u / 2 if is_norm(name) else u for u in values]).view(w.shape))
inputs, targets = token_rows(V, B, T), token_rows(V, B, T)


def forward():
    return model(inputs, use_cache=False).logits


golden(
    made_by=f"tests/golden/make_tiny_qwen2.py, transformers {transformers.__version__}, PyTorch {torch.__version__}, f64",
    config={
        "vocab_size": V,
        "hidden_size": D,
        "head_dim": HEAD_DIM,
        "tie_word_embeddings": True,
        "qkv_bias": True,
        "rope_theta": THETA,
        "rms_norm_eps": EPS,
        "max_position_embeddings": T,
        "layers": [{"num_heads": HEADS, "num_kv_heads": KV, "intermediate_size": FFN}] * LAYERS,
    },
    weights={name: weights[name] for name in names},
    inputs=inputs,
    targets=targets,
    forward=forward,
)
