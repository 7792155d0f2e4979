"""Answers questions with transformers, for generate_parity_test.cc.

usage: generate_parity.py MODEL QUESTIONS SYSTEM
Writes QUESTIONS.out: for each line {"question"} of QUESTIONS, in the same order, the response at temperature 0 as a
JSON string. SYSTEM is a system message, or "" for none. The prompt is made by the model's own chat template.
"""
import json
import sys

import torch
import transformers

folder, questions, system = sys.argv[1:]
transformers.logging.set_verbosity_error()
tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
with open(questions, encoding="utf-8") as file, open(questions + ".out", "w", encoding="utf-8") as out:
    for line in file:
        chat = [{"role": "system", "content": system}] if system else []
        chat.append({"role": "user", "content": json.loads(line)["question"]})
        prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        ids = model.generate(**prompt, do_sample=False, max_new_tokens=160)[0, prompt["input_ids"].shape[1]:]
        out.write(json.dumps(tokenizer.decode(ids, skip_special_tokens=True)) + "\n")
