"""Computes the outputs of a model's layers with transformers, for steering_parity_test.cc.

usage: steering_parity.py MODEL CASES.json OUT.json
CASES.json is {"prefixes": {ID: ids}, "pairs": [[ids with the chosen side, ids with the rejected side], ...]}.
OUT.json is {"hidden": {ID: outputs [layer][hidden] at the last id}, "mean_difference": [layer][hidden] over the pairs}.
"""

import json
import pathlib
import sys

import torch
import transformers

transformers.logging.set_verbosity_error()


class LayerOutputs:
    def __init__(self, folder):
        self.model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.outputs = []
        for layer in self.model.model.layers:
            layer.register_forward_hook(self.keep)

    def keep(self, _layer, _arguments, output):
        self.outputs.append(output[0] if isinstance(output, tuple) else output)

    def at_last(self, ids):
        """Returns the outputs at the last of `ids`, [layer, hidden]."""
        self.outputs.clear()
        with torch.no_grad():
            self.model(torch.tensor([ids]))
        return torch.stack(self.outputs)[:, 0, -1]


if __name__ == "__main__":
    folder, cases, out = sys.argv[1:]
    layers, cases = LayerOutputs(folder), json.loads(pathlib.Path(cases).read_text())
    differences = [layers.at_last(chosen).double() - layers.at_last(rejected) for chosen, rejected in cases["pairs"]]
    hidden = {key: layers.at_last(ids).tolist() for key, ids in cases["prefixes"].items()}
    mean = torch.stack(differences).mean(0).tolist()
    pathlib.Path(out).write_text(json.dumps({"hidden": hidden, "mean_difference": mean}))
