#!/usr/bin/env python3
"""The PyTorch side of bench-vs-pytorch: tokens per second of one full training step.

Forward, backward, gradient clipping (global norm 1) and fused AdamW of a plain Llama (RMSNorm, RoPE in the
half-split convention, causal SDPA, SwiGLU, tied head with mean cross-entropy) on a shape of
benches/shapes.json. Before anything is timed the loss must fall on the batch that it is timed on.

    scripts/pytorch_step.py --shape S --steps 8 --threads 2 [--compile]
    scripts/pytorch_step.py --shape SmolLM-135M --device cuda --precision bf16 --compile

f32 has f32 products (no TF32); bf16 is autocast over f32 parameters with activations in bf16 throughout, and on CUDA attention must then run as flash
attention, else it fails. Prints one line per timing, tokens per second. With --serve the model is set up once and each
line on stdin asks for one more timing, so that several engines can be timed in turns; "ready" is printed when it may be
asked, and the line "memory" is answered with the peak of allocated device memory in bytes (empty on the CPU).
"""
import argparse
import contextlib
import json
import math
import pathlib
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

SHAPES = pathlib.Path(__file__).resolve().parent.parent / "benches" / "shapes.json"
EPS = 1e-5
THETA = 10000.0


def rotate(x, cos, sin):
    """RoPE on pairs (p, p + h/2); x (B, H, T, h)."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def norm(x, weight):
    return F.rms_norm(x, (x.shape[-1],), weight.to(x.dtype), EPS)


class Layer(nn.Module):
    def __init__(self, s):
        super().__init__()
        d, h, f = s["hidden_size"], s["head_dim"], s["intermediate_size"]
        self.heads, self.kv_heads, self.head_dim = s["num_heads"], s["num_kv_heads"], h
        self.attn_norm, self.ffn_norm = nn.Parameter(torch.ones(d)), nn.Parameter(torch.ones(d))
        self.q = nn.Linear(d, self.heads * h, bias=False)
        self.k = nn.Linear(d, self.kv_heads * h, bias=False)
        self.v = nn.Linear(d, self.kv_heads * h, bias=False)
        self.o = nn.Linear(self.heads * h, d, bias=False)
        self.gate, self.up = nn.Linear(d, f, bias=False), nn.Linear(d, f, bias=False)
        self.down = nn.Linear(f, d, bias=False)

    def forward(self, x, cos, sin):
        batch, time_, _ = x.shape
        split = lambda y, heads: y.view(batch, time_, heads, self.head_dim).transpose(1, 2)
        a = norm(x, self.attn_norm)
        q = rotate(split(self.q(a), self.heads), cos, sin)
        k = rotate(split(self.k(a), self.kv_heads), cos, sin)
        v = split(self.v(a), self.kv_heads)
        grouped = self.heads != self.kv_heads
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=grouped)
        x = x + self.o(a.transpose(1, 2).reshape(batch, time_, -1))
        a = norm(x, self.ffn_norm)
        return x + self.down(F.silu(self.gate(a)) * self.up(a))


class Llama(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.embed = nn.Embedding(s["vocab_size"], s["hidden_size"])
        self.layers = nn.ModuleList(Layer(s) for _ in range(s["num_layers"]))
        self.norm = nn.Parameter(torch.ones(s["hidden_size"]))
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=0.02)
        half = s["head_dim"] // 2
        angle = torch.outer(torch.arange(s["context_length"]).double(), THETA ** (-torch.arange(half).double() / half))
        self.register_buffer("cos", angle.cos().float(), persistent=False)
        self.register_buffer("sin", angle.sin().float(), persistent=False)

    def forward(self, inputs, targets):
        x = self.embed(inputs)
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        for layer in self.layers:
            x = layer(x, self.cos, self.sin)
        x = norm(x, self.norm)
        return F.cross_entropy(F.linear(x, self.embed.weight).flatten(0, 1), targets.flatten())


def main():
    parser = argparse.ArgumentParser(description="tokens per second of a PyTorch training step")
    parser.add_argument("--shape", default="S", choices=sorted(json.loads(SHAPES.read_text())))
    parser.add_argument("--steps", type=int, default=8, help="steps of one timing")
    parser.add_argument("--warmup", type=int, default=3, help="steps before the first timing")
    parser.add_argument("--rounds", type=int, default=1, help="timings to print (without --serve)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--precision", default="f32", choices=["f32", "bf16"])
    parser.add_argument("--compile", action="store_true", help="torch.compile the model")
    parser.add_argument("--serve", action="store_true", help="one timing per line read from stdin")
    args = parser.parse_args()
    if args.steps < 1 or args.warmup < 2 or args.threads < 1:
        parser.error("--steps and --threads must be at least 1, --warmup at least 2")
    cuda = args.device == "cuda"
    if cuda and not torch.cuda.is_available():
        sys.exit("error: this PyTorch finds no CUDA device\nhint: `nvidia-smi` must list one, and torch be a CUDA build")

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = False
    s = json.loads(SHAPES.read_text())[args.shape]
    model = Llama(s).to(args.device)
    parameters = list(model.parameters())
    optimiser = torch.optim.AdamW(parameters, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    forward = torch.compile(model) if args.compile else model
    tokens = torch.randint(s["vocab_size"], (s["batch"], s["context_length"] + 1)).to(args.device)
    inputs, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()

    def arithmetic():
        stack = contextlib.ExitStack()
        if args.precision == "bf16":
            stack.enter_context(torch.autocast(args.device, dtype=torch.bfloat16))
            if cuda:
                stack.enter_context(sdpa_kernel(SDPBackend.FLASH_ATTENTION))
        return stack

    def step():
        with arithmetic():
            loss = forward(inputs, targets)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        return loss.item()

    losses = [step() for _ in range(args.warmup)]
    if not math.isfinite(losses[-1]) or losses[-1] >= losses[0]:
        sys.exit(f"error: the loss does not fall: {losses}")

    def tokens_per_second():
        start = time.perf_counter()
        for _ in range(args.steps):
            step()
        if cuda:
            torch.cuda.synchronize()
        return args.steps * inputs.numel() / (time.perf_counter() - start)

    if args.serve:
        print("ready", flush=True)
        for line in sys.stdin:
            if line.strip() == "memory":
                print(torch.cuda.max_memory_allocated() if cuda else "", flush=True)
            else:
                print(f"{tokens_per_second():.1f}", flush=True)
    else:
        for _ in range(args.rounds):
            print(f"{tokens_per_second():.1f}", flush=True)


if __name__ == "__main__":
    main()
