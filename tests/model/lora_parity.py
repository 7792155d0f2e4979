"""Makes and runs LoRA adapters with PEFT, for lora_parity_test.cc.

lora_parity.py make BASE DIR IDS       writes adapters for the model BASE to DIR/<variant>/, with logits.json for IDS
lora_parity.py llama BASE DIR IDS      writes BASE with a Llama's names to DIR/model/ and an adapter for that to DIR/adapter/
lora_parity.py score BASE ADAPTER IDS  loads an adapter, which Pivotal wrote, and prints its logits for IDS as JSON
lora_parity.py train BASE ADAPTER IDS  prints the names and shapes of the tensors that PEFT would train
"""
import json
import pathlib
import shutil
import sys

import peft
import torch
import transformers
from safetensors.torch import load_file, save_file

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


    make_converted(base, pathlib.Path(directory) / "converted", ids)


def make_converted(base, folder, ids):
    """An adapter that began as PiSSA, which changes the base, and was saved as a plain one."""
    config = peft.LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=6, target_modules="all-linear",
                             init_lora_weights="pissa")
    model = peft.get_peft_model(load(base), config).eval()
    model.peft_config["default"].init_lora_weights = True
    model.save_pretrained(folder / "start")
    torch.manual_seed(2)
    for key, parameter in model.named_parameters():
        if "lora_B" in key:
            parameter.data += torch.randn_like(parameter) * 0.05
    truth = logits(model, ids)  # converting changes the model
    model.save_pretrained(folder, path_initial_model_for_weight_conversion=str(folder / "start"))
    (folder / "logits.json").write_text(json.dumps(truth))


def llama(base, directory, ids):
    base, directory = pathlib.Path(base), pathlib.Path(directory)
    folder = directory / "model"
    shutil.copytree(base, folder)
    config = json.loads((base / "config.json").read_text())
    heads, keys, inner = config["num_attention_heads"], config["num_key_value_heads"], config["intermediate_size"]
    size = config["hidden_size"] // heads
    weights = {}
    for name, weight in load_file(base / "model.safetensors").items():
        if "qkv_proj" in name:
            for part, rows in zip("qkv", weight.split([heads * size, keys * size, keys * size])):
                weights[name.replace("qkv_proj", part + "_proj")] = rows.contiguous()
        elif "gate_up_proj" in name:
            for part, rows in zip(("gate", "up"), weight.split(inner)):
                weights[name.replace("gate_up_proj", part + "_proj")] = rows.contiguous()
        else:
            weights[name] = weight
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config.update(architectures=["LlamaForCausalLM"], model_type="llama", mlp_bias=False)
    (folder / "config.json").write_text(json.dumps(config))
    torch.manual_seed(1)
    model = peft.get_peft_model(load(folder), peft.LoraConfig(
        task_type="CAUSAL_LM", r=4, lora_alpha=9, target_modules=["q_proj", "v_proj", "up_proj", "o_proj"])).eval()
    for key, parameter in model.named_parameters():
        if "lora_B" in key:
            torch.nn.init.normal_(parameter, std=0.05)
    model.save_pretrained(directory / "adapter")
    (directory / "adapter/logits.json").write_text(json.dumps(logits(model, ids)))


def score(base, adapter, ids):
    print(json.dumps(logits(peft.PeftModel.from_pretrained(load(base), adapter).eval(), ids)))


def train(base, adapter, ids):
    model = peft.PeftModel.from_pretrained(load(base), adapter, is_trainable=True)
    print(json.dumps({key: list(p.shape) for key, p in model.named_parameters() if p.requires_grad}))


if __name__ == "__main__":
    command, base, place, ids = sys.argv[1:]
    {"make": make, "llama": llama, "score": score, "train": train}[command](base, place, json.load(open(ids)))
