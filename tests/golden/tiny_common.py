"""What make_tiny_llama.py and make_tiny_qwen2.py share: the stream of numbers, the training loop, the file's form.

The stream is a 32-bit linear congruential generator, so that the golden file need not hold what is drawn from it:
x <- 1664525 x + 1013904223 mod 2^32, u = x / 2^32.
"""
import json

import torch

TRAIN = {"learning_rate": 0.02, "beta1": 0.9, "beta2": 0.95, "epsilon": 1e-8, "weight_decay": 0.1, "clip_norm": 0.5}

state = 1


def uniform():
    global state
    state = (1664525 * state + 1013904223) % 2**32
    return state / 2**32


def token_rows(vocab_size, sequences, length):
    return torch.tensor([[int(uniform() * vocab_size) for _ in range(length)] for _ in range(sequences)])


def is_norm(name):
    return name.endswith("norm.weight")


def golden(made_by, config, weights, inputs, targets, forward):
    """Logits, loss and gradients of `forward`, and the losses before each of ten steps of AdamW with clipping; norms and
    biases do not decay. Prints the file."""
    loss_of = lambda logits: torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))
    logits = forward()
    assert logits.dtype == torch.float64
    loss = loss_of(logits)
    loss.backward()
    gradients = {name: w.grad.flatten().tolist() for name, w in weights.items()}
    log_probabilities = logits.log_softmax(-1).gather(-1, targets[..., None]).flatten().tolist()

    decays = lambda name: not is_norm(name) and not name.endswith(".bias")
    optimiser = torch.optim.AdamW(
        [
            {"params": [w for n, w in weights.items() if decays(n)], "weight_decay": TRAIN["weight_decay"]},
            {"params": [w for n, w in weights.items() if not decays(n)], "weight_decay": 0.0},
        ],
        lr=TRAIN["learning_rate"],
        betas=(TRAIN["beta1"], TRAIN["beta2"]),
        eps=TRAIN["epsilon"],
    )
    losses = []
    for _ in range(10):
        optimiser.zero_grad()
        step_loss = loss_of(forward())
        losses.append(step_loss.item())
        step_loss.backward()
        # clip_grad_norm_ divides by norm + 1e-6; the definition has no such term.
        total = torch.sqrt(sum((w.grad**2).sum() for w in weights.values()))
        for w in weights.values():
            w.grad *= min(1.0, TRAIN["clip_norm"] / total.item())
        optimiser.step()

    values = {
        "made_by": made_by,
        "config": config,
        "sequences": inputs.shape[0],
        "inputs": inputs.flatten().tolist(),
        "targets": targets.flatten().tolist(),
        "logits": logits.flatten().tolist(),
        "log_probabilities": log_probabilities,
        "loss": loss.item(),
        "gradients": gradients,
        "train": TRAIN,
        "losses": losses,
    }
    print("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in values.items()) + "\n}")
