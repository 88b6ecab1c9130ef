"""Loss and gradients of `tensor/distillation.rs` by PyTorch's autograd in f64: tests/golden/distillation.json.

    python tests/golden/make_distillation.py > tests/golden/distillation.json
"""
import json
import torch
import torch.nn.functional as F


def matrix(rows, cols, salt):
    values = [((i * 37 + salt * 101) % 29 - 14.0) / 9.0 for i in range(rows * cols)]
    return torch.tensor(values, dtype=torch.float64).reshape(rows, cols)


def case(weight, temperature, top_k):
    hidden, head = matrix(4, 3, 1).requires_grad_(), matrix(11, 3, 2).requires_grad_()
    taught, teacher = matrix(4, 5, 3), matrix(11, 5, 4)
    targets = torch.tensor([0, 5, 10, 3])
    z, t = hidden @ head.T, taught @ teacher.T
    if top_k:
        least = t.topk(top_k, dim=1).values[:, -1:]
        compared = t >= least
        zc, tc = z.masked_fill(~compared, -1e30), t.masked_fill(~compared, -1e30)
    else:
        zc, tc = z, t
    log_q, log_p = F.log_softmax(zc / temperature, 1), F.log_softmax(tc / temperature, 1)
    divergence = F.kl_div(log_q, log_p, log_target=True, reduction="sum")
    loss = (1 - weight) * F.cross_entropy(z, targets, reduction="sum") + weight * temperature**2 * divergence
    loss.backward()
    return {
        "weight": weight, "temperature": temperature, "top_k": top_k, "loss": loss.item(),
        "d_hidden": hidden.grad.flatten().tolist(), "d_head": head.grad.flatten().tolist(),
    }


cases = [case(0.5, 1.0, 0), case(1.0, 2.5, 0), case(0.3, 0.7, 4)]
print(json.dumps(cases, indent=1))
