"""The matrix products of a decode step alone, by torch.mm in float32: what no engine built on them can pass.

usage: torch_mm_bound.py FOLDER ROWS [THREADS]
Prints a line of JSON; tokens_per_second counts the logits' product, and neither prefill nor attention nor anything else.
"""
import json
import resource
import statistics
import sys
import time

import safetensors.torch
import torch


def main():
    folder, rows = sys.argv[1], int(sys.argv[2])
    if len(sys.argv) > 3:
        torch.set_num_threads(int(sys.argv[3]))
    tensors = safetensors.torch.load_file(f"{folder}/model.safetensors")
    weights = [w for name, w in tensors.items() if w.dim() == 2 and "embed_tokens" not in name]
    inputs = {w.shape[1]: torch.randn(rows, w.shape[1]) for w in weights}
    outputs = {w.shape[0]: torch.empty(rows, w.shape[0]) for w in weights}
    seconds, begin = [], time.perf_counter()
    while len(seconds) < 20 or time.perf_counter() - begin < 2:
        start = time.perf_counter()
        for w in weights:
            torch.mm(inputs[w.shape[1]], w.t(), out=outputs[w.shape[0]])
        seconds.append(time.perf_counter() - start)
    step = statistics.median(seconds[3:])
    flops = 2 * rows * sum(w.numel() for w in weights)
    print(json.dumps({"tokens_per_second": rows / step, "gflops": flops / step / 1e9, "rows": rows, "seconds": step,
                      "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6}))


if __name__ == "__main__":
    main()
