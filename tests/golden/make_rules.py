#!/usr/bin/env python3
"""Makes rules.json: base scores of every saliency rule on a small model, by PyTorch's autograd and NumPy in f64.

    tests/golden/make_rules.py > tests/golden/rules.json      (needs torch and numpy; the file is committed)

Model, weights and tokens are those of make_tiny_llama.py: layers of different widths, grouped-query attention, an untied
head. Every score is taken from its definition, parameter by parameter, sequence by sequence and position by position; none
of the shortcuts of the engine is used. Groups: `ffn` channels, `head` key-value groups, `stem` channels.
"""
import json

import numpy as np
import torch

from tiny_common import token_rows, uniform

torch.set_default_dtype(torch.float64)
V, D, H, EPS, THETA = 13, 10, 4, 1e-5, 100.0
LAYERS = [(4, 2, 7), (3, 1, 11)]  # query heads, key-value heads, feed-forward width
B, T = 2, 6
N = B * T
DAMPING = 0.01


def matrix(rows, cols):
    return torch.tensor([[uniform() - 0.5 for _ in range(cols)] for _ in range(rows)], requires_grad=True)


def norm():
    return torch.tensor([1 + (uniform() - 0.5) / 2 for _ in range(D)], requires_grad=True)


W = {"embed": matrix(V, D)}
for i, (heads, kv, ffn) in enumerate(LAYERS):
    W[f"{i}.norm1"] = norm()
    W[f"{i}.q"], W[f"{i}.k"], W[f"{i}.v"] = matrix(heads * H, D), matrix(kv * H, D), matrix(kv * H, D)
    W[f"{i}.o"], W[f"{i}.norm2"] = matrix(D, heads * H), norm()
    W[f"{i}.gate"], W[f"{i}.up"], W[f"{i}.down"] = matrix(ffn, D), matrix(ffn, D), matrix(D, ffn)
W["norm"], W["head"] = norm(), matrix(V, D)
inputs, targets = token_rows(V, B, T), token_rows(V, B, T)


def rope(x):
    half = H // 2
    angle = torch.arange(T)[:, None] * THETA ** (-torch.arange(half) / half)[None, :]
    a, b = x[..., :half], x[..., half:]
    return torch.cat((a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()), -1)


def forward(tokens, seen=None):
    """Logits; `seen` collects inputs of linear layers (site) and outputs of linear layers, norms and the embedding."""

    def watch(name, x):
        if seen is not None:
            x.retain_grad()
            seen[name] = x
        return x

    def rms(name, x):
        normed = x / torch.sqrt((x * x).mean(-1, keepdim=True) + EPS)
        if seen is not None:
            seen[name + " normed"] = normed.detach()
        return watch(name + " out", normed * W[name])

    def linear(name, site, x):
        if seen is not None:
            seen[name + " reads"] = site
        return watch(name + " out", x @ W[name].T)

    b = tokens.shape[0]
    x = watch("embed out", W["embed"][tokens] + 0.0)
    for i, (heads, kv, ffn) in enumerate(LAYERS):
        a = watch(f"{i}.attn_in", rms(f"{i}.norm1", x) + 0.0)
        split = lambda y, n: y.view(b, T, n, H).transpose(1, 2)
        q, k, v = (linear(f"{i}.{n}", f"{i}.attn_in", a) for n in "qkv")
        q, k, v = rope(split(q, heads)), rope(split(k, kv)), split(v, kv)
        k, v = (y.repeat_interleave(heads // kv, 1) for y in (k, v))
        scores = q @ k.transpose(-1, -2) / H**0.5
        scores = scores.masked_fill(torch.ones(T, T).triu(1).bool(), float("-inf"))
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(b, T, heads * H)
        x = x + linear(f"{i}.o", f"{i}.o_in", watch(f"{i}.o_in", mixed + 0.0))
        m = watch(f"{i}.ffn_in", rms(f"{i}.norm2", x) + 0.0)
        gate, up = linear(f"{i}.gate", f"{i}.ffn_in", m), linear(f"{i}.up", f"{i}.ffn_in", m)
        x = x + linear(f"{i}.down", f"{i}.down_in", watch(f"{i}.down_in", torch.nn.functional.silu(gate) * up))
    h = watch("head_in", rms("norm", x) + 0.0)
    return linear("head", "head_in", h)


def gradients(value):
    for w in W.values():
        w.grad = None
    value.backward()
    return {name: w.grad.clone() for name, w in W.items()}


def nll(tokens, wanted, seen=None):
    """Summed cross-entropy."""
    logits = forward(tokens, seen)
    return torch.nn.functional.cross_entropy(logits.reshape(-1, V), wanted.reshape(-1), reduction="sum")


g = gradients(nll(inputs, targets) / N)
log_p = lambda: forward(inputs).log_softmax(-1)
entropy = lambda l: -(l.exp() * l).sum() / N
g_entropy = gradients(entropy(log_p()))
by_sequence = [gradients(nll(inputs[s : s + 1], targets[s : s + 1])) for s in range(B)]
f_sequence = {name: sum(gs[name] ** 2 for gs in by_sequence) / N for name in W}
seen = {}
gradients(nll(inputs, targets, seen))
rows = lambda x: x.reshape(N, -1)
f_position = {}
for name in W:
    if name == "embed":
        f = torch.zeros(V, D)
        for t, token in enumerate(inputs.reshape(-1)):
            f[token] += rows(seen["embed out"].grad)[t] ** 2
    elif "norm" in name:
        f = ((rows(seen[name + " out"].grad) * rows(seen[name + " normed"])) ** 2).sum(0)
    else:
        d, x = rows(seen[name + " out"].grad), rows(seen[seen[name + " reads"]]).detach()
        f = sum(torch.outer(d[t], x[t]) ** 2 for t in range(N))
    f_position[name] = f / N

# Which elements of which tensors a group owns: a mask per tensor, in canonical order.
def groups():
    out = {"ffn": [], "head": [], "stem": []}
    mask = lambda name, rows=None, cols=None: (name, (slice(None) if rows is None else rows, slice(None) if cols is None else cols))
    for i, (heads, kv, ffn) in enumerate(LAYERS):
        out["ffn"].append([[mask(f"{i}.gate", [j]), mask(f"{i}.up", [j]), mask(f"{i}.down", None, [j])] for j in range(ffn)])
        r = heads // kv
        span = lambda first, n: list(range(first * H, (first + n) * H))
        out["head"].append(
            [
                [
                    mask(f"{i}.q", span(j * r, r)),
                    mask(f"{i}.k", span(j, 1)),
                    mask(f"{i}.v", span(j, 1)),
                    mask(f"{i}.o", None, span(j * r, r)),
                ]
                for j in range(kv)
            ]
        )
    stem = []
    for c in range(D):
        parts = [mask("embed", None, [c])]
        for i in range(len(LAYERS)):
            parts += [(f"{i}.norm1", ([c],))] + [mask(f"{i}.{n}", None, [c]) for n in "qkv"] + [mask(f"{i}.o", [c])]
            parts += [(f"{i}.norm2", ([c],)), mask(f"{i}.gate", None, [c]), mask(f"{i}.up", None, [c]), mask(f"{i}.down", [c])]
        stem.append(parts + [("norm", ([c],)), mask("head", None, [c])])
    out["stem"].append(stem)
    return out


GROUPS = groups()


def by_tensor(element):
    """[type][place][group][tensor]: Σ of a per-element tree over a group's elements in each tensor."""
    return {
        kind: [[[element[name][index].sum().item() for name, index in group] for group in place] for place in places]
        for kind, places in GROUPS.items()
    }


reduce = lambda scores, f: {kind: [[f(group) for group in place] for place in places] for kind, places in scores.items()}
tree = lambda f: {name: f(name, w.detach()) for name, w in W.items()}
scores = {
    "magnitude_l1": reduce(by_tensor(tree(lambda n, w: w.abs())), sum),
    "magnitude_l2": reduce(by_tensor(tree(lambda n, w: w**2)), sum),
    "taylor_vector": reduce(by_tensor(tree(lambda n, w: w * g[n])), lambda parts: sum(map(abs, parts))),
    "taylor1": reduce(by_tensor(tree(lambda n, w: (w * g[n]).abs())), sum),
    "taylor2": reduce(by_tensor(tree(lambda n, w: w**2 * f_position[n])), sum),
    "taylor2 by sequence": reduce(by_tensor(tree(lambda n, w: w**2 * f_sequence[n])), sum),
    "taylor_mix": reduce(by_tensor(tree(lambda n, w: (w * g[n] - w**2 * f_position[n] / 2).abs())), sum),
    "entropy_taylor": reduce(by_tensor(tree(lambda n, w: (w * g_entropy[n]).abs())), sum),
    # Moments: m = g, v = F by sequence.
    "adam": reduce(by_tensor(tree(lambda n, w: (w * g[n]).abs() / (f_sequence[n].sqrt() + 1e-8))), sum),
}
effects = [reduce(by_tensor(tree(lambda n, w: w * gs[n])), sum) for gs in by_sequence]
scores["fisher_group by sequence"] = {
    kind: [[sum(e[kind][p][j] ** 2 for e in effects) / N for j in range(len(place))] for p, place in enumerate(places)]
    for kind, places in GROUPS.items()
}
taylor1 = by_tensor(tree(lambda n, w: (w * g[n]).abs()))
for name, f in [("mean", np.mean), ("max", max), ("prod", np.prod), ("first", lambda parts: parts[0])]:
    scores[f"taylor1 {name}"] = reduce(taylor1, lambda parts: float(f(parts)))
place = lambda f: {kind: [[float(x) for x in f(np.array(p))] for p in places] for kind, places in scores["taylor1"].items()}
scores["taylor1 layer_mean"] = place(lambda p: p / p.mean())
scores["taylor1 layer_zscore"] = place(lambda p: (p - p.mean()) / p.std() if p.std() > 0 else p * 0)

# Rules of layer inputs: which columns of which linear layers read a group, and where.
def readers():
    out = {"ffn": [], "head": [], "stem": []}
    for i, (heads, kv, ffn) in enumerate(LAYERS):
        out["ffn"].append([[(f"{i}.down", [j])] for j in range(ffn)])
        r = heads // kv
        out["head"].append([[(f"{i}.o", list(range(j * r * H, (j + 1) * r * H)))] for j in range(kv)])
    names = [f"{i}.{n}" for i in range(len(LAYERS)) for n in ("q", "k", "v", "gate", "up")] + ["head"]
    out["stem"].append([[(name, [c]) for name in names] for c in range(D)])
    return out


READERS = readers()
X = {site: rows(x).detach().numpy() for site, x in seen.items() if site.endswith("_in")}
DX = {site: rows(x.grad).numpy() for site, x in seen.items() if site.endswith("_in")}
site_of = lambda name: seen[name + " reads"]


def over_readers(f):
    return {
        kind: [[sum(f(W[name].detach().numpy(), site_of(name), cols) for name, cols in group) for group in place] for place in places]
        for kind, places in READERS.items()
    }


scores["wanda"] = over_readers(lambda w, s, c: float((np.abs(w[:, c]) * np.linalg.norm(X[s][:, c], axis=0)).sum()))
scores["flap"] = over_readers(lambda w, s, c: float(((w[:, c] ** 2).sum(0) * X[s][:, c].var(axis=0, ddof=1)).sum()))


def obs(w, s, c):
    G = X[s].T @ X[s]
    G = G + DAMPING * np.trace(G) / len(G) * np.eye(len(G))
    block = np.linalg.inv(G)[np.ix_(c, c)]
    return float(np.trace(w[:, c] @ np.linalg.inv(block) @ w[:, c].T))


scores["obs"] = over_readers(obs)


def sites(group):
    """Each place that reads the group once, with the group's channels there."""
    out = []
    for name, cols in group:
        if (site_of(name), cols) not in out:
            out.append((site_of(name), cols))
    return out


def magnitude(x):
    """√Σ_sequences (mean over positions)² of N values."""
    return float(np.sqrt((x.reshape(B, T).mean(1) ** 2).sum()))


def activation(group):
    total = 0.0
    for site, cols in sites(group):
        if site.endswith("o_in"):
            heads = [cols[k : k + H] for k in range(0, len(cols), H)]
            total += sum(magnitude(np.linalg.norm(X[site][:, head], axis=1)) for head in heads)
        else:
            total += sum(magnitude(np.abs(X[site][:, c])) for c in cols)
    return total


def effect(group):
    """First-order effect of silencing the group at each position."""
    return sum((X[site][:, cols] * DX[site][:, cols]).sum(1) for site, cols in sites(group))


scores["activation"] = reduce(READERS, activation)
scores["ifv"] = reduce(READERS, lambda group: float(sum(X[site][:, c].var(axis=0, ddof=1).sum() for site, c in sites(group))))
scores["fisher_group"] = reduce(READERS, lambda group: float((effect(group) ** 2).mean()))
scores["activation_taylor"] = reduce(READERS, lambda group: float(np.abs(effect(group)).mean()))
config = {
    "vocab_size": V,
    "hidden_size": D,
    "head_dim": H,
    "tie_word_embeddings": False,
    "rope_theta": THETA,
    "rms_norm_eps": EPS,
    "max_position_embeddings": T,
    "layers": [dict(zip(("num_heads", "num_kv_heads", "intermediate_size"), layer)) for layer in LAYERS],
}
print(
    json.dumps(
        {
            "made_by": f"tests/golden/make_rules.py with torch {torch.__version__}, numpy {np.__version__}",
            "config": config,
            "sequences": B,
            "inputs": inputs.flatten().tolist(),
            "targets": targets.flatten().tolist(),
            "damping": DAMPING,
            "scores": scores,
        },
        indent=None,
    )
)
