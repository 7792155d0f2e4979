"""Times the matrix products of a decode step alone, by torch.mm in float32: a bound for engines built on torch.mm.

usage: torch_mm_bound.py FOLDER ROWS [THREADS]
Prints one line of JSON. tokens_per_second counts all products with weights, that of the logits among them, but neither
prefill nor attention. For a model that is stored as bfloat16 and too large for float32, one matrix of each shape is
timed for all matrices of that shape.
"""
import collections
import json
import resource
import statistics
import sys
import time

import safetensors
import torch


def main():
    folder, rows = sys.argv[1], int(sys.argv[2])
    if len(sys.argv) > 3:
        torch.set_num_threads(int(sys.argv[3]))
    weights, times, known = [], collections.Counter(), {}  # how many matrices of the model each one stands for
    with safetensors.safe_open(f"{folder}/model.safetensors", framework="pt") as file:
        for name in file.keys():  # noqa: SIM118
            shape = tuple(file.get_slice(name).get_shape())
            if len(shape) != 2 or "embed_tokens" in name:
                continue
            tensor = known.get(shape)
            if tensor is None:
                tensor = file.get_tensor(name)
                if tensor.dtype != torch.float32:
                    tensor = known[shape] = tensor.float()
                weights.append(tensor)
            times[id(tensor)] += 1
    inputs = {w.shape[1]: torch.randn(rows, w.shape[1]) for w in weights}
    outputs = {w.shape[0]: torch.empty(rows, w.shape[0]) for w in weights}
    seconds, begin = [], time.perf_counter()
    while len(seconds) < 20 or time.perf_counter() - begin < 2:
        step = 0
        for w in weights:
            start = time.perf_counter()
            torch.mm(inputs[w.shape[1]], w.t(), out=outputs[w.shape[0]])
            step += (time.perf_counter() - start) * times[id(w)]
        seconds.append(step)
    step = statistics.median(seconds[3:])
    flops = 2 * rows * sum(w.numel() * times[id(w)] for w in weights)
    print(json.dumps({"tokens_per_second": rows / step, "gflops": flops / step / 1e9, "rows": rows, "seconds": step,
                      "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6}))


if __name__ == "__main__":
    main()
