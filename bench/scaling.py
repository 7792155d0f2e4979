"""Estimates the time that a search of many problems takes on GPUs, by the roofline model (docs/scaling.md).

usage: python bench/scaling.py [--problems 100000] [--length 400] [--gpus 8 64]
Only the number of rollouts for a response is measured (bench/README.md, lane worlds). The rest is arithmetic of memory
and FLOPs: an upper bound on speed that no engine reaches. `--efficiency` is the fraction of it that is assumed.
"""
import argparse

parser = argparse.ArgumentParser()
parser.add_argument("--problems", type=int, default=100_000)
parser.add_argument("--searched", type=float, default=0.3, help="fraction of the problems with p(success) in the band")
parser.add_argument("--responses", type=int, default=2)
parser.add_argument("--samples", type=int, default=32, help="rollouts from each prompt")
parser.add_argument("--length", type=float, default=400, help="tokens of a response")
parser.add_argument("--lengths", type=float, default=70,
                    help="tokens generated to search a response, in lengths of the response")
parser.add_argument("--places", type=int, default=512, help="rollouts that are decoded at once on a GPU")
parser.add_argument("--rounds", type=int, default=14, help="rounds of a group of problems, one after the other")
parser.add_argument("--group", type=int, default=64, help="problems that are searched together")
parser.add_argument("--efficiency", type=float, default=0.5, help="fraction of the bound that is reached")
parser.add_argument("--gpus", type=int, nargs="+", default=[1, 8, 64, 256, 1024])
options = parser.parse_args()

# Phi-4 by its config.json, and H100 SXM by NVIDIA's data sheet (dense bf16).
parameters, layers, kv_heads, head = 14.66e9, 40, 10, 128
flops, bandwidth, memory = 989e12, 3.35e12, 80e9

weights = 2 * parameters
kv_token = layers * 2 * kv_heads * head * 2
kv_room = (0.9 * memory - weights) / kv_token
# A rollout leaves a response in the middle, on average. It is read while it grows: half of its tokens, on average.
private = options.length / 2
step_memory = (weights + options.places * private / 2 * kv_token) / bandwidth
step_flops = 2 * parameters * options.places / flops
step = max(step_memory, step_flops) / options.efficiency
per_gpu = options.places / step

prompts = options.problems * options.samples * options.length
search = options.problems * options.searched * options.responses * options.lengths * options.length
tokens = prompts + search
# A round lasts as long as a rollout of full length.
round_seconds = options.length * step
chain = options.rounds * round_seconds

print(f"Weights {weights / 1e9:.1f} GB; keys and values {kv_token / 1e3:.0f} kB a token, "
      f"room for {kv_room / 1e3:.0f} thousand tokens.")
print(f"A step of {options.places} rollouts: memory {1e3 * step_memory:.1f} ms, FLOPs {1e3 * step_flops:.1f} ms, "
      f"at {options.efficiency:.0%} of the larger bound {1e3 * step:.1f} ms: {per_gpu:,.0f} tokens/s a GPU.")
print(f"Generated: {prompts / 1e9:.2f} billion tokens from prompts, {search / 1e9:.2f} in searches.")
print(f"A group of {options.group} problems takes at least {options.rounds} rounds of {round_seconds:.0f} s: "
      f"{chain / 60:.1f} min.\n")
print("| H100s | hours | GPU hours | time that GPUs wait for the last groups |")
print("|---|---|---|---|")
for gpus in options.gpus:
    work = tokens / per_gpu / gpus
    tail = chain / 2  # the average wait, since groups end at different times
    print(f"| {gpus} | {(work + tail) / 3600:.2f} | {gpus * (work + tail) / 3600:.0f} | "
          f"{100 * tail / (work + tail):.0f}% |")
