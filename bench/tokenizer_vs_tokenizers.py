"""Compares the speed of encoding GSM8K, MATH and HumanEval with that of Python's tokenizers, on one thread.

usage: python bench/tokenizer_vs_tokenizers.py TOKENIZER_BENCH DATA [FOLDER ...]
TOKENIZER_BENCH is the program made from bench/tokenizer_bench.cc. DATA is a folder with gsm8k, math, humaneval and
tokenizers. The FOLDERs hold the tokenizers to compare. The two programs take turns, and speeds are medians of 7
repeats. Each repeat starts with an empty cache.
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.update(RAYON_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")
import tokenizers  # noqa: E402  (reads the environment)

REPEATS = 7
bench, data, *folders = sys.argv[1:]
folders = folders or [os.path.join(data, "tokenizers", name)
                      for name in ("phi-2", "phi-3-mini", "phi-4")]

texts = []
for name in ("gsm8k/test.jsonl", "math/math-250.jsonl", "humaneval/HumanEval.jsonl"):
    for line in open(os.path.join(data, name), encoding="utf-8"):
        texts += [value for value in json.loads(line).values() if isinstance(value, str)]
megabytes = sum(len(text.encode()) for text in texts) / 1e6
print(f"{len(texts)} texts, {megabytes:.2f} MB; tokenizers {tokenizers.__version__}; "
      f"medians of {REPEATS}")
print(f"{'':12} {'tokens':>8} {'Pivotal':>14} {'tokenizers':>14} {'batch':>14} {'ratio':>6}")

with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
    for text in texts:
        file.write(json.dumps({"text": text}) + "\n")
    file.flush()
    for folder in folders:
        ours, theirs, batch = [], [], []
        for _ in range(REPEATS):
            out = subprocess.run([bench, folder, file.name, "1"], check=True, capture_output=True,
                                 text=True).stdout.split()
            ours.append(float(out[1]))
            for into, encode in ((theirs, lambda t: [t.encode(x, add_special_tokens=False)
                                                     for x in texts]),
                                 (batch, lambda t: t.encode_batch_fast(
                                     texts, add_special_tokens=False))):
                tokenizer = tokenizers.Tokenizer.from_file(folder + "/tokenizer.json")
                start = time.perf_counter()
                encodings = encode(tokenizer)
                into.append(time.perf_counter() - start)
                tokens = sum(len(e.ids) for e in encodings)
            assert tokens == int(out[0]), f"{folder}: {tokens} tokens, Pivotal has {out[0]}"
        rates = [megabytes / statistics.median(times) for times in (ours, theirs, batch)]
        shown = " ".join(f"{rate:9.2f} MB/s" for rate in rates)
        ratio = rates[0] / max(rates[1:])
        print(f"{os.path.basename(folder):12} {tokens:8} {shown} {ratio:6.2f}")
