"""Makes and runs LoRA adapters with PEFT, for lora_parity_test.cc.

lora_parity.py make BASE DIR IDS       writes adapters for the model BASE to DIR/<variant>/, with logits.json for IDS
lora_parity.py score BASE ADAPTER IDS  loads an adapter, which Pivotal wrote, and prints its logits for IDS as JSON
lora_parity.py train BASE ADAPTER IDS  prints the names and shapes of the tensors that PEFT would train
"""
import json
import pathlib
import sys

import peft
import torch
import transformers

transformers.logging.set_verbosity_error()
VARIANTS = {
    "all": dict(r=4, lora_alpha=9, target_modules="all-linear"),
    "some": dict(r=3, lora_alpha=7, target_modules=["qkv_proj", "down_proj"], use_rslora=True),
}


def load(base):
    return transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()


def logits(model, ids):
    with torch.no_grad():
        return model(torch.tensor(ids)).logits.flatten().tolist()


def make(base, directory, ids):
    for name, keys in VARIANTS.items():
        torch.manual_seed(1)
        model = peft.get_peft_model(load(base), peft.LoraConfig(task_type="CAUSAL_LM", **keys)).eval()
        for key, parameter in model.named_parameters():
            if "lora_B" in key:
                torch.nn.init.normal_(parameter, std=0.05)
        folder = pathlib.Path(directory) / name
        model.save_pretrained(folder)
        (folder / "logits.json").write_text(json.dumps(logits(model, ids)))


def score(base, adapter, ids):
    print(json.dumps(logits(peft.PeftModel.from_pretrained(load(base), adapter).eval(), ids)))


def train(base, adapter, ids):
    model = peft.PeftModel.from_pretrained(load(base), adapter, is_trainable=True)
    print(json.dumps({key: list(p.shape) for key, p in model.named_parameters() if p.requires_grad}))


if __name__ == "__main__":
    command, base, place, ids = sys.argv[1:]
    {"make": make, "score": score, "train": train}[command](base, place, json.load(open(ids)))
