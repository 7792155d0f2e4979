#!/usr/bin/env python3
"""Times a search of the tiny model by its own engine and by servers, on the same cores, with 1, 8 and 64 requests in flight.

usage: served_search.py PIVOTAL PYTHON [--problems N] [--repeats N] [--servers vllm,llama.cpp]

PYTHON is the environment of `make test-parity`. tests/experiments/search/served_parity.py starts the servers, one after the
other. The rows take turns: a repeat runs each once. Prints a table of medians as Markdown.
"""
import argparse
import pathlib
import re
import statistics
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).parents[1]
TINY = ROOT / "experiments/tiny"


def search(pivotal, model, problems, folder):
    """Returns tokens a second of all the wall time, and pivotal tokens found."""
    out = subprocess.run(
        [pivotal, "search", *model, "--problems", TINY / "problems/train.jsonl", "--oracle", "numeric", "--limit", str(problems),
         "--max-new-tokens", "64", "--output", folder], capture_output=True, text=True, check=True).stdout
    tokens = int(re.search(r"generated tokens +(\d+)", out)[1])
    seconds = float(re.search(r"time +([0-9.]+) s", out)[1])
    return tokens / seconds, int(re.search(r"pivotal tokens +(\d+)", out)[1])


def measure(args, rows):
    speeds = {name: [] for name in rows}
    found = {}
    for _ in range(args.repeats):
        for name, model in rows.items():
            with tempfile.TemporaryDirectory() as temp:
                speed, found[name] = search(args.pivotal, model, args.problems, pathlib.Path(temp) / "run")
                speeds[name].append(speed)
    return {name: (statistics.median(values), found[name]) for name, values in speeds.items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("pivotal")
    parser.add_argument("python")
    parser.add_argument("--problems", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--servers", default="vllm,llama.cpp")
    args = parser.parse_args()
    own = {"built in": ["--model", TINY / "model", "--device", "cpu"]}
    print("| engine | requests in flight | tokens/s | of the built-in engine | pivotal tokens |\n|---|---|---|---|---|")
    for server in args.servers.split(","):
        process = subprocess.Popen([args.python, ROOT / "tests/experiments/search/served_parity.py", "serve", server, TINY / "model"],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        address = process.stdout.readline().strip()
        rows = dict(own)
        for flight in (1, 8, 64):
            rows[flight] = ["--policy", address + "/v1", "--tokenizer", TINY / "model", "--concurrency", str(flight)]
        results = measure(args, rows)
        process.stdin.close()
        process.wait()
        best = results["built in"][0]
        for name, (speed, pivotal) in results.items():
            flight = "" if name == "built in" else name
            print(f"| {'built in' if name == 'built in' else server} | {flight} | {speed:,.0f} | {speed / best:.3f} | {pivotal} |", flush=True)


main()
