"""Logits and greedy tokens of a Hugging Face folder under transformers, for parity_test.cc.

usage: transformers_logits.py FOLDER IDS.json OUT.json
IDS.json: a list of id lists of equal length. OUT.json: {"logits": [...], "greedy": [...]}.
"""
import json
import sys

import torch
import transformers

folder, ids_file, out_file = sys.argv[1:]
transformers.logging.set_verbosity_error()
model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
model.eval()
ids = torch.tensor(json.load(open(ids_file)))
with torch.no_grad():
    logits = model(ids).logits
    greedy = model.generate(ids[:1], attention_mask=torch.ones_like(ids[:1]), do_sample=False,
                            max_new_tokens=40)[0, ids.shape[1]:]
with open(out_file, "w") as out:
    json.dump({"logits": logits.flatten().tolist(), "greedy": greedy.tolist()}, out)
