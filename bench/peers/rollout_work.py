"""Defines the work of every engine in `make bench-peers` and its flags, and times and checks an engine.

There are two workloads on random tokens, the same as in `pivotal bench rollouts`. All sample at temperature 1, and no
token ends a rollout.
  sequences  N rollouts of one prompt of P tokens, with T new tokens each
  trunks     K trunks of L tokens; R rollouts leave each trunk at each of M positions of its last three quarters, and
             have a uniformly random number of new tokens from 1 to 2T
A job is one rollout. Its prefix is the first `length` tokens of trunk `trunk`.
"""
import argparse
import json
import os
import pathlib
import random
import resource
import statistics
import sys
import time
from typing import NamedTuple


WARM = 10  # seconds; the first run is not measured if it is shorter


class Job(NamedTuple):
    trunk: int
    length: int
    new_tokens: int


def leaves(trunk_tokens, count):
    first = trunk_tokens // 4
    return [max(1, first + (trunk_tokens - first) * (leaf + 1) // count) for leaf in range(count)]


def trunk_jobs(r, trunks, trunk_tokens, places, rollouts, new_tokens):
    return [Job(trunk, length, r.randint(1, 2 * new_tokens)) for trunk in range(trunks)
            for length in leaves(trunk_tokens, places) for _ in range(rollouts)]


def work(a, vocabulary):
    """Returns trunks and the jobs on them."""
    r = random.Random(1)
    count, tokens = (a.trunks, a.trunk_tokens) if a.trunks else (1, a.prompt_tokens)
    trunks = [[r.randrange(vocabulary) for _ in range(tokens)] for _ in range(count)]
    if a.trunks:
        return trunks, trunk_jobs(r, count, tokens, a.leaves, a.rollouts, a.new_tokens)
    return trunks, [Job(0, tokens, a.new_tokens)] * a.sequences


def arguments(text):
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=text)
    parser.add_argument("model", type=pathlib.Path, help="folder that make_models.py wrote")
    for name, usual in {"sequences": 64, "prompt-tokens": 64, "new-tokens": 64, "trunks": 0, "trunk-tokens": 300,
                        "leaves": 32, "rollouts": 16, "repeats": 1, "threads": os.cpu_count()}.items():
        parser.add_argument(f"--{name}", type=int, default=usual)
    return parser


def same_tokens(folder, run):
    """Returns the fraction of greedy rollouts equal to those that the module computed without a cache."""
    reference = json.loads((folder / "reference.json").read_text())
    jobs = [Job(*job) for job in reference["jobs"]]
    made = run(reference["trunks"], jobs, greedy=True)
    return statistics.mean(list(ours) == theirs for ours, theirs in zip(made, reference["tokens"], strict=True))


def report(a, run, exact, **more):
    """Checks an engine, times `run(trunks, jobs, greedy=False)`, which returns the new tokens of each job, and prints
    one line of JSON. `exact` tells that the engine computes in fp32, so that all greedy rollouts must be the same."""
    same = same_tokens(a.model, run)
    if exact and same < 1:
        sys.exit(f"{a.model}: {same:.1%} of the greedy rollouts are those of the module: "
                 "the conversion or the engine is wrong")
    trunks, jobs = work(a, json.loads((a.model / "config.json").read_text())["vocab_size"])
    tokens = sum(job.new_tokens for job in jobs)
    seconds = []
    for turn in range(a.repeats + 1):
        if turn > 0 and len(seconds) == a.repeats:
            break  # the first was long enough to count
        start = time.perf_counter()
        made = run(trunks, jobs, greedy=False)
        elapsed = time.perf_counter() - start
        if turn > 0 or elapsed > WARM:  # a short first run may mostly prepare for new shapes
            seconds.append(elapsed)
        assert [len(m) for m in made] == [job.new_tokens for job in jobs]
    median = statistics.median(seconds)
    print(json.dumps({"tokens_per_second": tokens / median, "runs": [tokens / s for s in seconds], "seconds": median,
                      "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
                      "tokens": tokens, "greedy_same": same} | more))
