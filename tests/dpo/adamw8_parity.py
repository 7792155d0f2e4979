"""Takes AdamW steps by bitsandbytes' optimizer in 8 bits, on the CPU, for adamw8_parity_test.cc.

adamw8_parity.py FILE OUT    FILE has start.NAME and gradient.STEP.NAME (safetensors); SETTINGS and DECAY are below

OUT has the weights after each step, WAY.STEP.NAME, and for two ways at the end the codes of the moments in 8 bits,
WAY.first.NAME and WAY.second.NAME. The ways differ in how bitsandbytes.optim.AdamW8bit finds codes:
- theirs: as it is. On a CPU it takes codes up to seven from the nearest one, for a tenth of small second moments.
- nearest: the nearest code, as bitsandbytes takes on a GPU.
- positive: the same, but the code of a second moment above zero is 1 or more.
- float32: torch.optim.AdamW, which has no codes.
What is around the codes is bitsandbytes' in all ways: maps, blocks, scales, arithmetic, and what stays in float32.
"""
import functools
import sys

import bitsandbytes as bnb
import torch
from bitsandbytes.backends.cpu import ops
from safetensors.torch import load_file, save_file

SETTINGS = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8}
DECAY = 0.1  # of matrices


def nearest(values, code, absmax_out, codes_out, blocksize, positive):
    """Writes codes and scales as bitsandbytes' _quant_blockwise_fp32_direct does."""
    flat = values.flatten()
    blocks = torch.nn.functional.pad(flat, (0, -len(flat) % blocksize)).view(-1, blocksize)
    absmax = blocks.abs().amax(1)
    scaled = (blocks / torch.where(absmax > 0, absmax, 1.0)[:, None]).flatten()[:len(flat)]
    codes = torch.bucketize(scaled, (code[:-1] + code[1:]) / 2)
    if positive and code[0] == 0:  # the map of second moments
        codes = torch.where(scaled > 0, codes.clamp(min=1), codes)
    absmax_out.copy_(absmax)
    codes_out.copy_(codes.to(torch.uint8).view(codes_out.shape))


def steps(tensors, make_optimizer):
    weights = {name.removeprefix("start."): torch.nn.Parameter(tensor.clone())
               for name, tensor in tensors.items() if name.startswith("start.")}
    optimizer = make_optimizer([{"params": [w for w in weights.values() if w.dim() > 1], "weight_decay": DECAY},
                                {"params": [w for w in weights.values() if w.dim() == 1], "weight_decay": 0.0}],
                               **SETTINGS)
    results, step = {}, 1
    while f"gradient.{step}.{next(iter(weights))}" in tensors:
        for name, weight in weights.items():
            weight.grad = tensors[f"gradient.{step}.{name}"].clone()
        optimizer.step()
        results |= {f"{step}.{name}": weight.detach().clone() for name, weight in weights.items()}
        step += 1
    for name, weight in weights.items():
        state = optimizer.state[weight]
        if "absmax1" in state:
            results |= {"first." + name: state["state1"], "second." + name: state["state2"]}
    return results


def main(file, out):
    tensors, results = load_file(file), {}
    own = ops._quant_blockwise_fp32_direct
    for way, quantise in {"theirs": own, "nearest": functools.partial(nearest, positive=False),
                          "positive": functools.partial(nearest, positive=True), "float32": None}.items():
        ops._quant_blockwise_fp32_direct = quantise
        optimizer = torch.optim.AdamW if quantise is None else bnb.optim.AdamW8bit
        results |= {f"{way}.{name}": tensor for name, tensor in steps(tensors, optimizer).items()}
    save_file(results, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
