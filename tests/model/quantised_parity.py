"""Quantises matrices and models with bitsandbytes, for quantised_parity_test.cc.

quantised_parity.py matrices FILE             adds to the tensors of FILE (safetensors) their codes in NF4, as OUT below
quantised_parity.py train BASE ADAPTER IDS TYPE
                                              prints the loss of BASE in NF4 with ADAPTER on IDS (a JSON file), and
                                              writes the gradients of the adapter to ADAPTER/gradients.safetensors

OUT: FILE.nf4 with <name>.codes, <name>.scales, <name>.group_scales, <name>.offset, <name>.numbers
"""
import json
import pathlib
import sys

import bitsandbytes.functional as bnb
import peft
import torch
import transformers
from safetensors.torch import load_file, save_file

transformers.logging.set_verbosity_error()


def matrices(file):
    out = {}
    for name, weight in load_file(file).items():
        codes, state = bnb.quantize_4bit(weight, blocksize=64, compress_statistics=True, quant_type="nf4")
        out[name + ".codes"] = codes.flatten()
        out[name + ".scales"] = state.absmax
        out[name + ".group_scales"] = state.state2.absmax
        out[name + ".offset"] = state.offset.reshape(1)
        out[name + ".numbers"] = bnb.dequantize_4bit(codes, state).float()
    save_file(out, file + ".nf4")


def nearest(values, blocksize=256, **_):
    """Does what quantize_blockwise does on a GPU: takes the nearest code. On a CPU it takes a neighbour of that for two
    of a thousand numbers."""
    code = bnb.create_dynamic_map()
    blocks = torch.nn.functional.pad(values, (0, -len(values) % blocksize)).view(-1, blocksize)
    absmax = blocks.abs().amax(1)
    scaled = (blocks / absmax.clamp(min=1e-38)[:, None]).flatten()[:len(values)]
    codes = torch.bucketize(scaled, (code[:-1] + code[1:]) / 2).to(torch.uint8)
    return codes, bnb.QuantState(absmax=absmax, code=code, blocksize=blocksize, dtype=torch.float32)


def train(base, adapter, ids, dtype):
    bnb.quantize_blockwise = nearest
    dtype = getattr(torch, dtype)
    how = transformers.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4",
                                          bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype)
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=dtype, quantization_config=how,
                                                              device_map="cpu")
    model = peft.PeftModel.from_pretrained(model, adapter, is_trainable=True).train()
    tokens = torch.tensor(json.load(open(ids)))
    logits = model(tokens).logits[:, :-1].float()
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
    loss.backward()
    gradients = {name.replace(".default", ""): p.grad.float() for name, p in model.named_parameters()
                 if p.requires_grad}
    save_file(gradients, pathlib.Path(adapter) / "gradients.safetensors")
    print(json.dumps(loss.item()))


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    {"matrices": matrices, "train": train}[command](*arguments)
