"""PyTorch's rows for bench/gpu.ts, as JSON lines: the same tasks on the same GPU. cuBLAS in f32 without TF32, then f16, where tensor cores
come in; scaled_dot_product_attention; add, layer_norm and fused AdamW; the recipe's training step as nanoGPT writes it."""

import argparse
import json
import statistics
import sys
import time


def missing(reason):
    print(json.dumps({"missing": reason}))
    sys.exit(0)


try:
    import torch
except ImportError:
    missing("python3 has no torch")
if not torch.cuda.is_available():
    missing("torch has no CUDA device")

from torch import nn
from torch.nn import functional as F

arguments = argparse.ArgumentParser()
arguments.add_argument("--quick", action="store_true")
arguments.add_argument("--repeats", type=int, default=9)
options = arguments.parse_args()

torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False
torch.manual_seed(1)
device = torch.device("cuda")
sample_ms = 10 if options.quick else 50


def timings(run):
    """Milliseconds a run: a sample is as many as take a while, then a wait."""

    def timed(count):
        torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(count):
            run()
        torch.cuda.synchronize()
        return 1e3 * (time.perf_counter() - started)

    timed(1)
    count = 1
    while timed(count) < sample_ms and count < 4096:
        count *= 2
    return sorted(timed(count) / count for _ in range(options.repeats))


def row(subject, shape, run, *, form="", dtype="f32", flops=0, moved=0):
    ms = timings(run)
    print(
        json.dumps(
            {
                "subject": subject,
                "shape": shape,
                "form": form,
                "dtype": dtype,
                "engine": "PyTorch",
                "version": torch.__version__,
                "adapter": torch.cuda.get_device_name(),
                "flops": flops,
                "bytes": moved,
                "medianMs": statistics.median(ms),
                "fastestMs": ms[0],
                "slowestMs": ms[-1],
                "rounds": len(ms),
            }
        ),
        flush=True,
    )


quick = options.quick
dtypes = {"f32": torch.float32, "f16": torch.float16}


def uniform(*shape, dtype=torch.float32):
    return torch.rand(*shape, device=device, dtype=dtype) - 0.5


products = [(512, 512, 512), (1024, 1024, 1024)] if quick else [(4096, 4096, 4096), (2048, 2048, 2048), (8192, 1024, 4096), (1024, 1024, 1024)]
for m, n, k in products:
    for name, dtype in dtypes.items():
        for form in ("NN", "NT", "TN"):
            a = uniform(k, m, dtype=dtype).T if form == "TN" else uniform(m, k, dtype=dtype)
            b = uniform(n, k, dtype=dtype).T if form == "NT" else uniform(k, n, dtype=dtype)
            out = torch.empty(m, n, device=device, dtype=dtype)
            row("products", f"{m}x{n}x{k}", lambda: torch.matmul(a, b, out=out), form=form, dtype=name, flops=2 * m * n * k)

attention = [(1, 128, 4, 32)] if quick else [(4, 1024, 12, 64), (1, 4096, 16, 64), (4, 2048, 16, 128)]
for batch, tokens, heads, width in attention:
    for name, dtype in dtypes.items():
        q, k, v = (uniform(batch, heads, tokens, width, dtype=dtype) for _ in range(3))
        row(
            "attention",
            f"{batch}x{tokens}x{heads}x{width}",
            lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True),
            form="causal",
            dtype=name,
            flops=2 * batch * heads * width * tokens**2,
        )

rows, cols, elements = (256, 256, 2**18) if quick else (8192, 1024, 2**24)
x, y, out = (uniform(elements) for _ in range(3))
row("add", str(elements), lambda: torch.add(x, y, out=out), moved=12 * elements)
x, gain = uniform(rows, cols), uniform(cols)
row("norms", f"{rows}x{cols}", lambda: F.layer_norm(x, (cols,), weight=gain), moved=8 * rows * cols)
weight = nn.Parameter(uniform(elements))
weight.grad = uniform(elements)
optimizer = torch.optim.AdamW([weight], lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1, fused=True)
row("adamw", str(elements), optimizer.step, moved=28 * elements)

B, T, L, H, D, V = 12, 64, 4, 4, 128, 65


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(D))

    def forward(self, x):
        return F.layer_norm(x, (D,), self.weight)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1, self.ln_2 = Norm(), Norm()
        self.c_attn, self.c_proj = nn.Linear(D, 3 * D, bias=False), nn.Linear(D, D, bias=False)
        self.c_fc, self.out = nn.Linear(D, 4 * D, bias=False), nn.Linear(4 * D, D, bias=False)

    def forward(self, x):
        q, k, v = (part.view(B, T, H, D // H).transpose(1, 2) for part in self.c_attn(self.ln_1(x)).split(D, 2))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(B, T, D)
        x = x + self.c_proj(mixed)
        return x + self.out(F.gelu(self.c_fc(self.ln_2(x))))


class Gpt(nn.Module):
    def __init__(self):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(V, D), nn.Embedding(T, D)
        self.blocks = nn.ModuleList(Block() for _ in range(L))
        self.ln_f = Norm()

    def forward(self, tokens, targets):
        x = self.wte(tokens) + self.wpe.weight
        for block in self.blocks:
            x = block(x)
        logits = self.ln_f(x) @ self.wte.weight.T
        return F.cross_entropy(logits.view(-1, V), targets.view(-1))


model = Gpt().to(device)
matrices = [p for p in model.parameters() if p.dim() > 1]
vectors = [p for p in model.parameters() if p.dim() == 1]
groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
adamw = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), fused=True)
tokens, targets = (torch.randint(V, (B, T), device=device) for _ in range(2))


def step():
    loss = model(tokens, targets)
    adamw.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    adamw.step()
    return loss.item()


parameters = sum(p.numel() for p in model.parameters())
flops = B * T * (6 * parameters + 12 * L * T * D)
row("step", f"{B}x{T}, {L} layers, width {D}", step, flops=flops)
